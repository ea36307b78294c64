// Package faults has what is wrong with single rows of what users give: readers of
// tables, JSON and Parquet files yield them as errors and go on with the next row.
package faults

import "fmt"

// Fault is what is wrong with one row of a source. Readers yield faults as
// errors and go on with the next row; any other error ends reading.
type Fault struct {
	File   string
	Line   int // from 1: a line of a text file, a row of a table
	Kind   Kind
	Reason string
}

// Kind groups faults, for counting.
type Kind string

// The kinds of faults.
const (
	Malformed     Kind = "malformed row"
	TooLong       Kind = "row too long"
	NotUTF8       Kind = "invalid UTF-8"
	MissingField  Kind = "missing field"
	BadID         Kind = "bad id"
	BadNumber     Kind = "bad number"
	DuplicateID   Kind = "duplicate product id"
	BadLabel      Kind = "bad label"
	Contradiction Kind = "contradictory judgement"
)

// Error names the place and the reason.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Reason
	}
	return fmt.Sprintf("%s: line %d: %s", f.File, f.Line, f.Reason)
}

// maxListed faults are kept in a report, whatever their number.
const maxListed = 20

// List counts faults and keeps the first twenty.
type List struct {
	Count  int          `json:"count"`
	ByKind map[Kind]int `json:"by_kind,omitempty"`
	First  []*Fault     `json:"first,omitempty"`
}

// Add counts fault.
func (f *List) Add(fault *Fault) {
	f.Count++
	if f.ByKind == nil {
		f.ByKind = map[Kind]int{}
	}
	f.ByKind[fault.Kind]++
	if len(f.First) < maxListed {
		f.First = append(f.First, fault)
	}
}
