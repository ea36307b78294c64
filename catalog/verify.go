package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
)

// Is reports whether dir has the description of a catalogue, whole or damaged.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, manifestFile))
	return err == nil
}

// CheckFiles is an error if dir has the description of a catalogue and its files are not
// what that describes. Files of earlier formats are compared as far as they are listed.
func CheckFiles(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, productsFile)); err != nil || !Is(dir) {
		return nil
	}
	if err := changed(dir, nil); err != nil {
		return fmt.Errorf("catalogue %s was damaged or changed: %w (to import its tables as they are, move its %s away)", dir, err, manifestFile)
	}
	return nil
}

// changed is an error that names the first file of a catalogue that is not as it was
// written, but for those that skip names.
func changed(dir string, skip func(name string) bool) error {
	var m struct {
		Format int
		Files  checksum.Files
	}
	raw, err := regular.ReadFile(filepath.Join(dir, manifestFile), checksum.MaxDocument)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err == nil && m.Format >= format {
		_, err = readManifest(dir)
	}
	if err != nil {
		return err
	}
	if wrong := m.Files.Verify(dir, skip); len(wrong) > 0 {
		return wrong[0]
	}
	return nil
}

// Verify reads all of a catalogue and returns everything that is wrong with it: files
// that are not as they were written, files that are no part of it, products and
// judgements that import would not have taken, and contents that do not have the hash of
// the catalogue. Of the embedded sample nothing can be. The second error is that of ctx.
func Verify(ctx context.Context, name string) (wrong []error, err error) {
	if name == sampleName {
		return nil, nil
	}
	dir := filepath.Clean(name)
	bad := func(err error) { wrong = append(wrong, fmt.Errorf("catalogue %s: %w", dir, err)) }
	m, err := readManifest(dir)
	if err != nil {
		return []error{fmt.Errorf("cannot open catalogue %s: %w", dir, err)}, nil
	}
	damaged := m.Files.Verify(dir, nil)
	for _, err := range damaged {
		bad(fmt.Errorf("%w (remove it and import again)", err))
	}
	others, err := m.Files.Unlisted(dir, manifestFile)
	if err != nil {
		bad(err)
	}
	if len(others) > 0 {
		bad(fmt.Errorf("%s is no part of it (move it away)", strings.Join(others, ", ")))
	}
	if len(damaged) > 0 {
		return wrong, ctx.Err() // what they hold is not worth reading
	}
	c, err := Open(dir)
	if err != nil {
		return []error{err}, nil
	}
	w := newWriter("", Source{Products: c.Products(), Judgments: c.Judgments()}, WriteOptions{SkipFaults: true})
	if err := w.write(ctx); err != nil {
		if ctx.Err() != nil {
			return wrong, ctx.Err()
		}
		bad(err)
		return wrong, nil
	}
	for _, f := range w.report.Faults.First {
		bad(f)
	}
	if n := w.report.Faults.Count - len(w.report.Faults.First); n > 0 {
		bad(fmt.Errorf("%d more faults", n))
	}
	if n := w.report.UnknownProducts; n > 0 {
		bad(fmt.Errorf("%d judgements are of products that it does not have", n))
	}
	if w.report.Queries != m.Queries {
		bad(fmt.Errorf("it has %d queries, and %s says %d", w.report.Queries, manifestFile, m.Queries))
	}
	if w.report.Hash != m.Hash {
		bad(fmt.Errorf("the hash of its contents is %.12s…, and %s says %.12s…", w.report.Hash, manifestFile, m.Hash))
	}
	if w.sums[popularityFile] != m.Files[popularityFile] {
		bad(errors.New(popularityFile + " does not have the popularities of the products"))
	}
	return wrong, nil
}
