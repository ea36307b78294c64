package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/httpapi"
)

const (
	// reloadEvery is how often the server looks whether its index was built anew.
	reloadEvery = 2 * time.Second
	// longestReloadPause is how long it waits at most until it tries again to open one
	// that could not be opened; the first time it waits for reloadEvery.
	longestReloadPause = time.Minute
)

// reloader follows the generations of an index directory.
type reloader struct {
	dir     string
	open    store.OpenOptions
	log     *slog.Logger
	memory  *memory
	current atomic.Pointer[store.Index]
	seen    os.FileInfo // the manifest that current was opened with, or failed
}

func (r *reloader) manifest() os.FileInfo {
	info, err := os.Stat(filepath.Join(r.dir, "manifest.json"))
	if err != nil {
		return nil // between two renames of a build
	}
	return info
}

// check refuses, as wrong usage, what the index has no ranking for, by its manifest
// alone: opening all of it may take long.
func (r *reloader) check() error {
	m, err := store.ReadManifest(r.dir)
	if err != nil {
		return err
	}
	names := []string{"bm25"}
	for _, x := range m.Models {
		names = append(names, x.System)
	}
	for name := range r.open.Models {
		if !slices.Contains(names[1:], name) {
			return usageError("--model %s=…: index %s has no ranking %q that has a model (it has: %s)", name, r.dir, name, strings.Join(names, ", "))
		}
	}
	for _, name := range r.open.Bleve {
		if name != "bleve-bm25" && name != "bleve-tfidf" {
			return usageError("--bleve %q is neither bleve-bm25 nor bleve-tfidf", name)
		}
		names = append(names, name)
	}
	if f := r.open.Fusion; f != nil {
		for name := range f.Weights {
			if !slices.Contains(names, name) {
				return usageError("--fusion: index %s has no ranking %q (it has: %s)", r.dir, name, strings.Join(names, ", "))
			}
		}
	}
	return nil
}

func (r *reloader) load(ctx context.Context) error {
	r.seen = r.manifest()
	x, err := store.Open(ctx, r.dir, r.open)
	if err != nil {
		return err
	}
	r.current.Store(x)
	if len(x.Placement) == 0 {
		r.log.Info("the processor does everything")
	}
	for _, line := range x.Placement {
		r.log.Info(line)
	}
	return nil
}

// watch replaces the server's engine when the manifest is another one, or on
// hangup, until ctx ends. What fails is tried again until it does not.
func (r *reloader) watch(ctx context.Context, server *httpapi.Server, hangup <-chan os.Signal) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	var pause time.Duration // 0: nothing has failed
	var again time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-tick.C:
			now := r.manifest()
			changed := now != nil && (r.seen == nil || !os.SameFile(now, r.seen) || !now.ModTime().Equal(r.seen.ModTime()))
			if pause == 0 { // files that were written to in place are no index any more
				changed = changed || r.current.Load().Engine.Intact() != nil
			}
			if !changed && (pause == 0 || time.Now().Before(again)) {
				continue
			}
		}
		old := r.current.Load()
		if err := r.load(ctx); err != nil {
			if errors.Is(err, context.Canceled) {
				continue
			}
			pause = reloadPause(pause)
			again = time.Now().Add(pause)
			server.ReloadFailed(r.dir, err)
			r.log.Error("cannot take over the new index; the old one goes on, as far as its files are there", "error", err, "again_in", pause.String())
			r.memory.giveBack()
			continue
		}
		pause = 0
		x := r.current.Load()
		drained := server.SetEngine(x.Engine)
		server.ReloadDone()
		r.log.Info("the new index serves", "index", r.dir, "products", x.Manifest.Catalogue.Rows, "systems", x.Engine.Systems())
		// Aside: a request that is stuck in C must not keep the next index away.
		go func() {
			<-drained
			if err := old.Close(); err != nil {
				r.log.Error("cannot close the old index", "error", err)
			}
			r.memory.rebase()
		}()
	}
}

// reloadPause is how long to wait after a failure, and after those before it.
func reloadPause(last time.Duration) time.Duration {
	return min(max(2*last, reloadEvery), longestReloadPause)
}

// parseFusion reads --fusion, which may be empty.
func parseFusion(spec string) (*engine.Fusion, error) {
	if spec == "" {
		return nil, nil
	}
	f, err := engine.ParseFusion(spec)
	if err != nil {
		return nil, usageError("--fusion: %v", err)
	}
	return f, nil
}
