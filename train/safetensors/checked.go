package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"strings"

	"github.com/trirank/trirank/internal/checksum"
)

// The format has no place for a checksum, so it lies in the metadata, under this key: the
// SHA-256 of the whole file with zeros in the place of its 64 digits.
const (
	checksumKey    = "checksum"
	checksumPrefix = "sha256:"
)

var checksumZeros = strings.Repeat("0", 2*sha256.Size)

// WriteChecked is Write, with a checksum of the file in its metadata.
func WriteChecked(path string, tensors []Tensor, metadata map[string]string) error {
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[checksumKey] = checksumPrefix + checksumZeros
	sum, err := Sum(tensors, metadata)
	if err != nil {
		return fmt.Errorf("cannot write tensors to %s: %w", path, err)
	}
	metadata[checksumKey] = checksumPrefix + sum.SHA256
	return Write(path, tensors, metadata)
}

// ReadChecked is Read of what WriteChecked wrote. A file without a checksum is an error.
// The metadata comes with an error as well, if it could be read.
func ReadChecked(path string) ([]Tensor, map[string]string, error) {
	return readFile(path, &byMetadata{hash: sha256.New()})
}

// ReadAs is Read of a file that has to be want.
func ReadAs(path string, want checksum.File) ([]Tensor, error) {
	tensors, _, err := readFile(path, &byFile{want: want, hash: sha256.New()})
	return tensors, err
}

var errChanged = errors.New("its checksum is wrong: it was changed since it was written")

// byMetadata compares a file with the checksum in its metadata.
type byMetadata struct {
	digits string
	hash   hash.Hash
}

func (s *byMetadata) header(b []byte) error {
	_, after, ok := bytes.Cut(b, []byte(`"`+checksumKey+`":"`+checksumPrefix))
	if !ok || len(after) < len(checksumZeros) {
		return errors.New("it has no checksum in its metadata (it is of another program, or of an older version: make it again)")
	}
	s.digits = string(after[:len(checksumZeros)])
	s.hash.Write(b[:len(b)-len(after)])
	s.hash.Write([]byte(checksumZeros))
	s.hash.Write(after[len(checksumZeros):])
	return nil
}

func (s *byMetadata) data(b []byte) { s.hash.Write(b) }

func (s *byMetadata) end() error {
	if hex.EncodeToString(s.hash.Sum(nil)) != s.digits {
		return errChanged
	}
	return nil
}

// byFile compares a file with a size and hash that are kept elsewhere.
type byFile struct {
	want  checksum.File
	hash  hash.Hash
	bytes int64
}

func (s *byFile) header(b []byte) error { s.data(b); return nil }

func (s *byFile) data(b []byte) {
	s.hash.Write(b)
	s.bytes += int64(len(b))
}

func (s *byFile) end() error {
	if (checksum.File{Bytes: s.bytes, SHA256: hex.EncodeToString(s.hash.Sum(nil))}) != s.want {
		return errChanged
	}
	return nil
}
