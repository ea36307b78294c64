package formats

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
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

// values are the fields of a product as they are set.
type values struct {
	*reader
	product  catalog.Product
	currency string // that stands with the price
	price    string // name of its field
	html     bool   // there was some
}

// numberError is a number that cannot be read or used.
type numberError struct{ error }

// set puts the value of c into a field of the product, and reports whether there
// was one.
func (v *values) set(i int, c *cell) (filled bool, err error) {
	p := &v.product
	switch targets[i].name {
	case "category":
		p.Category, err = v.list(c, v.path, firstPath)
		return p.Category != nil, err
	case "bullets":
		p.Bullets, err = v.list(c, splitLines, func(list []string) []string { return list })
		return p.Bullets != nil, err
	case "price", "rating", "popularity":
		n, err := v.number(i, c)
		if err != nil {
			return false, err
		}
		switch i {
		case priceTarget:
			p.Price = n
		case ratingTarget:
			p.Rating = n
		default:
			p.Popularity = n
		}
		return n > 0, nil
	}
	text, err := c.asText()
	if err != nil {
		return false, err
	}
	text = strings.TrimSpace(text)
	switch targets[i].name {
	case "id":
		p.ID = text
	case "title":
		if clean := v.clean(text); clean != text {
			text = strings.Join(strings.Fields(clean), " ")
		}
		p.Title = text
	case "brand":
		text = v.clean(v.few(text, c, 1))
		p.Brand = text
	case "color":
		text = v.clean(v.few(text, c, -1))
		p.Color = text
	case "description":
		text = v.clean(text)
		p.Description = text
	case "image":
		if !v.files.own {
			text = firstImage(text)
		}
		p.Image = text
	case "currency":
		currency, ok := currencyOf(text)
		switch {
		case ok:
			text = currency
		case !v.files.own:
			return false, fmt.Errorf("%.40q is no currency", text)
		}
		p.Currency = text
	}
	return text != "", nil
}

// number reads the number of a cell.
func (v *values) number(i int, c *cell) (float64, error) {
	text, err := c.asText()
	if err != nil {
		return 0, err
	}
	var a amount
	if c.raw != nil && c.raw[0] != '"' { // a number of JSON
		if a.value, err = strconv.ParseFloat(text, 64); err != nil {
			return 0, numberError{fmt.Errorf("%.60q is not a number", text)}
		}
	} else if a, err = parseAmount(text, v.columns[i]); err != nil {
		if err != errNoNumber {
			err = numberError{err}
		}
		return 0, err
	}
	if a.value < 0 {
		return 0, numberError{fmt.Errorf("%.60q is negative", text)}
	}
	if a.either && i != ratingTarget {
		switch in := v.columns[i]; {
		case strings.Contains(text, ",") && a.value >= 1000:
			// Hardly anything is counted or priced with three decimals.
		case in == unsettled || in == likelyCommas || in == counts:
			v.tally.unsure(i, text, a.value)
		}
	}
	if i == priceTarget {
		v.currency, v.price = a.currency, c.name
		if v.preset != nil && v.preset.cents && v.wholePrices {
			if !isWhole(text, a.value) {
				return 0, numberError{fmt.Errorf("%.60q is no whole number, and the first prices are in cents", text)}
			}
			a.value /= 100
		}
	}
	return a.value, nil
}

// isWhole reports whether a price may be in cents: 13.00 is in whole units, whereas
// 1300.0 is how programs write a whole number that they hold as another.
func isWhole(text string, value float64) bool {
	n := len(text)
	fraction := n > 3 && (text[n-3] == '.' || text[n-3] == ',') && strings.Trim(text[n-2:], "0123456789") == ""
	return value == math.Trunc(value) && !fraction
}

// finish settles what depends on several fields.
func (v *values) finish() {
	p := &v.product
	switch {
	case p.Price == 0:
		p.Currency = ""
	case p.Currency == "", len(p.Currency) != 3 && len(v.currency) == 3:
		if p.Currency == "" && v.currency != "" {
			v.tally.use(currencyTarget, v.price)
		}
		p.Currency = v.currency
		if p.Currency == "" && v.preset != nil {
			p.Currency = v.preset.currency
		}
	}
	if p.Price > 0 {
		v.tally.currency(p.Currency)
	}
	if v.html {
		v.tally.html++
	}
}

// clean takes the HTML out of a text.
func (v *values) clean(s string) string {
	if v.files.own || v.o.KeepHTML {
		return s
	}
	s, found := plainText(s)
	v.html = v.html || found
	return s
}

// few returns the text of a cell or, where that is written as a list, its items, with
// commas between: no more than max, or all if that is negative.
func (v *values) few(text string, c *cell, max int) string {
	if v.files.own {
		return text
	}
	list, isText, err := c.asList()
	if err != nil {
		return text
	}
	if isText {
		if list, isText = listIn(text); !isText {
			return text
		}
	}
	var kept []string
	for _, item := range list {
		if item = strings.TrimSpace(item); item != "" && len(kept) != max {
			kept = append(kept, item)
		}
	}
	return strings.Join(kept, ", ")
}

// path parts the text of a category.
func (v *values) path(s string) []string {
	if v.preset != nil && v.preset.path != nil {
		return v.preset.path(s)
	}
	return splitPath(s)
}

// list returns the value of a cell as a list: split makes one of a text, and pick
// chooses of one that is written as a list.
func (v *values) list(c *cell, split func(string) []string, pick func([]string) []string) ([]string, error) {
	list, isText, err := c.asList()
	if err != nil {
		return nil, err
	}
	switch {
	case isText:
		list = split(v.clean(list[0]))
	case !v.files.own:
		for i := range list {
			list[i] = v.clean(list[i])
		}
		list = pick(list)
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
		list, _, err := c.asList()
		return strings.Join(list, "\n"), err
	case '{':
		return "", fmt.Errorf("an object where a text was expected: %.60s", c.raw)
	}
	return string(c.raw), nil // a number or a truth value, as it is spelled
}

// asList returns the value as a list, or as a text that is the only item.
func (c *cell) asList() (list []string, isText bool, err error) {
	switch {
	case len(c.raw) > 0 && c.raw[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(c.raw, &items); err != nil {
			return nil, false, err
		}
		if len(items) > 0 && items[0][0] == '[' { // several category paths: the first
			return (&cell{raw: items[0]}).asList()
		}
		for _, item := range items {
			if string(item) == "null" {
				continue
			}
			text, err := (&cell{raw: item}).asText()
			if err != nil {
				return nil, false, err
			}
			list = append(list, text)
		}
		return list, false, nil
	case c.list != nil:
		return slices.Clone(c.list), false, nil
	}
	text, err := c.asText()
	return []string{text}, true, err
}
