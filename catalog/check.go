package catalog

import (
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// checker finds what is wrong with rows, alone and among others. It remembers
// ids as 64-bit hashes, some 20 bytes a row: among ten million ids one chance
// in 300,000 that two are taken for one. The seed is random, so that no source
// can aim at collisions.
type checker struct {
	seed     maphash.Seed
	products map[uint64]struct{}
	opinions map[uint64]opinion         // by query, product and judge
	ids      map[uint64]uint64          // query id, and the id made of the text, to query
	queries  map[uint64]*query          // by the hash of their text
	labels   []judgments.Label          // each once
	places   map[judgments.Label]uint32 // in labels
	scale    string                     // of the labels so far: "letters" or "numbers"
	sameText int                        // ids of a query besides its first
	// unknown is the product of the first judgment of none in the catalogue, and known
	// the first product.
	unknown, known string
	// overruled counts rows that were kept for their id or split with the label of another.
	overruled int
	// preferFirst is WriteOptions.PreferFirst.
	preferFirst bool
}

// opinion is a label, and the number of the file that it stands in.
type opinion struct {
	label uint32
	file  uint16
}

// query is what is known of a query.
type query struct {
	hasID bool
	split string
}

func newChecker(preferFirst bool) *checker {
	return &checker{
		seed: maphash.MakeSeed(), products: map[uint64]struct{}{}, opinions: map[uint64]opinion{},
		ids: map[uint64]uint64{}, queries: map[uint64]*query{}, places: map[judgments.Label]uint32{}, preferFirst: preferFirst,
	}
}

func (c *checker) hash(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, p := range parts {
		h.WriteString(p)
		h.WriteByte(0) // no id has one
	}
	return h.Sum64()
}

// product returns what is wrong with p, or nil; a sound product is remembered.
func (c *checker) product(p *Product) *faults.Fault {
	if err := checkID(p.ID); err != nil {
		return err
	}
	if strings.TrimSpace(p.Title) == "" {
		return &faults.Fault{Kind: faults.MissingField, Reason: fmt.Sprintf("product %q has no title", p.ID)}
	}
	for _, s := range [...]string{p.Title, p.Brand, p.Color, p.Description, p.Image, p.Currency} {
		if !utf8.ValidString(s) {
			return notUTF8(p.ID)
		}
	}
	for _, list := range [...][]string{p.Category, p.Bullets} {
		for _, s := range list {
			if !utf8.ValidString(s) {
				return notUTF8(p.ID)
			}
		}
	}
	for k, v := range p.Extra {
		if !utf8.ValidString(k) || !utf8.Valid(v) {
			return notUTF8(p.ID)
		}
	}
	for _, n := range [...]struct {
		name  string
		value float64
	}{{"price", p.Price}, {"rating", p.Rating}, {"popularity", p.Popularity}} {
		if math.IsNaN(n.value) || math.IsInf(n.value, 0) || n.value < 0 {
			return &faults.Fault{Kind: faults.BadNumber, Reason: fmt.Sprintf("product %q has the %s %v", p.ID, n.name, n.value)}
		}
	}
	key := c.hash(p.ID)
	if _, ok := c.products[key]; ok {
		return &faults.Fault{Kind: faults.DuplicateID, Reason: fmt.Sprintf("product id %q was there before", p.ID)}
	}
	c.products[key] = struct{}{}
	if c.known == "" {
		c.known = p.ID
	}
	return nil
}

// verdict is what becomes of a judgement that has no fault.
type verdict int

const (
	keep verdict = iota
	unknownProduct
	duplicate
	unlabelled
	contradicting
)

// judgment returns what is wrong with j, whose query is normalized and that stands in
// the file of a number, or, if nothing is, whether to keep it. The rules are those of
// judgments.Builder, which puts together what is kept.
func (c *checker) judgment(j *judgments.Judgment, file uint16) (verdict, *faults.Fault) {
	if j.Label == judgments.Unlabelled {
		return unlabelled, nil
	}
	bad := func(kind faults.Kind, format string, args ...any) (verdict, *faults.Fault) {
		return 0, &faults.Fault{Kind: kind, Reason: fmt.Sprintf(format, args...)}
	}
	if j.Query == "" {
		return bad(faults.MissingField, "the query %q of product %q has no text (name a file of texts with --queries)", j.QueryID, j.Product)
	}
	if err := checkID(j.Product); err != nil {
		return 0, err
	}
	if !utf8.ValidString(j.Query) || !utf8.ValidString(j.QueryID) || !utf8.ValidString(j.Split) || !utf8.ValidString(j.Judge) {
		return bad(faults.NotUTF8, "query %q is not valid UTF-8", j.Query)
	}
	if _, ok := c.products[c.hash(j.Product)]; !ok {
		if c.unknown == "" {
			c.unknown = j.Product
		}
		return unknownProduct, nil
	}
	scale := "letters"
	if _, ok := j.Label.Number(); ok {
		scale = "numbers"
	}
	if c.scale != "" && c.scale != scale && !j.Label.Pooled() {
		return bad(faults.BadLabel, "query %q, product %q: label %v, but labels before are %s (judge on one scale)", j.Query, j.Product, j.Label, c.scale)
	}
	text, id := c.hash(j.Query), c.hash(j.QueryID)
	if known, ok := c.ids[id]; ok && known != text && j.QueryID != "" {
		return bad(faults.Contradiction, "query id %q had another text than %q before", j.QueryID, j.Query)
	}
	q := c.queries[text]
	if q == nil {
		q = &query{}
		if other, ok := c.ids[c.hash(judgments.ID(j.Query))]; ok && other != text {
			return bad(faults.Contradiction, "query %q: the id %s that is made of its text is that of another query", j.Query, judgments.ID(j.Query))
		}
	}
	if j.Split != "" && q.split != "" && j.Split != q.split {
		return bad(faults.Contradiction, "query %q is in split %q, but in %q before", j.Query, j.Split, q.split)
	}
	v, err := c.opinion(j, file)
	if err != nil {
		return 0, err
	}
	// What repeats a label, or gives way to another, may still say a new id of the query,
	// or its split: then the row is kept with the label that its judge gave.
	_, known := c.ids[id]
	newID := j.QueryID != "" && !known
	if v != keep && (newID && !judgments.SaysNoMore(j.QueryID, j.Query) || j.Split != "" && q.split == "") {
		j.Label = c.labels[c.opinions[c.hash(j.Query, j.Product, j.Judge)].label]
		if v == contradicting {
			c.overruled++
		}
		v = keep
	}
	if newID {
		c.ids[id] = text
	}
	if v != keep {
		return v, nil
	}
	if c.queries[text] == nil {
		c.queries[text] = q
		c.ids[c.hash(judgments.ID(j.Query))] = text // which no other query may have
	}
	if q.split == "" {
		q.split = j.Split
	}
	if judgments.SaysNoMore(j.QueryID, j.Query) {
		j.QueryID = ""
	} else if newID {
		if q.hasID {
			c.sameText++
		}
		q.hasID = true
	}
	if !j.Label.Pooled() {
		c.scale = scale
	}
	return keep, nil
}

// opinion compares a label with what the same judge said of the same product before,
// as judgments.Builder does within a source: all files of an import are one. Judges may
// disagree with each other, and who looked and did not judge contradicts nothing.
func (c *checker) opinion(j *judgments.Judgment, file uint16) (verdict, *faults.Fault) {
	place, ok := c.places[j.Label]
	if !ok {
		label := judgments.Label(strings.Clone(string(j.Label)))
		place = uint32(len(c.labels))
		c.labels, c.places[label] = append(c.labels, label), place
	}
	key := c.hash(j.Query, j.Product, j.Judge)
	known, said := c.opinions[key]
	switch {
	case !said, c.labels[known.label].Pooled() && !j.Label.Pooled():
		c.opinions[key] = opinion{place, file}
		return keep, nil
	case known.label == place, j.Label.Pooled():
		return duplicate, nil
	case known.file != file && c.preferFirst:
		return contradicting, nil
	}
	remedy := ""
	if known.file != file {
		remedy = " in another file (decide with --prefer new or --prefer old)"
	}
	return 0, &faults.Fault{Kind: faults.Contradiction,
		Reason: fmt.Sprintf("query %q, product %q: label %v, but %v before%s", j.Query, j.Product, j.Label, c.labels[known.label], remedy)}
}

// checkID refuses what the text formats of ids (runs, tables) cannot carry.
func checkID(id string) *faults.Fault {
	switch {
	case strings.TrimSpace(id) == "":
		return &faults.Fault{Kind: faults.MissingField, Reason: "the product id is empty"}
	case !utf8.ValidString(id):
		return &faults.Fault{Kind: faults.NotUTF8, Reason: fmt.Sprintf("product id %q is not valid UTF-8", id)}
	case strings.ContainsFunc(id, unicode.IsControl):
		return &faults.Fault{Kind: faults.BadID, Reason: fmt.Sprintf("product id %q has a control character", id)}
	}
	return nil
}

func notUTF8(id string) *faults.Fault {
	return &faults.Fault{Kind: faults.NotUTF8, Reason: fmt.Sprintf("product %q has text that is not valid UTF-8", id)}
}
