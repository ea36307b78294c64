package stats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/judgments"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// shop is a catalogue in memory.
type shop struct {
	products  []catalog.Product
	judgments []judgments.Judgment
	broken    error // yielded after the products
}

func (s shop) Name() string { return "shop" }
func (s shop) Hash() string { return "0123456789abcdef" }
func (s shop) Rows() int    { return len(s.products) }

func (s shop) Products() iter.Seq2[catalog.Product, error] {
	return func(yield func(catalog.Product, error) bool) {
		for _, p := range s.products {
			if !yield(p, nil) {
				return
			}
		}
		if s.broken != nil {
			yield(catalog.Product{}, s.broken)
		}
	}
}

func (s shop) Judgments() iter.Seq2[judgments.Judgment, error] {
	return func(yield func(judgments.Judgment, error) bool) {
		for _, j := range s.judgments {
			if !yield(j, nil) {
				return
			}
		}
	}
}

func compute(t testing.TB, c Catalog, o Options) *Report {
	t.Helper()
	r, err := Compute(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func html(t testing.TB, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGolden compares the report of the sample with testdata; -update rewrites it.
func TestGolden(t *testing.T) {
	r := compute(t, catalog.Sample(), Options{})
	numbers, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"sample.json": string(numbers) + "\n", "sample.html": html(t, r)} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s has changed (go test -update ./catalog/stats, then look at the difference)", path)
		}
	}
}

func TestCompute(t *testing.T) {
	c := shop{
		products: []catalog.Product{
			{ID: "1", Title: "Red Mug", Brand: "A", Category: []string{"Home", "Mugs"}, Price: 5, Popularity: 100, Rating: 4.5},
			{ID: "2", Title: "red  mug", Brand: "A", Category: []string{"Home", "Pots"}, Description: "one two three"},
			{ID: "3", Title: "Red Mug", Brand: "B", Popularity: 1},
			{ID: "4", Title: "Lamp"},
		},
		judgments: []judgments.Judgment{
			{QueryID: "a", Query: "red mug, red", Product: "1", Label: judgments.Exact, Split: "train"},
			{QueryID: "a", Query: "red mug, red", Product: "4", Label: judgments.Irrelevant, Split: "train"},
			{QueryID: "b", Query: "blue mug", Product: "1", Label: judgments.Substitute},
			{QueryID: "c", Query: "???", Product: "1", Label: judgments.Complement},
		},
	}
	r := compute(t, c, Options{Top: 1})
	if r.Products != 4 || r.Judgments != 4 || r.Queries != 3 || r.Judged != 2 {
		t.Errorf("%d products, %d judgements, %d queries, %d judged", r.Products, r.Judgments, r.Queries, r.Judged)
	}
	if got := fmt.Sprint(r.Labels); got != "[{all [{E 1} {S 1} {C 1} {I 1}]} {none [{E 0} {S 1} {C 1} {I 0}]} {train [{E 1} {S 0} {C 0} {I 1}]}]" {
		t.Errorf("labels %+v", r.Labels)
	}
	if d := r.Duplicates; d.Exact != 1 || d.Folded != 2 || d.Examples[0] != (Ranked{"red mug", 3}) {
		t.Errorf("duplicates %+v", d)
	}
	if b := r.Brands; b.Distinct != 2 || b.None != 1 || b.Single != 1 || b.Top[0] != (Ranked{"A", 2}) || math.Abs(b.Tail-1.0/3) > 1e-5 {
		t.Errorf("brands %+v", b)
	}
	if r.Departments.Top[0].Text != "Home" || r.Categories.Top[0].Text != "Mugs" {
		t.Errorf("departments %+v, categories %+v", r.Departments, r.Categories)
	}
	var shares []string
	for _, o := range r.QueryWordsInTitles {
		shares = append(shares, fmt.Sprintf("%v %d %g", o.Label, o.Count, o.Mean))
	}
	if got := strings.Join(shares, ", "); got != "E 1 1, S 1 0.5, I 1 0" {
		t.Errorf("shares %s", got)
	}
	if got := fmt.Sprint(r.PopularityByRank); got != "[{1 100} {2 1}]" {
		t.Errorf("popularity by rank %s", got)
	}
	if d := r.Rating; d.P50 != 4.5 || d.Bins[8] != (Bin{4.5, 5, 1}) {
		t.Errorf("rating %+v", d)
	}
	if f := r.Fields[len(r.Fields)-1]; f != (Field{"popularity", 2, 2}) {
		t.Errorf("field %+v", f)
	}
}

