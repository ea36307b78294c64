package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

func TestLateRanking(t *testing.T) {
	faults := &fakeshop.Faults{}
	slow := "pretrained"
	faults.Only.Store(&slow)
	faults.SetDelay(time.Minute)
	c := serve(t, fakeshop.Tiny(5).Engine(faults), httpapi.Options{RequestTimeout: 2 * time.Second}) // enough for the others
	var r engine.Response
	c.get("/v1/compare?q=thing").is(200).into(&r)
	for _, k := range r.Rankings {
		if late := k.Error != ""; late != (k.System == slow) {
			t.Errorf("%s: error %q", k.System, k.Error)
		}
	}
	c = serve(t, fakeshop.Tiny(5).Engine(faults), httpapi.Options{RequestTimeout: 20 * time.Millisecond})
	c.get("/v1/compare?q=thing&systems=pretrained").problem(504, "--request-timeout")
	c.get("/v1/search?q=thing&system=pretrained").problem(504, "in time")
	c.get("/v1/products/T001/similar").problem(504, "in time")
}

// stuck is an engine that does not heed its context.
type stuck struct {
	httpapi.Engine
	until <-chan struct{}
	panic bool
}

func (s stuck) Compare(context.Context, engine.Request) (*engine.Response, error) {
	if s.panic {
		panic("out of cheese")
	}
	<-s.until
	return &engine.Response{}, nil
}

func (s stuck) Intact() error { return nil }

func (s stuck) Info() engine.Info { return engine.Info{Systems: make([]engine.SystemInfo, 2)} }

func (s stuck) Product(string) (catalog.Product, error) { panic("out of cheese") }

func TestStuckEngine(t *testing.T) {
	until := make(chan struct{})
	c := serve(t, stuck{until: until}, httpapi.Options{RequestTimeout: time.Second})
	start := time.Now()
	c.get("/v1/compare?q=a").problem(504, "")
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	drained := c.SetEngine(fakeshop.Tiny(1).Engine(nil))
	select {
	case <-drained:
		t.Error("an engine that is at work counts as unused")
	case <-time.After(30 * time.Millisecond):
	}
	c.get("/v1/compare?q=thing").is(200)
	close(until)
	<-drained
}

func TestPanic(t *testing.T) {
	c := serve(t, stuck{panic: true}, httpapi.Options{})
	a := c.get("/v1/compare?q=a", "X-Request-ID", "mine")
	a.problem(500, "log")
	if strings.Contains(string(a.body), "cheese") {
		t.Errorf("the client is told %s", a.body)
	}
	if log := c.log.String(); !strings.Contains(log, "out of cheese") || !strings.Contains(log, "stuck.Compare") || !strings.Contains(log, `"id":"mine"`) {
		t.Errorf("log: %s", log)
	}
	c.get("/v1/products/a").problem(500, "")
	c.get("/v1/products/a/similar").problem(500, "") // a nil engine within
	c.do("POST", "/v1/compare", `{"queries": [{"query": "a"}]}`).is(200)
	if m := string(c.get("/metrics").is(200).body); !strings.Contains(m, "trirank_panics_total 4") {
		t.Error("panics are not counted")
	}
}

func TestFull(t *testing.T) {
	faults := &fakeshop.Faults{Gate: make(chan struct{})}
	c := serve(t, fakeshop.Tiny(5).Engine(faults), httpapi.Options{MaxConcurrent: 1, MaxQueue: 1, QueueWait: 10 * time.Second})
	const target = "/v1/compare?q=thing&systems=bm25"
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { c.get(target).is(200) })
	}
	eventually(t, "one request waits", func() bool {
		return strings.Contains(string(c.get("/metrics").body), "trirank_http_queued 1\n")
	})
	a := c.get(target)
	a.problem(http.StatusTooManyRequests, "--max-concurrent or --max-queue")
	if a.header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
	}
	c.get("/v1/compare?q=a&k=0").problem(400, "whole number") // a mistake costs no place
	c.get("/readyz").is(200)
	c.get("/v1/info").is(200)
	close(faults.Gate)
	wg.Wait()
	if m := string(c.get("/metrics").body); !strings.Contains(m, "trirank_http_rejected_total 1\n") {
		t.Error("the refusal is not counted")
	}
}

// A client that asks one thing after another needs one place, and no queue.
func TestOneClientOnePlace(t *testing.T) {
	e := fakeshop.Tiny(5).Engine(nil)
	c := serve(t, e, httpapi.Options{MaxConcurrent: 1, MaxQueue: -1})
	// Giving back the engine takes longer while others want it.
	var swaps sync.WaitGroup
	defer swaps.Wait()
	ended := make(chan struct{})
	defer close(ended)
	swaps.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				c.SetEngine(e)
			}
		}
	})
	for range 100 {
		c.get("/v1/compare?q=thing&systems=bm25").is(200)
		if m := string(c.get("/metrics").is(200).body); !strings.Contains(m, "trirank_http_working 0\n") {
			t.Fatal("a request that was answered keeps its place")
		}
	}
}

func TestQueueWait(t *testing.T) {
	faults := &fakeshop.Faults{Gate: make(chan struct{})}
	c := serve(t, fakeshop.Tiny(5).Engine(faults), httpapi.Options{MaxConcurrent: 1, QueueWait: 20 * time.Millisecond})
	const target = "/v1/compare?q=thing&systems=bm25"
	var wg sync.WaitGroup
	wg.Go(func() { c.get(target).is(200) })
	eventually(t, "one request works", func() bool { return faults.Calls.Load() == 1 })
	c.get(target).problem(http.StatusTooManyRequests, "--queue-wait")
	close(faults.Gate)
	wg.Wait()
}

func TestSwapUnderLoad(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{MaxConcurrent: 2, QueueWait: 10 * time.Second})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					c.get("/v1/compare?q=thing").is(200)
				}
			}
		})
	}
	for range 30 {
		<-c.SetEngine(fakeshop.Tiny(4).Engine(nil))
	}
	close(stop)
	wg.Wait()
}

// TestEndlessBody sends more than is read: the server hangs up, with an answer that
// the client may or may not see.
func TestEndlessBody(t *testing.T) {
	c := serve(t, fakeshop.Tiny(1).Engine(nil), httpapi.Options{MaxBody: 1000})
	resp, err := c.http.Post("http://trirank/v1/compare", "application/json", strings.NewReader(strings.Repeat("[", 10_000_000)))
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	eventually(t, "it is counted", func() bool {
		return strings.Contains(string(c.get("/metrics").body), `trirank_http_requests_total{route="/v1/compare",status="413"} 1`)
	})
}

func TestSlowQueryLog(t *testing.T) {
	faults := &fakeshop.Faults{}
	faults.SetDelay(5 * time.Millisecond)
	c := serve(t, fakeshop.Tiny(3).Engine(faults), httpapi.Options{SlowQuery: time.Millisecond})
	c.get("/v1/compare?q=thing").is(200)
	if log := c.log.String(); !strings.Contains(log, `"msg":"slow query"`) || !strings.Contains(log, `"query":"thing"`) {
		t.Errorf("log: %s", log)
	}
}
