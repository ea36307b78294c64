package eval_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/formats"
	"github.com/trirank/trirank/internal/peers"
	"github.com/trirank/trirank/judgments"
)

var update = flag.Bool("update", false, "store what the other implementations compute (they must be there: make test-peers)")

// reference is what eval/testdata/peers/reference.py prints.
type reference struct {
	Metrics    map[string]map[string]float64 `json:"metrics"`
	Pairs      map[string]map[string]float64 `json:"pairs"`
	Statistics []struct{ P, Low, High float64 }
}

// peerCase is a random evaluation with all that makes implementations differ: ties,
// unjudged hits, products that are pooled and not judged, queries without hits, without relevant products and missing ones,
// short and long lists.
func peerCase(t testing.TB) (q *judgments.Set, run, other *eval.Run) {
	g := rand.New(rand.NewPCG(11, 12))
	var js []judgments.Judgment
	run = &eval.Run{System: "run", Hits: map[string][]eval.Hit{}}
	other = &eval.Run{System: "other", Hits: map[string][]eval.Hit{}}
	for i := range 80 {
		id := fmt.Sprint(100 + i)
		pool := 1 + g.IntN(150)
		for p := range pool {
			if g.IntN(3) > 0 {
				continue
			}
			label := max(-1, g.IntN(7)-3) // -1: pooled and not judged
			if i%13 == 0 {
				label = 0 // nothing to be found
			}
			js = append(js, judgments.Judgment{QueryID: id, Product: fmt.Sprintf("p%03d", p), Label: judgments.Label(fmt.Sprint(label))})
		}
		js = append(js, judgments.Judgment{QueryID: id, Product: "never-returned", Label: judgments.Label(fmt.Sprint(i % 4 * min(1, i%13)))})
		for _, r := range []*eval.Run{run, other} {
			if i%17 == 3 && r == run {
				continue // not answered
			}
			var hits []eval.Hit
			for p := range pool {
				if g.IntN(4) > 0 {
					hits = append(hits, eval.Hit{Product: fmt.Sprintf("p%03d", p), Score: float64(g.IntN(12))})
				}
			}
			if len(hits) > 0 {
				r.Hits[id] = hits
			}
		}
	}
	for _, r := range []*eval.Run{run, other} {
		if err := r.Sort(); err != nil {
			t.Fatal(err)
		}
	}
	return qrelsOf(t, js), run, other
}

