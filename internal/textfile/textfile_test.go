package textfile

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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

func TestCSV(t *testing.T) {
	c, err := NewCSV(strings.NewReader("ID, Name\n1,\"a\nb\"\n2\n3,c\n4,x\"y\n5,d\n6,\""+strings.Repeat("x", 100_000)), ',', 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if c.Column("nix", "name") != 1 || c.Column("id") != 0 || c.Column("nix") != -1 {
		t.Errorf("the header is %q", c.Header)
	}
	var good []string
	var bad []int
	for {
		r, err := c.Next()
		if pe := (*csv.ParseError)(nil); errors.As(err, &pe) {
			bad = append(bad, c.Line())
			continue
		}
		if err != nil {
			if !errors.Is(err, ErrTooLong) {
				t.Errorf("the last error is %v", err)
			}
			break
		}
		good = append(good, r[1])
	}
	if !reflect.DeepEqual(good, []string{"a\nb", "c", "d"}) || !reflect.DeepEqual(bad, []int{4, 6}) {
		t.Errorf("good %q, bad lines %v", good, bad)
	}
	if _, err := NewCSV(strings.NewReader(""), ',', 10); err == nil {
		t.Error("an empty table was taken")
	}
}
