package formats

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/trirank/trirank/judgments"
)

// The rows of ESCI's files, as pandas writes them: text may be null.
type productRow struct {
	ID          string  `parquet:"product_id"`
	Title       *string `parquet:"product_title,optional"`
	Description *string `parquet:"product_description,optional"`
	Bullets     *string `parquet:"product_bullet_point,optional"`
	Brand       *string `parquet:"product_brand,optional"`
	Color       *string `parquet:"product_color,optional"`
	Locale      string  `parquet:"product_locale,dict"`
}

type exampleRow struct {
	ExampleID int64  `parquet:"example_id"`
	Query     string `parquet:"query"`
	QueryID   int64  `parquet:"query_id"`
	ProductID string `parquet:"product_id"`
	Locale    string `parquet:"product_locale,dict"`
	Label     string `parquet:"esci_label,dict"`
	Small     int64  `parquet:"small_version"`
	Large     int64  `parquet:"large_version"`
	Split     string `parquet:"split,dict"`
}

type pairRow struct {
	Query     string   `parquet:"query"`
	QueryID   int32    `parquet:"query_id"`
	ProductID string   `parquet:"product_id"`
	Locale    string   `parquet:"product_locale"`
	Label     string   `parquet:"esci_label"`
	Small     int32    `parquet:"small_version"`
	Title     *string  `parquet:"product_title,optional"`
	Text      *string  `parquet:"product_description,optional"`
	Bullets   []string `parquet:"product_bullet_point,list"`
	Views     float64  `parquet:"views"`
}

func esciFolder(t testing.TB) string {
	s := func(s string) *string { return &s }
	dir := t.TempDir()
	writeParquet(t, filepath.Join(dir, "shopping_queries_dataset_products.parquet"), []productRow{
		{"A", s("Red mug"), s("for tea"), s("big\nred"), s("Mugs"), nil, "us"},
		{"A", s("Taza roja"), nil, nil, nil, nil, "es"},
		{"B", s("Lamp"), nil, nil, nil, s("Black"), "us"},
		{"C", nil, nil, nil, nil, nil, "us"},
		{"D", s("bad \xff"), nil, nil, nil, nil, "us"},
	})
	writeParquet(t, filepath.Join(dir, "shopping_queries_dataset_examples.parquet"), []exampleRow{
		{1, "mug", 7, "A", "us", "E", 1, 1, "train"},
		{2, "taza", 8, "A", "es", "I", 1, 1, "train"},
		{3, "mug", 7, "B", "us", "I", 0, 1, "train"},
		{4, "lamp", 9, "B", "us", "S", 1, 1, "test"},
		{5, "lamp", 9, "Z", "us", "C", 1, 1, "test"},
		{6, "lamp", 9, "A", "us", "?", 1, 1, "test"},
	})
	os.WriteFile(filepath.Join(dir, "shopping_queries_dataset_sources.csv"), []byte("query_id,source\n7,other\n"), 0o644)
	return dir
}

func TestESCI(t *testing.T) {
	in := open(t, Options{}, esciFolder(t))
	products, faults, err := drain(in.Products)
	if in.Format != ESCI || err != nil || ids(products) != "A B C" {
		t.Fatalf("format %s, products %s, error %v", in.Format, ids(products), err)
	}
	wantFaults(t, faults, "shopping_queries_dataset_products.parquet: line 5: column product_title is not valid UTF-8")
	if a := products[0]; a.Title != "Red mug" || a.Description != "for tea" || fmt.Sprint(a.Bullets) != "[big red]" || a.Brand != "Mugs" || a.Color != "" || a.Extra != nil {
		t.Errorf("%+v", a)
	}
	judged, faults, err := drain(in.Judgments)
	if err != nil || len(judged) != 4 || judged[0] != (judgments.Judgment{QueryID: "7", Query: "mug", Product: "A", Label: judgments.Exact, Split: "train"}) {
		t.Errorf("judgements %+v, error %v", judged, err)
	}
	wantFaults(t, faults, `shopping_queries_dataset_examples.parquet: line 6: query "9", product "A": label "?"`)
	if r := store(t, in); r.Products != 2 || r.Judgments != 3 || r.Queries != 2 || r.UnknownProducts != 1 || r.Faults.Count != 3 {
		t.Errorf("the report is %+v", r)
	}
}

func TestESCIOptions(t *testing.T) {
	dir := esciFolder(t)
	in := open(t, Options{Locale: "es"}, dir)
	if p := sound(t, in.Products); ids(p) != "A" || p[0].Title != "Taza roja" {
		t.Errorf("%+v", p)
	}
	if js := sound(t, in.Judgments); len(js) != 1 || js[0].Query != "taza" {
		t.Errorf("%+v", js)
	}
	if _, _, err := drain(open(t, Options{Locale: "fr"}, dir).Products); err == nil || !strings.Contains(err.Error(), "no product of the locale fr; there are es, us") {
		t.Errorf("error %v", err)
	}
	if js, _, _ := drain(open(t, Options{Small: true}, dir).Judgments); len(js) != 3 {
		t.Errorf("the small version has %d judgements, want 3", len(js))
	}
	in = open(t, Options{}, filepath.Join(dir, "shopping_queries_dataset_products.parquet"))
	if in.Judgments != nil {
		t.Error("judgements without a file of them")
	}
	_, err := Read([]string{filepath.Join(dir, "shopping_queries_dataset_examples.parquet")}, Options{})
	if err == nil || !strings.Contains(err.Error(), "no file of products") {
		t.Errorf("error %v", err)
	}
	other := writeParquet(t, filepath.Join(t.TempDir(), "x.parquet"), []struct{ Foo string }{{"a"}})
	if _, err := Read([]string{other}, Options{}); err == nil || !strings.Contains(err.Error(), "there are Foo") {
		t.Errorf("error %v", err)
	}
}

