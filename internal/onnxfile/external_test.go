package onnxfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// outside is a TensorProto of two 32-bit floats whose values lie elsewhere, as the entries
// key, value, key, value ... say.
func outside(name string, entries ...string) []byte {
	t := AppendNumber(nil, TensorDims, 2)
	t = AppendNumber(t, TensorType, Float32)
	t = AppendBytes(t, TensorName, name)
	for i := 0; i < len(entries); i += 2 {
		t = AppendBytes(t, tensorExternal, AppendBytes(AppendBytes(nil, entryKey, entries[i]), entryValue, entries[i+1]))
	}
	return AppendNumber(t, tensorLocation, locatedExternal)
}

// wrap puts a message into others, the innermost first.
func wrap(b []byte, fields ...protowire.Number) []byte {
	for _, f := range fields {
		b = AppendBytes(nil, f, b)
	}
	return b
}

// initializer is a model with one weight.
func initializer(t []byte) []byte { return wrap(t, GraphInitializer, ModelGraph) }

// places are models that name a file of weights where each of them may.
func places() map[string][]byte {
	t := func() []byte { return outside("w", "location", "w.data", "offset", "8", "length", "8") }
	return map[string][]byte{
		"initializer":        initializer(t()),
		"sparse values":      wrap(t(), 1, 15, ModelGraph),
		"sparse indices":     wrap(t(), 2, 15, ModelGraph),
		"attribute":          wrap(t(), AttributeTensor, NodeAttribute, GraphNode, ModelGraph),
		"attributes":         wrap(t(), 10, NodeAttribute, GraphNode, ModelGraph),
		"sparse attribute":   wrap(t(), 1, 22, NodeAttribute, GraphNode, ModelGraph),
		"sparse attributes":  wrap(t(), 2, 23, NodeAttribute, GraphNode, ModelGraph),
		"body":               wrap(t(), GraphInitializer, AttributeGraph, NodeAttribute, GraphNode, ModelGraph),
		"bodies":             wrap(t(), GraphInitializer, AttributeGraphs, NodeAttribute, GraphNode, ModelGraph),
		"body of a body":     wrap(t(), GraphInitializer, AttributeGraph, NodeAttribute, GraphNode, AttributeGraph, NodeAttribute, GraphNode, ModelGraph),
		"function":           wrap(t(), AttributeTensor, NodeAttribute, FunctionNode, ModelFunctions),
		"function's default": wrap(t(), AttributeTensor, 11, ModelFunctions),
		"training":           wrap(t(), GraphInitializer, 2, 20),
	}
}

