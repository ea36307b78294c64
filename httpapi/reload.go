package httpapi

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// reloads is what became of attempts to exchange the engine.
type reloads struct {
	mu     sync.Mutex
	done   uint64
	failed uint64
	since  time.Time // of the first of the failures in a row; zero: the last attempt did not fail
	tries  int       // in that row
	what   string
	why    string
}

// ReloadFailed tells the server that another engine, that of what, could not be had,
// so that /readyz and /metrics say so until ReloadDone is called. Requests are answered
// by the engine that there is.
func (s *Server) ReloadFailed(what string, err error) {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	if s.reloads.since.IsZero() {
		s.reloads.since, s.reloads.tries = time.Now(), 0
	}
	s.reloads.tries++
	s.reloads.failed++
	s.reloads.what, s.reloads.why = what, strings.TrimSpace(firstLine(err.Error()))
}

// ReloadDone tells the server that the engine was exchanged, or needs not to be.
func (s *Server) ReloadDone() {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	s.reloads.done++
	s.reloads.since = time.Time{}
}

// line is what /readyz says of a reload that fails; nothing of one that does not.
func (r *reloads) line() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return ""
	}
	return fmt.Sprintf("the reload of %s has failed since %s, %d times, and is tried again; what was open before serves: %s\n", r.what, r.since.UTC().Format(time.RFC3339), r.tries, r.why)
}

func (r *reloads) write(x *exposition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	failing := 0.
	if !r.since.IsZero() {
		failing = 1
	}
	x.one("trirank_reloads_total", "counter", "Reloads after which another index served.", float64(r.done))
	x.one("trirank_reload_failures_total", "counter", "Reloads that failed; each is tried again.", float64(r.failed))
	x.one("trirank_reload_failing", "gauge", "1 if the last reload failed.", failing)
}
