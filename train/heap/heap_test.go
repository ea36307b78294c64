package heap

import (
	"slices"
	"testing"
)

func TestEnviron(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{[]string{"HOME=/root"}, []string{"HOME=/root", "GLIBC_TUNABLES=" + tunables}},
		{[]string{"GLIBC_TUNABLES=glibc.pthread.rseq=0", "A=b"}, []string{"GLIBC_TUNABLES=glibc.pthread.rseq=0:" + tunables, "A=b"}},
		{[]string{"GLIBC_TUNABLES="}, []string{"GLIBC_TUNABLES=" + tunables}},
		{[]string{"GLIBC_TUNABLES=glibc.malloc.hugetlb=1"}, nil}, // the user's own
	} {
		got := environ(c.given)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q becomes %q, not %q", c.given, got, c.want)
		}
		if again := environ(got); got != nil && again != nil {
			t.Errorf("it would begin anew for ever: %q", again)
		}
	}
}
