package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/train/safetensors"
)

// State is how far a run is.
type State struct {
	Step int `json:"step"` // steps done
	// Best is the validation that was best so far, and Worse how many have
	// followed that were not.
	Best  *Point `json:"best,omitempty"`
	Worse int    `json:"worse"`
	// Due says that the validation of this step was interrupted.
	Due bool `json:"due,omitempty"`
	// Start is the validation before the first step.
	Start *Point `json:"start,omitempty"`
}

// stateRecord is state.json.
type stateRecord struct {
	Format  int           `json:"format"`
	State   State         `json:"state"`
	Weights checksum.File `json:"weights"` // weights.safetensors
}

// stateFormat is the number of the format of a checkpoint.
const stateFormat = 2 // 2: checksums

// Point is a validation.
type Point struct {
	Step   int     `json:"step"`
	NDCG   float64 `json:"ndcg@10"`
	Recall float64 `json:"recall@100"`
	Loss   float64 `json:"loss"`
}

const (
	stateFile   = "state.json"
	weightsFile = "weights.safetensors"
	keep        = 2 // checkpoints besides the best
)

func checkpointName(step int) string { return fmt.Sprintf("step-%08d", step) }

// Prefixes of tensors in a checkpoint.
const (
	ofFirst   = "first/"
	ofSecond  = "second/"
	ofAverage = "average/"
)

// save writes a checkpoint into dir, aside and then in one move, and removes those
// that are no longer wanted.
func (t *Trainer) save(dir string, s State) error {
	var all []safetensors.Tensor
	add := func(prefix string, list []*tensors.Tensor) {
		for i, x := range list {
			all = append(all, safetensors.Tensor{Name: prefix + t.trained[i], Shape: x.Shape().Dimensions, Values: tensors.MustCopyFlatData[float32](x)})
		}
	}
	add("", t.values)
	add(ofFirst, t.first)
	add(ofSecond, t.second)
	add(ofAverage, t.average)
	err := atomicfile.BuildDir(filepath.Join(dir, checkpointName(s.Step)), func(fresh string) error {
		if err := safetensors.Write(filepath.Join(fresh, weightsFile), all, nil); err != nil {
			return err
		}
		sum, err := safetensors.Sum(all, nil)
		if err != nil {
			return err
		}
		return checksum.WriteJSON(filepath.Join(fresh, stateFile), stateRecord{stateFormat, s, sum})
	})
	if err != nil {
		return fmt.Errorf("cannot write a checkpoint of step %d: %w", s.Step, err)
	}
	return prune(dir, s)
}

// prune keeps the newest checkpoints and the best.
func prune(dir string, s State) error {
	names, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-keep)] {
		if s.Best == nil || name != checkpointName(s.Best.Step) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkpoints lists the names of those in dir, oldest first.
func checkpoints(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "step-") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// restore loads the newest checkpoint that is whole; ok is false if there is none.
func (t *Trainer) restore(dir string) (s State, ok bool, err error) {
	names, err := checkpoints(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return s, false, err
	}
	if err := atomicfile.Clean(dir); err != nil { // of a save that was killed
		return s, false, err
	}
	for i, name := range slices.Backward(names) {
		var bad error
		if s, bad = t.load(filepath.Join(dir, name)); bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		for _, damaged := range names[i+1:] { // or they would count as the newest
			if err := os.RemoveAll(filepath.Join(dir, damaged)); err != nil {
				return s, false, err
			}
		}
		return s, true, nil
	}
	if err != nil {
		err = fmt.Errorf("cannot resume: no checkpoint can be read: %w", err)
	}
	return State{}, false, err
}

// readCheckpoint reads a checkpoint, all of which has to be as it was written.
func readCheckpoint(dir string) (s State, list []safetensors.Tensor, err error) {
	var r stateRecord
	err = checksum.ReadJSON(filepath.Join(dir, stateFile), stateFormat, &r)
	if err == nil {
		list, err = safetensors.ReadAs(filepath.Join(dir, weightsFile), r.Weights)
	}
	if err != nil {
		return s, nil, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	return r.State, list, nil
}

// load replaces the trainer's weights by those of a checkpoint.
func (t *Trainer) load(dir string) (s State, err error) {
	s, list, err := readCheckpoint(dir)
	if err != nil {
		return s, err
	}
	byName := map[string]*safetensors.Tensor{}
	for i := range list {
		byName[list[i].Name] = &list[i]
	}
	read := func(prefix string, like []*tensors.Tensor) (out []*tensors.Tensor, err error) {
		for i, x := range like {
			found := byName[prefix+t.trained[i]]
			if found == nil || !slices.Equal(found.Shape, x.Shape().Dimensions) {
				return nil, fmt.Errorf("checkpoint %s does not fit: %s%s is missing or of another shape", dir, prefix, t.trained[i])
			}
			value, err := t.tensor(found.Values, found.Shape...)
			if err != nil {
				return nil, fmt.Errorf("checkpoint %s: %w", dir, err)
			}
			out = append(out, value)
		}
		return out, nil
	}
	values, err1 := read("", t.values)
	first, err2 := read(ofFirst, t.first)
	second, err3 := read(ofSecond, t.second)
	average, err4 := read(ofAverage, t.average)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return s, err
	}
	free(t.values, t.first, t.second, t.average)
	t.values, t.first, t.second, t.average = values, first, second, average
	return s, nil
}

// Trained returns the trained weights as a run would save them.
func (t *Trainer) Trained() (out []Weight) {
	for i, x := range t.best() {
		out = append(out, Weight{Name: t.trained[i], Dims: x.Shape().Dimensions, Values: tensors.MustCopyFlatData[float32](x)})
	}
	return out
}
