package eval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// tuned is a query with the rank at which each of three settings puts its only
// relevant product.
type tuned struct {
	query judgments.Query
	lists [][]Hit
	dev   bool
}

// tuneCase makes queries of which the setting "right" puts the product first mostly,
// "plain" second and "wrong" third.
func tuneCase(dev, test int) (out []tuned) {
	r := rand.New(rand.NewPCG(6, 1))
	for i := range dev + test {
		t := tuned{query: judgments.Query{ID: fmt.Sprint("q", i), Text: fmt.Sprint("text ", i), Products: []string{"p"}, Levels: []int32{3}}, dev: i < dev}
		for s := range 3 {
			list := []string{"x", "y", "z"}
			at := []int{1, 2, 0}[s]
			if r.IntN(10) == 0 { // no setting is always the same
				at = r.IntN(3)
			}
			list = slices.Insert(list, at, "p")
			t.lists = append(t.lists, ranked(list...))
		}
		out = append(out, t)
	}
	return out
}

var tuneSettings = []string{"plain", "wrong", "right"}

func tunerOf(t *testing.T, settings []string, metric string, o Options, queries []tuned) *Tuner {
	t.Helper()
	o.Draws = 500
	tuner, err := NewTuner(settings, metricsOf(t, metric)[0], judgments.ESCI(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range queries {
		tuner.Add(&queries[i].query, queries[i].lists, queries[i].dev)
	}
	return tuner
}

func TestTunerChoosesTheBest(t *testing.T) {
	out, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, tuneCase(60, 40)).Choose("plain")
	if err != nil {
		t.Fatal(err)
	}
	if out.Chosen != "right" || out.Dev != 60 || out.Test != 40 || len(out.Settings) != 3 || out.Metric != "mrr@10" {
		t.Errorf("%+v", out)
	}
	// Where one setting is clearly best, choosing is worth what it is.
	if !near(float64(out.CrossValidated), float64(out.Settings[2].Dev)) {
		t.Errorf("cross-validated %g, the best has %g", float64(out.CrossValidated), float64(out.Settings[2].Dev))
	}
	c := out.Comparison
	if c == nil || c.A != "the fusion plain" || c.B != "the chosen fusion" || c.Queries != 40 || c.Outcome != Better || !near(float64(c.Difference), float64(out.Settings[2].Test-out.Settings[0].Test)) {
		t.Errorf("%+v", c)
	}
	if out, err = tunerOf(t, tuneSettings, "mrr@10", Options{}, tuneCase(60, 40)).Choose("right"); err != nil || out.Comparison != nil {
		t.Errorf("the current setting was compared with itself: %+v, %v", out, err)
	}
	if out, err = tunerOf(t, tuneSettings, "mrr@10", Options{}, tuneCase(60, 40)).Choose(""); err != nil || out.Comparison == nil || out.Comparison.A != "the fusion plain" {
		t.Errorf("%+v, %v", out, err)
	}
}

// The first setting stands with the plainest; what nobody would notice does not
// unseat it.
func TestTunerKeepsThePlainestOfEquals(t *testing.T) {
	queries := tuneCase(40, 20)
	for i := range queries {
		queries[i].lists[2] = queries[i].lists[0]
	}
	out, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, queries).Choose("wrong")
	if err != nil || out.Chosen != "plain" {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = tunerOf(t, tuneSettings, "mrr@10", Options{Tie: 1}, tuneCase(40, 20)).Choose("")
	if err != nil || out.Chosen != "plain" {
		t.Errorf("%+v, %v", out, err)
	}
}

// Test queries take no part in choosing.
func TestTunerDoesNotLookAtTestQueries(t *testing.T) {
	queries := tuneCase(60, 40)
	for i := range queries {
		if !queries[i].dev {
			queries[i].lists[1], queries[i].lists[2] = queries[i].lists[2], queries[i].lists[1]
		}
	}
	out, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, queries).Choose("plain")
	if err != nil || out.Chosen != "right" || out.Comparison.Outcome != Worse {
		t.Errorf("%+v, %v", out, err)
	}
}

