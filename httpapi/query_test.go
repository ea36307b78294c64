package httpapi

import (
	"errors"
	"math"
	"net/url"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/trirank/trirank/engine"
)

func TestParseCompare(t *testing.T) {
	got, err := parseCompare("q=a+b&k=7&systems=x,+y&systems=z&explain=true&distribution=1&fusion=rrf(10):x=1,y=2&brand=A,+Inc.&brand=&category=C&min_price=1.5&max_price=1e2", false)
	want := engine.Request{
		Query: "a b", K: 7, Systems: []string{"x", "y", "z"}, Explain: true, Distribution: true,
		Filter: engine.Filter{Brands: []string{"A, Inc."}, Categories: []string{"C"}, MinPrice: 1.5, MaxPrice: 100},
		Fusion: &engine.Fusion{Method: engine.RRF, Constant: 10, Weights: map[string]float64{"x": 1, "y": 2}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	got, err = parseCompare("q=a&system=x", true)
	if err != nil || !reflect.DeepEqual(got, engine.Request{Query: "a", Systems: []string{"x"}}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzParseCompare(f *testing.F) {
	for _, s := range []string{
		"", "q=a", "q=a&k=10&systems=a,b", "q=%ff", "q=%", "q=a;b", "q=a&q=b", "q=a&min_price=NaN", "q=a&max_price=1e999",
		"q=a&fusion=rrf(60):bm25=1,pretrained=1", "q=a&fusion=convex:a=0.1,b=0.9", "q=a&fusion=rrf():=,=", "systems=,,,&q=", "q=a&explain=1&brand=x&brand=y",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, raw string, one bool) {
		r, err := parseCompare(raw, one)
		if err != nil {
			if p := asProblem(err); p.Status != 400 || !utf8.ValidString(p.Detail) && utf8.ValidString(raw) {
				t.Errorf("%q: problem %+v", raw, p)
			}
			var p *Problem
			if !errors.As(err, &p) && !errors.Is(err, engine.ErrRequest) {
				t.Errorf("%q: error of another kind: %v", raw, err)
			}
			return
		}
		for _, x := range []float64{r.Filter.MinPrice, r.Filter.MaxPrice} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("%q: price %v", raw, x)
			}
		}
		texts := append(append([]string{r.Query}, r.Systems...), append(r.Filter.Brands, r.Filter.Categories...)...)
		for _, s := range texts {
			if !utf8.ValidString(s) {
				t.Errorf("%q: %q is not UTF-8", raw, s)
			}
		}
		// Spelt again, it is read the same.
		values, _ := url.ParseQuery(raw)
		again, err := parseCompare(values.Encode(), one)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q: %+v, again %+v, %v", raw, r, again, err)
		}
	})
}
