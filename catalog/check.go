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
	pairs    map[uint64]said            // query and product: the first label
	byJudge  map[uint64]uint32          // query, product and judge: the label, where there is a judge
	ids      map[uint64]uint64          // query id to query
	queries  map[uint64]*query          // by the hash of their text
	labels   []judgments.Label          // each once
	places   map[judgments.Label]uint32 // in labels
	scale    string                     // of the labels so far: "letters" or "numbers"
	sameText int                        // ids of a query besides its first
	// unknown is the product of the first judgment of none in the catalogue, and known
	// the first product.
	unknown, known string
	// preferFirst is WriteOptions.PreferFirst.
	preferFirst bool
}

// said is a label, the number of the file that it stands in, and whether it is without
// a judge.
type said struct {
	label  uint32
	file   uint16
	nobody bool
}

// query is what is known of a query.
type query struct {
	hasID bool
	split string
}

func newChecker(preferFirst bool) *checker {
	return &checker{
		seed: maphash.MakeSeed(), products: map[uint64]struct{}{}, pairs: map[uint64]said{}, byJudge: map[uint64]uint32{},
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
	}
	if j.Split != "" && q.split != "" && j.Split != q.split {
		return bad(faults.Contradiction, "query %q is in split %q, but in %q before", j.Query, j.Split, q.split)
	}
	v, err := c.pair(j, file)
	if err != nil {
		return 0, err
	}
	// What repeats a label may still say a new id of the query, or its split.
	_, known := c.ids[id]
	newID := j.QueryID != "" && !known
	if v == duplicate && (newID || j.Split != "" && q.split == "") {
		v = keep
	}
	if v != keep {
		return v, nil
	}
	c.queries[text] = q
	if q.split == "" {
		q.split = j.Split
	}
	if newID {
		c.ids[id] = text
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

// pair compares a label with those that its pair of query and product has. Within a
// file a judge has one label for a pair, and several judges may disagree; another file
// contradicts. Who looked at a product and did not judge it contradicts nobody.
func (c *checker) pair(j *judgments.Judgment, file uint16) (verdict, *faults.Fault) {
	place, ok := c.places[j.Label]
	if !ok {
		label := judgments.Label(strings.Clone(string(j.Label)))
		place = uint32(len(c.labels))
		c.labels, c.places[label] = append(c.labels, label), place
	}
	pair, key := c.hash(j.Query, j.Product), c.hash(j.Query, j.Product, j.Judge)
	first, seen := c.pairs[pair]
	own, gave := c.byJudge[key] // what the judge said before
	if j.Judge == "" && seen && first.nobody {
		own, gave = first.label, true
	}
	keepIt := func() (verdict, *faults.Fault) {
		if !seen || c.labels[first.label].Pooled() {
			c.pairs[pair] = said{place, file, j.Judge == ""}
		}
		if j.Judge != "" || seen && !first.nobody {
			c.byJudge[key] = place
		}
		return keep, nil
	}
	contradicts := func(known uint32, remedy string) (verdict, *faults.Fault) {
		return 0, &faults.Fault{Kind: faults.Contradiction,
			Reason: fmt.Sprintf("query %q, product %q: label %v, but %v before%s", j.Query, j.Product, j.Label, c.labels[known], remedy)}
	}
	switch {
	case !seen || c.labels[first.label].Pooled() && !j.Label.Pooled():
		return keepIt()
	case j.Label.Pooled(), first.file != file && first.label == place, gave && own == place:
		return duplicate, nil
	case first.file != file && c.preferFirst:
		return contradicting, nil
	case first.file != file:
		return contradicts(first.label, " in another file (decide with --prefer new or --prefer old)")
	case gave:
		return contradicts(own, "")
	}
	return keepIt()
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
