package httpapi

import (
	"container/list"
	"net"
	"sync"
	"time"
)

// phase is what a connection is at.
type phase int

const (
	idle     phase = iota // no byte of a request has come since it was opened, or answered
	reading               // a part of a request has come
	working               // its request is being answered
	dropping              // it has its answer, and sends the rest of a body that nobody wants
)

const (
	// leastRate is what a client has to send or take on average once the time is over
	// that ReadTimeout or WriteTimeout gives each: bytes a second.
	leastRate = 16 << 10
	// writePiece is what a client has to take within WriteTimeout.
	writePiece = 64 << 10
	// systemBuffer is how much of an answer lies in the system at most, where no budget
	// counts it; Linux takes twice that.
	systemBuffer = 128 << 10
	// droppingTime is how long the rest of a body is read of which nothing is wanted:
	// a client that is cut off while it sends may never see the answer that says why.
	droppingTime = 2 * time.Second
	// readingAtLeast is how long a request that is coming in is left alone where a new
	// connection wants its place.
	readingAtLeast = time.Second
	// readingLong is how long it is left alone where others want the memory of its body.
	readingLong = 5 * time.Second
)

// conn is a connection that knows what it is at. It sets its own deadlines: by the
// progress that the client makes, where the HTTP library would set one for the whole.
type conn struct {
	net.Conn
	all     *connections
	reserve bool // beyond the bound: answers probes only

	// The rest is guarded by all.mu.
	phase    phase
	since    time.Time // when the phase began
	fresh    bool      // no request was answered yet
	received int       // bytes in this phase
	sending  time.Time // when the answer's first byte was
	sent     int       // bytes of it
	releases []func()  // to be called once the answer is written, or cannot be
	place    *list.Element
	in       *list.List // where place is
	closed   bool
}

// connections are those that are open, at most so many.
type connections struct {
	options Options

	mu       sync.Mutex
	open     map[*conn]struct{}
	ordinary int
	waiting  *list.List // of idle ones, the longest first
	partial  *list.List // of those whose request has not come in whole, the longest first
	reserved *list.List // of those in reserve, the longest first
	evicted  uint64     // closed for a new one
	refused  uint64     // there was no place for
}

const (
	// reserveConnections answer probes when all others are busy.
	reserveConnections = 16
	// reservePatience is how long such a one has for its request, and for its answer.
	reservePatience = 2 * time.Second
)

func newConnections(o Options) *connections {
	return &connections{options: o, open: map[*conn]struct{}{}, waiting: list.New(), partial: list.New(), reserved: list.New()}
}

// admit takes a connection in, for which it may close another: an idle one, or where all
// are at work the oldest in reserve.
func (s *connections) admit(nc net.Conn) *conn {
	if b, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(systemBuffer)
	}
	c := &conn{Conn: nc, all: s, phase: idle, since: time.Now(), fresh: true}
	s.mu.Lock()
	var victim *conn
	if s.ordinary >= s.options.MaxConnections {
		victim = s.victim()
		c.reserve = victim == nil
	}
	switch {
	case victim != nil:
		s.evicted++
	case c.reserve && s.reserved.Len() >= reserveConnections:
		// Those in reserve have little to do: the oldest is the least likely to end.
		victim = s.reserved.Front().Value.(*conn)
		s.refused++
	}
	if victim != nil {
		victim.forget()
	}
	s.open[c] = struct{}{}
	if c.reserve {
		c.in = s.reserved
	} else {
		s.ordinary++
		c.in = s.waiting
	}
	c.place = c.in.PushBack(c)
	s.mu.Unlock()
	if victim != nil {
		victim.Conn.Close()
	}
	return c
}

// victim is the connection that has done nothing for the longest time: an idle one, or
// else one whose request does not come to its end. It is nil if all are at work.
func (s *connections) victim() *conn {
	if first := s.waiting.Front(); first != nil {
		return first.Value.(*conn)
	}
	if first := s.partial.Front(); first != nil {
		if c := first.Value.(*conn); time.Since(c.since) >= readingAtLeast {
			return c
		}
	}
	return nil
}

// evictIdle closes the connection that has been idle the longest, and reports whether
// there was one.
func (s *connections) evictIdle() bool { return s.evict(s.victim) }

// evictSlow closes the connection whose request has been coming in for the longest time,
// if that is long and it is not asker: what it holds, asker waits for.
func (s *connections) evictSlow(asker net.Conn) {
	s.evict(func() *conn {
		if first := s.partial.Front(); first != nil {
			if c := first.Value.(*conn); net.Conn(c) != asker && c.phase == reading && time.Since(c.since) >= readingLong {
				return c
			}
		}
		return nil
	})
}

