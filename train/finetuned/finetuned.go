// Package finetuned keeps what fine-tuning changed as a small file, and makes a
// model directory of it and of the model that it began with.
package finetuned

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/bert"
	"github.com/trirank/trirank/train/safetensors"
	"github.com/trirank/trirank/train/weights"
)

// Delta is what fine-tuning made of a model: whole weights, or the small matrices
// of LoRA.
type Delta struct {
	Base     string        // encoder.Model.Hash of the model it began with
	BaseName string        // and its name
	Run      string        // name of the run
	Alpha    float64       // of LoRA
	Blend    float64       // share of the base model's own weights, 0 to 1
	Training eval.Training // what the model saw
	Weights  []train.Weight
}

// deltaFormat is the number of the format of the metadata.
const deltaFormat = "2" // 2: with a checksum

// Write writes the delta as a safetensors file.
func (d *Delta) Write(path string) error {
	var record bytes.Buffer
	if err := eval.WriteTraining(&record, &d.Training); err != nil {
		return err
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	var list []safetensors.Tensor
	for _, w := range d.Weights {
		list = append(list, safetensors.Tensor{Name: w.Name, Shape: w.Dims, Values: w.Values})
	}
	return safetensors.WriteChecked(path, list, map[string]string{
		"trirank": deltaFormat, "base": d.Base, "base_name": d.BaseName, "run": d.Run,
		"lora_alpha": number(d.Alpha), "blend": number(d.Blend), "training": record.String(),
	})
}

// ReadDelta reads what Write wrote.
func ReadDelta(path string) (*Delta, error) {
	fail := func(err error) (*Delta, error) { return nil, fmt.Errorf("cannot read delta %s: %w", path, err) }
	list, meta, err := safetensors.ReadChecked(path)
	if format := meta["trirank"]; meta != nil && format != deltaFormat {
		return fail(fmt.Errorf("its format is %q, this program reads %q (it is not a delta of trirank, or of another version)", format, deltaFormat))
	}
	if err != nil {
		return fail(err)
	}
	d := &Delta{Base: meta["base"], BaseName: meta["base_name"], Run: meta["run"]}
	var err1, err2 error
	d.Alpha, err1 = strconv.ParseFloat(meta["lora_alpha"], 64)
	d.Blend, err2 = strconv.ParseFloat(meta["blend"], 64)
	training, err3 := eval.ReadTraining(bytes.NewReader([]byte(meta["training"])))
	if err := errors.Join(err1, err2, err3); err != nil {
		return fail(err)
	}
	d.Training = *training
	for _, x := range list {
		d.Weights = append(d.Weights, train.Weight{Name: x.Name, Dims: x.Shape, Values: x.Values})
	}
	return d, nil
}

// Merge makes the model directory out of the model directory base and a delta that
// began with it. name is the model's. The directory takes its place when it is
// whole and check finds nothing wrong with it, which is given the folder where it is
// until then; the same input gives the same bytes.
func Merge(base string, d *Delta, out, name string, check func(dir string) error) error {
	if err := merge(base, d, out, name, check); err != nil {
		return fmt.Errorf("cannot merge into %s: %w", out, err)
	}
	return nil
}

func merge(base string, d *Delta, out, name string, check func(dir string) error) error {
	model, err := encoder.ReadModel(base)
	if err != nil {
		return err
	}
	if h := model.Hash(); h != d.Base {
		return fmt.Errorf("the delta began with another model (%s, %.12s…) than %s (%.12s…)", d.BaseName, d.Base, base, h)
	}
	if err := model.Verify(base); err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	alike := func(old *encoder.Model) bool { return old.Parent == d.BaseName && old.Quantized == nil }
	if err := encoder.CheckTarget(base, out, alike, eval.TrainingFile); err != nil {
		return err
	}
	network, err := weights.Open(filepath.Join(base, encoder.NetworkFile))
	if err != nil {
		return err
	}
	isAdapter := func(w train.Weight) bool { return w.Name == bert.Adapter }
	if i := slices.IndexFunc(d.Weights, isAdapter); i >= 0 {
		if _, ok := network.Find(bert.Adapter); !ok {
			if network, err = network.WithMatrix(bert.Adapter, model.Dimension); err != nil {
				return err
			}
		}
	}
	changed, err := train.Merge(func(name string) ([]float32, []int, bool) {
		t, ok := network.Find(name)
		if !ok {
			return nil, nil, false
		}
		return network.Values(t), t.Dims, true
	}, d.Weights, d.Alpha, d.Blend)
	if err != nil {
		return err
	}
	made := *model
	made.Name, made.Parent, made.Run = name, model.Name, d.Run
	return atomicfile.BuildDir(out, func(fresh string) error {
		if err := network.Save(filepath.Join(fresh, encoder.NetworkFile), changed); err != nil {
			return err
		}
		tokenizer, err := regular.ReadFile(filepath.Join(base, encoder.TokenizerFile), encoder.MaxTokenizer)
		if err == nil {
			err = atomicfile.WriteBytes(filepath.Join(fresh, encoder.TokenizerFile), tokenizer)
		}
		if err != nil {
			return err
		}
		if err := encoder.WriteModel(fresh, &made); err != nil {
			return err
		}
		var training bytes.Buffer
		if err := eval.WriteTraining(&training, &d.Training); err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(filepath.Join(fresh, eval.TrainingFile), training.Bytes()); err != nil {
			return err
		}
		return check(fresh)
	})
}
