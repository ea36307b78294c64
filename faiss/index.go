package faiss

// #cgo CXXFLAGS: -std=c++17 -fopenmp
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync"
	"unsafe"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/processors"
)

// MaxK is the largest number of results that may be asked for.
const MaxK = 1 << 16

// ErrClosed is returned by the methods of an Index after Close.
var ErrClosed = errors.New("the vector index is closed")

func init() {
	// FAISS would wait for OpenBLAS's threads to share out work too small for it.
	C.tr_blas_threads(1)
}

// Params say how thoroughly an index is searched. Zero fields mean the index's
// own values; fields that do not concern its kind are ignored.
type Params struct {
	NProbe   int     `json:"nprobe,omitempty"`    // inverted lists visited (IVF)
	EfSearch int     `json:"ef_search,omitempty"` // length of the candidate list (HNSW)
	KFactor  float64 `json:"k_factor,omitempty"`  // candidates a result that are looked at again (Refine)
}

// Hit is a found vector with its inner product with the query.
type Hit struct {
	ID    uint32
	Score float32
}

// Index is an open, immutable vector index. See the package comment.
type Index struct {
	Params Params // used where a search gives none; set it before the first search

	path string
	sum  string // of the file, its SHA-256
	info C.tr_info

	mu     sync.RWMutex // held for reading while C works on ptr
	ptr    *C.tr_index
	gpu    *onGPU // nil: the processor searches
	slots  chan struct{}
	search sync.Pool // of *results
}

type results struct {
	ids    []int64
	scores []float32
}

// Open loads the index file at path, whose SHA-256, in hexadecimal, must be sum:
// the one that Build returned. The whole index is read into memory.
func Open(path, sum string) (*Index, error) {
	got, err := checksum.Of(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open vector index: %w", err)
	}
	if got.SHA256 != sum {
		return nil, fmt.Errorf("cannot open vector index %s: its SHA-256 is %.12s…, not %.12s… (it was cut off or changed since it was built; build it again)", path, got.SHA256, sum)
	}
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	x := &Index{
		path:   path,
		sum:    sum,
		slots:  make(chan struct{}, processors.Count()),
		search: sync.Pool{New: func() any { return new(results) }},
	}
	var msg [C.TR_ERR]C.char
	if C.tr_open(cpath, &x.ptr, &x.info, &msg[0]) != 0 {
		return nil, fmt.Errorf("cannot open vector index %s: %s", path, C.GoString(&msg[0]))
	}
	if x.info.inner_product != 1 || x.info.ntotal > math.MaxUint32 {
		defer x.Close()
		return nil, fmt.Errorf("cannot open vector index %s: it does not rank by inner product, or has more than %d vectors", path, uint32(math.MaxUint32))
	}
	return x, nil
}

// Close frees the index after the searches under way; closing twice is harmless.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gpu != nil {
		x.gpu.close()
		x.gpu = nil
	}
	if x.ptr != nil {
		C.tr_close(x.ptr)
		x.ptr = nil
	}
	return nil
}

// Len returns the number of vectors.
func (x *Index) Len() int { return int(x.info.ntotal) }

// Dimension returns the number of values in a vector.
func (x *Index) Dimension() int { return int(x.info.dim) }

// Lists returns the number of inverted lists, 0 if the index has none.
func (x *Index) Lists() int { return int(x.info.nlist) }

// Refines reports whether a second, finer pass reorders what the first one found.
func (x *Index) Refines() bool { return x.info.refines == 1 }

// Graph reports whether the index is a navigable graph (HNSW).
func (x *Index) Graph() bool { return x.info.hnsw == 1 }

