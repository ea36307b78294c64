package eval

import (
	"encoding/json"
	"fmt"
	"io"
)

// TrainingFile is the file of a model directory that says what the model saw in
// training: {"format": 1, "queries": [texts], "products": [ids]}.
const TrainingFile = "training.json"

// Training is what a model saw while it was trained.
type Training struct {
	Queries  []string // texts
	Products []string // ids
}

type trainingRecord struct {
	Format   int      `json:"format"`
	Queries  []string `json:"queries"`
	Products []string `json:"products"`
}

// ReadTraining reads a TrainingFile. One that cannot be read is an error: to go on
// without it would let a model be tested on what it has learnt.
func ReadTraining(r io.Reader) (*Training, error) {
	var t trainingRecord
	if err := json.NewDecoder(r).Decode(&t); err != nil {
		return nil, fmt.Errorf("cannot read the record of training: %w", err)
	}
	if t.Format != 1 {
		return nil, fmt.Errorf("cannot read the record of training: its format is %d, this program reads 1", t.Format)
	}
	return &Training{t.Queries, t.Products}, nil
}

// WriteTraining writes a TrainingFile.
func WriteTraining(w io.Writer, t *Training) error {
	return json.NewEncoder(w).Encode(trainingRecord{1, t.Queries, t.Products})
}
