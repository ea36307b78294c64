package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine/store"
)

func newModelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Work with embedding models",
		Example: `  trirank model check e5-small-v2
  trirank model merge --delta runs/a/delta.safetensors --out finetuned
  trirank model quantize e5-small-v2 --out e5-int8`,
	}
	c.AddCommand(newModelCheckCommand(), newModelMergeCommand(), newModelQuantizeCommand())
	return c
}

func newModelCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check MODEL...",
		Short: "Check that a model directory is whole and ranks as it should",
		Long: `Check compares the files of each model directory with the hashes in its
model.json, loads it, and runs the self-test: does each of a few queries lie
nearest to its answer, and are the prefixes at work? Then it runs a text of
max_tokens tokens. Of quantized models it says what is known of their cost.`,
		Example: `  trirank model check e5-small-v2
  trirank model check runs/a/model`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				m, err := openModel(c.Context(), name)
				if err != nil {
					return err
				}
				if err = m.Encoder.SelfTest(c.Context()); err == nil {
					err = m.Encoder.TestLength(c.Context())
				}
				info := m.Encoder.Model
				m.Encoder.Close()
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: ok, %s, %d dimensions, %d tokens, hash %.12s (%s)\n", info.Name, info.Precision, info.Dimension, info.MaxTokens, info.Hash(), m.Dir)
				printQuantized(c.OutOrStdout(), info)
			}
			return nil
		},
	}
}

// printQuantized says what is known of a model of 8 bits.
func printQuantized(w io.Writer, m *encoder.Model) {
	q := m.Quantized
	if q == nil {
		return
	}
	fmt.Fprintf(w, "  int8 (%s) of %s, cosine to it %.4f on average\n", q.Kind, m.Parent, q.Closeness.Mean)
	for _, e := range q.Evidence {
		fmt.Fprintf(w, "  %s on %s: %+.4f [%+.4f, %+.4f] against its %.4f, %s\n", e.Metric, e.Catalogue, e.Difference, e.Low, e.High, e.FP32, plural(e.Queries, "query"))
	}
}

// checkModelOut refuses a folder whose name would from then on be taken for that of a
// model that comes with the program, in the folder where it lies.
func checkModelOut(out string) error {
	if name := filepath.Clean(out); slices.Contains(store.Models(), name) {
		return usageError("--out %s: %s means the model that comes with trirank (give another name)", out, name)
	}
	return nil
}
