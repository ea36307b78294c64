package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// each yields values.
func each[T any](values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func collect[T any](t testing.TB, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// lastError returns the error that ends seq.
func lastError[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

func write(t testing.TB, dir string, src Source, o WriteOptions) *Report {
	t.Helper()
	r, err := Write(context.Background(), dir, src, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSample(t *testing.T) {
	c, err := Load("sample")
	if err != nil {
		t.Fatal(err)
	}
	products, judged := collect(t, c.Products()), collect(t, c.Judgments())
	if len(products) != 439 || c.Rows() != 439 || len(judged) != 1715 {
		t.Errorf("%d products (Rows %d), %d judgements", len(products), c.Rows(), len(judged))
	}
	if j := judged[0]; j != (judgments.Judgment{QueryID: "Q001", Query: "wireless mouse", Product: "P0019", Label: judgments.Exact, Split: "train"}) {
		t.Errorf("the first judgement is %+v", j)
	}
}

func TestWriteThenOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	s := Sample()
	rich := Product{ID: "x", Title: "a <b> & \u2028 \"c\"", Extra: map[string]json.RawMessage{"z": json.RawMessage(`{"b": 1.50, "a": null}`), "a": json.RawMessage(`[]`)}}
	products := append(collect(t, s.Products()), rich)
	judged := append(collect(t, s.Judgments()), judgments.Judgment{QueryID: "n", Query: "two lines, \"quoted\"", Product: "x", Label: judgments.Irrelevant})
	src := Source{Products: each(products...), Judgments: each(judged...)}
	calls := 0
	r := write(t, dir, src, WriteOptions{Progress: func(int) { calls++ }})
	if r.Products != 440 || r.Judgments != 1716 || r.Queries != 135 || r.Faults.Count != 0 || r.Name != "shop" || calls == 0 {
		t.Errorf("the report is %+v after %d calls of Progress", r, calls)
	}
	c, err := Open(dir + "/")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name() != "shop" || c.Rows() != 440 || c.Hash() != r.Hash {
		t.Errorf("name %q, %d rows, hash %s, reported %s", c.Name(), c.Rows(), c.Hash(), r.Hash)
	}
	products[439].Extra["z"] = json.RawMessage(`{"b":1.50,"a":null}`) // stored without spaces
	if got := collect(t, c.Products()); !reflect.DeepEqual(got, products) {
		t.Errorf("other products were read: the last is %+v", got[len(got)-1])
	}
	if got := collect(t, c.Judgments()); !reflect.DeepEqual(got, judged) {
		t.Errorf("other judgements were read: the last is %+v", got[len(got)-1])
	}
	before, _ := os.ReadFile(filepath.Join(dir, productsFile))
	if again := write(t, dir, src, WriteOptions{Name: "other"}); again.Hash != r.Hash {
		t.Errorf("equal contents, hash %s, then %s", r.Hash, again.Hash)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, productsFile)); string(after) != string(before) {
		t.Error("equal products, other bytes")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the directory has mode %v", info.Mode())
	}
}

func TestHashIsOfContents(t *testing.T) {
	s := Sample()
	r := write(t, filepath.Join(t.TempDir(), "c"), Source{Products: s.Products(), Judgments: s.Judgments()}, WriteOptions{})
	if r.Hash != s.Hash() {
		t.Errorf("the sample has the hash %s, its copy %s", s.Hash(), r.Hash)
	}
	p := Product{ID: "1", Title: "t"}
	seen := map[string]string{r.Hash: "sample"}
	for name, src := range map[string]Source{
		"one":      {Products: each(p)},
		"price":    {Products: each(Product{ID: "1", Title: "t", Price: 2})},
		"order":    {Products: each(Product{ID: "2", Title: "t"}, p)},
		"order2":   {Products: each(p, Product{ID: "2", Title: "t"})},
		"judgment": {Products: each(p), Judgments: each(judgments.Judgment{QueryID: "q", Query: "q", Product: "1", Label: judgments.Exact})},
		"label":    {Products: each(p), Judgments: each(judgments.Judgment{QueryID: "q", Query: "q", Product: "1", Label: judgments.Substitute})},
	} {
		h := write(t, filepath.Join(t.TempDir(), "c"), src, WriteOptions{}).Hash
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[h] = name
	}
}

func TestFaults(t *testing.T) {
	ok := Product{ID: "1", Title: "t"}
	nan := func() float64 { z := 0.0; return z / z }()
	tests := []struct {
		kind faults.Kind
		src  Source
		want string
	}{
		{faults.MissingField, Source{Products: each(ok, Product{ID: " ", Title: "t"})}, "product: line 2: the product id is empty"},
		{faults.MissingField, Source{Products: each(ok, Product{ID: "2"})}, `product "2" has no title`},
		{faults.DuplicateID, Source{Products: each(ok, ok)}, `product id "1" was there before`},
		{faults.NotUTF8, Source{Products: each(ok, Product{ID: "2", Title: "\xff"})}, "not valid UTF-8"},
		{faults.NotUTF8, Source{Products: each(ok, Product{ID: "2", Title: "t", Bullets: []string{"\xff"}})}, "not valid UTF-8"},
		{faults.BadID, Source{Products: each(ok, Product{ID: "2\n3", Title: "t"})}, "control character"},
		{faults.BadNumber, Source{Products: each(ok, Product{ID: "2", Title: "t", Price: -1})}, "the price -1"},
		{faults.BadNumber, Source{Products: each(ok, Product{ID: "2", Title: "t", Rating: nan})}, "the rating NaN"},
		{faults.Malformed, Source{Products: each(ok, Product{ID: "2", Title: "t", Extra: map[string]json.RawMessage{"x": json.RawMessage("{")}})}, "unexpected end"},
		{faults.MissingField, Source{Products: each(ok), Judgments: each(judgments.Judgment{Query: "", Product: "1", Label: judgments.Exact})}, "judgement: line 1: the query \"\" of product"},
		{faults.BadLabel, Source{Products: each(ok, Product{ID: "2", Title: "t"}), Judgments: each(judgments.Judgment{Query: "q", Product: "1", Label: "E"}, judgments.Judgment{Query: "q", Product: "2", Label: "3"})},
			"label 3, but labels before are letters"},
		{faults.Contradiction, Source{Products: each(ok, Product{ID: "2", Title: "t"}), Judgments: each(judgments.Judgment{QueryID: "1", Query: "q", Product: "1", Label: "E", Split: "train"},
			judgments.Judgment{QueryID: "2", Query: "q", Product: "2", Label: "E", Split: "test"})}, `query "q" is in split "test", but in "train" before`},
		{faults.Contradiction, Source{Products: each(ok), Judgments: each(judgments.Judgment{Query: "q", Product: "1", Label: judgments.Exact}, judgments.Judgment{Query: "q", Product: "1", Label: judgments.Irrelevant})},
			`query "q", product "1": label I, but E before`},
		{faults.Contradiction, Source{Products: each(ok, Product{ID: "2", Title: "t"}), Judgments: each(judgments.Judgment{QueryID: "7", Query: "q", Product: "1", Label: judgments.Exact}, judgments.Judgment{QueryID: "7", Query: "r", Product: "2", Label: judgments.Exact})},
			`query id "7" had another text`},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "c")
		_, err := Write(context.Background(), dir, tt.src, WriteOptions{})
		if f := (*faults.Fault)(nil); !errors.As(err, &f) || f.Kind != tt.kind || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Error("a failed Write left a catalogue")
		}
		r := write(t, dir, tt.src, WriteOptions{SkipFaults: true})
		if r.Faults.Count != 1 || r.Faults.ByKind[tt.kind] != 1 || !strings.Contains(r.Faults.First[0].Error(), tt.want) {
			t.Errorf("%s: the faults are %+v", tt.want, r.Faults)
		}
	}
}

// TestAllFaultsAreCounted does not skip faults: all are told, nothing is written.
func TestAllFaultsAreCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	src := Source{
		Products:  each(Product{ID: "1", Title: "t"}, Product{ID: "2"}, Product{ID: "1", Title: "again"}),
		Judgments: each(judgments.Judgment{Query: "q", Product: "1", Label: judgments.Exact}, judgments.Judgment{Product: "1", Label: judgments.Exact}),
	}
	_, err := Write(t.Context(), dir, src, WriteOptions{})
	var all *FaultsError
	if !errors.As(err, &all) || all.Faults.Count != 3 || all.Rows != 5 || all.Faults.First[0].Line != 2 || all.Error() != `product: line 2: product "2" has no title, and 2 more faults` {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a catalogue was written")
	}
	r, err := Check(t.Context(), src, WriteOptions{Name: "n"})
	if err != nil || r.Products != 1 || r.Judgments != 1 || r.Faults.Count != 3 {
		t.Errorf("the check finds %+v, error %v", r, err)
	}
	if r, err := Check(t.Context(), Source{Products: each(Product{ID: "1"})}, WriteOptions{}); err != nil || r.Products != 0 || r.Faults.Count != 1 {
		t.Errorf("the check finds %+v, error %v", r, err)
	}
}

