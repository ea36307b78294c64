package formats

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
	"github.com/trirank/trirank/judgments"
)

func FuzzRun(f *testing.F) {
	f.Add([]byte("q Q0 d 1 2.5 t\nq Q0 e 2 2.5 t\n"))
	f.Add([]byte("q Q0 d 1 2.5\n\nq Q0 d 1 nan t\nq Q0 e 1 -1e38 t\nq Q0 \u00a0 1 1 t"))
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte, skip bool) (*eval.Run, faults.List, error) {
			file, err := textfile.New(bytes.NewReader(b))
			if err != nil {
				return nil, faults.List{}, err
			}
			return readRun(file, "f", "s", skip)
		}
		run, faults, err := read(b, true)
		if err != nil {
			return
		}
		n := 0
		for id, hits := range run.Hits {
			for i, h := range hits {
				if strings.TrimSpace(id) == "" || strings.TrimSpace(h.Product) == "" || !utf8.ValidString(id+h.Product) || strings.ContainsFunc(id+h.Product, unicode.IsControl) || math.IsNaN(h.Score) || math.IsInf(h.Score, 0) ||
					i > 0 && h.Score > hits[i-1].Score {
					t.Errorf("query %q: %+v", id, h)
				}
			}
			n += len(hits)
			var out bytes.Buffer
			if err := WriteRun(&out, run, []judgments.Query{{ID: id}}); err == nil {
				again, _, err := read(out.Bytes(), false)
				if err != nil || ids(again.Hits[id]) != ids(hits) {
					t.Errorf("%v: read again as %+v", err, again)
				}
			}
		}
		plain := len(b) > 0 && b[0] != 0x1f && b[0] != 0x28 // not compressed
		if lines := bytes.Count(b, []byte("\n")) + 1; plain && n+faults.Count > lines {
			t.Errorf("%d hits and %d faults in %d lines", n, faults.Count, lines)
		}
	})
}
