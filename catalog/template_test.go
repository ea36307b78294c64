package catalog

import "testing"

func TestTemplate(t *testing.T) {
	p := &Product{Title: " Soft  towel ", Category: []string{"Home", "Bath"}, Bullets: []string{"a", "b"}}
	for source, want := range map[string]string{
		"{title}":                     "Soft towel",
		"{brand} {title}":             "Soft towel",
		"{title} by {brand}; {color}": "Soft towel by ;",
		"{category}: {bullets}":       "Home Bath: a b",
	} {
		tm, err := ParseTemplate(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
		} else if got := tm.Text(p); got != want || tm.String() != source {
			t.Errorf("%s gives %q, want %q", source, got, want)
		}
	}
	for _, bad := range []string{"", "title", "{nope}", "{title", "title}", "{title}}", "{}"} {
		if _, err := ParseTemplate(bad); err == nil {
			t.Errorf("template %q was accepted", bad)
		}
	}
}
