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
	m, err := newMapping(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := textfile.New(bytes.NewReader(b))
	if err != nil {
		f, _ = textfile.New(bytes.NewReader(nil)) // the decompressor's to refuse
	}
	return &reader{files: &files{}, mapping: m, tally: newTally(), file: "f"}, f
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
				p, err := r.product(cells)
				checkProduct(t, r, p, err)
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
		r.tableRows(file, func(cells []cell, err error) bool {
			if err == nil {
				p, err := r.product(cells)
				checkProduct(t, r, p, err)
			}
			return true
		})
	})
}

// FuzzVariants reads a table whose rows are variants of products.
func FuzzVariants(f *testing.F) {
	f.Add([]byte("Handle,Title,Vendor,Variant Price\na,A,v,1\na,,,2\nb,B\n,C,v,\nb,B,v,\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, file := fuzzReader(t, b)
		r.preset = presets[0]
		var err error
		if r.mapping, err = newMapping(nil, r.preset); err != nil {
			t.Fatal(err)
		}
		r.tableRows(file, func(cells []cell, err error) bool {
			if err == nil {
				p, err := r.product(cells)
				checkProduct(t, r, p, err)
			}
			return true
		})
	})
}

func FuzzFeed(f *testing.F) {
	f.Add([]byte(`<rss xmlns:g="http://base.google.com/ns/1.0"><channel><item><g:id>1</g:id><title>t</title><g:price>5 EUR</g:price><g:shipping><g:price>1</g:price></g:shipping></item></channel></rss>`))
	f.Add([]byte(`<?xml version="1.0" encoding="latin1"?><feed><entry><id>1</id><title type="xhtml">a<b>c</b></title><link href="u"/><id>2</id></entry></feed>`))
	f.Add([]byte(`<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]><item><title>&a;&b;&nbsp;</title></item>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, file := fuzzReader(t, b)
		r.feedRows(file, func(cells []cell, err error) bool {
			if err == nil {
				p, err := r.product(cells)
				checkProduct(t, r, p, err)
			}
			return true
		})
	})
}

// FuzzItems compares the items of an array with what encoding/json makes of it.
func FuzzItems(f *testing.F) {
	f.Add([]byte("[{\"a\": \"]\\\"}\"}, [1, {}],\n2]"))
	f.Add([]byte(" [ ] x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
			return
		}
		var want []json.RawMessage
		valid := json.Unmarshal(b, &want) == nil
		items := newItems(bytes.NewReader(b), 1<<16)
		n := 0
		for {
			text, line, err := items.next()
			if err != nil {
				break
			}
			if line < 1 || valid && (n >= len(want) || !bytes.Equal(bytes.TrimSpace(text), want[n])) {
				t.Fatalf("item %d of %q is %q, at line %d", n, b, text, line)
			}
			n++
			if n > len(b) {
				t.Fatalf("%q has no end", b)
			}
		}
		if valid && n != len(want) {
			t.Fatalf("%q has %d items, %d were found", b, len(want), n)
		}
	})
}
