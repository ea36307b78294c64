package httpapi_test

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

func TestReadiness(t *testing.T) {
	c := serve(t, nil, httpapi.Options{})
	c.get("/livez").is(200)
	c.get("/readyz").problem(503, "no index")
	c.get("/v1/info").problem(503, "no index")
	c.get("/v1/compare?q=a").problem(503, "no index")
	c.get("/").is(200)
	<-c.SetEngine(fakeshop.Tiny(3).Engine(nil))
	c.get("/readyz").is(200)
	c.get("/v1/compare?q=thing").is(200)
}

func TestInfo(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{Version: "v1.2.3"})
	var info struct {
		Version  string
		Products int
		Systems  []struct{ Name, Kind string }
		Fusion   string
		Limits   map[string]int
	}
	c.get("/v1/info").is(200).into(&info)
	if info.Version != "v1.2.3" || info.Products != 3 || len(info.Systems) != 4 || info.Fusion == "" || info.Limits["max_k"] != 100 {
		t.Errorf("%+v", info)
	}
}

func TestMethods(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{})
	c.get("/nope").problem(404, "openapi.yaml")
	c.get("//v1/compare?q=a").problem(404, "")
	c.get("/v1/compare/?q=a").problem(404, "")
	if a := c.do("DELETE", "/v1/compare", ""); a.header.Get("Allow") != "GET, HEAD, POST, OPTIONS" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	c.do("PUT", "/v1/info", "{}").problem(405, "GET, HEAD, OPTIONS")
	full := c.get("/v1/search?q=thing").is(200)
	head := c.do("HEAD", "/v1/search?q=thing", "").is(200)
	if len(head.body) != 0 || head.header.Get("Content-Type") != full.header.Get("Content-Type") || head.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %v", head.header)
	}
	c.do("HEAD", "/nope", "").is(404)
	if a := c.do("OPTIONS", "/v1/info", "", "Origin", "https://a.example").is(204); a.header.Get("Allow") == "" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS: %v", a.header)
	}
}

func TestCORS(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{AllowOrigins: []string{"https://a.example"}})
	a := c.get("/v1/info", "Origin", "https://a.example")
	if a.header.Get("Access-Control-Allow-Origin") != "https://a.example" || !strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
		t.Errorf("%v", a.header)
	}
	if a := c.get("/v1/info", "Origin", "https://b.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", a.header)
	}
	a = c.do("OPTIONS", "/v1/compare", "", "Origin", "https://a.example", "Access-Control-Request-Method", "POST").is(204)
	if !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("%v", a.header)
	}
	if a := c.get("/v1/compare", "Origin", "https://a.example"); a.header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("a page cannot read why its request was refused")
	}
}

func TestRequestID(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{})
	if a := c.get("/livez", "X-Request-ID", "abc-1"); a.header.Get("X-Request-ID") != "abc-1" {
		t.Errorf("%v", a.header)
	}
	if a := c.get("/livez", "X-Request-ID", "no spaces {}"); len(a.header.Get("X-Request-ID")) != 16 {
		t.Errorf("%v", a.header)
	}
	c.get("/v1/compare?q=thing&k=0", "X-Request-ID", "find-me")
	if log := c.log.String(); !regexp.MustCompile(`"id":"find-me","method":"GET","uri":"/v1/compare\?q=thing&k=0","route":"/v1/compare","status":400,.*"error":"Bad Request`).MatchString(log) {
		t.Errorf("log: %s", log)
	}
}

func TestPageHeaders(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{})
	a := c.get("/").is(200)
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'self'") || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Referrer-Policy") == "" {
		t.Errorf("%v", a.header)
	}
	c.get("/", "If-None-Match", a.header.Get("ETag")).is(304)
	assets := regexp.MustCompile(`"(assets/[^"]+)"`).FindAllStringSubmatch(string(a.body), -1)
	if len(assets) < 2 {
		t.Fatalf("the page names %d assets", len(assets))
	}
	for _, m := range assets {
		a := c.get("/" + m[1]).is(200)
		if !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("Content-Type") == "" {
			t.Errorf("%s: %v", m[1], a.header)
		}
	}
	c.get("/assets/0/main.js").problem(404, "version")
	c.get("/assets/../doc.go").problem(404, "")
	c.get("/assets/x/..%2f..%2fdoc.go").problem(404, "")
	if strings.Contains(string(a.body), "<script>") || strings.Contains(string(a.body), " style=") {
		t.Error("the page holds what its security policy forbids")
	}
}

func TestMetrics(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{
		Version:      "v1",
		ExtraMetrics: func(w io.Writer) { fmt.Fprintln(w, "trirank_gpu_utilization_ratio{gpu=\"0\"} 0.5") },
	})
	for range 3 {
		c.get("/v1/compare?q=thing").is(200)
	}
	c.get("/v1/compare?q=").is(400)
	text := string(c.get("/metrics").is(200).body)
	values := map[string]float64{}
	typed := map[string]bool{}
	sampleLine := regexp.MustCompile(`^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)*\})? ([-+0-9.eE]+|\+Inf|NaN)$`)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if f := strings.Fields(line); f[0] == "#" {
			if typed[f[1]+f[2]] {
				t.Errorf("twice: %s", line)
			}
			typed[f[1]+f[2]] = true
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %s", line)
			continue
		}
		values[m[1]+m[2]], _ = strconv.ParseFloat(m[3], 64)
	}
	for name, want := range map[string]float64{
		`trirank_http_requests_total{route="/v1/compare",status="200"}`:      3,
		`trirank_http_requests_total{route="/v1/compare",status="400"}`:      1,
		`trirank_http_request_seconds_count{route="/v1/compare"}`:            4,
		`trirank_http_request_seconds_bucket{route="/v1/compare",le="+Inf"}`: 4,
		`trirank_ranking_seconds_count{system="bm25"}`:                       3,
		`trirank_ranking_seconds_count{system="hybrid"}`:                     3,
		`trirank_ranking_errors_total{system="bm25"}`:                        0,
		`trirank_http_in_flight`:                                             1, // this one
		`trirank_http_working`:                                               0,
		`trirank_http_queued`:                                                0,
		`trirank_http_rejected_total`:                                        0,
		`trirank_ready`:                                                      1,
		`trirank_gpu_utilization_ratio{gpu="0"}`:                             .5,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_resident_memory_bytes"} {
		if values[name] <= 0 {
			t.Errorf("%s is %v", name, values[name])
		}
	}
}

func TestOptions(t *testing.T) {
	if err := (httpapi.Options{AllowOrigins: []string{"*", "https://a.example:8080"}}).Validate(); err != nil {
		t.Error(err)
	}
	err := (httpapi.Options{RequestTimeout: -1, MaxBody: -1, AllowOrigins: []string{"a.example", "https://a.example/"}}).Validate()
	for _, want := range []string{"RequestTimeout", "MaxBody", `"a.example"`, `"https://a.example/"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	httpapi.New(nil, httpapi.Options{RequestTimeout: -1, MaxConcurrent: -5, MaxQueue: -1}) // does not panic
}
