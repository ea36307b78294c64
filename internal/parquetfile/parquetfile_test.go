package parquetfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type row struct {
	ID    int64    `parquet:"id"`
	Name  *string  `parquet:"name,optional"`
	Tags  []string `parquet:"tags,list"`
	Price float64  `parquet:"price"`
	Size  struct {
		Width, Height int32
	} `parquet:"size"`
}

func write(t *testing.T) string {
	t.Helper()
	s := "mug"
	path := filepath.Join(t.TempDir(), "f.parquet")
	err := parquet.WriteFile(path, []row{{ID: 1, Name: &s, Tags: []string{"a", "b"}, Price: 1.5}, {ID: 2, Tags: []string{"c"}}, {ID: 3}})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRows(t *testing.T) {
	f, err := Open(write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !f.Has("id", "tags") || f.Has("size") || f.Has("id", "none") || !reflect.DeepEqual(f.Columns(), []string{"id", "name", "tags", "price", "size"}) {
		t.Errorf("the columns are %q", f.Columns())
	}
	var got []string
	goOn, err := f.Rows([]string{"tags", "name", "id", "price"}, func(row int, cells []Cell) bool {
		got = append(got, fmt.Sprintf("%d: %s=%s%q %s %s %s", row, cells[0].Name, cells[0].Text, cells[0].List, cells[1].Text, cells[2].Text, cells[3].Text))
		return true
	})
	want := []string{`1: tags=a["a" "b"] mug 1 1.5`, `2: tags=c[]  2 0`, `3: tags=[]  3 0`}
	if !goOn || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, error %v", got, err)
	}
	rows := 0
	if goOn, err := f.Rows([]string{"id"}, func(int, []Cell) bool { rows++; return rows < 2 }); goOn || err != nil || rows != 2 {
		t.Errorf("%d rows were read, error %v", rows, err)
	}
}

// TestDamaged changes one byte at a time: errors may follow, but no panic.
func TestDamaged(t *testing.T) {
	path := write(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x41
		os.WriteFile(path, b, 0o644)
		if f, err := Open(path); err == nil {
			if f.Has("id", "tags") {
				f.Rows([]string{"id", "tags"}, func(int, []Cell) bool { return true })
			}
			f.Close()
		}
	}
	os.WriteFile(path, whole[:len(whole)/2], 0o644)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
