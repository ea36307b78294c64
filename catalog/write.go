package catalog

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// Source is what a catalogue is made from. Write reads the products to their
// end, then the judgements, which may be nil.
type Source struct {
	Products  iter.Seq2[Product, error]
	Judgments iter.Seq2[judgments.Judgment, error]
	// Where, if not nil, tells the file and line of the row yielded last, so
	// that faults that only Write can see are named as well as the reader's.
	Where func() (file string, line int)
}

// Report says what Write did.
type Report struct {
	Name      string `json:"name"`
	Products  int    `json:"products"`
	Judgments int    `json:"judgments"`
	Queries   int    `json:"queries"`
	Hash      string `json:"hash"`
	// Faults are the rows that were skipped for being wrong.
	Faults faults.List `json:"faults"`
	// UnknownProducts, Duplicates and Unlabelled count judgements that were dropped
	// though nothing is wrong with them: of products that are not in the catalogue,
	// repeated, and without a label.
	UnknownProducts int `json:"judgments_of_unknown_products"`
	Duplicates      int `json:"duplicate_judgments"`
	Unlabelled      int `json:"judgments_without_label"`
	// Contradictions counts labels that were left out since another came first
	// (WriteOptions.PreferFirst).
	Contradictions int `json:"contradicting_judgments"`
	// Splits counts queries by split, "" for those of none.
	Splits map[string]int `json:"queries_by_split,omitempty"`
	// SameText counts ids of queries whose text has another id already.
	SameText int `json:"query_ids_of_the_same_text"`
}

// WriteOptions are the options of Write; the zero value will do.
type WriteOptions struct {
	Name string // default: the last element of the directory's path
	// PreferFirst leaves out and counts labels that contradict one before; without it
	// they are faults.
	PreferFirst bool
	SkipFaults  bool               // leave faulty rows out instead of failing
	Progress    func(products int) // called now and then
	From        string             // how the source was read, for the record
}

// Write makes a catalogue of src in dir. The catalogue is built beside dir and
// takes its place when complete: until then, and after an error, dir is as it
// was. A dir that exists is replaced only if it is a catalogue or empty. An error
// of the source is returned as the source gave it; faults, where they are not to
// be skipped, are all counted and returned as a *FaultsError.
func Write(ctx context.Context, dir string, src Source, o WriteOptions) (*Report, error) {
	dir, err := checkTarget(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot write catalogue %s: %w", dir, err)
	}
	if o.Name == "" {
		o.Name = filepath.Base(dir)
	}
	w := newWriter("", src, o)
	err = atomicfile.BuildDir(dir, func(fresh string) error {
		w.dir = fresh
		if err := w.write(ctx); err != nil {
			return err
		}
		// Looked at again: an import takes long.
		if _, err := checkTarget(dir); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		if w.bySource {
			return nil, err // it names the file and the line
		}
		return nil, fmt.Errorf("cannot write catalogue %s: %w", dir, err)
	}
	return w.report, nil
}

// Check reports what Write would do with src, and writes nothing. Faults are
// counted in the report, whatever o says of them.
func Check(ctx context.Context, src Source, o WriteOptions) (*Report, error) {
	o.SkipFaults = true
	w := newWriter("", src, o)
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	return w.report, nil
}

// FaultsError says that a source has faulty rows.
type FaultsError struct {
	Faults faults.List
	Rows   int // of the source, faulty or not
}

// Error names the first fault and says how many there are.
func (e *FaultsError) Error() string {
	if e.Faults.Count == 1 {
		return e.Faults.First[0].Error()
	}
	return fmt.Sprintf("%v, and %d more faults", e.Faults.First[0], e.Faults.Count-1)
}

// Unwrap returns the first fault.
func (e *FaultsError) Unwrap() error { return e.Faults.First[0] }

// checkTarget returns the directory that dir means if a catalogue may be put
// there.
func checkTarget(dir string) (string, error) {
	given := dir
	dir, err := atomicfile.Resolve(given)
	if err != nil {
		return given, err
	}
	if _, err := os.Stat(filepath.Dir(dir)); err != nil {
		return dir, err // a folder that was misspelt is not made
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return dir, nil
	}
	if err != nil {
		return dir, err
	}
	ours := []string{manifestFile, productsFile, judgmentsFile, popularityFile}
	described := false
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) {
			return dir, fmt.Errorf("the directory exists and holds %s, which is no part of a catalogue (choose another place)", e.Name())
		}
		described = described || e.Name() == manifestFile
	}
	if !described {
		return dir, fmt.Errorf("the directory exists and is not a catalogue: it has no %s (choose another place)", manifestFile)
	}
	return dir, checkUnchanged(dir)
}

