// Package larger makes large indexes from real ones, to measure how speed and recall
// depend on the size of a catalogue. Their products and vectors are distributed as
// the real ones are; what their answers are worth says nothing.
package larger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/judgments"
)

// Options say what is made. Zero values mean the defaults.
type Options struct {
	Rows    int // products of the new index, the given ones among them; required
	Seed    uint64
	Factory string // of the vector indexes; default as store.Build has it
	// Qrels are the judgements that go over to the new index, and their queries
	// those by which it is tuned.
	Qrels *judgments.Set
	Step  func(what, unit string, total int) store.Step
}

// Build makes the index directory out: the products, vectors and judgements of x, and
// generated products with generated vectors.
func Build(ctx context.Context, x *store.Index, out string, o Options) (*store.Built, error) {
	m := x.Manifest
	if o.Rows <= m.Catalogue.Rows {
		return nil, fmt.Errorf("cannot make an index of %d products from one of %d: it would not be larger", o.Rows, m.Catalogue.Rows)
	}
	if m.Catalogue.Rows < 2 {
		return nil, errors.New("cannot make a larger index from a single product: there is nothing to be like")
	}
	given := out
	out, err := atomicfile.Resolve(given)
	if err != nil {
		return nil, fmt.Errorf("cannot make a larger index in %s: %w", given, err)
	}
	if _, err := os.Lstat(out); err == nil {
		return nil, fmt.Errorf("cannot make a larger index in %s: there is something (name another folder, or remove it)", given)
	}
	if o.Qrels == nil {
		return nil, errors.New("cannot make a larger index without queries")
	}
	template, err := catalog.ParseTemplate(m.Template)
	if err != nil {
		return nil, err
	}
	// The catalogue is only needed to build the index, which holds all of it.
	dir, remove, err := atomicfile.TempDir(filepath.Dir(out), filepath.Base(out)+".larger")
	if err != nil {
		return nil, err
	}
	defer remove()
	c, err := writeCatalogue(ctx, x, filepath.Join(dir, "catalog"), o)
	if err != nil {
		return nil, err
	}
	b := store.BuildOptions{Catalog: c, Template: template, Factory: o.Factory, BM25: m.BM25, Step: o.Step}
	for _, info := range m.Models {
		model, err := remembering(ctx, x, info.System, template, o)
		if err != nil {
			return nil, err
		}
		b.Models = append(b.Models, *model)
	}
	return store.Build(ctx, out, b)
}

func writeCatalogue(ctx context.Context, x *store.Index, dir string, o Options) (*catalog.Catalog, error) {
	var step store.Step
	progress := func(int) {}
	if o.Step != nil {
		step = o.Step("generating", "product", o.Rows)
		progress = step.Set
	}
	have := x.Manifest.Catalogue
	_, err := catalog.Write(ctx, dir, catalog.Source{
		Products:  products(x.Row, have.Rows, o.Rows, func(i int) string { return fmt.Sprintf("generated-%09d", i) }, o.Seed),
		Judgments: judgements(o.Qrels),
	}, catalog.WriteOptions{Name: fmt.Sprintf("%s to %d", have.Name, o.Rows), Progress: progress})
	if step != nil {
		if err != nil {
			step.Stop()
		} else {
			step.Done()
		}
	}
	if err != nil {
		return nil, err
	}
	return catalog.Open(dir)
}

// remembering returns a model that knows the vectors of x and generates all others.
func remembering(ctx context.Context, x *store.Index, system string, template *catalog.Template, o Options) (*store.Model, error) {
	space, ok := x.Space(system)
	if !ok {
		return nil, fmt.Errorf("there is no ranking %q by vectors", system)
	}
	vectors, dimension := space.Vectors()
	g, err := newGenerator(ctx, vectors, dimension, o.Seed)
	if err != nil {
		return nil, err
	}
	m := newMemory(space.Encoder().Model, g)
	for row := range space.Rows() {
		p, err := x.Row(row)
		if err != nil {
			return nil, err
		}
		m.passage(template.Text(&p), space.Vector(row))
	}
	for i := range o.Qrels.Queries {
		text := o.Qrels.Queries[i].Text
		v, err := space.Encoder().Query(ctx, text)
		if err != nil {
			return nil, err
		}
		m.query(text, v)
	}
	return &store.Model{System: system, Dir: space.Model(), Encoder: m.encoder()}, nil
}

// judgements yields judgements as a catalogue has them.
func judgements(qrels *judgments.Set) func(yield func(judgments.Judgment, error) bool) {
	return func(yield func(judgments.Judgment, error) bool) {
		for i := range qrels.Queries {
			q := &qrels.Queries[i]
			for j, product := range q.Products {
				if !yield(judgments.Judgment{Query: q.Text, QueryID: q.ID, Product: product, Label: qrels.Label(q, j), Split: q.Split}, nil) {
					return
				}
			}
		}
	}
}
