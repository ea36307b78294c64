package train

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/trirank/trirank/catalog"
)

// Data is what a model is trained on: queries with the products judged for them.
type Data struct {
	Queries  []Query
	Products []Product
}

// Query is a query in tokens.
type Query struct {
	Text   string
	Tokens []int32
	Judged []Judged // in order of product
	// Mined are products that a ranking confuses with the relevant ones: not
	// judged, and wrong in all likelihood. They serve as hard negatives.
	Mined []int
}

// Judged is a judgement of a product of Data.Products.
type Judged struct {
	Product int
	Label   catalog.Label
}

// Product is a product in tokens.
type Product struct {
	ID     string
	Tokens []int32
}

// Objectives.
const (
	// InfoNCE: a query's exact product against its own hard negatives (judged I or
	// C, and mined) and all products of the batch (van den Oord et al., 2018).
	InfoNCE = "infonce"
	// ListNet: the probabilities of a query's own products follow their gains
	// (Cao et al., 2007), against all products of the batch.
	ListNet = "listnet"
)

// example is one row of a batch: a query with its own products, the first of which
// is the one to be found.
type example struct {
	query    int
	positive int // index in Judged
}

// examples returns one example for each exact judgement.
func (d *Data) examples() (out []example) {
	for q := range d.Queries {
		for j, judged := range d.Queries[q].Judged {
			if judged.Label == catalog.Exact {
				out = append(out, example{q, j})
			}
		}
	}
	return out
}

// check reports data that cannot be trained on.
func (d *Data) check() error {
	for _, q := range d.Queries {
		if len(q.Tokens) == 0 {
			return fmt.Errorf("query %.60q has no tokens", q.Text)
		}
		for _, j := range q.Judged {
			if j.Product < 0 || j.Product >= len(d.Products) {
				return fmt.Errorf("query %.60q is judged for a product that is not there", q.Text)
			}
		}
	}
	for _, p := range d.Products {
		if len(p.Tokens) == 0 {
			return fmt.Errorf("product %.60q has no tokens", p.ID)
		}
	}
	if len(d.examples()) == 0 {
		return errors.New("there is nothing to learn from: no query has a product judged exact")
	}
	return nil
}

// Purposes of random numbers, so that no two share a sequence.
const (
	forOrder = iota + 1
	forBatch
	forInit
)

func random(seed uint64, purpose, number int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(purpose)<<40|uint64(number)))
}

