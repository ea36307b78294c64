package stats

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/judgments"
)

// Catalog is what is described; *catalog.Catalog is one.
type Catalog interface {
	Name() string
	Hash() string
	Rows() int
	Products() iter.Seq2[catalog.Product, error]
	Judgments() iter.Seq2[judgments.Judgment, error]
}

// Options are the options of Compute; the zero value will do.
type Options struct {
	// Count counts what Unit names in a text. Default: words between spaces.
	Count func(text string) (int, error)
	Unit  string
	Top   int // length of rankings, default 20
	// LengthSample is of how many products at most the lengths of texts are
	// counted, evenly spread. Default 200,000.
	LengthSample int
	Progress     func(products int) // called now and then
}

// Compute describes c.
func Compute(ctx context.Context, c Catalog, o Options) (*Report, error) {
	if o.Count == nil {
		o.Count, o.Unit = func(s string) (int, error) { return len(strings.Fields(s)), nil }, "words"
	}
	if o.Top <= 0 {
		o.Top = 20
	}
	if o.LengthSample <= 0 {
		o.LengthSample = 200_000
	}
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	r := &Report{Name: c.Name(), Hash: c.Hash()}
	q, err := readQueries(ctx, c, o, r)
	if err != nil {
		return nil, err
	}
	p := newProductStats(c.Rows(), o)
	for product, err := range c.Products() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = p.add(&product)
		}
		if err != nil {
			return nil, err
		}
		q.compare(&product)
		if p.n%256 == 0 {
			o.Progress(p.n)
		}
	}
	o.Progress(p.n)
	p.report(r)
	q.report(r)
	return r, nil
}

// productStats gathers what products say, one at a time.
type productStats struct {
	o         Options
	n, stride int
	present   map[string]int
	lengths   map[string]*sketch
	exact     *repeats
	folded    *repeats

	brands, departments, categories *texts
	price, popularity, rating       *sketch
	currencies                      map[string]bool
}

// The fields that are counted, and the texts that are measured, in this order.
var (
	fieldNames = []string{"title", "brand", "color", "category", "bullets", "description", "price", "image", "rating", "popularity"}
	textNames  = []string{"title", "bullets", "description"}
)

func newProductStats(rows int, o Options) *productStats {
	p := &productStats{
		o: o, stride: max(1, (rows+o.LengthSample-1)/o.LengthSample), present: map[string]int{}, lengths: map[string]*sketch{},
		exact: newRepeats(), folded: newRepeats(), brands: newTexts(), departments: newTexts(), categories: newTexts(),
		price: newSketch(false), popularity: newSketch(false), rating: newSketch(false),
		currencies: map[string]bool{},
	}
	for _, name := range textNames {
		p.lengths[name] = newSketch(true)
	}
	return p
}

func (p *productStats) add(x *catalog.Product) error {
	for i, has := range [...]bool{x.Title != "", x.Brand != "", x.Color != "", len(x.Category) > 0, len(x.Bullets) > 0,
		x.Description != "", x.Price > 0, x.Image != "", x.Rating > 0, x.Popularity > 0} {
		if has {
			p.present[fieldNames[i]]++
		}
	}
	if p.n%p.stride == 0 {
		for i, text := range [...]string{x.Title, strings.Join(x.Bullets, "\n"), x.Description} {
			if text == "" {
				continue
			}
			n, err := p.o.Count(text)
			if err != nil {
				return fmt.Errorf("cannot count the %s of the %s of product %s: %w", p.o.Unit, textNames[i], x.ID, err)
			}
			p.lengths[textNames[i]].add(float64(n))
		}
	}
	if x.Price > 0 && x.Currency != "" && len(p.currencies) < 100 {
		p.currencies[x.Currency] = true
	}
	p.n++
	p.exact.add(x.Title)
	p.folded.add(fold(x.Title))
	p.brands.add(x.Brand)
	var department, category string
	if n := len(x.Category); n > 0 {
		department, category = x.Category[0], x.Category[n-1]
	}
	p.departments.add(department)
	p.categories.add(category)
	for _, s := range [...]struct {
		s *sketch
		x float64
	}{{p.price, x.Price}, {p.popularity, x.Popularity}, {p.rating, x.Rating}} {
		if s.x > 0 {
			s.s.add(s.x)
		}
	}
	return nil
}

func (p *productStats) report(r *Report) {
	r.Products = p.n
	for _, name := range fieldNames {
		r.Fields = append(r.Fields, Field{name, p.present[name], p.n - p.present[name]})
	}
	for _, name := range textNames {
		if d := p.lengths[name].distribution(p.lengths[name].linear()); d != nil {
			r.Lengths = append(r.Lengths, Length{name, p.o.Unit, d})
		}
	}
	if p.stride > 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("Lengths of titles, bullets and descriptions are those of every %dth product.", p.stride))
	}
	r.Duplicates = Duplicates{Exact: p.exact.again, Folded: p.folded.again, Examples: ranked(p.folded.counts, 10)}
	for i := range r.Duplicates.Examples {
		r.Duplicates.Examples[i].Count++ // the first time as well
	}
	r.Brands, r.Departments, r.Categories = p.brands.ranking(p.o.Top), p.departments.ranking(p.o.Top), p.categories.ranking(p.o.Top)
	for name, t := range map[string]*texts{"brands": p.brands, "departments": p.departments, "categories": p.categories} {
		if t.others > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("The first %d %s are told apart; later ones, of %s, count as the tail.", maxTexts, name, english.Count(t.others, "product")))
		}
	}
	slices.Sort(r.Notes)
	r.Currencies = slices.Sorted(maps.Keys(p.currencies))
	r.Price = p.price.distribution(p.price.logarithmic())
	r.Popularity = p.popularity.distribution(p.popularity.logarithmic())
	r.PopularityByRank = p.popularity.byRank()
	r.Rating = p.rating.distribution(ratingBins(p.rating))
}

// ratingBins has bins half a star wide for ratings up to five.
func ratingBins(s *sketch) []Bin {
	switch {
	case s.n > 0 && s.max > 100:
		return s.logarithmic()
	case s.n == 0 || s.max > 5:
		return s.linear()
	}
	var bins []Bin
	for from := 0.5; from < 5; from += 0.5 {
		bins = append(bins, Bin{From: from, To: from + .5})
	}
	bins[0].From = 0
	return append(bins, Bin{From: 5, To: 5})
}
