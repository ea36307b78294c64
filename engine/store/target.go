package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
)

// Beside an index, in INDEX.work, lies what a build of it keeps.
const (
	workSuffix = ".work"
	workLock   = "build.lock"
	workFresh  = "index.new"
)

// CheckTarget reports why no index can be built at out: there is something else, or
// something in the index or beside it that is no part of it and would be lost.
func CheckTarget(out string) error {
	path, err := atomicfile.Resolve(out)
	if err == nil {
		err = checkTarget(path)
	}
	if err != nil {
		return fmt.Errorf("cannot build index %s: %w", out, err)
	}
	return nil
}

// checkTarget is CheckTarget of a path without links.
func checkTarget(out string) error {
	if err := checkWork(out + workSuffix); err != nil {
		return err
	}
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	// Other programs have a manifest.json as well.
	var ours struct {
		Format    int
		Catalogue *CatalogueInfo
		Files     checksum.Files
	}
	raw, err := regular.ReadFile(filepath.Join(out, manifestFile), maxManifest)
	if err != nil || json.Unmarshal(raw, &ours) != nil || ours.Format == 0 || ours.Catalogue == nil || ours.Files == nil {
		return errors.New("there is a folder that is not an index (name another, or remove it)")
	}
	return checkParts(out, ours.Files)
}

// checkParts reports the first file or folder of an index that is no part of it: all of
// the index directory is replaced.
func checkParts(dir string, files checksum.Files) error {
	if err := atomicfile.Clean(dir); err != nil { // of a manifest whose writing was killed
		return err
	}
	others, err := files.Unlisted(dir, manifestFile)
	if err == nil && len(others) > 0 {
		err = fmt.Errorf("it holds %s, which is no part of an index and would be lost (move it, or name another folder)", others[0])
	}
	return err
}

// checkWork reports what is not a build's in the folder that is removed at its end.
func checkWork(work string) error {
	entries, err := os.ReadDir(work)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		switch {
		case e.Name() == workLock, e.Name() == workFresh && e.IsDir():
			continue
		case e.IsDir() && validSystem(e.Name()):
			err = checkVectors(filepath.Join(work, e.Name()))
		default:
			err = fmt.Errorf("it holds %s", e.Name())
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("beside it lies %s, where builds keep their vectors: %w, which is no part of that and would be lost (move it)", filepath.Base(work), err)
	}
	return nil
}

// checkVectors reports what in the folder of vectors that are being made is no part of
// them.
func checkVectors(dir string) error {
	if err := atomicfile.Clean(dir); err != nil {
		return err
	}
	names := []string{earlierFolder}
	for _, f := range vectorFiles {
		names = append(names, f, f+partial)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			return fmt.Errorf("it holds %s", filepath.Join(filepath.Base(dir), e.Name()))
		}
		if e.Name() == earlierFolder {
			err = errors.Join(err, checkEarlier(dir))
		}
	}
	return err
}

// checkEarlier reports what in the folder of vectors that were set aside is no part of
// them: it is removed when the others are made.
func checkEarlier(dir string) error {
	entries, err := os.ReadDir(filepath.Join(dir, earlierFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !slices.Contains(vectorFiles, e.Name()) && !atomicfile.IsWorkspace(filepath.Join(dir, earlierFolder, e.Name()), e) {
			return fmt.Errorf("it holds %s", filepath.Join(filepath.Base(dir), earlierFolder, e.Name()))
		}
	}
	return err
}
