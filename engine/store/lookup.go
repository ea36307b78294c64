package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/internal/beside"
)

// FindModel returns the directory of a model given by path or by the name of one
// that make native fetched.
func FindModel(name string) (string, error) {
	if name == "" {
		return "", errors.New("no model is given (e5-small-v2 is one)")
	}
	tried := []string{name}
	if !strings.ContainsRune(name, filepath.Separator) {
		for _, dir := range modelFolders() {
			tried = append(tried, filepath.Join(dir, name))
		}
	}
	for _, dir := range tried {
		if _, err := os.Stat(filepath.Join(dir, "model.json")); err == nil {
			return filepath.Abs(dir)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot find model %s: %w", name, err)
		}
	}
	remedy := "run make native where trirank was built, or give the path of a model directory"
	if known := Models(); known != nil {
		remedy = "there are " + strings.Join(known, ", ") + "; or give the path of a model directory"
	}
	return "", fmt.Errorf("cannot find model %s: no model.json in %s (%s)", name, strings.Join(tried, ", "), remedy)
}

// modelFolders returns where models with a plain name are looked for: where
// $TRIRANK_MODELS says, else beside the program.
func modelFolders() []string {
	if dir := os.Getenv("TRIRANK_MODELS"); dir != "" {
		return []string{dir}
	}
	dir, err := beside.Path("models")
	if err != nil {
		return nil
	}
	return []string{dir}
}

// Models returns the names of the models that FindModel knows by name.
func Models() (names []string) {
	for _, dir := range modelFolders() {
		found, _ := filepath.Glob(filepath.Join(dir, "*", "model.json"))
		for _, path := range found {
			names = append(names, filepath.Base(filepath.Dir(path)))
		}
	}
	return names
}
