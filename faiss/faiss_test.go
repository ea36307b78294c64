package faiss_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/faiss"
)

// clustered makes n unit vectors around a few centres, as embeddings lie.
func clustered(n, dim int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	centres := make([]float64, 50*dim)
	for i := range centres {
		centres[i] = r.NormFloat64()
	}
	out := make([]float32, 0, n*dim)
	for range n {
		c, v, sum := r.IntN(50), make([]float64, dim), 0.
		for i := range v {
			v[i] = centres[c*dim+i] + .5*r.NormFloat64()
			sum += v[i] * v[i]
		}
		for _, x := range v {
			out = append(out, float32(x/math.Sqrt(sum)))
		}
	}
	return out
}

func build(t testing.TB, vectors []float32, dim int, opts faiss.BuildOptions) (*faiss.Index, faiss.Built, string) {
	path := filepath.Join(t.TempDir(), "index.faiss")
	b, err := faiss.Build(context.Background(), path, vectors, dim, opts)
	if err != nil {
		t.Fatal(err)
	}
	x, err := faiss.Open(path, b.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	x.Params = b.Params
	t.Cleanup(func() { x.Close() })
	return x, b, path
}

const dim = 32

// onDevices runs a test for the processor and for a GPU, to which use moves an index; it
// reports whether it did.
func onDevices(t *testing.T, test func(t *testing.T, use func(t *testing.T, x *faiss.Index) bool)) {
	t.Run("device=cpu", func(t *testing.T) { test(t, func(*testing.T, *faiss.Index) bool { return false }) })
	t.Run("device=gpu", func(t *testing.T) {
		gpu(t)
		test(t, func(t *testing.T, x *faiss.Index) bool {
			t.Helper()
			if err := x.UseGPU(faiss.GPUOptions{Scratch: 64 << 20}); err != nil {
				if !strings.Contains(err.Error(), "a GPU ") { // cannot, or wants: TestGPURefuses has the reasons
					t.Fatal(err)
				}
				return false
			}
			return true
		})
	})
}

func TestKinds(t *testing.T) { onDevices(t, testKinds) }

// testKinds runs every kind of index through the same checks: recall against
// exact search as promised, scores, filters, order, and limits.
func testKinds(t *testing.T, use func(t *testing.T, x *faiss.Index) bool) {
	const n = 3000
	vectors := clustered(n, dim)
	ctx := context.Background()
	allow := bitset.New(n)
	for i := uint(0); i < n; i += 7 {
		allow.Set(i)
	}
	for _, c := range []struct {
		factory string
		recall  float64 // least recall@10
		apart   float64 // at most, of scores from those of the vectors themselves; 0: they need not be near
	}{
		{"auto", 1, 1e-5},
		{"Flat", 1, 1e-5},
		{"IVF50,Flat", .99, 1e-5},
		{"IVF50,SQ8", .95, 0},
		{"IVF50,SQfp16", .98, 3e-4},
		{"IVF32,PQ16x4fs,Refine(Flat)", .95, 1e-5},
		{"HNSW16,Flat", .98, 1e-5},
		{"PQ16np", .5, 0},
		{"PQ16x4fs", .3, 0},
		{"SQ8", .95, 0},
		{"PCA16,IVF20,Flat", .3, 0},
		{"PCA16,IVF20,PQ8np,RFlat", .9, 1e-5},
	} {
		t.Run(c.factory, func(t *testing.T) {
			x, b, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: c.factory})
			apart := c.apart
			if use(t, x) {
				apart = 1e-3
			}
			if x.Len() != n || x.Dimension() != dim || b.Vectors != n || b.Bytes == 0 {
				t.Errorf("index of %d x %d, %+v", x.Len(), x.Dimension(), b)
			}
			if b.Recall < c.recall {
				t.Errorf("recall %.3f with %+v, want at least %.3f", b.Recall, b.Params, c.recall)
			}
			if b.Recall < .99 && strings.HasPrefix(c.factory, "IVF50,Flat") {
				t.Errorf("the recall asked for was not reached: %+v", b)
			}
			for i := 0; i < n; i += 301 {
				q := vectors[i*dim : (i+1)*dim]
				hits, err := x.Search(ctx, q, 10, faiss.Params{}, nil)
				if err != nil || len(hits) != 10 {
					t.Fatalf("%d hits, %v", len(hits), err)
				}
				if !slices.IsSortedFunc(hits, func(a, b faiss.Hit) int { return cmpScore(b, a) }) {
					t.Errorf("hits are not in order: %v", hits)
				}
				if c.apart > 0 {
					for _, h := range hits {
						if want := dot(q, vectors[int(h.ID)*dim:][:dim]); math.Abs(float64(h.Score)-want) > apart {
							t.Errorf("vector %d has score %v, want %v", h.ID, h.Score, want)
						}
					}
				}
				filtered, err := x.Search(ctx, q, 10, faiss.Params{}, allow)
				if err != nil || len(filtered) == 0 {
					t.Fatalf("%d filtered hits, %v", len(filtered), err)
				}
				for _, h := range filtered {
					if h.ID%7 != 0 {
						t.Errorf("the filter lets %d through", h.ID)
					}
				}
			}
			if hits, err := x.Search(ctx, vectors[:dim], faiss.MaxK, faiss.Params{NProbe: 1000}, nil); err != nil || len(hits) > n {
				t.Errorf("k beyond the number of vectors: %d hits, %v", len(hits), err)
			}
			none, err := x.Search(ctx, vectors[:dim], 5, faiss.Params{}, bitset.New(n))
			if err != nil || len(none) != 0 {
				t.Errorf("a filter that allows nothing: %v, %v", none, err)
			}
			if v, err := x.Vector(7); err != nil || dot(v, vectors[7*dim:8*dim]) < .5 {
				t.Errorf("vector read back: %v", err)
			}
		})
	}
}

