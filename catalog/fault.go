package catalog

import "fmt"

// Fault is what is wrong with one row of a source. Readers yield faults as
// errors and go on with the next row; any other error ends reading.
type Fault struct {
	File   string
	Line   int // from 1: a line of a text file, a row of a table
	Kind   FaultKind
	Reason string
}

// FaultKind groups faults, for counting.
type FaultKind string

// The kinds of faults.
const (
	Malformed     FaultKind = "malformed row"
	TooLong       FaultKind = "row too long"
	NotUTF8       FaultKind = "invalid UTF-8"
	MissingField  FaultKind = "missing field"
	BadID         FaultKind = "bad id"
	BadNumber     FaultKind = "bad number"
	DuplicateID   FaultKind = "duplicate product id"
	BadLabel      FaultKind = "bad label"
	Contradiction FaultKind = "contradictory judgement"
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

// Report says what Write did.
type Report struct {
	Name      string `json:"name"`
	Products  int    `json:"products"`
	Judgments int    `json:"judgments"`
	Queries   int    `json:"queries"`
	Hash      string `json:"hash"`
	// Faults are the rows that were skipped for being wrong.
	Faults Faults `json:"faults"`
	// UnknownProducts and Duplicates count judgements that were dropped though
	// nothing is wrong with them: of products that are not in the catalogue,
	// and repeated word for word.
	UnknownProducts int `json:"judgments_of_unknown_products"`
	Duplicates      int `json:"duplicate_judgments"`
}

// Faults counts faults and keeps the first twenty.
type Faults struct {
	Count  int               `json:"count"`
	ByKind map[FaultKind]int `json:"by_kind,omitempty"`
	First  []*Fault          `json:"first,omitempty"`
}

// Add counts fault.
func (f *Faults) Add(fault *Fault) {
	f.Count++
	if f.ByKind == nil {
		f.ByKind = map[FaultKind]int{}
	}
	f.ByKind[fault.Kind]++
	if len(f.First) < maxListed {
		f.First = append(f.First, fault)
	}
}
