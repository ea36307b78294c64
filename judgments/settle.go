package judgments

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/internal/faults"
)

// opinion is a label of a product, who gave it, and where it stands.
type opinion struct {
	label, source, file, line int32
	judge                     string
}

// opinion is what a judgment says, and where.
func (b *Builder) opinion(j *Judgment) opinion {
	at, ok := b.places[j.Label]
	if !ok {
		l := Label(strings.Clone(string(j.Label)))
		at = int32(len(b.labels))
		b.labels, b.places[l] = append(b.labels, l), at
	}
	judge, ok := b.judges[j.Judge]
	if !ok {
		judge = strings.Clone(j.Judge)
		b.judges[judge] = judge
	}
	file, line := b.where()
	if len(b.files) == 0 || b.files[len(b.files)-1] != file {
		b.files = append(b.files, file)
	}
	return opinion{label: at, source: b.source, file: int32(len(b.files) - 1), line: int32(min(line, 1<<31-1)), judge: judge}
}

// What an opinion is beside those that a pair of query and product has: the first, one
// more, one that says nothing new, or from 0 on the place of the one that it replaces.
const (
	theFirst = -1 - iota
	oneMore
	nothingNew
)

// weigh says what an opinion of the source at hand is; a judge that contradicts itself
// is a fault.
func (b *Builder) weigh(e *entry, product string, o opinion) (int, error) {
	first, ok := e.fresh[product]
	if !ok {
		return theFirst, nil
	}
	for i := -1; i < len(e.more[product]); i++ {
		other := first
		if i >= 0 {
			other = e.more[product][i]
		}
		mine, theirs := b.labels[o.label], b.labels[other.label]
		switch {
		case other.judge != o.judge:
		case theirs == mine, mine.Pooled(): // who looked and did not judge says nothing against it
			return nothingNew, nil
		case theirs.Pooled():
			return i + 1, nil
		default:
			by := ""
			if o.judge != "" {
				by = fmt.Sprintf(" by %.40q", o.judge)
			}
			return 0, b.fault(faults.Contradiction, "query %.80q: product %.80q is judged %s%s, but %s before", cmp.Or(e.text, strings.Join(e.ids, " ")), product, mine, by, theirs)
		}
	}
	return oneMore, nil
}

// opine adds an opinion of the source at hand.
func (b *Builder) opine(e *entry, product string, o opinion) error {
	place, err := b.weigh(e, product, o)
	switch {
	case err != nil:
		return err
	case place == nothingNew:
		b.report.Repeated++
	case place == theFirst && e.fresh == nil:
		e.fresh = map[string]opinion{product: o}
	case place == theFirst || place == 0:
		e.fresh[product] = o
	case place == oneMore && e.more == nil:
		e.more = map[string][]opinion{product: {o}}
	case place == oneMore:
		e.more[product] = append(e.more[product], o)
	default:
		e.more[product][place-1] = o
	}
	return nil
}

// settle makes one label of the opinions of the source at hand on each pair, and puts
// them to those of the sources before.
func (b *Builder) settle() error {
	if err := b.oneScale(); err != nil {
		return err
	}
	added := 0
	var contradictions []string
	for _, e := range b.order {
		if e.labels == nil && e.more == nil { // as in the first source, if no judges disagree
			added += len(e.fresh)
			e.labels, e.fresh = e.fresh, nil
			continue
		}
		for _, product := range slices.Sorted(maps.Keys(e.fresh)) {
			o := b.median(e.fresh[product], e.more[product])
			known, ok := e.labels[product]
			switch {
			case !ok:
				added++
			case b.labels[known.label] == b.labels[o.label]:
				b.report.Repeated++
				continue
			case b.labels[o.label].Pooled(): // what is judged stays judged
				continue
			case b.labels[known.label].Pooled():
				added++
			default:
				contradictions = append(contradictions, b.contradiction(cmp.Or(e.text, strings.Join(e.ids, " ")), product, o, known))
				if b.o.Prefer != PreferNew { // old, or nobody decided: that is an error below
					continue
				}
			}
			e.keep(product, o)
		}
		e.fresh, e.more = nil, nil
	}
	b.report.Sources = append(b.report.Sources, added)
	b.contradict(contradictions)
	if n := len(contradictions); n > 0 && b.o.Prefer == PreferNeither && !b.o.Skip {
		return &ContradictionError{n, contradictions[:min(n, mostListed)]}
	}
	return nil
}

