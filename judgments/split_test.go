package judgments

import (
	"fmt"
	"strings"
	"testing"
)

func TestSplits(t *testing.T) {
	s, err := ParseSplits("test=30%, dev=0.1")
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for i := range 20_000 {
		q := fmt.Sprint("query ", i)
		split := s.Of(q)
		n[split]++
		if again := s.Of("  QUERY \u00a0" + fmt.Sprint(i)); again != split {
			t.Fatalf("%s is in %s, and in %s in another spelling", q, split, again)
		}
	}
	if n["test"] < 5700 || n["test"] > 6300 || n["dev"] < 1800 || n["dev"] > 2200 || n["test"]+n["dev"]+n["train"] != 20_000 {
		t.Errorf("%v", n)
	}
	for _, text := range []string{"", "test", "test=0", "test=100%", "test=60%,dev=40%", "train=10%", "test=10%,test=10%", "test=NaN", "test=-1", "a b=10%", "=10%"} {
		if _, err := ParseSplits(text); err == nil || !strings.Contains(err.Error(), "test=30%") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
