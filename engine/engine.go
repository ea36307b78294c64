package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/processors"
	"github.com/trirank/trirank/judgments"
)

// Products is what the engine needs of a catalogue at hand. Implementations are
// safe for use by many goroutines.
type Products interface {
	Len() int
	// ID returns the id of a row, and Row the row of an id.
	ID(row uint32) string
	Row(id string) (row uint32, ok bool)
	// CompareIDs says how the ids of two rows are in order: below 0 if that of a comes
	// first. Hits of one score are ordered so, which may be many.
	CompareIDs(a, b uint32) int
	Product(row uint32) (catalog.Product, error)
	// Filter returns the rows that f allows.
	Filter(f Filter) *bitset.BitSet
	// Judged returns the labels of the products judged for a query, by row;
	// nil if there are none. The caller does not change them.
	Judged(query string) map[uint32]judgments.Label
}

// System is a named ranking.
type System struct {
	Name   string
	Kind   string // "lexical" or "dense"
	Detail string // what makes it up, for people: model, index, parameters
	Ranker Ranker
}

// Config is what an Engine is made of.
type Config struct {
	Name     string // of the catalogue
	Products Products
	Systems  []System // in the order in which they are shown
	// Fusion, if not nil, adds the ranking Hybrid.
	Fusion   *Fusion
	Recent   int      // queries whose rankings are kept, for when they are asked again; none if 0
	Examples []string // queries to try
	Notes    []string // what the user should know about this set-up
	// GreatestLabel is the greatest label of judgments that are numbers; 0 where they
	// are not.
	GreatestLabel float64
	// Intact, if not nil, reports whether what products and rankers read is no longer
	// what was opened. It is asked at every answer.
	Intact func() error
}

// Hybrid is the name of the fused ranking.
const Hybrid = "hybrid"

// Engine answers requests. See the package comment.
type Engine struct {
	config Config
	byName map[string]int
	sample []uint32 // rows a distribution looks at; nil: all
	recent *recent  // nil: nothing is kept

	// running counts the rankers at work, which may outlive their request.
	running sync.WaitGroup
}

// Distributions look at every product up to fullDistribution of them, and beyond
// at sampleSize, evenly spaced: enough that a histogram does not change visibly.
const (
	fullDistribution = 50_000
	sampleSize       = 20_000
)

// New checks and joins the parts of an engine.
func New(c Config) (*Engine, error) {
	e := &Engine{config: c, byName: map[string]int{}}
	if len(c.Systems) == 0 {
		return nil, errors.New("cannot make an engine without rankings")
	}
	for i, s := range c.Systems {
		if _, twice := e.byName[s.Name]; twice || s.Name == "" || s.Name == Hybrid {
			return nil, fmt.Errorf("cannot make an engine: ranking name %q is empty, given twice or %q", s.Name, Hybrid)
		}
		e.byName[s.Name] = i
	}
	if c.Fusion != nil {
		if err := e.checkFusion(c.Fusion); err != nil {
			return nil, fmt.Errorf("cannot make an engine: %w", err)
		}
	}
	e.recent = newRecent(c.Recent, len(c.Systems))
	if n := c.Products.Len(); n > fullDistribution {
		e.sample = make([]uint32, sampleSize)
		for i := range e.sample {
			e.sample[i] = uint32(i * n / sampleSize)
		}
	}
	return e, nil
}

// Wait returns when no ranker is at work any more, those included whose request has
// ended without them. Nobody may use the engine meanwhile; afterwards what the
// rankers stand on may be closed.
func (e *Engine) Wait() { e.running.Wait() }

func (e *Engine) checkFusion(f *Fusion) error {
	if err := f.check(); err != nil {
		return err
	}
	for _, s := range f.systems() {
		if _, ok := e.byName[s]; !ok {
			return requestError("fusion: there is no ranking %.40q (there are: %s)", s, strings.Join(e.names(), ", "))
		}
	}
	return nil
}

func (e *Engine) names() (names []string) {
	for _, s := range e.config.Systems {
		names = append(names, s.Name)
	}
	return names
}

// Systems returns the names of all rankings in the order in which they are shown.
func (e *Engine) Systems() []string {
	names := e.names()
	if e.config.Fusion != nil {
		names = append(names, Hybrid)
	}
	return names
}

// answer is what one ranking gave.
type answer struct {
	at     int // in config.Systems
	ranked Ranked
	cached bool // it is that of an earlier request
	took   time.Duration
	err    error
}

