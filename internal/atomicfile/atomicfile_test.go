package atomicfile

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Write(path, func(w io.Writer) error {
		io.WriteString(w, "half")
		return broken
	})
	if !errors.Is(err, broken) || read(t, path) != "old" {
		t.Errorf("error %v, file %q", err, read(t, path))
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left, want 1", len(entries))
	}
}

func TestReplaceDir(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "d")
	os.Mkdir(path+".old", 0o755) // somebody's, not ours to touch
	for _, text := range []string{"one", "two"} {
		fresh := filepath.Join(root, "fresh")
		os.Mkdir(fresh, 0o755)
		os.WriteFile(filepath.Join(fresh, "f"), []byte(text), 0o644)
		if err := ReplaceDir(fresh, path); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(path, "f")); got != text {
			t.Errorf("the directory holds %q, want %q", got, text)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v; want d and d.old", entries, err)
	}
}

func TestBuildDir(t *testing.T) {
	root := t.TempDir()
	path, broken := filepath.Join(root, "new", "d"), errors.New("broken")
	build := func(text string, err error) error {
		return BuildDir(path, func(fresh string) error {
			return errors.Join(os.WriteFile(filepath.Join(fresh, "f"), []byte(text), 0o644), err)
		})
	}
	if err := build("one", nil); err != nil {
		t.Fatal(err)
	}
	if err := build("two", broken); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if got := read(t, filepath.Join(path, "f")); got != "one" {
		t.Errorf("after a failure the directory holds %q", got)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// TestReplaceDirUnderReaders looks all the while: there is never nothing.
func TestReplaceDirUnderReaders(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "d")
	put := func() {
		fresh := filepath.Join(root, "fresh")
		os.Mkdir(fresh, 0o755)
		os.WriteFile(filepath.Join(fresh, "f"), nil, 0o644)
		if err := ReplaceDir(fresh, path); err != nil {
			t.Fatal(err)
		}
	}
	put()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := os.Stat(path); err != nil {
					t.Errorf("a reader finds nothing: %v", err)
					return
				}
			}
		}
	}()
	for range 50 {
		put()
	}
	close(stop)
	<-stopped
}

// TestKilled kills a process that writes, again and again: the next one removes what it
// left, and neither what a running one uses nor what is not ours.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("ATOMICFILE_TEST_DIR"); dir != "" {
		write := func(w io.Writer) error {
			io.WriteString(w, "half")
			os.WriteFile(filepath.Join(dir, "ready"), nil, 0o644)
			time.Sleep(time.Hour)
			return nil
		}
		if os.Getenv("ATOMICFILE_TEST_WHAT") == "file" {
			Write(filepath.Join(dir, "target"), write)
		}
		BuildDir(filepath.Join(dir, "target"), func(fresh string) error {
			return Write(filepath.Join(fresh, "f"), write)
		})
	}
	for _, what := range []string{"file", "dir"} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			others := []string{".target.tmp-1", ".target.tmp-mine", ".other.tmp-2", "target.tmp-3"}
			for _, name := range others {
				os.Mkdir(filepath.Join(dir, name), 0o755)
				os.WriteFile(filepath.Join(dir, name, "mine.txt"), nil, 0o644)
			}
			start := func() *exec.Cmd {
				cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
				cmd.Env = append(os.Environ(), "ATOMICFILE_TEST_DIR="+dir, "ATOMICFILE_TEST_WHAT="+what)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
				for start := time.Now(); ; time.Sleep(time.Millisecond) {
					if os.Remove(filepath.Join(dir, "ready")) == nil {
						return cmd
					}
					if time.Since(start) > time.Minute {
						t.Fatal("the process did not begin to write in a minute")
					}
				}
			}
			left := func() int {
				names, err := filepath.Glob(filepath.Join(dir, ".target.tmp-*", lockName))
				if err != nil {
					t.Fatal(err)
				}
				return len(names)
			}
			killed := start()
			killed.Process.Kill()
			killed.Wait()
			if left() != 1 {
				t.Fatalf("a killed process left %d folders, want 1", left())
			}
			start() // goes on running, and has removed the other's
			if left() != 1 {
				t.Errorf("%d folders beside a running process, want its own", left())
			}
			if err := WriteBytes(filepath.Join(dir, "target"), []byte("whole")); err != nil {
				t.Fatal(err)
			}
			if left() != 1 {
				t.Errorf("what a running process uses was removed")
			}
			for _, name := range others {
				if _, err := os.Stat(filepath.Join(dir, name, "mine.txt")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestCleanPutsBack is of a process that was killed between the two moves that replace
// a folder where it cannot be exchanged.
func TestCleanPutsBack(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".d.tmp-7")
	os.MkdirAll(filepath.Join(left, replacedName), 0o755)
	os.WriteFile(filepath.Join(left, replacedName, "f"), []byte("old"), 0o644)
	os.WriteFile(filepath.Join(left, lockName), nil, 0o644)
	if err := Clean(dir); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "d", "f")); got != "old" {
		t.Errorf("what was there is %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
}

func TestResolve(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(root, name) }
	os.MkdirAll(at("real/sub"), 0o755)
	for link, to := range map[string]string{
		"link": "real", "absolute": at("real"), "dangling": "real/new", "chain": "dangling", "real/sub/up": "../new", "far": at("none/new"), "round": "round",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"real": "real", "link": "real", "absolute": "real", "dangling": "real/new", "chain": "real/new",
		"link/sub/up": "real/new", "link/none/x": "real/none/x", "far": "none/new", "new": "new", "dangling/x": "real/new/x",
	} {
		if got, err := Resolve(at(path)); got != at(want) || err != nil {
			t.Errorf("Resolve(%s) = %s, %v; want %s", path, got, err, at(want))
		}
	}
	if got, err := Resolve(at("round")); err == nil {
		t.Errorf("a link to itself leads to %s", got)
	}
	// A folder is built where the link leads to, which stays one.
	for _, link := range []string{"link", "chain"} {
		err := BuildDir(at(link), func(fresh string) error {
			if !strings.HasPrefix(fresh, root+"/.real.tmp-") && !strings.HasPrefix(fresh, at("real/.new.tmp-")) {
				t.Errorf("%s is built in %s", link, fresh)
			}
			return os.WriteFile(filepath.Join(fresh, "f"), []byte(link), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(at(link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more", link)
		}
		if got := read(t, filepath.Join(at(link), "f")); got != link {
			t.Errorf("%s: %q", link, got)
		}
	}
}
