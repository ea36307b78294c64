// Package formats reads the files that catalogues are made from: JSON, tables,
// feeds of Google Merchant, Parquet files, those of Amazon ESCI among them, and
// BEIR folders. Text files may be compressed by gzip or zstd. docs/formats.md says
// what is recognised and how values are read.
//
// Readers are iterators: what they hold does not grow with the number of
// products, but for a 64-bit hash a product where products repeat, one and a
// number where popularity comes in a file of its own, and the queries of a BEIR
// folder. A row that cannot be used is yielded as a *faults.Fault, and reading
// goes on; any other error ends it. Unreadable or hostile files give errors,
// never panics. Sources hold no file open between iterations and may be read
// again, but by one goroutine at a time.
package formats

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
	"github.com/trirank/trirank/judgments"
)

// Format is a kind of source.
type Format string

// The formats.
const (
	JSONL      Format = "jsonl"      // products, one JSON object a line, or one array of them
	CSV        Format = "csv"        // products, one a line below a header
	XML        Format = "xml"        // a feed, RSS or Atom, with Google Merchant's names
	Parquet    Format = "parquet"    // products, a row each
	ESCI       Format = "esci"       // Parquet: products, and judgements of them
	TaskSource Format = "tasksource" // Parquet: judgements that repeat their product
	BEIR       Format = "beir"       // corpus.jsonl, queries.jsonl, qrels
)

// All lists the formats.
var All = []Format{JSONL, CSV, XML, Parquet, ESCI, TaskSource, BEIR}

// Options say how to read; the zero value reads what the automatic choices fit.
type Options struct {
	Format Format // default: what the files look like
	// Fields names the source's fields: "popularity" to "views", say. A field
	// of Product that is not named here is found by its usual names; one named
	// "" is left empty.
	Fields map[string]string
	// Locale picks the rows of ESCI's Parquet files; ids are unique within one.
	// Default "us".
	Locale string
	// Small reads only ESCI's smaller, harder set of judgements.
	Small bool
	// Comma parts the fields of CSV. Default: what the header looks like.
	Comma rune
	// Quotes says how a quote within quotes is written in CSV: "double" or
	// "backslash". Default: what the first rows look like.
	Quotes string
	// Queries is a file with the texts of queries, for judgements that name queries
	// by id only, and JudgmentFields the columns of tables of judgements that are not
	// called by their usual names (judgments.ReadOptions).
	Queries        string
	JudgmentFields map[string]string
	// Splits, if not nil, parts the queries; the judgements must have no splits.
	Splits *judgments.Splits
	// LastFirst reads the files of judgements in the opposite order, so that the last
	// comes first where the first one counts.
	LastFirst bool
	// Scores turns numeric labels into those of ESCI: a number has the label of the
	// greatest entry that it reaches, and is Irrelevant below all of them. Default:
	// numbers stay numbers.
	Scores map[int]judgments.Label
	// KeepHTML leaves entities and tags in texts.
	KeepHTML bool
}

// Input is an opened source.
type Input struct {
	catalog.Source
	Format Format
	Files  []string // in the order of reading
	// ProductFiles and JudgmentFiles are those of Files that hold such, JudgmentFormat
	// one of judgments.All or several with commas between, QueriesFile has the texts
	// of their queries, and PopularityFile is a table beside the products.
	ProductFiles, JudgmentFiles                 []string
	JudgmentFormat, QueriesFile, PopularityFile string
	reader                                      *reader
}

// JudgmentColumns says, once the judgements were read, which columns those of a table
// come from, by file (judgments.Source).
func (in *Input) JudgmentColumns() map[string]string { return in.reader.judged }

// maxRow is the longest line or record, in bytes, that is read.
const maxRow = 1 << 24

// Read prepares to read paths: files, or a folder that holds them. It looks at
// the beginning of each file only.
func Read(paths []string, o Options) (*Input, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Locale == "" {
		o.Locale = "us"
	}
	f, err := find(paths, o)
	if err != nil {
		return nil, err
	}
	r := &reader{o: o, files: f, tally: newTally()}
	if err := r.look(); err != nil {
		return nil, err
	}
	in := &Input{Format: f.format, Files: f.all(), ProductFiles: f.products, JudgmentFiles: f.judgments, QueriesFile: f.queries, PopularityFile: f.popularity, reader: r}
	in.Where = r.where
	switch f.format {
	case JSONL, CSV, XML:
		in.Products = r.products
	case BEIR:
		in.Products = r.corpus
	default:
		in.Products = r.parquetProducts
	}
	if len(f.judgments) > 0 {
		if in.Judgments, in.JudgmentFormat, err = r.judgments(); err != nil {
			return nil, err
		}
	}
	if f.popularity != "" {
		in.Products = r.withPopularity(in.Products)
	}
	return in, nil
}

