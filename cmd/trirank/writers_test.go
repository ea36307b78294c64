package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// writer is a command that writes, as it is killed and given failing disks. In its
// arguments @ is the folder of all: @in holds what is read, and @out, alone in its
// folder, is what is written.
type writer struct {
	name string
	args []string
	// older makes what is there before, which differs from what args make. Where it is
	// empty there is nothing, since the command only goes on with what there is.
	older []string
	// steps says that it writes into its folder step by step, and goes on with --resume.
	steps bool
	// same lists the files that are equal however often it was interrupted.
	same []string
	// report says that people read it and no command does: verify refuses it.
	report bool
	cost   int // how long it takes, in units of about half a second
}

const (
	// shortTraining is what training is asked for: the least that there is to do.
	shortTraining = "--train adapter --batch 2 --epochs 2 --validation 0.5 --validate-each 2 --patience 0"
	sweepGrid     = "train sweep --catalog @in/shop --train adapter --batch 2 --grid epochs=1,2 --folds 2 --validation 0"
)

// writers are all commands that write. What they read is tiny, but for embed's, of which
// one chunk is durable before the next is made.
func writers() []writer {
	w := func(name string, cost int, args, older string) writer {
		return writer{name: name, cost: cost, args: strings.Fields(args + " --out @out"), older: strings.Fields(older)}
	}
	imports := w("import", 1, "import @in/shop.files", "import @in/older.files --out @out")
	runs := w("eval", 1, "eval --judgments @in/qrels.trec --run a=@in/a.trec --run b=@in/b.trec --draws 200", "eval --judgments @in/qrels.trec --run a=@in/a.trec --draws 200 --out @out")
	stats := w("stats", 1, "stats --catalog @in/shop", "stats --catalog @in/older --out @out")
	stats.report, stats.same = true, []string{"index.html", "stats.json"}
	index := w("index", 6, "index --catalog @in/shop", "index --catalog @in/older --out @out")
	index.same = []string{"pretrained/vectors.npy"}
	embed := w("embed", 8, "embed --catalog @in/many --model e5-small-v2 --resume", "embed --catalog @in/older --model e5-small-v2 --out @out")
	embed.steps, embed.same = true, []string{"product_embeddings.npy", "product_titles.csv", "vectors.hashes", "vectors.json"}
	evalIndex := w("eval of an index", 8, "eval --index @in/index --split all --draws 200", "eval --judgments @in/qrels.trec --run a=@in/a.trec --draws 200 --out @out")
	recall := w("bench recall", 6, "bench recall --index @in/index --factory SQ8 --k 2 --budget 1ms", "bench recall --index @in/index --factory Flat --k 1 --budget 1ms --out @out")
	recall.report = true
	choose := writer{name: "bench choose --write", cost: 8, args: strings.Fields("bench choose --index @out --factory SQ8 --budget 1ms --write"), older: strings.Fields("index --catalog @in/shop --out @out")}
	quantized := writer{name: "bench quantization --write", cost: 8, args: strings.Fields("bench quantization --index @in/both --model int8=@out --quantized int8 --budget 1ms --write"),
		older: strings.Fields("model quantize e5-small-v2 --name int8 --out @out")}
	merge := w("model merge", 10, "model merge --delta @in/delta.safetensors", "model merge --delta @in/delta.safetensors --blend 0.5 --out @out")
	quantize := w("model quantize", 16, "model quantize e5-small-v2", "model quantize e5-small-v2 --kind dynamic --out @out")
	train := w("train", 40, "train --catalog @in/shop --resume "+shortTraining, "")
	train.steps, train.same = true, []string{"metrics.jsonl", "delta.safetensors", "model/model.onnx"}
	sweep := w("train sweep", 100, sweepGrid+" --resume", "")
	sweep.steps = true // its table has times, which differ
	for _, run := range []string{"epochs=1/fold-1", "epochs=1/fold-2", "epochs=2/fold-1", "epochs=2/fold-2"} {
		sweep.same = append(sweep.same, run+"/metrics.jsonl")
	}
	return []writer{imports, runs, stats, index, embed, evalIndex, recall, choose, quantized, merge, quantize, train, sweep}
}

// workshop is a folder in which writers are tried.
type workshop struct {
	t    *testing.T
	root string
}

