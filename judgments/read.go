package judgments

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// The formats of judgements.
const (
	// CSV is a table whose first line names the columns, in any order and
	// spelling: query or query_id or both, product_id (or doc_id, asin,
	// item_id ...), label (or esci_label, rating, relevance, grade ...) and,
	// where known, split, judge and time (RFC 3339).
	CSV = "csv"
	// TREC is the qrels of trec_eval: "query iteration product label" a line,
	// parted by white space.
	TREC = "trec"
	// BEIR is a table parted by tabs with the columns query-id, corpus-id and
	// score. It is of the split that its name tells: train.tsv, dev.tsv, test.tsv.
	BEIR = "beir"
	// Quepid is what Quepid exports: the ratings of a case as a table with the
	// columns query, docid and rating, or with "Query Text", "Doc ID" and "Rating"
	// among others; the judgements of a book as a table with the columns query,
	// docid and one for each judge; and cases and books as JSON:
	//
	//	{"queries": [{"query_text": "tv", "ratings": {"id1": 3}}]}
	//	{"query_doc_pairs": [{"query_text": "tv", "doc_id": "id1", "judgements": [{"rating": 3}]}]}
	//
	// What is not rated is passed over. Several ratings of one pair become one by
	// Quepid's own rule: the mean of two, else the least of the three greatest.
	Quepid = "quepid"
	// RRE is a ratings file of the Rated Ranking Evaluator. Each query of a group
	// has the judgements of the group; topics and groups may be left out:
	//
	//	{"topics": [{"query_groups": [{
	//	  "queries": [{"placeholders": {"$query": "tv"}}],
	//	  "relevant_documents": {"3": ["id1"], "2": ["id2", "id3"]}
	//	}]}]}
	//
	// The documents may also read {"id1": {"gain": 3}} or
	// [{"document_id": "id1", "gain": 3}].
	RRE = "rre"
	// OpenSearch is a judgement list of OpenSearch's Search Relevance Workbench, as
	// it is imported or as a search for it returns it (in _source, in hits):
	//
	//	{"judgmentRatings": [{"query": "tv", "ratings": [{"docId": "id1", "rating": "1.0"}]}]}
	//
	// Lists of earlier versions read
	// {"judgmentScores": {"tv": [{"docId": "id1", "score": "1.0"}]}}.
	OpenSearch = "opensearch"
	// Parquet is Amazon's table of examples (ESCI) as a Parquet file, with the columns query,
	// product_id and esci_label, and query_id, split and product_locale where they
	// are there; its one-table copy, which has the products besides, is read alike.
	Parquet = "parquet"
)

// All lists the formats of judgements.
var All = []string{CSV, TREC, BEIR, Quepid, RRE, OpenSearch, Parquet}

// ReadOptions say how judgements are read; the zero value recognises everything.
type ReadOptions struct {
	// Format is one of All. Default: what the files look like.
	Format string
	// Delimiter parts the fields of tables: one character or "tab". Default: what
	// the header looks like.
	Delimiter string
	// Quotes says how a quote within quotes is written in tables: "double" or
	// "backslash". Default: what the first rows look like.
	Quotes string
	// Queries is a file with the texts of queries, for judgements that name
	// queries by id only: lines of id, tab and text, or BEIR's queries.jsonl. For
	// BEIR the default is queries.jsonl beside the judgements or one folder up.
	Queries string
	// Fields names columns of tables that are not called by their usual names: "label"
	// to "stars", say. The fields are query, query_id, product, label, split and judge.
	Fields map[string]string
	// Locale picks the rows of ESCI's Parquet files; empty takes all. Small reads only
	// ESCI's smaller, harder set.
	Locale string
	Small  bool
}

// Source is judgements about to be read.
type Source struct {
	// Format is one of All, or several of them with commas between: what was
	// recognised, or asked for.
	Format string
	// Judgments yields the judgements in the order of the files. A faulty row is
	// yielded as a *faults.Fault, and reading goes on; other errors end it. Both
	// name the file, and leave it to the caller to say what could not be done.
	Judgments iter.Seq2[Judgment, error]
	// Columns says, once the judgements were read, which columns those of a table come
	// from, such as "query <- search_term, label <- ctr", by file.
	Columns map[string]string
	// Where tells the place of the judgement yielded last.
	Where func() (file string, line int)
}

const (
	maxLine = 1 << 20 // bytes, of a line of a TREC file or a file of queries
	maxRow  = 1 << 24 // bytes, of a record of a table, which may span lines
)

// Read prepares to read judgements from files, each of which
// may be of another format. It looks at
// the beginning of each file, and reads the texts of queries if they come apart.
func Read(paths []string, o ReadOptions) (*Source, error) {
	s, err := prepare(paths, o)
	if err != nil {
		return nil, fmt.Errorf("cannot read judgements: %w", err)
	}
	return s, nil
}

