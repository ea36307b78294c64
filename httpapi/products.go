package httpapi

import "context"

func readProduct(r *request) (job, error) {
	p := parseParams(string(r.ctx.URI().QueryString()))
	id := r.args[0]
	return func(_ context.Context, e Engine) (any, error) {
		product, err := e.Product(id)
		return product, err
	}, p.err
}

func readSimilar(r *request) (job, error) {
	p := parseParams(string(r.ctx.URI().QueryString()), "system", "k")
	id, system, k := r.args[0], p.text("system"), p.integer("k")
	return func(ctx context.Context, e Engine) (any, error) {
		return nonNil(e.Similar(ctx, id, system, k))
	}, p.err
}
