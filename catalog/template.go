package catalog

import (
	"fmt"
	"strings"
)

// DefaultTemplate is the text of a product that is embedded unless told otherwise:
// short titles rank better than long texts with the models this is made for.
const DefaultTemplate = "{title}"

// Template makes a text of a product, such as "{title} {brand}". A field that the
// product lacks leaves no gap: runs of white space become one space.
type Template struct {
	source string
	parts  []part
}

type part struct {
	literal string
	field   func(*Product) string // nil for a literal
}

var templateFields = map[string]func(*Product) string{
	"title":       func(p *Product) string { return p.Title },
	"brand":       func(p *Product) string { return p.Brand },
	"color":       func(p *Product) string { return p.Color },
	"category":    func(p *Product) string { return strings.Join(p.Category, " ") },
	"bullets":     func(p *Product) string { return strings.Join(p.Bullets, " ") },
	"description": func(p *Product) string { return p.Description },
}

// ParseTemplate reads a template; at least one field must be in it.
func ParseTemplate(source string) (*Template, error) {
	t := &Template{source: source}
	fields := 0
	for rest := source; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("template %q has a } without a {", source)
		}
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		field, known := templateFields[name]
		if !closed || !known {
			return nil, fmt.Errorf("template %q names no field of a product at %.20q (there are {title}, {brand}, {color}, {category}, {bullets}, {description})", source, "{"+after)
		}
		t.parts = append(t.parts, part{field: field})
		fields++
		rest = tail
	}
	if fields == 0 {
		return nil, fmt.Errorf("template %q has no field ({title} is one)", source)
	}
	return t, nil
}

// String returns what ParseTemplate read.
func (t *Template) String() string { return t.source }

// Text returns the text of p.
func (t *Template) Text(p *Product) string {
	var b strings.Builder
	for _, part := range t.parts {
		if part.field != nil {
			b.WriteString(part.field(p))
		} else {
			b.WriteString(part.literal)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