func writeModel(t *testing.T, model []byte) (path string) {
	dir := t.TempDir()
	path = filepath.Join(dir, "model.onnx")
	values := binary.LittleEndian.AppendUint64(make([]byte, 8), 0x4000_0000_3f80_0000) // 0, 0, 1, 2
	if err := errors.Join(os.WriteFile(path, model, 0o644), os.WriteFile(filepath.Join(dir, "w.data"), values, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExternalIsFound(t *testing.T) {
	for name, model := range places() {
		path := writeModel(t, model)
		n, err := Inspect(path)
		if err != nil || !slices.Equal(n.Files, []string{"w.data"}) {
			t.Errorf("%s: %v, %v", name, n, err)
		}
		whole, err := Read(path)
		if err != nil || !bytes.Contains(whole, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}) {
			t.Errorf("%s: %x, %v", name, whole, err)
		}
		if left, err := externals(whole); err != nil || left != nil {
			t.Errorf("%s: read whole, it still names %v, %v", name, left, err)
		}
	}
}

func TestReadWhole(t *testing.T) {
	inner := append(outside("w", "location", "w.data", "offset", "8", "length", "8"), AppendBytes(nil, 12, "of the weight")...)
	model := AppendBytes(initializer(inner), 3, "kept")
	b, err := Read(writeModel(t, model))
	if err != nil {
		t.Fatal(err)
	}
	var got []Tensor
	err = Graph(b, func(x Field) error {
		w, err := ReadTensor(b, x.From, x.To)
		got = append(got, w)
		return err
	})
	if err != nil || len(got) != 1 || got[0].Name != "w" || got[0].CheckFloats() != nil || binary.LittleEndian.Uint32(b[got[0].From:]) != 0x3f800000 {
		t.Errorf("%v, %v", got, err)
	}
	if !bytes.HasSuffix(b, AppendBytes(nil, 3, "kept")) || !bytes.Contains(b, []byte("of the weight")) {
		t.Errorf("what is no weight was lost: %x", b)
	}

	plain := initializer(tensor("w", Float32, []int{2}, make([]byte, 8)))
	if b, err := Read(writeModel(t, plain)); err != nil || !bytes.Equal(b, plain) {
		t.Errorf("a file of one piece became %x, %v", b, err)
	}
}

func TestExternalRefused(t *testing.T) {
	const name = "no plain name of a file in the model's folder"
	at := func(entries ...string) []byte { return initializer(outside("w", entries...)) }
	nested := wrap(outside("w", "location", "w.data"), GraphInitializer)
	for range deepest {
		nested = wrap(nested, AttributeGraph, NodeAttribute, GraphNode)
	}
	text := bytes.Replace(at("location", "w.data"), AppendNumber(nil, TensorType, Float32), AppendNumber(nil, TensorType, 8), 1)
	endless := bytes.Replace(at("location", "w.data"), AppendNumber(nil, TensorDims, 2), AppendNumber(nil, TensorDims, 127), 1)
	other := AppendBytes(nil, tensorExternal, AppendBytes(AppendBytes(nil, entryKey, "location"), entryValue, "other.data"))
	half := func(b []byte) []byte { return AppendBytes(nil, AttributeTensor, b) }
	for _, c := range []struct {
		name, want string
		model      []byte
	}{
		{"absolute", name, at("location", "/etc/passwd")},
		{"above", name, at("location", "../w.data")},
		{"the folder above", name, at("location", "..")},
		{"the folder", name, at("location", ".")},
		{"subfolder", name, at("location", "sub/w.data")},
		{"memory", name, at("location", "*/_ORT_MEM_ADDR_/*", "offset", "4096", "length", "8")},
		{"NUL", name, at("location", "w.data\x00.txt")},
		{"no location", name, at("offset", "0")},
		{"missing", "missing.data, which is not there", at("location", "missing.data")},
		{"cut off", "8 bytes of w.data from byte 9 on, which has 16: it was cut off", at("location", "w.data", "offset", "9")},
		{"beyond", "from byte 9223372036854775807 on", at("location", "w.data", "offset", "9223372036854775807")},
		{"negative", "at the offset \"-8\"", at("location", "w.data", "offset", "-8")},
		{"length", "has 12 bytes in w.data, and 8 by its dimensions", at("location", "w.data", "length", "12")},
		{"dimensions", "8 bytes of w.data", initializer(append(outside("w", "location", "w.data", "offset", "16"), AppendNumber(nil, TensorDims, 1)...))},
		{"many", "508 bytes of w.data from byte 0 on", endless},
		{"text", "of type 8, which cannot", text},
		{"a folder", "is no file", at("location", "folder")},
		{"a link away", "a link that leads out of the model's folder", at("location", "away.data")},
		{"twice", ErrDamaged.Error(), at("location", "w.data", "location", "other.data")},
		// A parser of protocol buffers makes one tensor of the two.
		{"merged", ErrDamaged.Error(), wrap(slices.Concat(half(outside("w", "location", "w.data")), half(other)), NodeAttribute, GraphNode, ModelGraph)},
		{"nested", ErrDamaged.Error(), wrap(nested, ModelGraph)},
		{"junk", ErrDamaged.Error(), []byte("junk")},
	} {
		path := writeModel(t, c.model)
		dir := filepath.Dir(path)
		away := filepath.Join(t.TempDir(), "away.data")
		if err := errors.Join(os.WriteFile(away, make([]byte, 16), 0o644), os.Symlink(away, filepath.Join(dir, "away.data")), os.Mkdir(filepath.Join(dir, "folder"), 0o755)); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Inspect: error %v does not say %q", c.name, err, c.want)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Read: error %v does not say %q", c.name, err, c.want)
		}
	}
}

