package eval

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

func equalValues(a, b Values) bool {
	return a.Task == b.Task && a.System == b.System && slices.Equal(a.Metrics, b.Metrics) && reflect.DeepEqual(a.Queries, b.Queries) &&
		slices.EqualFunc(a.Rows, b.Rows, func(x, y []float64) bool { return slices.EqualFunc(x, y, same) })
}

func TestValuesByQuery(t *testing.T) {
	nan := math.NaN()
	queries := []judgments.Query{{ID: "1", Text: "a, \"b\"", Split: "test"}, {ID: "2", Text: "two\nlines"}, {ID: "3"}}
	full := Values{Task: FullTask, System: "a b", Metrics: metricsOf(t, "ndcg@10", "rbp(0.000000001)"), Queries: queries, Rows: [][]float64{{.1 + .2, 0}, {nan, 1. / 3}, {1, math.SmallestNonzeroFloat64}}}
	pool := Values{Task: PoolTask, System: "a b", Metrics: metricsOf(t, "ndcg", "ndcg@10"), Queries: queries[:2], Rows: [][]float64{{-1e300, .5}, {nan, nan}}}
	var b bytes.Buffer
	if err := WriteValues(&b, []Values{full, pool}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if first, _, _ := strings.Cut(text, "\n"); first != "task,system,query_id,query,split,ndcg@10,rbp(0.000000001),ndcg" {
		t.Error(first)
	}
	got, err := ReadValues(&b)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	// All metrics come back for all tasks, without values where there were none.
	all := metricsOf(t, "ndcg@10", "rbp(0.000000001)", "ndcg")
	full.Metrics, full.Rows = all, [][]float64{{.1 + .2, 0, nan}, {nan, 1. / 3, nan}, {1, math.SmallestNonzeroFloat64, nan}}
	pool.Metrics, pool.Rows = all, [][]float64{{.5, nan, -1e300}, {nan, nan, nan}}
	if !equalValues(got[0], full) || !equalValues(got[1], pool) {
		t.Errorf("%+v", got)
	}
	var again bytes.Buffer
	if err := WriteValues(&again, got); err != nil || again.String() != text {
		t.Errorf("written again\n%s\nbefore\n%s%v", &again, text, err)
	}
}

func TestValuesErrors(t *testing.T) {
	const header = "task,system,query_id,query,split,ndcg@10\n"
	for text, says := range map[string]string{
		"":      "EOF",
		"a,b\n": "the columns are not those of per_query.csv",
		"system,task,query_id,query,split,ndcg@10\n":          "the columns are not those",
		"task,system,query_id,query,split,gain\n":             `metric "gain" is unknown`,
		header + "full,a,1,x\n":                               "wrong number of fields",
		header + "full,a,1,x,,.5\nfull,a,2,x,,half\n":         `line 3: "half" is not a number`,
		header + "full,a,1,x,,Inf\n":                          `"Inf" is not a number`,
		header + "full,a,1,x,,NaN\n":                          `"NaN" is not a number`,
		header + "full,a,1,\"x,,.5\n":                         "quote",
		header + "full,a,1,x,,.5\nfull,a,1,y,,.5\n":           `line 3: query "1" is there twice for system "a" (full)`,
		header + "full,a,1,,,1\nfull,b,1,,,1\nfull,a,2,,,1\n": `line 4: system "a" (full) goes on after another one`,
	} {
		if got, err := ReadValues(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "cannot read the values by query: ") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if got, err := ReadValues(strings.NewReader(header)); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	v := Values{Metrics: metricsOf(t, "ndcg"), Queries: []judgments.Query{{ID: "1"}}, Rows: [][]float64{{1}}}
	if err := WriteValues(brokenWriter{}, []Values{v}); err == nil {
		t.Error("no error of a writer that broke")
	}
}

// Values that were edited, cut off or taken from elsewhere do not agree with their
// report.
func TestCheckValues(t *testing.T) {
	nan := math.NaN()
	made := func() (*Report, []Values) {
		queries := []judgments.Query{{ID: "1"}, {ID: "2"}, {ID: "3"}}
		metrics := metricsOf(t, "ndcg@10", "judged@10")
		all := []Values{
			{Task: FullTask, System: "a", Metrics: metrics, Queries: queries, Rows: [][]float64{{.1, 1}, {nan, .5}, {.4, nan}}},
			{Task: FullTask, System: "b", Metrics: metrics, Queries: queries, Rows: [][]float64{{.3, 1}, {.9, .5}, {.4, 0}}},
		}
		infos := []MetricInfo{
			{Metric: "ndcg@10", Title: "nDCG@10", Values: []Value{{Mean: .25}, {Mean: Number(nan)}, {Mean: .35}}}, // b's .9 is left out
			{Metric: "judged@10", Neutral: true, Values: []Value{{Mean: .75}, {Mean: Number(nan)}, {Mean: .5}}},
		}
		return &Report{Systems: []SystemInfo{{Name: "a"}, {Name: "none"}, {Name: "b"}}, Tasks: []Task{{Name: FullTask, Queries: 3, Metrics: infos}}, ValuesSHA256: HashValues(all)}, all
	}
	r, all := made()
	if err := r.CheckValues(all); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := WriteValues(&b, all); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(b.Bytes()); r.ValuesSHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("hash %s", r.ValuesSHA256)
	}
	for says, change := range map[string]func(r *Report, all []Values) []Values{
		"b (full): the mean of nDCG@10 over the values is 0.350000005, but the report says 0.35": func(_ *Report, all []Values) []Values { all[1].Rows[0][0] += 1e-8; return all },
		"a (full): the mean of nDCG@10 over the values is 0.25, but the report says 0.26":        func(r *Report, all []Values) []Values { r.Tasks[0].Metrics[0].Values[0].Mean = .26; return all },
		"the report says 0.1":             func(r *Report, all []Values) []Values { r.Tasks[0].Metrics[0].Values[1].Mean = .1; return all },
		"a (full): the mean of Judged@10": func(_ *Report, all []Values) []Values { all[0].Rows[2][1] = 0; return all },
		"b (full) has the values of 2 queries, but the report is of 3": func(_ *Report, all []Values) []Values {
			all[1].Queries, all[1].Rows = all[1].Queries[1:], all[1].Rows[1:]
			return all
		},
		"over the values is NaN":                      func(_ *Report, all []Values) []Values { return all[1:] },
		"there are no values of the task full":        func(*Report, []Values) []Values { return nil },
		`the report has no system "c" in task "full"`: func(_ *Report, all []Values) []Values { all[1].System = "c"; return all },
		`the report has no system "b" in task "pool"`: func(_ *Report, all []Values) []Values { all[1].Task = PoolTask; return all },
		"there is no column map (full)":               func(r *Report, all []Values) []Values { r.Tasks[0].Metrics[0].Metric = "map"; return all },
		`metric "x" is unknown`:                       func(r *Report, all []Values) []Values { r.Tasks[0].Metrics[0].Metric = "x"; return all },
		"nDCG@10 (full) has 1 means for 3 systems": func(r *Report, all []Values) []Values {
			r.Tasks[0].Metrics[0].Values = r.Tasks[0].Metrics[0].Values[:1]
			return all
		},
	} {
		r, all := made()
		all = change(r, all)
		if says == "over the values is NaN" { // a's means must be there
			says = "a (full): the mean of nDCG@10 over the values is NaN, but the report says 0.25"
		}
		if err := r.CheckValues(all); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	// What Evaluate writes agrees.
	in := small(t)
	r, values, err := Evaluate(t.Context(), in, Options{Draws: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckValues(values); err != nil {
		t.Error(err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// FuzzReadValues: what is read can be written, and then reads back.
func FuzzReadValues(f *testing.F) {
	const header = "task,system,query_id,query,split,ndcg@10,rbp(.5)\n"
	for _, s := range []string{header + "full,a,1,x,,.5,\npool,a,1,x,,,NaN\n", header, header + ",,,,,,\n", header + "a,b,c,\"d\r\ne\",f,0x1p-3,1e-400\n", "task,system,query_id,query,split,AP,map\na,b,c,d,e,1,2\n", "\ufeff" + header} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := ReadValues(strings.NewReader(s))
		if err != nil || len(first) == 0 {
			return
		}
		for i, m := range first[0].Metrics {
			if slices.Contains(first[0].Metrics[:i], m) {
				return // two spellings of one metric become one column
			}
		}
		if strings.Contains(s, "\r") {
			return // CSV does not tell the ends of lines apart
		}
		var b bytes.Buffer
		if err := WriteValues(&b, first); err != nil {
			t.Fatal(err)
		}
		second, err := ReadValues(&b)
		if err != nil || !slices.EqualFunc(first, second, equalValues) {
			t.Fatalf("%q: %+v, then %+v, %v", s, first, second, err)
		}
	})
}

func TestTrainingRecords(t *testing.T) {
	want := &Training{Queries: []string{"red \"lamp\"", "\u2028"}, Products: []string{"p1"}}
	var b bytes.Buffer
	if err := WriteTraining(&b, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadTraining(&b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	// To go on without the record would let a model be tested on what it has learnt.
	const write = ` (write {"format": 1, "queries": [texts], "products": [ids]})`
	for s, says := range map[string]string{
		"":                                  "it is empty (make it again)",
		"{}":                                "its format is 0, this program reads 1",
		"null":                              "its format is 0, this program reads 1",
		"[]":                                "the record is of the type array" + write,
		`{"format":2}`:                      "its format is 2, this program reads 1",
		`{"format":1,"queries":"red lamp"}`: `"queries" is of the type string` + write,
		`{"format":1`:                       "it is cut off (make it again)",
		`{"format":1,"queries":["a" "b"]}`:  "it is not valid JSON: invalid character '\"' after array element, at byte 28",
		`{"format":1,"queries":["a"]} {}`:   "there is more behind its end (it must be one JSON object)",
	} {
		if got, err := ReadTraining(strings.NewReader(s)); err == nil || err.Error() != "cannot read the record of training: "+says {
			t.Errorf("%q: %+v, %v, want %s", s, got, err, says)
		}
	}
}

// FuzzReadTraining: what is read can be written, and then reads back.
func FuzzReadTraining(f *testing.F) {
	for _, s := range []string{`{"format":1,"queries":["a","\ud800"],"products":["p"]}`, `{"format":1}`, `{"format":1.5}`, `{"format":1,"queries":null}{`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := ReadTraining(strings.NewReader(s))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteTraining(&b, first); err != nil {
			t.Fatal(err)
		}
		if second, err := ReadTraining(&b); err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%q: %+v, then %+v, %v", s, first, second, err)
		}
	})
}
