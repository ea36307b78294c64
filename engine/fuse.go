package engine

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The two ways of fusing.
const (
	// RRF adds weight/(constant+rank) over the rankings that have the product
	// among their first hits (Cormack, Clarke and Büttcher, SIGIR 2009).
	RRF = "rrf"
	// Convex adds weight*(score-min)/(max-min), min and max being those of the
	// ranking's first hits, the weights being scaled to sum to 1 (Bruch, Gai
	// and Ingber, TOIS 2023). A product that is missing from a ranking's first
	// hits is scored by it all the same, if it can score any product.
	Convex = "convex"
)

// Fusion says how rankings are joined into one.
type Fusion struct {
	Method   string             `json:"method"`             // RRF or Convex
	Constant float64            `json:"constant,omitempty"` // of RRF; 60 if 0
	Weights  map[string]float64 `json:"weights"`            // by system; at least two
}

// systems returns the names of the rankings that are joined, in order.
func (f *Fusion) systems() []string { return slices.Sorted(maps.Keys(f.Weights)) }

// String writes the fusion as ParseFusion reads it.
func (f *Fusion) String() string {
	var b strings.Builder
	b.WriteString(f.Method)
	if f.Method == RRF && f.Constant != 0 {
		fmt.Fprintf(&b, "(%s)", strconv.FormatFloat(f.Constant, 'g', -1, 64))
	}
	for i, s := range f.systems() {
		fmt.Fprintf(&b, "%c%s=%s", ":,"[min(i, 1)], s, strconv.FormatFloat(f.Weights[s], 'g', -1, 64))
	}
	return b.String()
}

var fusionSyntax = regexp.MustCompile(`^(rrf|convex)(?:\(([0-9.]{1,12})\))?:(.+)$`)

// ParseFusion reads a fusion such as "rrf(60):bm25=1,pretrained=2" or
// "convex:bm25=0.3,pretrained=0.7".
func ParseFusion(s string) (*Fusion, error) {
	bad := func(why string) error {
		return requestError("fusion %.80q %s (write it as rrf(60):bm25=1,pretrained=1 or convex:bm25=0.3,pretrained=0.7)", s, why)
	}
	m := fusionSyntax.FindStringSubmatch(s)
	if m == nil {
		return nil, bad("cannot be read")
	}
	f := &Fusion{Method: m[1], Weights: map[string]float64{}}
	if m[2] != "" {
		c, err := strconv.ParseFloat(m[2], 64)
		if err != nil || f.Method != RRF {
			return nil, bad("has a constant that is no number, or that its method does not take")
		}
		f.Constant = c
	}
	for _, part := range strings.Split(m[3], ",") {
		name, value, ok := strings.Cut(part, "=")
		w, err := strconv.ParseFloat(value, 64)
		if _, twice := f.Weights[name]; !ok || err != nil || name == "" || twice {
			return nil, bad("has a weight that cannot be read, or one system twice")
		}
		f.Weights[name] = w
	}
	return f, f.check()
}

// check reports what is wrong with the fusion itself.
func (f *Fusion) check() error {
	if f.Method != RRF && f.Method != Convex {
		return requestError("fusion method %.20q is neither %s nor %s", f.Method, RRF, Convex)
	}
	if math.IsNaN(f.Constant) || f.Constant < 0 || f.Constant > 1e6 {
		return requestError("fusion constant %g is not within 0..1e6", f.Constant)
	}
	if len(f.Weights) < 2 || len(f.Weights) > 16 {
		return requestError("a fusion joins 2 to 16 systems, not %d", len(f.Weights))
	}
	sum := 0.
	for name, w := range f.Weights {
		if math.IsNaN(w) || w < 0 || w > 1e6 {
			return requestError("fusion weight %g of %.40q is not within 0..1e6", w, name)
		}
		sum += w
	}
	if sum == 0 {
		return requestError("all fusion weights are 0")
	}
	return nil
}

// fused is a product in a fused ranking.
type fused struct {
	Scored
	parts []Component // in order of system name
}

// component is one of the rankings that a fusion joins.
type component struct {
	system string
	hits   []Scored // in order, at most depth
	// score fills in the scores of products that are not among hits; nil if
	// the system cannot.
	score func(rows []uint32, dst []float64) error
}

// byScores reports whether a fusion looks at the scores of its components, also of
// products that they did not return; otherwise these are only for showing.
func (f *Fusion) byScores() bool { return f.Method == Convex }

// fuse joins components, which are in order of name, into one list, not sorted.
func (f *Fusion) fuse(components []component) ([]fused, error) {
	n := 0
	for c := range components {
		n += len(components[c].hits)
	}
	at := make(map[uint32]int, n)
	out := make([]fused, 0, n)
	all := make([]Component, n*len(components)) // of each
	for c := range components {
		for rank, h := range components[c].hits {
			i, ok := at[h.Row]
			if !ok {
				i = len(out)
				at[h.Row] = i
				parts := all[:len(components):len(components)]
				all = all[len(components):]
				for j := range parts {
					parts[j] = Component{System: components[j].system, Weight: f.Weights[components[j].system]}
				}
				out = append(out, fused{Scored{Row: h.Row}, parts})
			}
			out[i].parts[c].Rank, out[i].parts[c].Score = rank+1, h.Score
		}
	}
	if f.byScores() {
		if err := fillScores(out, components); err != nil {
			return nil, err
		}
	}
	switch f.Method {
	case RRF:
		constant := f.Constant
		if constant == 0 {
			constant = 60
		}
		for i := range out {
			for c := range out[i].parts {
				if p := &out[i].parts[c]; p.Rank > 0 {
					p.Contribution = p.Weight / (constant + float64(p.Rank))
				}
			}
		}
	case Convex:
		sum := 0.
		for _, c := range components {
			sum += f.Weights[c.system]
		}
		for c := range components {
			hits := components[c].hits
			if len(hits) == 0 {
				continue
			}
			low, high := hits[len(hits)-1].Score, hits[0].Score
			for i := range out {
				p := &out[i].parts[c]
				if p.Rank == 0 && components[c].score == nil {
					continue
				}
				normal := 1. // all first hits equally good
				switch {
				case high > low:
					normal = max(0, (p.Score-low)/(high-low))
				case p.Score < low:
					normal = 0
				}
				p.Contribution = p.Weight / sum * normal
			}
		}
	}
	for i := range out {
		for _, p := range out[i].parts {
			out[i].Score += p.Contribution
		}
	}
	return out, nil
}

// fillScores gives the products that a component did not return the score that it
// would have given them.
func fillScores(out []fused, components []component) error {
	for c := range components {
		if components[c].score == nil {
			continue
		}
		var rows []uint32
		var places []int
		for i := range out {
			if out[i].parts[c].Rank == 0 {
				rows, places = append(rows, out[i].Row), append(places, i)
			}
		}
		if len(rows) == 0 {
			continue
		}
		scores := make([]float64, len(rows))
		if err := components[c].score(rows, scores); err != nil {
			return fmt.Errorf("cannot score the candidates of other rankings by %s: %w", components[c].system, err)
		}
		for j, i := range places {
			out[i].parts[c].Score = scores[j]
		}
	}
	return nil
}
