package english

import "testing"

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n    int
		unit string
		want string
	}{
		{0, "product", "0 products"},
		{1, "product", "1 product"},
		{2, "judgement", "2 judgements"},
		{1, "query", "1 query"},
		{2, "query", "2 queries"},
		{3, "faulty row", "3 faulty rows"},
		{2, "matrix", "2 matrices"},
		{2, "batch", "2 batches"},
		{2, "day", "2 days"},
		{2, "class", "2 classes"},
	} {
		if got := Count(c.n, c.unit); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
	if got := CountOf(1, 1, "query") + ", " + CountOf(1, 2, "query"); got != "1 of 1 query, 1 of 2 queries" {
		t.Error(got)
	}
	if Choose(1, "is", "are") != "is" || Choose(0, "is", "are") != "are" {
		t.Error("the wrong form")
	}
}
