package train

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Config is how a model is trained; config.json of a run is its JSON. A run can only
// be resumed with the same.
type Config struct {
	Objective string `json:"objective"`
	// Temperature divides cosines. E5 was trained with .01, which crowds them
	// together; .05 spreads them out.
	Temperature float64 `json:"temperature"`
	// CoSENT adds the loss of that name (Su, 2022) over a query's own products,
	// with this weight.
	CoSENT float64 `json:"cosent,omitempty"`
	// SubstituteWeight is the share, against 1 of the exact product, that a
	// query's own substitutes should have; 0 masks them.
	SubstituteWeight float64 `json:"substitute_weight,omitempty"`
	// PopularityWeight makes popular products the better answers: a product's share
	// of its query's target is multiplied by 1 + PopularityWeight*p, where p, from 0
	// to 1, compares the logarithm of its popularity with that of the most popular
	// right product of the query.
	PopularityWeight float64 `json:"popularity_weight,omitempty"`
	// TeacherWeight adds the Kullback-Leibler divergence of the model's
	// probabilities from those of a teacher over the products of a query that the
	// teacher scored, with this weight; with objective Distill it is the only loss.
	TeacherWeight float64 `json:"teacher_weight,omitempty"`
	// TeacherTemperature divides the teacher's scores.
	TeacherTemperature float64 `json:"teacher_temperature,omitempty"`
	// Matryoshka are dimensions that should rank well by themselves.
	Matryoshka []int `json:"matryoshka,omitempty"`

	// Train says which weights change: "all", "top:N" (the N last layers),
	// "lora:RANK", or "adapter" (a matrix after the network).
	Train       string   `json:"train"`
	LoRAAlpha   float64  `json:"lora_alpha,omitempty"`
	LoRATargets []string `json:"lora_targets,omitempty"` // of LoRATargetNames

	Batch     int `json:"batch"`     // queries a step
	Negatives int `json:"negatives"` // hard negatives a query
	// Micro is how many rows of MaxTokens tokens are encoded at once, each with as
	// many texts as fit; 0: all of a batch. With less, vectors are computed twice
	// (gradient caching, Gao et al., 2021) so that memory does not depend on the
	// batch.
	Micro     int `json:"micro,omitempty"`
	MaxTokens int `json:"max_tokens"`

	Epochs       float64 `json:"epochs"`
	Rate         float64 `json:"learning_rate"`
	Schedule     string  `json:"schedule"` // "cosine", "linear" or "constant"
	Warmup       float64 `json:"warmup"`   // share of all steps
	Decay        float64 `json:"weight_decay"`
	Clip         float64 `json:"clip"` // greatest norm of a gradient
	EMA          float64 `json:"ema,omitempty"`
	Seed         uint64  `json:"seed"`
	ValidateEach int     `json:"validate_each"` // steps; 0: at the end of each epoch
	Patience     int     `json:"patience"`      // validations without gain before it stops; 0: never
}

