package faiss_test

import (
	"errors"
	"testing"

	"github.com/trirank/trirank/faiss"
)

// FuzzCheckFactory gives FAISS what passes for a factory string: an error of ours or an
// index, and never the end of the process.
func FuzzCheckFactory(f *testing.F) {
	for _, seed := range []string{"Flat", "IVF16,SQ8", "HNSW32", "OPQ8_64,IVF4,PQ8x4fs,RFlat", "PCA8,Flat", "IVF4_HNSW2,Flat", "IDMap,Flat", "LSQ2x4", "IMI2x3,PQ4", "Flat,", "PQ0", "NSG4"} {
		f.Add(seed, 16, 700)
	}
	f.Fuzz(func(t *testing.T, factory string, dimension, n int) {
		if dimension < 1 || dimension > 64 || n < 1 || n > 1<<20 {
			return
		}
		var wrong *faiss.FactoryError
		if err := faiss.CheckFactory(factory, dimension, n); err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q: %v is no FactoryError", factory, err)
		}
	})
}
