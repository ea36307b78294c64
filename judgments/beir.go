package judgments

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/trirank/trirank/internal/textfile"
)

// beir yields the judgements of a table of BEIR.
func (r *reader) beir(f *textfile.File) error {
	given := r.queries
	if given == nil {
		if path := queriesOf(r.file); path != "" {
			q, err := readTexts(path)
			if err != nil {
				return err
			}
			r.queries = q
			defer func() { r.queries = given }()
		}
	}
	split, _, _ := strings.Cut(filepath.Base(r.file), ".")
	switch split {
	case "train", "dev", "test":
	default:
		split = ""
	}
	return r.table(f, split)
}

// queriesOf returns the file with the queries of a file of judgements, which
// BEIR has in a folder qrels beside it, or "".
func queriesOf(path string) string {
	dir := filepath.Dir(path)
	for _, dir := range []string{dir, filepath.Join(dir, "..")} {
		for _, name := range []string{"queries.jsonl", "queries.jsonl.gz", "queries.jsonl.zst"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
				return filepath.Join(dir, name)
			}
		}
	}
	return ""
}
