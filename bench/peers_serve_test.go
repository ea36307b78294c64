package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/encoder/quantize"
	"github.com/trirank/trirank/engine/store"
)

// services compares trirank serve with a service in Python, of the same index.
func (t *peerTurns) services(b *testing.B) {
	program := filepath.Join(b.TempDir(), "trirank")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/trirank").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	quantized := int8Model(b)
	for _, rows := range []int{*peerRows, fewRows} {
		t.servicesOf(b, program, quantized, rows)
	}
}

// fewRows is the size of a shop in which searching takes no time, so that what is
// left of a repeated query is the service itself.
const fewRows = 1000

func (t *peerTurns) servicesOf(b *testing.B, program, quantized string, rows int) {
	x, qrels, dir := large(b, rows)
	x.Close() // the servers have it
	x, _, int8Dir := largeBy(b, rows, quantized)
	x.Close()
	queries := texts(qrels)
	size := fmt.Sprintf("%d_products/", rows)
	serve := func(dir string, flags ...string) *service {
		return startService(b, queries, func(address string) *exec.Cmd {
			return exec.Command(program, append([]string{"serve", "--index", dir, "--addr", address, "--log-level", "warn"}, flags...)...) // as uvicorn below
		})
	}
	ours := serve(dir)
	theirs, again, setting := t.bestService(b, dir, queries)
	defer ours.stop()
	defer theirs.stop()
	name := "FastAPI, " + setting
	sameAnswers(b, t, rows, queries[:min(50, len(queries))], ours, theirs, 1e-4)

	sides := func(ours, theirs *service, measure func(s *service) []float64) []sideOfMany {
		return []sideOfMany{{"trirank", func() []float64 { return measure(ours) }}, {name, func() []float64 { return measure(theirs) }}}
	}
	both := func(measure func(s *service) []float64) []sideOfMany { return sides(ours, theirs, measure) }
	budget := 3 * peerBudget()
	t.turnsOfMany(b, size+"1_client/fresh_queries", *peerRounds, []unit{median, tail},
		both(func(s *service) []float64 { return s.closed(b, 1, budget, s.fresh)[1:] })...)
	clients := []unit{rate("requests"), tail}
	t.turnsOfMany(b, size+"8_clients/fresh_queries", *peerRounds, clients, both(func(s *service) []float64 {
		v := s.closed(b, 8, budget, s.fresh)
		return []float64{v[0], v[2]}
	})...)
	// Repeated ones cost what is not remembered of them: each side is told to keep
	// vectors alone, and rankings.
	repeated := func(s *service) []float64 {
		s.warm(b)
		v := s.closed(b, 8, budget, s.repeated)
		return []float64{v[0], v[2]}
	}
	vectors := serve(dir, "--cache", "0")
	t.turnsOfMany(b, size+"8_clients/repeated_queries/vectors_remembered", *peerRounds, clients, sides(vectors, theirs, repeated)...)
	vectors.stop()
	rankings := again(dir, "rankings")
	t.turnsOfMany(b, size+"8_clients/repeated_queries/rankings_remembered", *peerRounds, clients,
		append(sides(ours, rankings, repeated), sideOfMany{name + ", vectors only", func() []float64 { return repeated(theirs) }})...)
	rankings.stop()
	t.int8Services(b, size, queries, serve(int8Dir), again(int8Dir, "vectors"), theirs, rows, name)
	if rows == fewRows {
		return
	}
	// Each takes a dozen rates.
	t.turnsOfMany(b, size+"open_loop/highest_rate_with_p99_below_50_ms", min(2, *peerRounds), []unit{rate("requests")},
		both(func(s *service) []float64 { return []float64{s.knee(b, budget)} })...)
	t.turnsOfMany(b, size+"memory_at_most", 1, []unit{memory}, both(func(s *service) []float64 { return []float64{peakMemory(s.process)} })...)
}

