package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

func systems(r engine.Response) (names []string) {
	for _, k := range r.Rankings {
		names = append(names, k.System)
	}
	return names
}

func TestCompare(t *testing.T) {
	c := serve(t, sample(t).Engine(nil), httpapi.Options{})
	var r engine.Response
	c.get("/v1/compare?q=wireless+mouse&k=5&distribution=1&explain=1").is(200).into(&r)
	if got := systems(r); !slices.Equal(got, []string{"bm25", "pretrained", "finetuned", "hybrid"}) {
		t.Errorf("systems %v", got)
	}
	if r.Query != "wireless mouse" || r.K != 5 || r.Judged == 0 {
		t.Errorf("query %q, k %d, judged %d", r.Query, r.K, r.Judged)
	}
	for _, k := range r.Rankings {
		if len(k.Hits) != 5 || k.Error != "" {
			t.Errorf("%s: %d hits, error %q", k.System, len(k.Hits), k.Error)
		}
		if k.System != "hybrid" && (k.Distribution == nil || k.Hits[0].Explanation == nil) {
			t.Errorf("%s: without distribution or explanation", k.System)
		}
	}

	c.get("/v1/compare?q=mouse&systems=hybrid,bm25&fusion=" + url.QueryEscape("convex:bm25=0.3,pretrained=0.7")).is(200).into(&r)
	if got := systems(r); !slices.Equal(got, []string{"hybrid", "bm25"}) {
		t.Errorf("systems %v", got)
	}
	if parts := r.Rankings[0].Hits[0].Components; len(parts) != 2 || parts[1].System != "pretrained" || parts[1].Weight != .7 {
		t.Errorf("components %+v", parts)
	}

	c.get("/v1/compare?q=charger&brand=voltaro&brand=Ampwick&category=Wall+Chargers&min_price=5&max_price=20").is(200).into(&r)
	for _, k := range r.Rankings {
		for _, h := range k.Hits {
			if (h.Brand != "Voltaro" && h.Brand != "Ampwick") || h.Price < 5 || h.Price > 20 || !slices.Contains(h.Category, "Wall Chargers") {
				t.Errorf("%s: filter let %+v pass", k.System, h)
			}
		}
	}
}

func TestBadQueryStrings(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{})
	for target, detail := range map[string]string{
		"/v1/compare":                                       `"q" is missing`,
		"/v1/compare?q=":                                    "query is empty",
		"/v1/compare?q=%20":                                 "query is empty",
		"/v1/compare?q=a&k=0":                               `"k" is "0"`,
		"/v1/compare?q=a&k=-1":                              "k is -1",
		"/v1/compare?q=a&k=101":                             "1..100",
		"/v1/compare?q=a&k=ten":                             `"ten"`,
		"/v1/compare?q=a&k=99999999999999999999":            "whole number",
		"/v1/compare?q=a&q=b":                               "given 2 times",
		"/v1/compare?q=a&system=bm25":                       `no parameter "system"`,
		"/v1/compare?q=a&systems=bm25,bm26":                 `no system "bm26"`,
		"/v1/compare?q=a&systems=bm25&systems=bm25":         "named twice",
		"/v1/compare?q=a&explain=yes":                       "neither 1 nor 0",
		"/v1/compare?q=a&min_price=NaN":                     "not a number",
		"/v1/compare?q=a&max_price=Inf":                     "not a number",
		"/v1/compare?q=a&min_price=-1":                      "negative",
		"/v1/compare?q=a&min_price=5&max_price=4":           "above",
		"/v1/compare?q=%ff":                                 "not UTF-8",
		"/v1/compare?q=a&brand=%c3%28":                      "not UTF-8",
		"/v1/compare?q=%zz":                                 "cannot be read",
		"/v1/compare?q=a;b=c":                               "cannot be read",
		"/v1/compare?q=a&fusion=rrf":                        "write it as",
		"/v1/compare?q=a&fusion=rrf:bm25=1,x=1":             `no ranking "x"`,
		"/v1/compare?q=" + strings.Repeat("a", 2001):        "2001 bytes",
		"/v1/compare?q=a" + strings.Repeat("&brand=b", 101): "more than 100",
		"/v1/search?q=a&systems=bm25":                       `no parameter "systems"`,
		"/v1/search?q=a&system=x":                           `no system "x"`,
		"/v1/search?q=a&system=bm25,pretrained":             "no system",
		"/v1/products/T001?x=1":                             `no parameter "x"`,
		"/v1/products/T001/similar?k=101":                   "1..100",
		"/v1/products/T001/similar?system=bm25":             "cannot compare",
	} {
		p := c.get(target).problem(400, detail)
		if p.Type != "urn:trirank:problem:bad-request" {
			t.Errorf("%s: type %s", clip(target), p.Type)
		}
	}
	c.get("/v1/compare?q="+strings.Repeat("%61", 4500)).problem(414, "too long")
	c.get("/v1/compare?q="+strings.Repeat("a", 20_000)).problem(431, "bytes")
	c.get("/v1/info", "X-Long", strings.Repeat("a", 20_000)).problem(431, "bytes")
}

