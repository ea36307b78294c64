package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/catalog/stats"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/progress"
)

func newStatsCommand() *cobra.Command {
	var catalogue, out, model string
	var top int
	c := &cobra.Command{
		Use:   "stats --catalog CATALOGUE --out REPORT_DIR",
		Short: "Describe a catalogue: labels, lengths, fields, brands, prices, popularity",
		Long: `Stats writes a report on a catalogue to REPORT_DIR: index.html, a page that needs
nothing else, and stats.json with the numbers behind it. It shows how many
products and judgements there are, how they are labelled, how long queries and
texts are, which fields are missing, which titles repeat, the brands and
categories, prices, popularity and ratings, and how many of a query's words the
titles of its products have, by label.

Lengths are in words or, with --model, in the tokens that the model sees, which
end at the longest text it takes.`,
		Example: `  trirank stats --catalog sample --out stats
  trirank stats --catalog shop --model e5-small-v2 --out stats`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&catalogue, "catalog", "", "catalogue directory, or the word sample")
	f.StringVar(&out, "out", "", "folder for the report")
	f.StringVar(&model, "model", "", "count tokens of this model: a directory, or the name of a model that was fetched")
	f.IntVar(&top, "top", 20, "brands and categories to list")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "out"); err != nil {
			return err
		}
		if top < 1 {
			return usageError("--top is %d, not 1 or more", top)
		}
		target, err := statsOutput.place(out)
		if err != nil {
			return err
		}
		cat, err := catalog.Load(catalogue)
		if err != nil {
			return err
		}
		p := progress.Start(c.ErrOrStderr(), "reading", "product", cat.Rows())
		o := stats.Options{Top: top, Progress: p.Set}
		if model != "" {
			m, err := openModel(c.Context(), model)
			if err != nil {
				return err
			}
			defer m.Encoder.Close()
			o.Count, o.Unit = m.Encoder.CountTokens, "tokens"
		}
		r, err := stats.Compute(c.Context(), cat, o)
		if err != nil {
			p.Stop()
			return err
		}
		p.Done()
		if err := writeStats(target, r); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
		printStats(c.OutOrStdout(), r, out)
		return nil
	}
	return c
}

// writeStats makes both files or, if it is interrupted, neither: those of two reports
// would contradict each other.
func writeStats(dir string, r *stats.Report) error {
	return atomicfile.BuildDir(dir, func(fresh string) error {
		if err := atomicfile.Write(filepath.Join(fresh, "stats.json"), func(w io.Writer) error { return writeJSON(w, r) }); err != nil {
			return err
		}
		return atomicfile.Write(filepath.Join(fresh, "index.html"), r.WriteHTML)
	})
}

func printStats(w io.Writer, r *stats.Report, out string) {
	fmt.Fprintf(w, "%s: %s, %s of %s\n", r.Name, plural(r.Products, "product"), plural(r.Judgments, "judgement"), plural(r.Queries, "query"))
	for _, l := range r.Labels {
		if r.Judgments == 0 {
			continue
		}
		var shares []string
		for _, c := range l.Counts {
			shares = append(shares, fmt.Sprintf("%s %.1f %%", c.Label, 100*float64(c.Count)/float64(max(l.Total(), 1))))
		}
		fmt.Fprintf(w, "%-6s %s\n", l.Split, strings.Join(shares, "  "))
	}
	for _, o := range r.QueryWordsInTitles {
		fmt.Fprintf(w, "label %v: the title has %.0f %% of the query's words\n", o.Label, 100*o.Mean)
	}
	fmt.Fprintf(w, "report: %s\n", filepath.Join(out, "index.html"))
}
