package bm25

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	index "github.com/blevesearch/bleve_index_api"
)

// Scores writes the Okapi BM25 score of rows[i] for the query to dst[i], zero
// where they share no term. dst and rows have the same length; rows may come in
// any order and more than once.
func (ix *Index) Scores(ctx context.Context, query string, rows []uint32, dst []float64) error {
	return ix.use("score rows of", func() error {
		if len(dst) != len(rows) {
			return fmt.Errorf("%d rows, but room for %d scores", len(rows), len(dst))
		}
		order := make([]int, len(rows)) // of rows, by document
		for i, row := range rows {
			if int(row) >= ix.header.Rows {
				return fmt.Errorf("row %d is beyond the last of %d", row, ix.header.Rows)
			}
			order[i] = i
		}
		docs := ix.table.docs
		slices.SortFunc(order, func(i, j int) int { return int(docs[rows[i]]) - int(docs[rows[j]]) })
		if len(rows) > mostAsked {
			return ix.sum(ctx, query, rows, order, dst)
		}
		s, err := ix.openSearcher(ctx, query, nil, 0)
		if err != nil {
			return err
		}
		s.ask(ix, rows, order, dst)
		ix.closeSearcher(s)
		return nil
	})
}

// mostAsked is for how many products lists are asked about each: a search for the same
// query has read them, as a rule. Of more, such as for a distribution of scores, all
// postings are walked, and not kept.
const mostAsked = 256

// sum scores rows by walking all postings around them; order are their indexes by
// document.
func (ix *Index) sum(ctx context.Context, query string, rows []uint32, order []int, dst []float64) error {
	docs := ix.table.docs
	w, err := ix.openWindow(ctx, query)
	if err != nil {
		return err
	}
	for len(order) > 0 {
		base := docs[rows[order[0]]]
		if err := w.seek(base); err != nil {
			return err
		}
		if err := w.fill(ctx, base); err != nil {
			return err
		}
		for len(order) > 0 {
			place := docs[rows[order[0]]] - base
			if place >= windowSize {
				break
			}
			dst[order[0]] = w.scores[place]
			order = order[1:]
		}
		w.clear()
	}
	return ix.closeWindow(w)
}

// cursor walks the documents that have one term in one field.
type cursor struct {
	reader index.TermFieldReader
	buf    index.TermFieldDoc
	doc    uint32 // noDocument after the last
	tf     float64

	formula
	lengths []uint32 // of the field, by document

	// For explanations.
	field int
	term  queryTerm
	df    uint64
	idf   float64
}

const noDocument = math.MaxUint32

// formula says what one term in one field adds to the score of a document:
// weight * tf / (tf + flat + slope*length).
type formula struct{ weight, flat, slope float64 }

// of returns what the formula gives for a document. Equal arguments give equal
// bits everywhere: the conversion keeps compilers from fusing the product with
// the sum in one place and not in another.
func (f *formula) of(tf float64, length uint32) float64 {
	return f.weight * tf / (tf + f.flat + float64(f.slope*float64(length)))
}

// formula returns the formula for a term that count words of a query are and
// df documents have in a field, and the idf in it.
func (ix *Index) formula(field, count int, df uint64) (f formula, idf float64) {
	o := &ix.header.Options
	n := float64(ix.header.Rows)
	k1, b := or0(o.K1), or0(o.B)
	average := float64(ix.header.Totals[field]) / n
	idf = math.Log(1 + (n-float64(df)+0.5)/(float64(df)+0.5))
	return formula{
		weight: o.Fields[field].Boost * float64(count) * idf * (k1 + 1),
		flat:   k1 * (1 - b),
		slope:  k1 * b / average,
	}, idf
}

// score returns what the term adds to the score of the document c is at.
func (c *cursor) score() float64 { return c.of(c.tf, c.lengths[c.doc]) }

// next goes to the next document.
func (c *cursor) next() error {
	d, err := c.reader.Next(&c.buf)
	return c.arrive(d, err)
}

