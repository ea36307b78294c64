package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/internal/peers"
	"github.com/trirank/trirank/judgments"
	"github.com/trirank/trirank/train/bert"
	"github.com/trirank/trirank/train/device"
	"github.com/trirank/trirank/train/heap"
	"github.com/trirank/trirank/train/safetensors"
	"github.com/trirank/trirank/train/weights"
)

// peerCase is what this package and PyTorch both compute: steps on one batch, from
// the same weights.
type peerCase struct {
	weights []Weight
	batch   *batch
	peerSettings
}

// peerSettings is settings.json, which testdata/peers/step.py reads.
type peerSettings struct {
	Config  Config `json:"config"`
	Layers  int    `json:"layers"`
	Heads   int    `json:"heads"`
	Queries int    `json:"queries"` // that count
	Steps   int    `json:"steps"`
	Threads int    `json:"threads"`
}

// peerSteps is what step.py prints.
type peerSteps struct {
	Loss    float64            `json:"loss"`            // of the gradient, before any step
	Losses  []float64          `json:"losses"`          // before each step
	Norms   []float64          `json:"norms"`           // of the gradient of each step
	After   map[string]float64 `json:"after,omitempty"` // norms of weights after the last
	Seconds []float64          `json:"seconds,omitempty"`
	PeakGB  float64            `json:"peak_gb,omitempty"`
}

// newPeerCase makes a case of n examples of data.
func newPeerCase(t testing.TB, w []Weight, d *Data, c Config, n, steps int) *peerCase {
	t.Helper()
	dims, names := map[string][]int{}, []string{}
	for i := range w {
		dims[w[i].Name], names = w[i].Dims, append(names, w[i].Name)
	}
	net, err := bert.ConfigOf(func(name string) []int { return dims[name] }, names)
	if err != nil {
		t.Fatal(err)
	}
	c.Schedule, c.Warmup = "constant", 0
	return &peerCase{w, d.batch(d.learnt(&c)[:n], &c, 0), peerSettings{c, net.Layers, net.Heads, n, steps, runtime.NumCPU()}}
}

// padded is texts as PyTorch takes them, each in a row of its own: tokens and mask.
func (c *peerCase) padded(name string, texts [][]int32) []safetensors.Tensor {
	cols := 1
	for _, x := range texts {
		cols = max(cols, min(len(x), c.Config.MaxTokens))
	}
	shape := []int{len(texts), cols}
	ids, mask := make([]float32, len(texts)*cols), make([]float32, len(texts)*cols)
	for i, x := range texts {
		mask[i*cols] = 1 // a filler's only token
		for j, id := range x[:min(len(x), cols)] {
			ids[i*cols+j], mask[i*cols+j] = float32(id), 1
		}
	}
	return []safetensors.Tensor{{Name: name + ".ids", Shape: shape, Values: ids}, {Name: name + ".mask", Shape: shape, Values: mask}}
}

// The files of a case.
const (
	peerSettingsFile = "settings.json"
	peerWeightsFile  = "weights.safetensors"
	peerBatchFile    = "batch.safetensors"
	peerGradientFile = "gradient.safetensors"
)

