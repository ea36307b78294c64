package weights

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/internal/onnxfile"
)

func tensor(name string, kind uint64, packed bool, dims []uint64, values ...float32) []byte {
	var b, raw, list []byte
	for _, d := range dims {
		if packed {
			list = protowire.AppendVarint(list, d)
		} else {
			b = onnxfile.AppendNumber(b, onnxfile.TensorDims, d)
		}
	}
	if packed {
		b = onnxfile.AppendBytes(b, onnxfile.TensorDims, list)
	}
	b = onnxfile.AppendNumber(b, onnxfile.TensorType, kind)
	b = onnxfile.AppendBytes(b, onnxfile.TensorName, name)
	for _, v := range values {
		raw = protowire.AppendFixed32(raw, math.Float32bits(v))
	}
	return onnxfile.AppendBytes(b, onnxfile.TensorRaw, raw)
}

func model(parts ...[]byte) []byte {
	var graph []byte
	for _, p := range parts {
		graph = onnxfile.AppendBytes(graph, onnxfile.GraphInitializer, p)
	}
	node := onnxfile.AppendBytes(onnxfile.AppendBytes(nil, onnxfile.NodeInput, "x"), onnxfile.NodeInput, "onnx::MatMul_7")
	node = onnxfile.AppendBytes(onnxfile.AppendBytes(node, onnxfile.NodeName, "/encoder/layer.0/output/dense/MatMul"), onnxfile.NodeOp, "MatMul")
	graph = onnxfile.AppendBytes(graph, onnxfile.GraphNode, node)
	return onnxfile.AppendBytes(onnxfile.AppendNumber(nil, 1, 6), onnxfile.ModelGraph, graph)
}

func written(t testing.TB, b []byte) string {
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadAndSave(t *testing.T) {
	before := model(tensor("bias", onnxfile.Float32, false, []uint64{3}, 1, 2, 3), tensor("onnx::MatMul_7", onnxfile.Float32, true, []uint64{2, 2}, 4, 5, 6, 7), tensor("ids", 7, false, []uint64{1}, 9))
	f, err := Open(written(t, before))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tensors) != 2 {
		t.Fatalf("%+v", f.Tensors)
	}
	w, ok := f.Find("encoder.layer.0.output.dense.weight")
	if !ok || !slices.Equal(w.Dims, []int{2, 2}) || !slices.Equal(f.Values(w), []float32{4, 5, 6, 7}) {
		t.Errorf("%+v", w)
	}
	path := filepath.Join(t.TempDir(), "out.onnx")
	if err := f.Save(path, map[string][]float32{"encoder.layer.0.output.dense.weight": {-4, .5, 6, 70}}); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, _ = again.Find("encoder.layer.0.output.dense.weight")
	b, _ := again.Find("bias")
	if !slices.Equal(again.Values(w), []float32{-4, .5, 6, 70}) || !slices.Equal(again.Values(b), []float32{1, 2, 3}) {
		t.Errorf("%v, %v", again.Values(w), again.Values(b))
	}
	if after, _ := os.ReadFile(path); len(after) != len(before) {
		t.Errorf("%d bytes became %d", len(before), len(after))
	}
	if err := f.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	if same, _ := os.ReadFile(path); !bytes.Equal(same, before) {
		t.Error("saving nothing new changes the file")
	}
	for want, values := range map[string]map[string][]float32{
		"not of this network": {"nope": {1}},
		"with 2 values":       {"bias": {1, 2}},
		"value 1 of bias":     {"bias": {1, float32(math.NaN()), 2}},
	} {
		if err := f.Save(path, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	whole := model(tensor("bias", onnxfile.Float32, false, []uint64{3}, 1, 2, 3))
	for name, b := range map[string][]byte{
		"holds no weights":           model(),
		"has 12 bytes":               model(tensor("bias", onnxfile.Float32, false, []uint64{4}, 1, 2, 3)),
		"has the dimensions":         model(tensor("bias", onnxfile.Float32, true, []uint64{1 << 40, 1 << 40}, 1)),
		"two weights are called":     model(tensor("a", onnxfile.Float32, false, []uint64{1}, 1), tensor("a", onnxfile.Float32, false, []uint64{1}, 1)),
		"not an ONNX file":           whole[:len(whole)-3],
		"an ONNX file, or a damaged": []byte("hello, this is no model at all"),
	} {
		if _, err := Open(written(t, b)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.onnx")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(model(tensor("bias", onnxfile.Float32, false, []uint64{3}, 1, 2, 3)))
	f.Add(model(tensor("w", onnxfile.Float32, true, []uint64{2, 2}, 1, 2, 3, 4)))
	f.Add(withOutputs(output(hiddenState, 3)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse(b)
		if err != nil {
			return
		}
		for i := range file.Tensors {
			file.Values(&file.Tensors[i])
		}
		if more, err := file.WithMatrix("a matrix", 2); err == nil && len(more.Tensors) != len(file.Tensors)+1 {
			t.Errorf("%d weights became %d", len(file.Tensors), len(more.Tensors))
		}
	})
}
