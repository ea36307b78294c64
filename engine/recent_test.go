package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// counted is a ranker that counts how often it is asked.
type counted struct {
	scorer
	asked atomic.Int64
}

func (c *counted) Rank(ctx context.Context, q Query, k int) (Ranked, error) {
	c.asked.Add(1)
	return c.table.Rank(ctx, q, k)
}

func newRecentEngine(t *testing.T, queries int, first Ranker) *Engine {
	t.Helper()
	e, err := New(Config{
		Name: "test", Products: shop{n: 10}, Recent: queries,
		Fusion: &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1, "pretrained": 1}},
		Systems: []System{
			{Name: "bm25", Ranker: first},
			{Name: "pretrained", Ranker: &scorer{table{scores: map[uint32]float64{1: .9, 4: .8, 2: .7}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// said is a response without what differs between two of the same request.
func said(t *testing.T, r *Response) string {
	t.Helper()
	out := *r
	out.TookMS, out.Rankings = 0, append([]Ranking{}, r.Rankings...)
	for i := range out.Rankings {
		x := &out.Rankings[i]
		x.TookMS, x.Stages, x.Cached = 0, nil, false
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRecent(t *testing.T) {
	r := &counted{scorer: scorer{table{scores: map[uint32]float64{3: 5, 2: 5, 1: 7}}}}
	e := newRecentEngine(t, 2, r)
	ask := func(req Request, want int64) *Response {
		t.Helper()
		resp, err := e.Compare(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.asked.Swap(0); n != want {
			t.Errorf("%+v: the ranker was asked %d times, want %d", req, n, want)
		}
		for _, x := range resp.Rankings {
			if (x.System != Hybrid || req.Fusion == nil && req.K == 0) && x.Cached == (want == 1) {
				t.Errorf("%+v: ranking %s says cached %v", req, x.System, x.Cached)
			}
		}
		return resp
	}
	first := ask(Request{Query: "q"}, 1)
	if again := ask(Request{Query: " q "}, 0); said(t, again) != said(t, first) {
		t.Errorf("the second answer is another:\n%s\n%s", said(t, first), said(t, again))
	}
	// What is shown of rankings, and how they are fused, is not part of them.
	other, err := ParseFusion("convex:bm25=1,pretrained=3")
	if err != nil {
		t.Fatal(err)
	}
	fused := ask(Request{Query: "q", K: 2, Fusion: other, Explain: true, Distribution: true}, 0)
	want, err := newRecentEngine(t, 0, r).Compare(t.Context(), Request{Query: "q", K: 2, Fusion: other, Explain: true, Distribution: true})
	if err != nil || said(t, fused) != said(t, want) {
		t.Errorf("%v\n%s\n%s", err, said(t, fused), said(t, want))
	}
	r.asked.Store(0)
	// What is allowed is.
	ask(Request{Query: "q", Filter: Filter{MinPrice: 2}}, 1)
	ask(Request{Query: "q", Filter: Filter{MinPrice: 2}}, 0)
	ask(Request{Query: "q", Filter: Filter{MinPrice: 3}}, 1) // the first is forgotten
	ask(Request{Query: "q"}, 1)
	long := Filter{Brands: []string{strings.Repeat("x", maxFilterKey)}}
	ask(Request{Query: "q", Filter: long}, 1)
	ask(Request{Query: "q", Filter: long}, 1)
}

// TestRecentFailure checks that a failure is not kept.
func TestRecentFailure(t *testing.T) {
	r := &counted{scorer: scorer{table{err: errors.New("not now")}}}
	e := newRecentEngine(t, 10, r)
	for range 2 {
		resp, err := e.Compare(t.Context(), Request{Query: "q"})
		if err != nil || resp.Rankings[0].Error == "" {
			t.Errorf("%+v, %v", resp, err)
		}
	}
	r.err, r.scores = nil, map[uint32]float64{3: 5}
	resp, err := e.Compare(t.Context(), Request{Query: "q"})
	if err != nil || len(resp.Rankings[0].Hits) != 1 || r.asked.Load() != 3 {
		t.Errorf("asked %d times: %+v, %v", r.asked.Load(), resp, err)
	}
}

// TestRecentTogether has many ask the same at once, with annotations that add to
// answers, for the race detector.
func TestRecentTogether(t *testing.T) {
	e := newRecentEngine(t, 3, &counted{scorer: scorer{table{scores: map[uint32]float64{3: 5, 2: 5, 1: 7}}}})
	want := map[string]string{}
	for i := range 5 {
		q := fmt.Sprint("q", i)
		resp, err := newRecentEngine(t, 0, &scorer{table{scores: map[uint32]float64{3: 5, 2: 5, 1: 7}}}).Compare(t.Context(), Request{Query: q, Distribution: true, Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		want[q] = said(t, resp)
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				q := fmt.Sprint("q", (g+i)%5)
				resp, err := e.Compare(t.Context(), Request{Query: q, Distribution: true, Explain: true})
				if err != nil {
					t.Error(err)
				} else if got := said(t, resp); got != want[q] {
					t.Errorf("%s\n%s", got, want[q])
				}
			}
		})
	}
	all.Wait()
}