// Search returns the k vectors with the largest inner product with query, best
// first, fewer if there are not as many. allow, if not nil, restricts the
// results to its members. params override the index's own.
//
// An inverted-file index looks only at the lists nearest to the query, so
// with a strict filter it may find fewer than k though there are more.
func (x *Index) Search(ctx context.Context, query []float32, k int, params Params, allow *bitset.BitSet) ([]Hit, error) {
	if err := x.check(query, k); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k = min(k, x.Len())
	if allow == nil && k > 0 {
		hits, done, err := x.searchGPU(ctx, query, k, params)
		if done {
			return hits, err
		}
	}
	defer processors.Work()()
	select {
	case x.slots <- struct{}{}:
		defer func() { <-x.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.ptr == nil {
		return nil, ErrClosed
	}
	if k == 0 {
		return nil, nil
	}
	if allow == nil || x.info.filters == 1 {
		return x.searchOnce(query, k, params, allow)
	}
	// This kind of index cannot filter: ask for more until enough remain.
	for n := min(4*k, x.Len()); ; n = min(4*n, x.Len()) {
		all, err := x.searchOnce(query, n, params, nil)
		if err != nil {
			return nil, err
		}
		hits := all[:0]
		for _, h := range all {
			if allow.Test(uint(h.ID)) {
				hits = append(hits, h)
			}
		}
		if len(hits) >= k {
			return hits[:k], nil
		}
		if n == x.Len() || n >= MaxK {
			return hits, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// searchGPU searches on the GPU if the index is on one that can; done is false if the
// processor has to.
func (x *Index) searchGPU(ctx context.Context, query []float32, k int, params Params) (hits []Hit, done bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	nprobe := min(cmp.Or(params.NProbe, x.Params.NProbe), x.Lists())
	if !x.gpu.takes(k, nprobe) {
		return nil, false, nil
	}
	hits, err = x.gpu.search(ctx, query, k, nprobe)
	if failed := (*gpuError)(nil); errors.As(err, &failed) {
		return nil, false, nil // and counted
	}
	return hits, true, err
}

func (x *Index) check(query []float32, k int) error {
	if len(query) != x.Dimension() {
		return fmt.Errorf("cannot search %s: the query has %d values, the index %d", x.path, len(query), x.Dimension())
	}
	if k < 1 || k > MaxK {
		return fmt.Errorf("cannot search %s: k is %d, not within 1..%d", x.path, k, MaxK)
	}
	return CheckFinite(query)
}

// CheckFinite returns an error if any of values is NaN or infinite.
func CheckFinite(values []float32) error {
	for i, v := range values {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("cannot use a vector with %v as value %d", v, i)
		}
	}
	return nil
}

func (x *Index) searchOnce(query []float32, k int, p Params, allow *bitset.BitSet) ([]Hit, error) {
	if p == (Params{}) {
		p = x.Params
	}
	r := x.search.Get().(*results)
	defer x.search.Put(r)
	if cap(r.ids) < k {
		r.ids, r.scores = make([]int64, k), make([]float32, k)
	}
	ids, scores := r.ids[:k], r.scores[:k]

	// More candidates than there are vectors change nothing, and FAISS makes room for them.
	p.EfSearch, p.KFactor = min(p.EfSearch, x.Len()), min(p.KFactor, float64(x.Len()))
	var bitmap *C.uint8_t
	var bitmapBytes C.int64_t
	if allow != nil {
		words := allow.Words()
		if len(words) == 0 {
			return nil, nil
		}
		if bits.UintSize != 64 {
			return nil, errors.New("cannot filter vectors on a 32-bit machine")
		}
		// Little-endian words of 64 bits are bytes in the order FAISS wants.
		bitmap, bitmapBytes = (*C.uint8_t)(unsafe.Pointer(&words[0])), C.int64_t(8*len(words))
	}
	var msg [C.TR_ERR]C.char
	rc := C.tr_search(x.ptr, 1, (*C.float)(&query[0]), C.int64_t(k),
		C.int64_t(min(p.NProbe, x.Lists())), C.int64_t(p.EfSearch), C.float(p.KFactor),
		bitmap, bitmapBytes, (*C.float)(&scores[0]), (*C.int64_t)(unsafe.Pointer(&ids[0])), &msg[0])
	if rc != 0 {
		return nil, fmt.Errorf("cannot search %s: %s", x.path, C.GoString(&msg[0]))
	}
	for _, id := range ids { // of a kind that nobody looked into
		if id >= int64(x.info.ntotal) {
			return nil, fmt.Errorf("cannot search %s: the index is damaged: it finds vector %d of %d", x.path, id, x.Len())
		}
	}
	return hits(ids, scores), nil
}

// hits are results as FAISS gives them, which fills up with ids of -1.
func hits(ids []int64, scores []float32) []Hit {
	out := make([]Hit, 0, len(ids))
	for i, id := range ids {
		if id < 0 {
			break
		}
		out = append(out, Hit{uint32(id), scores[i]})
	}
	return out
}

// Vector returns the vector with the given id as the index keeps it: a quantized
// index returns an approximation. An inverted-file index has to look through its
// lists for it.
func (x *Index) Vector(id uint32) ([]float32, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.ptr == nil {
		return nil, ErrClosed
	}
	if int64(id) >= int64(x.info.ntotal) {
		return nil, fmt.Errorf("cannot read vector %d of %s: it has %d", id, x.path, x.Len())
	}
	v := make([]float32, x.Dimension())
	var msg [C.TR_ERR]C.char
	if C.tr_reconstruct(x.ptr, C.int64_t(id), (*C.float)(&v[0]), &msg[0]) != 0 {
		return nil, fmt.Errorf("cannot read vector %d of %s: %s", id, x.path, C.GoString(&msg[0]))
	}
	return v, nil
}

// Version returns the version of the FAISS library.
func Version() string { return C.GoString(C.tr_version()) }

// InnerProducts writes the inner product of query with each row of matrix, which
// holds len(dst) rows of len(query) values, to dst.
func InnerProducts(dst, query, matrix []float32) {
	if len(matrix) != len(dst)*len(query) {
		panic(fmt.Sprintf("faiss: %d values are not %d rows of %d", len(matrix), len(dst), len(query)))
	}
	if len(dst) > 0 && len(query) > 0 {
		C.tr_inner_products((*C.float)(&dst[0]), (*C.float)(&query[0]), (*C.float)(&matrix[0]), C.int64_t(len(query)), C.int64_t(len(dst)))
	}
}
