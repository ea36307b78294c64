package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func placed(l List) (out []string) {
	for _, p := range l.Hits {
		out = append(out, p.ID)
	}
	return out
}

func offline(t *testing.T, lexical Ranker) *Engine {
	t.Helper()
	e, err := New(Config{
		Products: shop{n: 20},
		Systems: []System{
			{Name: "bm25", Kind: "lexical", Ranker: lexical},
			{Name: "pretrained", Kind: "dense", Ranker: &scorer{table{scores: map[uint32]float64{1: .9, 2: .8, 4: .7}}}},
		},
		Fusion: &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1, "pretrained": 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestListsAgreeWithCompare checks that an evaluation sees what shoppers see.
func TestListsAgreeWithCompare(t *testing.T) {
	e := offline(t, &scorer{table{scores: map[uint32]float64{3: 3, 1: 2, 2: 2}}})
	even, err := ParseFusion("convex:bm25=0.5,pretrained=0.5")
	if err != nil {
		t.Fatal(err)
	}
	lists, err := e.Lists(context.Background(), "mouse", []*Fusion{even})
	if err != nil {
		t.Fatal(err)
	}
	if len(lists) != 4 || lists[3].System != even.String() {
		t.Fatalf("%d lists: %+v", len(lists), lists)
	}
	for _, fusion := range []*Fusion{nil, even} {
		r, err := e.Compare(context.Background(), Request{Query: "mouse", K: 20, Fusion: fusion})
		if err != nil {
			t.Fatal(err)
		}
		for i, ranking := range r.Rankings {
			list := lists[i]
			if fusion != nil && ranking.System == Hybrid {
				list = lists[3]
			}
			if len(list.Hits) != len(ranking.Hits) {
				t.Fatalf("%s: %d hits, %d shown", list.System, len(list.Hits), len(ranking.Hits))
			}
			for j, h := range ranking.Hits {
				if h.ID != list.Hits[j].ID || h.Score != list.Hits[j].Score {
					t.Errorf("%s: hit %d is %+v, shown is %s %g", list.System, j, list.Hits[j], h.ID, h.Score)
				}
			}
		}
	}
}

func TestPool(t *testing.T) {
	e := offline(t, &scorer{table{scores: map[uint32]float64{3: 3, 1: 2, 2: 2}}})
	lists, err := e.Pool(context.Background(), "mouse", []string{"p02", "p01", "p05", "p03"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		{"p03", "p01", "p02", "p05"}, // equal scores in order of id
		{"p01", "p02", "p05", "p03"},
		{"p01", "p03", "p02", "p05"}, // 1/62+1/61, 1/61+1/64, 1/63+1/62, 1/64+1/63
	} {
		if got := placed(lists[i]); !slices.Equal(got, want) {
			t.Errorf("%s ranks %v, want %v", lists[i].System, got, want)
		}
	}
	if _, err := e.Pool(context.Background(), "mouse", []string{"p02", "p99"}, nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown product: %v", err)
	}
}

// TestListsFail checks that what fails is not taken for an empty ranking.
func TestListsFail(t *testing.T) {
	for name, lexical := range map[string]Ranker{"disk gone": &table{err: errors.New("disk gone")}, "panicked": &table{panics: true}} {
		if _, err := offline(t, lexical).Lists(context.Background(), "mouse", nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := offline(t, &table{scores: map[uint32]float64{1: 1}})
	lists, err := e.Pool(context.Background(), "mouse", []string{"p01"}, nil)
	if err != nil || lists[0].Hits != nil || lists[2].Hits != nil || len(lists[1].Hits) != 1 {
		t.Errorf("with a system that cannot score: %v, %+v", err, lists)
	}
	wrong := &Fusion{Method: RRF, Weights: map[string]float64{"bm25": 1, "nope": 1}}
	if _, err := e.Lists(context.Background(), "mouse", []*Fusion{wrong}); !errors.Is(err, ErrRequest) {
		t.Errorf("a fusion of what is not there: %v", err)
	}
	if _, err := e.Lists(context.Background(), " ", nil); !errors.Is(err, ErrRequest) {
		t.Errorf("an empty query: %v", err)
	}
}
