package formats

import (
	"errors"
	"io"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
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
		n := split(line, words[:])
		switch {
		case errors.Is(err, textfile.ErrTooLong):
			err = r.fault(faults.TooLong, "%v", err)
		case err != nil:
			return r.broken(err)
		case n == 0:
			continue
		case n != 4:
			err = r.fault(faults.Malformed, "%s fields, but a judgement has 4: query, iteration, product, label", count(n, 4))
		default:
			err = r.emit(eval.Judgment{QueryID: texts.of(words[0]), Product: string(words[2]), Label: texts.of(words[3])})
		}
		if err != nil {
			return err
		}
	}
}

// split puts the fields of a line, parted by ASCII white space as trec_eval
// parts them, into words; it returns how many there are, up to len(words).
func split(line []byte, words [][]byte) int {
	n := 0
	for i := 0; i < len(line) && n < len(words); {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		start := i
		for i < len(line) && !isSpace(line[i]) {
			i++
		}
		if i > start {
			words[n] = line[start:i]
			n++
		}
	}
	return n
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// count spells the number of fields that split found where it wants most.
func count(n, most int) string {
	if n > most {
		return "more than " + string(rune('0'+most))
	}
	return string(rune('0' + n))
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
