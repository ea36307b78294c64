package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/trirank/trirank/internal/regular"
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

// Check compares the file at path, of which Read returned metadata, with its checksum. A
// file that WriteChecked did not write is an error.
func Check(path string, metadata map[string]string) error {
	if err := compareChecksum(path, metadata[checksumKey]); err != nil {
		return fmt.Errorf("cannot read tensors of %s: %w", path, err)
	}
	return nil
}

func compareChecksum(path, text string) error {
	digits, ok := strings.CutPrefix(text, checksumPrefix)
	if want, err := hex.DecodeString(digits); !ok || err != nil || len(want) != sha256.Size {
		return errors.New("it has no checksum in its metadata (it is of another program, or of an older version: make it again)")
	}
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var length [8]byte
	if _, err := io.ReadFull(f, length[:]); err != nil {
		return err
	}
	header := make([]byte, min(binary.LittleEndian.Uint64(length[:]), maxHeader))
	if _, err := io.ReadFull(f, header); err != nil {
		return err
	}
	before, after, ok := bytes.Cut(header, []byte(digits))
	if !ok {
		return errors.New("its checksum is spelled in an unusual way")
	}
	h := sha256.New()
	for _, part := range [][]byte{length[:], before, []byte(checksumZeros), after} {
		h.Write(part)
	}
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != digits {
		return errors.New("its checksum is wrong: it was changed since it was written")
	}
	return nil
}
