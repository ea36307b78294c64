package faiss

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trirank/trirank/internal/fakegpu"
)

var (
	gpuRows  = flag.Int("gpu.rows", 5000, "vectors that BenchmarkGPU searches")
	gpuFiles = flag.String("gpu.files", "", "folder in which it leaves the indexes and queries, for others to search")
)

const gpuDimension, gpuK = 384, 10

// BenchmarkGPU compares the processor, with all its cores, and a GPU on the same files:
// batches of queries at once, and callers who each ask for one query and wait. Before
// it times anything it compares what they find.
func BenchmarkGPU(b *testing.B) {
	fakegpu.Use(b, "..")
	n, device := *gpuRows, "gpu"
	if !fakegpu.Real() {
		device = "pretended" // the same code, on the processor: its times mean nothing
	}
	dir := *gpuFiles
	if dir == "" {
		dir = b.TempDir()
	}
	vectors := likeTexts(n, gpuDimension)
	queries := likeTexts(4096, gpuDimension)
	// A query lies near some product.
	for i := range 4096 {
		v := vectors[i*7919%n*gpuDimension:][:gpuDimension]
		q := queries[i*gpuDimension:][:gpuDimension]
		for j := range q {
			q[j] = v[j] + .3*q[j]
		}
		unit(q)
	}
	if err := os.WriteFile(filepath.Join(dir, "queries.f32"), littleEndian(queries), 0o644); err != nil {
		b.Fatal(err)
	}
	lists := min(1024, n/PointsPerCentroid) // more would take minutes to place
	nprobe := max(1, lists/64)
	for _, kind := range []string{"Flat", "SQfp16", "SQ8", "PQ48np"} {
		factory := fmt.Sprintf("IVF%d,%s", lists, kind)
		path := filepath.Join(dir, fmt.Sprintf("IVF-%s.faiss", kind))
		start := time.Now()
		built, err := Build(b.Context(), path, vectors, gpuDimension, BuildOptions{Factory: factory, Params: &Params{NProbe: nprobe}})
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%s of %d vectors was built in %v", factory, n, time.Since(start).Round(time.Second))
		cpu, gpu := opened(b, path, built), opened(b, path, built)
		before := freeBytes(b)
		if err := gpu.UseGPU(GPUOptions{Batch: gpuMaxBatch, Scratch: 1 << 30}); err != nil {
			b.Fatal(err)
		}
		taken := before - freeBytes(b)
		name := fmt.Sprintf("index=%s/nprobe=%d", factory, nprobe)
		compareDevices(b, name, cpu, gpu, queries)
		for batch := 1; batch <= 4096; batch *= 4 {
			of := fmt.Sprintf("%s/batch=%d", name, batch)
			batches(b, of+"/device=cpu", batch, func(first int) {
				var all sync.WaitGroup
				var next atomic.Int64
				for range min(batch, runtime.NumCPU()) {
					all.Go(func() {
						for {
							i := int(next.Add(1)) - 1
							if i >= batch {
								return
							}
							if _, err := cpu.searchOnce(query(queries, first+i), gpuK, Params{}, nil); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			})
			// The worker is idle, and this stands in its place.
			scores, ids := make([]float32, batch*gpuK), make([]int64, batch*gpuK)
			waiting := make([]*gpuQuery, batch)
			flat := make([]float32, 0, batch*gpuDimension)
			batches(b, of+"/device="+device, batch, func(first int) {
				flat = flat[:0]
				for i := range waiting {
					waiting[i] = &gpuQuery{k: gpuK, nprobe: nprobe, done: make(chan struct{})}
					flat = append(flat, query(queries, first+i)...)
				}
				gpu.gpu.answer(waiting, flat, gpuK, scores, ids)
				if err := waiting[0].err; err != nil {
					b.Error(err)
				}
			})
		}
		for _, callers := range []int{1, 8, 64, 512} {
			together(b, fmt.Sprintf("%s/callers=%d/device=cpu", name, callers), callers, cpu, queries)
			together(b, fmt.Sprintf("%s/callers=%d/device=%s", name, callers, device), callers, gpu, queries)
		}
		_, bytes, _ := gpu.GPU()
		b.Run(name+"/memory", func(b *testing.B) {
			b.ReportMetric(float64(bytes)/1e6, "counted-MB")
			b.ReportMetric(float64(taken)/1e6, "taken-MB") // with what it works in
			b.ReportMetric(float64(built.Bytes)/1e6, "file-MB")
			b.ReportMetric(0, "ns/op")
		})
		cpu.Close()
		gpu.Close()
	}
}

// freeBytes is the memory that the GPU has left.
func freeBytes(b *testing.B) int64 {
	b.Helper()
	bytes, err := FreeMemory(0)
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

func query(queries []float32, i int) []float32 {
	i %= len(queries) / gpuDimension
	return queries[i*gpuDimension : (i+1)*gpuDimension]
}

func opened(b *testing.B, path string, built Built) *Index {
	b.Helper()
	x, err := Open(path, built.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	x.Params = built.Params
	return x
}

// compareDevices fails unless scores are within 1e-3 and .99 of the hits are the same.
func compareDevices(b *testing.B, name string, cpu, gpu *Index, queries []float32) {
	b.Helper()
	same, all, apart := 0, 0, 0.
	for i := range 1000 {
		want, err := cpu.Search(b.Context(), query(queries, i), gpuK, Params{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		got, err := gpu.Search(b.Context(), query(queries, i), gpuK, Params{}, nil)
		if err != nil || len(got) != len(want) {
			b.Fatalf("%d hits, not %d: %v", len(got), len(want), err)
		}
		for r, h := range got {
			apart = max(apart, math.Abs(float64(h.Score-want[r].Score)))
			all++
			if slices.ContainsFunc(want, func(w Hit) bool { return w.ID == h.ID }) {
				same++
			}
		}
	}
	share := float64(same) / float64(all)
	b.Run(name+"/agreement", func(b *testing.B) {
		b.ReportMetric(share, "overlap@10")
		b.ReportMetric(apart, "score-difference")
		b.ReportMetric(0, "ns/op")
	})
	if share < .99 || apart > 1e-3 {
		b.Errorf("%s: %.4f of the hits are the same, and scores up to %g apart", name, share, apart)
	}
}

// batches times batches of queries, and reports the queries a second.
func batches(b *testing.B, name string, size int, search func(first int)) {
	b.Run(name, func(b *testing.B) {
		search(0)
		first := 0
		for b.Loop() {
			first += size
			search(first)
		}
		b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "queries/s")
	})
}

// together has callers ask for a query each, over and over, and reports the times that
// they wait.
func together(b *testing.B, name string, callers int, x *Index, queries []float32) {
	b.Run(name, func(b *testing.B) {
		var all sync.WaitGroup
		times := make([][]float64, callers)
		budget := 500 * time.Millisecond
		if !fakegpu.Real() {
			budget = 50 * time.Millisecond
		}
		start := time.Now()
		for c := range callers {
			all.Go(func() {
				for i := c; time.Since(start) < budget; i += callers {
					begun := time.Now()
					if _, err := x.Search(context.Background(), query(queries, i), gpuK, Params{}, nil); err != nil {
						b.Error(err)
						return
					}
					times[c] = append(times[c], float64(time.Since(begun)))
				}
			})
		}
		all.Wait()
		took := time.Since(start).Seconds()
		list := slices.Sorted(slices.Values(slices.Concat(times...)))
		if len(list) == 0 {
			return
		}
		b.ReportMetric(float64(len(list))/took, "queries/s")
		b.ReportMetric(list[len(list)/2], "p50-ns")
		b.ReportMetric(list[(len(list)-1)*99/100], "p99-ns")
		b.ReportMetric(0, "ns/op")
	})
}

// likeTexts makes unit vectors that lie as those of texts do: around centres that share
// a direction.
func likeTexts(n, dim int) []float32 {
	const centres = 200
	r := rand.New(rand.NewPCG(5, uint64(n)))
	where := make([]float32, centres*dim)
	for i := range where {
		where[i] = .6*float32(i%dim%7)/7 + float32(r.NormFloat64())/3
	}
	out := make([]float32, n*dim)
	var all sync.WaitGroup
	parts := runtime.NumCPU()
	for p := range parts {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), uint64(p)))
			for i := p * n / parts; i < (p+1)*n/parts; i++ {
				v, c := out[i*dim:(i+1)*dim], where[r.IntN(centres)*dim:][:dim]
				for j := range v {
					v[j] = c[j] + float32(r.NormFloat64())/4
				}
				unit(v)
			}
		})
	}
	all.Wait()
	return out
}

func unit(v []float32) {
	sum := 0.
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
}

func littleEndian(values []float32) []byte {
	out := make([]byte, 0, 4*len(values))
	for _, v := range values {
		bits := math.Float32bits(v)
		out = append(out, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	return out
}
