package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// kindsOfFolders makes a folder of each kind, and some that are of none.
func kindsOfFolders(t *testing.T, shop string) map[string]string {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("in/products.csv", "id,title\n1,cup\n2,bowl\n")
	write("in/qrels.trec", "1 0 a 3\n2 0 a 2\n")
	write("in/a.trec", "1 Q0 a 1 3 r\n2 Q0 a 1 3 r\n")
	for _, args := range [][]string{
		{"import", at("in/products.csv"), "--out", at("catalogue")},
		{"index", "--catalog", at("catalogue"), "--out", at("index")},
		{"eval", "--judgments", at("in/qrels.trec"), "--run", "a=" + at("in/a.trec"), "--draws", "200", "--out", at("report")},
		{"stats", "--catalog", at("catalogue"), "--out", at("stats")},
		{"embed", "--catalog", at("catalogue"), "--model", "e5-small-v2", "--out", at("vectors")},
		{"bench", "recall", "--index", shop, "--factory", "IVF4,Flat", "--k", "10", "--budget", "1ms", "--out", at("measured")},
	} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 0 {
			t.Fatalf("%q ends with %d: %s", args, code, errs.String())
		}
	}
	// What a folder is recognized by is enough of these.
	write("model/model.json", "{}")
	write("run/config.json", `{"config": {}, "inputs": {}, "steps": 1}`)
	write("sweep/config.json", `{"config": {}, "settings": [], "folds": 2}`)
	write("other model/config.json", `{"model_type": "bert"}`)
	write("notes/mine.txt", "mine")
	write("hidden/.mine", "mine")
	write("file", "mine")
	kinds := map[string]string{}
	for _, name := range []string{"catalogue", "index", "report", "stats", "vectors", "measured", "model", "run", "sweep", "other model", "notes", "hidden", "file"} {
		kinds[name] = at(name)
	}
	return kinds
}

// contents hashes all files of a folder by their names.
func contents(t *testing.T, dir string) map[string]string {
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, sum := strings.TrimPrefix(path, dir), ""
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		found[name] = sum
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestOutputsKeepToTheirKind gives every command that writes a folder every kind of
// folder: it refuses all but its own, and leaves them as they were.
func TestOutputsKeepToTheirKind(t *testing.T) {
	shop := sampleIndex(t)
	kinds := kindsOfFolders(t, shop)
	in := filepath.Join(filepath.Dir(kinds["notes"]), "in")
	delta, err := filepath.Abs("../../catalog/sample/finetuned.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		own  string // the kind that it replaces, or goes on with
		args []string
		// beside says that it writes beside what is hidden, as file managers leave it.
		beside bool
	}{
		{"catalogue", []string{"import", filepath.Join(in, "products.csv")}, false},
		{"index", []string{"index", "--catalog", "sample"}, false},
		{"report", []string{"eval", "--judgments", filepath.Join(in, "qrels.trec"), "--run", "a=" + filepath.Join(in, "a.trec")}, false},
		{"stats", []string{"stats", "--catalog", "sample"}, false},
		{"vectors", []string{"embed", "--catalog", "sample", "--model", "e5-small-v2"}, true},
		{"measured", []string{"bench", "recall", "--index", shop}, false},
		{"measured", []string{"bench", "latency", "--index", shop}, false},
		{"measured", []string{"bench", "quantization", "--index", shop}, false},
		{"measured", []string{"bench", "choose", "--index", shop}, false},
		{"measured", []string{"bench", "load", "--index", shop}, false},
		{"", []string{"bench", "generate", "--index", shop, "--rows", "1000"}, false},
		{"model", []string{"model", "merge", "--delta", delta}, false},
		{"model", []string{"model", "quantize", "e5-small-v2"}, false},
		{"run", []string{"train", "--catalog", "sample"}, true},
		{"sweep", []string{"train", "sweep", "--catalog", "sample", "--grid", "epochs=1,2"}, true},
	} {
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			if kind == c.own || kind == "hidden" && c.beside {
				continue
			}
			t.Run(strings.Join(c.args[:2], " ")+" into "+kind, func(t *testing.T) {
				dir := kinds[kind]
				before := contents(t, dir)
				var out, errs bytes.Buffer
				if code := run(append(slices.Clone(c.args), "--out", dir), &out, &errs); code != 1 {
					t.Errorf("it ends with %d: %s", code, errs.String())
				}
				if !strings.Contains(errs.String(), filepath.Base(dir)) {
					t.Errorf("the error does not name the folder: %s", errs.String())
				}
				if after := contents(t, dir); !maps.Equal(before, after) {
					t.Errorf("it was changed: %v, and %v before", after, before)
				}
			})
		}
	}
}

// TestKilledCommandsLeaveNothing kills an import while it writes; the next one removes
// what it left, and not what another one that is running uses.
func TestKilledCommandsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "products.csv")
	var b bytes.Buffer
	b.WriteString("id,title\n")
	for i := range 2_000_000 {
		fmt.Fprintf(&b, "%d,red cup number %d\n", i, i)
	}
	if err := os.WriteFile(source, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "shop")
	left := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, ".shop.tmp-*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	killWhileWriting := func() {
		cmd := program(t, "import", source, "--out", out)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); len(left()) == 0 && time.Since(start) < time.Minute; time.Sleep(time.Millisecond) {
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	killWhileWriting()
	if n := len(left()); n != 1 {
		t.Fatalf("a killed import left %d folders: is it over before it is killed?", n)
	}
	mine := filepath.Join(dir, ".shop.tmp-mine")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(dir, "small.csv")
	os.WriteFile(small, []byte("id,title\n1,cup\n"), 0o644)
	var stdout, stderr bytes.Buffer
	if code := run([]string{"import", small, "--out", out}, &stdout, &stderr); code != 0 {
		t.Fatalf("it ends with %d: %s", code, stderr.String())
	}
	if names := left(); len(names) != 1 || names[0] != mine {
		t.Errorf("left: %q", names)
	}
}
