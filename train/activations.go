package train

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/train/bert"
)

// activations are what the frozen part of a network makes of texts, computed once
// and kept in a file: the input of the first layer that learns, for each token, or
// one vector a text where only the adapter learns.
type activations struct {
	file   *os.File
	at     map[textKey]int64 // where those of a text begin, in bytes
	hidden int
}

// textKey stands for the tokens of a text.
type textKey [16]byte

func keyOf(tokens []int32) textKey {
	b := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	sum := sha256.Sum256(b)
	return textKey(sum[:])
}

// activationsMagic begins the file; a hash of all that it depends on follows.
const activationsMagic = "trirank activations 2\n" // 2: with checksums

// cacheActivations computes the activations of all texts, or finds them in the file
// of that path, and makes the trainer use them. It can only be asked for texts that
// are among these. progress, if not nil, is told how many texts are done.
func (t *Trainer) cacheActivations(ctx context.Context, path string, texts [][]int32, progress func(done, all int)) (err error) {
	defer catch(&err, "cannot compute activations")
	var unique [][]int32
	a := &activations{at: map[textKey]int64{}, hidden: t.net.Hidden}
	hash := t.hashFrozen()
	width := t.width
	if t.what.adapter {
		t.width = 1
	}
	end := int64(len(activationsMagic) + sha256.Size)
	for _, x := range texts {
		if len(x) == 0 { // a filler
			continue
		}
		key := keyOf(x)
		if _, ok := a.at[key]; ok {
			continue
		}
		a.at[key] = end
		end += int64(min(len(x), t.width))*int64(4*a.hidden) + 4 // and their CRC-32C
		unique = append(unique, x)
		hash.Write(key[:])
	}
	fmt.Fprintf(hash, "%d %d %d", t.below(), width, t.width)
	header := append([]byte(activationsMagic), hash.Sum(nil)...)
	if a.file, err = openActivations(path, header, end); err != nil {
		return err
	}
	if a.file == nil {
		if err := t.writeActivations(ctx, path, header, unique, width, progress); err != nil {
			return err
		}
		if a.file, err = openActivations(path, header, end); err != nil {
			return err
		}
		if a.file == nil {
			return fmt.Errorf("%s is not what was just written", path)
		}
	}
	t.activations = a
	t.build()
	return nil
}

// openActivations opens a file that is whole and has the header; nil if there is
// none.
func openActivations(path string, header []byte, size int64) (*os.File, error) {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	got := make([]byte, len(header))
	info, err := f.Stat()
	if err == nil && info.Size() == size {
		if _, err = io.ReadFull(f, got); err == nil && bytes.Equal(got, header) {
			return f, nil
		}
	}
	f.Close()
	return nil, err
}

// hashFrozen begins a hash with the weights that activations come of.
func (t *Trainer) hashFrozen() interface {
	io.Writer
	Sum([]byte) []byte
} {
	h := sha256.New()
	for i, name := range t.frozen {
		fmt.Fprintf(h, "%s\n", name)
		binary.Write(h, binary.LittleEndian, tensors.MustCopyFlatData[float32](t.fixed[i]))
	}
	return h
}

// writeActivations computes and writes those of texts, in their order, aside and
// then in one move.
func (t *Trainer) writeActivations(ctx context.Context, path string, header []byte, texts [][]int32, width int, progress func(done, all int)) error {
	if t.lower == nil {
		t.lower = t.buildLower()
	}
	return atomicfile.Write(path, func(f io.Writer) error {
		w := bufio.NewWriterSize(f, 1<<20)
		w.Write(header)
		const together = 512 // texts packed at once: they are written in order
		for first := 0; first < len(texts); first += together {
			some := texts[first:min(first+together, len(texts))]
			parts, err := t.throughLower(ctx, pack(some, width))
			if err != nil {
				return err
			}
			b := make([]byte, 0, 1<<16)
			for _, part := range parts {
				b = b[:0]
				for _, x := range part {
					b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
				}
				w.Write(binary.LittleEndian.AppendUint32(b, checksum.CRC(b)))
			}
			if progress != nil {
				progress(first+len(some), len(texts))
			}
		}
		return w.Flush() // or what was wrong before
	})
}

// buildLower prepares the program of the frozen part.
func (t *Trainer) buildLower() *Exec {
	return MustNewExec(t.backend, func(in []*Node) []*Node {
		nf, nt := len(t.frozen), len(t.trained)
		w := t.weights(in[:nf], in[nf:nf+nt])
		in = in[nf+nt:]
		where := bert.Texts{Segments: in[2], Mean: in[3]}
		x := t.net.Through(w, 0, t.below(), t.net.Embed(w, in[0], in[1]), where)
		if t.what.adapter { // the mean; the adapter comes after it
			x = Reshape(Einsum("rst,rth->rsh", where.Mean, x), -1, t.net.Hidden)
		}
		return []*Node{x}
	})
}

// throughLower runs the frozen part and returns what it made of each text.
func (t *Trainer) throughLower(ctx context.Context, p *packed) ([][]float32, error) {
	out := make([][]float32, len(p.texts))
	h := t.net.Hidden
	words := func(first, n int) ([]*tensors.Tensor, error) {
		m := p.matrix(first, n)
		return append(m.words(), m.layout()...), nil
	}
	err := t.inParts(ctx, p, t.lower, t.values, words, func(values []float32, row, slot, at, text int) {
		if t.what.adapter {
			out[text] = values[(row*p.slots+slot)*h:][:h]
		} else {
			out[text] = values[(row*p.cols+at)*h:][:p.len(text)*h]
		}
	})
	return out, err
}

// matrix returns the activations [n, cols, hidden] of n rows of packed texts.
func (a *activations) matrix(p *packed, first, n int) (*tensors.Tensor, error) {
	values := make([]float32, n*p.cols*a.hidden)
	var err error
	var b []byte
	p.each(first, n, func(row, _, at, text int) {
		if err != nil || len(p.texts[text]) == 0 { // a filler
			return
		}
		from, ok := a.at[keyOf(p.texts[text])]
		if !ok {
			err = errors.New("a text has no activations")
			return
		}
		into := values[(row*p.cols+at)*a.hidden:][:p.len(text)*a.hidden]
		b = append(b[:0], make([]byte, 4*len(into)+4)...)
		if _, err = a.file.ReadAt(b, from); err != nil {
			return
		}
		if binary.LittleEndian.Uint32(b[4*len(into):]) != checksum.CRC(b[:4*len(into)]) {
			err = fmt.Errorf("%s was changed since it was written (remove it, and it is made again)", a.file.Name())
			return
		}
		for i := range into {
			into[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read activations: %w", err)
	}
	return tensors.FromFlatDataAndDimensions(values, n, p.cols, a.hidden), nil
}

func (a *activations) close() {
	if a != nil && a.file != nil {
		a.file.Close()
	}
}

// forgetActivations makes the trainer take any text again.
func (t *Trainer) forgetActivations() {
	t.activations.close()
	t.activations, t.width = nil, 0
	t.build()
}
