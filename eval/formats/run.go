// Package formats reads and writes the rankings of systems as run files of TREC.
// Files may be compressed by gzip or zstd; broken or hostile ones give errors, never
// panics.
package formats

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
	"github.com/trirank/trirank/internal/trec"
	"github.com/trirank/trirank/judgments"
)

const maxLine = 1 << 20 // bytes

// DuplicateHit is the fault of a run that lists a product twice for a query.
const DuplicateHit faults.Kind = "duplicate hit"

// ReadRun reads what a system returned from a run file of TREC: lines of query
// id, "Q0", product id, rank, score and tag, parted by white space. The order is
// by score, and by product id where scores are equal; rank and tag count for
// nothing. The first line that cannot be used is an error, a *faults.Fault, or,
// with skip, such lines are left out and counted.
func ReadRun(path, system string, skip bool) (*eval.Run, faults.List, error) {
	f, err := textfile.OpenOnce(path)
	if err != nil {
		return nil, faults.List{}, fmt.Errorf("cannot read the run: %w", err)
	}
	defer f.Close()
	return readRun(f, path, system, skip)
}

func readRun(f *textfile.File, path, system string, skip bool) (*eval.Run, faults.List, error) {
	if err := textfile.Legible(f.Peek()); err != nil {
		return nil, faults.List{}, fmt.Errorf("cannot read the run: %s: %w", path, err)
	}
	r := runReader{file: path, lines: textfile.NewLines(f, maxLine), byID: map[string]*answer{}, products: map[string]int{}}
	if err := r.read(skip); err != nil {
		return nil, r.faults, err
	}
	if len(r.byID) == 0 {
		return nil, r.faults, fmt.Errorf("cannot read the run: %s has no line that can be used", path)
	}
	run := &eval.Run{System: system, Hits: make(map[string][]eval.Hit, len(r.byID))}
	for id, a := range r.byID {
		run.Hits[id] = a.hits
	}
	return run, r.faults, run.Sort()
}

// runReader gathers the hits of a run. It is made for files of millions of lines,
// in which the lines of a query most often come in one piece.
type runReader struct {
	file   string
	lines  *textfile.Lines
	faults faults.List

	byID map[string]*answer
	last *answer // of the last line

	// Products are numbered in order of appearance, so that each id is kept once.
	products map[string]int
	names    []string
	of       []*answer // whose first piece has the product, the last such
}

// answer is what was returned for a query.
type answer struct {
	id   string
	hits []eval.Hit
	// listed has the products of hits once lines of other queries came between;
	// until then runReader.of tells.
	listed map[string]bool
}

func (r *runReader) read(skip bool) error {
	for {
		line, err := r.lines.Next()
		if err == io.EOF {
			return nil
		}
		switch {
		case errors.Is(err, textfile.ErrTooLong):
			err = r.fault(faults.TooLong, "%v", err)
		case err != nil:
			return fmt.Errorf("cannot read the run: %s: line %d: %w", r.file, r.lines.Number()+1, err)
		default:
			err = r.add(line)
		}
		if fault := (*faults.Fault)(nil); errors.As(err, &fault) && skip {
			r.faults.Add(fault)
		} else if err != nil {
			return err
		}
	}
}

func (r *runReader) add(line []byte) error {
	var words [7][]byte
	n := trec.Split(line, words[:])
	if n == 0 {
		return nil
	}
	if n != 6 {
		return r.fault(faults.Malformed, "%s fields, but a line of a run has 6: query, Q0, product, rank, score, tag", trec.Count(n, 6))
	}
	score, err := strconv.ParseFloat(string(words[4]), 64)
	if err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
		return r.fault(faults.BadNumber, "score %.40q is no finite number", words[4])
	}
	product, err := r.product(words[2])
	if err != nil {
		return err
	}
	a, err := r.answer(words[0])
	if err != nil {
		return err
	}
	name := r.names[product]
	if a.listed == nil && r.of[product] == a || a.listed[name] {
		return r.fault(DuplicateHit, "query %.80q lists product %.80q twice", a.id, name)
	}
	if a.listed == nil {
		r.of[product] = a
	} else {
		a.listed[name] = true
	}
	a.hits = append(a.hits, eval.Hit{Product: name, Score: score})
	return nil
}

