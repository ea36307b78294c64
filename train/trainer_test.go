package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/judgments"
	"github.com/trirank/trirank/train/bert"
	"github.com/trirank/trirank/train/device"
)

// tiny is a network of two layers with random weights: small enough for plain Go.
func tiny() []Weight {
	c := bert.Config{Layers: 2, Heads: 12, Hidden: 384, Inner: 64, Vocabulary: 50, Positions: 16}
	g := rand.New(rand.NewPCG(1, 2))
	var out []Weight
	add := func(name string, dims ...int) {
		n := 1
		for _, d := range dims {
			n *= d
		}
		w := Weight{Name: name, Dims: dims, Values: make([]float32, n)}
		for i := range w.Values {
			w.Values[i] = float32(g.NormFloat64() * .05)
			if len(dims) == 1 && name[len(name)-6:] == "weight" {
				w.Values[i] = 1 + w.Values[i]
			}
		}
		out = append(out, w)
	}
	for _, name := range c.Names() {
		switch h := c.Hidden; {
		case name == "embeddings.word_embeddings.weight":
			add(name, c.Vocabulary, h)
		case name == "embeddings.position_embeddings.weight":
			add(name, c.Positions, h)
		case name == "embeddings.token_type_embeddings.weight":
			add(name, 2, h)
		case name[len(name)-4:] == "bias" && strings.Contains(name, "intermediate"):
			add(name, c.Inner)
		case name[len(name)-4:] == "bias" || strings.Contains(name, "LayerNorm"):
			add(name, h)
		case strings.Contains(name, "intermediate"):
			add(name, h, c.Inner)
		case strings.Contains(name, "output.dense") && !strings.Contains(name, "attention"):
			add(name, c.Inner, h)
		default:
			add(name, h, h)
		}
	}
	return out
}

func tokens(g *rand.Rand, n int) (out []int32) {
	for range n {
		out = append(out, int32(1+g.IntN(49)))
	}
	return out
}

func tinyData() *Data {
	g := rand.New(rand.NewPCG(3, 4))
	d := &Data{}
	for i := range 24 {
		d.Products = append(d.Products, Product{ID: fmt.Sprint(i), Tokens: tokens(g, 3+g.IntN(9))})
	}
	labels := []judgments.Label{judgments.Exact, judgments.Substitute, judgments.Complement, judgments.Irrelevant}
	for i := range 6 {
		q := Query{Text: fmt.Sprint("query ", i), Tokens: tokens(g, 2+g.IntN(5))}
		for j := range 4 {
			q.Judged = append(q.Judged, Judged{4*i + j, labels[j]})
		}
		d.Queries = append(d.Queries, q)
	}
	return d
}

