package bm25

import (
	"context"
	"fmt"

	"github.com/bits-and-blooms/bitset"
	"github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/query"
	index "github.com/blevesearch/bleve_index_api"
)

// Model is one of bleve's own ways to score.
type Model string

// The models of bleve.
const (
	BleveBM25  Model = index.BM25Scoring
	BleveTFIDF Model = index.TFIDFScoring
)

// SearchBleve is Search with the scores of bleve: those that its match query
// gives, or, with several fields, a disjunction of match queries. Options.K1
// and B have no part in them. See the package comment for what they are.
func (ix *Index) SearchBleve(ctx context.Context, model Model, text string, allow *bitset.BitSet, k int) (hits []Hit, err error) {
	err = ix.use("search", func() (err error) {
		if k <= 0 {
			return errK
		}
		if model != BleveBM25 && model != BleveTFIDF {
			return fmt.Errorf("model %q is neither %q nor %q", model, BleveBM25, BleveTFIDF)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		q := ix.bleveQuery(text)
		if q == nil {
			return nil
		}
		ctx = context.WithValue(ctx, search.GetScoringModelCallbackKey,
			search.GetScoringModelCallbackFn(func() string { return string(model) }))
		ctx = context.WithValue(ctx, search.BM25StatsKey, ix.bleveStats())
		s, err := q.Searcher(ctx, ix.snapshot, ix.bleve.Mapping(), search.SearcherOptions{})
		if err != nil {
			return err
		}
		defer func() {
			if closeErr := s.Close(); err == nil {
				err = closeErr
			}
		}()
		hits, err = ix.collectBleve(ctx, s, allow, k)
		return err
	})
	return hits, err
}

// bleveStats returns what bleve would count in its dictionaries otherwise, at
// the first search for a field.
func (ix *Index) bleveStats() *search.BM25Stats {
	stats := &search.BM25Stats{DocCount: float64(ix.header.Rows), FieldCardinality: map[string]int{}}
	for f, field := range ix.header.Options.Fields {
		stats.FieldCardinality[field.Name] = ix.header.Distinct[f]
	}
	return stats
}

// bleveQuery returns nil for a query without terms. It builds what bleve's
// match query makes of a text, a clause for each word, but at most
// Options.MaxTerms of them: a match query has no bound on their number.
func (ix *Index) bleveQuery(text string) query.Query {
	terms := ix.parse(text)
	if len(terms) == 0 {
		return nil
	}
	var matches []query.Query
	for _, field := range ix.header.Options.Fields {
		var words []query.Query
		spare := ix.header.Options.MaxTerms - len(terms) // for terms that come again
		for _, t := range terms {
			again := min(t.count-1, spare)
			spare -= again
			for range 1 + again {
				word := query.NewTermQuery(string(t.text))
				word.SetField(field.Name)
				word.SetBoost(field.Boost)
				words = append(words, word)
			}
		}
		match := query.NewDisjunctionQuery(words)
		match.SetMin(1)
		matches = append(matches, match)
	}
	if len(matches) == 1 {
		return matches[0]
	}
	return query.NewDisjunctionQuery(matches)
}

// collectBleve does without bleve's collector, which would look up the name of
// every hit to order equal scores.
func (ix *Index) collectBleve(ctx context.Context, s search.Searcher, allow *bitset.BitSet, k int) ([]Hit, error) {
	sc := &search.SearchContext{
		DocumentMatchPool: search.NewDocumentMatchPool(s.DocumentMatchPoolSize()+1, 0),
		IndexReader:       ix.snapshot,
	}
	best := top{k: min(k, ix.header.Rows)}
	for n := 1; ; n++ {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		m, err := s.Next(sc)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return best.sorted(), nil
		}
		doc := m.IndexInternalID.Value()
		if doc >= uint64(ix.header.Rows) {
			return nil, fmt.Errorf("the index is damaged: document %d of %d", doc, ix.header.Rows)
		}
		if row := ix.table.rows[doc]; allow == nil || allow.Test(uint(row)) {
			best.offer(Hit{Row: row, Score: m.Score})
		}
		sc.DocumentMatchPool.Put(m)
	}
}
