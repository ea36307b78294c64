package filelock

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(path); err == nil || !strings.Contains(err.Error(), "is locked by another process") {
		t.Errorf("taken twice: %v", err)
	}
	unlock()
	again, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := Take(filepath.Join(path, "none", "lock")); err == nil {
		t.Error("a lock in a folder that is not there")
	}
}
