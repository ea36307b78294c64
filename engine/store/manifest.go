package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/atomicfile"
)

// Format is the version of the index directory that this program reads and
// writes. Changes of it are listed in docs/formats.md.
const Format = 3

const manifestFile = "manifest.json"

// Manifest is what manifest.json says about an index directory.
type Manifest struct {
	Format    int             `json:"format"`
	Catalogue CatalogueInfo   `json:"catalogue"`
	Template  string          `json:"template"` // of the text that is embedded
	BM25      bm25.Options    `json:"bm25"`
	Models    []ModelInfo     `json:"models"`
	Fusion    string          `json:"fusion,omitempty"` // as engine.ParseFusion reads it
	Tuned     []string        `json:"tuned,omitempty"`  // hashes of the queries that the fusion was chosen by
	Files     map[string]File `json:"files"`            // by path with slashes; all but this one
}

// CatalogueInfo identifies the catalogue that an index was built from.
type CatalogueInfo struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
	Rows int    `json:"rows"`
}

// ModelInfo says which model made the vectors of a ranking, and how they are
// indexed.
type ModelInfo struct {
	System    string      `json:"system"` // and the name of the folder
	Model     string      `json:"model"`  // its own name
	Hash      string      `json:"hash"`   // encoder.Model.Hash
	Path      string      `json:"path"`   // where the model directory was
	Precision string      `json:"precision"`
	Dimension int         `json:"dimension"`
	Requested string      `json:"requested"` // the factory string as given, and
	Recall    float64     `json:"recall"`    // the recall asked for
	Index     faiss.Built `json:"index"`
	// Evidence says why the index is not what was asked for: SetVectorIndex.
	Evidence string `json:"evidence,omitempty"`
}

// File is the size and hash of a file of the directory.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// ReadManifest reads and checks DIR/manifest.json, and no other file.
func ReadManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot open index %s: there is no %s (it is not an index directory; trirank index makes one)", dir, manifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open index %s: %w", dir, err)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("cannot open index %s: %s was cut off or changed (build it again with trirank index): %w", dir, manifestFile, err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("cannot open index %s: its format is %d, this program reads %d (build it again with trirank index)", dir, m.Format, Format)
	}
	for path := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(path)) {
			return nil, fmt.Errorf("cannot open index %s: %s names a file outside it: %q", dir, manifestFile, path)
		}
	}
	if m.Catalogue.Rows < 1 || m.Catalogue.Rows > math.MaxInt32 {
		return nil, fmt.Errorf("cannot open index %s: %s speaks of %d products", dir, manifestFile, m.Catalogue.Rows)
	}
	for _, x := range m.Models {
		if !validSystem(x.System) || x.Dimension < 1 || x.Dimension > 1<<16 {
			return nil, fmt.Errorf("cannot open index %s: %s has a model entry that cannot be: %q, dimension %d", dir, manifestFile, x.System, x.Dimension)
		}
	}
	return &m, nil
}

// verify compares the files of dir with the manifest. Vector indexes are left to
// faiss.Open, which does the same.
func (m *Manifest) verify(dir string) error {
	for _, path := range slices.Sorted(maps.Keys(m.Files)) {
		want := m.Files[path]
		full := filepath.Join(dir, filepath.FromSlash(path))
		info, err := os.Stat(full)
		if err != nil {
			return fmt.Errorf("cannot open index %s: %w (build it again with trirank index)", dir, err)
		}
		if info.Size() != want.Bytes {
			return fmt.Errorf("cannot open index %s: %s has %d bytes, not %d: it was cut off or changed (build it again with trirank index)", dir, path, info.Size(), want.Bytes)
		}
		if strings.HasSuffix(path, "/"+faissFile) {
			continue
		}
		got, err := atomicfile.SHA256(full)
		if err != nil {
			return fmt.Errorf("cannot open index %s: %w", dir, err)
		}
		if got != want.SHA256 {
			return fmt.Errorf("cannot open index %s: %s was changed: its SHA-256 is %.12s…, not %.12s… (build it again with trirank index)", dir, path, got, want.SHA256)
		}
	}
	return nil
}

// write records all files under dir and writes the manifest.
func (m *Manifest) write(dir string) error {
	m.Files = map[string]File{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum, err := atomicfile.SHA256(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		m.Files[filepath.ToSlash(name)] = File{info.Size(), sum}
		return err
	})
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, manifestFile), append(b, '\n'))
}

// validSystem reports whether name can name a ranking made with a model: it is a
// folder, an argument and a parameter of a URL as well.
func validSystem(name string) bool {
	if name == "" || len(name) > 40 || name == lexicalSystem || name == engine.Hybrid || name == productsFolder {
		return false
	}
	for _, r := range name {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}
