package main

import (
	"fmt"

	"github.com/spf13/cobra"
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
nearest to its answer, and are the prefixes at work?`,
		Example: `  trirank model check e5-small-v2
  trirank model check runs/a/model`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				m, err := openModel(c.Context(), name)
				if err != nil {
					return err
				}
				err = m.Encoder.SelfTest(c.Context())
				info := m.Encoder.Model
				m.Encoder.Close()
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: ok, %s, %d dimensions, %d tokens, hash %.12s (%s)\n", info.Name, info.Precision, info.Dimension, info.MaxTokens, info.Hash(), m.Dir)
			}
			return nil
		},
	}
}
