package bench_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/bm25"
)

// words compares BM25. Formulas, stems and fields differ: ours adds up the scores of
// four fields, the others look at one text of all of them. So the results need not be
// the same, and the table says how much of the first ten is.
func (t *peerTurns) words(b *testing.B) {
	_, qrels, dir := large(b, *peerRows)
	index, err := bm25.Open(filepath.Join(dir, "bm25"))
	if err != nil {
		b.Fatal(err)
	}
	defer index.Close()
	queries := texts(qrels)
	file := filepath.Join(b.TempDir(), "queries.json")
	raw, err := json.Marshal(queries)
	if err == nil {
		err = os.WriteFile(file, raw, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
	products := filepath.Join(dir, "products", "products.jsonl")
	others := []*peer{
		t.start(b, t.python, "words.py", "bm25s", products, file),
		t.start(b, t.python, "words.py", "tantivy", products, file),
	}
	ours := func(i, k int) ([]bm25.Hit, error) { return index.Search(b.Context(), queries[i], nil, k) }
	bleve := func(i, k int) ([]bm25.Hit, error) {
		return index.SearchBleve(b.Context(), bm25.BleveBM25, queries[i], nil, k)
	}
	for _, p := range others {
		t.note("%s has %.0f %% of our first ten.", p.name, 100*overlap(b, p, len(queries), ours))
	}
	for _, k := range []int{10, 100} {
		of := func(search func(i, k int) ([]bm25.Hit, error)) func(i int) error {
			return func(i int) error { _, err := search(i, k); return err }
		}
		name := fmt.Sprintf("k=%d/", k)
		single := []side{{"trirank", func() float64 { return oneByOne(b, len(queries), of(ours)) }}}
		many := []side{{"trirank", func() float64 { return together(b, 2, len(queries), of(ours)) }}}
		for _, p := range others {
			single = append(single, side{p.name, func() float64 { return p.value("single", "k", k) }})
			many = append(many, side{p.name, func() float64 { return p.value("together", "k", k, "callers", 2) }})
			if p.name == "bm25s" {
				many = append(many, side{p.name + ", one batch of all", func() float64 { return p.value("batch", "k", k) }})
			}
		}
		single = append(single, side{"bleve's own scoring", func() float64 { return oneByOne(b, len(queries), of(bleve)) }})
		many = append(many, side{"bleve's own scoring", func() float64 { return together(b, 2, len(queries), of(bleve)) }})
		t.turns(b, name+"one_by_one", median, single...)
		t.turns(b, name+"2_callers", rate("queries"), many...)
	}
}

// overlap is the share of our first ten that the other side has among its own. One
// that has hardly any searches something else.
func overlap(b *testing.B, p *peer, n int, search func(i, k int) ([]bm25.Hit, error)) float64 {
	b.Helper()
	var theirs struct{ Rows [][]int }
	p.ask("results", &theirs, "k", 10)
	both, all := 0, 0
	for i := range n {
		hits, err := search(i, 10)
		if err != nil {
			b.Fatal(err)
		}
		var set bitset.BitSet
		for _, row := range theirs.Rows[i] {
			set.Set(uint(row))
		}
		for _, h := range hits {
			all++
			if set.Test(uint(h.Row)) {
				both++
			}
		}
	}
	share := float64(both) / float64(all)
	if share < .2 {
		b.Fatalf("only %.2f of our first ten are among those of %s", share, p.name)
	}
	return share
}
