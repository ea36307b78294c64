package npy

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t testing.TB, rows, cols int, values []float32) string {
	var b bytes.Buffer
	w, err := NewWriter(&b, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteRows(values); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.npy")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRoundTrip(t *testing.T) {
	want := []float32{1, -2, 3.5, 0, 1e-30, 6}
	m, err := Open(write(t, 3, 2, want))
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows != 3 || m.Cols != 2 || !slices.Equal(m.Values, want) || !slices.Equal(m.Row(1), want[2:4]) {
		t.Errorf("read %d x %d %v", m.Rows, m.Cols, m.Values)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestHeader pins the bytes that NumPy documents.
func TestHeader(t *testing.T) {
	h := Header(1800000, 384)
	if len(h) != 128 || h[127] != '\n' || !strings.HasPrefix(string(h), "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1800000, 384), }   ") {
		t.Errorf("header is %q", h)
	}
}

func TestFaults(t *testing.T) {
	good, err := os.ReadFile(write(t, 3, 2, make([]float32, 6)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "empty", nil},
		{"text", "not a .npy file", []byte("hello, this is not a matrix")},
		{"header cut", "header is cut off", good[:40]},
		{"values cut", "promises", good[:len(good)-1]},
		{"too long", "promises", append(slices.Clone(good), 0)},
		{"float64", "not a float32 matrix", bytes.Replace(good, []byte("<f4"), []byte("<f8"), 1)},
		{"huge", "out of range", bytes.Replace(good, []byte("(3, 2), }          "), []byte("(99999999999, 2), }"), 1)},
	} {
		path := filepath.Join(t.TempDir(), "m.npy")
		os.WriteFile(path, c.data, 0o644)
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", c.name, err, c.want)
		}
	}
}

func TestWriterCountsRows(t *testing.T) {
	w, err := NewWriter(&bytes.Buffer{}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if w.WriteRows(make([]float32, 3)) == nil || w.WriteRows(make([]float32, 6)) == nil {
		t.Error("a part of a row, or too many, were taken")
	}
	if w.Close() == nil {
		t.Error("closed with rows missing")
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(Header(3, 2))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, cols, start, err := parseHeader(b)
		if err == nil && (rows < 0 || cols < 1 || start > len(b)) {
			t.Errorf("accepted %d x %d from byte %d of %d", rows, cols, start, len(b))
		}
	})
}
