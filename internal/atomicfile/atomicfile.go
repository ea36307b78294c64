// Package atomicfile writes files and directories so that a reader, or a crash,
// sees the old one or the new one and nothing between.
package atomicfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Write makes or replaces the file at path with what write produces. If write
// fails, an existing file stays as it was.
func Write(path string, write func(w io.Writer) error) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
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
// known as path. What was there before is removed after the new one has its
// place; between the two renames a crash leaves the old one as path.old, which
// RecoverDir puts back.
func ReplaceDir(fresh, path string) error {
	if err := SyncTree(fresh); err != nil {
		return fmt.Errorf("cannot put %s in place: %w", path, err)
	}
	old := path + ".old"
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	had := true
	if err := os.Rename(path, old); errors.Is(err, os.ErrNotExist) {
		had = false
	} else if err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		if had {
			err = errors.Join(err, os.Rename(old, path))
		}
		return err
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// RecoverDir puts back what a crash within ReplaceDir left beside path.
func RecoverDir(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(path+".old", path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// SHA256 returns the hash of the file at path in hexadecimal.
func SHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
