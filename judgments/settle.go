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
	label, file, line int32
	judge             string
}

// opinion is what a judgment says, and where.
func (b *Builder) opinion(j *Judgment) opinion {
	at, ok := b.places[j.Label]
	if !ok {
		l := Label(strings.Clone(string(j.Label)))
		at = int32(len(b.labels))
		b.labels, b.places[l] = append(b.labels, l), at
	}
	b.given[at] = true
	file, line := b.where()
	if len(b.files) == 0 || b.files[len(b.files)-1] != file {
		b.files = append(b.files, file)
	}
	return opinion{label: at, file: int32(len(b.files) - 1), line: int32(min(line, 1<<31-1)), judge: j.Judge}
}

// opine adds an opinion of the source at hand.
func (b *Builder) opine(e *entry, product string, o opinion) error {
	first, ok := e.fresh[product]
	if !ok {
		if e.fresh == nil {
			e.fresh = map[string]opinion{}
		}
		e.fresh[product] = o
		return nil
	}
	for _, other := range append([]opinion{first}, e.more[product]...) {
		switch {
		case other.judge != o.judge:
		case b.labels[other.label] == b.labels[o.label]:
			b.report.Repeated++
			return nil
		default:
			by := ""
			if o.judge != "" {
				by = fmt.Sprintf(" by %.40q", o.judge)
			}
			return b.fault(faults.Contradiction, "query %.80q: product %.80q is judged %s%s, but %s before", cmp.Or(e.text, strings.Join(e.ids, " ")), product, b.labels[o.label], by, b.labels[other.label])
		}
	}
	if e.more == nil {
		e.more = map[string][]opinion{}
	}
	e.more[product] = append(e.more[product], o)
	return nil
}

// settle makes one label of the opinions of the source at hand on each pair, and puts
// them to those of the sources before.
func (b *Builder) settle() error {
	if err := b.oneScale(); err != nil {
		return err
	}
	added, contradictions, listed := 0, 0, []string{}
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
				contradictions++
				if len(listed) < mostListed {
					listed = append(listed, fmt.Sprintf("%s: line %d: query %.80q, product %.80q: %s, but %s before",
						b.files[o.file], o.line, cmp.Or(e.text, strings.Join(e.ids, " ")), product, b.labels[o.label], b.labels[known.label]))
				}
				if b.o.Prefer != PreferNew { // old, or nobody decided: that is an error below
					continue
				}
			}
			e.keep(product, o)
		}
		e.fresh, e.more = nil, nil
	}
	b.report.Sources = append(b.report.Sources, added)
	b.report.Contradictions += contradictions
	b.report.Contradicting = append(b.report.Contradicting, listed[:min(len(listed), mostListed-len(b.report.Contradicting))]...)
	if contradictions > 0 && b.o.Prefer == PreferNeither && !b.o.Skip {
		return &ContradictionError{contradictions, listed}
	}
	return nil
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

// oneScale spells the labels of the source at hand and of those before alike, where one
// has ESCI's letters and the other the whole numbers that stand for them in qrels.
func (b *Builder) oneScale() error {
	var fresh, old []Label
	used := map[int32]bool{}
	for _, e := range b.order {
		for _, o := range e.labels {
			used[o.label] = true
		}
	}
	for at, l := range b.labels {
		if b.given[int32(at)] {
			fresh = append(fresh, l)
		} else if used[int32(at)] {
			old = append(old, l)
		}
	}
	if len(old) == 0 || hasLetters(fresh) == hasLetters(old) || !hasNumbers(fresh) && !hasLetters(fresh) || !hasNumbers(old) && !hasLetters(old) {
		return nil
	}
	numbers := fresh
	if hasLetters(fresh) {
		numbers = old
	}
	scale, spelled, err := ScaleOf(numbers)
	if err != nil || scale.Name != "esci" {
		name, _ := b.where()
		return fmt.Errorf("%s: its labels, such as %s, are of another scale than those before, such as %s (judge on one scale)", name, fresh[0], old[0])
	}
	for at, l := range b.labels {
		if slices.Contains(numbers, l) && !l.Pooled() {
			b.labels[at] = spelled(l)
		}
	}
	clear(b.places)
	for at, l := range b.labels {
		if _, twice := b.places[l]; !twice {
			b.places[l] = int32(at)
		}
	}
	return nil
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
