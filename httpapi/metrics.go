package httpapi

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	rtmetrics "runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trirank/trirank/engine"
)

// metrics are written by hand in Prometheus' text format: there are few of them,
// and the light libraries have no histograms that histogram_quantile understands.
type metrics struct {
	start time.Time

	mu       sync.Mutex
	requests map[requestKey]uint64
	latency  map[string]*histogram // by route
	ranking  map[string]*histogram // by system
	failures map[string]uint64     // by system
	cached   map[string]uint64     // by system
	panics   uint64
}

type requestKey struct {
	route  string
	status int
}

func newMetrics() *metrics {
	return &metrics{
		start: time.Now(), requests: map[requestKey]uint64{}, latency: map[string]*histogram{},
		ranking: map[string]*histogram{}, failures: map[string]uint64{}, cached: map[string]uint64{},
	}
}

// buckets are upper bounds in seconds: a search that is fast takes a few
// milliseconds, one on a busy machine some hundred.
var buckets = [...]float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}

type histogram struct {
	counts [len(buckets) + 1]uint64 // not cumulative; the last is beyond all bounds
	sum    float64
}

func observe(by map[string]*histogram, key string, seconds float64) {
	h := by[key]
	if h == nil {
		h = &histogram{}
		by[key] = h
	}
	i, _ := slices.BinarySearch(buckets[:], seconds)
	h.counts[i]++
	h.sum += seconds
}

// served counts an answered request.
func (m *metrics) served(route string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[requestKey{route, status}]++
	observe(m.latency, route, took.Seconds())
}

// ranked counts one ranking of a response.
func (m *metrics) ranked(k *engine.Ranking) {
	m.mu.Lock()
	defer m.mu.Unlock()
	system := k.System
	if k.Error != "" {
		m.failures[system]++
		return
	}
	if _, ok := m.failures[system]; !ok {
		m.failures[system] = 0 // shows that errors are counted
	}
	if k.Cached { // which took no time, and says nothing of those that do
		m.cached[system]++
		return
	}
	observe(m.ranking, system, k.TookMS/1000)
}

func (m *metrics) panicked() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.panics++
}

// exposition writes metrics in the text format.
type exposition struct{ bytes.Buffer }

