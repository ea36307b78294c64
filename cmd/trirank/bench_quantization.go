package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/judgments"
)

func newBenchQuantizationCommand() *cobra.Command {
	var o benchFlags
	var quantized []string
	var codes, query string
	var write bool
	c := &cobra.Command{
		Use:   "quantization --index INDEX",
		Short: "What fewer bits cost: of the vectors and of the model",
		Long: `Quantization searches the vectors of a ranking in several encodings, each in full,
so that nothing but the encoding makes a difference, and compares nDCG@10 with 32-bit
vectors query by query. Rankings of quantized models (--quantized), which the index
must have, are compared with the full model. The waterfall adds the losses up: from
exact search over inverted lists and quantized vectors to the quantized model.

With --write the comparison is kept in the model.json of the quantized models.`,
		Example: `  trirank bench quantization --index shop.index --out quantization
  trirank model quantize e5-small-v2 --out e5-int8
  trirank index --catalog shop --model pretrained=e5-small-v2 --model int8=e5-int8 --out both.index
  trirank bench quantization --index both.index --system pretrained --quantized int8 --write
  trirank bench quantization --index both.index --quantized int8 --query "warm gloves"`,
		Args: cobra.NoArgs,
	}
	o.addVectors(c.Flags())
	c.Flags().StringSliceVar(&quantized, "quantized", nil, "rankings of the same index by quantized models; the first is in the waterfall")
	c.Flags().StringVar(&codes, "codes", "SQ8", "encoding of vectors in the waterfall, as FAISS writes it")
	c.Flags().StringVar(&query, "query", "", "also print the waterfall of this judged query")
	c.Flags().BoolVar(&write, "write", false, "keep what the --quantized models cost, by the judgements of the index, in their model.json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		switch {
		case write && len(quantized) == 0:
			return usageError("--write needs --quantized")
		case write && o.judgments != "":
			return usageError("--write keeps what the judgements of the index say: leave --judgments out")
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		return b.quantization(c.Context(), quantized, codes, query, write)
	}
	return c
}