func TestLengthsAreCountedAsTold(t *testing.T) {
	r := compute(t, catalog.Sample(), Options{Count: func(s string) (int, error) { return len(s), nil }, Unit: "bytes", LengthSample: 100})
	if r.Lengths[0].Text != "query" || r.Lengths[1].Unit != "bytes" || r.Lengths[1].Count != 88 || !strings.Contains(r.Notes[0], "every 5th product") {
		t.Errorf("%+v, notes %q", r.Lengths[1], r.Notes)
	}
	broken := errors.New("broken")
	_, err := Compute(context.Background(), catalog.Sample(), Options{Count: func(string) (int, error) { return 0, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestErrorsAndInterruption(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Compute(context.Background(), shop{broken: broken}, Options{}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compute(ctx, catalog.Sample(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestExtremes makes pages of catalogues that lack everything, or overdo it.
func TestExtremes(t *testing.T) {
	for name, c := range map[string]shop{
		"empty": {},
		"bare":  {products: []catalog.Product{{ID: "1", Title: "t"}}},
		"huge": {products: []catalog.Product{{ID: "1", Title: strings.Repeat("word ", 100_000), Price: 1e300, Rating: 1e300, Popularity: 1e300},
			{ID: "2", Title: "t", Price: 1e-300, Rating: 1e-300, Popularity: 1e-300}},
			judgments: []judgments.Judgment{{QueryID: "q", Query: "q", Product: "gone", Label: judgments.Exact}}},
	} {
		page := html(t, compute(t, c, Options{}))
		for _, bad := range []string{"NaN", "Inf", "ZgotmplZ", "&lt;nil"} {
			if strings.Contains(page, bad) {
				t.Errorf("the page of %s has %s", name, bad)
			}
		}
		if len(page) > 1<<20 {
			t.Errorf("the page of %s has %d bytes", name, len(page))
		}
	}
}

func TestHostileTextIsEscaped(t *testing.T) {
	evil := `</title></svg><script>alert(1)</script><img src=x onerror="alert(1)">' " & javascript:alert(1)`
	p := catalog.Product{ID: "1", Title: evil, Brand: evil, Category: []string{evil}, Price: 1}
	q := p
	q.ID = "2"
	r := compute(t, shop{products: []catalog.Product{p, q}, judgments: []judgments.Judgment{{QueryID: evil, Query: evil, Product: "1", Label: judgments.Exact, Split: evil}}}, Options{})
	r.Name, r.Notes = evil, []string{evil}
	page := html(t, r)
	if strings.Contains(page, "<script") || strings.Contains(page, "<img") || strings.Contains(page, "</title></svg>") {
		t.Error("markup of a product is in the page")
	}
	if n := strings.Count(page, "&lt;script&gt;"); n < 6 {
		t.Errorf("the text is shown %d times, want 6 or more", n)
	}
}

func TestSketch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s, whole := newSketch(false), newSketch(true)
	var values, wholes []float64
	for range 100_000 {
		x := math.Exp(random.NormFloat64() * 3)
		n := float64(random.IntN(500))
		s.add(x)
		whole.add(n)
		values, wholes = append(values, x), append(wholes, n)
	}
	slices.Sort(values)
	slices.Sort(wholes)
	for _, q := range []float64{.01, .05, .25, .5, .95, .99, 1} {
		i := int(math.Ceil(q*100_000)) - 1
		if got, want := s.quantile(q), values[i]; math.Abs(got/want-1) > .01 {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
		if got := whole.quantile(q); got != wholes[i] {
			t.Errorf("quantile %g is %g, want %g", q, got, wholes[i])
		}
	}
	for name, d := range map[string]*Distribution{"log": s.distribution(s.logarithmic()), "linear": whole.distribution(whole.linear())} {
		n := 0
		for i, b := range d.Bins {
			n += b.Count
			if i > 0 && b.From != d.Bins[i-1].To {
				t.Errorf("%s: a gap between %v and %v", name, d.Bins[i-1], b)
			}
		}
		if n != 100_000 || d.Bins[0].From > d.Min || d.Bins[len(d.Bins)-1].To < d.Max {
			t.Errorf("%s: %d in %d bins from %g to %g", name, n, len(d.Bins), d.Bins[0].From, d.Bins[len(d.Bins)-1].To)
		}
	}
}

func BenchmarkCompute(b *testing.B) {
	c := catalog.Sample()
	b.ReportAllocs()
	for b.Loop() {
		compute(b, c, Options{})
	}
	b.ReportMetric(float64(c.Rows())*float64(b.N)/b.Elapsed().Seconds(), "products/s")
}