// check reports all that is wrong with o.
func (o Options) check() error {
	var errs []error
	if o.Format != "" && !slices.Contains(All, o.Format) {
		errs = append(errs, fmt.Errorf("format %q is none of %v", o.Format, All))
	}
	for field := range o.Fields {
		if !slices.ContainsFunc(targets, func(t target) bool { return t.name == field }) {
			errs = append(errs, fmt.Errorf("a product has no field %q (it has %s)", field, strings.Join(FieldNames(), ", ")))
		}
	}
	if o.Comma != 0 && !table.Delimiter(o.Comma) {
		errs = append(errs, fmt.Errorf("%q cannot part fields", o.Comma))
	}
	if o.Quotes != "" && o.Quotes != table.QuotesDouble && o.Quotes != table.QuotesBackslash {
		errs = append(errs, fmt.Errorf("quotes %q are none of %s and %s", o.Quotes, table.QuotesDouble, table.QuotesBackslash))
	}
	for score, label := range o.Scores {
		if label == judgments.Unlabelled {
			errs = append(errs, fmt.Errorf("score %d has no label", score))
		}
	}
	return errors.Join(errs...)
}

// reader reads the files of one source.
type reader struct {
	o       Options
	files   *files
	mapping *mapping
	preset  *preset // nil: none
	tally   *tally

	// What the first rows tell of numbers, by target, and of prices.
	columns     [16]column
	wholePrices bool

	dialect, encoding string

	judged map[string]string // the columns of tables of judgements

	// The place of the row yielded last.
	file string
	line int
}

// products yields the products of text files.
func (r *reader) products(yield func(catalog.Product, error) bool) {
	r.tally = newTally()
	for _, path := range r.files.products {
		ok := r.rows(path, func(cells []cell, err error) bool {
			if err != nil {
				return yield(catalog.Product{}, err)
			}
			return yield(r.product(cells))
		})
		if !ok {
			return
		}
	}
}

// rows calls each with the rows of a text file of products, whatever its kind. It
// reports whether to go on with the next file.
func (r *reader) rows(path string, each func(cells []cell, err error) bool) bool {
	r.file, r.line = path, 0
	f, err := textfile.Open(path)
	if err != nil {
		each(nil, err)
		return false
	}
	defer f.Close()
	r.encoding = f.Encoding()
	switch r.files.format {
	case CSV:
		return r.tableRows(f, each)
	case XML:
		return r.feedRows(f, each)
	}
	return r.eachObject(f, each)
}

// look recognises whose export the source is by the names in its first rows, and
// what the marks in its numbers mean. Errors are left to who reads it all.
func (r *reader) look() (err error) {
	const rows, bytes = 1000, 1 << 23
	first := func(each func(cells []cell)) {
		n, size := 0, 0
		r.rows(r.files.products[0], func(cells []cell, err error) bool {
			for i := range cells {
				size += len(cells[i].text) + len(cells[i].raw)
			}
			if err == nil {
				each(cells)
			}
			n++
			return n < rows && size < bytes
		})
		r.file, r.line = "", 0
	}
	text := r.files.format == CSV || r.files.format == XML || r.files.format == JSONL
	if text && !r.files.own {
		var names []string
		known := map[string]bool{}
		first(func(cells []cell) {
			for i := range cells {
				if name := cells[i].name; !known[name] && len(known) < maxNames {
					known[name] = true
					names = append(names, name)
				}
			}
		})
		r.preset = recognisePreset(names)
	}
	if r.mapping, err = newMapping(r.o.Fields, r.preset); err != nil || !text || r.files.own {
		return err
	}
	var marks [16]decimals
	r.wholePrices = true
	first(func(cells []cell) {
		for i := range cells {
			s, ok := r.mapping.slot(cells[i].name)
			if !ok || s.target != priceTarget && s.target != ratingTarget && s.target != popularityTarget {
				continue
			}
			text, err := cells[i].asText()
			if err != nil {
				continue
			}
			if a, err := parseAmount(text, unsettled); err == nil {
				marks[s.target].add(a.marks)
				if s.target == priceTarget && !isWhole(text, a.value) {
					r.wholePrices = false
				}
			}
		}
	})
	for i := range marks {
		r.columns[i] = marks[i].column(i == popularityTarget)
	}
	r.tally = newTally()
	return nil
}

func (r *reader) where() (string, int) { return r.file, r.line }

// fault returns a fault of the row at hand.
func (r *reader) fault(kind faults.Kind, format string, args ...any) *faults.Fault {
	return &faults.Fault{File: r.file, Line: r.line, Kind: kind, Reason: fmt.Sprintf(format, args...)}
}

// brokenIf is broken, of an error that may be nil.
func (r *reader) brokenIf(err error) error {
	if err == nil {
		return nil
	}
	return r.broken(err)
}

// broken returns an error that ends the reading of the file at hand.
func (r *reader) broken(err error) error {
	if r.line == 0 {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return fmt.Errorf("%s: line %d: %w", r.file, r.line, err)
}
