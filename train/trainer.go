package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/train/bert"
)

// Weight is a matrix or vector of a network, row by row.
type Weight struct {
	Name   string
	Dims   []int
	Values []float32
}

// Trainer holds a network on a device and changes it step by step.
type Trainer struct {
	config  *Config
	net     bert.Config
	backend compute.Backend
	what    trained

	frozen, trained       []string
	initial               map[string][]float32 // of trained, LoRA's not
	fixed                 []*tensors.Tensor    // of frozen, in order
	values, first, second []*tensors.Tensor    // of trained: values and AdamW's moments
	average               []*tensors.Tensor    // EMA of values; nil without

	width       int          // tokens of a row of packed texts
	typical     int          // rows that most batches need; 0: not known
	activations *activations // of all texts, where the layers below are frozen

	taken int // steps

	encode, gradient, vectorGradient, backward, norm, update *Exec
	lower                                                    *Exec // of frozen layers; nil until it is needed
}

// AdamW's constants (Loshchilov and Hutter, 2019).
const (
	beta1   = .9
	beta2   = .999
	epsilon = 1e-8
)

// NewTrainer puts a network, given by its weights, on a device.
func NewTrainer(backend compute.Backend, weights []Weight, c *Config) (t *Trainer, err error) {
	defer catch(&err, "cannot prepare the network")
	if err := c.Validate(); err != nil {
		return nil, err
	}
	byName := map[string]*Weight{}
	var names []string
	if c.Train == "adapter" && !slices.ContainsFunc(weights, func(w Weight) bool { return w.Name == bert.Adapter }) {
		weights = append(slices.Clip(weights), newAdapter(weights))
	}
	for i := range weights {
		byName[weights[i].Name] = &weights[i]
		names = append(names, weights[i].Name)
	}
	t = &Trainer{config: c, backend: backend, initial: map[string][]float32{}}
	t.net, err = bert.ConfigOf(func(name string) []int {
		if w := byName[name]; w != nil {
			return w.Dims
		}
		return nil
	}, names)
	if err != nil {
		return nil, err
	}
	for _, d := range c.Matryoshka {
		if d >= t.net.Hidden {
			return nil, fmt.Errorf("dimension %d of --matryoshka is not below the %d of the vectors", d, t.net.Hidden)
		}
	}
	if t.what, err = c.trainable(); err != nil {
		return nil, err
	}
	if t.what.top > t.net.Layers {
		return nil, fmt.Errorf("the network has %d layers, not %d", t.net.Layers, t.what.top)
	}
	for _, name := range t.net.Names() {
		w := byName[name]
		for i, x := range w.Values {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("value %d of %s is not finite", i, name)
			}
		}
		value, err := t.tensor(w.Values, w.Dims...)
		if err != nil {
			return nil, err
		}
		if t.trains(name) {
			t.trained, t.values = append(t.trained, name), append(t.values, value)
			t.initial[name] = w.Values
		} else {
			t.frozen, t.fixed = append(t.frozen, name), append(t.fixed, value)
		}
		if t.what.lora > 0 && c.adapts(name) {
			a, b, err := t.lora(name, w.Dims)
			if err != nil {
				return nil, err
			}
			t.trained = append(t.trained, name+loraA, name+loraB)
			t.values = append(t.values, a, b)
		}
	}
	for _, v := range t.values {
		first, err1 := t.zeros(v)
		second, err2 := t.zeros(v)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		t.first, t.second = append(t.first, first), append(t.second, second)
		if c.EMA > 0 {
			average, err := t.tensor(tensors.MustCopyFlatData[float32](v), v.Shape().Dimensions...)
			if err != nil {
				return nil, err
			}
			t.average = append(t.average, average)
		}
	}
	t.build()
	return t, nil
}

// newAdapter is an adapter that changes nothing, for a network that has none.
func newAdapter(weights []Weight) Weight {
	n := 0
	for _, w := range weights {
		if w.Name == "embeddings.LayerNorm.bias" {
			n = len(w.Values)
		}
	}
	values := make([]float32, n*n)
	for i := range n {
		values[i*n+i] = 1
	}
	return Weight{Name: bert.Adapter, Dims: []int{n, n}, Values: values}
}

