package sweep

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
)

func TestGrid(t *testing.T) {
	got, err := Grid([]string{"learning-rate=1e-4,2e-4", "blend=0, .3"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"learning-rate=1e-4 blend=0", "learning-rate=1e-4 blend=.3", "learning-rate=2e-4 blend=0", "learning-rate=2e-4 blend=.3"}
	for i, s := range got {
		if s.String() != want[i] {
			t.Errorf("setting %d is %q, want %q", i, s, want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d settings", len(got))
	}
	rest, value := got[3].Without("blend")
	if rest.String() != "learning-rate=2e-4" || value != ".3" {
		t.Errorf("%s without blend=%s", rest, value)
	}
	if one, err := Grid(nil); err != nil || len(one) != 1 || one[0].String() != "as given" {
		t.Errorf("no axis: %v, %v", one, err)
	}
	if lists, err := Grid([]string{"lora-targets=query,value;key"}); err != nil || len(lists) != 2 || lists[0][0].Value != "query,value" {
		t.Errorf("lists: %v, %v", lists, err)
	}
	for axes, want := range map[string]string{
		"temperature": "is no axis", "=1": "is no axis", "a=": "is no axis", "a=1,,2": "empty or a repeated", "a=1,1": "empty or a repeated",
		"a=1 a=2": "varies a twice", "a=" + numbers(15) + " b=" + numbers(15): "more than 200 settings", "b=1,2 a=1,1": "empty or a repeated",
	} {
		if _, err := Grid(strings.Fields(axes)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", axes, err)
		}
	}
}

func numbers(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return strings.Join(list, ",")
}

func TestFold(t *testing.T) {
	counts := make([]int, 5)
	for i := range 5000 {
		q := fmt.Sprint("query ", i)
		f := Fold(q, 5)
		counts[f]++
		if Fold(strings.ToUpper(q), 5) != f {
			t.Fatalf("%q changes its fold with its case", q)
		}
	}
	for f, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("fold %d has %d of 5000 queries", f, n)
		}
	}
}

// measured are values that differ from a baseline by shift, with noise.
func measured(name string, baseline Values, shift, noise float64) Measured {
	g := rand.New(rand.NewPCG(1, uint64(len(name))))
	m := Measured{Setting: Setting{{"rate", name}}, Seconds: 12}
	m.Values.Queries = baseline.Queries
	for i := range baseline.Queries {
		m.Values.NDCG = append(m.Values.NDCG, baseline.NDCG[i]+eval.Number(shift+noise*g.NormFloat64()))
		m.Values.Recall = append(m.Values.Recall, baseline.Recall[i])
	}
	return m
}

func baseline() (v Values) {
	for i := range 100 {
		v.Add(Values{[]string{fmt.Sprint("q", i)}, []eval.Number{eval.Number(float64(i) / 200)}, []eval.Number{.5}})
	}
	v.NDCG[7], v.Recall[7] = eval.Number(math.NaN()), eval.Number(math.NaN()) // nothing relevant
	return v
}

func TestCompare(t *testing.T) {
	base := baseline()
	table, err := Compare(base, []Measured{measured("none", base, 0, .05), measured("better", base, .05, .05), measured("worse", base, -.05, .05)}, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	if table.Best != 1 || table.Queries != 99 {
		t.Errorf("%+v", table)
	}
	for i, want := range []float64{0, .05, -.05} {
		r := table.Rows[i]
		if c := r.ByNDCG; c.Queries != 99 || float64(c.Low) > want+.01 || float64(c.High) < want-.01 || math.Abs(float64(c.Mean)-want) > .02 {
			t.Errorf("%s: %+v", r.Setting, c)
		}
		if r.ByNDCG.PHolm < r.ByNDCG.P || (r.ByNDCG.PHolm < .05) != (want != 0) {
			t.Errorf("%s: p is %g, corrected %g", r.Setting, float64(r.ByNDCG.P), float64(r.ByNDCG.PHolm))
		}
		if r.Recall != .5 || r.ByRecall.Mean != 0 {
			t.Errorf("%s: %+v", r.Setting, r.ByRecall)
		}
	}
	var text, list strings.Builder
	if err := table.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(before)", "rate=better *", "99 queries in 5 folds", "corrected for 3 settings", "better than the model that all began with: rate=better. The best of several"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	if err := table.WriteCSV(&list); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(strings.NewReader(list.String())).ReadAll(); err != nil || len(rows) != 5 {
		t.Errorf("%v:\n%s", err, list.String())
	}
	for want, list := range map[string][]Measured{
		"no setting can be shown": {measured("none", base, 0, .05), measured("worse", base, -.05, .05)},
		"it is better than":       {measured("better", base, .05, .05)},
		"it is worse than":        {measured("worse", base, -.05, .05)},
		"no difference to":        {measured("none", base, 0, .05)},
	} {
		table, err := Compare(base, list, 5, 1)
		if err != nil || !strings.Contains(table.Verdict(), want) {
			t.Errorf("%s: %q, %v", want, table.Verdict(), err)
		}
	}
	// The highest mean need not be the one that is shown.
	noisy := measured("noisy", base, .06, 1)
	table, err = Compare(base, []Measured{noisy, measured("better", base, .03, .02), {Setting: Setting{{"rate", "9"}}, Failed: "it exploded"}}, 5, 1)
	if err != nil || !strings.Contains(table.Verdict(), "began with: rate=better.") {
		t.Errorf("%+v, %v", table, err)
	}
	text.Reset()
	if err := table.WriteText(&text); err != nil || !strings.Contains(text.String(), "failed: it exploded") {
		t.Errorf("%v\n%s", err, text.String())
	}
	other := measured("x", base, 0, .1)
	other.Values.Queries = append([]string{"another"}, other.Values.Queries[1:]...)
	if _, err := Compare(base, []Measured{other}, 5, 1); err == nil {
		t.Error("values of other queries are compared")
	}
}
