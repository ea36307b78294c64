package judgments

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/trec"
)

// Prefer says which of two labels counts where a source that is added contradicts
// what is there.
type Prefer string

// The values of Prefer.
const (
	PreferNeither Prefer = ""    // the contradiction is a fault
	PreferNew     Prefer = "new" // the label of the source that is added
	PreferOld     Prefer = "old" // the label that is there
)

// Options are the options of a Builder; the zero value will do.
type Options struct {
	// Known, if not nil, tells whether a product exists. A judgment of one that
	// does not is a fault.
	Known func(product string) bool
	// Skip leaves faulty judgments out and counts them; without it the first is
	// an error.
	Skip bool
	// Prefer decides where sources contradict each other.
	Prefer Prefer
}

// Kinds of faults that only show when judgments are put together.
const (
	UnknownProduct faults.Kind = "judgement of an unknown product"
)

// Report says what became of the judgments that a Builder was given.
type Report struct {
	Faults faults.List `json:"faults"`
	// Unlabelled rows have no label, and Repeated ones say what was said before.
	Unlabelled int `json:"unlabelled,omitempty"`
	Repeated   int `json:"repeated,omitempty"`
	// SameText counts ids of queries whose text has another id already.
	SameText int `json:"ids_of_the_same_text,omitempty"`
	// Disagreed counts pairs of query and product on which the judges of a source
	// disagree: the lower median of their labels counts.
	Disagreed int `json:"judges_disagreed,omitempty"`
	// Contradictions counts labels of a source that are others than those of the
	// sources before it, and Contradicting lists the first twenty.
	Contradictions int      `json:"contradictions,omitempty"`
	Contradicting  []string `json:"contradicting,omitempty"`
	// Sources counts the judgments that each source added, in order.
	Sources []int `json:"added"`
}

// Builder puts judgments together, source by source. The zero value will not do:
// NewBuilder makes one. A Builder is used by one goroutine.
type Builder struct {
	o      Options
	report Report

	order  []*entry
	byText map[string]*entry // by normalized text
	byID   map[string]*entry // by every id that a source gave

	// labels are the labels seen, each once: a label is kept as its place here.
	labels  []Label
	labelAt map[Label]int32
	counts  []int // of each label: how many judgments have it

	// Of the source at hand: its number, the place of the judgment yielded last, and
	// how many of its labels contradict sources before it.
	source         int32
	where          func() (string, int)
	contradictions int
	// opinions are the labels that the judges of the source at hand gave pairs on
	// which they do not agree.
	opinions map[pair][]opinion
	// idsAreTexts says that ids stood where texts are meant: one had white space.
	idsAreTexts bool
}

type pair struct {
	e       *entry
	product string
}

type opinion struct {
	judge string
	label int32
}

// entry is a query so far.
type entry struct {
	ids         []string
	text, split string
	labels      map[string]given // by product
}

// given is the label of a product, and where it came from.
type given struct {
	label, source int32
	judge         string
}

// NewBuilder returns a Builder without judgments.
func NewBuilder(o Options) *Builder {
	return &Builder{o: o, byText: map[string]*entry{}, byID: map[string]*entry{}, labelAt: map[Label]int32{}}
}

// NewSet puts the judgments of one source together.
func NewSet(src *Source, o Options) (*Set, Report, error) {
	b := NewBuilder(o)
	if err := b.Add(src); err != nil {
		return nil, b.report, err
	}
	return b.Set()
}

// Of is a source of judgments that are at hand.
func Of(list iter.Seq2[Judgment, error]) *Source {
	return &Source{Judgments: list, Where: func() (string, int) { return "judgements", 0 }}
}

// Add adds the judgments of a source. Those that repeat what is there count for
// nothing; one that contradicts what the same judge said in this source, or what
// another source said unless Options.Prefer decides, is a fault.
func (b *Builder) Add(src *Source) error {
	b.where, b.source = src.Where, int32(len(b.report.Sources))
	b.report.Sources = append(b.report.Sources, 0)
	b.opinions, b.contradictions = map[pair][]opinion{}, 0
	for j, err := range src.Judgments {
		if err == nil {
			err = b.add(j)
		}
		if err == nil {
			continue
		}
		if fault := (*faults.Fault)(nil); errors.As(err, &fault) && b.o.Skip {
			b.report.Faults.Add(fault)
			continue
		}
		return err
	}
	b.settle()
	if b.o.Prefer == PreferNeither && b.contradictions > 0 && !b.o.Skip {
		return &ContradictionError{Count: b.contradictions, First: b.report.Contradicting}
	}
	return nil
}

// ContradictionError says that a source contradicts those before it, and nothing
// decides which counts.
type ContradictionError struct {
	Count int
	First []string // twenty at most
}

func (e *ContradictionError) Error() string {
	more := ""
	if n := e.Count - len(e.First); n > 0 {
		more = fmt.Sprintf("\n  and %d more", n)
	}
	return fmt.Sprintf("%d labels are others than those that are there:\n  %s%s\ndecide with --prefer new or --prefer old", e.Count, strings.Join(e.First, "\n  "), more)
}

