package bm25

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
)

func TestBuildProgress(t *testing.T) {
	var got []int
	dir := filepath.Join(t.TempDir(), "new", "index")
	err := Build(context.Background(), dir, iterate(makeProducts(250)), Options{BatchSize: 100}, func(rows int) { got = append(got, rows) })
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{100, 200, 250}; !slices.Equal(got, want) {
		t.Errorf("progress %v, want %v", got, want)
	}
	ix := openIndex(t, dir)
	if ix.Rows() != 250 {
		t.Errorf("%d rows", ix.Rows())
	}
	if n := len(ix.snapshot.Segments()); n != 1 {
		t.Errorf("%d segments, want one", n)
	}
}

// TestBuildKeepsOptions checks that Open needs none.
func TestBuildKeepsOptions(t *testing.T) {
	o := Options{Fields: allFields(), Analyzer: "simple", K1: None, B: 0.3, MaxTerms: 7, BatchSize: 10}
	got := buildIndex(t, makeProducts(30), o).Options()
	if !slices.Equal(got.Fields, o.Fields) || got.Analyzer != "simple" || got.K1 != None || got.B != 0.3 || got.MaxTerms != 7 || got.BatchSize != 0 {
		t.Errorf("options %+v, want %+v", got, o)
	}
}

// TestBuildBatches checks that a ranking does not depend on how products were
// cut into batches, nor on the order that bleve gave them.
func TestBuildBatches(t *testing.T) {
	products := makeProducts(300)
	want := buildIndex(t, products, Options{})
	for _, size := range []int{1, 7, 299, 300, 1000} {
		got := buildIndex(t, products, Options{BatchSize: size})
		for _, q := range queries {
			a, err := want.Search(context.Background(), q, nil, 20)
			if err != nil {
				t.Fatal(err)
			}
			b, err := got.Search(context.Background(), q, nil, 20)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a, b) {
				t.Errorf("batch size %d, query %q: %v, want %v", size, q, b, a)
			}
		}
	}
}

func TestBuildPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	if err := Build(context.Background(), dir, iterate(makeProducts(3)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	header, err := os.Stat(filepath.Join(dir, HeaderFile))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if got := info.Mode().Perm() &^ 0o111; got != header.Mode().Perm() {
			t.Errorf("%s has permissions %v, but %s has %v", path, info.Mode(), HeaderFile, header.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBuildFails checks that a failure says what failed and leaves nothing.
func TestBuildFails(t *testing.T) {
	broken := errors.New("broken disk")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name     string
		ctx      context.Context
		o        Options
		products func(yield func(catalog.Product, error) bool)
		is       error
		want     string
	}{
		{"options", nil, Options{Analyzer: "x"}, iterate(makeProducts(1)), nil, `analyzer "x" is unknown`},
		{"no products", nil, Options{}, iterate(nil), nil, "there are no products"},
		{"cancelled", cancelled, Options{}, iterate(makeProducts(1)), context.Canceled, "context canceled"},
		{"iterator", nil, Options{BatchSize: 10}, func(yield func(catalog.Product, error) bool) {
			for _, p := range makeProducts(35) {
				if !yield(p, nil) {
					return
				}
			}
			yield(catalog.Product{}, broken)
		}, broken, "reading product 35: broken disk"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			dir := filepath.Join(t.TempDir(), "index")
			err := Build(ctx, dir, test.products, test.o, nil)
			checkError(t, err, test.is, "cannot build BM25 index "+dir, test.want)
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the directory is there still: %v", err)
			}
			// A directory that was there before stays.
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := Build(ctx, dir, test.products, test.o, nil); err == nil {
				t.Error("no error")
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func checkError(t *testing.T, err, is error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("%q is not %q", err, is)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// TestBuildInterrupted ends the context in every stage that looks at it: what
// is left must be no index at all, and not stand in the way of the next build.
func TestBuildInterrupted(t *testing.T) {
	products := makeProducts(200)
	for _, at := range []int{1, 50, 200} {
		dir := filepath.Join(t.TempDir(), "index")
		ctx, cancel := context.WithCancel(context.Background())
		err := Build(ctx, dir, iterate(products), Options{BatchSize: 50}, func(rows int) {
			if rows >= at {
				cancel()
			}
		})
		checkError(t, err, context.Canceled)
		if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open after an interrupted build: %v", err)
		}
		if err := Build(context.Background(), dir, iterate(products), Options{BatchSize: 50}, nil); err != nil {
			t.Fatal(err)
		}
		openIndex(t, dir)
	}
}

// TestBuildKilled checks what a process that is killed leaves behind.
func TestBuildKilled(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(20)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, HeaderFile), filepath.Join(dir, HeaderFile+".tmp")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	checkError(t, err, fs.ErrNotExist, "no complete index is there")
	err = Build(context.Background(), dir, iterate(makeProducts(20)), Options{}, nil)
	checkError(t, err, nil, "must be new or empty")
	if _, err := os.Stat(filepath.Join(dir, lengthsFile)); err != nil {
		t.Errorf("refusing to build removed what was there: %v", err)
	}
}
