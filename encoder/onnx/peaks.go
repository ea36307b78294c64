package onnx

import (
	"context"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/trirank/trirank/encoder"
)

// Peaks returns a function that runs networks, given as the bytes of their ONNX files,
// over texts, one after the other. texts cuts them by the tokenizer of the model in dir. Of
// each of the named values, which are among the network's outputs and of 32-bit floats,
// the function returns the greatest magnitude in each channel: each place in the last
// dimension.
func Peaks(dir string, texts func(*encoder.Encoder) ([][]uint32, error)) func(ctx context.Context, network []byte, values []string) ([][]float32, error) {
	return func(ctx context.Context, network []byte, values []string) ([][]float32, error) {
		e, err := Open(dir, Options{})
		if err != nil {
			return nil, err
		}
		tokens, err := texts(e)
		e.Close() // before the network takes as much memory
		if err != nil {
			return nil, err
		}
		return peaks(ctx, network, values, tokens)
	}
}

func peaks(ctx context.Context, network []byte, values []string, texts [][]uint32) ([][]float32, error) {
	if err := acquire(""); err != nil {
		return nil, err
	}
	defer release()
	ins, _, err := ort.GetInputOutputInfoWithONNXData(network)
	if err != nil {
		return nil, err
	}
	inputs, err := inputNames(ins)
	if err != nil {
		return nil, err
	}
	so, err := sessionOptions(1)
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(network, inputs, values, so)
	if err != nil {
		return nil, err
	}
	defer session.Destroy()
	found := make([][]float32, len(values))
	for _, tokens := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := addPeaks(session, len(inputs) == 3, tokens, values, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// addPeaks raises peaks to those of one text.
func addPeaks(session *ort.DynamicAdvancedSession, typeIDs bool, tokens []uint32, values []string, peaks [][]float32) error {
	ids, mask := make([]int64, len(tokens)), make([]int64, len(tokens))
	for i, id := range tokens {
		ids[i], mask[i] = int64(id), 1
	}
	in, err := tensors(1, len(tokens), ids, mask, typeIDs)
	defer destroy(in)
	if err != nil {
		return err
	}
	out := make([]ort.Value, len(values)) // the session makes them
	defer destroy(out)
	if err := session.Run(in, out); err != nil {
		return err
	}
	for i, v := range out {
		t, ok := v.(*ort.Tensor[float32])
		if !ok || len(t.GetShape()) == 0 {
			return fmt.Errorf("value %.80q is no tensor of 32-bit floats", values[i])
		}
		shape := t.GetShape()
		channels := int(shape[len(shape)-1])
		if peaks[i] == nil {
			peaks[i] = make([]float32, channels)
		}
		if channels != len(peaks[i]) {
			return fmt.Errorf("value %.80q has %d channels for one text and %d for another", values[i], len(peaks[i]), channels)
		}
		for j, x := range t.GetData() {
			peaks[i][j%channels] = max(peaks[i][j%channels], x, -x)
		}
	}
	return nil
}
