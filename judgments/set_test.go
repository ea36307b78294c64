package judgments

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/faults"
)

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
		out = append(out, Judgment{QueryID: f[0], Product: f[1], Label: f[2]})
	}
	return out
}

func qrelsOf(t testing.TB, judgments []Judgment) *Qrels {
	t.Helper()
	q, _, err := NewQrels(sequence(judgments), QrelsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// labelsOf spells the judgements of a query out.
func labelsOf(q *Qrels, i int) string {
	var out []string
	for j, p := range q.Queries[i].Products {
		out = append(out, p+"="+q.Scale.Levels[q.Queries[i].Levels[j]].Label)
	}
	return strings.Join(out, " ")
}

func TestLabelsAndScales(t *testing.T) {
	for _, c := range []struct {
		name, labels string // of products a, b, c ...
		scale        string
		levels       string // of the scale, worst first
		want         string
	}{
		{"letters", "E S C I", "esci", "I C S E", "a=E b=S c=C d=I"},
		{"lower case and words", "e substitute Complement IRRELEVANT", "esci", "I C S E", "a=E b=S c=C d=I"},
		{"letters with white space around", "E|\tS ", "esci", "I C S E", "a=E b=S"},
		{"one letter is enough", "S", "esci", "I C S E", "a=S"},
		{"integers of ESCI", "100 10 1 0", "esci", "I C S E", "a=E b=S c=C d=I"},
		{"integers of ESCI, written as fractions", "100.0 1e1", "esci", "I C S E", "a=E b=S"},
		{"100 and 0 might be per cent", "100 0", "numeric", "0 100", "a=100 b=0"},
		{"10 and 0 might be marks", "10 1 0", "numeric", "0 1 10", "a=10 b=1 c=0"},
		{"a foreign number", "100 10 50", "numeric", "0 10 50 100", "a=100 b=10 c=50"},
		{"grades", "2 0 1", "numeric", "0 1 2", "a=2 b=0 c=1"},
		{"a scale without its zero gets one", "1 2", "numeric", "0 1 2", "a=1 b=2"},
		{"one number, two spellings", "1.0 1 2.50", "numeric", "0 1 2.5", "a=1 b=1 c=2.5"},
		{"negative is not relevant", "-1 -2 3", "numeric", "0 3", "a=0 b=0 c=3"},
		{"numbers are sorted as numbers", "9 10 1", "numeric", "0 1 9 10", "a=9 b=10 c=1"},
	} {
		labels := strings.Split(c.labels, " ")
		if strings.Contains(c.labels, "|") {
			labels = strings.Split(c.labels, "|")
		}
		var js []Judgment
		for i, l := range labels {
			js = append(js, Judgment{QueryID: "q", Product: string(rune('a' + i)), Label: l})
		}
		q, _, err := NewQrels(sequence(js), QrelsOptions{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var levels []string
		for _, l := range q.Scale.Levels {
			levels = append(levels, l.Label)
		}
		if got := labelsOf(q, 0); q.Scale.Name != c.scale || strings.Join(levels, " ") != c.levels || got != c.want || q.Count != len(js) {
			t.Errorf("%s: scale %s %v, judgements %s, count %d", c.name, q.Scale.Name, levels, got, q.Count)
		}
	}
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
		{"bad label", judgmentsOf("q a X"), faults.BadLabel, `label "X"`},
		{"no label", judgmentsOf("q a "), faults.BadLabel, `label ""`},
		{"NaN", judgmentsOf("q a NaN"), faults.BadLabel, "NaN"},
		{"infinite", judgmentsOf("q a -Inf"), faults.BadLabel, "Inf"},
		{"beyond all scales", judgmentsOf("q a 1000001"), faults.BadLabel, "1000001"},
		{"judged twice alike", judgmentsOf("q a E", "q a exact"), Duplicate, "judged twice"},
		{"judged twice alike, in two spellings", judgmentsOf("q a 1", "q a 1.0"), Duplicate, "judged twice"},
		{"judged twice, not alike", judgmentsOf("q a E", "q a I"), faults.Contradiction, "judged I, but E before"},
		{"two texts", []Judgment{{"1", "lamp", "a", "E", ""}, {"1", "table", "b", "E", ""}}, faults.Contradiction, `text "table", but "lamp"`},
		{"two splits", []Judgment{{"1", "lamp", "a", "E", "train"}, {"1", "lamp", "b", "E", "test"}}, faults.Contradiction, `split "test", but in "train"`},
	} {
		_, left, err := NewQrels(sequence(c.js), QrelsOptions{Known: known, Where: func() (string, int) { return "file.tsv", 7 }})
		var fault *faults.Fault
		if !errors.As(err, &fault) || fault.Kind != c.kind || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "file.tsv: line 7: ") || left.Count != 0 {
			t.Errorf("%s: error %v, %d faults", c.name, err, left.Count)
		}
		// With Skip the fault is counted and the rest counts.
		js := append(slices.Clone(c.js), judgmentsOf("other z E")...)
		if strings.ContainsAny(c.js[0].Label, "0123456789") && c.kind == Duplicate {
			js[len(js)-1].Label = "1"
		}
		q, left, err := NewQrels(sequence(js), QrelsOptions{Known: known, Skip: true})
		if err != nil || left.Count != 1 || left.ByKind[c.kind] != 1 || left.First[0].File != "judgements" || q.Count != len(js)-1 {
			t.Errorf("%s, skipped: error %v, faults %+v", c.name, err, left)
		}
	}
}

func TestSkipKeepsTheFirst(t *testing.T) {
	q, left, err := NewQrels(sequence(judgmentsOf("q a S", "q a E", "q a I", "q b E", "q a S")), QrelsOptions{Skip: true})
	if err != nil || labelsOf(q, 0) != "a=S b=E" || left.Count != 3 || left.ByKind[faults.Contradiction] != 2 || left.ByKind[Duplicate] != 1 {
		t.Errorf("%v, %+v, error %v", q, left, err)
	}
}

// A judgement that is left out has no say in what the labels mean: were its 10
// counted, 100 would be E.
func TestSkippedLabelsDoNotDecideTheScale(t *testing.T) {
	q, _, err := NewQrels(sequence(judgmentsOf("q a 100", "q b 0", "q b 10")), QrelsOptions{Skip: true})
	if err != nil || q.Scale.Name != "numeric" || len(q.Scale.Levels) != 2 {
		t.Errorf("%+v, error %v", q, err)
	}
}

func TestJudgementsThatCannotBeUsed(t *testing.T) {
	var scores []Judgment
	for i := range maxLevels + 1 {
		scores = append(scores, Judgment{QueryID: "q", Product: fmt.Sprint(i), Label: fmt.Sprint(float64(i) / 100)})
	}
	for _, c := range []struct {
		js   []Judgment
		says string
	}{
		{nil, "there are no judgements"},
		{judgmentsOf("q a E", "q b 1"), "some labels are of ESCI (E, S, C, I) and some are numbers"},
		{scores, "more than 64 different labels"},
	} {
		// These are no faults of one judgement, so Skip does not help.
		for _, skip := range []bool{false, true} {
			if _, _, err := NewQrels(sequence(c.js), QrelsOptions{Skip: skip}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		}
	}
	if q := qrelsOf(t, scores[:maxLevels]); len(q.Scale.Levels) != maxLevels {
		t.Errorf("%d levels of %d labels", len(q.Scale.Levels), maxLevels)
	}
	if _, _, err := NewQrels(sequence(judgmentsOf("q gone E")), QrelsOptions{Skip: true, Known: func(string) bool { return false }}); err == nil {
		t.Error("no error where all judgements are faulty")
	}
	broken := errors.New("the disk is gone")
	_, _, err := NewQrels(func(yield func(Judgment, error) bool) { yield(Judgment{}, broken) }, QrelsOptions{Skip: true})
	if !errors.Is(err, broken) {
		t.Errorf("error %v of a reader that broke", err)
	}
}

func TestQueryNames(t *testing.T) {
	// Ids that can stand in a TREC file stay.
	q := qrelsOf(t, []Judgment{{"b", "lamp", "x", "E", ""}, {"a", "", "x", "E", ""}, {"a", "desk", "y", "I", ""}})
	if got := fmt.Sprint(q.Queries[0].ID, q.Queries[0].Text, q.Queries[1].ID, q.Queries[1].Text); got != "adeskblamp" {
		t.Error(got)
	}
	// Where one cannot, all are numbered, with zeros so that they sort alike.
	var js []Judgment
	for i := range 12 {
		js = append(js, Judgment{Query: fmt.Sprintf("red lamp %c", 'a'+i), Product: "x", Label: "E"})
	}
	q = qrelsOf(t, js)
	for i, query := range q.Queries {
		if query.ID != fmt.Sprintf("q%02d", i+1) || query.Text != js[i].Query {
			t.Errorf("query %d is %q, %q", i, query.ID, query.Text)
		}
	}
	// An id that is replaced is not lost: it is all there is to search for.
	q = qrelsOf(t, []Judgment{{QueryID: "red lamp", Product: "x", Label: "E"}, {QueryID: "desk", Query: "a desk", Product: "x", Label: "E"}})
	if got := fmt.Sprintf("%s=%s %s=%s", q.Queries[0].ID, q.Queries[0].Text, q.Queries[1].ID, q.Queries[1].Text); got != "q1=a desk q2=red lamp" {
		t.Error(got)
	}
}

func TestQrelsDoNotDependOnTheOrderOfJudgements(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var js []Judgment
	for q := range 30 {
		for p := range 1 + r.IntN(20) {
			js = append(js, Judgment{QueryID: fmt.Sprint("q", q), Query: fmt.Sprint("text ", q), Product: fmt.Sprint("p", p), Label: fmt.Sprint(r.IntN(4)), Split: []string{"train", "test"}[q%2]})
		}
	}
	want := qrelsOf(t, js)
	for range 5 {
		r.Shuffle(len(js), func(i, j int) { js[i], js[j] = js[j], js[i] })
		if got := qrelsOf(t, js); !reflect.DeepEqual(got, want) || got.Hash() != want.Hash() {
			t.Fatal("another order gives other qrels")
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
		if q.Level("nothing") != Unjudged {
			t.Error("a product that nobody judged has a level")
		}
	}
	if n != train.Count {
		t.Errorf("count is %d, want %d", train.Count, n)
	}
}

func TestScaleIntegers(t *testing.T) {
	for _, c := range []struct {
		scale Scale
		want  []int
	}{
		{ESCI(), []int{0, 1, 10, 100}},
		{numeric([]float64{3, 0, 1}), []int{0, 1, 3}},
		{numeric([]float64{0, .5, 2}), []int{0, 1, 2}}, // fractions: the number of the level
		{numeric([]float64{0, 1e6}), []int{0, 1000000}},
	} {
		var got []int
		for i := range c.scale.Levels {
			got = append(got, c.scale.Integer(i))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.scale.Levels, got, c.want)
		}
	}
}

// FuzzLabel: a label is read or is a fault, and what it is called reads back.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"E", " exact ", "1", "-0", "1e6", "0x1p3", "1e-320", "Infinity", "1_0", "\xff", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, _, err := NewQrels(sequence([]Judgment{{QueryID: "q", Product: "a", Label: s}}), QrelsOptions{})
		if err != nil {
			if fault := (*faults.Fault)(nil); !errors.As(err, &fault) || fault.Kind != faults.BadLabel {
				t.Fatalf("label %q: %v", s, err)
			}
			return
		}
		label := q.Scale.Levels[q.Queries[0].Levels[0]].Label
		again := qrelsOf(t, []Judgment{{QueryID: "q", Product: "a", Label: label}})
		if !reflect.DeepEqual(q, again) {
			t.Fatalf("label %q is %q, which is %+v and not %+v", s, label, again, q)
		}
		for _, l := range q.Scale.Levels {
			if !(l.Gain >= 0 && l.Grade >= 0 && l.Gain <= 1e6) {
				t.Fatalf("label %q: level %+v", s, l)
			}
		}
	})
}