func TestLinkWithinTheFolder(t *testing.T) {
	path := writeModel(t, initializer(outside("w", "location", "link.data")))
	if err := os.Symlink("w.data", filepath.Join(filepath.Dir(path), "link.data")); err != nil {
		t.Fatal(err)
	}
	if n, err := Inspect(path); err != nil || !slices.Equal(n.Files, []string{"link.data"}) {
		t.Errorf("%v, %v", n, err)
	}
}

// TestLoops refuses a loop wherever it may be; a node of another domain with the name of
// one is none.
func TestLoops(t *testing.T) {
	node := func(op, domain string) []byte {
		return AppendBytes(AppendBytes(AppendBytes(nil, NodeName, "endless"), NodeOp, op), NodeDomain, domain)
	}
	for where, fields := range map[string][]protowire.Number{
		"graph":    {GraphNode, ModelGraph},
		"body":     {GraphNode, AttributeGraph, NodeAttribute, GraphNode, ModelGraph},
		"function": {FunctionNode, ModelFunctions},
	} {
		for _, op := range []string{"Loop", "Scan"} {
			_, err := Inspect(writeModel(t, wrap(node(op, ""), fields...)))
			if err == nil || !strings.Contains(err.Error(), `node "endless" is a `+op) {
				t.Errorf("%s in a %s: %v", op, where, err)
			}
		}
		if _, err := Inspect(writeModel(t, wrap(node("Loop", "mine"), fields...))); err != nil {
			t.Errorf("an operator of one's own in a %s: %v", where, err)
		}
	}
}

func TestPositions(t *testing.T) {
	table := func(name string, dims ...int) []byte {
		return AppendTensor(nil, GraphInitializer, name, Float32, dims, nil)
	}
	const name = "embeddings.position_embeddings.weight"
	sum := AppendNode(nil, GraphNode, Node{Op: "CumSum"})
	for i, c := range []struct {
		graph []byte
		want  int
	}{
		{nil, 0},
		{table("embeddings.word_embeddings.weight", 30522, 384), 0},
		{table(name, 512, 384), 512},
		{table(name+"_quantized", 512, 384), 512},
		{table(name+"_scale", 512), 0},
		{table(name, 514, 768), 514},
		{slices.Concat(table(name, 514, 768), sum), 512},
		{slices.Concat(sum, table(name, 8194, 1024)), 8192},
		{slices.Concat(sum, table(name, 512, 1024)), 512},
	} {
		if n, err := Inspect(writeModel(t, wrap(c.graph, ModelGraph))); err != nil || n.Positions != c.want {
			t.Errorf("graph %d: %v, %v; %d expected", i, n, err, c.want)
		}
	}
}

// FuzzExternal checks that nothing that is read whole names files any more, and that
// bytes that are no model are refused.
func FuzzExternal(f *testing.F) {
	for _, model := range places() {
		f.Add(model)
	}
	for i := range 4 {
		f.Add(initializer(outside("w", "location", "w"+strconv.Itoa(i), "offset", strconv.Itoa(i))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := externals(b)
		if _, err2 := positions(b); err != nil {
			return
		} else if err2 != nil && !errors.Is(err2, ErrDamaged) {
			t.Fatal(err2)
		}
		for _, e := range list {
			if filepath.Base(e.file) != e.file || e.offset < 0 || e.length < 0 {
				t.Fatalf("%+v", e)
			}
			if e.length > 1<<20 {
				return
			}
		}
		whole, err := inline(b, func(e external) ([]byte, error) { return make([]byte, e.length), nil })
		if err != nil {
			return // more than 2 GB
		}
		if left, err := externals(whole); err != nil || len(left) > 0 {
			t.Fatalf("%v, %v", left, err)
		}
		if len(list) == 0 && !bytes.Equal(b, whole) {
			t.Fatal("a file of one piece was changed")
		}
	})
}
