package encoder

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trirank/trirank/internal/onnxfile"
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

// endless is a tokenizer that has the context end at the third text.
type endless struct {
	*fake
	cancel context.CancelFunc
	n      atomic.Int64
}

func (e *endless) Tokenize(text string) ([]uint32, error) {
	if e.n.Add(1) == 3 {
		e.cancel()
	}
	return e.fake.Tokenize(text)
}

// What nobody waits for any more is neither cut into tokens nor run, free as slots may be.
func TestEncodingEndsWithItsContext(t *testing.T) {
	for range 20 { // a free slot and an ended context are as likely to be chosen
		ctx, cancel := context.WithCancel(context.Background())
		f := &fake{}
		e := newFake(f, Options{Parallel: 1, BatchRows: 1})
		cut := &endless{fake: f, cancel: cancel}
		e.tok = cut
		texts := slices.Repeat([]string{"ab"}, 100)
		if err := e.Passages(ctx, texts, make([]float32, 200)); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
		if n, runs := cut.n.Load(), f.runs.Load(); n > 3 || runs > 0 {
			t.Fatalf("%d texts were cut, %d batches run", n, runs)
		}
		ctx, cancel = context.WithCancel(context.Background())
		f = &fake{hidden: func(int64) [2]float32 { cancel(); return [2]float32{1, 0} }}
		e = newFake(f, Options{Parallel: 1, BatchRows: 1})
		if err := e.Passages(ctx, texts, make([]float32, 200)); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
		if runs := f.runs.Load(); runs != 1 {
			t.Fatalf("%d batches were run, not the one at work alone", runs)
		}
	}
}

func TestModelHash(t *testing.T) {
	a := Model{Format: 1, Name: "a", SHA256: map[string]string{"x": "1", "y": "2"}}
	for name, change := range map[string]func(m *Model){
		"name":      func(m *Model) { m.Name = "b" },
		"parent":    func(m *Model) { m.Parent, m.Run = "b", "c" },
		"quantized": func(m *Model) { m.Quantized = &Quantized{} },
	} {
		b := a
		if change(&b); a.Hash() != b.Hash() {
			t.Errorf("%s changes the hash", name)
		}
	}
	for name, change := range map[string]func(m *Model){
		"pooling":        func(m *Model) { m.Pooling = "cls" },
		"query prefix":   func(m *Model) { m.QueryPrefix = "query: " },
		"passage prefix": func(m *Model) { m.PassagePrefix = "passage: " },
		"no prefixes":    func(m *Model) { m.NoPrefixes = true },
		"max tokens":     func(m *Model) { m.MaxTokens = 128 },
		"dimension":      func(m *Model) { m.Dimension = 128 },
		"precision":      func(m *Model) { m.Precision = "fp16" },
		"file":           func(m *Model) { m.SHA256 = map[string]string{"x": "1", "y": "3"} },
		"another file":   func(m *Model) { m.SHA256 = map[string]string{"x": "1", "y": "2", "z": "3"} },
	} {
		b := a
		if change(&b); a.Hash() == b.Hash() {
			t.Errorf("%s does not change the hash", name)
		}
	}
}

// TestModelWeights checks that the hash of a model covers files of weights that its
// model.json does not list, and does not depend on whether it does.
func TestModelWeights(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tensor := onnxfile.AppendNumber(onnxfile.AppendNumber(nil, onnxfile.TensorDims, 1), onnxfile.TensorType, onnxfile.Float32)
	tensor = onnxfile.AppendBytes(tensor, 13, onnxfile.AppendBytes(onnxfile.AppendBytes(nil, 1, "location"), 2, "weights.bin"))
	tensor = onnxfile.AppendNumber(tensor, 14, 1)
	write(NetworkFile, string(onnxfile.AppendBytes(nil, onnxfile.ModelGraph, onnxfile.AppendBytes(nil, onnxfile.GraphInitializer, tensor))))
	write(TokenizerFile, "{}")
	write("weights.bin", "abcd")
	m := &Model{Format: 1, Name: "m", Pooling: "mean", NoPrefixes: true, MaxTokens: 16, Dimension: 1, Precision: "fp32"}
	hash := func() string {
		read, err := ReadModel(dir)
		if err != nil {
			t.Fatal(err)
		}
		return read.Hash()
	}
	if err := WriteModel(dir, m); err != nil {
		t.Fatal(err)
	}
	listed, err := os.ReadFile(filepath.Join(dir, modelFile))
	if err != nil || !strings.Contains(string(listed), `"weights.bin"`) {
		t.Fatalf("%s, %v", listed, err)
	}
	first := hash()
	unlisted, err := ReadModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	delete(unlisted.SHA256, "weights.bin")
	if err := unlisted.write(dir); err != nil {
		t.Fatal(err)
	}
	if hash() != first {
		t.Error("a model has another hash if its model.json lists no weights")
	}
	write("weights.bin", "abce")
	if hash() == first {
		t.Error("other weights have the same hash")
	}
	write(modelFile, string(listed))
	if read, err := ReadModel(dir); err != nil {
		t.Error(err)
	} else if err := read.Verify(dir); err == nil || !strings.Contains(err.Error(), "weights.bin is not the file") {
		t.Errorf("Verify: %v", err)
	}
	write("weights.bin", "abc")
	if _, err := ReadModel(dir); err == nil || !strings.Contains(err.Error(), "it was cut off") {
		t.Errorf("ReadModel: %v", err)
	}
	write(NetworkFile, "junk")
	if _, err := ReadModel(dir); err == nil || !strings.Contains(err.Error(), "model.onnx is not the file that model.json describes") {
		t.Errorf("ReadModel: %v", err)
	}
}

func TestLengthIsTested(t *testing.T) {
	f := &fake{}
	e := newFake(f, Options{})
	if err := e.TestLength(context.Background()); err != nil {
		t.Error(err)
	}
	f.fail = errors.New("indices element out of data bounds")
	if err := e.TestLength(context.Background()); err == nil || !strings.Contains(err.Error(), "texts of 20 tokens, its max_tokens") {
		t.Error(err)
	}
}
