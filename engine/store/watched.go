package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trirank/trirank/internal/regular"
)

// watched are the files of an index: all while it is opened, and then those that are read
// while it serves. They are held open: a new index in the place of the old one is another
// set of files, and changes nothing for those who read these.
type watched struct {
	dir   string
	files []watchedFile
}

type watchedFile struct {
	name     string
	file     *os.File
	size     int64
	modified time.Time
}

// watch holds all files of the index in dir, before they are verified and read: what
// changes in between shows, too.
func watch(dir string, m *Manifest) (_ *watched, err error) {
	w := &watched{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("%s is outside of the directory (build it again with trirank index)", name)
		}
		f, err := regular.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is missing (build it again with trirank index)", name)
		}
		if err != nil {
			return nil, err
		}
		at := watchedFile{name: name, file: f}
		w.files = append(w.files, at)
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		last := &w.files[len(w.files)-1]
		last.size, last.modified = info.Size(), info.ModTime()
	}
	return w, nil
}

// mapped reports whether a file is read as long as the index is open. Vector indexes and
// judgements are read into memory once.
func mapped(name string) bool {
	return strings.HasPrefix(name, productsFolder+"/") && !strings.HasSuffix(name, "/"+judgmentsFile) ||
		strings.HasSuffix(name, "/"+vectorsFile) || strings.HasPrefix(name, lexicalSystem+"/"+bm25Segments)
}

// bm25Segments is where bleve keeps what it maps.
const bm25Segments = "bleve/"

// changed returns an error that names the first file that is not as it was opened.
func (w *watched) changed() error {
	for i := range w.files {
		f := &w.files[i]
		info, err := f.file.Stat()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if info.Size() != f.size || !info.ModTime().Equal(f.modified) {
			return fmt.Errorf("%s was written to or cut off (an index is replaced by trirank index, or by a rename of a whole folder, and never in place)", f.name)
		}
	}
	return nil
}

// opened compares all files for the last time, and by their names too: what was read by
// name must be what was verified. Those that are not read again are let go.
func (w *watched) opened() error {
	if err := w.changed(); err != nil {
		return err
	}
	kept := w.files[:0]
	var err error
	for _, f := range w.files {
		there, err1 := os.Stat(filepath.Join(w.dir, filepath.FromSlash(f.name)))
		held, err2 := f.file.Stat()
		if err1 != nil || err2 != nil || !os.SameFile(there, held) {
			err = errors.Join(err, fmt.Errorf("%s was replaced while the index was opened (try again)", f.name))
		}
		if mapped(f.name) {
			kept = append(kept, f)
		} else {
			f.file.Close()
		}
	}
	w.files = kept
	return err
}

func (w *watched) close() (err error) {
	for _, f := range w.files {
		err = errors.Join(err, f.file.Close())
	}
	w.files = nil
	return err
}

// testHookOpen is called by Open once the files of dir are verified, and once its products
// are mapped.
var testHookOpen = func(dir, step string) {}
