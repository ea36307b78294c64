package judgments

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/trec"
)

// Prefer says which of two labels counts where a source that is added contradicts
// what is there.
type Prefer string

// The values of Prefer.
const (
	PreferNeither Prefer = ""    // Add returns a ContradictionError
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

// UnknownProduct is the fault of a judgment whose product does not exist.
const UnknownProduct faults.Kind = "judgement of an unknown product"

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

// Builder puts judgments together, source by source: first what a source says by
// itself, then that with what is there. NewBuilder makes one; it is used by one
// goroutine.
type Builder struct {
	o      Options
	report Report

	order  []*entry          // those that became part of another included
	byText map[string]*entry // by normalized text
	byID   map[string]*entry // by every id that a source gave, or that a text has

	labels []Label // each once; a label is kept as its place here
	places map[Label]int32
	files  []string // where labels come from; a file is kept as its place here

	judges map[string]string // each once

	// Of the source at hand: its number, where the judgment yielded last stands, and
	// whether ids stood where texts are meant: one had white space.
	source      int32
	where       func() (string, int)
	idsAreTexts bool
}

// entry is a query so far.
type entry struct {
	joined      *entry // what it became part of
	ids         []string
	text, split string
	labels      map[string]opinion   // by product, of the sources before
	fresh       map[string]opinion   // of the source at hand: its first opinion
	more        map[string][]opinion // and the others, of other judges
}

// NewBuilder returns a Builder without judgments.
func NewBuilder(o Options) *Builder {
	return &Builder{o: o, byText: map[string]*entry{}, byID: map[string]*entry{}, places: map[Label]int32{}, judges: map[string]string{}}
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

// Add adds the judgments of a source. One that contradicts what the same judge says
// elsewhere in the source is a fault; where several judges disagree the lower median
// of their labels counts. What then contradicts the sources before is decided by
// Options.Prefer, or is a ContradictionError. A product that was pooled and not judged
// takes any label without a contradiction.
func (b *Builder) Add(src *Source) error {
	b.where, b.source, b.idsAreTexts = src.Where, int32(len(b.report.Sources)), false
	first := len(b.order)
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
	if b.idsAreTexts {
		for _, e := range b.order[first:] {
			if e = e.last(); e.text != "" || len(e.ids) == 0 {
				continue
			}
			err := b.setText(e, e.ids[0])
			if fault := (*faults.Fault)(nil); errors.As(err, &fault) && b.o.Skip {
				b.report.Faults.Add(fault)
			} else if err != nil {
				return err
			}
		}
	}
	return b.settle()
}

// Name gives queries the ids of a file of queries as further aliases; it returns an
// error where an id has another text already. Queries that nobody judged are passed over.
func (b *Builder) Name(list []QueryText) error {
	for _, q := range list {
		b.where = func() (string, int) { return "queries", q.Line }
		text, id := Normalize(q.Text), Normalize(q.ID)
		known, same := b.find(b.byID[id]), b.find(b.byText[text])
		switch {
		case id == "" || known == nil && same == nil:
		case known != nil && known.text != "" && known.text != text:
			return fmt.Errorf("line %d: query %.80q has the text %.80q, but %.80q in the judgements (an id means one query)", q.Line, id, text, known.text)
		case known != nil:
			if err := b.setText(known, text); err != nil {
				return err
			}
		default:
			same.ids = append(same.ids, id)
			b.byID[id] = same
		}
	}
	return nil
}

func (b *Builder) fault(kind faults.Kind, format string, args ...any) error {
	f := &faults.Fault{Kind: kind, Reason: fmt.Sprintf(format, args...)}
	f.File, f.Line = b.where()
	return f
}

func (b *Builder) add(j Judgment) error {
	if j.Label == Unlabelled {
		b.report.Unlabelled++
		return nil
	}
	text, id := Normalize(j.Query), Normalize(j.QueryID)
	if text == "" && strings.ContainsFunc(id, unicode.IsSpace) {
		text, id = id, "" // no id has white space: it is the text
		b.idsAreTexts = true
	}
	name := cmp.Or(text, id)
	switch {
	case name == "":
		return b.fault(faults.MissingField, "the judgement names no query")
	case strings.TrimSpace(j.Product) == "":
		return b.fault(faults.MissingField, "query %.80q: the judgement names no product", name)
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
	if err := b.opine(e, strings.Clone(j.Product), b.opinion(&j)); err != nil {
		return err
	}
	e.split = cmp.Or(e.split, j.Split)
	return nil
}

// last is the entry that e has become part of, or e.
func (e *entry) last() *entry {
	for e.joined != nil {
		e = e.joined
	}
	return e
}

func (b *Builder) find(e *entry) *entry {
	if e == nil {
		return nil
	}
	return e.last()
}

// entry finds the query that an id and a text name, or makes it.
func (b *Builder) entry(id, text string) (*entry, error) {
	var known, same *entry
	if id != "" {
		known = b.find(b.byID[id])
	}
	if text != "" {
		if same = b.find(b.byText[text]); same == nil { // it may be known by the id that is made of it
			if e := b.find(b.byID[ID(text)]); e != nil && e.text == "" {
				same = e
			}
		}
	}
	if known != nil && text != "" && known.text != "" && known.text != text {
		return nil, b.fault(faults.Contradiction, "query id %.80q has the text %.80q, but %.80q before (an id means one query)", id, text, known.text)
	}
	e := known
	switch {
	case e == nil && same != nil:
		e = same
	case e == nil:
		e = &entry{}
		b.order = append(b.order, e)
	case same != nil && same != e: // only now it shows that they are one
		if err := b.join(same, e); err != nil {
			return nil, err
		}
		e = same
	}
	if text != "" && e.text == "" {
		if err := b.setText(e, text); err != nil {
			return nil, err
		}
		e = e.last()
	}
	if id != "" && known == nil {
		b.byID[id] = e
		if e.text == "" || !SaysNoMore(id, e.text) {
			if len(e.ids) > 0 {
				b.report.SameText++
			}
			e.ids = append(e.ids, id)
		}
	}
	return e, nil
}

// setText tells an entry its text, by which it may turn out to be one with another.
func (b *Builder) setText(e *entry, text string) error {
	if other := b.find(b.byText[text]); other != nil && other != e {
		return b.join(other, e)
	}
	e.text, b.byText[text] = text, e
	if own := ID(text); b.byID[own] == nil {
		b.byID[own] = e
	}
	return nil
}

// join makes one query of two that turn out to have the same text. It changes nothing
// where they contradict each other.
func (b *Builder) join(into, from *entry) error {
	name := cmp.Or(from.text, strings.Join(from.ids, " "))
	if into.split != "" && from.split != "" && into.split != from.split {
		return b.fault(faults.Contradiction, "query %.80q is the same as %.80q, but one is in split %.20q and the other in %.20q", name, into.text, from.split, into.split)
	}
	var taken, contradictions []string
	for _, product := range slices.Sorted(maps.Keys(from.labels)) {
		o := from.labels[product]
		there, ok := into.labels[product]
		mine, theirs := b.labels[o.label], Unlabelled
		if ok {
			theirs = b.labels[there.label]
		}
		switch {
		case !ok || theirs.Pooled() && !mine.Pooled():
		case mine == theirs || mine.Pooled():
			continue
		case o.source != there.source && b.o.Prefer != PreferNeither:
			contradictions = append(contradictions, b.contradiction(cmp.Or(into.text, name), product, o, there))
			if (o.source > there.source) != (b.o.Prefer == PreferNew) {
				continue
			}
		default:
			return b.fault(faults.Contradiction, "query %.80q is the same as %.80q, but they judge product %.80q differently: %s and %s", name, into.text, product, mine, theirs)
		}
		taken = append(taken, product)
	}
	opinions := slices.Sorted(maps.Keys(from.fresh))
	for _, product := range opinions {
		for _, o := range append([]opinion{from.fresh[product]}, from.more[product]...) {
			if _, err := b.weigh(into, product, o); err != nil {
				return err
			}
		}
	}
	for _, product := range taken {
		into.keep(product, from.labels[product])
	}
	for _, product := range opinions {
		for _, o := range append([]opinion{from.fresh[product]}, from.more[product]...) {
			if err := b.opine(into, product, o); err != nil {
				return err
			}
		}
	}
	for _, id := range from.ids {
		if !SaysNoMore(id, into.text) {
			if len(into.ids) > 0 {
				b.report.SameText++
			}
			into.ids = append(into.ids, id)
		}
	}
	into.split = cmp.Or(into.split, from.split)
	b.contradict(contradictions)
	*from = entry{joined: into}
	return nil
}

func (e *entry) keep(product string, o opinion) {
	if e.labels == nil {
		e.labels = map[string]opinion{}
	}
	e.labels[product] = o
}

// Set returns what was put together.
func (b *Builder) Set() (*Set, Report, error) {
	kept := map[Label]bool{} // what is left out must not decide the scale
	judged := false
	for _, e := range b.order {
		for _, o := range e.labels {
			l := b.labels[o.label]
			kept[l], judged = true, judged || !l.Pooled()
		}
	}
	switch {
	case len(kept) == 0 && b.report.Faults.Count > 0:
		return nil, b.report, fmt.Errorf("there are no judgements but %s, the first: %w", english.Count(b.report.Faults.Count, "faulty one"), b.report.Faults.First[0])
	case len(kept) == 0 && b.report.Unlabelled > 0:
		return nil, b.report, fmt.Errorf("there are no judgements: none of the %d rows has a label", b.report.Unlabelled)
	case len(kept) == 0:
		return nil, b.report, errors.New("there are no judgements")
	case !judged:
		return nil, b.report, errors.New("there are no judgements: all labels are negative, which says that nobody judged")
	}
	labels := make([]Label, 0, len(kept))
	for l := range kept {
		labels = append(labels, l)
	}
	slices.Sort(labels)
	scale, spelled, err := ScaleOf(labels)
	if err != nil {
		return nil, b.report, err
	}
	levels := make([]int32, len(b.labels))
	for i, l := range b.labels {
		level, _ := scale.Level(spelled(l))
		levels[i] = int32(level)
	}
	out := &Set{Scale: scale}
	for _, e := range b.order {
		if e.joined == nil && len(e.labels) > 0 {
			out.Queries = append(out.Queries, e.query(b.labels, levels))
			out.Count += len(out.Queries[len(out.Queries)-1].Products)
		}
	}
	return out, b.report, out.sort()
}

// Queries puts queries together that nobody judged: each text once, with its ids.
func Queries(list []QueryText) (*Set, error) {
	b := NewBuilder(Options{})
	out := &Set{Scale: ESCI()}
	for _, q := range list {
		b.where = func() (string, int) { return "queries", q.Line }
		if Normalize(q.Text) == "" {
			return nil, b.fault(faults.MissingField, "the query has no text")
		}
		if _, err := b.entry(Normalize(q.ID), Normalize(q.Text)); err != nil {
			return nil, err
		}
	}
	for _, e := range b.order {
		if e.joined == nil {
			out.Queries = append(out.Queries, e.query(nil, nil))
		}
	}
	return out, out.sort()
}

// sort puts queries in order of their ids, which must be different.
func (s *Set) sort() error {
	slices.SortFunc(s.Queries, func(a, b Query) int { return strings.Compare(a.ID, b.ID) })
	for i := 1; i < len(s.Queries); i++ {
		if a, b := &s.Queries[i-1], &s.Queries[i]; a.ID == b.ID {
			return fmt.Errorf("queries %.80q and %.80q have the same id %s (give them ids of their own)", a.Text, b.Text, a.ID)
		}
	}
	return nil
}

// query returns the query that e has become.
func (e *entry) query(labels []Label, levels []int32) Query {
	q := Query{Text: e.text, Split: e.split, Products: make([]string, 0, len(e.labels))}
	for _, id := range e.ids {
		switch {
		case e.text != "" && SaysNoMore(id, e.text):
		case q.ID == "" && !strings.ContainsFunc(id, trec.Unwritable):
			q.ID = id
		default:
			q.Aliases = append(q.Aliases, id)
		}
	}
	if q.ID == "" {
		q.ID = ID(cmp.Or(e.text, strings.Join(e.ids, " ")))
	}
	for product, o := range e.labels {
		if labels[o.label].Pooled() {
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
