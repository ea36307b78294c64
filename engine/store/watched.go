package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trirank/trirank/internal/regular"
)

// watched are the files of an open index that are read while it serves. They are held
// open: a new index in the place of the old one is another set of files, and changes
// nothing for those who read these.
type watched struct{ files []watchedFile }

type watchedFile struct {
	name     string
	file     *os.File
	size     int64
	modified time.Time
}

// watch holds the files of the index in dir that are mapped into memory, before they are
// verified: what changes meanwhile shows, too.
func watch(dir string, m *Manifest) (_ *watched, err error) {
	w := &watched{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if !mapped(name) {
			continue
		}
		f, err := regular.Open(filepath.Join(dir, filepath.FromSlash(name)))
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

func (w *watched) close() (err error) {
	for _, f := range w.files {
		err = errors.Join(err, f.file.Close())
	}
	w.files = nil
	return err
}
