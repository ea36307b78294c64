package faiss

// #include <stdlib.h>
// #include "gpu.h"
import "C"

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/trirank/trirank/internal/checksum"
)

// GPUOptions say how an index is kept on a GPU. The zero value means the defaults.
type GPUOptions struct {
	Device int
	// Batch is how many queries that wait are searched at once at most; default 1024.
	Batch int
	// Scratch is the memory that a search works in, in bytes; default 512 MiB. It is
	// taken when the index is moved, and batches are only so large that they fit in.
	Scratch int64
}

// gpuMaxBatch bounds Batch: with MaxGPUK results each it is 64 MB.
const gpuMaxBatch = 4096

// MaxGPUK is the largest number of results, and of inverted lists visited, for which a
// GPU is asked; the processor answers for more.
const MaxGPUK = C.TR_GPU_MAX_K

// onGPU is the copy of an index on a GPU. FAISS wants one thread at a time there, and a
// GPU answers many queries in hardly more time than one: so one goroutine has it,
// and takes all that wait whenever it is free.
type onGPU struct {
	api       *C.tr_gpu_api
	ptr       *C.tr_gpu_index
	device    Device
	dimension int
	lists     bool // it has inverted lists
	bytes     int64
	batch     int
	scratch   int64
	wait      chan *gpuQuery
	ended     chan struct{}

	queries, batches, failures atomic.Uint64
}

// GPUStats counts what was done on a GPU.
type GPUStats struct {
	Queries, Batches uint64
	Failures         uint64 // queries that the processor answered since the GPU did not
}

// gpuQuery is a search that waits for the GPU.
type gpuQuery struct {
	ctx       context.Context
	query     []float32
	k, nprobe int
	hits      []Hit
	err       error
	done      chan struct{}
}

// UseGPU copies the index to a GPU, where searches are done from then on but for those
// that a GPU cannot do: with a filter, beyond MaxGPUK, and those at which it fails. The
// index stays in memory for them. Call it before the first search. The error says why the index, or the
// machine, is not fit for it, and the index is as it was.
func (x *Index) UseGPU(o GPUOptions) error {
	if o.Batch == 0 {
		o.Batch = 1024
	}
	if o.Scratch == 0 {
		o.Scratch = 512 << 20
	}
	if o.Batch < 1 || o.Batch > gpuMaxBatch || o.Scratch < 0 || o.Device < 0 {
		return fmt.Errorf("cannot use GPU %d for batches of %d queries with %d bytes: a batch is within 1..%d", o.Device, o.Batch, o.Scratch, gpuMaxBatch)
	}
	if x.Params.NProbe > MaxGPUK {
		return fmt.Errorf("cannot keep %s on GPU %d: it visits %d lists a query, and a GPU can %d at most", x.path, o.Device, x.Params.NProbe, MaxGPUK)
	}
	if x.Len() == 0 {
		return fmt.Errorf("cannot keep %s on GPU %d: it has no vectors", x.path, o.Device)
	}
	api, err := library()
	if err != nil {
		return err
	}
	d, err := device(api, o.Device)
	if err != nil {
		return err
	}
	g := &onGPU{
		api: api, device: d, dimension: x.Dimension(), lists: x.Lists() > 0, batch: o.Batch, scratch: o.Scratch,
		wait: make(chan *gpuQuery, o.Batch), ended: make(chan struct{}),
	}
	cpath := C.CString(x.path)
	defer C.free(unsafe.Pointer(cpath))
	var msg [C.TR_GPU_ERR]C.char
	var bytes C.int64_t
	k, nprobe := min(x.Len(), gpuTriedK), min(x.Params.NProbe, x.Lists())
	if C.tr_gpu_open(api, cpath, C.int32_t(o.Device), C.int64_t(o.Scratch), C.int64_t(g.most(k, nprobe)), C.int64_t(k), C.int64_t(nprobe), &g.ptr, &bytes, &msg[0]) != 0 {
		return fmt.Errorf("cannot keep %s on GPU %d: %s", x.path, o.Device, C.GoString(&msg[0]))
	}
	g.bytes = int64(bytes)
	// It was read a second time, and may have become another one meanwhile.
	if sum, err := checksum.Of(x.path); err != nil || sum.SHA256 != x.sum {
		C.tr_gpu_close(api, g.ptr)
		return cmp.Or(err, fmt.Errorf("cannot keep %s on GPU %d: it was changed since it was opened", x.path, o.Device))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ptr == nil || x.gpu != nil {
		C.tr_gpu_close(api, g.ptr)
		return fmt.Errorf("cannot keep %s on GPU %d: it is closed, or on a GPU already", x.path, o.Device)
	}
	x.gpu = g
	go g.work()
	return nil
}

// gpuTriedK is how many results are asked for at first, to see that it works.
const gpuTriedK = 100

// GPU returns the device that the index is searched on, and the bytes it takes there;
// ok is false if it is searched by the processor.
func (x *Index) GPU() (d Device, bytes int64, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.gpu == nil {
		return d, 0, false
	}
	return x.gpu.device, x.gpu.bytes, true
}

// GPUStats returns what was done on the GPU so far; zeros if there is none.
func (x *Index) GPUStats() (s GPUStats) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if g := x.gpu; g != nil {
		s = GPUStats{g.queries.Load(), g.batches.Load(), g.failures.Load()}
	}
	return s
}

