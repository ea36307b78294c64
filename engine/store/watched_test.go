package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
)

// TestChangedUnderIt cuts off and overwrites files of an open index in place: requests
// become errors that name the file, and the process goes on.
func TestChangedUnderIt(t *testing.T) {
	ctx := context.Background()
	requests := map[string]func(e *engine.Engine) error{
		"compare": func(e *engine.Engine) error {
			r, err := e.Compare(ctx, engine.Request{Query: "warm gloves", Explain: true, Distribution: true})
			if err == nil && len(r.Rankings) == 0 {
				t.Error("no rankings")
			}
			return err
		},
		"filtered": func(e *engine.Engine) error {
			_, err := e.Compare(ctx, engine.Request{Query: "warm gloves", Filter: engine.Filter{MinPrice: 1}})
			return err
		},
		"product": func(e *engine.Engine) error { _, err := e.Product("P0001"); return err },
		"similar": func(e *engine.Engine) error { _, err := e.Similar(ctx, "P0001", "", 5); return err },
		"lists":   func(e *engine.Engine) error { _, err := e.Lists(ctx, "warm gloves", nil); return err },
		"pool": func(e *engine.Engine) error {
			_, err := e.Pool(ctx, "warm gloves", []string{"P0001", "P0300"}, nil)
			return err
		},
	}
	segment, err := filepath.Glob(filepath.Join(sample(t), "bm25", "bleve", "store", "*.zap"))
	if err != nil || len(segment) == 0 {
		t.Fatal(segment, err)
	}
	for _, name := range []string{
		"products/products.jsonl", "products/ids.bin", "products/columns.bin", "products/id-order.bin", "pretrained/vectors.npy",
		"bm25/bleve/store/" + filepath.Base(segment[0]),
	} {
		for how, change := range map[string]func(path string) error{
			"cut off": func(path string) error { return os.Truncate(path, 10) },
			"overwritten": func(path string) error {
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, b, 0o644) // as cp does, in place
			},
		} {
			dir := copyOf(t, sample(t))
			x, err := store.Open(ctx, dir, store.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for what, request := range requests {
				if err := request(x.Engine); err != nil {
					t.Fatalf("%s of a whole index: %v", what, err)
				}
			}
			if err := change(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			for what, request := range requests {
				if err := request(x.Engine); !errors.Is(err, engine.ErrChanged) || !strings.Contains(err.Error(), name) {
					t.Errorf("%s after %s was %s: %v", what, name, how, err)
				}
			}
			x.Close()
		}
	}
}

// TestReplacedUnderIt builds another index in the place of an open one: those who have
// the old one open go on with it.
func TestReplacedUnderIt(t *testing.T) {
	dir := copyOf(t, sample(t))
	x, err := store.Open(context.Background(), dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	o := options(t)
	o.BM25.K1 = 2
	if _, err := store.Build(context.Background(), dir, o); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Engine.Compare(context.Background(), engine.Request{Query: "warm gloves"}); err != nil {
		t.Error(err)
	}
}
