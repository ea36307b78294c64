package regular

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpen has a file that cannot be waited for: each answer comes at once.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(unix.Mkfifo(at("pipe"), 0o644), os.WriteFile(at("file"), []byte("text"), 0o644), os.Symlink("pipe", at("link"))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for path, want := range map[string]string{
			at("pipe"): "is a pipe", at("link"): "is a pipe", at("socket"): "is a socket", "/dev/zero": "is a device", dir: "is a directory", at("none"): "no such file",
		} {
			for name, open := range map[string]func(string) (*os.File, error){
				"Open": Open, "OpenOnce": OpenOnce,
				"OpenFile": func(path string) (*os.File, error) { return OpenFile(path, os.O_RDWR, 0o644) },
			} {
				f, err := open(path)
				if name == "OpenFile" && path == dir && err != nil {
					continue // is a directory
				}
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s(%s): error %v, want %q", name, path, err, want)
				}
				if err == nil {
					f.Close()
				}
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the other end of a pipe")
	}
	if b, err := ReadFile(at("file"), 4); string(b) != "text" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := ReadFile("/proc/self/status", 1<<20); len(b) < 100 || err != nil { // its size is said to be 0
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for _, name := range []string{at("file"), "/proc/self/status"} {
		if _, err := ReadFile(name, 3); err == nil {
			t.Errorf("%s is not too large", name)
		}
	}
}

// TestHanded reads a pipe that the program has already, as of <(command).
func TestHanded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	io.WriteString(w, "text")
	w.Close()
	path := filepath.Join("/dev/fd", string(rune('0'+r.Fd()%10)))
	if r.Fd() > 9 {
		t.Skip("the descriptor has two digits")
	}
	f, err := OpenOnce(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); string(b) != "text" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Open(path); err == nil {
		t.Error("Open takes a pipe")
	}
	if Handed("/tmp/dev/fd/3") || Handed("dev/fd/3") || !Handed("/dev/stdin") {
		t.Error("names of what the program was started with")
	}
}