func (c *peerCase) write(t testing.TB, dir string) {
	t.Helper()
	var list []safetensors.Tensor
	for _, w := range c.weights {
		list = append(list, safetensors.Tensor{Name: w.Name, Shape: w.Dims, Values: w.Values})
	}
	b := c.batch
	goal, own := []int{b.size, b.size * b.own}, []int{b.size, b.own}
	parts := append(c.padded("queries", b.texts[:b.size]), c.padded("products", b.texts[b.size:])...)
	parts = append(parts, safetensors.Tensor{Name: "target", Shape: goal, Values: b.target}, safetensors.Tensor{Name: "allowed", Shape: goal, Values: b.allowed},
		safetensors.Tensor{Name: "grades", Shape: own, Values: b.grades}, safetensors.Tensor{Name: "teacher", Shape: own, Values: b.teacher})
	settings, err := json.Marshal(c.peerSettings)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, peerSettingsFile), settings, 0o644)
	}
	if err == nil {
		err = safetensors.Write(filepath.Join(dir, peerWeightsFile), list, nil)
	}
	if err == nil {
		err = safetensors.Write(filepath.Join(dir, peerBatchFile), parts, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readPeerCase(dir string) (*peerCase, error) {
	c := &peerCase{}
	settings, err := os.ReadFile(filepath.Join(dir, peerSettingsFile))
	if err == nil {
		err = json.Unmarshal(settings, &c.peerSettings)
	}
	if err != nil {
		return nil, err
	}
	list, _, err := safetensors.Read(filepath.Join(dir, peerWeightsFile))
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		c.weights = append(c.weights, Weight{x.Name, x.Shape, x.Values})
	}
	if list, _, err = safetensors.Read(filepath.Join(dir, peerBatchFile)); err != nil {
		return nil, err
	}
	parts := map[string]safetensors.Tensor{}
	for _, x := range list {
		parts[x.Name] = x
	}
	var texts [][]int32
	for _, side := range []string{"queries", "products"} {
		ids, mask := parts[side+".ids"], parts[side+".mask"].Values
		for i := range ids.Shape[0] {
			var x []int32
			for j := range ids.Shape[1] {
				if at := i*ids.Shape[1] + j; mask[at] > 0 {
					x = append(x, int32(ids.Values[at]))
				}
			}
			texts = append(texts, x)
		}
	}
	own := parts["grades"].Shape
	c.batch = &batch{own[0], own[1], c.Queries, texts, parts["target"].Values, parts["allowed"].Values, parts["grades"].Values, parts["teacher"].Values}
	return c, nil
}

// ours computes the gradient of the case on a device, by the names of weights, and
// takes its steps; timed, only these.
func (c *peerCase) ours(backend compute.Backend, timed bool) (out *peerSteps, gradient map[string][]float32, err error) {
	tr, err := NewTrainer(backend, c.weights, &c.Config)
	if err != nil {
		return nil, nil, err
	}
	for _, x := range c.batch.texts {
		tr.width = max(tr.width, min(eights(len(x)), c.Config.MaxTokens))
	}
	// As for a run whose batches are like this one. It takes the most rows of any, some
	// 5 % more than one fills where texts are of more lengths than a query's and a
	// product's.
	tr.typical = len(pack(c.batch.texts, tr.width).rows)
	lengths := map[int]bool{}
	for _, x := range c.batch.texts {
		lengths[len(x)] = true
	}
	if len(lengths) > 2 {
		tr.typical = int(math.Ceil(1.05 * float64(tr.typical)))
	}
	out = &peerSteps{}
	if !timed {
		var grads []*tensors.Tensor
		if out.Loss, grads, err = tr.gradients(c.batch); err != nil {
			return nil, nil, err
		}
		gradient = map[string][]float32{}
		for i, g := range grads {
			gradient[tr.trained[i]] = tensors.MustCopyFlatData[float32](g)
		}
		free(grads)
	}
	for i := range c.Steps {
		start := time.Now()
		s, err := tr.step(c.batch, i, c.Steps)
		if err != nil {
			return nil, nil, err
		}
		out.Seconds = append(out.Seconds, time.Since(start).Seconds())
		out.Losses, out.Norms = append(out.Losses, s.loss), append(out.Norms, s.norm)
	}
	out.PeakGB = peakGB()
	if !timed && c.Steps > 0 {
		out.After = map[string]float64{}
		for i, v := range tr.values {
			out.After[tr.trained[i]] = norm(tensors.MustCopyFlatData[float32](v))
		}
	}
	return out, gradient, nil
}

// theirs is ours in PyTorch, for a case that is in dir.
func (c *peerCase) theirs(t testing.TB, python, dir string) (out *peerSteps, gradient map[string][]float32) {
	t.Helper()
	out = runSteps(t, python, dir)
	list, _, err := safetensors.Read(filepath.Join(dir, peerGradientFile))
	if err != nil {
		t.Fatal(err)
	}
	gradient = map[string][]float32{}
	for _, x := range list {
		gradient[x.Name] = x.Values
	}
	return out, gradient
}

func runSteps(t testing.TB, python, dir string, args ...string) *peerSteps {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(python, append([]string{"testdata/peers/step.py", dir}, args...)...)
	cmd.Stderr = &errs
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("PyTorch: %v\n%s", err, &errs)
	}
	out := &peerSteps{}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// peerReference is what PyTorch computed for a case, in few enough numbers to be
// stored.
type peerReference struct {
	Batch string `json:"batch"` // its fingerprint
	peerSteps
	Gradient map[string]peerGradient `json:"gradient"` // by weight
}

// peerGradient is the gradient at one weight.
type peerGradient struct {
	Norm   float64   `json:"norm"`
	Most   float64   `json:"most"` // the greatest absolute value
	At     []int     `json:"at"`
	Values []float32 `json:"values"` // there
}

// fingerprint tells a change of the batch from a change of what is computed of it.
func (c *peerCase) fingerprint() string {
	h := fnv.New32a()
	fmt.Fprint(h, *c.batch)
	return fmt.Sprintf("%08x", h.Sum32())
}

func norm(lists ...[]float32) float64 {
	sum := 0.
	for _, l := range lists {
		for _, v := range l {
			sum += float64(v) * float64(v)
		}
	}
	return math.Sqrt(sum)
}

func greatest(values []float32) (out float64) {
	for _, v := range values {
		out = max(out, math.Abs(float64(v)))
	}
	return out
}

// referenceOf keeps of each gradient the greatest value and some that chance picks.
func referenceOf(c *peerCase, s *peerSteps, gradient map[string][]float32) *peerReference {
	out := &peerReference{c.fingerprint(), *s, map[string]peerGradient{}}
	out.Seconds, out.PeakGB = nil, 0
	g := rand.New(rand.NewPCG(7, 8))
	for _, w := range c.weights {
		all := gradient[w.Name]
		kept := peerGradient{Norm: norm(all), Most: greatest(all)}
		kept.At = []int{slices.IndexFunc(all, func(v float32) bool { return math.Abs(float64(v)) == kept.Most })}
		for len(kept.At) < 6 {
			kept.At = append(kept.At, g.IntN(len(all)))
		}
		for _, i := range kept.At {
			kept.Values = append(kept.Values, all[i])
		}
		out.Gradient[w.Name] = kept
	}
	return out
}

// Tolerances, of 32-bit floats against 64-bit ones.
const (
	lossTolerance     = 1e-5 // of the loss
	gradientTolerance = 1e-4 // of the greatest value of the gradient at the same weight
	// Attention does not change with the bias of its keys, so the gradient there is
	// zero and what is computed is rounding; this is of the norm of all gradients.
	zeroTolerance = 1e-8
	// Of the loss and the norm of steps: each begins with the roundings of those
	// before, and plain Go adds the squares of all values one after the other.
	stepTolerance = 1e-4
	// Of the norm of a weight after steps.
	weightTolerance = 1e-6
)

// peerCheck compares, and remembers how far apart the two were at most.
type peerCheck struct {
	t *testing.T
	// Differences in the terms of the tolerances.
	loss, gradient, zero, step, after float64
	values                            int // of gradients that were compared
}

// share reports a difference above the limit, and keeps the greatest.
func (k *peerCheck) share(off, of, limit float64, most *float64, what string, ours, theirs float64) {
	k.t.Helper()
	if !(off <= limit*of) { // NaN is too much as well
		k.t.Errorf("%s is %.9g, theirs is %.9g, which differ by %.1e of %.3g; %.0e are allowed", what, ours, theirs, off/of, of, limit)
	}
	*most = max(*most, off/of)
}

func (k *peerCheck) steps(ours, theirs *peerSteps) {
	k.t.Helper()
	k.share(math.Abs(ours.Loss-theirs.Loss), theirs.Loss, lossTolerance, &k.loss, "the loss", ours.Loss, theirs.Loss)
	if len(ours.Losses) != len(theirs.Losses) || len(ours.Norms) != len(theirs.Norms) || len(ours.After) != len(theirs.After) {
		k.t.Fatalf("%d losses, %d norms and %d weights; theirs are %d, %d and %d", len(ours.Losses), len(ours.Norms), len(ours.After),
			len(theirs.Losses), len(theirs.Norms), len(theirs.After))
	}
	for name, b := range theirs.After {
		if a := ours.After[name]; !isZero(name) { // AdamW makes full steps of roundings
			k.share(math.Abs(a-b), b, weightTolerance, &k.after, "the norm after steps of "+name, a, b)
		}
	}
	for i := range ours.Losses {
		a, b := ours.Losses[i], theirs.Losses[i]
		k.share(math.Abs(a-b), b, stepTolerance, &k.step, fmt.Sprintf("the loss of step %d", i), a, b)
		a, b = ours.Norms[i], theirs.Norms[i]
		k.share(math.Abs(a-b), b, stepTolerance, &k.step, fmt.Sprintf("the norm of step %d", i), a, b)
	}
}

// at compares values of the gradient at a weight, most being the greatest there.
// whole is the norm of all gradients.
func (k *peerCheck) at(name string, ours, theirs []float32, most, whole float64) {
	k.t.Helper()
	if len(ours) == 0 || len(ours) != len(theirs) {
		k.t.Fatalf("%d values of the gradient at %s, theirs are %d", len(ours), name, len(theirs))
	}
	k.values += len(ours)
	worst, off := 0, 0.
	for i := range ours {
		if d := math.Abs(float64(ours[i]) - float64(theirs[i])); !(d <= off) {
			worst, off = i, d
		}
	}
	what, a, b := "a value of the gradient at "+name, float64(ours[worst]), float64(theirs[worst])
	if isZero(name) {
		k.share(off, whole, zeroTolerance, &k.zero, what, a, b)
	} else {
		k.share(off, most, gradientTolerance, &k.gradient, what, a, b)
	}
}

// isZero tells weights whose gradient is zero but for rounding.
func isZero(name string) bool { return strings.HasSuffix(name, ".attention.self.key.bias") }

func (k *peerCheck) log() {
	k.t.Logf("differences at most: loss %.1e, %d values of the gradient %.1e of the greatest at the same weight (%.1e of the norm where it is zero), steps %.1e, weights after them %.1e",
		k.loss, k.values, k.gradient, k.zero, k.step, k.after)
}

// live compares with what PyTorch computed just now, value by value.
func (c *peerCase) live(t *testing.T, ours, theirs *peerSteps, gradient, want map[string][]float32) {
	k := &peerCheck{t: t}
	defer k.log()
	k.steps(ours, theirs)
	whole := norm(slices.Collect(maps.Values(want))...)
	for _, w := range c.weights {
		k.at(w.Name, gradient[w.Name], want[w.Name], greatest(want[w.Name]), whole)
	}
}

// stored compares with what is left of what PyTorch computed once.
func (c *peerCase) stored(t *testing.T, ours *peerSteps, gradient map[string][]float32, want *peerReference) {
	if got := c.fingerprint(); got != want.Batch {
		t.Fatalf("the batch is not the one that PyTorch was given (%s, not %s): TRIRANK_UPDATE=1 make test-peers-torch", got, want.Batch)
	}
	k := &peerCheck{t: t}
	defer k.log()
	k.steps(ours, &want.peerSteps)
	whole := 0.
	for _, theirs := range want.Gradient {
		whole = math.Hypot(whole, theirs.Norm)
	}
	for _, w := range c.weights {
		theirs, all := want.Gradient[w.Name], gradient[w.Name]
		var some []float32
		for _, i := range theirs.At {
			some = append(some, all[i])
		}
		k.at(w.Name, some, theirs.Values, theirs.Most, whole)
		if n := norm(all); !isZero(w.Name) {
			k.share(math.Abs(n-theirs.Norm), theirs.Norm, gradientTolerance, &k.gradient, "the norm of the gradient at "+w.Name, n, theirs.Norm)
		}
	}
}

const peersFile = "testdata/peers/reference.json"

// TestPeersStep compares loss, gradient and what AdamW makes of them with PyTorch:
// with what it computed once, and where it is installed with what it computes now.
func TestPeersStep(t *testing.T) {
	backend := openDevice(t)
	python := peers.Torch(t)
	update := os.Getenv("TRIRANK_UPDATE") != ""
	if update && python == "" {
		t.Fatal("only PyTorch makes references: TRIRANK_UPDATE=1 make test-peers-torch")
	}
	references := map[string]*peerReference{}
	b, err := os.ReadFile(peersFile)
	if err == nil {
		err = json.Unmarshal(b, &references)
	}
	if err != nil && !update {
		t.Fatal(err)
	}
	d := tinyData()
	for i := range d.Queries { // a teacher knows some of the products
		for j, judged := range d.Queries[i].Judged[:3] {
			d.Queries[i].Scored = append(d.Queries[i].Scored, Scored{judged.Product, 1 - .4*float64(j)})
		}
	}
	// The steps of the first are clipped, but for the last.
	for _, x := range []struct {
		name   string
		steps  int
		change func(*Config)
	}{
		{"infonce", 3, func(c *Config) { c.Negatives, c.Clip = 1, 4 }},
		{"lists", 0, func(c *Config) { c.Objective = ListNet; c.CoSENT = .5; c.Matryoshka = []int{64, 128} }},
		{"substitutes", 0, func(c *Config) { c.SubstituteWeight = .1 }},
		{"teacher", 0, func(c *Config) { c.TeacherWeight = .5 }},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := tinyConfig()
			c.MaxTokens, c.Temperature, c.Rate, c.Decay = 8, .05, 3e-4, 1
			x.change(&c)
			// A row of the batch takes no part, as in the last step of an epoch.
			p := newPeerCase(t, tiny(), d, c, 3, x.steps)
			ours, gradient, err := p.ours(backend, false)
			if err != nil {
				t.Fatal(err)
			}
			if python != "" {
				dir := t.TempDir()
				p.write(t, dir)
				theirs, want := p.theirs(t, python, dir)
				t.Run("live", func(t *testing.T) { p.live(t, ours, theirs, gradient, want) })
				if update {
					references[x.name] = referenceOf(p, theirs, want)
				}
			}
			t.Run("stored", func(t *testing.T) {
				if references[x.name] == nil {
					t.Fatalf("%s has nothing of %s: TRIRANK_UPDATE=1 make test-peers-torch", peersFile, x.name)
				}
				p.stored(t, ours, gradient, references[x.name])
			})
		})
	}
	if update && !t.Failed() {
		b, err := json.MarshalIndent(references, "", "")
		if err == nil {
			err = os.WriteFile(peersFile, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fullCase is E5 with its own weights, as it is fine-tuned, on pairs of random
// tokens: 16 of a query and 48 of a product, or from a third of that on.
func fullCase(t testing.TB, pairs, steps int, vary bool) *peerCase {
	t.Helper()
	path := filepath.Join(os.Getenv("TRIRANK_MODELS"), "e5-small-v2", "model.onnx")
	file, err := weights.Open(path)
	if err != nil {
		lacks(t, "there is no E5 (make native, and TRIRANK_MODELS): %v", err)
	}
	var list []Weight
	for i := range file.Tensors {
		x := &file.Tensors[i]
		list = append(list, Weight{x.Name, x.Dims, file.Values(x)})
	}
	g := rand.New(rand.NewPCG(5, 6))
	text := func(n int) (out []int32) {
		if vary {
			n -= g.IntN(2*n/3 + 1)
		}
		for range n {
			out = append(out, int32(1000+g.IntN(29000))) // words and their parts
		}
		return out
	}
	d := &Data{}
	for i := range pairs {
		d.Products = append(d.Products, Product{ID: fmt.Sprint(i), Tokens: text(48)})
		d.Queries = append(d.Queries, Query{Text: fmt.Sprint(i), Tokens: text(16), Judged: []Judged{{i, judgments.Exact}}})
	}
	c := DefaultConfig()
	c.Train, c.Batch, c.Negatives, c.Rate = "all", pairs, 0, 2e-5
	return newPeerCase(t, list, d, c, pairs, steps)
}

// lacks leaves out a comparison, which make test-peers-torch does not allow.
func lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if peers.TorchMust() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// TestPeersFullStep compares with PyTorch as TestPeersStep does, for E5 with its own
// weights on XLA.
func TestPeersFullStep(t *testing.T) {
	python := peers.Torch(t)
	if python == "" {
		lacks(t, "there is no Python with PyTorch (make test-peers-torch)")
	}
	backend, _, err := device.Open(device.CPU, "")
	if err != nil {
		lacks(t, "there is no XLA: %v", err)
	}
	p := fullCase(t, 8, 3, true)
	dir := t.TempDir()
	p.write(t, dir)
	theirs, want := p.theirs(t, python, dir)
	ours, gradient, err := p.ours(backend, false)
	if err != nil {
		t.Fatal(err)
	}
	p.live(t, ours, theirs, gradient, want)
}

// timedVariable names the folder of a case whose steps a process of its own times:
// the memory of a test's would be that of all tests.
const timedVariable = "TRIRANK_PEERS_TIMED"

const timedFile = "ours.json"

// BenchmarkPeersStep takes the same steps in PyTorch and here, in turns: all of E5's
// weights, 32 pairs. Where texts are of one length both sides have the same work;
// otherwise PyTorch, as it is mostly used, fills them up and this package packs them.
// PyTorch's threads spin while they wait for each other, or sleep: what is faster
// depends on what else runs, so both are timed and the faster is compared with.
func BenchmarkPeersStep(b *testing.B) {
	if dir := os.Getenv(timedVariable); dir != "" {
		heap.Keep() // as trirank train
		if err := timeOurs(dir); err != nil {
			b.Fatal(err)
		}
		return
	}
	python := peers.Torch(b)
	if python == "" {
		lacks(b, "there is no Python with PyTorch (make test-peers-torch)")
	}
	for _, x := range []struct {
		name string
		vary bool
	}{{"even", false}, {"uneven", true}} {
		b.Run(x.name, func(b *testing.B) { benchmarkPeersStep(b, python, x.vary) })
	}
}

func benchmarkPeersStep(b *testing.B, python string, vary bool) {
	const rounds, steps, warm = 3, 10, 2
	dir := b.TempDir()
	fullCase(b, 32, steps, vary).write(b, dir)
	who := []string{"ours", "pytorch", "pytorch-passive"}
	cost := make([]peerSteps, len(who))
	for range b.N * rounds {
		taken := []*peerSteps{timedInProcess(b, dir), runSteps(b, python, dir, "--time"), runSteps(b, python, dir, "--time", "--passive")}
		for i, s := range taken {
			for step, loss := range s.Losses {
				if ours := taken[0].Losses[step]; !(math.Abs(ours-loss) <= 1e-3*taken[0].Losses[0]) {
					b.Fatalf("step %d is not the same: its loss is %g, that of %s is %g", step, ours, who[i], loss)
				}
			}
			cost[i].Seconds, cost[i].PeakGB = append(cost[i].Seconds, s.Seconds[warm:]...), max(cost[i].PeakGB, s.PeakGB)
			b.Logf("%s: first step %.2f s, others %.2f, peak %.2f GB", who[i], s.Seconds[0], s.Seconds[warm:], s.PeakGB)
		}
	}
	for i, c := range cost {
		slices.Sort(c.Seconds)
		b.ReportMetric(middle(c.Seconds), who[i]+"-s/step")
		b.ReportMetric(c.Seconds[0], who[i]+"-least-s/step")
		b.ReportMetric(c.PeakGB, who[i]+"-peak-GB")
	}
	b.ReportMetric(min(middle(cost[1].Seconds), middle(cost[2].Seconds))/middle(cost[0].Seconds), "pytorch/ours")
	b.ReportMetric(0, "ns/op")
}

// middle is the median of sorted values.
func middle(x []float64) float64 { return (x[(len(x)-1)/2] + x[len(x)/2]) / 2 }

// timedInProcess takes the steps of the case in dir in a process of its own.
func timedInProcess(b *testing.B, dir string) *peerSteps {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkPeersStep$", "-test.benchtime=1x")
	cmd.Env = append(cmd.Environ(), timedVariable+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	out := &peerSteps{}
	j, err := os.ReadFile(filepath.Join(dir, timedFile))
	if err == nil {
		err = json.Unmarshal(j, out)
	}
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// timeOurs takes the steps of the case in dir and writes what they cost beside it.
func timeOurs(dir string) error {
	c, err := readPeerCase(dir)
	if err != nil {
		return err
	}
	backend, _, err := device.Open(device.CPU, "")
	if err != nil {
		return err
	}
	out, _, err := c.ours(backend, true)
	if err != nil {
		return err
	}
	j, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, timedFile), j, 0o644)
}
