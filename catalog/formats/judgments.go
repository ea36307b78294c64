package formats

import (
	"fmt"
	"iter"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// The names that tables of judgements give to their columns.
var (
	queryNames   = []string{"query", "query_text", "search_term"}
	queryIDNames = []string{"query_id", "query-id", "qid"}
	productNames = []string{"product_id", "corpus-id", "asin", "product_uid", "item_id", "doc_id", "docid"}
	labelNames   = []string{"esci_label", "label", "relevance_label"}
	splitNames   = []string{"split"}
)

// Judgments reads judgements from tables: CSV files with the columns query,
// product_id and esci_label and, where known, query_id and split, in any order.
// A fault or another error names file and line.
func Judgments(paths ...string) iter.Seq2[catalog.Judgment, error] {
	return func(yield func(catalog.Judgment, error) bool) {
		r := &reader{files: &files{judgments: paths}}
		r.judgments(yield)
	}
}

// judgments yields the judgements of tables.
func (r *reader) judgments(yield func(catalog.Judgment, error) bool) {
	for _, path := range r.files.judgments {
		r.file, r.line = path, 0
		f, err := textfile.Open(path)
		if err != nil {
			yield(catalog.Judgment{}, err)
			return
		}
		ok := r.csvJudgments(f, yield)
		f.Close()
		if !ok {
			return
		}
	}
}

func (r *reader) csvJudgments(f *textfile.File, yield func(catalog.Judgment, error) bool) bool {
	table, err := r.table(f)
	if err != nil {
		yield(catalog.Judgment{}, r.broken(err))
		return false
	}
	query, product, label := table.Column(queryNames...), table.Column(productNames...), table.Column(labelNames...)
	queryID, split := table.Column(queryIDNames...), table.Column(splitNames...)
	if query < 0 || product < 0 || label < 0 {
		yield(catalog.Judgment{}, r.broken(fmt.Errorf("judgements need the columns query, product_id and esci_label; there are %s",
			strings.Join(table.Header, ", "))))
		return false
	}
	text := func(record []string, column int) string {
		if column < 0 {
			return ""
		}
		return strings.Clone(strings.TrimSpace(record[column]))
	}
	return r.records(table, func(record []string, err error) bool {
		var j catalog.Judgment
		if err == nil {
			j = catalog.Judgment{
				QueryID: text(record, queryID), Query: text(record, query),
				ProductID: text(record, product), Split: text(record, split),
			}
			if j.QueryID == "" {
				j.QueryID = j.Query
			}
			if j.Label, err = catalog.ParseLabel(record[label]); err != nil {
				err = r.fault(faults.BadLabel, "%v", err)
			}
		}
		return yield(j, err)
	})
}
