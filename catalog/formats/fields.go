package formats

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
)

// target is a field of catalog.Product and the names that sources give it, the
// most telling first.
type target struct {
	name  string
	names []string
}

var targets = []target{
	{"id", []string{"id", "_id", "product_id", "asin", "parent_asin", "sku", "product_uid", "uid", "item_id", "doc_id", "docid"}},
	{"title", []string{"title", "product_title", "name", "product_name"}},
	{"brand", []string{"brand", "product_brand", "brand_name", "manufacturer"}},
	{"color", []string{"color", "colour", "product_color"}},
	{"category", []string{"category", "categories", "category_path", "product_category", "product_category_tree", "category_hierarchy"}},
	{"bullets", []string{"bullets", "bullet_points", "bullet_point", "product_bullet_point", "product_bullet_points", "features", "product_features", "about_product"}},
	{"description", []string{"description", "product_description", "text"}},
	{"price", []string{"price", "product_price"}},
	{"image", []string{"image", "image_url", "imgurl", "main_image", "product_image", "images"}},
	{"rating", []string{"rating", "average_rating", "avg_rating", "stars", "product_rating"}},
	{"popularity", []string{"popularity", "rating_count", "rating_number", "ratings_count", "review_count", "views"}},
}

func targetNames() string {
	var names []string
	for _, t := range targets {
		names = append(names, t.name)
	}
	return strings.Join(names, ", ")
}

// mapping knows which field of a product a field of the source is.
type mapping struct {
	slots map[string]slot // by name of the source's field, in lower case or as the user said
}

type slot struct {
	target int
	rank   int // the lowest wins
}

func newMapping(fields map[string]string) (*mapping, error) {
	m := &mapping{slots: map[string]slot{}}
	for i, t := range targets {
		if _, ok := fields[t.name]; ok {
			continue
		}
		for rank, name := range t.names {
			m.slots[name] = slot{i, rank}
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
		m.slots[name] = slot{i, 0}
	}
	return m, nil
}

// slot finds what the source's field called name is.
func (m *mapping) slot(name string) (slot, bool) {
	s, ok := m.slots[name]
	if !ok {
		s, ok = m.slots[strings.ToLower(name)]
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
// the best name that is not empty counts; the rest and what fits no field
// become Extra.
func (m *mapping) product(cells []cell) (catalog.Product, *faults.Fault) {
	type choice struct{ cell, rank int }
	var chosen [16]choice // by target; cell is from 1
	for i := range cells {
		c := &cells[i]
		s, ok := m.slot(c.name)
		if !ok || c.empty() {
			continue
		}
		best := &chosen[s.target]
		if best.cell == 0 || s.rank < best.rank || s.rank == best.rank && c.name < cells[best.cell-1].name {
			*best = choice{i + 1, s.rank}
		}
	}
	var p catalog.Product
	for t := range targets {
		if i := chosen[t].cell; i > 0 {
			if err := set(&p, targets[t].name, &cells[i-1]); err != nil {
				return p, err
			}
		}
	}
	for i := range cells {
		c := &cells[i]
		s, known := m.slot(c.name)
		if c.empty() || known && chosen[s.target].cell == i+1 {
			continue
		}
		if known && targets[s.target].name == "id" {
			if same, err := c.asText(); err == nil && strings.TrimSpace(same) == p.ID {
				continue // another name for the same id
			}
		}
		keepExtra(&p, c)
	}
	return p, nil
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
		raw, _ = json.Marshal(c.list)
	case raw == nil:
		raw, _ = json.Marshal(c.text)
	}
	p.Extra[c.name] = raw
}

// set puts the value of c into a field of p.
func set(p *catalog.Product, field string, c *cell) *faults.Fault {
	bad := func(kind faults.Kind, err error) *faults.Fault {
		return &faults.Fault{Kind: kind, Reason: fmt.Sprintf("field %s: %v", c.name, err)}
	}
	var err error
	switch field {
	case "category":
		if p.Category, err = c.asList(splitPath); err != nil {
			return bad(faults.Malformed, err)
		}
		return nil
	case "bullets":
		if p.Bullets, err = c.asList(splitLines); err != nil {
			return bad(faults.Malformed, err)
		}
		return nil
	}
	text, err := c.asText()
	if err != nil {
		return bad(faults.Malformed, err)
	}
	text = strings.TrimSpace(text)
	switch field {
	case "id":
		p.ID = text
	case "title":
		p.Title = text
	case "brand":
		p.Brand = text
	case "color":
		p.Color = text
	case "description":
		p.Description = text
	case "image":
		p.Image, _, _ = strings.Cut(text, "\n") // the first of a list
	default:
		n, err := parseNumber(text)
		if err != nil {
			return bad(faults.BadNumber, err)
		}
		switch field {
		case "price":
			p.Price = n
		case "rating":
			p.Rating = n
		case "popularity":
			p.Popularity = n
		}
	}
	return nil
}

// asText returns the value as one text, a list as its lines.
func (c *cell) asText() (string, error) {
	if c.raw == nil {
		if c.list != nil {
			return strings.Join(c.list, "\n"), nil
		}
		return c.text, nil
	}
	switch c.raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(c.raw, &s)
		return s, err
	case '[':
		list, err := c.asList(nil)
		return strings.Join(list, "\n"), err
	case '{':
		return "", fmt.Errorf("an object where a text was expected: %.60s", c.raw)
	}
	return string(c.raw), nil // a number or a truth value, as it is spelled
}

// asList returns the value as a list; split parts a text.
func (c *cell) asList(split func(string) []string) ([]string, error) {
	list := c.list
	if len(c.raw) > 0 && c.raw[0] == '[' {
		var items []json.RawMessage
		if err := json.Unmarshal(c.raw, &items); err != nil {
			return nil, err
		}
		if len(items) > 0 && items[0][0] == '[' { // several category paths: the first
			return (&cell{raw: items[0]}).asList(split)
		}
		for _, item := range items {
			if string(item) == "null" {
				continue
			}
			text, err := (&cell{raw: item}).asText()
			if err != nil {
				return nil, err
			}
			list = append(list, text)
		}
	} else if c.list == nil {
		text, err := c.asText()
		if err != nil {
			return nil, err
		}
		list = split(text)
	}
	kept := list[:0:0]
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	return slices.Clip(kept), nil
}

func splitLines(s string) []string { return strings.Split(s, "\n") }

// splitPath parts "Electronics > Headphones".
func splitPath(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '>' || r == '›' || r == '|' || r == '\n' })
}

// thousands is a number with commas that can mean nothing but thousands.
var thousands = regexp.MustCompile(`^\d{1,3}(,\d{3})+(\.\d+)?$`)

// parseNumber reads a number that may follow a currency sign.
func parseNumber(s string) (float64, error) {
	t := strings.TrimSpace(strings.TrimLeft(s, "$€£¥ "))
	if thousands.MatchString(t) {
		t = strings.ReplaceAll(t, ",", "")
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || math.IsInf(n, 0) {
		return 0, fmt.Errorf("%.60q is not a number", s)
	}
	return n, nil
}
