package quantize

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/trirank/trirank/internal/onnxfile"
)

// joined is what a product takes in of the nodes after it.
type joined struct {
	bias string // "" for none
	gelu bool
	y    string // the name of the result
}

// join finds the nodes that together are what one of our functions is, as PyTorch
// exports BERT: the bias of a product and GELU, attention, and layer normalisation of a
// sum. What looks otherwise stays as it is.
func (g *graph) join() {
	p := patterns{graph: g, uses: map[string][]int{}, made: map[string]int{}, results: map[string]int{}, embedded: map[string]int{}}
	for i := range g.nodes {
		for _, name := range g.nodes[i].Inputs {
			p.uses[name] = append(p.uses[name], i)
		}
		for _, name := range g.nodes[i].Outputs {
			p.made[name] = i
		}
	}
	for i := range g.nodes {
		switch n := &g.nodes[i]; {
		case g.multiplies(n):
			p.product(i)
		case is(n, "Gather"):
			if t, ok := p.tensors[n.Inputs[0]]; ok && len(t.Dims) == 2 && n.Ints["axis"] == 0 {
				p.embedded[n.Outputs[0]] = t.Dims[1]
			}
		case is(n, "Add") && len(n.Inputs) == 2:
			if a := p.embedded[n.Inputs[0]]; a > 0 && a == p.embedded[n.Inputs[1]] {
				p.embedded[n.Outputs[0]] = a
			}
		case is(n, "Softmax"):
			p.attention(i)
		case is(n, "Sqrt"):
			p.normalize(i)
		}
	}
	p.drop()
	if !p.complete() {
		p.separate()
	}
}

// patterns looks for nodes in a graph.
type patterns struct {
	*graph
	uses    map[string][]int // nodes that a value goes into, once for each time
	made    map[string]int   // the node that a value comes of
	results map[string]int   // columns of what products make, with what is joined to them
	// columns of embeddings and of their sums
	embedded map[string]int
}

func is(n *onnxfile.Node, op string) bool {
	return n.Op == op && n.Domain == "" && len(n.Outputs) == 1 && len(n.Inputs) > 0
}

// next returns the node of the operator that alone is given a value, and its other input
// if it has two.
func (p *patterns) next(value, op string) (at int, other string, ok bool) {
	if len(p.uses[value]) != 1 || p.outputs[value] {
		return 0, "", false
	}
	at = p.uses[value][0]
	n := &p.nodes[at]
	if !is(n, op) || len(n.Inputs) > 2 {
		return 0, "", false
	}
	for _, in := range n.Inputs {
		if in != value {
			other = in
		}
	}
	return at, other, true
}

// before returns the node of the operator, of so many inputs, that makes a value for
// one other alone.
func (p *patterns) before(value, op string, inputs int) (at int, ok bool) {
	at, ok = p.made[value]
	return at, ok && is(&p.nodes[at], op) && len(p.nodes[at].Inputs) == inputs && len(p.uses[value]) == 1 && !p.outputs[value]
}

func (p *patterns) merge(nodes ...int) {
	for _, at := range nodes {
		p.merged[at] = true
	}
}

// replace has the last of nodes replaced, and the others left out.
func (p *patterns) replace(op string, inputs []string, ints map[string]int64, nodes ...int) {
	last := nodes[len(nodes)-1]
	p.merge(nodes...)
	p.replaced[last] = newNode(op, inputs, p.nodes[last].Outputs, ints)
}

// product looks for what follows a product.
func (p *patterns) product(i int) {
	n := &p.nodes[i]
	_, columns := p.shape(n.Inputs[1])
	isBias := func(name string) bool {
		t, ok := p.tensors[name]
		return ok && t.Type == onnxfile.Float32 && len(t.Dims) == 1 && t.Dims[0] == columns
	}
	j := joined{y: n.Outputs[0]}
	if len(n.Inputs) > 2 && n.Inputs[2] != "" {
		if !isBias(n.Inputs[2]) {
			return
		}
		j.bias = n.Inputs[2]
	} else if add, other, ok := p.next(j.y, "Add"); ok && isBias(other) {
		p.merge(add)
		j.bias, j.y = other, p.nodes[add].Outputs[0]
	}
	if nodes, ok := p.gelu(j.y); ok {
		p.merge(nodes...)
		j.gelu, j.y = true, p.nodes[nodes[len(nodes)-1]].Outputs[0]
	}
	p.joined[i], p.results[j.y] = j, columns
}

