package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/catalog/formats"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/judgments"
)

// importOptions are the flags of trirank import, as given.
type importOptions struct {
	out, name, format, locale, onFault, delimiter, scores string
	fields                                                []string
	small, asJSON                                         bool
}

func newImportCommand() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import [--format FORMAT] SRC... --out CATALOGUE",
		Short: "Make a catalogue of products and judgements",
		Long: `Import reads products, and judgements where there are any, and writes a catalogue:
a directory that all other commands read. SRC is a file or a folder; what it
holds is recognized by name and contents. Text may be compressed (gzip, zstd).

  jsonl       products.jsonl, one object a line; judgments.csv
  csv         products.csv with a header, any delimiter; judgments.csv
  esci        Amazon ESCI: the Parquet files of products and of examples
  tasksource  ESCI in one table: Parquet, products repeated at each judgement
  beir        a folder with corpus.jsonl, queries.jsonl and qrels/*.tsv

Judgments.csv has the columns query, product_id, esci_label (E, S, C, I) and,
where known, query_id and split. A popularity.csv or product_stats.csv beside the
products (product_id and popularity or views) sets their popularity.

The fields of a product are ` + "id, title, brand, color, category, bullets,\ndescription, price, image, rating and popularity" + `. They are found by their usual
names (title is also product_title, popularity is also rating_count or views);
--field says another name, or an empty one to leave a field out. Whatever has no
place is kept as it is, but for columns of Parquet files.

A row that is not sound (no id, no title, a repeated id, broken text, a negative
price, judgements that contradict each other) ends the import, which names its
file and line; with --on-fault skip it is left out and counted. Judgements of
unknown products and repeated judgements are left out and counted always.

CATALOGUE takes its place when complete: an interrupted import changes nothing.
Memory does not grow with the number of products, but for some 100 bytes each.`,
		Example: `  trirank import ../shared/data/esci-us --out shop
  trirank import products.csv judgments.csv --field id=sku --field title=label_en --out shop
  trirank import shopping_queries_dataset_*.parquet --locale us --out esci-us
  trirank import --format beir nfcorpus --scores 1=S,2=E --out nfcorpus.cat`,
		Args: cobra.MinimumNArgs(1),
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "directory of the catalogue; an older catalogue there is replaced")
	f.StringVar(&o.name, "name", "", "name of the catalogue (default: that of the directory)")
	f.StringVar(&o.format, "format", "", "jsonl, csv, esci, tasksource or beir (default: recognized)")
	f.StringArrayVar(&o.fields, "field", nil, "FIELD=NAME: the source calls FIELD NAME (may be repeated)")
	f.StringVar(&o.locale, "locale", "us", "esci, tasksource: read the products and queries of this locale")
	f.BoolVar(&o.small, "small", false, "esci, tasksource: read only the smaller set of judgements (small_version)")
	f.StringVar(&o.delimiter, "delimiter", "", "csv: what parts fields, such as ; or tab (default: recognized)")
	f.StringVar(&o.scores, "scores", "", "beir: labels from these scores on (default by the greatest score: 1=E, 1=S,2=E or 1=C,2=S,3=E)")
	f.StringVar(&o.onFault, "on-fault", "fail", "what a faulty row does: fail or skip")
	f.BoolVar(&o.asJSON, "json", false, "print the summary as JSON")
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c, args) }
	return c
}

