package httpapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"time"
)

// gate lets a bounded number of requests work, and a bounded number of others wait
// for their turn in the order in which they came.
type gate struct {
	places   chan struct{} // one element for each request at work
	what     string        // requests of which kind, for people
	maxQueue int
	wait     time.Duration
	waiting  atomic.Int64
	refused  atomic.Uint64
}

func newGate(o Options) *gate {
	return &gate{places: make(chan struct{}, o.MaxConcurrent), what: "requests", maxQueue: o.MaxQueue, wait: o.QueueWait}
}

// newSlowGate is the one before it for requests that take long: they get half of the
// places, and of the queue, so that the others are not shut out.
func newSlowGate(o Options) *gate {
	o.MaxConcurrent, o.MaxQueue = max(1, o.MaxConcurrent/2), o.MaxQueue/2
	g := newGate(o)
	g.what = "requests for embeddings, which get half of the places,"
	return g
}

// enter waits for a place, which leave gives back. The error is a *Problem, or
// ctx's.
func (g *gate) enter(ctx context.Context) error {
	if g.tryEnter() {
		return nil
	}
	if n := g.waiting.Add(1); n > int64(g.maxQueue) {
		g.waiting.Add(-1)
		return g.refuse(fmt.Sprintf("%d %s are at work and %d wait; to admit more, raise --max-concurrent or --max-queue", cap(g.places), g.what, g.maxQueue))
	}
	defer g.waiting.Add(-1)
	t := time.NewTimer(g.wait)
	defer t.Stop()
	select {
	case g.places <- struct{}{}:
		return nil
	case <-t.C:
		return g.refuse(fmt.Sprintf("%d %s are at work, and none was done within %v; to admit more, raise --max-concurrent or --queue-wait", cap(g.places), g.what, g.wait))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryEnter takes a place if one is free now.
func (g *gate) tryEnter() bool {
	select {
	case g.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g *gate) leave() { <-g.places }

func (g *gate) refuse(why string) error {
	g.refused.Add(1)
	p := newProblem(http.StatusTooManyRequests, why)
	p.retryAfter = int(max(1, math.Ceil(g.wait.Seconds())))
	return p
}
