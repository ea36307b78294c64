package bm25

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/bits-and-blooms/bitset"
	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"

	"github.com/trirank/trirank/catalog"
)

// buildSegments builds an index as one that grew: a segment a batch.
func buildSegments(t *testing.T, products []catalog.Product, o Options, segments int) *Index {
	t.Helper()
	o = o.WithDefaults()
	dir := t.TempDir()
	idx, err := bleve.NewUsing(filepath.Join(dir, bleveDir), newMapping(o.Analyzer), scorch.Name, scorch.Name, map[string]any{
		// However small, segments are not to be merged.
		"scorchMergePlanOptions": map[string]any{"floorSegmentSize": 1, "floorSegmentFileSize": 1, "maxSegmentsPerTier": 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	lengths := make([][]uint32, len(o.Fields))
	size := (len(products) + segments - 1) / segments
	for chunk := range slices.Chunk(products, size) {
		b := batch{first: len(lengths[0])}
		for _, p := range chunk {
			var texts [][]byte
			for _, f := range o.Fields {
				texts = append(texts, fieldText(&p, f.Name))
			}
			b.texts = append(b.texts, texts)
		}
		b.analyze(analyzerNamed(o.Analyzer), o.Fields)
		bb := idx.NewBatch()
		for i, doc := range b.fields {
			for f := range doc {
				lengths[f] = append(lengths[f], uint32(doc[f].AnalyzedLength()))
			}
			if err := bb.Index(rowID(b.first+i), doc); err != nil {
				t.Fatal(err)
			}
		}
		if err := idx.Batch(bb); err != nil {
			t.Fatal(err)
		}
	}
	if err := idx.Close(); err != nil {
		t.Fatal(err)
	}
	if err := seal(context.Background(), dir, o, lengths); err != nil {
		t.Fatal(err)
	}
	ix := openIndex(t, dir)
	if n := len(ix.snapshot.Segments()); n < min(segments, 2) {
		t.Fatalf("%d segments, want %d", n, segments)
	}
	return ix
}

// TestReference compares rankings, scores and explanations with the formula.
func TestReference(t *testing.T) {
	products := makeProducts(500)
	title := []Field{{Title, 1}}
	for _, test := range []struct {
		name string
		o    Options
	}{
		{"title", Options{Fields: title}},
		{"boosted title", Options{Fields: []Field{{Title, 3.5}}}},
		{"all fields", Options{Fields: allFields(), BatchSize: 64}},
		{"default", Options{}},
		{"reversed", Options{Fields: []Field{{Description, 1}, {Bullets, 2}, {Title, 3}}}},
		{"k1=2/b=0.4", Options{Fields: allFields(), K1: 2, B: 0.4}},
		{"b=1", Options{Fields: title, B: 1}},
		{"analyzer=standard", Options{Fields: title, Analyzer: "standard"}},
		{"analyzer=es", Options{Fields: title, Analyzer: "es"}},
		{"analyzer=cjk", Options{Fields: title, Analyzer: "cjk"}},
		{"analyzer=keyword", Options{Fields: []Field{{Brand, 1}}, Analyzer: "keyword"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ref := newReference(products, test.o)
			t.Run("segments=1", func(t *testing.T) { compare(t, buildIndex(t, products, test.o), ref) })
			t.Run("segments=5", func(t *testing.T) { compare(t, buildSegments(t, products, test.o, 5), ref) })
		})
	}
}

func compare(t *testing.T, ix *Index, ref *reference) {
	ctx := context.Background()
	allow := bitset.New(uint(ref.n))
	for row := 0; row < ref.n; row += 3 {
		allow.Set(uint(row))
	}
	for _, q := range append(queries, "kitchen", "the") {
		for _, k := range []int{1, 10, 100, ref.n, 10 * ref.n} {
			for _, filter := range []*bitset.BitSet{nil, allow} {
				hits, err := ix.Search(ctx, q, filter, k)
				if err != nil {
					t.Fatal(err)
				}
				sameHits(t, q, hits, ref.top(q, filter, k))
			}
		}
		want := ref.scores(q)
		rows := make([]uint32, ref.n)
		for i := range rows {
			rows[i] = uint32(i)
		}
		sameScores(t, ix, q, rows, want)
		for _, row := range []uint32{0, 7, uint32(ref.n - 1)} {
			e, err := ix.Explain(ctx, q, row)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(e.Value-want[row]) > tolerance {
				t.Errorf("query %q: explained score of row %d is %v, want %v", q, row, e.Value, want[row])
			}
		}
	}
}

// sameScores checks Scores, with rows in order, shuffled and repeated, against
// scores by row. However many are asked for, they are the same to the last bit.
func sameScores(t *testing.T, ix *Index, query string, rows []uint32, want []float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	shuffled := slices.Clone(rows)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	few := slices.Repeat(shuffled[:min(5, len(shuffled))], 2)
	first := map[uint32]float64{}
	for _, rows := range [][]uint32{rows, shuffled, few, nil} {
		got := make([]float64, len(rows))
		for i := range got {
			got[i] = math.NaN() // to see that all are written
		}
		if err := ix.Scores(context.Background(), query, rows, got); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			if !(math.Abs(got[i]-want[row]) <= tolerance) {
				t.Fatalf("query %q: score of row %d is %v, want %v", query, row, got[i], want[row])
			}
			if old, again := first[row]; again && old != got[i] {
				t.Fatalf("query %q: score of row %d is %v among %d rows, %v among others", query, row, got[i], len(rows), old)
			}
			first[row] = got[i]
		}
	}
}

// TestWindows searches more documents than a window holds.
func TestWindows(t *testing.T) {
	products := makeProducts(2*windowSize + 1000)
	for i := range products {
		products[i].Bullets, products[i].Description = nil, ""
	}
	// Words so rare that whole windows are passed over.
	products[5].Title += " rareword"
	products[windowSize+3].Title += " rareword otherword"
	products[len(products)-1].Title += " otherword"
	o := Options{Fields: []Field{{Title, 1}, {Brand, 0.5}}}
	ref := newReference(products, o)
	for name, ix := range map[string]*Index{"segments=1": buildIndex(t, products, o), "segments=3": buildSegments(t, products, o, 3)} {
		t.Run(name, func(t *testing.T) {
			for _, q := range []string{"kitchen towels", "rareword", "rareword otherword", "rareword kitchen", queries[len(queries)-1]} {
				hits, err := ix.Search(context.Background(), q, nil, 50)
				if err != nil {
					t.Fatal(err)
				}
				sameHits(t, q, hits, ref.top(q, nil, 50))
				rows := []uint32{5, 0, windowSize + 3, uint32(len(products) - 1), windowSize, 2 * windowSize, 5}
				sameScores(t, ix, q, rows, ref.scores(q))
			}
		})
	}
}

// TestTies checks that of equal scores the lower rows are returned, in order.
func TestTies(t *testing.T) {
	var products []catalog.Product
	for i := range 100 {
		title := "blue towel"
		if i%10 == 9 {
			title = "towel towel blue"
		}
		products = append(products, catalog.Product{Title: title})
	}
	ix := buildIndex(t, products, Options{BatchSize: 16})
	for _, k := range []int{1, 5, 10, 15, 99} {
		hits, err := ix.Search(context.Background(), "towel", nil, k)
		if err != nil {
			t.Fatal(err)
		}
		var want []uint32
		for _, repeated := range []bool{true, false} {
			for i := range products {
				if (i%10 == 9) == repeated && len(want) < k {
					want = append(want, uint32(i))
				}
			}
		}
		var got []uint32
		for _, h := range hits {
			got = append(got, h.Row)
		}
		if !slices.Equal(got, want) {
			t.Errorf("k=%d: rows %v, want %v", k, got, want)
		}
	}
}

// TestNone checks the ends of the options' ranges, with scores one can see.
func TestNone(t *testing.T) {
	products := []catalog.Product{{Title: "towel"}, {Title: "towel towel red blue green"}, {Title: "shoe"}, {Title: "lamp"}}
	idf := math.Log(1 + (4-2+0.5)/(2+0.5))
	for _, test := range []struct {
		name  string
		k1, b float64
		want  [2]float64
	}{
		{"k1=none", None, 0, [2]float64{idf, idf}},
		{"b=none", 1, None, [2]float64{idf * 2 / 2, idf * 2 * 2 / 3}},
	} {
		ix := buildIndex(t, products, Options{Fields: []Field{{Title, 1}}, K1: test.k1, B: test.b})
		var got [2]float64
		if err := ix.Scores(context.Background(), "towel", []uint32{0, 1}, got[:]); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(got[i]-test.want[i]) > 1e-12 {
				t.Errorf("%s: scores %v, want %v", test.name, got, test.want)
			}
		}
	}
}

func TestFilter(t *testing.T) {
	ix := buildIndex(t, makeProducts(50), Options{})
	for name, allow := range map[string]*bitset.BitSet{
		"empty": bitset.New(50),
		"short": bitset.New(0),
	} {
		hits, err := ix.Search(context.Background(), "kitchen towels", allow, 10)
		if err != nil || len(hits) > 0 {
			t.Errorf("%s: %v, %v", name, hits, err)
		}
	}
	beyond := bitset.New(1000).Set(999)
	if hits, err := ix.Search(context.Background(), "kitchen", beyond, 10); err != nil || len(hits) > 0 {
		t.Errorf("beyond: %v, %v", hits, err)
	}
}

// TestSearchErrors checks what callers may get wrong.
func TestSearchErrors(t *testing.T) {
	ix := buildIndex(t, makeProducts(50), Options{})
	ctx := context.Background()
	for _, k := range []int{0, -1, math.MinInt} {
		_, err := ix.Search(ctx, "towel", nil, k)
		checkError(t, err, nil, "cannot search BM25 index "+ix.dir, "k must be above zero")
		_, err = ix.SearchBleve(ctx, BleveBM25, "towel", nil, k)
		checkError(t, err, nil, "k must be above zero")
	}
	_, err := ix.SearchBleve(ctx, "cosine", "towel", nil, 10)
	checkError(t, err, nil, `"cosine" is neither "bm25" nor "tf-idf"`)
	err = ix.Scores(ctx, "towel", []uint32{1, 2}, make([]float64, 3))
	checkError(t, err, nil, "2 rows, but room for 3 scores")
	err = ix.Scores(ctx, "towel", []uint32{50}, make([]float64, 1))
	checkError(t, err, nil, "row 50 is beyond the last of 50")
	_, err = ix.Explain(ctx, "towel", math.MaxUint32)
	checkError(t, err, nil, "row 4294967295 is beyond")
}

// countdown is a context that ends when it has been looked at often enough.
type countdown struct {
	context.Context
	left atomic.Int32
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestCancel ends the context before and during a search, and checks that the
// searches after it are right.
func TestCancel(t *testing.T) {
	products := makeProducts(windowSize + 1000)
	ix := buildIndex(t, products, Options{Fields: []Field{{Title, 1}, {Description, 1}}})
	query := "kitchen towels cotton running the towel"
	want, err := ix.Search(context.Background(), query, nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]uint32, len(products))
	for i := range rows {
		rows[i] = uint32(i)
	}
	for after := range 3 {
		for name, fn := range map[string]func(ctx context.Context) error{
			"Search": func(ctx context.Context) error {
				_, err := ix.Search(ctx, query, nil, 10)
				return err
			},
			"SearchBleve": func(ctx context.Context) error {
				_, err := ix.SearchBleve(ctx, BleveBM25, query, nil, 10)
				return err
			},
			"Scores": func(ctx context.Context) error {
				return ix.Scores(ctx, query, rows, make([]float64, len(rows)))
			},
		} {
			ctx := &countdown{Context: context.Background()}
			ctx.left.Store(int32(after))
			if err := fn(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, ended after %d looks: %v", name, after, err)
			}
		}
		got, err := ix.Search(context.Background(), query, nil, 10)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("afterwards: %v, %v, want %v", got, err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ix.Explain(ctx, query, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Explain: %v", err)
	}
}

// TestAllocations checks that a search allocates by term and not by posting.
func TestAllocations(t *testing.T) {
	allocations := func(n int) float64 {
		products := make([]catalog.Product, n)
		for i := range products {
			products[i].Title = fmt.Sprint("towel kitchen ", i%7)
		}
		ix := buildIndex(t, products, Options{Fields: []Field{{Title, 1}}})
		return testing.AllocsPerRun(20, func() {
			if _, err := ix.Search(context.Background(), "kitchen towel", nil, 10); err != nil {
				t.Error(err)
			}
		})
	}
	few, many := allocations(100), allocations(10_000)
	if many > few+20 {
		t.Errorf("%v allocations among 100 products, but %v among 10,000", few, many)
	}
}
