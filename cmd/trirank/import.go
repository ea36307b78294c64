package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/catalog/formats"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/judgments"
)

// importOptions are the flags of trirank import, as given.
type importOptions struct {
	out, name, format, locale, onFault, delimiter, quotes, scores string
	queries, split, prefer                                        string
	fields                                                        []string
	small, keepHTML, dryRun, asJSON                               bool
}

func newImportCommand() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import [--format FORMAT] SRC... --out CATALOGUE",
		Short: "Make a catalogue of products and judgements",
		Long: `Import reads products, and judgements where there are any, and writes a catalogue:
a directory that all other commands read. SRC is a file or a folder; what it
holds is recognized by name and contents. Text may be compressed (gzip, zstd).

  jsonl       products.jsonl, one object a line, or one JSON array; judgments.csv
  csv         products.csv with a header, any delimiter; judgments.csv
  xml         a feed of Google Merchant: RSS 2.0 or Atom
  parquet     Parquet files of products
  esci        Amazon ESCI: the Parquet files of products and of examples
  tasksource  ESCI in one table: Parquet, products repeated at each judgement
  beir        a folder with corpus.jsonl, queries.jsonl and qrels/*.tsv

Judgements are what trirank eval reads: tables with the columns query, product_id and
label (E, S, C, I or numbers) and, where known, query_id and split; TREC qrels, exports
of Quepid, RRE and OpenSearch, and unjudged.csv of a report once it is filled in.
Of several ids with one text the query is one. --split parts the queries, for training
and for testing, where nobody has. A popularity.csv or product_stats.csv beside the
products (product_id and popularity or views) sets their popularity.

The fields of a product are ` + "id, title, brand, color, category, bullets,\ndescription, price, image, rating, popularity and currency" + `. They are found by their
usual names, whatever their case, spaces, _ and - (title is also Product Title,
popularity is also rating_count or views, the id is also sku or ean); exports of
Shopify, WooCommerce, PrestaShop, Magento, Google Merchant, Chorus and WANDS are
recognized. --field says another name, or an empty one to leave a field out; for
columns of judgements it is --field query=, product= and label= (and query_id=,
split=, judge=).
Whatever has no place is kept as it is, but for columns of Parquet files.

It is said which column became which field, and how often it is filled. --dry-run
says so, shows three products and writes nothing.

Tables may be parted by comma, semicolon, tab or bar, be in UTF-8 or UTF-16, begin
with a line such as sep=; and escape quotes by doubling or by a backslash. Numbers
may have a currency, and a comma for a decimal point: 12,99 and 1.299,00. What
could be either (1,299) is read as the other numbers of its column are. HTML is
taken out of texts. A cell may hold a list: of categories, of images, of bullets.

A row that is not sound (no id, no title, a repeated id, broken text, judgements
that contradict each other) is a fault: the import counts them all, names file and
line of the first twenty and changes nothing; with --on-fault skip they are left
out. A price or another value that cannot be read costs that value only, and is
counted. Judgements of unknown products and repeated judgements are left out and
counted always.

CATALOGUE takes its place when complete: an interrupted import changes nothing.
Memory does not grow with the number of products, but for some 100 bytes each.`,
		Example: `  trirank import ../shared/data/esci-us --out shop
  trirank import products.csv judgments.csv --field id=sku --field title=label_en --out shop
  trirank import products.csv ratings.csv report/unjudged.csv --split test=30% --out shop
  trirank import products.csv clicks.csv --field query=search_term --field label=ctr --out shop
  trirank import export.csv --dry-run
  trirank import shopping_queries_dataset_*.parquet --locale us --out esci-us
  trirank import --format beir nfcorpus --scores 1=S,2=E --out nfcorpus.cat`,
		Args: cobra.MinimumNArgs(1),
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "directory of the catalogue; an older catalogue there is replaced")
	f.StringVar(&o.name, "name", "", "name of the catalogue (default: that of the directory)")
	f.StringVar(&o.format, "format", "", "jsonl, csv, xml, parquet, esci, tasksource or beir (default: recognized)")
	f.StringArrayVar(&o.fields, "field", nil, "FIELD=NAME: the source calls FIELD NAME (may be repeated)")
	f.StringVar(&o.locale, "locale", "us", "esci, tasksource: read the products and queries of this locale")
	f.BoolVar(&o.small, "small", false, "esci, tasksource: read only the smaller set of judgements (small_version)")
	f.StringVar(&o.delimiter, "delimiter", "", "csv: what parts fields, such as ; or tab (default: recognized)")
	f.StringVar(&o.quotes, "quotes", "", "csv: how a quote within quotes is written: double or backslash (default: recognized)")
	f.BoolVar(&o.keepHTML, "keep-html", false, "leave HTML in texts")
	f.StringVar(&o.scores, "scores", "", "make ESCI's labels of numbers, from these on, such as 1=S,2=E (default: numbers stay numbers)")
	f.StringVar(&o.queries, "queries", "", "texts of the queries, for judgements that have ids only")
	f.StringVar(&o.split, "split", "", "part the queries by the hash of their text, such as test=30%; the rest is called train")
	f.StringVar(&o.prefer, "prefer", "", "which label counts where files of judgements contradict each other: that of the later file (new) or of the earlier (old); default: a fault")
	f.StringVar(&o.onFault, "on-fault", "fail", "what a faulty row does: fail or skip")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be read, show three products, and write nothing")
	f.BoolVar(&o.asJSON, "json", false, "print the summary as JSON")
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c, args) }
	return c
}

