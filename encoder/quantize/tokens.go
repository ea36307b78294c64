package quantize

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/onnxfile"
)

// Peaks runs a network, given as the bytes of its ONNX file, over some texts, and
// returns of each of the named values, which are among its outputs, the greatest
// magnitude in each channel: each place in the last dimension.
type Peaks func(ctx context.Context, network []byte, values []string) ([][]float32, error)

// SampleTokens returns the tokens of the texts that Compare encodes, for Peaks.
func SampleTokens(e *encoder.Encoder) (tokens [][]uint32, err error) {
	for i, text := range slices.Concat(queries, passages) {
		ids, err := e.Tokens(text, i < len(queries))
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, ids)
	}
	return tokens, nil
}

// evenOut finds the channels that reach far more than the others. What a token has
// there would take the steps from all its other channels: E5 has four such of 384. They
// are divided by a power of two, and the weights that they meet multiplied by it. That is
// one more pass over the activations, and so done where there are fewer of them than of
// what is made of them.
func (g *graph) evenOut(ctx context.Context, peaks Peaks) error {
	channels, columns := map[string]int{}, map[string]int{}
	shared := map[string]bool{} // a matrix of theirs is multiplied by others as well
	var values []string
	for i := range g.nodes {
		n := &g.nodes[i]
		if !g.multiplies(n) {
			continue
		}
		x, w := n.Inputs[0], n.Inputs[1]
		if channels[x] == 0 {
			values = append(values, x)
		}
		rows, cols := g.shape(w)
		if channels[x] > 0 && channels[x] != rows {
			return fmt.Errorf("value %.80q is multiplied by matrices of %d and of %d rows", x, channels[x], rows)
		}
		channels[x], columns[x] = rows, columns[x]+cols
		shared[x] = shared[x] || g.factors[w] != x
	}
	values = slices.DeleteFunc(values, func(x string) bool { return shared[x] || columns[x] <= channels[x] })
	if len(values) == 0 {
		return nil
	}
	found, err := peaks(ctx, g.watched(values), values)
	if err == nil && len(found) != len(values) {
		err = fmt.Errorf("there are %d of %d", len(found), len(values))
	}
	if err != nil {
		return fmt.Errorf("its activations cannot be looked at: %w", err)
	}
	for i, x := range values {
		if len(found[i]) != channels[x] {
			return fmt.Errorf("value %.80q has %d channels, and a matrix of %d rows is multiplied by it", x, len(found[i]), channels[x])
		}
		if d := divisors(found[i]); d != nil {
			g.divisors[x] = d
		}
	}
	return nil
}

// shape returns the rows and columns of a matrix as activations meet it.
func (g *graph) shape(w string) (rows, cols int) {
	d := g.tensors[w].Dims
	if g.turned[w] {
		return d[1], d[0]
	}
	return d[0], d[1]
}

// divisors are powers of two, so that dividing rounds nothing and hardly depends on how
// a processor rounds peaks; nil if no channel stands out.
func divisors(peaks []float32) []float32 {
	sorted := slices.Sorted(slices.Values(peaks))
	median := float64(sorted[len(sorted)/2])
	out, divides := make([]float32, len(peaks)), false
	for i, p := range peaks {
		out[i] = 1
		// NaN where there is nothing to compare with.
		if by := math.Round(math.Log2(float64(p) / (evenness * median))); by >= 1 && median > 0 {
			out[i], divides = float32(math.Exp2(min(by, mostHalvings))), true
		}
	}
	if !divides {
		return nil
	}
	return out
}

// mostHalvings bounds divisors: weights are multiplied by them, and must stay finite.
const mostHalvings = 8

// watched is the network with more outputs.
func (g *graph) watched(values []string) []byte {
	var more []byte
	for _, v := range values {
		if !g.outputs[v] {
			more = onnxfile.AppendFloats(more, onnxfile.GraphOutput, v)
		}
	}
	// A message that comes twice is merged: lists are joined.
	return onnxfile.AppendBytes(slices.Clone(g.bytes), onnxfile.ModelGraph, more)
}

// What is appended to the names of activations.
const (
	divided = "_divided"
	factor  = "_factor"
	peak    = "_peak"
	noBias  = "quantized_no_bias_"
)

// tokenProduct appends what stands for the product of the node at i in whole numbers, in
// which each token's activations reach from -127 to 127, and for what is joined to it.
func (g *graph) tokenProduct(out []byte, i int) []byte {
	n := &g.nodes[i]
	x, w := n.Inputs[0], n.Inputs[1]
	if !g.rounded[x] { // query, key and value share it
		g.rounded[x] = true
		v := x
		if d := g.divisors[x]; d != nil {
			factors := make([]float32, len(d))
			for i, by := range d {
				factors[i] = 1 / by
			}
			v = g.name(x, divided)
			out = onnxfile.AppendTensor(out, onnxfile.GraphInitializer, g.name(x, factor), onnxfile.Float32, []int{len(d)}, littleEndian(factors))
			out = g.node(out, "Mul", []string{x, x + factor}, []string{v}, nil)
		}
		out = g.node(out, RoundTokens, []string{v}, []string{g.name(x, integers), g.name(x, peak)}, nil)
	}
	j, ok := g.joined[i]
	if !ok { // a bias of another shape
		j.y = g.name(n.Outputs[0], "_product")
	}
	bias := j.bias
	if bias == "" {
		_, columns := g.shape(w)
		if g.biases[columns] == "" {
			g.biases[columns] = g.name(noBias, strconv.Itoa(columns))
			out = onnxfile.AppendTensor(out, onnxfile.GraphInitializer, g.biases[columns], onnxfile.Float32, []int{columns}, make([]byte, 4*columns))
		}
		bias = g.biases[columns]
	}
	op := TokenProduct
	if j.gelu {
		op = TokenProductGelu
	}
	out = g.node(out, op, []string{x + integers, x + peak, w + integers, w + scales, bias}, []string{j.y}, nil)
	if !ok {
		out = g.node(out, "Add", []string{j.y, n.Inputs[2]}, n.Outputs, nil)
	}
	return out
}

func littleEndian(values []float32) (raw []byte) {
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}
