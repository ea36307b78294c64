package formats

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
)

// target is a field of catalog.Product and the names that sources give it, the
// most telling first, as table.Fold has them.
type target struct {
	name  string
	names []string
}

// The places of targets that have a part of their own.
const (
	idTarget = iota
	titleTarget
	brandTarget
	colorTarget
	categoryTarget
	bulletsTarget
	descriptionTarget
	priceTarget
	imageTarget
	ratingTarget
	popularityTarget
	currencyTarget
)

var targets = []target{
	{"id", []string{"id", "productid", "asin", "parentasin", "sku", "productuid", "uid", "uniqid", "itemid", "docid", "gtin", "gtin13", "ean", "ean13", "upc", "gtin12", "isbn13", "isbn", "barcode"}},
	{"title", []string{"title", "producttitle", "name", "productname", "itemname"}},
	{"brand", []string{"brand", "productbrand", "brandname", "manufacturer", "vendor", "supplier"}},
	{"color", []string{"color", "colour", "productcolor"}},
	{"category", []string{"category", "categories", "categorypath", "productcategory", "productcategorytree", "categorytree", "categoryhierarchy", "producttype", "googleproductcategory"}},
	{"bullets", []string{"bullets", "bulletpoints", "bulletpoint", "productbulletpoint", "productbulletpoints", "features", "productfeatures", "aboutproduct", "producthighlight"}},
	{"description", []string{"description", "productdescription", "longdescription", "text", "shortdescription"}},
	{"price", []string{"price", "productprice", "sellingprice", "discountedprice", "saleprice", "regularprice", "actualprice", "retailprice", "listprice"}},
	{"image", []string{"image", "imageurl", "imgurl", "imagelink", "mainimage", "productimage", "images", "imageurls", "imglink"}},
	{"rating", []string{"rating", "averagerating", "avgrating", "stars", "productrating"}},
	{"popularity", []string{"popularity", "ratingcount", "ratingnumber", "ratingscount", "noofratings", "reviewcount", "reviewscount", "numberofreviews", "reviews", "views"}},
	{"currency", []string{"currency", "pricecurrency", "currencycode"}},
}

// FieldNames returns the fields of a product that Options.Fields may name.
func FieldNames() []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.name)
	}
	return names
}

// mapping knows which field of a product a field of the source is.
type mapping struct {
	exact  map[string]slot // the user's names, as they are written
	folded map[string]slot
	known  map[string]slot // what names were found to be
}

type slot struct {
	target int // -1: none
	rank   int // the lowest wins
}

// newMapping returns the mapping by the names that the user gives to fields, by
// those of a preset, and by the usual ones.
func newMapping(fields map[string]string, p *preset) (*mapping, error) {
	m := &mapping{exact: map[string]slot{}, folded: map[string]slot{}, known: map[string]slot{}}
	usual := func(i int, names []string, rank int) {
		if _, ok := fields[targets[i].name]; ok {
			return
		}
		for j, name := range names {
			if _, taken := m.folded[name]; !taken {
				m.folded[name] = slot{i, rank + j}
			}
		}
	}
	for i, t := range targets {
		name, ok := fields[t.name]
		if !ok || name == "" {
			continue
		}
		for _, other := range targets[:i] {
			if fields[other.name] == name {
				return nil, fmt.Errorf("field %q of the source cannot be both %s and %s", name, other.name, t.name)
			}
		}
		m.exact[name] = slot{i, 0}
		if folded := table.Fold(name); folded != "" {
			if _, taken := m.folded[folded]; !taken {
				m.folded[folded] = slot{i, 1}
			}
		}
	}
	if p != nil {
		for i, t := range targets {
			usual(i, p.names[t.name], 0)
		}
	}
	for i, t := range targets {
		usual(i, t.names, 1000)
	}
	return m, nil
}

// slot finds what the source's field called name is.
func (m *mapping) slot(name string) (slot, bool) {
	if s, ok := m.known[name]; ok {
		return s, s.target >= 0
	}
	s, ok := m.exact[name]
	if !ok {
		s, ok = m.folded[table.Fold(name)]
	}
	if !ok {
		s = slot{target: -1}
	}
	if len(m.known) < 10_000 { // the names of a hostile file have no end
		m.known[strings.Clone(name)] = s
	}
	return s, ok
}

// cell is one field of a row: JSON, or text, or a list of texts.
type cell struct {
	name string
	raw  json.RawMessage
	text string
	list []string
}

func (c *cell) empty() bool {
	return strings.TrimSpace(c.text) == "" && len(c.list) == 0 &&
		(len(c.raw) == 0 || string(c.raw) == "null" || string(c.raw) == `""` || string(c.raw) == "[]")
}

