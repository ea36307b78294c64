package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trirank/trirank/internal/peers"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// sample has all kinds of tensors, in order of name.
func sample() []Tensor {
	many := make([]float32, 3*chunk/4+1) // more than is converted at a time
	g := rand.New(rand.NewPCG(1, 2))
	for i := range many {
		many[i] = g.Float32() - 0.5
	}
	return []Tensor{
		{Name: "a.weight", Shape: []int{2, 3}, Values: []float32{1, -2, 3.5, 0, 1e-30, 6}},
		{Name: "b", Shape: []int{}, Values: []float32{math.MaxFloat32}},
		{Name: "empty", Shape: []int{0, 4}, Values: []float32{}},
		{Name: "größe <&>\"\n", Shape: []int{1, 1, 2}, Values: []float32{float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32}},
		{Name: "many", Shape: []int{len(many)}, Values: many},
	}
}

func encode(t testing.TB, tensors []Tensor, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// same compares bit by bit: 0 and -0 differ.
func same(a, b []Tensor) bool {
	return slices.EqualFunc(a, b, func(a, b Tensor) bool {
		return a.Name == b.Name && slices.Equal(a.Shape, b.Shape) &&
			slices.EqualFunc(a.Values, b.Values, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
	})
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	for _, metadata := range []map[string]string{nil, {"": ""}, {"step": "7", "ü <&>": "\u2028\"\x00"}} {
		for _, want := range [][]Tensor{sample(), {}} {
			if err := Write(path, want, metadata); err != nil {
				t.Fatal(err)
			}
			got, text, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if !same(got, want) || !maps.Equal(text, metadata) || (text == nil) != (metadata == nil) {
				t.Errorf("read %d tensors, %q of %d, %q", len(got), text, len(want), metadata)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, encode(t, want, metadata)) {
				t.Error("Write and Encode differ")
			}
			if n := binary.LittleEndian.Uint64(b); n%8 != 0 {
				t.Errorf("header has %d bytes", n)
			}
		}
	}
	// No shape is the shape of a single number.
	got, _, err := Decode(encode(t, []Tensor{{Name: "x", Values: []float32{4}}}, nil))
	if err != nil || len(got) != 1 || len(got[0].Shape) != 0 || got[0].Values[0] != 4 {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestDeterminism(t *testing.T) {
	metadata := map[string]string{}
	for i := range 20 {
		metadata[fmt.Sprint("key", i)] = "v"
	}
	want := encode(t, sample(), metadata)
	for range 10 {
		tensors := sample()
		rand.Shuffle(len(tensors), func(i, j int) { tensors[i], tensors[j] = tensors[j], tensors[i] })
		order := slices.Clone(tensors)
		if !bytes.Equal(encode(t, tensors, maps.Clone(metadata)), want) {
			t.Fatal("the order of tensors shows in the file")
		}
		if !same(tensors, order) {
			t.Fatal("the caller's tensors were sorted")
		}
	}
}

// TestBytes pins what a file looks like.
func TestBytes(t *testing.T) {
	header := `{"__metadata__":{"a":"1","b":"2"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}  `
	want := "\x90\x00\x00\x00\x00\x00\x00\x00" + header + "\x00\x00\x80\x3f" + "\x00\x00\x00\xc0" + "\x00\x00\x00\x3f"
	got := encode(t, []Tensor{
		{Name: "x", Values: []float32{0.5}},
		{Name: "w", Shape: []int{2, 1}, Values: []float32{1, -2}},
	}, map[string]string{"b": "2", "a": "1"})
	if string(got) != want {
		t.Errorf("wrote\n%q, not\n%q", got, want)
	}
	if got := encode(t, nil, nil); string(got) != "\x08\x00\x00\x00\x00\x00\x00\x00{}      " {
		t.Errorf("nothing is written as %q", got)
	}
}

func TestWriteFaults(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	if err := Write(path, sample(), nil); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one := []float32{1}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		want     string
		tensors  []Tensor
		metadata map[string]string
	}{
		{`two tensors are called "a"`, []Tensor{{"a", nil, one}, {"b", nil, one}, {"a", nil, one}}, nil},
		{`cannot be called "__metadata__"`, []Tensor{{"__metadata__", nil, one}}, nil},
		{`the name "\xff" is not UTF-8`, []Tensor{{"\xff", nil, one}}, nil},
		{`tensor "a" has 1 values where its shape [2 3] takes 6`, []Tensor{{"a", []int{2, 3}, one}}, nil},
		{`tensor "a" has 0 values where its shape [] takes 1`, []Tensor{{"a", nil, nil}}, nil},
		{`its shape [-1 -1] has a negative length`, []Tensor{{"a", []int{-1, -1}, one}}, nil},
		{`is larger than any file`, []Tensor{{"a", []int{1 << 31, 1 << 31, 4}, nil}}, nil},
		{`it has 65 dimensions`, []Tensor{{"a", slices.Repeat([]int{1}, 65), one}}, nil},
		{`value 1 of tensor "a" is NaN`, []Tensor{{"a", []int{2}, []float32{1, nan}}}, nil},
		{`value 0 of tensor "a" is +Inf`, []Tensor{{"a", nil, []float32{inf}}}, nil},
		{`"k\xff": "v" is not UTF-8`, nil, map[string]string{"k\xff": "v"}},
		{`"k": "\xff" is not UTF-8`, nil, map[string]string{"k": "\xff"}},
		{`write fewer tensors or less metadata`, nil, map[string]string{"k": strings.Repeat("x", maxHeader)}},
	} {
		if err := Write(path, c.tensors, c.metadata); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.200v, not %q", err, c.want)
		}
	}
	// What was there is there still, and nothing else.
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed (%v)", err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("folder holds %v, %v", all, err)
	}
	// A writer that breaks, at any place.
	whole := encode(t, sample(), nil)
	for n := 0; n < len(whole); n += 1 + len(whole)/50 {
		if err := Encode(&breaking{n}, sample(), nil); !errors.Is(err, errBroken) {
			t.Errorf("a writer that breaks after %d bytes: %v", n, err)
		}
	}
}

var errBroken = errors.New("broken")

// breaking is a writer that fails after so many bytes.
type breaking struct{ left int }

func (w *breaking) Write(b []byte) (int, error) {
	n := min(w.left, len(b))
	w.left -= n
	if n < len(b) {
		return n, errBroken
	}
	return n, nil
}

// file puts together a file from a header and the size of the data.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestFaults(t *testing.T) {
	const (
		a = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
		b = `"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`
	)
	with := func(fields string) []byte { return file(`{"a":{`+fields+`}}`, 4) }
	huge := binary.LittleEndian.AppendUint64(nil, 1<<40)
	nan := file("{"+a+"}", 4)
	copy(nan[len(nan)-4:], "\x00\x00\xc0\x7f")
	for _, c := range []struct {
		name, want string
		bytes      []byte
	}{
		{"nothing", "it has 0 bytes", nil},
		{"short", "it has 7 bytes", make([]byte, 7)},
		{"no header", "begins with \"\"", make([]byte, 8)},
		{"text", "promises a header of", []byte("a text that is no such file")},
		{"header past the end", "promises a header of 9 bytes and has 16 in all", append([]byte{9}, make([]byte, 15)...)},
		{"header over the limit", "promises a header of 1099511627776 bytes", append(huge, make([]byte, 100)...)},
		{"header of 2^64-1", "promises a header of 18446744073709551615", append(bytes.Repeat([]byte{0xff}, 8), "{}"...)},
		{"not UTF-8", "it is not UTF-8", file("{\"\xff\":1}", 0)},
		{"space first", "not with a brace", file(" {}", 0)},
		{"array", "not with a brace", file("[]", 0)},
		{"cut JSON", "its JSON is broken", file(`{"a":{"dtype"`, 0)},
		{"open JSON", "its JSON is broken", file(`{`, 0)},
		{"comma", "its JSON is broken", file("{"+a+",}", 4)},
		{"more JSON", "it goes on after its end", file("{} {}", 0)},
		{"zeros behind", "it goes on after its end", file("{}\x00\x00", 0)},
		{"twice", `"a" is there twice`, file("{"+a+","+a+"}", 4)},
		{"twice by escape", `"a" is there twice`, file("{"+a+`,"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8)},
		{"metadata twice", `"__metadata__" is there twice`, file(`{"__metadata__":{},"__metadata__":{}}`, 0)},
		{"metadata key twice", `"k" is there twice`, file(`{"__metadata__":{"k":"1","k":"2"}}`, 0)},
		{"metadata number", `"1" where text belongs`, file(`{"__metadata__":{"k":1}}`, 0)},
		{"metadata null", "where '{' belongs", file(`{"__metadata__":null}`, 0)},
		{"tensor number", "where '{' belongs", file(`{"a":1}`, 0)},
		{"tensor array", "[ where { belongs", file(`{"a":[]}`, 0)},
		{"no dtype", "not all are there", with(`"shape":[1],"data_offsets":[0,4]`)},
		{"no shape", "not all are there", with(`"dtype":"F32","data_offsets":[0,4]`)},
		{"no offsets", "not all are there", with(`"dtype":"F32","shape":[1]`)},
		{"unknown", `"stride" is not known`, with(`"dtype":"F32","shape":[1],"data_offsets":[0,4],"stride":[1]`)},
		{"capitals", `"DTYPE" is not known`, with(`"DTYPE":"F32","shape":[1],"data_offsets":[0,4]`)},
		{"dtype twice", `"dtype" is there twice`, with(`"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]`)},
		{"half floats", `tensor "a": its values are BF16; only F32`, with(`"dtype":"BF16","shape":[2],"data_offsets":[0,4]`)},
		{"integers", "its values are I32", with(`"dtype":"I32","shape":[1],"data_offsets":[0,4]`)},
		{"dtype number", `"32" where text belongs`, with(`"dtype":32,"shape":[1],"data_offsets":[0,4]`)},
		{"shape number", "where '[' belongs", with(`"dtype":"F32","shape":1,"data_offsets":[0,4]`)},
		{"shape null", "where '[' belongs", with(`"dtype":"F32","shape":null,"data_offsets":[0,4]`)},
		{"shape text", "where a number belongs", with(`"dtype":"F32","shape":["1"],"data_offsets":[0,4]`)},
		{"shape nested", "where a number belongs", with(`"dtype":"F32","shape":[[1]],"data_offsets":[0,4]`)},
		{"shape fraction", "1.0 is not a whole number", with(`"dtype":"F32","shape":[1.0],"data_offsets":[0,4]`)},
		{"shape exponent", "1e0 is not a whole number", with(`"dtype":"F32","shape":[1e0],"data_offsets":[0,4]`)},
		{"shape zero first", "its JSON is broken", with(`"dtype":"F32","shape":[01],"data_offsets":[0,4]`)},
		{"shape negative", "-1 is not a whole number", with(`"dtype":"F32","shape":[-1],"data_offsets":[0,4]`)},
		{"shape past 64 bits", "is not a whole number", with(`"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,4]`)},
		{"shape overflow to fit", "is larger than any file", with(`"dtype":"F32","shape":[4294967296,4294967296,1],"data_offsets":[0,0]`)},
		{"shape overflow by size", "is larger than any file", with(`"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]`)},
		{"shape of 65", "more than 64 numbers", with(`"dtype":"F32","shape":[1` + strings.Repeat(",1", 64) + `],"data_offsets":[0,4]`)},
		{"shape too large", "it has 4 bytes where its shape [2] takes 8", with(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`)},
		{"shape too small", "it has 4 bytes where its shape [0] takes 0", with(`"dtype":"F32","shape":[0],"data_offsets":[0,4]`)},
		{"one offset", "no begin and end", with(`"dtype":"F32","shape":[1],"data_offsets":[4]`)},
		{"three offsets", "more than 2 numbers", with(`"dtype":"F32","shape":[1],"data_offsets":[0,4,8]`)},
		{"offsets swapped", "[4 0] is no begin and end", with(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`)},
		{"negative offset", "-4 is not a whole number", with(`"dtype":"F32","shape":[1],"data_offsets":[-4,0]`)},
		{"past the end", `tensor "a" ends at byte 4 of the data, which has 3`, file("{"+a+"}", 3)},
		{"far past the end", "which has 4", with(`"dtype":"F32","shape":[2305843009213693951],"data_offsets":[0,9223372036854775804]`)},
		{"hole first", `tensor "b" begins at byte 4 of the data where the one before ends at 0`, file("{"+b+"}", 8)},
		{"hole", "begins at byte 8 of the data where the one before ends at 4", file("{"+a+`,"c":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12)},
		{"overlap", "begins at byte 0 of the data where the one before ends at 4", file("{"+a+`,"c":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)},
		{"shared", "begins at byte 0 of the data where the one before ends at 4", file("{"+a+`,"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8)},
		{"empty inside", "begins at byte 2 of the data", file("{"+a+`,"c":{"dtype":"F32","shape":[0],"data_offsets":[2,2]}}`, 4)},
		{"rest", "its data has 1 bytes of which no tensor says", file("{"+a+"}", 5)},
		{"only rest", "its data has 9 bytes of which no tensor says", file("{}", 9)},
		{"NaN", `value 0 of tensor "a" is NaN`, nan},
	} {
		t.Run(c.name, func(t *testing.T) {
			tensors, metadata, err := Decode(c.bytes)
			if err == nil || !strings.Contains(err.Error(), c.want) || tensors != nil || metadata != nil {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
	// What differs from files of Write and is right all the same.
	got, metadata, err := Decode(file(`{ "empty":{"shape":[0],"data_offsets":[4,4],"dtype":"F32"},`+b+","+a+`,"__metadata__":{} }`+"\n", 8))
	if err != nil || len(got) != 3 || got[0].Name != "a" || got[1].Name != "b" || got[2].Name != "empty" || metadata == nil {
		t.Errorf("read %v, %v, %v", got, metadata, err)
	}
}

func TestReadFaults(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	if _, _, err := Read(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if _, _, err := Read(dir); err == nil || !strings.Contains(err.Error(), dir+": it is a directory, not a plain file") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, file("{}", 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(path); err == nil || !strings.Contains(err.Error(), path+": its data has 1 bytes") {
		t.Errorf("a wrong file: %v", err)
	}
	// A header over the limit is refused before it is read, however large the file.
	large := binary.LittleEndian.AppendUint64(nil, maxHeader+1)
	if _, _, err := ReadFrom(bytes.NewReader(large), 1<<40); err == nil || !strings.Contains(err.Error(), "promises a header of 100000001 bytes") {
		t.Errorf("a large header: %v", err)
	}
	whole := encode(t, sample(), nil)
	for n := 0; n < len(whole); n += 1 + len(whole)/200 {
		if _, _, err := Decode(whole[:n]); err == nil {
			t.Errorf("the first %d bytes are taken for a file", n)
		}
		// A file that becomes shorter while it is read.
		if _, _, err := ReadFrom(bytes.NewReader(whole[:n]), int64(len(whole))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a file that ends after %d bytes: %v", n, err)
		}
		if _, _, err := ReadFrom(brokenAt{whole, int64(n)}, int64(len(whole))); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("a file that breaks after %d bytes: %v", n, err)
		}
	}
}

// brokenAt fails at reads that go past a place.
type brokenAt struct {
	bytes []byte
	at    int64
}

func (r brokenAt) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > r.at {
		return 0, iotest.ErrTimeout
	}
	return copy(b, r.bytes[at:]), nil
}

// TestPython lets the reference implementation read and write a file, where it is
// installed, and compares with the file that it read and wrote where it was stored.
func TestPython(t *testing.T) {
	tensors := sample()[:4]
	// One key of metadata: some releases write several in any order.
	ours := encode(t, tensors, map[string]string{"made by": "trirank <ü>"})
	const golden = "testdata/golden.safetensors"
	if p := peers.Python(t, "safetensors.numpy"); p != "" {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "ours.safetensors"), ours, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(p, "testdata/peer.py", dir)
		cmd.Env = append(cmd.Environ(), "PYTHONIOENCODING=utf-8")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, &errs)
		}
		var want strings.Builder
		fmt.Fprintf(&want, "made by\ttrirank <ü>\n")
		for _, x := range tensors {
			var values []byte
			for _, v := range x.Values {
				values = binary.LittleEndian.AppendUint32(values, math.Float32bits(v))
			}
			shape := strings.ReplaceAll(fmt.Sprint(x.Shape), " ", ", ")
			fmt.Fprintf(&want, "%s\tfloat32\t%s\t%x\n", x.Name, shape, values)
		}
		if string(out) != want.String() {
			t.Fatalf("Python reads\n%s\nnot\n%s", out, &want)
		}
		theirs, err := os.ReadFile(filepath.Join(dir, "theirs.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs, ours) {
			t.Errorf("Python writes\n%q\nnot\n%q", theirs, ours)
		}
		if got, metadata, err := Decode(theirs); err != nil || !same(got, tensors) || metadata["made by"] != "trirank <ü>" {
			t.Errorf("of Python's file are read %v, %v, %v", got, metadata, err)
		}
	} else {
		t.Log("no Python with safetensors: comparing with a stored file only")
	}
	if *update {
		if peers.Python(t, "safetensors.numpy") == "" {
			t.Fatal("a file is stored only where Python has read it: pip install safetensors numpy")
		}
		if err := os.WriteFile(golden, ours, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, stored) {
		t.Errorf("the file differs from %s; if that is meant, run go test ./train/safetensors -update where safetensors is installed", golden)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, sample()[:4], map[string]string{"k": "v"}))
	f.Add(encode(f, nil, nil))
	f.Add(file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, 4))
	f.Add(file(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 4))
	f.Add(file(`{"\ud800":{"shape":[ 1 ],"dtype":"F32","data_offsets":[0,4]},"__metadata__":{}}`, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Headers rarely have the right length, so b is tried as one, too: with its
		// first byte as the size of the data.
		ins := [][]byte{b}
		if len(b) > 0 {
			ins = append(ins, file(string(b[1:]), int(b[0])))
		}
		for _, in := range ins {
			tensors, metadata, err := Decode(in)
			if err != nil {
				continue
			}
			// What was read can be written, and then says the same.
			var out bytes.Buffer
			if err := Encode(&out, tensors, metadata); err != nil {
				t.Fatal(err)
			}
			got, text, err := Decode(out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !same(got, tensors) || !maps.Equal(text, metadata) {
				t.Fatalf("%v, %v became %v, %v", tensors, metadata, got, text)
			}
		}
	})
}
