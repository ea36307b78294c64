package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/trirank/trirank/judgments"
)

// Data is what a model is trained on: queries with the products judged for them.
type Data struct {
	Queries  []Query
	Products []Product
	Meanings *Meanings // of the labels; nil: those of ESCI
}

// Query is a query in tokens.
type Query struct {
	Text   string
	Tokens []int32
	Judged []Judged // in order of product
	// Right are products judged right or nearly so for the query in whatever
	// split and spelling: never a negative, though it may not be learnt that they
	// are right.
	Right map[int]bool
	// Mined are products that a ranking confuses with the right ones, and that are
	// wrong in all likelihood. They serve as hard negatives.
	Mined []int
	// Scored is what a teacher thinks of products, judged or not; in order of
	// product.
	Scored []Scored
}

// Scored is a teacher's score of a product of Data.Products, in a unit of its own.
type Scored struct {
	Product int
	Score   float64
}

// Judged is a judgement of a product of Data.Products.
type Judged struct {
	Product int
	Label   judgments.Label
}

// Product is a product in tokens.
type Product struct {
	ID         string
	Tokens     []int32
	Popularity float64 // clicks, views, sales: 0 where unknown
}

// Objectives.
const (
	// InfoNCE: a query's right product against its own hard negatives (judged wrong,
	// and mined) and all products of the batch (van den Oord et al., 2018).
	InfoNCE = "infonce"
	// ListNet: the probabilities of a query's own products follow their gains
	// (Cao et al., 2007), against all products of the batch.
	ListNet = "listnet"
	// Distill: the probabilities of the products that a teacher scored follow its
	// scores (Hinton et al., 2015). Judgements take no part.
	Distill = "distill"
)

// Objectives are all of them.
var Objectives = []string{InfoNCE, ListNet, Distill}

// example is one row of a batch: a query and the product to be found.
type example struct {
	query   int
	product int
}

// examples returns one example for each product that is right for a query.
func (d *Data) examples() (out []example) {
	for q := range d.Queries {
		for _, judged := range d.Queries[q].Judged {
			if m, _ := d.means(judged.Label); m.Role == Right {
				out = append(out, example{q, judged.Product})
			}
		}
	}
	return out
}

// scored returns one example for each query of which a teacher scored some
// products: the one it likes best.
func (d *Data) scored() (out []example) {
	for q := range d.Queries {
		list := d.Queries[q].Scored
		if len(list) < 2 { // one alone has all the probability whatever the model
			continue
		}
		best := slices.MaxFunc(list, func(a, b Scored) int { return cmp.Compare(a.Score, b.Score) })
		out = append(out, example{q, best.Product})
	}
	return out
}

// learnt returns what an epoch goes through.
func (d *Data) learnt(c *Config) []example {
	if c.Objective == Distill {
		return d.scored()
	}
	return d.examples()
}

// check reports data that cannot be trained on.
func (d *Data) check(c *Config) error {
	for _, q := range d.Queries {
		if len(q.Tokens) == 0 {
			return fmt.Errorf("query %.60q has no tokens", q.Text)
		}
		for _, j := range q.Judged {
			if j.Product < 0 || j.Product >= len(d.Products) {
				return fmt.Errorf("query %.60q is judged for a product that is not there", q.Text)
			}
		}
		for _, x := range q.Scored {
			if x.Product < 0 || x.Product >= len(d.Products) {
				return fmt.Errorf("query %.60q is scored for a product that is not there", q.Text)
			}
			if math.IsNaN(x.Score) || math.IsInf(x.Score, 0) {
				return fmt.Errorf("query %.60q: the teacher's score of product %.60q is not finite", q.Text, d.Products[x.Product].ID)
			}
		}
	}
	for _, p := range d.Products {
		if len(p.Tokens) == 0 {
			return fmt.Errorf("product %.60q has no tokens", p.ID)
		}
		if !(p.Popularity >= 0) || math.IsInf(p.Popularity, 0) {
			return fmt.Errorf("the popularity of product %.60q is %v", p.ID, p.Popularity)
		}
	}
	if c.Objective == Distill && len(d.scored()) == 0 {
		return errors.New("there is nothing to learn from: the teacher scored no two products of any query")
	}
	if c.Objective != Distill && len(d.examples()) == 0 {
		return errors.New("there is nothing to learn from: no query has a product whose label counts as right")
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

// negative reports whether a product may be taken for wrong.
func (d *Data) negative(q *Query, product int) bool {
	m, judged := d.meaning(q, product)
	if m.Role != Wrong || q.Right[product] {
		return false
	}
	// A teacher that scored what nobody judged may find it right.
	return judged || !slices.ContainsFunc(q.Scored, func(x Scored) bool { return x.Product == product })
}

// eights rounds a number of tokens up.
func eights(n int) int { return max(8, (n+7)/8*8) }

// texts are all texts, in order.
func (d *Data) texts() (out [][]int32) {
	for i := range d.Queries {
		out = append(out, d.Queries[i].Tokens)
	}
	for i := range d.Products {
		out = append(out, d.Products[i].Tokens)
	}
	return out
}
