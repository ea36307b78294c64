package train

import (
	"slices"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// maskCase is two queries whose products stand in one batch: A's are 0 exact,
// 1 substitute, 2 irrelevant; B's are 3 exact, 4 irrelevant, and 1, which it
// has as a substitute too.
func maskCase() *Data {
	d := &Data{}
	for range 5 {
		d.Products = append(d.Products, Product{ID: "p", Tokens: []int32{1, 2}})
	}
	d.Queries = []Query{
		{Text: "a", Tokens: []int32{1}, Judged: []Judged{{0, judgments.Exact}, {1, judgments.Substitute}, {2, judgments.Irrelevant}}},
		{Text: "b", Tokens: []int32{2}, Judged: []Judged{{1, judgments.Substitute}, {3, judgments.Exact}, {4, judgments.Irrelevant}}},
	}
	return d
}

func TestTargetsAndMasks(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Config)
		target  []float32 // of query a, by product
		allowed []float32
	}{
		// b's exact and irrelevant products are a's negatives as well.
		"infonce": {func(*Config) {}, []float32{1, 0, 0, 0, 0}, []float32{1, 0, 1, 1, 1}},
		// A substitute shares, and is b's as well as a's.
		"soft":    {func(c *Config) { c.SubstituteWeight = .25 }, []float32{.8, .2, 0, 0, 0}, []float32{1, 1, 1, 1, 1}},
		"listnet": {func(c *Config) { c.Objective = ListNet }, []float32{1 / 1.1, .1 / 1.1, 0, 0, 0}, []float32{1, 1, 1, 1, 1}},
		// CoSENT looks at the substitute, the other loss leaves it out.
		"cosent": {func(c *Config) { c.CoSENT = 1 }, []float32{1, 0, 0, 0, 0}, []float32{1, 0, 1, 1, 1}},
	} {
		d := maskCase()
		cfg := tinyConfig()
		cfg.Batch, cfg.Negatives = 2, 2
		c.change(&cfg)
		b := d.batch(d.examples(), &cfg, 0)
		// Which product stands where is known by its grade and by the order of own.
		g := random(cfg.Seed, forBatch, 0)
		var chosen []int
		for _, e := range d.examples() {
			own := d.own(&d.Queries[e.query], e, &cfg, g)
			for len(own) < 3 {
				own = append(own, -1)
			}
			chosen = append(chosen, own...)
		}
		target, allowed := make([]float32, 5), make([]float32, 5)
		for at, p := range chosen {
			if p < 0 {
				if b.allowed[at] != 0 {
					t.Errorf("%s: an empty place takes part", name)
				}
				continue
			}
			target[p] += b.target[at]
			allowed[p] += b.allowed[at]
		}
		if !slices.Equal(allowed, c.allowed) {
			t.Errorf("%s: %v take part, want %v", name, allowed, c.allowed)
		}
		for p := range target {
			if diff := target[p] - c.target[p]; diff > 1e-6 || diff < -1e-6 {
				t.Errorf("%s: target %v, want %v", name, target, c.target)
				break
			}
		}
	}
}

// TestShortBatch checks that places without an example change nothing.
func TestShortBatch(t *testing.T) {
	d, cfg := maskCase(), tinyConfig()
	cfg.Batch, cfg.Negatives = 4, 1
	b := d.batch(d.examples(), &cfg, 0)
	all := b.size * b.own
	for i := 2; i < 4; i++ {
		sum := float32(0)
		for _, x := range b.target[i*all : (i+1)*all] {
			sum += x
		}
		if sum != 0 || len(b.texts[i]) != 0 {
			t.Errorf("row %d has a target of %g and tokens %v", i, sum, b.texts[i])
		}
	}
}

// TestPopularity checks that the more popular of the right products get more of the
// target, and by how much.
func TestPopularity(t *testing.T) {
	d := &Data{Products: []Product{{ID: "a", Tokens: []int32{1}, Popularity: 9}, {ID: "b", Tokens: []int32{2}, Popularity: 99}, {ID: "c", Tokens: []int32{3}, Popularity: 999}}}
	d.Queries = []Query{{Text: "q", Tokens: []int32{4}, Judged: []Judged{{0, judgments.Exact}, {1, judgments.Exact}, {2, judgments.Irrelevant}}}}
	cfg := tinyConfig()
	cfg.Batch, cfg.Negatives, cfg.PopularityWeight = 2, 2, 3
	b := d.batch(d.examples()[:1], &cfg, 0)
	g := random(cfg.Seed, forBatch, 0)
	// log10(1+9) is half of log10(1+99); c is not right, so it is no measure.
	want := map[int]float32{0: (1 + 3*.5) / (1 + 3*.5 + 1 + 3), 1: (1 + 3) / (1 + 3*.5 + 1 + 3), 2: 0}
	for at, p := range d.own(&d.Queries[0], d.examples()[0], &cfg, g) {
		if diff := b.target[at] - want[p]; diff > 1e-6 || diff < -1e-6 || b.allowed[at] != 1 {
			t.Errorf("product %d has %g of the target (allowed: %g), want %g", p, b.target[at], b.allowed[at], want[p])
		}
	}
	cfg.PopularityWeight = 0
	b = d.batch(d.examples()[:1], &cfg, 0)
	if b.target[0] != 1 {
		t.Errorf("without popularity the target is %v", b.target[:3])
	}
}

// TestNeverNegative checks what is never taken for wrong: what is right in another
// spelling or split, and what a teacher scored though nobody judged it.
func TestNeverNegative(t *testing.T) {
	d := maskCase()
	d.Queries[0].Right = map[int]bool{3: true}
	d.Queries[0].Scored = []Scored{{2, -5}, {4, 7}}
	cfg := tinyConfig()
	cfg.Batch, cfg.Negatives = 2, 2
	b := d.batch(d.examples(), &cfg, 0)
	g := random(cfg.Seed, forBatch, 0)
	at := 0
	for _, e := range d.examples() {
		own := d.own(&d.Queries[e.query], e, &cfg, g)
		for j := range 3 {
			if j < len(own) {
				// 0 is the one to be found, 2 is judged irrelevant whatever the teacher says.
				if want := map[int]float32{0: 1, 2: 1}[own[j]]; b.allowed[at] != want {
					t.Errorf("product %d takes part: %g", own[j], b.allowed[at])
				}
			}
			at++
		}
	}
}
