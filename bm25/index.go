package bm25

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/index/scorch"
)

// Hit is a product that was found, by its row.
type Hit struct {
	Row   uint32
	Score float64
}

// Index is an open index. It may be used by many goroutines at once.
type Index struct {
	dir       string
	header    header
	table     *lengthTable
	analyzer  analysis.Analyzer
	bleve     bleve.Index
	snapshot  *scorch.IndexSnapshot
	cache     postingsCache
	windows   sync.Pool // of *window
	searchers sync.Pool // of *searcher

	// mu is held for reading by every search: closing unmaps the files, and
	// reading them later would kill the process.
	mu     sync.RWMutex
	closed bool
}

// Open opens the index in dir for reading, after comparing the checksums of its
// files. Nothing is written to dir, which may lie on a read-only file system
// and be open in other processes.
func Open(dir string) (ix *Index, err error) {
	defer func() {
		if err != nil {
			ix, err = nil, fmt.Errorf("cannot open BM25 index %s: %w", dir, err)
		}
	}()
	h, err := readHeader(dir)
	if err != nil {
		return nil, err
	}
	ix = &Index{
		dir:      dir,
		header:   h,
		analyzer: analyzerNamed(h.Options.Analyzer),
		cache:    postingsCache{limit: postingsCacheSize},
	}
	if ix.table, err = readLengths(dir, h); err != nil {
		return nil, err
	}
	if ix.bleve, ix.snapshot, err = openBleve(dir); err != nil {
		return nil, err
	}
	if err := wantDocuments(ix.snapshot, h.Rows); err != nil {
		return nil, errors.Join(err, ix.Close())
	}
	return ix, nil
}

// lockTimeout is how long Open waits for a process that writes to bleve's
// directory. None should: an index is built elsewhere and never changed.
const lockTimeout = "1s"

// checkEvery is after how many postings, or documents, a context is looked at.
const checkEvery = 1 << 12

// openBleve opens bleve's part of an index and a view of it, which holds for
// as long as the index is open since that never changes.
func openBleve(dir string) (idx bleve.Index, snapshot *scorch.IndexSnapshot, err error) {
	defer catchDamage(&err)()
	idx, err = bleve.OpenUsing(filepath.Join(dir, bleveDir), map[string]any{
		"read_only":    true,
		"bolt_timeout": lockTimeout,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("bleve: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, idx.Close())
		}
	}()
	advanced, err := idx.Advanced()
	if err != nil {
		return nil, nil, err
	}
	reader, err := advanced.Reader()
	if err != nil {
		return nil, nil, err
	}
	snapshot, ok := reader.(*scorch.IndexSnapshot)
	if !ok {
		return nil, nil, fmt.Errorf("bleve: its reader is a %T", reader)
	}
	return idx, snapshot, nil
}

// catchDamage has panics turned into errors until the function that it returns
// is run, and so faults of memory that is mapped from a file, such as a file
// that somebody cuts short while it is being served.
func catchDamage(err *error) (done func()) {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("the index is damaged, or bleve at fault: %v", p)
		}
	}
}

// Rows returns how many products the index holds.
func (ix *Index) Rows() int { return ix.header.Rows }

// Options returns how the index was built, without its BatchSize.
func (ix *Index) Options() Options {
	o := ix.header.Options.WithDefaults()
	o.BatchSize = 0
	return o
}

// Close waits for running searches and closes the index. Closing again does
// nothing.
func (ix *Index) Close() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.closed {
		return nil
	}
	ix.closed = true
	if err := errors.Join(ix.snapshot.Close(), ix.bleve.Close()); err != nil {
		return fmt.Errorf("cannot close BM25 index %s: %w", ix.dir, err)
	}
	return nil
}

// use runs fn with the index kept open, and says in its errors what failed.
func (ix *Index) use(what string, fn func() error) (err error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot %s BM25 index %s: %w", what, ix.dir, err)
		}
	}()
	if ix.closed {
		return os.ErrClosed
	}
	defer catchDamage(&err)()
	return fn()
}
