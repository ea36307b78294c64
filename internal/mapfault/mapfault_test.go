package mapfault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 1<<14), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, 1<<14, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	read := func() (err error) {
		defer Catch(&err)()
		for _, x := range b {
			sum += x
		}
		return nil
	}
	if err := read(); err == nil || !strings.Contains(err.Error(), "cut off while it was read") {
		t.Errorf("%v, %d", err, sum)
	}
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(string), "another") {
			t.Errorf("another panic became %v", p)
		}
	}()
	_ = func() (err error) {
		defer Catch(&err)()
		panic("another")
	}()
}
