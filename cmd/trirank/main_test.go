package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trirank/trirank/catalog"
)

// The test binary is the program as well, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"trirank": main})
}

// tests are all tests, after which what they share is removed.
type tests struct{ *testing.M }

// Run implements testscript.TestingM.
func (m tests) Run() int {
	code := m.M.Run()
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	return code
}

// shared holds the indexes of the sample, made when they are first asked for: encoding
// takes most of the time of a test that wants one.
var shared struct {
	dir               string
	sample, finetuned sync.Once
}

func TestScripts(t *testing.T) {
	shop := sampleIndex(t)
	delta, err := filepath.Abs("../../catalog/sample/finetuned.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       updating(),
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"external": externalCommand},
		Setup: func(e *testscript.Env) error {
			// An index of the sample that scripts may read.
			e.Setenv("SHOP", shop)
			// What makes the fine-tuned model of the sample.
			e.Setenv("DELTA", delta)
			for _, v := range []string{"TRIRANK_MODELS", "TRIRANK_ONNXRUNTIME", "TRIRANK_PJRT", "TRIRANK_REAL_DATA"} {
				e.Setenv(v, os.Getenv(v))
			}
			return nil
		},
	})
}

// updating reports whether golden files are to be written anew: make golden.
func updating() bool { return os.Getenv("TRIRANK_UPDATE") != "" }

// sampleIndex is an index of the sample catalogue, the test's own.
func sampleIndex(t testing.TB) string {
	return indexOnce(t, &shared.sample, "sample.index", func(root string) [][]string {
		return [][]string{{"index", "--catalog", "sample", "--out", filepath.Join(root, "sample.index")}}
	})
}

