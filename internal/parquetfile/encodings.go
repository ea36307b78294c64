package parquetfile

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// The library trusts the numbers in encoded values: lengths of runs, totals of blocks,
// lengths of texts. Here they are compared with what there is.

var errEncoded = errors.New("its values are damaged")

// plainDictionary is what older programs call the encodings of a dictionary and of
// indexes into it.
const plainDictionary format.Encoding = 2

// padding is how many values more than there are a run of packed ones may hold.
const padding = 504

// runs walks through runs of repeated and of packed values of a width in bits, and
// calls each, if not nil, with the values of up to n of them. There have to be n.
func runs(b []byte, width, n int, each func(value uint32, count int)) error {
	bytes, seen := (width+7)/8, 0
	for len(b) > 0 && seen < n {
		head, size := binary.Uvarint(b)
		if size <= 0 || head>>1 > maxValues {
			return errEncoded
		}
		b = b[size:]
		count := int(head >> 1)
		if head&1 == 0 {
			if len(b) < bytes || count > n-seen {
				return errEncoded
			}
			var v [4]byte
			copy(v[:], b[:bytes])
			b = b[bytes:]
			if seen += count; each != nil {
				each(binary.LittleEndian.Uint32(v[:]), count)
			}
			continue
		}
		count *= 8
		if count > n-seen+padding || len(b) < count/8*width {
			return errEncoded
		}
		if each != nil {
			for i := range min(count, n-seen) {
				each(packed(b, i, width), 1)
			}
		}
		b = b[count/8*width:]
		seen += count
	}
	if seen < n || len(b) > 0 && !zero(b) {
		return errEncoded
	}
	return nil
}

// packed returns the i-th of values of a width in bits.
func packed(b []byte, i, width int) uint32 {
	var v uint64
	first := i * width
	for k := first / 8; k <= (first+width-1)/8 && width > 0; k++ {
		v |= uint64(b[k]) << (8 * (k - first/8))
	}
	return uint32(v >> (first % 8) & (1<<width - 1))
}

// zero reports whether b holds nothing, as bytes that fill up do.
func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// levels checks n levels up to most, and counts those that are most.
func levels(b []byte, most, n int) (count int, err error) {
	err = runs(b, bits.Len(uint(most)), n, func(v uint32, times int) {
		if int(v) == most {
			count += times
		}
	})
	return count, err
}

// deltas checks numbers that are packed as differences, n of them, and returns how many
// bytes they take.
func deltas(b []byte, n, width int) (int, error) {
	at := 0
	varint := func() uint64 {
		v, size := binary.Uvarint(b[at:])
		if size <= 0 {
			at, v = len(b)+1, 0
			return v
		}
		at += size
		return v
	}
	next := func() (uint64, bool) {
		if at > len(b) {
			return 0, false
		}
		v := varint()
		return v, at <= len(b)
	}
	block, ok1 := next()
	minis, ok2 := next()
	total, ok3 := next()
	_, ok4 := next() // the first value
	if !ok1 || !ok2 || !ok3 || !ok4 || total != uint64(n) || block == 0 || block%128 != 0 || block > 1<<16 || minis == 0 || minis > block/32 || block/minis%32 != 0 || block%minis != 0 {
		return 0, errEncoded
	}
	each := int(block / minis)
	for left := n - 1; left > 0; {
		if _, ok := next(); !ok || len(b)-at < int(minis) { // the least difference
			return 0, errEncoded
		}
		widths := b[at : at+int(minis)]
		at += int(minis)
		for _, w := range widths {
			if left <= 0 {
				break
			}
			if int(w) > width || len(b)-at < each/8*int(w) {
				return 0, errEncoded
			}
			at += each / 8 * int(w)
			left -= each
		}
	}
	return at, nil
}

// lengths checks n lengths that are packed as differences, and returns them and what
// follows.
func lengths(b []byte, n int) ([]int32, []byte, error) {
	size, err := deltas(b, n, 32)
	if err != nil {
		return nil, nil, err
	}
	list, err := new(delta.BinaryPackedEncoding).DecodeInt32(nil, b[:size:size])
	if err != nil || len(list) != n {
		return nil, nil, errEncoded
	}
	return list, b[size:], nil
}

// sum adds up lengths, none of which is below zero.
func sum(list []int32) (total int64, err error) {
	for _, n := range list {
		if n < 0 {
			return 0, errEncoded
		}
		total += int64(n)
	}
	return total, nil
}

