// Package formats reads the files that catalogues are made from: JSON lines,
// CSV tables, the two Parquet files of Amazon ESCI, its one-table copy, and BEIR
// folders. Text files may be compressed by gzip or zstd.
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

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/judgments"
)

// Format is a kind of source.
type Format string

// The formats.
const (
	JSONL      Format = "jsonl"      // products, one JSON object a line
	CSV        Format = "csv"        // products, one a line below a header
	ESCI       Format = "esci"       // Parquet: products, and judgements of them
	TaskSource Format = "tasksource" // Parquet: judgements that repeat their product
	BEIR       Format = "beir"       // corpus.jsonl, queries.jsonl, qrels
)

// All lists the formats.
var All = []Format{JSONL, CSV, ESCI, TaskSource, BEIR}

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
	// by id only.
	Queries string
	// Scores turns numeric labels into those of ESCI: a number has the label of the
	// greatest entry that it reaches, and is Irrelevant below all of them. Default:
	// numbers stay numbers.
	Scores map[int]judgments.Label
}

// Input is an opened source.
type Input struct {
	catalog.Source
	Format Format
	Files  []string // in the order of reading
}

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
	m, err := newMapping(o.Fields)
	if err != nil {
		return nil, err
	}
	r := &reader{o: o, files: f, mapping: m}
	in := &Input{Format: f.format, Files: f.all()}
	in.Where = r.where
	switch f.format {
	case JSONL:
		in.Products = r.jsonl
	case CSV:
		in.Products = r.csv
	case BEIR:
		in.Products = r.corpus
	default:
		in.Products = r.parquetProducts
	}
	if len(f.judgments) > 0 {
		if in.Judgments, err = r.judgments(); err != nil {
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
			errs = append(errs, fmt.Errorf("a product has no field %q (it has %s)", field, targetNames()))
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

	// The place of the row yielded last.
	file string
	line int
}

func (r *reader) where() (string, int) { return r.file, r.line }

// fault returns a fault of the row at hand.
func (r *reader) fault(kind faults.Kind, format string, args ...any) *faults.Fault {
	return &faults.Fault{File: r.file, Line: r.line, Kind: kind, Reason: fmt.Sprintf(format, args...)}
}

// located tells f the place of the row at hand.
func (r *reader) located(f *faults.Fault) *faults.Fault {
	f.File, f.Line = r.where()
	return f
}

// broken returns an error that ends the reading of the file at hand.
func (r *reader) broken(err error) error {
	if r.line == 0 {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return fmt.Errorf("%s: line %d: %w", r.file, r.line, err)
}
