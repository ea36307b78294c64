package train

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
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
	fixed                 []*tensors.Tensor // of frozen, in order
	values, first, second []*tensors.Tensor // of trained: values and AdamW's moments
	average               []*tensors.Tensor // EMA of values; nil without

	encode, gradient, vectorGradient, backward, update *Exec
}

// AdamW's constants (Loshchilov and Hutter, 2019).
const (
	beta1   = .9
	beta2   = .999
	epsilon = 1e-8
)

// matrices that LoRA adapts: those that its authors found to matter most.
var loraTargets = []string{"attention.self.query", "attention.self.value"}

// NewTrainer puts a network, given by its weights, on a device.
func NewTrainer(backend compute.Backend, weights []Weight, c *Config) (t *Trainer, err error) {
	defer catch(&err, "cannot prepare the network")
	if err := c.Validate(); err != nil {
		return nil, err
	}
	byName := map[string]*Weight{}
	var names []string
	for i := range weights {
		byName[weights[i].Name] = &weights[i]
		names = append(names, weights[i].Name)
	}
	t = &Trainer{config: c, backend: backend}
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
		value := tensors.FromFlatDataAndDimensions(w.Values, w.Dims...)
		if t.trains(name) {
			t.trained, t.values = append(t.trained, name), append(t.values, value)
		} else {
			t.frozen, t.fixed = append(t.frozen, name), append(t.fixed, value)
		}
		if t.what.lora > 0 && isLoRATarget(name) {
			a, b := t.lora(name, w.Dims)
			t.trained = append(t.trained, name+loraA, name+loraB)
			t.values = append(t.values, a, b)
		}
	}
	for _, v := range t.values {
		t.first, t.second = append(t.first, tensors.FromShape(v.Shape())), append(t.second, tensors.FromShape(v.Shape()))
		if c.EMA > 0 {
			clone, err := v.LocalClone()
			if err != nil {
				return nil, err
			}
			t.average = append(t.average, clone)
		}
	}
	t.build()
	return t, nil
}

// Suffixes of the two matrices of a LoRA.
const (
	loraA = ".lora_A" // [in, rank], random at first
	loraB = ".lora_B" // [rank, out], zero at first
)

func isLoRATarget(name string) bool {
	return strings.HasSuffix(name, ".weight") && slices.ContainsFunc(loraTargets, func(s string) bool { return strings.Contains(name, s) })
}

// lora begins the two small matrices whose product is added to a large one (Hu et
// al., 2021).
func (t *Trainer) lora(name string, dims []int) (a, b *tensors.Tensor) {
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
	return tensors.FromFlatDataAndDimensions(values, dims[0], rank), tensors.FromFlatDataAndDimensions(make([]float32, rank*dims[1]), rank, dims[1])
}

func (t *Trainer) trains(name string) bool {
	switch {
	case t.what.all:
		return true
	case t.what.top > 0:
		for i := t.net.Layers - t.what.top; i < t.net.Layers; i++ {
			if strings.HasPrefix(name, fmt.Sprintf("encoder.layer.%d.", i)) {
				return true
			}
		}
	}
	return false
}

