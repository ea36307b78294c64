// Package fakeshop makes a real engine over rankings that need no index and no
// model, for tests of what is built on engines: scores look like those of BM25 and
// of E5, and can be told to fail, to hang or to panic.
package fakeshop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/judgments"
)

// Shop is a catalogue in memory.
type Shop struct {
	products []catalog.Product
	rows     map[string]uint32
	judged   map[string]map[uint32]judgments.Label
}

// Load reads products.jsonl and judgments.csv of a directory.
func Load(dir string) (*Shop, error) {
	f, err := os.ReadFile(dir + "/products.jsonl")
	if err != nil {
		return nil, err
	}
	var products []catalog.Product
	lines := bufio.NewScanner(bytes.NewReader(f))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p catalog.Product
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return nil, err
		}
		products = append(products, p)
	}
	s := New(products)
	judged, err := os.ReadFile(dir + "/judgments.csv")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(judged)) {
		// No field of the sample's file holds a comma.
		if c := strings.Split(line, ","); len(c) > 2 {
			if label, err := judgments.ParseLabel(c[2]); err == nil {
				s.Judge(c[0], c[1], label)
			}
		}
	}
	return s, nil
}

// New makes a shop of products.
func New(products []catalog.Product) *Shop {
	s := &Shop{products: products, rows: map[string]uint32{}, judged: map[string]map[uint32]judgments.Label{}}
	for i, p := range products {
		s.rows[p.ID] = uint32(i)
	}
	return s
}

// Tiny makes a shop of n products whose titles are "thing 0" to "thing n-1".
func Tiny(n int) *Shop {
	products := make([]catalog.Product, n)
	for i := range products {
		products[i] = catalog.Product{ID: fmt.Sprintf("T%03d", i), Title: fmt.Sprintf("thing %d", i), Brand: "Acme", Category: []string{"Things"}, Price: float64(i + 1)}
	}
	return New(products)
}

// Edit changes a product; not while the shop is in use.
func (s *Shop) Edit(id string, change func(*catalog.Product)) { change(&s.products[s.rows[id]]) }

// Judge adds a judgement; not while the shop is in use.
func (s *Shop) Judge(query, id string, l judgments.Label) {
	if s.judged[query] == nil {
		s.judged[query] = map[uint32]judgments.Label{}
	}
	if row, ok := s.rows[id]; ok {
		s.judged[query][row] = l
	}
}

// Len implements engine.Products, as do the methods below.
func (s *Shop) Len() int { return len(s.products) }

// ID returns the id of a row.
func (s *Shop) ID(row uint32) string { return s.products[row].ID }

// CompareIDs says how the ids of two rows are in order.
func (s *Shop) CompareIDs(a, b uint32) int { return strings.Compare(s.ID(a), s.ID(b)) }

// Row returns the row of an id.
func (s *Shop) Row(id string) (uint32, bool) {
	row, ok := s.rows[id]
	return row, ok
}

// Product returns the product of a row.
func (s *Shop) Product(row uint32) (catalog.Product, error) { return s.products[row], nil }

// Judged returns the labels of a query.
func (s *Shop) Judged(query string) map[uint32]judgments.Label { return s.judged[query] }

// Filter returns the rows that f allows.
func (s *Shop) Filter(f engine.Filter) *bitset.BitSet {
	among := func(values []string, have ...string) bool {
		return len(values) == 0 || slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, v) })
		})
	}
	allow := bitset.New(uint(len(s.products)))
	for i, p := range s.products {
		bounded := f.MinPrice > 0 || f.MaxPrice > 0
		if among(f.Brands, p.Brand) && among(f.Categories, p.Category...) &&
			(!bounded || p.Price > 0 && p.Price >= f.MinPrice && (f.MaxPrice == 0 || p.Price <= f.MaxPrice)) {
			allow.Set(uint(i))
		}
	}
	return allow
}

// Faults makes rankings misbehave. The zero value does not.
type Faults struct {
	Fail  atomic.Pointer[string] // the name of a system that fails
	Panic atomic.Bool
	// Delay is how long each ranking takes at least, and Deaf whether it goes
	// on regardless of its context.
	Delay atomic.Int64
	Deaf  atomic.Bool
	Only  atomic.Pointer[string] // the system that Delay is about; nil: all
	Calls atomic.Int64
	// Gate, if not nil, is received from before each ranking answers.
	Gate chan struct{}
}

// SetDelay sets Delay.
func (f *Faults) SetDelay(d time.Duration) { f.Delay.Store(int64(d)) }

// Config joins the shop's rankings: bm25, pretrained, finetuned and hybrid.
func (s *Shop) Config(f *Faults) engine.Config {
	if f == nil {
		f = &Faults{}
	}
	fusion, err := engine.ParseFusion("rrf(60):bm25=1,finetuned=1")
	if err != nil {
		panic(err)
	}
	lexical := newLexical(s, "bm25", f)
	pretrained := newDense(s, "pretrained", f, .70, .04)
	finetuned := newDense(s, "finetuned", f, .15, .02)
	return engine.Config{
		Name: "sample shop", Products: s,
		Systems: []engine.System{
			{Name: "bm25", Kind: "lexical", Detail: "k1 1.2, b 0.75, title and bullets", Ranker: lexical},
			{Name: "pretrained", Kind: "dense", Detail: "e5-small-v2, 384 dimensions, Flat", Ranker: pretrained},
			{Name: "finetuned", Kind: "dense", Detail: "e5-small-v2-esci, 384 dimensions, Flat", Ranker: finetuned},
		},
		Fusion:   fusion,
		Examples: []string{"wireless mouse", "usb c charger", "portable battery pack for phone", "queen mattress protector", "dog toy"},
		Notes:    []string{"Rankings are imitations made for tests."},
	}
}

// Engine makes an engine of Config.
func (s *Shop) Engine(f *Faults) *engine.Engine {
	e, err := engine.New(s.Config(f))
	if err != nil {
		panic(err)
	}
	return e
}
