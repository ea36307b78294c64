package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/judgments"
)

// TestVerify flips bits of every file, one at a time: none passes, neither in Verify nor
// where products and judgements are read.
func TestVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	s := Sample()
	write(t, dir, Source{Products: s.Products(), Judgments: s.Judgments()}, WriteOptions{})
	verify := func() []error {
		wrong, err := Verify(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return wrong
	}
	if wrong := verify(); wrong != nil {
		t.Fatalf("a whole catalogue: %v", wrong)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{manifestFile, productsFile, judgmentsFile, popularityFile} {
		path := filepath.Join(dir, name)
		whole, _ := os.ReadFile(path)
		for range 25 {
			b := bytes.Clone(whole)
			at := random.IntN(len(b))
			b[at] ^= 1 << random.IntN(8)
			os.WriteFile(path, b, 0o644)
			if wrong := verify(); len(wrong) == 0 {
				t.Errorf("byte %d of %s is another one, and nothing is wrong", at, name)
			}
			c, err := Open(dir)
			if err == nil && name != popularityFile { // which nothing reads
				err = cmp.Or(lastError(c.Products()), lastError(c.Judgments()))
				if err == nil {
					t.Errorf("byte %d of %s is another one, and all can be read", at, name)
				}
			}
		}
		os.WriteFile(path, whole, 0o644)
	}
	os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o644)
	if wrong := verify(); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), "mine.txt is no part of it") {
		t.Errorf("a file of somebody else: %v", wrong)
	}
}

// TestVerifyContents looks at catalogues whose checksums are right and whose contents are
// not.
func TestVerifyContents(t *testing.T) {
	for want, change := range map[string]func(m *manifest, file map[string]string){
		"the hash of its contents is":       func(m *manifest, _ map[string]string) { m.Hash = "abc" },
		"products instead of":               func(m *manifest, _ map[string]string) { m.Rows++ },
		"judgements instead of":             func(m *manifest, _ map[string]string) { m.Judgments++ },
		"it has 2 queries, and":             func(m *manifest, _ map[string]string) { m.Queries++ },
		"does not have the popularities of": func(_ *manifest, file map[string]string) { file[popularityFile] = "product_id,popularity\n1,5\n" },
	} {
		dir := filepath.Join(t.TempDir(), "c")
		write(t, dir, Source{Products: each(Product{ID: "1", Title: "t"}), Judgments: each(judgments.Judgment{Query: "a", Product: "1", Label: "E"}, judgments.Judgment{Query: "b", Product: "1", Label: "C"})}, WriteOptions{})
		path, files := filepath.Join(dir, manifestFile), map[string]string{}
		var m manifest
		if err := checksum.ReadJSON(path, format, &m); err != nil {
			t.Fatal(err)
		}
		change(&m, files)
		for name, text := range files {
			os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
			var err error
			if m.Files[name], err = checksum.Of(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := checksum.WriteJSON(path, m); err != nil {
			t.Fatal(err)
		}
		wrong, err := Verify(t.Context(), dir)
		if err != nil || len(wrong) == 0 || !strings.Contains(errors.Join(wrong...).Error(), want) {
			t.Errorf("%s: %v, %v", want, wrong, err)
		}
	}
}
