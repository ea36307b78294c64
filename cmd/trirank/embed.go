package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/internal/progress"
)

func newEmbedCommand() *cobra.Command {
	var catalogue, model, out, template string
	var resume, asJSON bool
	var device store.Device
	c := &cobra.Command{
		Use:   "embed --catalog CATALOGUE --model MODEL --out DIR",
		Short: "Write the vectors of a catalogue's products for NumPy and pandas",
		Long: `Embed writes three files to DIR, all in the order of the catalogue:
product_embeddings.npy (float32, a row a product), product_titles.csv and
product_stats.csv (views and rating).

It may be interrupted at any moment; with --resume it goes on where it was, to a
file that is the same to the byte. With --resume after the catalogue has changed,
only products whose text is new are encoded.`,
		Example: `  trirank embed --catalog sample --model e5-small-v2 --out vectors
  trirank embed --catalog shop --model e5-small-v2 --template "{title} {brand}" --out vectors --resume`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&catalogue, "catalog", "", "catalogue directory, or the word sample")
	f.StringVar(&model, "model", "", "model directory, or the name of a model that was fetched")
	f.StringVar(&out, "out", "", "folder for the files")
	f.StringVar(&template, "template", catalog.DefaultTemplate, "the text of a product that is embedded")
	f.BoolVar(&resume, "resume", false, "go on with an interrupted run, reuse vectors of unchanged texts")
	deviceFlag(c, &device)
	f.BoolVar(&asJSON, "json", false, "print the summary as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "model", "out"); err != nil {
			return err
		}
		target, err := embedOutput.place(out)
		if err != nil {
			return err
		}
		t, err := parseTemplate(template)
		if err != nil {
			return err
		}
		cat, err := catalog.Load(catalogue)
		if err != nil {
			return err
		}
		m, err := openModelOn(c, model, device)
		if err != nil {
			return err
		}
		defer m.Encoder.Close()
		if err := m.Encoder.SelfTest(c.Context()); err != nil {
			return err
		}
		p := progress.Start(c.ErrOrStderr(), "embedding", "product", cat.Rows())
		done, err := store.Embed(c.Context(), store.EmbedOptions{
			Catalog: cat, Encoder: m.Encoder, Template: t, Out: target, Resume: resume, Started: p.Skip, Progress: p.Set,
		})
		if err != nil {
			p.Stop()
			return err
		}
		p.Done()
		if asJSON {
			return writeJSON(c.OutOrStdout(), done)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s in %s: %d encoded, %d reused, %d from an interrupted run\n", plural(done.Rows, "vector"), out, done.Encoded, done.Reused, done.Resumed)
		return nil
	}
	return c
}
