package train

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/eval"
)

// Validation measures a model on queries that it is not trained on: each is ranked
// against all products of the data.
type Validation struct {
	data    *Data
	queries []eval.Query
	metrics *eval.Calculator
	example []example
}

// NewValidation prepares a validation on data, whose products should be many more
// than those judged for one query.
func NewValidation(d *Data) (*Validation, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	v := &Validation{data: d, example: d.examples()}
	scale := eval.ESCI()
	for _, q := range d.Queries {
		e := eval.Query{Text: q.Text}
		judged := slices.Clone(q.Judged)
		slices.SortFunc(judged, func(a, b Judged) int {
			return strings.Compare(d.Products[a.Product].ID, d.Products[b.Product].ID)
		})
		for _, j := range judged {
			if j.Label == catalog.Unjudged {
				continue
			}
			level, _ := scale.Level(j.Label.String())
			e.Products, e.Levels = append(e.Products, d.Products[j.Product].ID), append(e.Levels, uint8(level))
		}
		v.queries = append(v.queries, e)
	}
	ndcg, err1 := eval.ParseMetric("ndcg@10")
	recall, err2 := eval.ParseMetric("recall@100")
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	var err error
	v.metrics, err = eval.NewCalculator(scale, []eval.Metric{ndcg, recall}, scale.Tables(), "E")
	return v, err
}

// measure ranks all queries with the weights as they are.
func (v *Validation) measure(t *Trainer) (p Point, err error) {
	var queries, products [][]int32
	for _, q := range v.data.Queries {
		queries = append(queries, q.Tokens)
	}
	for _, x := range v.data.Products {
		products = append(products, x.Tokens)
	}
	q, err := t.Vectors(queries)
	if err != nil {
		return p, err
	}
	d, err := t.Vectors(products)
	if err != nil {
		return p, err
	}
	dim := t.Dimension()
	var sums [2]float64
	var counts [2]float64
	values := make([]float64, 2)
	hits := make([]eval.Hit, len(products))
	for i := range v.queries {
		for j := range products {
			hits[j] = eval.Hit{Product: v.data.Products[j].ID, Score: dot(q[i*dim:(i+1)*dim], d[j*dim:(j+1)*dim])}
		}
		slices.SortFunc(hits, func(a, b eval.Hit) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Product, b.Product))
		})
		v.metrics.Query(&v.queries[i], hits[:min(100, len(hits))], values)
		for k, x := range values {
			if !math.IsNaN(x) {
				sums[k] += x
				counts[k]++
			}
		}
	}
	p.NDCG, p.Recall = sums[0]/counts[0], sums[1]/counts[1]
	p.Loss = v.loss(q, d, dim, t.config)
	return p, nil
}

// loss is the InfoNCE of all exact judgements against all products that are not
// judged exact or a substitute: always of the same products, so that validations
// can be compared.
func (v *Validation) loss(q, d []float32, dim int, c *Config) float64 {
	sum := 0.
	for _, e := range v.example {
		query := &v.data.Queries[e.query]
		vector := q[e.query*dim : (e.query+1)*dim]
		score := func(p int) float64 { return dot(vector, d[p*dim:(p+1)*dim]) / c.Temperature }
		good := map[int]bool{}
		for _, j := range query.Judged {
			good[j.Product] = j.Label == catalog.Exact || j.Label == catalog.Substitute
		}
		wanted := score(query.Judged[e.positive].Product)
		most, total := wanted, 1. // log-sum-exp; the product itself is the first
		for p := range v.data.Products {
			if good[p] {
				continue
			}
			s := score(p)
			if s > most {
				total, most = total*math.Exp(most-s), s
			}
			total += math.Exp(s - most)
		}
		sum += math.Log(total) + most - wanted
	}
	return sum / float64(len(v.example))
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}
