package bench_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/internal/peers"
)

// peerTexts are encoded by both sides, products as an index has them.
type peerTexts struct {
	Queries  []string `json:"queries"`
	Passages []string `json:"passages"`
}

func newPeerTexts(b *testing.B, queries, passages int) *peerTexts {
	b.Helper()
	out := &peerTexts{}
	seen := map[string]bool{}
	for j, err := range catalog.Sample().Judgments() {
		if err != nil {
			b.Fatal(err)
		}
		if !seen[j.Query] && len(seen) < queries {
			seen[j.Query] = true
			out.Queries = append(out.Queries, j.Query)
		}
	}
	template, err := catalog.ParseTemplate(catalog.DefaultTemplate)
	if err != nil {
		b.Fatal(err)
	}
	row, step := 0, max(1, catalog.Sample().Rows()/passages)
	for p, err := range catalog.Sample().Products() {
		if err != nil {
			b.Fatal(err)
		}
		if row%step == 0 && len(out.Passages) < passages {
			out.Passages = append(out.Passages, template.Text(&p))
		}
		row++
	}
	return out
}

// encoders compares ways to run both models. Those of Python are tried in several
// settings, and the best is compared with ours as it is by default.
func (t *peerTurns) encoders(b *testing.B) {
	list := newPeerTexts(b, 64, 128)
	file := filepath.Join(b.TempDir(), "texts.json")
	raw, err := json.Marshal(list)
	if err == nil {
		err = os.WriteFile(file, raw, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
	find := func(name string) string {
		model, err := store.FindModel(name)
		if err != nil {
			b.Fatal(err)
		}
		return model
	}
	fp32, dynamic := find(modelName), find(modelName+"-int8")
	others := []*peer{t.start(b, t.python, "encode.py", fp32, file)}
	if python := peers.BenchTorch("sentence_transformers, onnx"); python != "" {
		others = append(others, t.start(b, python, "sentences.py", fp32, file, b.TempDir()))
	} else {
		t.note("sentence-transformers is left out: TRIRANK_TORCH_PYTHON names no Python that has it.")
	}
	t.encoder(b, modelName, fp32, list, others, .9999)
	theirs := t.start(b, t.python, "encode.py", dynamic, file)
	t.encoder(b, modelName+"-int8", dynamic, list, []*peer{theirs}, .9999)
	// The int8 models that either side's users would make: ours is nearer to fp32.
	t.encoder(b, modelName+"-int8 by each one's own tool", int8Model(b), list, []*peer{theirs}, .99)
}

// encoder compares ours with others, of the same model or, as the least cosine of their
// vectors says, nearly so.
func (t *peerTurns) encoder(b *testing.B, name, model string, list *peerTexts, others []*peer, cosine float64) {
	open := func(threads int) *encoder.Encoder {
		e, err := onnx.Open(model, onnx.Options{Threads: threads})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { e.Close() })
		return e
	}
	byThreads := map[int]*encoder.Encoder{1: open(1), 2: open(2)}
	usual := byThreads[1]
	for _, p := range others {
		sameVectors(b, usual, p, list, cosine)
	}
	for _, threads := range []int{1, 2} {
		e := byThreads[threads]
		sides := []side{{"trirank", func() float64 {
			return oneByOne(b, len(list.Queries), func(i int) error { _, err := e.Query(b.Context(), list.Queries[i]); return err })
		}}}
		for _, p := range others {
			sides = append(sides, side{p.name, func() float64 { return p.value("single", "threads", threads) }})
		}
		t.turns(b, fmt.Sprintf("%s/queries_one_by_one/threads=%d", name, threads), median, sides...)
	}
	dst := make([]float32, len(list.Passages)*usual.Model.Dimension)
	sides := []side{{"trirank", func() float64 {
		done, start := 0, time.Now()
		for time.Since(start) < peerBudget() {
			if err := usual.Passages(b.Context(), list.Passages, dst); err != nil {
				b.Fatal(err)
			}
			done += len(list.Passages)
		}
		return float64(done) / time.Since(start).Seconds()
	}}}
	for _, p := range others {
		best, most := []any(nil), 0.
		for _, parallel := range [][2]int{{1, 2}, {2, 1}} { // sessions, threads of each
			if p.name == "sentence-transformers" && parallel[0] > 1 {
				continue // it runs one batch at a time
			}
			for _, rows := range []int{8, 16, 32} {
				setting := []any{"sessions", parallel[0], "threads", parallel[1], "rows", rows}
				if v := p.value("passages", setting...); v > most {
					best, most = setting, v
				}
			}
		}
		sides = append(sides, side{fmt.Sprintf("%s, %d×%d threads, batches of %d", p.name, best[1], best[3], best[5]), func() float64 { return p.value("passages", best...) }})
	}
	t.turns(b, name+"/products_in_batches", rate("products"), sides...)
}

// sameVectors checks that both sides make the same vectors, up to a cosine. Where these
// depend on what else is in a batch, those of queries are compared only.
func sameVectors(b *testing.B, e *encoder.Encoder, p *peer, list *peerTexts, least float64) {
	b.Helper()
	var theirs struct{ Queries, Passages [][]float64 }
	p.ask("results", &theirs)
	dim := e.Model.Dimension
	check := func(what string, ours []float32, theirs []float64) {
		dot, norm := 0., 0.
		for i, v := range ours {
			dot += float64(v) * theirs[i]
			norm += theirs[i] * theirs[i]
		}
		if cosine := dot / math.Sqrt(norm); !(cosine > least) {
			b.Fatalf("%s: the cosine of our vector and that of %s is %.6f", what, p.name, cosine)
		}
	}
	for i, text := range list.Queries {
		v, err := e.Query(b.Context(), text)
		if err != nil {
			b.Fatal(err)
		}
		check(text, v, theirs.Queries[i])
	}
	if e.Model.DependsOnBatch() {
		return
	}
	dst := make([]float32, len(list.Passages)*dim)
	if err := e.Passages(b.Context(), list.Passages, dst); err != nil {
		b.Fatal(err)
	}
	for i, text := range list.Passages {
		check(text, dst[i*dim:(i+1)*dim], theirs.Passages[i])
	}
}
