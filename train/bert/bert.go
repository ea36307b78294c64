// Package bert is the encoder of E5 as a GoMLX graph: BERT, the mean over the tokens
// of a text, unit length. It takes many texts packed into the rows of one matrix, so
// that short ones cost what their tokens cost. It has no state; graphs are built by
// panicking functions, as GoMLX wants them, and whoever runs them turns panics into
// errors.
package bert

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Config is the shape of a network.
type Config struct {
	Layers, Heads, Hidden, Inner, Vocabulary, Positions int

	// Adapter says that a matrix of that name follows the pooling.
	Adapter bool
}

// Adapter is the name of the matrix [hidden, hidden] that vectors go through last.
const Adapter = "adapter.weight"

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
			i, err := strconv.Atoi(m[1])
			if err != nil || i >= len(names) { // each layer has more than one
				return c, fmt.Errorf("the network has a layer %.20s but only %d weights", m[1], len(names))
			}
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
	if d := dims(Adapter); d != nil {
		if len(d) != 2 || d[0] != c.Hidden || d[1] != c.Hidden {
			return c, fmt.Errorf("%s is not a matrix of %d x %d", Adapter, c.Hidden, c.Hidden)
		}
		c.Adapter = true
	}
	for _, n := range c.Names() {
		got := dims(n)
		if got == nil {
			return c, fmt.Errorf("the network is not a BERT as E5 is: it lacks %s", n)
		}
		if want := c.shape(n); !slices.Equal(got, want) && n != tokenTypes {
			return c, fmt.Errorf("the network is not a BERT as E5 is: %s is %v, not %v", n, got, want)
		}
	}
	if d := dims(tokenTypes); len(d) != 2 || d[0] < 1 || d[1] != c.Hidden {
		return c, fmt.Errorf("the network is not a BERT as E5 is: %s is %v", tokenTypes, d)
	}
	return c, nil
}

const tokenTypes = "embeddings.token_type_embeddings.weight"

// shape is what the dimensions of a weight must be.
func (c Config) shape(name string) []int {
	inner, output := strings.Contains(name, ".intermediate."), strings.Contains(name, ".output.dense.") && !strings.Contains(name, ".attention.")
	switch {
	case name == "embeddings.word_embeddings.weight":
		return []int{c.Vocabulary, c.Hidden}
	case name == "embeddings.position_embeddings.weight":
		return []int{c.Positions, c.Hidden}
	case inner && strings.HasSuffix(name, ".bias"):
		return []int{c.Inner}
	case strings.Contains(name, "LayerNorm"), strings.HasSuffix(name, ".bias"):
		return []int{c.Hidden}
	case inner:
		return []int{c.Hidden, c.Inner}
	case output:
		return []int{c.Inner, c.Hidden}
	}
	return []int{c.Hidden, c.Hidden}
}