func (b *Builder) fault(kind faults.Kind, format string, args ...any) error {
	f := &faults.Fault{Kind: kind, Reason: fmt.Sprintf(format, args...)}
	f.File, f.Line = b.where()
	return f
}

func (b *Builder) add(j Judgment) error {
	text, id := Normalize(j.Query), Normalize(j.QueryID)
	if id == text || text != "" && id == ID(text) {
		id = "" // it says no more than the text does
	}
	if text == "" && strings.ContainsFunc(id, unicode.IsSpace) {
		text, id = id, "" // no id has white space: it is the text
		b.idsAreTexts = true
	}
	name := cmp.Or(id, text)
	switch {
	case name == "":
		return b.fault(faults.MissingField, "the judgement names no query")
	case strings.TrimSpace(j.Product) == "":
		return b.fault(faults.MissingField, "query %.80q: the judgement names no product", name)
	case j.Label == Unlabelled:
		b.report.Unlabelled++
		return nil
	case b.o.Known != nil && !b.o.Known(j.Product):
		return b.fault(UnknownProduct, "query %.80q: there is no product %.80q", name, j.Product)
	}
	e, err := b.entry(id, text)
	if err != nil {
		return err
	}
	if j.Split != "" && e.split != "" && j.Split != e.split {
		return b.fault(faults.Contradiction, "query %.80q is in split %.20q, but in %.20q before", name, j.Split, e.split)
	}
	if err := b.label(e, cmp.Or(e.text, name), &j); err != nil {
		return err
	}
	e.split = cmp.Or(e.split, j.Split)
	return nil
}

// entry finds the query that an id and a text name, or makes it.
func (b *Builder) entry(id, text string) (*entry, error) {
	known, same := b.byID[id], b.byText[text]
	if id == "" {
		known = nil
	}
	if text == "" {
		same = nil
	}
	switch {
	case known != nil && text != "" && known.text != "" && known.text != text:
		return nil, b.fault(faults.Contradiction, "query id %.80q has the text %.80q, but %.80q before (an id means one query)", id, text, known.text)
	case known != nil && same != nil && known != same:
		if err := b.join(same, known); err != nil { // of known only the id was known until now
			return nil, err
		}
		return same, nil
	}
	e := known
	if e == nil {
		e = same
	}
	if e == nil {
		e = &entry{labels: map[string]given{}}
		b.order = append(b.order, e)
	}
	if text != "" && e.text == "" {
		e.text, b.byText[text] = text, e
		if b.byID[ID(text)] == nil {
			b.byID[ID(text)] = e
		}
	}
	if id != "" && known == nil {
		if len(e.ids) > 0 {
			b.report.SameText++
		}
		e.ids = append(e.ids, id)
		b.byID[id] = e
	}
	return e, nil
}

// join makes one query of two that turn out to have the same text.
func (b *Builder) join(into, from *entry) error {
	for product, g := range from.labels {
		if there, ok := into.labels[product]; ok && there.label != g.label {
			return b.fault(faults.Contradiction, "query %.80q is the same as %.80q, but they judge product %.80q differently: %s and %s",
				from.ids[0], into.text, product, b.labels[g.label], b.labels[there.label])
		}
	}
	for product, g := range from.labels {
		into.labels[product] = g
	}
	for _, id := range from.ids {
		b.byID[id] = into
		into.ids = append(into.ids, id)
		b.report.SameText++
	}
	into.split = cmp.Or(into.split, from.split)
	b.order = slices.DeleteFunc(b.order, func(e *entry) bool { return e == from })
	return nil
}

// label gives a product its label.
func (b *Builder) label(e *entry, name string, j *Judgment) error {
	at, ok := b.labelAt[j.Label]
	if !ok {
		at = int32(len(b.labels))
	}
	known, there := e.labels[j.Product]
	switch {
	case !there:
		b.report.Sources[b.source]++
	case known.label == at && known.source != b.source, known.label == at && known.judge == j.Judge:
		b.report.Repeated++
		return nil
	case known.source == b.source && known.judge != j.Judge:
		return b.opinion(pair{e, j.Product}, known, j, name)
	case known.source == b.source:
		return b.fault(faults.Contradiction, "query %.80q: product %.80q is judged %s, but %s before", name, j.Product, j.Label, b.labels[known.label])
	default:
		b.contradict(fmt.Sprintf("query %.80q, product %.80q: %s, but %s before", name, j.Product, j.Label, b.labels[known.label]))
		if b.o.Prefer != PreferNew { // old, or nobody decided: Add will say so
			return nil
		}
		b.counts[known.label]--
	}
	b.give(e, j.Product, j.Label, j.Judge)
	return nil
}

func (b *Builder) contradict(text string) {
	b.report.Contradictions++
	b.contradictions++
	if len(b.report.Contradicting) < 20 {
		file, line := b.where()
		b.report.Contradicting = append(b.report.Contradicting, fmt.Sprintf("%s: line %d: %s", file, line, text))
	}
}

func (b *Builder) give(e *entry, product string, l Label, judge string) {
	at, ok := b.labelAt[l]
	if !ok {
		l, at = Label(strings.Clone(string(l))), int32(len(b.labels))
		b.labels, b.counts, b.labelAt[l] = append(b.labels, l), append(b.counts, 0), at
	}
	b.counts[at]++
	e.labels[product] = given{at, b.source, judge}
}

