package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/bench/larger"
)

func newBenchGenerateCommand() *cobra.Command {
	var o benchFlags
	var out string
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
	f.StringVar(&out, "out", "", "index directory to make")
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
		start := time.Now()
		built, err := larger.Build(c.Context(), b.x, out, larger.Options{Rows: rows, Seed: seed, Factory: factory, Qrels: b.qrels, Step: steps(c)})
		if err != nil {
			return factoryUsage(err)
		}
		for system, v := range built.Vectors { // generated ones are not encoded
			v.Encoded, v.Reused = 0, b.x.Manifest.Catalogue.Rows
			built.Vectors[system] = v
		}
		printBuilt(c.OutOrStdout(), out, built, time.Since(start))
		return nil
	}
	return c
}
