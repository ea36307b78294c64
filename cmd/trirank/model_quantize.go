package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/encoder/quantize"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
)

// quantizing is what trirank model quantize says it did.
type quantizing struct {
	Out string `json:"out"`
	*quantize.Report
	// QueryMS is how long one query took with either, in milliseconds.
	QueryMS struct {
		Before float64 `json:"before"`
		After  float64 `json:"after"`
	} `json:"query_ms"`
}

func newModelQuantizeCommand() *cobra.Command {
	var out, name, kind string
	var asJSON bool
	c := &cobra.Command{
		Use:   "quantize MODEL --out DIR",
		Short: "Make an int8 model of an fp32 one: smaller, faster, slightly different",
		Long: `Quantize rounds the weights of a model to whole numbers of 8 bits, and writes the
model directory of the result. It is about a quarter of the size. The activations
are rounded as well, while the model runs; by which scales, --kind says:

  tokens   a scale for the activations of each token, and one for each column of
           weights; channels of activations that stand out are divided before, as
           some texts show them. Cosine to the fp32 model's vectors about .9997, each
           text for itself, and several times as fast.
  blocks   a scale for each 32 activations and weights: about .9998. Queries are
           faster, batches slower.
  dynamic  one scale for the activations of a batch: fast, but a text's vector
           depends on its batch, the cosine is about .998, and that can cost
           relevance.

What it costs on your judgements, trirank bench quantization measures.
The result is compared with the fp32 model on some texts, and what was found is
written into its model.json. The same model gives the same bytes, on one kind of
processor.`,
		Example: `  trirank model quantize e5-small-v2 --out e5-int8
  trirank model quantize runs/a/model --kind blocks --out finetuned-int8`,
		Args: cobra.ExactArgs(1),
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "model directory to write")
	f.StringVar(&name, "name", "", "name of the model (default: that of MODEL, with -int8- and the kind)")
	f.StringVar(&kind, "kind", string(quantize.Tokens), "tokens, blocks or dynamic")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := cmp.Or(required(c, "out"), checkModelOut(out)); err != nil {
			return err
		}
		o := quantize.Options{Name: name, Kind: quantize.Kind(kind), Also: []string{eval.TrainingFile}}
		if !slices.Contains(quantize.Kinds, o.Kind) {
			return usageError("--kind %q is none of tokens, blocks and dynamic", kind)
		}
		base, err := store.FindModel(args[0])
		if err != nil {
			return err
		}
		if o.Name == "" {
			info, err := encoder.ReadModel(base)
			if err != nil {
				return err
			}
			o.Name = info.Name + "-int8-" + kind
		}
		step := func(what string) { fmt.Fprintln(c.ErrOrStderr(), what) }
		peaks := onnx.Peaks(base, quantize.SampleTokens)
		o.Peaks = func(ctx context.Context, network []byte, values []string) ([][]float32, error) {
			step("looking at its activations")
			return peaks(ctx, network, values)
		}
		step("rounding the weights of " + base)
		q := quantizing{Out: out}
		q.Report, err = quantize.Directory(c.Context(), base, out, o, func(dir string) (encoder.Closeness, error) {
			step("comparing both models")
			return q.compare(c.Context(), base, dir)
		})
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(c.OutOrStdout(), q)
		}
		q.print(c.OutOrStdout())
		return nil
	}
	return c
}

// compare tests the model in dir, finds how near it is to the one in base, and times
// queries with both.
func (q *quantizing) compare(ctx context.Context, base, dir string) (encoder.Closeness, error) {
	fail := func(err error) (encoder.Closeness, error) { return encoder.Closeness{}, err }
	before, err := openModel(ctx, base)
	if err != nil {
		return fail(err)
	}
	defer before.Encoder.Close()
	after, err := openModel(ctx, dir)
	if err != nil {
		return fail(err)
	}
	defer after.Encoder.Close()
	if err := after.Encoder.SelfTest(ctx); err != nil {
		return fail(err)
	}
	near, err := quantize.Compare(ctx, before.Encoder, after.Encoder)
	if err != nil {
		return fail(err)
	}
	// In turns, so that what else the machine does slows both.
	var times [2][]float64
	for range 15 {
		for i, e := range []*encoder.Encoder{before.Encoder, after.Encoder} {
			start := time.Now()
			if _, err := e.Query(ctx, "wireless noise cancelling headphones"); err != nil {
				return fail(err)
			}
			times[i] = append(times[i], float64(time.Since(start).Microseconds())/1e3)
		}
	}
	for i, to := range []*float64{&q.QueryMS.Before, &q.QueryMS.After} {
		slices.Sort(times[i])
		*to = times[i][len(times[i])/2]
	}
	return near, nil
}

func (q *quantizing) print(w io.Writer) {
	m := q.Model
	fmt.Fprintf(w, "%s: %s, int8 (%s) of %s: %s and %s\n", q.Out, m.Name, m.Quantized.Kind, m.Parent, plural(q.Matrices, "matrix"), plural(q.Tables, "table"))
	fmt.Fprintf(w, "  size    %.1f -> %.1f MB\n", float64(q.Before)/1e6, float64(q.After)/1e6)
	fmt.Fprintf(w, "  query   %.1f -> %.1f ms\n", q.QueryMS.Before, q.QueryMS.After)
	fmt.Fprintf(w, "  cosine  %.4f on average, %.4f at least, of %d texts\n", m.Quantized.Closeness.Mean, m.Quantized.Closeness.Min, m.Quantized.Closeness.Texts)
}
