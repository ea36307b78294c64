package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A job answers a request with the engine's help: the body, to be sent as JSON. It
// must not touch the request.
type job func(ctx context.Context, e Engine) (body any, err error)

// A reader takes from a request what its job needs. Errors that it finds cost no
// place among the requests at work.
type reader func(r *request) (job, error)

// A responder answers a request at once, without a place among those at work, so
// that the server can be watched when it is busy.
type responder func(r *request) error

// route is a path with what it answers.
type route struct {
	name     string // as in openapi.yaml
	segments []string
	get      any // reader or responder
	post     any
	probe    bool // answered even when all connections are busy
	quiet    bool // asked so often by machines that the log would hold little else
}

func (s *Server) makeRoutes() []route {
	routes := []route{
		{name: "/v1/compare", get: reader(s.readCompare), post: reader(s.readBatch)},
		{name: "/v1/search", get: reader(readSearch)},
		{name: "/v1/products/{id}", get: reader(readProduct)},
		{name: "/v1/products/{id}/similar", get: reader(readSimilar)},
		{name: "/v1/embeddings", post: reader(s.readEmbeddings)},
		{name: "/v1/info", get: responder(s.info)},
		{name: "/livez", get: responder(s.livez), probe: true, quiet: true},
		{name: "/readyz", get: responder(s.readyz), probe: true, quiet: true},
		{name: "/metrics", get: responder(s.sendMetrics), probe: true, quiet: true},
		{name: "/openapi.yaml", get: responder(s.openAPI)},
		{name: "/", get: responder(s.page.index)},
		{name: "/assets/{version}/{file}", get: responder(s.page.asset), quiet: true},
	}
	for i := range routes {
		routes[i].segments = strings.Split(routes[i].name[1:], "/")
	}
	return routes
}

// match reports whether the segments of a path belong to the route, and returns
// those that stand for {…}.
func (t *route) match(segments []string) (args []string, ok bool) {
	if len(segments) != len(t.segments) {
		return nil, false
	}
	for i, want := range t.segments {
		switch {
		case strings.HasPrefix(want, "{") && segments[i] != "":
			args = append(args, segments[i])
		case want != segments[i]:
			return nil, false
		}
	}
	return args, true
}

func (t *route) methods() (m []string) {
	if t.get != nil {
		m = append(m, http.MethodGet, http.MethodHead)
	}
	if t.post != nil {
		m = append(m, http.MethodPost)
	}
	return append(m, http.MethodOptions)
}

// dispatch finds the route of a request and answers it.
func (s *Server) dispatch(r *request) error {
	if n := len(r.ctx.RequestURI()); n > maxURI {
		return newProblem(http.StatusRequestURITooLong, "the address is too long (send long queries by POST)")
	}
	if err := s.hosts.check(string(r.ctx.Host())); err != nil {
		return err
	}
	// The path is split before it is decoded: the id of a product may hold an
	// encoded slash.
	raw := strings.TrimPrefix(string(r.ctx.URI().PathOriginal()), "/")
	segments := strings.Split(raw, "/")
	for i, segment := range segments {
		var err error
		if segments[i], err = url.PathUnescape(segment); err != nil {
			return badRequest("the path cannot be read: %v", err)
		}
	}
	for i := range s.routes {
		t := &s.routes[i]
		args, ok := t.match(segments)
		if !ok {
			continue
		}
		r.route, r.args = t.name, args
		if t.quiet {
			r.level = slog.LevelDebug
		}
		if err := s.crowded(r, t); err != nil {
			return err
		}
		return s.answer(r, t)
	}
	return newProblem(http.StatusNotFound, "there is nothing here (see /openapi.yaml)")
}

// crowded refuses what came on a connection that is kept for probes.
func (s *Server) crowded(r *request, t *route) error {
	c, ok := r.ctx.Conn().(*conn)
	if !ok || !c.reserve || t.probe {
		return nil
	}
	p := newProblem(http.StatusServiceUnavailable, fmt.Sprintf("all %d connections are busy; to admit more, raise --max-connections", s.conns.options.MaxConnections))
	p.retryAfter = 1
	return p
}

func (s *Server) answer(r *request, t *route) error {
	var by any
	switch method := string(r.ctx.Method()); method {
	case http.MethodGet, http.MethodHead:
		by = t.get
	case http.MethodPost:
		by = t.post
	case http.MethodOptions:
		r.ctx.Response.SetStatusCode(http.StatusNoContent)
		r.ctx.Response.Header.Set("Allow", strings.Join(t.methods(), ", "))
		return nil
	}
	switch by := by.(type) {
	case responder:
		return by(r)
	case reader:
		if s.options.Shed != nil {
			if why := s.options.Shed(); why != "" {
				p := newProblem(http.StatusServiceUnavailable, why)
				p.retryAfter = 1
				return p
			}
		}
		j, err := by(r)
		if err != nil {
			return err
		}
		body, err := s.run(r, j)
		if err != nil {
			return err
		}
		s.inspect(r, body)
		return r.sendJSON(body)
	}
	p := newProblem(http.StatusMethodNotAllowed, "this address answers "+strings.Join(t.methods(), ", "))
	p.allow = strings.Join(t.methods(), ", ")
	return p
}

// allowOrigin lets pages of other origins read the answer, if they may.
func (s *Server) allowOrigin(r *request) {
	if len(s.options.AllowOrigins) == 0 {
		return
	}
	h := &r.ctx.Response.Header
	h.Add("Vary", "Origin")
	origin := string(r.ctx.Request.Header.Peek("Origin"))
	if origin == "" || !(slices.Contains(s.options.AllowOrigins, "*") || slices.Contains(s.options.AllowOrigins, origin)) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-ID, Retry-After")
	if r.ctx.IsOptions() {
		h.Set("Access-Control-Allow-Methods", string(h.Peek("Allow")))
		h.Set("Access-Control-Allow-Headers", "Content-Type, X-Request-ID, Authorization")
		h.Set("Access-Control-Max-Age", "600")
	}
}
