package store_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
)

// TestRebuildRepairs checks that what an error advises helps: building again
// over a damaged index makes a good one.
func TestRebuildRepairs(t *testing.T) {
	for _, name := range []string{"pretrained/index.faiss", "pretrained/vectors.npy", "products/products.jsonl", "manifest.json"} {
		dir := copyOf(t, sample(t))
		path := filepath.Join(dir, filepath.FromSlash(name))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "manifest.json" {
			b = []byte(strings.Replace(string(b), `"rows": 439`, `"rows": -2`, 1))
		} else {
			b[len(b)/2] ^= 0x40
		}
		os.WriteFile(path, b, 0o644)
		if x, err := store.Open(context.Background(), dir, store.OpenOptions{}); err == nil {
			x.Close()
			t.Fatalf("%s: the damage is not seen", name)
		}
		if _, err := store.Build(context.Background(), dir, options(t)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, _ := os.ReadFile(filepath.Join(sample(t), "pretrained", "vectors.npy"))
		got, _ := os.ReadFile(filepath.Join(dir, "pretrained", "vectors.npy"))
		if string(got) != string(want) {
			t.Errorf("%s: damaged vectors were taken over", name)
		}
		open(t, dir)
	}
}

// TestBuildLeavesOthersAlone builds where somebody else's files are.
func TestBuildLeavesOthersAlone(t *testing.T) {
	site := t.TempDir() // a web application has a manifest.json as well
	os.WriteFile(filepath.Join(site, "manifest.json"), []byte(`{"name":"my site","format":"x"}`), 0o644)
	if _, err := store.Build(context.Background(), site, options(t)); err == nil || !strings.Contains(err.Error(), "not an index") {
		t.Errorf("error %v", err)
	}
	dir := copyOf(t, sample(t))
	backup := dir + ".old"
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.BM25.K1 = 3
	if _, err := store.Build(context.Background(), dir, o); err != nil {
		t.Fatal(err)
	}
	if x := open(t, backup); x.Manifest.BM25.K1 == 3 {
		t.Error("the backup was changed")
	}
}

// TestWrongWishes checks that they are found before anything is embedded.
func TestWrongWishes(t *testing.T) {
	for want, change := range map[string]func(o *store.BuildOptions){
		`ranking "finetuned"`: func(o *store.BuildOptions) {
			o.Fusion = &engine.Fusion{Method: engine.RRF, Weights: map[string]float64{"bm25": 1, "finetuned": 1}}
		},
		"not within 0..1":     func(o *store.BuildOptions) { o.Recall = 99 },
		"at least as many":    func(o *store.BuildOptions) { o.Factory = "IVF4096,SQ8" },
		"no finished vectors": func(o *store.BuildOptions) { o.Vectors = []string{t.TempDir()} },
	} {
		dir := filepath.Join(t.TempDir(), "index")
		o := options(t)
		change(&o)
		if _, err := store.Build(context.Background(), dir, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
		if _, err := os.Stat(dir + ".work"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: work was begun", want)
		}
	}
}

// TestPricesAtTheBound checks that "at least" and "at most" mean it, for prices
// that no binary number holds exactly.
func TestPricesAtTheBound(t *testing.T) {
	x := open(t, sample(t))
	checked := 0
	for p, err := range catalog.Sample().Products() {
		if err != nil {
			t.Fatal(err)
		}
		if p.Price == 0 || checked == 40 {
			continue
		}
		checked++
		f := engine.Filter{MinPrice: p.Price, MaxPrice: p.Price}
		r, err := x.Engine.Compare(context.Background(), engine.Request{Query: p.Title, Filter: f, K: 100, Systems: []string{"pretrained"}})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, h := range r.Rankings[0].Hits {
			found = found || h.ID == p.ID
			if h.Price != p.Price {
				t.Errorf("%v lets %v through", f, h.Price)
			}
		}
		if !found {
			t.Errorf("a product of %v is not found with %+v", p.Price, f)
		}
	}
}

// TestResumeAfterChange interrupts an embedding, changes the first product of the
// catalogue, and goes on: only its text is encoded again.
func TestResumeAfterChange(t *testing.T) {
	o := options(t)
	write := func(dir string, change bool) *catalog.Catalog {
		var products iter.Seq2[catalog.Product, error] = func(yield func(catalog.Product, error) bool) {
			for p, err := range catalog.Sample().Products() {
				if change && p.ID == "P0001" {
					p.Title = "Something else altogether"
				}
				if !yield(p, err) {
					return
				}
			}
		}
		if _, err := catalog.Write(context.Background(), dir, catalog.Source{Products: products}, catalog.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		c, err := catalog.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root := t.TempDir()
	before, after := write(filepath.Join(root, "a"), false), write(filepath.Join(root, "b"), true)
	embed := func(ctx context.Context, c *catalog.Catalog, stop int, cancel func()) (store.Embedded, error) {
		return store.Embed(ctx, store.EmbedOptions{
			Catalog: c, Encoder: o.Models[0].Encoder, Template: o.Template, Out: filepath.Join(root, "v"), Resume: true,
			Progress: func(n int) {
				if n >= stop {
					cancel()
				}
			},
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := embed(ctx, before, 256, cancel); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	done, err := embed(context.Background(), after, math.MaxInt, nil)
	if want := (store.Embedded{Rows: 439, Reused: 255, Encoded: 439 - 255}); err != nil || done != want {
		t.Errorf("%+v, %v; want %+v", done, err, want)
	}
	left, _ := filepath.Glob(filepath.Join(root, "v", "*"))
	if len(left) != 5 { // matrix, titles, stats, info, hashes
		t.Errorf("left behind: %v", left)
	}
}