// contradiction says in words that a label is another than one that is there.
func (b *Builder) contradiction(query, product string, o, known opinion) string {
	return fmt.Sprintf("%s: line %d: query %.80q, product %.80q: %s, but %s before", b.files[o.file], o.line, query, product, b.labels[o.label], b.labels[known.label])
}

// contradict counts contradictions between sources.
func (b *Builder) contradict(list []string) {
	b.report.Contradictions += len(list)
	b.report.Contradicting = append(b.report.Contradicting, list[:min(len(list), mostListed-len(b.report.Contradicting))]...)
}

// mostListed bounds lists of contradictions.
const mostListed = 20

// median returns the opinion whose label is the lower median of those of several judges;
// who pooled a product and did not judge it has none.
func (b *Builder) median(first opinion, more []opinion) opinion {
	if len(more) == 0 {
		return first
	}
	var labels []Label
	for _, o := range append([]opinion{first}, more...) {
		if l := b.labels[o.label]; !l.Pooled() {
			labels = append(labels, l)
		}
	}
	if len(labels) == 0 {
		return first
	}
	middle := LowerMedian(labels)
	if labels[0] != labels[len(labels)-1] {
		b.report.Disagreed++
	}
	first.label = b.places[middle]
	return first
}

// oneScale reports labels of the source at hand that are of several scales, or of another
// than those before, and spells both alike where one has ESCI's letters and the other the
// whole numbers that stand for them in qrels.
func (b *Builder) oneScale() error {
	used, given := make([]bool, len(b.labels)), make([]bool, len(b.labels))
	for _, e := range b.order {
		for _, o := range e.labels {
			used[o.label] = true
		}
		for _, o := range e.fresh {
			given[o.label] = true
		}
		for _, list := range e.more {
			for _, o := range list {
				given[o.label] = true
			}
		}
	}
	var fresh, old []Label // without those that are pooled: they are of no scale
	for at, l := range b.labels {
		if given[at] && !l.Pooled() {
			fresh = append(fresh, l)
		}
		if used[at] && !l.Pooled() {
			old = append(old, l)
		}
	}
	name, _ := b.where()
	if hasLetters(fresh) && hasNumbers(fresh) {
		_, _, err := ScaleOf(fresh)
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(old) == 0 || len(fresh) == 0 {
		return nil
	}
	other := fmt.Errorf("%s: its labels, such as %s, are of another scale than those before, such as %s (judge on one scale)", name, fresh[0], old[0])
	if hasLetters(fresh) == hasLetters(old) {
		if hasNumbers(fresh) && isESCI(fresh) != isESCI(old) && !isESCI(slices.Concat(fresh, old)) {
			return other // 100, 10 and 1 beside grades such as 3 and 2
		}
		return nil
	}
	numbers := fresh
	if hasLetters(fresh) {
		numbers = old
	}
	integers := map[Label]Label{"0": Irrelevant, "1": Complement, "10": Substitute, "100": Exact}
	telling := false
	for _, l := range numbers {
		if integers[l] == "" {
			return other
		}
		telling = telling || l == "10" || l == "100" // 0 and 1 might be any scale's
	}
	if !telling {
		return other
	}
	clear(b.places)
	for at, l := range b.labels {
		if letter := integers[l]; letter != "" && slices.Contains(numbers, l) {
			b.labels[at] = letter
		}
		if _, twice := b.places[b.labels[at]]; !twice {
			b.places[b.labels[at]] = int32(at)
		}
	}
	return nil
}

func isESCI(numbers []Label) bool {
	scale, _, err := ScaleOf(numbers)
	return err == nil && scale.Name == "esci"
}

func hasLetters(labels []Label) bool {
	return slices.ContainsFunc(labels, func(l Label) bool { _, ok := l.Number(); return !ok })
}

func hasNumbers(labels []Label) bool {
	return slices.ContainsFunc(labels, func(l Label) bool { _, ok := l.Number(); return ok && !l.Pooled() })
}

// ContradictionError says that a source contradicts those before it, and nothing
// decides which counts.
type ContradictionError struct {
	Count int
	First []string // twenty at most
}

// Error lists the first contradictions and says how to decide.
func (e *ContradictionError) Error() string {
	more := ""
	if n := e.Count - len(e.First); n > 0 {
		more = fmt.Sprintf("\n  and %d more", n)
	}
	return fmt.Sprintf("%d %s other than those that are there:\n  %s%s\ndecide with --prefer new or --prefer old", e.Count, english.Choose(e.Count, "label is", "labels are"), strings.Join(e.First, "\n  "), more)
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
