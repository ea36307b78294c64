package eval

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/trirank/trirank/judgments"
)

// The columns of a table by query that come before its metrics.
var valueColumns = []string{"task", "system", "query_id", "query", "split"}

// WriteValues writes values as CSV: one line for each task, system and query, a
// column for each metric of any task, empty where one does not exist.
func WriteValues(w io.Writer, all []Values) error {
	var metrics []string
	for _, v := range all {
		for _, m := range v.Metrics {
			if !slices.Contains(metrics, m.String()) {
				metrics = append(metrics, m.String())
			}
		}
	}
	out := csv.NewWriter(w)
	if err := out.Write(append(slices.Clone(valueColumns), metrics...)); err != nil {
		return err
	}
	for _, v := range all {
		column := make([]int, len(v.Metrics))
		for i, m := range v.Metrics {
			column[i] = len(valueColumns) + slices.Index(metrics, m.String())
		}
		for i, q := range v.Queries {
			record := make([]string, len(valueColumns)+len(metrics))
			copy(record, []string{v.Task, v.System, q.ID, q.Text, q.Split})
			for j, x := range v.Rows[i] {
				if !math.IsNaN(x) {
					record[column[j]] = strconv.FormatFloat(x, 'g', -1, 64)
				}
			}
			if err := out.Write(record); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// HashValues returns the SHA-256 of what WriteValues writes, for
// Report.ValuesSHA256.
func HashValues(all []Values) string {
	h := sha256.New()
	if err := WriteValues(h, all); err != nil {
		panic(err) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ReadValues reads what WriteValues wrote. Metrics of another task come back as
// metrics that exist for no query. Numbers that are none, queries that are there
// twice and systems in several pieces are errors: a gate must not rest on a file
// that somebody pieced together.
func ReadValues(r io.Reader) ([]Values, error) {
	in := csv.NewReader(r)
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("cannot read the values by query: %w", err)
	}
	if len(header) < len(valueColumns) || !slices.Equal(header[:len(valueColumns)], valueColumns) {
		return nil, errors.New("cannot read the values by query: the columns are not those of per_query.csv")
	}
	var metrics []Metric
	for _, name := range header[len(valueColumns):] {
		m, err := ParseMetric(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read the values by query: %w", err)
		}
		metrics = append(metrics, m)
	}
	var out []Values
	var seen map[string]bool // queries of the last of out
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the values by query: %w", err)
		}
		line, _ := in.FieldPos(0)
		if n := len(out); n == 0 || out[n-1].Task != record[0] || out[n-1].System != record[1] {
			if slices.ContainsFunc(out, func(v Values) bool { return v.Task == record[0] && v.System == record[1] }) {
				return nil, fmt.Errorf("cannot read the values by query: line %d: system %.80q (%.20s) goes on after another one", line, record[1], record[0])
			}
			out, seen = append(out, Values{Task: record[0], System: record[1], Metrics: metrics}), map[string]bool{}
		}
		if seen[record[2]] {
			return nil, fmt.Errorf("cannot read the values by query: line %d: query %.80q is there twice for system %.80q (%.20s)", line, record[2], record[1], record[0])
		}
		seen[record[2]] = true
		v := &out[len(out)-1]
		row := make([]float64, len(metrics))
		for i, s := range record[len(valueColumns):] {
			row[i] = math.NaN()
			if s == "" {
				continue
			}
			if row[i], err = strconv.ParseFloat(s, 64); err != nil || math.IsInf(row[i], 0) || math.IsNaN(row[i]) {
				line, _ := in.FieldPos(len(valueColumns) + i)
				return nil, fmt.Errorf("cannot read the values by query: line %d: %.40q is not a number", line, s)
			}
		}
		v.Queries = append(v.Queries, judgments.Query{ID: record[2], Text: record[3], Split: record[4]})
		v.Rows = append(v.Rows, row)
	}
}

// CheckValues tells whether values are those that r was made of: the systems, the
// number of queries and the means must agree. Reports of one run are written
// together, so that a difference means that a file was edited, cut off or taken
// from elsewhere.
func (r *Report) CheckValues(all []Values) error {
	task := func(name string) *Task {
		for i := range r.Tasks {
			if r.Tasks[i].Name == name {
				return &r.Tasks[i]
			}
		}
		return nil
	}
	for _, v := range all {
		t := task(v.Task)
		if t == nil || !slices.ContainsFunc(r.Systems, func(s SystemInfo) bool { return s.Name == v.System }) {
			return fmt.Errorf("the report has no system %.80q in task %.20q", v.System, v.Task)
		}
		if len(v.Rows) != t.Queries {
			return fmt.Errorf("%s (%s) has the values of %d queries, but the report is of %d", v.System, v.Task, len(v.Rows), t.Queries)
		}
	}
	for i := range r.Tasks {
		if err := r.checkTask(&r.Tasks[i], all); err != nil {
			return err
		}
	}
	return nil
}

// meanSlack is how far a mean may be off that was summed in another order.
const meanSlack = 1e-9

func (r *Report) checkTask(t *Task, all []Values) error {
	systems := make([]*Values, len(r.Systems)) // nil: takes no part in the task
	there := 0
	for s, info := range r.Systems {
		if i := slices.IndexFunc(all, func(v Values) bool { return v.Task == t.Name && v.System == info.Name }); i >= 0 {
			systems[s] = &all[i]
			there++
		}
	}
	if there == 0 && t.Queries > 0 && len(t.Metrics) > 0 {
		return fmt.Errorf("there are no values of the task %s", t.Name)
	}
	for _, info := range t.Metrics {
		m, err := ParseMetric(info.Metric)
		if err != nil {
			return err
		}
		if len(info.Values) != len(systems) {
			return fmt.Errorf("%s (%s) has %d means for %d systems", info.Title, t.Name, len(info.Values), len(systems))
		}
		means, err := meansOf(systems, m, t.Queries)
		if err != nil {
			return fmt.Errorf("%w (%s)", err, t.Name)
		}
		for s, mean := range means {
			said := float64(info.Values[s].Mean)
			if math.IsNaN(said) && math.IsNaN(mean) || math.Abs(said-mean) <= meanSlack*(1+math.Abs(mean)) {
				continue
			}
			return fmt.Errorf("%s (%s): the mean of %s over the values is %.9g, but the report says %.9g", r.Systems[s].Name, t.Name, m.Title(), mean, said)
		}
	}
	return nil
}

// meansOf takes the means as an evaluation does: over the queries for which all
// systems that take part have the metric, or, of a neutral one, over each system's
// own.
func meansOf(systems []*Values, m Metric, queries int) ([]float64, error) {
	columns := make([]int, len(systems))
	for s, v := range systems {
		if v == nil {
			continue
		}
		if columns[s] = slices.Index(v.Metrics, m); columns[s] < 0 {
			return nil, fmt.Errorf("there is no column %v", m)
		}
	}
	sums, counts := make([]float64, len(systems)), make([]float64, len(systems))
	for q := range queries {
		missing := false
		for s, v := range systems {
			missing = missing || v != nil && math.IsNaN(v.Rows[q][columns[s]])
		}
		for s, v := range systems {
			if v == nil || missing && !m.Neutral() || math.IsNaN(v.Rows[q][columns[s]]) {
				continue
			}
			sums[s] += v.Rows[q][columns[s]]
			counts[s]++
		}
	}
	for s := range sums {
		sums[s] /= counts[s] // NaN without any
	}
	return sums, nil
}