func TestSearch(t *testing.T) {
	faults := &fakeshop.Faults{}
	c := serve(t, sample(t).Engine(faults), httpapi.Options{})
	var k engine.Ranking
	c.get("/v1/search?q=wireless+mouse&k=3").is(200).into(&k)
	if k.System != "hybrid" || len(k.Hits) != 3 {
		t.Errorf("%s, %d hits", k.System, len(k.Hits))
	}
	c.get("/v1/search?q=wireless+mouse&system=bm25").is(200).into(&k)
	if k.System != "bm25" || len(k.Hits) != 10 {
		t.Errorf("%s, %d hits", k.System, len(k.Hits))
	}
	broken := "bm25"
	faults.Fail.Store(&broken)
	c.get("/v1/search?q=wireless+mouse&system=bm25").problem(500, "on strike")
}

func TestFailingRanking(t *testing.T) {
	faults := &fakeshop.Faults{}
	c := serve(t, sample(t).Engine(faults), httpapi.Options{})
	broken := "pretrained"
	faults.Fail.Store(&broken)
	var r engine.Response
	c.get("/v1/compare?q=mouse").is(200).into(&r)
	for _, k := range r.Rankings {
		if failed := k.Error != ""; failed != (k.System == broken) {
			t.Errorf("%s: error %q", k.System, k.Error)
		}
	}
	faults.Fail.Store(nil)
	faults.Panic.Store(true)
	a := c.get("/v1/compare?q=mouse&systems=bm25").is(200).into(&r)
	if !strings.Contains(r.Rankings[0].Error, "panicked") || bytes.Contains(a.body, []byte("goroutine")) {
		t.Errorf("a ranking that panicked says %q", r.Rankings[0].Error)
	}
	if !strings.Contains(c.log.String(), "goroutine") {
		t.Error("the stack is not in the log")
	}
	if m := string(c.get("/metrics").body); !strings.Contains(m, `trirank_ranking_errors_total{system="bm25"} 1`) {
		t.Error("the failure is not counted")
	}
}

