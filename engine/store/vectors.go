package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/npy"
)

// Files beside a matrix of vectors. While it is being made, the matrix has no
// header and its name, and that of the hashes, end in .partial.
const (
	vectorsFile     = "vectors.npy"
	vectorsInfoFile = "vectors.json"   // what made the vectors
	textHashesFile  = "vectors.hashes" // textHashBytes a row
	partial         = ".partial"
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

// vectorsInfo says what the vectors of a folder were made with. Vectors may be
// taken over only where it is the same.
type vectorsInfo struct {
	Format    int    `json:"format"`
	Model     string `json:"model"`
	Hash      string `json:"hash"` // encoder.Model.Hash
	Template  string `json:"template"`
	Dimension int    `json:"dimension"`
	Rows      int    `json:"rows"`
}

// chunk is how many products are read, encoded and made durable together. Rows are
// batched within a chunk, so a job that goes on at the border of one makes the
// same bytes as one that was never interrupted.
const chunk = 256

// embedJob makes the vectors of a catalogue.
type embedJob struct {
	dir      string // where the files go
	matrix   string // the name of the matrix file
	products iter.Seq2[catalog.Product, error]
	rows     int
	template *catalog.Template
	model    *encoder.Model
	// encode writes the vectors of texts to dst.
	encode func(ctx context.Context, texts []string, dst []float32) error
	// resume goes on with what an interrupted job left in dir; without it,
	// that is thrown away.
	resume bool
	// reuse lists folders whose vectors are taken over where the text is the
	// same and the model as well.
	reuse    []string
	started  func(done int) // how many rows an interrupted job had made
	progress func(done int)
}

// embedded is the outcome of an embedJob.
type embedded struct {
	Rows    int // of the matrix
	Resumed int // made by an interrupted job before
	Reused  int // taken over
	Encoded int
}

func (j *embedJob) run(ctx context.Context) (out embedded, err error) {
	dim := j.model.Dimension
	info := vectorsInfo{Format: 1, Model: j.model.Name, Hash: j.model.Hash(), Template: j.template.String(), Dimension: dim}
	old := openReusable(append(slices.Clone(j.reuse), filepath.Join(j.dir, earlierFolder)), info)
	defer func() { err = errors.Join(err, old.close()) }()

	if !j.resume || !sameOrigin(j.dir, vectorsInfoFile+partial, info) {
		for _, name := range []string{j.matrix + partial, textHashesFile + partial} {
			if err := os.Remove(filepath.Join(j.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return out, err
			}
		}
	}
	if err := writeInfo(j.dir, vectorsInfoFile+partial, info); err != nil {
		return out, err
	}
	values, hashes, done, err := openPartial(filepath.Join(j.dir, j.matrix+partial), filepath.Join(j.dir, textHashesFile+partial), dim)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, values.Close(), hashes.Close()) }()
	if done.rows > j.rows { // the catalogue shrank
		if err := done.truncate(j.rows / chunk * chunk); err != nil {
			return out, err
		}
	}
	out.Resumed = done.rows
	if j.started != nil {
		j.started(done.rows)
	}

	texts := make([]string, 0, chunk)
	vectors := make([]float32, chunk*dim)
	flush := func() error {
		if len(texts) == 0 {
			return nil
		}
		v := vectors[:len(texts)*dim]
		var fresh []string
		var places []int
		keys := make([]byte, 0, len(texts)*textHashBytes)
		for i, text := range texts {
			h := hashText(text)
			keys = append(keys, h[:]...)
			if row, ok := old.row(h); ok {
				copy(v[i*dim:], row)
			} else {
				fresh, places = append(fresh, text), append(places, i)
			}
		}
		encoded := make([]float32, len(fresh)*dim)
		if err := j.encode(ctx, fresh, encoded); err != nil {
			return err
		}
		for k, i := range places {
			copy(v[i*dim:(i+1)*dim], encoded[k*dim:])
		}
		out.Encoded += len(fresh)
		out.Reused += len(texts) - len(fresh)
		// The vectors first: hashes without vectors would be believed.
		for _, w := range []struct {
			f *os.File
			b []byte
		}{{values, npy.Bytes(v)}, {hashes, keys}} {
			if _, err := w.f.Write(w.b); err != nil {
				return err
			}
			if err := w.f.Sync(); err != nil {
				return err
			}
		}
		out.Rows += len(texts)
		texts = texts[:0]
		if j.progress != nil {
			j.progress(out.Rows)
		}
		return nil
	}
	row := 0
	for p, err := range j.products {
		if err != nil {
			return out, err
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		text := j.template.Text(&p)
		if row++; row <= done.rows {
			if done.matches(row-1, hashText(text)) {
				out.Rows++
				continue
			}
			// The catalogue changed since: what comes before stays where it
			// is, and what comes after is found by its text.
			if err := j.setAside(done.rows, info); err != nil {
				return out, err
			}
			if err := done.truncate((row - 1) / chunk * chunk); err != nil {
				return out, err
			}
			return j.run(ctx)
		}
		if texts = append(texts, text); len(texts) == chunk {
			if err := flush(); err != nil {
				return out, err
			}
		}
	}
	if err := flush(); err != nil {
		return out, err
	}
	if out.Rows != j.rows {
		return out, fmt.Errorf("the catalogue has %d products, not %d as it says (import it again)", out.Rows, j.rows)
	}
	return out, j.finish(info)
}

// finish puts header and rows together, and everything in its place. The info,
// without which nothing is believed, goes first and comes back last.
func (j *embedJob) finish(info vectorsInfo) error {
	if err := os.Remove(filepath.Join(j.dir, vectorsInfoFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := atomicfile.Write(filepath.Join(j.dir, j.matrix), func(w io.Writer) error {
		if _, err := w.Write(npy.Header(j.rows, info.Dimension)); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(j.dir, j.matrix+partial))
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(w, f)
		if want := 4 * int64(j.rows) * int64(info.Dimension); err == nil && n != want {
			err = fmt.Errorf("%s has %d bytes, not %d: something else writes to it", f.Name(), n, want)
		}
		return err
	})
	if err != nil {
		return err
	}
	hashes, err := os.ReadFile(filepath.Join(j.dir, textHashesFile+partial))
	if err != nil {
		return err
	}
	if len(hashes) != j.rows*textHashBytes {
		return fmt.Errorf("there are %d bytes of hashes for %d rows", len(hashes), j.rows)
	}
	if err := atomicfile.WriteBytes(filepath.Join(j.dir, textHashesFile), hashes); err != nil {
		return err
	}
	info.Rows = j.rows
	if err := writeInfo(j.dir, vectorsInfoFile, info); err != nil {
		return err
	}
	return errors.Join(
		os.Remove(filepath.Join(j.dir, j.matrix+partial)),
		os.Remove(filepath.Join(j.dir, textHashesFile+partial)),
		os.Remove(filepath.Join(j.dir, vectorsInfoFile+partial)),
		os.RemoveAll(filepath.Join(j.dir, earlierFolder)))
}

// earlierFolder keeps what an interrupted run made for a catalogue that has
// changed since.
const earlierFolder = "earlier"

// setAside makes a whole matrix of the rows that an interrupted run made, for the
// rows to be found in by their text.
func (j *embedJob) setAside(rows int, info vectorsInfo) error {
	dir := filepath.Join(j.dir, earlierFolder)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, part := range []struct {
		from, to string
		header   []byte
		bytes    int64
	}{
		{j.matrix + partial, vectorsFile, npy.Header(rows, info.Dimension), 4 * int64(rows) * int64(info.Dimension)},
		{textHashesFile + partial, textHashesFile, nil, int64(rows) * textHashBytes},
	} {
		err := atomicfile.Write(filepath.Join(dir, part.to), func(w io.Writer) error {
			f, err := os.Open(filepath.Join(j.dir, part.from))
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := w.Write(part.header); err != nil {
				return err
			}
			_, err = io.CopyN(w, f, part.bytes)
			return err
		})
		if err != nil {
			return err
		}
	}
	info.Rows = rows
	return writeInfo(dir, vectorsInfoFile, info)
}

func writeInfo(dir, name string, info vectorsInfo) error {
	b, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, name), append(b, '\n'))
}

