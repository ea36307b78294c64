//go:build unix

package bm25

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestOpenLocked checks that a lock on bleve's files ends in an error.
func TestOpenLocked(t *testing.T) {
	dir := t.TempDir()
	if err := Build(context.Background(), dir, iterate(makeProducts(10)), Options{}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, bleveDir, "store", "root.bolt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = Open(dir)
	checkError(t, err, nil, "cannot open BM25 index "+dir, "timeout")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	openIndex(t, dir)
}
