package eval

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func equalValues(a, b Values) bool {
	return a.Task == b.Task && a.System == b.System && slices.Equal(a.Metrics, b.Metrics) && reflect.DeepEqual(a.Queries, b.Queries) &&
		slices.EqualFunc(a.Rows, b.Rows, func(x, y []float64) bool { return slices.EqualFunc(x, y, same) })
}

func TestValuesByQuery(t *testing.T) {
	nan := math.NaN()
	queries := []Query{{ID: "1", Text: "a, \"b\"", Split: "test"}, {ID: "2", Text: "two\nlines"}, {ID: "3"}}
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
		"system,task,query_id,query,split,ndcg@10\n":  "the columns are not those",
		"task,system,query_id,query,split,gain\n":     `metric "gain" is unknown`,
		header + "full,a,1,x\n":                       "wrong number of fields",
		header + "full,a,1,x,,.5\nfull,a,2,x,,half\n": `line 3: "half" is not a number`,
		header + "full,a,1,x,,Inf\n":                  `"Inf" is not a number`,
		header + "full,a,1,\"x,,.5\n":                 "quote",
	} {
		if got, err := ReadValues(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "cannot read the values by query: ") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if got, err := ReadValues(strings.NewReader(header)); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	v := Values{Metrics: metricsOf(t, "ndcg"), Queries: []Query{{ID: "1"}}, Rows: [][]float64{{1}}}
	if err := WriteValues(brokenWriter{}, []Values{v}); err == nil {
		t.Error("no error of a writer that broke")
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
	for _, s := range []string{"", "{}", "null", "[]", `{"format":2}`, `{"format":1,"queries":"red lamp"}`, `{"format":1`} {
		if got, err := ReadTraining(strings.NewReader(s)); err == nil || !strings.HasPrefix(err.Error(), "cannot read the record of training: ") {
			t.Errorf("%q: %+v, %v", s, got, err)
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
