package faiss

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/trirank/trirank/internal/processors"
)

// A search that waits for others is work for a processor, until it gives up.
func TestSearchIsWork(t *testing.T) {
	for range processors.Count() - 1 {
		defer processors.Work()()
	}
	path := filepath.Join(t.TempDir(), "index.faiss")
	vectors := []float32{1, 0, 0, 1}
	b, err := Build(t.Context(), path, vectors, 2, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := Open(path, b.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for range cap(x.slots) {
		x.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := x.Search(ctx, vectors[:2], 1, Params{}, nil)
		ended <- err
	}()
	for end := time.Now().Add(time.Minute); processors.Idle(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a search that waits for another is no work")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !processors.Idle() {
		t.Error("a search that gave up keeps a processor busy")
	}
}
