package main

import (
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
)

// flipsQuick is how many bits of each kind of folder are flipped in every test run, and
// flipsLong how many in the long one.
const (
	flipsQuick = 12
	flipsLong  = 200
)

// TestFlips flips bits of what trirank wrote, one at a time, in every file of every kind
// of folder: verify finds each of them.
func TestFlips(t *testing.T) { flipFolders(t, flipsQuick, folders(t)) }

// folders are one of each kind that trirank writes and reads again, but for runs, which
// take longer to make.
func folders(t *testing.T) map[string]string {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	sample := catalog.Sample()
	if _, err := catalog.Write(t.Context(), at("catalogue"), catalog.Source{Products: sample.Products(), Judgments: sample.Judgments()}, catalog.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	shop := sampleIndex(t)
	for _, args := range [][]string{
		{"model", "merge", "--delta", filepath.Join("..", "..", "catalog", "sample", "finetuned.safetensors"), "--out", at("model")},
		{"embed", "--catalog", "sample", "--model", "e5-small-v2", "--out", at("vectors")},
		{"eval", "--index", shop, "--out", at("report")},
	} {
		mustRun(t, args...)
	}
	return map[string]string{"catalogue": at("catalogue"), "model": at("model"), "vectors": at("vectors"), "report": at("report"), "index": shop}
}

func mustRun(t *testing.T, args ...string) {
	t.Helper()
	var errs bytes.Buffer
	if code := run(args, io.Discard, &errs); code != 0 {
		t.Fatalf("%q ends with %d: %s", args, code, errs.String())
	}
}

// flipFolders flips n bits in each folder: each file has its turn.
func flipFolders(t *testing.T, n int, folders map[string]string) {
	for kind, dir := range folders {
		t.Run(kind, func(t *testing.T) {
			if code := run([]string{"verify", dir}, io.Discard, io.Discard); code != 0 {
				t.Fatalf("verify of a whole one ends with %d", code)
			}
			random := rand.New(rand.NewPCG(1, uint64(len(kind))))
			files, passes := read(t, kind, dir), 0
			for i := range n {
				name := files[i%len(files)]
				undo := flipBit(t, random, filepath.Join(dir, name))
				var out bytes.Buffer
				if code := run([]string{"verify", dir}, &out, io.Discard); code != 1 {
					passes++
					t.Errorf("a flip in %s: verify ends with %d: %s", name, code, out.String())
				}
				undo()
			}
			t.Logf("%d flips in %d files of a kind %s: %d silent passes", n, len(files), kind, passes)
		})
	}
}

// read lists the files of a folder that trirank reads again, in random order.
func read(t *testing.T, kind, dir string) (files []string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		log := name == "metrics.jsonl" || strings.HasPrefix(name, "logs/") || strings.HasPrefix(name, ".")
		if !log && (true) {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", dir, files, err)
	}
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	return files
}

// flipBit flips a random bit of a file.
func flipBit(t *testing.T, random *rand.Rand, path string) (undo func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		t.Fatalf("%s: %d bytes, %v", path, info.Size(), err)
	}
	var b [1]byte
	at := random.Int64N(info.Size())
	put := func(x byte) {
		if _, err := f.WriteAt([]byte{x}, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	put(b[0] ^ 1<<random.IntN(8))
	return func() {
		put(b[0])
		f.Close()
	}
}
