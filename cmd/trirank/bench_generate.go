package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
)

func newBenchGenerateCommand() *cobra.Command {
	var o benchFlags
	var rows int
	var seed uint64
	var factory string
	c := &cobra.Command{
		Use:   "generate --index INDEX --rows N --out LARGER",
		Short: "Make a larger index from an index, to see how speed depends on size",
		Long: `Generate makes an index of N products: those of INDEX with their vectors, texts and
judgements, and generated ones. A generated product's title is made of two others',
and its vector is one of the given ones with noise of their covariance, as far from
its nearest as those are from each other. Such an index tells how fast a shop of that
size is and how much of exact search it finds; what its answers are worth it does
not tell. All commands take it like any other.`,
		Example: `  trirank bench generate --index shop.index --rows 1000000 --out large.index
  trirank bench latency --index large.index`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&o.index, "index", "", "index directory")
	f.StringArrayVar(&o.models, "model", nil, "NAME=MODEL: where the model of a ranking is, if not where it was")
	f.StringVar(&o.out, "out", "", "index directory to make")
	f.IntVar(&rows, "rows", 0, "products of the new index")
	f.Uint64Var(&seed, "seed", 1, "of what is drawn at random")
	f.StringVar(&factory, "factory", "auto", "FAISS factory string of the vector indexes")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index", "rows", "out"); err != nil {
			return err
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		if err := b.open(c.Context()); err != nil {
			return err
		}
		if have := b.x.Manifest.Catalogue.Rows; rows <= have || rows > 1<<27 {
			return usageError("--rows is above the %d of %s and at most %d", have, o.index, 1<<27)
		}
		return b.generate(c.Context(), rows, seed, factory)
	}
	return c
}

func (b *benching) generate(ctx context.Context, rows int, seed uint64, factory string) error {
	m := b.x.Manifest
	template, err := catalog.ParseTemplate(m.Template)
	if err != nil {
		return err
	}
	// The catalogue is only needed to build the index, which holds all of it.
	dir, err := os.MkdirTemp(filepath.Dir(filepath.Clean(b.out)), ".generated-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	step := steps(b.c)
	writing := step("generating", "products", rows)
	_, err = catalog.Write(ctx, filepath.Join(dir, "catalog"), catalog.Source{
		Products:  bench.Products(b.x.Row, m.Catalogue.Rows, rows, func(i int) string { return fmt.Sprintf("generated-%09d", i) }, seed),
		Judgments: b.judgements,
	}, catalog.WriteOptions{Name: fmt.Sprintf("%s to %d", m.Catalogue.Name, rows), Progress: writing.Set})
	if err != nil {
		writing.Stop()
		return err
	}
	writing.Done()
	o := store.BuildOptions{Template: template, Factory: factory, BM25: m.BM25, Step: step}
	if o.Catalog, err = catalog.Open(filepath.Join(dir, "catalog")); err != nil {
		return err
	}
	for _, info := range m.Models {
		b.step("vectors like those of " + info.System)
		s, err := b.spaceOf(ctx, info.System)
		if err != nil {
			return err
		}
		g, err := bench.NewGenerator(ctx, s.Vectors, s.Dimension, seed)
		if err != nil {
			return err
		}
		space, _ := b.x.Space(info.System)
		memory := bench.NewMemory(space.Encoder().Model, g)
		for row := range m.Catalogue.Rows {
			p, err := b.x.Row(row)
			if err != nil {
				return err
			}
			memory.Passage(template.Text(&p), space.Vector(row))
		}
		for i, text := range b.texts {
			memory.Query(text, s.Queries[i*s.Dimension:(i+1)*s.Dimension])
		}
		o.Models = append(o.Models, store.Model{System: info.System, Dir: space.Model(), Encoder: memory.Encoder()})
	}
	start := time.Now()
	built, err := store.Build(ctx, b.out, o)
	if err != nil {
		return err
	}
	printBuilt(b.c.OutOrStdout(), b.out, built, time.Since(start))
	return nil
}

// judgements yields those of the index, for a catalogue.
func (b *benching) judgements(yield func(catalog.Judgment, error) bool) {
	for i := range b.qrels.Queries {
		q := &b.qrels.Queries[i]
		for j, product := range q.Products {
			label, err := catalog.ParseLabel(b.qrels.Scale.Levels[q.Levels[j]].Label)
			if !yield(catalog.Judgment{Query: q.Text, QueryID: q.ID, ProductID: product, Label: label, Split: q.Split}, err) || err != nil {
				return
			}
		}
	}
}
