package bm25

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trirank/trirank/internal/checksum"
)

// files returns the paths of all files of an index, relative to dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err := filepath.Rel(dir, path)
			names = append(names, name)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 5 {
		t.Fatalf("files %v, want five", names)
	}
	return names
}

func TestOpenMissing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "nosuch"), file, ""} {
		_, err := Open(path)
		checkError(t, err, nil, "cannot open BM25 index "+path)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("opening made %v, %v", entries, err)
	}
}

// TestOpenDamaged changes every file in several ways. Open must notice each.
func TestOpenDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(100)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, dir) {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, damage := range []struct {
			name string
			data []byte
		}{
			{"empty", nil},
			{"half", whole[:len(whole)/2]},
			{"one byte short", whole[:len(whole)-1]},
			{"zeros", make([]byte, len(whole))},
			{"doubled", slices.Repeat(whole, 2)},
			{"first byte", slices.Concat([]byte{whole[0] ^ 1}, whole[1:])},
			{"last byte", slices.Concat(whole[:len(whole)-1], []byte{whole[len(whole)-1] ^ 0x40})},
			{"removed", nil},
		} {
			t.Run(filepath.Base(name)+"/"+damage.name, func(t *testing.T) {
				if damage.name == "removed" {
					err = os.Remove(path)
				} else {
					err = os.WriteFile(path, damage.data, 0o666)
				}
				if err != nil {
					t.Fatal(err)
				}
				ix, err := Open(dir)
				if err == nil {
					ix.Close()
				}
				checkError(t, err, nil, "cannot open BM25 index "+dir, filepath.Base(name))
			})
		}
		if err := os.WriteFile(path, whole, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	openIndex(t, dir)
}

// TestOpenHeader gives Open headers that are well formed but wrong.
func TestOpenHeader(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(100)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, HeaderFile)
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(h *header)
		want   string
	}{
		{"format", func(h *header) { h.Format = 1 }, "its format is 1, this program reads 3"},
		{"no rows", func(h *header) { h.Rows = 0 }, "makes no sense"},
		{"more rows", func(h *header) { h.Rows++ }, "101 rows do not go with"},
		{"absurdly many rows", func(h *header) { h.Rows = 1 << 60 }, "makes no sense"},
		{"fewer fields", func(h *header) { h.Options.Fields = h.Options.Fields[1:] }, "makes no sense"},
		{"options", func(h *header) { h.Options.Analyzer = "x" }, `analyzer "x" is unknown`},
		{"totals", func(h *header) { h.Totals[1]++ }, "does not add up"},
		{"no files", func(h *header) { h.Files = nil }, "do not go with 0 bytes"},
		{"file outside", func(h *header) { h.Files["../../etc/passwd"] = fileSum{} }, "passwd is missing"},
		{"file missing", func(h *header) { h.Files["other"] = fileSum{} }, "other is missing"},
		{"file not listed", func(h *header) { delete(h.Files, "bleve/index_meta.json") }, "index_meta.json is there, and bm25.json does not list it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h header
			if err := checksum.UnmarshalJSON(right, &h); err != nil {
				t.Fatal(err)
			}
			test.change(&h)
			data, err := checksum.MarshalJSON(h)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err = Open(dir)
			checkError(t, err, nil, "cannot open BM25 index "+dir, test.want)
		})
	}
}

// TestOpenLengths gives Open wrong rows under a right checksum.
func TestOpenLengths(t *testing.T) {
	for _, test := range []struct {
		name string
		rows []uint32
		want string
	}{
		{"repeated", []uint32{0, 1, 1}, "row 1 is beyond the last or there twice"},
		{"beyond", []uint32{0, 1, 3}, "row 3 is beyond"},
	} {
		dir := t.TempDir()
		products := makeProducts(3)
		if err := Build(context.Background(), dir, iterate(products), Options{Fields: []Field{{Title, 1}}}, nil); err != nil {
			t.Fatal(err)
		}
		h, err := readHeader(dir)
		if err != nil {
			t.Fatal(err)
		}
		h.Totals = []uint64{30}
		if err := writeLengths(dir, test.rows, [][]uint32{{10, 10, 10, 10}}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, HeaderFile)); err != nil {
			t.Fatal(err)
		}
		if err := writeHeader(dir, h); err != nil {
			t.Fatal(err)
		}
		_, err = Open(dir)
		checkError(t, err, nil, test.want)
	}
}

