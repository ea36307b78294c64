package store

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/atomicfile"
)

const judgmentsFile = "judgments.csv"

// judged holds all judgements in two arrays, sorted into runs by query: five bytes
// each, whatever their number.
type judged struct {
	runs    map[string][2]uint32 // folded query: first and one past the last
	queries []string             // as asked, in order of appearance
	rows    []uint32
	labels  []catalog.Label
}

// judgmentColumns are the columns of judgmentsFile, which is a table that an
// evaluation reads as it reads any other.
var judgmentColumns = []string{"query_id", "query", "product_id", "esci_label", "split"}

// writeJudgments writes those that the hits of an index can be labelled with.
func writeJudgments(dir string, judgments iter.Seq2[catalog.Judgment, error]) error {
	return atomicfile.Write(filepath.Join(dir, judgmentsFile), func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(judgmentColumns); err != nil {
			return err
		}
		for j, err := range judgments {
			if err != nil {
				return err
			}
			if err := out.Write([]string{j.QueryID, j.Query, j.ProductID, j.Label.String(), j.Split}); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
}

func openJudged(dir string, row func(string) (uint32, bool)) (*judged, error) {
	f, err := os.Open(filepath.Join(dir, judgmentsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type pair struct {
		row   uint32
		label catalog.Label
	}
	j := &judged{runs: map[string][2]uint32{}}
	byQuery := map[string][]pair{}
	var order []string
	in := csv.NewReader(f)
	in.FieldsPerRecord = len(judgmentColumns)
	in.ReuseRecord = true
	if _, err := in.Read(); err != nil {
		return nil, fmt.Errorf("%s: %w", judgmentsFile, err)
	}
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", judgmentsFile, err)
		}
		label, err := catalog.ParseLabel(rec[3])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", judgmentsFile, err)
		}
		at, ok := row(rec[2])
		if !ok {
			continue
		}
		key := fold(rec[1])
		if _, seen := byQuery[key]; !seen {
			order = append(order, key)
			j.queries = append(j.queries, strings.Clone(rec[1]))
		}
		byQuery[key] = append(byQuery[key], pair{at, label})
	}
	for _, key := range order {
		first := uint32(len(j.rows))
		for _, p := range byQuery[key] {
			j.rows, j.labels = append(j.rows, p.row), append(j.labels, p.label)
		}
		j.runs[key] = [2]uint32{first, uint32(len(j.rows))}
	}
	return j, nil
}

// of returns the labels of the products judged for a query; nil if none are.
func (j *judged) of(query string) map[uint32]catalog.Label {
	run, ok := j.runs[fold(query)]
	if !ok {
		return nil
	}
	out := make(map[uint32]catalog.Label, run[1]-run[0])
	for i := run[0]; i < run[1]; i++ {
		out[j.rows[i]] = j.labels[i]
	}
	return out
}

// some returns n queries, evenly spaced over all, for examples and for tuning.
func (j *judged) some(n int) (out []string) {
	n = min(n, len(j.queries))
	for i := range n {
		out = append(out, j.queries[i*len(j.queries)/n])
	}
	return out
}
