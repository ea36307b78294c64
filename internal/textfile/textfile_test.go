package textfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

func gz(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.Bytes()
}

func zst(s string) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll([]byte(s), nil)
}

func TestOpenDecompresses(t *testing.T) {
	text := strings.Repeat("some text, ", 1000)
	for name, b := range map[string][]byte{
		"plain": []byte(text), "gz": gz(text), "zst": zst(text), "mark": []byte("\ufeff" + text), "gz mark": gz("\ufeff" + text),
		"two gz": append(gz(text[:99]), gz(text[99:])...), "two zst": append(zst(text[:99]), zst(text[99:])...),
	} {
		path := filepath.Join(t.TempDir(), "f")
		os.WriteFile(path, b, 0o644)
		f, err := Open(path)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := io.ReadAll(f)
		if string(got) != text || err != nil || f.Close() != nil {
			t.Errorf("%s: %d bytes, error %v", name, len(got), err)
		}
	}
}

func TestOpenReportsCutFiles(t *testing.T) {
	text := strings.Repeat("some text, ", 100000)
	for _, b := range [][]byte{gz(text), zst(text)} {
		for _, n := range []int{5, 11, len(b) / 2, len(b) - 1} {
			f, err := New(bytes.NewReader(b[:n]))
			if err == nil {
				_, err = io.Copy(io.Discard, f)
			}
			if err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("%d of %d bytes: error %v", n, len(b), err)
			}
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("error %v", err)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	l := NewLines(strings.NewReader("a\r\n\n"+long+"\nb\n"+long), 10)
	type line struct {
		text   string
		number int
		long   bool
	}
	var got []line
	for {
		b, err := l.Next()
		if err == io.EOF {
			break
		}
		got = append(got, line{string(b), l.Number(), errors.Is(err, ErrTooLong)})
	}
	want := []line{{"a", 1, false}, {"", 2, false}, {"", 3, true}, {"b", 4, false}, {"", 5, true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestUTF16(t *testing.T) {
	for name, tt := range map[string]struct{ bytes, text, encoding string }{
		"little": {"\xff\xfea\x00\xac\x20\x3d\xd8\x00\xde", "a€😀", "UTF-16 LE"},
		"big":    {"\xfe\xff\x00a\x20\xac\xd8\x3d\xde\x00", "a€😀", "UTF-16 BE"},
		"long":   {"\xff\xfe" + strings.Repeat("\xac\x20", 100_000), strings.Repeat("€", 100_000), "UTF-16 LE"},
		"empty":  {"\xff\xfe", "", "UTF-16 LE"},
		// Halves of pairs are not text, and have to show.
		"halves": {"\xff\xfe\x3d\xd8a\x00\x00\xde\x3d\xd8\x3d\xd8\x00\xde", "\xed\xa0\xbda\xed\xb8\x80\xed\xa0\xbd😀", "UTF-16 LE"},
		"utf-8":  {"\xef\xbb\xbfa", "a", "UTF-8"},
	} {
		for _, b := range [][]byte{[]byte(tt.bytes), gz(tt.bytes)} {
			f, err := New(iotest.OneByteReader(bytes.NewReader(b)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			if string(got) != tt.text || err != nil || f.Encoding() != tt.encoding {
				t.Errorf("%s: %.40q in %s, error %v", name, got, f.Encoding(), err)
			}
		}
	}
	f, _ := New(strings.NewReader("\xff\xfea\x00b"))
	if got, err := io.ReadAll(f); string(got) != "a" || err == nil || !strings.Contains(err.Error(), "odd number of bytes") {
		t.Errorf("%q, error %v", got, err)
	}
	f, _ = New(strings.NewReader("\xff\xfea\x00\n\x00b\x00"))
	if string(f.Peek()) != "a\nb" {
		t.Errorf("peek sees %q", f.Peek())
	}
}

func TestLegible(t *testing.T) {
	for text, want := range map[string]string{"a": "", " \n": "it is empty", "PAR1x": "it is a Parquet file", "a\x00\n\x00": "UTF-16 without a byte order mark (save it as UTF-8)"} {
		if err := Legible([]byte(text)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}