func (o *importOptions) run(c *cobra.Command, sources []string) error {
	if !o.dryRun {
		if err := required(c, "out"); err != nil {
			return err
		}
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
	doing, write := "importing", func(src catalog.Source, w catalog.WriteOptions) (*catalog.Report, error) {
		return catalog.Write(c.Context(), o.out, src, w)
	}
	var shown []catalog.Product
	if o.dryRun {
		in.Products = first(3, in.Products, &shown)
		doing, write = "reading", func(src catalog.Source, w catalog.WriteOptions) (*catalog.Report, error) {
			return catalog.Check(c.Context(), src, w)
		}
	}
	p := progress.Start(c.ErrOrStderr(), doing, "product", 0)
	report, err := write(in.Source, catalog.WriteOptions{
		Name: o.name, SkipFaults: o.onFault == "skip", PreferFirst: o.prefer != "", Progress: p.Set,
		From: string(in.Format) + ": " + strings.Join(in.Files, ", "),
	})
	if err != nil {
		p.Stop()
		if faulty := (*catalog.FaultsError)(nil); errors.As(err, &faulty) {
			return fmt.Errorf("cannot import %s: %s", strings.Join(sources, ", "), faultsText(faulty))
		}
		return fail(err)
	}
	p.Done()
	if o.asJSON {
		return writeJSON(c.OutOrStdout(), struct {
			Catalogue string          `json:"catalogue,omitempty"`
			DryRun    bool            `json:"dry_run,omitempty"`
			Format    formats.Format  `json:"format"`
			Judged    string          `json:"judgments_format,omitempty"`
			Files     []string        `json:"files"`
			Reading   formats.Reading `json:"reading"`
			*catalog.Report
			Shown []catalog.Product `json:"first_products,omitempty"`
		}{o.out, o.dryRun, in.Format, in.JudgmentFormat, in.Files, in.Reading(), report, shown})
	}
	return o.print(c.OutOrStdout(), in, report, shown)
}

// first keeps the first n products that a source yields and that can be one.
func first(n int, products iter.Seq2[catalog.Product, error], kept *[]catalog.Product) iter.Seq2[catalog.Product, error] {
	return func(yield func(catalog.Product, error) bool) {
		for p, err := range products {
			if err == nil && p.ID != "" && p.Title != "" && len(*kept) < n {
				*kept = append(*kept, p)
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// faultsText lists the first faults, and says what leaving them out would cost.
func faultsText(e *catalog.FaultsError) string {
	var b strings.Builder
	f := e.Faults
	part := fmt.Sprintf("%s of %s", thousands(f.Count), thousands(e.Rows))
	fmt.Fprintf(&b, "%s rows are faulty\n", part)
	for _, fault := range f.First {
		fmt.Fprintf(&b, "  %v\n", fault)
	}
	if more := f.Count - len(f.First); more > 0 {
		fmt.Fprintf(&b, "  and %s more\n", thousands(more))
	}
	if f.Count == e.Rows {
		b.WriteString("no row is sound: see whether the columns are the right ones (--dry-run, --field)")
	} else {
		fmt.Fprintf(&b, "correct them; %s rows would be left out with --on-fault skip", part)
	}
	return b.String()
}

// thousands spells n with commas between thousands.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// formatOptions reads the flags that say how to read.
func (o *importOptions) formatOptions() (formats.Options, error) {
	fo := formats.Options{Format: formats.Format(o.format), Locale: o.locale, Small: o.small, Quotes: o.quotes, KeepHTML: o.keepHTML, Queries: o.queries, LastFirst: o.prefer == "new"}
	if fo.Format != "" && !slices.Contains(formats.All, fo.Format) {
		return fo, usageError("--format is %q, none of %v", o.format, formats.All)
	}
	if o.quotes != "" && o.quotes != "double" && o.quotes != "backslash" {
		return fo, usageError("--quotes is %q, not double or backslash", o.quotes)
	}
	all, err := fieldFlag(o.fields)
	if err != nil {
		return fo, err
	}
	fo.Fields, fo.JudgmentFields = map[string]string{}, map[string]string{}
	for field, name := range all {
		switch {
		case slices.Contains(judgments.FieldNames, field):
			fo.JudgmentFields[field] = name
		case slices.Contains(formats.FieldNames(), field):
			fo.Fields[field] = name
		default:
			return fo, usageError("--field %s=%s: a product has no field %q (it has %s), nor has a judgement (it has %s)",
				field, name, field, strings.Join(formats.FieldNames(), ", "), strings.Join(judgments.FieldNames, ", "))
		}
	}
	if o.split != "" {
		if fo.Splits, err = judgments.ParseSplits(o.split); err != nil {
			return fo, usageError("--split: %v", err)
		}
	}
	if !slices.Contains([]string{"", "new", "old"}, o.prefer) {
		return fo, usageError("--prefer is %q, not new or old", o.prefer)
	}
	if fo.Comma, err = table.ParseDelimiter(o.delimiter); err != nil {
		return fo, usageError("--delimiter: %v", err)
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

// print says what was imported, and how it was read.
func (o *importOptions) print(w io.Writer, in *formats.Input, r *catalog.Report, shown []catalog.Product) error {
	out := o.out
	if o.dryRun {
		out = "dry run, nothing is written"
	}
	fmt.Fprintf(w, "%s: %s", out, plural(r.Products, "product"))
	if r.Queries > 0 {
		fmt.Fprintf(w, ", %s of %s", plural(r.Judgments, "judgement"), plural(r.Queries, "query"))
	} else {
		fmt.Fprint(w, ", no judgements")
	}
	fmt.Fprintf(w, "\nproducts: %s from %s\n", in.Format, strings.Join(in.ProductFiles, ", "))
	if len(in.JudgmentFiles) > 0 {
		fmt.Fprintf(w, "judgements: %s from %s\n", in.JudgmentFormat, strings.Join(in.JudgmentFiles, ", "))
	}
	if in.QueriesFile != "" {
		fmt.Fprintf(w, "queries: from %s\n", in.QueriesFile)
	}
	if in.PopularityFile != "" {
		fmt.Fprintf(w, "popularity: from %s\n", in.PopularityFile)
	}
	printReading(w, in.Reading())
	if !o.dryRun {
		fmt.Fprintf(w, "hash %s\n", r.Hash)
	}
	for _, file := range slices.Sorted(maps.Keys(in.JudgmentColumns())) {
		fmt.Fprintf(w, "judgements of %s: %s\n", file, in.JudgmentColumns()[file])
	}
	if r.UnknownProducts > 0 {
		fmt.Fprintf(w, "left out: %s of unknown products\n", plural(r.UnknownProducts, "judgement"))
	}
	if r.Unlabelled > 0 {
		fmt.Fprintf(w, "left out: %s without a label\n", plural(r.Unlabelled, "judgement"))
	}
	if r.Contradictions > 0 {
		fmt.Fprintf(w, "left out: %s other than the one preferred\n", plural(r.Contradictions, "label"))
	}
	if r.SameText > 0 {
		fmt.Fprintf(w, "queries: %s of texts that have another id: each text is one query\n", plural(r.SameText, "id"))
	}
	if _, none := r.Splits[""]; len(r.Splits) > 1 || len(r.Splits) == 1 && !none {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(r.Splits)) {
			parts = append(parts, fmt.Sprintf("%s %s", thousands(r.Splits[name]), cmp.Or(name, "in none")))
		}
		fmt.Fprintf(w, "queries by split: %s\n", strings.Join(parts, ", "))
	}
	if r.Duplicates > 0 {
		fmt.Fprintf(w, "left out: %s\n", plural(r.Duplicates, "repeated judgement"))
	}
	printFaults(w, r.Faults)
	for _, p := range shown {
		if err := writeJSON(w, p); err != nil {
			return err
		}
	}
	return nil
}

// printReading says what was recognised, which field comes from where, and what was
// done to values.
func printReading(w io.Writer, r formats.Reading) {
	var recognised []string
	for _, s := range []string{r.Preset, r.Table, r.Encoding} {
		if s != "" && s != "UTF-8" {
			recognised = append(recognised, s)
		}
	}
	if len(recognised) > 0 {
		fmt.Fprintf(w, "recognized: %s\n", strings.Join(recognised, ", "))
	}
	for _, f := range r.Fields {
		if len(f.From) == 0 {
			fmt.Fprintf(w, "%s <- none\n", f.Field)
			continue
		}
		fmt.Fprintf(w, "%s <- %s (%s of %s)\n", f.Field, strings.Join(f.From, ", "), thousands(f.Filled), thousands(r.Rows))
	}
	if len(r.LeftOver) > 0 {
		fmt.Fprintf(w, "left over: %s\n", strings.Join(r.LeftOver, ", "))
	}
	if r.Merged > 0 {
		fmt.Fprintf(w, "variants: %s taken together with the product before\n", plural(r.Merged, "row"))
	}
	if len(r.Currencies) > 1 {
		var parts []string
		for _, c := range slices.Sorted(maps.Keys(r.Currencies)) {
			parts = append(parts, fmt.Sprintf("%s in %s", thousands(r.Currencies[c]), cmp.Or(c, "an unknown one")))
		}
		fmt.Fprintf(w, "prices of several currencies, which are not converted: %s\n", strings.Join(parts, ", "))
	}
	for _, a := range r.Ambiguous {
		was := "s such as %s were read as %s"
		if a.Count == 1 {
			was = ", %s, was read as %s"
		}
		fmt.Fprintf(w, "%s: %s ambiguous number"+was+" (if that is wrong, write them without what parts thousands)\n",
			a.Field, thousands(a.Count), a.Text, strconv.FormatFloat(a.ReadAs, 'f', -1, 64))
	}
	if r.HTML > 0 {
		fmt.Fprintf(w, "HTML was taken out of the texts of %s (--keep-html leaves it)\n", plural(r.HTML, "product"))
	}
	if r.Unread.Count > 0 {
		fmt.Fprintf(w, "left unknown: %s that could not be read\n", plural(r.Unread.Count, "value"))
		for _, f := range r.Unread.First {
			fmt.Fprintf(w, "  %v\n", f)
		}
		if more := r.Unread.Count - len(r.Unread.First); more > 0 {
			fmt.Fprintf(w, "  and %s more\n", thousands(more))
		}
	}
}
