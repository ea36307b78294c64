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
	maxQueue int
	wait     time.Duration
	waiting  atomic.Int64
	refused  atomic.Uint64
}

func newGate(o Options) *gate {
	return &gate{places: make(chan struct{}, o.MaxConcurrent), maxQueue: o.MaxQueue, wait: o.QueueWait}
}

// enter waits for a place, which leave gives back. The error is a *Problem, or
// ctx's.
func (g *gate) enter(ctx context.Context) error {
	if g.tryEnter() {
		return nil
	}
	if n := g.waiting.Add(1); n > int64(g.maxQueue) {
		g.waiting.Add(-1)
		return g.refuse(fmt.Sprintf("%d requests are at work and %d wait; to admit more, raise --max-concurrent or --max-queue", cap(g.places), g.maxQueue))
	}
	defer g.waiting.Add(-1)
	t := time.NewTimer(g.wait)
	defer t.Stop()
	select {
	case g.places <- struct{}{}:
		return nil
	case <-t.C:
		return g.refuse(fmt.Sprintf("%d requests are at work, and none was done within %v; to admit more, raise --max-concurrent or --queue-wait", cap(g.places), g.wait))
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
