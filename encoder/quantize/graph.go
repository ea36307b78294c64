package quantize

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/internal/onnxfile"
)

// Changed says what Network found to quantize.
type Changed struct {
	Matrices int `json:"matrices"` // by which activations are multiplied
	Tables   int `json:"tables"`   // in which embeddings are looked up
}

const (
	// leastOpset is the version of ONNX's operators that brought
	// DynamicQuantizeLinear.
	leastOpset = 11
	// contrib is the domain of ONNX Runtime's own operators.
	contrib = "com.microsoft"
	// blockSize is how many products MatMulNBits adds up as whole numbers, each
	// block of weights and of activations with a scale of its own. Cosines to fp32
	// are .99985 by 32, .99975 by 64 and .99957 by 128, whose vectors moreover
	// depend a little on the rest of the batch.
	blockSize = 32
	// leastTable is the size in bytes of the tables that are worth it.
	leastTable = 1 << 20
	// evenness is how many times the median of all channels' peaks that of a divided
	// one is, to the nearest power of two. Of what was tried (1, 2, and the factors of
	// SmoothQuant, Xiao et al. 2023, which look at the weights too) nothing is nearer to
	// fp32 by more than .00005 of cosine.
	evenness = 2
	// middle is the value that stands for 0 in weights of 8 bits without sign. Those
	// with one would be added up with saturation by processors that have AVX2 but not
	// VNNI; VNNI multiplies both equally fast.
	middle = 128
	// zeroPoint is the name of the tensor that says so.
	zeroPoint = "quantized_weights_zero_point"
)

