package judgments

import "github.com/trirank/trirank/internal/textfile"

// openSearch yields the judgements of judgement lists.
func (r *reader) openSearch(f *textfile.File) error {
	d := r.document(f)
	return d.all(d.judgmentList)
}

// judgmentList reads a judgement list, several, or a part of one.
func (d *document) judgmentList() error {
	return d.ratedQuery(func(name string) error {
		switch name {
		case "judgmentRatings", "judgmentScores":
			return d.walk(name, func(query string) error {
				list, err := d.ratings()
				if err != nil {
					return err
				}
				return d.emitAll(query, list)
			}, func() error { return d.ratedQuery(d.skipField, nil) })
		case "hits", "_source": // the answer to a search
			return d.judgmentList()
		}
		return d.skip()
	}, d.judgmentList)
}