// gelu finds the nodes of x/2 (1 + erf(x / sqrt 2)), in which alone x is used.
func (p *patterns) gelu(x string) (nodes []int, ok bool) {
	if len(p.uses[x]) != 2 || p.outputs[x] {
		return nil, false
	}
	div := &p.nodes[p.uses[x][0]]
	if !is(div, "Div") || len(div.Inputs) != 2 || div.Inputs[0] != x || !p.isConstant(div.Inputs[1], math.Sqrt2) {
		return nil, false
	}
	erf, _, ok := p.next(div.Outputs[0], "Erf")
	if !ok {
		return nil, false
	}
	add, one, ok := p.next(p.nodes[erf].Outputs[0], "Add")
	if !ok || !p.isConstant(one, 1) {
		return nil, false
	}
	mul, other, ok := p.next(p.nodes[add].Outputs[0], "Mul")
	if !ok || other != x {
		return nil, false
	}
	halve, half, ok := p.next(p.nodes[mul].Outputs[0], "Mul")
	if !ok || !p.isConstant(half, .5) {
		return nil, false
	}
	return []int{p.uses[x][0], erf, add, mul, halve}, true
}

// attention looks for softmax(q k / sqrt(channels) + mask) v around the softmax at i, with
// what takes the heads apart before it and joins them after it.
func (p *patterns) attention(i int) {
	softmax := &p.nodes[i]
	if axis := softmax.Ints["axis"]; axis != -1 && axis != 3 {
		return
	}
	// Backwards.
	add, ok := p.before(softmax.Inputs[0], "Add", 2)
	if !ok {
		return
	}
	mask := p.nodes[add].Inputs[1]
	div, ok := p.before(p.nodes[add].Inputs[0], "Div", 2)
	if !ok {
		return
	}
	product, ok := p.before(p.nodes[div].Inputs[0], "MatMul", 2)
	if !ok {
		return
	}
	q, ok := p.split(p.nodes[product].Inputs[0], 0, 2, 1, 3)
	k, kOK := p.split(p.nodes[product].Inputs[1], 0, 2, 3, 1)
	if !ok || !kOK {
		return
	}
	if root, ok := p.constant(p.nodes[div].Inputs[1]); !ok || math.Abs(float64(root)/math.Sqrt(float64(q.channels))-1) > 1e-6 {
		return
	}
	// Forwards.
	mix, values, ok := p.next(softmax.Outputs[0], "MatMul")
	if !ok || p.nodes[mix].Inputs[0] != softmax.Outputs[0] {
		return
	}
	v, ok := p.split(values, 0, 2, 1, 3)
	if !ok || k.heads != q.heads || v.heads != q.heads || k.channels != q.channels || v.channels != q.channels {
		return
	}
	turn, _, ok := p.next(p.nodes[mix].Outputs[0], "Transpose")
	if !ok || !slices.Equal(p.nodes[turn].IntLists["perm"], []int64{0, 2, 1, 3}) {
		return
	}
	turned := p.nodes[turn].Outputs[0]
	if p.outputs[turned] {
		return
	}
	for _, whole := range p.uses[turned] { // others take its shape
		if n := &p.nodes[whole]; is(n, "Reshape") && n.Inputs[0] == turned && slices.Equal(p.ends(n.Inputs[1], turned, 3), []int64{q.heads * q.channels}) {
			p.heads, p.channels = q.heads, q.channels
			p.replace(Attention, []string{q.x, k.x, v.x, mask}, map[string]int64{"heads": q.heads},
				q.reshape, q.turn, k.reshape, k.turn, v.reshape, v.turn, product, div, add, i, mix, turn, whole)
			return
		}
	}
}

// heads is a value taken apart: reshaped to [texts, tokens, heads, channels] and turned.
type heads struct {
	x               string
	heads, channels int64
	reshape, turn   int
}

