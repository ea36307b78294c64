package train

import (
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/trirank/trirank/train/bert"
)

// weights finds a weight among the nodes of frozen and trained, LoRA applied.
func (t *Trainer) weights(frozen, values []*Node) bert.Weights {
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

// below is how many layers are frozen under all that is trained; all of them and
// the pooling where only the adapter is.
func (t *Trainer) below() int {
	switch {
	case t.what.adapter:
		return t.net.Layers
	case t.what.top > 0:
		return t.net.Layers - t.what.top
	}
	return 0
}

// textInputs is how many inputs of a program are the texts: words, or what the frozen
// layers made of them, and where they lie.
func (t *Trainer) textInputs() int {
	if t.activations != nil {
		return 3
	}
	return 4
}

// vectors builds the vectors [rows*slots, hidden] of texts.
func (t *Trainer) vectors(w bert.Weights, in []*Node) *Node {
	where := bert.Texts{Segments: in[len(in)-2], Mean: in[len(in)-1]}
	from, x := 0, in[0]
	if t.activations != nil {
		from = t.below()
	} else {
		x = t.net.Embed(w, in[0], in[1])
	}
	return t.net.Pool(w, t.net.Through(w, from, t.net.Layers, x, where), where)
}

// build prepares the programs; they are compiled when they first run, once for each
// number of rows.
func (t *Trainer) build() {
	nf, nt, nx := len(t.frozen), len(t.trained), t.textInputs()
	// take cuts the inputs of a program into its parts.
	take := func(in []*Node, counts ...int) (parts [][]*Node) {
		for _, n := range counts {
			parts, in = append(parts, in[:n]), in[n:]
		}
		return parts
	}
	t.encode = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nf, nt, nx)
		return []*Node{t.vectors(t.weights(p[0], p[1]), p[2])}
	})
	// All at once: loss and gradients of a batch.
	t.gradient = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nf, nt, nx, 1, goalSize)
		all := Gather(t.vectors(t.weights(p[0], p[1]), p[2]), p[3][0])
		goal := newGoal(p[4])
		queries := goal.grades.Shape().Dimensions[0]
		loss := t.config.loss(Slice(all, AxisRange(0, queries)), Slice(all, AxisRangeToEnd(queries)), goal)
		return append([]*Node{loss}, Gradient(loss, p[1]...)...)
	})
	// In parts: the gradient at the vectors, and what it is at the weights for
	// some of the texts, added to what others gave.
	t.vectorGradient = MustNewExec(t.backend, func(in []*Node) []*Node {
		loss := t.config.loss(in[0], in[1], newGoal(in[2:]))
		return append([]*Node{loss}, Gradient(loss, in[0], in[1])...)
	})
	t.backward = MustNewExec(t.backend, func(in []*Node) []*Node {
		p := take(in, nf, nt, nt, nx, 1)
		v := t.vectors(t.weights(p[0], p[1]), p[3])
		grads := Gradient(ReduceAllSum(Mul(v, StopGradient(p[4][0]))), p[1]...)
		for i := range grads {
			grads[i] = Add(grads[i], p[2][i])
		}
		return grads
	})
	// The norm of all gradients, and what clipping by it multiplies them with.
	t.norm = MustNewExec(t.backend, func(grads []*Node) []*Node {
		squares := ScalarZero(grads[0].Graph(), float32Type)
		for _, g := range grads {
			squares = Add(squares, ReduceAllSum(Square(g)))
		}
		norm := Sqrt(squares)
		return []*Node{norm, MinScalar(Div(Scalar(norm.Graph(), float32Type, t.config.Clip), AddScalar(norm, 1e-12)), 1)}
	})
	// AdamW for one weight, and its average where there is one. Results lie beside the
	// arguments until these are freed: all weights at once would be held twice.
	t.update = MustNewExec(t.backend, func(in []*Node) []*Node {
		value, m, v, grad, average := in[0], in[1], in[2], in[3], in[4:len(in)-6]
		by := in[len(in)-6:]
		scale, rate, correct1, correct2, decay, keep := by[0], by[1], by[2], by[3], by[4], by[5]
		grad = Mul(grad, scale)
		m = Add(MulScalar(m, beta1), MulScalar(grad, 1-beta1))
		v = Add(MulScalar(v, beta2), MulScalar(Square(grad), 1-beta2))
		change := Div(Mul(m, correct1), AddScalar(Sqrt(Mul(v, correct2)), epsilon))
		value = Sub(value, Mul(Add(change, Mul(value, decay)), rate))
		out := []*Node{value, m, v}
		for _, a := range average {
			out = append(out, Add(Mul(a, keep), Mul(value, OneMinus(keep))))
		}
		return out
	})
}
