package judgments

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/trirank/trirank/internal/faults"
)

func labelOf(s string) Label {
	l, err := ParseLabel(s)
	if err != nil {
		panic(err)
	}
	return l
}

// sequence yields judgements without an error.
func sequence(judgments []Judgment) iter.Seq2[Judgment, error] {
	return func(yield func(Judgment, error) bool) {
		for _, j := range judgments {
			if !yield(j, nil) {
				return
			}
		}
	}
}

// judgmentsOf reads lines of "query product label", the first two without spaces.
func judgmentsOf(lines ...string) (out []Judgment) {
	for _, l := range lines {
		f := strings.SplitN(l, " ", 3)
		out = append(out, Judgment{QueryID: f[0], Product: f[1], Label: labelOf(f[2])})
	}
	return out
}

func setOf(t testing.TB, judgments []Judgment) *Set {
	t.Helper()
	q, _, err := NewSet(Of(sequence(judgments)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// labelsOf spells the judgements of a query out.
func labelsOf(q *Set, i int) string {
	var out []string
	for j, p := range q.Queries[i].Products {
		out = append(out, p+"="+string(q.Label(&q.Queries[i], j)))
	}
	return strings.Join(out, " ")
}

func TestFaultsOfJudgements(t *testing.T) {
	known := func(p string) bool { return p != "gone" }
	for _, c := range []struct {
		name string
		js   []Judgment
		kind faults.Kind
		says string
	}{
		{"no query", []Judgment{{QueryID: " ", Product: "a", Label: "E"}}, faults.MissingField, "names no query"},
		{"no product", []Judgment{{QueryID: "q", Product: "\t", Label: "E"}}, faults.MissingField, "names no product"},
		{"unknown product", judgmentsOf("q gone E"), UnknownProduct, `no product "gone"`},
		{"judged twice, not alike", judgmentsOf("q a E", "q a I"), faults.Contradiction, "judged I, but E before"},
		{"two texts", []Judgment{{QueryID: "1", Query: "lamp", Product: "a", Label: "E"}, {QueryID: "1", Query: "table", Product: "b", Label: "E"}},
			faults.Contradiction, `text "table", but "lamp"`},
		{"two texts, one by the id that is made of it", []Judgment{{Query: "lamp", Product: "a", Label: "E"}, {QueryID: ID("lamp"), Query: "table", Product: "b", Label: "E"}},
			faults.Contradiction, `text "table", but "lamp"`},
		{"an id that is one text and then another", []Judgment{{QueryID: "501", Query: "501", Product: "a", Label: "E"}, {QueryID: "501", Query: "levis", Product: "b", Label: "E"}},
			faults.Contradiction, `text "levis", but "501"`},
		{"two splits that only a third row brings together", []Judgment{{QueryID: "1", Product: "a", Label: "E", Split: "train"}, {Query: "lamp", Product: "b", Label: "E", Split: "test"}, {QueryID: "1", Query: "lamp", Product: "c", Label: "E"}},
			faults.Contradiction, `one is in split "train" and the other in "test"`},
		{"two splits", []Judgment{{QueryID: "1", Query: "lamp", Product: "a", Label: "E", Split: "train"}, {QueryID: "1", Query: "lamp", Product: "b", Label: "E", Split: "test"}},
			faults.Contradiction, `split "test", but in "train"`},
		{"two splits of one text", []Judgment{{QueryID: "1", Query: "lamp", Product: "a", Label: "E", Split: "train"}, {QueryID: "2", Query: " lamp ", Product: "b", Label: "E", Split: "test"}},
			faults.Contradiction, `split "test", but in "train"`},
	} {
		src := func(js []Judgment) *Source {
			return &Source{Judgments: sequence(js), Where: func() (string, int) { return "file.tsv", 7 }}
		}
		_, report, err := NewSet(src(c.js), Options{Known: known})
		var fault *faults.Fault
		if !errors.As(err, &fault) || fault.Kind != c.kind || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "file.tsv: line 7: ") || report.Faults.Count != 0 {
			t.Errorf("%s: error %v, %d faults", c.name, err, report.Faults.Count)
		}
		// With Skip the fault is counted and the rest counts.
		js := append(slices.Clone(c.js), judgmentsOf("other z E")...)
		q, report, err := NewSet(src(js), Options{Known: known, Skip: true})
		if err != nil || report.Faults.Count != 1 || report.Faults.ByKind[c.kind] != 1 || q.Count != len(js)-1 {
			t.Errorf("%s, skipped: error %v, faults %+v", c.name, err, report.Faults)
		}
	}
}

// Rows that say nothing, or nothing new, are no faults, and are counted.
func TestRowsThatSayNothingNew(t *testing.T) {
	q, r, err := NewSet(Of(sequence(judgmentsOf("q a E", "q a exact", "q b ", "q c I"))), Options{})
	if err != nil || labelsOf(q, 0) != "a=E c=I" || r.Repeated != 1 || r.Unlabelled != 1 || r.Faults.Count != 0 {
		t.Errorf("%v, %+v, error %v", q, r, err)
	}
}

func TestSkipKeepsTheFirst(t *testing.T) {
	q, r, err := NewSet(Of(sequence(judgmentsOf("q a S", "q a E", "q a I", "q b E", "q a S"))), Options{Skip: true})
	if err != nil || labelsOf(q, 0) != "a=S b=E" || r.Faults.Count != 2 || r.Faults.ByKind[faults.Contradiction] != 2 || r.Repeated != 1 {
		t.Errorf("%v, %+v, error %v", q, r, err)
	}
}

// A judgement that is left out has no say in what the labels mean: were its 10
// counted, 100 would be E.
func TestSkippedLabelsDoNotDecideTheScale(t *testing.T) {
	q, _, err := NewSet(Of(sequence(judgmentsOf("q a 100", "q b 0", "q b 10"))), Options{Skip: true})
	if err != nil || q.Scale.Name != "numeric" || len(q.Scale.Levels) != 2 {
		t.Errorf("%+v, error %v", q, err)
	}
}

func TestJudgementsThatCannotBeUsed(t *testing.T) {
	for _, c := range []struct {
		js   []Judgment
		says string
	}{
		{nil, "there are no judgements"},
		{judgmentsOf("q a ", "q b "), "none of the 2 rows has a label"},
		{judgmentsOf("q a -1"), "all labels are negative"},
		{judgmentsOf("q a E", "q b 1"), "some labels are of ESCI (E, S, C, I) and some are numbers"},
	} {
		// These are no faults of one judgement, so Skip does not help.
		for _, skip := range []bool{false, true} {
			if _, _, err := NewSet(Of(sequence(c.js)), Options{Skip: skip}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		}
	}
	if _, _, err := NewSet(Of(sequence(judgmentsOf("q gone E"))), Options{Skip: true, Known: func(string) bool { return false }}); err == nil {
		t.Error("no error where all judgements are faulty")
	}
	broken := errors.New("the disk is gone")
	_, _, err := NewSet(Of(func(yield func(Judgment, error) bool) { yield(Judgment{}, broken) }), Options{Skip: true})
	if !errors.Is(err, broken) {
		t.Errorf("error %v of a reader that broke", err)
	}
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		name string
		js   []Judgment
		want string // id (aliases) = text of each query
		same int
	}{
		{"ids stay", []Judgment{{QueryID: "b", Query: "lamp", Product: "x", Label: "E"}, {QueryID: "a", Product: "x", Label: "E"}, {QueryID: "a", Query: "desk", Product: "y", Label: "I"}},
			"a [] = desk; b [] = lamp", 0},
		{"made of the text", []Judgment{{Query: "red  lamp", Product: "x", Label: "E"}, {Query: "red lamp", Product: "y", Label: "E"}}, "tfeb5946b649eace8 [] = red lamp", 0},
		{"composed and decomposed", []Judgment{{Query: "cafe\u0301", Product: "x", Label: "E"}, {Query: "caf\u00e9", Product: "y", Label: "E"}}, ID("caf\u00e9") + " [] = caf\u00e9", 0},
		{"case counts", []Judgment{{QueryID: "1", Query: "Apple", Product: "x", Label: "E"}, {QueryID: "2", Query: "apple", Product: "x", Label: "I"}}, "1 [] = Apple; 2 [] = apple", 0},
		{"two ids of one text", []Judgment{{QueryID: "7", Query: "lamp", Product: "x", Label: "E"}, {QueryID: "3", Query: "lamp", Product: "y", Label: "I"}, {QueryID: "3", Query: "lamp", Product: "z", Label: "I"}},
			"7 [3] = lamp", 1},
		{"the text comes later", []Judgment{{QueryID: "7", Product: "x", Label: "E"}, {Query: "lamp", Product: "y", Label: "E"}, {QueryID: "7", Query: "lamp", Product: "z", Label: "E"}},
			"7 [] = lamp", 0},
		{"an id with a space is a text", []Judgment{{QueryID: "red lamp", Product: "x", Label: "E"}, {QueryID: "desk", Product: "x", Label: "E"}}, ID("desk") + " [] = desk; tfeb5946b649eace8 [] = red lamp", 0},
		{"an id that a TREC file cannot hold", []Judgment{{QueryID: "case 7", Query: "red lamp", Product: "x", Label: "E"}}, "tfeb5946b649eace8 [case 7] = red lamp", 0},
		{"an id that was made up before its text is known", []Judgment{{QueryID: ID("lamp"), Product: "y", Label: "E"}, {QueryID: ID("lamp"), Query: "lamp", Product: "x", Label: "E"}}, ID("lamp") + " [] = lamp", 0},
		{"an id that is the text", []Judgment{{QueryID: "501", Query: "501", Product: "x", Label: "E"}}, ID("501") + " [] = 501", 0},
		{"texts in a column of ids", []Judgment{{QueryID: "tv", Product: "x", Label: "E"}, {QueryID: "red shoes", Product: "x", Label: "E"}, {Query: "tv", Product: "y", Label: "E"}},
			ID("red shoes") + " [] = red shoes; " + ID("tv") + " [] = tv", 0},
		{"marks that nobody sees", []Judgment{{Query: "\ufefflamp", Product: "x", Label: "E"}, {Query: "la\u200bmp", Product: "y", Label: "E"}}, ID("lamp") + " [] = lamp", 0},
		{"an id that was made up before", []Judgment{{QueryID: ID("lamp"), Query: "lamp", Product: "x", Label: "E"}, {QueryID: ID("lamp"), Product: "y", Label: "E"}}, ID("lamp") + " [] = lamp", 0},
	} {
		q, r, err := NewSet(Of(sequence(c.js)), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, x := range q.Queries {
			got = append(got, fmt.Sprintf("%s %v = %s", x.ID, x.Aliases, x.Text))
		}
		if strings.Join(got, "; ") != c.want || r.SameText != c.same || q.Count != len(c.js) {
			t.Errorf("%s: %q, %d ids of the same text, %d judgements", c.name, got, r.SameText, q.Count)
		}
		ids := q.IDs()
		for _, x := range q.Queries {
			for _, id := range append(x.Aliases, x.ID, ID(x.Text), x.Text) {
				if ids[id] != x.ID {
					t.Errorf("%s: id %q is %q, not %q", c.name, id, ids[id], x.ID)
				}
			}
		}
	}
}

// An id that is made up depends on nothing but the text, whatever else there is.
func TestMadeUpIDsDoNotShift(t *testing.T) {
	few := []Judgment{{Query: "usb cable", Product: "a", Label: "E"}, {Query: "tv", Product: "b", Label: "S"}}
	id := func(s *Set, text string) string {
		return s.Queries[slices.IndexFunc(s.Queries, func(q Query) bool { return q.Text == text })].ID
	}
	a, b := setOf(t, few), setOf(t, append([]Judgment{{Query: "aaa first", Product: "a", Label: "E"}}, few...))
	for _, text := range []string{"usb cable", "tv"} {
		if id(a, text) != id(b, text) || id(a, text) != ID(text) || !a.MadeUp() {
			t.Errorf("%s is %s, then %s", text, id(a, text), id(b, text))
		}
	}
}

func TestJudges(t *testing.T) {
	by := func(judge, product string, l Label) Judgment {
		return Judgment{Query: "tv", Product: product, Label: l, Judge: judge}
	}
	q, r, err := NewSet(Of(sequence([]Judgment{
		by("ann", "a", "3"), by("bob", "a", "1"), by("zoe", "a", "2"), // the median
		by("ann", "b", "3"), by("bob", "b", "1"), // the lower of two
		by("ann", "c", "2"), by("bob", "c", "2"), by("bob", "c", "2"), // agreed, and said twice
		by("ann", "d", "0"),
	})), Options{})
	if err != nil || labelsOf(q, 0) != "a=2 b=1 c=2 d=0" || r.Disagreed != 2 || r.Repeated != 1 {
		t.Errorf("%v, %+v, error %v", q, r, err)
	}
	if _, _, err := NewSet(Of(sequence([]Judgment{by("ann", "a", "3"), by("bob", "a", "1"), by("bob", "a", "2")})), Options{}); err == nil || !strings.Contains(err.Error(), "by \"bob\"") {
		t.Errorf("error %v of a judge that contradicts himself", err)
	}
}

// What judges say does not depend on the order in which they say it, nor on when it
// shows that two queries are one.
func TestOrderOfOpinions(t *testing.T) {
	for _, c := range []struct {
		name string
		old  []Judgment
		js   []Judgment
		want string
	}{
		{"joined later", nil, []Judgment{{QueryID: "q1", Product: "P1", Label: "E", Judge: "a"}, {QueryID: "q1", Product: "P1", Label: "I", Judge: "b"},
			{Query: "tv", Product: "P2", Label: "E", Judge: "a"}, {QueryID: "q1", Query: "tv", Product: "P3", Label: "E"}}, "P1=I P2=E P3=E"},
		{"a source with judges beside another", judgmentsOf("q P1 2"), []Judgment{{QueryID: "q", Product: "P1", Label: "2", Judge: "a"}, {QueryID: "q", Product: "P1", Label: "2", Judge: "b"}, {QueryID: "q", Product: "P1", Label: "0", Judge: "c"}}, "P1=2"},
		{"who pools has no opinion", nil, []Judgment{{QueryID: "q", Product: "P1", Label: "-1", Judge: "a"}, {QueryID: "q", Product: "P1", Label: "2", Judge: "b"}}, "P1=2"},
		{"who pools is not contradicted", judgmentsOf("q P1 -1", "q P2 1"), judgmentsOf("q P1 2", "q P2 -1"), "P1=2 P2=1"},
		{"letters and their numbers", judgmentsOf("q P1 E", "q P2 S"), judgmentsOf("q P1 100", "q P2 10", "q P3 1"), "P1=E P2=S P3=C"},
		{"numbers and their letters", judgmentsOf("q P1 100", "q P2 10"), judgmentsOf("q P1 E", "q P3 I"), "P1=E P2=S P3=I"},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		for range 8 {
			b := NewBuilder(Options{})
			if c.old != nil {
				if err := b.Add(Of(sequence(c.old))); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Add(Of(sequence(c.js))); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			q, _, err := b.Set()
			if err != nil || len(q.Queries) != 1 || labelsOf(q, 0) != c.want {
				t.Fatalf("%s: %+v, error %v", c.name, q, err)
			}
			r.Shuffle(len(c.js), func(i, j int) { c.js[i], c.js[j] = c.js[j], c.js[i] })
		}
	}
	b := NewBuilder(Options{})
	b.Add(Of(sequence(judgmentsOf("q a E"))))
	if err := b.Add(Of(sequence(judgmentsOf("q b 3")))); err == nil || !strings.Contains(err.Error(), "such as 3, are of another scale than those before, such as E") {
		t.Errorf("error %v", err)
	}
}

// TestSourcesThatDoNotFit: mixed scales, contradictions that only a join shows, and what
// a failed join leaves behind.
func TestSourcesThatDoNotFit(t *testing.T) {
	by := func(judge, id, text, product string, l Label) Judgment {
		return Judgment{QueryID: id, Query: text, Product: product, Label: l, Judge: judge}
	}
	build := func(o Options, sources ...[]Judgment) (*Set, Report, error) {
		b := NewBuilder(o)
		for _, js := range sources {
			if err := b.Add(Of(sequence(js))); err != nil {
				return nil, b.report, err
			}
		}
		return b.Set()
	}
	join := []Judgment{by("", "5", "tv", "z", "E")}
	for _, c := range []struct {
		name    string
		o       Options
		sources [][]Judgment
		want    string // of the first query, or of the error
	}{
		{"letters and numbers of judges", Options{}, [][]Judgment{{by("A", "", "tv", "a", "E"), by("B", "", "tv", "a", "2")}}, "error: some labels are of ESCI"},
		{"pooled by one, judged by others", Options{}, [][]Judgment{{by("A", "", "tv", "a", "-1"), by("B", "", "tv", "a", "E"), by("A", "", "tv", "a", "S")}}, "a=S"},
		{"pooled, then judged by the same", Options{}, [][]Judgment{{by("", "", "tv", "a", "-1"), by("", "", "tv", "a", "E"), by("", "", "tv", "a", "-2")}}, "a=E"},
		{"joined across scales", Options{}, [][]Judgment{{by("", "", "tv", "p", "E"), by("", "", "tv", "q", "S")}, {by("", "5", "", "p", "100"), by("", "5", "", "q", "10")}, join}, "p=E q=S z=E"},
		{"joined, the new one preferred", Options{Prefer: PreferNew}, [][]Judgment{{by("", "", "tv", "p", "E")}, {by("", "5", "", "p", "S")}, join}, "p=S z=E"},
		{"joined, the old one preferred", Options{Prefer: PreferOld}, [][]Judgment{{by("", "", "tv", "p", "E")}, {by("", "5", "", "p", "S")}, join}, "p=E z=E"},
		{"joined, nobody decides", Options{}, [][]Judgment{{by("", "", "tv", "p", "E")}, {by("", "5", "", "p", "S")}, join}, "error: they judge product \"p\" differently"},
		{"two numeric scales", Options{}, [][]Judgment{judgmentsOf("q a 100", "q b 10"), judgmentsOf("q c 3", "q d 2")}, "error: of another scale"},
		{"more grades", Options{}, [][]Judgment{judgmentsOf("q a 2", "q b 1"), judgmentsOf("q c 3")}, "a=2 b=1 c=3"},
		{"letters, and few numbers of qrels", Options{}, [][]Judgment{judgmentsOf("q a E"), judgmentsOf("q b 10", "q c 0")}, "a=E b=S c=I"},
		{"letters, and what may be any scale", Options{}, [][]Judgment{judgmentsOf("q a E"), judgmentsOf("q b 1", "q c 0")}, "error: of another scale"},
		{"labels of faulty rows have no say", Options{Skip: true}, [][]Judgment{judgmentsOf("q a E"), {by("", "", "q", "b", "10"), by("", "", "q", "b", "50")}}, "a=E"},
		{"the id of no text", Options{}, [][]Judgment{{{QueryID: ID(""), Product: "a", Label: "E"}, {QueryID: "red shoes", Product: "a", Label: "E"}}}, "a=E"},
	} {
		q, _, err := build(c.o, c.sources...)
		if want, isError := strings.CutPrefix(c.want, "error: "); isError {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v", c.name, err)
			}
		} else if err != nil || labelsOf(q, 0) != c.want && !strings.HasPrefix(labelsOf(q, 0), c.want+" ") {
			t.Errorf("%s: %+v, error %v", c.name, q, err)
		}
	}
	for range 8 { // what a failed join leaves does not depend on the order of a map
		q, _, err := build(Options{Skip: true}, append(append(judgmentsOf("x a 1", "x b 1", "x c 1", "x d 1"), by("", "", "tv", "a", "2")), by("", "x", "tv", "e", "2")))
		if err != nil || q.Count != 5 {
			t.Fatalf("%+v, error %v", q, err)
		}
	}
}

// Many queries of which only the last row says that they are one must not take long.
func TestManyJoins(t *testing.T) {
	const n = 50_000
	var js []Judgment
	for i := range n {
		js = append(js, Judgment{QueryID: fmt.Sprint(i), Product: "a", Label: "E"}, Judgment{Query: fmt.Sprint("text ", i), Product: "b", Label: "E"})
	}
	for i := range n {
		js = append(js, Judgment{QueryID: fmt.Sprint(i), Query: fmt.Sprint("text ", i), Product: "c", Label: "E"})
	}
	if q := setOf(t, js); len(q.Queries) != n || q.Count != 3*n {
		t.Errorf("%d queries, %d judgements", len(q.Queries), q.Count)
	}
}

func TestNamesFromElsewhere(t *testing.T) {
	b := NewBuilder(Options{})
	if err := b.Add(Of(sequence([]Judgment{{Query: "tv", Product: "a", Label: "E"}, {QueryID: "q7", Query: "lamp", Product: "a", Label: "E"}}))); err != nil {
		t.Fatal(err)
	}
	if err := b.Name([]QueryText{{ID: "301", Text: " tv"}, {ID: "302", Text: "nobody judged"}, {ID: "q7", Text: "lamp"}}); err != nil {
		t.Fatal(err)
	}
	q, _, err := b.Set()
	if err != nil || q.IDs()["301"] != q.IDs()["tv"] || q.IDs()["301"] == "" {
		t.Errorf("%+v, error %v", q, err)
	}
	if err := b.Name([]QueryText{{ID: "q7", Text: "radio", Line: 3}}); err == nil || !strings.Contains(err.Error(), `line 3: query "q7" has the text "radio", but "lamp" in the judgements`) {
		t.Errorf("error %v", err)
	}
	log, err := Queries([]QueryText{{ID: "1", Text: "2"}, {ID: "2", Text: "1"}, {Text: "tv"}, {Text: " tv"}, {ID: "9", Text: "tv"}})
	if err != nil || len(log.Queries) != 3 || log.IDs()["1"] != "1" || log.Queries[0].Text != "2" || log.Count != 0 {
		t.Errorf("%+v, error %v", log, err)
	}
	if _, err := Queries([]QueryText{{ID: "1", Text: "a"}, {ID: "1", Text: "b"}}); err == nil {
		t.Error("one id with two texts was taken")
	}
}

func TestAdding(t *testing.T) {
	base := []Judgment{{QueryID: "Q1", Query: "tv", Product: "a", Label: "E", Split: "test"}, {QueryID: "Q1", Query: "tv", Product: "b", Label: "I", Split: "test"}}
	more := []Judgment{{Query: "tv", Product: "c", Label: "S"}, {QueryID: "Q1", Product: "a", Label: "E"}, {QueryID: "q7", Query: " tv", Product: "b", Label: "C"}, {Query: "tv", Product: "d"}}
	for _, c := range []struct {
		prefer Prefer
		want   string
	}{{PreferNeither, ""}, {PreferOld, "a=E b=I c=S"}, {PreferNew, "a=E b=C c=S"}} {
		b := NewBuilder(Options{Prefer: c.prefer})
		if err := b.Add(Of(sequence(base))); err != nil {
			t.Fatal(err)
		}
		err := b.Add(Of(sequence(more)))
		if contradiction := (*ContradictionError)(nil); errors.As(err, &contradiction) != (c.want == "") {
			t.Errorf("prefer %q: error %v", c.prefer, err)
		}
		if c.want == "" {
			if !strings.Contains(err.Error(), `query "tv", product "b": C, but I before`) {
				t.Errorf("error %v", err)
			}
			continue
		}
		q, r, err := b.Set()
		if err != nil || len(q.Queries) != 1 || q.Queries[0].ID != "Q1" || q.Queries[0].Split != "test" || labelsOf(q, 0) != c.want ||
			r.Contradictions != 1 || r.Unlabelled != 1 || r.Repeated != 1 || !slices.Equal(r.Sources, []int{2, 1}) {
			t.Errorf("prefer %q: %+v, %+v, error %v", c.prefer, q, r, err)
		}
	}
}

func TestSetsDoNotDependOnTheOrderOfJudgements(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var js []Judgment
	for q := range 30 {
		for p := range 1 + r.IntN(20) {
			js = append(js, Judgment{QueryID: fmt.Sprint("q", q), Query: fmt.Sprint("text ", q), Product: fmt.Sprint("p", p), Label: spell(float64(r.IntN(5) - 1)), Split: []string{"train", "test"}[q%2]})
		}
	}
	want := setOf(t, js)
	for range 5 {
		r.Shuffle(len(js), func(i, j int) { js[i], js[j] = js[j], js[i] })
		if got := setOf(t, js); !reflect.DeepEqual(got, want) || got.Hash() != want.Hash() {
			t.Fatal("another order gives another set")
		}
	}
	train := want.Only(func(q *Query) bool { return q.Split == "train" })
	if len(train.Queries) != 15 || train.Hash() == want.Hash() {
		t.Errorf("%d queries of train", len(train.Queries))
	}
	n := 0
	for i := range train.Queries {
		q := &train.Queries[i]
		n += len(q.Products)
		for j, p := range q.Products {
			if q.Level(p) != int(q.Levels[j]) {
				t.Errorf("level of %s is %d", p, q.Level(p))
			}
		}
		for _, p := range append(q.Pooled, "nothing") {
			if q.Level(p) != NoLevel {
				t.Errorf("product %s, which nobody judged, has a level", p)
			}
		}
	}
	if n != train.Count {
		t.Errorf("count is %d, want %d", train.Count, n)
	}
}

// What is written is what is read.
func TestRoundTrips(t *testing.T) {
	js := []Judgment{
		{QueryID: "1", Query: "a \"b\", c", Product: "x, y", Label: "3", Split: "train", Judge: "ann", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Query: "=1+1", Product: "p", Label: "-1"}, {QueryID: "2", Query: "q", Product: "p", Label: "0.25"},
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	for i := range js {
		if err := w.Write(&js[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []Judgment
	for j, err := range ReadTable(&b, "judgments.csv") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, j)
	}
	if !reflect.DeepEqual(got, js) {
		t.Errorf("%+v", got)
	}
	set := setOf(t, judgmentsOf("1 a 3", "1 b -1", "2 a 0"))
	b.Reset()
	if err := WriteQrels(&b, set); err != nil || b.String() != "1 0 a 3\n1 0 b -1\n2 0 a 0\n" {
		t.Errorf("%q, error %v", b.String(), err)
	}
	src, err := Read([]string{file(t, "qrels", b.String())}, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := NewSet(src, Options{}); err != nil || !reflect.DeepEqual(again, set) {
		t.Errorf("%+v, error %v", again, err)
	}
}

// FuzzPlain: what is taken for normal is.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"usb cable", " a", "a ", "a  b", "", "a\tb", "a\x7f", "\x00", "caf\u00e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if slow := strings.Join(strings.Fields(norm.NFC.String(s)), " "); isPlain(s) && slow != s {
			t.Fatalf("%q is not %q", s, slow)
		}
	})
}

// FuzzIdentity: however a text is written, it is one query with one id.
func FuzzIdentity(f *testing.F) {
	for _, s := range []string{"usb  cable", "cafe\u0301", " \t", "\u00a0x", "\xff", "e\u0301\u0327", "\u1100\u1161"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := Normalize(s)
		for _, same := range []string{n, " " + s + "\t", norm.NFD.String(n)} {
			if utf8.ValidString(s) && (Normalize(same) != n || ID(same) != ID(s) || Fold(same) != Fold(s)) {
				t.Fatalf("%q and %q are not one query", same, s)
			}
		}
	})
}
