package eval_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/formats"
	"github.com/trirank/trirank/internal/peers"
	"github.com/trirank/trirank/judgments"
)

// bigCase is of the size of ESCI's test set: queries with 20 judged products each,
// and systems that find them more or less well.
func bigCase(b *testing.B, queries, systems, depth int) (*judgments.Set, []*eval.Run) {
	g := rand.New(rand.NewPCG(1, 2))
	runs := make([]*eval.Run, systems)
	for s := range runs {
		runs[s] = &eval.Run{System: fmt.Sprintf("run%d", s), Hits: make(map[string][]eval.Hit, queries)}
	}
	products := make([]string, 5*depth)
	for i := range products {
		products[i] = fmt.Sprintf("p%04d", i)
	}
	js := func(yield func(judgments.Judgment, error) bool) {
		for q := range queries {
			id := strconv.Itoa(q)
			for i := range 20 {
				label := []string{"0", "1", "2", "3"}[g.IntN(4)]
				if !yield(judgments.Judgment{QueryID: id, Product: products[i], Label: judgments.Label(label)}, nil) {
					return
				}
			}
		}
	}
	qrels, _, err := judgments.NewSet(judgments.Of(js), judgments.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range qrels.Queries {
		for s, run := range runs {
			hits := make([]eval.Hit, depth)
			start := g.IntN(10 + s)
			for i := range hits {
				hits[i] = eval.Hit{Product: products[(start+i*7)%len(products)], Score: float64(depth - i)}
			}
			run.Hits[q.ID] = hits
		}
	}
	return qrels, runs
}

func metricsOf(b *testing.B, names ...string) (out []eval.Metric) {
	for _, n := range names {
		m, err := eval.ParseMetric(n)
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// BenchmarkEvaluate makes a whole report from runs: all metrics, 10,000 draws of
// the bootstrap and of the randomisation test for every pair and metric.
func BenchmarkEvaluate(b *testing.B) {
	for _, queries := range []int{100, 22_458} {
		b.Run(fmt.Sprintf("queries=%d/systems=6/draws=10000", queries), func(b *testing.B) {
			q, runs := bigCase(b, queries, 6, 100)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if _, _, err := eval.Evaluate(context.Background(), eval.Input{Qrels: q, Full: runs}, eval.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/1e6, "MB/op")
		})
	}
}

// BenchmarkPeers times the comparison of six systems by eight metrics against
// ranx's, where it is installed: ours with 10,000 randomisations and as many
// bootstrap draws, ranx with the randomisation test alone and a hundredth of the
// draws, since with all it would take hours. us/draw is a draw of one pair by one
// metric.
func BenchmarkPeers(b *testing.B) {
	const queries, systems, depth = 22_458, 6, 20
	ours := []string{"ndcg@10", "recall@10", "recall@20", "mrr@10", "map@20", "precision@10", "success@10", "dcg@10"}
	theirs := []string{"ndcg@10", "recall@10", "recall@20", "mrr@10", "map@20", "precision@10", "hit_rate@10", "dcg@10"}
	tests := float64(systems * (systems - 1) / 2 * len(ours))
	q, runs := bigCase(b, queries, systems, depth)
	b.Run("ours/draws=10000", func(b *testing.B) {
		o := eval.Options{Metrics: metricsOf(b, ours...), Draws: 10_000}
		for b.Loop() {
			if _, _, err := eval.Evaluate(context.Background(), eval.Input{Qrels: q, Full: runs}, o); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/tests/2/10_000, "us/draw")
	})
	b.Run("ranx/draws=100", func(b *testing.B) {
		p := peers.Python(b, peerModules)
		if p == "" {
			b.Skip("ranx is not installed (make test-peers installs it)")
		}
		dir := b.TempDir()
		write := func(name string, f func(w *bytes.Buffer) error) {
			var out bytes.Buffer
			if err := f(&out); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		write("qrels.trec", func(w *bytes.Buffer) error { return judgments.WriteQrels(w, q) })
		for _, run := range runs {
			write(run.System+".trec", func(w *bytes.Buffer) error { return formats.WriteRun(w, run, q.Queries) })
		}
		var seconds float64
		for b.Loop() {
			out, err := exec.Command(p, append([]string{"testdata/peers/compare.py", dir, "100"}, theirs...)...).Output()
			if err != nil {
				b.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
			}
			s, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				b.Fatal(err)
			}
			seconds += s
		}
		b.ReportMetric(seconds/float64(b.N), "s/compare")
		b.ReportMetric(seconds/float64(b.N)*1e6/tests/100, "us/draw")
	})
}