// product returns the number of a product.
func (r *runReader) product(b []byte) (int, error) {
	n, ok := r.products[string(b)]
	if !ok {
		id, err := r.id("product", b)
		if err != nil {
			return 0, err
		}
		n = len(r.names)
		r.products[id], r.names, r.of = n, append(r.names, id), append(r.of, nil)
	}
	return n, nil
}

// answer returns the hits of a query so far.
func (r *runReader) answer(b []byte) (*answer, error) {
	if r.last != nil && r.last.id == string(b) {
		return r.last, nil
	}
	a := r.byID[string(b)]
	switch {
	case a == nil:
		id, err := r.id("query", b)
		if err != nil {
			return nil, err
		}
		a = &answer{id: id}
		if r.last != nil {
			a.hits = make([]eval.Hit, 0, len(r.last.hits)) // most often as many
		}
		r.byID[id] = a
	case a.listed == nil:
		a.listed = make(map[string]bool, len(a.hits))
		for _, h := range a.hits {
			a.listed[h.Product] = true
		}
	}
	r.last = a
	return a, nil
}

// id returns an id that is new.
func (r *runReader) id(what string, b []byte) (string, error) {
	id := string(b)
	switch {
	case !utf8.ValidString(id):
		return "", r.fault(faults.NotUTF8, "%s id %.80q is not valid UTF-8 (convert the file)", what, id)
	case strings.TrimSpace(id) == "":
		return "", r.fault(faults.MissingField, "%s id %.80q is empty", what, id)
	case strings.ContainsFunc(id, unicode.IsControl):
		return "", r.fault(faults.BadID, "%s id %.80q has a control character", what, id)
	}
	return id, nil
}

func (r *runReader) fault(kind faults.Kind, format string, args ...any) error {
	return &faults.Fault{File: r.file, Line: r.lines.Number(), Kind: kind, Reason: fmt.Sprintf(format, args...)}
}

// WriteRun writes the hits of queries, in that order, as a run file of TREC: query
// id, "Q0", product id, rank, score and system. Scores are lowered, by as little
// as a 32-bit number allows, where they do not decrease, because evaluators order
// by score, in 32 bits some of them, and each has its own rule for equal ones.
func WriteRun(w io.Writer, run *eval.Run, queries []judgments.Query) error {
	out := bufio.NewWriter(w)
	// A tag is for people; no reader needs it as it was.
	tag := cmp.Or(strings.Join(strings.FieldsFunc(run.System, trec.Unwritable), "_"), "run")
	var line []byte
	for i := range queries {
		id := queries[i].ID
		hits := run.Hits[id]
		scores, err := decreasing(hits)
		if err == nil {
			err = trec.Writable("query", id)
		}
		for rank, h := range hits {
			if err == nil {
				err = trec.Writable("product", h.Product)
			}
			if err != nil {
				break
			}
			line = append(append(append(append(line[:0], id...), " Q0 "...), h.Product...), ' ')
			line = append(strconv.AppendInt(line, int64(rank)+1, 10), ' ')
			line = append(strconv.AppendFloat(line, float64(scores[rank]), 'g', -1, 32), ' ')
			_, err = out.Write(append(append(line, tag...), '\n'))
		}
		if err != nil {
			return fmt.Errorf("cannot write run %s: query %.80q: %w", run.System, id, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write run %s: %w", run.System, err)
	}
	return nil
}

// decreasing returns the scores of hits as 32-bit numbers, each less than the one
// before.
func decreasing(hits []eval.Hit) ([]float32, error) {
	scores := make([]float32, len(hits))
	before := order(math.MaxFloat32) + 1
	for i, h := range hits {
		if math.IsNaN(h.Score) {
			return nil, fmt.Errorf("the score of product %.80q is not a number", h.Product)
		}
		// The least number that leaves room for the scores that follow.
		least := order(-math.MaxFloat32) + int64(len(hits)-1-i)
		finite := min(max(h.Score, -math.MaxFloat32), math.MaxFloat32)
		before = max(least, min(order(float32(finite)), before-1))
		scores[i] = number(before)
	}
	return scores, nil
}

// order numbers the finite 32-bit numbers in ascending order, and 0 is 0.
func order(f float32) int64 {
	bits := int64(math.Float32bits(f))
	if bits < 1<<31 {
		return bits
	}
	return 1<<31 - bits
}

// number undoes order.
func number(order int64) float32 {
	if order < 0 {
		return math.Float32frombits(uint32(1<<31 - order))
	}
	return math.Float32frombits(uint32(order))
}