func TestFaultsOfReaderAreCounted(t *testing.T) {
	src := Source{Products: func(yield func(Product, error) bool) {
		for i := range 50 {
			if !yield(Product{}, &faults.Fault{File: "f.jsonl", Line: i + 1, Kind: faults.Malformed, Reason: "bad"}) {
				return
			}
		}
		yield(Product{ID: "1", Title: "t"}, nil)
	}}
	r := write(t, filepath.Join(t.TempDir(), "c"), src, WriteOptions{SkipFaults: true})
	if r.Faults.Count != 50 || len(r.Faults.First) != 20 || r.Faults.First[19].Error() != "f.jsonl: line 20: bad" {
		t.Errorf("the faults are %+v", r.Faults)
	}
}

func TestDroppedJudgments(t *testing.T) {
	src := Source{
		Products: each(Product{ID: "1", Title: "t"}),
		Judgments: each(
			judgments.Judgment{Query: "q", Product: "1", Label: judgments.Exact, Split: "train"}, judgments.Judgment{Query: "q ", Product: "1", Label: judgments.Exact},
			judgments.Judgment{Query: "q", Product: "9", Label: judgments.Exact}, judgments.Judgment{Query: "q", Product: "1"},
			judgments.Judgment{QueryID: "7", Query: "r\r\ns", Product: "1", Label: judgments.Complement}, judgments.Judgment{QueryID: "8", Query: "r s", Product: "1", Label: judgments.Complement, Judge: "bob"}),
	}
	dir := filepath.Join(t.TempDir(), "c")
	r := write(t, dir, src, WriteOptions{})
	if r.Judgments != 3 || r.Queries != 2 || r.Duplicates != 1 || r.UnknownProducts != 1 || r.Unlabelled != 1 || r.SameText != 1 || r.Faults.Count != 0 {
		t.Errorf("the report is %+v", r)
	}
	c, _ := Open(dir)
	if js := collect(t, c.Judgments()); len(js) != 3 || js[0].QueryID != "" || js[1].Query != "r s" || js[1].QueryID != "7" || js[2].Judge != "bob" {
		t.Errorf("the judgements are %+v", js)
	}
}

