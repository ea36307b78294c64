package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/processors"
	"github.com/trirank/trirank/judgments"
)

type shelf struct{}

func (shelf) Len() int                                        { return 3 }
func (shelf) ID(row uint32) string                            { return id(int(row)) }
func (shelf) Row(string) (uint32, bool)                       { return 0, false }
func (shelf) CompareIDs(a, b uint32) int                      { return cmp.Compare(a, b) }
func (shelf) Product(row uint32) (p catalog.Product, _ error) { p.ID = id(int(row)); return p, nil }
func (shelf) Filter(engine.Filter) *bitset.BitSet             { return nil }
func (shelf) Judged(string) map[uint32]judgments.Label        { return nil }

type slow struct {
	err error
	*together
}

func (s slow) Rank(context.Context, engine.Query, int) (engine.Ranked, error) {
	s.work(2 * time.Millisecond)
	return engine.Ranked{Hits: []engine.Scored{{Row: 1, Score: 2}}, Stages: []engine.Stage{{Name: "think", Took: 2 * time.Millisecond}}}, s.err
}

func TestLatency(t *testing.T) {
	var a, b together
	ask := func(err error, o LatencyOptions) ([]Result, error) {
		e, bad := engine.New(engine.Config{Products: shelf{}, Systems: []engine.System{{Name: "a", Ranker: slow{nil, &a}}, {Name: "b", Ranker: slow{err, &b}}}})
		if bad != nil {
			t.Fatal(bad)
		}
		return Latency(t.Context(), e, []string{"x", "y"}, o)
	}
	results, err := ask(nil, LatencyOptions{Clients: []int{1, 3}, Budget: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range results {
		r := &results[i]
		names = append(names, r.String())
		if p50 := metric(t, r, "p50-ns"); strings.HasSuffix(r.Param("stage"), "think") && p50 < 1.9e6 {
			t.Errorf("%s takes %v", r, p50)
		}
	}
	want := "Stage/stage=a_think/cache=cold/clients=1 Stage/stage=b_think/cache=cold/clients=1 Stage/stage=rank/cache=cold/clients=1 Stage/stage=fuse/cache=cold/clients=1 " +
		"Stage/stage=products/cache=cold/clients=1 Stage/stage=json/cache=cold/clients=1 Stage/stage=request/cache=cold/clients=1 "
	if got := strings.Join(names, " "); got != want+strings.TrimSpace(strings.ReplaceAll(want, "clients=1", "clients=3")) {
		t.Errorf("%s", got)
	}
	if most := a.most.Load(); most != 3 {
		t.Errorf("of three clients %d ask at a time", most)
	}
	if _, err := ask(errors.New("broken"), LatencyOptions{Budget: time.Second}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a ranking that fails gives %v", err)
	}
	if _, err := ask(nil, LatencyOptions{Clients: []int{0}}); err == nil {
		t.Error("nobody asks")
	}
}

// together counts how many are at work, and the most that were at a time.
type together struct{ now, most atomic.Int64 }

func (t *together) work(d time.Duration) {
	n := t.now.Add(1)
	for most := t.most.Load(); n > most && !t.most.CompareAndSwap(most, n); most = t.most.Load() {
	}
	time.Sleep(d)
	t.now.Add(-1)
}

// letters is a tokenizer and a network in one.
type letters struct{ short, long together }

func (*letters) Tokenize(text string) ([]uint32, error) { return make([]uint32, len(text)), nil }

func (l *letters) Run(rows, cols int, _, _ []int64, hidden []float32) error {
	length := &l.short
	if cols > len("bc") {
		length = &l.long
	}
	length.work(time.Duration(rows) * 100 * time.Microsecond)
	for i := range hidden {
		hidden[i] = 1
	}
	return nil
}

// Sessions run beside each other: queries as far as there are processors for them,
// passages all.
func TestEncode(t *testing.T) {
	o := EncodeOptions{Model: "letters", Queries: []string{"a", "bc"}, Passages: []string{"a product"}, Budget: 50 * time.Millisecond}
	var models []*letters
	open := func(s EncodeSetting) (*encoder.Encoder, error) {
		l := &letters{}
		models = append(models, l)
		return encoder.New(&encoder.Model{Dimension: 4, MaxTokens: 64}, l, l, nil, encoder.Options{Parallel: s.Sessions, BatchTokens: s.BatchTokens}), nil
	}
	results, err := Encode(t.Context(), []EncodeSetting{{Threads: 1, Sessions: 1, BatchTokens: 64}, {Threads: 1, Sessions: 4, BatchTokens: 64}}, open, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 4 || results[1].String() != "Encode/model=letters/texts=passages/threads=1/sessions=1/batch=64" {
		t.Fatalf("%+v", results)
	}
	for i, unit := range []string{"queries/s", "products/s", "queries/s", "products/s"} {
		if metric(t, &results[i], unit) <= 0 {
			t.Errorf("%s: none", &results[i])
		}
	}
	for i, least := range [][2]int64{{1, 1}, {int64(min(4, processors.Count())), 4}} {
		most := int64([]int{1, 4}[i])
		short, long := models[i].short.most.Load(), models[i].long.most.Load()
		if short < least[0] || long < least[1] || short > most || long > most {
			t.Errorf("%d sessions run %d queries and %d batches of passages at a time", most, short, long)
		}
	}
	if _, err := Encode(t.Context(), nil, open, EncodeOptions{}); err == nil {
		t.Error("there is nothing to encode")
	}
}

// one answers one request at a time, each in the given time.
func one(t *testing.T, took time.Duration, waiting int) (url string, seen *sync.Map) {
	queue := make(chan struct{}, waiting)
	working := make(chan struct{}, 1)
	seen = &sync.Map{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Query().Get("q"), r.URL.Query().Get("k"))
		select {
		case queue <- struct{}{}:
		default:
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		working <- struct{}{}
		time.Sleep(took)
		<-working
		<-queue
	}))
	t.Cleanup(s.Close)
	return s.URL, seen
}

// A server that takes 20 ms for each of 100 requests a second, one after the other,
// falls behind: the last was due a second before it is answered. A client that waits
// for its answer before it asks again would see 20 ms each time.
func TestLoadIsOpen(t *testing.T) {
	url, seen := one(t, 20*time.Millisecond, 1000)
	results, err := Load(t.Context(), LoadOptions{URL: url + "/?k=7", Queries: []string{"blue hat", "red"}, Rates: []float64{100}, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Runs != 100 {
		t.Fatalf("%+v", results)
	}
	if p90 := time.Duration(metric(t, &results[0], "p90-ns")); p90 < 600*time.Millisecond {
		t.Errorf("the p90 is %v", p90)
	}
	n := 0
	seen.Range(func(q, k any) bool {
		n++
		if k != "7" || !strings.HasPrefix(q.(string), "blue hat ") && !strings.HasPrefix(q.(string), "red ") {
			t.Errorf("%q is asked with k=%q", q, k)
		}
		return true
	})
	if n < 80 {
		t.Errorf("only %d different queries of 111", n)
	}
}

func TestLoadKnee(t *testing.T) {
	url, _ := one(t, 10*time.Millisecond, 20) // 100 a second, and refuses the 21st
	results, err := Load(t.Context(), LoadOptions{URL: url, Queries: []string{"hat"}, Duration: 600 * time.Millisecond, Limit: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	knee, twice := results[len(results)-2], results[len(results)-1]
	var rate float64
	fmt.Sscan(knee.Param("rate"), &rate)
	if knee.Param("what") != "knee" || rate < 5 || rate > 120 {
		t.Errorf("the knee is %s", &knee)
	}
	if twice.Param("what") != "twice" {
		t.Errorf("%s", &twice)
	}
	if rate > 60 { // a busy machine may have found a lower one
		if refused, _ := twice.Metric("status-429"); refused == 0 {
			t.Errorf("nobody is refused at twice the knee: %+v", twice)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, o := range []LoadOptions{
		{URL: "here", Queries: []string{"x"}},
		{URL: "http://127.0.0.1:1/", Queries: []string{"x"}}, // nobody answers
		{URL: "http://127.0.0.1:1/"},
		{URL: "http://127.0.0.1:1/", Queries: []string{"x"}, Rates: []float64{-1}},
		{URL: "http://127.0.0.1:1/", Queries: []string{"x"}, Repeat: 2},
	} {
		if r, err := Load(t.Context(), o); err == nil {
			t.Errorf("%+v gives %+v", o, r)
		}
	}
	url, _ := one(t, time.Millisecond, 0)
	if _, err := Load(t.Context(), LoadOptions{URL: url, Queries: []string{"x"}}); err == nil || !strings.Contains(err.Error(), "status 429") {
		t.Errorf("a server that refuses all gives %v", err)
	}
}

func TestRepeat(t *testing.T) {
	a := newAsker([]string{"a", "b", "c"}, .3)
	plain := 0
	for i := range 100 {
		if len(a.query(i)) == 1 {
			plain++
		}
	}
	if plain != 30 {
		t.Errorf("%d of 100 are repeated, not 30", plain)
	}
}

// Whoever interrupts does not wait for a server that never answers, nor is a request
// sent twice to one that hangs up.
func TestLoadIsInterrupted(t *testing.T) {
	var requests atomic.Int32
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 { // and no other one is answered
			return
		}
		<-hang
	}))
	defer s.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Load(ctx, LoadOptions{URL: s.URL, Queries: []string{"x"}, Rates: []float64{10}, Duration: time.Second})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestLoadDoesNotRepeat(t *testing.T) {
	var requests atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			panic(http.ErrAbortHandler) // hangs up
		}
	}))
	defer s.Close()
	results, err := Load(t.Context(), LoadOptions{URL: s.URL, Queries: []string{"x"}, Rates: []float64{20}, Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n > 31 { // the first, ten to warm up, twenty
		t.Errorf("%d requests for 31", n)
	}
	if lost := metric(t, &results[0], "no_answer"); lost != 20 {
		t.Errorf("%v of 20 have no answer", lost)
	}
}
