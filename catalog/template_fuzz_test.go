package catalog

import "testing"

// FuzzParseTemplate: a template that is read says itself again, and makes text of any
// product.
func FuzzParseTemplate(f *testing.F) {
	for _, seed := range []string{DefaultTemplate, "{title}", "{", "}", "{{title}}", "{titel}", "a {brand} b{color}c", "{title"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := ParseTemplate(source)
		if err != nil {
			return
		}
		if p.String() != source {
			t.Errorf("%q is %q", source, p)
		}
		p.Text(&Product{ID: "1", Title: "t", Category: []string{"a", "b"}})
	})
}
