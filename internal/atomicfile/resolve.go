package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Resolve returns the absolute path of what path means: symbolic links are followed, at
// its end as well, and also where what they lead to is yet to be made. Whoever replaces
// a file or folder replaces what Resolve returns, so that a link stays one.
func Resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if inFile := (*fs.PathError)(nil); err != nil && !errors.As(err, &inFile) {
		return "", &fs.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP} // the error of EvalSymlinks has no type
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	dir, err := Resolve(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	to, err := os.Readlink(path)
	switch {
	case err != nil: // no link, so it is yet to be made
		return filepath.Join(dir, filepath.Base(path)), nil
	case filepath.IsAbs(to):
		return Resolve(to)
	}
	return Resolve(filepath.Join(dir, to))
}
