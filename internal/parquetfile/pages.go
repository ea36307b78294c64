package parquetfile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// maxPage is how many bytes a page may have, decompressed. Writers make pages of a
	// megabyte; some make one of a whole column of a row group.
	maxPage = 1 << 28
	// maxOpen is how many bytes the pages that are read side by side may have, one a
	// column. Reading takes a few times as much.
	maxOpen = 1 << 28
	// maxValues is how many values a page may have: a run of nulls takes a few bytes.
	maxValues = 1 << 24
	// maxHeader is how many bytes the header of a page may have. It holds the least and
	// the greatest of its values.
	maxHeader = 1 << 24
	// maxIdle is how many pages of a chunk may have no values: its dictionary, and indexes.
	maxIdle = 1000
)

var errPage = refuse("a page of it is larger than %d MiB or has more than %d million values (write it with smaller row groups)", maxPage>>20, maxValues/1_000_000)

var errOpen = refuse("pages of its columns that have to be read side by side are larger than %d MiB together (write it with smaller row groups)", maxOpen>>20)

// pages gives the library the pages of a column chunk, one after the other: each
// decompressed, and with its header changed to say so, once all was checked that the
// library would trust.
type pages struct {
	values
	codec      format.CompressionCodec
	repetition int   // the greatest level
	definition int   // the greatest level
	left       int64 // values that are still to come

	in       io.ReaderAt
	at, end  int64 // in the file
	out      bytes.Buffer
	position int64 // of the library
	raw, dec []byte
	head     []byte
	idle     int // pages without values
	err      error

	open *int64 // bytes of the pages of all columns that are read side by side
	size int64  // of this column's
}

// ReadAt gives the next bytes; the library reads them in order.
func (p *pages) ReadAt(b []byte, offset int64) (int, error) {
	if offset != p.position {
		return 0, errors.New("its dictionary is missing")
	}
	if p.out.Len() == 0 {
		if p.err == nil {
			p.err = p.next()
		}
		if p.err != nil {
			return 0, p.err
		}
	}
	n, err := p.out.Read(b)
	p.position += int64(n)
	return n, err
}

// next puts the next page with values, or the dictionary, into out.
func (p *pages) next() error {
	for p.left > 0 {
		left := p.left
		done, err := p.page()
		if p.left == left { // no value came
			if p.idle++; p.idle > maxIdle {
				return errors.New("it has too many pages without values")
			}
		}
		if done || err != nil {
			return err
		}
	}
	return io.EOF
}

// page puts the next page into out; done is false for one that the library has no use for.
func (p *pages) page() (done bool, err error) {
	h, err := p.header()
	if err != nil {
		return false, err
	}
	if h.CompressedPageSize < 0 || h.UncompressedPageSize < 0 || int64(h.CompressedPageSize) > p.end-p.at {
		return false, errors.New("a page of it is cut off")
	}
	if h.UncompressedPageSize > maxPage {
		return false, errPage
	}
	*p.open += int64(h.UncompressedPageSize) - p.size
	p.size = int64(h.UncompressedPageSize)
	if *p.open > maxOpen {
		return false, errOpen
	}
	if cap(p.raw) < int(h.CompressedPageSize) {
		p.raw = make([]byte, h.CompressedPageSize)
	}
	p.raw = p.raw[:h.CompressedPageSize]
	if _, err := io.ReadFull(io.NewSectionReader(p.in, p.at, int64(len(p.raw))), p.raw); err != nil {
		return false, err
	}
	p.at += int64(len(p.raw))
	if h.CRC != 0 && uint32(h.CRC) != crc32.ChecksumIEEE(p.raw) {
		return false, errors.New("a page of it has another checksum than it should have")
	}
	var page []byte
	switch h.Type {
	case format.DictionaryPage:
		page, err = p.dictionaryPage(h)
	case format.DataPage:
		page, err = p.dataPage(h)
	case format.DataPageV2:
		page, err = p.dataPageV2(h)
	case format.IndexPage:
		return false, nil
	default:
		err = fmt.Errorf("it has a page of an unknown kind, %d", h.Type)
	}
	if err != nil {
		return false, err
	}
	h.CRC, h.UncompressedPageSize, h.CompressedPageSize = 0, int32(len(page)), int32(len(page))
	p.out.Reset()
	head, err := thrift.Marshal(new(thrift.CompactProtocol), h)
	if err != nil {
		return false, err
	}
	p.out.Write(head)
	p.out.Write(page)
	return true, nil
}

// header reads the header of the next page.
func (p *pages) header() (*format.PageHeader, error) {
	for size := int64(1 << 12); ; size *= 16 {
		n := int(min(size, p.end-p.at))
		if cap(p.head) < n {
			p.head = make([]byte, n)
		}
		b := p.head[:n]
		if _, err := io.ReadFull(io.NewSectionReader(p.in, p.at, int64(len(b))), b); err != nil {
			return nil, err
		}
		length, err := skim(b)
		if err != nil {
			if size >= maxHeader || int64(len(b)) == p.end-p.at {
				return nil, errors.New("values are missing: a page of it has no header that can be read")
			}
			continue
		}
		h := new(format.PageHeader)
		if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReaderFromBytes(b[:length])).Decode(h); err != nil {
			return nil, err
		}
		p.at += int64(length)
		return h, nil
	}
}