func TestTaskSource(t *testing.T) {
	s := func(s string) *string { return &s }
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "data"), 0o755)
	writeParquet(t, filepath.Join(dir, "data", "train-00000-of-00001.parquet"), []pairRow{
		{"mug", 1, "A", "us", "Exact", 1, s("Red mug"), nil, []string{"big", "red"}, 3},
		{"cup", 2, "A", "us", "Substitute", 0, s("Red mug, later"), nil, nil, 4},
		{"mug", 1, "B", "us", "Irrelevant", 1, s("Lamp"), nil, []string{"one"}, 0},
	})
	writeParquet(t, filepath.Join(dir, "data", "test-00000-of-00001.parquet"), []pairRow{
		{"lamp", 3, "B", "us", "Complement", 1, s("Lamp"), nil, nil, 0},
		{"lamp", 3, "J", "jp", "Exact", 1, s("ランプ"), nil, nil, 0},
	})
	in := open(t, Options{Fields: map[string]string{"popularity": "views"}}, dir)
	products, judged := sound(t, in.Products), sound(t, in.Judgments)
	// In the order of names, test comes before train.
	if in.Format != TaskSource || ids(products) != "B A" || products[1].Title != "Red mug" || products[1].Popularity != 3 || fmt.Sprint(products[1].Bullets) != "[big red]" {
		t.Errorf("format %s, products %+v", in.Format, products)
	}
	if len(judged) != 4 || judged[0] != (judgments.Judgment{QueryID: "3", Query: "lamp", Product: "B", Label: judgments.Complement, Split: "test"}) || judged[1].Split != "train" {
		t.Errorf("judgements %+v", judged)
	}
	if again := sound(t, in.Products); ids(again) != "B A" {
		t.Errorf("a second reading yields %s", ids(again))
	}
}

func TestParquetPagesAndGroups(t *testing.T) {
	var rows []pairRow
	for i := range 5000 {
		title := fmt.Sprint("title ", i)
		rows = append(rows, pairRow{Query: "q", ProductID: fmt.Sprint(i), Locale: "us", Label: "Exact", Title: &title, Bullets: make([]string, i%4)})
		for j := range rows[i].Bullets {
			rows[i].Bullets[j] = fmt.Sprint(i, j)
		}
	}
	path := writeParquet(t, filepath.Join(t.TempDir(), "p.parquet"), rows, parquet.PageBufferSize(500), parquet.MaxRowsPerRowGroup(1234), parquet.Compression(&parquet.Snappy))
	products := sound(t, open(t, Options{}, path).Products)
	for i, p := range products {
		if p.ID != fmt.Sprint(i) || len(p.Bullets) != i%4 || i%4 > 0 && p.Bullets[i%4-1] != fmt.Sprint(i, i%4-1) {
			t.Fatalf("row %d is %+v", i, p)
		}
	}
	if len(products) != 5000 {
		t.Errorf("%d products", len(products))
	}
}

// TestDamagedParquet changes one byte at a time: errors may follow, and wrong
// values, but no panic.
func TestDamagedParquet(t *testing.T) {
	dir := esciFolder(t)
	path := filepath.Join(dir, "shopping_queries_dataset_products.parquet")
	whole, _ := os.ReadFile(path)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x41
		os.WriteFile(path, b, 0o644)
		if in, err := Read([]string{path}, Options{}); err == nil {
			drain(in.Products)
		}
	}
	for _, n := range []int{0, 4, 12, len(whole) / 2, len(whole) - 1} {
		os.WriteFile(path, whole[:n], 0o644)
		if _, err := Read([]string{path}, Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%d of %d bytes: error %v", n, len(whole), err)
		}
	}
}

// TestOtherParquet has products in columns of other names than ESCI's.
func TestOtherParquet(t *testing.T) {
	type row struct {
		SKU   string   `parquet:"SKU"`
		Name  string   `parquet:"Product Name"`
		UPC   string   `parquet:"upc"`
		Price string   `parquet:"price"`
		Path  []string `parquet:"Categories,list"`
		Stock int64    `parquet:"stock"`
	}
	dir := t.TempDir()
	writeParquet(t, filepath.Join(dir, "shop.parquet"), []row{{"a", "Mug", "1", "$5.00", []string{"Home > Mugs", "Sale"}, 3}})
	os.WriteFile(filepath.Join(dir, "judgments.csv"), []byte("query,product_id,esci_label\nmug,a,E\n"), 0o644)
	in := open(t, Options{}, dir)
	p := sound(t, in.Products)[0]
	if in.Format != Parquet || p.ID != "a" || p.Title != "Mug" || p.Price != 5 || p.Currency != "$" || fmt.Sprint(p.Category) != "[Home Mugs]" {
		t.Errorf("%s: %+v", in.Format, p)
	}
	if r := in.Reading(); fmt.Sprint(r.LeftOver) != "[stock upc]" {
		t.Errorf("left over: %q", r.LeftOver)
	}
	if js := sound(t, in.Judgments); len(js) != 1 {
		t.Errorf("%+v", js)
	}
}
