package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/npy"
)

func options(t testing.TB) store.BuildOptions {
	dir, err := store.FindModel("e5-small-v2")
	if err != nil {
		t.Fatal(err)
	}
	enc, err := onnx.Open(dir, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { enc.Close() })
	tm, err := catalog.ParseTemplate(catalog.DefaultTemplate)
	if err != nil {
		t.Fatal(err)
	}
	return store.BuildOptions{Catalog: catalog.Sample(), Models: []store.Model{{System: "pretrained", Dir: dir, Encoder: enc}}, Template: tm}
}

// sample returns an index of the sample catalogue, made once and not to be changed.
func sample(t testing.TB) string {
	dir, err := sampleOnce(t)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var (
	sampleMade sync.Once
	sampleDir  string
	sampleErr  error
)

func sampleOnce(t testing.TB) (string, error) {
	sampleMade.Do(func() {
		var root string
		if root, sampleErr = os.MkdirTemp("", "trirank-store-"); sampleErr == nil {
			sampleDir = filepath.Join(root, "index")
			_, sampleErr = store.Build(context.Background(), sampleDir, options(t))
		}
	})
	return sampleDir, sampleErr
}

func TestMain(m *testing.M) {
	code := m.Run()
	if sampleDir != "" {
		os.RemoveAll(filepath.Dir(sampleDir))
	}
	os.Exit(code)
}

// copyOf returns a copy of an index that may be changed.
func copyOf(t testing.TB, dir string) string {
	to := filepath.Join(t.TempDir(), "index")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func open(t testing.TB, dir string) *store.Index {
	x, err := store.Open(context.Background(), dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(x.Close(), x.Close()); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return x
}

func TestCompare(t *testing.T) {
	x := open(t, sample(t))
	if got := x.Engine.Systems(); !slices.Equal(got, []string{"bm25", "pretrained", "hybrid"}) {
		t.Fatalf("systems %v", got)
	}
	q := "soap dispenser"
	for j, err := range catalog.Sample().Judgments() {
		if err != nil {
			t.Fatal(err)
		}
		q = j.Query
		break
	}
	r, err := x.Engine.Compare(context.Background(), engine.Request{Query: q, Explain: true, Distribution: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Judged == 0 {
		t.Errorf("%q has no judgements", q)
	}
	for _, ranking := range r.Rankings {
		if ranking.Error != "" || len(ranking.Hits) == 0 {
			t.Fatalf("%s: %q, %d hits", ranking.System, ranking.Error, len(ranking.Hits))
		}
		for i, h := range ranking.Hits[1:] {
			if before := ranking.Hits[i]; before.Score < h.Score || before.Score == h.Score && before.ID >= h.ID {
				t.Errorf("%s: hits %d and %d are out of order", ranking.System, i+1, i+2)
			}
		}
	}
	lexical := r.Rankings[0].Hits[0]
	if ex := lexical.Explanation; ex == nil || math.Abs(ex.Value-lexical.Score) > 1e-6 {
		t.Errorf("explanation %+v of score %v", ex, lexical.Score)
	}
	if d := r.Rankings[1].Distribution; d == nil || d.Products != catalog.Sample().Rows() || d.Mean < .6 || d.Mean > .9 {
		t.Errorf("distribution %+v", d)
	}
}

// TestFilter checks filters of all sizes against the whole ranking.
func TestFilter(t *testing.T) {
	x := open(t, sample(t))
	p, err := x.Engine.Product("P0001")
	if err != nil || p.Brand == "" {
		t.Fatalf("P0001: %+v, %v", p, err)
	}
	for _, f := range []engine.Filter{
		{Brands: []string{strings.ToUpper(p.Brand)}},
		{Categories: []string{p.Category[len(p.Category)-1]}},
		{MinPrice: 10, MaxPrice: 20},
		{Brands: []string{"no such brand"}},
	} {
		r, err := x.Engine.Compare(context.Background(), engine.Request{Query: "usb c charger", Filter: f, K: 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, ranking := range r.Rankings {
			if ranking.Error != "" {
				t.Errorf("%+v: %s", f, ranking.Error)
			}
			if (len(ranking.Hits) == 0) != slices.Contains(f.Brands, "no such brand") {
				t.Errorf("%+v: %s has %d hits", f, ranking.System, len(ranking.Hits))
			}
			for _, h := range ranking.Hits {
				ok := (f.Brands == nil || strings.EqualFold(h.Brand, p.Brand)) &&
					(f.Categories == nil || slices.Contains(h.Category, f.Categories[0])) &&
					h.Price >= f.MinPrice && (f.MaxPrice == 0 || h.Price > 0 && h.Price <= f.MaxPrice)
				if !ok {
					t.Errorf("%+v lets %+v through", f, h)
				}
			}
		}
	}
}

func TestSimilarAndEmbed(t *testing.T) {
	x := open(t, sample(t))
	r, err := x.Engine.Similar(context.Background(), "P0001", "pretrained", 5)
	if err != nil || len(r.Hits) != 5 || r.Hits[0].ID == "P0001" || r.Hits[0].Score < .8 {
		t.Errorf("similar: %+v, %v", r, err)
	}
	if _, err := x.Engine.Similar(context.Background(), "nope", "", 5); !errors.Is(err, engine.ErrUnknown) {
		t.Errorf("unknown product: %v", err)
	}
	v, by, err := x.Engine.Embed(context.Background(), "", []string{"a", "b"}, true)
	if err != nil || by != "pretrained" || len(v) != 2 || len(v[0]) != 384 {
		t.Errorf("embed: %d by %s, %v", len(v), by, err)
	}
}

// TestFlatIsExact compares the index with exact search over the stored vectors.
func TestFlatIsExact(t *testing.T) {
	dir := sample(t)
	x := open(t, dir)
	m, err := npy.Open(filepath.Join(dir, "pretrained", "vectors.npy"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := x.Engine.Compare(context.Background(), engine.Request{Query: "warm gloves", Systems: []string{"pretrained"}})
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := x.Engine.Embed(context.Background(), "pretrained", []string{"warm gloves"}, true)
	if err != nil {
		t.Fatal(err)
	}
	want, err := faiss.Exact(context.Background(), v[0], m.Values, m.Cols, 10)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range r.Rankings[0].Hits {
		if math.Abs(h.Score-float64(want[0][i].Score)) > 1e-5 {
			t.Errorf("rank %d: score %v, exact %v", h.Rank, h.Score, want[0][i].Score)
		}
	}
}

func TestReuse(t *testing.T) {
	dir := copyOf(t, sample(t))
	build := func(change func(*store.BuildOptions)) *store.Built {
		o := options(t)
		change(&o)
		b, err := store.Build(context.Background(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	all := []string{"products", "bm25", "pretrained"}
	if b := build(func(*store.BuildOptions) {}); !slices.Equal(b.Reused, all) || b.Vectors["pretrained"].Encoded != 0 {
		t.Errorf("nothing changed, reused %v, vectors %+v", b.Reused, b.Vectors)
	}
	if b := build(func(o *store.BuildOptions) { o.BM25.K1 = 2 }); !slices.Equal(b.Reused, []string{"products", "pretrained"}) {
		t.Errorf("other k1, reused %v", b.Reused)
	}
	b := build(func(o *store.BuildOptions) { o.Factory = "IVF8,Flat"; o.BM25.K1 = 2 })
	if !slices.Equal(b.Reused, all[:2]) || b.Vectors["pretrained"].Encoded != 0 || b.Manifest.Models[0].Index.Recall < .99 {
		t.Errorf("other factory, reused %v, %+v", b.Reused, b.Manifest.Models[0])
	}
	// An index made when auto meant something else is made anew.
	build(func(*store.BuildOptions) {})
	changeManifest(t, dir, func(m *store.Manifest) { m.Models[0].Index.Factory = "IVF8,Flat" })
	if b = build(func(*store.BuildOptions) {}); !slices.Equal(b.Reused, all[:2]) || b.Vectors["pretrained"].Encoded != 0 || b.Manifest.Models[0].Index.Factory != "Flat" {
		t.Errorf("auto meant something else, reused %v, %+v", b.Reused, b.Manifest.Models[0])
	}
	tm, _ := catalog.ParseTemplate("{title} {color}")
	b = build(func(o *store.BuildOptions) { o.Template = tm })
	if v := b.Vectors["pretrained"]; v.Encoded != v.Rows {
		t.Errorf("another template took vectors over: %+v", v)
	}
	if x := open(t, dir); x.Manifest.Template != "{title} {color}" {
		t.Errorf("template %q", x.Manifest.Template)
	}
	if _, err := os.Stat(dir + ".work"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the work folder is left behind")
	}
}

// stopAfter ends the context of a build when its embedding has come so far.
type stopAfter struct {
	rows   int
	cancel context.CancelFunc
}

func (s stopAfter) Skip(int) {}
func (s stopAfter) Set(n int) {
	if n >= s.rows {
		s.cancel()
	}
}
func (s stopAfter) Done() {}
func (s stopAfter) Stop() {}

// TestInterrupted stops a build while it embeds: nothing is lost, the old index
// stays, and going on makes the bytes that an undisturbed build makes.
func TestInterrupted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	o := options(t)
	ctx, cancel := context.WithCancel(context.Background())
	o.Step = func(what, _ string, _ int) store.Step {
		if strings.HasPrefix(what, "embedding") {
			return stopAfter{256, cancel}
		}
		return stopAfter{math.MaxInt, cancel}
	}
	if _, err := store.Build(ctx, dir, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("the build ended with %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("there is half an index")
	}
	b, err := store.Build(context.Background(), dir, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if v := b.Vectors["pretrained"]; v.Resumed != 256 || v.Encoded != v.Rows-256 {
		t.Errorf("gone on with %+v", v)
	}
	want, _ := os.ReadFile(filepath.Join(sample(t), "pretrained", "vectors.npy"))
	got, _ := os.ReadFile(filepath.Join(dir, "pretrained", "vectors.npy"))
	if len(want) == 0 || !bytes.Equal(got, want) {
		t.Error("the vectors differ from those of an undisturbed build")
	}
}

func TestEmbedResume(t *testing.T) {
	o := options(t)
	embed := func(ctx context.Context, dir string, resume bool, stop int, cancel func()) (store.Embedded, error) {
		return store.Embed(ctx, store.EmbedOptions{
			Catalog: o.Catalog, Encoder: o.Models[0].Encoder, Template: o.Template, Out: dir, Resume: resume,
			Progress: func(n int) {
				if n >= stop {
					cancel()
				}
			},
		})
	}
	whole, parts := t.TempDir(), t.TempDir()
	if _, err := embed(context.Background(), whole, false, math.MaxInt, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := embed(ctx, parts, false, 256, cancel); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted with %v", err)
	}
	// What a crash in the middle of a write leaves is cut off.
	for _, f := range []string{"product_embeddings.npy.partial", "vectors.hashes.partial"} {
		file, err := os.OpenFile(filepath.Join(parts, f), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(make([]byte, 4000))
		file.Close()
	}
	if _, err := embed(context.Background(), parts, false, math.MaxInt, nil); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("what is done is thrown away without a word: %v", err)
	}
	done, err := embed(context.Background(), parts, true, math.MaxInt, nil)
	if err != nil || done.Resumed != 256 {
		t.Fatalf("%+v, %v", done, err)
	}
	entries, _ := os.ReadDir(whole)
	for _, e := range entries {
		a, _ := os.ReadFile(filepath.Join(whole, e.Name()))
		b, _ := os.ReadFile(filepath.Join(parts, e.Name()))
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs", e.Name())
		}
	}
	if left, _ := filepath.Glob(filepath.Join(parts, "*.partial")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	again, err := embed(context.Background(), parts, true, math.MaxInt, nil)
	if err != nil || again.Encoded != 0 || again.Reused != again.Rows {
		t.Errorf("embedding again: %+v, %v", again, err)
	}
}

// TestDamage changes every file of an index in turn.
func TestDamage(t *testing.T) {
	x := open(t, sample(t))
	for name := range x.Manifest.Files {
		for how, damage := range map[string]func(b []byte) []byte{
			"altered":   func(b []byte) []byte { b[len(b)/2] ^= 0x40; return b },
			"truncated": func(b []byte) []byte { return b[:len(b)-1] },
		} {
			dir := copyOf(t, sample(t))
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil || len(b) == 0 {
				t.Fatalf("%s: %v", name, err)
			}
			os.WriteFile(path, damage(b), 0o644)
			y, err := store.Open(context.Background(), dir, store.OpenOptions{})
			if err == nil {
				y.Close()
				t.Errorf("%s %s: opened", name, how)
			} else if !strings.Contains(err.Error(), filepath.Base(name)) {
				t.Errorf("%s %s: error %q does not name it", name, how, err)
			}
		}
	}
}

// changeManifest changes the manifest of an index, and its checksum with it.
func changeManifest(t testing.TB, dir string, change func(*store.Manifest)) {
	t.Helper()
	path := filepath.Join(dir, "manifest.json")
	var m store.Manifest
	if err := checksum.ReadJSON(path, store.Format, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if err := checksum.WriteJSON(path, m); err != nil {
		t.Fatal(err)
	}
}

func TestManifestErrors(t *testing.T) {
	with := func(change func(dir string)) string {
		dir := copyOf(t, sample(t))
		change(dir)
		return dir
	}
	manifest := func(change func(m *store.Manifest)) string {
		return with(func(dir string) { changeManifest(t, dir, change) })
	}
	for want, dir := range map[string]string{
		"it is not an index directory": t.TempDir(),
		"ids.bin is missing":           with(func(dir string) { os.Remove(filepath.Join(dir, "products", "ids.bin")) }),
		"its format is 99":             manifest(func(m *store.Manifest) { m.Format = 99 }),
		"no checksum in its last line": with(func(dir string) { os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}\n"), 0o644) }),
		"unexpected EOF":               with(func(dir string) { os.Truncate(filepath.Join(dir, "manifest.json"), 500) }),
		"is outside of the directory":  manifest(func(m *store.Manifest) { m.Files["../bm25.json"] = m.Files["bm25/bm25.json"] }),
		"does not list products/ids":   manifest(func(m *store.Manifest) { delete(m.Files, "products/ids.bin") }),
		"cannot be":                    manifest(func(m *store.Manifest) { m.Models[0].System = "../x" }),
		"not the one that made":        manifest(func(m *store.Manifest) { m.Models[0].Hash = "ffff" }),
	} {
		x, err := store.Open(context.Background(), dir, store.OpenOptions{})
		if err == nil {
			x.Close()
			t.Errorf("opened in spite of %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	other := t.TempDir()
	os.WriteFile(filepath.Join(other, "thesis.txt"), nil, 0o644)
	for want, c := range map[string]struct {
		out    string
		change func(o *store.BuildOptions)
	}{
		"not an index":               {other, func(*store.BuildOptions) {}},
		"cannot name a model":        {filepath.Join(t.TempDir(), "x"), func(o *store.BuildOptions) { o.Models[0].System = "bm25" }},
		"not a FAISS factory":        {filepath.Join(t.TempDir(), "x"), func(o *store.BuildOptions) { o.Factory = "!" }},
		"a catalogue and a template": {filepath.Join(t.TempDir(), "x"), func(o *store.BuildOptions) { o.Template = nil }},
		"k1":                         {filepath.Join(t.TempDir(), "x"), func(o *store.BuildOptions) { o.BM25 = bm25.Options{K1: -7} }},
	} {
		o := options(t)
		c.change(&o)
		if _, err := store.Build(context.Background(), c.out, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(other, "thesis.txt")); err != nil {
		t.Error("somebody's folder was touched")
	}
}

// TestConcurrentRequests runs requests of all kinds at once; the race detector
// watches.
func TestConcurrentRequests(t *testing.T) {
	x := open(t, sample(t))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				r := engine.Request{Query: fmt.Sprintf("charger %d", (i+j)%7), Explain: j%2 == 0, Distribution: j%3 == 0}
				if i%2 == 0 {
					r.Filter.MaxPrice = 50
				}
				if _, err := x.Engine.Compare(context.Background(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkCompare(b *testing.B) {
	x := open(b, sample(b))
	for _, c := range []struct {
		name   string
		cached bool
	}{{"vectors=new", false}, {"vectors=cached", true}} {
		b.Run(c.name+"/k=10", func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				q := "usb c charger for iphone"
				if !c.cached {
					i++
					q = fmt.Sprintf("usb c charger for phone %d", i)
				}
				if _, err := x.Engine.Compare(context.Background(), engine.Request{Query: q}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
