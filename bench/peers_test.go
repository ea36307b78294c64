package bench_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/peers"
)

var (
	peerRounds  = flag.Int("peers.rounds", 5, "how often BenchmarkPeers measures each side")
	peerSeconds = flag.Float64("peers.seconds", 1, "how long it measures each side in a round; servers several times as long")
	peerRows    = flag.Int("peers.rows", 100_000, "products of the shop that sides are compared on; it is made and kept, a million takes ten minutes")
	peerTable   = flag.String("peers.table", "", "file that it writes its table to, as Markdown")
)

// peerModules are what the scripts in peers need.
const peerModules = "faiss, onnxruntime, tokenizers, bm25s, Stemmer, numba, tantivy, fastapi, uvicorn, uvloop, httptools, orjson"

// BenchmarkPeers compares speed with that of what people use from Python for the same
// work: each side measured in turns, in the same minutes, on the same inputs and with
// as many threads, after a check that its results are ours.
func BenchmarkPeers(b *testing.B) {
	python := peers.Bench(b, peerModules)
	if python == "" {
		b.Skip("what to compare with is not installed (make bench-peers installs it)")
	}
	t := &peerTurns{python: python}
	t.head()
	b.Run("Search", func(b *testing.B) { t.section(b, "Vector search", t.vectors) })
	b.Run("BM25", func(b *testing.B) { t.section(b, "BM25", t.words) })
	b.Run("Encode", func(b *testing.B) { t.section(b, "Encoding", t.encoders) })
	b.Run("Serve", func(b *testing.B) { t.section(b, "Serving", t.services) })
	if *peerTable != "" {
		if err := os.WriteFile(*peerTable, t.text.Bytes(), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	fmt.Printf("\n%s\n", t.text.String())
}

// peerTurns measures in turns, and writes a table of what comes of it.
type peerTurns struct {
	python string
	text   bytes.Buffer
	names  []string // of peers, with versions
	notes  []string // below the table
}

// side is one of those that are compared.
type side struct {
	name    string
	measure func() float64
}

// unit is what is measured.
type unit struct {
	name   string
	higher bool // is better
	// A table shows the number times scale, with a symbol, and says what it is.
	scale     float64
	symbol    string
	shownName string
}

var (
	median = unit{"p50-ns", false, 1e-6, "ms", ", p50"}
	tail   = unit{"p99-ns", false, 1e-6, "ms", ", p99"}
	memory = unit{"peak-MB", false, 1, "MB", ""}
)

func rate(of string) unit { return unit{of + "/s", true, 1, "/s", ""} }

func (t *peerTurns) head() {
	m := bench.ThisMachine("", nil)
	fmt.Fprintf(&t.text, "%s, %s, %d processors, %s, FAISS %s. Medians of %d rounds in turns; the sample enlarged to %d products.\n\n", time.Now().UTC().Format(time.DateOnly), m.Processor, m.Cores, m.Go, faiss.Version(), *peerRounds, *peerRows)
	t.text.WriteString("The ratio is theirs/ours of times and memory and ours/theirs of rates: above 1, ours is better. Beside it are the least and the greatest of the rounds.\n")
}

// section runs a group of comparisons and says beside what else they ran.
func (t *peerTurns) section(b *testing.B, title string, run func(b *testing.B)) {
	fmt.Fprintf(&t.text, "\n### %s\n\n| what | with | ours | theirs | ratio | rounds |\n|---|---|--:|--:|--:|--:|\n", title)
	load := strings.Fields(firstLine("/proc/loadavg"))
	all, own := processorTime()
	start := time.Now()
	run(b)
	took := time.Since(start).Seconds()
	allThen, ownThen := processorTime()
	fmt.Fprintf(&t.text, "\nWith %s. %sLoad average before: %s. What else ran meanwhile took %.2f of the %d processors.\n",
		strings.Join(t.names, ", "), strings.Join(t.notes, ""), strings.Join(load[:min(1, len(load))], ""), max(0, (allThen-all)-(ownThen-own))/took, runtime.NumCPU())
	t.names, t.notes = nil, nil
}

// note adds a sentence to what stands below the table of the section.
func (t *peerTurns) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...)+" ")
}

// turns measures sides, of which ours is the first, several times one after the
// other, and compares the others with it.
func (t *peerTurns) turns(b *testing.B, name string, u unit, sides ...side) {
	b.Helper()
	var all []sideOfMany
	for _, s := range sides {
		all = append(all, sideOfMany{s.name, func() []float64 { return []float64{s.measure()} }})
	}
	t.turnsOfMany(b, name, *peerRounds, []unit{u}, all...)
}

// sideOfMany measures several things at once.
type sideOfMany struct {
	name    string
	measure func() []float64
}

