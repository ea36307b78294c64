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
	"github.com/trirank/trirank/internal/regular"
)

// Opened is an index that Opening opens and closes.
type Opened interface {
	Open(ctx context.Context) (*engine.Engine, error)
	Close() error
}

// Opening times how long an index, which is closed at first and at the end, takes to
// open and its first request then takes: with its files, which lie in dirs, out of the
// system's cache, as after a start of the machine, and with them in it, as after a start
// of the server. The system keeps files that somebody has mapped, or had a moment ago: read-MB is
// what was read of disks, of files-MB.
func Opening(ctx context.Context, x Opened, dirs []string, r engine.Request) (results []Result, err error) {
	size := 0.
	for _, dir := range dirs {
		bytes, err := forget(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot take the files of %s out of the system's cache: %w", dir, err)
		}
		size += float64(bytes)
	}
	for _, files := range []string{"on disk", "in memory"} {
		out, err := opening(ctx, x, r)
		if err != nil {
			return nil, err
		}
		out.metric("files-MB", size/1e6)
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
	resp, err := e.Compare(ctx, r)
	if err != nil {
		return out, err
	}
	if err := rankingError(resp); err != nil {
		return out, err
	}
	out = Result{Name: "Open", Runs: 1}
	out.metric("open-s", opened.Sub(start).Seconds())
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
// returns their size. What cannot be read is not read when an index is opened either.
func forget(dir string) (size int64, err error) {
	files, err := filesIn(dir)
	if err != nil {
		return 0, err
	}
	for _, path := range files {
		f, err := regular.Open(path)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err == nil {
			err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		}
		if f.Close(); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		size += info.Size()
	}
	return size, nil
}

// filesIn returns the files in a folder, which may be a link, and those that links in it
// lead to.
func filesIn(dir string) (files []string, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}