// FuzzRelevant: a text names some levels but not all, or is an error.
func FuzzRelevant(f *testing.F) {
	for _, s := range []string{"E", "E+S", "E+S+C+I", ">=1", ">=2.5", ">=NaN", ">=-Inf", "+", "", "3", ">="} {
		f.Add(s)
	}
	scales := []Scale{ESCI(), numeric([]float64{0, .5, 1, 3})}
	f.Fuzz(func(t *testing.T, s string) {
		for _, scale := range scales {
			if levels, err := scale.relevant(s); err == nil && (len(levels) != len(scale.Levels) || !slices.Contains(levels, true) || !slices.Contains(levels, false)) {
				t.Fatalf("%q: %v", s, levels)
			}
		}
	})
}

// FuzzParseMetric: what is read reads back from its own text.
func FuzzParseMetric(f *testing.F) {
	for _, s := range []string{"ndcg@10", "NDCG", "recall[E+S]@100", "recall[>=2]@10", "rbp(0.8)", "rbp(.000000001)", "rbp(.123456789)", "RBP[E](0.95)@7",
		"ndcg{exact}@10", "ap@3", "ndcg@0", "ndcglow", "map{exp}", "K\u212a\u212a\u212a[E]@1", "\u0130\u0130[\u0130]", "p[[]]", "judged@007"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMetric(s)
		if err != nil {
			return
		}
		again, err := ParseMetric(m.String())
		if err != nil || again != m || again.String() != m.String() {
			t.Fatalf("%q is %q, which is %+v and not %+v (%v)", s, m, again, m, err)
		}
		if !strings.HasPrefix(m.Title(), kinds[m.Name].title) {
			t.Fatalf("title %q", m.Title())
		}
	})
}

