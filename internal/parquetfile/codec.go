package parquetfile

import (
	"bytes"
	"errors"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// The library's own decompression makes room for what compressed bytes claim, tries LZ4
// with ever more of it, and loses a page that did not fit (parquet-go issue 608). Here a
// page has the size that its header says, or is damaged.

var errSize = errors.New("it is not of the size that its header says")

// checkCodec refuses what cannot be decompressed, by name.
func checkCodec(c format.CompressionCodec) error {
	switch c {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw:
		return nil
	}
	return refuse("it is compressed by %v, which is not read (write it with another codec: in pyarrow and pandas, compression='zstd')", c)
}

// decompress returns the size bytes that src was made of, in dst where there is room.
func decompress(codec format.CompressionCodec, dst, src []byte, size int) ([]byte, error) {
	if codec == format.Uncompressed {
		if len(src) != size {
			return nil, errSize
		}
		return src, nil
	}
	if size == 0 && len(src) == 0 { // a page without values
		return dst[:0], nil
	}
	if cap(dst) < size {
		dst = make([]byte, size)
	}
	dst = dst[:size]
	switch codec {
	case format.Snappy:
		if n, err := snappy.DecodedLen(src); err != nil || n != size {
			return nil, errors.Join(err, errSize)
		}
		return snappy.Decode(dst, src)
	case format.Lz4Raw:
		n, err := lz4.UncompressBlock(src, dst)
		if err == nil && n != size {
			err = errSize
		}
		return dst, err
	case format.Zstd:
		return unzstd(dst, src)
	case format.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, err
		}
		return dst, readExactly(z, dst)
	case format.Brotli:
		return dst, readExactly(brotli.NewReader(bytes.NewReader(src)), dst)
	}
	return nil, checkCodec(codec)
}

// readExactly fills b, after which r has to end.
func readExactly(r io.Reader, b []byte) error {
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	var more [1]byte
	switch n, err := io.ReadFull(r, more[:]); {
	case n > 0:
		return errSize
	case err != io.EOF:
		return err
	}
	return nil
}

// zstds decompresses what is no larger than a page may be.
var zstds, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))

func unzstd(dst, src []byte) ([]byte, error) {
	out, err := zstds.DecodeAll(src, dst[:0:len(dst)]) // which is as much as it makes
	if err == nil && len(out) != len(dst) {
		err = errSize
	}
	return out, err
}
