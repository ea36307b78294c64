package engine

import (
	"context"
	"time"

	"github.com/bits-and-blooms/bitset"
)

// A Ranker is one named way to rank the products of a catalogue. An adapter to
// a search engine elsewhere implements it by translating that engine's product
// ids to rows. Implementations are safe for use by many goroutines.
type Ranker interface {
	// Rank returns at most k products, best first, with ties in any order:
	// the engine puts equal scores in order of product id. It stops early,
	// with ctx's error, when ctx ends.
	Rank(ctx context.Context, q Query, k int) (Ranked, error)
}

// A Scorer is a Ranker that can score any product, not only its best.
// Distributions, the judged-pool evaluation and explanations need it.
type Scorer interface {
	// Scores writes the score of rows[i] to dst[i], for all i; dst and rows
	// have the same length. If rows is nil, dst has a place for every row of
	// the catalogue. q.Allow is ignored.
	Scores(ctx context.Context, q Query, rows []uint32, dst []float64) error
}

// An Explainer is a Ranker that can say how the score of a product comes about.
type Explainer interface {
	Explain(ctx context.Context, q Query, row uint32) (*Explanation, error)
}

// A Similar is a Ranker that can also rank by likeness to a product.
type Similar interface {
	// Similar returns the at most k products most like that of row, best
	// first, which may include row itself.
	Similar(ctx context.Context, row uint32, k int) (Ranked, error)
}

// An Embedder is a Ranker that works with vectors, and gives those of texts:
// unit vectors, all of one dimension.
type Embedder interface {
	Embed(ctx context.Context, texts []string, asQueries bool) ([][]float32, error)
}

// Query is what a Ranker is asked.
type Query struct {
	Text string
	// Allow holds the rows that may be returned, one bit each; nil allows all.
	// It is shared by all rankings of a request and must not be changed.
	Allow *bitset.BitSet
}

// Ranked is a Ranker's answer.
type Ranked struct {
	Hits   []Scored
	Stages []Stage // in the order in which they ran
}

// Scored is a row of the catalogue with the score that a ranking gave it.
type Scored struct {
	Row   uint32
	Score float64
}

// Stage is a timed part of answering a request, such as "encode" or "faiss".
type Stage struct {
	Name string        `json:"name"`
	Took time.Duration `json:"-"`
	MS   float64       `json:"ms"` // Took in milliseconds, filled in by the engine
}

// Explanation is a tree of values: each node's value follows from its
// children's as Text says.
type Explanation struct {
	Value    float64        `json:"value"`
	Text     string         `json:"text"`
	Children []*Explanation `json:"children,omitempty"`
}
