package onnx_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
)

func modelDir(t testing.TB, name string) string {
	dir := os.Getenv("TRIRANK_MODELS")
	if dir == "" {
		t.Fatal(`TRIRANK_MODELS is not set; run: make native && eval "$(make -s env)"`)
	}
	return filepath.Join(dir, name)
}

func open(t testing.TB, name string) *encoder.Encoder {
	e, err := onnx.Open(modelDir(t, name), onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

type reference struct {
	Text   string
	IDs    []uint32
	Vector []float32
}

// references reads what testdata/reference.py wrote.
func references(t testing.TB) (refs []reference) {
	b, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &refs); err != nil {
		t.Fatal(err)
	}
	return refs
}

func maxDiff(a, b []float32) (d float64) {
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// TestPython checks that vectors equal Python's, alone and in a mixed batch.
func TestPython(t *testing.T) {
	e := open(t, "e5-small-v2")
	ctx := context.Background()
	for kind, prefix := range map[string]string{"query": "query: ", "passage": "passage: "} {
		var texts []string
		var want []reference
		for _, r := range references(t) {
			if rest, ok := strings.CutPrefix(r.Text, prefix); ok {
				texts, want = append(texts, rest), append(want, r)
			}
		}
		encode := e.Queries
		if kind == "passage" {
			encode = e.Passages
		}
		together := make([]float32, len(texts)*384)
		if err := encode(ctx, texts, together); err != nil {
			t.Fatal(err)
		}
		for i, r := range want {
			alone := make([]float32, 384)
			if err := encode(ctx, texts[i:i+1], alone); err != nil {
				t.Fatal(err)
			}
			for how, got := range map[string][]float32{"alone": alone, "in a batch": together[i*384 : (i+1)*384]} {
				if d := maxDiff(got, r.Vector); d > 1e-5 {
					t.Errorf("%.40q %s differs from Python's vector by %g", r.Text, how, d)
				}
			}
			if n, err := e.CountTokens(texts[i]); kind == "passage" && (err != nil || n != len(r.IDs)) {
				t.Errorf("%.40q has %d tokens, %v; Python counts %d", r.Text, n, err, len(r.IDs))
			}
		}
	}
}

func TestSelfTest(t *testing.T) {
	for _, name := range []string{"e5-small-v2", "e5-small-v2-int8"} {
		if err := open(t, name).SelfTest(context.Background()); err != nil {
			t.Error(err)
		}
	}
	e := open(t, "e5-small-v2")
	for _, prefix := range []*string{&e.Model.QueryPrefix, &e.Model.PassagePrefix} {
		was := *prefix
		*prefix = ""
		if err := e.SelfTest(context.Background()); err == nil {
			t.Errorf("the self-test passes without the prefix %q", was)
		}
		*prefix = was
	}
}

// TestHostileText feeds what shoppers and attackers type.
func TestHostileText(t *testing.T) {
	e := open(t, "e5-small-v2")
	plain, err := e.Query(context.Background(), "ab")
	if err != nil {
		t.Fatal(err)
	}
	nul, err := e.Query(context.Background(), "a\x00b")
	if err != nil || maxDiff(plain, nul) != 0 {
		t.Errorf("a NUL byte changes the vector or fails: %v", err)
	}
	for _, text := range []string{"", " ", "\xff\xfe", strings.Repeat("x", 1<<20), strings.Repeat("ab ", 1<<19), "[SEP] [PAD]", "\u202e\u0000"} {
		v, err := e.Query(context.Background(), text)
		if err != nil {
			t.Errorf("%.20q: %v", text, err)
			continue
		}
		var norm float64
		for _, x := range v {
			norm += float64(x) * float64(x)
		}
		if math.Abs(norm-1) > 1e-5 {
			t.Errorf("%.20q: the vector's squared length is %g", text, norm)
		}
	}
}

// TestConcurrent runs many callers at once; the race detector watches, and each
// gets what it would have got alone.
func TestConcurrent(t *testing.T) {
	e := open(t, "e5-small-v2")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			r := references(t)[i%2]
			prefix, text, _ := strings.Cut(r.Text, ": ")
			v := make([]float32, 384)
			encode := e.Queries
			if prefix == "passage" {
				encode = e.Passages
			}
			if err := encode(context.Background(), []string{text}, v); err != nil {
				t.Error(err)
			} else if d := maxDiff(v, r.Vector); d > 1e-5 {
				t.Errorf("%q differs by %g under load", r.Text, d)
			}
		})
	}
	wg.Wait()
}

