package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/train/finetuned"
)

func newModelMergeCommand() *cobra.Command {
	var base, delta, out, name string
	var blend float64
	c := &cobra.Command{
		Use:   "merge --delta FILE --out DIR",
		Short: "Make a model directory of a delta and the model that it began with",
		Long: `Merge applies what trirank train learnt (delta.safetensors) to the model that it
began with, and writes the model directory of the result. The same input gives the
same bytes. With --blend, as much of the pretrained weights stays in it as one
likes, without training again.`,
		Example: `  trirank model merge --delta runs/a/delta.safetensors --out finetuned
  trirank model merge --base e5-small-v2 --delta finetuned.safetensors --out finetuned --name shop-e5`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&base, "base", defaultModel, "the model that it began with: a directory or a name")
	f.StringVar(&delta, "delta", "", "file that trirank train wrote")
	f.StringVar(&out, "out", "", "model directory to write")
	f.StringVar(&name, "name", "", "name of the model (default: that of the base and of the run)")
	f.Float64Var(&blend, "blend", 0, "share of the pretrained weights, from 0 to 1 (default: what was trained with)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := cmp.Or(required(c, "delta", "out"), checkModelOut(out)); err != nil {
			return err
		}
		d, err := finetuned.ReadDelta(delta)
		if err != nil {
			return err
		}
		if c.Flags().Changed("blend") {
			if !(blend >= 0 && blend <= 1) {
				return usageError("--blend is within 0..1")
			}
			d.Blend = blend
		}
		if name == "" && d.Blend > 0 {
			name = fmt.Sprintf("%s-%s-blend%g", d.BaseName, d.Run, d.Blend)
		}
		dir, err := store.FindModel(base)
		if err != nil {
			return err
		}
		if name == "" {
			name = d.BaseName + "-" + d.Run
		}
		if err := finetuned.Merge(dir, d, out, name, func(dir string) error {
			m, err := openModel(c.Context(), dir)
			if err != nil {
				return err
			}
			defer m.Encoder.Close()
			return m.Encoder.SelfTest(c.Context())
		}); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %s, of %s and what run %s made of it, which saw %s and %s\n", out, name, d.BaseName, d.Run, plural(len(d.Training.Queries), "query"), plural(len(d.Training.Products), "product"))
		return nil
	}
	return c
}
