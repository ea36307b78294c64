package formats

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/textfile"
)

// fuzzReader returns a reader as Read makes it, and the bytes as a file.
func fuzzReader(t *testing.T, b []byte) (*reader, *textfile.File) {
	m, err := newMapping(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := textfile.New(bytes.NewReader(b))
	if err != nil {
		f, _ = textfile.New(bytes.NewReader(nil)) // the decompressor's to refuse
	}
	return &reader{files: &files{}, mapping: m, file: "f"}, f
}

// checkProduct checks what holds for each product that a reader yields.
func checkProduct(t *testing.T, r *reader, p catalog.Product, err error) {
	if err != nil {
		return
	}
	if r.line < 1 {
		t.Errorf("a product of line %d", r.line)
	}
	b, err := json.Marshal(p)
	if err != nil && p.Price == p.Price && p.Rating == p.Rating && p.Popularity == p.Popularity {
		t.Errorf("%+v: %v", p, err)
	}
	if !utf8.Valid(b) || !utf8.ValidString(p.ID+p.Title+p.Brand+p.Description) {
		t.Errorf("%+v is not valid UTF-8", p)
	}
}

func FuzzJSONL(f *testing.F) {
	f.Add([]byte(esciLine))
	f.Add([]byte("{\"id\": 1, \"title\": [\"a\", null, {}], \"price\": \"$1,000\"}\n{\"extra\": {\"a\": 1}, \"extra2\": []}\nnull\n[]\n\"\n{\"id\":1e400}"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, file := fuzzReader(t, b)
		r.eachObject(file, func(cells []cell, err error) bool {
			if err == nil {
				p, fault := r.mapping.product(cells)
				if fault == nil {
					checkProduct(t, r, p, nil)
				}
			}
			return true
		})
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("id,title,price,foo\n1,\"a\nb\",$2,x\n2,c\n3,\"\n"))
	f.Add([]byte("id\ttitle\n1\ta\"b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, file := fuzzReader(t, b)
		r.csvProducts(file, func(p catalog.Product, err error) bool {
			checkProduct(t, r, p, err)
			return true
		})
	})
}
