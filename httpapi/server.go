package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// readBeyond is how many times MaxBody is read all the same: a client that
	// is cut off while it sends may never see the answer that says why.
	readBeyond = 4
)

// New makes a server of e, which may be nil: then it is not ready, and answers 503,
// until SetEngine. See Options.Validate for what is wrong with options; New takes
// the default in place of a value that makes no sense.
func New(e Engine, o Options) *Server {
	o = o.withDefaults()
	s := &Server{options: o, gate: newGate(o), metrics: newMetrics(), page: newPage()}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	s.routes = s.makeRoutes()
	s.http = &fasthttp.Server{
		Handler:                      s.serve,
		ErrorHandler:                 s.unreadable,
		Logger:                       connectionLog{o.Logger},
		Concurrency:                  o.MaxConnections,
		ReadBufferSize:               maxHeaders,
		MaxRequestBodySize:           readBeyond * o.MaxBody,
		ReadTimeout:                  o.ReadTimeout,
		WriteTimeout:                 o.WriteTimeout,
		IdleTimeout:                  o.IdleTimeout,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		TCPKeepalive:                 true,
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
	err := s.http.ShutdownWithContext(end)
	ln.Close() // in case ctx ended before fasthttp knew of ln
	s.cancel(errStopping)
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

// unreadable answers a request that fasthttp could not read.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	p := newProblem(fasthttp.StatusBadRequest, "the request is not HTTP as it should be")
	switch {
	case errors.As(err, &small):
		p = newProblem(fasthttp.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request line and headers have more than %d bytes", maxHeaders))
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p = s.bodyTooLarge()
	case errors.As(err, &netErr) && netErr.Timeout():
		p = newProblem(fasthttp.StatusRequestTimeout, fmt.Sprintf("the request did not arrive within %v", s.options.ReadTimeout))
	}
	r := &request{ctx: ctx, server: s, id: newRequestID(), route: "unreadable", start: time.Now(), level: slog.LevelDebug}
	r.reject(p)
	s.finish(r)
}

func (s *Server) bodyTooLarge() *Problem {
	return newProblem(fasthttp.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes (to admit it, raise --max-body)", s.options.MaxBody))
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
// most MaxConcurrent others. The job runs in a goroutine of its own because an
// engine may be stuck in C code, which nothing interrupts; it must not touch the
// request, which is gone when the job is late.
func (s *Server) run(r *request, j job) (any, error) {
	ctx, cancel := context.WithDeadline(s.base, r.start.Add(s.options.RequestTimeout))
	if err := s.gate.enter(ctx); err != nil {
		cancel()
		return nil, err
	}
	r.queued = time.Since(r.start)
	e, release, ok := s.engines.lease()
	if !ok {
		s.gate.leave()
		cancel()
		return nil, errNotReady
	}
	done := make(chan outcome, 1)
	go func() {
		defer cancel()
		o := protect(func() (any, error) { return j(ctx, e) })
		// Whoever has the answer may ask again at once, and must find the place free.
		release()
		s.gate.leave()
		done <- o
	}()
	select {
	case o := <-done:
		return o.body, o.err
	case <-ctx.Done():
	}
	t := time.NewTimer(lateGrace)
	defer t.Stop()
	select {
	case o := <-done:
		return o.body, o.err
	case <-t.C:
		return nil, ctx.Err()
	}
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
