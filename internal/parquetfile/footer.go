package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const magic = "PAR1"

// maxFooter is how many bytes the description of a file may have: a file of a thousand
// row groups and a hundred columns has some ten million.
const maxFooter = 1 << 26

var errCutOff = errors.New("it is not a Parquet file, or cut off")

// readFooter reads the description at the end of a file.
func readFooter(r io.ReaderAt, size int64) (*format.FileMetaData, error) {
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return nil, errCutOff
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, err
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	if string(tail[4:]) == "PARE" {
		return nil, errors.New("it is encrypted, and such files are not read (write it without encryption)")
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(head[:]) != magic || string(tail[4:]) != magic || length > size-int64(len(head)+len(tail)) {
		return nil, errCutOff
	}
	if length > maxFooter {
		return nil, fmt.Errorf("its description has more than %d MiB (write it with larger row groups)", maxFooter>>20)
	}
	b := make([]byte, length)
	if _, err := r.ReadAt(b, size-int64(len(tail))-length); err != nil {
		return nil, err
	}
	n, err := skim(b)
	if err != nil {
		return nil, fmt.Errorf("the Parquet file is damaged: %w", err)
	}
	m := new(format.FileMetaData)
	if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReaderFromBytes(b[:n])).Decode(m); err != nil {
		return nil, fmt.Errorf("the Parquet file is damaged: %w", err)
	}
	return m, nil
}

// chunk is where the pages of a column in a row group lie, and how they are compressed.
type chunk struct {
	at, end int64
	values  int64
	codec   format.CompressionCodec
	wrong   error // of whoever wants to read it
}

// chunks takes from the description where the pages lie, which the library is not to
// know: it gets them decompressed.
func chunks(m *format.FileMetaData, size int64) [][]chunk {
	all := make([][]chunk, len(m.RowGroups))
	for g := range m.RowGroups {
		group := &m.RowGroups[g]
		all[g] = make([]chunk, len(group.Columns))
		group.SortingColumns = nil
		for i := range group.Columns {
			c, d := &all[g][i], &group.Columns[i].MetaData
			c.at, c.values, c.codec = d.DataPageOffset, d.NumValues, d.Codec
			if d.DictionaryPageOffset > 0 && d.DictionaryPageOffset < c.at {
				c.at = d.DictionaryPageOffset
			}
			c.end = c.at + d.TotalCompressedSize
			switch {
			case group.Columns[i].CryptoMetadata.Value != nil:
				c.wrong = refuse("it is encrypted, and such columns are not read (write it without encryption)")
			case group.Columns[i].FilePath != "":
				c.wrong = refuse("its values lie in another file, %q (write all into one)", group.Columns[i].FilePath)
			case c.values == 0: // as writers have it of a table without rows
				c.at, c.end = 0, 0
			case c.at < int64(len(magic)) || c.end < c.at || c.end > size || c.values < 0 || d.DictionaryPageOffset < 0:
				c.wrong = errors.New("its description says that values lie where there are none")
			default:
				c.wrong = checkCodec(c.codec)
			}
			group.Columns[i].CryptoMetadata, group.Columns[i].FilePath = format.ColumnCryptoMetaData{}, ""
			d.Statistics, d.EncodingStats, d.KeyValueMetadata = format.Statistics{}, nil, nil
			d.Codec, d.DataPageOffset, d.DictionaryPageOffset, d.TotalCompressedSize = format.Uncompressed, 0, 0, 1<<62
		}
	}
	return all
}

// open gives the library a description of pages that are not compressed.
func open(m *format.FileMetaData) (*parquet.File, error) {
	description, err := thrift.Marshal(new(thrift.CompactProtocol), m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(magic)
	b.Write(description)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(description))))
	b.WriteString(magic)
	return parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<17))
}