func (p *pages) decompress(src []byte, size int32) (out []byte, err error) {
	out, err = decompress(p.codec, p.dec, src, int(size))
	if err != nil {
		return nil, fmt.Errorf("a page of it cannot be decompressed (%v): %w", p.codec, err)
	}
	if p.codec != format.Uncompressed {
		p.dec = out
	}
	return out, nil
}

func (p *pages) dictionaryPage(h *format.PageHeader) ([]byte, error) {
	d := &h.DictionaryPageHeader
	if !d.Valid || p.dictionary >= 0 || d.V.NumValues < 0 || d.V.NumValues > maxValues {
		return nil, errEncoded
	}
	page, err := p.decompress(p.raw, h.UncompressedPageSize)
	if err != nil {
		return nil, err
	}
	if e := d.V.Encoding; e != format.Plain && e != plainDictionary {
		return nil, refuse("its dictionary is written as %v, which is not read", e)
	}
	p.dictionary = int(d.V.NumValues)
	return page, p.plain(page, p.dictionary)
}

// count takes note of the values of a page.
func (p *pages) count(n int32) error {
	if n < 0 || int64(n) > p.left {
		return errors.New("a page of it has more values than there should be")
	}
	if n > maxValues {
		return errPage
	}
	p.left -= int64(n)
	return nil
}

func (p *pages) dataPage(h *format.PageHeader) ([]byte, error) {
	d := &h.DataPageHeader
	if !d.Valid {
		return nil, errEncoded
	}
	if err := p.count(d.V.NumValues); err != nil {
		return nil, err
	}
	page, err := p.decompress(p.raw, h.UncompressedPageSize)
	if err != nil {
		return nil, err
	}
	n := int(d.V.NumValues)
	there, rest := n, page
	for _, part := range []struct {
		most     int
		encoding format.Encoding
		counts   bool
	}{{p.repetition, d.V.RepetitionLevelEncoding, false}, {p.definition, d.V.DefinitionLevelEncoding, true}} {
		if part.most == 0 {
			continue
		}
		if part.encoding != format.RLE {
			return nil, refuse("its levels are written as %v, which is not read (write it with a newer program)", part.encoding)
		}
		if len(rest) < 4 {
			return nil, errEncoded
		}
		size := int64(rest[0]) | int64(rest[1])<<8 | int64(rest[2])<<16 | int64(rest[3])<<24
		if rest = rest[4:]; size > int64(len(rest)) {
			return nil, errEncoded
		}
		found, err := levels(rest[:size], part.most, n)
		if err != nil {
			return nil, err
		}
		if part.counts {
			there = found
		}
		rest = rest[size:]
	}
	d.V.Statistics = format.Statistics{}
	levels := len(page) - len(rest)
	if rest, err = p.rewrite(&d.V.Encoding, rest, there); err != nil {
		return nil, err
	}
	return append(page[:levels:levels], rest...), nil
}

func (p *pages) dataPageV2(h *format.PageHeader) ([]byte, error) {
	d := &h.DataPageHeaderV2
	if !d.Valid {
		return nil, errEncoded
	}
	if err := p.count(d.V.NumValues); err != nil {
		return nil, err
	}
	n, repetition, definition := int(d.V.NumValues), int64(d.V.RepetitionLevelsByteLength), int64(d.V.DefinitionLevelsByteLength)
	if repetition < 0 || definition < 0 || repetition+definition > int64(len(p.raw)) || repetition+definition > int64(h.UncompressedPageSize) {
		return nil, errEncoded
	}
	// In some files there are levels where there need be none.
	if p.repetition > 0 {
		if _, err := levels(p.raw[:repetition], p.repetition, n); err != nil {
			return nil, err
		}
	}
	there := n
	if p.definition > 0 {
		var err error
		if there, err = levels(p.raw[repetition:repetition+definition], p.definition, n); err != nil {
			return nil, err
		}
	}
	if int64(d.V.NumNulls) != int64(n-there) {
		return nil, errEncoded
	}
	packed, rest := repetition+definition, p.raw[repetition+definition:]
	if !d.V.IsCompressed.Valid || d.V.IsCompressed.V {
		var err error
		if rest, err = p.decompress(rest, h.UncompressedPageSize-int32(packed)); err != nil {
			return nil, err
		}
	}
	d.V.IsCompressed.Valid, d.V.IsCompressed.V = true, false
	d.V.Statistics = format.Statistics{}
	rest, err := p.rewrite(&d.V.Encoding, rest, there)
	if err != nil {
		return nil, err
	}
	return append(p.raw[:packed:packed], rest...), nil
}
