package eval

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
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

// ReadValues reads what WriteValues wrote. Metrics of another task come back as
// metrics that exist for no query.
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
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the values by query: %w", err)
		}
		if n := len(out); n == 0 || out[n-1].Task != record[0] || out[n-1].System != record[1] {
			out = append(out, Values{Task: record[0], System: record[1], Metrics: metrics})
		}
		v := &out[len(out)-1]
		row := make([]float64, len(metrics))
		for i, s := range record[len(valueColumns):] {
			row[i] = math.NaN()
			if s == "" {
				continue
			}
			if row[i], err = strconv.ParseFloat(s, 64); err != nil || math.IsInf(row[i], 0) {
				line, _ := in.FieldPos(len(valueColumns) + i)
				return nil, fmt.Errorf("cannot read the values by query: line %d: %.40q is not a number", line, s)
			}
		}
		v.Queries = append(v.Queries, Query{ID: record[2], Text: record[3], Split: record[4]})
		v.Rows = append(v.Rows, row)
	}
}
