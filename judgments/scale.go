package judgments

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Level is one step of a scale of judgments.
type Level struct {
	Label Label
	Gain  float64 // in nDCG
	Grade float64 // 0, 1, 2 ... for metrics that count steps (ERR, exponential gains)
}

// Scale says what labels mean, from the worst to the best.
type Scale struct {
	Name   string // "esci" or "numeric"
	Levels []Level
}

// ESCI is the scale of Amazon's shopping queries, with the gains of its authors
// (Reddy et al., 2022): E 1, S 0.1, C 0.01, I 0.
func ESCI() Scale {
	return Scale{Name: "esci", Levels: []Level{{Irrelevant, 0, 0}, {Complement, .01, 1}, {Substitute, .1, 2}, {Exact, 1, 3}}}
}

// Numeric is a scale of the given values, which are gain and grade at once.
func Numeric(values []float64) Scale {
	s := Scale{Name: "numeric"}
	values = slices.Clone(values)
	slices.Sort(values)
	for _, v := range slices.Compact(values) {
		s.Levels = append(s.Levels, Level{spell(v), v, v})
	}
	return s
}

// ScaleOf finds the scale that labels are of, and what each of them is called in it.
// They must be all of ESCI or all numbers; of numbers, 0, 1, 10 and 100 with a 100
// and a 10 or 1 among them are ESCI as Scale.Integers writes it (0 and 100 alone might
// be per cent, 0 and 10 marks). A numeric scale has a zero. Labels that are Pooled
// have no part in a scale.
func ScaleOf(labels []Label) (Scale, func(Label) Label, error) {
	same := func(l Label) Label { return l }
	var numbers []float64
	letters := false
	for _, l := range labels {
		if v, ok := l.Number(); !ok {
			letters = true
		} else if !l.Pooled() {
			numbers = append(numbers, v)
		}
	}
	has := func(v float64) bool { return slices.Contains(numbers, v) }
	integers := map[Label]Label{"0": Irrelevant, "1": Complement, "10": Substitute, "100": Exact}
	foreign := slices.ContainsFunc(numbers, func(v float64) bool { _, ok := integers[spell(v)]; return !ok })
	asESCI := func(l Label) Label {
		if letter, ok := integers[l]; ok {
			return letter
		}
		return l
	}
	switch {
	case letters && len(numbers) > 0:
		return Scale{}, nil, fmt.Errorf("some labels are of ESCI (E, S, C, I) and some are numbers, such as %s (judge on one scale)", spell(numbers[0]))
	case letters:
		return ESCI(), same, nil
	case !foreign && has(100) && (has(10) || has(1)):
		return ESCI(), asESCI, nil
	}
	if !has(0) {
		numbers = append(numbers, 0)
	}
	return Numeric(numbers), same, nil
}

// Level returns the index of a label in s.Levels.
func (s Scale) Level(label Label) (int, bool) {
	if s.Name == "numeric" {
		v, ok := label.Number()
		if !ok {
			return 0, false
		}
		return slices.BinarySearchFunc(s.Levels, v, func(l Level, v float64) int {
			switch {
			case l.Grade < v:
				return -1
			case l.Grade > v:
				return 1
			}
			return 0
		})
	}
	i := slices.IndexFunc(s.Levels, func(l Level) bool { return l.Label == label })
	return max(0, i), i >= 0
}

// Bands puts the levels of a long scale together, so that people can read tables of
// them. It returns the names of the bands, worst first, and the band of each level. A
// scale of at most most levels has a band for each; of a longer one, the worst level
// has a band and the others lie in bands of equal width.
func (s Scale) Bands(most int) (names []string, of []int) {
	of = make([]int, len(s.Levels))
	if len(s.Levels) <= most {
		for i, l := range s.Levels {
			names, of[i] = append(names, string(l.Label)), i
		}
		return names, of
	}
	low, high := s.Levels[1].Grade, s.Levels[len(s.Levels)-1].Grade
	names = []string{string(s.Levels[0].Label)}
	last, first := -1, Label("")
	for i, l := range s.Levels[1:] {
		band := min(most-2, int((l.Grade-low)/(high-low)*float64(most-1)))
		if band != last {
			names, last, first = append(names, ""), band, l.Label
		}
		names[len(names)-1] = string(first)
		if l.Label != first {
			names[len(names)-1] += " to " + string(l.Label)
		}
		of[i+1] = len(names) - 1
	}
	return names, of
}

// Integers returns the whole number that stands for each level in TREC qrels, since
// trec_eval sorts fractional gains wrongly: ESCI's gains times a hundred, or the
// values of a numeric scale times the power of ten that makes them whole, a million at
// most. nDCG does not change by a factor.
func (s Scale) Integers() []int {
	out := make([]int, len(s.Levels))
	factor := s.factor()
	for i, l := range s.Levels {
		if s.Name == "esci" {
			out[i] = int(math.Round(100 * ESCI().Levels[i].Gain))
		} else {
			out[i] = int(math.Round(l.Grade * factor))
		}
	}
	return out
}