// checkUnchanged refuses to replace a catalogue in which somebody changed something, which
// would be lost, and one of a later version.
func checkUnchanged(dir string) error {
	gone := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return errors.Is(err, fs.ErrNotExist)
	}
	if err := changed(dir, gone); err != nil {
		return fmt.Errorf("replacing the catalogue that is there would lose a change: %w (choose another place, or remove it)", err)
	}
	return nil
}

// writer builds a catalogue in dir, or nowhere if dir is empty.
type writer struct {
	dir    string
	o      WriteOptions
	src    Source
	check  *checker
	report *Report
	rows   int
	files  map[string]uint16 // of judgements, numbered in order of appearance
	sums   checksum.Files    // of what was written
	// bySource says that the error at hand is the source's, not the writer's.
	bySource bool
}

func newWriter(dir string, src Source, o WriteOptions) *writer {
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	if src.Products == nil {
		src.Products = func(func(Product, error) bool) {}
	}
	return &writer{dir: dir, o: o, src: src, check: newChecker(o.PreferFirst), report: &Report{Name: o.Name}}
}

func (w *writer) write(ctx context.Context) (err error) {
	products, err := w.create(productsFile)
	if err != nil {
		return err
	}
	defer products.Close()
	judgments, err := w.create(judgmentsFile)
	if err != nil {
		return err
	}
	defer judgments.Close()
	popularity, err := w.create(popularityFile)
	if err != nil {
		return err
	}
	defer popularity.Close()
	// One goroutine, one frame: equal input gives equal bytes.
	z, err := zstd.NewWriter(products, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	content := newContentHash(z, judgments)
	if err := w.writeProducts(ctx, content, csv.NewWriter(popularity)); err != nil {
		return err
	}
	if err := w.writeJudgments(ctx, content); err != nil {
		return err
	}
	if w.report.Faults.Count > 0 && !w.o.SkipFaults {
		w.bySource = true
		return &FaultsError{Faults: w.report.Faults, Rows: w.rows}
	}
	w.report.Hash = content.sum()
	if err := errors.Join(content.flush(), z.Close(), products.Close(), judgments.Close(), popularity.Close()); err != nil {
		return err
	}
	// What was meant to be written, not what a disk made of it.
	w.sums = checksum.Files{productsFile: products.sum.Sum(), judgmentsFile: judgments.sum.Sum(), popularityFile: popularity.sum.Sum()}
	if w.dir == "" {
		return nil
	}
	return w.writeManifest()
}

func (w *writer) writeProducts(ctx context.Context, content *contentHash, popularity *csv.Writer) error {
	popularity.Write([]string{"product_id", "popularity"})
	row := 0
	for p, err := range w.src.Products {
		row++
		w.rows++
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == nil {
			if f := w.check.product(&p); f != nil {
				err = f
			} else {
				err = content.product(&p)
				if _, isFault := err.(*faults.Fault); err != nil && !isFault {
					return err // the disk is full, say
				}
			}
			err = locate(err, w.where("product", row))
		}
		if err != nil {
			if err := w.fault(err); err != nil {
				return err
			}
			continue
		}
		if p.Popularity > 0 {
			popularity.Write([]string{p.ID, strconv.FormatFloat(p.Popularity, 'g', -1, 64)})
		}
		w.report.Products++
		if w.report.Products%64 == 0 {
			w.o.Progress(w.report.Products)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case w.report.Products > 0:
	case w.report.Faults.Count == 0:
		return errors.New("the source has no product")
	case w.o.SkipFaults && w.dir != "":
		return errors.New("the source has no product without fault")
	}
	w.o.Progress(w.report.Products)
	popularity.Flush()
	return popularity.Error()
}

func (w *writer) writeJudgments(ctx context.Context, content *contentHash) error {
	if w.src.Judgments == nil {
		return nil
	}
	row := 0
	for j, err := range w.src.Judgments {
		row++
		w.rows++
		if err := ctx.Err(); err != nil {
			return err
		}
		var v verdict
		if err == nil {
			for _, field := range []*string{&j.Query, &j.QueryID, &j.Split, &j.Judge} {
				*field = judgments.Normalize(*field)
			}
			var f *faults.Fault
			if v, f = w.check.judgment(&j, w.file()); f != nil {
				err = locate(f, w.where("judgement", row))
			}
		}
		if err != nil {
			if err := w.fault(err); err != nil {
				return err
			}
			continue
		}
		switch v {
		case unknownProduct:
			w.report.UnknownProducts++
		case duplicate:
			w.report.Duplicates++
		case unlabelled:
			w.report.Unlabelled++
		case contradicting:
			w.report.Contradictions++
		default:
			w.report.Judgments++
			if err := content.judgment(&j); err != nil {
				return err
			}
		}
	}
	if n := w.report.UnknownProducts; n > 0 && w.report.Judgments == 0 && w.report.Faults.Count == 0 {
		return fmt.Errorf("none of the %d judgements is of a product of the catalogue: they name products such as %q, and it has such as %q (if another column has these ids, name it with --field id=COLUMN, or --field product=COLUMN for the judgements)",
			n, w.check.unknown, w.check.known)
	}
	w.report.Contradictions += w.check.overruled
	w.report.Queries, w.report.SameText = len(w.check.queries), w.check.sameText
	w.report.Splits = map[string]int{}
	for _, q := range w.check.queries {
		w.report.Splits[q.split]++
	}
	return ctx.Err()
}

// file is the number of the file at hand, among those of judgements.
func (w *writer) file() uint16 {
	name := ""
	if w.src.Where != nil {
		name, _ = w.src.Where()
	}
	n, ok := w.files[name]
	if !ok {
		if w.files == nil {
			w.files = map[string]uint16{}
		}
		n = uint16(min(len(w.files), math.MaxUint16))
		w.files[name] = n
	}
	return n
}

// where tells the place of a row, by its number if the source does not say.
func (w *writer) where(what string, row int) func() (string, int) {
	if w.src.Where != nil {
		return w.src.Where
	}
	return func() (string, int) { return what, row }
}

// locate tells a fault its place.
func locate(err error, where func() (string, int)) error {
	if f, ok := err.(*faults.Fault); ok {
		f.File, f.Line = where()
	}
	return err
}

// fault counts err and returns nil if reading may go on: it does so too where
// faults are not skipped, to tell how many there are.
func (w *writer) fault(err error) error {
	var f *faults.Fault
	if !errors.As(err, &f) {
		w.bySource = true
		return err
	}
	w.report.Faults.Add(f)
	return nil
}

// file is a buffered file that may be closed twice.
type file struct {
	*bufio.Writer
	sum *checksum.Writer
	f   io.Closer
}

// create opens a file of the catalogue for writing, or one that keeps nothing if the
// catalogue is built nowhere.
func (w *writer) create(name string) (*file, error) {
	if w.dir == "" {
		sum := checksum.NewWriter(io.Discard)
		return &file{bufio.NewWriter(sum), sum, io.NopCloser(nil)}, nil
	}
	f, err := os.Create(filepath.Join(w.dir, name))
	if err != nil {
		return nil, err
	}
	sum := checksum.NewWriter(f)
	return &file{bufio.NewWriterSize(sum, 1<<16), sum, f}, nil
}

// Close writes out what is buffered and closes the file.
func (f *file) Close() error {
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.Flush(), f.f.Close())
	f.f = nil
	return err
}

func (w *writer) writeManifest() error {
	m := manifest{
		Format: format, Name: w.o.Name, Rows: w.report.Products, Judgments: w.report.Judgments,
		Queries: w.report.Queries, Hash: w.report.Hash, Files: w.sums,
		Imported: imported{At: time.Now().UTC().Truncate(time.Second), From: w.o.From, Faults: w.report.Faults},
	}
	return checksum.WriteJSON(filepath.Join(w.dir, manifestFile), m)
}
