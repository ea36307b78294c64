package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"mime"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/trirank/trirank/internal/processors"
)

// request is one request while it is being answered. Its strings are copies: the
// bytes that fasthttp hands out are used again after the handler.
type request struct {
	ctx    *fasthttp.RequestCtx
	server *Server
	id     string
	route  string   // as in openapi.yaml
	args   []string // what stands for {…} in the route
	start  time.Time
	queued time.Duration
	body   share // of the budget for bodies
	cost   int   // about how much memory the answer takes, in bytes
	slow   bool  // it may take long: others go before it
	answer *reservation
	query  string // what was searched for, for the log
	level  slog.Level
	err    error // why the answer is a problem
}

var requestIDSyntax = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

func newRequestID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// serve answers one request.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	r := s.newRequest(ctx)
	r.at(working)
	if c, ok := ctx.Conn().(*conn); ok && c.reserve {
		ctx.SetConnectionClose()
	}
	if r.id = string(ctx.Request.Header.Peek("X-Request-ID")); !requestIDSyntax.MatchString(r.id) {
		r.id = newRequestID()
	}
	o := protect(func() (any, error) { return nil, s.dispatch(r) })
	if o.err != nil {
		r.reject(o.err)
	}
	s.finish(r)
}

func (s *Server) newRequest(ctx *fasthttp.RequestCtx) *request {
	return &request{ctx: ctx, server: s, id: newRequestID(), route: "unknown", start: time.Now(), level: slog.LevelInfo, body: share{of: &s.bodies}}
}

// finish completes the headers, counts the request and logs it, and gives back what it
// held.
func (s *Server) finish(r *request) {
	h := &r.ctx.Response.Header
	h.Set("X-Request-ID", r.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	s.allowOrigin(r)
	r.compress()
	r.release()

	took, status := time.Since(r.start), r.ctx.Response.StatusCode()
	s.metrics.served(r.route, status, took)
	level := r.level
	// What is refused for now is as many lines as there are who do not wait.
	if status >= 500 && r.ctx.Response.Header.Peek("Retry-After") == nil {
		level = slog.LevelError
	}
	r.log(level, status, took)
}

// release gives back what the request holds, that of its answer once it is written.
func (r *request) release() {
	_ = r.body.set(0)
	if r.answer == nil {
		return
	}
	if r.answer.users.Load() == 1 { // else the job goes on, and holds what it may make
		_ = r.answer.resize(min(len(r.ctx.Response.Body()), r.answer.n)) // compressed
	}
	if c, ok := r.ctx.Conn().(*conn); ok {
		c.whenWritten(r.answer.done)
	} else {
		r.answer.done()
	}
}

// log writes the line of the request, and another if it was slow.
func (r *request) log(level slog.Level, status int, took time.Duration) {
	s := r.server
	if s.options.Logger.Enabled(r.ctx, level) {
		s.options.Logger.LogAttrs(r.ctx, level, "request", r.attributes(status, took)...)
	}
	if s.options.SlowQuery > 0 && took >= s.options.SlowQuery && r.query != "" {
		s.options.Logger.Warn("slow query", "id", r.id, "query", clip(r.query, 200), "ms", milliseconds(took), "queued_ms", milliseconds(r.queued))
	}
}

func (r *request) attributes(status int, took time.Duration) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("id", r.id), slog.String("method", string(r.ctx.Method())), slog.String("uri", clip(string(r.ctx.RequestURI()), 500)),
		slog.String("route", r.route), slog.Int("status", status), slog.Float64("ms", milliseconds(took)),
		slog.Int("bytes", len(r.ctx.Response.Body())), slog.String("remote", r.ctx.RemoteAddr().String()),
	}
	if ms := milliseconds(r.queued); ms >= 1 {
		attrs = append(attrs, slog.Float64("queued_ms", ms))
	}
	if r.err != nil {
		attrs = append(attrs, slog.String("error", firstLine(r.err.Error())))
	}
	return attrs
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// clip shortens s to about n bytes, for the log.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// protect turns a panic of f into an error.
func protect(f func() (any, error)) (o outcome) {
	defer func() {
		if v := recover(); v != nil {
			o = outcome{err: &panicError{v, debug.Stack()}}
		}
	}()
	o.body, o.err = f()
	return o
}

