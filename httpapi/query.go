package httpapi

import (
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/engine"
)

// params reads the parameters of a query string. Unknown and repeated parameters
// are errors: a mistyped "system" that silently compares everything would cost its
// author more time than the message does.
type params struct {
	values url.Values
	err    error // the first one
}

// many names the parameters that may be repeated.
var many = []string{"systems", "brand", "category"}

func parseParams(raw string, known ...string) *params {
	values, err := url.ParseQuery(raw)
	p := &params{values: values}
	if err != nil {
		p.fail("the query string cannot be read: %v", err)
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		vs := values[name]
		switch {
		case !slices.Contains(known, name):
			p.fail("there is no parameter %.40q (there are: %s)", name, strings.Join(known, ", "))
		case len(vs) > 1 && !slices.Contains(many, name):
			p.fail("parameter %q is given %d times", name, len(vs))
		}
		for _, v := range vs {
			if !utf8.ValidString(v) {
				p.fail("parameter %.40q is not UTF-8", name)
			}
		}
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = badRequest(format, args...)
	}
}

func (p *params) text(name string) string { return p.values.Get(name) }

// required returns a parameter that must be there; what is wrong with a value that
// is there, even if empty, the engine says.
func (p *params) required(name string) string {
	if !p.values.Has(name) {
		p.fail("parameter %q is missing", name)
	}
	return p.text(name)
}

func (p *params) integer(name string) int {
	v := p.text(name)
	if !p.values.Has(name) {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n == 0 { // the engine takes 0 for the default
		p.fail("parameter %q is %.40q, not a positive whole number", name, v)
	}
	return n
}

func (p *params) number(name string) float64 {
	v := p.text(name)
	if !p.values.Has(name) {
		return 0
	}
	x, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		p.fail("parameter %q is %.40q, not a number", name, v)
		return 0
	}
	return x
}

func (p *params) flag(name string) bool {
	if !p.values.Has(name) {
		return false
	}
	switch v := p.text(name); v {
	case "0", "false":
		return false
	case "1", "true":
		return true
	default:
		p.fail("parameter %q is %.40q, neither 1 nor 0", name, v)
		return false
	}
}

// list returns the values of a parameter, each of which may hold several with
// commas between.
func (p *params) list(name string) (all []string) {
	for _, v := range p.values[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// nonempty returns the values of a parameter that are not empty, such as those of
// form fields that were left blank. Brands may contain commas.
func (p *params) nonempty(name string) (all []string) {
	for _, v := range p.values[name] {
		if v = strings.TrimSpace(v); v != "" {
			all = append(all, v)
		}
	}
	return all
}

var rankingParams = []string{"q", "k", "explain", "distribution", "fusion", "brand", "category", "min_price", "max_price"}

// parseCompare reads the query string of GET /v1/compare, or with one set of
// GET /v1/search, which asks for a single system.
func parseCompare(raw string, one bool) (engine.Request, error) {
	name := "systems"
	if one {
		name = "system"
	}
	p := parseParams(raw, append([]string{name}, rankingParams...)...)
	r := engine.Request{
		Query: p.required("q"),
		K:     p.integer("k"),
		Filter: engine.Filter{
			Brands: p.nonempty("brand"), Categories: p.nonempty("category"),
			MinPrice: p.number("min_price"), MaxPrice: p.number("max_price"),
		},
		Explain:      p.flag("explain"),
		Distribution: p.flag("distribution"),
	}
	if one {
		r.Systems = p.nonempty("system")
	} else {
		r.Systems = p.list("systems")
	}
	if spec := p.text("fusion"); spec != "" && p.err == nil {
		var err error
		if r.Fusion, err = engine.ParseFusion(spec); err != nil {
			return r, err
		}
	}
	return r, p.err
}
