package formats

import (
	"strings"
	"testing"
)

func TestLists(t *testing.T) {
	trimmed := func(list []string) string {
		var kept []string
		for _, s := range list {
			if s = strings.TrimSpace(s); s != "" {
				kept = append(kept, s)
			}
		}
		return strings.Join(kept, "¦")
	}
	for text, want := range map[string]string{
		`["Clothing >> Women's >> Shorts"]`: "Clothing¦Women's¦Shorts", `["A > B", "A > C"]`: "A¦B", `["A", "B"]`: "A¦B", `['A', "B's"]`: "A¦B's", `['it\'s', 'x\n']`: "it's¦x",
		"A > B": "A¦B", "A / B / C": "A¦B¦C", "A/V cables / Audio": "A/V cables¦Audio", "A|B": "A¦B", "A > B | A > C": "A¦B", "A › B": "A¦B", "A\nB": "A¦B", "Bed, Bath > Towels": "Bed, Bath¦Towels",
		"One": "One", "[]": "", "": "", "[x": "[x", "['a' 'b']": "['a' 'b']", `[["A"]]`: "A", `[["A", "B"], ["A", "C"]]`: "A¦B", `[['A', "B's"], ['C']]`: "A¦B's", `[["A > B"]]`: "A¦B", `[[]]`: "", `[[x]]`: "[[x]]", `["A / B"]`: "A / B", `["[\"a\"]"]`: `["a"]`,
	} {
		if got := trimmed(splitPath(text)); got != want {
			t.Errorf("the path %q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"A > B, C > D": "A¦B", `A\, a > B, C`: "A, a¦B", "A, B": "A", `["A", "B"]`: "A¦B", `[["A", "B"], ["C"]]`: "A¦B"} {
		if got := trimmed(splitPaths(text)); got != want {
			t.Errorf("the first path of %q is %q, want %q", text, got, want)
		}
	}
	if got := trimmed(deepestPath("Default Category/Gear,Default Category/Gear/Bags,Default Category")); got != "Gear¦Bags" {
		t.Errorf("the deepest path is %q", got)
	}
	for text, want := range map[string]string{"a|b": "a¦b", "a|b\nc": "a|b¦c", `["x", 3, null]`: "x¦3", "['a, b', 'c']": "a, b¦c", "a": "a"} {
		if got := trimmed(splitLines(text)); got != want {
			t.Errorf("the lines of %q are %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"http://x/1.jpg, http://x/2.jpg": "http://x/1.jpg", `["http://x/1.jpg", "http://x/2.jpg"]`: "http://x/1.jpg", "https://x/w_1,h_2/a.jpg": "https://x/w_1,h_2/a.jpg", "u\nv": "u", "[]": "",
		"https://x/1.jpg,https://x/2.jpg": "https://x/1.jpg", "https://x/1.jpg|http://x/2.jpg": "https://x/1.jpg", "a.jpg": "a.jpg", "https://x/1.jpg https://x/2.jpg": "https://x/1.jpg",
	} {
		if got := firstImage(text); got != want {
			t.Errorf("the image of %q is %q, want %q", text, got, want)
		}
	}
}

func FuzzLists(f *testing.F) {
	for _, s := range []string{`["a", "b > c"]`, `['a\'', "b"]`, "A > B | C", "x, http://y", `[[["a"]]]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, split := range []func(string) []string{splitPath, splitPaths, splitLines, deepestPath} {
			n := 0
			for _, item := range split(s) {
				n += len(item)
			}
			if n > 2*len(s)+8 {
				t.Errorf("%q becomes longer", s)
			}
		}
		firstImage(s)
	})
}
