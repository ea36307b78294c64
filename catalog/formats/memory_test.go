package formats

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/trirank/trirank/catalog"
)

// array stands for JSON lines in one array.
const array Format = "json"

// generate writes a source of n products and n judgements in one format.
func generate(t testing.TB, f Format, dir string, n int) {
	t.Helper()
	text := strings.Repeat("Soft, thick and made to last for years. ", 10)
	title := func(i int) string { return fmt.Sprintf("Product %d of a generated shop, red", i) }
	switch f {
	case JSONL, CSV, XML, array:
		file, err := os.Create(filepath.Join(dir, "products."+string(f)))
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(file)
		row := "{\"id\": \"%d\", \"title\": %q, \"description\": %q}\n"
		switch f {
		case CSV:
			fmt.Fprintln(w, "id,title,description")
			row = "%d,%q,%q\n"
		case XML:
			fmt.Fprint(w, "<rss><channel>")
			row = "<item><id>%d</id><title>%s</title><description>&lt;p&gt;%s</description></item>\n"
		case array:
			fmt.Fprint(w, "[")
		}
		for i := range n {
			if f == array && i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, row, i, title(i), text)
		}
		switch f {
		case XML:
			fmt.Fprint(w, "</channel></rss>")
		case array:
			fmt.Fprint(w, "]")
		}
		w.Flush()
		file.Close()
		file, err = os.Create(filepath.Join(dir, "judgments.csv"))
		if err != nil {
			t.Fatal(err)
		}
		w = bufio.NewWriter(file)
		fmt.Fprintln(w, "query,product_id,esci_label")
		for i := range n {
			fmt.Fprintf(w, "query %d,%d,E\n", i/20, i)
		}
		w.Flush()
		file.Close()
	case ESCI:
		writeRows(t, filepath.Join(dir, "products.parquet"), n, func(i int) productRow {
			s := title(i)
			return productRow{ID: fmt.Sprint(i), Title: &s, Description: &text, Locale: "us"}
		})
		writeRows(t, filepath.Join(dir, "examples.parquet"), n, func(i int) exampleRow {
			return exampleRow{Query: fmt.Sprint("query ", i/20), QueryID: int64(i / 20), ProductID: fmt.Sprint(i), Locale: "us", Label: "E", Split: "train"}
		})
	case TaskSource:
		writeRows(t, filepath.Join(dir, "train.parquet"), n, func(i int) pairRow {
			s := title(i / 2)
			query := i % (n / 20)
			return pairRow{Query: fmt.Sprint("query ", query), QueryID: int32(query), ProductID: fmt.Sprint(i / 2), Locale: "us", Label: "Exact", Title: &s, Text: &text}
		})
	}
}

// writeRows writes one row group, as large as pandas makes them.
func writeRows[T any](t testing.TB, path string, n int, row func(i int) T) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := parquet.NewGenericWriter[T](f, parquet.Compression(&parquet.Snappy))
	for i := range n {
		if _, err := w.Write([]T{row(i)}); err != nil {
			t.Fatal(err)
		}
		if i%500_000 == 499_999 {
			w.Flush()
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// writePeak makes a catalogue of dir and returns the most live heap that was
// seen, over what there was before.
func writePeak(t testing.TB, dir string) (r *catalog.Report, bytes int) {
	t.Helper()
	in := open(t, Options{}, dir)
	live := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before, peak := live(), 0
	every := 0
	r, err := catalog.Write(t.Context(), filepath.Join(t.TempDir(), "c"), in.Source, catalog.WriteOptions{Progress: func(n int) {
		if n >= every {
			every = n + 20_000
			peak = max(peak, live()-before)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r, peak
}

// TestMemoryIsFlat imports sources of some 90 MB (45 where products are there
// twice). The compressor takes some 20 MB whatever comes; what is remembered of
// rows is less than 64 bytes each.
func TestMemoryIsFlat(t *testing.T) {
	const n, compressor = 200_000, 22 << 20
	for _, f := range []Format{JSONL, array, CSV, XML, ESCI, TaskSource} {
		t.Run(string(f), func(t *testing.T) {
			dir := t.TempDir()
			generate(t, f, dir, n)
			r, peak := writePeak(t, dir)
			if r.Judgments != n {
				t.Errorf("%d judgements, want %d", r.Judgments, n)
			}
			t.Logf("%.1f MB for %d rows", float64(peak)/1e6, n)
			if peak > compressor+64*n {
				t.Errorf("%.1f MB live for %d rows", float64(peak)/1e6, n)
			}
		})
	}
}

// BenchmarkImport imports two million rows.
func BenchmarkImport(b *testing.B) {
	const n = 2_000_000
	for _, f := range []Format{JSONL, CSV, ESCI, TaskSource} {
		b.Run(fmt.Sprintf("format=%s/rows=%d", f, n), func(b *testing.B) {
			dir := b.TempDir()
			generate(b, f, dir, n)
			for b.Loop() {
				_, peak := writePeak(b, dir)
				b.ReportMetric(float64(peak)/1e6, "peak-MB")
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
