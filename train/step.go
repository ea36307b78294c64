package train

import (
	"context"
	"errors"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"

	"github.com/trirank/trirank/train/heap"
)

// outcome of a step.
type outcome struct{ loss, norm float64 }

// step changes the weights once; number counts from 0.
func (t *Trainer) step(b *batch, number, steps int) (out outcome, err error) {
	defer catch(&err, "cannot compute a step")
	loss, grads, err := t.gradients(b)
	if err != nil {
		return out, err
	}
	defer func() { free(grads) }()
	if t.taken++; t.taken <= 2 {
		heap.Trim() // what is taken anew each step has not found its place yet
	}
	clip, err := t.norm.Call(arguments(grads)...)
	if err != nil {
		return out, err
	}
	defer free(clip)
	out = outcome{loss, float64(tensors.ToScalar[float32](clip[0]))}
	if math.IsNaN(loss) || math.IsInf(loss, 0) || math.IsNaN(out.norm) || math.IsInf(out.norm, 0) {
		return out, ErrExploded // the weights stay as they were
	}
	at := float64(number + 1)
	rate, correct1, correct2 := scalar(t.config.rate(number, steps)), scalar(1/(1-math.Pow(beta1, at))), scalar(1/(1-math.Pow(beta2, at)))
	// A young average forgets faster: what the run began with must not stay in it.
	share := scalar(min(t.config.EMA, (1+at)/(10+at)))
	decay, none := scalar(t.config.Decay), scalar(0)
	defer free([]*tensors.Tensor{rate, correct1, correct2, share, decay, none})
	for i, name := range t.trained {
		by := []*tensors.Tensor{clip[1], rate, correct1, correct2, decay, share}
		if !decays(name) {
			by[4] = none
		}
		var average []*tensors.Tensor
		if t.average != nil {
			average = t.average[i : i+1]
		}
		results, err := t.update.Call(arguments(t.values[i:i+1], t.first[i:i+1], t.second[i:i+1], grads[:1], average, by)...)
		if err != nil {
			return out, err
		}
		free(grads[:1])
		grads = grads[1:]
		if err := t.put(i, results); err != nil {
			return out, err
		}
	}
	return out, nil
}

// put takes over what an update made of weight i.
func (t *Trainer) put(i int, results []*tensors.Tensor) error {
	var g errgroup.Group
	for j, list := range [][]*tensors.Tensor{t.values, t.first, t.second, t.average}[:len(results)] {
		g.Go(func() (err error) {
			list[i], err = replaced(list[i], results[j])
			return err
		})
	}
	return g.Wait()
}

// replaced returns a tensor with the values of another, and frees what is not needed
// then. Where the memory of the device is the process's, on a processor, it is the old
// one: what lives as long as the run stays where it is then, and what each step takes
// anew has a place of its own.
func replaced(old, by *tensors.Tensor) (*tensors.Tensor, error) {
	if !old.IsShared() {
		return by, old.FinalizeAll()
	}
	return old, errors.Join(old.CopyFrom(by), by.FinalizeAll())
}

// ErrExploded is the error of a run whose loss or gradient is no number.
var ErrExploded = errors.New("the loss or its gradient is not a finite number")

// gradients computes the loss of a batch and its gradients at all trained weights.
func (t *Trainer) gradients(b *batch) (loss float64, grads []*tensors.Tensor, err error) {
	goal := b.goal()
	defer free(goal)
	p := pack(b.texts, t.width)
	if t.config.Micro > 0 && len(p.rows) > t.config.Micro {
		return t.cached(b, p, goal)
	}
	rows := t.rows(len(p.rows))
	if t.config.Micro > 0 {
		rows = t.config.Micro // no more memory than a part of a larger batch takes
	}
	inputs, err := t.inputs(p, 0, rows)
	if err != nil {
		return 0, nil, err
	}
	inputs = append(inputs, p.where())
	defer free(inputs)
	results, err := t.gradient.Call(arguments(t.fixed, t.values, inputs, goal)...)
	if err != nil {
		return 0, nil, err
	}
	defer free(results[:1])
	return float64(tensors.ToScalar[float32](results[0])), results[1:], nil
}

// goal is what a batch wants, for the device.
func (b *batch) goal() []*tensors.Tensor {
	matrix := tensors.FromFlatDataAndDimensions[float32]
	all := b.size * b.own
	return []*tensors.Tensor{
		matrix(b.target, b.size, all), matrix(b.allowed, b.size, all),
		matrix(b.grades, b.size, b.own), matrix(b.teacher, b.size, b.own), scalar(float64(b.examples)),
	}
}

// rows is how many rows a program has for texts that need n: one of a few numbers,
// since each is compiled on its own.
func (t *Trainer) rows(n int) int {
	step := max(1, t.typical/8)
	out := max(step, t.typical)
	for out < n {
		out += step
	}
	return out
}

// inputs are n rows of packed texts for the device, as tokens or as what the frozen
// layers made of them.
func (t *Trainer) inputs(p *packed, first, n int) ([]*tensors.Tensor, error) {
	m := p.matrix(first, n)
	if t.activations == nil {
		return append(m.words(), m.layout()...), nil
	}
	x, err := t.activations.matrix(p, first, n)
	if err != nil {
		return nil, err
	}
	return append([]*tensors.Tensor{x}, m.layout()...), nil
}

// cached computes gradients with the memory of a few texts: first all vectors,
// then the gradient at the vectors, then row by row what that is at the weights.
func (t *Trainer) cached(b *batch, p *packed, goal []*tensors.Tensor) (loss float64, grads []*tensors.Tensor, err error) {
	dim := t.net.Hidden
	values, err := t.encodePacked(context.Background(), p, t.values) // a step is not left half done
	if err != nil {
		return 0, nil, err
	}
	vectors := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(values[:b.size*dim], b.size, dim),
		tensors.FromFlatDataAndDimensions(values[b.size*dim:], b.size*b.own, dim),
	}
	defer free(vectors)
	at, err := t.vectorGradient.Call(arguments(vectors, goal)...)
	if err != nil {
		return 0, nil, err
	}
	defer free(at)
	slope := append(tensors.MustCopyFlatData[float32](at[1]), tensors.MustCopyFlatData[float32](at[2])...)
	for _, v := range t.values {
		zeros, err := t.zeros(v)
		if err != nil {
			free(grads)
			return 0, nil, err
		}
		grads = append(grads, zeros)
	}
	for first := 0; first < len(p.rows); first += t.config.Micro {
		inputs, err := t.inputs(p, first, t.config.Micro)
		if err != nil {
			free(grads)
			return 0, nil, err
		}
		some := make([]float32, t.config.Micro*p.slots*dim)
		p.each(first, t.config.Micro, func(row, slot, _, text int) {
			copy(some[(row*p.slots+slot)*dim:], slope[text*dim:(text+1)*dim])
		})
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(some, t.config.Micro*p.slots, dim))
		sum, err := t.backward.Call(arguments(t.fixed, t.values, grads, inputs)...)
		free(grads, inputs)
		if err != nil {
			return 0, nil, err
		}
		grads = sum
	}
	return float64(tensors.ToScalar[float32](at[0])), grads, nil
}
