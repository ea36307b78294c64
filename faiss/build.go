package faiss

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	gofaiss "github.com/DataIntelligenceCrew/go-faiss"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
)

// #include "shim.h"
import "C"

// BuildOptions say how an index is built. The zero value means the defaults.
type BuildOptions struct {
	Factory string // a FAISS factory string; default AutoFactory
	// Recall is the share of the ten true nearest that a search has to find;
	// the cheapest parameters that reach it are chosen and become the
	// index's own. Default .99.
	Recall float64
	// Queries are vectors, one after the other, on which recall is measured;
	// at best those of real queries, which lie elsewhere than products do.
	// Vectors of the index are added, up to tuneQueries in all.
	Queries []float32
	// Params, if not nil, are taken as the index's own, and nothing is chosen or
	// measured.
	Params *Params
	// Progress, if not nil, is told after each step how many vectors are in.
	Progress func(done, total int)
}

// Built is what there is to know about a new index; it is kept in the manifest.
type Built struct {
	Factory string  `json:"factory"` // as chosen
	SHA256  string  `json:"sha256"`
	Vectors int     `json:"vectors"`
	Bytes   int64   `json:"bytes"`
	Params  Params  `json:"params"` // the cheapest that reach the wanted recall
	Recall  float64 `json:"recall"` // reached with Params: share of the true ten nearest found; 0: not measured
}

// addBatch bounds how many vectors one call adds, and so how long an interrupt
// has to wait.
const addBatch = 16384

// Build trains an index on vectors, adds them in order, writes the index to path
// and chooses its search parameters. vectors holds the vectors one after
// the other and may be a memory map. When ctx ends, Build stops after the step
// at hand; nothing is left at path unless Build succeeds.
func Build(ctx context.Context, path string, vectors []float32, dimension int, opts BuildOptions) (Built, error) {
	if dimension < 1 || len(vectors) == 0 || len(vectors)%dimension != 0 {
		return Built{}, fmt.Errorf("cannot build a vector index of %d values of dimension %d: it must be one whole vector at least", len(vectors), dimension)
	}
	n := len(vectors) / dimension
	if opts.Recall == 0 {
		opts.Recall = .99
	}
	if !(opts.Recall > 0 && opts.Recall <= 1) {
		return Built{}, fmt.Errorf("cannot build a vector index: recall %v is not within 0..1", opts.Recall)
	}
	if len(opts.Queries)%dimension != 0 {
		return Built{}, fmt.Errorf("cannot build a vector index of dimension %d: %d query values are not whole vectors", dimension, len(opts.Queries))
	}
	for _, v := range [][]float32{vectors, opts.Queries} {
		if err := CheckFinite(v); err != nil {
			return Built{}, fmt.Errorf("cannot build a vector index: %w", err)
		}
	}
	b := Built{Factory: ChooseFactory(opts.Factory, dimension, n), Vectors: n}
	if err := CheckFactory(b.Factory, dimension, n); err != nil {
		return Built{}, err
	}
	if err := write(ctx, path, vectors, dimension, b.Factory, opts.Progress); err != nil {
		return Built{}, fmt.Errorf("cannot build vector index %s (%s): %w", path, b.Factory, err)
	}
	keep := false
	defer func() {
		if !keep {
			os.Remove(path)
		}
	}()
	sum, err := checksum.Of(path)
	if err != nil {
		return Built{}, err
	}
	b.SHA256, b.Bytes = sum.SHA256, sum.Bytes
	if opts.Params != nil {
		b.Params = *opts.Params
	} else if b.Params, b.Recall, err = tune(ctx, path, b.SHA256, vectors, dimension, opts); err != nil {
		return Built{}, err
	}
	keep = true
	return b, nil
}

