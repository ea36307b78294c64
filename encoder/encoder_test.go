package encoder

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a model whose hidden layer is a known function of the token: its id
// in place 0 and 1 in place 1. A token is a byte of the text.
type fake struct {
	runs    atomic.Int32
	maxRows atomic.Int32
	running atomic.Int32
	maxRun  atomic.Int32
	hidden  func(id int64) [2]float32
	fail    error
	delay   time.Duration
	hold    chan struct{} // if not nil, no run ends before it is closed
}

func (f *fake) Tokenize(text string) (ids []uint32, err error) {
	for _, b := range []byte(text) {
		ids = append(ids, uint32(b))
	}
	return ids[:min(len(ids), 20)], nil
}

func (f *fake) Run(rows, cols int, ids, mask []int64, hidden []float32) error {
	f.runs.Add(1)
	f.maxRows.Store(max(f.maxRows.Load(), int32(rows)))
	n := f.running.Add(1)
	defer f.running.Add(-1)
	f.maxRun.Store(max(f.maxRun.Load(), n))
	time.Sleep(f.delay)
	if f.hold != nil {
		<-f.hold
	}
	if len(ids) != rows*cols || len(mask) != rows*cols || len(hidden) != rows*cols*2 {
		return errors.New("wrong shape")
	}
	for i, id := range ids {
		h := [2]float32{float32(id), 1}
		if mask[i] == 0 {
			h = [2]float32{1e9, -1e9} // padding must not leak
		} else if f.hidden != nil {
			h = f.hidden(id)
		}
		copy(hidden[2*i:], h[:])
	}
	return f.fail
}

func newFake(f *fake, o Options) *Encoder {
	m := &Model{Format: 1, Name: "fake", Pooling: "mean", QueryPrefix: "q", PassagePrefix: "p", MaxTokens: 20, Dimension: 2, Precision: "fp32"}
	return New(m, f, f, nil, o)
}

func TestPoolingAndOrder(t *testing.T) {
	f := &fake{}
	e := newFake(f, Options{BatchRows: 2})
	texts := []string{"a", "abcdefgh", "", "abc", strings.Repeat("z", 50)}
	got := make([]float32, len(texts)*2)
	if err := e.Passages(context.Background(), texts, got); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		tokens := []byte("p" + text)
		tokens = tokens[:min(len(tokens), 20)]
		var mean float64
		for _, b := range tokens {
			mean += float64(b) / float64(len(tokens))
		}
		norm := math.Hypot(mean, 1)
		if math.Abs(float64(got[2*i])-mean/norm) > 1e-6 || math.Abs(float64(got[2*i+1])-1/norm) > 1e-6 {
			t.Errorf("text %d: vector %v, want %v", i, got[2*i:2*i+2], []float64{mean / norm, 1 / norm})
		}
	}
	if f.maxRows.Load() > 2 || f.runs.Load() != 3 {
		t.Errorf("%d batches of up to %d rows, want 3 of 2", f.runs.Load(), f.maxRows.Load())
	}
}

func TestParallelIsBounded(t *testing.T) {
	f := &fake{delay: time.Millisecond}
	e := newFake(f, Options{BatchRows: 1, Parallel: 2})
	texts := make([]string, 20)
	if err := e.Passages(context.Background(), texts, make([]float32, 40)); err != nil {
		t.Fatal(err)
	}
	if f.maxRun.Load() > 2 {
		t.Errorf("%d batches ran at once, want at most 2", f.maxRun.Load())
	}
}

func TestEncodeErrors(t *testing.T) {
	broken := errors.New("broken")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	nan := float32(math.NaN())
	for _, c := range []struct {
		name string
		fake *fake
		ctx  context.Context
		dst  int
		want string
	}{
		{"network fails", &fake{fail: broken}, context.Background(), 2, "broken"},
		{"NaN", &fake{hidden: func(int64) [2]float32 { return [2]float32{nan, 0} }}, context.Background(), 2, "no finite vector"},
		{"zero", &fake{hidden: func(int64) [2]float32 { return [2]float32{} }}, context.Background(), 2, "no finite vector"},
		{"small dst", &fake{}, context.Background(), 1, "into 1 values"},
		{"cancelled", &fake{}, ended, 2, "canceled"},
	} {
		e := newFake(c.fake, Options{Parallel: 1})
		if c.ctx.Err() != nil {
			e.slots <- struct{}{} // all busy: only the context can end the wait
		}
		if err := e.Queries(c.ctx, []string{"x"}, make([]float32, c.dst)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", c.name, err, c.want)
		}
	}
}

func TestModelHash(t *testing.T) {
	a := Model{Format: 1, Name: "a", SHA256: map[string]string{"x": "1", "y": "2"}}
	b := a
	b.Name = "b"
	if a.Hash() != b.Hash() {
		t.Error("the name changes the hash")
	}
	b.PassagePrefix = "passage: "
	if a.Hash() == b.Hash() {
		t.Error("the prefix does not change the hash")
	}
}