func readInfo(dir, name string) (info vectorsInfo, err error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return info, err
	}
	return info, json.Unmarshal(b, &info)
}

// sameOrigin reports whether what the info file name in dir speaks of was made
// with the same model and template.
func sameOrigin(dir, name string, info vectorsInfo) bool {
	have, err := readInfo(dir, name)
	have.Rows, have.Model, info.Model = 0, "", ""
	return err == nil && have == info
}

// progressFiles is what an interrupted job left: whole chunks of vectors and the
// hashes of their texts.
type progressFiles struct {
	values, hashes *os.File
	rows, dim      int
	keys           []byte
}

func openPartial(valuesPath, hashesPath string, dim int) (values, hashes *os.File, p *progressFiles, err error) {
	if values, err = os.OpenFile(valuesPath, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, nil, nil, err
	}
	if hashes, err = os.OpenFile(hashesPath, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, nil, nil, errors.Join(err, values.Close())
	}
	p = &progressFiles{values: values, hashes: hashes, dim: dim}
	v, err1 := values.Seek(0, io.SeekEnd)
	h, err2 := hashes.Seek(0, io.SeekEnd)
	rows := min(int(v)/(4*dim), int(h)/textHashBytes) / chunk * chunk
	p.keys = make([]byte, rows*textHashBytes)
	_, err3 := hashes.ReadAt(p.keys, 0)
	if err := errors.Join(err1, err2, err3, p.truncate(rows)); err != nil {
		return nil, nil, nil, errors.Join(err, values.Close(), hashes.Close())
	}
	return values, hashes, p, nil
}