func TestBatch(t *testing.T) {
	c := serve(t, sample(t).Engine(nil), httpapi.Options{MaxBatch: 20, MaxConcurrent: 3})
	type item struct {
		engine.Response
		Error *httpapi.Problem `json:"error"`
	}
	var out struct {
		Responses []item `json:"responses"`
	}
	c.do("POST", "/v1/compare", `{"queries": [
		{"query": "mouse", "k": 2, "systems": ["bm25"]},
		{"query": " "},
		{"query": "cable", "filter": {"max_price": 10}, "fusion": {"method": "rrf", "weights": {"bm25": 1, "pretrained": 2}}}]}`).is(200).into(&out)
	if len(out.Responses) != 3 {
		t.Fatalf("%d responses", len(out.Responses))
	}
	if r := out.Responses[0]; r.Query != "mouse" || len(r.Rankings) != 1 || r.Error != nil {
		t.Errorf("first: %+v", r)
	}
	if r := out.Responses[1]; r.Error == nil || r.Error.Status != 400 || r.Rankings != nil {
		t.Errorf("second: %+v", r)
	}
	if r := out.Responses[2]; r.Query != "cable" || len(r.Rankings) != 4 {
		t.Errorf("third: %+v", r)
	}

	var queries []engine.Request
	for i := range 20 {
		queries = append(queries, engine.Request{Query: fmt.Sprint("mouse ", i)})
	}
	b, _ := json.Marshal(map[string]any{"queries": queries})
	c.do("POST", "/v1/compare", string(b)).is(200).into(&out)
	for i, r := range out.Responses {
		if r.Query != queries[i].Query {
			t.Errorf("response %d is to %q", i, r.Query)
		}
	}

	for body, want := range map[string]struct {
		status int
		detail string
	}{
		`{`:                                      {400, "unexpected EOF"},
		` `:                                      {400, "the body is empty"},
		`[]`:                                     {400, "cannot be read"},
		`{}`:                                     {400, "no queries"},
		`null`:                                   {400, "no queries"},
		`{"queries": []}`:                        {400, "no queries"},
		`{"queries": [{}]} {}`:                   {400, "goes on"},
		`{"querys": [{}]}`:                       {400, "unknown field"},
		`{"queries": [{"query": 5}]}`:            {400, "cannot be read"},
		"{\"queries\": [{\"query\": \"\xff\"}]}": {400, "not UTF-8"},
		`{"queries": ` + strings.Repeat("[", 20_000):         {400, "cannot be read"},
		`{"queries": [` + strings.Repeat("{},", 20) + `{}]}`: {413, "--max-batch"},
	} {
		c.do("POST", "/v1/compare", body).problem(want.status, want.detail)
	}
	c.do("POST", "/v1/compare", `{}`, "Content-Type", "text/plain").problem(415, "application/json")
	c.do("POST", "/v1/compare", `{}`, "Content-Type", "application/json; charset=latin1").problem(415, "JSON")
	c.do("POST", "/v1/compare", `{}`, "Content-Encoding", "gzip").problem(415, "compressed")
}

func TestLateBatch(t *testing.T) {
	faults := &fakeshop.Faults{}
	faults.SetDelay(2 * time.Second) // the first is in time, by far, and the third cannot be
	c := serve(t, fakeshop.Tiny(3).Engine(faults), httpapi.Options{RequestTimeout: 3500 * time.Millisecond, MaxConcurrent: 1})
	var out struct {
		Responses []struct {
			Rankings []engine.Ranking
			Error    *httpapi.Problem `json:"error"`
		} `json:"responses"`
	}
	c.do("POST", "/v1/compare", `{"queries": [{"query": "thing"}, {"query": "thing"}, {"query": "thing"}]}`).is(200).into(&out)
	if out.Responses[0].Error != nil || out.Responses[2].Error == nil || out.Responses[2].Error.Status != 504 {
		t.Errorf("%+v", out)
	}
}

func TestCompression(t *testing.T) {
	c := serve(t, sample(t).Engine(nil), httpapi.Options{})
	plain := c.get("/v1/compare?q=mouse&systems=bm25").is(200)
	a := c.get("/v1/compare?q=mouse&systems=bm25", "Accept-Encoding", "br, gzip").is(200)
	if a.header.Get("Content-Encoding") != "gzip" || len(a.body) >= len(plain.body)/2 || a.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v, %d of %d bytes", a.header, len(a.body), len(plain.body))
	}
	zr, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil || !json.Valid(b) {
		t.Errorf("unpacked: %v", err)
	}
	if a := c.get("/v1/compare?q=mouse", "Accept-Encoding", "gzip;q=0"); a.header.Get("Content-Encoding") != "" {
		t.Error("compressed for a client that refuses it")
	}
	if a := c.get("/livez", "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" {
		t.Error("compressed a few bytes")
	}
}