// opinion remembers what one more judge of the source at hand says of a pair.
func (b *Builder) opinion(p pair, first given, j *Judgment, name string) error {
	list := b.opinions[p]
	if list == nil {
		list = []opinion{{first.judge, first.label}}
	}
	for _, o := range list {
		if o.judge == j.Judge && b.labels[o.label] != j.Label {
			return b.fault(faults.Contradiction, "query %.80q: product %.80q is judged %s by %.40q, but %s before", name, j.Product, j.Label, j.Judge, b.labels[o.label])
		}
		if o.judge == j.Judge {
			b.report.Repeated++
			return nil
		}
	}
	at, ok := b.labelAt[j.Label]
	if !ok {
		at = int32(len(b.labels))
		l := Label(strings.Clone(string(j.Label)))
		b.labels, b.counts, b.labelAt[l] = append(b.labels, l), append(b.counts, 0), at
	}
	b.opinions[p] = append(list, opinion{j.Judge, at})
	return nil
}

// settle gives pairs on which judges disagree the lower median of their labels.
func (b *Builder) settle() {
	for p, list := range b.opinions {
		labels := make([]Label, len(list))
		for i, o := range list {
			labels[i] = b.labels[o.label]
		}
		median := LowerMedian(labels)
		if labels[0] != labels[len(labels)-1] {
			b.report.Disagreed++
		}
		b.counts[p.e.labels[p.product].label]--
		b.give(p.e, p.product, median, "")
	}
	b.opinions = nil
}

// LowerMedian sorts labels of one scale, at least one, from worst to best, and returns
// the one in the middle, the worse of two. It is what counts where judges disagree.
func LowerMedian(labels []Label) Label {
	slices.SortFunc(labels, compare)
	return labels[(len(labels)-1)/2]
}

// compare orders labels of one scale from worst to best.
func compare(a, b Label) int {
	x, xIsNumber := a.Number()
	y, yIsNumber := b.Number()
	if xIsNumber && yIsNumber {
		return cmp.Compare(x, y)
	}
	const worstFirst = "ICSE"
	return cmp.Compare(strings.Index(worstFirst, string(a)), strings.Index(worstFirst, string(b)))
}

// Set returns what was put together.
func (b *Builder) Set() (*Set, Report, error) {
	var kept []Label // what is left out must not decide the scale
	judged := false
	for i, l := range b.labels {
		if b.counts[i] > 0 {
			kept, judged = append(kept, l), judged || !l.Pooled()
		}
	}
	switch {
	case len(b.order) == 0 && b.report.Unlabelled > 0:
		return nil, b.report, fmt.Errorf("there are no judgements: none of the %d rows has a label", b.report.Unlabelled)
	case len(kept) == 0:
		return nil, b.report, errors.New("there are no judgements")
	case !judged:
		return nil, b.report, errors.New("there are no judgements: all labels are negative, which says that nobody judged")
	}
	scale, spelled, err := ScaleOf(kept)
	if err != nil {
		return nil, b.report, err
	}
	levels := make([]int32, len(b.labels))
	for i, l := range b.labels {
		level, _ := scale.Level(spelled(l))
		levels[i] = int32(level)
	}
	out := &Set{Scale: scale, Queries: make([]Query, 0, len(b.order))}
	for _, e := range b.order {
		if b.idsAreTexts && e.text == "" {
			e.text = e.ids[0]
		}
		q := e.query(b.labels, levels)
		out.Count += len(q.Products)
		out.Queries = append(out.Queries, q)
	}
	slices.SortFunc(out.Queries, func(a, b Query) int { return strings.Compare(a.ID, b.ID) })
	for i := 1; i < len(out.Queries); i++ {
		if a, b2 := &out.Queries[i-1], &out.Queries[i]; a.ID == b2.ID {
			return nil, b.report, fmt.Errorf("queries %.80q and %.80q have the same id %s (give them ids of their own)", a.Text, b2.Text, a.ID)
		}
	}
	return out, b.report, nil
}

// query returns the query that e has become.
func (e *entry) query(labels []Label, levels []int32) Query {
	q := Query{Text: e.text, Split: e.split, Products: make([]string, 0, len(e.labels))}
	for _, id := range e.ids {
		switch {
		case q.ID == "" && !strings.ContainsFunc(id, trec.Unwritable):
			q.ID = id
		default:
			q.Aliases = append(q.Aliases, id)
		}
	}
	if q.ID == "" {
		q.ID = ID(cmp.Or(e.text, strings.Join(e.ids, " ")))
	}
	for product, g := range e.labels {
		if labels[g.label].Pooled() {
			q.Pooled = append(q.Pooled, product)
		} else {
			q.Products = append(q.Products, product)
		}
	}
	slices.Sort(q.Products)
	slices.Sort(q.Pooled)
	q.Levels = make([]int32, len(q.Products))
	for i, product := range q.Products {
		q.Levels[i] = levels[e.labels[product].label]
	}
	return q
}