// Compare answers a request. The error is one of the request as a whole
// (ErrRequest) or of ctx before any ranking answered; a ranking that fails says so
// in Ranking.Error.
func (e *Engine) Compare(ctx context.Context, r Request) (resp *Response, err error) {
	start := time.Now()
	if err := r.check(); err != nil {
		return nil, err
	}
	defer func() {
		if errors.Is(err, ErrChanged) {
			resp = nil
		}
	}()
	defer e.guard(&err)()
	fusion := cmp.Or(r.Fusion, e.config.Fusion)
	if r.Fusion != nil {
		if err := e.checkFusion(r.Fusion); err != nil {
			return nil, err
		}
	}
	wanted := r.Systems
	if len(wanted) == 0 {
		wanted = e.names()
		if fusion != nil {
			wanted = append(wanted, Hybrid)
		}
	}
	need := map[string]bool{}
	for i, s := range wanted {
		switch _, known := e.byName[s]; {
		case slices.Contains(wanted[:i], s):
			return nil, requestError("system %q is named twice", s)
		case s == Hybrid && fusion != nil:
			for _, part := range fusion.systems() {
				need[part] = true
			}
		case known:
			need[s] = true
		default:
			return nil, requestError("there is no system %.40q (there are: %s)", s, strings.Join(e.Systems(), ", "))
		}
	}
	q := Query{Text: r.Query}
	if !r.Filter.IsZero() {
		q.Allow = e.config.Products.Filter(r.Filter)
	}

	stage := time.Now()
	var stages []Stage
	ended := func(name string) {
		now := time.Now()
		stages = append(stages, Stage{Name: name, Took: now.Sub(stage), MS: ms(now.Sub(stage))})
		stage = now
	}
	kept := e.recent.of(&r)
	answers := e.rank(ctx, q, need, kept)
	ended("rank")
	if err := ctx.Err(); err != nil && !slices.ContainsFunc(answers, func(a answer) bool { return need[e.config.Systems[a.at].Name] && a.err == nil }) {
		return nil, err
	}
	resp = &Response{Query: r.Query, K: r.K, Depth: depth, Rankings: make([]Ranking, 0, len(wanted))}
	labels := e.config.Products.Judged(r.Query)
	resp.Judged = len(labels)
	ranks := map[string]map[uint32]int{}
	lists := map[string][]fused{} // of what is shown
	for _, a := range answers {
		name := e.config.Systems[a.at].Name
		for i, h := range a.ranked.Hits {
			if ranks[name] == nil {
				ranks[name] = make(map[uint32]int, len(a.ranked.Hits))
			}
			ranks[name][h.Row] = i + 1
			if i < r.K {
				lists[name] = append(lists[name], fused{Scored: h})
			}
		}
	}
	for _, name := range wanted {
		var out Ranking
		if name == Hybrid {
			out = e.fuseAnswers(ctx, q, fusion, r.K, answers, kept, lists, ranks)
		} else {
			a := answers[e.byName[name]]
			out = Ranking{Stages: a.ranked.Stages, TookMS: ms(a.took), Cached: a.cached}
			if a.err != nil {
				out.Error = a.err.Error()
			}
		}
		out.System = name
		resp.Rankings = append(resp.Rankings, out)
	}
	ended("fuse")
	for i := range resp.Rankings {
		out := &resp.Rankings[i]
		if err := e.fill(out, lists[out.System], wanted, ranks, labels); err != nil {
			return nil, err
		}
	}
	ended("products")
	resp.Stages = stages
	if r.Distribution || r.Explain {
		e.annotate(ctx, q, r, resp)
	}
	resp.TookMS = ms(time.Since(start))
	return resp, nil
}

// errLate stands for what a ranking has not answered yet.
var errLate = errors.New("no answer")

// late is the error of a ranking that had not answered when a request ended.
func late(why error) error {
	if errors.Is(why, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", why)
	}
	return fmt.Errorf("no answer: %w", why)
}

// rank runs the needed rankings side by side. A ranking that has not answered
// when ctx ends is left to itself and reported as late: C code cannot be
// interrupted, and the others shall not wait for it.
func (e *Engine) rank(ctx context.Context, q Query, need map[string]bool, kept *recentQuery) []answer {
	answers := make([]answer, len(e.config.Systems))
	results, running := make(chan answer, len(need)), 0
	for i, s := range e.config.Systems {
		answers[i] = answer{at: i, err: context.Canceled}
		if !need[s.Name] {
			continue
		}
		if hits, ok := kept.ranking(i); ok {
			answers[i] = answer{at: i, ranked: Ranked{Hits: hits, Stages: []Stage{{Name: "cache"}}}, cached: true}
			continue
		}
		answers[i].err = errLate
		running++
		begun := processors.Work() // the processor that it is about to have is not idle
		e.running.Go(func() {
			begun()
			start := time.Now()
			ranked, err := e.call(ctx, s, q)
			if err == nil {
				kept.addRanking(i, ranked.Hits)
			}
			results <- answer{at: i, ranked: ranked, took: time.Since(start), err: err}
		})
	}
	for range running {
		select {
		case a := <-results:
			answers[a.at] = a
		case <-ctx.Done():
			// Whatever came in at the same moment still counts.
			for {
				select {
				case a := <-results:
					answers[a.at] = a
				default:
					for i := range answers {
						if answers[i].err == errLate {
							answers[i].err = late(ctx.Err())
						}
					}
					return answers
				}
			}
		}
	}
	return answers
}

