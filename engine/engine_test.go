package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/processors"
	"github.com/trirank/trirank/judgments"
)

// shop is a catalogue of n products named p00, p01, ...
type shop struct {
	n      int
	labels map[string]map[uint32]judgments.Label
	broken bool
}

func (s shop) Len() int             { return s.n }
func (s shop) ID(row uint32) string { return fmt.Sprintf("p%02d", row) }
func (s shop) Row(id string) (row uint32, ok bool) {
	_, err := fmt.Sscanf(id, "p%02d", &row)
	return row, err == nil && int(row) < s.n
}
func (s shop) CompareIDs(a, b uint32) int { return strings.Compare(s.ID(a), s.ID(b)) }
func (s shop) Product(row uint32) (catalog.Product, error) {
	if s.broken {
		return catalog.Product{}, errors.New("disk gone")
	}
	return catalog.Product{ID: s.ID(row), Title: "Product " + s.ID(row), Price: float64(row)}, nil
}
func (s shop) Filter(f Filter) *bitset.BitSet {
	b := bitset.New(uint(s.n))
	for i := range s.n {
		if float64(i) >= f.MinPrice {
			b.Set(uint(i))
		}
	}
	return b
}
func (s shop) Judged(q string) map[uint32]judgments.Label { return s.labels[q] }

// table ranks by fixed scores.
type table struct {
	scores map[uint32]float64
	err    error
	hang   chan struct{}
	panics bool
}

func (r *table) Rank(_ context.Context, q Query, k int) (out Ranked, err error) {
	if r.panics {
		panic("boom")
	}
	if r.hang != nil {
		<-r.hang
	}
	for row, s := range r.scores {
		if q.Allow == nil || q.Allow.Test(uint(row)) {
			out.Hits = append(out.Hits, Scored{row, s})
		}
	}
	slices.SortFunc(out.Hits, func(a, b Scored) int { return int(math.Copysign(1, b.Score-a.Score)) })
	out.Hits = out.Hits[:min(k, len(out.Hits))]
	return out, r.err
}

// scorer is a table that can score what is not in it.
type scorer struct{ table }

func (r *scorer) Scores(_ context.Context, _ Query, rows []uint32, dst []float64) error {
	for i := range dst {
		row := uint32(i)
		if rows != nil {
			row = rows[i]
		}
		if s, ok := r.scores[row]; ok {
			dst[i] = s
		} else {
			dst[i] = .01 * float64(row)
		}
	}
	return nil
}

