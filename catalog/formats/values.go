package formats

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/catalog"
)

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
