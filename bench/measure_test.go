package bench_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/bench/larger"
	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/judgments"
)

// These benchmarks measure what trirank bench measures, by the same code, on the
// sample shop enlarged to so many products.
const measuredRows = 20_000

const modelName = "e5-small-v2"

// large opens the sample enlarged to so many products, with vectors of E5-small-v2.
func large(b *testing.B, rows int) (x *store.Index, qrels *judgments.Set, dir string) {
	b.Helper()
	model, err := store.FindModel(modelName)
	if err != nil {
		b.Fatal(err)
	}
	return largeBy(b, rows, model)
}

// cache is a folder of the user, in which what takes long to make is kept under a name
// that spells what it depends on.
func cache(b *testing.B, names ...string) string {
	b.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Join(append([]string{dir, "trirank", "bench"}, names...)...)
}

// largeBy opens the sample enlarged to so many products, with vectors of a model. It is
// built where the cache lacks it or has it in another format.
func largeBy(b *testing.B, rows int, model string) (x *store.Index, qrels *judgments.Set, dir string) {
	b.Helper()
	qrels, err := catalog.Sample().JudgmentSet()
	if err != nil {
		b.Fatal(err)
	}
	m, err := encoder.ReadModel(model)
	if err != nil {
		b.Fatal(err)
	}
	dir = cache(b, fmt.Sprintf("sample=%.12s", catalog.Sample().Hash()), fmt.Sprintf("model=%.12s", m.Hash()), fmt.Sprintf("rows=%d", rows), "seed=1", "factory="+faiss.ChooseFactory(faiss.AutoFactory, m.Dimension, rows), "index")
	x, err = store.Open(b.Context(), dir, store.OpenOptions{})
	if err != nil {
		b.Logf("building %s: %v", dir, err)
		build(b, dir, model, rows, qrels)
		if x, err = store.Open(b.Context(), dir, store.OpenOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() { x.Close() })
	return x, qrels, dir
}

func build(b *testing.B, dir, model string, rows int, qrels *judgments.Set) {
	b.Helper()
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		b.Fatal(err)
	}
	enc, err := onnx.Open(model, onnx.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	template, err := catalog.ParseTemplate(catalog.DefaultTemplate)
	if err != nil {
		b.Fatal(err)
	}
	small := filepath.Join(b.TempDir(), "small")
	if _, err := store.Build(b.Context(), small, store.BuildOptions{Catalog: catalog.Sample(), Template: template, Models: []store.Model{{System: "pretrained", Dir: model, Encoder: enc}}}); err != nil {
		b.Fatal(err)
	}
	x, err := store.Open(b.Context(), small, store.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	if _, err := larger.Build(b.Context(), x, dir, larger.Options{Rows: rows, Seed: 1, Qrels: qrels}); err != nil {
		b.Fatal(err)
	}
}

// report makes each result a benchmark of its own.
func report(b *testing.B, results []bench.Result) {
	b.Helper()
	for i := range results {
		r := &results[i]
		_, name, _ := strings.Cut(r.String(), "/") // the benchmark has the first part
		b.Run(name, func(b *testing.B) {
			for _, m := range r.Metrics {
				b.ReportMetric(m.Value, m.Unit)
			}
			b.ReportMetric(0, "ns/op") // p50-ns says it
		})
	}
}

func texts(qrels *judgments.Set) (out []string) {
	for i := range qrels.Queries {
		out = append(out, qrels.Queries[i].Text)
	}
	return out
}

// BenchmarkSearch is recall, nDCG and latency over indexes and their parameters.
func BenchmarkSearch(b *testing.B) {
	x, qrels, _ := large(b, measuredRows)
	space, _ := x.Space("pretrained")
	s := &bench.Space{Name: "pretrained", Model: modelName}
	s.Vectors, s.Dimension = space.Vectors()
	v, _, err := x.Engine.Embed(b.Context(), "pretrained", texts(qrels), true)
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range v {
		s.Queries = append(s.Queries, q...)
	}
	judge, err := bench.NewJudge(qrels, space.ID)
	if err != nil {
		b.Fatal(err)
	}
	results, err := bench.Sweep(b.Context(), s, judge, bench.SweepOptions{
		Factories: []string{"IVF256,Flat", "IVF256,SQ8"}, K: []int{10}, Budget: 50 * time.Millisecond, Dir: b.TempDir(),
	})
	if err != nil {
		b.Fatal(err)
	}
	report(b, results)
}

// BenchmarkStage is the time of each stage of a request.
func BenchmarkStage(b *testing.B) {
	x, qrels, _ := large(b, measuredRows)
	results, err := bench.Latency(b.Context(), x.Engine, texts(qrels), bench.LatencyOptions{Clients: []int{1, 4}, Budget: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	report(b, results)
}

// BenchmarkEncode is a model by itself.
func BenchmarkEncode(b *testing.B) {
	_, qrels, _ := large(b, measuredRows)
	model, err := store.FindModel(modelName)
	if err != nil {
		b.Fatal(err)
	}
	var titles []string
	for p, err := range catalog.Sample().Products() {
		if err != nil {
			b.Fatal(err)
		}
		titles = append(titles, p.Title)
	}
	open := func(s bench.EncodeSetting) (*encoder.Encoder, error) {
		return onnx.Open(model, onnx.Options{Threads: s.Threads, Encoder: encoder.Options{Parallel: s.Sessions, BatchTokens: s.BatchTokens}})
	}
	settings := []bench.EncodeSetting{{Threads: 1, Sessions: 1, BatchTokens: 1024}, {Threads: 1, Sessions: 2, BatchTokens: 1024}}
	results, err := bench.Encode(b.Context(), settings, open, bench.EncodeOptions{Model: modelName, Queries: texts(qrels), Passages: titles, Budget: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	report(b, results)
}

// BenchmarkLoad is a server under open load, over HTTP.
func BenchmarkLoad(b *testing.B) {
	x, qrels, _ := large(b, measuredRows)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := httpapi.New(x.Engine, httpapi.Options{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(b.Context(), ln) }() // until the benchmark ends
	results, err := bench.Load(b.Context(), bench.LoadOptions{
		URL: fmt.Sprintf("http://%s/v1/compare?k=10", ln.Addr()), Queries: texts(qrels), Rates: []float64{20, 40}, Duration: 2 * time.Second,
	})
	if err != nil {
		b.Fatal(err)
	}
	report(b, results)
	b.Cleanup(func() { // before the index is closed; the context has ended by now
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}
