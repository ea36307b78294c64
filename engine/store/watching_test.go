package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
)

// TestChangedWhileOpening changes files of an index after Open has verified them: it is an
// error that says so, and no read of what is gone ends the process.
func TestChangedWhileOpening(t *testing.T) {
	ctx := context.Background()
	cat, err := catalog.Load("sample")
	if err != nil {
		t.Fatal(err)
	}
	template, err := catalog.ParseTemplate("{title}")
	if err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "index")
	if _, err := Build(ctx, whole, BuildOptions{Catalog: cat, Template: template}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { testHookOpen = func(string, string) {} })
	changes := map[string]func(path string) error{
		"cut off":  func(path string) error { return os.Truncate(path, 0) },
		"replaced": func(path string) error { return rewrite(path) },
		"removed":  os.Remove,
	}
	for _, at := range []string{"verified", "mapped"} {
		for how, change := range changes {
			for _, name := range []string{"products/ids.bin", "products/id-order.bin", "products/products.jsonl", "products/columns.bin", "products/judgments.csv"} {
				dir := filepath.Join(t.TempDir(), "index")
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				testHookOpen = func(dir, step string) {
					if step != at {
						return
					}
					if err := change(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
						t.Fatal(err)
					}
				}
				x, err := Open(ctx, dir, OpenOptions{})
				if err == nil {
					x.Close()
					t.Errorf("%s: %s is %s while the index is opened, and it opens", at, name, how)
				} else if !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %s is %s: %v", at, name, how, err)
				}
			}
		}
	}
}

// rewrite puts another file with the same bytes in the place of one.
func rewrite(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
