package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/processors"
)

func (s *Server) readCompare(r *request) (job, error) {
	req, err := parseCompare(string(r.ctx.URI().QueryString()), false)
	if err != nil {
		return nil, err
	}
	r.query, r.cost = req.Query, s.cost(req)
	return func(ctx context.Context, e Engine) (any, error) { return nonNil(e.Compare(ctx, req)) }, nil
}

// nonNil makes an any of a pointer, without wrapping nil.
func nonNil[T any](p *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

func readSearch(r *request) (job, error) {
	req, err := parseCompare(string(r.ctx.URI().QueryString()), true)
	if err != nil {
		return nil, err
	}
	r.query = req.Query
	return func(ctx context.Context, e Engine) (any, error) {
		if len(req.Systems) == 0 {
			req.Systems = []string{bestSystem(e.Info())}
		}
		resp, err := e.Compare(ctx, req)
		if err != nil {
			return nil, err
		}
		ranking := &resp.Rankings[0]
		switch {
		case ranking.Error == "":
			return ranking, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		return nil, errors.New(ranking.Error)
	}, nil
}

// bestSystem is the fused ranking if there is one, or else the first.
func bestSystem(info engine.Info) string {
	for _, s := range info.Systems {
		if s.Name == engine.Hybrid {
			return s.Name
		}
	}
	return info.Systems[0].Name
}

// batchRequest is the body of POST /v1/compare.
type batchRequest struct {
	Queries bounded[engine.Request] `json:"queries"`
}

// batchResponse answers it.
type batchResponse struct {
	TookMS    float64     `json:"took_ms"`
	Responses []batchItem `json:"responses"` // in the order of the queries
}

// batchItem is a response, or the reason why there is none.
type batchItem struct {
	*engine.Response
	Error *Problem `json:"error,omitempty"`
}

func (s *Server) readBatch(r *request) (job, error) {
	req := batchRequest{bounded[engine.Request]{most: s.options.MaxBatch}}
	if err := r.readJSON(&req); err != nil {
		return nil, err
	}
	queries := req.Queries.items
	switch {
	case len(queries) == 0:
		return nil, badRequest(`the body has no queries (write it as {"queries": [{"query": "…"}]})`)
	case req.Queries.more:
		return nil, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d queries (to admit more, raise --max-batch)", s.options.MaxBatch))
	}
	hits := s.hits(queries)
	if hits > s.options.MaxHits {
		return nil, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the queries ask for %d products in all (the sum of k times the number of systems, at most %d): ask for fewer at a time, or raise --max-hits", hits, s.options.MaxHits))
	}
	r.cost = s.cost(queries...)
	r.query = fmt.Sprintf("%d queries, the first: %s", len(queries), queries[0].Query)
	return func(ctx context.Context, e Engine) (any, error) {
		start := time.Now()
		out := batchResponse{Responses: make([]batchItem, len(queries))}
		var next atomic.Int64
		// A batch has one place among the requests at work; it spreads over
		// others only while they are free, so that it delays nobody for long.
		s.helpers(min(processors.Count(), len(queries))-1, func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(queries) {
					return
				}
				out.Responses[i] = s.compareOne(ctx, e, queries[i])
			}
		})
		out.TookMS = milliseconds(time.Since(start))
		return &out, nil
	}, nil
}

// hits is how many products the answers to some queries hold.
func (s *Server) hits(queries []engine.Request) (n int) {
	all := s.engines.systems()
	for _, q := range queries {
		n += hitsOf(q, all)
	}
	return n
}

// hitsOf is that of one query, where there are so many systems. Values of k that the
// engine refuses count as the nearest that it takes.
func hitsOf(q engine.Request, all int) int {
	k, systems := q.K, len(q.Systems)
	if k == 0 {
		k = engine.DefaultK
	}
	if systems == 0 {
		systems = all
	}
	return min(max(k, 1), engine.MaxK) * systems
}

const (
	hitCost         = 1 << 10 // about how much memory a hit takes, in JSON too
	explanationCost = 4 << 10 // and its explanation
)

// cost is about how much memory the answers to some queries take.
func (s *Server) cost(queries ...engine.Request) (n int) {
	all := s.engines.systems()
	for _, q := range queries {
		each := hitCost
		if q.Explain {
			each += explanationCost
		}
		n += each * hitsOf(q, all)
	}
	return n
}

// compareOne answers one query of a batch.
func (s *Server) compareOne(ctx context.Context, e Engine, req engine.Request) batchItem {
	if err := ctx.Err(); err != nil {
		return batchItem{Error: asProblem(err)}
	}
	o := protect(func() (any, error) { return nonNil(e.Compare(ctx, req)) })
	if o.err != nil {
		var p *panicError
		if errors.As(o.err, &p) {
			s.metrics.panicked()
			s.options.Logger.Error("panic", "query", clip(req.Query, 200), "value", fmt.Sprint(p.value), "stack", string(p.stack))
		}
		return batchItem{Error: asProblem(o.err)}
	}
	return batchItem{Response: o.body.(*engine.Response)}
}

// inspect counts the rankings of an answer, logs why some failed, and takes the
// stack traces out of what the client sees.
func (s *Server) inspect(r *request, body any) {
	look := func(k *engine.Ranking) {
		s.metrics.ranked(k)
		if k.Error != "" {
			s.options.Logger.Warn("ranking failed", "id", r.id, "system", k.System, "error", k.Error)
			k.Error = strings.TrimSpace(firstLine(k.Error))
		}
	}
	all := func(resp *engine.Response) {
		for i := range resp.Rankings {
			look(&resp.Rankings[i])
		}
	}
	switch body := body.(type) {
	case *engine.Response:
		all(body)
	case *engine.Ranking:
		look(body)
	case *batchResponse:
		for _, item := range body.Responses {
			if item.Response != nil {
				all(item.Response)
			}
		}
	}
}
