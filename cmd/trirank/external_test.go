package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/onnxfile"
)

// externalCommand is the scripts' "external FROM TO": it makes the model directory TO of
// FROM, with the weights in model.onnx_data, as PyTorch's exporter writes large models.
func externalCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: external FROM TO")
	}
	from, to := args[0], ts.MkAbs(args[1])
	if _, err := os.Stat(ts.MkAbs(from)); err == nil {
		from = ts.MkAbs(from)
	} else {
		from = filepath.Join(ts.Getenv("TRIRANK_MODELS"), from)
	}
	ts.Check(external(from, to))
}

func external(from, to string) error {
	model, err := encoder.ReadModel(from)
	if err != nil {
		return err
	}
	b, err := onnxfile.Read(filepath.Join(from, encoder.NetworkFile))
	if err != nil {
		return err
	}
	var network, data []byte
	err = onnxfile.Fields(b, 0, len(b), func(x onnxfile.Field) error {
		if x.Number != onnxfile.ModelGraph {
			network = append(network, b[x.Start:x.End]...)
			return nil
		}
		var graph []byte
		err := onnxfile.Fields(b, x.From, x.To, func(x onnxfile.Field) error {
			t, err := onnxfile.ReadTensor(b, x.From, x.To)
			if x.Number != onnxfile.GraphInitializer || err != nil || t.To-t.From < 1024 {
				graph = append(graph, b[x.Start:x.End]...)
				return nil
			}
			var out []byte
			for _, d := range t.Dims {
				out = onnxfile.AppendNumber(out, onnxfile.TensorDims, uint64(d))
			}
			out = onnxfile.AppendNumber(out, onnxfile.TensorType, t.Type)
			out = onnxfile.AppendBytes(out, onnxfile.TensorName, t.Name)
			const externalData, dataLocation = 13, 14
			for _, e := range [][2]string{{"location", "model.onnx_data"}, {"offset", strconv.Itoa(len(data))}, {"length", strconv.Itoa(t.To - t.From)}} {
				out = onnxfile.AppendBytes(out, protowire.Number(externalData), onnxfile.AppendBytes(onnxfile.AppendBytes(nil, 1, e[0]), 2, e[1]))
			}
			out = onnxfile.AppendNumber(out, dataLocation, 1)
			graph = onnxfile.AppendBytes(graph, onnxfile.GraphInitializer, out)
			data = append(data, b[t.From:t.To]...)
			return nil
		})
		network = onnxfile.AppendBytes(network, onnxfile.ModelGraph, graph)
		return err
	})
	if err != nil {
		return err
	}
	tokenizer, err := os.ReadFile(filepath.Join(from, encoder.TokenizerFile))
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(to, 0o755),
		os.WriteFile(filepath.Join(to, encoder.NetworkFile), network, 0o644),
		os.WriteFile(filepath.Join(to, "model.onnx_data"), data, 0o644),
		os.WriteFile(filepath.Join(to, encoder.TokenizerFile), tokenizer, 0o644)); err != nil {
		return err
	}
	return encoder.WriteModel(to, model)
}