// values is what a page has of them.
type values struct {
	kind       format.Type
	length     int // in bytes, of those of fixed length
	dictionary int // how many the dictionary has; -1: there is none
}

// width is how many bytes a value takes; 0 if that differs.
func (v *values) width() int {
	switch v.kind {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.FixedLenByteArray:
		return v.length
	}
	return 0
}

// rewrite checks the encoded values of a page, of which there should be n, and returns
// them as the library reads them.
func (v *values) rewrite(encoding *format.Encoding, b []byte, n int) ([]byte, error) {
	if *encoding == format.RLE && v.kind == format.Boolean {
		*encoding = format.Plain
		return booleans(b, n)
	}
	return b, v.check(*encoding, b, n)
}

// check compares the encoded values of a page with how many there should be.
func (v *values) check(encoding format.Encoding, b []byte, n int) error {
	switch encoding {
	case plainDictionary, format.RLEDictionary:
		return v.indexes(b, n)
	case format.Plain:
		return v.plain(b, n)
	case format.DeltaBinaryPacked:
		if v.kind == format.Int32 || v.kind == format.Int64 {
			_, err := deltas(b, n, 8*v.width())
			return err
		}
	case format.DeltaLengthByteArray:
		if v.kind == format.ByteArray {
			list, rest, err := lengths(b, n)
			if err == nil {
				var total int64
				if total, err = sum(list); total != int64(len(rest)) {
					err = errEncoded
				}
			}
			return err
		}
	case format.DeltaByteArray:
		if v.kind == format.ByteArray || v.kind == format.FixedLenByteArray {
			return v.prefixes(b, n)
		}
	case format.ByteStreamSplit:
		if w := v.width(); w > 0 {
			if len(b) != n*w {
				return errEncoded
			}
			return nil
		}
	}
	return refuse("its values are written as %v, which is not read of %v (write it with the usual encodings)", encoding, v.kind)
}

// booleans reads n booleans that are written as runs, and packs them as plain ones are: the
// library takes the length of each run for a multiple of eight.
func booleans(b []byte, n int) ([]byte, error) {
	if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
		return nil, errEncoded
	}
	plain, at := make([]byte, (n+7)/8), 0
	err := runs(b[4:4+binary.LittleEndian.Uint32(b)], 1, n, func(v uint32, count int) {
		for ; count > 0; count, at = count-1, at+1 {
			plain[at/8] |= byte(v&1) << (at % 8)
		}
	})
	return plain, err
}

func (v *values) indexes(b []byte, n int) error {
	if v.dictionary < 0 {
		return errEncoded
	}
	if n == 0 {
		return nil
	}
	if len(b) == 0 || b[0] > 32 {
		return errEncoded
	}
	beyond := false
	err := runs(b[1:], int(b[0]), n, func(i uint32, _ int) { beyond = beyond || int64(i) >= int64(v.dictionary) })
	if beyond {
		err = errEncoded
	}
	return err
}

func (v *values) plain(b []byte, n int) error {
	switch v.kind {
	case format.Boolean:
		if len(b) != (n+7)/8 {
			return errEncoded
		}
	case format.ByteArray:
		for range n {
			if len(b) < 4 {
				return errEncoded
			}
			size := int64(binary.LittleEndian.Uint32(b))
			if b = b[4:]; size > int64(len(b)) {
				return errEncoded
			}
			b = b[size:]
		}
		if len(b) > 0 {
			return errEncoded
		}
	default:
		if len(b) != n*v.width() {
			return errEncoded
		}
	}
	return nil
}

// prefixes checks texts of which each begins as the one before: few bytes may mean many.
func (v *values) prefixes(b []byte, n int) error {
	same, rest, err := lengths(b, n)
	if err != nil {
		return err
	}
	own, rest, err := lengths(rest, n)
	if err != nil {
		return err
	}
	begin, err := sum(same)
	if err != nil {
		return err
	}
	total, err := sum(own)
	if err != nil || total != int64(len(rest)) {
		return errEncoded
	}
	if begin+total > maxPage {
		return errPage
	}
	before := int32(0)
	for i, p := range same {
		if p > before || v.kind == format.FixedLenByteArray && p+own[i] != int32(v.length) {
			return errEncoded
		}
		before = p + own[i]
	}
	return nil
}