// product makes a product of a row. Of several cells for one field the one with
// the best name that is not empty counts or, for numbers, that has one; the rest and
// what fits no field become Extra. What cannot be read of a field that a product can do without
// leaves it unknown and is noted.
func (r *reader) product(cells []cell) (catalog.Product, error) {
	if r.preset != nil && r.preset.expand != nil {
		cells = r.preset.expand(cells)
	}
	m, t := r.mapping, r.tally
	t.rows++
	type choice struct{ cell, rank int }
	before := func(a, b choice) bool {
		name, other := cells[a.cell-1].name, cells[b.cell-1].name
		if a.rank != b.rank || name == other {
			return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.cell, b.cell)) < 0
		}
		if lower := strings.ToLower(name) == name; lower != (strings.ToLower(other) == other) {
			return lower // of title and Title the former is the name as it is usually written
		}
		return name < other
	}
	var chosen [16]choice // by target; cell is from 1
	for i := range cells {
		c := &cells[i]
		s, ok := m.slot(c.name)
		if !ok || c.empty() || r.nothing(s.target, c) {
			continue
		}
		if best, this := &chosen[s.target], (choice{i + 1, s.rank}); best.cell == 0 || before(this, *best) {
			*best = this
		}
	}
	// next is the choice after one that had no number.
	next := func(target int, last choice) (best choice) {
		for i := range cells {
			if s, ok := m.slot(cells[i].name); ok && s.target == target && !cells[i].empty() {
				if c := (choice{i + 1, s.rank}); before(last, c) && (best.cell == 0 || before(c, best)) {
					best = c
				}
			}
		}
		return best
	}
	v := values{reader: r}
	for i := range targets {
		for at := chosen[i]; at.cell > 0; {
			c := &cells[at.cell-1]
			filled, err := v.set(i, c)
			switch {
			case err == nil && filled:
				chosen[i] = at
				t.use(i, c.name)
			case err == nil || errors.Is(err, errNoNumber):
			case i == idTarget || i == titleTarget:
				return v.product, r.fault(faults.Malformed, "field %s: %v", c.name, err)
			default:
				kind := faults.Malformed
				if errors.As(err, &numberError{}) {
					kind = faults.BadNumber
				}
				t.unread.Add(r.fault(kind, "field %s: %v", c.name, err))
			}
			// A sale price of - or 0.00 does not hide the price. A popularity of 0 is a
			// count, and the next column would count something else.
			isNumber := i == priceTarget || i == ratingTarget || i == popularityTarget
			if filled || !isNumber || i == popularityTarget && err == nil {
				break
			}
			at = next(i, at)
		}
	}
	v.finish()
	p := v.product
	for i := range cells {
		c := &cells[i]
		s, known := m.slot(c.name)
		if c.empty() || known && (chosen[s.target].cell == i+1 || r.nothing(s.target, c)) {
			continue
		}
		if known && s.target == idTarget {
			if same, err := c.asText(); err == nil && strings.TrimSpace(same) == p.ID {
				continue // another name for the same id
			}
		}
		t.leave(c.name)
		keepExtra(&p, c)
	}
	return p, nil
}

// nothing reports whether a cell says in words that there is nothing, as programs write
// it into tables: nan for Python's missing values, for one. Ids and titles may be words
// of any kind, and numbers have more such words.
func (r *reader) nothing(target int, c *cell) bool {
	switch target {
	case brandTarget, colorTarget, categoryTarget, bulletsTarget, descriptionTarget, imageTarget:
	default:
		return false
	}
	if r.files.own || len(c.text)+len(c.raw) > 16 || c.list != nil {
		return false
	}
	text, err := c.asText()
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "nan", "none", "null", "nil", "n/a", "#n/a", "<na>", "-", "--":
		return err == nil
	}
	return false
}

func keepExtra(p *catalog.Product, c *cell) {
	if p.Extra == nil {
		p.Extra = map[string]json.RawMessage{}
	}
	raw := c.raw
	switch {
	case raw != nil && c.name == "extra":
		// A catalogue's own products: what was extra stays where it was.
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) == nil {
			for k, v := range inner {
				if _, ok := p.Extra[k]; !ok {
					p.Extra[k] = v
				}
			}
			return
		}
	case raw == nil && c.list != nil:
		raw = plainJSON(c.list)
	case raw == nil:
		raw = plainJSON(c.text)
	}
	p.Extra[c.name] = raw
}

// plainJSON is json.Marshal, but that < stays <: no web page has our JSON in it.
func plainJSON(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v) // of texts, which have no errors
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
