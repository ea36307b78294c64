package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/mapfault"
	"github.com/trirank/trirank/internal/npy"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/judgments"
)

// mostNamed is how many rows with one fault are named.
const mostNamed = 3

// verifier collects what is wrong.
type verifier struct {
	what  string
	wrong []error
}

func (v *verifier) bad(err error) {
	if err != nil {
		v.wrong = append(v.wrong, fmt.Errorf("%s: %w", v.what, err))
	}
}

// tally counts rows with one fault, and names the first of them.
type tally struct {
	count int
	first []string
}

func (t *tally) add(row int, why string) {
	if t.count++; len(t.first) < mostNamed {
		t.first = append(t.first, fmt.Sprintf("row %d %s", row, why))
	}
}

func (t *tally) err(file string) error {
	switch more := t.count - len(t.first); {
	case t.count == 0:
		return nil
	case more > 0:
		return fmt.Errorf("%s: %s, and %d more rows", file, strings.Join(t.first, ", "), more)
	}
	return fmt.Errorf("%s: %s", file, strings.Join(t.first, ", "))
}

// files compares the files of dir with their list, and reports whether all are as they
// were written.
func (v *verifier) files(dir string, list checksum.Files, remedy string, except ...string) bool {
	damaged := list.Verify(dir, nil)
	for _, err := range damaged {
		v.bad(fmt.Errorf("%w (%s)", err, remedy))
	}
	others, err := list.Unlisted(dir, except...)
	v.bad(err)
	if len(others) > 0 {
		v.bad(fmt.Errorf("%s is no part of it (move it away)", strings.Join(others, ", ")))
	}
	return len(damaged) == 0
}

// Verify reads all of the index directory dir and returns everything that is wrong with
// it: files that are not as they were written or no part of it, and parts that do not fit
// together. Models are compared with the hashes of those that made the vectors, but not
// loaded. The second error is that of ctx.
func Verify(ctx context.Context, dir string) (wrong []error, err error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return []error{err}, nil
	}
	defer mapfault.Catch(&err)()
	v := &verifier{what: "index " + dir}
	if !v.files(dir, m.Files, "build it again with trirank index", manifestFile) {
		return v.wrong, ctx.Err() // what they hold is not worth reading
	}
	ps, err := openProducts(filepath.Join(dir, productsFolder), m.Catalogue.Rows)
	if err != nil {
		v.bad(err)
		return v.wrong, nil
	}
	defer ps.close()
	if err := v.products(ctx, dir, m, ps); err != nil {
		return v.wrong, err
	}
	if text, err := bm25.Open(filepath.Join(dir, lexicalSystem)); err != nil {
		v.bad(err)
	} else {
		if text.Rows() != m.Catalogue.Rows {
			v.bad(fmt.Errorf("the text index has %d products, the catalogue %d", text.Rows(), m.Catalogue.Rows))
		}
		v.bad(text.Close())
	}
	template, err := catalog.ParseTemplate(m.Template)
	if err != nil {
		v.bad(fmt.Errorf("%s: %w", manifestFile, err))
		return v.wrong, nil
	}
	if m.Fusion != "" {
		f, err := engine.ParseFusion(m.Fusion)
		if err != nil {
			v.bad(fmt.Errorf("%s: %w", manifestFile, err))
		} else {
			for _, s := range slices.Sorted(maps.Keys(f.Weights)) {
				if s != lexicalSystem && !slices.ContainsFunc(m.Models, func(i ModelInfo) bool { return i.System == s }) {
					v.bad(fmt.Errorf("the fusion joins a ranking %q that it does not have", s))
				}
			}
		}
	}
	for _, info := range m.Models {
		if err := v.model(ctx, dir, m, info, template, ps); err != nil {
			return v.wrong, err
		}
	}
	return v.wrong, nil
}

// products compares the columns and ids with the products, and the contents with the
// catalogue's hash.
func (v *verifier) products(ctx context.Context, dir string, m *Manifest, ps *products) error {
	var ids, columns tally
	row := 0
	all := func(yield func(catalog.Product, error) bool) {
		for ; row < ps.rows; row++ {
			p, err := ps.Product(uint32(row))
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				if at, ok := ps.Row(p.ID); ps.ID(uint32(row)) != p.ID || !ok || at != uint32(row) {
					ids.add(row, fmt.Sprintf("is not found by its id %q", p.ID))
				}
				c := ps.column(row)
				if ps.dict.Brands[c.brand] != fold(p.Brand) || !slices.Equal(ps.dict.Categories[c.category], p.Category) || c.price != float32(p.Price) {
					columns.add(row, "has another brand, category or price than product "+p.ID)
				}
			}
			if !yield(p, err) {
				return
			}
		}
	}
	path := filepath.Join(dir, productsFolder, judgmentsFile)
	f, err := regular.Open(path)
	if err != nil {
		v.bad(err)
		return nil
	}
	defer f.Close()
	hash, err := catalog.ContentHash(all, judgments.ReadTable(f, path))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		v.bad(err)
	case hash != m.Catalogue.Hash:
		v.bad(fmt.Errorf("the hash of its products and judgements is %.12s…, and that of the catalogue %.12s…", hash, m.Catalogue.Hash))
	}
	v.bad(ids.err(idOrderFile))
	v.bad(columns.err(columnsFile))
	_, err = openJudged(filepath.Join(dir, productsFolder), ps.Row)
	v.bad(err)
	return nil
}

