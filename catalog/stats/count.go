package stats

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"unicode"
)

// maxTexts bounds the texts that are told apart in a ranking.
const maxTexts = 500_000

// texts counts texts; what comes when maxTexts are known counts as others.
type texts struct {
	counts map[string]int
	none   int
	others int
}

func newTexts() *texts { return &texts{counts: map[string]int{}} }

// maxText is the longest text, in bytes, that is kept whole.
const maxText = 300

// clip cuts what is longer, so that a few broken rows cannot fill a report.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

func (t *texts) add(s string) {
	s = clip(s)
	if s == "" {
		t.none++
	} else if _, ok := t.counts[s]; ok || len(t.counts) < maxTexts {
		t.counts[s]++
	} else {
		t.others++
	}
}

func (t *texts) ranking(top int) Ranking {
	r := Ranking{Distinct: len(t.counts), None: t.none, Top: ranked(t.counts, top)}
	total, shown := t.others, 0
	for _, n := range t.counts {
		total += n
		if n == 1 {
			r.Single++
		}
	}
	for _, e := range r.Top {
		shown += e.Count
	}
	if total > 0 {
		r.Tail = round(float64(total-shown) / float64(total))
	}
	return r
}

// ranked returns the most frequent texts; those that are equally frequent by
// alphabet.
func ranked(counts map[string]int, top int) []Ranked {
	all := make([]Ranked, 0, len(counts))
	for s, n := range counts {
		all = append(all, Ranked{s, n})
	}
	slices.SortFunc(all, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	return slices.Clone(all[:min(top, len(all))])
}

// maxExamples bounds the repeated titles that are kept.
const maxExamples = 10_000

// repeats counts titles that come again, by 64-bit hash.
type repeats struct {
	seed   maphash.Seed
	seen   map[uint64]struct{}
	counts map[string]int // how often a repeated title came, the first time aside
	again  int
}

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, counts: map[string]int{}}
}

func (r *repeats) add(s string) {
	key := maphash.String(r.seed, s)
	if _, ok := r.seen[key]; !ok {
		r.seen[key] = struct{}{}
		return
	}
	r.again++
	s = clip(s)
	if _, ok := r.counts[s]; ok || len(r.counts) < maxExamples {
		r.counts[s]++
	}
}

// fold forgets case and the number of spaces.
func fold(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

// words returns the words of s: runs of letters and digits, in lower case.
func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
}
