package finetuned

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/safetensors"
)

func delta() *Delta {
	return &Delta{
		Base: "abc", BaseName: "e5", Run: "a", Alpha: 16, Blend: .25,
		Training: eval.Training{Queries: []string{"wireless mouse", "a \"quoted\" one"}, Products: []string{"P1"}},
		Weights:  []train.Weight{{Name: "b", Dims: []int{2}, Values: []float32{1, -2}}, {Name: "w", Dims: []int{1, 2}, Values: []float32{.5, 3e-30}}},
	}
}

func TestDelta(t *testing.T) {
	path := filepath.Join(t.TempDir(), "delta.safetensors")
	want := delta()
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadDelta(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Base != want.Base || got.BaseName != want.BaseName || got.Run != want.Run || got.Alpha != want.Alpha || got.Blend != want.Blend ||
		!slices.Equal(got.Training.Queries, want.Training.Queries) || !slices.Equal(got.Training.Products, want.Training.Products) || len(got.Weights) != 2 {
		t.Fatalf("%+v", got)
	}
	for i, w := range got.Weights {
		if w.Name != want.Weights[i].Name || !slices.Equal(w.Dims, want.Weights[i].Dims) || !slices.Equal(w.Values, want.Weights[i].Values) {
			t.Errorf("%+v, want %+v", w, want.Weights[i])
		}
	}
	b, _ := os.ReadFile(path)
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); !slices.Equal(b, again) {
		t.Error("the same delta is written in other bytes")
	}
}

func TestReadDeltaRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, meta map[string]string) string {
		path := filepath.Join(dir, name)
		if err := safetensors.WriteChecked(path, []safetensors.Tensor{{Name: "a", Shape: []int{1}, Values: []float32{1}}}, meta); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := map[string]string{"trirank": "2", "lora_alpha": "16", "blend": "0", "training": `{"format": 1}`}
	with := func(key, value string) map[string]string {
		out := map[string]string{}
		for k, v := range good {
			out[k] = v
		}
		out[key] = value
		return out
	}
	if _, err := ReadDelta(write("good", good)); err != nil {
		t.Fatal(err)
	}
	for want, path := range map[string]string{
		"no such file":        filepath.Join(dir, "none"),
		"its format is \"\"":  write("foreign", nil),
		"its format is \"9\"": write("newer", with("trirank", "9")),
		"invalid syntax":      write("alpha", with("lora_alpha", "much")),
		"record of training":  write("record", with("training", "[]")),
	} {
		if _, err := ReadDelta(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	if err := Merge(t.TempDir(), delta(), filepath.Join(t.TempDir(), "out"), "x", nil); err == nil || !strings.Contains(err.Error(), "cannot merge into") {
		t.Errorf("a base that is no model: %v", err)
	}
}
