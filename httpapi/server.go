package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Server serves an engine. See the package comment.
type Server struct {
	options Options
	http    *fasthttp.Server
	engines generations
	gate    *gate
	slow    *gate // comes before gate for requests that take long
	conns   *connections
	hosts   hosts
	bodies  budget
	answers budget
	reloads reloads
	metrics *metrics
	routes  []route
	page    *page

	inFlight atomic.Int64
	stopping atomic.Bool
	started  atomic.Bool
	base     context.Context // parent of all requests'
	cancel   context.CancelCauseFunc
}

const (
	// lateGrace is how long a request whose deadline has passed waits for the
	// engine to hand over the rankings that are done.
	lateGrace = 300 * time.Millisecond
	// sayingSo is how long requests that are told to end have to tell their clients so.
	sayingSo = 3 * time.Second
	// maxURI leaves room for the longest query with each byte written as %XX.
	maxURI     = 12 << 10
	maxHeaders = 16 << 10 // with the request line
)

// New makes a server of e, which may be nil: then it is not ready, and answers 503,
// until SetEngine. See Options.Validate for what is wrong with options; New takes
// the default in place of a value that makes no sense.
func New(e Engine, o Options) *Server {
	o = o.withDefaults()
	s := &Server{options: o, gate: newGate(o), slow: newSlowGate(o), conns: newConnections(o), hosts: hosts{all: true}, metrics: newMetrics(), page: newPage()}
	s.bodies = budget{what: "bodies of requests", flag: "--body-memory", most: o.BodyMemory}
	s.answers = budget{what: "answers that are worked out or not taken yet", flag: "--answer-memory", most: o.AnswerMemory}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	s.routes = s.makeRoutes()
	s.http = &fasthttp.Server{
		Handler:                      s.serve,
		ErrorHandler:                 s.unreadable,
		Logger:                       connectionLog{o.Logger},
		ConnState:                    s.connState,
		Concurrency:                  math.MaxInt32, // connections bounds them, and keeps the time
		ReadBufferSize:               maxHeaders,
		StreamRequestBody:            true, // a handler reads and counts it
		MaxRequestBodySize:           1,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true,
	}
	if e != nil {
		s.SetEngine(e)
	}
	return s
}

// SetEngine makes e the engine of all requests from now on, none if it is nil. The
// channel that it returns is closed when no request uses the engine before it any
// more, at once if there was none.
func (s *Server) SetEngine(e Engine) (drained <-chan struct{}) { return s.engines.set(e) }

// ready reports whether /readyz should send requests here.
func (s *Server) ready() bool { return !s.stopping.Load() && s.engines.ready() }

// Serve answers requests on ln until ctx ends, and closes ln. It returns nil after a
// stop in which all requests under way were answered. Once it has returned nil, no
// request uses the engine; otherwise the error says so if one still does. Serve can
// be called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if s.started.Swap(true) {
		return errors.New("cannot serve twice with one Server")
	}
	s.hosts = hostsFor(ln.Addr(), s.options.AllowHosts)
	if err := s.fitDescriptors(); err != nil {
		ln.Close()
		s.cancel(errStopping)
		return fmt.Errorf("cannot serve on %s: %w", ln.Addr(), err)
	}
	inner := ln
	ln = newListener(inner, s.conns, s.options.Logger)
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(ln) }()
	select {
	case err := <-served:
		s.cancel(errStopping)
		return fmt.Errorf("cannot serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true) // /readyz fails from here on
	s.options.Logger.Info("stopping", "requests", s.inFlight.Load(), "drain_delay", s.options.DrainDelay.String(), "grace", s.options.Grace.String())
	if s.options.DrainDelay > 0 {
		time.Sleep(s.options.DrainDelay)
	}

	// When the grace period is over, requests under way are told to end, and
	// get a moment to say so to their clients.
	late := time.AfterFunc(s.options.Grace, func() { s.cancel(errStopping) })
	defer late.Stop()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Grace+sayingSo)
	defer cancel()
	ended := make(chan struct{})
	var closing sync.WaitGroup
	closing.Go(func() { s.closeIncomplete(ended) })
	err := s.http.ShutdownWithContext(end)
	close(ended)
	closing.Wait()
	ln.Close() // in case ctx ended before fasthttp knew of ln
	s.cancel(errStopping)
	s.conns.closeAll()
	if err != nil {
		err = fmt.Errorf("cannot finish all requests within %v: %w", s.options.Grace, err)
	}
	select {
	case <-s.SetEngine(nil):
	case <-time.After(lateGrace):
		err = errors.Join(err, errors.New("a request still uses the engine: do not close it"))
	}
	select {
	case <-served:
	case <-time.After(lateGrace):
	}
	return err
}

