package formats

import (
	"context"
	"errors"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
)

// folder writes files, by name, and returns where.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// open reads paths, which must be right.
func open(t testing.TB, o Options, paths ...string) *Input {
	t.Helper()
	in, err := Read(paths, o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// drain returns what seq yields: values, faults as text, and the error that
// ended it. Folders are cut from file names.
func drain[T any](seq iter.Seq2[T, error]) (values []T, bad []string, err error) {
	for v, e := range seq {
		var f *faults.Fault
		switch {
		case e == nil:
			values = append(values, v)
		case errors.As(e, &f):
			c := *f
			c.File = filepath.Base(c.File)
			bad = append(bad, c.Error())
		default:
			err = e
		}
	}
	return values, bad, err
}

// sound drains seq, which must have neither fault nor error.
func sound[T any](t testing.TB, seq iter.Seq2[T, error]) []T {
	t.Helper()
	values, bad, err := drain(seq)
	if bad != nil || err != nil {
		t.Fatalf("faults %q, error %v", bad, err)
	}
	return values
}

func writeParquet[T any](t testing.TB, path string, rows []T, o ...parquet.WriterOption) string {
	t.Helper()
	if err := parquet.WriteFile(path, rows, o...); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantFaults compares faults by the beginning of their texts.
func wantFaults(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("the faults are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func ids(products []catalog.Product) string {
	var list []string
	for _, p := range products {
		list = append(list, p.ID)
	}
	return strings.Join(list, " ")
}

func store(t testing.TB, in *Input) *catalog.Report {
	t.Helper()
	r, err := catalog.Write(context.Background(), filepath.Join(t.TempDir(), "c"), in.Source, catalog.WriteOptions{SkipFaults: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func extraNames(p catalog.Product) string {
	return strings.Join(slices.Sorted(maps.Keys(p.Extra)), " ")
}
