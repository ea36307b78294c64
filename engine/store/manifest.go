package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/checksum"
)

// Format is the version of the index directory that this program reads and
// writes. Changes of it are listed in docs/formats.md.
const Format = 4

const manifestFile = "manifest.json"

// maxManifest bounds what is read of a manifest.json that may be of another program.
const maxManifest = 1 << 28

// Manifest is what manifest.json says about an index directory.
type Manifest struct {
	Format    int            `json:"format"`
	Catalogue CatalogueInfo  `json:"catalogue"`
	Template  string         `json:"template"` // of the text that is embedded
	BM25      bm25.Options   `json:"bm25"`
	Models    []ModelInfo    `json:"models"`
	Fusion    string         `json:"fusion,omitempty"` // as engine.ParseFusion reads it
	Tuned     []string       `json:"tuned,omitempty"`  // hashes of the queries that the fusion was chosen by
	Files     checksum.Files `json:"files"`            // all but this one
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

// files are those of the index that are read one by one. The text index has more, which
// its own description lists.
func (m *Manifest) files() []string {
	names := []string{lexicalSystem + "/" + bm25.HeaderFile, productsFolder + "/" + judgmentsFile}
	for _, f := range productFiles {
		names = append(names, productsFolder+"/"+f)
	}
	for _, x := range m.Models {
		for _, f := range append([]string{faissFile}, vectorFiles...) {
			names = append(names, x.System+"/"+f)
		}
	}
	return names
}

// ReadManifest reads and checks DIR/manifest.json, and no other file.
func ReadManifest(dir string) (*Manifest, error) {
	fail := func(err error, remedy string) (*Manifest, error) {
		return nil, fmt.Errorf("cannot open index %s: %w (%s)", dir, err, remedy)
	}
	const again = "build it again with trirank index"
	var m Manifest
	var other *checksum.FormatError
	switch err := checksum.ReadJSON(filepath.Join(dir, manifestFile), Format, &m); {
	case errors.Is(err, fs.ErrNotExist):
		return fail(fmt.Errorf("there is no %s", manifestFile), "it is not an index directory; trirank index makes one")
	case errors.As(err, &other):
		return fail(err, again)
	case errors.Is(err, syscall.ENOTDIR):
		return fail(errors.New("it is a file"), "an index directory is wanted; trirank index makes one")
	case err != nil:
		return fail(fmt.Errorf("%s was cut off or changed: %w", manifestFile, err), "remove the index, and "+again)
	}
	if m.Catalogue.Rows < 1 || m.Catalogue.Rows > math.MaxInt32 {
		return fail(fmt.Errorf("%s speaks of %d products", manifestFile, m.Catalogue.Rows), again)
	}
	for _, x := range m.Models {
		if !validSystem(x.System) || x.Dimension < 1 || x.Dimension > 1<<16 {
			return fail(fmt.Errorf("%s has a model entry that cannot be: %q, dimension %d", manifestFile, x.System, x.Dimension), again)
		}
	}
	if err := m.Files.Require(m.files()...); err != nil {
		return fail(fmt.Errorf("%s: %w", manifestFile, err), again)
	}
	return &m, nil
}

// verify compares the files of dir with the manifest, but for those that are compared
// where they are opened: the vector indexes, and all but the description of the text
// index.
func (m *Manifest) verify(dir string) error {
	wrong := m.Files.Verify(dir, func(name string) bool {
		return strings.HasSuffix(name, "/"+faissFile) || strings.HasPrefix(name, lexicalSystem+"/") && name != lexicalSystem+"/"+bm25.HeaderFile
	})
	if len(wrong) > 0 {
		return fmt.Errorf("%w (build it again with trirank index)", wrong[0])
	}
	return nil
}

// write completes the index in dir by its manifest. Files that sums has are not read
// again: it says what was meant to be written.
func (m *Manifest) write(dir string, sums checksum.Files) error {
	rest, err := checksum.OfTree(dir, append(slices.Collect(maps.Keys(sums)), manifestFile)...)
	if err != nil {
		return err
	}
	m.Files = checksum.Files{}
	maps.Copy(m.Files, sums)
	maps.Copy(m.Files, rest)
	if err := m.Files.Require(m.files()...); err != nil {
		return err
	}
	for _, x := range m.Models {
		if name := x.System + "/" + faissFile; m.Files[name].SHA256 != x.Index.SHA256 {
			return fmt.Errorf("%s was changed since it was written", name)
		}
	}
	return m.save(dir)
}

func (m *Manifest) save(dir string) error {
	return checksum.WriteJSON(filepath.Join(dir, manifestFile), m)
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