// fit sets how texts are packed from those that are to come.
func (t *Trainer) fit(j *Job) {
	d := j.Data
	longest := 0
	for _, list := range [][][]int32{j.texts(), j.Texts} {
		for _, x := range list {
			longest = max(longest, len(x))
		}
	}
	t.width = min(eights(longest), t.config.MaxTokens)
	if t.what.adapter { // one vector a text
		t.typical = t.config.Batch * (2 + t.config.Negatives)
		return
	}
	// The most that any of the first batches needs: later ones may need a step more.
	const looked = 16
	examples := order(d.learnt(t.config), t.config.Seed, 0)
	for i := 0; i < looked && i*t.config.Batch < len(examples); i++ {
		some := examples[i*t.config.Batch : min((i+1)*t.config.Batch, len(examples))]
		t.typical = max(t.typical, len(pack(d.batch(some, t.config, i).texts, t.width).rows))
	}
}

// Suffixes of the two matrices of a LoRA.
const (
	loraA = ".lora_A" // [in, rank], random at first
	loraB = ".lora_B" // [rank, out], zero at first
)

// lora begins the two small matrices whose product is added to a large one (Hu et
// al., 2021).
func (t *Trainer) lora(name string, dims []int) (a, b *tensors.Tensor, err error) {
	rank := t.what.lora
	values := make([]float32, dims[0]*rank)
	seed := 0
	for _, r := range name {
		seed = (seed*31 + int(r)) & 0x3fffffff
	}
	g := random(t.config.Seed, forInit, seed)
	for i := range values {
		values[i] = float32(g.NormFloat64() / math.Sqrt(float64(dims[0])))
	}
	if a, err = t.tensor(values, dims[0], rank); err != nil {
		return nil, nil, err
	}
	b, err = t.tensor(make([]float32, rank*dims[1]), rank, dims[1])
	return a, b, err
}

func (t *Trainer) trains(name string) bool {
	switch {
	case t.what.all:
		return true
	case t.what.adapter:
		return name == bert.Adapter
	case t.what.top > 0:
		for i := t.net.Layers - t.what.top; i < t.net.Layers; i++ {
			if strings.HasPrefix(name, fmt.Sprintf("encoder.layer.%d.", i)) {
				return true
			}
		}
	}
	return false
}

// decays reports whether weight decay is for a weight: not for biases,
// normalisations and the adapter, whose size has a meaning.
func decays(name string) bool {
	return name != bert.Adapter && !strings.HasSuffix(name, ".bias") && !strings.Contains(name, "LayerNorm")
}

// catch turns a panic, GoMLX's way of reporting errors in graphs, into an error.
func catch(err *error, what string) {
	switch p := recover().(type) {
	case nil:
	case runtime.Error:
		panic(p)
	case error:
		*err = fmt.Errorf("%s: %w", what, p)
	default:
		*err = fmt.Errorf("%s: %v", what, p)
	}
}

// arguments joins tensors into the inputs of a program.
func arguments(lists ...[]*tensors.Tensor) (out []any) {
	for _, l := range lists {
		for _, t := range l {
			out = append(out, t)
		}
	}
	return out
}

// tensor makes a tensor of values. Where the device's memory is the process's they are
// copied there at once, and the garbage collector has none to keep.
func (t *Trainer) tensor(values []float32, dims ...int) (*tensors.Tensor, error) {
	return tensors.FromRaw(t.backend, 0, shapes.Make(float32Type, dims...), dtypes.UnsafeByteSlice(values))
}

// zeros are as many as x has values.
func (t *Trainer) zeros(x *tensors.Tensor) (*tensors.Tensor, error) {
	return tensors.FromShapeForBackend(t.backend, 0, x.Shape())
}

func scalar(x float64) *tensors.Tensor { return tensors.FromScalar(float32(x)) }

// encodeRows is how many rows are encoded at once where only vectors are wanted.
func (t *Trainer) encodeRows() int {
	const most = 32
	if t.config.Micro > 0 {
		return min(most, t.config.Micro)
	}
	return most
}

