package store

import (
	"context"
	"fmt"
	"time"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/processors"
)

// lexical ranks by Okapi BM25. It implements engine.Ranker, Scorer and Explainer.
type lexical struct {
	index *bm25.Index
	all   []uint32 // every row, for scoring them all
}

func newLexical(x *bm25.Index) *lexical {
	l := &lexical{index: x, all: make([]uint32, x.Rows())}
	for i := range l.all {
		l.all[i] = uint32(i)
	}
	return l
}

// Rank implements engine.Ranker.
func (l *lexical) Rank(ctx context.Context, q engine.Query, k int) (out engine.Ranked, err error) {
	start := time.Now()
	defer processors.Work()()
	hits, err := l.index.Search(ctx, q.Text, q.Allow, k)
	return rankedByBM25(hits, start), err
}

func rankedByBM25(hits []bm25.Hit, start time.Time) (out engine.Ranked) {
	out.Hits = make([]engine.Scored, len(hits))
	for i, h := range hits {
		out.Hits[i] = engine.Scored{Row: h.Row, Score: h.Score}
	}
	out.Stages = []engine.Stage{{Name: "bm25", Took: time.Since(start)}}
	return out
}

// Scores implements engine.Scorer.
func (l *lexical) Scores(ctx context.Context, q engine.Query, rows []uint32, dst []float64) error {
	if rows == nil {
		rows = l.all
	}
	defer processors.Work()()
	return l.index.Scores(ctx, q.Text, rows, dst)
}

// Explain implements engine.Explainer.
func (l *lexical) Explain(ctx context.Context, q engine.Query, row uint32) (*engine.Explanation, error) {
	ex, err := l.index.Explain(ctx, q.Text, row)
	if err != nil {
		return nil, err
	}
	return explanation(ex), nil
}

func explanation(ex *bm25.Explanation) *engine.Explanation {
	out := &engine.Explanation{Value: ex.Value, Text: ex.Text}
	for _, c := range ex.Children {
		out.Children = append(out.Children, explanation(c))
	}
	return out
}

// bleveScored ranks by one of bleve's own scoring models, for comparison.
type bleveScored struct {
	index *bm25.Index
	model bm25.Model
}

// Rank implements engine.Ranker.
func (b *bleveScored) Rank(ctx context.Context, q engine.Query, k int) (engine.Ranked, error) {
	start := time.Now()
	hits, err := b.index.SearchBleve(ctx, b.model, q.Text, q.Allow, k)
	return rankedByBM25(hits, start), err
}

// bleveSystems names the rankings by bleve's own scoring.
var bleveSystems = map[string]bm25.Model{
	"bleve-bm25":  bm25.BleveBM25,
	"bleve-tfidf": bm25.BleveTFIDF,
}

func bleveSystem(name string, x *bm25.Index) (engine.System, error) {
	model, ok := bleveSystems[name]
	if !ok {
		return engine.System{}, fmt.Errorf("there is no ranking %q (bleve-bm25 and bleve-tfidf can be added)", name)
	}
	return engine.System{Name: name, Kind: "lexical", Detail: "bleve's own scoring, not the textbook's", Ranker: &bleveScored{x, model}}, nil
}
