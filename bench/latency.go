package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/trirank/trirank/engine"
)

// MaxClients is the most that LatencyOptions.Clients may be.
const MaxClients = 10_000

// LatencyOptions say how requests are timed. Zero values mean the defaults.
type LatencyOptions struct {
	K       int           // products that are shown; default 10
	Clients []int         // how many ask at the same time, one after the other of these; default 1 and 4
	Budget  time.Duration // for each; default 5 s
	// Warm asks the same queries over and over, whose vectors are in the engine's
	// cache after the first time; otherwise hardly any is asked twice.
	Warm bool
	Step func(what string)
}

// Latency times requests to an engine by stages: each ranking with its parts, the
// fusion, reading the products, writing JSON, and the whole. Requests are made one after the other by each client, so that
// the times are those of a server that is not overrun; Load shows one that is.
func Latency(ctx context.Context, e *engine.Engine, queries []string, o LatencyOptions) ([]Result, error) {
	if len(queries) == 0 {
		return nil, fmt.Errorf("cannot time requests without queries")
	}
	if o.Budget < 0 {
		return nil, fmt.Errorf("cannot time requests for %v", o.Budget)
	}
	o.K, o.Budget = cmp.Or(o.K, 10), cmp.Or(o.Budget, 5*time.Second)
	if len(o.Clients) == 0 {
		o.Clients = []int{1, 4}
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	cache, asker := "cold", newAsker(queries, 0)
	if o.Warm {
		queries = queries[:min(len(queries), warmQueries)]
		cache, asker = "warm", newAsker(queries, 1)
		for _, q := range queries {
			if _, err := e.Compare(ctx, engine.Request{Query: q, K: o.K}); err != nil {
				return nil, err
			}
		}
	}
	asked := 0 // goes on: what was asked before is in the cache
	var results []Result
	for _, clients := range o.Clients {
		if clients < 1 || clients > MaxClients {
			return nil, fmt.Errorf("%d clients are not within 1..%d", clients, MaxClients)
		}
		o.Step(fmt.Sprintf("asking with %d at a time", clients))
		s := &stages{times: map[string]*hdrhistogram.Histogram{}}
		var all sync.WaitGroup
		var once sync.Once
		var failed error
		start := time.Now()
		var next atomic.Int64
		next.Store(int64(asked))
		stop, cancel := context.WithDeadline(ctx, start.Add(o.Budget))
		for range clients {
			all.Go(func() {
				for n := 0; n < 2 || stop.Err() == nil; n++ { // even if the budget is over before it begins
					if err := s.request(ctx, e, asker.query(int(next.Add(1))), o.K); err != nil {
						once.Do(func() { failed = err })
						cancel()
						return
					}
				}
			})
		}
		all.Wait()
		cancel()
		if err := cmp.Or(ctx.Err(), failed); err != nil {
			return nil, err
		}
		took := time.Since(start)
		asked = int(next.Load())
		for _, name := range s.order {
			r := Result{Name: "Stage"}
			r.param("stage", name)
			r.param("cache", cache)
			r.param("clients", clients)
			r.times(s.times[name])
			if name == whole {
				r.metric("queries/s", float64(r.Runs)/took.Seconds())
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// warmQueries are few enough for all their vectors to stay in the engine's cache.
const warmQueries = 2000

// whole is the stage that is all of a request.
const whole = "request"

// stages collects the times of requests by stage.
type stages struct {
	mu    sync.Mutex
	times map[string]*hdrhistogram.Histogram
	order []string
}

func (s *stages) record(name string, took time.Duration) {
	h := s.times[name]
	if h == nil {
		h = newTimes()
		s.times[name] = h
		s.order = append(s.order, name)
	}
	record(h, took)
}

func (s *stages) request(ctx context.Context, e *engine.Engine, query string, k int) error {
	start := time.Now()
	resp, err := e.Compare(ctx, engine.Request{Query: query, K: k})
	if err != nil {
		return err
	}
	answered := time.Now()
	if _, err := json.Marshal(resp); err != nil {
		return err
	}
	end := time.Now()
	if err := rankingError(resp); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range resp.Rankings {
		if r.System == engine.Hybrid {
			continue // it waits for the others
		}
		for _, x := range r.Stages {
			s.record(r.System+" "+x.Name, x.Took)
		}
	}
	for _, x := range resp.Stages {
		s.record(x.Name, x.Took)
	}
	s.record("json", end.Sub(answered))
	s.record(whole, end.Sub(start))
	return nil
}

// rankingError is why the first ranking of an answer that failed did, nil if none.
func rankingError(resp *engine.Response) error {
	for _, r := range resp.Rankings {
		if r.Error != "" {
			return fmt.Errorf("query %.80q: %s", resp.Query, r.Error)
		}
	}
	return nil
}