func cmpScore(a, b faiss.Hit) int {
	switch {
	case a.Score < b.Score:
		return -1
	case a.Score > b.Score:
		return 1
	}
	return 0
}

func dot(a, b []float32) (s float64) {
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

func TestExactAndFlatAgree(t *testing.T) {
	vectors := clustered(5000, dim)
	x, _, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: "Flat"})
	for i := range 20 {
		q := vectors[i*dim : (i+1)*dim]
		want, err := faiss.Exact(context.Background(), q, vectors, dim, 100)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Search(context.Background(), q, 100, faiss.Params{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for r := range want[0] {
			if math.Abs(float64(want[0][r].Score-got[r].Score)) > 1e-5 {
				t.Fatalf("rank %d: %v, exact %v", r, got[r], want[0][r])
			}
		}
	}
}

// TestRecallWithTwins builds indexes of vectors of which each is there a dozen times, as
// colours and sizes of one product are: which of them is found makes no difference.
func TestRecallWithTwins(t *testing.T) {
	some := clustered(200, dim)
	var vectors []float32
	for range 12 {
		vectors = append(vectors, some...)
	}
	for _, factory := range []string{"Flat", "IVF20,Flat"} {
		_, b, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: factory})
		if b.Recall < .99 || factory == "Flat" && b.Recall != 1 {
			t.Errorf("%s has a recall of %v with %+v", factory, b.Recall, b.Params)
		}
	}
}

func TestDeterministic(t *testing.T) {
	vectors := clustered(3000, dim)
	_, a, pathA := build(t, vectors, dim, faiss.BuildOptions{Factory: "IVF30,SQ8"})
	_, b, pathB := build(t, vectors, dim, faiss.BuildOptions{Factory: "IVF30,SQ8"})
	x, _ := os.ReadFile(pathA)
	y, _ := os.ReadFile(pathB)
	if !bytes.Equal(x, y) || a != b {
		t.Errorf("two builds differ: %+v, %+v", a, b)
	}
}

func TestSearchErrors(t *testing.T) { onDevices(t, testSearchErrors) }

func testSearchErrors(t *testing.T, use func(t *testing.T, x *faiss.Index) bool) {
	vectors := clustered(100, dim)
	x, _, _ := build(t, vectors, dim, faiss.BuildOptions{})
	use(t, x)
	nan := slices.Clone(vectors[:dim])
	nan[3] = float32(math.NaN())
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		query []float32
		k     int
		want  string
	}{
		{"dimension", context.Background(), vectors[:dim-1], 1, "the query has 31 values, the index 32"},
		{"empty", context.Background(), nil, 1, "the query has 0 values"},
		{"k 0", context.Background(), vectors[:dim], 0, "k is 0"},
		{"k -1", context.Background(), vectors[:dim], -1, "k is -1"},
		{"k huge", context.Background(), vectors[:dim], faiss.MaxK + 1, "not within"},
		{"NaN", context.Background(), nan, 1, "NaN"},
		{"cancelled", ended, vectors[:dim], 1, "canceled"},
	} {
		if _, err := x.Search(c.ctx, c.query, c.k, faiss.Params{}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", c.name, err, c.want)
		}
	}
	if _, err := x.Vector(100); err == nil {
		t.Error("read a vector beyond the last")
	}
	if err := errors.Join(x.Close(), x.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := x.Search(context.Background(), vectors[:dim], 1, faiss.Params{}, nil); !errors.Is(err, faiss.ErrClosed) {
		t.Errorf("search after Close: %v", err)
	}
	if _, err := x.Vector(0); !errors.Is(err, faiss.ErrClosed) {
		t.Errorf("Vector after Close: %v", err)
	}
}