// openDevice opens the device of TRIRANK_TEST_DEVICE, plain Go by default.
func openDevice(t testing.TB) compute.Backend {
	kind := os.Getenv("TRIRANK_TEST_DEVICE")
	if kind == "" {
		kind = device.PureGo
	}
	b, _, err := device.Open(kind, "")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tinyConfig() Config {
	c := DefaultConfig()
	c.Batch, c.Negatives, c.MaxTokens, c.Train, c.Rate = 4, 2, 16, "all", 1e-3
	return c
}

func gradientsOf(t *testing.T, c Config) (float64, [][]float32, *Trainer) {
	t.Helper()
	tr, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	d := tinyData()
	tr.fit(&Job{Data: d})
	b := d.batch(order(d.examples(), c.Seed, 0)[:4], &c, 0)
	loss, grads, err := tr.gradients(b)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, g := range grads {
		out = append(out, tensors.MustCopyFlatData[float32](g))
	}
	return loss, out, tr
}

// TestGradientCaching checks that gradients do not depend on how many texts are
// encoded at once.
func TestGradientCaching(t *testing.T) {
	for _, change := range []func(*Config){
		func(*Config) {},
		func(c *Config) { c.Objective = ListNet; c.CoSENT = .5; c.Matryoshka = []int{64, 128} },
		func(c *Config) { c.Train = "lora:4"; c.SubstituteWeight = .1 },
		func(c *Config) { c.Train = "top:1" },
	} {
		c := tinyConfig()
		change(&c)
		loss, whole, _ := gradientsOf(t, c)
		c.Micro = 3
		cachedLoss, cached, tr := gradientsOf(t, c)
		if math.Abs(loss-cachedLoss) > 1e-5 || loss == 0 {
			t.Errorf("%s %s: the loss is %g at once and %g in parts", c.Objective, c.Train, loss, cachedLoss)
		}
		for i := range whole {
			worst, most := 0., 0.
			for j := range whole[i] {
				worst = max(worst, math.Abs(float64(whole[i][j]-cached[i][j])))
				most = max(most, math.Abs(float64(whole[i][j])))
			}
			if worst > 1e-5+1e-3*most {
				t.Errorf("%s %s: gradient of %s differs by %g, its greatest value is %g", c.Objective, c.Train, tr.trained[i], worst, most)
			}
		}
	}
}

// TestDistill checks the divergence from a teacher against its formula, and that
// learning makes the model's order the teacher's.
func TestDistill(t *testing.T) {
	c := tinyConfig()
	c.Objective, c.Negatives, c.TeacherTemperature, c.Batch = Distill, 3, .5, 6
	d := tinyData()
	g := rand.New(rand.NewPCG(7, 8))
	for i := range d.Queries {
		d.Queries[i].Judged = nil
		for _, p := range g.Perm(len(d.Products))[:4] {
			d.Queries[i].Scored = append(d.Queries[i].Scored, Scored{p, g.NormFloat64()})
		}
		slices.SortFunc(d.Queries[i].Scored, func(a, b Scored) int { return a.Product - b.Product })
	}
	if err := d.check(&c); err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	tr.fit(&Job{Data: d})
	divergence := func() float64 {
		v, err := tr.Vectors(t.Context(), d.texts())
		if err != nil {
			t.Fatal(err)
		}
		dim, n := tr.Dimension(), len(d.Queries)
		total := 0.
		for i, q := range d.Queries {
			var p, s []float64
			for _, x := range q.Scored {
				p = append(p, math.Exp(x.Score/c.TeacherTemperature))
				at := (n + x.Product) * dim
				s = append(s, math.Exp(dot(v[i*dim:(i+1)*dim], v[at:at+dim])/c.Temperature))
			}
			sumP, sumS := 0., 0.
			for j := range p {
				sumP, sumS = sumP+p[j], sumS+s[j]
			}
			for j := range p {
				total += p[j] / sumP * math.Log(p[j]/sumP/(s[j]/sumS))
			}
		}
		return total / float64(n)
	}
	b := d.batch(d.learnt(&c), &c, 0)
	want := divergence()
	loss, grads, err := tr.gradients(b)
	free(grads)
	if err != nil || math.Abs(loss-want) > 1e-4*want {
		t.Fatalf("the loss is %g, the divergence %g, %v", loss, want, err)
	}
	for i := range 10 {
		if _, err := tr.step(d.batch(d.learnt(&c), &c, i), i, 10); err != nil {
			t.Fatal(err)
		}
	}
	if after := divergence(); after > want/2 {
		t.Errorf("the divergence was %g and is %g after learning", want, after)
	}
}

// TestLoRATargets checks that each name is of one matrix of each layer.
func TestLoRATargets(t *testing.T) {
	for _, target := range LoRATargetNames {
		c := tinyConfig()
		c.Train, c.LoRATargets = "lora:2", []string{target}
		tr, err := NewTrainer(openDevice(t), tiny(), &c)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(tr.trained); n != 2*tr.net.Layers {
			t.Errorf("%s: %d small matrices for %d layers: %v", target, n, tr.net.Layers, tr.trained)
		}
	}
	c := tinyConfig()
	c.LoRATargets = []string{"query", "nothing", "query"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `"nothing"`) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("%v", err)
	}
}

// TestStepInPlace checks that what lives as long as a run stays where it is, on a
// device whose memory is the process's.
func TestStepInPlace(t *testing.T) {
	c := tinyConfig()
	c.EMA = .5
	tr, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	all := func() []*tensors.Tensor { return slices.Concat(tr.values, tr.first, tr.second, tr.average) }
	held := all()
	if !held[0].IsShared() {
		t.Skip("the device has memory of its own")
	}
	d := tinyData()
	tr.fit(&Job{Data: d})
	var before [][]float32
	for _, x := range held {
		before = append(before, tensors.MustCopyFlatData[float32](x))
	}
	if _, err := tr.step(d.batch(order(d.examples(), c.Seed, 0)[:4], &c, 0), 0, 1); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i, x := range all() {
		if x != held[i] {
			t.Errorf("tensor %d of %d is another one after a step", i, len(held))
		}
		if !slices.Equal(before[i], tensors.MustCopyFlatData[float32](x)) {
			changed++
		}
	}
	if changed < len(held)*3/4 {
		t.Errorf("a step changed %d of %d tensors", changed, len(held))
	}
}
