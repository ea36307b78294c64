package store

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/npy"
	"github.com/trirank/trirank/internal/processors"
)

// queryCacheSize bounds the cache of query vectors: 6 MB at dimension 384.
const queryCacheSize = 4096

// exactBelow is the number of allowed products up to which a filtered search
// compares them all: it is fast, and an inverted-file index might miss some.
const exactBelow = 5000

// dense ranks by the inner product of vectors. It implements engine.Ranker,
// Scorer, Similar and Embedder.
type dense struct {
	model   string // directory
	encoder *encoder.Encoder
	index   *faiss.Index
	vectors *npy.Matrix // exact, in row order
	queries *lru.Cache[string, []float32]
}

func newDense(model string, enc *encoder.Encoder, index *faiss.Index, vectors *npy.Matrix) *dense {
	cache, err := lru.New[string, []float32](queryCacheSize)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &dense{model, enc, index, vectors, cache}
}

// vector returns the vector of a query, which the caller must not change.
func (d *dense) vector(ctx context.Context, text string) ([]float32, error) {
	if v, ok := d.queries.Get(text); ok {
		return v, nil
	}
	v, err := d.encoder.Query(ctx, text)
	if err == nil {
		d.queries.Add(text, v)
	}
	return v, err
}

// Rank implements engine.Ranker.
func (d *dense) Rank(ctx context.Context, q engine.Query, k int) (out engine.Ranked, err error) {
	start := time.Now()
	v, err := d.vector(ctx, q.Text)
	if err != nil {
		return out, err
	}
	encoded := time.Now()
	out.Stages = append(out.Stages, engine.Stage{Name: "encode", Took: encoded.Sub(start)})
	var hits []faiss.Hit
	if q.Allow != nil && q.Allow.Count() <= exactBelow {
		hits = d.searchAllowed(v, q, k)
	} else if hits, err = d.index.Search(ctx, v, k, faiss.Params{}, q.Allow); err != nil {
		return out, err
	}
	out.Stages = append(out.Stages, engine.Stage{Name: "faiss", Took: time.Since(encoded)})
	out.Hits = scored(hits)
	return out, nil
}

func scored(hits []faiss.Hit) []engine.Scored {
	out := make([]engine.Scored, len(hits))
	for i, h := range hits {
		out[i] = engine.Scored{Row: h.ID, Score: float64(h.Score)}
	}
	return out
}

// searchAllowed compares the query with every product that the filter allows.
func (d *dense) searchAllowed(v []float32, q engine.Query, k int) (hits []faiss.Hit) {
	defer processors.Work()()
	var score [1]float32
	own := make([]float32, d.vectors.Cols)
	for row, ok := q.Allow.NextSet(0); ok; row, ok = q.Allow.NextSet(row + 1) {
		d.copyRow(own, int(row))
		faiss.InnerProducts(score[:], v, own)
		hits = faiss.KeepBest(hits, score[:], uint32(row), k)
	}
	return hits
}

// Scores implements engine.Scorer.
func (d *dense) Scores(ctx context.Context, q engine.Query, rows []uint32, dst []float64) error {
	v, err := d.vector(ctx, q.Text)
	if err != nil {
		return err
	}
	defer processors.Work()()
	const block = 128 // so that the rows stay in the cache of the processor
	var scores [block]float32
	own := make([]float32, block*d.vectors.Cols)
	if rows == nil {
		if len(dst) != d.vectors.Rows {
			return fmt.Errorf("cannot write %d scores to %d places", d.vectors.Rows, len(dst))
		}
		for i := 0; i < len(dst); i += block {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(block, len(dst)-i)
			copy(own, d.vectors.Values[i*d.vectors.Cols:(i+n)*d.vectors.Cols])
			faiss.InnerProducts(scores[:n], v, own[:n*d.vectors.Cols])
			for j, s := range scores[:n] {
				dst[i+j] = float64(s)
			}
		}
		return nil
	}
	for i, row := range rows {
		if int(row) >= d.vectors.Rows {
			return fmt.Errorf("there is no row %d", row)
		}
		d.copyRow(own, int(row))
		faiss.InnerProducts(scores[:1], v, own[:d.vectors.Cols])
		dst[i] = float64(scores[0])
	}
	return ctx.Err()
}

// Similar implements engine.Similar.
func (d *dense) Similar(ctx context.Context, row uint32, k int) (out engine.Ranked, err error) {
	if int(row) >= d.vectors.Rows {
		return out, fmt.Errorf("there is no row %d", row)
	}
	own := make([]float32, d.vectors.Cols)
	d.copyRow(own, int(row))
	hits, err := d.index.Search(ctx, own, k, faiss.Params{}, nil)
	out.Hits = scored(hits)
	return out, err
}

// copyRow copies a row out of the mapped file. If the file was cut off, that is a panic in
// Go, which can be caught; in C it would be the end of the process.
func (d *dense) copyRow(dst []float32, row int) { copy(dst[:d.vectors.Cols], d.vectors.Row(row)) }

// Embed implements engine.Embedder.
func (d *dense) Embed(ctx context.Context, texts []string, asQueries bool) ([][]float32, error) {
	dim := d.encoder.Model.Dimension
	flat := make([]float32, len(texts)*dim)
	encode := d.encoder.Passages
	if asQueries {
		encode = d.encoder.Queries
	}
	if err := encode(ctx, texts, flat); err != nil {
		return nil, err
	}
	out := make([][]float32, len(texts))
	for i := range out {
		out[i] = flat[i*dim : (i+1)*dim]
	}
	return out, nil
}
