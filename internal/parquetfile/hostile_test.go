package parquetfile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// TestClaims has descriptions that claim what a small file cannot hold.
func TestClaims(t *testing.T) {
	varint := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	for name, description := range map[string][]byte{
		"row groups": bytes.Join([][]byte{{0x49, 0xfc}, varint(25_000_000), {0}}, nil), // 17 GB
		"a text":     bytes.Join([][]byte{{0x48}, varint(1 << 31), {0}}, nil),
		"depth":      bytes.Repeat([]byte{0x1c}, 5000),
		"nothing":    nil,
	} {
		b := append([]byte(magic), description...)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(description))), magic...)
		took, _, err := readAll(b)
		if err == nil || took > 1<<20 {
			t.Errorf("%s: %d kB of memory, error %v", name, took>>10, err)
		}
	}
}

// TestDecompressed has pages that are not of the size that they should be, some of them
// by much.
func TestDecompressed(t *testing.T) {
	text := bytes.Repeat([]byte("mug "), 1<<24)
	var g, br bytes.Buffer
	z := gzip.NewWriter(&g)
	z.Write(text)
	z.Close()
	w := brotli.NewWriter(&br)
	w.Write(text)
	w.Close()
	e, _ := zstd.NewWriter(nil)
	var streamed bytes.Buffer // whose frame does not say how long it is
	s, _ := zstd.NewWriter(&streamed)
	s.Write(text)
	s.Close()
	second := append(e.EncodeAll([]byte("mug"), nil), streamed.Bytes()...)
	claim := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0} // 4 GB
	for name, c := range map[string]struct {
		codec format.CompressionCodec
		b     []byte
	}{
		"gzip": {format.Gzip, g.Bytes()}, "brotli": {format.Brotli, br.Bytes()}, "zstd": {format.Zstd, e.EncodeAll(text, nil)}, "zstd's header": {format.Zstd, claim},
		"streamed zstd": {format.Zstd, streamed.Bytes()}, "second frame of zstd": {format.Zstd, second},
		"lz4": {format.Lz4Raw, bytes.Repeat([]byte{0xff}, 5000)}, "snappy": {format.Snappy, binary.AppendUvarint(nil, 1<<31)}, "none": {format.Uncompressed, text},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decompress(c.codec, nil, c.b, 1000)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 32<<20 {
			t.Errorf("%s: %d MB of memory, error %v", name, took>>20, err)
		}
	}
	for _, codec := range []format.CompressionCodec{format.Lz4, format.LZO, 99} {
		no := (*refusal)(nil)
		if err := checkCodec(codec); !errors.As(err, &no) || !strings.Contains(err.Error(), "compression='zstd'") {
			t.Errorf("%v: %v", codec, err)
		}
	}
}

// TestPrefixes has texts that each begin as the one before, which few bytes may make
// many of.
func TestPrefixes(t *testing.T) {
	const n, length = 20_000, 20_000
	same, own := make([]int32, n), make([]int32, n)
	own[0] = length
	for i := range n - 1 {
		same[i+1] = length
	}
	var b []byte
	for _, list := range [][]int32{same, own} {
		packed, err := new(delta.BinaryPackedEncoding).EncodeInt32(nil, list)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, packed...)
	}
	b = append(b, bytes.Repeat([]byte{'x'}, length)...)
	v := values{format.ByteArray, 0, -1}
	if err := v.check(format.DeltaByteArray, b, n); !errors.Is(err, errPage) {
		t.Errorf("%d bytes for %d: %v", len(b), n*length, err)
	}
}

// TestEncodings has values that are not what they should be.
func TestEncodings(t *testing.T) {
	for name, c := range map[string]struct {
		values
		encoding format.Encoding
		b        []byte
		n        int
	}{
		"a text beyond the end":     {values{format.ByteArray, 0, -1}, format.Plain, []byte{9, 0, 0, 0, 'x'}, 1},
		"a text too many":           {values{format.ByteArray, 0, -1}, format.Plain, make([]byte, 8), 1},
		"a number too few":          {values{format.Int32, 0, -1}, format.Plain, make([]byte, 4), 2},
		"no dictionary":             {values{format.ByteArray, 0, -1}, format.RLEDictionary, []byte{1, 2, 0}, 1},
		"beyond the dictionary":     {values{format.ByteArray, 0, 1}, format.RLEDictionary, []byte{1, 2, 1}, 1},
		"a run too long":            {values{format.ByteArray, 0, 1}, format.RLEDictionary, []byte{1, 200, 1, 0}, 1},
		"a run too short":           {values{format.ByteArray, 0, 1}, format.RLEDictionary, []byte{1, 2, 0}, 2},
		"a wrong total":             {values{format.Int64, 0, -1}, format.DeltaBinaryPacked, []byte{0x80, 1, 4, 9, 0}, 2},
		"too few bytes of floats":   {values{format.Double, 0, -1}, format.ByteStreamSplit, make([]byte, 15), 2},
		"an encoding of no number":  {values{format.Int32, 0, -1}, format.DeltaByteArray, nil, 0},
		"booleans that are missing": {values{format.Boolean, 0, -1}, format.RLE, []byte{1, 0, 0, 0}, 1},
	} {
		encoding := c.encoding
		if _, err := c.rewrite(&encoding, c.b, c.n); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestEmptyGroup reads a file of which one row group has no rows, as pyarrow writes a table
// that is empty.
func TestEmptyGroup(t *testing.T) {
	f, err := Open("testdata/empty-group.parquet")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	if _, err := f.Rows([]string{"id", "title"}, func(row int, cells []Cell) bool {
		got = append(got, cells[0].Text+cells[1].Text)
		return true
	}); err != nil || strings.Join(got, " ") != "ax b ax b" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestPagesSideBySide refuses six columns of 50 MB a text, of which a file of a few
// kilobytes is made: four of them are within the bound.
func TestPagesSideBySide(t *testing.T) {
	f, err := Open("testdata/large-pages.parquet")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.Rows([]string{"c0", "c1", "c2", "c3", "c4", "c5"}, func(int, []Cell) bool { return true })
	if no := (*refusal)(nil); !errors.As(err, &no) || !strings.Contains(err.Error(), "256 MiB together") {
		t.Errorf("six: %v", err)
	}
	if _, err := f.Rows([]string{"c0", "c1", "c2", "c3"}, func(_ int, cells []Cell) bool { return len(cells[3].Text) == 50<<20 }); err != nil {
		t.Errorf("four: %v", err)
	}
}

// TestPagesWithoutValues reads a chunk of index pages, a million in a few megabytes.
func TestPagesWithoutValues(t *testing.T) {
	head, err := thrift.Marshal(new(thrift.CompactProtocol), &format.PageHeader{Type: format.IndexPage, IndexPageHeader: thrift.New(format.IndexPageHeader{})})
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Repeat(head, 1_000_000)
	p := &pages{in: bytes.NewReader(b), end: int64(len(b)), left: 1, open: new(int64)}
	if _, err := p.ReadAt(make([]byte, 10), 0); err == nil || !strings.Contains(err.Error(), "pages without values") {
		t.Errorf("error %v", err)
	}
}