// takes reports whether a search can be done on the GPU.
func (g *onGPU) takes(k, nprobe int) bool {
	return g != nil && k <= MaxGPUK && nprobe <= MaxGPUK && g.most(k, nprobe) > 0
}

// most is how many queries of a kind fit in the memory to work in, at most a batch.
// FAISS keeps the query beside each list that it visits, and the best k of the list
// twice (impl/IVFFlat.cu, impl/scan/IVFInterleavedScanKernelTemplate.cu); exact search
// divides its work itself.
func (g *onGPU) most(k, nprobe int) int {
	if !g.lists {
		return g.batch
	}
	each := int64(max(nprobe, 1)) * int64(4*g.dimension+12*k)
	return int(min(int64(g.batch), g.scratch/each))
}

// gpuError is that a GPU could not do what it was asked, which the processor may.
type gpuError struct {
	device int
	text   string
}

func (e *gpuError) Error() string {
	return fmt.Sprintf("cannot search on GPU %d: %s", e.device, e.text)
}

// search waits for the GPU and returns what it finds.
func (g *onGPU) search(ctx context.Context, query []float32, k, nprobe int) ([]Hit, error) {
	q := &gpuQuery{ctx: ctx, query: query, k: k, nprobe: nprobe, done: make(chan struct{})}
	select {
	case g.wait <- q:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// Who gives up waiting leaves q.query to the worker, which only reads it.
	select {
	case <-q.done:
		return q.hits, q.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close ends the worker after what waits. Nobody may search any more.
func (g *onGPU) close() {
	close(g.wait)
	<-g.ended
	C.tr_gpu_close(g.api, g.ptr)
}

// work answers queries until there are no more to come.
func (g *onGPU) work() {
	// CUDA keeps the device in use for each thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(g.ended)
	var batch []*gpuQuery
	var next *gpuQuery // taken, but of other parameters than the batch before
	var queries, scores []float32
	var ids []int64
	for {
		if next == nil {
			q, open := <-g.wait
			if !open {
				return
			}
			next = q
		}
		batch, next = append(batch[:0], next), nil
		k := batch[0].k
	fill:
		for {
			select {
			case q, open := <-g.wait:
				if !open {
					break fill
				}
				if more := max(k, q.k); q.nprobe == batch[0].nprobe && len(batch) < g.most(more, q.nprobe) {
					batch, k = append(batch, q), more
					continue
				}
				next = q
				break fill
			default:
				break fill
			}
		}
		queries = queries[:0]
		waiting := batch[:0]
		for _, q := range batch {
			if q.err = q.ctx.Err(); q.err != nil { // nobody waits for it any more
				close(q.done)
				continue
			}
			queries = append(queries, q.query...)
			waiting = append(waiting, q)
		}
		if len(waiting) == 0 {
			continue
		}
		if n := len(waiting) * k; cap(ids) < n {
			ids, scores = make([]int64, n), make([]float32, n)
		}
		g.answer(waiting, queries, k, scores[:len(waiting)*k], ids[:len(waiting)*k])
	}
}

// answer searches a batch, for the most results that any of it wants.
func (g *onGPU) answer(batch []*gpuQuery, queries []float32, k int, scores []float32, ids []int64) {
	var msg [C.TR_GPU_ERR]C.char
	rc := C.tr_gpu_search(g.api, g.ptr, C.int64_t(len(batch)), (*C.float)(&queries[0]), C.int64_t(k), C.int64_t(batch[0].nprobe),
		(*C.float)(&scores[0]), (*C.int64_t)(unsafe.Pointer(&ids[0])), &msg[0])
	g.batches.Add(1)
	g.queries.Add(uint64(len(batch)))
	if rc != 0 {
		g.failures.Add(uint64(len(batch)))
	}
	for i, q := range batch {
		if rc != 0 {
			q.err = &gpuError{g.device.Number, C.GoString(&msg[0])}
		} else {
			q.hits = hits(ids[i*k:i*k+q.k], scores[i*k:i*k+q.k])
		}
		close(q.done)
	}
}