// int8Model is E5-small-v2 in 8 bits, as trirank model quantize makes it.
func int8Model(b *testing.B) string {
	b.Helper()
	base, err := store.FindModel(modelName)
	if err != nil {
		b.Fatal(err)
	}
	enc, err := onnx.Open(base, onnx.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	dir := cache(b, modelName+"-int8")
	o := quantize.Options{Name: modelName + "-int8", Kind: quantize.Tokens, Peaks: onnx.Peaks(base, quantize.SampleTokens)}
	if _, err := quantize.Directory(b.Context(), base, dir, o, func(dir string) (near encoder.Closeness, err error) {
		made, err := onnx.Open(dir, onnx.Options{})
		if err != nil {
			return near, err
		}
		defer made.Close()
		return quantize.Compare(b.Context(), enc, made)
	}); err != nil {
		b.Fatal(err)
	}
	return dir
}

// int8Services compares a server of vectors by the model of 8 bits with a service in
// Python that has the same model, and with the one of fp32.
func (t *peerTurns) int8Services(b *testing.B, size string, queries []string, ours, same, fp32 *service, rows int, name string) {
	defer ours.stop()
	defer same.stop()
	sameAnswers(b, t, rows, queries[:min(50, len(queries))], ours, same, 1e-2)
	for _, clients := range []int{1, 8} {
		measure := func(s *service) []float64 {
			v := s.closed(b, clients, 3*peerBudget(), s.fresh)
			return []float64{v[0], v[1], v[2]}
		}
		t.turnsOfMany(b, fmt.Sprintf("%sint8,_%d_clients/fresh_queries", size, clients), *peerRounds, []unit{rate("requests"), median, tail},
			sideOfMany{"trirank", func() []float64 { return measure(ours) }},
			sideOfMany{name + ", the same model", func() []float64 { return measure(same) }},
			sideOfMany{name + ", fp32", func() []float64 { return measure(fp32) }})
	}
}

// bestService starts the service in Python in the setting with which it answers most
// requests, fresh and repeated ones. It remembers the vectors of queries; again starts
// another one that remembers something else.
func (t *peerTurns) bestService(b *testing.B, dir string, queries []string) (best *service, again func(dir, remembers string) *service, setting string) {
	b.Helper()
	start := func(workers, threads int, dir, remembers string) *service {
		return startService(b, queries, func(address string) *exec.Cmd {
			host, port, _ := net.SplitHostPort(address) // it is one of ours
			cmd := exec.Command(t.python, "-m", "uvicorn", "--app-dir", "peers", "service:app", "--host", host, "--port", port,
				"--workers", fmt.Sprint(workers), "--loop", "uvloop", "--http", "httptools", "--log-level", "warning")
			cmd.Env = append(peerEnvironment(cmd), "TRIRANK_SERVICE="+dir, fmt.Sprintf("TRIRANK_SERVICE_THREADS=%d", threads), "TRIRANK_SERVICE_REMEMBERS="+remembers)
			return cmd
		})
	}
	most, settings, at := 0., [][2]int{{1, 2}, {1, 8}, {2, 1}, {2, 2}}, 0
	for i, x := range settings {
		s := start(x[0], x[1], dir, "vectors")
		fresh := s.closed(b, 8, 2*peerBudget(), s.fresh)[0]
		s.warm(b)
		repeated := s.closed(b, 8, 2*peerBudget(), s.repeated)[0]
		s.stop()
		if v := fresh * repeated; v > most {
			most, at = v, i
		}
		b.Logf("%d workers of %d threads: %.1f fresh and %.1f repeated requests a second", x[0], x[1], fresh, repeated)
	}
	x := settings[at]
	var about struct{ FastAPI, Uvicorn string }
	out, err := exec.Command(t.python, "-c", "import fastapi, uvicorn, json; print(json.dumps({'fastapi': fastapi.__version__, 'uvicorn': uvicorn.__version__}))").Output()
	if err == nil {
		err = json.Unmarshal(out, &about)
	}
	if err != nil {
		b.Fatal(err)
	}
	if name := "FastAPI " + about.FastAPI; !slices.Contains(t.names, name) {
		t.names = append(t.names, name, "uvicorn "+about.Uvicorn)
	}
	again = func(dir, remembers string) *service { return start(x[0], x[1], dir, remembers) }
	return again(dir, "vectors"), again, fmt.Sprintf("%d×%d threads", x[0], x[1])
}

// service is a running server.
type service struct {
	url     string
	process int
	queries []string
	words   []string
	client  *fasthttp.Client
	asked   atomic.Int64 // fresh queries so far
	rounds  int          // of knee
	stop    func()
}

// startService starts what command makes, and waits until it answers.
func startService(b *testing.B, queries []string, command func(address string) *exec.Cmd) *service {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close() // neither side can be given a listener
	var errs bytes.Buffer
	cmd := command(address)
	cmd.Stderr = &errs
	// What it starts ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s := &service{
		url: "http://" + address + "/v1/compare?k=10", process: cmd.Process.Pid, queries: queries,
		client: &fasthttp.Client{MaxConnsPerHost: 64, MaxIdleConnDuration: time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute},
	}
	for _, q := range queries {
		s.words = append(s.words, strings.Fields(q)...)
	}
	s.stop = sync.OnceFunc(func() {
		s.client.CloseIdleConnections()
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	b.Cleanup(s.stop)
	for end := time.Now().Add(3 * time.Minute); ; {
		_, err := s.ask(queries[0])
		if err == nil {
			return s
		}
		select {
		case e := <-ended:
			ended <- e
			b.Fatalf("%s ended: %v\n%s", cmd.Path, e, &errs)
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(end) {
			b.Fatalf("%s does not answer: %v", cmd.Path, err)
		}
	}
}

// ask returns the answer to a query.
func (s *service) ask(query string) ([]byte, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(s.url + "&q=" + url.QueryEscape(query))
	if err := s.client.Do(req, resp); err != nil {
		return nil, err
	}
	if code := resp.StatusCode(); code != fasthttp.StatusOK {
		return nil, fmt.Errorf("it answers with status %d: %.200s", code, resp.Body())
	}
	return slices.Clone(resp.Body()), nil
}

// fresh is a query that was hardly asked before, as bench.Load makes them.
func (s *service) fresh() string {
	i := int(s.asked.Add(1))
	n := len(s.queries)
	return s.queries[i%n] + " " + s.words[(i/n+i%n)%len(s.words)]
}

func (s *service) repeated() string { return s.queries[int(s.asked.Add(1))%len(s.queries)] }

// warm asks each query, so that its vector is known.
func (s *service) warm(b *testing.B) {
	b.Helper()
	for _, q := range s.queries {
		if _, err := s.ask(q); err != nil {
			b.Fatal(err)
		}
	}
}

// closed has so many clients ask, each the next query when it has its answer, and
// returns the rate of all, and the p50 and the p99 of each request in nanoseconds.
func (s *service) closed(b *testing.B, clients int, d time.Duration, query func() string) []float64 {
	b.Helper()
	var all sync.WaitGroup
	times, errs := make([][]float64, clients), make([]error, clients)
	start := time.Now()
	for c := range clients {
		all.Go(func() {
			for time.Since(start) < d && errs[c] == nil {
				begun := time.Now()
				_, errs[c] = s.ask(query())
				times[c] = append(times[c], float64(time.Since(begun)))
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	list := slices.Sorted(slices.Values(slices.Concat(times...)))
	return []float64{float64(len(list)) / took.Seconds(), middle(list), list[(len(list)-1)*99/100]}
}

// knee is the highest rate of fresh queries with which the service keeps up.
func (s *service) knee(b *testing.B, d time.Duration) float64 {
	b.Helper()
	s.rounds++
	var queries []string // other ones than before
	for i, q := range s.queries {
		queries = append(queries, q+" "+s.words[(s.rounds*len(s.words)/7+i)%len(s.words)])
	}
	results, err := bench.Load(b.Context(), bench.LoadOptions{URL: s.url, Queries: queries, Duration: d})
	if err != nil {
		b.Fatal(err)
	}
	for i := range results {
		if r := &results[i]; r.Param("what") == "knee" {
			v, _ := r.Metric("requests/s")
			return v
		}
	}
	b.Fatal("the load has no knee")
	return 0
}

// sameAnswers checks that both services give as many hits for each ranking, and the
// same in that by vectors. BM25 of the two is not the same formula, and so fusion is
// of something else; the table says how much of it is the same. rounding is by how much
// scores may differ: those of one int8 model do, by our operators and by ONNX Runtime's, as
// much as from fp32.
func sameAnswers(b *testing.B, t *peerTurns, rows int, queries []string, ours, theirs *service, rounding float64) {
	b.Helper()
	type hit struct {
		ID    string
		Score float64
	}
	type answer struct {
		Rankings []struct {
			System string
			Hits   []hit
		}
	}
	get := func(s *service, query string) (a answer) {
		text, err := s.ask(query)
		if err == nil {
			err = json.Unmarshal(text, &a)
		}
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	same, all := map[string]int{}, map[string]int{}
	for _, q := range queries {
		x, y := get(ours, q), get(theirs, q)
		for i, r := range x.Rankings {
			if len(y.Rankings) != len(x.Rankings) || y.Rankings[i].System != r.System || len(y.Rankings[i].Hits) != len(r.Hits) {
				b.Fatalf("%q: the rankings are not the same, or not of the same length", q)
			}
			other := y.Rankings[i].Hits
			for j, h := range r.Hits {
				all[r.System]++
				at := slices.IndexFunc(other, func(o hit) bool { return o.ID == h.ID })
				if at >= 0 {
					same[r.System]++
				}
				if r.System != "pretrained" {
					continue
				}
				if math.Abs(h.Score-other[j].Score) > rounding || at < 0 && math.Abs(h.Score-other[len(other)-1].Score) > rounding {
					b.Fatalf("%q, rank %d of %s: ours is %s with %v, theirs %s with %v", q, j+1, r.System, h.ID, h.Score, other[j].ID, other[j].Score)
				}
			}
		}
	}
	share := func(system string) float64 { return 100 * float64(same[system]) / float64(all[system]) }
	t.note("Of the first ten of %d products %.0f %% are the same by BM25, %.0f %% by vectors (the others have equal scores) and %.0f %% of both.",
		rows, share("bm25"), share("pretrained"), share("hybrid"))
}
