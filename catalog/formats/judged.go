package formats

import (
	"fmt"
	"iter"
	"slices"

	"github.com/trirank/trirank/judgments"
)

// judgments prepares to read the files of judgements, and says what they are.
func (r *reader) judgments() (iter.Seq2[judgments.Judgment, error], string, error) {
	o := judgments.ReadOptions{Queries: r.files.queries, Fields: r.o.JudgmentFields, Quotes: r.o.Quotes, Locale: r.o.Locale, Small: r.o.Small}
	if r.o.Queries != "" {
		o.Queries = r.o.Queries
	}
	files := slices.Clone(r.files.judgments)
	if r.o.LastFirst {
		slices.Reverse(files)
	}
	src, err := judgments.Read(files, o)
	if err != nil {
		return nil, "", err
	}
	r.judged = src.Columns
	return func(yield func(judgments.Judgment, error) bool) {
		for j, err := range src.Judgments {
			r.file, r.line = src.Where()
			if err == nil && r.o.Scores != nil {
				j.Label = labelOf(j.Label, r.o.Scores)
			}
			if err == nil && r.o.Splits != nil {
				split := r.o.Splits.Of(j.Query)
				if j.Split != "" && j.Split != split { // the same where the split was made so before
					yield(j, r.broken(fmt.Errorf("query %.80q is in split %q already, and --split would put it in %q (leave --split out)", j.Query, j.Split, split)))
					return
				}
				j.Split = split
			}
			if !yield(j, err) {
				return
			}
		}
	}, src.Format, nil
}

// labelOf returns the label of the greatest entry of scores that a number reaches;
// other labels stay, negative numbers too, which say that nobody judged.
func labelOf(l judgments.Label, scores map[int]judgments.Label) judgments.Label {
	score, ok := l.Number()
	if !ok || l.Pooled() {
		return l
	}
	var reached []int
	for s := range scores {
		if float64(s) <= score {
			reached = append(reached, s)
		}
	}
	if len(reached) == 0 {
		return judgments.Irrelevant
	}
	return scores[slices.Max(reached)]
}
