package store

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/filelock"
)

// Files that Embed writes, for NumPy and pandas.
const (
	embeddingsFile = "product_embeddings.npy" // a row a product
	titlesFile     = "product_titles.csv"     // product_id, product_title, in the same order
	statsFile      = "product_stats.csv"      // product_id, views, rating
)

// EmbedFiles are the names of all that Embed leaves in its folder, what an interrupted
// run leaves included, but for hidden files.
func EmbedFiles() []string {
	files := []string{titlesFile, statsFile, earlierFolder}
	for _, f := range []string{embeddingsFile, vectorsInfoFile, textHashesFile} {
		files = append(files, f, f+partial)
	}
	return files
}

// EmbedMarks are the names of files that tell vectors of Embed, finished or not, from
// tables that somebody else made.
func EmbedMarks() []string {
	return []string{vectorsInfoFile, vectorsInfoFile + partial, textHashesFile + partial}
}

// EmbedOptions say what Embed does.
type EmbedOptions struct {
	Catalog  *catalog.Catalog
	Encoder  *encoder.Encoder
	Template *catalog.Template // of the text that is embedded
	Out      string            // a folder, made if need be
	// Resume goes on with an interrupted run, and takes over the vectors of
	// an earlier one where the text has not changed.
	Resume   bool
	Started  func(done int)
	Progress func(done int)
}

// Embedded says what Embed did.
type Embedded struct {
	Rows    int `json:"rows"`
	Resumed int `json:"resumed"` // made by an interrupted run before
	Reused  int `json:"reused"`  // of an earlier run, with the same text
	Encoded int `json:"encoded"`
}

// Embed writes the vectors, titles and statistics of a catalogue's products. What
// is done when ctx ends, or the process does, is kept for Resume.
func Embed(ctx context.Context, o EmbedOptions) (Embedded, error) {
	fail := func(err error) (Embedded, error) {
		return Embedded{}, fmt.Errorf("cannot embed catalogue %s into %s: %w", o.Catalog.Name(), o.Out, err)
	}
	out, err := atomicfile.Resolve(o.Out)
	if err == nil {
		if err = checkEarlier(out); err != nil {
			err = fmt.Errorf("%w, which is no part of vectors and would be lost (move it)", err)
		}
	}
	if err == nil {
		err = os.MkdirAll(out, 0o755)
	}
	if err != nil {
		return fail(err)
	}
	lockFile := filepath.Join(out, ".lock")
	unlock, err := filelock.Take(lockFile)
	if err != nil {
		return fail(fmt.Errorf("%w (another trirank embed writes there)", err))
	}
	defer unlock()
	defer os.Remove(lockFile) // before it is unlocked: deferred calls run last first
	if info, err := os.Stat(filepath.Join(out, textHashesFile+partial)); err == nil && info.Size() > 0 && !o.Resume {
		return fail(fmt.Errorf("there are vectors of an interrupted run (go on with --resume, or remove %s)", o.Out))
	}
	job := &embedJob{
		dir: out, matrix: embeddingsFile,
		products: o.Catalog.Products(), rows: o.Catalog.Rows(), template: o.Template,
		model: o.Encoder.Model, encode: o.Encoder.Passages,
		resume: o.Resume, started: o.Started, progress: o.Progress,
	}
	if o.Resume {
		job.reuse = []string{out}
	}
	job.more = func() (checksum.Files, error) { return o.tables(out) }
	done, err := job.run(ctx)
	if err != nil {
		return fail(err)
	}
	return Embedded{done.Rows, done.Resumed, done.Reused, done.Encoded}, nil
}

// tables writes the titles and statistics into dir.
func (o *EmbedOptions) tables(dir string) (checksum.Files, error) {
	files := checksum.Files{}
	number := func(v float64) string {
		if v == 0 {
			return "" // unknown
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	for _, t := range []struct {
		file   string
		header []string
		row    func(p *catalog.Product) []string
	}{
		{titlesFile, []string{"product_id", "product_title"}, func(p *catalog.Product) []string { return []string{p.ID, p.Title} }},
		{statsFile, []string{"product_id", "views", "rating"}, func(p *catalog.Product) []string {
			return []string{p.ID, number(p.Popularity), number(p.Rating)}
		}},
	} {
		err := atomicfile.Write(filepath.Join(dir, t.file), func(w io.Writer) error {
			sum := checksum.NewWriter(w)
			out := csv.NewWriter(sum)
			if err := out.Write(t.header); err != nil {
				return err
			}
			for p, err := range o.Catalog.Products() {
				if err != nil {
					return err
				}
				if err := out.Write(t.row(&p)); err != nil {
					return err
				}
			}
			out.Flush()
			files[t.file] = sum.Sum()
			return out.Error()
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}
