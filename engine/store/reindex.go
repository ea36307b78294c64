package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/filelock"
)

// SetVectorIndex builds the vector index of a ranking anew, by a factory string and
// with parameters of search that were measured to find the share recall of the true
// ten nearest, and replaces the index directory: all else stays, and a server takes
// it over like any new index. evidence says why, for the manifest. The ranking is
// searched like that until the catalogue, the model or the wishes of Build change.
//
// x itself goes on with the old files.
func (x *Index) SetVectorIndex(ctx context.Context, system, factory string, p faiss.Params, recall float64, evidence string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot change the vector index of ranking %s in %s: %w", system, x.dir, err)
		}
	}()
	d, ok := x.dense[system]
	if !ok {
		return errors.New("there is no such ranking by vectors")
	}
	dir, err := atomicfile.Resolve(x.dir)
	if err == nil {
		err = checkTarget(dir)
	}
	if err != nil {
		return err
	}
	work := dir + workSuffix
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	unlock, err := filelock.Take(filepath.Join(work, workLock))
	if err != nil {
		return fmt.Errorf("%w (a build of it is running)", err)
	}
	defer func() {
		os.Remove(filepath.Join(work, workLock))
		os.Remove(work) // unless vectors of an interrupted build are in it
		unlock()
	}()
	m, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	if m.Hash() != x.Manifest.Hash() {
		return errors.New("it was built anew meanwhile (measure again)")
	}
	fresh := filepath.Join(work, workFresh)
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := linkTree(dir, fresh); err != nil {
		return err
	}
	path := filepath.Join(fresh, system, faissFile)
	for _, old := range []string{path, filepath.Join(fresh, manifestFile)} {
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	b, err := faiss.Build(ctx, path, d.vectors.Values, d.vectors.Cols, faiss.BuildOptions{Factory: factory, Params: &p})
	if err != nil {
		return err
	}
	b.Recall = recall
	at := slices.IndexFunc(m.Models, func(i ModelInfo) bool { return i.System == system })
	m.Models[at].Index, m.Models[at].Evidence = b, evidence
	sums := maps.Clone(m.Files)
	delete(sums, system+"/"+faissFile)
	if err := m.write(fresh, sums); err != nil {
		return err
	}
	return atomicfile.ReplaceDir(fresh, dir)
}
