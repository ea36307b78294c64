package parquetfile

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// mostMemory is what the reading of a small file may make room for, all in all. Columns
// are read through buffers of 128 kB, and a zstd decoder has some of its own.
const mostMemory = 64 << 20

// readAll reads all that can be read in b, and returns how much memory that took.
func readAll(b []byte) (allocated uint64, rows int, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := newFile(bytes.NewReader(b), int64(len(b)))
	if err == nil {
		var names []string
		for _, name := range f.Columns() {
			if f.Has(name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			_, err = f.Rows(names, func(int, []Cell) bool { rows++; return rows < 1e6 })
		}
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, rows, err
}

func seeds(t testing.TB) (files [][]byte) {
	paths, err := filepath.Glob("testdata/*/*.parquet")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}

// TestMemoryIsBounded reads small files in which bytes were changed at random: few can
// be read, and none takes more memory than a file of its size may.
func TestMemoryIsBounded(t *testing.T) {
	draws := 400
	if testing.Short() {
		draws = 40
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i, whole := range seeds(t) {
		if _, _, err := readAll(whole); err != nil {
			t.Errorf("file %d: %v", i, err)
		}
		refused := 0
		for range draws {
			b := bytes.Clone(whole)
			for range 1 + r.IntN(4) {
				at := r.IntN(len(b))
				if r.IntN(2) == 0 { // headers of pages lie everywhere, the description at the end
					at = len(b) - 1 - r.IntN(min(len(b), 3000))
				}
				b[at] = [...]byte{0xff, 0x7f, 0x80, byte(r.IntN(256))}[r.IntN(4)]
			}
			took, _, err := readAll(b)
			if err != nil {
				refused++
			}
			if took > mostMemory {
				t.Fatalf("file %d: %d MB of memory for %d bytes (%v)", i, took>>20, len(b), err)
			}
		}
		if refused < draws/2 {
			t.Errorf("file %d: of %d damaged files %d were refused", i, draws, refused)
		}
	}
}

// FuzzRead reads anything: no panic, and no more memory than its size allows.
func FuzzRead(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		// A page of a few bytes may stand for many equal values, which are given one
		// by one: what counts is that nothing claims more.
		took, rows, err := readAll(b)
		if took > mostMemory+uint64(rows)*2048 {
			t.Errorf("%d MB of memory for %d bytes and %d rows (%v)", took>>20, len(b), rows, err)
		}
	})
}
