package faiss

import "testing"

func TestChooseFactory(t *testing.T) {
	for _, c := range []struct {
		given        string
		dimension, n int
		vectorized   bool
		want         string
	}{
		{AutoFactory, 384, 19_999, true, "Flat"},
		{"", 384, 20_000, true, "IVF512,SQfp16"}, // 39 vectors for each list
		{AutoFactory, 384, 100_000, true, "IVF1264,SQfp16"},
		{AutoFactory, 384, 100_000, false, "IVF1264,Flat"},
		{AutoFactory, 312, 100_000, true, "IVF1264,Flat"},
		{AutoFactory, 384, 1_000_000, true, "IVF4000,SQfp16"},
		{"HNSW32", 384, 1_000_000, true, "HNSW32"},
	} {
		if got := chooseFactory(c.given, c.dimension, c.n, c.vectorized); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
