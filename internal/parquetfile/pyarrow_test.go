package parquetfile

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/peers"
)

// TestPyarrow compares files that pyarrow wrote with what pyarrow reads in them:
// testdata/peers/write.py testdata/pyarrow small made them all.
func TestPyarrow(t *testing.T) {
	if n := comparePyarrow(t, "testdata/pyarrow"); n < 8 {
		t.Errorf("%d files were compared", n)
	}
}

// TestPeersPyarrow does so for every codec, encoding, kind of page and share of nulls
// that pyarrow can write.
func TestPeersPyarrow(t *testing.T) {
	python := peers.Python(t, "pyarrow, numpy")
	if python == "" {
		t.Skip("there is no Python with pyarrow (make test-peers has one)")
	}
	dir := t.TempDir()
	cmd := exec.Command(python, "testdata/peers/write.py", dir)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	n := comparePyarrow(t, dir)
	t.Logf("%d files read the same", n)
	if n < 200 {
		t.Errorf("%d files were compared", n)
	}
}

// comparePyarrow compares all files of a folder with their cells as JSON.
func comparePyarrow(t *testing.T, dir string) (files int) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(strings.TrimSuffix(path, ".parquet") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want map[string][]any
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		names := slices.Sorted(maps.Keys(want))
		for _, name := range []string{"date", "time", "struct", "nested"} {
			if f.Has(name) {
				t.Errorf("%s: column %s can be read", path, name)
			}
		}
		if !f.Has(names...) {
			t.Errorf("%s: of the columns %q some cannot be read", path, names)
		}
		rows := 0
		goOn, err := f.Rows(names, func(row int, cells []Cell) bool {
			rows++
			for i, c := range cells {
				got, wanted := c.List, texts(want[names[i]][row-1])
				if got == nil && c.Text != "" {
					got = []string{c.Text}
				}
				if len(wanted) == 1 && wanted[0] == "" {
					wanted = nil
				}
				if !reflect.DeepEqual(got, wanted) {
					t.Errorf("%s: row %d, column %s: %q, and pyarrow has %q", path, row, c.Name, got, wanted)
					return false
				}
			}
			return true
		})
		if !goOn || err != nil || rows != len(want[names[0]]) {
			t.Errorf("%s: %d rows of %d, error %v", path, rows, len(want[names[0]]), err)
		}
		f.Close()
		files++
	}
	return files
}

// texts returns the texts of a cell.
func texts(cell any) (out []string) {
	switch c := cell.(type) {
	case string:
		return []string{c}
	case []any:
		for _, x := range c {
			out = append(out, x.(string))
		}
	}
	return out
}
