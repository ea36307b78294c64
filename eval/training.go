package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/trirank/trirank/internal/checksum"
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
	b, err := io.ReadAll(r)
	if err == nil {
		err = checksum.UnmarshalEdited(b, &t)
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
	b, err := checksum.MarshalJSON(trainingRecord{1, t.Queries, t.Products})
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
