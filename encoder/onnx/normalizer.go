package onnx

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp/syntax"
	"unicode/utf8"
)

// maxGrowth is by how much the normalizers of a tokenizer may lengthen a text. Those that
// are known put a space around each character or spell one out as a few.
const maxGrowth = 64

// normalizer is what is looked at of an entry of tokenizer.json.
type normalizer struct {
	Type        string
	Normalizers []normalizer // of a Sequence
	Pattern     struct{ String, Regex *string }
	Content     string
	Prepend     string
}

// checkNormalizer refuses a tokenizer whose normalizers could make more of a text than
// memory holds: a few replacements of a letter by two, one after the other, do.
func checkNormalizer(config []byte) error {
	var fields struct{ Normalizer *normalizer }
	if err := json.Unmarshal(config, &fields); err != nil {
		return err
	}
	if fields.Normalizer == nil {
		return nil
	}
	if g := fields.Normalizer.growth(); g > maxGrowth {
		return fmt.Errorf("its normalizers can make a text %.3g times as long, and %d times is the most that is taken (is the file damaged?)", g, maxGrowth)
	}
	return nil
}

// growth is by how much n may lengthen a text, at most.
func (n *normalizer) growth() float64 {
	switch n.Type {
	case "Sequence":
		all := 1.
		for i := range n.Normalizers {
			all *= n.Normalizers[i].growth()
		}
		return all
	case "Replace":
		shortest := 0
		switch {
		case n.Pattern.String != nil:
			shortest = len(*n.Pattern.String)
		case n.Pattern.Regex != nil:
			shortest = shortestMatch(*n.Pattern.Regex)
		}
		if shortest == 0 { // an empty match between any two characters
			return float64(1 + len(n.Content))
		}
		return max(1, float64(len(n.Content))/float64(shortest))
	case "Prepend":
		return max(1, float64(1+len(n.Prepend))) // of a text of one byte
	}
	// All others put a few bytes in the place of one, however often they are used.
	return 1
}

// shortestMatch is how many bytes a match of a pattern has at least; 0 if that cannot be
// told.
func shortestMatch(pattern string) int {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil { // Rust's syntax is a larger one
		return 0
	}
	return least(re.Simplify())
}

func least(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		n := 0
		for _, r := range re.Rune {
			n += utf8.RuneLen(r)
		}
		return n
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return least(re.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n += least(sub)
		}
		return n
	case syntax.OpAlternate:
		n := math.MaxInt
		for _, sub := range re.Sub {
			n = min(n, least(sub))
		}
		return n
	case syntax.OpRepeat:
		return re.Min * least(re.Sub[0])
	}
	return 0 // what may be left out, and positions
}