// closeIncomplete closes the connections whose client has not sent a whole request,
// until ended is closed: nobody should wait for them.
func (s *Server) closeIncomplete(ended <-chan struct{}) {
	const again = 20 * time.Millisecond // a connection that was answered becomes idle
	for {
		s.conns.closeIncomplete()
		select {
		case <-ended:
			return
		case <-time.After(again):
		}
	}
}

// connState hears from the HTTP library what a connection is at.
func (s *Server) connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	switch {
	case !ok:
	case state == fasthttp.StateActive:
		c.began()
	case state == fasthttp.StateIdle:
		c.enter(idle)
	}
}

// unreadable answers a request that fasthttp could not read.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	r := s.newRequest(ctx)
	r.route, r.level = "unreadable", slog.LevelDebug
	r.reject(s.unreadableBody(err))
	s.finish(r)
}

// connectionLog passes what fasthttp says about single connections, which is
// mostly about clients that went away, to the debug log.
type connectionLog struct{ *slog.Logger }

func (l connectionLog) Printf(format string, args ...any) {
	l.Debug("connection", "message", fmt.Sprintf(format, args...))
}

// outcome is what a job gave.
type outcome struct {
	body any
	err  error
}

// run does a job with the current engine, under the request's deadline and among at
// most MaxConcurrent others, as long as its client is there. The job runs in a
// goroutine of its own because an engine may be stuck in C code, which nothing
// interrupts; it must not touch the request, which is gone when the job is late.
func (s *Server) run(r *request, j job) (any, error) {
	base, abandon := context.WithCancelCause(s.base)
	ctx, cancel := context.WithDeadline(base, r.start.Add(s.options.RequestTimeout))
	end := func() {
		cancel()
		abandon(nil)
	}
	defer watchClient(r.ctx.Conn(), func() { abandon(errGone) })()
	leave, err := s.enter(ctx, r)
	if err != nil {
		err = cause(ctx, err)
		end()
		return nil, err
	}
	r.queued = time.Since(r.start)
	e, release, err := s.equip(r)
	if err != nil {
		leave()
		end()
		return nil, err
	}
	done := make(chan outcome, 1)
	answer, body := r.answer, r.body
	r.body = share{of: body.of} // the job's from here on
	go func() {
		defer end()
		o := protect(func() (any, error) { return j(ctx, e) })
		// Whoever has the answer may ask again at once, and must find the place free.
		_ = body.set(0)
		answer.done()
		release()
		leave()
		done <- o
	}()
	select {
	case o := <-done:
		return o.body, cause(ctx, o.err)
	case <-ctx.Done():
	}
	t := time.NewTimer(lateGrace)
	defer t.Stop()
	select {
	case o := <-done:
		return o.body, cause(ctx, o.err)
	case <-t.C:
		return nil, cause(ctx, ctx.Err())
	}
}

// enter waits until the request may work. leave gives its place back.
func (s *Server) enter(ctx context.Context, r *request) (leave func(), err error) {
	if !r.slow {
		return s.gate.leave, s.gate.enter(ctx)
	}
	if err := s.slow.enter(ctx); err != nil {
		return nil, err
	}
	if err := s.gate.enter(ctx); err != nil {
		s.slow.leave()
		return nil, err
	}
	return func() {
		s.gate.leave()
		s.slow.leave()
	}, nil
}

// equip gets what a job needs besides a place.
func (s *Server) equip(r *request) (e Engine, release func(), err error) {
	e, release, ok := s.engines.lease()
	if !ok {
		return nil, nil, errNotReady
	}
	if r.answer, err = s.answers.reserve(leastCost + r.cost); err != nil {
		release()
		return nil, nil, err
	}
	return e, release, nil
}

// leastCost is about how much memory any answer takes.
const leastCost = 16 << 10

// cause is err, or that the client is gone if that is why.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errGone) {
		return errGone
	}
	return err
}

// helpers runs f in up to n goroutines, as long as there are free places for them,
// and in this one; it returns when all are done.
func (s *Server) helpers(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		if !s.gate.tryEnter() {
			break
		}
		wg.Go(func() {
			defer s.gate.leave()
			f()
		})
	}
	f()
	wg.Wait()
}
