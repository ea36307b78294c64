// Package bert is the encoder of E5 as a GoMLX graph: BERT, mean pooling over the
// mask, unit length. It has no state; graphs are built by panicking functions, as
// GoMLX wants them, and whoever runs them turns panics into errors.
package bert

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	. "github.com/gomlx/gomlx/core/graph"
)

// Config is the shape of a network.
type Config struct {
	Layers, Heads, Hidden, Inner, Vocabulary, Positions int
}

// heads of the BERTs that E5 comes in, by hidden size; it is not in the weights.
var heads = map[int]int{384: 12, 768: 12, 1024: 16}

// epsilon of the layer normalisations.
const epsilon = 1e-12

var layerName = regexp.MustCompile(`^encoder\.layer\.(\d+)\.`)

// ConfigOf finds the shape of a network from the dimensions of its weights.
func ConfigOf(dims func(name string) []int, names []string) (Config, error) {
	var c Config
	for _, n := range names {
		if m := layerName.FindStringSubmatch(n); m != nil {
			i, _ := strconv.Atoi(m[1])
			c.Layers = max(c.Layers, i+1)
		}
	}
	words, positions, inner := dims("embeddings.word_embeddings.weight"), dims("embeddings.position_embeddings.weight"), dims("encoder.layer.0.intermediate.dense.bias")
	if len(words) != 2 || len(positions) != 2 || len(inner) != 1 || c.Layers == 0 {
		return c, fmt.Errorf("the network is not a BERT as E5 is: it lacks the weights of one")
	}
	c.Vocabulary, c.Hidden, c.Positions, c.Inner = words[0], words[1], positions[0], inner[0]
	if c.Heads = heads[c.Hidden]; c.Heads == 0 {
		return c, fmt.Errorf("the network has vectors of %d; known are 384 (small), 768 (base) and 1024 (large)", c.Hidden)
	}
	for _, n := range c.Names() {
		if dims(n) == nil {
			return c, fmt.Errorf("the network is not a BERT as E5 is: it lacks %s", n)
		}
	}
	return c, nil
}

// Names returns the names of all weights, in a fixed order.
func (c Config) Names() []string {
	names := []string{
		"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight",
		"embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias",
	}
	for i := range c.Layers {
		for _, n := range []string{
			"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
			"attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
		} {
			layer := fmt.Sprintf("encoder.layer.%d.%s", i, n)
			names = append(names, layer+".weight", layer+".bias")
		}
	}
	return names
}

// Encode returns the unit vectors [texts, hidden] of texts: ids are int32 [texts,
// tokens], mask is 1 where there is a token and 0 where there is none. weight finds
// a weight by name; matrices of linear layers are [in, out], as ONNX has them.
func (c Config) Encode(weight func(name string) *Node, ids, mask *Node) *Node {
	x := c.embed(weight, ids)
	bias := attentionBias(mask)
	for i := range c.Layers {
		x = c.layer(weight, i, x, bias)
	}
	return Pool(x, mask)
}

// embed sums what a token, its place and its kind (always the first) stand for.
func (c Config) embed(weight func(string) *Node, ids *Node) *Node {
	tokens := ids.Shape().Dimensions[1]
	x := Gather(weight("embeddings.word_embeddings.weight"), ExpandDims(ids, -1))
	places := Slice(weight("embeddings.position_embeddings.weight"), AxisRange(0, tokens))
	kind := Slice(weight("embeddings.token_type_embeddings.weight"), AxisRange(0, 1))
	x = Add(x, ExpandDims(Add(places, kind), 0))
	return normalise(weight, "embeddings.LayerNorm", x)
}

// attentionBias is added to attention scores: nothing where there is a token, and
// so much elsewhere that it weighs nothing.
func attentionBias(mask *Node) *Node {
	texts, tokens := mask.Shape().Dimensions[0], mask.Shape().Dimensions[1]
	return Reshape(MulScalar(AddScalar(mask, -1), 1e9), texts, 1, 1, tokens)
}

func (c Config) layer(weight func(string) *Node, i int, x, bias *Node) *Node {
	name := func(s string) string { return fmt.Sprintf("encoder.layer.%d.%s", i, s) }
	texts, tokens := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	split := func(s string) *Node { // [texts, tokens, heads, size]
		return Reshape(linear(weight, name("attention.self."+s), x), texts, tokens, c.Heads, c.Hidden/c.Heads)
	}
	scores := Einsum("bqhd,bkhd->bhqk", split("query"), split("key"))
	scores = Add(MulScalar(scores, 1/math.Sqrt(float64(c.Hidden/c.Heads))), bias)
	mixed := Einsum("bhqk,bkhd->bqhd", Softmax(scores, -1), split("value"))
	attended := linear(weight, name("attention.output.dense"), Reshape(mixed, texts, tokens, c.Hidden))
	x = normalise(weight, name("attention.output.LayerNorm"), Add(attended, x))
	inner := gelu(linear(weight, name("intermediate.dense"), x))
	return normalise(weight, name("output.LayerNorm"), Add(linear(weight, name("output.dense"), inner), x))
}

// row shapes a vector for adding to or multiplying [texts, tokens, size].
func row(v *Node) *Node { return Reshape(v, 1, 1, v.Shape().Dimensions[0]) }

func linear(weight func(string) *Node, name string, x *Node) *Node {
	return Add(Einsum("bti,io->bto", x, weight(name+".weight")), row(weight(name+".bias")))
}

// gelu in its exact form, which BERT has.
func gelu(x *Node) *Node {
	return Mul(MulScalar(x, .5), AddScalar(Erf(MulScalar(x, 1/math.Sqrt2)), 1))
}

func normalise(weight func(string) *Node, name string, x *Node) *Node {
	centered := Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	variance := ReduceAndKeep(Square(centered), ReduceMean, -1)
	x = Div(centered, Sqrt(AddScalar(variance, epsilon)))
	return Add(Mul(x, row(weight(name+".weight"))), row(weight(name+".bias")))
}

// Pool is the mean over the tokens that there are, at unit length.
func Pool(x, mask *Node) *Node {
	wide := ExpandDims(mask, -1)
	mean := Div(ReduceSum(Mul(x, wide), 1), ReduceSum(wide, 1))
	return Unit(mean)
}

// Unit scales rows to unit length.
func Unit(x *Node) *Node {
	return Div(x, Sqrt(AddScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-24)))
}