// split finds what a value was before its heads were taken apart.
func (p *patterns) split(value string, perm ...int64) (h heads, ok bool) {
	if h.turn, ok = p.before(value, "Transpose", 1); !ok || !slices.Equal(p.nodes[h.turn].IntLists["perm"], perm) {
		return h, false
	}
	if h.reshape, ok = p.before(p.nodes[h.turn].Inputs[0], "Reshape", 2); !ok {
		return h, false
	}
	h.x = p.nodes[h.reshape].Inputs[0]
	last := p.ends(p.nodes[h.reshape].Inputs[1], h.x, 4)
	if last == nil || last[0] < 1 || last[1] < 1 {
		return h, false
	}
	h.heads, h.channels = last[0], last[1]
	// One function stands for all.
	return h, p.heads == 0 || p.heads == h.heads && p.channels == h.channels
}

// ends returns what follows the first two of the n dimensions that a shape is put
// together of, if those are x's and the others constants.
func (p *patterns) ends(shape, x string, n int) (last []int64) {
	at, ok := p.made[shape]
	if !ok || !is(&p.nodes[at], "Concat") || len(p.nodes[at].Inputs) != n {
		return nil
	}
	for i, name := range p.nodes[at].Inputs {
		if i < 2 {
			if !p.isDimension(name, x, int64(i)) {
				return nil
			}
			continue
		}
		v, ok := p.whole(name)
		if !ok {
			return nil
		}
		last = append(last, v)
	}
	return last
}

// isDimension reports whether a value is one of x's dimensions.
func (p *patterns) isDimension(name, x string, which int64) bool {
	at, ok := p.made[name]
	if ok && is(&p.nodes[at], "Unsqueeze") {
		at, ok = p.made[p.nodes[at].Inputs[0]]
	}
	if !ok || !is(&p.nodes[at], "Gather") || len(p.nodes[at].Inputs) != 2 || p.nodes[at].Ints["axis"] != 0 {
		return false
	}
	gather := &p.nodes[at]
	index, ok := p.whole(gather.Inputs[1])
	shape, made := p.made[gather.Inputs[0]]
	return ok && index == which && made && is(&p.nodes[shape], "Shape") && p.nodes[shape].Inputs[0] == x
}

// whole returns the whole number that a name is that of.
func (p *patterns) whole(name string) (int64, bool) {
	t, raw, ok := p.value(name)
	if !ok || t.Type != onnxfile.Int64 || len(raw) != 8 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(raw)), true
}

// normalize looks for layer normalisation of a sum around its square root at i.
func (p *patterns) normalize(i int) {
	root := &p.nodes[i]
	lift, ok := p.before(root.Inputs[0], "Add", 2)
	if !ok {
		return
	}
	epsilon := p.nodes[lift].Inputs[1]
	if v, ok := p.constant(epsilon); !ok || !(v > 0) {
		return
	}
	variance, ok := p.before(p.nodes[lift].Inputs[0], "ReduceMean", 1)
	if !ok || !overLast(&p.nodes[variance]) {
		return
	}
	square, ok := p.before(p.nodes[variance].Inputs[0], "Pow", 2)
	if !ok || !p.isConstant(p.nodes[square].Inputs[1], 2) {
		return
	}
	centred := p.nodes[square].Inputs[0]
	sub, ok := p.made[centred]
	if !ok || !is(&p.nodes[sub], "Sub") || len(p.uses[centred]) != 2 || p.outputs[centred] {
		return
	}
	sum := p.nodes[sub].Inputs[0]
	mean, ok := p.before(p.nodes[sub].Inputs[1], "ReduceMean", 1)
	if !ok || !overLast(&p.nodes[mean]) || p.nodes[mean].Inputs[0] != sum {
		return
	}
	add, ok := p.made[sum]
	if !ok || !is(&p.nodes[add], "Add") || len(p.uses[sum]) != 2 || p.outputs[sum] {
		return
	}
	div, numerator, ok := p.next(root.Outputs[0], "Div")
	if !ok || numerator != centred || p.nodes[div].Inputs[0] != centred {
		return
	}
	scale, weight, ok := p.next(p.nodes[div].Outputs[0], "Mul")
	if !ok {
		return
	}
	shift, bias, ok := p.next(p.nodes[scale].Outputs[0], "Add")
	if !ok {
		return
	}
	w, b := p.tensors[weight], p.tensors[bias]
	if len(w.Dims) != 1 || !slices.Equal(w.Dims, b.Dims) || w.Type != onnxfile.Float32 || b.Type != onnxfile.Float32 {
		return
	}
	// One of them a product makes, or both are embeddings, of so many columns.
	terms := p.nodes[add].Inputs
	if len(terms) == 2 && terms[0] != terms[1] && (max(p.results[terms[0]], p.results[terms[1]]) == w.Dims[0] || p.embedded[terms[0]] == w.Dims[0] && p.embedded[terms[1]] == w.Dims[0]) {
		p.replace(AddNormalize, []string{terms[0], terms[1], weight, bias, epsilon}, nil, add, mean, sub, square, variance, lift, i, div, scale, shift)
	}
}

