package faiss

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGPULibrary looks for the library where it is not, and loads what it is not. It is
// in this package since a library once loaded stays.
func TestGPULibrary(t *testing.T) {
	gpu.Lock()
	before := gpu.api
	gpu.api = nil
	gpu.Unlock()
	defer func() {
		gpu.Lock()
		gpu.api = before
		gpu.Unlock()
	}()
	t.Setenv("TRIRANK_FAISS_GPU", "")
	if _, err := Devices(); err == nil || !strings.Contains(err.Error(), "make gpu builds it") {
		t.Errorf("not built: %v", err)
	}
	t.Setenv("TRIRANK_FAISS_GPU", filepath.Join(t.TempDir(), "none.so"))
	if _, err := Devices(); err == nil || !strings.Contains(err.Error(), "TRIRANK_FAISS_GPU") {
		t.Errorf("not there: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRIRANK_FAISS_GPU", text)
	if _, err := Devices(); err == nil || !strings.Contains(err.Error(), "cannot load "+text) {
		t.Errorf("no library: %v", err)
	}
	t.Setenv("TRIRANK_FAISS_GPU", "/lib/x86_64-linux-gnu/libm.so.6")
	if _, err := os.Stat(os.Getenv("TRIRANK_FAISS_GPU")); err != nil {
		t.Skip(err)
	}
	if _, err := Devices(); err == nil || !strings.Contains(err.Error(), "no library of trirank's") {
		t.Errorf("another library: %v", err)
	}
}
