package store

import (
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/judgments"
)

const judgmentsFile = "judgments.csv"

// judged holds all judgments in two arrays, sorted into runs by query: eight bytes
// each, whatever their number.
type judged struct {
	runs    map[string]run // by the text of the query
	folded  map[string]run // by the text without case: of the first query that has it
	queries []string       // as asked, in order of appearance
	rows    []uint32
	labels  []uint32 // places in names
	names   []judgments.Label
}

// run is the first and one past the last place of a query's judgments.
type run [2]uint32

// writeJudgments writes the judgments of a catalogue, which an evaluation reads as it
// reads any others.
func writeJudgments(dir string, list iter.Seq2[judgments.Judgment, error]) (sum checksum.File, err error) {
	err = atomicfile.Write(filepath.Join(dir, judgmentsFile), func(w io.Writer) error {
		summed := checksum.NewWriter(w)
		out := judgments.NewWriter(summed)
		for j, err := range list {
			if err != nil {
				return err
			}
			if err := out.Write(&j); err != nil {
				return err
			}
		}
		err := out.Flush()
		sum = summed.Sum()
		return err
	})
	return sum, err
}

func openJudged(dir string, row func(string) (uint32, bool)) (*judged, error) {
	f, err := regular.Open(filepath.Join(dir, judgmentsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type pair struct {
		row, label uint32
		judge      string
	}
	j := &judged{runs: map[string]run{}, folded: map[string]run{}}
	byQuery := map[string][]pair{}
	places := map[judgments.Label]uint32{}
	for v, err := range judgments.ReadTable(f, judgmentsFile) {
		if err != nil {
			return nil, err
		}
		at, ok := row(v.Product)
		if !ok || v.Label.Pooled() {
			continue
		}
		text := judgments.Normalize(v.Query)
		if _, seen := byQuery[text]; !seen {
			j.queries = append(j.queries, text)
		}
		place, ok := places[v.Label]
		if !ok {
			place = uint32(len(j.names))
			places[v.Label], j.names = place, append(j.names, v.Label)
		}
		byQuery[text] = append(byQuery[text], pair{at, place, v.Judge})
	}
	for _, text := range j.queries {
		pairs := byQuery[text]
		slices.SortStableFunc(pairs, func(a, b pair) int { return int(a.row) - int(b.row) })
		first := uint32(len(j.rows))
		for len(pairs) > 0 {
			n := 1 // labels of one product: of several judges
			for n < len(pairs) && pairs[n].row == pairs[0].row {
				n++
			}
			label := pairs[0].label
			if n > 1 {
				var labels []judgments.Label
				judges := map[string]bool{}
				for _, p := range pairs[:n] {
					if !judges[p.judge] { // a row may repeat another for the sake of an id
						judges[p.judge], labels = true, append(labels, j.names[p.label])
					}
				}
				median := judgments.LowerMedian(labels)
				label = pairs[slices.IndexFunc(pairs[:n], func(p pair) bool { return j.names[p.label] == median })].label
			}
			j.rows, j.labels = append(j.rows, pairs[0].row), append(j.labels, label)
			pairs = pairs[n:]
		}
		j.runs[text] = run{first, uint32(len(j.rows))}
		if key := judgments.Fold(text); j.folded[key] == (run{}) {
			j.folded[key] = j.runs[text]
		}
	}
	var counted []judgments.Label // what is outvoted does not decide the scale, as in a Set
	used := make([]bool, len(j.names))
	for _, l := range j.labels {
		if !used[l] {
			used[l], counted = true, append(counted, j.names[l])
		}
	}
	_, spelled, err := judgments.ScaleOf(counted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", judgmentsFile, err)
	}
	for i, l := range j.names {
		j.names[i] = spelled(l)
	}
	return j, nil
}

// of returns the labels of the products judged for a query, or for the first that
// differs from it in case only; nil if none are.
func (j *judged) of(query string) map[uint32]judgments.Label {
	at, ok := j.runs[judgments.Normalize(query)]
	if !ok {
		at, ok = j.folded[judgments.Fold(query)]
	}
	if !ok {
		return nil
	}
	out := make(map[uint32]judgments.Label, at[1]-at[0])
	for i := at[0]; i < at[1]; i++ {
		out[j.rows[i]] = j.names[j.labels[i]]
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

// greatest returns the greatest label that is a number, 0 if none is.
func (j *judged) greatest() (most float64) {
	for _, l := range j.names {
		if v, ok := l.Number(); ok {
			most = max(most, v)
		}
	}
	return most
}