func qrelsOf(t testing.TB, js []judgments.Judgment) *judgments.Set {
	t.Helper()
	q, _, err := judgments.NewSet(judgments.Of(func(yield func(judgments.Judgment, error) bool) {
		for _, j := range js {
			if !yield(j, nil) {
				return
			}
		}
	}), judgments.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// samples are the pairs of value lists for statistics: few enough to try every
// permutation.
func samples() (out []map[string][]float64) {
	g := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{5, 8, 11} {
		a, b := make([]float64, n), make([]float64, n)
		for i := range a {
			a[i] = math.Round(g.Float64()*100) / 100
			b[i] = math.Round(g.Float64()*100)/100 + .15
		}
		out = append(out, map[string][]float64{"a": a, "b": b})
	}
	return out
}

// peerFolder writes the case as any tool reads it.
func peerFolder(t testing.TB, q *judgments.Set, run, other *eval.Run) string {
	dir := t.TempDir()
	write := func(name string, write func(b *bytes.Buffer) error) {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("qrels.trec", func(b *bytes.Buffer) error { return judgments.WriteQrels(b, q) })
	write("run.trec", func(b *bytes.Buffer) error { return formats.WriteRun(b, run, q.Queries) })
	write("other.trec", func(b *bytes.Buffer) error { return formats.WriteRun(b, other, q.Queries) })
	write("pairs.json", func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(samples()) })
	return dir
}

const peerModules = "pytrec_eval, ir_measures, ranx, rbo, scipy"

const peersFile = "testdata/peers/reference.json"

// TestPeers compares every metric with trec_eval, ranx and ir_measures, by running
// them where they are installed and by what they computed before elsewhere.
func TestPeers(t *testing.T) {
	q, run, other := peerCase(t)
	var stored reference
	if p := peers.Python(t, peerModules); p != "" {
		out, err := exec.Command(p, "testdata/peers/reference.py", peerFolder(t, q, run, other)).Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
		}
		var live reference
		if err := json.Unmarshal(out, &live); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(peersFile, append(out, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Run("live", func(t *testing.T) { checkPeers(t, q, run, other, &live) })
	}
	b, err := os.ReadFile(peersFile)
	if err == nil {
		err = json.Unmarshal(b, &stored)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Run("stored", func(t *testing.T) { checkPeers(t, q, run, other, &stored) })
}

func checkPeers(t *testing.T, q *judgments.Set, run, other *eval.Run, want *reference) {
	var metrics []eval.Metric
	var names []string
	for name := range want.Metrics {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) < 20 {
		t.Fatalf("only %d metrics to compare with", len(names))
	}
	for _, name := range names {
		m, err := eval.ParseMetric(name)
		if err != nil {
			t.Fatal(err)
		}
		metrics = append(metrics, m)
	}
	// gdeval, which computes ERR, takes 4 for the greatest grade; so does a scale
	// with that label.
	four := q.Scale
	four.Levels = append(slices.Clone(four.Levels), judgments.Level{Label: "4", Gain: 4, Grade: 4})
	calculator := func(s judgments.Scale) *eval.Calculator {
		c, err := eval.NewCalculator(s, metrics, s.Tables(), ">=1")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ours, oursOfFour := calculator(q.Scale), calculator(four)
	compared := make([]int, len(metrics))
	got, gotOfFour := make([]float64, len(metrics)), make([]float64, len(metrics))
	for i := range q.Queries {
		query := &q.Queries[i]
		ours.Query(query, run.Hits[query.ID], got)
		oursOfFour.Query(query, run.Hits[query.ID], gotOfFour)
		for m, name := range names {
			value, tolerance := got[m], 1e-9
			if metrics[m].Name == "err" {
				value, tolerance = gotOfFour[m], 5.1e-6 // it prints five decimals
			}
			theirs, ok := want.Metrics[name][query.ID]
			switch {
			case !ok && len(run.Hits[query.ID]) == 0: // they pass over what was not answered
				if !math.IsNaN(value) && value != 0 {
					t.Errorf("%s of query %s, which was not answered, is %g", name, query.ID, value)
				}
				continue
			case math.IsNaN(value): // nothing to be found: they count 0
				if theirs != 0 {
					t.Errorf("%s of query %s does not exist, they have %g", name, query.ID, theirs)
				}
				continue
			case !ok && metrics[m].Name == "cndcg": // no judged hit
				theirs = 0
			case !ok:
				t.Errorf("%s of query %s is not among theirs", name, query.ID)
				continue
			}
			if metrics[m].Name == "judged" && len(run.Hits[query.ID]) < 10 {
				continue // see TestJudged: they divide by k, however few hits there are
			}
			compared[m]++
			if math.Abs(value-theirs) > tolerance {
				t.Errorf("%s of query %s is %.12f, theirs is %.12f", name, query.ID, value, theirs)
			}
		}
	}
	for m, n := range compared {
		if n < 30 {
			t.Errorf("%s was compared for %d queries only", names[m], n)
		}
	}
	list := func(hits []eval.Hit) (out []string) {
		for _, h := range hits {
			out = append(out, h.Product)
		}
		return out
	}
	for query, theirs := range want.Pairs["rbo"] {
		if got := eval.RBO(list(run.Hits[query]), list(other.Hits[query]), .9); math.Abs(got-theirs) > 1e-9 {
			t.Errorf("RBO of query %s is %.12f, theirs is %.12f", query, got, theirs)
		}
	}
	for query, theirs := range want.Pairs["tau"] {
		if got := eval.KendallTau(list(run.Hits[query]), list(other.Hits[query])); math.Abs(got-theirs) > 1e-9 {
			t.Errorf("tau of query %s is %.12f, theirs is %.12f", query, got, theirs)
		}
	}
	for i, s := range samples() {
		c := eval.ComparePaired(s["a"], s["b"], eval.Options{Draws: 20_000})
		theirs := want.Statistics[i]
		if math.Abs(float64(c.P)-theirs.P) > 1e-9 {
			t.Errorf("sample %d: p is %.6f, theirs is %.6f", i, c.P, theirs.P)
		}
		for _, bound := range [][2]float64{{float64(c.Low), theirs.Low}, {float64(c.High), theirs.High}} {
			if math.Abs(bound[0]-bound[1]) > .01 {
				t.Errorf("sample %d: a bound of the interval is %.4f, theirs is %.4f", i, bound[0], bound[1])
			}
		}
	}
}