// decays reports whether weight decay is for a weight: not for biases and
// normalisations, whose size has a meaning.
func decays(name string) bool {
	return !strings.HasSuffix(name, ".bias") && !strings.Contains(name, "LayerNorm")
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

// weights finds a weight among the nodes of frozen and trained, LoRA applied.
func (t *Trainer) weights(frozen, values []*Node) func(name string) *Node {
	nodes := map[string]*Node{}
	for i, name := range t.frozen {
		nodes[name] = frozen[i]
	}
	for i, name := range t.trained {
		nodes[name] = values[i]
	}
	return func(name string) *Node {
		w := nodes[name]
		if a, ok := nodes[name+loraA]; ok {
			w = Add(w, MulScalar(Einsum("ir,ro->io", a, nodes[name+loraB]), t.config.LoRAAlpha/float64(t.what.lora)))
		}
		return w
	}
}

// build prepares the programs; they are compiled when they first run.
func (t *Trainer) build() {
	nf, nt := len(t.frozen), len(t.trained)
	// take cuts the inputs of a program into its parts.
	take := func(in []*Node, counts ...int) (parts [][]*Node) {
		for _, n := range counts {
			parts, in = append(parts, in[:n]), in[n:]
		}
		return parts
	}
	t.encode = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nf, nt, 2)
		return []*Node{t.net.Encode(t.weights(p[0], p[1]), p[2][0], p[2][1])}
	})
	// All at once: loss and gradients of a batch.
	t.gradient = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nf, nt, 4, 4)
		w := t.weights(p[0], p[1])
		q, d := t.net.Encode(w, p[2][0], p[2][1]), t.net.Encode(w, p[2][2], p[2][3])
		loss := t.config.loss(q, d, p[3][0], p[3][1], p[3][2], p[3][3])
		return append([]*Node{loss}, Gradient(loss, p[1]...)...)
	})
	// In parts: the gradient at the vectors, and what it is at the weights for
	// some of the texts, added to what others gave.
	t.vectorGradient = MustNewExec(t.backend, func(in []*Node) []*Node {
		loss := t.config.loss(in[0], in[1], in[2], in[3], in[4], in[5])
		return append([]*Node{loss}, Gradient(loss, in[0], in[1])...)
	})
	t.backward = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nf, nt, nt, 3)
		v := t.net.Encode(t.weights(p[0], p[1]), p[3][0], p[3][1])
		grads := Gradient(ReduceAllSum(Mul(v, StopGradient(p[3][2]))), p[1]...)
		for i := range grads {
			grads[i] = Add(grads[i], p[2][i])
		}
		return grads
	})
	// AdamW over all trained weights, after clipping by the norm of all gradients.
	t.update = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nt, nt, nt, nt, len(t.average), 4)
		values, first, second, grads, average := p[0], p[1], p[2], p[3], p[4]
		rate, correct1, correct2, keep := p[5][0], p[5][1], p[5][2], p[5][3]
		squares := ScalarZero(in[0].Graph(), float32Type)
		for _, g := range grads {
			squares = Add(squares, ReduceAllSum(Square(g)))
		}
		norm := Sqrt(squares)
		scale := MinScalar(Div(Scalar(in[0].Graph(), float32Type, t.config.Clip), AddScalar(norm, 1e-12)), 1)
		out := make([]*Node, 3*nt, 3*nt+len(average)+1)
		for i, name := range t.trained {
			g := Mul(grads[i], scale)
			m := Add(MulScalar(first[i], beta1), MulScalar(g, 1-beta1))
			v := Add(MulScalar(second[i], beta2), MulScalar(Square(g), 1-beta2))
			change := Div(Mul(m, correct1), AddScalar(Sqrt(Mul(v, correct2)), epsilon))
			if decays(name) {
				change = Add(change, MulScalar(values[i], t.config.Decay))
			}
			out[i], out[nt+i], out[2*nt+i] = Sub(values[i], Mul(change, rate)), m, v
		}
		for i, a := range average {
			out = append(out, Add(Mul(a, keep), Mul(out[i], OneMinus(keep))))
		}
		return append(out, norm)
	})
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

func (x *texts) tensors() []*tensors.Tensor {
	return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(x.ids, x.rows, x.cols), tensors.FromFlatDataAndDimensions(x.mask, x.rows, x.cols)}
}

func scalar(x float64) *tensors.Tensor { return tensors.FromScalar(float32(x)) }

// outcome of a step.
type outcome struct{ loss, norm float64 }

// step changes the weights once; number counts from 0, n is how many queries of
// the batch count.
func (t *Trainer) step(b *batch, n, number, steps int) (out outcome, err error) {
	defer catch(&err, "cannot compute a step")
	loss, grads, err := t.gradients(b, n)
	if err != nil {
		return out, err
	}
	defer free(grads)
	at := float64(number + 1)
	extra := []*tensors.Tensor{scalar(t.config.rate(number, steps)), scalar(1 / (1 - math.Pow(beta1, at))), scalar(1 / (1 - math.Pow(beta2, at))),
		// A young average forgets faster: what the run began with must not stay in it.
		scalar(min(t.config.EMA, (1+at)/(10+at)))}
	results, err := t.update.Call(arguments(t.values, t.first, t.second, grads, t.average, extra)...)
	if err != nil {
		return out, err
	}
	nt := len(t.trained)
	norm := tensors.ToScalar[float32](results[len(results)-1])
	out = outcome{loss, float64(norm)}
	if math.IsNaN(loss) || math.IsInf(loss, 0) || math.IsNaN(out.norm) || math.IsInf(out.norm, 0) {
		free(results)
		return out, errExploded // the weights stay as they were
	}
	free(t.values, t.first, t.second, t.average, extra, results[len(results)-1:])
	t.values, t.first, t.second = results[:nt:nt], results[nt:2*nt:2*nt], results[2*nt:3*nt:3*nt]
	if t.config.EMA > 0 {
		t.average = results[3*nt : 4*nt : 4*nt]
	}
	return out, nil
}

