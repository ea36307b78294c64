package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/npy"
	"github.com/trirank/trirank/internal/regular"
)

// Files beside a matrix of vectors. While it is being made, the matrix has no
// header and its name, and that of the texts, end in .partial.
const (
	vectorsFile     = "vectors.npy"
	vectorsInfoFile = "vectors.json"   // what made the vectors
	textHashesFile  = "vectors.hashes" // a record a row: see record
	partial         = ".partial"
)

// vectorsFormat is the number of the format of vectors.json and of what it describes.
const vectorsFormat = 2 // 2: checksums

// origin says what vectors were made with. Vectors may be taken over only where it is
// the same.
type origin struct {
	Format    int    `json:"format"`
	Model     string `json:"model"`
	Hash      string `json:"hash"` // encoder.Model.Hash
	Template  string `json:"template"`
	Dimension int    `json:"dimension"`
}

// vectorsInfo is vectors.json.
type vectorsInfo struct {
	origin
	Rows  int            `json:"rows"`
	Files checksum.Files `json:"files,omitempty"` // of the folder, once the vectors are whole
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
	mended   bool // a damaged row was made again
	// more, if not nil, writes further files into dir and returns what they are.
	more func() (checksum.Files, error)
}

// embedded is the outcome of an embedJob.
type embedded struct {
	Rows    int // of the matrix
	Resumed int // made by an interrupted job before
	Reused  int // taken over
	Encoded int
	files   checksum.Files // of the finished vectors, with vectors.json
}

func (j *embedJob) run(ctx context.Context) (out embedded, err error) {
	dim := j.model.Dimension
	info := vectorsInfo{origin: origin{Format: vectorsFormat, Model: j.model.Name, Hash: j.model.Hash(), Template: j.template.String(), Dimension: dim}}
	old := openReusable(append(slices.Clone(j.reuse), filepath.Join(j.dir, earlierFolder)), info.origin)
	defer func() { err = errors.Join(err, old.close()) }()

	if kept, err := readInfo(j.dir, vectorsInfoFile+partial); !j.resume || err != nil || !kept.origin.same(info.origin) {
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
		keys := make([]textHash, len(texts))
		for i, text := range texts {
			keys[i] = hashText(text)
			if !old.copy(v[i*dim:(i+1)*dim], keys[i]) {
				fresh, places = append(fresh, text), append(places, i)
			}
		}
		encoded := make([]float32, len(fresh)*dim)
		if err := j.encode(ctx, fresh, encoded); err != nil {
			return err
		}
		for k, i := range places {
			if err := checkUnit(encoded[k*dim : (k+1)*dim]); err != nil {
				return fmt.Errorf("the model made of product %d %w", done.rows+out.Rows-out.Resumed+i, err)
			}
			copy(v[i*dim:(i+1)*dim], encoded[k*dim:])
		}
		records := make([]byte, 0, len(texts)*recordBytes)
		for i, key := range keys {
			records = appendRecord(records, key, v[i*dim:(i+1)*dim])
		}
		out.Encoded += len(fresh)
		out.Reused += len(texts) - len(fresh)
		// The vectors first: hashes without vectors would be believed.
		for _, w := range []struct {
			f *os.File
			b []byte
		}{{values, npy.Bytes(v)}, {hashes, records}} {
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
	var damaged *damagedRow
	if out.files, err = j.finish(info); errors.As(err, &damaged) {
		if j.mended { // a disk that does so each time
			return out, err
		}
		j.mended = true
		// The disk changed what was written: what is whole is found by its text.
		if err := j.setAside(j.rows, info); err != nil {
			return out, err
		}
		if err := done.truncate(damaged.row / chunk * chunk); err != nil {
			return out, err
		}
		return j.run(ctx)
	}
	return out, err
}

// finish puts header and rows together, and everything in its place, and returns what
// it wrote. The info, without which nothing is believed, goes first and comes back last.
func (j *embedJob) finish(info vectorsInfo) (files checksum.Files, err error) {
	if err := os.Remove(filepath.Join(j.dir, vectorsInfoFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	hashes, err := regular.ReadFile(filepath.Join(j.dir, textHashesFile+partial), int64(j.rows)*recordBytes)
	if err != nil {
		return nil, err
	}
	if len(hashes) != j.rows*recordBytes {
		return nil, fmt.Errorf("there are %d bytes of hashes for %d rows: something else writes to them", len(hashes), j.rows)
	}
	files = checksum.Files{}
	write := func(name string, write func(w io.Writer) error) error {
		return atomicfile.Write(filepath.Join(j.dir, name), func(w io.Writer) error {
			sum := checksum.NewWriter(w)
			err := write(sum)
			files[name] = sum.Sum()
			return err
		})
	}
	err = write(j.matrix, func(w io.Writer) error {
		if _, err := w.Write(npy.Header(j.rows, info.Dimension)); err != nil {
			return err
		}
		return copyRows(w, filepath.Join(j.dir, j.matrix+partial), hashes, info.Dimension)
	})
	if err != nil {
		return nil, err
	}
	err = write(textHashesFile, func(w io.Writer) error {
		_, err := w.Write(hashes)
		return err
	})
	if err != nil {
		return nil, err
	}
	info.Rows, info.Files = j.rows, files
	if j.more != nil {
		more, err := j.more()
		if err != nil {
			return nil, err
		}
		maps.Copy(info.Files, more)
	}
	text, err := checksum.MarshalJSON(info)
	if err != nil {
		return nil, err
	}
	err = write(vectorsInfoFile, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return files, errors.Join(
		os.Remove(filepath.Join(j.dir, j.matrix+partial)),
		os.Remove(filepath.Join(j.dir, textHashesFile+partial)),
		os.Remove(filepath.Join(j.dir, vectorsInfoFile+partial)),
		os.RemoveAll(filepath.Join(j.dir, earlierFolder)))
}

// copyRows writes to w the rows of the file at path, each of which has to have the
// checksum of its record.
func copyRows(w io.Writer, path string, records []byte, dim int) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	row := make([]byte, 4*dim)
	for i := range len(records) / recordBytes {
		if _, err := io.ReadFull(in, row); err != nil {
			return fmt.Errorf("%s: row %d: %w", path, i, err)
		}
		if r, ok := parseRecord(records[i*recordBytes:]); !ok || r.sum != checksum.CRC(row) {
			return &damagedRow{path, i}
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return fmt.Errorf("%s has more than %d rows: something else writes to it", path, len(records)/recordBytes)
	}
	return nil
}

// damagedRow is the error of a row that is not as it was written.
type damagedRow struct {
	path string
	row  int
}

// Error names the file.
func (e *damagedRow) Error() string {
	return fmt.Sprintf("row %d of %s was changed since it was written", e.row, e.path)
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
		{textHashesFile + partial, textHashesFile, nil, int64(rows) * recordBytes},
	} {
		err := atomicfile.Write(filepath.Join(dir, part.to), func(w io.Writer) error {
			f, err := regular.Open(filepath.Join(j.dir, part.from))
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