// Which query is in which fold does not depend on the others, nor on their order.
func TestTunerDoesNotDependOnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 2))
	queries := tuneCase(40, 20)
	for i := range queries { // settings close to each other, so that folds disagree
		for s := range queries[i].lists {
			r.Shuffle(4, func(x, y int) {
				l := queries[i].lists[s]
				l[x].Product, l[y].Product = l[y].Product, l[x].Product
			})
		}
	}
	want, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, queries).Choose("")
	if err != nil {
		t.Fatal(err)
	}
	best := want.Settings[0].Dev
	for _, s := range want.Settings {
		best = max(best, s.Dev)
	}
	if want.CrossValidated > best {
		t.Errorf("cross-validated %g, more than the best setting has, %g", float64(want.CrossValidated), float64(best))
	}
	for range 5 {
		r.Shuffle(len(queries), func(i, j int) { queries[i], queries[j] = queries[j], queries[i] })
		got, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, queries).Choose("")
		if err != nil || got.Chosen != want.Chosen || !near(float64(got.CrossValidated), float64(want.CrossValidated)) {
			t.Errorf("%+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestTunerErrors(t *testing.T) {
	for _, n := range [][2]int{{fewestDev - 1, 50}, {50, fewestTest - 1}, {0, 0}} {
		if _, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, tuneCase(n[0], n[1])).Choose(""); err == nil || !strings.Contains(err.Error(), "too few") {
			t.Errorf("%v queries: %v", n, err)
		}
	}
	if _, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, tuneCase(fewestDev, fewestTest)).Choose(""); err != nil {
		t.Error(err)
	}
	// A query without a relevant product tells nothing.
	queries := tuneCase(fewestDev, fewestTest)
	queries[0].query.Levels = []int32{0}
	if _, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, queries).Choose(""); err == nil {
		t.Error("a query without a value counts as one to choose by")
	}
	// Nor one for which a setting has no value: it would have none on average.
	queries = tuneCase(fewestDev, fewestTest)
	queries[0].lists[1] = nil
	if _, err := tunerOf(t, tuneSettings, "judged@10", Options{}, queries).Choose(""); err == nil {
		t.Error("a query without a value for one setting counts as one to choose by")
	}
	if _, err := tunerOf(t, tuneSettings, "mrr@10", Options{}, tuneCase(60, 40)).Choose("other"); err == nil {
		t.Error("a current setting that was not tried was compared")
	}
	if _, err := NewTuner(tuneSettings[:1], metricsOf(t, "mrr@10")[0], judgments.ESCI(), Options{}); err == nil {
		t.Error("one setting is no choice")
	}
	if _, err := NewTuner(tuneSettings, metricsOf(t, "ndcg{none}@10")[0], judgments.ESCI(), Options{}); err == nil {
		t.Error("there is no such gain table")
	}
	if _, err := NewTuner(tuneSettings, metricsOf(t, "mrr@10")[0], judgments.ESCI(), Options{Draws: 1}); err == nil {
		t.Error("one draw is too few")
	}
}

func TestDevQueries(t *testing.T) {
	queries := func(n int, split, text string) (out []judgments.Query) {
		for i := range n {
			q := judgments.Query{ID: fmt.Sprint(split, i), Split: split}
			if text != "" {
				q.Text = fmt.Sprint(text, i)
			}
			out = append(out, q)
		}
		return out
	}
	share := func(q *judgments.Set) float64 {
		return float64(len(q.Only(DevQueries(q)).Queries)) / float64(len(q.Queries))
	}
	// Those of a split meant for it, where there are enough.
	q := &judgments.Set{Queries: slices.Concat(queries(fewestDev, "train", "t"), queries(30, "test", "t"))}
	for _, dev := range q.Only(DevQueries(q)).Queries {
		if dev.Split != "train" {
			t.Errorf("%+v serves for choosing", dev)
		}
	}
	if got := share(q); got != .4 {
		t.Errorf("%g of the queries serve for choosing", got)
	}
	// Else half, also where there are ids only.
	for _, text := range []string{"t", ""} {
		if got := share(&judgments.Set{Queries: slices.Concat(queries(fewestDev-1, "train", text), queries(300, "test", text))}); got < .4 || got > .6 {
			t.Errorf("%g of the queries serve for choosing", got)
		}
	}
	// One text is on one side, however it is written.
	dev := DevQueries(&judgments.Set{})
	for i := range 50 {
		a, b := &judgments.Query{ID: "1", Text: fmt.Sprint("Red  lamp ", i)}, &judgments.Query{ID: "2", Text: fmt.Sprint(" red LAMP ", i)}
		if dev(a) != dev(b) {
			t.Errorf("%q and %q are on two sides", a.Text, b.Text)
		}
	}
}