// newWorkshop makes what the writers read.
func newWorkshop(t *testing.T) *workshop {
	w := &workshop{t, t.TempDir()}
	delta, err := os.ReadFile(filepath.Join("..", "..", "catalog", "sample", "finetuned.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "{\"id\": \"m%d\", \"title\": \"Cup number %d\"}\n", i, i)
	}
	for name, text := range map[string]string{
		"in/shop.files/products.jsonl": `{"id": "p1", "title": "Garden hose 20 m"}
{"id": "p2", "title": "Wireless mouse black"}
{"id": "p3", "title": "Wired mouse"}
{"id": "p4", "title": "Office chair with arms"}
{"id": "p5", "title": "Chair mat"}
`,
		"in/shop.files/judgments.csv": `query,product_id,esci_label
garden hose,p1,E
wireless mouse,p2,E
wireless mouse,p3,C
office chair,p4,E
desk chair,p4,E
hose,p1,E
wired mouse,p3,E
desk chair,p5,C
`,
		"in/older.files/products.jsonl": `{"id": "o1", "title": "Steel spoon"}
{"id": "o2", "title": "Blue kettle"}
{"id": "o3", "title": "Tea pot"}
`,
		"in/many.files/products.jsonl": many.String(),
		"in/qrels.trec":                "1 0 a 3\n2 0 a 2\n",
		"in/a.trec":                    "1 Q0 a 1 3 r\n2 Q0 a 1 3 r\n",
		"in/b.trec":                    "1 Q0 a 1 3 r\n2 Q0 b 1 3 r\n2 Q0 a 2 2 r\n",
		"in/delta.safetensors":         string(delta),
	} {
		path := filepath.Join(w.root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"shop", "older", "many"} {
		w.must("import", "@in/"+name+".files", "--out", "@in/"+name)
	}
	return w
}

// provide makes the indexes that a writer reads, which take longer.
func (w *workshop) provide(one writer) {
	w.t.Helper()
	needs := func(name string) bool {
		_, err := os.Stat(w.paths([]string{name})[0])
		return err != nil && slices.Contains(slices.Concat(one.args, one.older), name)
	}
	if needs("@in/index") {
		w.must("index", "--catalog", "@in/shop", "--out", "@in/index")
	}
	if needs("@in/both") {
		w.must("model", "quantize", "e5-small-v2", "--name", "int8", "--out", "@in/int8")
		w.must("index", "--catalog", "@in/shop", "--model", "pretrained=e5-small-v2", "--model", "int8=@in/int8", "--out", "@in/both")
	}
}

// out is what is written, alone in its folder.
func (w *workshop) out() string { return filepath.Join(w.root, "try", "out") }

// tmp is the folder for temporary files.
func (w *workshop) tmp() string { return filepath.Join(w.root, "tmp") }

// paths puts the folder in the place of @.
func (w *workshop) paths(args []string) (out []string) {
	for _, a := range args {
		a = strings.ReplaceAll(a, "@out", w.out())
		out = append(out, strings.ReplaceAll(a, "@in", filepath.Join(w.root, "in")))
	}
	return out
}

func (w *workshop) must(args ...string) {
	w.t.Helper()
	mustRun(w.t, w.paths(args)...)
}

// fresh makes the folder of what is written as it is before each try. The files are
// links: none of them may ever be written to, which a test sees by their hashes.
func (w *workshop) fresh(template string) {
	w.t.Helper()
	err := errors.Join(os.RemoveAll(filepath.Join(w.root, "try")), os.RemoveAll(w.tmp()), os.MkdirAll(filepath.Join(w.root, "try"), 0o755), os.MkdirAll(w.tmp(), 0o755))
	if err == nil && template != "" {
		err = linked(template, w.out())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func linked(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		return os.Link(path, target)
	})
}

// command runs a writer as a process that puts its temporary files into tmp.
func (w *workshop) command(one writer, before ...string) *exec.Cmd {
	cmd := program(w.t, w.paths(one.args)...)
	if len(before) > 0 {
		cmd = exec.Command(before[0], append(before[1:], cmd.Args...)...)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+w.tmp(), "TRIRANK_MODELS="+os.Getenv("TRIRANK_MODELS"))
	return cmd
}

// prepared is a writer with what it starts from and what it makes undisturbed.
type prepared struct {
	writer
	w        *workshop
	template string            // a copy of what is there before; "": nothing
	before   map[string]string // its contents
	made     map[string][]byte // the files of same
	took     time.Duration
}

func (w *workshop) prepare(one writer) *prepared {
	w.t.Helper()
	p := &prepared{writer: one, w: w, made: map[string][]byte{}}
	w.provide(one)
	w.fresh("")
	if len(one.older) > 0 {
		w.must(one.older...)
		p.template = filepath.Join(w.root, "templates", one.name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p.template), 0o755), os.RemoveAll(p.template), os.Rename(w.out(), p.template)); err != nil {
			w.t.Fatal(err)
		}
		p.before = contents(w.t, p.template)
	}
	w.fresh(p.template)
	start := time.Now()
	p.again("undisturbed")
	p.took = time.Since(start)
	for _, name := range one.same {
		b, err := os.ReadFile(filepath.Join(w.out(), name))
		if err != nil || len(b) == 0 {
			w.t.Fatalf("%s: %d bytes, %v", name, len(b), err)
		}
		p.made[name] = b
	}
	if p.template != "" && maps.Equal(p.before, contents(w.t, w.out())) {
		w.t.Fatalf("%s makes what was there before, so nothing is tested", one.name)
	}
	return p
}

