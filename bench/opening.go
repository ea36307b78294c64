package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/procfile"
)

// Opened is an index that Opening opens and closes.
type Opened interface {
	Open(ctx context.Context) (*engine.Engine, error)
	Close() error
}

// Opening times how long an index, which is closed at first and at the end, takes to
// open and its first request then takes: with its files, which lie in dirs, out of the
// system's cache, as after a start of the machine, and with them in it, as after a start
// of the server. A file that another process has mapped stays in the cache: read-MB is
// what was read of disks.
func Opening(ctx context.Context, x Opened, dirs []string, r engine.Request) (results []Result, err error) {
	for _, files := range []string{"on disk", "in memory"} {
		if files == "on disk" {
			for _, dir := range dirs {
				if err := forget(dir); err != nil {
					return nil, fmt.Errorf("cannot take the files of %s out of the system's cache: %w", dir, err)
				}
			}
		}
		out, err := opening(ctx, x, r)
		if err != nil {
			return nil, err
		}
		out.param("files", files)
		results = append(results, out)
	}
	return results, nil
}

func opening(ctx context.Context, x Opened, r engine.Request) (out Result, err error) {
	before, start := readBytes(), time.Now()
	e, err := x.Open(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	opened := time.Now()
	if _, err := e.Compare(ctx, r); err != nil {
		return out, err
	}
	out = Result{Name: "Open", Runs: 1}
	out.metric("s", opened.Sub(start).Seconds())
	out.metric("first-request-ms", float64(time.Since(opened).Microseconds())/1e3)
	out.metric("read-MB", (readBytes()-before)/1e6)
	return out, nil
}

// readBytes is how much this process had read of disks; 0 on systems that do not tell.
func readBytes() float64 {
	n, _ := strconv.ParseFloat(procfile.Value("/proc/self/io", "read_bytes"), 64)
	return n
}

// forget has the system drop from its cache what it keeps of the files in a folder, and
// of those that links in it lead to.
func forget(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil { // what is not written yet stays
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
