package table

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/trirank/trirank/internal/textfile"
)

func file(t testing.TB, text []byte) *textfile.File {
	t.Helper()
	f, err := textfile.New(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// all reads a table: its rows, each as its fields between bars, with faults among
// them.
func all(t testing.TB, text string, o Options) (r *Reader, rows []string) {
	t.Helper()
	r, err := New(file(t, []byte(text)), o)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for {
		record, err := r.Next()
		var bad *Error
		switch {
		case err == io.EOF:
			return r, rows
		case errors.As(err, &bad):
			rows = append(rows, "! "+err.Error())
		case err != nil:
			return r, append(rows, "!! "+err.Error())
		default:
			rows = append(rows, fmt.Sprintf("%d %s", r.Line(), strings.Join(record, "¦")))
		}
	}
}

func TestNext(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		o    Options
		want []string
	}{
		"plain":            {"a,b\n1,2\n3,4", Options{}, []string{"2 1¦2", "3 3¦4"}},
		"crlf":             {"a,b\r\n1,2\r\n\r\n3,\"4\r\n5\"\r\n6,7\r", Options{}, []string{"2 1¦2", "4 3¦4\r\n5", "6 6¦7"}},
		"cr":               {"a,b\r1,2\r\r3,\"4\r5\"\r6,7", Options{}, []string{"2 1¦2", "4 3¦4\r5", "6 6¦7"}},
		"cr, lf quoted":    {"a,\"b\nc\"\r1,\"2\n3\"\r4,5\r", Options{}, []string{"3 1¦2\n3", "5 4¦5"}},
		"lf, cr quoted":    {"a,b\n1,\"2\r3\"\n4,5\n", Options{}, []string{"2 1¦2\r3", "3 4¦5"}},
		"cr within":        {"a,b\n1\r,2\n", Options{}, []string{"2 1\r¦2"}},
		"quotes":           {"a,b\n\"x, \"\"y\"\"\nz\",\"\"\n,\"\"\"\"\n", Options{}, []string{"2 x, \"y\"\nz¦", "4 ¦\""}},
		"blank":            {"\n,,\na,b,c\n , ,\t\n\n1,2,3\n,,\n", Options{}, []string{"6 1¦2¦3"}},
		"empty but quoted": {"a,b\n\"\",\n", Options{}, []string{"2 ¦"}},
		"excess":           {"a,b\n1,2,,\n1,2,,3\n1\n", Options{}, []string{"2 1¦2", "! line 3: 4 fields, but the header has 2", "! line 4: 1 fields, but the header has 2"}},
		"stray quote": {"a,b\n1,\"star\" dvd\n2,desk\n", Options{}, []string{
			"! line 2: field 2 has a quote that is neither doubled nor at its end", "3 2¦desk"}},
		"stray quote that meets another": {"a,b\n\"star\" dvd,1\n2,\"desk\"\n3,4\n", Options{}, []string{
			"! line 2: field 1 has a quote that is neither doubled nor at its end", "3 2¦desk", "4 3¦4"}},
		"bare quote": {"a,b\n1,5\" pot\n2,desk\n", Options{}, []string{"! line 2: field 2 has a quote but does not begin with it", "3 2¦desk"}},
		"open quote": {"a,b\n1,\"pot\n2,desk\n3,lamp\n", Options{}, []string{
			"! line 2: field 2 begins with a quote that nothing closes", "3 2¦desk", "4 3¦lamp"}},
		"swallowed lines have the wrong number of fields": {"a,b\n1,x\n\"2,x\n3,x\n4\"\n5,x\n", Options{}, []string{
			"2 1¦x", "! line 3: 1 fields, but the header has 2", "4 3¦x", "! line 5: field 1 has a quote but does not begin with it", "6 5¦x"}},
		"semicolons":     {"a;b\n1,5;2\n", Options{}, []string{"2 1,5¦2"}},
		"bars":           {"a|b\n1|2\n", Options{}, []string{"2 1¦2"}},
		"a wide rune":    {"a→b\n1→\"2→\"\n", Options{Comma: '→'}, []string{"2 1¦2→"}},
		"sep":            {"sep=;\na;b\n1;2\n", Options{}, []string{"3 1¦2"}},
		"sep, overruled": {"SEP=;\r\na,b;c\r\n1,2;3\r\n", Options{Comma: ','}, []string{"3 1¦2;3"}},
		"one column":     {"a\n1\n\"2\n3\"\n", Options{}, []string{"2 1", "3 2\n3"}},
		"too long":       {"a,b\n1,2\n" + strings.Repeat("x", 99) + ",1\n3,4\n5,\"" + strings.Repeat("6\n7,", 20), Options{Max: 30}, nil},

		"tab: quotes are text":     {"a\tb\n1\t\"De Luxe\" chair\n2\t5\" pot\n3\t\"\n4\tx\n", Options{}, []string{`2 1¦"De Luxe" chair`, `3 2¦5" pot`, `4 3¦"`, "5 4¦x"}},
		"tab: open to the end":     {"a\tb\n1\t\"pot\n2\tlamp\n", Options{}, []string{`2 1¦"pot`, "3 2¦lamp"}},
		"tab: open, then another":  {"a\tb\n1\t\"pot\n2\tlamp\"\n3\tx\n", Options{}, []string{`2 1¦"pot`, `3 2¦lamp"`, "4 3¦x"}},
		"tab: quoted":              {"a\tb\n1\t\"say \"\"a\"\" b\"\n\"2\"\t\"x\ty\"\n3\t\"u\nv\"\n", Options{}, []string{`2 1¦say "a" b`, "3 2¦x\ty", "4 3¦u\nv"}},
		"tab: neither":             {"a\tb\tc\n1\t\"x\" y\n2\tu\tv\n", Options{}, []string{"! line 2: 2 fields, but the header has 3", "3 2¦u¦v"}},
		"tab: quoted is all there": {"a\tb\n\"1\n2\t3\"\t4\n", Options{}, []string{"2 1\n2\t3¦4"}},
		"tab: quotes within":       {"a\tb\n1\t2\"\"3\n", Options{}, []string{`2 1¦2""3`}},

		"backslash": {"a,b\n\"1\",\"12\\\" pot\"\n\"2\",\"a \\\"b\\\", \\\\ and \\n\"\n\"3\",\"12\\\"\"\n4,\"\"\"\"\n5,\\\n", Options{}, []string{
			`2 1¦12" pot`, `3 2¦a "b", \ and \n`, `4 3¦12"`, `5 4¦"`, `6 5¦\`}},
		"backslash, not seen": {"a,b\n\"1\\\",\"2\"\n", Options{}, []string{`2 1\¦2`}},
		"backslash, told":     {"a,b\n\"1\\\",\"\n", Options{Quotes: QuotesBackslash}, []string{"! line 2: 1 fields, but the header has 2"}},
		"backslash, excluded": {"a,b\n1,\"12\\\" pot\"\n", Options{Quotes: QuotesDouble}, []string{
			"! line 2: field 2 has a quote that is neither doubled nor at its end (if its quotes are escaped by backslashes, say --quotes backslash)"}},
		"backslash and tab": {"a\tb\n\"1\"\t\"12\\\" pot\"\n", Options{}, []string{`2 1¦12" pot`}},

		"lax":   {"a,b\n\"x\" y,1\n5\",2\n\"3, 4\",5\n\"6\n7\",8\n", Options{Lax: true}, []string{`2 "x" y¦1`, `3 5"¦2`, "4 3, 4¦5", "5 6\n7¦8"}},
		"short": {"a,b,c\n1\n2,\"3\"\n1,2,3,4\n", Options{Short: true}, []string{"2 1¦¦", "3 2¦3¦", "! line 4: 4 fields, but the header has 3"}},
		"both":  {"a,b,c\n\"x\" y\n\"1,2\n", Options{Lax: true, Short: true}, []string{`2 "x" y¦¦`, `3 "1¦2¦`}},

		"nothing":        {"", Options{}, []string{"it is empty: the first line must name the columns"}},
		"blank only":     {"\n,,\n", Options{}, []string{"it is empty: the first line must name the columns"}},
		"binary":         {"a\x00b", Options{}, []string{"it has NUL bytes: it is no text, or UTF-16 without a byte order mark (save it as UTF-8)"}},
		"bad comma":      {"a,b", Options{Comma: '"'}, []string{`'"' cannot part fields`}},
		"bad quotes":     {"a,b", Options{Quotes: "x"}, []string{`quotes "x" are none of double and backslash`}},
		"bad header":     {"a,\"b\n", Options{}, []string{"line 1: field 2 begins with a quote that nothing closes"}},
		"quoted header":  {"\"a,x;y;z\",b\n1,2\n", Options{}, []string{"2 1¦2"}},
		"known is right": {"a;x;y;z,b\n1,2\n", Options{Known: func(h []string) bool { return slices.Contains(h, "b") }}, []string{"2 1¦2"}},
	} {
		_, got := all(t, tt.text, tt.o)
		if name == "too long" {
			if len(got) < 4 || got[0] != "2 1¦2" || !strings.Contains(got[1], "line 3: it is too long: over 30 bytes in one line") || got[2] != "4 3¦4" ||
				!strings.Contains(got[3], "line 5: it is too long: over 30 bytes in one record (is a quote left open?)") || len(got) != 3+21 {
				t.Errorf("%s: %q", name, got)
			}
			continue
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
		// However the bytes come, they are the same.
		f, _ := textfile.New(iotest.OneByteReader(strings.NewReader(tt.text)))
		if r, err := New(f, tt.o); err == nil {
			n := 0
			for {
				_, err := r.Next()
				if bad := (*Error)(nil); err != nil && !errors.As(err, &bad) {
					break
				}
				n++
			}
			if n != len(tt.want) {
				t.Errorf("%s: %d rows, read byte by byte", name, n)
			}
		}
	}
	_, err := New(file(t, []byte("a\n"+strings.Repeat("x", 99))), Options{Max: 9})
	if err != nil {
		t.Fatal(err)
	}
	if err := error(&Error{long: true}); !errors.Is(err, textfile.ErrTooLong) || errors.Is(&Error{}, textfile.ErrTooLong) {
		t.Error("what is too long is not known")
	}
}

// TestEndlessQuotes has quotes that open on each line and close on none but lines
// far away: looking for their ends time and again would take for ever.
func TestEndlessQuotes(t *testing.T) {
	text := "a" + strings.Repeat("\tb", 500) + "\n" + strings.Repeat("x\"\t\"\n", 10_000)
	_, got := all(t, text, Options{Max: 100_000})
	if last := got[len(got)-1]; !strings.HasPrefix(last, "!! too many quotes open what nothing closes") || len(got) < 100 {
		t.Errorf("%d rows, the last is %q", len(got), last)
	}
}

func TestHeader(t *testing.T) {
	r, _ := all(t, "\ufeff Product ID ,\u00a0Größe\ufeff,item-no*,\"b\nc\"\n", Options{})
	if want := []string{"Product ID", "Größe", "item-no*", "b\nc"}; !slices.Equal(r.Header, want) {
		t.Errorf("the header is %q", r.Header)
	}
	for name, want := range map[string]int{"product_id": 0, "ProductId": 0, "grösse": -1, "GRÖSSE": -1, "GRÖ-ße": 1, "Item No": 2, "": -1} {
		if got := r.Column("none", name); got != want {
			t.Errorf("column %q is %d, want %d", name, got, want)
		}
	}
}

func TestCutFile(t *testing.T) {
	broken := errors.New("broken")
	for _, text := range []string{"a,b\n1,2\n3,\"4", "a,b\n1,2\n3,4"} {
		f, err := textfile.New(io.MultiReader(strings.NewReader(text+strings.Repeat(" ", sample)), iotest.ErrReader(broken)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := New(f, Options{})
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
}

// cells are what breaks tables.
var cells = []string{"", " ", "a", "b c", `"`, `""`, `a"b`, `"a" b`, `\`, `\"`, `a\`, `\\"`, ",", ";", "|", "\t", "a,b", "\n", "a\nb", "\r", "a\r\nb", "\n\n", "'", "=1+1", "-5", "@x",
	"\ufeff", "\ufeffid", "sep=;", " lead", "trail ", "日本", "Größe", "\u00a0", "🙂", "a\"\n\"b", "\"\n", "\",\"", "\\\n", "null"}

func TestWriterAndReader(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cell := func(d Dialect) string {
		for {
			s := cells[rng.IntN(len(cells))]
			if rng.IntN(3) == 0 {
				s += cells[rng.IntN(len(cells))]
			}
			if d.Comma != '\t' || !strings.Contains(s, "\t") || !strings.ContainsAny(s, "\r\n") {
				return s
			}
		}
	}
	for i := range 5_000 {
		d := Dialect{[]rune{',', ';', '\t', '|', '→'}[rng.IntN(5)], rng.IntN(2) == 0}
		columns := 1 + rng.IntN(4)
		rows := make([][]string, 1+rng.IntN(8))
		var b bytes.Buffer
		w := NewWriter(&b, d)
		if rng.IntN(2) == 0 {
			w = NewSpreadsheet(&b, d)
		}
		for j := range rows {
			for range columns {
				s := cell(d)
				if j == 0 {
					s = trim(s)
				}
				rows[j] = append(rows[j], s)
			}
			if err := w.Write(rows[j]...); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		o := Options{}
		if d.Backslash {
			o.Quotes = QuotesBackslash
		}
		if columns == 1 || d.Comma == '→' || d.Backslash || rng.IntN(2) == 0 {
			o.Comma = d.Comma
		}
		for _, text := range [][]byte{b.Bytes(), utf16Of(b.String(), binary.LittleEndian), utf16Of(b.String(), binary.BigEndian)} {
			r, err := New(file(t, text), o)
			if err != nil {
				t.Fatalf("table %d, %v: %q: %v", i, d, b.String(), err)
			}
			got := [][]string{r.Header}
			for {
				record, err := r.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("table %d, %v: %q: %v", i, d, b.String(), err)
				}
				got = append(got, slices.Clone(record))
			}
			if r.Dialect != d && columns > 1 || !reflect.DeepEqual(got, rows) {
				t.Fatalf("table %d, %v: %q is\n%q, want\n%q (%v)", i, d, b.String(), got, rows, r.Dialect)
			}
		}
	}
	w := NewWriter(io.Discard, Dialect{Comma: '\t'})
	if w.Write("a", "b") != nil || w.Write("a") == nil || w.Write("a\tb\nc", "") == nil || w.Write("a\tb", "c\nd") != nil {
		t.Error("a row that cannot be read back was written, or another was not")
	}
}

// utf16Of is text in UTF-16, with a mark.
func utf16Of(text string, order binary.ByteOrder) []byte {
	if !strings.HasPrefix(text, "\ufeff") {
		text = "\ufeff" + text
	}
	b := make([]byte, 0, 2*len(text))
	for _, c := range utf16.Encode([]rune(text)) {
		var two [2]byte
		order.PutUint16(two[:], c)
		b = append(b, two[:]...)
	}
	return b
}

func TestGuard(t *testing.T) {
	for _, s := range append([]string{"=1+1", " =1", "  =1", "+49", "-5", "@a", "\tx", "\rx", "x=1", " x", "", " "}, cells...) {
		g := Guard(s)
		if Unguard(g) != s {
			t.Errorf("%q becomes %q", s, Unguard(g))
		}
		if g != "" && strings.Contains("=+-@\t\r", g[:1]) {
			t.Errorf("%q is guarded by %q", s, g)
		}
	}
	if Guard("x=1") != "x=1" || Guard(" x") != " x" || Unguard(" x") != " x" {
		t.Error("what needs no guard has one")
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"a, b": {"a", "b"}, "\"a;b\";c": {"a;b", "c"}, "a\t\"b\" c": {"a", `"b" c`}, `"a` + `,b`: {`"a`, "b"}, "": {""},
	} {
		if got := Split([]byte(line), 0, nil); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", line, got, want)
		}
	}
	if got := Split([]byte("a;b,c"), ',', nil); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// FuzzReader checks that no line is lost: those of records, the first of each
// fault, and blank ones are all there are.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a\tb\n\"1\n2\t3\"\t4\n", "a,b\n\"1\\\"2\",\"\n\"\n", "a\r\"b\rc\"\r", "sep=|\na|b\r\n1|\"2\"x\n", "x\"\t\"\nx\"\t\"\nx\"\t\"\n",
		"a,b\n1,2,,\n\"" + strings.Repeat("x\n", 99)} {
		f.Add([]byte(s), byte(0), false)
		f.Add(utf16Of(s, binary.LittleEndian), byte(1), true)
		f.Add([]byte(s), byte(31), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, comma byte, backslash bool) {
		source, err := textfile.New(bytes.NewReader(b))
		if err != nil {
			return
		}
		text, err := io.ReadAll(source)
		if err != nil || len(text) > 1<<16 {
			return
		}
		source, _ = textfile.New(bytes.NewReader(b))
		o := Options{Max: 64, Lax: comma&8 != 0, Short: comma&16 != 0}
		if comma&7 < 4 {
			o.Comma = delimiters[comma&7]
		}
		if backslash {
			o.Quotes = QuotesBackslash
		}
		r, err := New(source, o)
		if err != nil {
			return
		}
		lines := strings.Split(string(text), "\n")
		if r.onlyCR {
			lines = strings.Split(strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\r", "\n"), "\n")
		}
		blank := func(from, to int) {
			for i := from; i < to; i++ {
				if i > len(lines) || strings.Trim(lines[i-1], " \t\r"+string(r.Dialect.Comma)) != "" {
					t.Fatalf("line %d of %q is lost", i, text)
				}
			}
		}
		next := r.next // behind the header
		for {
			record, err := r.Next()
			var bad *Error
			switch {
			case err == io.EOF:
				blank(next, r.next)
				if r.next != len(lines)+1 && !(r.next == len(lines) && lines[len(lines)-1] == "") {
					t.Fatalf("reading %q ends at line %d of %d", text, r.next, len(lines))
				}
				return
			case err == nil && len(record) != len(r.Header):
				t.Fatalf("%d fields, the header has %d", len(record), len(r.Header))
			case errors.As(err, &bad) && (bad.Line != r.line || r.next != r.line+1):
				t.Fatalf("a fault of line %d takes the lines %d to %d", bad.Line, r.line, r.next)
			case err != nil && bad == nil:
				return
			}
			blank(next, r.line)
			if r.next <= r.line {
				t.Fatalf("line %d is read again", r.line)
			}
			next = r.next
		}
	})
}

// BenchmarkReader compares with encoding/csv.
func BenchmarkReader(b *testing.B) {
	for name, row := range map[string]string{
		"plain":  "B0%06d,Soft and thick mattress for a bed of two,Brand,White,12.99,https://example.com/images/%06d.jpg\n",
		"quoted": "\"B0%06d\",\"Soft, thick \"\"mattress\"\" for a bed of two\",\"Brand\",\"White\",\"12.99\",\"https://example.com/images/%06d.jpg\"\n",
	} {
		var text bytes.Buffer
		text.WriteString("id,title,brand,color,price,image\n")
		for i := range 50_000 {
			fmt.Fprintf(&text, row, i, i)
		}
		b.Run(name+"/ours", func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				r, err := New(file(b, text.Bytes()), Options{})
				for err == nil {
					_, err = r.Next()
				}
			}
		})
		b.Run(name+"/csv", func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				c := csv.NewReader(file(b, text.Bytes()))
				c.ReuseRecord = true
				var err error
				for err == nil {
					_, err = c.Read()
				}
			}
		})
	}
}
