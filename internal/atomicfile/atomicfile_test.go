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

func TestReplaceAndRecoverDir(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "d")
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
	// What a crash between the two renames leaves.
	os.Rename(path, path+".old")
	if err := RecoverDir(path); err != nil || read(t, filepath.Join(path, "f")) != "two" {
		t.Errorf("not recovered: %v", err)
	}
	if err := RecoverDir(path); err != nil {
		t.Errorf("recovering what is whole: %v", err)
	}
	if err := RecoverDir(filepath.Join(root, "never")); err != nil {
		t.Errorf("recovering what never was: %v", err)
	}
}
