// Package checksum tells files that are as they were written from those that are not.
//
// Each directory that trirank writes has a description in JSON. It lists the SHA-256 of
// every other file, and its own last line is the SHA-256 of what comes before it: see
// MarshalJSON. Arrays that are read row by row before they are whole, and of which single
// rows are taken over, have a CRC-32C a row.
package checksum

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/regular"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC returns the CRC-32C of b.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// File is the size and hash of a file.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // in hexadecimal
}

// Of reads the file at path whole.
func Of(path string) (File, error) {
	f, err := regular.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return File{n, hex.EncodeToString(h.Sum(nil))}, err
}

// Files are the files of a directory by their path within it, with slashes.
type Files map[string]File

// OfTree reads all files below dir but those named except.
func OfTree(dir string, except ...string) (Files, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := slashed(dir, path)
		if !slices.Contains(except, name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	sums := make([]File, len(names))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() (err error) {
			sums[i], err = Of(filepath.Join(dir, filepath.FromSlash(name)))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	files := Files{}
	for i, name := range names {
		files[name] = sums[i]
	}
	return files, nil
}

// slashed returns path within dir, with slashes.
func slashed(dir, path string) (string, error) {
	name, err := filepath.Rel(dir, path)
	return filepath.ToSlash(name), err
}

// Verify compares the files of dir, but those that skip names, with what f says, and
// returns all that is wrong in order of name. It reads as many files at once as there
// are processors.
func (f Files) Verify(dir string, skip func(name string) bool) []error {
	names := slices.Sorted(maps.Keys(f))
	faults := make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		if skip != nil && skip(name) {
			continue
		}
		g.Go(func() error {
			if err := f[name].verify(dir, name); err != nil {
				faults[i] = fmt.Errorf("%s %w", name, err)
			}
			return nil
		})
	}
	g.Wait()
	return slices.DeleteFunc(faults, func(err error) bool { return err == nil })
}

func (want File) verify(dir, name string) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return errors.New("is outside of the directory")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("is missing")
	case err != nil:
		return fmt.Errorf("cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return errors.New("is not a plain file")
	case info.Size() != want.Bytes:
		return fmt.Errorf("has %d bytes instead of %d: it was cut off or changed", info.Size(), want.Bytes)
	}
	got, err := Of(path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	return want.compare(got)
}

func (want File) compare(got File) error {
	if got.Bytes != want.Bytes {
		return fmt.Errorf("has %d bytes instead of %d: it was cut off or changed", got.Bytes, want.Bytes)
	}
	if got.SHA256 != want.SHA256 {
		return fmt.Errorf("was changed: its SHA-256 is %.12s…, not %.12s…", got.SHA256, want.SHA256)
	}
	return nil
}

// Require returns an error if f lacks one of names.
func (f Files) Require(names ...string) error {
	for _, name := range names {
		if _, ok := f[name]; !ok {
			return fmt.Errorf("it does not list %s", name)
		}
	}
	return nil
}

// Unlisted returns the names of the files and folders below dir that are no part of it:
// neither in f, nor on the way to what is, nor among except. Of a folder that is no part,
// what it holds is not named. What a killed writer left, the next one removes: it does not
// count.
func (f Files) Unlisted(dir string, except ...string) (names []string, err error) {
	parts := map[string]bool{".": true}
	for _, name := range except {
		parts[name] = true
	}
	for name := range f {
		for ; !parts[name]; name = path.Dir(name) {
			parts[name] = true
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := slashed(dir, path)
		if err != nil || parts[name] {
			return err
		}
		if !atomicfile.IsWorkspace(path, d) {
			names = append(names, name)
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	return names, err
}

// Reader passes on what r has, and instead of the end an error if that is not what want
// says. It costs no pass of its own.
func Reader(r io.Reader, want File) io.Reader { return &reader{r: r, want: want, hash: sha256.New()} }

type reader struct {
	r    io.Reader
	want File
	hash hash.Hash
	n    int64
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.hash.Write(b[:n])
	r.n += int64(n)
	if err == io.EOF {
		if wrong := r.want.compare(File{r.n, hex.EncodeToString(r.hash.Sum(nil))}); wrong != nil {
			return n, fmt.Errorf("it %w", wrong)
		}
	}
	return n, err
}

// Writer counts and hashes what goes through it.
type Writer struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, hash: sha256.New()} }

// Write implements io.Writer.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.hash.Write(b[:n])
	w.n += int64(n)
	return n, err
}

// Sum returns what was written so far.
func (w *Writer) Sum() File { return File{w.n, hex.EncodeToString(w.hash.Sum(nil))} }
