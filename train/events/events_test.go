package events

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trirank/trirank/internal/peers"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// start is a whole number of 1/16 seconds, which a file keeps exactly.
var start = time.Unix(1700000000, 500_000_000).UTC()

func create(t testing.TB, dir, name string, at time.Time, first int) *Writer {
	t.Helper()
	w, err := Create(dir, name, at, first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// training writes every tenth step from first to last.
func training(t testing.TB, dir string, at time.Time, first, last int) (path string, want []Event) {
	t.Helper()
	w := create(t, dir, "train", at, first)
	for step := first; step <= last; step += 10 {
		e := Event{Step: step, At: at.Add(time.Duration(step) * time.Second / 16), Values: map[string]float64{
			"loss":         2 - float64(step)/64,
			"learning/a b": 0.5,
			"größe":        float64(first),
		}}
		if step == 20 {
			e.Values["loss"], e.Values["learning/a b"] = math.NaN(), math.Inf(-1)
		}
		if err := w.Scalars(e.Step, e.At, e.Values); err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.Path(), want
}

func collect(seq iter.Seq2[Event, error]) (all []Event, err error) {
	for e, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// show makes events comparable in spite of NaN.
func show(all []Event) string {
	var s strings.Builder
	for _, e := range all {
		fmt.Fprintln(&s, e.Step, e.At.UnixNano(), e.Values) // maps are printed sorted
	}
	return s.String()
}

// TestBytes pins what a file looks like, byte by byte. The messages and lengths were
// put together by hand; the head 18..., a37f4b22 begins event files everywhere.
func TestBytes(t *testing.T) {
	w := create(t, t.TempDir(), "train", time.Unix(1, 0), 3)
	if err := w.Scalars(300, time.Unix(2, 0), map[string]float64{"b": -2, "a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, message := range []string{
		"09" + "000000000000f03f" + // wall_time 1
			"1a0d" + hex.EncodeToString([]byte("brain.Event:2")),
		"09" + "000000000000f03f" + "1003" + // step 3
			"3a02" + "0801", // session_log { status: START }
		"09" + "0000000000000040" + "10ac02" + // wall_time 2, step 300
			"2a14" + // summary
			"0a08" + "0a0161" + "150000803f" + // value { tag: "a" simple_value: 1 }
			"0a08" + "0a0162" + "15000000c0",
	} {
		data, err := hex.DecodeString(message)
		if err != nil {
			t.Fatal(err)
		}
		length := []byte{byte(len(data)), 0, 0, 0, 0, 0, 0, 0}
		want += hex.EncodeToString(length) + sum(length) + message + sum(data)
	}
	got := hex.EncodeToString(readFile(t, w.Path()))
	if got != want {
		t.Errorf("wrote\n%s, not\n%s", got, want)
	}
	if head := "1800000000000000" + "a37f4b22"; !strings.HasPrefix(got, head) {
		t.Errorf("file begins with %.24s, not %s", got, head)
	}
}

// sum is the masked checksum bit by bit, as the definition has it.
func sum(b []byte) string {
	c := ^uint32(0)
	for _, x := range b {
		c ^= uint32(x)
		for range 8 {
			if c&1 != 0 {
				c = c>>1 ^ 0x82f63b78
			} else {
				c >>= 1
			}
		}
	}
	c = ^c
	c = c>>15 + c<<17 + 0xa282ead8
	return hex.EncodeToString([]byte{byte(c), byte(c >> 8), byte(c >> 16), byte(c >> 24)})
}

// TestChecksum uses the examples of RFC 3720, B.4.
func TestChecksum(t *testing.T) {
	unmask := func(c uint32) uint32 {
		c -= 0xa282ead8
		return c>>17 | c<<15
	}
	for b, want := range map[string]uint32{
		strings.Repeat("\x00", 32): 0x8a9136aa,
		strings.Repeat("\xff", 32): 0x62a8ab43,
	} {
		if got := unmask(masked([]byte(b))); got != want {
			t.Errorf("checksum of %x is %08x, not %08x", b, got, want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, first := range []int{0, 10} {
		path, want := training(t, t.TempDir(), start, first, 60)
		got, err := collect(Read(bytes.NewReader(readFile(t, path))))
		if err != nil {
			t.Fatal(err)
		}
		if show(got) != show(want) {
			t.Errorf("read\n%s, not\n%s", show(got), show(want))
		}
	}
	// As much as fits is kept of other values.
	w := create(t, t.TempDir(), "x", start, 0)
	at := time.Unix(1790000000, 123456789)
	if err := w.Scalars(math.MaxInt, at, map[string]float64{"a": 0.1, "b": 1e300}); err != nil {
		t.Fatal(err)
	}
	if err := w.Scalars(1, at, nil); err != nil { // writes nothing
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := collect(Read(bytes.NewReader(readFile(t, w.Path()))))
	if err != nil || len(got) != 1 {
		t.Fatalf("read %v, %v", got, err)
	}
	e := got[0]
	if e.Step != math.MaxInt || e.At.Sub(at).Abs() > time.Microsecond || e.Values["a"] != float64(float32(0.1)) || !math.IsInf(e.Values["b"], 1) {
		t.Errorf("read %+v", e)
	}
	// Whoever stops early is not called again.
	path, _ := training(t, t.TempDir(), start, 0, 60)
	for range Read(bytes.NewReader(readFile(t, path))) {
		break
	}
}

func TestNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "run")
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, suffix := range []string{"", ".1", ".2"} {
		w := create(t, dir, "train", start, 0)
		if want := filepath.Join(dir, "events.out.tfevents.1700000000."+host+".train"+suffix); w.Path() != want {
			t.Errorf("file is %s, not %s", w.Path(), want)
		}
		if suffix == "" {
			if err := w.Scalars(1, start, map[string]float64{"a": 1}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBuffering(t *testing.T) {
	w := create(t, t.TempDir(), "train", start, 0)
	size := func() int { return len(readFile(t, w.Path())) }
	empty := size()
	if empty == 0 {
		t.Error("a new file does not name its version")
	}
	add := func() {
		t.Helper()
		if err := w.Scalars(1, start, map[string]float64{"a": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if add(); size() != empty {
		t.Error("values are not buffered")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	one := size() - empty
	if one <= 0 {
		t.Error("values are not there after Flush")
	}
	add()
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if size() != empty+2*one {
		t.Error("values are not there after Close")
	}
	if err := w.Scalars(2, start, map[string]float64{"a": 1}); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), w.Path()) {
		t.Errorf("Scalars after Close: %v", err)
	}
	if err := w.Flush(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Flush after Close: %v", err)
	}
}

func TestWriterFaults(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, name string
		first     int
		want      string
	}{
		{dir, "", 0, `"" cannot end a file name`},
		{dir, "a/b", 0, "cannot end a file name"},
		{dir, "a", -1, "the first step is -1"},
		{file, "a", 0, "not a directory"},
	} {
		if _, err := Create(c.dir, c.name, start, c.first); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.dir) {
			t.Errorf("Create(%q, %q, %d): %v, not %q", c.dir, c.name, c.first, err, c.want)
		}
	}
	w := create(t, dir, "a", start, 0)
	for _, c := range []struct {
		step      int
		tag, want string
	}{
		{-1, "a", "the step is -1"},
		{1, "", `"" is no tag`},
		{1, "a\xff", `"a\xff" is no tag`},
	} {
		if err := w.Scalars(c.step, start, map[string]float64{c.tag: 1}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), w.Path()) {
			t.Errorf("Scalars(%d, %q): %v, not %q", c.step, c.tag, err, c.want)
		}
	}
	// What was refused leaves nothing behind.
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := collect(Read(bytes.NewReader(readFile(t, w.Path())))); err != nil || len(got) > 0 {
		t.Errorf("read %v, %v", got, err)
	}
	// A full disk.
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		w := create(t, dir, "full", start, 0)
		defer w.file.Close()
		w.file = full
		w.w.Reset(full)
		if err := w.Scalars(1, start, map[string]float64{"a": 1}); err != nil {
			t.Error(err)
		}
		if err := w.Flush(); err == nil || !strings.Contains(err.Error(), w.Path()) {
			t.Errorf("Flush to a full disk: %v", err)
		}
		if err := w.Close(); err == nil {
			t.Error("Close does not report what Flush did")
		}
	}
}

func TestReadFaults(t *testing.T) {
	path, _ := training(t, t.TempDir(), start, 10, 30)
	good := readFile(t, path)
	const head = 24 + 16 // the record of the version
	with := func(at int, b byte) []byte {
		c := slices.Clone(good)
		c[at] ^= b
		return c
	}
	after := func(data string) []byte {
		return appendRecord(slices.Clone(good[:head]), []byte(data))
	}
	nan := appendHead(nil, 0, start)
	for i := range 8 {
		nan[1+i] = 0xff
	}
	for _, c := range []struct {
		name, want string
		bytes      []byte
	}{
		{"text", "record 1 at byte 0: the checksum of its length is wrong", []byte("step,loss\n1,0.5\n")},
		{"short", "record 1 at byte 0: it is cut off: 3 bytes of a head of 12", []byte("abc")},
		{"no version", "record 1 at byte 0: it does not name the version", good[head:]},
		{"length", "record 2 at byte 40: the checksum of its length is wrong", with(head+1, 1)},
		{"length's checksum", "record 2 at byte 40: the checksum of its length is wrong", with(head+8, 1)},
		{"data", "record 2 at byte 40: the checksum of its data is wrong", with(head+15, 1)},
		{"data's checksum", "the checksum of its data is wrong", with(len(good)-1, 0x80)},
		{"huge", "it has 67108865 bytes, and 67108864 are the most", appendRecord(slices.Clone(good[:head]), make([]byte, maxRecord+1))},
		{"promise", "it is cut off: 0 of 67108868 bytes", appendRecord(nil, make([]byte, maxRecord))[:12]},
		{"no message", "its message is damaged", after("\xff\xff\xff")},
		{"cut string", "its message is damaged", after("\x1a\x05brai")},
		{"cut summary", "its message is damaged", after("\x2a\x02\x0a\x05")},
		{"cut value", "its message is damaged", after("\x2a\x04\x0a\x02\x0a\x05")},
		{"cut number", "its message is damaged", after("\x09\x00")},
		{"tag", "its message is damaged", after("\x2a\x0a\x0a\x08\x0a\x01\xff\x15\x00\x00\x80\x3f")},
		{"time", "its time is NaN seconds", after(string(nan))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := collect(Read(bytes.NewReader(c.bytes))); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
	// Whatever the place, a cut is seen, and is told from damage.
	ends := map[int]bool{0: true}
	for at := 0; at < len(good); {
		at += int(good[at]) + 16
		ends[at] = true
	}
	for n := range len(good) + 1 {
		if _, err := collect(Read(bytes.NewReader(good[:n]))); errors.Is(err, io.ErrUnexpectedEOF) == ends[n] || (err == nil) != ends[n] {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	broken := errors.New("broken")
	for _, n := range []int{0, 5, head + 20} {
		if _, err := collect(Read(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(broken)))); !errors.Is(err, broken) {
			t.Errorf("a reader that breaks after %d bytes: %v", n, err)
		}
	}
}

// TestOthers reads what only other programs write.
func TestOthers(t *testing.T) {
	b := appendRecord(nil, appendVersion(nil, start))
	for _, data := range []string{
		"\x22\x03abc",                       // a graph
		"\x2a\x07\x0a\x05\x0a\x01a\x42\x00", // a tensor
		"\x13\x14",                          // a group, which nobody writes any more
		"",
	} {
		b = appendRecord(b, []byte(data))
	}
	b = appendRecord(b, appendScalars(nil, 1, start, map[string]float64{"a": 3}))
	got, err := collect(Read(bytes.NewReader(b)))
	if err != nil || len(got) != 1 || got[0].Step != 1 || got[0].Values["a"] != 3 {
		t.Errorf("read %v, %v", got, err)
	}
}

// TestTensorBoard lets TensorBoard read a run that was resumed, where it is installed,
// and compares both files with those that it read where they were stored.
func TestTensorBoard(t *testing.T) {
	dir := t.TempDir()
	first, want := training(t, dir, start, 0, 50)
	resumed, more := training(t, dir, start.Add(100*time.Second), 30, 70)
	want = append(want[:3], more...) // steps from 30 on are dropped

	if p := peers.Python(t, "tensorboard"); p != "" {
		cmd := exec.Command(p, "testdata/read.py", dir)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, &errs)
		}
		var expected strings.Builder
		for _, tag := range []string{"größe", "learning/a b", "loss"} {
			for _, e := range want {
				value := fmt.Sprint(e.Values[tag])
				switch {
				case value == "NaN":
					value = "nan"
				case value == "-Inf":
					value = "-inf"
				case !strings.Contains(value, "."):
					value += ".0"
				}
				fmt.Fprintf(&expected, "%s\t%d\t%.16g\t%s\n", tag, e.Step, float64(e.At.UnixNano())/1e9, value)
			}
		}
		// Whole seconds are printed without a part by one and with it by the other.
		clean := func(s string) []string {
			lines := strings.Split(strings.ReplaceAll(s, ".0\t", "\t"), "\n")
			slices.Sort(lines)
			return lines
		}
		if got, want := clean(string(out)), clean(expected.String()); !slices.Equal(got, want) {
			t.Fatalf("TensorBoard reads\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	} else {
		t.Log("no Python with tensorboard: comparing with stored files only")
	}
	for name, path := range map[string]string{"first": first, "resumed": resumed} {
		got, golden := readFile(t, path), "testdata/"+name+".tfevents"
		if *update {
			if peers.Python(t, "tensorboard") == "" {
				t.Fatal("files are stored only where TensorBoard has read them: pip install tensorboard")
			}
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, readFile(t, golden)) {
			t.Errorf("the %s file differs from %s; if that is meant, run go test ./train/events -update where TensorBoard is installed", name, golden)
		}
	}
}

func FuzzRead(f *testing.F) {
	path, _ := training(f, f.TempDir(), start, 10, 30)
	good := readFile(f, path)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(appendRecord(appendRecord(nil, appendVersion(nil, start)), []byte("\x2a\x07\x0a\x05\x0a\x01a\x42\x00")))
	f.Add([]byte("no event file"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// What was read says the same when written again. Raw bytes rarely have the
		// right checksums, so they are tried as a message, too.
		framed := appendRecord(appendRecord(nil, appendVersion(nil, start)), b)
		for _, in := range [][]byte{b, framed} {
			ended := false
			var all []Event
			for e, err := range Read(bytes.NewReader(in)) {
				if ended {
					t.Fatal("goes on after an error")
				}
				if err != nil {
					ended = true
					continue
				}
				all = append(all, e)
			}
			again := appendRecord(nil, appendVersion(nil, start))
			for _, e := range all {
				again = appendRecord(again, appendScalars(nil, e.Step, e.At, e.Values))
			}
			got, err := collect(Read(bytes.NewReader(again)))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(all) {
				t.Fatalf("%d events became %d", len(all), len(got))
			}
			for i := range all {
				if d := got[i].At.Sub(all[i].At).Abs(); d > 20*time.Microsecond {
					t.Fatalf("a time changed by %v", d)
				}
				got[i].At = all[i].At
			}
			if show(got) != show(all) {
				t.Fatalf("read\n%s, not\n%s", show(got), show(all))
			}
		}
	})
}
