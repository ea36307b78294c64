package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Product is one item of a catalogue. Only ID and Title are always set; the
// zero value of any other field means that the source did not say.
type Product struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Brand       string   `json:"brand,omitempty"`
	Color       string   `json:"color,omitempty"`
	Category    []string `json:"category,omitempty"` // path, from department to leaf
	Bullets     []string `json:"bullets,omitempty"`
	Description string   `json:"description,omitempty"`
	Price       float64  `json:"price,omitempty"`
	// Currency is that of Price: its ISO 4217 code or, where a sign belongs to
	// several currencies, the sign as the source has it, such as $ or kr.
	Currency string  `json:"currency,omitempty"`
	Image    string  `json:"image,omitempty"` // URL
	Rating   float64 `json:"rating,omitempty"`
	// Popularity is how much shoppers deal with the product (views, sales or
	// the number of ratings), in the source's own unit.
	Popularity float64 `json:"popularity,omitempty"`
	// Extra keeps the fields of the source that have no place above.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
}

// Label is a relevance judgement on the ESCI scale; the zero Label means that
// nobody judged the pair.
type Label byte

// The four ESCI labels, from best to worst.
const (
	Unjudged   Label = 0
	Exact      Label = 'E' // satisfies all that the query asks for
	Substitute Label = 'S' // fails some of it, but could serve instead
	Complement Label = 'C' // goes with an exact item
	Irrelevant Label = 'I'
)

// ParseLabel reads a label: its letter, in either case, or its English name as
// the one-table copy of ESCI spells it.
func ParseLabel(s string) (Label, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "e", "exact":
		return Exact, nil
	case "s", "substitute":
		return Substitute, nil
	case "c", "complement":
		return Complement, nil
	case "i", "irrelevant":
		return Irrelevant, nil
	}
	return Unjudged, fmt.Errorf("label %q is none of E, S, C, I (exact, substitute, complement, irrelevant)", s)
}

// String returns the letter of the label, or "unjudged".
func (l Label) String() string {
	if l == Unjudged {
		return "unjudged"
	}
	return string(rune(l))
}

// MarshalText writes what String returns.
func (l Label) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote, and whatever ParseLabel reads.
func (l *Label) UnmarshalText(b []byte) error {
	if string(b) == "unjudged" {
		*l = Unjudged
		return nil
	}
	var err error
	*l, err = ParseLabel(string(b))
	return err
}

// Judgment is one person's verdict on one product for one query.
type Judgment struct {
	QueryID   string // the source's own id, or the query text where it has none
	Query     string
	ProductID string
	Label     Label
	Split     string // "train", "test", or empty where the source makes no split
}
