package engine

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/judgments"
)

// Bounds of a request.
const (
	DefaultK      = 10
	MaxK          = 100
	MaxQueryBytes = 2000
)

// depth is how far each ranking is computed, however few hits are asked for: as
// far as fusion looks, and as a product's rank elsewhere is known.
const depth = 100

// ErrRequest marks an error that the asker can mend.
var ErrRequest = errors.New("wrong request")

func requestError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRequest, fmt.Sprintf(format, args...))
}

// Request is one query for several rankings.
type Request struct {
	Query        string   `json:"query"`
	K            int      `json:"k,omitempty"`       // hits a ranking; DefaultK if 0
	Systems      []string `json:"systems,omitempty"` // all if empty
	Filter       Filter   `json:"filter,omitzero"`
	Fusion       *Fusion  `json:"fusion,omitempty"`  // instead of the engine's own
	Explain      bool     `json:"explain,omitempty"` // adds an Explanation to each hit
	Distribution bool     `json:"distribution,omitempty"`
}

// Filter restricts what is ranked. Its parts are combined by "and", the values
// of one part by "or"; comparison ignores case. The zero Filter allows all.
type Filter struct {
	Brands     []string `json:"brands,omitempty"`
	Categories []string `json:"categories,omitempty"` // any level of the path
	MinPrice   float64  `json:"min_price,omitempty"`
	MaxPrice   float64  `json:"max_price,omitempty"` // 0: no bound; a product without price fails any bound
}

// IsZero reports whether the filter allows everything.
func (f Filter) IsZero() bool {
	return len(f.Brands) == 0 && len(f.Categories) == 0 && f.MinPrice == 0 && f.MaxPrice == 0
}

// check fills in defaults and reports what is wrong with the request.
func (r *Request) check() error {
	r.Query = strings.TrimSpace(strings.ToValidUTF8(r.Query, "\uFFFD"))
	if r.K == 0 {
		r.K = DefaultK
	}
	f := r.Filter
	switch {
	case r.Query == "":
		return requestError("the query is empty")
	case len(r.Query) > MaxQueryBytes:
		return requestError("the query has %d bytes (at most %d)", len(r.Query), MaxQueryBytes)
	case r.K < 1 || r.K > MaxK:
		return requestError("k is %d, not within 1..%d", r.K, MaxK)
	case math.IsNaN(f.MinPrice) || math.IsNaN(f.MaxPrice) || f.MinPrice < 0 || f.MaxPrice < 0:
		return requestError("a price bound is negative or not a number")
	case f.MaxPrice > 0 && f.MinPrice > f.MaxPrice:
		return requestError("the lowest price %g is above the highest %g", f.MinPrice, f.MaxPrice)
	case len(f.Brands) > 100 || len(f.Categories) > 100:
		return requestError("a filter names more than 100 values")
	}
	for _, s := range append(f.Brands, f.Categories...) {
		if !utf8.ValidString(s) {
			return requestError("a filter value is not UTF-8")
		}
	}
	return nil
}

// Response answers a Request.
type Response struct {
	Query    string    `json:"query"`
	K        int       `json:"k"`
	Depth    int       `json:"depth"` // how far Hit.Ranks looks
	TookMS   float64   `json:"took_ms"`
	Judged   int       `json:"judged"` // products judged for this very query
	Rankings []Ranking `json:"rankings"`
	// Stages are the parts of the request as a whole: the rankings side by side,
	// their fusion, and reading the products that are shown.
	Stages []Stage `json:"-"`
}

// Ranking is the answer of one system.
type Ranking struct {
	System       string        `json:"system"`
	TookMS       float64       `json:"took_ms"`
	Cached       bool          `json:"cached,omitempty"` // it is that of an earlier request
	Stages       []Stage       `json:"stages,omitempty"`
	Hits         []Hit         `json:"hits"`
	Distribution *Distribution `json:"distribution,omitempty"`
	Error        string        `json:"error,omitempty"` // why there are no hits
}

// Hit is a product in a ranking.
type Hit struct {
	Rank  int     `json:"rank"` // from 1
	ID    string  `json:"id"`
	Score float64 `json:"score"` // as the system gives it
	Row   uint32  `json:"-"`

	Title      string   `json:"title"`
	Brand      string   `json:"brand,omitempty"`
	Color      string   `json:"color,omitempty"`
	Category   []string `json:"category,omitempty"`
	Price      float64  `json:"price,omitempty"`
	Currency   string   `json:"currency,omitempty"` // of Price, as in catalog.Product
	Image      string   `json:"image,omitempty"`
	Rating     float64  `json:"rating,omitempty"`
	Popularity float64  `json:"popularity,omitempty"`

	Label judgments.Label `json:"label"`
	// Ranks holds the product's rank in each other ranking of the response
	// that has it among its first Depth.
	Ranks map[string]int `json:"ranks,omitempty"`
	// Components says how a fused score comes about.
	Components  []Component  `json:"components,omitempty"`
	Explanation *Explanation `json:"explanation,omitempty"`
}

// Component is one ranking's share of a fused score.
type Component struct {
	System       string  `json:"system"`
	Rank         int     `json:"rank,omitempty"` // 0: not among the first Depth
	Score        float64 `json:"score"`          // the system's own
	Weight       float64 `json:"weight"`
	Contribution float64 `json:"contribution"` // what it adds to the fused score
}
