package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
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
	d := json.NewDecoder(r)
	err := d.Decode(&t)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more behind its end (it must be one JSON object)")
		}
	}
	if err == nil && t.Format != 1 {
		err = fmt.Errorf("its format is %d, this program reads 1", t.Format)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the record of training: %w", inWords(err))
	}
	return &Training{t.Queries, t.Products}, nil
}

// inWords says what is wrong with a record for readers who did not write the
// decoder.
func inWords(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty (make it again)")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it is cut off (make it again)")
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not valid JSON: %w, at byte %d", err, syntax.Offset)
	case errors.As(err, &kind):
		field := "the record"
		if kind.Field != "" {
			field = strconv.Quote(kind.Field)
		}
		return fmt.Errorf(`%s is of the type %s (write {"format": 1, "queries": [texts], "products": [ids]})`, field, kind.Value)
	}
	return err
}

// WriteTraining writes a TrainingFile.
func WriteTraining(w io.Writer, t *Training) error {
	return json.NewEncoder(w).Encode(trainingRecord{1, t.Queries, t.Products})
}