// DefaultConfig is a good start on some hundred to some ten thousand judgements.
func DefaultConfig() Config {
	return Config{
		Objective: InfoNCE, Temperature: .05, TeacherTemperature: 1,
		Train: "lora:8", LoRAAlpha: 16, LoRATargets: []string{"query", "value"},
		Batch: 32, Negatives: 1, MaxTokens: 64,
		Epochs: 3, Rate: 2e-4, Schedule: "cosine", Warmup: .1, Decay: .01, Clip: 1, Seed: 1, Patience: 5,
	}
}

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	outside := func(x, low, high float64) bool { return math.IsNaN(x) || x < low || x > high }
	bad(!slices.Contains(Objectives, c.Objective), "objective %q is none of %s", c.Objective, strings.Join(Objectives, ", "))
	bad(outside(c.Temperature, 1e-4, 10), "temperature %g is not within .0001..10", c.Temperature)
	bad(outside(c.CoSENT, 0, 100), "weight %g of CoSENT is not within 0..100", c.CoSENT)
	bad(outside(c.SubstituteWeight, 0, 1), "weight %g of substitutes is not within 0..1", c.SubstituteWeight)
	bad(outside(c.PopularityWeight, 0, 100), "weight %g of popularity is not within 0..100", c.PopularityWeight)
	bad(outside(c.TeacherWeight, 0, 100), "weight %g of the teacher is not within 0..100", c.TeacherWeight)
	bad(outside(c.TeacherTemperature, 1e-4, 1e4), "temperature %g of the teacher is not within .0001..10000", c.TeacherTemperature)
	bad(outside(c.LoRAAlpha, 1e-3, 1e4), "alpha %g of LoRA is not within .001..10000", c.LoRAAlpha)
	bad(len(c.LoRATargets) == 0, "LoRA without matrices to adapt")
	for i, name := range c.LoRATargets {
		bad(loraTargets[name] == "", "LoRA knows no matrix %q (there are %s)", name, strings.Join(LoRATargetNames, ", "))
		bad(slices.Contains(c.LoRATargets[:i], name), "LoRA matrix %q is named twice", name)
	}
	for _, d := range c.Matryoshka {
		bad(d < 8 || d > 4096, "Matryoshka dimension %d is not within 8..4096", d)
	}
	if _, err := c.trainable(); err != nil {
		errs = append(errs, err)
	}
	bad(c.Batch < 2 || c.Batch > 4096, "a batch of %d is not within 2..4096 queries", c.Batch)
	bad(c.Negatives < 0 || c.Negatives > 64, "%d negatives are not within 0..64", c.Negatives)
	bad(c.Negatives == 0 && (c.Objective != InfoNCE || c.PopularityWeight > 0 || c.SubstituteWeight > 0 || c.CoSENT > 0 || c.TeacherWeight > 0),
		"without negatives a query has one product of its own, and the objective %s and the weights of CoSENT, substitutes, popularity and the teacher need more", c.Objective)
	bad(c.Micro < 0, "micro-batches of %d rows", c.Micro)
	bad(c.MaxTokens < 8 || c.MaxTokens > 512, "%d tokens are not within 8..512", c.MaxTokens)
	bad(outside(c.Epochs, 1e-3, 1000), "%g epochs are not within .001..1000", c.Epochs)
	bad(outside(c.Rate, 0, 1), "learning rate %g is not within 0..1", c.Rate)
	bad(c.Schedule != "cosine" && c.Schedule != "linear" && c.Schedule != "constant", "schedule %q is none of cosine, linear, constant", c.Schedule)
	bad(outside(c.Warmup, 0, 1), "a warm-up of %g of all steps", c.Warmup)
	bad(outside(c.Decay, 0, 1), "weight decay %g is not within 0..1", c.Decay)
	bad(outside(c.Clip, 1e-6, 1e6), "clipping at %g", c.Clip)
	bad(outside(c.EMA, 0, .99999), "EMA decay %g is not within 0...99999", c.EMA)
	bad(c.ValidateEach < 0 || c.Patience < 0, "validation each %d steps with patience %d", c.ValidateEach, c.Patience)
	return errors.Join(errs...)
}

// trained says which weights change.
type trained struct {
	all, adapter bool
	top          int // layers
	lora         int // rank
}

var trainSyntax = regexp.MustCompile(`^(all|adapter|top:([0-9]{1,3})|lora:([0-9]{1,3}))$`)

// LoRATargetNames are the matrices of a layer that LoRA can adapt. Its authors found
// query and value to matter most.
var LoRATargetNames = []string{"query", "key", "value", "attention", "inner", "output"}

// loraTargets are what their names in a layer are.
var loraTargets = map[string]string{
	"query": "attention.self.query.weight", "key": "attention.self.key.weight", "value": "attention.self.value.weight",
	"attention": "attention.output.dense.weight", "inner": "intermediate.dense.weight", "output": "output.dense.weight",
}

var ofLayer = regexp.MustCompile(`^encoder\.layer\.[0-9]+\.`)

// adapts reports whether LoRA is for a weight.
func (c *Config) adapts(name string) bool {
	layer := ofLayer.FindString(name)
	return layer != "" && slices.ContainsFunc(c.LoRATargets, func(s string) bool { return loraTargets[s] == name[len(layer):] })
}

func (c *Config) trainable() (t trained, err error) {
	m := trainSyntax.FindStringSubmatch(c.Train)
	if m == nil {
		return t, fmt.Errorf("%q does not say what is trained (write it as all, top:2, lora:8 or adapter)", c.Train)
	}
	t.all, t.adapter = c.Train == "all", c.Train == "adapter"
	t.top, _ = strconv.Atoi(m[2])
	t.lora, _ = strconv.Atoi(m[3])
	if !t.all && !t.adapter && t.top == 0 && t.lora == 0 {
		return t, fmt.Errorf("%q trains nothing", c.Train)
	}
	return t, nil
}

// rate is the learning rate of a step, counted from 0.
func (c *Config) rate(step, steps int) float64 {
	warm := int(math.Ceil(c.Warmup * float64(steps)))
	if step < warm {
		return c.Rate * float64(step+1) / float64(warm)
	}
	done := float64(step-warm) / float64(max(1, steps-warm))
	switch c.Schedule {
	case "linear":
		return c.Rate * (1 - done)
	case "cosine":
		return c.Rate * (1 + math.Cos(math.Pi*done)) / 2
	}
	return c.Rate
}
