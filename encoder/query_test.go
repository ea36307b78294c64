package encoder

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trirank/trirank/internal/processors"
)

// ask asks n queries, all of which wait for one that keeps the only slot busy.
func ask(t *testing.T, e *Encoder, f *fake, n int) (vectors [][]float32, errs []error) {
	t.Helper()
	vectors, errs = make([][]float32, n), make([]error, n)
	f.hold = make(chan struct{})
	open := sync.OnceFunc(func() { close(f.hold) })
	t.Cleanup(open) // also if there is no getting so far
	var all sync.WaitGroup
	all.Go(func() { e.Query(t.Context(), "first") })
	until(t, func() bool { return f.running.Load() == 1 })
	for i := range n {
		all.Go(func() { vectors[i], errs[i] = e.Query(t.Context(), strings.Repeat(string(rune('a'+i)), 1+i%5)) })
	}
	until(t, func() bool { return e.queries.len() == n })
	open()
	all.Wait()
	return vectors, errs
}

func TestQueriesAreMerged(t *testing.T) {
	f := &fake{}
	e := newFake(f, Options{Parallel: 1, BatchRows: 8})
	vectors, errs := ask(t, e, f, 10)
	if runs := f.runs.Load(); runs != 3 || f.maxRows.Load() != 8 {
		t.Errorf("%d runs, of up to %d queries: 3 of up to 8 expected (one, eight, two)", runs, f.maxRows.Load())
	}
	for i, v := range vectors {
		alone := newFake(&fake{}, Options{})
		want, err := alone.Query(t.Context(), strings.Repeat(string(rune('a'+i)), 1+i%5))
		if err != nil || errs[i] != nil {
			t.Fatal(err, errs[i])
		}
		for j := range want {
			if math.Abs(float64(v[j]-want[j])) > 1e-6 {
				t.Errorf("query %d: %v in company, %v alone", i, v, want)
			}
		}
	}
}

// Queries are merged only where that changes no vector.
func TestQueriesOfInt8(t *testing.T) {
	for _, c := range []struct {
		quantized *Quantized
		runs      int32
	}{{nil, 11}, {&Quantized{Kind: "dynamic"}, 11}, {&Quantized{Kind: "blocks"}, 2}} {
		f := &fake{}
		e := newFake(f, Options{Parallel: 1})
		e.Model.Precision, e.Model.Quantized = "int8", c.quantized
		if ask(t, e, f, 10); f.runs.Load() != c.runs {
			t.Errorf("%+v: %d runs, not %d", c.quantized, f.runs.Load(), c.runs)
		}
	}
}

// A lone query waits for nobody.
func TestQueryAlone(t *testing.T) {
	f := &fake{}
	e := newFake(f, Options{Parallel: 2})
	for i := range 5 {
		if _, err := e.Query(t.Context(), "x"); err != nil || f.runs.Load() != int32(i+1) || f.maxRows.Load() != 1 {
			t.Fatal(err, f.runs.Load())
		}
	}
}

// TestQueriesOfBusyProcessors has another batch begin only if it is worth it: where the
// processors have other work, when four queries wait, have waited long, or the running
// batch ends. A GPU is not busy with the work of processors.
func TestQueriesOfBusyProcessors(t *testing.T) {
	for _, x := range []struct {
		waiting int
		dynamic bool
		gpu     bool
		long    bool
		begins  bool
	}{{waiting: 3}, {waiting: 4, begins: true}, {waiting: 1, dynamic: true, begins: true}, {waiting: 1, gpu: true, begins: true}, {waiting: 3, long: true, begins: true}} {
		t.Run(fmt.Sprint(x), func(t *testing.T) {
			for range processors.Count() {
				defer processors.Work()()
			}
			f := &fake{hold: make(chan struct{})}
			release := sync.OnceFunc(func() { close(f.hold) })
			t.Cleanup(release)
			e := newFake(f, Options{Parallel: 2, Elsewhere: x.gpu})
			if e.patience = time.Hour; x.long {
				e.patience = 50 * time.Millisecond
			}
			if x.dynamic {
				e.Model.Precision = "int8"
			}
			var all sync.WaitGroup
			// A batch of passages, whose end has to be noticed as well.
			all.Go(func() { e.Passages(t.Context(), []string{"passage"}, make([]float32, e.Model.Dimension)) })
			until(t, func() bool { return f.running.Load() == 1 })
			for range x.waiting {
				all.Go(func() {
					if _, err := e.Query(t.Context(), "query"); err != nil {
						t.Error(err)
					}
				})
			}
			if x.begins {
				until(t, func() bool { return f.running.Load() == 2 })
			} else {
				until(t, func() bool { return e.queries.len() == x.waiting })
				time.Sleep(20 * time.Millisecond)
				if f.running.Load() != 1 {
					t.Error("another batch begins")
				}
			}
			release()
			all.Wait()
			if rows := f.maxRows.Load(); !x.dynamic && !x.gpu && !x.long && rows != int32(x.waiting) {
				t.Errorf("up to %d queries a batch", rows)
			}
		})
	}
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happens")
		}
	}
}