// call runs one ranker, turns a panic into an error, and puts the hits in order.
func (e *Engine) call(ctx context.Context, s System, q Query) (ranked Ranked, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if wrong, ok := e.faulted(p); ok {
				ranked, err = Ranked{}, wrong
				return
			}
			ranked, err = Ranked{}, fmt.Errorf("ranking %s panicked: %v\n%s", s.Name, p, debug.Stack())
		}
	}()
	if ranked, err = s.Ranker.Rank(ctx, q, depth); err != nil {
		return Ranked{}, fmt.Errorf("cannot rank by %s: %w", s.Name, err)
	}
	for i := range ranked.Stages {
		ranked.Stages[i].MS = ms(ranked.Stages[i].Took)
	}
	e.order(ranked.Hits)
	return ranked, nil
}

// order sorts by score, descending, and equal scores by product id.
func (e *Engine) order(hits []Scored) { slices.SortFunc(hits, e.compare) }

func (e *Engine) compare(a, b Scored) int {
	if c := cmp.Compare(b.Score, a.Score); c != 0 || a.Row == b.Row {
		return c
	}
	return e.config.Products.CompareIDs(a.Row, b.Row)
}

// fuseAnswers makes the fused ranking, of which shown hits are shown, and adds it to
// lists and ranks.
func (e *Engine) fuseAnswers(ctx context.Context, q Query, f *Fusion, shown int, answers []answer, kept *recentQuery, lists map[string][]fused, ranks map[string]map[uint32]int) (out Ranking) {
	start := time.Now()
	var slowest time.Duration
	systems := f.systems()
	for _, name := range systems {
		a := answers[e.byName[name]]
		if a.err != nil {
			out.Error = fmt.Sprintf("cannot fuse: %v", a.err)
			out.Hits = []Hit{}
			return out
		}
		slowest = max(slowest, a.took)
	}
	all, ok := kept.fusion(f, shown)
	if !ok {
		var components []component
		for _, name := range systems {
			components = append(components, e.component(ctx, q, name, answers[e.byName[name]].ranked.Hits))
		}
		var err error
		if all, err = e.fuseShown(f, components, shown); err != nil {
			out.Error = err.Error()
			return out
		}
		kept.addFusion(f, shown, all)
	}
	lists[Hybrid] = all.shown
	ranks[Hybrid] = make(map[uint32]int, len(all.rows))
	for i, row := range all.rows {
		ranks[Hybrid][row] = i + 1
	}
	took := time.Since(start)
	out.Cached = ok
	out.Stages = []Stage{{Name: "wait", Took: slowest, MS: ms(slowest)}, {Name: "fuse", Took: took, MS: ms(took)}}
	out.TookMS = ms(slowest + took)
	return out
}

// fuseShown joins components into one ranking, and says of the shown products how
// their scores come about.
func (e *Engine) fuseShown(f *Fusion, components []component, shown int) (out fusedRanking, err error) {
	all, err := e.fuse(f, components)
	if err != nil {
		return out, err
	}
	all = all[:min(depth, len(all))]
	out.rows = make([]uint32, len(all))
	for i, h := range all {
		out.rows[i] = h.Row
	}
	out.shown = slices.Clone(all[:min(shown, len(all))])
	for i := range out.shown { // which otherwise hold those of all
		out.shown[i].parts = slices.Clone(out.shown[i].parts)
	}
	if !f.byScores() { // which were not needed until now, and of few
		err = fillScores(out.shown, components)
	}
	return out, err
}

// component makes a system's hits ready for fusion.
func (e *Engine) component(ctx context.Context, q Query, name string, hits []Scored) component {
	c := component{system: name, hits: hits}
	if s, ok := e.config.Systems[e.byName[name]].Ranker.(Scorer); ok {
		c.score = func(rows []uint32, dst []float64) error { return s.Scores(ctx, q, rows, dst) }
	}
	return c
}

// fuse joins components, which are in order of name, into one sorted list.
func (e *Engine) fuse(f *Fusion, components []component) ([]fused, error) {
	all, err := f.fuse(components)
	slices.SortFunc(all, func(a, b fused) int { return e.compare(a.Scored, b.Scored) })
	return all, err
}

// fill turns scored rows into hits.
func (e *Engine) fill(out *Ranking, hits []fused, wanted []string, ranks map[string]map[uint32]int, labels map[uint32]judgments.Label) error {
	defer processors.Work()()
	out.Hits = make([]Hit, len(hits))
	for i, h := range hits {
		p, err := e.config.Products.Product(h.Row)
		if err != nil {
			return fmt.Errorf("cannot show product %s: %w", e.config.Products.ID(h.Row), err)
		}
		hit := Hit{
			Rank: i + 1, ID: p.ID, Score: h.Score, Row: h.Row,
			Title: p.Title, Brand: p.Brand, Color: p.Color, Category: p.Category, Price: p.Price, Currency: p.Currency,
			Image: p.Image, Rating: p.Rating, Popularity: p.Popularity,
			Label: labels[h.Row], Components: h.parts,
		}
		for _, other := range wanted {
			if rank, ok := ranks[other][h.Row]; ok && other != out.System {
				if hit.Ranks == nil {
					hit.Ranks = make(map[string]int, len(wanted)-1)
				}
				hit.Ranks[other] = rank
			}
		}
		out.Hits[i] = hit
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
