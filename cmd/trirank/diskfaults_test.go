package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// diskFault is a call of the system that fails, as strace makes it fail: whoever makes
// the call, Go or C++, no layer of ours lies between.
type diskFault struct {
	call  string
	errno syscall.Errno
}

// diskFaults are all that are tried. A processor has some of the calls only.
func diskFaults() (all []diskFault) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		all = append(all, diskFault{"write", errno}, diskFault{"pwrite64", errno})
	}
	for _, call := range []string{"fsync", "fdatasync", "truncate", "ftruncate"} {
		all = append(all, diskFault{call, syscall.EIO})
	}
	for _, call := range []string{"rename", "renameat", "renameat2", "mkdir", "mkdirat", "link", "linkat", "openat"} {
		all = append(all, diskFault{call, syscall.ENOSPC})
	}
	return all
}

// TestDiskFaults makes every write, sync and move of an import fail in turn.
// TestLongDiskFaults does so with all commands that write, and all calls.
func TestDiskFaults(t *testing.T) {
	quick := slices.DeleteFunc(diskFaults(), func(f diskFault) bool {
		return f.call == "openat" || f.call == "write" && f.errno == syscall.EIO
	})
	failAll(t, []string{"import"}, quick, func(writer) int { return 60 })
}

// failAll makes calls of the writers of these names fail one by one, at most so many of
// each kind as most says.
func failAll(t *testing.T, names []string, kinds []diskFault, most func(writer) int) {
	needStrace(t)
	all := slices.DeleteFunc(writers(), func(w writer) bool { return !slices.Contains(names, w.name) })
	w := newWorkshop(t)
	for _, one := range all {
		t.Run(one.name, func(t *testing.T) {
			w := &workshop{t, w.root}
			p := w.prepare(one)
			counts := p.count(kinds)
			for _, kind := range kinds {
				n := counts[kind.call]
				if n == 0 {
					continue
				}
				tried, found := 0, map[string]int{}
				for _, at := range spread(n, most(one)) {
					found[p.fail(kind, at)]++
					tried++
				}
				t.Logf("%s %v: %d calls of a thread at most, %d tried: %v", kind.call, kind.errno, n, tried, found)
			}
			p.unharmed()
		})
	}
}

// needStrace fails a test where strace is not installed, and skips it where the kernel
// lets nobody look into another process.
func needStrace(t *testing.T) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "inject=fsync:error=EIO:when=1", "true")
	cmd.Stderr = &errs
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		t.Fatal("strace is not there (apt-get install -y strace)")
	case err != nil && (strings.Contains(errs.String(), syscall.EPERM.Error()) || strings.Contains(errs.String(), "Operation not permitted")):
		t.Skipf("the kernel does not let strace work: %s", &errs)
	case err != nil:
		t.Fatalf("strace: %v\n%s", err, &errs)
	}
}

// spread is 1 to n, or some of them at equal distances, with both ends.
func spread(n, most int) (out []int) {
	if n <= most {
		for i := range n {
			out = append(out, i+1)
		}
		return out
	}
	for i := range most {
		out = append(out, 1+i*(n-1)/max(most-1, 1))
	}
	return out
}

func (p *prepared) strace(calls string, more ...string) *exec.Cmd {
	args := []string{"strace", "-f", "-qq", "-y", "-s", "0", "--seccomp-bpf", "-o", p.w.log(), "-e", "signal=none", "-e", "trace=" + calls}
	return p.w.command(p.writer, append(args, more...)...)
}

func (w *workshop) log() string { return filepath.Join(w.root, "strace.log") }

var tracedCall = regexp.MustCompile(`^(\d+) +(\w+)\(`)

