// Package atomicfile writes files and directories so that a reader, or a crash,
// sees the old one or the new one and nothing between.
package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Write makes or replaces the file at path with what write produces. If write
// fails, an existing file stays as it was.
func Write(path string, write func(w io.Writer) error) (err error) {
	if path, err = Resolve(path); err != nil {
		return err
	}
	w, err := newWorkspace(path)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, w.remove()) }()
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(w.dir), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := write(f); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteBytes is Write for what is at hand already.
func WriteBytes(path string, b []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SyncTree makes all files and names under dir durable.
func SyncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return SyncDir(path) // a file syncs the same way
	})
}

// ReplaceDir makes the directory fresh, complete and on the same file system,
// known as path. What was there before is exchanged with it in one step, so that a
// reader or a crash finds one of the two, and then removed.
func ReplaceDir(fresh, path string) error {
	if err := SyncTree(fresh); err != nil {
		return fmt.Errorf("cannot put %s in place: %w", path, err)
	}
	err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		return errors.Join(SyncDir(filepath.Dir(path)), os.RemoveAll(fresh)) // fresh is the old one now
	case errors.Is(err, os.ErrNotExist):
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP):
		// A file system that cannot exchange: for a moment there is nothing at
		// path. After a crash the old one lies in a folder beside it, from which
		// the next one that writes there takes it back.
		w, err := newWorkspace(path)
		if err != nil {
			return err
		}
		old := filepath.Join(w.dir, replacedName)
		if err := os.Rename(path, old); err != nil {
			return errors.Join(err, w.remove())
		}
		if err := os.Rename(fresh, path); err != nil {
			if back := os.Rename(old, path); back != nil {
				w.unlock()
				return fmt.Errorf("%w; what was there before lies in %s", errors.Join(err, back), old)
			}
			return errors.Join(err, w.remove())
		}
		return errors.Join(SyncDir(filepath.Dir(path)), w.remove())
	default:
		return fmt.Errorf("cannot put %s in place: %w", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// BuildDir makes or replaces the directory that path means (see [Resolve]) with what
// build puts into the folder that it is given. If build fails, what was there stays.
func BuildDir(path string, build func(fresh string) error) (err error) {
	path, err = Resolve(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	w, err := newWorkspace(path)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, w.remove()) }()
	fresh := filepath.Join(w.dir, freshName)
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := build(fresh); err != nil {
		return err
	}
	return ReplaceDir(fresh, path)
}
