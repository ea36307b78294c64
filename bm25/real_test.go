//go:build real

package bm25

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/judgments"
)

// The tests in this file need the ESCI sample: 6,764 products of the US
// marketplace with 4,135 judgements on 94 queries. TRIRANK_REAL_DATA names the
// directory around it if it lies elsewhere.
const realData = "../../shared/data"

type judged struct {
	query  string
	labels map[uint32]judgments.Label // by row
}

func loadReal(t testing.TB) ([]catalog.Product, []judged) {
	t.Helper()
	dir := filepath.Join(cmp.Or(os.Getenv("TRIRANK_REAL_DATA"), realData), "esci-us")
	products := loadRealProducts(t, filepath.Join(dir, "products.jsonl.gz"))
	rows := map[string]uint32{}
	for i, p := range products {
		rows[p.ID] = uint32(i)
	}

	f, err := os.Open(filepath.Join(dir, "judgments.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	byQuery := map[string]map[uint32]judgments.Label{}
	for _, r := range records[1:] {
		row, ok := rows[r[1]]
		if !ok {
			t.Fatalf("judged product %s is not in the catalogue", r[1])
		}
		label, err := judgments.ParseLabel(r[2])
		if err != nil {
			t.Fatal(err)
		}
		if byQuery[r[0]] == nil {
			byQuery[r[0]] = map[uint32]judgments.Label{}
		}
		byQuery[r[0]][row] = label
	}
	var queries []judged
	for q, labels := range byQuery {
		queries = append(queries, judged{q, labels})
	}
	slices.SortFunc(queries, func(a, b judged) int { return cmp.Compare(a.query, b.query) })
	if len(queries) != 94 {
		t.Fatalf("%d queries, want 94", len(queries))
	}
	return products, queries
}

func loadRealProducts(t testing.TB, path string) []catalog.Product {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var products []catalog.Product
	for dec := json.NewDecoder(bufio.NewReader(z)); dec.More(); {
		var p struct {
			ID          string `json:"_id"`
			Title       string `json:"title"`
			Brand       string `json:"brand"`
			Bullets     string `json:"bullet_points"`
			Description string `json:"description"`
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		products = append(products, catalog.Product{
			ID: p.ID, Title: p.Title, Brand: p.Brand, Description: p.Description,
			Bullets: strings.Split(p.Bullets, "\n"),
		})
	}
	return products
}

// TestRealReference compares the hundred best of every query with the formula.
func TestRealReference(t *testing.T) {
	products, queries := loadReal(t)
	for _, test := range []struct {
		name   string
		fields []Field
	}{
		{"title", []Field{{Title, 1}}},
		{"all fields", allFields()},
		{"default", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Options{Fields: test.fields, BatchSize: 500}
			ix := buildIndex(t, products, o)
			ref := newReference(products, o)
			for _, q := range queries {
				hits, err := ix.Search(context.Background(), q.query, nil, 100)
				if err != nil {
					t.Fatal(err)
				}
				sameHits(t, q.query, hits, ref.top(q.query, nil, 100))
			}
		})
	}
}

// quality is what a ranking achieves, as a mean over queries.
type quality struct {
	pool   float64 // nDCG of the judged products, all of them ranked
	ndcg10 float64 // over the whole catalogue, ideal over all judged
	r100   float64 // share of the E products among the first hundred
}

var gains = map[judgments.Label]float64{judgments.Exact: 1, judgments.Substitute: .1, judgments.Complement: .01}

func dcg(gains []float64, k int) float64 {
	var sum float64
	for i, g := range gains[:min(k, len(gains))] {
		sum += g / math.Log2(float64(i)+2)
	}
	return sum
}

// measure takes a ranking of all products that share a term with the query.
func measure(t *testing.T, queries []judged, rank func(query string) []Hit) quality {
	t.Helper()
	var mean quality
	var withExact float64
	for _, q := range queries {
		var ideal []float64
		exact := 0
		for _, l := range q.labels {
			ideal = append(ideal, gains[l])
			if l == judgments.Exact {
				exact++
			}
		}
		slices.SortFunc(ideal, func(a, b float64) int { return cmp.Compare(b, a) })

		var full, pool []float64
		inPool := map[uint32]bool{}
		found := 0
		for i, h := range rank(q.query) {
			label, ok := q.labels[h.Row]
			full = append(full, gains[label])
			if ok {
				pool = append(pool, gains[label])
				inPool[h.Row] = true
			}
			if i < 100 && label == judgments.Exact {
				found++
			}
		}
		// What shares no term with the query comes last, by row.
		var rest []uint32
		for row := range q.labels {
			if !inPool[row] {
				rest = append(rest, row)
			}
		}
		slices.Sort(rest)
		for _, row := range rest {
			pool = append(pool, gains[q.labels[row]])
		}

		if ideal[0] == 0 {
			t.Fatalf("query %q has nothing relevant", q.query)
		}
		mean.pool += dcg(pool, len(pool)) / dcg(ideal, len(ideal))
		mean.ndcg10 += dcg(full, 10) / dcg(ideal, 10)
		if exact > 0 {
			withExact++
			mean.r100 += float64(found) / float64(exact)
		}
	}
	n := float64(len(queries))
	return quality{mean.pool / n, mean.ndcg10 / n, mean.r100 / withExact}
}

// TestRealQuality logs what the rankings achieve and holds them to it. The
// boosts of DefaultFields are round numbers near the best of 48 combinations:
// whichever fifth of the queries is left out, that gives the brand 0.5 or 1 and
// each of the long fields 0.1 at most.
func TestRealQuality(t *testing.T) {
	products, queries := loadReal(t)
	title := []Field{{Title, 1}}
	equal := []Field{{Title, 1}, {Brand, 1}, {Bullets, 1}, {Description, 1}}
	joined := slices.Clone(products)
	for i, p := range products {
		joined[i] = catalog.Product{Title: p.Title + "\n" + p.Brand + "\n" + strings.Join(p.Bullets, "\n") + "\n" + p.Description}
	}
	const okapi = Model("okapi")
	t.Logf("%-38s %6s %8s %6s", "", "pool", "nDCG@10", "R@100")
	for _, test := range []struct {
		name     string
		products []catalog.Product
		fields   []Field
		model    Model
		want     quality
	}{
		{"title", products, title, okapi, quality{.835, .581, .834}},
		{"title and brand", products, []Field{{Title, 1}, {Brand, 1}}, okapi, quality{.848, .593, .840}},
		{"default", products, nil, okapi, quality{.848, .598, .851}},
		{"all fields alike", products, equal, okapi, quality{.824, .541, .809}},
		{"all texts in one field", joined, title, okapi, quality{.833, .587, .865}},
		{"title", products, title, BleveBM25, quality{.842, .586, .833}},
		{"default", products, nil, BleveBM25, quality{.854, .545, .846}},
		{"all fields alike", products, equal, BleveBM25, quality{.846, .560, .842}},
		{"title", products, title, BleveTFIDF, quality{.837, .581, .832}},
		{"default", products, nil, BleveTFIDF, quality{.851, .558, .839}},
	} {
		ix := buildIndex(t, test.products, Options{Fields: test.fields})
		got := measure(t, queries, func(q string) []Hit {
			var hits []Hit
			var err error
			if test.model == okapi {
				hits, err = ix.Search(context.Background(), q, nil, len(products))
			} else {
				hits, err = ix.SearchBleve(context.Background(), test.model, q, nil, len(products))
			}
			if err != nil {
				t.Fatal(err)
			}
			return hits
		})
		name := fmt.Sprintf("%s, %s", test.name, test.model)
		t.Logf("%-38s %6.4f %8.4f %6.4f", name, got.pool, got.ndcg10, got.r100)
		const slack = .01
		if got.pool < test.want.pool-slack || got.ndcg10 < test.want.ndcg10-slack || got.r100 < test.want.r100-slack {
			t.Errorf("%s: %.4f, want about %.4f", name, got, test.want)
		}
	}
}