func newEngine(t *testing.T, f *Fusion, rankers map[string]Ranker) *Engine {
	c := Config{Name: "test", Products: shop{n: 10, labels: map[string]map[uint32]judgments.Label{"q": {1: judgments.Exact, 9: judgments.Irrelevant}}}, Fusion: f}
	for _, name := range []string{"bm25", "pretrained"} {
		if r := rankers[name]; r != nil {
			c.Systems = append(c.Systems, System{Name: name, Ranker: r})
		}
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ids(r Ranking) (out []string) {
	for _, h := range r.Hits {
		out = append(out, h.ID)
	}
	return out
}

func TestCompare(t *testing.T) {
	e := newEngine(t, &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1, "pretrained": 1}}, map[string]Ranker{
		"bm25":       &table{scores: map[uint32]float64{3: 5, 2: 5, 1: 7}},
		"pretrained": &scorer{table{scores: map[uint32]float64{1: .9, 4: .8, 2: .7}}},
	})
	r, err := e.Compare(context.Background(), Request{Query: " q ", K: 3, Distribution: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"bm25":       {"p01", "p02", "p03"}, // a tie goes by id
		"pretrained": {"p01", "p04", "p02"},
		Hybrid:       {"p01", "p02", "p04"}, // 1/61+1/61, 1/62+1/63, 1/62
	}
	for _, ranking := range r.Rankings {
		if !slices.Equal(ids(ranking), want[ranking.System]) {
			t.Errorf("%s gives %v, want %v", ranking.System, ids(ranking), want[ranking.System])
		}
	}
	hybrid := r.Rankings[2]
	if got, want := hybrid.Hits[1].Score, 1./62+1./63; math.Abs(got-want) > 1e-12 {
		t.Errorf("fused score %v, want %v", got, want)
	}
	if c := hybrid.Hits[2].Components; c[0].Rank != 0 || c[1].Rank != 2 || c[1].Score != .8 {
		t.Errorf("components of p04: %+v", c)
	}
	first := r.Rankings[0].Hits[0]
	if first.Label != judgments.Exact || r.Judged != 2 || first.Ranks["pretrained"] != 1 || first.Ranks[Hybrid] != 1 {
		t.Errorf("first hit: %+v", first)
	}
	if _, ok := r.Rankings[0].Hits[2].Ranks["pretrained"]; ok {
		t.Error("p03 has a rank where it is not")
	}
	if r.Rankings[0].Distribution != nil || r.Rankings[1].Distribution == nil || r.Rankings[1].Distribution.Products != 10 {
		t.Error("the distribution is missing, or made up")
	}
}

func TestFilterReachesRankers(t *testing.T) {
	e := newEngine(t, nil, map[string]Ranker{"bm25": &table{scores: map[uint32]float64{3: 5, 2: 6, 1: 7}}})
	r, err := e.Compare(context.Background(), Request{Query: "q", Filter: Filter{MinPrice: 2}})
	if err != nil || !slices.Equal(ids(r.Rankings[0]), []string{"p02", "p03"}) {
		t.Errorf("%v, %v", r, err)
	}
}

func TestConvex(t *testing.T) {
	e := newEngine(t, nil, map[string]Ranker{
		"bm25":       &table{scores: map[uint32]float64{1: 10, 2: 6, 3: 2}},
		"pretrained": &scorer{table{scores: map[uint32]float64{4: .9, 2: .8, 5: .7}}},
	})
	f, err := ParseFusion("convex:bm25=1,pretrained=3")
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Compare(context.Background(), Request{Query: "q", Fusion: f, Systems: []string{Hybrid}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, h := range r.Rankings[0].Hits {
		got[h.ID] = h.Score
	}
	// p01 and p03 are scored by the second ranking below its least hit: 0.
	want := map[string]float64{"p01": .25, "p02": .25*.5 + .75*.5, "p03": 0, "p04": .75, "p05": 0}
	for id, w := range want {
		if math.Abs(got[id]-w) > 1e-9 {
			t.Errorf("%s has %v, want %v", id, got[id], w)
		}
	}
}

// TestConvexWithOneHit checks that what a ranking does not match gains nothing by
// its only hit being its worst as well.
func TestConvexWithOneHit(t *testing.T) {
	e := newEngine(t, &Fusion{Method: Convex, Weights: map[string]float64{"bm25": 1, "pretrained": 1}}, map[string]Ranker{
		"bm25":       &scorer{table{scores: map[uint32]float64{7: 9}}},
		"pretrained": &scorer{table{scores: map[uint32]float64{4: .9, 7: .8, 5: .7}}},
	})
	r, err := e.Compare(context.Background(), Request{Query: "HV-220", Systems: []string{Hybrid}})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(r.Rankings[0]); !slices.Equal(got, []string{"p07", "p04", "p05"}) {
		t.Errorf("order %v, scores %+v", got, r.Rankings[0].Hits)
	}
}

// TestFailures checks that one failing ranking costs only itself.
// Time stands still in these while anything computes, so that what is not late on
// purpose is in time.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		bad  table
		late bool
		want string
	}{
		"error": {bad: table{err: errors.New("no disk")}, want: "cannot rank by pretrained: no disk"},
		"panic": {bad: table{panics: true}, want: "panicked: boom"},
		"late":  {late: true, want: "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.late {
					c.bad.hang = make(chan struct{})
					defer close(c.bad.hang)
				}
				good := &table{scores: map[uint32]float64{1: 1}}
				e := newEngine(t, &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1, "pretrained": 1}}, map[string]Ranker{"bm25": good, "pretrained": &c.bad})
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				r, err := e.Compare(ctx, Request{Query: "q"})
				if err != nil {
					t.Fatal(err)
				}
				if r.Rankings[0].Error != "" || len(r.Rankings[0].Hits) != 1 {
					t.Errorf("the good ranking: %+v", r.Rankings[0])
				}
				if !strings.Contains(r.Rankings[1].Error, c.want) || r.Rankings[1].Hits == nil || !strings.Contains(r.Rankings[2].Error, "cannot fuse") {
					t.Errorf("the bad ranking: %q, fused: %q", r.Rankings[1].Error, r.Rankings[2].Error)
				}
			})
		})
	}
}

func TestAllLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		e := newEngine(t, nil, map[string]Ranker{"bm25": &table{hang: hang}})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := e.Compare(ctx, Request{Query: "q"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		waited := make(chan struct{})
		go func() { e.Wait(); close(waited) }()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("Wait returns while a ranker is at work")
		default:
		}
		close(hang)
		<-waited
	})
}