// reject makes err the answer.
func (r *request) reject(err error) {
	r.err = err
	if p, ok := err.(*panicError); ok {
		r.server.metrics.panicked()
		r.server.options.Logger.Error("panic", "id", r.id, "value", fmt.Sprint(p.value), "stack", string(p.stack))
	}
	p := asProblem(err)
	p.Instance = instanceType + r.id
	b, _ := json.Marshal(p) // of strings and a number
	resp := &r.ctx.Response
	closing := resp.ConnectionClose()
	resp.Reset()
	if closing {
		resp.SetConnectionClose()
	}
	resp.SetStatusCode(p.Status)
	resp.Header.SetContentType("application/problem+json")
	resp.Header.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		resp.Header.Set("Retry-After", fmt.Sprint(p.retryAfter))
	}
	if p.allow != "" {
		resp.Header.Set("Allow", p.allow)
	}
	resp.SetBody(append(b, '\n'))
}

// sendJSON makes body the answer.
func (r *request) sendJSON(body any) error {
	defer processors.Work()()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "&" in titles stays readable; no browser takes JSON for HTML
	if err := enc.Encode(body); err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	if r.answer != nil {
		if err := r.answer.resize(b.Len()); err != nil {
			return err
		}
	}
	r.ctx.Response.Header.SetContentType("application/json")
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	r.ctx.Response.SetBodyRaw(b.Bytes())
	return nil
}

// send makes text the answer.
func (r *request) send(contentType string, text []byte) {
	r.ctx.Response.Header.SetContentType(contentType)
	r.ctx.Response.SetBodyRaw(text)
}

// compressFrom is the size from which on compressing pays: a network packet.
const compressFrom = 1400

// compress shortens the answer if the client can read that.
func (r *request) compress() {
	resp := &r.ctx.Response
	contentType := string(resp.Header.ContentType())
	if len(resp.Body()) < compressFrom || len(resp.Header.Peek("Content-Encoding")) > 0 ||
		!(strings.Contains(contentType, "json") || strings.HasPrefix(contentType, "text/") || strings.Contains(contentType, "yaml")) {
		return
	}
	resp.Header.Add("Vary", "Accept-Encoding")
	if !r.ctx.Request.Header.HasAcceptEncoding("gzip") {
		return
	}
	defer processors.Work()()
	resp.SetBodyRaw(fasthttp.AppendGzipBytesLevel(nil, resp.Body(), fasthttp.CompressBestSpeed))
	resp.Header.Set("Content-Encoding", "gzip")
}

// readJSON reads the body into v.
func (r *request) readJSON(v any) error {
	mediaType, parameters, err := mime.ParseMediaType(string(r.ctx.Request.Header.ContentType()))
	if err != nil || mediaType != "application/json" || (parameters["charset"] != "" && !strings.EqualFold(parameters["charset"], "utf-8")) {
		return newProblem(fasthttp.StatusUnsupportedMediaType, "the body must be JSON, and say so (Content-Type: application/json)")
	}
	if len(r.ctx.Request.Header.ContentEncoding()) > 0 {
		return newProblem(fasthttp.StatusUnsupportedMediaType, "the body must not be compressed")
	}
	body, err := r.readBody()
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return badRequest("the body is not UTF-8")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return badRequest("the body is empty, and a JSON object is wanted (see /openapi.yaml)")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return badRequest("the body cannot be read: %s cannot be a JSON %s (see /openapi.yaml)", cmp.Or(clip(wrong.Field, 100), "the whole"), clip(wrong.Value, 60))
		}
		return badRequest("the body cannot be read: %s", clip(strings.TrimPrefix(err.Error(), "json: "), 200))
	}
	if d.More() {
		return badRequest("the body goes on after the JSON value")
	}
	return nil
}
