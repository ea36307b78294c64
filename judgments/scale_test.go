package judgments

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestScaleIntegers(t *testing.T) {
	for _, c := range []struct {
		scale Scale
		want  []int
	}{
		{ESCI(), []int{0, 1, 10, 100}},
		{Numeric([]float64{3, 0, 1}), []int{0, 1, 3}},
		{Numeric([]float64{0, .5, 2}), []int{0, 5, 20}},
		{Numeric([]float64{0, .1, .733}), []int{0, 100, 733}},
		{Numeric([]float64{0, 1. / 3, 1}), []int{0, 333333, 1000000}},
		{Numeric([]float64{0, 1e6}), []int{0, 1000000}},
	} {
		got := c.scale.Integers()
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.scale.Levels, got, c.want)
		}
	}
}

// Labels may be as many as there are judgements: rates of clicks, scores of a model.
func TestManyLabels(t *testing.T) {
	var js []Judgment
	for i := range 3000 {
		js = append(js, Judgment{QueryID: fmt.Sprint("q", i%7), Product: fmt.Sprint(i), Label: spell(float64(i) / 2999)})
	}
	q := setOf(t, js)
	if len(q.Scale.Levels) != 3000 || q.Count != 3000 {
		t.Errorf("%d levels, %d judgements", len(q.Scale.Levels), q.Count)
	}
	for i := range q.Queries {
		query := &q.Queries[i]
		for k, p := range query.Products {
			n, _ := strconv.Atoi(p)
			if got := q.Scale.Levels[query.Level(p)].Gain; got != float64(n)/2999 || q.Label(query, k) != js[n].Label {
				t.Fatalf("product %s has the gain %g", p, got)
			}
		}
	}
	names, of := q.Scale.Bands(12)
	if len(names) != 12 || names[0] != "0" || of[0] != 0 || of[2999] != 11 || !slices.IsSorted(of) {
		t.Errorf("bands %q", names)
	}
	if names, of := ESCI().Bands(12); strings.Join(names, "") != "ICSE" || !slices.Equal(of, []int{0, 1, 2, 3}) {
		t.Errorf("bands of ESCI %q %v", names, of)
	}
}

func TestLabelsThatAreNone(t *testing.T) {
	for s, want := range map[string]Label{"0,5": "0.5", "-1,25": "-1.25", "1,0000": "1"} {
		if l, err := ParseLabel(s); l != want || err != nil {
			t.Errorf("%q is %v, error %v", s, l, err)
		}
	}
	for _, s := range []string{"1,000", "0,5,5", "X", "NaN", "-Inf", "1000001", "-2e6", "E S"} {
		if l, err := ParseLabel(s); err == nil {
			t.Errorf("%q is %v", s, l)
		}
	}
}

// FuzzLabel: a label is read or refused, and what it is called reads back.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"E", " exact ", "1", "-0", "1e6", "0x1p3", "1e-320", "Infinity", "1_0", "\xff", "", "-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLabel(s)
		if err != nil {
			return
		}
		if again, err := ParseLabel(string(l)); err != nil || again != l {
			t.Fatalf("label %q is %q, which is %q (%v)", s, l, again, err)
		}
		if l == Unlabelled || l.Pooled() {
			return
		}
		q := setOf(t, []Judgment{{QueryID: "q", Product: "a", Label: l}})
		if got := q.Label(&q.Queries[0], 0); got != l {
			t.Fatalf("label %q is %q in its scale", l, got)
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
	scales := []Scale{ESCI(), Numeric([]float64{0, .5, 1, 3})}
	f.Fuzz(func(t *testing.T, s string) {
		for _, scale := range scales {
			if levels, err := scale.Relevant(s); err == nil && (len(levels) != len(scale.Levels) || !slices.Contains(levels, true) || !slices.Contains(levels, false)) {
				t.Fatalf("%q: %v", s, levels)
			}
		}
	})
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
			parts = append(parts, string(l.Label)+"="+strconv.FormatFloat(table.Gains[i], 'g', -1, 64))
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
		{Numeric([]float64{0, 1, 3}), "[{numeric [0 1 3]} {exact [0 0 1]} {exp [0 1 7]}]"},
		{Numeric([]float64{0, 100}), "[{numeric [0 100]} {exact [0 1]}]"}, // 2^100 says nothing
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
		{"negative is pooled and not judged", "-1 -2 3", "numeric", "0 3", "c=3"},
		{"numbers are sorted as numbers", "9 10 1", "numeric", "0 1 9 10", "a=9 b=10 c=1"},
	} {
		labels := strings.Split(c.labels, " ")
		if strings.Contains(c.labels, "|") {
			labels = strings.Split(c.labels, "|")
		}
		var js []Judgment
		for i, l := range labels {
			js = append(js, Judgment{QueryID: "q", Product: string(rune('a' + i)), Label: labelOf(l)})
		}
		q, _, err := NewSet(Of(sequence(js)), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var levels []string
		for _, l := range q.Scale.Levels {
			levels = append(levels, string(l.Label))
		}
		if got := labelsOf(q, 0); q.Scale.Name != c.scale || strings.Join(levels, " ") != c.levels || got != c.want || q.Count+len(q.Queries[0].Pooled) != len(js) {
			t.Errorf("%s: scale %s %v, judgements %s, count %d", c.name, q.Scale.Name, levels, got, q.Count)
		}
	}
}