// TestPaddingInConfig opens a model whose tokenizer pads each text, as training
// scripts leave it: the padding must not reach the vectors.
func TestPaddingInConfig(t *testing.T) {
	good, dir := modelDir(t, "e5-small-v2"), t.TempDir()
	network, err := filepath.EvalSymlinks(filepath.Join(good, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(good, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	padded := strings.Replace(string(config), `"padding": null`, `"padding": {"strategy":{"Fixed":128},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"}`, 1)
	if padded == string(config) {
		t.Fatal("the tokenizer's configuration has no place for padding")
	}
	m, err := encoder.ReadModel(good)
	if err != nil {
		t.Fatal(err)
	}
	m.SHA256["tokenizer.json"] = fmt.Sprintf("%x", sha256.Sum256([]byte(padded)))
	info, _ := json.Marshal(m)
	if err := errors.Join(os.Symlink(network, filepath.Join(dir, "model.onnx")),
		os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(padded), 0o644),
		os.WriteFile(filepath.Join(dir, "model.json"), info, 0o644)); err != nil {
		t.Fatal(err)
	}
	e, err := onnx.Open(dir, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r := references(t)[0]
	v, err := e.Query(context.Background(), strings.TrimPrefix(r.Text, "query: "))
	if err != nil || maxDiff(v, r.Vector) > 1e-5 {
		t.Errorf("the vector differs by %g, %v", maxDiff(v, r.Vector), err)
	}
}

func TestOpenErrors(t *testing.T) {
	good := modelDir(t, "e5-small-v2")
	fresh := func(change func(dir string, m *encoder.Model)) string {
		dir := t.TempDir()
		for _, f := range []string{"model.onnx", "tokenizer.json"} {
			target, err := filepath.EvalSymlinks(filepath.Join(good, f))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, f)); err != nil {
				t.Fatal(err)
			}
		}
		m, err := encoder.ReadModel(good)
		if err != nil {
			t.Fatal(err)
		}
		change(dir, m)
		b, _ := json.Marshal(m)
		if err := os.WriteFile(filepath.Join(dir, "model.json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	replace := func(dir, file, text string) {
		os.Remove(filepath.Join(dir, file))
		os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)
	}
	// wrongHash makes the hash of file true again after its text has changed.
	rehash := func(m *encoder.Model, file, sum string) { m.SHA256[file] = sum }
	const emptySHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		name, want string
		dir        string
	}{
		{"missing", "no such file", filepath.Join(t.TempDir(), "none")},
		{"altered network", "model.onnx is not the file that model.json describes", fresh(func(d string, _ *encoder.Model) { replace(d, "model.onnx", "junk") })},
		{"empty network", "model.onnx", fresh(func(d string, m *encoder.Model) {
			replace(d, "model.onnx", "")
			rehash(m, "model.onnx", emptySHA)
		})},
		{"empty tokenizer", "tokenizer.json", fresh(func(d string, m *encoder.Model) {
			replace(d, "tokenizer.json", "")
			rehash(m, "tokenizer.json", emptySHA)
		})},
		{"dimension", "has dimension 384, model.json says 512", fresh(func(_ string, m *encoder.Model) { m.Dimension = 512 })},
		{"no prefix", "must be two different ones", fresh(func(_ string, m *encoder.Model) { m.QueryPrefix, m.PassagePrefix = "", "" })},
		{"one prefix", "must be two different ones", fresh(func(_ string, m *encoder.Model) { m.PassagePrefix = "query: " })},
		{"pooling", `pooling "cls" is not supported`, fresh(func(_ string, m *encoder.Model) { m.Pooling = "cls" })},
	} {
		e, err := onnx.Open(c.dir, onnx.Options{})
		if err == nil {
			e.Close()
			t.Errorf("%s: opened", c.name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q does not say %q", c.name, err, c.want)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	for _, name := range []string{"e5-small-v2", "e5-small-v2-int8"} {
		b.Run("model="+name, func(b *testing.B) {
			e := open(b, name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Query(context.Background(), "usb c charger for iphone fast charging"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPassages(b *testing.B) {
	var texts []string
	for i := range 64 {
		texts = append(texts, fmt.Sprintf("Norrvik %dW USB-C Wall Charger with Foldable Plug and Braided Cable, White, Pack of %d", 10+i, i))
	}
	for _, name := range []string{"e5-small-v2", "e5-small-v2-int8"} {
		b.Run("model="+name, func(b *testing.B) {
			e := open(b, name)
			dst := make([]float32, len(texts)*384)
			for b.Loop() {
				if err := e.Passages(context.Background(), texts, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(texts)*b.N)/b.Elapsed().Seconds(), "products/s")
		})
	}
}

// BenchmarkQueries asks with several clients at a time: queries of batch=16 are
// merged while all processors are busy, those of batch=1 follow each other.
func BenchmarkQueries(b *testing.B) {
	texts := []string{"wireless mouse", "usb c charger for iphone fast charging", "women's waterproof hiking boots size 9", "dog bed"}
	for _, rows := range []int{1, 16} {
		e, err := onnx.Open(modelDir(b, "e5-small-v2"), onnx.Options{Encoder: encoder.Options{BatchRows: rows}})
		if err != nil {
			b.Fatal(err)
		}
		defer e.Close()
		for _, clients := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("batch=%d/clients=%d", rows, clients), func(b *testing.B) {
				var next atomic.Int64
				var all sync.WaitGroup
				for range clients {
					all.Go(func() {
						for {
							i := int(next.Add(1))
							if i > b.N {
								return
							}
							if _, err := e.Query(context.Background(), texts[i%len(texts)]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
			})
		}
	}
}
