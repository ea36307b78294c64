package formats

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

func TestReadRun(t *testing.T) {
	text := "q1 Q0 b 1 2.0 tag\nq2\tQ0\tx\t9\t-1e3\ttag\n\nq1 Q0 c 2 3 tag\r\nq1 Q0 a 3 2 tag\n"
	for _, text := range []string{text, gz(text)} {
		run, faults, err := ReadRun(file(t, "run.txt", text), "mine", false)
		if err != nil || faults.Count > 0 {
			t.Fatal(faults, err)
		}
		want := &eval.Run{System: "mine", Hits: map[string][]eval.Hit{
			"q1": {{Product: "c", Score: 3}, {Product: "a", Score: 2}, {Product: "b", Score: 2}}, "q2": {{Product: "x", Score: -1000}},
		}}
		if !reflect.DeepEqual(run, want) {
			t.Errorf("%+v", run)
		}
	}
}

func TestFaultsOfRuns(t *testing.T) {
	for line, want := range map[string]faults.Fault{
		"q Q0 d 1 2":                   {Kind: faults.Malformed, Reason: "5 fields, but a line of a run has 6: query, Q0, product, rank, score, tag"},
		"q Q0 d e 1 2 t":               {Kind: faults.Malformed, Reason: "more than 6 fields, but a line of a run has 6: query, Q0, product, rank, score, tag"},
		"q Q0 d 1 x t":                 {Kind: faults.BadNumber, Reason: `score "x" is no finite number`},
		"q Q0 d 1 NaN t":               {Kind: faults.BadNumber, Reason: `score "NaN" is no finite number`},
		"q Q0 d 1 inf t":               {Kind: faults.BadNumber, Reason: `score "inf" is no finite number`},
		"q Q0 d 1 1e999 t":             {Kind: faults.BadNumber, Reason: `score "1e999" is no finite number`},
		"q Q0 a 7 0.5 t":               {Kind: DuplicateHit, Reason: `query "q" lists product "a" twice`},
		"r Q0 a 7 0.5 t":               {Kind: DuplicateHit, Reason: `query "r" lists product "a" twice`},
		"q Q0 \xff 1 1 t":              {Kind: faults.NotUTF8, Reason: `product id "\xff" is not valid UTF-8 (convert the file)`},
		"\x01 Q0 d 1 1 t":              {Kind: faults.BadID, Reason: `query id "\x01" has a control character`},
		strings.Repeat("x", maxLine+9): {Kind: faults.TooLong, Reason: "it is too long: over 1048576 bytes in one line"},
	} {
		path := file(t, "run", "q Q0 a 1 1 t\nr Q0 a 1 1 t\n"+line+"\nq Q0 b 2 2 t\n")
		want.File, want.Line = path, 3
		_, _, err := ReadRun(path, "s", false)
		if f := (*faults.Fault)(nil); !errors.As(err, &f) || *f != want {
			t.Errorf("%.40q: error %v, want %v", line, err, &want)
		}
		run, faults, err := ReadRun(path, "s", true)
		if err != nil || faults.Count != 1 || *faults.First[0] != want || ids(run.Hits["q"]) != "b a" || len(run.Hits) != 2 {
			t.Errorf("%.40q: %+v, faults %+v, error %v", line, run, faults, err)
		}
	}
	for text, want := range map[string]string{"": "it is empty", "PAR1": "Parquet", "q 0 d 1\n": "no line that can be used"} {
		if _, _, err := ReadRun(file(t, "run", text), "s", true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v", text, err)
		}
	}
	if _, _, err := ReadRun("nowhere", "s", true); err == nil || !strings.HasPrefix(err.Error(), "cannot read the run: ") {
		t.Errorf("error %v", err)
	}
}

