package formats

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// corpus yields the products of a BEIR folder. Where a document has no title,
// the beginning of its text serves as one.
func (r *reader) corpus(yield func(catalog.Product, error) bool) {
	r.products(func(p catalog.Product, err error) bool {
		if err == nil && p.Title == "" && p.Description != "" {
			p.Title = beginning(p.Description, 120)
			r.tally.use(titleTarget, "text")
		}
		return yield(p, err)
	})
}

// beginning cuts s after at most n bytes, between words if there are any.
func beginning(s string, n int) string {
	s = strings.Join(strings.Fields(s[:min(len(s), 8*n)]), " ")
	if len(s) <= n {
		return strings.ToValidUTF8(s, "")
	}
	cut := strings.LastIndexByte(s[:n], ' ')
	if cut < n/2 {
		cut = n
	}
	return strings.ToValidUTF8(s[:cut], "") + "…"
}

// qrels yields the judgements of a BEIR folder. Its queries are held in memory.
func (r *reader) qrels(yield func(catalog.Judgment, error) bool) {
	queries := map[string]string{}
	ok := r.objects(r.files.queries, func(cells []cell, err error) bool {
		if err != nil {
			return yield(catalog.Judgment{}, err)
		}
		var id, text string
		for i := range cells {
			switch cells[i].name {
			case "_id":
				id, err = cells[i].asText()
			case "text":
				text, err = cells[i].asText()
			}
			if err != nil {
				return yield(catalog.Judgment{}, r.fault(faults.Malformed, "field %s: %v", cells[i].name, err))
			}
		}
		if id == "" {
			return yield(catalog.Judgment{}, r.fault(faults.MissingField, "the query has no _id"))
		}
		queries[id] = strings.TrimSpace(text)
		return true
	})
	if !ok {
		return
	}
	scores := r.o.Scores
	if scores == nil {
		// What a score means depends on how many there are.
		greatest := 0
		for _, path := range r.files.judgments {
			r.qrelsFile(path, func(_, _ string, score int, err error) bool {
				greatest = max(greatest, score)
				return true // the second reading reports errors
			})
		}
		scores = usualScores(greatest)
	}
	for _, path := range r.files.judgments {
		split := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		ok := r.qrelsFile(path, func(query, product string, score int, err error) bool {
			if err != nil {
				return yield(catalog.Judgment{}, err)
			}
			text, ok := queries[query]
			if !ok {
				return yield(catalog.Judgment{}, r.fault(faults.MissingField, "query %q is not in %s", query, r.files.queries))
			}
			return yield(catalog.Judgment{QueryID: query, Query: text, ProductID: product, Label: labelOf(score, scores), Split: split}, nil)
		})
		if !ok {
			return
		}
	}
}

func usualScores(greatest int) map[int]catalog.Label {
	switch {
	case greatest <= 1:
		return map[int]catalog.Label{1: catalog.Exact}
	case greatest == 2:
		return map[int]catalog.Label{1: catalog.Substitute, 2: catalog.Exact}
	}
	return map[int]catalog.Label{1: catalog.Complement, 2: catalog.Substitute, 3: catalog.Exact}
}

// labelOf returns the label of the greatest entry of scores that score reaches.
func labelOf(score int, scores map[int]catalog.Label) catalog.Label {
	label, best, found := catalog.Irrelevant, 0, false
	for s, l := range scores {
		if s <= score && (!found || s > best) {
			label, best, found = l, s, true
		}
	}
	return label
}

// qrelsFile calls each with the rows of a table of scores, parted by tabs.
func (r *reader) qrelsFile(path string, each func(query, product string, score int, err error) bool) bool {
	r.file, r.line = path, 0
	f, err := textfile.Open(path)
	if err != nil {
		each("", "", 0, err)
		return false
	}
	defer f.Close()
	table, err := r.table(f)
	if err != nil {
		each("", "", 0, r.broken(err))
		return false
	}
	query, product, score := table.Column(queryIDNames...), table.Column(productNames...), table.Column("score")
	if query < 0 || product < 0 || score < 0 {
		each("", "", 0, r.broken(fmt.Errorf("the columns query-id, corpus-id and score are needed; there are %s", strings.Join(table.Header, ", "))))
		return false
	}
	return r.records(table, func(record []string, err error) bool {
		if err != nil {
			return each("", "", 0, err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(record[score]))
		if err != nil {
			return each("", "", 0, r.fault(faults.BadLabel, "score %.60q is not a whole number", record[score]))
		}
		return each(strings.Clone(record[query]), strings.Clone(record[product]), n, nil)
	})
}