// Names returns the names of all weights, in a fixed order.
func (c Config) Names() []string {
	names := []string{
		"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", tokenTypes,
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
	if c.Adapter {
		names = append(names, Adapter)
	}
	return names
}

// Texts says where texts lie in a matrix of tokens whose rows hold several each.
type Texts struct {
	// Segments, int32 [rows, tokens], tells the texts of a row apart: equal numbers
	// belong together, and to nothing else.
	Segments *Node
	// Mean, [rows, slots, tokens], makes the mean over the tokens of each text; a
	// slot without a text has zeros.
	Mean *Node
}

// Weights finds a weight by its name; matrices of linear layers are [in, out], as
// ONNX has them.
type Weights func(name string) *Node

// Embed returns [rows, tokens, hidden], what tokens and their positions within their
// texts, both int32 [rows, tokens], stand for before the first layer.
func (c Config) Embed(weight Weights, ids, positions *Node) *Node {
	x := Gather(weight("embeddings.word_embeddings.weight"), ExpandDims(ids, -1))
	places := Gather(weight("embeddings.position_embeddings.weight"), ExpandDims(positions, -1))
	kind := Slice(weight("embeddings.token_type_embeddings.weight"), AxisRange(0, 1)) // always the first
	return normalise(weight, "embeddings.LayerNorm", Add(Add(x, places), ExpandDims(kind, 0)))
}

// Through sends x [rows, tokens, hidden] through the layers from one, counted from
// 0, up to but not including another.
func (c Config) Through(weight Weights, from, to int, x *Node, t Texts) *Node {
	if from == to {
		return x
	}
	bias := attentionBias(t.Segments)
	for i := from; i < to; i++ {
		x = c.layer(weight, i, x, bias)
	}
	return x
}

// Pool returns the vectors [rows*slots, hidden] of the texts in x [rows, tokens,
// hidden]: the mean over their tokens, through the adapter where the network has
// one, at unit length; zeros for a slot without a text.
func (c Config) Pool(weight Weights, x *Node, t Texts) *Node {
	v := Einsum("rst,rth->rsh", t.Mean, x)
	v = Reshape(v, -1, c.Hidden)
	if c.Adapter {
		v = Einsum("vi,io->vo", v, weight(Adapter))
	}
	return Unit(v)
}

// attentionBias is added to attention scores: nothing within a text, and so much
// between texts that they do not see each other.
func attentionBias(segments *Node) *Node {
	rows, tokens := segments.Shape().Dimensions[0], segments.Shape().Dimensions[1]
	same := Equal(Reshape(segments, rows, 1, tokens, 1), Reshape(segments, rows, 1, 1, tokens))
	return MulScalar(AddScalar(ConvertDType(same, dtypes.Float32), -1), 1e9)
}

func (c Config) layer(weight Weights, i int, x, bias *Node) *Node {
	name := func(s string) string { return fmt.Sprintf("encoder.layer.%d.%s", i, s) }
	rows, tokens := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	split := func(s string) *Node { // [rows, tokens, heads, size]
		return Reshape(linear(weight, name("attention.self."+s), x), rows, tokens, c.Heads, c.Hidden/c.Heads)
	}
	scores := Einsum("bqhd,bkhd->bhqk", split("query"), split("key"))
	scores = Add(MulScalar(scores, 1/math.Sqrt(float64(c.Hidden/c.Heads))), bias)
	mixed := Einsum("bhqk,bkhd->bqhd", Softmax(scores, -1), split("value"))
	attended := linear(weight, name("attention.output.dense"), Reshape(mixed, rows, tokens, c.Hidden))
	x = normalise(weight, name("attention.output.LayerNorm"), Add(attended, x))
	inner := gelu(linear(weight, name("intermediate.dense"), x))
	return normalise(weight, name("output.LayerNorm"), Add(linear(weight, name("output.dense"), inner), x))
}

// row shapes a vector for adding to or multiplying [texts, tokens, size].
func row(v *Node) *Node { return Reshape(v, 1, 1, v.Shape().Dimensions[0]) }

func linear(weight Weights, name string, x *Node) *Node {
	return Add(Einsum("bti,io->bto", x, weight(name+".weight")), row(weight(name+".bias")))
}

// gelu in its exact form, which BERT has. Its gradient is worked out anew from x and by
// the other tail, which XLA does not find to be 1-erf of what the way there had:
// otherwise it would keep an eighth of all memory of a step for it.
func gelu(x *Node) *Node {
	value := Mul(MulScalar(x, .5), AddScalar(Erf(MulScalar(x, 1/math.Sqrt2)), 1))
	slope := IdentityWithCustomGradient(x, func(x, above *Node) *Node {
		share := MulScalar(OneMinus(Erf(MulScalar(x, -1/math.Sqrt2))), .5)
		density := MulScalar(Exp(MulScalar(Square(x), -.5)), 1/math.Sqrt(2*math.Pi))
		return Mul(above, Add(share, Mul(x, density)))
	})
	return Add(StopGradient(value), Sub(slope, StopGradient(slope))) // value, with that gradient
}

func normalise(weight Weights, name string, x *Node) *Node {
	centered := Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	variance := ReduceAndKeep(Square(centered), ReduceMean, -1)
	x = Div(centered, Sqrt(AddScalar(variance, epsilon)))
	return Add(Mul(x, row(weight(name+".weight"))), row(weight(name+".bias")))
}

// Unit scales rows to unit length.
func Unit(x *Node) *Node {
	return Div(x, Sqrt(AddScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-24)))
}