// factor is the power of ten that makes the values of a numeric scale whole, a million
// at most.
func (s Scale) factor() float64 {
	factor := 1.
	for _, l := range s.Levels {
		for v := l.Grade * factor; math.Abs(v-math.Round(v)) > 1e-9*max(1, v) && factor < 1e6; v = l.Grade * factor {
			factor *= 10
		}
	}
	return factor
}

// GainTable gives each level of a scale its gain.
type GainTable struct {
	Name  string    `json:"name"`
	Gains []float64 `json:"gains"` // by level, worst first
}

// Tables returns the gain tables that the default options hold: the scale's own
// and those that show how much a verdict depends on it. The one called "exact"
// counts the best level only, "swapped" is ESCI's with S and C exchanged (as a
// widespread preparation script has it), "exp" is 2^grade-1.
func (s Scale) Tables() []GainTable {
	own, exact, exp := make([]float64, len(s.Levels)), make([]float64, len(s.Levels)), make([]float64, len(s.Levels))
	for i, l := range s.Levels {
		own[i], exp[i] = l.Gain, math.Exp2(l.Grade)-1
	}
	if len(exact) > 1 { // zeros alone have no best
		exact[len(exact)-1] = 1
	}
	tables := []GainTable{{s.Name, own}, {"exact", exact}}
	if s.Name == "esci" {
		tables = append(tables, GainTable{"swapped", []float64{0, .1, .01, 1}})
	}
	if s.Levels[len(s.Levels)-1].Grade <= 30 { // beyond, 2^grade says nothing any more
		tables = append(tables, GainTable{"exp", exp})
	}
	return tables
}

// ParseGains reads a gain table such as "E=1,S=0.1,C=0.01,I=0". Each label of the
// scale must be given once, with a gain that is not negative.
func (s Scale) ParseGains(name, text string) (GainTable, error) {
	bad := func(format string, args ...any) (GainTable, error) {
		var example []string
		for _, l := range slices.Backward(s.Levels[max(0, len(s.Levels)-4):]) {
			example = append(example, fmt.Sprintf("%s=%g", l.Label, l.Gain))
		}
		return GainTable{}, fmt.Errorf("gains %.80q %s (write them as %s, each label of the judgements once)", text, fmt.Sprintf(format, args...), strings.Join(example, ","))
	}
	t := GainTable{Name: name, Gains: make([]float64, len(s.Levels))}
	seen := make([]bool, len(s.Levels))
	for _, part := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		gain, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || !(gain >= 0 && gain <= 1e9) {
			return bad("have a part %.20q that is not LABEL=GAIN", part)
		}
		label, err := ParseLabel(name)
		at, ok := s.Level(label)
		if err != nil || !ok || seen[at] {
			return bad("name %.20q, which is no label of the judgements, or twice", name)
		}
		seen[at], t.Gains[at] = true, gain
	}
	if i := slices.Index(seen, false); i >= 0 {
		return bad("leave out label %s", s.Levels[i].Label)
	}
	if slices.Max(t.Gains) == 0 {
		return bad("are all 0")
	}
	return t, nil
}

// ErrNoneRelevant marks that no label of the judgements is among those that count as
// relevant.
var ErrNoneRelevant = errors.New("the judgements have no such label")

// Relevant finds which levels a text such as "E+S" or ">=2" names: some, and not all.
func (s Scale) Relevant(text string) ([]bool, error) {
	out := make([]bool, len(s.Levels))
	if bound, ok := strings.CutPrefix(text, ">="); ok {
		v, err := strconv.ParseFloat(bound, 64)
		if err != nil {
			return nil, fmt.Errorf("relevant labels %.40q: what follows >= is not a number", text)
		}
		for i, l := range s.Levels {
			out[i] = l.Grade >= v
		}
	} else {
		for _, name := range strings.Split(text, "+") {
			label, err := ParseLabel(name)
			at, ok := s.Level(label)
			if err != nil || !ok {
				return nil, fmt.Errorf("relevant labels %.40q: %.20q is no label of the judgements", text, name)
			}
			out[at] = true
		}
	}
	if !slices.Contains(out, true) {
		return nil, fmt.Errorf("relevant labels %.40q: %w (the greatest is %s: say which count with --relevant)", text, ErrNoneRelevant, s.Levels[len(s.Levels)-1].Label)
	}
	if !slices.Contains(out, false) {
		return nil, errors.New("relevant labels " + text + ": then every judged product would be relevant")
	}
	return out, nil
}
