package fakeshop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/trirank/trirank/engine"
)

// misbehave does what the faults say system shall do before it answers.
func (f *Faults) misbehave(ctx context.Context, system string) error {
	f.Calls.Add(1)
	if f.Gate != nil {
		select {
		case <-f.Gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if only := f.Only.Load(); f.Delay.Load() > 0 && (only == nil || *only == system) {
		delay := time.Duration(f.Delay.Load())
		if f.Deaf.Load() {
			time.Sleep(delay)
		} else {
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if f.Panic.Load() {
		panic("out of cheese")
	}
	if name := f.Fail.Load(); name != nil && *name == system {
		return errors.New("the index is on strike")
	}
	return nil
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// top returns the k best rows of scores that q allows, and that score above zero.
func top(q engine.Query, scores []float64, k int) (hits []engine.Scored) {
	for row, score := range scores {
		if score > 0 && (q.Allow == nil || q.Allow.Test(uint(row))) {
			hits = append(hits, engine.Scored{Row: uint32(row), Score: score})
		}
	}
	slices.SortFunc(hits, func(a, b engine.Scored) int { return cmp.Compare(b.Score, a.Score) })
	return hits[:min(k, len(hits))]
}

// lexical is BM25, computed afresh for each query.
type lexical struct {
	name   string
	faults *Faults
	docs   []map[string]float64 // term frequencies
	length []float64
	mean   float64
	df     map[string]float64
}

func newLexical(s *Shop, name string, f *Faults) *lexical {
	l := &lexical{name: name, faults: f, df: map[string]float64{}}
	for _, p := range s.products {
		tf, n := map[string]float64{}, 0.
		for _, w := range words(p.Title + " " + p.Brand + " " + strings.Join(p.Bullets, " ")) {
			if tf[w] == 0 {
				l.df[w]++
			}
			tf[w]++
			n++
		}
		l.docs, l.length, l.mean = append(l.docs, tf), append(l.length, n), l.mean+n/float64(s.Len())
	}
	return l
}

func (l *lexical) term(row int, w string) float64 {
	n, tf := float64(len(l.docs)), l.docs[row][w]
	return math.Log(1+(n-l.df[w]+.5)/(l.df[w]+.5)) * tf * 2.2 / (tf + 1.2*(.25+.75*l.length[row]/l.mean))
}

func (l *lexical) score(row int, text string) (sum float64) {
	for _, w := range words(text) {
		sum += l.term(row, w)
	}
	return sum
}

func (l *lexical) Rank(ctx context.Context, q engine.Query, k int) (engine.Ranked, error) {
	start := time.Now()
	if err := l.faults.misbehave(ctx, l.name); err != nil {
		return engine.Ranked{}, err
	}
	scores := make([]float64, len(l.docs))
	err := l.Scores(ctx, q, nil, scores)
	return engine.Ranked{Hits: top(q, scores, k), Stages: []engine.Stage{{Name: "bleve", Took: time.Since(start)}}}, err
}

func (l *lexical) Scores(_ context.Context, q engine.Query, rows []uint32, dst []float64) error {
	for i := range dst {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		dst[i] = l.score(row, q.Text)
	}
	return nil
}

func (l *lexical) Explain(_ context.Context, q engine.Query, row uint32) (*engine.Explanation, error) {
	x := &engine.Explanation{Value: l.score(int(row), q.Text), Text: "sum of"}
	for _, w := range words(q.Text) {
		if v := l.term(int(row), w); v > 0 {
			x.Children = append(x.Children, &engine.Explanation{Value: v, Text: fmt.Sprintf("weight of %q, in %d products", w, int(l.df[w])), Children: []*engine.Explanation{
				{Value: l.docs[row][w], Text: "frequency in the product"},
				{Value: l.length[row], Text: "length of the product in terms"},
			}})
		}
	}
	return x, nil
}

const dimensions = 64

// dense imitates an encoder by hashed pieces of words: alike texts get alike
// vectors, squeezed into the narrow band of cosines in which E5's lie.
type dense struct {
	name    string
	faults  *Faults
	shop    *Shop
	vectors [][]float32
	floor   float64
	noise   float64
}

func newDense(s *Shop, name string, f *Faults, floor, noise float64) *dense {
	d := &dense{name: name, faults: f, shop: s, floor: floor, noise: noise}
	for _, p := range s.products {
		d.vectors = append(d.vectors, d.vector(p.Title+" "+strings.Join(p.Category, " ")))
	}
	return d
}

func hash(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

func (d *dense) vector(text string) []float32 {
	v := make([]float32, dimensions)
	for _, w := range words(text) {
		w = strings.TrimSuffix(w, "s")
		for i := 0; i+3 <= len(w); i++ {
			v[hash(w[i:i+3])%dimensions]++
		}
		h := hash(d.name + w)
		v[h%dimensions] += 2
	}
	norm := 0.
	for _, x := range v {
		norm += float64(x * x)
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(max(norm, 1e-9)))
	}
	return v
}

func (d *dense) score(q []float32, row int, salt string) float64 {
	dot := 0.
	for i, x := range d.vectors[row] {
		dot += float64(x * q[i])
	}
	jitter := float64(hash(fmt.Sprint(d.name, salt, row))%1000)/1000 - .5
	return d.floor + (1-d.floor)*dot*.8 + d.noise*jitter
}

func (d *dense) Rank(ctx context.Context, q engine.Query, k int) (engine.Ranked, error) {
	start := time.Now()
	if err := d.faults.misbehave(ctx, d.name); err != nil {
		return engine.Ranked{}, err
	}
	d.vector(q.Text)
	encode := time.Since(start)
	scores := make([]float64, len(d.vectors))
	err := d.Scores(ctx, q, nil, scores)
	return engine.Ranked{Hits: top(q, scores, k), Stages: []engine.Stage{{Name: "encode", Took: encode}, {Name: "faiss", Took: time.Since(start) - encode}}}, err
}

func (d *dense) Scores(_ context.Context, q engine.Query, rows []uint32, dst []float64) error {
	v := d.vector(q.Text)
	for i := range dst {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		dst[i] = d.score(v, row, q.Text)
	}
	return nil
}

func (d *dense) Explain(_ context.Context, q engine.Query, row uint32) (*engine.Explanation, error) {
	return &engine.Explanation{Value: d.score(d.vector(q.Text), int(row), q.Text), Text: "cosine of the query's and the product's vectors"}, nil
}

func (d *dense) Similar(ctx context.Context, row uint32, k int) (engine.Ranked, error) {
	if err := d.faults.misbehave(ctx, d.name); err != nil {
		return engine.Ranked{}, err
	}
	scores := make([]float64, len(d.vectors))
	for i := range scores {
		scores[i] = d.score(d.vectors[row], i, "")
	}
	return engine.Ranked{Hits: top(engine.Query{}, scores, k)}, nil
}

func (d *dense) Embed(ctx context.Context, texts []string, asQueries bool) ([][]float32, error) {
	if err := d.faults.misbehave(ctx, d.name); err != nil {
		return nil, err
	}
	prefix := "passage "
	if asQueries {
		prefix = "query "
	}
	var out [][]float32
	for _, t := range texts {
		out = append(out, d.vector(prefix+t))
	}
	return out, nil
}
