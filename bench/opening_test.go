package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trirank/trirank/engine"
)

// door counts how often it is opened and closed.
type door struct {
	t              *testing.T
	opened, closed int
	fails, wrong   error // of opening, of rankings
}

func (d *door) Open(context.Context) (*engine.Engine, error) {
	if d.opened++; d.opened != d.closed+1 {
		d.t.Error("it is opened while it is open")
	}
	if d.fails != nil {
		return nil, d.fails
	}
	var together together
	return engine.New(engine.Config{Products: shelf{}, Systems: []engine.System{{Name: "a", Ranker: slow{d.wrong, &together}}}})
}

func (d *door) Close() error { d.closed++; return nil }

func TestOpening(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "part")
	if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := &door{t: t}
	request := engine.Request{Query: "x", K: 1}
	results, err := Opening(t.Context(), d, []string{dir}, request)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].String() != "Open/files=on_disk" || results[1].String() != "Open/files=in_memory" || d.opened != 2 || d.closed != 2 {
		t.Errorf("%+v, opened %d times, closed %d", results, d.opened, d.closed)
	}
	for i := range results {
		if took := metric(t, &results[i], "first-request-ms"); took < 2 || metric(t, &results[i], "open-s") <= 0 || metric(t, &results[i], "files-MB") != 7e-6 {
			t.Errorf("%s: the first request takes %v ms", &results[i], took)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "content" {
		t.Errorf("the file has %q now: %v", b, err)
	}
	if _, err := Opening(t.Context(), &door{t: t, fails: errors.New("locked")}, nil, request); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("an index that does not open gives %v", err)
	}
	if _, err := Opening(t.Context(), &door{t: t, wrong: errors.New("broken")}, nil, request); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a ranking that fails gives %v", err)
	}
	d = &door{t: t}
	if _, err := Opening(t.Context(), d, nil, engine.Request{}); err == nil || d.closed != 1 {
		t.Errorf("a wrong request gives %v, and the index was closed %d times", err, d.closed)
	}
	if _, err := Opening(t.Context(), d, []string{filepath.Join(dir, "none")}, request); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a folder that is not there gives %v", err)
	}
}

func TestFilesIn(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(dir, "plain"), filepath.Join(dir, "folder", "deep"), filepath.Join(other, "far")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(other, "root")
	for link, to := range map[string]string{filepath.Join(dir, "link"): filepath.Join(other, "far"), filepath.Join(dir, "dangling"): filepath.Join(other, "none"), root: dir} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filesIn(root) // as folders of models are
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	if slices.Sort(files); !slices.Equal(files, []string{"deep", "link", "plain"}) {
		t.Errorf("%v", files)
	}
}