func (o *importOptions) run(c *cobra.Command, sources []string) error {
	if err := required(c, "out"); err != nil {
		return err
	}
	if o.onFault != "fail" && o.onFault != "skip" {
		return usageError("--on-fault is %q, not fail or skip", o.onFault)
	}
	fo, err := o.formatOptions()
	if err != nil {
		return err
	}
	files := sources
	fail := func(err error) error {
		// Most errors begin with the file that they are of.
		if slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(err.Error(), f) }) {
			return fmt.Errorf("cannot import %w", err)
		}
		return fmt.Errorf("cannot import %s: %w", strings.Join(sources, ", "), err)
	}
	in, err := formats.Read(sources, fo)
	if err != nil {
		return fail(err)
	}
	files = append(files, in.Files...)
	p := progress.Start(c.ErrOrStderr(), "importing", "product", 0)
	report, err := catalog.Write(c.Context(), o.out, in.Source, catalog.WriteOptions{
		Name: o.name, SkipFaults: o.onFault == "skip", Progress: p.Set,
		From: string(in.Format) + ": " + strings.Join(in.Files, ", "),
	})
	if err != nil {
		p.Stop()
		if fault := (*faults.Fault)(nil); errors.As(err, &fault) {
			err = fmt.Errorf("%w (correct it, or leave such rows out with --on-fault skip)", err)
		}
		return fail(err)
	}
	p.Done()
	if o.asJSON {
		return writeJSON(c.OutOrStdout(), struct {
			Catalogue string         `json:"catalogue"`
			Format    formats.Format `json:"format"`
			Files     []string       `json:"files"`
			*catalog.Report
		}{o.out, in.Format, in.Files, report})
	}
	printImport(c.OutOrStdout(), o.out, in, report)
	return nil
}

// formatOptions reads the flags that say how to read.
func (o *importOptions) formatOptions() (formats.Options, error) {
	fo := formats.Options{Format: formats.Format(o.format), Locale: o.locale, Small: o.small}
	if fo.Format != "" && !slices.Contains(formats.All, fo.Format) {
		return fo, usageError("--format is %q, none of %v", o.format, formats.All)
	}
	for _, f := range o.fields {
		field, name, ok := strings.Cut(f, "=")
		if !ok {
			return fo, usageError("--field %q is not FIELD=NAME, such as popularity=views", f)
		}
		if fo.Fields == nil {
			fo.Fields = map[string]string{}
		}
		if _, twice := fo.Fields[field]; twice {
			return fo, usageError("--field names %q twice", field)
		}
		fo.Fields[field] = name
	}
	switch {
	case o.delimiter == "tab" || o.delimiter == `\t`:
		fo.Comma = '\t'
	case utf8.RuneCountInString(o.delimiter) == 1:
		fo.Comma, _ = utf8.DecodeRuneInString(o.delimiter)
	case o.delimiter != "":
		return fo, usageError("--delimiter is %q, not one character or the word tab", o.delimiter)
	}
	if o.scores != "" {
		fo.Scores = map[int]judgments.Label{}
		for part := range strings.SplitSeq(o.scores, ",") {
			score, label, _ := strings.Cut(part, "=")
			n, err1 := strconv.Atoi(strings.TrimSpace(score))
			l, err2 := judgments.ParseLabel(label)
			if err1 != nil || err2 != nil {
				return fo, usageError("--scores %q is not SCORE=LABEL,..., such as 1=S,2=E", o.scores)
			}
			fo.Scores[n] = l
		}
	}
	return fo, nil
}

func printImport(w io.Writer, out string, in *formats.Input, r *catalog.Report) {
	fmt.Fprintf(w, "%s: %s", out, plural(r.Products, "product"))
	if r.Queries > 0 {
		fmt.Fprintf(w, ", %s of %s", plural(r.Judgments, "judgement"), plural(r.Queries, "query"))
	} else {
		fmt.Fprint(w, ", no judgements")
	}
	fmt.Fprintf(w, "\nread as %s from %s\nhash %s\n", in.Format, strings.Join(in.Files, ", "), r.Hash)
	if r.UnknownProducts > 0 {
		fmt.Fprintf(w, "left out: %s of unknown products\n", plural(r.UnknownProducts, "judgement"))
	}
	if r.Duplicates > 0 {
		fmt.Fprintf(w, "left out: %s\n", plural(r.Duplicates, "repeated judgement"))
	}
	printFaults(w, r.Faults)
}
