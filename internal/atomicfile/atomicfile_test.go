package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func read(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Write(path, func(w io.Writer) error {
		io.WriteString(w, "half")
		return broken
	})
	if !errors.Is(err, broken) || read(t, path) != "old" {
		t.Errorf("error %v, file %q", err, read(t, path))
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left, want 1", len(entries))
	}
}

func TestReplaceDir(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "d")
	os.Mkdir(path+".old", 0o755) // somebody's, not ours to touch
	for _, text := range []string{"one", "two"} {
		fresh := filepath.Join(root, "fresh")
		os.Mkdir(fresh, 0o755)
		os.WriteFile(filepath.Join(fresh, "f"), []byte(text), 0o644)
		if err := ReplaceDir(fresh, path); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(path, "f")); got != text {
			t.Errorf("the directory holds %q, want %q", got, text)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v; want d and d.old", entries, err)
	}
}

func TestBuildDir(t *testing.T) {
	root := t.TempDir()
	path, broken := filepath.Join(root, "new", "d"), errors.New("broken")
	build := func(text string, err error) error {
		return BuildDir(path, func(fresh string) error {
			return errors.Join(os.WriteFile(filepath.Join(fresh, "f"), []byte(text), 0o644), err)
		})
	}
	if err := build("one", nil); err != nil {
		t.Fatal(err)
	}
	if err := build("two", broken); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if got := read(t, filepath.Join(path, "f")); got != "one" {
		t.Errorf("after a failure the directory holds %q", got)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// TestReplaceDirUnderReaders looks all the while: there is never nothing.
func TestReplaceDirUnderReaders(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "d")
	put := func() {
		fresh := filepath.Join(root, "fresh")
		os.Mkdir(fresh, 0o755)
		os.WriteFile(filepath.Join(fresh, "f"), nil, 0o644)
		if err := ReplaceDir(fresh, path); err != nil {
			t.Fatal(err)
		}
	}
	put()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := os.Stat(path); err != nil {
					t.Errorf("a reader finds nothing: %v", err)
					return
				}
			}
		}
	}()
	for range 50 {
		put()
	}
	close(stop)
	<-stopped
}
