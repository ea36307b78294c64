// Package filelock keeps two processes from writing one folder at once.
package filelock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Take takes the file at path for this process, or fails at once. The system lets
// go of it when the process ends, however that happens.
func Take(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is locked by another process", path)
	}
	return func() { f.Close() }, nil
}
