package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/trirank/trirank/judgments"
)

// TestJudged: labels of any scale are found by the text of a query, however it is
// typed, and agree with what an evaluation makes of the same table.
func TestJudged(t *testing.T) {
	rows := map[string]uint32{"a": 0, "b": 1, "c": 2}
	row := func(id string) (uint32, bool) { r, ok := rows[id]; return r, ok }
	const header = "query_id,query,product_id,label,split,judge,time\n"
	for _, c := range []struct{ name, table, want string }{
		{"letters", "1,tv,a,E,,,\n1,tv,b,I,,,\n1,tv,gone,S,,,\n", "map[0:E 1:I]"},
		{"numbers", ",tv,a,0.733,,,\n,tv,b,0,,,\n,tv,c,-1,,,\n", "map[0:0.733 1:0]"},
		{"judges", ",tv,a,3,,ann,\n,tv,a,1,,bob,\n,tv,a,2,,zoe,\n,tv,b,-1,,ann,\n,tv,b,2,,bob,\n", "map[0:2 1:2]"},
		{"a row for the sake of an id", "1,tv,a,3,,ann,\n,tv,a,1,,bob,\n,tv,a,1,,zoe,\n9,tv,a,3,,ann,\n", "map[0:1]"},
		{"whole numbers of letters", ",tv,a,100,,,\n,tv,b,10,,,\n", "map[0:E 1:S]"},
		{"the only 100 is outvoted", ",tv,a,100,,ann,\n,tv,a,10,,bob,\n,tv,b,1,,,\n", "map[0:10 1:1]"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, judgmentsFile)
		if err := os.WriteFile(path, []byte(header+c.table), 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := openJudged(dir, row)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := fmt.Sprint(j.of(" TV ")); got != c.want || fmt.Sprint(j.of("tv")) != got || j.of("radio") != nil {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		src, err := judgments.Read([]string{path}, judgments.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		set, _, err := judgments.NewSet(src, judgments.Options{Known: func(p string) bool { _, ok := row(p); return ok }, Skip: true})
		if err != nil {
			t.Fatal(err)
		}
		q := &set.Queries[0]
		for i, p := range q.Products {
			if got := j.of("tv")[rows[p]]; got != set.Label(q, i) {
				t.Errorf("%s: product %s is %v here and %v in an evaluation", c.name, p, got, set.Label(q, i))
			}
		}
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, judgmentsFile), []byte(header+",caf\u00e9,a,E,,,\n,Apple,b,E,,,\n,apple,c,I,,,\n"), 0o644)
	j, err := openJudged(dir, row)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"cafe\u0301": "map[0:E]", "Apple": "map[1:E]", "apple": "map[2:I]", "APPLE": "map[1:E]"} {
		if got := fmt.Sprint(j.of(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
