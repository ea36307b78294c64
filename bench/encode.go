package bench

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trirank/trirank/encoder"
)

// EncodeSetting is how a model is run.
type EncodeSetting struct {
	Threads     int // of one batch
	Sessions    int // batches at a time
	BatchTokens int // at most, padding included; 0: as the encoder has it
	BatchRows   int
}

// EncodeOptions say what is encoded and how long. Zero values mean the defaults.
type EncodeOptions struct {
	Model             string // what to call it
	Queries, Passages []string
	Budget            time.Duration // for each setting; default 3 s
	Step              func(what string)
}

// Encode times a model in several settings: single queries (the time of one), many
// queries at a time by as many clients as there are sessions, each on its own, and
// passages in batches. open opens the model as a setting says.
func Encode(ctx context.Context, settings []EncodeSetting, open func(EncodeSetting) (*encoder.Encoder, error), o EncodeOptions) (results []Result, err error) {
	if len(o.Queries) == 0 || len(o.Passages) == 0 {
		return nil, fmt.Errorf("cannot time a model without queries and passages")
	}
	if o.Budget < 0 {
		return nil, fmt.Errorf("cannot time a model for %v", o.Budget)
	}
	o.Budget = cmp.Or(o.Budget, 3*time.Second)
	if o.Step == nil {
		o.Step = func(string) {}
	}
	for _, s := range settings {
		o.Step(fmt.Sprintf("encoding with %d threads a batch, %d at a time, of at most %d tokens", s.Threads, s.Sessions, s.BatchTokens))
		e, err := open(s)
		if err != nil {
			return nil, err
		}
		some, err := encodeWith(ctx, e, s, &o)
		if closed := e.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
		results = append(results, some...)
	}
	return results, nil
}

func encodeWith(ctx context.Context, e *encoder.Encoder, s EncodeSetting, o *EncodeOptions) (results []Result, err error) {
	result := func(texts string) Result {
		r := Result{Name: "Encode"}
		r.param("model", o.Model)
		r.param("texts", texts)
		r.param("threads", s.Threads)
		r.param("sessions", s.Sessions)
		r.param("batch", s.BatchTokens)
		return r
	}
	if _, err := e.Query(ctx, o.Queries[0]); err != nil { // the first one is slow
		return nil, err
	}
	// Queries, one after the other for each session.
	times := newTimes()
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	start := time.Now()
	for c := range s.Sessions {
		all.Go(func() {
			for i, n := c, 0; n < 2 || time.Since(start) < o.Budget; i, n = i+s.Sessions, n+1 { // even if the budget is over before it begins
				begun := time.Now()
				_, err := e.Query(ctx, o.Queries[i%len(o.Queries)])
				mu.Lock()
				failed = cmp.Or(failed, err)
				record(times, time.Since(begun))
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	if failed != nil {
		return nil, failed
	}
	r := result("queries")
	r.times(times)
	r.metric("queries/s", float64(r.Runs)/time.Since(start).Seconds())
	results = append(results, r)

	// Passages, as an index is built.
	const part = 256
	dst := make([]float32, part*e.Model.Dimension)
	done := 0
	for start = time.Now(); time.Since(start) < o.Budget; {
		texts := make([]string, 0, part)
		for len(texts) < part {
			texts = append(texts, o.Passages[(done+len(texts))%len(o.Passages)])
		}
		if err := e.Passages(ctx, texts, dst); err != nil {
			return nil, err
		}
		done += part
	}
	r = result("passages")
	r.Runs = done
	r.metric("products/s", float64(done)/time.Since(start).Seconds())
	return append(results, r), nil
}

// Tokenize times the tokenizer of a model on queries.
func Tokenize(ctx context.Context, e *encoder.Encoder, model string, queries []string, budget time.Duration) (Result, error) {
	times := newTimes()
	for start := time.Now(); time.Since(start) < budget; {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		for _, q := range queries {
			begun := time.Now()
			if _, err := e.Tokens(q, true); err != nil {
				return Result{}, err
			}
			record(times, time.Since(begun))
		}
	}
	r := Result{Name: "Encode"}
	r.param("model", model)
	r.param("texts", "queries, tokenizer alone")
	r.times(times)
	return r, nil
}