// order returns the examples of an epoch in random order.
func order(examples []example, seed uint64, epoch int) []example {
	out := slices.Clone(examples)
	random(seed, forOrder, epoch).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// texts is a matrix of tokens for the device.
type texts struct {
	rows, cols int
	ids        []int32
	mask       []float32
}

func newTexts(rows, cols int) *texts {
	return &texts{rows, cols, make([]int32, rows*cols), make([]float32, rows*cols)}
}

func (t *texts) set(row int, tokens []int32) {
	for i, id := range tokens[:min(len(tokens), t.cols)] {
		t.ids[row*t.cols+i], t.mask[row*t.cols+i] = id, 1
	}
}

// batch is what one step looks at: Size queries with Own products each.
type batch struct {
	queries, products *texts
	// target holds for each query the share of its probability that each product
	// of the batch should have, and allowed 1 where a product takes part at all.
	target, allowed []float32
	grades          []float32 // of a query's own products; -1: not judged
}

// widths are the columns of a batch, the same for all so that one program serves.
func (d *Data) widths(limit int) (query, product int) {
	for _, q := range d.Queries {
		query = max(query, len(q.Tokens))
	}
	for _, p := range d.Products {
		product = max(product, len(p.Tokens))
	}
	round := func(n int) int { return min((n+7)/8*8, limit) }
	return round(query), round(product)
}

// batch makes the batch of a step. Fewer examples than size are filled up with
// rows that take no part.
func (d *Data) batch(examples []example, c *Config, step, queryWidth, productWidth int) *batch {
	size, own := c.Batch, 1+c.Negatives
	all := size * own
	b := &batch{
		queries: newTexts(size, queryWidth), products: newTexts(all, productWidth),
		target: make([]float32, size*all), allowed: make([]float32, size*all), grades: make([]float32, all),
	}
	g := random(c.Seed, forBatch, step)
	chosen := make([]int, all) // products; -1: none
	for i := range chosen {
		chosen[i], b.grades[i] = -1, -1
	}
	for i, e := range examples {
		q := &d.Queries[e.query]
		b.queries.set(i, q.Tokens)
		for j, p := range d.own(q, e, c, g) {
			at := i*own + j
			chosen[at] = p
			b.products.set(at, d.Products[p].Tokens)
			b.grades[at] = grade(q.label(p))
		}
	}
	for i := range b.products.rows { // a text without tokens has no vector
		if chosen[i] < 0 {
			b.products.mask[i*productWidth] = 1
		}
	}
	for i := range size {
		if i >= len(examples) {
			b.queries.mask[i*queryWidth] = 1
			b.allowed[i*all+i*own], b.target[i*all+i*own] = 1, 0
			continue
		}
		d.fill(b, chosen, i, examples[i], c)
	}
	return b
}

// own chooses the products of an example: the one to be found, then others.
func (d *Data) own(q *Query, e example, c *Config, g *rand.Rand) []int {
	out := []int{q.Judged[e.positive].Product}
	var pool []int
	for j, judged := range q.Judged {
		switch {
		case j == e.positive:
		case c.Objective == ListNet, judged.Label == catalog.Irrelevant, judged.Label == catalog.Complement,
			judged.Label == catalog.Substitute && (c.SubstituteWeight > 0 || c.CoSENT > 0):
			pool = append(pool, judged.Product)
		}
	}
	g.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	mined := slices.Clone(q.Mined)
	g.Shuffle(len(mined), func(i, j int) { mined[i], mined[j] = mined[j], mined[i] })
	for _, p := range append(pool, mined...) {
		if len(out) <= c.Negatives && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// label of a product for the query.
func (q *Query) label(product int) catalog.Label {
	for _, j := range q.Judged {
		if j.Product == product {
			return j.Label
		}
	}
	return catalog.Unjudged
}

// grade orders labels for CoSENT; -1 for what nobody judged.
func grade(l catalog.Label) float32 {
	switch l {
	case catalog.Exact:
		return 3
	case catalog.Substitute:
		return 2
	case catalog.Complement:
		return 1
	case catalog.Irrelevant:
		return 0
	}
	return -1
}

// gains of ESCI's authors, which ListNet's targets follow.
var gains = map[catalog.Label]float32{catalog.Exact: 1, catalog.Substitute: .1, catalog.Complement: .01}

// fill sets target and allowed of row i. What is judged exact or a substitute for
// the query is never a negative: it takes no part, unless it is among the query's
// own products of a list.
func (d *Data) fill(b *batch, chosen []int, i int, e example, c *Config) {
	q, own, all := &d.Queries[e.query], 1+c.Negatives, len(chosen)
	first := chosen[i*own]
	target, allowed := b.target[i*all:(i+1)*all], b.allowed[i*all:(i+1)*all]
	sum := float32(0)
	seen := map[int]bool{} // the same product may stand in the batch twice
	for j := range all {
		at := (i*own + j) % all // own products first
		p := chosen[at]
		if p < 0 || seen[p] {
			continue
		}
		label := q.label(p)
		mine := j < own
		switch {
		case p == first:
			allowed[at], target[at] = 1, 1
		case mine && c.Objective == ListNet:
			allowed[at], target[at] = 1, gains[label]
		case mine && label == catalog.Substitute && c.SubstituteWeight > 0:
			allowed[at], target[at] = 1, float32(c.SubstituteWeight)
		case label == catalog.Exact || label == catalog.Substitute:
			continue
		default:
			allowed[at] = 1
		}
		seen[p] = true
		sum += target[at]
	}
	for j := range target {
		target[j] /= sum
	}
}
