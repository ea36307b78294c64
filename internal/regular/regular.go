// Package regular opens files that have to be regular ones. A named pipe in place of
// one would keep its reader waiting, and a device may never end.
package regular

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// Error says that a path leads to something other than a regular file.
type Error struct {
	Path string
	Mode fs.FileMode
}

// Error names the path and what lies there.
func (e *Error) Error() string {
	if e.Mode.IsDir() {
		return e.Path + ": it is a directory, not a plain file (name a file)"
	}
	return fmt.Sprintf("%s: it is %s, not a plain file (copy what it gives into one)", e.Path, kind(e.Mode))
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no file of data"
}

// Open opens the file at path for reading. What is not a regular file is an *Error, at
// once: nothing is waited for.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile for regular files.
func OpenFile(path string, flag int, perm fs.FileMode) (*os.File, error) {
	// Without O_NONBLOCK the opening of a pipe waits for its other end. Of a regular
	// file it changes nothing.
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK, perm)
	if err != nil {
		// What cannot be opened at all, such as a socket, is named by its kind.
		if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
			return nil, &Error{path, info.Mode()}
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &Error{path, info.Mode()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile returns what is in the regular file at path, which may have at most most
// bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s has %d bytes, and %d are the most that is read", path, info.Size(), most)
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead) // it may have more than its size, as those of /proc
	n, err := b.ReadFrom(io.LimitReader(f, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("%s has more than %d bytes, which are the most that is read", path, most)
	}
	return b.Bytes(), err
}

// descriptor matches the names of what the program was started with: standard input,
// and the pipes that a shell makes of <(command).
var descriptor = regexp.MustCompile(`^(/dev/stdin|/dev/fd/[0-9]+|/proc/self/fd/[0-9]+)$`)

// Handed reports whether path names an open file that the program was started with.
func Handed(path string) bool { return descriptor.MatchString(filepath.Clean(path)) }

// OpenOnce opens the file at path for one reading from its beginning to its end: a
// regular file, or a pipe that the program was started with. Such a pipe has its other
// end already, and cannot be read twice.
func OpenOnce(path string) (*os.File, error) {
	if !Handed(path) {
		return Open(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0 {
		err = &Error{path, info.Mode()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
