// Package filelock keeps two processes from writing one folder at once.
package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/trirank/trirank/internal/regular"
)

// ErrHeld is of a file that another process has taken.
var ErrHeld = errors.New("is locked by another process")

// ErrCannot is of a file on a file system that has no locks.
var ErrCannot = errors.New("cannot be locked")

// Take takes the file at path for this process, or fails at once; a file that another
// process has is an ErrHeld. The system lets go of it when the process ends, however
// that happens.
func Take(path string) (unlock func(), err error) {
	f, err := regular.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	return lock(f, path)
}

// TakeExisting is Take for a file that has to be there, by its name, once it is taken:
// another process may have removed it meanwhile.
func TakeExisting(path string) (unlock func(), err error) {
	f, err := regular.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if unlock, err = lock(f, path); err != nil {
		return nil, err
	}
	taken, err := f.Stat()
	there, err2 := os.Lstat(path)
	if err = errors.Join(err, err2); err == nil && !os.SameFile(taken, there) {
		err = fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

func lock(f *os.File, path string) (unlock func(), err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return func() { f.Close() }, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s %w", path, ErrHeld)
	}
	return nil, fmt.Errorf("%s %w: %w", path, ErrCannot, err)
}
