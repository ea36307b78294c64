package formats

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/trirank/trirank/internal/faults"
)

// Reading says how products were read: what was recognised, which fields of the
// source became which of a product, and what was left.
type Reading struct {
	// Preset is the program whose export the source is, or the shape of it.
	Preset string `json:"preset,omitempty"`
	// Table is how a table is written, and Encoding what a text is in.
	Table    string `json:"table,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	// Rows are products that were made of rows, whatever became of them; Merged
	// are further rows that belong to a product, such as its variants.
	Rows   int `json:"rows"`
	Merged int `json:"merged_rows,omitempty"`
	// Fields has all fields of a product.
	Fields []FieldUse `json:"fields"`
	// LeftOver are the fields of the source that became none, by name. The first
	// few hundred are listed.
	LeftOver []string `json:"left_over,omitempty"`
	// Unread are values that could not be read, of fields that a product can do
	// without. They are unknown.
	Unread faults.List `json:"unread"`
	// Ambiguous are numbers whose mark could have meant the other, such as 1.299, where
	// the column did not tell.
	Ambiguous []Ambiguous `json:"ambiguous,omitempty"`
	// HTML counts products whose texts were freed of entities or tags.
	HTML int `json:"html,omitempty"`
	// Currencies counts the prices of each currency, "" where it is unknown.
	Currencies map[string]int `json:"currencies,omitempty"`
}

// FieldUse says where a field of products comes from.
type FieldUse struct {
	Field  string   `json:"field"`
	From   []string `json:"from,omitempty"` // the most used first
	Filled int      `json:"filled"`         // rows that have it
}

// Ambiguous counts numbers of a field of products that could have meant another.
type Ambiguous struct {
	Field  string  `json:"field"`
	Count  int     `json:"count"`
	Text   string  `json:"text"`    // the first, as it was written
	ReadAs float64 `json:"read_as"` // what it was read as
}

// maxNames is how many names of the source's fields are remembered.
const maxNames = 500

// tally counts what a Reading tells.
type tally struct {
	rows, merged, html int
	fields             []map[string]int // by target: rows a name gave it to
	left               map[string]bool
	unread             faults.List
	currencies         map[string]int
	ambiguous          [16]Ambiguous // by target
}

func newTally() *tally {
	t := &tally{fields: make([]map[string]int, len(targets)), left: map[string]bool{}, currencies: map[string]int{}}
	for i := range t.fields {
		t.fields[i] = map[string]int{}
	}
	return t
}

// use counts a field that was filled from one called name.
func (t *tally) use(target int, name string) {
	if _, known := t.fields[target][name]; known || len(t.fields[target]) < maxNames {
		t.fields[target][name]++
	}
}

// leave remembers the name of a field of the source that became none.
func (t *tally) leave(name string) {
	if name != "" && len(t.left) < maxNames {
		t.left[name] = true
	}
}

// unsure counts a number that could have meant another.
func (t *tally) unsure(target int, text string, value float64) {
	a := &t.ambiguous[target]
	if a.Count++; a.Count == 1 {
		a.Field, a.Text, a.ReadAs = targets[target].name, strings.Clone(strings.TrimSpace(text)), value
	}
}

func (t *tally) currency(c string) {
	if _, known := t.currencies[c]; known || len(t.currencies) < 100 {
		t.currencies[c]++
	}
}

// Reading says how the products were read that were yielded since iterating over
// them began last.
func (in *Input) Reading() Reading {
	r, t := in.reader, in.reader.tally
	out := Reading{Table: r.dialect, Encoding: r.encoding, Rows: t.rows, Merged: t.merged, Unread: t.unread, HTML: t.html, Currencies: t.currencies}
	if r.preset != nil {
		out.Preset = r.preset.name
	}
	for _, a := range t.ambiguous {
		if a.Count > 0 {
			out.Ambiguous = append(out.Ambiguous, a)
		}
	}
	used := map[string]bool{}
	for i, target := range targets {
		use := FieldUse{Field: target.name}
		names := t.fields[i]
		use.From = slices.SortedFunc(maps.Keys(names), func(a, b string) int {
			return cmp.Or(cmp.Compare(names[b], names[a]), cmp.Compare(a, b))
		})
		for name, n := range names {
			used[name] = true
			use.Filled += n
		}
		if best := -1; t.rows == 0 && r.mapping != nil {
			// No row could be read, but the header says what would have become what.
			for name := range t.left {
				if s, ok := r.mapping.slot(name); ok && s.target == i && (best < 0 || s.rank < best) {
					use.From, best = []string{name}, s.rank
				}
			}
			for _, name := range use.From {
				used[name] = true
			}
		}
		out.Fields = append(out.Fields, use)
	}
	for _, name := range slices.Sorted(maps.Keys(t.left)) {
		if !used[name] {
			out.LeftOver = append(out.LeftOver, name)
		}
	}
	return out
}