func TestParseMetric(t *testing.T) {
	for s, want := range map[string]Metric{
		"ndcg@10":             {Name: "ndcg", K: 10},
		"nDCG":                {Name: "ndcg"},
		"recall[E+S]@100":     {Name: "recall", Relevant: "E+S", K: 100},
		"Precision[Exact]@5":  {Name: "precision", Relevant: "Exact", K: 5},
		"mrr[>=2]@10":         {Name: "mrr", Relevant: ">=2", K: 10},
		"AP@10":               {Name: "map", K: 10},
		"rbp":                 {Name: "rbp", Persistence: .8},
		"RBP(.5)":             {Name: "rbp", Persistence: .5},
		"ndcg{exact}@10":      {Name: "ndcg", Gains: "exact", K: 10},
		"judged@100":          {Name: "judged", K: 100},
		"rbp[E](0.25){x}@3":   {},
		"ndcg[E]@10":          {},
		"recall{exact}@10":    {},
		"ndcg(0.5)":           {},
		"ndcg@0":              {},
		"success":             {},
		"ndcglow":             {},
		"rbp(0)":              {},
		"rbp(1)":              {},
		"rbp(1.5)":            {},
		"rbp(0..5)":           {},
		"gain@10":             {},
		"ndcg @10":            {},
		"":                    {},
		"ndcg@10 ":            {},
		"recall[]@10":         {},
		"recall[E+S@10":       {},
		"recall]E[@10":        {},
		"\u212a\u212a\u212a[": {}, // shorter in lower case than before
	} {
		got, err := ParseMetric(s)
		if got != want || (err != nil) != (want == Metric{}) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, n := range Names() {
		m, err := ParseMetric(n + "@10")
		if err != nil || m.Neutral() != (n == "judged") {
			t.Errorf("%s: %v", n, err)
		}
	}
}

// FuzzParseGains: what is read is complete, and reads back.
func FuzzParseGains(f *testing.F) {
	for _, s := range []string{"E=1,S=0.1,C=0.01,I=0", " E=1 , S=2,C=3,I=4", "E=1,E=1,S=1,C=1", "E=NaN,S=1,C=1,I=1", "E=-1,S=0,C=0,I=0", "E=1e9,S=0,C=0,I=0", "E=0,S=0,C=0,I=0", "", "=", "E=0x1p-3,S=0,C=0,I=0"} {
		f.Add(s)
	}
	scale := ESCI()
	f.Fuzz(func(t *testing.T, s string) {
		table, err := scale.ParseGains("mine", s)
		if err != nil {
			return
		}
		var parts []string
		for i, l := range scale.Levels {
			parts = append(parts, l.Label+"="+strconv.FormatFloat(table.Gains[i], 'g', -1, 64))
			if g := table.Gains[i]; !(g >= 0 && g <= 1e9) {
				t.Fatalf("%q: gain %g", s, g)
			}
		}
		again, err := scale.ParseGains("mine", strings.Join(parts, ","))
		if err != nil || !reflect.DeepEqual(table, again) || slices.Max(table.Gains) == 0 {
			t.Fatalf("%q: %v, then %v, %v", s, table, again, err)
		}
	})
}

func TestGainTables(t *testing.T) {
	for _, c := range []struct {
		scale Scale
		want  string
	}{
		{ESCI(), "[{esci [0 0.01 0.1 1]} {exact [0 0 0 1]} {swapped [0 0.1 0.01 1]} {exp [0 1 3 7]}]"},
		{numeric([]float64{0, 1, 3}), "[{numeric [0 1 3]} {exact [0 0 1]} {exp [0 1 7]}]"},
		{numeric([]float64{0, 100}), "[{numeric [0 100]} {exact [0 1]}]"}, // 2^100 says nothing
	} {
		if got := fmt.Sprint(c.scale.Tables()); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	got, err := ESCI().ParseGains("mine", "I=0, S=.5,C=0,E=1")
	if err != nil || fmt.Sprint(got) != "{mine [0 0 0.5 1]}" {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"E=1,S=1,C=1", "E=1,S=1,C=1,I=0,E=1", "E=1,S=1,C=1,X=0", "E,S,C,I", "E=0,S=0,C=0,I=0", "E=-1,S=0,C=0,I=0", "E=inf,S=0,C=0,I=0", "E=nan,S=1,C=0,I=0"} {
		if _, err := ESCI().ParseGains("mine", s); err == nil || !strings.Contains(err.Error(), "write them as") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-12*(1+math.Abs(a)+math.Abs(b))
}