// count runs the command undisturbed and returns how often each call is made by the
// thread that makes it most often. strace counts by threads, and so the Nth of each
// thread fails; threads take turns, so that the next run may spread them otherwise.
func (p *prepared) count(kinds []diskFault) map[string]int {
	p.w.t.Helper()
	var names []string
	for _, kind := range kinds {
		names = append(names, "?"+kind.call)
	}
	p.w.fresh(p.template)
	if b, err := p.strace(strings.Join(names, ",")).CombinedOutput(); err != nil {
		p.w.t.Fatalf("under strace: %v\n%s", err, b)
	}
	log, err := os.ReadFile(p.w.log())
	if err != nil {
		p.w.t.Fatal(err)
	}
	most, calls := map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(log)) {
		if m := tracedCall.FindStringSubmatch(line); m != nil {
			calls[m[0]]++
			most[m[2]] = max(most[m[2]], calls[m[0]])
		}
	}
	return most
}

// crash is what a process says that does not end as it should.
var crash = regexp.MustCompile(`(?m)^panic:|^fatal error:|^goroutine \d|SIG[A-Z]{3,}|terminate called|runtime:`)

// fail makes the call of this number fail in every thread, and then runs the command
// again without.
func (p *prepared) fail(kind diskFault, at int) (found string) {
	t := p.w.t
	t.Helper()
	p.w.fresh(p.template)
	cmd := p.strace(kind.call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", kind.call, map[syscall.Errno]string{syscall.ENOSPC: "ENOSPC", syscall.EIO: "EIO"}[kind.errno], at))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	log, _ := os.ReadFile(p.w.log())
	var hit []string
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "(INJECTED)") {
			hit = append(hit, strings.TrimSpace(line))
		}
	}
	what := fmt.Sprintf("%s, %s %d fails with %v: %s", p.name, kind.call, at, kind.errno, strings.Join(hit, "; "))
	onDisk := slices.ContainsFunc(hit, func(line string) bool { return strings.Contains(line, p.w.root) })
	text := errs.String()
	switch {
	case len(hit) == 0:
		found = "not reached, " // calls are not always made by the same threads
	case slices.ContainsFunc(hit, func(line string) bool { return strings.Contains(line, "[event") }):
		return "an event of Go's or a library's own failed too"
	case !onDisk && slices.ContainsFunc(hit, func(line string) bool { return strings.Contains(line, "\"/sys/") || strings.Contains(line, "\"/proc/") }):
		return "the system's own file"
	case crash.MatchString(text):
		t.Errorf("%s\nit crashes: %s", what, tail(text))
	case err == nil:
		found = "0, "
		if slices.ContainsFunc(hit, func(line string) bool { return strings.Contains(line, " write(1<") }) {
			t.Errorf("%s\nit ends with 0, though standard output lost something", what)
		}
	default:
		found = "refused, "
		// Where a file cannot be opened for reading, it may pass for none.
		wrote := slices.ContainsFunc(hit, func(line string) bool {
			return strings.Contains(line, p.w.root) && (kind.call != "openat" || strings.Contains(line, "O_CREAT"))
		})
		// strace fails the call of this number in every thread: where standard error is hit
		// as well, nothing can be said.
		mute := slices.ContainsFunc(hit, func(line string) bool { return strings.Contains(line, " write(2<") })
		if wrote && !mute && !namesFault(text, kind, p.w.root) {
			t.Errorf("%s\nthe error does not say what failed: %s", what, tail(text))
		}
	}
	found += p.whole(what)
	if err == nil && len(hit) > 0 && !p.steps && strings.HasSuffix(found, "old") {
		t.Errorf("%s\nit ends with 0, and nothing was written", what)
	}
	p.again(what)
	return found
}

// namesFault reports whether an error says why, and to what or at what.
func namesFault(text string, kind diskFault, root string) bool {
	lower := strings.ToLower(text)
	why := strings.Contains(lower, strings.ToLower(kind.errno.Error()))
	return why && (strings.Contains(text, root) || strings.Contains(text, "cannot ") || strings.Contains(text, kind.call+" "))
}
