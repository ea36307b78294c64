package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/judgments"
)

// JudgmentsPath returns the table of judgements in the index directory dir.
func JudgmentsPath(dir string) string { return filepath.Join(dir, productsFolder, judgmentsFile) }

// Hash is the SHA-256, in hexadecimal, of what the index holds and answers with.
// It does not depend on where the index or the models are, nor on the files of the
// text index, which bleve writes differently each time: what they answer follows
// from the products and the options.
func (m *Manifest) Hash() string {
	c := *m
	c.Models = slices.Clone(m.Models)
	for i := range c.Models {
		c.Models[i].Path = ""
	}
	c.Files = checksum.Files{}
	for path, f := range m.Files {
		if !strings.HasPrefix(path, lexicalSystem+"/") {
			c.Files[path] = f
		}
	}
	b, err := json.Marshal(&c)
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TunedOn reports whether the fusion was chosen by a query.
func (m *Manifest) TunedOn(query string) bool { return slices.Contains(m.Tuned, hashQuery(query)) }

// hashQuery stands for a query in the manifest, which is no place for texts.
func hashQuery(text string) string {
	sum := sha256.Sum256([]byte(judgments.Fold(text)))
	return hex.EncodeToString(sum[:8])
}

// SetFusion makes f the fusion of the index in dir: the one change that needs no
// new index. A server takes it over like a new index. queries are those that f was
// chosen by, if any: an evaluation must not take them for new ones.
func SetFusion(dir string, f *engine.Fusion, queries []string) error {
	fail := func(err error) error { return fmt.Errorf("cannot set the fusion of index %s: %w", dir, err) }
	m, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	for s := range f.Weights {
		if s != lexicalSystem && !slices.ContainsFunc(m.Models, func(i ModelInfo) bool { return i.System == s }) {
			return fail(fmt.Errorf("it has no ranking %q", s))
		}
	}
	m.Fusion, m.Tuned = f.String(), nil
	for _, q := range queries {
		m.Tuned = append(m.Tuned, hashQuery(q))
	}
	slices.Sort(m.Tuned)
	if err := m.save(dir); err != nil {
		return fail(err)
	}
	return nil
}

// Product returns the product with the given id.
func (x *Index) Product(id string) (catalog.Product, bool) {
	p, err := x.Engine.Product(id)
	return p, err == nil
}

// Has reports whether there is a product with the given id, without reading it.
func (x *Index) Has(id string) bool {
	_, ok := x.products.Row(id)
	return ok
}

// Row returns the product of a row.
func (x *Index) Row(row int) (catalog.Product, error) { return x.products.Product(uint32(row)) }

// Space gives access to the vectors of a model's ranking.
type Space struct {
	system string
	x      *Index
	dense  *dense
}

// Model returns what the manifest says of the model of a ranking; ok is false if no model
// makes it.
func (x *Index) Model(system string) (info ModelInfo, ok bool) {
	i := slices.IndexFunc(x.Manifest.Models, func(m ModelInfo) bool { return m.System == system })
	if i < 0 {
		return ModelInfo{}, false
	}
	return x.Manifest.Models[i], true
}

// Space returns the vectors of a system; ok is false if it has none.
func (x *Index) Space(system string) (s *Space, ok bool) {
	d, ok := x.dense[system]
	return &Space{system, x, d}, ok
}

// Model returns the directory of the model that made the vectors.
func (s *Space) Model() string { return s.dense.model }

// Encoder returns what makes the vectors, which belongs to the index.
func (s *Space) Encoder() *encoder.Encoder { return s.dense.encoder }

// Rows returns the number of products.
func (s *Space) Rows() int { return s.dense.vectors.Rows }

// Vector returns the vector of a row, which the caller must not change.
func (s *Space) Vector(row int) []float32 { return s.dense.vectors.Row(row) }

// Vectors returns the vectors of all rows, one after the other, which the caller must
// not change nor keep longer than the index is open.
func (s *Space) Vectors() (values []float32, dimension int) {
	return s.dense.vectors.Values, s.dense.vectors.Cols
}

// ID returns the product of a row.
func (s *Space) ID(row int) string { return s.x.products.ID(uint32(row)) }

// Similar returns the k products nearest to a product by its vector.
func (s *Space) Similar(ctx context.Context, id string, k int) ([]string, error) {
	row, ok := s.x.products.Row(id)
	if !ok {
		return nil, errors.New("there is no product " + id)
	}
	ranked, err := s.dense.Similar(ctx, row, k+1)
	if err != nil {
		return nil, fmt.Errorf("cannot find products like %s by %s: %w", id, s.system, err)
	}
	var out []string
	for _, h := range ranked.Hits {
		if h.Row != row && len(out) < k {
			out = append(out, s.x.products.ID(h.Row))
		}
	}
	return out, nil
}
