package weights

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func output(name string) []byte { return bytesOf(nil, infoName, []byte(name)) }

// withOutputs is a model with one weight and outputs of the given names.
func withOutputs(names ...string) []byte {
	graph := bytesOf(nil, graphInitializer, tensor("bias", float32Type, false, []uint64{2}, 1, 2))
	for _, n := range names {
		graph = bytesOf(graph, graphOutput, bytesOf(output(n), 2, []byte("its type")))
	}
	// An explicit zero, which a rewritten message must keep as a number.
	return number(bytesOf(number(nil, 1, 8), modelGraph, graph), 5, 0)
}

func TestWithMatrix(t *testing.T) {
	f, err := Open(written(t, withOutputs("pooled", hiddenState)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.WithMatrix("adapter.weight", 2)
	if err != nil {
		t.Fatal(err)
	}
	names, err := g.outputs()
	if err != nil || !slices.Equal(names, []string{"pooled", adapted}) {
		t.Errorf("outputs are %v, %v", names, err)
	}
	w, ok := g.Find("adapter.weight")
	if !ok || !slices.Equal(g.Values(w), []float32{1, 0, 0, 1}) || !slices.Equal(w.Dims, []int{2, 2}) {
		t.Errorf("%+v", w)
	}
	if b, ok := g.Find("bias"); !ok || !slices.Equal(g.Values(b), []float32{1, 2}) {
		t.Errorf("%+v", b)
	}
	if !bytes.Contains(g.bytes, []byte("its type")) {
		t.Error("the output lost its type")
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
	for want, f := range map[string]*File{
		"has one already": again, "has no output": mustOpen(t, withOutputs()), "none is called": mustOpen(t, withOutputs("a", "b")),
	} {
		if _, err := f.WithMatrix("adapter.weight", 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
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
