package formats

import (
	"strings"

	"github.com/trirank/trirank/catalog"
)

// corpus yields the products of a BEIR folder. Where a document has no title,
// the beginning of its text serves as one.
func (r *reader) corpus(yield func(catalog.Product, error) bool) {
	r.products(func(p catalog.Product, err error) bool {
		if err == nil && p.Title == "" && p.Description != "" {
			p.Title = beginning(p.Description, 120)
			r.tally.use(titleTarget, "text")
		}
		return yield(p, err)
	})
}

// beginning cuts s after at most n bytes, between words if there are any.
func beginning(s string, n int) string {
	s = strings.Join(strings.Fields(s[:min(len(s), 8*n)]), " ")
	if len(s) <= n {
		return strings.ToValidUTF8(s, "")
	}
	cut := strings.LastIndexByte(s[:n], ' ')
	if cut < n/2 {
		cut = n
	}
	return strings.ToValidUTF8(s[:cut], "") + "…"
}
