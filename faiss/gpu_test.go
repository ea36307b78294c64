package faiss_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/fakegpu"
)

func gpu(t *testing.T) { t.Helper(); fakegpu.Use(t, "..") }

// pretended makes a GPU there that the environment describes.
func pretended(t *testing.T) {
	t.Helper()
	if fakegpu.Real() {
		t.Skip("a real GPU does not do as it is told")
	}
	gpu(t)
}

// TestGPUAgrees compares what a GPU finds with what the processor does, of the same
// files.
func TestGPUAgrees(t *testing.T) {
	gpu(t)
	const n = 5000
	vectors := clustered(n, dim)
	ctx := context.Background()
	for _, factory := range []string{"Flat", "SQfp16", "IVF50,Flat", "IVF50,SQ8", "IVF50,SQ6", "IVF50,SQ4", "IVF50,SQfp16", "IVF32,PQ16np", "PCA16,IVF20,Flat"} {
		t.Run(factory, func(t *testing.T) {
			cpu, b, path := build(t, vectors, dim, faiss.BuildOptions{Factory: factory})
			x, err := faiss.Open(path, b.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			x.Params = cpu.Params
			if _, _, ok := x.GPU(); ok {
				t.Error("it is on a GPU already")
			}
			if err := x.UseGPU(faiss.GPUOptions{Scratch: 64 << 20}); err != nil {
				t.Fatal(err)
			}
			if d, bytes, ok := x.GPU(); !ok || d.Number != 0 || d.Name == "" || bytes < int64(n) {
				t.Errorf("it is on %+v with %d bytes (%v)", d, bytes, ok)
			}
			found, all := 0, 0
			for _, params := range []faiss.Params{{}, {NProbe: 3}, {NProbe: 1000}} {
				for _, k := range []int{1, 10, 100, faiss.MaxGPUK, n} { // the last are the processor's
					for i := 0; i < n; i += 499 {
						q := vectors[i*dim : (i+1)*dim]
						want, err := cpu.Search(ctx, q, k, params, nil)
						if err != nil {
							t.Fatal(err)
						}
						got, err := x.Search(ctx, q, k, params, nil)
						if err != nil || len(got) != len(want) {
							t.Fatalf("k %d: %d hits, not %d: %v", k, len(got), len(want), err)
						}
						in := map[uint32]bool{}
						for _, h := range want {
							in[h.ID] = true
						}
						for r, h := range got {
							if math.Abs(float64(h.Score-want[r].Score)) > 1e-3 {
								t.Errorf("k %d, rank %d: %v, the processor's %v", k, r+1, h, want[r])
							}
							if all++; in[h.ID] {
								found++
							}
						}
					}
				}
			}
			if share := float64(found) / float64(all); share < .99 {
				t.Errorf("%.4f of the hits are the processor's", share)
			}
			// A filter is the processor's to apply.
			allow := bitset.New(n)
			for i := uint(0); i < n; i += 7 {
				allow.Set(i)
			}
			hits, err := x.Search(ctx, vectors[:dim], 10, faiss.Params{}, allow)
			if err != nil || len(hits) == 0 {
				t.Fatalf("%d filtered hits, %v", len(hits), err)
			}
			for _, h := range hits {
				if h.ID%7 != 0 {
					t.Errorf("the filter lets %d through", h.ID)
				}
			}
			if err := x.UseGPU(faiss.GPUOptions{}); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// TestGPURefuses checks that what a GPU cannot search is refused with the reason, and
// is searched by the processor as before.
func TestGPURefuses(t *testing.T) {
	gpu(t)
	vectors := clustered(3000, dim)
	for factory, want := range map[string]string{
		"HNSW16,Flat":                 "cannot search an index of this kind",
		"SQ8":                         "in inverted lists only",
		"PQ16np":                      "cannot search an index of this kind",
		"IVF32,PQ16x4fs":              "lists of this kind",
		"IVF32,PQ16x4fs,Refine(Flat)": "cannot search an index of this kind",
		"IVF32,PQ16x6np":              "cannot search PQ16x6",
		"IVF20_HNSW16,Flat":           "in an index Flat",
	} {
		t.Run(factory, func(t *testing.T) {
			x, _, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: factory})
			if err := x.UseGPU(faiss.GPUOptions{Scratch: 64 << 20}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not say %q", err, want)
			}
			if hits, err := x.Search(context.Background(), vectors[:dim], 5, faiss.Params{}, nil); err != nil || len(hits) != 5 {
				t.Errorf("%v, %v", hits, err)
			}
		})
	}
}

// TestGPUBatches has many ask at once: searches reach the GPU one at a time, those that
// wait together, and each gets its own answer.
func TestGPUBatches(t *testing.T) {
	gpu(t)
	const n = 2000
	vectors := clustered(n, dim)
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("FAKE_LOG", log)
	t.Setenv("FAKE_SLEEP_MS", "3")
	x, _, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: "Flat"})
	const batch = 16
	if err := x.UseGPU(faiss.GPUOptions{Batch: batch, Scratch: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}) // by those who do not wait for their answer
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(g)))
			for range 20 {
				i, k := r.IntN(n), 1+r.IntN(20)
				hits, err := x.Search(context.Background(), vectors[i*dim:(i+1)*dim], k, faiss.Params{}, nil)
				if err != nil || len(hits) != k || hits[0].ID != uint32(i) {
					t.Errorf("vector %d: %v, %v", i, hits, err)
				}
			}
		})
	}
	go func() {
		defer close(ended)
		var some sync.WaitGroup
		for i := range 8 {
			some.Go(func() {
				for {
					if _, err := x.Search(ctx, vectors[i*dim:(i+1)*dim], 5, faiss.Params{}, nil); err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		some.Wait()
	}()
	all.Wait()
	cancel()
	<-ended
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Search(context.Background(), vectors[:dim], 1, faiss.Params{}, nil); !errors.Is(err, faiss.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if fakegpu.Real() {
		return
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var calls, queries int
	if _, err := fmt.Sscan(string(text), &calls, &queries); err != nil || queries < 32*20 || calls > queries/4 {
		t.Errorf("%d queries took %d searches, %v", queries, calls, err)
	}
}

// TestGPUChecks looks at each thing that would otherwise end the process.
func TestGPUChecks(t *testing.T) {
	pretended(t)
	vectors := clustered(1000, dim)
	_, b, path := build(t, vectors, dim, faiss.BuildOptions{Factory: "IVF20,Flat"})
	for _, c := range []struct {
		name, variable, value string
		options               faiss.GPUOptions
		params                faiss.Params
		want                  string
	}{
		{name: "no driver", variable: "FAKE_DRIVER", value: "0", want: "there is no NVIDIA driver"},
		{name: "old driver", variable: "FAKE_DRIVER", value: "12080", want: "the NVIDIA driver is for CUDA 12.8, and 13.0 at least is needed"},
		{name: "no device", variable: "FAKE_GPUS", value: "0", want: "finds no GPU"},
		{name: "another device", options: faiss.GPUOptions{Device: 1}, want: "there is no GPU 1 (there are 1, from 0 on)"},
		{name: "negative device", options: faiss.GPUOptions{Device: -1}, want: "cannot use GPU -1"},
		{name: "kernels", variable: "FAKE_CAPABILITY", value: "75", want: "is of compute capability 7.5, and this library is built for 80 90"},
		{name: "memory", variable: "FAKE_FREE", value: "500000000", want: "has 477 MB free, and the index takes"},
		{name: "batch", options: faiss.GPUOptions{Batch: 1 << 20}, want: "a batch is within"},
		{name: "lists", params: faiss.Params{NProbe: 3000}, want: "3000 lists a query, and a GPU can 2048 at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.variable != "" {
				t.Setenv(c.variable, c.value)
			}
			x, err := faiss.Open(path, b.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			x.Params = c.params
			if err := x.UseGPU(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
			if hits, err := x.Search(context.Background(), vectors[:dim], 5, faiss.Params{}, nil); err != nil || len(hits) == 0 {
				t.Errorf("%v, %v", hits, err)
			}
		})
	}
	t.Setenv("FAKE_CAPABILITY", "89") // kernels for 8.0 do
	t.Setenv("FAKE_GPUS", "2")
	devices, err := faiss.Devices()
	if err != nil || len(devices) != 2 || devices[1].Name != "Fake 1" || devices[1].Capability != "8.9" {
		t.Errorf("%+v, %v", devices, err)
	}
	if free, err := faiss.FreeMemory(1); err != nil || free != 4<<30 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	if _, err := faiss.FreeMemory(2); err == nil || !strings.Contains(err.Error(), "there is no GPU 2") {
		t.Errorf("%v", err)
	}
}

// TestGPUFails checks that the processor answers what the GPU fails at.
func TestGPUFails(t *testing.T) {
	pretended(t)
	t.Setenv("FAKE_FAILURE", "1")
	vectors := clustered(100, dim)
	x, _, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: "Flat"})
	if err := x.UseGPU(faiss.GPUOptions{}); err != nil { // its first search succeeds
		t.Fatal(err)
	}
	for i := range 3 {
		if hits, err := x.Search(context.Background(), vectors[i*dim:(i+1)*dim], 5, faiss.Params{}, nil); err != nil || len(hits) != 5 || hits[0].ID != uint32(i) {
			t.Errorf("%v, %v", hits, err)
		}
	}
	if s := x.GPUStats(); s.Failures != 3 || s.Queries != 3 || s.Batches != 3 {
		t.Errorf("%+v", s)
	}
}

// TestGPUMemory checks that a batch is no larger than what a search works in allows, and
// that what does not fit at all is the processor's.
func TestGPUMemory(t *testing.T) {
	gpu(t)
	const n = 2000
	vectors := clustered(n, dim)
	x, _, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: "IVF20,Flat", Params: &faiss.Params{NProbe: 5}})
	// 5 lists of 4*32 + 12*10 bytes a query: six fit in.
	if err := x.UseGPU(faiss.GPUOptions{Scratch: 8000}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 64 {
		all.Go(func() {
			for range 10 {
				hits, err := x.Search(context.Background(), vectors[g*dim:(g+1)*dim], 10, faiss.Params{}, nil)
				if err != nil || len(hits) != 10 || hits[0].ID != uint32(g) {
					t.Errorf("vector %d: %v, %v", g, hits, err)
				}
			}
		})
	}
	all.Wait()
	s := x.GPUStats()
	if s.Queries != 640 || s.Batches < 640/6 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
	if hits, err := x.Search(context.Background(), vectors[:dim], 1000, faiss.Params{NProbe: 20}, nil); err != nil || len(hits) != 1000 {
		t.Errorf("%d hits, %v", len(hits), err)
	}
	if again := x.GPUStats(); again != s {
		t.Errorf("what needs more memory than there is went to the GPU: %+v", again)
	}
}

// TestGPUFileReplaced moves another index to where one was opened.
func TestGPUFileReplaced(t *testing.T) {
	gpu(t)
	vectors := clustered(500, dim)
	x, _, path := build(t, vectors, dim, faiss.BuildOptions{Factory: "Flat"})
	_, _, other := build(t, vectors[dim:], dim, faiss.BuildOptions{Factory: "Flat"})
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if err := x.UseGPU(faiss.GPUOptions{Scratch: 64 << 20}); err == nil || !strings.Contains(err.Error(), "it was changed since it was opened") {
		t.Errorf("%v", err)
	}
	if _, _, ok := x.GPU(); ok {
		t.Error("it is on the GPU")
	}
}
