// Package quantize makes an int8 model directory of an fp32 one: a quarter of its
// size, and faster. The weights are rounded to 8 bits; so are the activations, while
// the model runs, by the scales that the [Kind] says.
//
// Only the constant matrices of MatMul and Gemm nodes and large tables of embeddings
// change. The sums and what is between them, such as softmax and normalisation, stay in
// 32-bit floats.
package quantize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/onnxfile"
	"github.com/trirank/trirank/internal/regular"
)

// Kind says which numbers share a scale.
type Kind string

const (
	// Tokens has a scale for each column of a matrix, and one for the activations of
	// each token, of which channels that reach much further than others are divided
	// first (Peaks): nearly as near to fp32 as Blocks, each text for itself, and nearly
	// as fast as Dynamic.
	Tokens Kind = "tokens"
	// Dynamic has a scale for each column of a matrix, and one for all activations of
	// a batch that a node is given. It is the fastest, but a text's vector depends on
	// what else is in the batch.
	Dynamic Kind = "dynamic"
	// Blocks has a scale for each 32 weights of a column and for each 32 activations
	// of a token: nearer to fp32, and each text for itself, but slower, by batches
	// above all.
	Blocks Kind = "blocks"
)

// Kinds lists the kinds.
var Kinds = []Kind{Tokens, Blocks, Dynamic}

// Options say what is made. Name and Kind must be given.
type Options struct {
	Name string // of the model
	Kind Kind
	// Peaks runs the fp32 model, for Tokens.
	Peaks Peaks
	// Also names files that are copied as they are, where the model has them.
	Also []string
}

// Report says what Directory made.
type Report struct {
	Changed
	Before int64          `json:"bytes_before"` // size of the network, in bytes
	After  int64          `json:"bytes_after"`
	Model  *encoder.Model `json:"model"`
}

// leastCosine is what the vectors of a quantized model must reach on average: good
// ones have .99 and more, less than this is another model.
const leastCosine = .95

// Directory makes the model directory out of the fp32 model directory base. It takes
// its place when it is whole and check, which opens it in the folder where it is until
// then and compares it with base, finds nothing wrong; the same input gives the same
// files on one kind of processor (Tokens runs the model, whose peaks may be rounded
// otherwise on another).
func Directory(ctx context.Context, base, out string, o Options, check func(dir string) (encoder.Closeness, error)) (*Report, error) {
	r, err := directory(ctx, base, out, o, check)
	if err != nil {
		return nil, fmt.Errorf("cannot quantize %s into %s: %w", base, out, err)
	}
	return r, nil
}

