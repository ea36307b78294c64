package faiss

import (
	"errors"
	"strings"
	"testing"
)

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

func TestFactoryError(t *testing.T) {
	for factory, want := range map[string]string{
		"nonsense":        "could not parse index string nonsense",
		"IVF4,nonsense":   "could not parse code description nonsense in IVF4,nonsense",
		"a b":             "not a FAISS factory string",
		"IVF4000,Flat":    "4000 lists need at least as many vectors",
		"IVF4,RQ4x4":      "additive codes (RQ4x4)", // FAISS ends the process when these are searched
		"IVF4,PLSQ2x2x4":  "additive codes (PLSQ2x2x4)",
		"IVF4,RQ4x4fs":    "additive codes (RQ4x4fs)",
		"IDMap,Flat":      "leave IDMap and L2norm out",
		"IVF4,PQ7":        "7 parts do not divide the dimension",
		"HNSW99999999999": "99999999999",
	} {
		err := CheckFactory(factory, 32, 2000)
		var f *FactoryError
		if !errors.As(err, &f) || f.Factory != factory || !strings.Contains(f.Reason, want) || strings.Contains(f.Reason, "failed") {
			t.Errorf("%s: %v", factory, err)
		}
	}
	for _, factory := range []string{"RQ4x4", "IVF4,PQ8x4", "IVF4,PQ8x4fsr", "IVF4,RaBitQ"} {
		if err := CheckFactory(factory, 32, 2000); err != nil {
			t.Error(err)
		}
	}
}