func TestBuildErrors(t *testing.T) {
	vectors := clustered(300, dim)
	inf := slices.Clone(vectors)
	inf[77] = float32(math.Inf(1))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		vectors []float32
		opts    faiss.BuildOptions
		want    string
	}{
		{"no vectors", context.Background(), nil, faiss.BuildOptions{}, "one whole vector"},
		{"part of a vector", context.Background(), vectors[:40], faiss.BuildOptions{}, "one whole vector"},
		{"infinite", context.Background(), inf, faiss.BuildOptions{}, "+Inf"},
		{"recall", context.Background(), vectors, faiss.BuildOptions{Recall: 2}, "recall 2"},
		{"queries", context.Background(), vectors, faiss.BuildOptions{Queries: vectors[:5]}, "not whole vectors"},
		{"gibberish", context.Background(), vectors, faiss.BuildOptions{Factory: "Foo"}, "Foo"},
		{"not a factory", context.Background(), vectors, faiss.BuildOptions{Factory: "Flat; rm"}, "not a FAISS factory string"},
		{"too many lists", context.Background(), vectors, faiss.BuildOptions{Factory: "IVF301,Flat"}, "at least as many vectors"},
		{"zero lists", context.Background(), vectors, faiss.BuildOptions{Factory: "IVF0,Flat"}, "the number 0"},
		{"huge lists", context.Background(), vectors, faiss.BuildOptions{Factory: "IVF99999999999999999999,Flat"}, "not within"},
		{"odd parts", context.Background(), vectors, faiss.BuildOptions{Factory: "PQ7"}, "do not divide"},
		{"wide codes", context.Background(), vectors, faiss.BuildOptions{Factory: "PQ8x12"}, "needs at least 4096"},
		{"ids", context.Background(), vectors, faiss.BuildOptions{Factory: "IDMap,Flat"}, "leave IDMap"},
		{"cancelled", ended, vectors, faiss.BuildOptions{}, "canceled"},
	} {
		dir := t.TempDir()
		_, err := faiss.Build(c.ctx, filepath.Join(dir, "x"), c.vectors, dim, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", c.name, err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left %v behind", c.name, left)
		}
	}
}

// TestDamagedFiles opens what a crash, a bad disk or an editor may leave.
func TestDamagedFiles(t *testing.T) {
	_, b, path := build(t, clustered(500, dim), dim, faiss.BuildOptions{Factory: "IVF10,Flat"})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"empty": nil, "truncated": good[:len(good)/2], "altered": flipped, "longer": append(slices.Clone(good), 0)} {
		p := filepath.Join(t.TempDir(), "x")
		os.WriteFile(p, data, 0o644)
		if _, err := faiss.Open(p, b.SHA256); err == nil || !strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := faiss.Open(filepath.Join(t.TempDir(), "none"), b.SHA256); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestConcurrent(t *testing.T) { onDevices(t, testConcurrent) }

// testConcurrent searches one index with different parameters at once, and closes
// it meanwhile; the race detector watches.
func testConcurrent(t *testing.T, use func(t *testing.T, x *faiss.Index) bool) {
	vectors := clustered(3000, dim)
	x, _, _ := build(t, vectors, dim, faiss.BuildOptions{Factory: "IVF50,Flat"})
	use(t, x)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				q := vectors[i*dim : (i+1)*dim]
				hits, err := x.Search(context.Background(), q, 10, faiss.Params{NProbe: 1 + g*6}, nil)
				if errors.Is(err, faiss.ErrClosed) {
					return
				}
				if err != nil || hits[0].ID != uint32(i) {
					t.Errorf("query %d: %v %v", i, hits, err)
				}
				if g == 0 && i == 40 {
					x.Close()
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkSearch(b *testing.B) {
	const n, d = 50_000, 384
	vectors := clustered(n, d)
	for _, factory := range []string{"Flat", "IVF256,Flat", "IVF256,SQ8"} {
		x, built, _ := build(b, vectors, d, faiss.BuildOptions{Factory: factory})
		b.Run(fmt.Sprintf("index=%s/nprobe=%d/k=10", factory, built.Params.NProbe), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 97) % n
				if _, err := x.Search(context.Background(), vectors[i*d:(i+1)*d], 10, faiss.Params{}, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(built.Recall, "recall@10")
		})
	}
}
