package bm25

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/mapping"
	index "github.com/blevesearch/bleve_index_api"
	"golang.org/x/sync/errgroup"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/processors"
)

// Build writes an index of products into dir, which must be new or empty. The
// row of a product is its place in the iterator, from 0. Build runs the
// iterator in a goroutine of its own, which ends before Build returns; so does
// the one that tells progress, if that is not nil, after every batch how many
// rows are indexed.
//
// When Build fails or ctx ends, dir is left as it was found. ctx is not looked
// at while bleve merges its segments into one at the end, which takes about a
// tenth of the time.
func Build(ctx context.Context, dir string, products iter.Seq2[catalog.Product, error], opts Options, progress func(rows int)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot build BM25 index %s: %w", dir, err)
		}
	}()
	if err := opts.Validate(); err != nil {
		return err
	}
	opts = opts.WithDefaults()
	undo, err := claimDir(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
		}
	}()

	// A builder that is given up needs no closing, which would merge all that
	// it has: its files lie in dir and go with it.
	builder, err := bleve.NewBuilder(filepath.Join(dir, bleveDir), newMapping(opts.Analyzer), map[string]any{
		"batchSize": opts.BatchSize,
		"mergeMax":  mergeMax,
		// Beside its destination, since the result is moved there by a
		// rename, which cannot cross file systems.
		"buildPathPrefix": dir,
	})
	if err != nil {
		return err
	}
	lengths, err := indexAll(ctx, builder, products, opts, progress)
	if err != nil {
		return err
	}
	if err := builder.Close(); err != nil {
		return fmt.Errorf("merging: %w", err)
	}
	return seal(ctx, dir, opts, lengths)
}

// mergeMax is how many segments are merged in one step: more than bleve's own
// 10, so that a million products are written three times and not five.
const mergeMax = 32

// claimDir makes dir, if need be, and returns what makes that undone together
// with all that was put into it since.
func claimDir(dir string) (undo func() error, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return os.RemoveAll(dir) }, os.MkdirAll(dir, 0o777)
	case err != nil:
		return nil, err
	case len(entries) > 0:
		return nil, fmt.Errorf("the directory holds %s, but must be new or empty", entries[0].Name())
	}
	return func() error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		return err
	}, nil
}

// batch is what the analysis hands to the indexing.
type batch struct {
	first  int // row
	texts  [][][]byte
	fields [][]*document.TextField
}

