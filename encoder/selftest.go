package encoder

import (
	"context"
	"fmt"
	"strings"
)

// selfTestPairs are queries, each with the passage that answers it.
var selfTestPairs = [][2]string{
	{"usb c charger for laptop", "65W USB-C power adapter for notebooks"},
	{"warm winter gloves", "Thermal insulated touchscreen gloves for cold weather"},
	{"dog food without grain", "Grain-free dry food for adult dogs, 12 lb"},
	{"nonstick frying pan", "10 inch ceramic non-stick skillet with lid"},
}

// SelfTest checks that the model is one that ranks: its vectors have the
// dimension that model.json promises, each of a few queries lies nearest to the
// passage that answers it, and the prefixes are at work, which a model.json
// without them, or a model trained with others, would lose without a word.
func (e *Encoder) SelfTest(ctx context.Context) error {
	if err := e.selfTest(ctx); err != nil {
		return fmt.Errorf("model %s fails its self-test: %w (is model.json the right one for this model.onnx?)", e.Model.Name, err)
	}
	return nil
}

// TestLength runs the network on a text of max_tokens tokens: one that has no positions for
// so many would fail at the first long product.
func (e *Encoder) TestLength(ctx context.Context) error {
	v := make([]float32, e.Model.Dimension)
	if err := e.Passages(ctx, []string{strings.Repeat("a ", e.Model.MaxTokens)}, v); err != nil {
		return fmt.Errorf("model %s fails at texts of %d tokens, its max_tokens: %w (set max_tokens in model.json to what the network was made for)", e.Model.Name, e.Model.MaxTokens, err)
	}
	return nil
}

func (e *Encoder) selfTest(ctx context.Context) error {
	dim, n := e.Model.Dimension, len(selfTestPairs)
	texts := make([][]string, 2)
	for _, p := range selfTestPairs {
		texts[0] = append(texts[0], p[0])
		texts[1] = append(texts[1], p[1])
	}
	queries, passages := make([]float32, n*dim), make([]float32, n*dim)
	if err := e.Queries(ctx, texts[0], queries); err != nil {
		return err
	}
	if err := e.Passages(ctx, texts[1], passages); err != nil {
		return err
	}
	at := func(m []float32, i int) []float32 { return m[i*dim : (i+1)*dim] }
	for i, p := range selfTestPairs {
		for j := range n {
			if own, other := dot(at(queries, i), at(passages, i)), dot(at(queries, i), at(passages, j)); j != i && other >= own {
				return fmt.Errorf("query %q is nearer to %q (%.3f) than to its answer %q (%.3f)", p[0], selfTestPairs[j][1], other, p[1], own)
			}
		}
	}
	if e.Model.NoPrefixes {
		return nil
	}
	for i, prefix := range []string{e.Model.QueryPrefix, e.Model.PassagePrefix} {
		bare := make([]float32, n*dim)
		if err := e.encode(ctx, "", texts[i], bare); err != nil {
			return err
		}
		if c := dot(at([][]float32{queries, passages}[i], 0), at(bare, 0)); c > .9999 {
			return fmt.Errorf("the prefix %q does not change the vectors (cosine %.5f)", prefix, c)
		}
	}
	return nil
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}