func prepare(paths []string, o ReadOptions) (*Source, error) {
	if len(paths) == 0 {
		return nil, errors.New("no file is named")
	}
	if o.Format != "" && !slices.Contains(All, o.Format) {
		return nil, fmt.Errorf("format %q is none of %s", o.Format, strings.Join(All, ", "))
	}
	for field := range o.Fields {
		if !slices.Contains(FieldNames, field) {
			return nil, fmt.Errorf("a judgement has no field %q (it has %s)", field, strings.Join(FieldNames, ", "))
		}
	}
	comma, err := table.ParseDelimiter(o.Delimiter)
	if err != nil {
		return nil, err
	}
	r := &reader{o: o, comma: comma, formats: map[string]string{}, said: map[string]string{}}
	var formats []string
	for _, path := range paths {
		format, err := examine(path, o.Format, r)
		if err != nil {
			return nil, err
		}
		r.formats[path] = format
		if !slices.Contains(formats, format) {
			formats = append(formats, format)
		}
	}
	if o.Queries != "" {
		if r.queries, err = readTexts(o.Queries); err != nil {
			return nil, err
		}
	}
	return &Source{
		Format:    strings.Join(formats, ", "),
		Columns:   r.said,
		Judgments: func(yield func(Judgment, error) bool) { r.files(paths, yield) },
		Where:     func() (string, int) { return r.file, r.line },
	}, nil
}

// reader reads the files of one source.
type reader struct {
	o       ReadOptions
	formats map[string]string // by path
	said    map[string]string // Source.Columns
	format  string            // of the file at hand
	comma   rune              // 0: what the header looks like
	queries *texts            // nil: unknown

	yield   func(Judgment, error) bool
	yielded bool // anything

	// The place of the judgement yielded last.
	file string
	line int
}

// ErrNone marks that files hold no judgement at all.
var ErrNone = errors.New("no judgements")

// errStop ends reading because the consumer of judgements is done.
var errStop = errors.New("stop")

func (r *reader) files(paths []string, yield func(Judgment, error) bool) {
	r.yield, r.yielded = yield, false
	for _, path := range paths {
		switch err := r.one(path); {
		case err == errStop:
			return
		case err != nil:
			yield(Judgment{}, err)
			return
		}
	}
	if !r.yielded {
		yield(Judgment{}, fmt.Errorf("%s has %w of format %s (if it is of another, say so with --judgments-format)",
			strings.Join(paths, ", "), ErrNone, r.format))
	}
}

func (r *reader) one(path string) error {
	r.file, r.line, r.format = path, 0, r.formats[path]
	if r.format == Parquet {
		return r.parquet(path)
	}
	f, err := textfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.read(f)
}

// read reads the file at hand.
func (r *reader) read(f *textfile.File) error {
	switch r.format {
	case TREC:
		return r.trec(f)
	case BEIR:
		return r.beir(f)
	case Quepid:
		return r.quepid(f)
	case RRE:
		return r.rre(f)
	case OpenSearch:
		return r.openSearch(f)
	}
	return r.csv(f)
}

// emit yields a judgement of the line at hand, or what is wrong with it; label is as
// the source spells it. An error ends reading. A row without a label is yielded
// without a look at the rest: sources list what nobody has judged yet.
func (r *reader) emit(j Judgment, label string) error {
	if trim(label) == "" {
		r.yielded = true
		if !r.yield(j, nil) {
			return errStop
		}
		return nil
	}
	id := j.QueryID
	j.Split = strings.ToLower(trim(j.Split)) // Test is test
	if j.Query == "" && id != "" && r.queries != nil {
		text, ok := r.queries.byID[Normalize(id)]
		if !ok {
			return r.fault(faults.MissingField, "query %.80q is not in %s", id, r.queries.path)
		}
		j.Query = text
	}
	if id == "" {
		id = j.Query
	}
	switch {
	case trim(id) == "":
		return r.fault(faults.MissingField, "the judgement names no query")
	case trim(j.Product) == "":
		return r.fault(faults.MissingField, "query %.80q: the product id is empty", id)
	case !utf8.ValidString(id), !utf8.ValidString(j.Query), !utf8.ValidString(j.Product), !utf8.ValidString(label), !utf8.ValidString(j.Split):
		return r.fault(faults.NotUTF8, "query %.80q, product %.80q: the text is not valid UTF-8 (convert the file)", id, j.Product)
	case hasControl(j.QueryID):
		return r.fault(faults.BadID, "query id %.80q has a control character", j.QueryID)
	case hasControl(j.Product):
		return r.fault(faults.BadID, "product id %.80q has a control character", j.Product)
	}
	var err error
	if j.Label, err = ParseLabel(label); err != nil {
		return r.fault(faults.BadLabel, "query %.80q, product %.80q: %v", id, j.Product, err)
	}
	r.yielded = true
	if !r.yield(j, nil) {
		return errStop
	}
	return nil
}

// fault yields what is wrong with the line at hand. An error ends reading.
func (r *reader) fault(kind faults.Kind, format string, args ...any) error {
	r.yielded = true
	if !r.yield(Judgment{}, &faults.Fault{File: r.file, Line: r.line, Kind: kind, Reason: fmt.Sprintf(format, args...)}) {
		return errStop
	}
	return nil
}

// broken says where an error was met that ends reading.
func (r *reader) broken(err error) error {
	if r.line == 0 {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return fmt.Errorf("%s: line %d: %w", r.file, r.line, err)
}

func hasControl(id string) bool { return strings.ContainsFunc(id, unicode.IsControl) }

// ReadTable yields the judgments of a table that a Writer wrote, or of any other with
// columns that Read knows; name is what errors call it.
func ReadTable(table io.Reader, name string) iter.Seq2[Judgment, error] {
	return func(yield func(Judgment, error) bool) {
		f, err := textfile.New(table)
		if err != nil {
			yield(Judgment{}, err)
			return
		}
		defer f.Close()
		r := &reader{file: name, format: CSV, comma: ',', yield: yield, said: map[string]string{}}
		if err := r.csv(f); err != nil && err != errStop {
			yield(Judgment{}, err)
		}
	}
}