// TestOpenDamagedSegment puts a segment under a right checksum that bleve
// panics about, to see that it becomes an error.
func TestOpenDamagedSegment(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(100)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, dir) {
		if strings.HasSuffix(name, ".zap") {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copy(data[len(data)-40:len(data)-8], bytes.Repeat([]byte{0xff}, 32))
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, HeaderFile)); err != nil {
		t.Fatal(err)
	}
	if err := writeHeader(dir, h); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir)
	checkError(t, err, nil, "cannot open BM25 index "+dir)
}

// TestCutShort cuts the segment short while it is being served.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(2000)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	ix := openIndex(t, dir)
	for _, name := range files(t, dir) {
		if strings.HasSuffix(name, ".zap") {
			if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := ix.Search(context.Background(), "kitchen towels", nil, 10)
	checkError(t, err, nil, "the index is damaged")
}

// TestOpenTwice serves a directory, whose files nobody may write, twice.
func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(100)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	before := map[string]fileSum{}
	for _, name := range files(t, dir) {
		path := filepath.Join(dir, name)
		if err := os.Chmod(path, 0o444); err != nil {
			t.Fatal(err)
		}
		sum, err := sumFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = sum
	}
	first, second := openIndex(t, dir), openIndex(t, dir)
	for _, ix := range []*Index{first, second} {
		if hits, err := ix.Search(context.Background(), "towels", nil, 3); err != nil || len(hits) != 3 {
			t.Errorf("%v, %v", hits, err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Search(context.Background(), "towels", nil, 3); err != nil {
		t.Error(err)
	}
	for _, name := range files(t, dir) {
		if sum, err := sumFile(filepath.Join(dir, name)); err != nil || sum != before[name] {
			t.Errorf("serving changed %s: %v", name, err)
		}
	}
}

func TestClose(t *testing.T) {
	ix := buildIndex(t, makeProducts(10), Options{})
	for range 3 {
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	_, err := ix.Search(ctx, "towel", nil, 1)
	checkError(t, err, os.ErrClosed, "cannot search BM25 index")
	_, err = ix.SearchBleve(ctx, BleveBM25, "towel", nil, 1)
	checkError(t, err, os.ErrClosed)
	_, err = ix.Explain(ctx, "towel", 0)
	checkError(t, err, os.ErrClosed)
	checkError(t, ix.Scores(ctx, "towel", nil, nil), os.ErrClosed)
}

// TestConcurrent searches from many goroutines, and closes amid them.
func TestConcurrent(t *testing.T) {
	ix := buildIndex(t, makeProducts(1000), Options{})
	want := map[string][]Hit{}
	for _, q := range queries {
		hits, err := ix.Search(context.Background(), q, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		want[q] = hits
	}
	var wg sync.WaitGroup
	halfway := make(chan struct{}, 8)
	for range cap(halfway) {
		wg.Go(func() {
			for i := range 400 {
				if i == 100 {
					halfway <- struct{}{}
				}
				q := queries[i%len(queries)]
				hits, err := ix.Search(context.Background(), q, nil, 10)
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil || !slices.Equal(hits, want[q]) {
					t.Errorf("query %q: %v, %v", q, hits, err)
					return
				}
				if _, err := ix.SearchBleve(context.Background(), BleveBM25, q, nil, 10); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range cap(halfway) {
		<-halfway
	}
	if err := ix.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
