package train

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// Validation measures a model on queries that it is not trained on: each is ranked
// against all products of the data.
type Validation struct {
	data    *Data
	queries []judgments.Query
	metrics []eval.Metric
	example []example
}

// NewValidation prepares a validation on data, whose products should be many more
// than those judged for one query.
func NewValidation(d *Data) (*Validation, error) {
	if err := d.check(&Config{Objective: InfoNCE}); err != nil {
		return nil, err
	}
	v := &Validation{data: d, example: d.examples()}
	for _, q := range d.Queries {
		e := judgments.Query{Text: q.Text}
		judged := slices.Clone(q.Judged)
		slices.SortFunc(judged, func(a, b Judged) int {
			return strings.Compare(d.Products[a.Product].ID, d.Products[b.Product].ID)
		})
		for _, j := range judged {
			if m, ok := d.means(j.Label); ok {
				e.Products, e.Levels = append(e.Products, d.Products[j.Product].ID), append(e.Levels, m.level)
			}
		}
		v.queries = append(v.queries, e)
	}
	ndcg, err1 := eval.ParseMetric("ndcg@10")
	recall, err2 := eval.ParseMetric("recall@100")
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	v.metrics = []eval.Metric{ndcg, recall}
	return v, nil
}

// calculator measures one ranking after the other; each worker needs its own.
func (v *Validation) calculator() *eval.Calculator {
	m := v.data.meanings()
	var relevant []string
	for i, is := range m.relevant {
		if is {
			relevant = append(relevant, string(m.scale.Levels[i].Label))
		}
	}
	c, err := eval.NewCalculator(m.scale, v.metrics, []judgments.GainTable{m.gains}, strings.Join(relevant, "+"))
	if err != nil {
		panic(err) // of metrics that are always the same
	}
	return c
}

// Values are a validation's metrics by query, in the order of the data; NaN where a
// query has nothing relevant.
type Values struct{ NDCG, Recall []float64 }

// Means are over the queries with something relevant.
func (v *Values) Means() (ndcg, recall float64) { return mean(v.NDCG), mean(v.Recall) }

// measure ranks all queries with the weights as they are.
func (v *Validation) measure(ctx context.Context, t *Trainer) (p Point, err error) {
	values, q, d, err := v.values(ctx, t, t.best())
	if err != nil {
		return p, err
	}
	p.NDCG, p.Recall = values.Means()
	p.Loss = v.loss(q, d, t.Dimension(), t.config)
	return p, nil
}

// Measure ranks the queries by a trainer's vectors. blend is the share of the weights
// that it began with, from 0 to 1.
func (v *Validation) Measure(ctx context.Context, t *Trainer, blend float64) (*Values, error) {
	weights := t.best()
	if blend > 0 {
		var err error
		if weights, err = t.blended(blend); err != nil {
			return nil, err
		}
		defer free(weights)
	}
	values, _, _, err := v.values(ctx, t, weights)
	return values, err
}

// Queries are the texts of the queries, in order.
func (v *Validation) Queries() (out []string) {
	for i := range v.queries {
		out = append(out, v.queries[i].Text)
	}
	return out
}

func (v *Validation) values(ctx context.Context, t *Trainer, weights []*tensors.Tensor) (out *Values, q, d []float32, err error) {
	texts := v.data.texts()
	all, err := t.vectorsOf(ctx, texts, weights)
	if err != nil {
		return nil, nil, nil, err
	}
	dim, n := t.Dimension(), len(v.queries)
	q, d = all[:n*dim], all[n*dim:]
	out = &Values{make([]float64, n), make([]float64, n)}
	parallel(n, func() func(i int) {
		calculator, values := v.calculator(), make([]float64, 2)
		hits := make([]eval.Hit, len(v.data.Products))
		return func(i int) {
			for j := range hits {
				hits[j] = eval.Hit{Product: v.data.Products[j].ID, Score: dot(q[i*dim:(i+1)*dim], d[j*dim:(j+1)*dim])}
			}
			slices.SortFunc(hits, func(a, b eval.Hit) int {
				return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Product, b.Product))
			})
			calculator.Query(&v.queries[i], hits[:min(100, len(hits))], values)
			out.NDCG[i], out.Recall[i] = values[0], values[1]
		}
	})
	return out, q, d, nil
}

// parallel does n things on all processors; each worker is made by worker.
func parallel(n int, worker func() func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			do := worker()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	group.Wait()
}

// mean of what is a number, in order, so that it is the same each time.
func mean(values []float64) float64 {
	sum, n := 0., 0.
	for _, x := range values {
		if !math.IsNaN(x) {
			sum += x
			n++
		}
	}
	return sum / n
}

// loss is the InfoNCE of all exact judgements against all products that are not
// judged exact or a substitute: always of the same products, so that validations
// can be compared.
func (v *Validation) loss(q, d []float32, dim int, c *Config) float64 {
	losses := make([]float64, len(v.example))
	parallel(len(v.example), func() func(int) {
		return func(i int) { losses[i] = v.lossOf(v.example[i], q, d, dim, c) }
	})
	sum := 0.
	for _, x := range losses { // one that is no number must show
		sum += x
	}
	return sum / float64(len(losses))
}

func (v *Validation) lossOf(e example, q, d []float32, dim int, c *Config) float64 {
	query := &v.data.Queries[e.query]
	vector := q[e.query*dim : (e.query+1)*dim]
	score := func(p int) float64 { return dot(vector, d[p*dim:(p+1)*dim]) / c.Temperature }
	good := map[int]bool{}
	for _, j := range query.Judged {
		m, _ := v.data.means(j.Label)
		good[j.Product] = m.Role != Wrong
	}
	wanted := score(e.product)
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
	return math.Log(total) + most - wanted
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}
