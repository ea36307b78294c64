package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/judgments"
)

// scoredProduct is a teacher's score of a product.
type scoredProduct struct {
	id    string
	score float64
}

// readTeacher reads a teacher's scores of products for the queries that are learnt
// from; nil without a teacher.
func (t *training) readTeacher(cat *catalog.Catalog, d *dataset) (map[string][]scoredProduct, error) {
	if t.teacher == "" {
		return nil, nil
	}
	src, err := judgments.Read([]string{t.teacher}, judgments.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("--teacher needs a table with the columns query, product_id and score: %w", err)
	}
	spelt := map[string][]string{} // as the catalogue spells a query
	for _, q := range d.queries {
		spelt[judgments.Fold(q)] = append(spelt[judgments.Fold(q)], q)
	}
	out := map[string][]scoredProduct{}
	seen := map[[2]string]bool{}
	used, unknown := 0, 0
	for j, err := range src.Judgments {
		if err != nil {
			return nil, fmt.Errorf("--teacher needs a table with the columns query, product_id and score: %w", err)
		}
		file, line := src.Where()
		texts := spelt[judgments.Fold(j.Query)]
		if len(texts) == 0 {
			unknown++
			continue
		}
		score, ok := j.Label.Number()
		if !ok {
			return nil, fmt.Errorf("--teacher: %s, line %d: %.40q is not a score (a finite number)", file, line, j.Label)
		}
		key := [2]string{judgments.Fold(j.Query), j.Product}
		if seen[key] {
			return nil, fmt.Errorf("--teacher: %s, line %d: product %.60q is scored twice for query %.60q", file, line, j.Product, j.Query)
		}
		seen[key] = true
		for _, q := range texts {
			out[q] = append(out[q], scoredProduct{j.Product, score})
		}
		used++
	}
	if used == 0 {
		return nil, fmt.Errorf("--teacher: %s scores no query that is learnt from (%d lines are of other queries; its queries must be texts)", t.teacher, unknown)
	}
	fmt.Fprintf(t.c.ErrOrStderr(), "teacher: %s for %s; %s of other queries\n", plural(used, "score"), english.CountOf(len(out), len(d.queries), "query"), plural(unknown, "line"))
	return out, nil
}

// checkTeacher tells of scores of products that the catalogue does not have.
func (t *training) checkTeacher(d *dataset) error {
	known, unknown := 0, ""
	n := 0
	for _, list := range d.scored {
		for _, x := range list {
			if _, ok := d.at[x.id]; ok {
				known++
			} else {
				n++
				unknown = x.id
			}
		}
	}
	switch {
	case n > 0 && known == 0:
		return fmt.Errorf("--teacher: no product that %s scores is in the catalogue, not %.60q for one", t.teacher, unknown)
	case n > 0:
		fmt.Fprintf(t.c.ErrOrStderr(), "teacher: %d scores are of products that the catalogue does not have, such as %.60q\n", n, unknown)
	}
	return nil
}

// hashScored stands for what the teacher said; empty for nothing.
func (d *dataset) hashScored() string {
	if d.scored == nil {
		return ""
	}
	var lines []string
	for _, q := range slices.Sorted(maps.Keys(d.scored)) {
		for _, x := range d.scored[q] {
			lines = append(lines, fmt.Sprintf("%s\t%s\t%g", q, x.id, x.score))
		}
	}
	return hashLines(lines)
}