func (x *exposition) head(name, kind, help string) {
	fmt.Fprintf(x, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (x *exposition) one(name, kind, help string, value float64) {
	x.head(name, kind, help)
	fmt.Fprintf(x, "%s %s\n", name, number(value))
}

func (x *exposition) histograms(name, help, label string, by map[string]*histogram) {
	x.head(name, "histogram", help)
	for _, key := range slices.Sorted(maps.Keys(by)) {
		h, total, l := by[key], uint64(0), fmt.Sprintf("%s=%s", label, quote(key))
		for i, n := range h.counts {
			total += n
			bound := "+Inf"
			if i < len(buckets) {
				bound = number(buckets[i])
			}
			fmt.Fprintf(x, "%s_bucket{%s,le=\"%s\"} %d\n", name, l, bound, total)
		}
		fmt.Fprintf(x, "%s_sum{%s} %s\n%s_count{%s} %d\n", name, l, number(h.sum), name, l, total)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func quote(label string) string { return `"` + labelEscapes.Replace(label) + `"` }

// writeMetrics writes all metrics of the server and its process.
func (s *Server) writeMetrics(w io.Writer) error {
	var x exposition
	x.head("trirank_build_info", "gauge", "Always 1; the labels tell what is running.")
	fmt.Fprintf(&x, "trirank_build_info{version=%s,go=%s} 1\n", quote(s.options.Version), quote(runtime.Version()))
	ready := 0.
	if s.ready() {
		ready = 1
	}
	x.one("trirank_ready", "gauge", "1 if /readyz answers 200.", ready)
	x.one("trirank_http_in_flight", "gauge", "Requests that arrived and are not answered yet.", float64(s.inFlight.Load()))
	x.one("trirank_http_working", "gauge", "Requests that hold one of --max-concurrent places.", float64(len(s.gate.places)))
	x.one("trirank_http_queued", "gauge", "Requests that wait for a place.", float64(s.gate.waiting.Load()+s.slow.waiting.Load()))
	x.one("trirank_http_rejected_total", "counter", "Requests refused with status 429.", float64(s.gate.refused.Load()+s.slow.refused.Load()))
	s.conns.write(&x)
	s.bodies.write(&x, "trirank_http_body", "bodies of requests that are read or worked on")
	s.answers.write(&x, "trirank_http_answer", "answers that are worked out or sent")
	s.reloads.write(&x)
	s.metrics.write(&x)
	writeProcessMetrics(&x, s.metrics.start)
	if s.options.ExtraMetrics != nil {
		s.options.ExtraMetrics(&x)
	}
	_, err := x.WriteTo(w)
	return err
}

func (s *connections) write(x *exposition) {
	s.mu.Lock()
	open, waiting, evicted, refused := len(s.open), s.waiting.Len(), s.evicted, s.refused
	s.mu.Unlock()
	x.one("trirank_http_connections", "gauge", "Open connections.", float64(open))
	x.one("trirank_http_connections_idle", "gauge", "Open connections that wait for a request.", float64(waiting))
	x.one("trirank_http_connections_evicted_total", "counter", "Connections that did nothing and were closed for a new one.", float64(evicted))
	x.one("trirank_http_connections_dropped_total", "counter", "Connections closed since even those kept for probes were busy.", float64(refused))
}

func (b *budget) write(x *exposition, name, what string) {
	held, refused := b.state()
	x.one(name+"_bytes", "gauge", "Memory for "+what+", of "+b.flag+".", float64(held))
	x.one(name+"_refused_total", "counter", "Requests refused with status 503 for want of memory for "+what+".", float64(refused))
}

func (m *metrics) write(x *exposition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x.one("trirank_panics_total", "counter", "Panics while serving requests.", float64(m.panics))
	x.head("trirank_http_requests_total", "counter", "Requests answered.")
	keys := slices.SortedFunc(maps.Keys(m.requests), func(a, b requestKey) int {
		return cmp.Or(strings.Compare(a.route, b.route), cmp.Compare(a.status, b.status))
	})
	for _, k := range keys {
		fmt.Fprintf(x, "trirank_http_requests_total{route=%s,status=\"%d\"} %d\n", quote(k.route), k.status, m.requests[k])
	}
	x.histograms("trirank_http_request_seconds", "Time from arrival to answer, waiting included.", "route", m.latency)
	x.histograms("trirank_ranking_seconds", "Time that a ranking took, waiting for a place excluded.", "system", m.ranking)
	x.head("trirank_ranking_cached_total", "counter", "Rankings that were those of an earlier request.")
	for _, system := range slices.Sorted(maps.Keys(m.cached)) {
		fmt.Fprintf(x, "trirank_ranking_cached_total{system=%s} %d\n", quote(system), m.cached[system])
	}
	x.head("trirank_ranking_errors_total", "counter", "Rankings that failed or were late.")
	for _, system := range slices.Sorted(maps.Keys(m.failures)) {
		fmt.Fprintf(x, "trirank_ranking_errors_total{system=%s} %d\n", quote(system), m.failures[system])
	}
}

func writeProcessMetrics(x *exposition, start time.Time) {
	samples := []rtmetrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	rtmetrics.Read(samples)
	x.one("go_goroutines", "gauge", "Goroutines.", float64(runtime.NumGoroutine()))
	x.one("go_memstats_heap_alloc_bytes", "gauge", "Bytes of heap objects.", float64(samples[0].Value.Uint64()))
	x.one("go_memstats_sys_bytes", "gauge", "Bytes that the Go runtime obtained from the system.", float64(samples[1].Value.Uint64()))
	x.one("go_gc_cycles_total", "counter", "Garbage collections.", float64(samples[2].Value.Uint64()))
	x.one("process_start_time_seconds", "gauge", "When the server was made, in Unix time.", float64(start.UnixMilli())/1000)
	if rss, ok := residentBytes(); ok {
		x.one("process_resident_memory_bytes", "gauge", "Memory in use, that of C libraries included.", rss)
	}
}

// residentBytes is known on Linux only.
func residentBytes() (float64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()), err == nil
}
