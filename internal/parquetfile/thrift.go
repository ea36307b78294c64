package parquetfile

import (
	"encoding/binary"
	"errors"
)

// The library makes room for as many elements as a list says it has, and for as many
// bytes as a string does, before it reads any: a footer of 6 KB took 17 GB. So what is
// read by it is walked through before.

const (
	maxDepth    = 32      // of structures; Parquet's own have fewer than ten
	maxElements = 1 << 20 // structures in lists: columns of row groups and the like
)

var errThrift = errors.New("its description cannot be read")

// skim walks through a structure of Thrift's compact protocol at the beginning of b and
// returns its length.
func skim(b []byte) (int, error) {
	s := skimmer{b: b}
	if err := s.structure(0); err != nil {
		return 0, err
	}
	return s.at, nil
}

type skimmer struct {
	b        []byte
	at       int
	elements int
}

// Types of the compact protocol.
const (
	thriftStop = iota
	thriftTrue
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

func (s *skimmer) byte() (byte, error) {
	if s.at == len(s.b) {
		return 0, errThrift
	}
	s.at++
	return s.b[s.at-1], nil
}

func (s *skimmer) varint() (uint64, error) {
	v, n := binary.Uvarint(s.b[s.at:])
	if n <= 0 {
		return 0, errThrift
	}
	s.at += n
	return v, nil
}

func (s *skimmer) skip(n uint64) error {
	if n > uint64(len(s.b)-s.at) {
		return errThrift
	}
	s.at += int(n)
	return nil
}

func (s *skimmer) structure(depth int) error {
	if depth > maxDepth {
		return errThrift
	}
	for {
		head, err := s.byte()
		if err != nil || head&0xf == thriftStop {
			if head != thriftStop {
				err = errThrift
			}
			return err
		}
		if head>>4 == 0 { // the number of the field follows
			if _, err := s.varint(); err != nil {
				return err
			}
		}
		if err := s.value(head&0xf, depth, false); err != nil {
			return err
		}
	}
}

// value skips a value; in a list booleans take a byte.
func (s *skimmer) value(kind byte, depth int, listed bool) error {
	switch kind {
	case thriftTrue, thriftFalse:
		if !listed {
			return nil
		}
		return s.skip(1)
	case thriftByte:
		return s.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := s.varint()
		return err
	case thriftDouble:
		return s.skip(8)
	case thriftBinary:
		n, err := s.varint()
		if err != nil {
			return err
		}
		return s.skip(n)
	case thriftList, thriftSet:
		return s.list(depth)
	case thriftStruct:
		return s.structure(depth + 1)
	}
	return errThrift // maps are in no structure of Parquet
}

func (s *skimmer) list(depth int) error {
	head, err := s.byte()
	if err != nil {
		return err
	}
	n, kind := uint64(head>>4), head&0xf
	if n == 0xf {
		if n, err = s.varint(); err != nil {
			return err
		}
	}
	if n > uint64(len(s.b)-s.at) { // each takes a byte at least
		return errThrift
	}
	if kind == thriftStruct || kind == thriftBinary {
		if s.elements += int(n); s.elements > maxElements {
			return errThrift
		}
	}
	for range n {
		if err := s.value(kind, depth, true); err != nil {
			return err
		}
	}
	return nil
}