// indexOnce is a copy of an index that commands build in a folder, once for all tests.
func indexOnce(t testing.TB, once *sync.Once, name string, commands func(root string) [][]string) string {
	t.Helper()
	once.Do(func() {
		if shared.dir == "" {
			var err error
			if shared.dir, err = os.MkdirTemp("", "trirank-test"); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range commands(shared.dir) {
			var out, errs bytes.Buffer
			if code := run(args, &out, &errs); code != 0 {
				t.Fatalf("%q ends with %d: %s", args, code, errs.String())
			}
		}
	})
	dir := filepath.Join(t.TempDir(), "shop.index")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(shared.dir, name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// program returns a command that runs the test binary as trirank.
func program(t testing.TB, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// testscript.Main looks at the name by which it is called.
	name := filepath.Join(t.TempDir(), "trirank")
	if err := os.Symlink(exe, name); err != nil {
		t.Fatal(err)
	}
	return exec.Command(name, args...)
}

// TestKilled kills the program while it embeds, and goes on: the files are
// those of a run that nobody disturbed.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		name, partial, result string
		args                  func(out string) []string
	}{
		{"embed", "vectors.hashes.partial", "product_embeddings.npy", func(out string) []string {
			return []string{"embed", "--catalog", "sample", "--model", "e5-small-v2", "--out", out, "--resume"}
		}},
		{"index", "../out.work/pretrained/vectors.hashes.partial", "pretrained/vectors.npy", func(out string) []string {
			return []string{"index", "--catalog", "sample", "--out", out}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			out, undisturbed := filepath.Join(root, "out"), filepath.Join(root, "undisturbed")
			cmd := program(t, c.args(out)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The first of two chunks is on disk, with the hashes of its texts that
			// make it count; the second is being made. A kill may cut a write off.
			const hashes = 256 * 24
			for start := time.Now(); ; time.Sleep(time.Millisecond) {
				if info, err := os.Stat(filepath.Join(out, c.partial)); err == nil && info.Size() >= hashes {
					break
				}
				if time.Since(start) > time.Minute {
					cmd.Process.Kill()
					t.Fatal("nothing was written in a minute")
				}
			}
			cmd.Process.Kill()
			cmd.Wait()
			if _, err := os.Stat(filepath.Join(out, c.result)); err == nil {
				t.Fatal("it was killed too late to test anything")
			}
			if b, err := program(t, c.args(out)...).CombinedOutput(); err != nil || !strings.Contains(string(b), "183 encoded") && !strings.Contains(string(b), "183 vectors encoded") {
				t.Fatalf("going on: %v\n%s", err, b)
			}
			if b, err := program(t, c.args(undisturbed)...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			got, _ := os.ReadFile(filepath.Join(out, c.result))
			want, _ := os.ReadFile(filepath.Join(undisturbed, c.result))
			if len(want) == 0 || !bytes.Equal(got, want) {
				t.Errorf("%s differs from that of an undisturbed run", c.result)
			}
		})
	}
}

// TestKilledTraining kills a run of training and goes on with it: its record and
// what it learnt are those of a run that nobody disturbed.
func TestKilledTraining(t *testing.T) {
	root := t.TempDir()
	shop := filepath.Join(root, "shop")
	if err := os.Mkdir(shop, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"products.jsonl": `{"id": "p1", "title": "Garden hose 20 m"}
{"id": "p2", "title": "Wireless mouse black"}
{"id": "p3", "title": "Wired mouse"}
{"id": "p4", "title": "Office chair with arms"}
{"id": "p5", "title": "Chair mat"}
`,
		"judgments.csv": `query,product_id,esci_label
garden hose,p1,E
wireless mouse,p2,E
wireless mouse,p3,C
office chair,p4,E
desk chair,p4,E
desk chair,p5,C
`,
	} {
		if err := os.WriteFile(filepath.Join(shop, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cat := filepath.Join(root, "cat")
	if b, err := program(t, "import", shop, "--out", cat).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	train := func(name string, more ...string) *exec.Cmd {
		return program(t, append([]string{"train", "--catalog", cat, "--train", "adapter", "--batch", "2", "--epochs", "60", "--validation", "0.5",
			"--validate-each", "3", "--patience", "0", "--learning-rate", "1e-3", "--out", filepath.Join(root, name, "run")}, more...)...)
	}
	cmd := train("killed")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(root, "killed", "run")
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(killed, "checkpoints", "step-00000006")); err == nil {
			break
		}
		if time.Since(start) > 2*time.Minute {
			cmd.Process.Kill()
			t.Fatal("there is no checkpoint after two minutes")
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.Stat(filepath.Join(killed, "model")); err == nil {
		t.Fatal("it was killed too late to test anything")
	}
	if b, err := train("killed", "--resume").CombinedOutput(); err != nil || !strings.Contains(string(b), "going on with the rest") {
		t.Fatalf("going on: %v\n%s", err, b)
	}
	if b, err := train("undisturbed").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for _, name := range []string{"metrics.jsonl", "delta.safetensors", "model/model.onnx"} {
		got, _ := os.ReadFile(filepath.Join(killed, name))
		want, _ := os.ReadFile(filepath.Join(root, "undisturbed", "run", name))
		if len(want) == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s differs from that of an undisturbed run", name)
		}
	}
}

// serve starts the server as a process and returns its address, without the
// slash at the end, and what stops it.
func serve(t *testing.T, index string) (url string, stop func()) {
	cmd := program(t, "serve", "--index", index, "--addr", "127.0.0.1:0")
	var logs bytes.Buffer
	cmd.Stderr = &logs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if _, err := fmt.Fscanln(stdout, &url); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("no address: %v\n%s", err, logs.String())
	}
	return strings.TrimSuffix(url, "/"), func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("stopping: %v\n%s", err, logs.String())
		}
		if !strings.Contains(logs.String(), "msg=stopping") {
			t.Errorf("the log does not say that it stops:\n%s", logs.String())
		}
	}
}

// TestServe runs the server as a process: it answers, takes over a new index
// under load without an error, and stops when told.
func TestServe(t *testing.T) {
	index := sampleIndex(t)
	url, stop := serve(t, index)
	get := func(path string) (int, string) {
		resp, err := http.Get(url + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		return resp.StatusCode, b.String()
	}
	for path, want := range map[string]string{
		"/v1/compare?q=charger&k=3": `"system":"hybrid"`,
		"/v1/search?q=charger":      `"hits"`,
		"/v1/info":                  "There is no fine-tuned ranking yet",
		"/readyz":                   "",
		"/":                         "<title>",
	} {
		if code, body := get(path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}

	// A new generation, with other vectors, while requests come in.
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if code, body := get("/v1/compare?q=charger"); code != 200 {
				t.Errorf("request %d during the change: %d %.200s", n, code, body)
				break
			}
		}
		done <- n
	}()
	var out, errs bytes.Buffer
	if code := run([]string{"index", "--catalog", "sample", "--out", index, "--k1", "1.5"}, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, body := get("/v1/info"); strings.Contains(body, "k1 1.5") {
			break
		}
		if time.Since(start) > 2*time.Minute {
			t.Fatal("the new index does not serve")
		}
	}
	cancel()
	if n := <-done; n == 0 {
		t.Error("no request was made during the change")
	}
	stop()
}

// TestEveryCommandHasHelp checks what every command owes its user.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range newRootCommand().Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Short == "" || (c.Example == "" && !c.HasSubCommands()) {
			t.Errorf("%s has no summary or no example", c.Name())
		}
		for _, sub := range c.Commands() {
			if sub.Example == "" {
				t.Errorf("%s %s has no example", c.Name(), sub.Name())
			}
		}
	}
}

func TestSampleIsWhatTestsExpect(t *testing.T) {
	if n := catalog.Sample().Rows(); n != 439 {
		t.Errorf("the sample has %d products; TestKilled counts on 439", n)
	}
}