// inParts runs a program that makes one matrix of packed texts, some rows at a time,
// and calls each with the matrix and where in it every text is.
func (t *Trainer) inParts(ctx context.Context, p *packed, program *Exec, weights []*tensors.Tensor,
	inputs func(first, n int) ([]*tensors.Tensor, error), each func(values []float32, row, slot, at, text int),
) error {
	n := t.encodeRows()
	for first := 0; first < len(p.rows); first += n {
		if err := ctx.Err(); err != nil {
			return err
		}
		in, err := inputs(first, n)
		if err != nil {
			return err
		}
		v, err := program.Call(arguments(t.fixed, weights, in)...)
		free(in)
		if err != nil {
			return err
		}
		values := tensors.MustCopyFlatData[float32](v[0])
		free(v)
		p.each(first, n, func(row, slot, at, text int) { each(values, row, slot, at, text) })
	}
	return nil
}

// encodePacked returns the vectors of packed texts, in the order of the texts.
func (t *Trainer) encodePacked(ctx context.Context, p *packed, weights []*tensors.Tensor) ([]float32, error) {
	dim := t.net.Hidden
	out := make([]float32, len(p.texts)*dim)
	inputs := func(first, n int) ([]*tensors.Tensor, error) { return t.inputs(p, first, n) }
	err := t.inParts(ctx, p, t.encode, weights, inputs, func(values []float32, row, slot, _, text int) {
		copy(out[text*dim:(text+1)*dim], values[(row*p.slots+slot)*dim:][:dim])
	})
	return out, err
}

// Vectors returns the unit vectors of tokenised texts by the weights as they are,
// or by their average where there is one: dimension values each.
func (t *Trainer) Vectors(ctx context.Context, tokens [][]int32) ([]float32, error) {
	return t.vectorsOf(ctx, tokens, t.best())
}

// vectorsOf is Vectors by some of the weights that the trainer has held.
func (t *Trainer) vectorsOf(ctx context.Context, tokens [][]int32, values []*tensors.Tensor) (out []float32, err error) {
	defer catch(&err, "cannot encode")
	width := t.width
	for _, x := range tokens {
		width = max(width, min(eights(len(x)), t.net.Positions))
	}
	if t.activations != nil {
		width = t.width
	}
	return t.encodePacked(ctx, pack(tokens, width), values)
}

// best are the weights that a run would save.
func (t *Trainer) best() []*tensors.Tensor {
	if t.average != nil {
		return t.average
	}
	return t.values
}

// Dimension of the vectors.
func (t *Trainer) Dimension() int { return t.net.Hidden }

// Parameters returns how many numbers are trained, and how many there are.
func (t *Trainer) Parameters() (trained, all int) {
	for _, v := range t.values {
		trained += v.Shape().Size()
	}
	all = trained
	for _, v := range t.fixed {
		all += v.Shape().Size()
	}
	return trained, all
}

// free gives the memory of tensors back at once; the garbage collector does not
// see how much it is.
func free(lists ...[]*tensors.Tensor) {
	for _, l := range lists {
		for _, x := range l {
			x.MustFinalizeAll()
		}
	}
}

// Close gives the memory on the device back. The trainer cannot be used after it.
func (t *Trainer) Close() {
	t.activations.close()
	free(t.fixed, t.values, t.first, t.second, t.average)
	t.fixed, t.values, t.first, t.second, t.average = nil, nil, nil, nil, nil
}

// Blend draws the weights that a run would save back to those it began with, for
// good: 0 leaves them, 1 takes those of the beginning.
func (t *Trainer) Blend(share float64) error {
	values, err := t.blended(share)
	if err != nil {
		return err
	}
	free(t.values, t.average)
	t.values, t.average = values, nil
	return nil
}

// blended are the weights that a run would save, drawn back to those it began with:
// 0 takes the trained ones, 1 those of the beginning.
func (t *Trainer) blended(share float64) (out []*tensors.Tensor, err error) {
	for i, x := range t.best() {
		values := tensors.MustCopyFlatData[float32](x)
		name := t.trained[i]
		switch initial := t.initial[name]; {
		case initial != nil:
			for j := range values {
				values[j] += float32(share) * (initial[j] - values[j])
			}
		case strings.HasSuffix(name, loraB): // what is added is one of two factors
			for j := range values {
				values[j] *= float32(1 - share)
			}
		}
		value, err := t.tensor(values, x.Shape().Dimensions...)
		if err != nil {
			free(out)
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}