func TestRequestErrors(t *testing.T) {
	e := newEngine(t, nil, map[string]Ranker{"bm25": &table{}})
	for want, r := range map[string]Request{
		"the query is empty":        {Query: " \t"},
		"bytes (at most":            {Query: strings.Repeat("x", MaxQueryBytes+1)},
		"k is -1":                   {Query: "q", K: -1},
		"k is 101":                  {Query: "q", K: 101},
		`no system "x"`:             {Query: "q", Systems: []string{"x"}},
		`no system "hybrid"`:        {Query: "q", Systems: []string{Hybrid}},
		"named twice":               {Query: "q", Systems: []string{"bm25", "bm25"}},
		"is negative or not":        {Query: "q", Filter: Filter{MinPrice: math.NaN()}},
		"above the highest":         {Query: "q", Filter: Filter{MinPrice: 2, MaxPrice: 1}},
		`no ranking "pretrained"`:   {Query: "q", Fusion: &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1, "pretrained": 1}}},
		"joins 2 to 16":             {Query: "q", Fusion: &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1}}},
		"is neither rrf nor convex": {Query: "q", Fusion: &Fusion{Method: "sum", Weights: map[string]float64{"bm25": 1, "pretrained": 1}}},
	} {
		if _, err := e.Compare(context.Background(), r); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := e.Product("p77"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown product: %v", err)
	}
	if _, err := e.Similar(context.Background(), "p01", "", 5); !errors.Is(err, ErrRequest) {
		t.Errorf("similar without vectors: %v", err)
	}
	if _, _, err := e.Embed(context.Background(), "", []string{"x"}, true); !errors.Is(err, ErrRequest) {
		t.Errorf("embed without a model: %v", err)
	}
}

func TestBrokenStore(t *testing.T) {
	e, err := New(Config{Products: shop{n: 2, broken: true}, Systems: []System{{Name: "bm25", Ranker: &table{scores: map[uint32]float64{1: 1}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Compare(context.Background(), Request{Query: "q"}); err == nil || !strings.Contains(err.Error(), "cannot show product p01: disk gone") {
		t.Errorf("error %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	r := &table{}
	for want, c := range map[string]Config{
		"without rankings": {},
		"given twice":      {Systems: []System{{Name: "a", Ranker: r}, {Name: "a", Ranker: r}}},
		`"hybrid"`:         {Systems: []System{{Name: Hybrid, Ranker: r}}},
		"no ranking":       {Systems: []System{{Name: "a", Ranker: r}}, Fusion: &Fusion{Method: RRF, Weights: map[string]float64{"a": 1, "b": 1}}},
	} {
		c.Products = shop{}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func FuzzParseFusion(f *testing.F) {
	for _, s := range []string{"rrf(60):bm25=1,pretrained=2", "convex:a=0.3,b=0.7", "rrf:a=1,a=1", "rrf(1e9):a=NaN,b=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseFusion(s)
		if err != nil {
			if !errors.Is(err, ErrRequest) {
				t.Errorf("%q: %v is not the asker's error", s, err)
			}
			return
		}
		again, err := ParseFusion(got.String())
		if err != nil || again.String() != got.String() {
			t.Errorf("%q is written as %q, which reads as %v, %v", s, got, again, err)
		}
	})
}

// watched is a shop that sees whether a processor is idle while a product is read.
type watched struct {
	shop
	idle *atomic.Bool
}

func (w watched) Product(row uint32) (catalog.Product, error) {
	w.idle.Store(processors.Idle())
	return w.shop.Product(row)
}

// Reading what is shown is work for a processor, of which batches of queries take
// account; an answered request is none.
func TestCompareIsWork(t *testing.T) {
	for range processors.Count() - 1 {
		defer processors.Work()()
	}
	var idle atomic.Bool
	idle.Store(true)
	e, err := New(Config{Products: watched{shop{n: 3}, &idle}, Systems: []System{{Name: "a", Ranker: &table{scores: map[uint32]float64{1: 1}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Compare(t.Context(), Request{Query: "x"}); err != nil {
		t.Fatal(err)
	}
	if idle.Load() {
		t.Error("nobody works while products are read")
	}
	if !processors.Idle() {
		t.Error("an answered request keeps a processor busy")
	}
}

// looker sees whether a processor is idle when it begins.
type looker struct{ busy *atomic.Int32 }

func (l looker) Rank(context.Context, Query, int) (Ranked, error) {
	if !processors.Idle() {
		l.busy.Add(1)
	}
	return Ranked{}, nil
}

// A ranking that is about to begin is work, so that a query of another one is not encoded
// by itself on the processor that the first will have.
func TestRankingsAreWork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one after the other
	for range processors.Count() - 1 {
		defer processors.Work()()
	}
	var busy atomic.Int32
	e := newEngine(t, nil, map[string]Ranker{"bm25": looker{&busy}, "pretrained": looker{&busy}})
	// If one is interrupted, the other may be over before it looks.
	for tries := 0; busy.Load() == 0; tries++ {
		if tries == 100 {
			t.Fatal("none of two rankings sees another one waiting")
		}
		if _, err := e.Compare(t.Context(), Request{Query: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if busy.Load() != 1 {
		t.Errorf("of two rankings %d see another one waiting", busy.Load())
	}
	if !processors.Idle() {
		t.Error("they are still at work")
	}
}
