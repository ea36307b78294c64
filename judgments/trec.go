package judgments

import (
	"errors"
	"io"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
	"github.com/trirank/trirank/internal/trec"
)

// trec yields the judgements of a file of qrels.
func (r *reader) trec(f *textfile.File) error {
	lines := textfile.NewLines(f, maxLine)
	var words [5][]byte
	texts := interned{}
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return nil
		}
		r.line = lines.Number()
		n := trec.Split(line, words[:])
		switch {
		case errors.Is(err, textfile.ErrTooLong):
			err = r.fault(faults.TooLong, "%v", err)
		case err != nil:
			return r.broken(err)
		case n == 0:
			continue
		case n != 4:
			err = r.fault(faults.Malformed, "%s fields, but a judgement has 4: query, iteration, product, label", trec.Count(n, 4))
		default:
			err = r.emit(Judgment{QueryID: texts.of(words[0]), Product: string(words[2])}, texts.of(words[3]))
		}
		if err != nil {
			return err
		}
	}
}

// interned keeps one copy of each text.
type interned map[string]string

func (m interned) of(b []byte) string {
	if s, ok := m[string(b)]; ok {
		return s
	}
	s := string(b)
	m[s] = s
	return s
}
