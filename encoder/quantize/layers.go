package quantize

import (
	"slices"
	"strconv"

	"github.com/trirank/trirank/internal/onnxfile"
)

// noFactor begins the names of factors that are all 1.
const noFactor = "quantized_no_factor_"

// layers puts one Layer in the place of the nodes that together are a layer of BERT, in the
// body of a graph as it is quantized. Others stay as they are.
func (g *graph) layers(body []byte) ([]byte, error) {
	l := layers{graph: g, uses: map[string][]int{}, made: map[string]int{}, shapes: map[string][]int{}}
	var places []onnxfile.Field
	err := onnxfile.Fields(body, 0, len(body), func(x onnxfile.Field) error {
		switch x.Number {
		case onnxfile.GraphInitializer:
			t, err := onnxfile.ReadTensor(body, x.From, x.To)
			l.shapes[t.Name] = t.Dims
			return err
		case onnxfile.GraphNode:
			n, err := onnxfile.ReadNode(body, x.From, x.To)
			for _, name := range n.Inputs {
				l.uses[name] = append(l.uses[name], len(l.nodes))
			}
			for _, name := range n.Outputs {
				l.made[name] = len(l.nodes)
			}
			l.nodes, places = append(l.nodes, n), append(places, x)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []byte
	gone, stand, ones := map[int]bool{}, map[int]onnxfile.Node{}, map[int]bool{}
	for i := range l.nodes {
		found, ok := l.layer(i)
		if !ok {
			continue
		}
		for j, name := range found.inputs {
			if name != "" {
				continue
			}
			channels := l.shapes[found.inputs[firstMatrix]][0] // nothing stands out
			found.inputs[j] = noFactor + strconv.Itoa(channels)
			if !ones[channels] {
				ones[channels] = true
				out = onnxfile.AppendTensor(out, onnxfile.GraphInitializer, g.name(found.inputs[j], ""), onnxfile.Float32, []int{channels}, littleEndian(slices.Repeat([]float32{1}, channels)))
			}
		}
		for _, at := range found.nodes {
			gone[at] = true
		}
		last := found.nodes[len(found.nodes)-1]
		stand[last] = newNode(Layer, found.inputs, l.nodes[last].Outputs, map[string]int64{"heads": g.heads})
		g.layered = true
	}
	from := 0
	for i, x := range places {
		out = append(out, body[from:x.Start]...)
		from = x.End
		if n, ok := stand[i]; ok {
			out = onnxfile.AppendNode(out, onnxfile.GraphNode, n)
		} else if !gone[i] {
			out = append(out, body[x.Start:x.End]...)
		}
	}
	return append(out, body[from:]...), g.clash
}

// layers looks for layers among the nodes of a quantized graph.
type layers struct {
	*graph
	nodes  []onnxfile.Node
	uses   map[string][]int // nodes that a value goes into, once for each time
	made   map[string]int   // the node that a value comes of
	shapes map[string][]int // of the constants
}

// wholeLayer is what one Layer stands for.
type wholeLayer struct {
	inputs []string // of the Layer; a factor that there is none of is ""
	nodes  []int    // in its place, the last of which is the last in the graph too
}

// firstMatrix is the place of the first matrix among the inputs of a Layer.
const firstMatrix = 3

// layer finds the layer around the Attention at i.
func (l *layers) layer(i int) (found wholeLayer, ok bool) {
	if !l.is(i, Attention) {
		return found, false
	}
	attention := &l.nodes[i]
	// Backwards.
	var matrices []string
	var nodes []int
	var of *onnxfile.Node
	for _, name := range attention.Inputs[:3] {
		at, made := l.made[name]
		if !made || !l.is(at, TokenProduct) || !l.alone(name, 1) {
			return found, false
		}
		n := &l.nodes[at]
		if of == nil {
			of = n
		} else if n.Inputs[0] != of.Inputs[0] || n.Inputs[1] != of.Inputs[1] {
			return found, false
		}
		matrices, nodes = append(matrices, n.Inputs[2:]...), append(nodes, at)
	}
	round, made := l.made[of.Inputs[0]]
	if !made || !l.is(round, RoundTokens) || !slices.Equal(l.nodes[round].Outputs, of.Inputs[:2]) || !l.alone(of.Inputs[0], 3) || !l.alone(of.Inputs[1], 3) {
		return found, false
	}
	x, first := l.nodes[round].Inputs[0], ""
	nodes = append(nodes, round)
	if at, made := l.made[x]; made && l.alone(x, 1) && l.divides(at) {
		x, first = l.nodes[at].Inputs[0], l.nodes[at].Inputs[1]
		nodes = append(nodes, at)
	}
	// Forwards.
	nodes = append(nodes, i)
	joined, joinedNodes, ok := l.product(attention.Outputs[0], 1, TokenProduct)
	if !ok {
		return found, false
	}
	between, normal, at, ok := l.normalized(joined.y, x)
	if !ok || !l.alone(between, 2) {
		return found, false
	}
	nodes = append(append(nodes, joinedNodes...), at)
	value, places, second := between, 2, ""
	for _, use := range l.uses[between] {
		if l.divides(use) {
			value, places, second = l.nodes[use].Outputs[0], 1, l.nodes[use].Inputs[1]
			nodes = append(nodes, use)
		}
	}
	wide, wideNodes, ok := l.product(value, places, TokenProductGelu)
	if !ok {
		return found, false
	}
	narrow, narrowNodes, ok := l.product(wide.y, 1, TokenProduct)
	if !ok {
		return found, false
	}
	_, last, at, ok := l.normalized(narrow.y, between)
	if !ok {
		return found, false
	}
	found.nodes = append(slices.Concat(nodes, wideNodes, narrowNodes), at)
	found.inputs = slices.Concat([]string{x, attention.Inputs[3], first}, matrices, joined.matrix, normal, []string{second}, wide.matrix, narrow.matrix, last)
	return found, l.fit(matrices[0], joined.matrix[0], wide.matrix[0], narrow.matrix[0])
}

// fit reports whether matrices lead from as many channels as there are in the end.
func (l *layers) fit(query, joined, wide, narrow string) bool {
	q, j, w, n := l.shapes[query], l.shapes[joined], l.shapes[wide], l.shapes[narrow]
	return len(q) == 2 && len(j) == 2 && len(w) == 2 && len(n) == 2 &&
		q[1] == j[0] && j[1] == q[0] && w[0] == q[0] && n[0] == w[1] && n[1] == q[0]
}

func (l *layers) is(at int, op string) bool {
	return l.nodes[at].Op == op && l.nodes[at].Domain == Domain
}

// alone reports whether a value goes into so many places and nowhere else.
func (l *layers) alone(value string, places int) bool {
	return len(l.uses[value]) == places && !l.outputs[value]
}

// divides reports whether the node divides channels that stand out.
func (l *layers) divides(at int) bool {
	n := &l.nodes[at]
	return n.Op == "Mul" && n.Domain == "" && len(n.Inputs) == 2 && l.divisors[n.Inputs[0]] != nil && n.Inputs[1] == n.Inputs[0]+factor
}

// multiplied is a product of whole numbers.
type multiplied struct {
	matrix []string // weights, scales and bias
	y      string
}

// product finds the product, alone, that activations go into, which go into so many places.
func (l *layers) product(x string, places int, op string) (p multiplied, nodes []int, ok bool) {
	round := slices.IndexFunc(l.uses[x], func(at int) bool { return l.is(at, RoundTokens) })
	if round < 0 || !l.alone(x, places) {
		return p, nil, false
	}
	at := l.uses[x][round]
	q, peak := l.nodes[at].Outputs[0], l.nodes[at].Outputs[1]
	if !l.alone(q, 1) || !l.alone(peak, 1) || !l.is(l.uses[q][0], op) || l.uses[peak][0] != l.uses[q][0] {
		return p, nil, false
	}
	product := l.uses[q][0]
	p = multiplied{l.nodes[product].Inputs[2:], l.nodes[product].Outputs[0]}
	return p, []int{at, product}, true
}

// normalized finds the normalisation of the sum of a, which goes nowhere else, and b.
func (l *layers) normalized(a, b string) (y string, constants []string, at int, ok bool) {
	if !l.alone(a, 1) || !l.is(l.uses[a][0], AddNormalize) {
		return "", nil, 0, false
	}
	at = l.uses[a][0]
	n := &l.nodes[at]
	terms := n.Inputs[:2]
	return n.Outputs[0], n.Inputs[2:], at, slices.Contains(terms, a) && slices.Contains(terms, b)
}