// errExploded is the error of a step whose loss or gradient is no number.
var errExploded = errors.New("the loss or its gradient is not a finite number")

// gradients computes the loss of a batch and its gradients at all trained weights.
func (t *Trainer) gradients(b *batch, n int) (loss float64, grads []*tensors.Tensor, err error) {
	size, all := b.queries.rows, b.products.rows
	goal := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(b.target, size, all), tensors.FromFlatDataAndDimensions(b.allowed, size, all),
		tensors.FromFlatDataAndDimensions(b.grades, size, all/size), scalar(float64(n)),
	}
	defer free(goal)
	if t.config.Micro == 0 || t.config.Micro >= size+all {
		inputs := append(b.queries.tensors(), b.products.tensors()...)
		defer free(inputs)
		results, err := t.gradient.Call(arguments(t.fixed, t.values, inputs, goal)...)
		if err != nil {
			return 0, nil, err
		}
		defer free(results[:1])
		return float64(tensors.ToScalar[float32](results[0])), results[1:], nil
	}
	return t.cached(b, goal)
}

// cached computes gradients with the memory of a few texts: first all vectors,
// then the gradient at the vectors, then text by text what that is at the weights.
func (t *Trainer) cached(b *batch, goal []*tensors.Tensor) (loss float64, grads []*tensors.Tensor, err error) {
	var vectors []*tensors.Tensor
	defer func() { free(vectors) }()
	for _, x := range []*texts{b.queries, b.products} {
		values, err := t.vectors(x, t.values)
		if err != nil {
			return 0, nil, err
		}
		vectors = append(vectors, tensors.FromFlatDataAndDimensions(values, x.rows, t.net.Hidden))
	}
	at, err := t.vectorGradient.Call(arguments(vectors, goal)...)
	if err != nil {
		return 0, nil, err
	}
	defer free(at)
	for _, v := range t.values {
		grads = append(grads, tensors.FromShape(v.Shape()))
	}
	for i, x := range []*texts{b.queries, b.products} {
		slope := tensors.MustCopyFlatData[float32](at[1+i])
		for first := 0; first < x.rows; first += t.config.Micro {
			part := x.part(first, t.config.Micro)
			some := make([]float32, part.rows*t.net.Hidden)
			copy(some, slope[first*t.net.Hidden:])
			inputs := append(part.tensors(), tensors.FromFlatDataAndDimensions(some, part.rows, t.net.Hidden))
			sum, err := t.backward.Call(arguments(t.fixed, t.values, grads, inputs)...)
			free(grads, inputs)
			if err != nil {
				return 0, nil, err
			}
			grads = sum
		}
	}
	return float64(tensors.ToScalar[float32](at[0])), grads, nil
}

// part returns n rows of x, filled up with rows of one token at the end so that
// one program serves.
func (x *texts) part(first, n int) *texts {
	out := newTexts(n, x.cols)
	copied := copy(out.ids, x.ids[first*x.cols:])
	copy(out.mask, x.mask[first*x.cols:])
	for row := copied / x.cols; row < n; row++ {
		out.mask[row*x.cols] = 1
	}
	return out
}

// vectors encodes texts, Micro at a time or all at once.
func (t *Trainer) vectors(x *texts, values []*tensors.Tensor) (out []float32, err error) {
	n := min(x.rows, 64)
	if t.config.Micro > 0 {
		n = min(n, t.config.Micro)
	}
	for first := 0; first < x.rows; first += n {
		inputs := x.part(first, n).tensors()
		v, err := t.encode.Call(arguments(t.fixed, values, inputs)...)
		free(inputs)
		if err != nil {
			return nil, err
		}
		out = append(out, tensors.MustCopyFlatData[float32](v[0])...)
		free(v)
	}
	return out[:x.rows*t.net.Hidden], nil
}

// Vectors returns the unit vectors of tokenised texts by the weights as they are,
// or by their average where there is one: dimension values each.
func (t *Trainer) Vectors(tokens [][]int32) (out []float32, err error) {
	defer catch(&err, "cannot encode")
	width := 8
	for _, x := range tokens {
		width = max(width, (len(x)+7)/8*8)
	}
	x := newTexts(len(tokens), min(width, t.net.Positions))
	for i, ids := range tokens {
		x.set(i, ids)
	}
	return t.vectors(x, t.best())
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