func TestTake(t *testing.T) {
	for _, c := range []struct {
		waiting      []int // tokens
		most, tokens int
		want         string // of each batch
	}{
		{nil, 8, 100, "[]"},
		{[]int{5, 3, 9, 1}, 8, 12, "[[5 3] [9] [1]]"},                   // 3 x 5 and 2 x 9 are too many tokens
		{[]int{5, 20, 6, 19, 12, 5}, 8, 1000, "[[5 6 5] [20 19] [12]]"}, // by length
		{[]int{5, 11, 8, 12}, 8, 1000, "[[5 11 8] [12]]"},               // 12 is too far from 5
		{[]int{5, 5, 5}, 2, 1000, "[[5 5] [5]]"},
		{[]int{5, 5}, 1, 1000, "[[5] [5]]"},
		{[]int{50, 50}, 8, 10, "[[50] [50]]"}, // one always goes
	} {
		var q queue
		for _, n := range c.waiting {
			q.add(&waiting{item: item{ids: make([]uint32, n)}})
		}
		batches := [][]int{}
		for range 10 {
			var batch []int
			for _, w := range q.take(c.most, c.tokens) {
				batch = append(batch, len(w.ids))
			}
			if batch != nil {
				batches = append(batches, batch)
			}
		}
		if got := fmt.Sprint(batches); got != c.want {
			t.Errorf("%v: %s, not %s", c.waiting, got, c.want)
		}
	}
}

func TestQueryGivesUp(t *testing.T) {
	f := &fake{hold: make(chan struct{})}
	e := newFake(f, Options{Parallel: 1})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(f.hold)
	all.Go(func() { e.Query(t.Context(), "first") })
	until(t, func() bool { return f.running.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	second := make(chan error, 1)
	go func() {
		_, err := e.Query(ctx, "second")
		second <- err
	}()
	select {
	case err := <-second:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not give up")
	}
	e.queries.mu.Lock()
	defer e.queries.mu.Unlock()
	if len(e.queries.list) != 0 {
		t.Error("it still waits")
	}
}

// A query that the model cannot encode does no harm to others.
func TestQuerySpoils(t *testing.T) {
	f := &fake{hidden: func(id int64) [2]float32 {
		if id == 'c' {
			return [2]float32{float32(math.NaN()), 0}
		}
		return [2]float32{float32(id), 1}
	}}
	e := newFake(f, Options{Parallel: 1})
	_, errs := ask(t, e, f, 6)
	for i, err := range errs {
		if bad := i == 2; bad != (err != nil) {
			t.Errorf("query %d: %v", i, err)
		}
	}
}

// A model that panics, which the server survives, leaves nobody waiting and no processor
// taken, in whose goroutine ever the batch ran: that of a query of another length here.
func TestQueryPanics(t *testing.T) {
	for range processors.Count() - 1 {
		defer processors.Work()()
	}
	var panics atomic.Bool
	panics.Store(true)
	f := &fake{hold: make(chan struct{}), hidden: func(id int64) [2]float32 {
		if panics.Load() {
			panic("broken")
		}
		return [2]float32{float32(id), 1}
	}}
	e := newFake(f, Options{Parallel: 1})
	var all sync.WaitGroup
	for i, text := range []string{"x", "a text that is longer", "y", "another one, as long"} {
		all.Go(func() {
			if _, err := e.Query(t.Context(), text); err == nil || !strings.Contains(err.Error(), "panicked: broken") {
				t.Errorf("%s: %v", text, err)
			}
		})
		// The first runs, and the others wait.
		until(t, func() bool { return f.running.Load() == 1 && e.queries.len() == i })
	}
	close(f.hold)
	all.Wait()
	if !processors.Idle() {
		t.Error("a processor is still busy")
	}
	panics.Store(false)
	if _, err := e.Query(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// A query that was told has work for a processor until it is done with it, or was never
// told.
func TestQueryTold(t *testing.T) {
	for range processors.Count() - 1 {
		defer processors.Work()()
	}
	w := &waiting{done: make(chan error, 1)}
	if w.end(); !processors.Idle() {
		t.Error("what was not told works")
	}
	if w.tell(nil); processors.Idle() {
		t.Error("nobody works, though one was told")
	}
	if w.end(); !processors.Idle() {
		t.Error("it still works")
	}
	// Those of a batch work until they have gone on.
	e := newFake(&fake{}, Options{})
	e.slots <- struct{}{}
	<-w.done
	w.item = item{[]uint32{1}, "x", make([]float32, 2)}
	if e.runWaiting([]*waiting{w}); processors.Idle() {
		t.Error("nobody works, though one has its vector")
	}
	w.end()
}

// BenchmarkMerge asks with many clients whose queries are merged, and not.
func BenchmarkMerge(b *testing.B) {
	for _, rows := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=16/rows=%d", rows), func(b *testing.B) {
			e := newFake(&fake{}, Options{Parallel: 2, BatchRows: rows})
			b.SetParallelism(16)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := e.Query(context.Background(), "blue hat"); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