// turnsOfMany does what turns does, with several units.
func (t *peerTurns) turnsOfMany(b *testing.B, name string, rounds int, units []unit, sides ...sideOfMany) {
	b.Helper()
	values := make([][][]float64, len(sides)) // by side, unit and round
	for i := range sides {
		values[i] = make([][]float64, len(units))
	}
	for range rounds {
		for i, s := range sides {
			for j, v := range s.measure() {
				values[i][j] = append(values[i][j], v)
			}
		}
	}
	for i, s := range sides[1:] {
		for j, u := range units {
			t.compare(b, name, s.name, u, values[0][j], values[i+1][j])
		}
	}
}

// compare reports what was measured of both sides, by round.
func (t *peerTurns) compare(b *testing.B, name, with string, u unit, ours, theirs []float64) {
	ratios, by := make([]float64, len(ours)), "theirs/ours"
	if u.higher {
		by = "ours/theirs"
	}
	for r := range ratios {
		if ratios[r] = theirs[r] / ours[r]; u.higher {
			ratios[r] = ours[r] / theirs[r]
		}
	}
	low, high := slices.Min(ratios), slices.Max(ratios)
	b.Run(fmt.Sprintf("%s/with=%s/%s", name, strings.NewReplacer(" ", "_", ",", "").Replace(with), u.name), func(b *testing.B) {
		b.ReportMetric(middle(ours), "ours-"+u.name)
		b.ReportMetric(middle(theirs), "theirs-"+u.name)
		b.ReportMetric(middle(ratios), by)
		b.ReportMetric(low, "least-"+by)
		b.ReportMetric(high, "most-"+by)
		b.ReportMetric(0, "ns/op")
	})
	fmt.Fprintf(&t.text, "| %s%s | %s | %s | %s | %.2f | %.2f–%.2f |\n", strings.NewReplacer("/", ", ", "_", " ").Replace(name), u.shownName, with,
		u.show(middle(ours)), u.show(middle(theirs)), middle(ratios), low, high)
}

func (u unit) show(v float64) string {
	v *= u.scale
	digits := max(0, 2-int(math.Floor(math.Log10(v))))
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + u.symbol
}

