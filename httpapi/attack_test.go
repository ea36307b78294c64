package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

// attackable is a server on a real address until the end of the test, with what clients
// that do not behave need.
type attackable struct {
	*running
	t    *testing.T
	addr string
}

func attack(t *testing.T, e httpapi.Engine, o httpapi.Options) *attackable {
	t.Helper()
	r := run(t, httpapi.New(e, o))
	t.Cleanup(func() {
		r.cancel()
		if err := <-r.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		leaks(t)
	})
	return &attackable{r, t, strings.TrimPrefix(r.url, "http://")}
}

// dial opens a connection and sends some text on it.
func (a *attackable) dial(format string, args ...any) net.Conn {
	a.t.Helper()
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, format, args...)
	return c
}

// read reads one answer; its status is 0 if the connection is closed instead.
func read(c net.Conn) (status int, header http.Header, body string) {
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.Close {
		resp.Header.Set("Connection", "close")
	}
	return resp.StatusCode, resp.Header, string(b)
}

// ask asks on a new connection.
func (a *attackable) ask(path string, header ...string) (status int, _ http.Header, body string) {
	a.t.Helper()
	c := a.dial("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, strings.Join(append(header, ""), "\r\n"))
	defer c.Close()
	return read(c)
}

func (a *attackable) metric(name string) string {
	a.t.Helper()
	_, _, body := a.ask("/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

const keepAlive = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

// Connections that do nothing give way to one that does, the longest idle first.
func TestIdleConnectionsGiveWay(t *testing.T) {
	a := attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{MaxConnections: 4})
	silent := a.dial("")
	time.Sleep(10 * time.Millisecond)
	var answered []net.Conn
	for range 3 {
		c := a.dial(keepAlive)
		if code, _, _ := read(c); code != 200 {
			t.Fatal("no answer")
		}
		answered = append(answered, c)
	}
	if code, _, body := a.ask("/v1/search?q=thing"); code != 200 {
		t.Fatalf("all connections are idle: %d %s", code, body)
	}
	if code, _, err := read(silent); code != 0 || !strings.Contains(err, "EOF") {
		t.Errorf("the oldest connection: %d %s", code, err)
	}
	last := answered[2]
	fmt.Fprint(last, keepAlive)
	if code, _, err := read(last); code != 200 {
		t.Errorf("the youngest connection: %d %s", code, err)
	}
	if n := a.metric("trirank_http_connections_evicted_total"); n == "" || n == "0" {
		t.Error("it is not counted")
	}
}

// Requests that never end give way as well, once they have had a second.
func TestHalfOpenConnectionsGiveWay(t *testing.T) {
	a := attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{MaxConnections: 3})
	for range 3 {
		a.dial("GET /live")
	}
	start := time.Now()
	eventually(t, "an answer", func() bool {
		code, _, _ := a.ask("/v1/search?q=thing")
		return code == 200
	})
	if took := time.Since(start); took > 8*time.Second { // they have 10 s
		t.Errorf("an answer came after %v", took)
	}
}

// Probes are answered when all connections are at work, and the others get a problem
// document that says so.
func TestProbesWhenAllConnectionsAreBusy(t *testing.T) {
	faults := &fakeshop.Faults{Gate: make(chan struct{})}
	a := attack(t, fakeshop.Tiny(3).Engine(faults), httpapi.Options{MaxConnections: 2})
	var busy []net.Conn
	for range 2 {
		busy = append(busy, a.dial("GET /v1/search?q=thing&system=bm25 HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	eventually(t, "both work", func() bool { return faults.Calls.Load() == 2 })
	for range 50 { // more than there are in reserve
		a.dial("")
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		code, header, body := a.ask(path)
		if code != 200 || header.Get("Connection") != "close" {
			t.Errorf("%s: %d %v %s", path, code, header, body)
		}
	}
	code, header, body := a.ask("/v1/search?q=thing")
	var p httpapi.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != 503 || p.Status != 503 || !strings.Contains(p.Detail, "--max-connections") ||
		header.Get("Content-Type") != "application/problem+json" || header.Get("Connection") != "close" || header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", code, header, body)
	}
	if n, err := strconv.Atoi(a.metric("trirank_http_connections")); err != nil || n > 18 { // 16 in reserve
		t.Errorf("%d connections are open, %v", n, err)
	}
	close(faults.Gate)
	for _, c := range busy {
		if code, _, body := read(c); code != 200 {
			t.Errorf("a request at work was disturbed: %d %s", code, body)
		}
	}
}

// Bodies are counted while they come in: what is beyond the budget is refused, and
// nothing is held once they are gone.
func TestBodyMemory(t *testing.T) {
	a := attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{BodyMemory: 100 << 10})
	const head = "POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	slow := a.dial(head, 60<<10, strings.Repeat(" ", 50<<10))
	eventually(t, "it is counted", func() bool { return len(a.metric("trirank_http_body_bytes")) >= 5 })
	body := strings.Repeat(" ", 60<<10) + `{"queries": [{"query": "thing"}]}`
	code, header, text := read(a.dial(head, len(body), body))
	if code != 503 || header.Get("Retry-After") == "" || !strings.Contains(text, "--body-memory") {
		t.Errorf("beyond the budget: %d %v %s", code, header, text)
	}
	small := `{"queries": [{"query": "thing"}]}`
	if code, _, text := read(a.dial(head, len(small), small)); code != 200 {
		t.Errorf("within the budget: %d %s", code, text)
	}
	slow.Close()
	eventually(t, "nothing is held", func() bool { return a.metric("trirank_http_body_bytes") == "0" })
	if code, _, text := read(a.dial(head, len(body), body)); code != 200 {
		t.Errorf("after it: %d %s", code, text)
	}
	chunked := a.dial("POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(small), small)
	if code, _, text := read(chunked); code != 200 {
		t.Errorf("chunked: %d %s", code, text)
	}
	if code, _, text := read(a.dial(head, 5<<20, "[")); code != 413 || !strings.Contains(text, "--max-body") {
		t.Errorf("too long by its own account: %d %s", code, text)
	}
}

// A body that may be as large as the whole budget gets it when it is alone, and one that
// does not come to its end loses it to the next.
func TestBodyMemoryOfOne(t *testing.T) {
	a := attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{MaxBody: 1 << 20, BodyMemory: 1 << 20})
	const head = "POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	body := strings.Repeat(" ", 900<<10) + `{"queries": [{"query": "thing"}]}`
	if code, _, text := read(a.dial(head, len(body), body)); code != 200 {
		t.Errorf("alone: %d %s", code, text)
	}
	for range 2 {
		a.dial(head, 300<<10, strings.Repeat(" ", 299<<10))
	}
	eventually(t, "the memory is taken", func() bool {
		n, err := strconv.Atoi(a.metric("trirank_http_body_bytes"))
		return err == nil && n >= 600<<10
	})
	refused := 0
	eventually(t, "a slow body gives way", func() bool {
		code, _, text := read(a.dial(head, len(body)/2, body[len(body)-len(body)/2:]))
		if code == 503 {
			refused++
		} else if code != 200 {
			t.Errorf("%d %s", code, text)
		}
		return code == 200
	})
	if refused == 0 {
		t.Error("none was refused, so the memory was not taken")
	}
}

// Answers count until they are taken, or their client is gone.
func TestAnswerMemory(t *testing.T) {
	const queries = 100
	a := attack(t, sample(t).Engine(nil), httpapi.Options{AnswerMemory: 8 << 20, MaxHits: 50_000})
	var body strings.Builder
	body.WriteString(`{"queries": [`)
	for i := range queries {
		fmt.Fprintf(&body, `%s{"query": "wireless mouse", "k": 20}`, strings.Repeat(",", min(i, 1)))
	}
	body.WriteString(`]}`)
	ask := func(buffer int) net.Conn {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.(*net.TCPConn).SetReadBuffer(buffer)
		fmt.Fprintf(c, "POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", body.Len(), body.String())
		return c
	}
	const ample, scarce = 4 << 20, 4 << 10
	if code, _, text := read(ask(ample)); code != 200 || len(text) < 1<<20 {
		t.Fatalf("alone: %d, %d bytes", code, len(text))
	}
	eventually(t, "nothing is held", func() bool { return a.metric("trirank_http_answer_bytes") == "0" })
	unread := ask(scarce)
	eventually(t, "the answer waits for its client", func() bool {
		n := a.metric("trirank_http_answer_bytes")
		return a.metric("trirank_http_working") == "0" && len(n) >= 7
	})
	code, header, text := read(ask(ample))
	if code != 503 || header.Get("Retry-After") == "" || !strings.Contains(text, "--answer-memory") {
		t.Errorf("beyond the budget: %d %v %.300s", code, header, text)
	}
	if code, _, text := a.ask("/v1/search?q=mouse"); code != 200 {
		t.Errorf("within the budget: %d %.300s", code, text)
	}
	unread.Close()
	eventually(t, "nothing is held", func() bool { return a.metric("trirank_http_answer_bytes") == "0" })
	if code, _, _ := read(ask(ample)); code != 200 {
		t.Errorf("after it: %d", code)
	}
}

func TestMaxHits(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{}) // of four systems
	ask := func(queries, k int) *answer {
		return c.do("POST", "/v1/compare", `{"queries": [`+strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"query": "thing", "k": %d},`, k), queries), ",")+`]}`)
	}
	ask(100, 10).is(200)
	ask(100, 25).is(200)
	ask(100, 26).problem(413, "--max-hits")
	c.do("POST", "/v1/compare", `{"queries": [`+strings.TrimSuffix(strings.Repeat(`{"query": "thing", "k": 100, "systems": ["bm25"]},`, 100), ",")+`]}`).is(200)
}

// What nobody waits for any more ends, and its place is free.
func TestAbandonedWork(t *testing.T) {
	faults := &fakeshop.Faults{Gate: make(chan struct{})}
	a := attack(t, fakeshop.Tiny(3).Engine(faults), httpapi.Options{MaxConcurrent: 1, MaxQueue: 1, RequestTimeout: time.Minute, QueueWait: time.Minute})
	const request = "GET /v1/search?q=thing&system=bm25 HTTP/1.1\r\nHost: localhost\r\n\r\n"
	working := a.dial(request)
	eventually(t, "one works", func() bool { return a.metric("trirank_http_working") == "1" })
	waiting := a.dial(request)
	eventually(t, "one waits", func() bool { return a.metric("trirank_http_queued") == "1" })
	waiting.Close()
	eventually(t, "nobody waits", func() bool { return a.metric("trirank_http_queued") == "0" })
	start := time.Now()
	working.Close()
	eventually(t, "nobody works", func() bool { return a.metric("trirank_http_working") == "0" })
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("after %v", took)
	}
	if n := a.metric(`trirank_http_requests_total{route="/v1/search",status="499"}`); n != "2" {
		t.Errorf("%q requests are counted as abandoned", n)
	}
	// Whoever has only said that nothing more comes from it is told.
	half := a.dial(request)
	half.(*net.TCPConn).CloseWrite()
	if code, _, text := read(half); code != 499 || !strings.Contains(text, "client-closed-request") {
		t.Errorf("half-closed: %d %s", code, text)
	}
}

// slowEmbeddings is an engine whose embeddings take until they are told to end.
type slowEmbeddings struct {
	httpapi.Engine
	until   chan struct{}
	working atomic.Int64
}

func (e *slowEmbeddings) Embed(ctx context.Context, system string, texts []string, asQueries bool) ([][]float32, string, error) {
	e.working.Add(1)
	defer e.working.Add(-1)
	select {
	case <-e.until:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	return e.Engine.Embed(ctx, system, texts, asQueries)
}

// Embeddings get half of the places, so that searches go on beside them.
func TestEmbeddingsGetAShare(t *testing.T) {
	for places, most := range map[int]int64{4: 2, 1: 1} {
		e := &slowEmbeddings{Engine: fakeshop.Tiny(3).Engine(nil), until: make(chan struct{})}
		c := serve(t, e, httpapi.Options{MaxConcurrent: places, MaxQueue: 8, QueueWait: time.Minute, RequestTimeout: time.Minute})
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { c.do("POST", "/v1/embeddings", `{"input": "a", "model": "finetuned"}`) })
		}
		eventually(t, "some work, some wait and some are refused", func() bool {
			m := string(c.get("/metrics").body)
			return strings.Contains(m, "trirank_http_queued 4\n")
		})
		if n := e.working.Load(); n != most {
			t.Errorf("%d embeddings work in %d places, not %d", n, places, most)
		}
		if places > 1 {
			c.get("/v1/search?q=thing").is(200)
		}
		c.do("POST", "/v1/embeddings", `{"input": "a"}`).problem(429, "embeddings")
		close(e.until)
		wg.Wait()
	}
}

// A stop does not wait for requests that have not come in whole.
func TestStopWithHalfOpenRequests(t *testing.T) {
	r := run(t, httpapi.New(fakeshop.Tiny(3).Engine(nil), httpapi.Options{}))
	a := &attackable{r, t, strings.TrimPrefix(r.url, "http://")}
	a.dial("")
	a.dial("GET /live")
	a.dial("POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	a.dial("POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n")
	a.dial("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{") // is answered before it is read
	eventually(t, "all are there", func() bool { return a.metric("trirank_http_connections") == "6" })
	start := time.Now()
	r.cancel()
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it stopped after %v", took)
	}
	leaks(t)
}

// On an address that only this machine reaches, names of other sites are refused.
func TestHosts(t *testing.T) {
	status := func(a *attackable, host string) int {
		code, _, _ := read(a.dial("GET /v1/info HTTP/1.1\r\nHost: %s\r\n\r\n", host))
		return code
	}
	a := attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{})
	for host, want := range map[string]int{
		"localhost": 200, "LocalHost.:9000": 200, "127.0.0.1:8080": 200, "[::1]": 200, "[::1]:80": 200,
		"evil.example": 421, "evil.example:8080": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "127.0.0.2": 421, "0.0.0.0": 421,
	} {
		if got := status(a, host); got != want {
			t.Errorf("Host %s: %d, not %d", host, got, want)
		}
	}
	if code, header, text := read(a.dial("GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n")); code != 421 || header.Get("Content-Type") != "application/problem+json" || !strings.Contains(text, "--allow-host") {
		t.Errorf("the host of an address: %d %v %s", code, header, text)
	}
	if code, _, _ := read(a.dial("GET /livez HTTP/1.0\r\n\r\n")); code != 200 {
		t.Errorf("without a host: %d", code)
	}
	a = attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{AllowHosts: []string{"Shop.example"}})
	if status(a, "shop.example:443") != 200 || status(a, "localhost") != 200 || status(a, "evil.example") != 421 {
		t.Error("--allow-host does not admit its host, or others")
	}
	a = attack(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{AllowHosts: []string{"*"}})
	if status(a, "evil.example") != 200 {
		t.Error("* does not admit all")
	}
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{}) // on an address that is none of this machine's
	c.get("/livez").is(200)
}

// Where memory is short work is refused, and probes are answered.
func TestShed(t *testing.T) {
	var why atomic.Pointer[string]
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{Shed: func() string {
		if p := why.Load(); p != nil {
			return *p
		}
		return ""
	}})
	c.get("/v1/search?q=thing").is(200)
	short := "memory is short"
	why.Store(&short)
	for _, path := range []string{"/v1/search?q=thing", "/v1/products/T001"} {
		a := c.get(path)
		a.problem(503, short)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/v1/info"} {
		c.get(path).is(200)
	}
}
