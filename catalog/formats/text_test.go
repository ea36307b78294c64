package formats

import (
	"bytes"
	"compress/gzip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/trirank/trirank/catalog"
)

const esciLine = `{"title": " Mattress 12\"", "description": "", "bullet_points": "FOAM: soft\n\n QUEEN ", "brand": "Ashley", "color": null, ` +
	`"image": "https://x/y.jpg", "price": null, "category": ["Home", "Beds"], "rating": 4.5, "rating_count": 47982, "is_book": false, "asin": "B07", "_id": "B07"}`

func TestJSONLFields(t *testing.T) {
	tests := []struct {
		name, line string
		fields     map[string]string
		want       catalog.Product
		extra      string
	}{
		{"esci", esciLine, nil, catalog.Product{ID: "B07", Title: `Mattress 12"`, Brand: "Ashley", Category: []string{"Home", "Beds"},
			Bullets: []string{"FOAM: soft", "QUEEN"}, Image: "https://x/y.jpg", Rating: 4.5, Popularity: 47982}, "is_book"},
		{"named", `{"sku": 12, "label": "t", "clicks": "1,234", "name": "n"}`, map[string]string{"title": "label", "popularity": "clicks"},
			catalog.Product{ID: "12", Title: "t", Popularity: 1234}, "name"},
		{"left out", `{"id": "1", "title": "t", "brand": "b"}`, map[string]string{"brand": ""}, catalog.Product{ID: "1", Title: "t"}, "brand"},
		{"lists", `{"ID": "1", "Title": "t", "categories": [["A", "B"], ["C"]], "features": ["x", null, " ", 3], "description": ["d", "e"], "images": ["u", "v"]}`, nil,
			catalog.Product{ID: "1", Title: "t", Category: []string{"A", "B"}, Bullets: []string{"x", "3"}, Description: "d\ne", Image: "u"}, ""},
		{"path", `{"id": "1", "title": "t", "category": "A > B", "price": "$1,299.50"}`, nil,
			catalog.Product{ID: "1", Title: "t", Category: []string{"A", "B"}, Price: 1299.5, Currency: "$"}, ""},
		{"second choice", `{"id": "1", "title": "", "product_title": "p", "popularity": null, "views": 3, "asin": "2"}`, nil,
			catalog.Product{ID: "1", Title: "p", Popularity: 3}, "asin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := open(t, Options{Fields: tt.fields}, filepath.Join(folder(t, map[string]string{"p.jsonl": tt.line}), "p.jsonl"))
			got := sound(t, in.Products)[0]
			if extra := extraNames(got); extra != tt.extra {
				t.Errorf("the extra fields are %q, want %q", extra, tt.extra)
			}
			got.Extra = nil
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestJSONLFaults(t *testing.T) {
	text := strings.Join([]string{`{"id": "1", "title": "t"}`, `{"id": "2", "title": `, ``, `null`, `[1]`, "{\"id\": \"3\", \"title\": \"\xff\"}",
		`{"id": "4", "title": "t", "price": "cheap"}`, `{"id": "5", "title": {"en": "t"}}`, `{"id": "` + strings.Repeat("x", maxRow) + `"}`,
		`{"id": "6", "title": "t", "price": NaN}`, `{"id": "7", "title": "t"}`, `{"id": "8"`}, "\n")
	in := open(t, Options{}, folder(t, map[string]string{"products.jsonl": text}))
	products, faults, err := drain(in.Products)
	if ids(products) != "1 4 7" || err != nil {
		t.Errorf("products %s, error %v", ids(products), err)
	}
	wantFaults(t, faults, "products.jsonl: line 2: not a JSON object: unexpected end", "products.jsonl: line 4: not a JSON object: null",
		"products.jsonl: line 5: not a JSON object", "products.jsonl: line 6: the line is not valid UTF-8",
		"products.jsonl: line 8: field title: an object",
		"products.jsonl: line 9: it is too long", "products.jsonl: line 10: not a JSON object", "products.jsonl: line 12: not a JSON object")
	if r := store(t, in); r.Faults.Count != 8 || r.Products != 3 {
		t.Errorf("the report is %+v", r)
	}
}

func TestWriteNamesTheLine(t *testing.T) {
	in := open(t, Options{}, folder(t, map[string]string{
		"products.csv":  "id,title\n1,\"two\nlines\"\n1,again\n2,\n",
		"judgments.csv": "query,product_id,esci_label\nq,1,E\nq,1,I\nq,1,X\n",
	}))
	var faults []string
	for _, f := range store(t, in).Faults.First {
		f.File = filepath.Base(f.File)
		faults = append(faults, f.Error())
	}
	wantFaults(t, faults, `products.csv: line 4: product id "1" was there before`, `products.csv: line 5: product "2" has no title`,
		`judgments.csv: line 3: query "q", product "1": label I, but E before`, `judgments.csv: line 4: query "q", product "1": label "X"`)
}

func TestCSV(t *testing.T) {
	for name, text := range map[string]string{
		"comma":     "Product_ID,Product_Title,Views,Sale,Price\n1,\"a, b\",7,yes,\n",
		"semicolon": "product_id;product_title;views;sale;price\n1;a, b;7;yes;\n",
		"tab":       "\ufeffproduct_id\tproduct_title\tviews\tsale\tprice\r\n1\ta, b\t7\tyes\t\r\n",
	} {
		in := open(t, Options{}, filepath.Join(folder(t, map[string]string{"table": text}), "table"))
		p := sound(t, in.Products)[0]
		if in.Format != CSV || p.ID != "1" || p.Title != "a, b" || p.Popularity != 7 || strings.ToLower(extraNames(p)) != "sale" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	in := open(t, Options{Comma: '~'}, filepath.Join(folder(t, map[string]string{"table": "id~title\n1~a,b,c\n"}), "table"))
	if p := sound(t, in.Products)[0]; p.Title != "a,b,c" {
		t.Errorf("%+v", p)
	}
}

func TestCSVFaults(t *testing.T) {
	dir := folder(t, map[string]string{"products.csv": "id,title,price\n1,t,2\n2,t\n3,t\"u,1\n4,t,free\n5,\xff,\n6,t,\n"})
	products, faults, err := drain(open(t, Options{}, dir).Products)
	if ids(products) != "1 4 6" || err != nil {
		t.Errorf("products %s, error %v", ids(products), err)
	}
	wantFaults(t, faults, "products.csv: line 3: 2 fields, but the header has 3", "products.csv: line 4: field 2 has a quote but does not begin with it",
		"products.csv: line 6: the line is not valid")
	for want, tt := range map[string]struct {
		text string
		o    Options
	}{
		"no column is known for the field title":                 {"id,label\n1,2\n", Options{}},
		"(if it holds products, name the column with --field id": {"suche,artikel\n1,2\n", Options{}},
		"if judgements, with --field query=COLUMN, --field prod": {"suche,artikel,ctr\n1,2,3\n", Options{}},
		"no column is called x":                                  {"id,title\n1,2\n", Options{Fields: map[string]string{"price": "x"}}},
	} {
		_, _, err := drain(open(t, tt.o, folder(t, map[string]string{"products.csv": tt.text})).Products)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "products.csv: ") {
			t.Errorf("error %.200v, want %q", err, want)
		}
	}
}

// TestOpenQuote has a quote that nothing closes: it costs its own line, and no
// memory.
func TestOpenQuote(t *testing.T) {
	text := "id,title\n1,t\n2,\"" + strings.Repeat("x", maxRow) + "\n3,t\n4,\"u\n5,v\n"
	products, faults, err := drain(open(t, Options{}, folder(t, map[string]string{"products.csv": text})).Products)
	if ids(products) != "1 3 5" || err != nil {
		t.Errorf("products %s, error %v", ids(products), err)
	}
	wantFaults(t, faults, "products.csv: line 3: it is too long: over 16777216 bytes in one line", "products.csv: line 5: field 2 begins with a quote that nothing closes")
}

// TestJudgments: what eval reads beside products, import reads too.
func TestJudgments(t *testing.T) {
	products := "id,title\nB1,vase\n"
	for name, c := range map[string]struct{ file, text, want string }{
		"table":      {"judgments.csv", "qid,Split,asin,label,query\n7,test,B1,Exact,\"5\"\" vase\"\n", "7|5\" vase|B1|E|test"},
		"numbers":    {"judgments.csv", "query,product_id,rating\npot,B1,0.733\n", "|pot|B1|0.733|"},
		"quepid":     {"judgments.csv", "Team Name,Query Text,Doc ID,Rating\nT,pot,B1,3\n", "|pot|B1|3|"},
		"opensearch": {"judgments.json", `{"judgmentRatings": [{"query": "pot", "ratings": [{"docId": "B1", "rating": "0.5"}]}]}`, "|pot|B1|0.5|"},
	} {
		dir := folder(t, map[string]string{"products.csv": products, c.file: c.text})
		in := open(t, Options{}, filepath.Join(dir, "products.csv"), filepath.Join(dir, c.file))
		var got []string
		for _, j := range sound(t, in.Judgments) {
			got = append(got, strings.Join([]string{j.QueryID, j.Query, j.Product, string(j.Label), j.Split}, "|"))
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestJudgmentFields names columns of one file of judgements of two: the other has the
// usual ones, and holds judgements all the same.
func TestJudgmentFields(t *testing.T) {
	dir := folder(t, map[string]string{"p.csv": "id,title\n1,t\n", "a.csv": "search_term,product_id,ctr\nmug,1,0.5\n", "b.csv": "query,product_id,label\npot,1,0.7\n"})
	o := Options{JudgmentFields: map[string]string{"query": "search_term", "label": "ctr"}}
	f, err := find([]string{filepath.Join(dir, "p.csv"), filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.csv")}, o)
	if err != nil || len(f.products) != 1 || len(f.judgments) != 2 {
		t.Errorf("%+v, error %v", f, err)
	}
}

func TestCompressedAndCut(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	line := `{"id": "1", "title": "t"}` + "\n"
	z.Write([]byte(strings.Repeat(line, 10_000)))
	z.Close()
	w, _ := zstd.NewWriter(nil)
	packed := map[string][]byte{"products.jsonl.gz": b.Bytes(), "products.jsonl.zst": w.EncodeAll([]byte(strings.Repeat(line, 10_000)), nil)}
	for name, all := range packed {
		if n := len(sound(t, open(t, Options{}, folder(t, map[string]string{name: string(all)})).Products)); n != 10_000 {
			t.Errorf("%s: %d products", name, n)
		}
		in, err := Read([]string{folder(t, map[string]string{name: string(all[:len(all)-9])})}, Options{})
		if err == nil {
			_, _, err = drain(in.Products)
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	dir := folder(t, map[string]string{"products.jsonl": line, "products.jsonl.gz": b.String()})
	if _, err := Read([]string{dir}, Options{}); err == nil || !strings.Contains(err.Error(), "hold the same") {
		t.Errorf("error %v", err)
	}
}

func TestPopularityFile(t *testing.T) {
	in := open(t, Options{}, folder(t, map[string]string{"products.csv": "id,title,views\n1,t,5\n2,t,6\n", "product_stats.csv": "product_id,views,rating\n2,9,4\n"}))
	p := sound(t, in.Products)
	if p[0].Popularity != 5 || p[1].Popularity != 9 || len(in.Files) != 2 {
		t.Errorf("%+v from %v", p, in.Files)
	}
}

// TestAgain imports a catalogue: its products come back as they were.
func TestAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	in := open(t, Options{}, folder(t, map[string]string{"products.jsonl": esciLine, "judgments.csv": "query,product_id,esci_label\nq,B07,C\n"}))
	first, err := catalog.Write(t.Context(), dir, in.Source, catalog.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if second := store(t, open(t, Options{}, dir)); second.Hash != first.Hash {
		t.Error("a catalogue that is imported again has another hash")
	}
	if sample := store(t, open(t, Options{}, "../sample")); sample.Hash != catalog.Sample().Hash() {
		t.Error("the sample that is imported has another hash")
	}
}

func TestReadRefuses(t *testing.T) {
	file := func(text string) []string {
		return []string{filepath.Join(folder(t, map[string]string{"f": text}), "f")}
	}
	for want, tt := range map[string]struct {
		paths []string
		o     Options
	}{
		"no file is given":              {nil, Options{}},
		"no such file":                  {[]string{"missing"}, Options{}},
		"no file of products":           {[]string{t.TempDir()}, Options{}},
		"needs corpus.jsonl and one qu": {[]string{folder(t, map[string]string{"corpus.jsonl": "{}"})}, Options{}},
		"the file is empty":             {file(" \n"), Options{}},
		"no feed of products":           {file("<!DOCTYPE html><html></html>"), Options{}},
		"are none of double":            {file(`{"id": 1}`), Options{Quotes: "x"}},
		"it has NUL bytes":              {file("\x00\x01\x02"), Options{}},
		"a zip archive":                 {file("PK\x03\x04..."), Options{}},
		"its kind is not recognized":    {file("hello\nworld\n"), Options{}},
		"it looks like jsonl, not esci": {file(`{"id": 1}`), Options{Format: ESCI}},
		`format "yaml" is none of`:      {file(`{"id": 1}`), Options{Format: "yaml"}},
		`a product has no field "size"`: {file(`{"id": 1}`), Options{Fields: map[string]string{"size": "x"}}},
		"cannot be both id and title":   {file(`{"id": 1}`), Options{Fields: map[string]string{"id": "x", "title": "x"}}},
		"cannot part fields":            {file(`{"id": 1}`), Options{Comma: '"'}},
		"it is not a Parquet file":      {file("PAR1 and then nothing"), Options{}},
	} {
		if _, err := Read(tt.paths, tt.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