func directory(ctx context.Context, base, out string, o Options, check func(dir string) (encoder.Closeness, error)) (*Report, error) {
	model, err := encoder.ReadModel(base)
	if err != nil {
		return nil, err
	}
	if model.Precision != "fp32" {
		return nil, fmt.Errorf("its weights are %s (begin with the model of fp32 that it was made of)", model.Precision)
	}
	if err := model.Verify(base); err != nil {
		return nil, err
	}
	if out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	alike := func(old *encoder.Model) bool { return old.Parent == model.Name && old.Quantized != nil }
	if err := encoder.CheckTarget(base, out, alike, o.Also...); err != nil {
		return nil, err
	}
	known := evidence(out)
	before, err := onnxfile.Read(filepath.Join(base, encoder.NetworkFile))
	if err != nil {
		return nil, err
	}
	after, changed, err := Network(ctx, before, o.Kind, o.Peaks)
	if err != nil {
		return nil, err
	}
	m := *model
	m.Name, m.Parent, m.Precision = o.Name, model.Name, "int8"
	m.Quantized = &encoder.Quantized{Kind: string(o.Kind), Parent: model.Hash()}
	err = atomicfile.BuildDir(out, func(fresh string) error {
		if err := atomicfile.WriteBytes(filepath.Join(fresh, encoder.NetworkFile), after); err != nil {
			return err
		}
		if err := copyFiles(base, fresh, o.Also); err != nil {
			return err
		}
		if err := encoder.WriteModel(fresh, &m); err != nil {
			return err
		}
		near, err := check(fresh)
		if err != nil {
			return err
		}
		if !(near.Mean >= leastCosine) {
			return fmt.Errorf("its vectors are not those of %s: their cosine is %.3f on average (at least %g expected)", model.Name, near.Mean, leastCosine)
		}
		m.Quantized.Closeness = near
		made, err := encoder.ReadModel(fresh)
		if err != nil {
			return err
		}
		m.Quantized.Evidence = known(made)
		return errors.Join(encoder.WriteModel(fresh, &m), ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	made, err := encoder.ReadModel(out)
	return &Report{changed, int64(len(before)), int64(len(after)), made}, err
}

// evidence returns what is known of a model that is made again in dir, if it is the
// same.
func evidence(dir string) func(made *encoder.Model) []encoder.Evidence {
	old, err := encoder.ReadModel(dir)
	return func(made *encoder.Model) []encoder.Evidence {
		if err != nil || old.Quantized == nil || old.Quantized.Parent != made.Quantized.Parent || old.Hash() != made.Hash() {
			return nil // there may be no such model
		}
		return old.Quantized.Evidence
	}
}

// copyFiles copies the tokenizer, and the other files that there are.
func copyFiles(from, to string, others []string) error {
	for _, name := range append([]string{encoder.TokenizerFile}, others...) {
		b, err := regular.ReadFile(filepath.Join(from, name), onnxfile.MaxFile)
		if errors.Is(err, fs.ErrNotExist) && name != encoder.TokenizerFile {
			continue
		}
		if err == nil {
			err = atomicfile.WriteBytes(filepath.Join(to, name), b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// What Compare encodes, and SampleTokens: queries as people type them, and titles of products.
var (
	queries = []string{
		"usb c charger", "warm winter gloves", "dog food without grain", "nonstick frying pan 10 inch", "iphone 13 case clear",
		"running shoes men size 10", "blackout curtains 84 inch long", "hdmi", "gifts for dad under $20", "aa batteries rechargeable",
		"wireless mouse not optical", "kids lunch box with compartments", "1/2 inch drill bit set", "gluten free pasta", "led strip lights",
		"tinta para impresora hp 305",
	}
	passages = []string{
		"65W USB-C Power Adapter for Notebooks, Foldable Plug, White",
		"Thermal Touchscreen Gloves for Cold Weather, Men and Women, Large",
		"Grain-Free Dry Food for Adult Dogs, Salmon and Sweet Potato, 12 lb",
		"10 Inch Ceramic Non-Stick Skillet with Lid, Induction Ready",
		"Clear Shockproof Case for iPhone 13, 6.1 Inch, Anti-Yellowing",
		"Men's Lightweight Road Running Shoe, Breathable Mesh, Size 10 Wide, Black/Volt",
		"Blackout Curtains 2 Panels, 52 x 84 Inch, Grommet Top, Navy",
		"HDMI 2.1 Cable 10 ft, 8K 60Hz, Braided",
		"Mug",
		"Rechargeable AA Batteries, 2000 mAh, Pack of 8, with Charger",
		"Ergonomic Trackball Mouse, Bluetooth and 2.4 GHz, for Right Hand",
		"Bento Lunch Box for Kids, 5 Compartments, Leakproof, BPA Free, Dishwasher Safe, with Spoon and Fork, Dinosaur Pattern",
		"Titanium Drill Bit Set, 21 Pieces, 1/16 to 1/2 Inch, for Steel, Wood and Plastic",
		"Organic Brown Rice Fusilli, Gluten Free, 12 oz (Pack of 6)",
		"RGB LED Strip Lights 50 ft, Music Sync, App and Remote, for Bedroom, Ceiling, Kitchen Cabinet, Party and Holiday Decoration",
		"Cartucho de tinta 305XL negro, compatible con DeskJet 2700 y 4100",
		"Garden Hose 50 ft, Expandable, 10 Spray Patterns, 3/4 Solid Brass Fittings",
		"Memory Foam Pillow, Queen, 2 Pack",
		"Stainless Steel Water Bottle 32 oz, Vacuum Insulated, Keeps Cold 24 Hours, Powder Coated",
		"The Old Man and the Sea (Paperback)",
		"Yoga Mat 1/4 Inch Thick, Non Slip, with Carrying Strap",
		"5-Tier Wire Shelving Unit, Adjustable, 30 x 14 x 60 Inch, Chrome",
		"Unscented Laundry Detergent, 128 Loads, for Sensitive Skin",
		"Wooden Railway Train Set, 80 Pieces, Ages 3+",
	}
)

// Compare encodes texts with both models, queries one by one as when they are
// searched with and products in batches as when they are indexed, and says how near
// the vectors are.
func Compare(ctx context.Context, a, b *encoder.Encoder) (encoder.Closeness, error) {
	if a.Model.Dimension != b.Model.Dimension {
		return encoder.Closeness{}, fmt.Errorf("cannot compare models of %d and %d dimensions", a.Model.Dimension, b.Model.Dimension)
	}
	var all [2][]float32
	for i, e := range []*encoder.Encoder{a, b} {
		for _, q := range queries {
			v, err := e.Query(ctx, q)
			if err != nil {
				return encoder.Closeness{}, err
			}
			all[i] = append(all[i], v...)
		}
		v := make([]float32, len(passages)*e.Model.Dimension)
		if err := e.Passages(ctx, passages, v); err != nil {
			return encoder.Closeness{}, err
		}
		all[i] = append(all[i], v...)
	}
	out, dim := encoder.Closeness{Texts: len(queries) + len(passages), Min: 1}, a.Model.Dimension
	for at := 0; at < len(all[0]); at += dim {
		cos := 0.
		for i, x := range all[0][at : at+dim] {
			cos += float64(x) * float64(all[1][at+i])
		}
		cos = math.Round(min(cos, 1)*1e5) / 1e5
		out.Mean, out.Min = out.Mean+cos/float64(out.Texts), min(out.Min, cos)
	}
	out.Mean = max(math.Round(out.Mean*1e5)/1e5, out.Min)
	return out, nil
}