// quantized lists operators of networks that are quantized already.
var quantized = []string{RoundTokens, Layer, "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "MatMulInteger", "QLinearMatMul",
	"ConvInteger", "MatMulNBits", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QAttention", "QGemm"}

// graph is a network while it is quantized.
type graph struct {
	bytes    []byte
	kind     Kind
	tensors  map[string]onnxfile.Tensor // the constants
	nodes    []onnxfile.Node
	names    map[string]bool   // of all values
	contrib  bool              // it imports ONNX Runtime's operators
	clash    error             // a name that we give is taken
	matrices map[string]bool   // constants to be quantized
	turned   map[string]bool   // matrices that are stored column by column
	factors  map[string]string // what a matrix is multiplied by
	outputs  map[string]bool   // of the whole
	opset    uint64
	// divisors of the channels of activations, powers of two; none for most.
	divisors map[string][]float32
	tables   map[string]bool
	kept     map[string]bool // constants that something else needs as they are
	// For Tokens: what nodes, by their place, are part of another, what products make
	// of theirs, and what stands for the last of others.
	merged   map[int]bool
	joined   map[int]joined
	replaced map[int]onnxfile.Node
	biases   map[int]string // of zeros, by their length
	// Of attention, the same wherever the network has it.
	heads, channels int64
	rounded         map[string]bool // activations that a node has quantized
	layered         bool            // it has a Layer
}

// Network returns a copy of the ONNX model in which the constant matrices of
// MatMul and Gemm nodes, and large tables of embeddings, are whole numbers of 8 bits. The
// same model and the same peaks give the same bytes. Tokens wants peaks; without them no
// channel is divided.
func Network(ctx context.Context, model []byte, kind Kind, peaks Peaks) ([]byte, Changed, error) {
	g := &graph{
		bytes: model, kind: kind, tensors: map[string]onnxfile.Tensor{}, names: map[string]bool{},
		matrices: map[string]bool{}, turned: map[string]bool{}, tables: map[string]bool{}, kept: map[string]bool{}, rounded: map[string]bool{},
		factors: map[string]string{}, outputs: map[string]bool{}, divisors: map[string][]float32{},
		merged: map[int]bool{}, joined: map[int]joined{}, replaced: map[int]onnxfile.Node{}, biases: map[int]string{},
	}
	if !slices.Contains(Kinds, kind) {
		return nil, Changed{}, fmt.Errorf("there is no kind %q", kind)
	}
	if err := g.read(); err != nil {
		return nil, Changed{}, err
	}
	if err := g.plan(); err != nil {
		return nil, Changed{}, err
	}
	if kind == Tokens {
		g.join()
		if peaks != nil {
			if err := g.evenOut(ctx, peaks); err != nil {
				return nil, Changed{}, err
			}
		}
	}
	out, err := g.write(ctx)
	return out, Changed{len(g.matrices), len(g.tables)}, err
}

func (g *graph) read() error {
	graphs := 0
	err := onnxfile.Fields(g.bytes, 0, len(g.bytes), func(x onnxfile.Field) error {
		switch x.Number {
		case onnxfile.ModelGraph:
			graphs++
		case onnxfile.ModelOpsets:
			domain, version := "", uint64(0)
			err := onnxfile.Fields(g.bytes, x.From, x.To, func(x onnxfile.Field) error {
				switch x.Number {
				case onnxfile.OpsetDomain:
					domain = string(g.bytes[x.From:x.To])
				case onnxfile.OpsetVersion:
					version = x.Value
				}
				return nil
			})
			switch domain {
			case "", "ai.onnx":
				g.opset = version
			case contrib:
				g.contrib = true
			}
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if graphs != 1 {
		return onnxfile.ErrDamaged
	}
	if g.opset < leastOpset {
		return fmt.Errorf("it uses operators of version %d; quantizing needs %d or later (export the model anew)", g.opset, leastOpset)
	}
	return onnxfile.Graph(g.bytes, func(x onnxfile.Field) error {
		switch x.Number {
		case onnxfile.GraphInitializer:
			t, err := onnxfile.ReadTensor(g.bytes, x.From, x.To)
			if _, twice := g.tensors[t.Name]; twice && err == nil {
				err = fmt.Errorf("two weights are called %.80q", t.Name)
			}
			g.tensors[t.Name], g.names[t.Name] = t, true
			return err
		case onnxfile.GraphNode:
			n, err := onnxfile.ReadNode(g.bytes, x.From, x.To)
			switch {
			case err != nil:
				return err
			case slices.Contains(quantized, n.Op):
				return fmt.Errorf("it is quantized already: node %.80q is a %s", n.Name, n.Op)
			case n.Subgraphs: // their nodes may use our constants
				return fmt.Errorf("node %.80q (%s) has a graph of its own, which is not supported", n.Name, n.Op)
			}
			for _, name := range append(n.Inputs, n.Outputs...) {
				g.names[name] = true
			}
			g.nodes = append(g.nodes, n)
		case onnxfile.GraphInput, onnxfile.GraphOutput:
			name, err := infoName(g.bytes, x)
			g.names[name] = true
			if x.Number == onnxfile.GraphOutput {
				g.kept[name], g.outputs[name] = true, true
			}
			return err
		}
		return nil
	})
}

func infoName(b []byte, info onnxfile.Field) (name string, err error) {
	err = onnxfile.Fields(b, info.From, info.To, func(x onnxfile.Field) error {
		if x.Number == onnxfile.InfoName {
			name = string(b[x.From:x.To])
		}
		return nil
	})
	return name, err
}

// plan finds what is to be quantized.
func (g *graph) plan() error {
	for i := range g.nodes {
		n := &g.nodes[i]
		into, of := map[string]bool(nil), -1
		switch {
		case g.multiplies(n):
			into, of = g.matrices, 1
		case g.looksUp(n):
			into, of = g.tables, 0
		}
		for j, name := range n.Inputs {
			if j != of {
				g.kept[name] = true
				continue
			}
			t := g.tensors[name]
			if t.Type != onnxfile.Float32 {
				return fmt.Errorf("weight %.80q is not of 32-bit floats, but of ONNX's type %d (quantize the fp32 model)", name, t.Type)
			}
			if err := t.CheckFloats(); err != nil {
				return err
			}
			turned := n.Ints["transB"] != 0
			if into[name] && g.turned[name] != turned {
				return fmt.Errorf("weight %.80q is multiplied by both as it is and transposed, which is not supported", name)
			}
			if other, again := g.factors[name]; again && other != n.Inputs[0] {
				g.factors[name] = "" // several
			} else if of == 1 {
				g.factors[name] = n.Inputs[0]
			}
			into[name] = true
			if turned {
				g.turned[name] = true
			}
		}
	}
	if len(g.matrices) == 0 {
		return errors.New("it multiplies by no constant matrix, so there is nothing to quantize (is it an embedding model, exported with its weights as constants?)")
	}
	return nil
}

// multiplies reports whether n multiplies activations by a constant matrix.
func (g *graph) multiplies(n *onnxfile.Node) bool {
	if n.Domain != "" || len(n.Inputs) < 2 || len(n.Outputs) != 1 {
		return false
	}
	switch n.Op {
	case "MatMul":
	case "Gemm": // the same with a bias, unless it does what linear layers do not
		for _, factor := range []string{"alpha", "beta"} {
			if v, ok := n.Floats[factor]; ok && v != 1 {
				return false
			}
		}
		if n.Ints["transA"] != 0 {
			return false
		}
	default:
		return false
	}
	_, constant := g.tensors[n.Inputs[0]]
	t, ok := g.tensors[n.Inputs[1]]
	return ok && !constant && len(t.Dims) == 2
}

// looksUp reports whether n takes rows out of a large table.
func (g *graph) looksUp(n *onnxfile.Node) bool {
	if n.Op != "Gather" || n.Domain != "" || len(n.Inputs) != 2 || len(n.Outputs) != 1 || n.Ints["axis"] != 0 {
		return false
	}
	t, ok := g.tensors[n.Inputs[0]]
	return ok && t.Type == onnxfile.Float32 && len(t.Dims) == 2 && t.To-t.From >= leastTable
}

func (g *graph) write(ctx context.Context) (model []byte, err error) {
	version := uint64(0)
	err = onnxfile.Fields(g.bytes, 0, len(g.bytes), func(x onnxfile.Field) error {
		switch {
		case x.Number == onnxfile.ModelVersion && g.kind == Tokens:
			version = x.Value
			return nil
		case x.Number != onnxfile.ModelGraph:
			model = append(model, g.bytes[x.Start:x.End]...)
			return nil
		}
		out, err := g.body(ctx, x)
		model = onnxfile.AppendBytes(model, onnxfile.ModelGraph, out)
		return err
	})
	if g.kind != Dynamic && !g.contrib {
		model = imports(model, onnxfile.ModelOpsets, contrib, 1)
	}
	if g.kind == Tokens {
		model = onnxfile.AppendNumber(model, onnxfile.ModelVersion, max(version, onnxfile.FunctionsVersion))
		model = g.functions(imports(model, onnxfile.ModelOpsets, Domain, 1))
	}
	return model, err
}

func imports(out []byte, field protowire.Number, domain string, version uint64) []byte {
	set := onnxfile.AppendBytes(nil, onnxfile.OpsetDomain, domain)
	return onnxfile.AppendBytes(out, field, onnxfile.AppendNumber(set, onnxfile.OpsetVersion, version))
}

func (g *graph) body(ctx context.Context, whole onnxfile.Field) (out []byte, err error) {
	next := 0
	err = onnxfile.Fields(g.bytes, whole.From, whole.To, func(x onnxfile.Field) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch x.Number {
		case onnxfile.GraphInitializer:
			t, err := onnxfile.ReadTensor(g.bytes, x.From, x.To)
			if err != nil {
				return err
			}
			if out, err = g.constants(out, &t); err != nil || g.rewritten(t.Name) {
				return err
			}
		case onnxfile.GraphInput: // where old exporters name constants as well
			name, err := infoName(g.bytes, x)
			// Since version 4 of the format such constants may be given other values.
			if _, constant := g.tensors[name]; err != nil || g.rewritten(name) || constant && g.kind == Tokens {
				return err
			}
		case onnxfile.GraphNode:
			i, n := next, g.nodes[next]
			next++
			switch stand, ok := g.replaced[i]; {
			case ok:
				out = onnxfile.AppendNode(out, onnxfile.GraphNode, stand)
				return nil
			case g.merged[i]:
				return nil
			case g.kind == Tokens && g.multiplies(&n):
				out = g.tokenProduct(out, i)
				return nil
			case g.multiplies(&n):
				out = g.multiply(out, n)
				return nil
			case g.looksUp(&n):
				out = g.lookUp(out, n)
				return nil
			}
		}
		out = append(out, g.bytes[x.Start:x.End]...)
		return nil
	})
	if g.kind == Dynamic {
		out = onnxfile.AppendTensor(out, onnxfile.GraphInitializer, g.name(zeroPoint, ""), onnxfile.Uint8, nil, []byte{middle})
	}
	if err := errors.Join(err, g.clash); err != nil || g.kind != Tokens {
		return out, err
	}
	return g.layers(out)
}

// rewritten reports whether a constant of the name is needed no more.
func (g *graph) rewritten(name string) bool {
	return (g.matrices[name] || g.tables[name]) && !g.kept[name]
}

// name is that of a value that does not exist yet.
func (g *graph) name(of, what string) string {
	if g.names[of+what] {
		g.clash = fmt.Errorf("it has a value of the name %.80q already", of+what)
	}
	g.names[of+what] = true
	return of + what
}

// What is appended to the names of weights and of activations.
const (
	integers = "_quantized"
	scales   = "_scale"
	zero     = "_zero_point"
	floats   = "_float"
)

func (g *graph) node(out []byte, op string, inputs, outputs []string, ints map[string]int64) []byte {
	return onnxfile.AppendNode(out, onnxfile.GraphNode, newNode(op, inputs, outputs, ints))
}

func newNode(op string, inputs, outputs []string, ints map[string]int64) onnxfile.Node {
	n := onnxfile.Node{Name: outputs[0] + "_" + op, Op: op, Inputs: inputs, Outputs: outputs, Ints: ints}
	switch op {
	case matMulNBits, matMulIntegerToFloat:
		n.Domain = contrib
	case RoundTokens, TokenProduct, TokenProductGelu, Attention, AddNormalize, Layer:
		n.Domain = Domain
	}
	return n
}

const (
	matMulNBits          = "MatMulNBits"
	matMulIntegerToFloat = "MatMulIntegerToFloat"
)

// multiply appends what stands for a product, and for the bias of a Gemm.
func (g *graph) multiply(out []byte, n onnxfile.Node) []byte {
	product := g.product
	if g.kind == Blocks {
		product = g.blockProduct
	}
	x, w, y := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	if len(n.Inputs) < 3 || n.Inputs[2] == "" {
		return product(out, x, w, y)
	}
	part := g.name(y, "_product")
	return g.node(product(out, x, w, part), "Add", []string{part, n.Inputs[2]}, []string{y}, nil)
}

// product appends y = x w in whole numbers. ONNX Runtime makes MatMulIntegerToFloat
// or DynamicQuantizeMatMul of it, and of the bias that may follow.
func (g *graph) product(out []byte, x, w, y string) []byte {
	if !g.rounded[x] { // query, key and value share it
		g.rounded[x] = true
		out = g.node(out, "DynamicQuantizeLinear", []string{x}, []string{g.name(x, integers), g.name(x, scales), g.name(x, zero)}, nil)
	}
	sum, sumFloat, scale := g.name(y, integers+"_sum"), g.name(y, integers+floats), g.name(y, integers+scales)
	out = g.node(out, "MatMulInteger", []string{x + integers, w + integers, x + zero, zeroPoint}, []string{sum}, nil)
	out = g.node(out, "Cast", []string{sum}, []string{sumFloat}, map[string]int64{"to": onnxfile.Float32})
	out = g.node(out, "Mul", []string{x + scales, w + scales}, []string{scale}, nil)
	return g.node(out, "Mul", []string{sumFloat, scale}, []string{y}, nil)
}

// blockProduct appends y = x w in blocks.
func (g *graph) blockProduct(out []byte, x, w, y string) []byte {
	rows, cols := g.shape(w)
	return g.node(out, matMulNBits, []string{x, w + integers, w + scales}, []string{y}, map[string]int64{
		"K": int64(rows), "N": int64(cols), "bits": 8, "block_size": blockSize,
		"accuracy_level": 4, // activations in 8 bits, a scale a block
	})
}

// lookUp appends what stands for rows of a table.
func (g *graph) lookUp(out []byte, n onnxfile.Node) []byte {
	t, rows, y := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	row, rowFloat, scale := g.name(y, integers+"_row"), g.name(y, floats), g.name(y, scales+"_row")
	out = g.node(out, "Gather", []string{t + integers, rows}, []string{row}, nil)
	out = g.node(out, "Cast", []string{row}, []string{rowFloat}, map[string]int64{"to": onnxfile.Float32})
	out = g.node(out, "Gather", []string{t + scales, rows}, []string{scale}, nil)
	return g.node(out, "Mul", []string{rowFloat, scale}, []string{y}, nil)
}

// constants appends what t becomes.
func (g *graph) constants(out []byte, t *onnxfile.Tensor) ([]byte, error) {
	if !g.matrices[t.Name] && !g.tables[t.Name] {
		return out, nil
	}
	if g.matrices[t.Name] && g.tables[t.Name] {
		return nil, fmt.Errorf("weight %.80q is both looked up in and multiplied by, which is not supported", t.Name)
	}
	m, err := newMatrix(g.bytes[t.From:t.To], t.Dims[0], t.Dims[1])
	if err != nil {
		return nil, fmt.Errorf("weight %.80q: %w", t.Name, err)
	}
	if g.turned[t.Name] {
		m = m.turned()
	}
	var dims, scaleDims []int
	var q []byte
	var scale []float32
	kind := uint64(onnxfile.Uint8)
	switch {
	case g.tables[t.Name]:
		kind, dims, scaleDims = onnxfile.Int8, []int{m.rows, m.cols}, []int{m.rows, 1}
		q, scale = m.byRow()
	case g.kind == Blocks:
		blocks := (m.rows + blockSize - 1) / blockSize
		dims, scaleDims = []int{m.cols, blocks, blockSize}, []int{m.cols, blocks}
		q, scale = m.byBlock(blockSize)
	default:
		dims, scaleDims = []int{m.rows, m.cols}, []int{m.cols}
		if d := g.divisors[g.factors[t.Name]]; d != nil {
			m.scaleRows(d)
		}
		q, scale = m.byColumn()
		if g.kind == Tokens { // what the activations are multiplied by is not in their scale
			for i := range scale {
				scale[i] /= greatest
			}
		}
	}
	out = onnxfile.AppendTensor(out, onnxfile.GraphInitializer, g.name(t.Name, integers), kind, dims, q)
	return onnxfile.AppendTensor(out, onnxfile.GraphInitializer, g.name(t.Name, scales), onnxfile.Float32, scaleDims, littleEndian(scale)), nil
}
