package larger

import (
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
)

// products yields the n given products and after them generated ones up to total:
// each has the first half of one title and the second half of another, and the brand
// and a bullet point of these, so that words are as frequent as in the given ones.
func products(given func(row int) (catalog.Product, error), n, total int, id func(i int) string, seed uint64) iter.Seq2[catalog.Product, error] {
	return func(yield func(catalog.Product, error) bool) {
		for i := range total {
			if i < n {
				if p, err := given(i); !yield(p, err) || err != nil {
					return
				}
				continue
			}
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			a, err := given(r.IntN(n))
			if err != nil {
				yield(a, err)
				return
			}
			b, err := given(r.IntN(n))
			if err != nil {
				yield(b, err)
				return
			}
			if !yield(cross(a, b, id(i)), nil) {
				return
			}
		}
	}
}

// cross makes a product of two.
func cross(a, b catalog.Product, id string) catalog.Product {
	x, y := strings.Fields(a.Title), strings.Fields(b.Title)
	title := append(append([]string{}, x[:(len(x)+1)/2]...), y[len(y)/2:]...)
	p := catalog.Product{ID: id, Title: strings.Join(title, " "), Brand: a.Brand, Color: b.Color, Category: a.Category, Price: b.Price}
	if len(a.Bullets) > 0 {
		p.Bullets = a.Bullets[:1]
	}
	return p
}

// memory is an encoder of texts that knows the vectors of some, and generates those
// of all others: what an index of a shop of any size is built with, without a model.
type memory struct {
	model     *encoder.Model
	known     map[uint64]int // by hash of prefix and text
	vectors   []float32
	generator *generator
}

// newMemory makes an empty memory of vectors such as model makes.
func newMemory(model *encoder.Model, g *generator) *memory {
	return &memory{model: model, known: map[uint64]int{}, generator: g}
}

// passage keeps the vector of a passage, which must not change.
func (m *memory) passage(text string, vector []float32) { m.keep(m.model.PassagePrefix+text, vector) }

// query keeps the vector of a query.
func (m *memory) query(text string, vector []float32) { m.keep(m.model.QueryPrefix+text, vector) }

func (m *memory) keep(text string, vector []float32) {
	m.known[hash(text)] = len(m.vectors) / len(vector)
	m.vectors = append(m.vectors, vector...)
}

// encoder returns an encoder that looks things up; nothing may be kept any more.
func (m *memory) encoder() *encoder.Encoder {
	return encoder.New(m.model, m, m, nil, encoder.Options{})
}

func hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

// Tokenize implements encoder.Tokenizer: the tokens of a text are its hash.
func (m *memory) Tokenize(text string) ([]uint32, error) {
	h := hash(text)
	return []uint32{uint32(h >> 32), uint32(h)}, nil
}

// Run implements encoder.Network.
func (m *memory) Run(rows, cols int, ids, _ []int64, hidden []float32) error {
	dim := m.model.Dimension
	for r := range rows {
		h := uint64(ids[r*cols])<<32 | uint64(ids[r*cols+1])
		v := hidden[r*cols*dim:][:dim]
		if at, ok := m.known[h]; ok {
			copy(v, m.vectors[at*dim:(at+1)*dim])
		} else {
			m.generator.vector(h, v)
		}
		for c := 1; c < cols; c++ { // the mean over tokens is each of them
			copy(hidden[(r*cols+c)*dim:][:dim], v)
		}
	}
	return nil
}