// truncate keeps the first rows.
func (p *progressFiles) truncate(rows int) error {
	p.rows = rows
	_, err1 := p.values.Seek(int64(rows*4*p.dim), io.SeekStart)
	_, err2 := p.hashes.Seek(int64(rows*textHashBytes), io.SeekStart)
	return errors.Join(err1, err2, p.values.Truncate(int64(rows*4*p.dim)), p.hashes.Truncate(int64(rows*textHashBytes)))
}

func (p *progressFiles) matches(row int, h textHash) bool {
	return bytes.Equal(p.keys[row*textHashBytes:(row+1)*textHashBytes], h[:])
}

// reusable finds vectors that exist already by the hash of their text.
type reusable struct {
	matrices []*npy.Matrix
	at       map[textHash][2]uint32 // matrix and row
}

// openReusable opens those of dirs that were made with the same model and
// template, whole ones only; others are passed over, since vectors can be made
// anew.
func openReusable(dirs []string, info vectorsInfo) *reusable {
	r := &reusable{at: map[textHash][2]uint32{}}
	for _, dir := range dirs {
		have, err := readInfo(dir, vectorsInfoFile)
		if err != nil || have.Rows == 0 || !sameOrigin(dir, vectorsInfoFile, info) {
			continue
		}
		keys, err := os.ReadFile(filepath.Join(dir, textHashesFile))
		if err != nil || len(keys) != have.Rows*textHashBytes {
			continue
		}
		for _, name := range []string{vectorsFile, embeddingsFile} {
			m, err := npy.Open(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			if m.Rows != have.Rows || m.Cols != info.Dimension {
				m.Close()
				continue
			}
			for i := range have.Rows {
				h := textHash(keys[i*textHashBytes:])
				if _, have := r.at[h]; !have {
					r.at[h] = [2]uint32{uint32(len(r.matrices)), uint32(i)}
				}
			}
			r.matrices = append(r.matrices, m)
			break
		}
	}
	return r
}

func (r *reusable) row(h textHash) ([]float32, bool) {
	at, ok := r.at[h]
	if !ok {
		return nil, false
	}
	return r.matrices[at[0]].Row(int(at[1])), true
}

func (r *reusable) close() (err error) {
	for _, m := range r.matrices {
		err = errors.Join(err, m.Close())
	}
	return err
}
