package eval

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/faults"
)

// Judgment is one verdict on how well a product answers a query.
type Judgment struct {
	QueryID string // the query's text where the source has no ids
	Query   string // the query's text; empty where the source has ids only
	Product string
	Label   string // as the source spells it: "E", "Exact", "2", "2.33"
	Split   string // "train", "test", or empty
}

// Level is one step of a scale of judgements.
type Level struct {
	Label string
	Gain  float64 // in nDCG
	Grade float64 // 0, 1, 2 ... for metrics that count steps (ERR, exponential gains)
}

// Scale says what labels mean, from the worst to the best.
type Scale struct {
	Name   string // "esci" or "numeric"
	Levels []Level
}

// ESCI is the scale of Amazon's shopping queries, with the gains of its authors
// (Reddy et al., 2022): E 1, S 0.1, C 0.01, I 0.
func ESCI() Scale {
	return Scale{Name: "esci", Levels: []Level{{"I", 0, 0}, {"C", .01, 1}, {"S", .1, 2}, {"E", 1, 3}}}
}

// numeric is a scale of the given values, which are gain and grade at once.
func numeric(values []float64) Scale {
	s := Scale{Name: "numeric"}
	slices.Sort(values)
	for _, v := range slices.Compact(values) {
		s.Levels = append(s.Levels, Level{strconv.FormatFloat(v, 'g', -1, 64), v, v})
	}
	return s
}

// Level returns the index of a label in s.Levels.
func (s Scale) Level(label string) (int, bool) {
	for i, l := range s.Levels {
		if l.Label == label {
			return i, true
		}
	}
	return 0, false
}

// Integer returns the whole number that stands for a level in TREC qrels, since
// trec_eval sorts fractional gains wrongly: ESCI's gains times a hundred, the
// values of a numeric scale if they are whole, else the number of the level.
func (s Scale) Integer(level int) int {
	if s.Name == "esci" {
		return int(math.Round(100 * ESCI().Levels[level].Gain))
	}
	for _, l := range s.Levels {
		if l.Grade != math.Trunc(l.Grade) {
			return level
		}
	}
	return int(s.Levels[level].Grade)
}

// Unjudged is the level of a product that nobody judged.
const Unjudged = -1

// maxLevels bounds a numeric scale; more distinct values are scores, not labels.
const maxLevels = 64

// Query is a judged query.
type Query struct {
	ID, Text, Split string // Text is empty if the source has ids only
	// Products are the judged products, in order of id, and Levels their levels
	// in the scale.
	Products []string
	Levels   []uint8
}

// Level returns the level of a product, Unjudged if nobody judged it.
func (q *Query) Level(product string) int {
	if i, ok := slices.BinarySearch(q.Products, product); ok {
		return int(q.Levels[i])
	}
	return Unjudged
}

// Qrels are the judgements of a set of queries.
type Qrels struct {
	Scale   Scale
	Queries []Query // in order of id
	Count   int     // judgements
}

// QrelsOptions are the options of NewQrels; the zero value will do.
type QrelsOptions struct {
	// Known, if not nil, tells whether a product exists. A judgement of one that
	// does not is a fault.
	Known func(product string) bool
	// Skip leaves faulty judgements out and counts them; without it the first is
	// an error.
	Skip bool
	// Where, if not nil, tells the file and line of the judgement yielded last.
	Where func() (file string, line int)
}

// Kinds of faults that only show when judgements are put together.
const (
	UnknownProduct faults.Kind = "judgement of an unknown product"
	Duplicate      faults.Kind = "duplicate judgement"
)

// NewQrels puts judgements together. Labels must be all of ESCI (a letter or a
// word, in any case) or all numbers; whole numbers of 0, 1, 10 and 100 with a
// 100 and a 10 or 1 among them are ESCI as Scale.Integer writes it (0 and 100
// alone might be per cent, 0 and 10 marks). Negative numbers
// count as 0, as in trec_eval. A query judged
// twice for one product is a fault, whether or not the labels agree; the first
// counts. Where an id of a query has a space in it, as texts do, all queries are
// named q1, q2 ... in order of their ids.
func NewQrels(judgments iter.Seq2[Judgment, error], o QrelsOptions) (*Qrels, faults.List, error) {
	b := qrelsBuilder{options: o, byID: map[string]*queryBuilder{}, values: map[string]float64{}}
	for j, err := range judgments {
		if err == nil {
			err = b.add(j)
		}
		if err == nil {
			continue
		}
		if fault := (*faults.Fault)(nil); errors.As(err, &fault) && o.Skip {
			b.faults.Add(fault)
			continue
		}
		return nil, b.faults, err
	}
	q, err := b.finish()
	return q, b.faults, err
}

type queryBuilder struct {
	text, split string
	labels      map[string]string // by product
}

type qrelsBuilder struct {
	options QrelsOptions
	byID    map[string]*queryBuilder
	values  map[string]float64 // of numeric labels; NaN: a label of ESCI
	faults  faults.List
}

func (b *qrelsBuilder) fault(kind faults.Kind, format string, args ...any) error {
	f := &faults.Fault{Kind: kind, Reason: fmt.Sprintf(format, args...)}
	if b.options.Where != nil {
		f.File, f.Line = b.options.Where()
	} else {
		f.File = "judgements"
	}
	return f
}

