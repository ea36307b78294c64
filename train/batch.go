package train

import (
	"math"
	"math/rand/v2"
	"slices"
)

// batch is what one step looks at: size queries with own products each.
type batch struct {
	size, own int
	examples  int       // rows that count; the others are fillers without tokens
	texts     [][]int32 // size queries, then the products of each
	// target holds for each query the share of its probability that each product
	// of the batch should have, and allowed 1 where a product takes part at all.
	target, allowed []float32
	grades          []float32 // of a query's own products; -1: not judged
	teacher         []float32 // probabilities of a query's own products; -1: not scored
}

// batch makes the batch of a step. Fewer examples than a batch has are filled up
// with rows that take no part.
func (d *Data) batch(examples []example, c *Config, step int) *batch {
	size, own := c.Batch, 1+c.Negatives
	all := size * own
	b := &batch{
		size: size, own: own, examples: len(examples), texts: make([][]int32, size+all),
		target: make([]float32, size*all), allowed: make([]float32, size*all),
		grades: make([]float32, all), teacher: make([]float32, all),
	}
	g := random(c.Seed, forBatch, step)
	chosen := make([]int, all) // products; -1: none
	for i := range chosen {
		chosen[i], b.grades[i], b.teacher[i] = -1, -1, -1
	}
	for i, e := range examples {
		q := &d.Queries[e.query]
		b.texts[i] = q.Tokens
		for j, p := range d.own(q, e, c, g) {
			at := i*own + j
			chosen[at] = p
			b.texts[size+at] = d.Products[p].Tokens
			if m, ok := d.meaning(q, p); ok {
				b.grades[at] = m.Grade
			}
		}
		if c.TeacherWeight > 0 || c.Objective == Distill {
			q.teach(chosen[i*own:(i+1)*own], b.teacher[i*own:(i+1)*own], c.TeacherTemperature)
		}
	}
	for i := range size {
		if i >= len(examples) {
			b.allowed[i*all+i*own] = 1 // a softmax over nothing is no number
			continue
		}
		d.fill(b, chosen, i, examples[i], c)
	}
	return b
}

// own chooses the products of an example: the one to be found, then others.
func (d *Data) own(q *Query, e example, c *Config, g *rand.Rand) []int {
	out := []int{e.product}
	add := func(list []int) {
		g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, p := range list {
			if len(out) <= c.Negatives && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	var scored, judged []int
	if c.TeacherWeight > 0 || c.Objective == Distill {
		for _, x := range q.Scored {
			scored = append(scored, x.Product)
		}
	}
	add(scored)
	if c.Objective == Distill {
		return out
	}
	for _, j := range q.Judged {
		if m, ok := d.means(j.Label); ok && c.wants(m.Role) {
			judged = append(judged, j.Product)
		}
	}
	add(judged)
	add(slices.Clone(q.Mined))
	return out
}

// wants reports whether products of a role are among a query's own, besides the
// one to be found.
func (c *Config) wants(r Role) bool {
	switch r {
	case Near:
		return c.Objective == ListNet || c.SubstituteWeight > 0 || c.CoSENT > 0
	case Right:
		return c.Objective == ListNet || c.PopularityWeight > 0
	}
	return true
}

// teach sets the teacher's probabilities of a query's own products.
func (q *Query) teach(own []int, out []float32, temperature float64) {
	most, sum := math.Inf(-1), 0.
	scores := make([]float64, len(own))
	for i, p := range own {
		scores[i] = math.NaN()
		for _, x := range q.Scored {
			if x.Product == p {
				scores[i] = x.Score / temperature
				most = max(most, scores[i])
			}
		}
	}
	for _, s := range scores {
		if !math.IsNaN(s) {
			sum += math.Exp(s - most)
		}
	}
	for i, s := range scores {
		if !math.IsNaN(s) {
			out[i] = float32(math.Exp(s-most) / sum)
		}
	}
}

// fill sets target and allowed of row i. What is judged right or nearly so for
// the query is never a negative: it takes no part, unless it is among the query's
// own products and has a share of its own.
func (d *Data) fill(b *batch, chosen []int, i int, e example, c *Config) {
	q, all := &d.Queries[e.query], len(chosen)
	target, allowed := b.target[i*all:(i+1)*all], b.allowed[i*all:(i+1)*all]
	liked := d.liking(q, c)
	sum := float32(0)
	seen := map[int]bool{} // the same product may stand in the batch twice
	for j := range all {
		at := (i*b.own + j) % all // own products first
		p := chosen[at]
		if p < 0 || seen[p] {
			continue
		}
		m, judged := d.meaning(q, p)
		mine := j < b.own
		share := float32(-1) // none: takes no part
		switch {
		case mine && p == e.product:
			share = 1
		case mine && c.Objective == ListNet:
			share = m.Gain
		case mine && m.Role == Right && c.PopularityWeight > 0:
			share = 1
		case mine && m.Role == Near && c.SubstituteWeight > 0:
			share = float32(c.SubstituteWeight)
		case d.negative(q, p):
			share = 0
		}
		if share < 0 {
			continue
		}
		if judged && m.Role != Wrong {
			share *= liked(p)
		}
		allowed[at], target[at] = 1, share
		sum += target[at]
		seen[p] = true
	}
	for j := range target {
		target[j] /= sum
	}
}

// liking returns by how much its popularity multiplies a right product's share.
func (d *Data) liking(q *Query, c *Config) func(product int) float32 {
	most := 0.
	if c.PopularityWeight > 0 {
		for _, j := range q.Judged {
			if m, _ := d.means(j.Label); m.Role != Wrong {
				most = max(most, math.Log1p(d.Products[j.Product].Popularity))
			}
		}
	}
	return func(product int) float32 {
		if most == 0 {
			return 1
		}
		return float32(1 + c.PopularityWeight*math.Log1p(d.Products[product].Popularity)/most)
	}
}
