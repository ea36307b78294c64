package httpapi

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
)

// budget is how many bytes may be held at a time for one purpose.
type budget struct {
	what string // for people, such as "bodies of requests"
	flag string // what raises it
	most int

	mu      sync.Mutex
	held    int
	peak    int
	refused uint64
}

// take reserves n bytes for whoever holds own already, or says that they cannot be had.
// What is larger than the whole budget is let through when nobody else holds anything: it
// would never be otherwise.
func (b *budget) take(n, own int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held > own && b.held+n > b.most {
		b.refused++
		p := newProblem(http.StatusServiceUnavailable, fmt.Sprintf("%s hold %d bytes of %d at the moment, and this would be %d more; to admit more, raise %s", b.what, b.held, b.most, n, b.flag))
		p.retryAfter = 1
		return p
	}
	b.held += n
	b.peak = max(b.peak, b.held)
	return nil
}

func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
}

func (b *budget) state() (held int, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held, b.refused
}

// reservation is what an answer holds of a budget: from before it is worked out until
// it is written. The job and the request both use it, and the later one gives it back.
type reservation struct {
	of    *budget
	n     int
	users atomic.Int32
}

// reserve takes n bytes for a job and its request.
func (b *budget) reserve(n int) (*reservation, error) {
	if err := b.take(n, 0); err != nil {
		return nil, err
	}
	r := &reservation{of: b, n: n}
	r.users.Store(2)
	return r, nil
}

// resize makes the reservation n bytes, when the job is done.
func (r *reservation) resize(n int) error {
	s := share{r.of, r.n}
	err := s.set(n)
	r.n = s.n
	return err
}

// done is called once by each user.
func (r *reservation) done() {
	if r.users.Add(-1) == 0 {
		r.of.give(r.n)
	}
}

// share is what one request has of a budget. It is used by one goroutine at a time.
type share struct {
	of *budget
	n  int
}

// set makes the share n bytes, which cannot fail if it becomes smaller.
func (s *share) set(n int) error {
	if n > s.n {
		if err := s.of.take(n-s.n, s.n); err != nil {
			return err
		}
	} else {
		s.of.give(s.n - n)
	}
	s.n = n
	return nil
}