// evict closes the connection that choose returns, and reports whether there was one.
// choose is called with mu held.
func (s *connections) evict(choose func() *conn) bool {
	s.mu.Lock()
	c := choose()
	if c != nil {
		s.evicted++
		c.forget()
	}
	s.mu.Unlock()
	if c == nil {
		return false
	}
	c.Conn.Close()
	return true
}

// closeIncomplete closes all connections that are not at work.
func (s *connections) closeIncomplete() { s.closeIf(func(c *conn) bool { return c.phase != working }) }

func (s *connections) closeAll() { s.closeIf(func(*conn) bool { return true }) }

func (s *connections) closeIf(f func(*conn) bool) {
	var some []*conn
	s.mu.Lock()
	for c := range s.open {
		if f(c) {
			some = append(some, c)
		}
	}
	s.mu.Unlock()
	for _, c := range some {
		c.Close()
	}
}

func (s *connections) count() (open, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.waiting.Len()
}

// forget gives back what the connection holds. Its caller holds all.mu.
func (c *conn) forget() {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.all.open, c)
	if !c.reserve {
		c.all.ordinary--
	}
	c.leave()
	c.release()
}

func (c *conn) leave() {
	if c.in != nil {
		c.in.Remove(c.place)
		c.in, c.place = nil, nil
	}
}

// release gives back what the answer held. Its caller holds all.mu.
func (c *conn) release() {
	for _, f := range c.releases {
		f()
	}
	c.releases = nil
}

// whenWritten has f called once the answer is written, or cannot be. f must not block.
func (c *conn) whenWritten(f func()) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.releases = append(c.releases, f)
	if c.closed {
		c.release()
	}
}

// enter begins a phase.
func (c *conn) enter(p phase) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.enterLocked(p)
}

func (c *conn) enterLocked(p phase) {
	if c.closed || c.phase == p && p != idle {
		return
	}
	c.phase, c.since, c.received = p, time.Now(), 0
	switch p {
	case idle: // the answer is written
		c.fresh, c.sending, c.sent = false, time.Time{}, 0
		c.release()
	case working:
		c.sending, c.sent = time.Time{}, 0
	}
	if c.reserve {
		return
	}
	c.leave()
	switch p {
	case idle:
		c.in = c.all.waiting
	case reading, dropping:
		c.in = c.all.partial
	default:
		return
	}
	c.place = c.in.PushBack(c)
}

// began tells that a byte of a request is there, which may have come with the request
// before it.
func (c *conn) began() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.phase == idle {
		c.enterLocked(reading)
	}
}

// Close closes the connection.
func (c *conn) Close() error {
	c.all.mu.Lock()
	c.forget()
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// Read reads what the client sends, as long as it comes in reasonable time: a request's
// line and headers within ReadTimeout, the body as fast as leastRate.
func (c *conn) Read(p []byte) (int, error) {
	c.all.mu.Lock()
	if c.phase == working { // the HTTP library looks for the end of a body
		c.enterLocked(dropping)
	}
	o, deadline := &c.all.options, time.Time{}
	switch {
	case c.phase == dropping:
		deadline = c.since.Add(droppingTime)
	case c.phase == idle && !c.fresh:
		deadline = c.since.Add(o.IdleTimeout)
	default:
		deadline = byProgress(c.since, c.patience(o.ReadTimeout), c.received)
	}
	c.all.mu.Unlock()
	if err := c.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.all.mu.Lock()
		if c.phase == idle {
			c.enterLocked(reading)
		}
		c.received += n
		c.all.mu.Unlock()
	}
	return n, err
}

// Write sends an answer, as long as the client takes a piece of it within WriteTimeout
// and the whole as fast as leastRate.
func (c *conn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		c.all.mu.Lock()
		if c.sending.IsZero() {
			c.sending = time.Now()
		}
		deadline := byProgress(c.sending, c.patience(c.all.options.WriteTimeout), c.sent)
		c.all.mu.Unlock()
		if err := c.Conn.SetWriteDeadline(deadline); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:min(len(p), n+writePiece)])
		n += m
		c.all.mu.Lock()
		c.sent += m
		c.all.mu.Unlock()
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// patience is what there is of d for the connection: little for those in reserve.
func (c *conn) patience(d time.Duration) time.Duration {
	if c.reserve {
		return min(d, reservePatience)
	}
	return d
}

// byProgress is when a client has to be further than so many bytes: within patience
// from now, and within patience and the time that leastRate takes for them.
func byProgress(since time.Time, patience time.Duration, bytes int) time.Time {
	soon := time.Now().Add(patience)
	onAverage := since.Add(patience + time.Duration(bytes)*time.Second/leastRate)
	if onAverage.Before(soon) {
		return onAverage
	}
	return soon
}
