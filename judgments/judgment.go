package judgments

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Judgment is one verdict on how well a product answers a query.
type Judgment struct {
	QueryID string    // an alias of the query; empty where the source has none
	Query   string    // the text of the query; empty where the source has ids only
	Product string    // id
	Label   Label     // Unlabelled where the source left it blank
	Split   string    // "train", "test", or empty where the source makes no split
	Judge   string    // who said so, or empty
	Time    time.Time // when, or zero
}

// Label is a verdict in its one spelling: a letter of ESCI, or a number such as 2 or
// 0.5. A negative number says that the product was looked at and not judged, as in
// qrels of TREC.
type Label string

// The labels of ESCI (Reddy et al., 2022), from best to worst.
const (
	Unlabelled Label = ""
	Exact      Label = "E" // satisfies all that the query asks for
	Substitute Label = "S" // fails some of it, but could serve instead
	Complement Label = "C" // goes with an exact item
	Irrelevant Label = "I"
)

// maxValue bounds numeric labels; greater numbers are ids or timestamps that were
// taken for labels.
const maxValue = 1e6

// ParseLabel reads a label: a letter or word of ESCI, in any case, or a number.
// White space around it does not count; of nothing else the label is Unlabelled.
func ParseLabel(s string) (Label, error) {
	s = strings.TrimSpace(s)
	switch strings.ToLower(s) {
	case "":
		return Unlabelled, nil
	case "e", "exact":
		return Exact, nil
	case "s", "substitute":
		return Substitute, nil
	case "c", "complement":
		return Complement, nil
	case "i", "irrelevant":
		return Irrelevant, nil
	}
	number := s
	if decimalComma.MatchString(s) {
		number = strings.Replace(s, ",", ".", 1)
	}
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(v):
		return Unlabelled, fmt.Errorf("label %.40q is none of E, S, C, I (exact, substitute, complement, irrelevant) and no number", s)
	case math.Abs(v) > maxValue:
		return Unlabelled, fmt.Errorf("label %.40q is over a million, so it is an id or a time rather than a label", s)
	}
	return spell(v), nil
}

// decimalComma matches a number with a comma that cannot part thousands.
var decimalComma = regexp.MustCompile(`^-?[0-9]+,([0-9]{1,2}|[0-9]{4,})$`)

func spell(v float64) Label {
	if v == 0 {
		v = 0 // not -0
	}
	return Label(strconv.FormatFloat(v, 'g', -1, 64))
}

// Number returns the value of a numeric label.
func (l Label) Number() (value float64, ok bool) {
	if l == Unlabelled || l[0] >= 'A' && l[0] <= 'Z' {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(l), 64)
	return v, err == nil
}

// Pooled reports whether the label says that a product was looked at and not judged.
func (l Label) Pooled() bool { return strings.HasPrefix(string(l), "-") }

// unjudged is what a product without a label is called in JSON and on the page.
const unjudged = "unjudged"

// String returns the label, or "unjudged".
func (l Label) String() string {
	if l == Unlabelled {
		return unjudged
	}
	return string(l)
}

// MarshalText writes what String returns.
func (l Label) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote, and whatever ParseLabel reads.
func (l *Label) UnmarshalText(b []byte) error {
	if string(b) == unjudged {
		*l = Unlabelled
		return nil
	}
	var err error
	*l, err = ParseLabel(string(b))
	return err
}
