package httpapi

import (
	_ "embed" // openapi.yaml

	"github.com/trirank/trirank/engine"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// infoResponse is the body of GET /v1/info.
type infoResponse struct {
	Version string `json:"version"`
	Limits  Limits `json:"limits"`
	engine.Info
}

func (s *Server) info(r *request) error {
	e, release, ok := s.engines.lease()
	if !ok {
		return errNotReady
	}
	defer release()
	return r.sendJSON(infoResponse{s.options.Version, s.options.limits(), e.Info()})
}

func (s *Server) livez(r *request) error {
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	r.send("text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

func (s *Server) readyz(r *request) error {
	if s.stopping.Load() {
		return stopping()
	}
	e, release, ok := s.engines.lease()
	if !ok {
		return errNotReady
	}
	defer release()
	if err := e.Intact(); err != nil {
		return err
	}
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	r.send("text/plain; charset=utf-8", []byte("ok\n"+s.reloads.line()))
	return nil
}

func (s *Server) sendMetrics(r *request) error {
	r.ctx.Response.Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	return s.writeMetrics(r.ctx.Response.BodyWriter())
}

func (s *Server) openAPI(r *request) error {
	r.ctx.Response.Header.Set("Cache-Control", "no-cache")
	r.send("application/yaml", openAPIDocument)
	return nil
}
