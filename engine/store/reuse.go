package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/npy"
	"github.com/trirank/trirank/internal/regular"
)

// textHashBytes of a SHA-256 tell texts apart: among ten million, two collide with
// a probability of 10^-24.
const textHashBytes = 16

type textHash [textHashBytes]byte

func hashText(s string) (h textHash) {
	sum := sha256.Sum256([]byte(s))
	copy(h[:], sum[:])
	return h
}

// record stands for a row in vectors.hashes: the hash of its text, the CRC-32C of its
// vector, and the CRC-32C of these two, so that a row can be taken over alone and be
// known to be the one that was written.
type record struct {
	text textHash
	sum  uint32
}

const recordBytes = textHashBytes + 4 + 4

// appendRecord adds the record of a row to b.
func appendRecord(b []byte, text textHash, vector []float32) []byte {
	first := len(b)
	b = append(b, text[:]...)
	b = binary.LittleEndian.AppendUint32(b, checksum.CRC(npy.Bytes(vector)))
	return binary.LittleEndian.AppendUint32(b, checksum.CRC(b[first:]))
}

// parseRecord reads the record at the start of b; ok is false if it was changed.
func parseRecord(b []byte) (r record, ok bool) {
	const signed = textHashBytes + 4
	r.text = textHash(b)
	r.sum = binary.LittleEndian.Uint32(b[textHashBytes:])
	return r, binary.LittleEndian.Uint32(b[signed:]) == checksum.CRC(b[:signed])
}

// unitTolerance is how far the length of a vector may be from 1: 32-bit floats and fp16
// models round.
const unitTolerance = 1e-3

// checkUnit reports a vector that is not of unit length: inner products would not be
// cosines. The error goes on a sentence.
func checkUnit(v []float32) error {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if length := math.Sqrt(sum); !(math.Abs(length-1) <= unitTolerance) {
		return fmt.Errorf("a vector of length %g, and 1 is wanted", length)
	}
	return nil
}

func writeInfo(dir, name string, info vectorsInfo) error {
	return checksum.WriteJSON(filepath.Join(dir, name), info)
}

func readInfo(dir, name string) (info vectorsInfo, err error) {
	err = checksum.ReadJSON(filepath.Join(dir, name), vectorsFormat, &info)
	return info, err
}

// same reports whether vectors of both origins may be mixed. The name of a model
// decides nothing.
func (o origin) same(other origin) bool {
	o.Model = other.Model
	return o == other
}

// progressFiles is what an interrupted job left: whole chunks of vectors and the
// records of their rows.
type progressFiles struct {
	values, hashes *os.File
	rows, dim      int
	records        []byte
}

func openPartial(valuesPath, hashesPath string, dim int) (values, hashes *os.File, p *progressFiles, err error) {
	if values, err = regular.OpenFile(valuesPath, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, nil, nil, err
	}
	if hashes, err = regular.OpenFile(hashesPath, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, nil, nil, errors.Join(err, values.Close())
	}
	p = &progressFiles{values: values, hashes: hashes, dim: dim}
	v, err1 := values.Seek(0, io.SeekEnd)
	h, err2 := hashes.Seek(0, io.SeekEnd)
	rows := min(int(v)/(4*dim), int(h)/recordBytes) / chunk * chunk
	p.records = make([]byte, rows*recordBytes)
	_, err3 := hashes.ReadAt(p.records, 0)
	for i := range rows {
		if _, ok := parseRecord(p.records[i*recordBytes:]); !ok {
			rows = i / chunk * chunk
			break
		}
	}
	if err := errors.Join(err1, err2, err3, p.truncate(rows)); err != nil {
		return nil, nil, nil, errors.Join(err, values.Close(), hashes.Close())
	}
	return values, hashes, p, nil
}

// truncate keeps the first rows.
func (p *progressFiles) truncate(rows int) error {
	p.rows = rows
	_, err1 := p.values.Seek(int64(rows*4*p.dim), io.SeekStart)
	_, err2 := p.hashes.Seek(int64(rows*recordBytes), io.SeekStart)
	return errors.Join(err1, err2, p.values.Truncate(int64(rows*4*p.dim)), p.hashes.Truncate(int64(rows*recordBytes)))
}

func (p *progressFiles) matches(row int, h textHash) bool {
	return bytes.Equal(p.records[row*recordBytes:][:textHashBytes], h[:])
}

// reusable finds vectors that exist already by the hash of their text.
type reusable struct {
	matrices []*npy.Matrix
	at       map[textHash]reusableRow
}

// reusableRow is a row of one of the matrices, and its CRC-32C.
type reusableRow struct{ matrix, row, sum uint32 }

// openReusable opens those of dirs that were made with the same model and
// template, whole ones only; others are passed over, since vectors can be made
// anew.
func openReusable(dirs []string, want origin) *reusable {
	r := &reusable{at: map[textHash]reusableRow{}}
	for _, dir := range dirs {
		have, err := readInfo(dir, vectorsInfoFile)
		if err != nil || have.Rows == 0 || !have.same(want) {
			continue
		}
		records, err := regular.ReadFile(filepath.Join(dir, textHashesFile), int64(have.Rows)*recordBytes)
		if err != nil || len(records) != have.Rows*recordBytes {
			continue
		}
		for _, name := range []string{vectorsFile, embeddingsFile} {
			m, err := npy.Open(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			if m.Rows != have.Rows || m.Cols != want.Dimension {
				m.Close()
				continue
			}
			for i := range have.Rows {
				if at, ok := parseRecord(records[i*recordBytes:]); ok {
					if _, have := r.at[at.text]; !have {
						r.at[at.text] = reusableRow{uint32(len(r.matrices)), uint32(i), at.sum}
					}
				}
			}
			r.matrices = append(r.matrices, m)
			break
		}
	}
	return r
}

// copy copies the vector of a text to dst, and reports whether there is one that is as
// it was written.
func (r *reusable) copy(dst []float32, text textHash) bool {
	at, ok := r.at[text]
	if !ok {
		return false
	}
	copy(dst, r.matrices[at.matrix].Row(int(at.row)))
	return checksum.CRC(npy.Bytes(dst)) == at.sum
}

func (r *reusable) close() (err error) {
	for _, m := range r.matrices {
		err = errors.Join(err, m.Close())
	}
	return err
}