// advance goes to the first document at or after doc.
func (c *cursor) advance(doc uint32) error {
	if c.doc >= doc { // bleve would start over
		return nil
	}
	d, err := c.reader.Advance(index.NewIndexInternalID(nil, uint64(doc)), &c.buf)
	return c.arrive(d, err)
}

func (c *cursor) arrive(d *index.TermFieldDoc, err error) error {
	if err != nil || d == nil {
		c.doc = noDocument
		return err
	}
	doc := d.ID.Value()
	if doc >= uint64(len(c.lengths)) {
		return fmt.Errorf("the index is damaged: document %d of %d", doc, len(c.lengths))
	}
	c.doc, c.tf = uint32(doc), float64(d.Freq)
	return nil
}

// openCursors returns a cursor for every field and term that meet in any
// document, at its first one. They are in order of field, then of term, which
// makes the sums the same however the index is cut into segments.
func (ix *Index) openCursors(ctx context.Context, query string, cursors []cursor) ([]cursor, error) {
	terms := ix.parse(query)
	for f, field := range ix.header.Options.Fields {
		if ix.header.Totals[f] == 0 {
			continue
		}
		for _, t := range terms {
			reader, err := ix.snapshot.TermFieldReader(ctx, t.text, field.Name, true, false, false)
			if err != nil {
				return cursors, err
			}
			df := reader.Count()
			if df == 0 {
				if err := reader.Close(); err != nil {
					return cursors, err
				}
				continue
			}
			formula, idf := ix.formula(f, t.count, df)
			cursors = append(cursors, cursor{
				reader:  reader,
				formula: formula,
				lengths: ix.table.lengths[f],
				field:   f, term: t, df: df, idf: idf,
			})
			if err := cursors[len(cursors)-1].next(); err != nil {
				return cursors, err
			}
		}
	}
	return cursors, nil
}

func closeCursors(cursors []cursor) error {
	var err error
	for i := range cursors {
		err = errors.Join(err, cursors[i].reader.Close())
		cursors[i] = cursor{}
	}
	return err
}

// windowSize is the number of documents whose scores are summed at a time:
// few enough for the sums to stay in a core's own cache, however large the
// index is.
const windowSize = 1 << 13

// window sums up the scores of consecutive documents, term by term.
type window struct {
	cursors []cursor
	base    uint32 // the first document
	scores  [windowSize]float64
	seen    [windowSize / 64]uint64 // the documents with a score
	work    int                     // postings since ctx was looked at
}

// openWindow returns an empty window with the cursors of a query. It must go
// back by closeWindow, except after an error: it may be in any state then.
func (ix *Index) openWindow(ctx context.Context, query string) (*window, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w, ok := ix.windows.Get().(*window)
	if !ok {
		w = new(window)
	}
	var err error
	w.cursors, err = ix.openCursors(ctx, query, w.cursors[:0])
	return w, err
}

func (ix *Index) closeWindow(w *window) error {
	err := closeCursors(w.cursors)
	ix.windows.Put(w)
	return err
}

// seek moves all cursors to doc or beyond.
func (w *window) seek(doc uint32) error {
	for i := range w.cursors {
		if err := w.cursors[i].advance(doc); err != nil {
			return err
		}
	}
	return nil
}

// fill scores the documents from base up to base+windowSize. The window must
// be empty, and no cursor before base.
func (w *window) fill(ctx context.Context, base uint32) error {
	w.base = base
	for i := range w.cursors {
		c := &w.cursors[i]
		// noDocument is far enough: a document number has 31 bits.
		for c.doc-base < windowSize {
			place := c.doc - base
			w.scores[place] += c.score()
			w.seen[place/64] |= 1 << (place % 64)
			if err := c.next(); err != nil {
				return err
			}
			if w.work++; w.work >= checkEvery {
				w.work = 0
				if err := ctx.Err(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// clear empties the window.
func (w *window) clear() {
	for i, word := range w.seen {
		for ; word != 0; word &= word - 1 {
			w.scores[i*64+bits.TrailingZeros64(word)] = 0
		}
		w.seen[i] = 0
	}
}