// model compares what belongs to a ranking by vectors.
func (v *verifier) model(ctx context.Context, dir string, m *Manifest, info ModelInfo, template *catalog.Template, ps *products) error {
	bad := func(err error) {
		if err != nil {
			v.bad(fmt.Errorf("ranking %s: %w", info.System, err))
		}
	}
	folder := filepath.Join(dir, info.System)
	want := origin{vectorsFormat, info.Model, info.Hash, m.Template, info.Dimension}
	made, err := readInfo(folder, vectorsInfoFile)
	switch {
	case err != nil:
		bad(fmt.Errorf("%s: %w", vectorsInfoFile, err))
		return nil
	case made.Rows != m.Catalogue.Rows || made.origin != want:
		bad(fmt.Errorf("%s speaks of %d vectors of %d values by %s (%.12s…), and %s of %d of %d by %s (%.12s…)",
			vectorsInfoFile, made.Rows, made.Dimension, made.Model, made.Hash, manifestFile, m.Catalogue.Rows, info.Dimension, info.Model, info.Hash))
		return nil
	}
	for _, name := range []string{vectorsFile, textHashesFile} {
		if made.Files[name] != m.Files[info.System+"/"+name] {
			bad(fmt.Errorf("%s and %s do not agree on %s", vectorsInfoFile, manifestFile, name))
		}
	}
	var text tally
	err = verifyRows(ctx, folder, vectorsFile, made, bad, func(row int, h textHash) {
		if p, err := ps.Product(uint32(row)); err != nil || hashText(template.Text(&p)) != h {
			text.add(row, "is of another text than product "+ps.ID(uint32(row)))
		}
	})
	if err != nil {
		return err
	}
	bad(text.err(textHashesFile))
	if index, err := faiss.Open(filepath.Join(folder, faissFile), info.Index.SHA256); err != nil {
		bad(err)
	} else {
		if index.Len() != m.Catalogue.Rows || index.Dimension() != info.Dimension {
			bad(fmt.Errorf("%s has %d vectors of %d values, and %d of %d belong there", faissFile, index.Len(), index.Dimension(), m.Catalogue.Rows, info.Dimension))
		}
		bad(index.Close())
	}
	model, err := FindModel(info.Path)
	if err != nil {
		model, err = FindModel(info.Model)
	}
	if err != nil {
		bad(err)
		return nil
	}
	faults, found := encoder.Verify(model)
	for _, err := range faults {
		bad(err)
	}
	if found != nil && found.Hash() != info.Hash {
		bad(fmt.Errorf("the model in %s is not the one that made the vectors: its hash is %.12s…, not %.12s…", model, found.Hash(), info.Hash))
	}
	return ctx.Err()
}

// verifyRows compares the rows of a matrix with their records, and tells each the hash
// of their texts. Its error is that of ctx.
func verifyRows(ctx context.Context, dir, matrix string, info vectorsInfo, bad func(error), each func(row int, h textHash)) error {
	m, err := npy.Open(filepath.Join(dir, matrix))
	if err != nil {
		bad(err)
		return nil
	}
	defer m.Close()
	records, err := regular.ReadFile(filepath.Join(dir, textHashesFile), int64(info.Rows)*recordBytes)
	if err != nil {
		bad(fmt.Errorf("%s: %w", textHashesFile, err))
		return nil
	}
	if m.Rows != info.Rows || m.Cols != info.Dimension || len(records) != info.Rows*recordBytes {
		bad(fmt.Errorf("%s has %d rows of %d values and %s %d bytes, which does not go with %d vectors of %d", matrix, m.Rows, m.Cols, textHashesFile, len(records), info.Rows, info.Dimension))
		return nil
	}
	var changed, length tally
	for row := range m.Rows {
		if row%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r, ok := parseRecord(records[row*recordBytes:])
		if !ok || r.sum != checksum.CRC(npy.Bytes(m.Row(row))) {
			changed.add(row, "was changed")
			continue
		}
		if err := checkUnit(m.Row(row)); err != nil {
			length.add(row, "is "+err.Error())
		}
		if each != nil {
			each(row, r.text)
		}
	}
	bad(changed.err(matrix))
	bad(length.err(matrix))
	return nil
}

// VerifyVectors reads all that Embed wrote to dir and returns everything that is wrong
// with it. The second error is that of ctx.
func VerifyVectors(ctx context.Context, dir string) (wrong []error, err error) {
	defer mapfault.Catch(&err)()
	v := &verifier{what: "vectors " + dir}
	const again = "make them again with trirank embed"
	info, err := readInfo(dir, vectorsInfoFile)
	if err != nil {
		if _, found := os.Stat(filepath.Join(dir, vectorsInfoFile+partial)); errors.Is(err, os.ErrNotExist) && found == nil {
			err = errors.New("they are not finished")
		}
		v.bad(fmt.Errorf("%s: %w (%s)", vectorsInfoFile, err, again))
		return v.wrong, nil
	}
	v.bad(info.Files.Require(embeddingsFile, textHashesFile, titlesFile, statsFile))
	v.files(dir, info.Files, again, vectorsInfoFile)
	err = verifyRows(ctx, dir, embeddingsFile, info, v.bad, nil)
	return v.wrong, err
}
