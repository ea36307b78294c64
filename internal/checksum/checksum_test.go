package checksum

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/regular"
)

type document struct {
	Format int    `json:"format"`
	NProbe int    `json:"nprobe,omitempty"`
	Name   string `json:"name"`
}

func TestJSON(t *testing.T) {
	want := document{1, 60, `<a> & "b"`}
	b, err := MarshalJSON(want)
	if err != nil {
		t.Fatal(err)
	}
	var got document
	if err := UnmarshalJSON(b, &got); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	// Every flip of every bit.
	for i := range b {
		for bit := range 8 {
			c := append([]byte{}, b...)
			c[i] ^= 1 << bit
			if err := UnmarshalJSON(c, new(document)); err == nil {
				t.Fatalf("a flip of bit %d of byte %d passes: %q", bit, i, c)
			}
		}
	}
	for i := range b { // and every cut
		if err := UnmarshalJSON(b[:i], new(document)); err == nil {
			t.Fatalf("the first %d of %d bytes pass", i, len(b))
		}
	}
	if err := UnmarshalJSON([]byte(`{"format": 1, "name": "a"}`), new(document)); !errors.Is(err, ErrNone) {
		t.Errorf("without a checksum: %v", err)
	}
	foreign, _ := MarshalJSON(struct {
		Format int `json:"format"`
		Other  int `json:"other"`
	}{1, 2})
	if err := UnmarshalJSON(foreign, new(document)); err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("an unknown member: %v", err)
	}
	if _, err := MarshalJSON(struct{}{}); err == nil {
		t.Error("nothing has a checksum")
	}
}

func TestReadJSON(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d.json")
	if err := WriteJSON(path, document{Format: 1}); err != nil {
		t.Fatal(err)
	}
	var got document
	if err := ReadJSON(path, 1, &got); err != nil || got.Format != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	_, long := regular.ReadFile(path, 10)
	for want, err := range map[string]error{
		"are the most that is read":             long,
		"its format is 1, this program reads 2": ReadJSON(path, 2, &got),
		"not a plain file":                      ReadJSON(dir, 1, &got),
		"no such file":                          ReadJSON(filepath.Join(dir, "none"), 1, &got),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "one")
	write("sub/b", "two")
	write("manifest", "")
	files, err := OfTree(dir, "manifest")
	if err != nil || len(files) != 2 || files["sub/b"].Bytes != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	if faults := files.Verify(dir, nil); len(faults) > 0 {
		t.Fatal(faults)
	}
	if err := files.Require("a", "c"); err == nil {
		t.Error("a file that is not listed is not missed")
	}
	write("more", "")
	write(".hidden", "")
	for _, folder := range []string{"empty", "sub/deep/deeper", ".a.tmp-17"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	others := []string{".a.tmp-17", ".hidden", "empty", "more", "sub/deep"}
	if names, err := files.Unlisted(dir, "manifest"); err != nil || !slices.Equal(names, others) {
		t.Errorf("unlisted: %v, %v", names, err)
	}
	write(".a.tmp-17/trirank.lock", "") // now it is what a killed writer left
	if names, err := files.Unlisted(dir, "manifest"); err != nil || !slices.Equal(names, others[1:]) {
		t.Errorf("unlisted: %v, %v", names, err)
	}
	write("a", "onf")
	write("sub/b", "longer")
	files["gone"], files["../out"] = File{}, File{}
	faults := files.Verify(dir, nil)
	for i, want := range []string{"../out is outside", "a was changed", "gone is missing", "sub/b has 6 bytes instead of 3"} {
		if i >= len(faults) || !strings.Contains(faults[i].Error(), want) {
			t.Fatalf("faults %v, want %q", faults, want)
		}
	}
	if faults := files.Verify(dir, func(name string) bool { return name != "a" }); len(faults) != 1 {
		t.Errorf("with all but one skipped: %v", faults)
	}
}

func TestReader(t *testing.T) {
	w := NewWriter(io.Discard)
	io.WriteString(w, "text")
	for text, good := range map[string]bool{"text": true, "tesT": false, "tex": false, "texts": false} {
		b, err := io.ReadAll(Reader(strings.NewReader(text), w.Sum()))
		if (err == nil) != good || string(b) != text {
			t.Errorf("%q: %q, %v", text, b, err)
		}
	}
}