// indexAll analyzes and indexes all products and returns the lengths of each
// field by row. It analyzes a batch on all cores while bleve, which uses one,
// indexes the one before.
func indexAll(ctx context.Context, builder bleve.Builder, products iter.Seq2[catalog.Product, error], opts Options, progress func(rows int)) ([][]uint32, error) {
	analyzer := analyzerNamed(opts.Analyzer)
	lengths := make([][]uint32, len(opts.Fields))

	g, gctx := errgroup.WithContext(ctx)
	batches := make(chan batch)
	g.Go(func() error {
		for b := range batches {
			for i, fields := range b.fields {
				if err := builder.Index(rowID(b.first+i), fields); err != nil {
					return err
				}
			}
			if progress != nil {
				progress(b.first + len(b.fields))
			}
		}
		return nil
	})
	g.Go(func() error {
		defer close(batches)
		b := batch{}
		flush := func() error {
			b.analyze(analyzer, opts.Fields)
			for _, doc := range b.fields {
				for f := range lengths {
					lengths[f] = append(lengths[f], uint32(doc[f].AnalyzedLength()))
				}
			}
			select {
			case batches <- b:
			case <-gctx.Done():
				return gctx.Err()
			}
			b = batch{first: b.first + len(b.texts)}
			return nil
		}
		for p, err := range products {
			row := b.first + len(b.texts)
			if err != nil {
				return fmt.Errorf("reading product %d: %w", row, err)
			}
			if err := gctx.Err(); err != nil {
				return err
			}
			if row >= maxRows {
				return fmt.Errorf("more than %d products", maxRows)
			}
			texts := make([][]byte, len(opts.Fields))
			for f, field := range opts.Fields {
				texts[f] = fieldText(&p, field.Name)
			}
			b.texts = append(b.texts, texts)
			if len(b.texts) == opts.BatchSize {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if b.first+len(b.texts) == 0 {
			return errors.New("there are no products")
		}
		if len(b.texts) == 0 {
			return nil
		}
		return flush()
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return lengths, ctx.Err()
}

// maxRows is set by bleve, whose postings number documents in 31 bits.
const maxRows = math.MaxInt32

// analyze fills in fields from texts, and lets go of texts.
func (b *batch) analyze(analyzer analysis.Analyzer, fields []Field) {
	b.fields = make([][]*document.TextField, len(b.texts))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(processors.Count(), len(b.texts)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(b.texts) {
					return
				}
				doc := make([]*document.TextField, len(fields))
				for f, field := range fields {
					// Neither stored nor with positions: the catalogue has
					// the text, and BM25 counts only.
					doc[f] = document.NewTextFieldCustom(field.Name, nil, b.texts[i][f], index.IndexField, analyzer)
					doc[f].Analyze()
				}
				b.fields[i] = doc
			}
		})
	}
	wg.Wait()
}

// newMapping returns a mapping for documents that are analyzed already.
func newMapping(analyzer string) mapping.IndexMapping {
	m := bleve.NewIndexMapping()
	m.DefaultAnalyzer = analyzer
	m.DefaultMapping.Dynamic = false
	return analyzedMapping{m}
}

// analyzedMapping takes the fields of a document as they are, where bleve's
// own mapping would make new ones and have the builder analyze them, one
// document after the other.
type analyzedMapping struct{ *mapping.IndexMappingImpl }

// MapDocument implements mapping.IndexMapping.
func (analyzedMapping) MapDocument(doc *document.Document, data any) error {
	for _, f := range data.([]*document.TextField) {
		doc.AddField(analyzedField{f})
	}
	return nil
}

// analyzedField is a field that bleve need not analyze again.
type analyzedField struct{ *document.TextField }

// Analyze implements document.Field.
func (analyzedField) Analyze() {}

// rowID is the name of a row inside bleve, which sorts as the row does.
func rowID(row int) string { return fmt.Sprintf("%08x", row) }

// seal turns the finished files of bleve in dir into an index.
func seal(ctx context.Context, dir string, opts Options, lengths [][]uint32) error {
	h := header{Format: formatNumber, Rows: len(lengths[0]), Options: opts}
	for f := range lengths {
		var total uint64
		for _, l := range lengths[f] {
			total += uint64(l)
		}
		h.Totals = append(h.Totals, total)
	}
	rows, err := h.askBleve(ctx, dir)
	if err != nil {
		return err
	}
	if err := writeLengths(dir, rows, lengths); err != nil {
		return err
	}
	return writeHeader(dir, h)
}

// askBleve fills in what bleve counted, and returns the row of each of its
// documents. Their order differs between builds, since bleve's batches are maps.
func (h *header) askBleve(ctx context.Context, dir string) (rows []uint32, err error) {
	idx, snapshot, err := openBleve(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close(), idx.Close()) }()
	if err := wantDocuments(snapshot, h.Rows); err != nil {
		return nil, err
	}
	for _, f := range h.Options.Fields {
		n, err := snapshot.FieldCardinality(f.Name)
		if err != nil {
			return nil, err
		}
		h.Distinct = append(h.Distinct, n)
	}
	rows = make([]uint32, h.Rows)
	var id index.IndexInternalID
	for doc := range rows {
		if doc%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		id = index.NewIndexInternalID(id, uint64(doc))
		name, err := snapshot.ExternalID(id)
		if err != nil {
			return nil, err
		}
		row, err := strconv.ParseUint(name, 16, 32)
		if err != nil {
			return nil, err
		}
		rows[doc] = uint32(row)
	}
	return rows, nil
}

func wantDocuments(snapshot *scorch.IndexSnapshot, n int) error {
	got, err := snapshot.DocCount()
	if err == nil && got != uint64(n) {
		err = fmt.Errorf("bleve has %d documents, but %d were indexed", got, n)
	}
	return err
}