func TestWriteRun(t *testing.T) {
	run := &eval.Run{System: "bm25 + e5\n", Hits: map[string][]eval.Hit{
		"a": {{Product: "x", Score: 1}, {Product: "z", Score: 1}, {Product: "y", Score: -2}}, "b": {{Product: "x", Score: 3}}, "c": {{Product: "x", Score: 3}},
	}}
	var b bytes.Buffer
	if err := WriteRun(&b, run, []judgments.Query{{ID: "b"}, {ID: "none"}, {ID: "a"}}); err != nil {
		t.Fatal(err)
	}
	want := "b Q0 x 1 3 bm25_+_e5\na Q0 x 1 1 bm25_+_e5\na Q0 z 2 0.99999994 bm25_+_e5\na Q0 y 3 -2 bm25_+_e5\n"
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
	for product, score := range map[string]float64{"a b": 1, "a\u00a0b": 1, "a\x00": 1, "": 1, "\xff": 1, "nan": math.NaN()} {
		run := &eval.Run{Hits: map[string][]eval.Hit{"q": {{Product: product, Score: score}}}}
		if err := WriteRun(&b, run, []judgments.Query{{ID: "q"}}); err == nil {
			t.Errorf("%q was written", product)
		}
	}
	if err := WriteRun(&b, run, []judgments.Query{{ID: "a b"}}); err == nil {
		t.Error("a query id with a space in it was written")
	}
	if err := WriteRun(broken{}, run, []judgments.Query{{ID: "a"}}); err == nil {
		t.Error("no error of a broken writer")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

// TestRunsKeepTheirOrder writes scores of all sorts and expects every reader, of
// whatever precision, to find the order that was written.
func TestRunsKeepTheirOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	extremes := []float64{0, math.Copysign(0, -1), 1, -1, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
		math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 1e-39, 1 << 24, math.Inf(1), math.Inf(-1), 1 + 1e-12, 0.1}
	for round := range 300 {
		hits := make([]eval.Hit, 1+r.IntN(60))
		for i := range hits {
			hits[i].Product = fmt.Sprint("p", r.Uint32())
			switch round % 3 {
			case 0:
				hits[i].Score = extremes[r.IntN(len(extremes))]
			case 1:
				hits[i].Score = float64(r.IntN(4))
			default:
				hits[i].Score = (r.Float64() - .5) * math.Pow(10, float64(r.IntN(90)-45))
			}
		}
		run := &eval.Run{System: "s", Hits: map[string][]eval.Hit{"q": hits}}
		if err := run.Sort(); err != nil {
			t.Fatal(err)
		}
		want := ids(hits)
		var b bytes.Buffer
		if err := WriteRun(&b, run, []judgments.Query{{ID: "q"}}); err != nil {
			t.Fatal(err)
		}
		before32, before64 := float32(math.Inf(1)), math.Inf(1)
		for line := range strings.Lines(b.String()) {
			text := strings.Fields(line)[4]
			f32, err := strconv.ParseFloat(text, 32)
			f64, err2 := strconv.ParseFloat(text, 64)
			if err != nil || err2 != nil || float32(f32) >= before32 || f64 >= before64 {
				t.Fatalf("score %s after %v", text, before64)
			}
			before32, before64 = float32(f32), f64
		}
		got, _, err := ReadRun(file(t, "run", b.String()), "s", false)
		if err != nil || ids(got.Hits["q"]) != want {
			t.Fatalf("%v: read %s\nwant %s", err, ids(got.Hits["q"]), want)
		}
		// What is as 32 bits hold it stays as it is.
		if round%3 == 2 {
			again := new(bytes.Buffer)
			if err := WriteRun(again, got, []judgments.Query{{ID: "q"}}); err != nil || again.String() != b.String() {
				t.Fatalf("error %v, written again\n%s\nbefore\n%s", err, again, &b)
			}
		}
	}
}

func TestOrder(t *testing.T) {
	for _, f := range []float32{0, 1, -1, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32} {
		if number(order(f)) != f {
			t.Errorf("%v becomes %v", f, number(order(f)))
		}
		if f < math.MaxFloat32 && number(order(f)+1) != math.Nextafter32(f, math.MaxFloat32) {
			t.Errorf("after %v comes %v", f, number(order(f)+1))
		}
	}
}

// BenchmarkReadRun reads two million lines: 20,000 queries with 100 hits.
func BenchmarkReadRun(b *testing.B) {
	var text strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	for q := range 20_000 {
		first := r.IntN(1 << 20)
		for i := range 100 {
			fmt.Fprintf(&text, "%d Q0 B%09d %d %.6f bm25\n", q, (first+7919*i)%(1<<20), i+1, 30-float64(i)/5)
		}
	}
	path := file(b, "run", text.String())
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, _, err := ReadRun(path, "s", false); err != nil {
			b.Fatal(err)
		}
	}
}
