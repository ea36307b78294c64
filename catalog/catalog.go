package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/internal/textfile"
)

// The files of a catalogue directory.
const (
	manifestFile   = "catalog.json"
	productsFile   = "products.jsonl.zst"
	judgmentsFile  = "judgments.csv"
	popularityFile = "popularity.csv"
)

// format is the number of the directory format that this version reads and
// writes.
const format = 3 // 3: with a checksum of catalog.json itself

// manifest is catalog.json.
type manifest struct {
	Format    int            `json:"format"`
	Name      string         `json:"name"`
	Rows      int            `json:"rows"`
	Judgments int            `json:"judgments"`
	Queries   int            `json:"queries"`
	Hash      string         `json:"hash"`
	Files     checksum.Files `json:"files"`
	Imported  imported       `json:"imported"`
}

type imported struct {
	At     time.Time   `json:"at"`
	From   string      `json:"from,omitempty"`
	Faults faults.List `json:"faults"`
}

// Catalog is an open catalogue. It holds no file open between calls.
type Catalog struct {
	where     string // for messages: the directory, or "sample"
	name      string
	rows      int
	judgments int
	hash      string
	// open opens a text of the catalogue: productsFile or judgmentsFile.
	open func(file string) (io.ReadCloser, error)
}

// Name returns the name that the catalogue was given when it was made.
func (c *Catalog) Name() string { return c.name }

// Rows returns the number of products.
func (c *Catalog) Rows() int { return c.rows }

// Hash returns the SHA-256, in hexadecimal, of the products and judgements.
// It is equal for equal contents, wherever and whenever they were imported.
func (c *Catalog) Hash() string { return c.hash }

// Load opens the catalogue in the directory name or, if name is "sample", the
// sample that is part of the program.
func Load(name string) (*Catalog, error) {
	if name == sampleName {
		return Sample(), nil
	}
	return Open(name)
}

// Open opens the catalogue in dir. It checks the description and the sizes of
// the files; damage within a file shows when it is read to its end.
func Open(dir string) (*Catalog, error) {
	dir = filepath.Clean(dir)
	m, err := readManifest(dir)
	if err == nil {
		err = checkSizes(dir, m)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open catalogue %s: %w", dir, err)
	}
	return &Catalog{
		where: dir, name: m.Name, rows: m.Rows, judgments: m.Judgments, hash: m.Hash,
		open: func(file string) (io.ReadCloser, error) { return openText(dir, file, m.Files[file]) },
	}, nil
}

// openText opens a text of the catalogue in dir, whose end is an error if it is not what
// want says.
func openText(dir, file string, want checksum.File) (io.ReadCloser, error) {
	f, err := regular.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	t, err := textfile.New(checksum.Reader(f, want))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{t, closers{t, f}}, nil
}

// closers closes all of them.
type closers []io.Closer

// Close implements io.Closer.
func (cs closers) Close() (err error) {
	for _, c := range cs {
		err = errors.Join(err, c.Close())
	}
	return err
}

func readManifest(dir string) (*manifest, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such directory (trirank import makes one; the word sample names the built-in catalogue)")
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, errors.New("it is a file, not a catalogue directory (trirank import makes one from it)")
	}
	var m manifest
	var other *checksum.FormatError
	switch err := checksum.ReadJSON(filepath.Join(dir, manifestFile), format, &m); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("it is not a catalogue: it has no %s (trirank import makes a catalogue)", manifestFile)
	case errors.As(err, &other):
		return nil, fmt.Errorf("%w (import again with this version)", err)
	case errors.Is(err, checksum.ErrNone):
		return nil, fmt.Errorf("its %s does not describe a catalogue, or was cut off: %w (trirank import makes one)", manifestFile, err)
	case err != nil:
		return nil, fmt.Errorf("%s is damaged: %w (remove it and import again)", manifestFile, err)
	}
	if err := m.Files.Require(productsFile, judgmentsFile, popularityFile); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w (remove it and import again)", manifestFile, err)
	}
	return &m, nil
}

// checkSizes compares the sizes of the files with the description.
func checkSizes(dir string, m *manifest) error {
	for _, name := range []string{productsFile, judgmentsFile, popularityFile} {
		want := m.Files[name]
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("it is incomplete: %s is missing (remove it and import again)", name)
		}
		if err != nil {
			return err
		}
		if info.Size() != want.Bytes {
			return fmt.Errorf("%s has %d bytes instead of %d (remove it and import again)", name, info.Size(), want.Bytes)
		}
	}
	return nil
}