// write makes the index file with go-faiss.
func write(ctx context.Context, path string, vectors []float32, dimension int, factory string, progress func(int, int)) error {
	// go-faiss keeps FAISS's error text in the thread that failed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n := len(vectors) / dimension
	index, err := gofaiss.IndexFactory(dimension, factory, gofaiss.MetricInnerProduct)
	if err != nil {
		return err
	}
	defer index.Delete()
	if !index.IsTrained() {
		train := trainingSet(vectors, dimension, factory)
		// Threads of OpenBLAS speed the k-means of large lists, but stumble
		// over each other in a product quantizer's many small ones.
		if !strings.Contains(factory, "PQ") {
			C.tr_blas_threads(C.int(runtime.NumCPU()))
			defer C.tr_blas_threads(1)
		}
		if err := index.Train(train); err != nil {
			return fmt.Errorf("training failed: %w", err)
		}
	}
	for i := 0; i < n; i += addBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(i+addBatch, n)
		if err := index.Add(vectors[i*dimension : end*dimension]); err != nil {
			return fmt.Errorf("adding vectors %d to %d failed: %w", i, end-1, err)
		}
		if progress != nil {
			progress(end, n)
		}
	}
	if index.Ntotal() != int64(n) {
		return fmt.Errorf("FAISS holds %d vectors of %d", index.Ntotal(), n)
	}
	// FAISS writes to a name, not to a writer, so the file is made aside here.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".faiss-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	aside := filepath.Join(dir, "index")
	if err := gofaiss.WriteIndex(index, aside); err != nil {
		return err
	}
	if err := atomicfile.SyncTree(dir); err != nil {
		return err
	}
	if err := os.Rename(aside, path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// trainingSet returns at most 256 vectors a centroid (what FAISS would use of
// more), evenly spaced so that every part of the catalogue has its share.
func trainingSet(vectors []float32, dimension int, factory string) []float32 {
	n := len(vectors) / dimension
	want := 65536
	if m := ivfPart.FindStringSubmatch(factory); m != nil {
		var nlist int
		fmt.Sscan(m[1], &nlist)
		want = max(want, 256*nlist)
	}
	if n <= want {
		return vectors
	}
	out := make([]float32, 0, want*dimension)
	for i := range want {
		at := int(float64(i) * float64(n) / float64(want))
		out = append(out, vectors[at*dimension:(at+1)*dimension]...)
	}
	return out
}

// tuneQueries is how many queries recall is measured with: its standard error at
// .99 is then about .002 for ten results each.
const tuneQueries = 256

const tuneK = 10

// tune returns the cheapest parameters with which the index finds the wanted
// share of the true nearest, and the share that it finds.
func tune(ctx context.Context, path, sum string, vectors []float32, dimension int, opts BuildOptions) (Params, float64, error) {
	x, err := Open(path, sum)
	if err != nil {
		return Params{}, 0, err
	}
	defer x.Close()
	queries := append([]float32(nil), opts.Queries[:min(len(opts.Queries), tuneQueries*dimension)]...)
	n := len(vectors) / dimension
	for i, add := 0, min(tuneQueries-len(queries)/dimension, n); i < add; i++ {
		at := (2*i + 1) * n / (2 * add)
		queries = append(queries, vectors[at*dimension:(at+1)*dimension]...)
	}
	truth, err := Exact(ctx, queries, vectors, dimension, tuneK)
	if err != nil {
		return Params{}, 0, err
	}
	recall := func(p Params) (float64, error) {
		found, total := 0, 0
		for i, want := range truth {
			hits, err := x.Search(ctx, queries[i*dimension:(i+1)*dimension], tuneK, p, nil)
			if err != nil {
				return 0, err
			}
			found += Near(hits, queries[i*dimension:(i+1)*dimension], vectors, want[len(want)-1].Score)
			total += len(want)
		}
		return float64(found) / float64(total), nil
	}
	// Each parameter is raised only as far as it helps: first the second pass,
	// with the first one at its most thorough, then the first.
	best := Params{}
	steps := []struct {
		applies bool
		most    int
		set     func(p *Params, v int)
	}{
		{x.Refines(), 64, func(p *Params, v int) { p.KFactor = float64(v) }},
		{x.Lists() > 0, x.Lists(), func(p *Params, v int) { p.NProbe = v }},
		{x.Graph(), 1024, func(p *Params, v int) { p.EfSearch = v }},
	}
	for _, s := range steps {
		if s.applies {
			s.set(&best, s.most)
		}
	}
	reached, err := recall(best)
	if err != nil {
		return Params{}, 0, err
	}
	for _, s := range steps {
		if !s.applies {
			continue
		}
		// Recall grows with the parameter, so the least value that reaches
		// the target, or the most that can be had, is found by halving.
		target := min(opts.Recall, reached)
		low, high := 1, s.most
		for low < high {
			p, mid := best, (low+high)/2
			s.set(&p, mid)
			r, err := recall(p)
			if err != nil {
				return Params{}, 0, err
			}
			if r >= target {
				high, best, reached = mid, p, r
			} else {
				low = mid + 1
			}
		}
	}
	return best, reached, nil
}

// Near counts the hits whose own vectors are as near to query as least, but for rounding:
// of products with one text, whose vectors are the same, any will do. vectors holds
// those of the index, one after the other; an index may keep them less exactly.
func Near(hits []Hit, query, vectors []float32, least float32) (n int) {
	const rounding = 1e-6
	var score [1]float32
	for _, h := range hits {
		InnerProducts(score[:], query, vectors[int(h.ID)*len(query):][:len(query)])
		if score[0] >= least-rounding {
			n++
		}
	}
	return n
}

// Exact returns the k vectors with the largest inner products with each query, best
// first, by comparing all: the truth that recall is measured against. queries and
// vectors hold one vector after the other.
func Exact(ctx context.Context, queries, vectors []float32, dimension, k int) ([][]Hit, error) {
	if dimension < 1 || len(queries)%dimension != 0 || len(vectors)%dimension != 0 || k < 1 {
		return nil, errors.New("cannot search exactly: the vectors must be whole and k at least 1")
	}
	const block = 4096
	n := len(vectors) / dimension
	out := make([][]Hit, len(queries)/dimension)
	scores := make([]float32, min(block, n))
	for start := 0; start < n; start += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		end := min(start+block, n)
		for q := range out {
			InnerProducts(scores[:end-start], queries[q*dimension:(q+1)*dimension], vectors[start*dimension:end*dimension])
			out[q] = KeepBest(out[q], scores[:end-start], uint32(start), k)
		}
	}
	return out, nil
}

// KeepBest inserts the scores of the ids from first on into hits, which is in
// order, best first, and holds at most k; it returns hits.
func KeepBest(hits []Hit, scores []float32, first uint32, k int) []Hit {
	worst := float32(math.Inf(-1))
	if len(hits) == k {
		worst = hits[k-1].Score
	}
	for i, s := range scores {
		if len(hits) == k && s <= worst {
			continue
		}
		at := len(hits)
		for at > 0 && hits[at-1].Score < s {
			at--
		}
		if len(hits) < k {
			hits = append(hits, Hit{})
		}
		copy(hits[at+1:], hits[at:])
		hits[at] = Hit{first + uint32(i), s}
		worst = hits[len(hits)-1].Score
	}
	return hits
}