// middle is the median.
func middle(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// oneByOne is the median time of f, one call after the other over 0..n-1.
func oneByOne(b *testing.B, n int, f func(i int) error) float64 {
	call := func(i int) {
		if err := f(i); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n { // to warm up
		call(i)
	}
	var times []float64
	for end := time.Now().Add(peerBudget()); ; {
		for i := range n {
			start := time.Now()
			call(i)
			times = append(times, float64(time.Since(start)))
			if time.Now().After(end) {
				return middle(times)
			}
		}
	}
}

func peerBudget() time.Duration { return time.Duration(*peerSeconds * float64(time.Second)) }

// together is how many calls a second several callers get answered, each of which
// asks for all of 0..n-1.
func together(b *testing.B, callers, n int, f func(i int) error) float64 {
	var all sync.WaitGroup
	done, errs := make([]int, callers), make([]error, callers)
	start := time.Now()
	for c := range callers {
		all.Go(func() {
			for i := c * n / callers; time.Since(start) < peerBudget() && errs[c] == nil; i++ {
				errs[c] = f(i % n)
				done[c]++
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	sum := 0
	for _, n := range done {
		sum += n
	}
	return float64(sum) / took.Seconds()
}

// peer is a process that measures the other side; peers/peer.py says how it is asked.
type peer struct {
	name string
	ask  func(do string, answer any, arguments ...any)
}

// value asks for a measurement that takes the budget.
func (p *peer) value(do string, arguments ...any) float64 {
	var out struct{ Value float64 }
	p.ask(do, &out, append(arguments, "seconds", *peerSeconds)...)
	return out.Value
}

// start runs a script of peers until b ends. Its answers to questions, whose
// arguments are pairs of names and values, are JSON.
func (t *peerTurns) start(b *testing.B, python, script string, args ...string) *peer {
	b.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(python, append([]string{filepath.Join("peers", script)}, args...)...)
	cmd.Env = peerEnvironment(cmd)
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReader(out)
	read := func(answer any) {
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, answer)
		}
		if err != nil {
			in.Close()
			rest, _ := io.ReadAll(lines)
			err = cmp.Or(cmd.Wait(), err)
			b.Fatalf("%s: %v\n%s%s%s", script, err, line, rest, &errs)
		}
	}
	b.Cleanup(func() {
		in.Close() // which ends it
		if err := cmd.Wait(); err != nil && !b.Failed() {
			b.Errorf("%s: %v\n%s", script, err, &errs)
		}
	})
	var about struct{ Version string }
	read(&about)
	if !slices.Contains(t.names, about.Version) {
		t.names = append(t.names, about.Version)
	}
	p := &peer{name: strings.Fields(about.Version)[0]}
	p.ask = func(do string, answer any, arguments ...any) {
		question := map[string]any{"do": do}
		for i := 0; i < len(arguments); i += 2 {
			question[arguments[i].(string)] = arguments[i+1]
		}
		line, err := json.Marshal(question)
		if err == nil {
			_, err = in.Write(append(line, '\n'))
		}
		if err != nil {
			b.Fatalf("%s: %v\n%s", script, err, &errs)
		}
		read(answer)
	}
	return p
}

// peerEnvironment has libraries use the threads that the scripts tell them to, and no
// more; those that look for models on the net do not.
func peerEnvironment(cmd *exec.Cmd) []string {
	return append(cmd.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1", "HF_HUB_OFFLINE=1", "PYTHONDONTWRITEBYTECODE=1")
}

// vectors compares searches of the same index files.
func (t *peerTurns) vectors(b *testing.B) {
	x, qrels, dir := large(b, *peerRows)
	space, _ := x.Space("pretrained")
	values, dimension := space.Vectors()
	found, _, err := x.Engine.Embed(b.Context(), "pretrained", texts(qrels), true)
	if err != nil {
		b.Fatal(err)
	}
	queries := slices.Concat(found...)
	path := filepath.Join(b.TempDir(), "queries.f32")
	var raw bytes.Buffer
	binary.Write(&raw, binary.LittleEndian, queries) // cannot fail: a buffer
	if err := os.WriteFile(path, raw.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	p := t.start(b, t.python, "vectors.py", path, strconv.Itoa(dimension))
	for _, factory := range []string{"IVF512,Flat", "IVF512,SQ8", "Flat"} {
		index, file := vectorIndex(b, filepath.Join(filepath.Dir(dir), "peers"), factory, values, dimension, queries)
		p.ask("load", &struct{}{}, "path", file, "nprobe", index.Params.NProbe)
		for _, k := range []int{10, 100} {
			search := func(i int) ([]faiss.Hit, error) {
				return index.Search(b.Context(), queries[i*dimension:(i+1)*dimension], k, faiss.Params{}, nil)
			}
			sameNeighbours(b, p, k, len(found), search)
			only := func(i int) error { _, err := search(i); return err }
			name := fmt.Sprintf("%s/k=%d/", factory, k)
			t.turns(b, name+"one_by_one", median,
				side{"trirank", func() float64 { return oneByOne(b, len(found), only) }},
				side{p.name, func() float64 { return p.value("single", "k", k) }})
			t.turns(b, name+"2_callers", rate("queries"),
				side{"trirank", func() float64 { return together(b, 2, len(found), only) }},
				side{p.name, func() float64 { return p.value("together", "k", k, "callers", 2) }})
		}
		index.Close()
	}
}

// vectorIndex opens an index of vectors, building it where the cache in dir has none.
func vectorIndex(b *testing.B, dir, factory string, vectors []float32, dimension int, queries []float32) (x *faiss.Index, path string) {
	b.Helper()
	path = filepath.Join(dir, strings.ReplaceAll(factory, ",", "-")+".faiss")
	about := path + ".json"
	var built faiss.Built
	text, err := os.ReadFile(about)
	if err == nil {
		err = json.Unmarshal(text, &built)
	}
	if err == nil {
		if x, err = faiss.Open(path, built.SHA256); err == nil {
			x.Params = built.Params
			return x, path
		}
	}
	b.Logf("building %s: %v", path, err)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	if built, err = faiss.Build(b.Context(), path, vectors, dimension, faiss.BuildOptions{Factory: factory, Queries: queries}); err != nil {
		b.Fatal(err)
	}
	text, err = json.Marshal(built)
	if err == nil {
		err = os.WriteFile(about, text, 0o644)
	}
	if err == nil {
		x, err = faiss.Open(path, built.SHA256)
	}
	if err != nil {
		b.Fatal(err)
	}
	x.Params = built.Params
	return x, path
}

// sameNeighbours checks that both sides find the same: equal scores at each rank, and
// equal ids but where scores are equal.
func sameNeighbours(b *testing.B, p *peer, k, n int, search func(i int) ([]faiss.Hit, error)) {
	b.Helper()
	var theirs struct {
		Scores [][]float64
		IDs    [][]int
	}
	p.ask("results", &theirs, "k", k)
	const rounding = 1e-5 // of sums of 384 products in another order
	for q := range n {
		hits, err := search(q)
		if err != nil {
			b.Fatal(err)
		}
		for r, h := range hits {
			score := theirs.Scores[q][r]
			if math.Abs(float64(h.Score)-score) > rounding {
				b.Fatalf("query %d, rank %d: our score is %v, theirs %v", q, r+1, h.Score, score)
			}
			if at := slices.Index(theirs.IDs[q], int(h.ID)); at != r && (at < 0 || math.Abs(theirs.Scores[q][at]-score) > rounding) &&
				math.Abs(theirs.Scores[q][k-1]-score) > rounding {
				b.Fatalf("query %d, rank %d: ours is %d with %v, which is at place %d of theirs", q, r+1, h.ID, h.Score, at+1)
			}
		}
	}
}