// overLast reports whether a ReduceMean is over the last dimension, which it keeps.
func overLast(n *onnxfile.Node) bool {
	keep, given := n.Ints["keepdims"]
	return slices.Equal(n.IntLists["axes"], []int64{-1}) && (!given || keep == 1)
}

// value returns a constant.
func (p *patterns) value(name string) (t onnxfile.Tensor, raw []byte, ok bool) {
	t, ok = p.tensors[name]
	if at, made := p.made[name]; !ok && made && p.nodes[at].Op == "Constant" && p.nodes[at].Domain == "" {
		t, ok = p.nodes[at].Tensors["value"]
	}
	return t, p.bytes[t.From:t.To], ok
}

// constant returns the number that a name is that of.
func (p *patterns) constant(name string) (float32, bool) {
	t, raw, ok := p.value(name)
	if !ok || t.Type != onnxfile.Float32 || len(t.Dims) > 1 || len(raw) != 4 {
		return 0, false
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(raw)), true
}

func (p *patterns) isConstant(name string, v float32) bool {
	c, ok := p.constant(name)
	return ok && c == v
}

// drop leaves out the nodes that made what only those that are gone needed: shapes, for
// the most part.
func (p *patterns) drop() {
	before, after := p.needed(false), p.needed(true)
	for i := range p.nodes {
		if before[i] && !after[i] {
			p.merge(i)
			delete(p.replaced, i)
		}
	}
}

// current returns the node at i as it is now, with what is joined to it, if it is there.
func (p *patterns) current(i int) (n onnxfile.Node, there bool) {
	if stand, ok := p.replaced[i]; ok {
		return stand, true
	}
	n = p.nodes[i]
	if j, ok := p.joined[i]; ok {
		n.Outputs = []string{j.y}
		n.Inputs = append(slices.Clone(n.Inputs), j.bias)
	}
	return n, !p.merged[i]
}

// needed returns the nodes that the network's outputs are made by, as it was or as it is
// now.
func (p *patterns) needed(now bool) map[int]bool {
	nodes, values := map[int]bool{}, maps.Clone(p.outputs)
	for i := len(p.nodes) - 1; i >= 0; i-- { // they are in order of computation
		n, there := p.nodes[i], true
		if now {
			n, there = p.current(i)
		}
		if !there || !slices.ContainsFunc(n.Outputs, func(name string) bool { return values[name] }) {
			continue
		}
		nodes[i] = true
		for _, name := range n.Inputs {
			values[name] = true
		}
	}
	return nodes
}

// complete reports whether what remains is made of what remains.
func (p *patterns) complete() bool {
	made, wanted := map[string]bool{}, maps.Clone(p.outputs)
	for i := range p.nodes {
		n, there := p.current(i)
		if !there {
			continue
		}
		for _, name := range n.Outputs {
			made[name] = true
		}
		for _, name := range n.Inputs {
			wanted[name] = true
		}
	}
	for name := range wanted {
		if _, ok := p.made[name]; ok && !made[name] {
			return false
		}
	}
	return true
}

// separate leaves every node to itself.
func (p *patterns) separate() {
	clear(p.merged)
	clear(p.replaced)
	clear(p.joined)
	p.heads = 0
	for i := range p.nodes {
		if n := &p.nodes[i]; p.multiplies(n) && (len(n.Inputs) < 3 || n.Inputs[2] == "") {
			p.joined[i] = joined{y: n.Outputs[0]}
		}
	}
}
