package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

const sampleDir = "../catalog/sample"

func sample(t testing.TB) *fakeshop.Shop {
	t.Helper()
	shop, err := fakeshop.Load(sampleDir)
	if err != nil {
		t.Fatal(err)
	}
	return shop
}

// client talks to a server in memory.
type client struct {
	t    testing.TB
	http *http.Client
	*httpapi.Server
	log *logBuffer
	// stop ends Serve and returns its error, the same one each time.
	stop func() error
}

// logBuffer is written by the server and read by the test.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve runs a server of e until the end of the test.
func serve(t testing.TB, e httpapi.Engine, o httpapi.Options) *client {
	t.Helper()
	log := &logBuffer{}
	o.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := httpapi.New(e, o)
	ln := fasthttputil.NewInmemoryListener()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
		DisableCompression: true,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &client{t: t, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}, Server: s, log: log, stop: stop}
}

// answer is a response that has been read.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

func (c *client) do(method, target, body string, header ...string) *answer {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://trirank"+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	return &answer{c.t, method + " " + clip(target), resp.StatusCode, resp.Header, b}
}

func (c *client) get(target string, header ...string) *answer {
	c.t.Helper()
	return c.do("GET", target, "", header...)
}

func clip(s string) string { return s[:min(len(s), 100)] }

// is fails the test if the status is another one.
func (a *answer) is(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	return a
}

// into reads a JSON body.
func (a *answer) into(v any) *answer {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return a
}

// problem checks that the body is a problem document whose detail holds a text.
func (a *answer) problem(status int, detail string) httpapi.Problem {
	a.t.Helper()
	a.is(status)
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Errorf("%s: Content-Type %q", a.what, ct)
	}
	var p httpapi.Problem
	a.into(&p)
	if p.Status != status || p.Type == "" || p.Title == "" || !strings.HasSuffix(p.Instance, a.header.Get("X-Request-ID")) {
		a.t.Errorf("%s: incomplete problem %+v", a.what, p)
	}
	if !strings.Contains(p.Detail, detail) {
		a.t.Errorf("%s: detail %q does not hold %q", a.what, p.Detail, detail)
	}
	return p
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// jsonRaw is short for what catalog.Product keeps its extra fields in.
type jsonRaw = json.RawMessage