func (b *benching) quantization(ctx context.Context, quantized []string, codes, query string, write bool) error {
	isQuery := func(text string) bool { return judgments.Fold(text) == judgments.Fold(query) }
	if err := b.openVectors(ctx, func() error {
		if query != "" && !slices.ContainsFunc(b.texts, isQuery) {
			return usageError("--query: %q is none of the judged queries", query)
		}
		if err := b.checkCodes(b.system, codes); err != nil {
			return err
		}
		full, _ := b.x.Model(b.system)
		for i, system := range quantized {
			if system == b.system || slices.Contains(quantized[:i], system) {
				return usageError("--quantized: %s is compared with already", system)
			}
			if err := b.checkVectors(system); err != nil {
				return err
			}
			if err := b.checkCodes(system, codes); err != nil {
				return err
			}
			if m, _ := b.x.Model(system); full.Precision == "int8" && m.Precision != "int8" {
				return usageError("--quantized %s is by a model in %s, and --system %s by one in int8: give them the other way round", system, m.Precision, b.system)
			}
			if write {
				if err := b.checkParent(system); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var others []*bench.Space
	for _, system := range quantized {
		s, err := b.spaceOf(ctx, system)
		if err != nil {
			return err
		}
		others = append(others, s)
	}
	var first *bench.Space
	if len(others) > 0 {
		first = others[0]
	}
	w, err := bench.NewWaterfall(ctx, b.space, first, codes, b.texts, b.judge, b.options())
	if err != nil {
		return err
	}
	var models []bench.Result
	if len(others) > 0 {
		// Before the vectors, which take longer: what is kept of it is safe then.
		var own []int
		if models, own, err = bench.Models(ctx, b.space, others, b.judge, b.options()); err != nil {
			return err
		}
		if write {
			if err := b.addEvidence(quantized, models, own); err != nil {
				return err
			}
		}
	}
	o := b.options()
	o.Factories = bench.QuantizedFactories(b.space.Rows(), b.space.Dimension)
	vectors, err := bench.Sweep(ctx, b.space, b.judge, o)
	if err != nil {
		return err
	}
	sections := []bench.Section{{
		Title: "Quantized vectors", Results: vectors,
		Text: "Every vector is compared, so that recall and nDCG@10 are lost to the encoding alone. Refine looks again at the best by finer vectors, kfactor times as many as are asked for. RaBitQ keeps one bit of a value.",
		Plots: []bench.Plot{
			{X: bench.VectorBytes, Y: "recall@10", Series: "index", Where: "k=10", LogX: true, Front: true},
			{X: bench.VectorBytes, Y: bench.Quality, Series: "index", Where: "k=100", LogX: true, Front: true},
		},
	}}
	if models != nil {
		sections = append(sections, bench.Section{
			Title: "Quantized models", Results: models,
			Text: "Exact search with vectors of each model. Recall is against the first. Where products are by one model and queries by another, an index was not built anew.",
		})
	}
	sections = append(sections, bench.Section{
		Title: "Where relevance is lost", Waterfall: w,
		Text: "Each step changes one thing more. Recall is against exact search with the full model; nDCG@10 is compared with the step before, query by query.",
	})
	for _, q := range w.Queries {
		if isQuery(q.Query) {
			printLoss(b.c.ErrOrStderr(), w, q)
		}
	}
	return b.report("Quantization", sections...)
}

// checkCodes is an error if vectors of a ranking cannot be encoded as --codes says.
func (b *benching) checkCodes(system, codes string) error {
	err := b.checkFactory(system, bench.CodedFactory(b.x.Manifest.Catalogue.Rows, codes))
	if wrong := (*faiss.FactoryError)(nil); errors.As(err, &wrong) {
		return usageError("cannot encode vectors of %s as --codes %q says: %s (Flat, SQ8, SQfp16 and PQ96 are some that there are)", system, codes, wrong.Reason)
	}
	return err
}

// checkParent is an error if the model of a ranking was not made of that of the ranking
// it is compared with.
func (b *benching) checkParent(system string) error {
	space, _ := b.x.Space(system)
	m, err := encoder.ReadModel(space.Model())
	if err != nil {
		return err
	}
	base, _ := b.x.Model(b.system)
	if err := m.CheckParent(base.Hash); err != nil {
		return usageError("--quantized %s, --system %s: %v (--system names the ranking by the full model, --quantized rankings by models that trirank model quantize made of it)", system, b.system, err)
	}
	return nil
}

// addEvidence writes what each quantized model costs into its model.json. own are the
// places of their results among those of models.
func (b *benching) addEvidence(quantized []string, models []bench.Result, own []int) error {
	base, _ := b.x.Model(b.system)
	fp32, _ := models[0].Metric(bench.Quality)
	for i, system := range quantized {
		c := models[own[i]].Against
		if c == nil {
			return fmt.Errorf("cannot say what %s costs: no query has judgements that tell", system)
		}
		space, _ := b.x.Space(system)
		info, _ := b.x.Model(system)
		catalogue := b.x.Manifest.Catalogue
		if err := encoder.AddEvidence(space.Model(), base.Hash, info.Hash, encoder.Evidence{
			Catalogue: catalogue.Name, Hash: catalogue.Hash, Metric: bench.Quality, Queries: c.Queries,
			FP32: fp32, Difference: float64(c.Difference), Low: float64(c.Low), High: float64(c.High),
		}); err != nil {
			return err
		}
		b.step(fmt.Sprintf("%s: its model.json says what it costs on %s now", space.Model(), catalogue.Name))
	}
	return nil
}

// printLoss prints the waterfall of one query.
func printLoss(w io.Writer, f *bench.Waterfall, q bench.QueryLoss) {
	fmt.Fprintf(w, "%s\n", q.Query)
	for i, s := range f.Steps {
		fmt.Fprintf(w, "  %-18s recall@10 %.2f, %s %.3f\n", s.Name, q.Recall[i], bench.Quality, float64(q.Quality[i]))
	}
}
