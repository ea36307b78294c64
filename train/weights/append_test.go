package weights

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/onnxfile"
)

// output is the ValueInfoProto of an output with so many dimensions.
func output(name string, dims int) []byte {
	var shape []byte
	for range dims {
		shape = onnxfile.AppendBytes(shape, 1, "")
	}
	return onnxfile.AppendBytes(onnxfile.AppendBytes(nil, onnxfile.InfoName, name), 2, onnxfile.AppendBytes(nil, 1, onnxfile.AppendBytes(onnxfile.AppendNumber(nil, 1, 1), 2, shape)))
}

// withOutputs is a model with one weight, and outputs that a node of each makes.
func withOutputs(outputs ...[]byte) []byte {
	graph := onnxfile.AppendBytes(nil, onnxfile.GraphInitializer, tensor("bias", onnxfile.Float32, false, []uint64{2}, 1, 2))
	for _, o := range outputs {
		name, _, _ := (&File{bytes: o}).info(onnxfile.Field{To: len(o)})
		graph = onnxfile.AppendBytes(graph, onnxfile.GraphNode, onnxfile.AppendBytes(onnxfile.AppendBytes(nil, onnxfile.NodeInput, "x"), onnxfile.NodeOutput, name))
		graph = onnxfile.AppendBytes(graph, onnxfile.GraphOutput, o)
	}
	// An explicit zero, which a rewritten message must keep as a number.
	return onnxfile.AppendNumber(onnxfile.AppendBytes(onnxfile.AppendNumber(nil, 1, 8), onnxfile.ModelGraph, graph), 5, 0)
}

func TestWithMatrix(t *testing.T) {
	for want, outputs := range map[string][][]byte{
		"last_hidden_state": {output("pooled", 2), output("hidden.0", 3), output(hiddenState, 3)},
		"tokens":            {output("pooled", 2), output("tokens", 3), output("other", 3)},
	} {
		f := mustOpen(t, withOutputs(outputs...))
		g, err := f.WithMatrix("adapter.weight", 2)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := g.output(); err != nil || name != want {
			t.Errorf("the output is %q, not %q: %v", name, want, err)
		}
		if n := bytes.Count(g.bytes, []byte(want+before)); n != 2 { // made by its node, taken by the product
			t.Errorf("%s is named %d times", want+before, n)
		}
		w, ok := g.Find("adapter.weight")
		if !ok || !slices.Equal(g.Values(w), []float32{1, 0, 0, 1}) || !slices.Equal(w.Dims, []int{2, 2}) {
			t.Errorf("%+v", w)
		}
		if b, ok := g.Find("bias"); !ok || !slices.Equal(g.Values(b), []float32{1, 2}) {
			t.Errorf("%+v", b)
		}
		path := filepath.Join(t.TempDir(), "model.onnx")
		if err := g.Save(path, map[string][]float32{"adapter.weight": {1, 2, 3, 4}}); err != nil {
			t.Fatal(err)
		}
		again, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := again.Find("adapter.weight"); !slices.Equal(again.Values(w), []float32{1, 2, 3, 4}) {
			t.Errorf("%v", again.Values(w))
		}
		if _, err := again.WithMatrix("adapter.weight", 2); err == nil || !strings.Contains(err.Error(), "has one already") {
			t.Error(err)
		}
	}
	for _, outputs := range [][][]byte{nil, {output("pooled", 2)}} {
		if _, err := mustOpen(t, withOutputs(outputs...)).WithMatrix("adapter.weight", 2); err == nil || !strings.Contains(err.Error(), "no output of three") {
			t.Error(err)
		}
	}
}

func mustOpen(t *testing.T, b []byte) *File {
	f, err := Open(written(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