// whole checks what lies at out after a try, and says which it is.
func (p *prepared) whole(what string) string {
	p.w.t.Helper()
	out := p.w.out()
	if p.steps { // again tells whether that can be gone on with
		return "part"
	}
	if p.template == "" {
		if _, err := os.Lstat(out); err != nil {
			return "old"
		}
	}
	after := contents(p.w.t, out)
	state := "new"
	if maps.Equal(after, p.before) {
		state = "old"
	}
	if p.report {
		p.wholeReport(what, after)
		return state
	}
	if err := verifyNow(out); err != nil {
		p.w.t.Errorf("%s: %v", what, err)
	}
	return state
}

// wholeReport checks files that no checksum joins: all are the old ones or none is.
func (p *prepared) wholeReport(what string, after map[string]string) {
	old := 0
	for name, sum := range p.before {
		if now, ok := after[name]; !ok {
			p.w.t.Errorf("%s: %s is gone", what, name)
		} else if sum != "" && now == sum {
			old++
		}
	}
	if old > 0 && !maps.Equal(after, p.before) {
		p.w.t.Errorf("%s: files of two reports are mixed", what)
	}
}

func verifyNow(dir string) error {
	var out, errs bytes.Buffer
	if code := run([]string{"verify", dir}, &out, &errs); code != 0 {
		return fmt.Errorf("verify ends with %d: %s%s", code, &out, &errs)
	}
	return nil
}

// again runs the command without a fault: it succeeds, the output is whole, that of an
// undisturbed run where it can be, and nothing is left beside.
func (p *prepared) again(what string) {
	p.w.t.Helper()
	if b, err := p.w.command(p.writer).CombinedOutput(); err != nil {
		p.w.t.Errorf("%s: the same command again: %v\n%s", what, err, tail(string(b)))
		return
	}
	if !p.report {
		if err := verifyNow(p.w.out()); err != nil {
			p.w.t.Errorf("%s: after the same command again: %v", what, err)
		}
	}
	for name, want := range p.made {
		if got, _ := os.ReadFile(filepath.Join(p.w.out(), name)); !bytes.Equal(got, want) {
			p.w.t.Errorf("%s: after the same command again %s differs from that of an undisturbed run", what, name)
		}
	}
	for _, name := range p.w.left() {
		p.w.t.Errorf("%s: after the same command again, %s is left", what, name)
	}
}

// left lists what lies beside the output, in the folder for temporary files, and in the
// output under the name of a temporary file.
func (w *workshop) left() (names []string) {
	w.t.Helper()
	for _, dir := range []string{filepath.Dir(w.out()), w.tmp()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); path != w.out() {
				names = append(names, path)
			}
		}
	}
	err := filepath.WalkDir(w.out(), func(path string, d fs.DirEntry, err error) error {
		locked := d != nil && d.Name() == ".lock" // of runs and sweeps, which keep it
		if err == nil && !locked && (strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), ".partial")) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	return names
}

// unharmed checks that no try wrote into what was there before.
func (p *prepared) unharmed() {
	if p.template != "" && !maps.Equal(p.before, contents(p.w.t, p.template)) {
		p.w.t.Errorf("%s wrote into files that were there before", p.name)
	}
}

// tail is the end of what a process said.
func tail(s string) string { return s[max(0, len(s)-2000):] }
