package judgments

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/trirank/trirank/internal/faults"
)

// file writes a file and returns where.
func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	os.MkdirAll(filepath.Dir(path), 0o755)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// drain returns what s yields, a line each: "line: id|query|product|label|split"
// or what is wrong, without the folder of the file.
func drain(s *Source) string {
	var out strings.Builder
	for j, err := range s.Judgments {
		path, line := s.Where()
		var f *faults.Fault
		switch {
		case errors.As(err, &f):
			out.WriteString(strings.TrimPrefix(f.Error(), filepath.Dir(path)+"/") + "\n")
		case err != nil:
			out.WriteString("error: " + strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "") + "\n")
		default:
			out.WriteString(strconv.Itoa(line) + ": " + strings.Join([]string{j.QueryID, j.Query, j.Product, string(j.Label), j.Split}, "|") + "\n")
		}
	}
	return out.String()
}
