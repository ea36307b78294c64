package bm25

import "strings"

// maxQuery is how many bytes of a query are read.
const maxQuery = 16 << 10

// queryTerm is a term of a query.
type queryTerm struct {
	text  []byte
	count int // how often the query has it
}

// parse cuts a query into its different terms, in the order in which they come
// first. A query is text: it has no operators.
func (ix *Index) parse(query string) []queryTerm {
	if len(query) > maxQuery {
		query = query[:maxQuery]
		// Half a word is another word.
		if i := strings.LastIndexAny(query, " \t\n"); i >= 0 {
			query = query[:i]
		}
	}
	var terms []queryTerm
	places := map[string]int{}
	for _, token := range ix.analyzer.Analyze([]byte(normal(query))) {
		if i, ok := places[string(token.Term)]; ok {
			terms[i].count++
			continue
		}
		if len(terms) < ix.header.Options.MaxTerms {
			places[string(token.Term)] = len(terms)
			terms = append(terms, queryTerm{text: token.Term, count: 1})
		}
	}
	return terms
}