func (b *qrelsBuilder) add(j Judgment) error {
	id := cmp.Or(j.QueryID, j.Query)
	switch {
	case strings.TrimSpace(id) == "":
		return b.fault(faults.MissingField, "the judgement names no query")
	case strings.TrimSpace(j.Product) == "":
		return b.fault(faults.MissingField, "query %.80q: the judgement names no product", id)
	case b.options.Known != nil && !b.options.Known(j.Product):
		return b.fault(UnknownProduct, "query %.80q: there is no product %.80q", id, j.Product)
	}
	label, value, err := b.label(j.Label)
	if err != nil {
		return err
	}
	q := b.byID[id]
	if q == nil {
		q = &queryBuilder{text: j.Query, split: j.Split, labels: map[string]string{}}
		b.byID[id] = q
	}
	if q.text == "" {
		q.text = j.Query
	}
	if j.Query != "" && q.text != j.Query {
		return b.fault(faults.Contradiction, "query id %.80q has the text %.80q, but %.80q before", id, j.Query, q.text)
	}
	if j.Split != q.split {
		return b.fault(faults.Contradiction, "query %.80q is in split %.20q, but in %.20q before", id, j.Split, q.split)
	}
	switch known, ok := q.labels[j.Product]; {
	case ok && known == label:
		return b.fault(Duplicate, "query %.80q: product %.80q is judged twice", id, j.Product)
	case ok:
		return b.fault(faults.Contradiction, "query %.80q: product %.80q is judged %s, but %s before", id, j.Product, label, known)
	}
	q.labels[j.Product] = label
	b.values[label] = value // of kept judgements only: what is left out must not decide the scale
	if len(b.values) > maxLevels {
		return fmt.Errorf("they have more than %d different labels, so they look like scores", maxLevels)
	}
	return nil
}

// label returns the one spelling of a label and its value, NaN for one of ESCI.
func (b *qrelsBuilder) label(s string) (string, float64, error) {
	s = strings.TrimSpace(s)
	if l, err := catalog.ParseLabel(s); err == nil {
		return l.String(), math.NaN(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) > 1e6 {
		return "", 0, b.fault(faults.BadLabel, "label %.40q is none of E, S, C, I and no number", s)
	}
	v = max(0, v) // trec_eval takes a negative judgement for "not relevant"
	return strconv.FormatFloat(v, 'g', -1, 64), v, nil
}

// scale finds the scale of all labels seen, and what each is spelled in it.
func (b *qrelsBuilder) scale() (Scale, func(string) string, error) {
	same := func(s string) string { return s }
	var numbers []float64
	letters := 0
	for _, v := range b.values {
		if math.IsNaN(v) {
			letters++
		} else {
			numbers = append(numbers, v)
		}
	}
	switch {
	case letters > 0 && len(numbers) > 0:
		return Scale{}, nil, errors.New("some labels are of ESCI (E, S, C, I) and some are numbers")
	case letters > 0:
		return ESCI(), same, nil
	}
	has := func(v float64) bool { return slices.Contains(numbers, v) }
	integers := map[float64]string{0: "I", 1: "C", 10: "S", 100: "E"}
	foreign := slices.ContainsFunc(numbers, func(v float64) bool { _, ok := integers[v]; return !ok })
	if !foreign && has(100) && (has(10) || has(1)) {
		return ESCI(), func(s string) string { return integers[b.values[s]] }, nil
	}
	if !has(0) {
		numbers = append(numbers, 0)
	}
	return numeric(numbers), same, nil
}

// number gives queries short ids if some id cannot stand in a TREC file, such as
// the text of a query where the source has no ids. An id that is replaced stays as
// the text of a query that has none.
func number(queries []Query) {
	if !slices.ContainsFunc(queries, func(q Query) bool { return strings.ContainsFunc(q.ID, unicode.IsSpace) }) {
		return
	}
	width := len(strconv.Itoa(len(queries)))
	for i := range queries {
		queries[i].Text = cmp.Or(queries[i].Text, queries[i].ID)
		queries[i].ID = fmt.Sprintf("q%0*d", width, i+1)
	}
}

func (b *qrelsBuilder) finish() (*Qrels, error) {
	if len(b.byID) == 0 {
		return nil, errors.New("there are no judgements")
	}
	scale, spelled, err := b.scale()
	if err != nil {
		return nil, err
	}
	out := &Qrels{Scale: scale, Queries: make([]Query, 0, len(b.byID))}
	for id, q := range b.byID {
		query := Query{ID: id, Text: q.text, Split: q.split, Products: make([]string, 0, len(q.labels))}
		for p := range q.labels {
			query.Products = append(query.Products, p)
		}
		slices.Sort(query.Products)
		for _, p := range query.Products {
			level, ok := scale.Level(spelled(q.labels[p]))
			if !ok {
				return nil, fmt.Errorf("label %q is not of scale %s", q.labels[p], scale.Name)
			}
			query.Levels = append(query.Levels, uint8(level))
		}
		out.Count += len(query.Products)
		out.Queries = append(out.Queries, query)
	}
	slices.SortFunc(out.Queries, func(a, b Query) int { return strings.Compare(a.ID, b.ID) })
	number(out.Queries)
	return out, nil
}

// Only returns the judgements of the queries that keep allows.
func (q *Qrels) Only(keep func(*Query) bool) *Qrels {
	out := &Qrels{Scale: q.Scale}
	for i := range q.Queries {
		if keep(&q.Queries[i]) {
			out.Queries = append(out.Queries, q.Queries[i])
			out.Count += len(q.Queries[i].Products)
		}
	}
	return out
}