// What repeats a label still brings the ids and the split that it has; several judges
// disagree within a file and contradict each other across files; who looks and does not
// judge says nothing against anybody.
func TestJudgmentsThatSayMore(t *testing.T) {
	file, line := "a", 0
	rows := func(js ...judgments.Judgment) Source {
		return Source{
			Products: each(Product{ID: "P1", Title: "t"}, Product{ID: "P2", Title: "t"}),
			Judgments: func(yield func(judgments.Judgment, error) bool) {
				for i, j := range js {
					if line = i + 1; j.Time.Year() == 2 { // the second file
						file, j.Time = "b", time.Time{}
					} else {
						file = "a"
					}
					if !yield(j, nil) {
						return
					}
				}
			},
			Where: func() (string, int) { return file, line },
		}
	}
	second := time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		js      []judgments.Judgment
		prefer  bool
		want    string // query id, product, label, split, judge of each row
		says    string // of the fault
		dropped int
	}{
		{"aliases of repeated rows", []judgments.Judgment{{QueryID: "q1", Query: "tv", Product: "P1", Label: "1"}, {QueryID: "q9", Query: "tv", Product: "P1", Label: "1"}, {QueryID: "q9", Query: "tv", Product: "P1", Label: "1"}},
			false, "q1|P1|1|| q9|P1|1||", "", 0},
		{"an alias with another text", []judgments.Judgment{{QueryID: "q1", Query: "tv", Product: "P1", Label: "1"}, {QueryID: "q9", Query: "tv", Product: "P1", Label: "1"}, {QueryID: "q9", Query: "radio", Product: "P2", Label: "1"}},
			false, "", `query id "q9" had another text`, 0},
		{"a split that comes later", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "1"}, {Query: "tv", Product: "P1", Label: "1", Split: "test"}}, false, "|P1|1|| |P1|1|test|", "", 0},
		{"judges of one file", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E", Judge: "ann"}, {Query: "tv", Product: "P1", Label: "I", Judge: "bob"}, {Query: "tv", Product: "P1", Label: "S"}},
			false, "|P1|E||ann |P1|I||bob |P1|S||", "", 0},
		{"one judge, two labels", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E", Judge: "ann"}, {Query: "tv", Product: "P1", Label: "I", Judge: "ann"}}, true, "", "label I, but E before", 0},
		{"nobody, two labels", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E"}, {Query: "tv", Product: "P1", Label: "I"}}, true, "", "label I, but E before", 0},
		{"judges of two files are of one source", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E", Judge: "ann"}, {Query: "tv", Product: "P1", Label: "I", Judge: "bob", Time: second}}, false, "|P1|E||ann |P1|I||bob", "", 0},
		{"a judge in two files", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E", Judge: "ann"}, {Query: "tv", Product: "P1", Label: "I", Judge: "ann", Time: second}}, false, "", "label I, but E before in another file (decide with --prefer", 0},
		{"a judge in two files, the first preferred", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E", Judge: "ann"}, {Query: "tv", Product: "P1", Label: "I", Judge: "ann", Time: second}}, true, "|P1|E||ann", "", 1},
		{"a new id on a row that gives way", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E"}, {QueryID: "5", Query: "tv", Product: "P1", Label: "S", Split: "test", Time: second}}, true, "|P1|E|| 5|P1|E|test|", "", 1},
		{"a new id on a pooled row", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E"}, {QueryID: "5", Query: "tv", Product: "P1", Label: "-1"}}, false, "|P1|E|| 5|P1|E||", "", 0},
		{"an id that is another text", []judgments.Judgment{{QueryID: "tv", Query: "tv", Product: "P1", Label: "E"}, {QueryID: "tv", Query: "radio", Product: "P1", Label: "E"}}, false, "", `query id "tv" had another text`, 0},
		{"an id that is made of another text", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "E"}, {QueryID: judgments.ID("tv"), Query: "radio", Product: "P1", Label: "E"}}, false, "", "had another text", 0},
		{"the same in the other order", []judgments.Judgment{{QueryID: judgments.ID("tv"), Query: "radio", Product: "P1", Label: "E"}, {Query: "tv", Product: "P1", Label: "E"}}, false, "", "is that of another query", 0},
		{"letters and a pooled product", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "-1"}, {Query: "tv", Product: "P2", Label: "E"}}, false, "|P1|-1|| |P2|E||", "", 0},
		{"pooled, then judged", []judgments.Judgment{{Query: "tv", Product: "P1", Label: "-1"}, {Query: "tv", Product: "P1", Label: "E"}, {Query: "tv", Product: "P2", Label: "S"}, {Query: "tv", Product: "P2", Label: "-1"}},
			false, "|P1|-1|| |P1|E|| |P2|S||", "", 0},
	} {
		dir := filepath.Join(t.TempDir(), "c")
		r, err := Write(t.Context(), dir, rows(c.js...), WriteOptions{PreferFirst: c.prefer})
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: error %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cat, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, j := range collect(t, cat.Judgments()) {
			got = append(got, strings.Join([]string{j.QueryID, j.Product, string(j.Label), j.Split, j.Judge}, "|"))
		}
		if set, err := cat.JudgmentSet(); err != nil || len(set.Queries) != 1 {
			t.Errorf("%s: what was imported cannot be used: %v", c.name, err)
		}
		if strings.Join(got, " ") != c.want || r.Contradictions != c.dropped {
			t.Errorf("%s: %q, %d dropped", c.name, got, r.Contradictions)
		}
	}
	if _, err := Write(t.Context(), filepath.Join(t.TempDir(), "c"), rows(judgments.Judgment{Query: "tv", Product: "SKU-1", Label: "E"}), WriteOptions{}); err == nil ||
		!strings.Contains(err.Error(), `products such as "SKU-1", and it has such as "P1"`) {
		t.Errorf("error %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	make := func(change func(dir string)) string {
		dir := filepath.Join(t.TempDir(), "c")
		write(t, dir, Source{Products: each(Product{ID: "1", Title: "t"})}, WriteOptions{})
		change(dir)
		return dir
	}
	edit := func(from, to string) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, manifestFile)
			b, _ := os.ReadFile(path)
			os.WriteFile(path, []byte(strings.Replace(string(b), from, to, 1)), 0o644)
		}
	}
	for want, dir := range map[string]string{
		"no such directory":             make(func(dir string) { os.RemoveAll(dir) }),
		"it has no catalog.json":        make(func(dir string) { os.Remove(filepath.Join(dir, manifestFile)) }),
		"popularity.csv is missing":     make(func(dir string) { os.Remove(filepath.Join(dir, popularityFile)) }),
		"bytes instead of":              make(func(dir string) { os.Truncate(filepath.Join(dir, productsFile), 5) }),
		"its format is 99":              make(edit(`"format": 3`, `"format": 99`)),
		"catalog.json is damaged":       make(edit(`{`, ``)),
		"does not describe a catalogue": make(func(dir string) { os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"other": 1}`), 0o644) }),
		"its checksum is wrong":         make(edit(`"hash"`, `"hush"`)),
		"a file, not a catalogue":       "catalog_test.go",
		"does not list products.jsonl.zst": make(func(dir string) {
			path := filepath.Join(dir, manifestFile)
			var m manifest
			if err := checksum.ReadJSON(path, format, &m); err != nil {
				t.Fatal(err)
			}
			delete(m.Files, productsFile)
			if err := checksum.WriteJSON(path, m); err != nil {
				t.Fatal(err)
			}
		}),
	} {
		c, err := Open(dir)
		if err == nil || c != nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cannot open catalogue "+dir) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestReadingFindsDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	s := Sample()
	write(t, dir, Source{Products: s.Products(), Judgments: s.Judgments()}, WriteOptions{})
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, productsFile)
	whole, _ := os.ReadFile(path)
	for name, b := range map[string][]byte{"cut": whole[:len(whole)/2], "flipped": flip(whole), "empty": nil} {
		os.WriteFile(path, b, 0o644)
		if err := lastError(c.Products()); err == nil || !strings.Contains(err.Error(), "products.jsonl.zst") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	path = filepath.Join(dir, judgmentsFile)
	whole, _ = os.ReadFile(path)
	os.WriteFile(path, whole[:len(whole)/2], 0o644)
	if err := lastError(c.Judgments()); err == nil || !strings.Contains(err.Error(), "judgments.csv") {
		t.Errorf("error %v", err)
	}
}

func flip(b []byte) []byte {
	c := append([]byte(nil), b...)
	c[len(c)/2] ^= 0x55
	return c
}

func TestWriteKeepsWhatIsNotACatalogue(t *testing.T) {
	src := Source{Products: each(Product{ID: "1", Title: "t"})}
	for name, prepare := range map[string]func(dir string){
		"photos":                func(dir string) { os.Mkdir(dir, 0o755); os.WriteFile(filepath.Join(dir, "photos"), nil, 0o644) },
		"it has no":             func(dir string) { os.Mkdir(dir, 0o755); os.WriteFile(filepath.Join(dir, judgmentsFile), nil, 0o644) },
		"which is no part of":   func(dir string) { write(t, dir, src, WriteOptions{}); os.WriteFile(dir+"/notes.txt", nil, 0o644) },
		"c: not a directory":    func(dir string) { os.WriteFile(dir, nil, 0o644) },
		"no such file or direc": func(dir string) { os.Remove(filepath.Dir(dir)) },
	} {
		dir := filepath.Join(t.TempDir(), "sub", "c")
		os.Mkdir(filepath.Dir(dir), 0o755)
		prepare(dir)
		before := tree(t, filepath.Dir(dir))
		_, err := Write(context.Background(), dir, src, WriteOptions{})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %q", err, name)
		}
		if after := tree(t, filepath.Dir(dir)); after != before {
			t.Errorf("%s: before %s, after %s", name, before, after)
		}
	}
}

func tree(t *testing.T, dir string) (names string) {
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names += path + " "
		return nil
	})
	return names
}

func TestInterruptedWriteLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	write(t, dir, Source{Products: each(Product{ID: "old", Title: "t"})}, WriteOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	src := Source{Products: func(yield func(Product, error) bool) {
		for i := 0; yield(Product{ID: fmt.Sprint(i), Title: "t"}, nil); i++ {
			if i == 1000 {
				cancel()
			}
		}
	}}
	if _, err := Write(ctx, dir, src, WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(dir)); len(entries) != 1 {
		t.Errorf("%d entries are left, want 1", len(entries))
	}
	if c, err := Open(dir); err != nil || collect(t, c.Products())[0].ID != "old" {
		t.Errorf("the old catalogue is gone: %v", err)
	}
}

func TestEmptySource(t *testing.T) {
	_, err := Write(context.Background(), filepath.Join(t.TempDir(), "c"), Source{}, WriteOptions{})
	if err == nil || !strings.Contains(err.Error(), "no product") {
		t.Errorf("error %v", err)
	}
}
