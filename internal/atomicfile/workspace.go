package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/internal/filelock"
)

// A workspace is a folder .NAME.tmp-NUMBER beside what is written, with
const (
	lockName     = "trirank.lock" // held while it is in use, and what tells it from others' folders
	freshName    = "new"          // what is being built
	replacedName = "replaced"     // what was there, where it cannot be exchanged
)

// workspace is a folder that this process uses and no other removes.
type workspace struct {
	dir    string
	unlock func()
}

// TempDir makes a folder in parent, under a name that begins with a dot and name, and
// returns what removes it. Folders of that name that a killed process left are removed
// before.
func TempDir(parent, name string) (dir string, remove func(), err error) {
	w, err := newWorkspace(filepath.Join(parent, name))
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(w.dir, freshName)
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.remove()
		return "", nil, err
	}
	return dir, func() { w.remove() }, nil
}

// newWorkspace makes a folder beside path, and removes those that killed processes left
// there for the same path.
func newWorkspace(path string) (*workspace, error) {
	if err := clean(filepath.Dir(path), filepath.Base(path)); err != nil {
		return nil, err
	}
	for range 100 {
		dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
		if err != nil {
			return nil, err
		}
		w := &workspace{dir, func() {}}
		lock := filepath.Join(dir, lockName)
		f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			f.Close()
			w.unlock, err = filelock.TakeExisting(lock)
		}
		switch {
		case err == nil:
			return w.readable()
		case errors.Is(err, filelock.ErrHeld), errors.Is(err, fs.ErrNotExist):
			continue // another process took it for one that was left
		case errors.Is(err, filelock.ErrCannot):
			// A file system without locks: nobody can tell that it was left.
			w.unlock = func() {}
			return w.readable()
		default:
			os.RemoveAll(dir)
			return nil, err
		}
	}
	return nil, fmt.Errorf("cannot make a folder beside %s: others remove it", path)
}

// readable lets others read what is built in it.
func (w *workspace) readable() (*workspace, error) {
	if err := os.Chmod(w.dir, 0o755); err != nil {
		return nil, errors.Join(err, w.remove())
	}
	return w, nil
}

// remove removes the folder. Whoever cannot has to say so: within a folder that is being
// built, what is left would be taken for a part of it.
func (w *workspace) remove() error {
	defer w.unlock()
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("cannot remove a temporary folder: %w", err)
	}
	return nil
}

// Clean removes from dir all that killed processes left there of what they wrote into
// it. It does not touch what a running process uses, nor what others made.
func Clean(dir string) error { return clean(dir, "") }

// clean does so for one name, or all.
func clean(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) { // it may be writable and not readable
		return err
	}
	for _, e := range entries {
		of, ok := workspaceOf(e)
		if !ok || name != "" && of != name {
			continue
		}
		if err := cleanOne(filepath.Join(dir, e.Name()), filepath.Join(dir, of)); err != nil {
			return err
		}
	}
	return nil
}

// workspaceOf returns the name of what a folder was a workspace for.
func workspaceOf(e fs.DirEntry) (name string, ok bool) {
	i := strings.LastIndex(e.Name(), ".tmp-")
	if i < 2 || e.Name()[0] != '.' || !e.IsDir() || strings.Trim(e.Name()[i+len(".tmp-"):], "0123456789") != "" {
		return "", false
	}
	return e.Name()[1:i], true
}

// IsWorkspace reports whether the folder at path is one that this package makes beside
// what it writes, in use or left by a killed process.
func IsWorkspace(path string, e fs.DirEntry) bool {
	if _, ok := workspaceOf(e); !ok {
		return false
	}
	_, err := os.Lstat(filepath.Join(path, lockName))
	return err == nil
}

// cleanOne removes a workspace of what lies at path if it is one and nobody holds it.
func cleanOne(dir, path string) error {
	unlock, err := filelock.TakeExisting(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		os.Remove(dir) // only if it is empty: its process was killed before it could lock it
		return nil
	}
	if err != nil {
		return nil // it is in use, or not ours to touch
	}
	defer unlock()
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		err := os.Rename(filepath.Join(dir, replacedName), path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot put back what an interrupted command left in %s: %w", dir, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cannot remove what an interrupted command left: %w", err)
	}
	return nil
}
