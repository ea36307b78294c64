package safetensors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/checksum"
)

// TestChecked flips every bit of a file: none passes.
func TestChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	tensors := []Tensor{{Name: "a", Shape: []int{2}, Values: []float32{1, -2}}, {Name: "b", Shape: []int{1}, Values: []float32{.5}}}
	if err := WriteChecked(path, tensors, map[string]string{"alpha": "16"}); err != nil {
		t.Fatal(err)
	}
	list, meta, err := ReadChecked(path)
	if err != nil || len(list) != 2 || meta["alpha"] != "16" {
		t.Fatalf("%v, %v, %v", list, meta, err)
	}
	sum, err := checksum.Of(path)
	if err != nil {
		t.Fatal(err)
	}
	if as, err := ReadAs(path, sum); err != nil || len(as) != 2 {
		t.Fatalf("%v, %v", as, err)
	}
	b, _ := os.ReadFile(path)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			os.WriteFile(path, b, 0o644)
			if _, _, err := ReadChecked(path); err == nil {
				t.Errorf("a flip of bit %d of byte %d passes", bit, i)
			}
			if _, err := ReadAs(path, sum); err == nil {
				t.Errorf("a flip of bit %d of byte %d passes as a file with that checksum", bit, i)
			}
			b[i] ^= 1 << bit
		}
	}
	if err := Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadChecked(path); err == nil || !strings.Contains(err.Error(), "no checksum in its metadata") {
		t.Errorf("without a checksum: %v", err)
	}
}
