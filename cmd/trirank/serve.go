package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/internal/gpustat"
	"github.com/trirank/trirank/internal/processors"
)

// reloadEvery is how often the server looks whether its index was built anew.
const reloadEvery = 2 * time.Second

// maxRecent bounds --cache: what is kept of a query takes 5 to 20 KB.
const maxRecent = 100_000

func newServeCommand() *cobra.Command {
	var index, addr, logFormat, logLevel, fusion string
	var models, bleve []string
	var recent int
	var device store.Device
	var o httpapi.Options
	c := &cobra.Command{
		Use:   "serve --index INDEX",
		Short: "Serve the page and the HTTP API",
		Long: `Serve answers on ADDR: the page at /, the API under /v1 (described by
/openapi.yaml), /livez, /readyz and /metrics.

When INDEX is built anew, or on SIGHUP, the new one takes over without a request
being dropped; if it cannot be opened, the old one goes on and the log says why.
Ctrl-C stops when the requests under way are answered.`,
		Example: `  trirank serve --index shop.index
  trirank serve --index shop.index --addr 0.0.0.0:80 --max-concurrent 64 --request-timeout 2s`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&index, "index", "", "index directory")
	f.StringVar(&addr, "addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	f.StringVar(&fusion, "fusion", "", "the fused ranking, instead of the index's own")
	f.StringArrayVar(&models, "model", nil, "where the model of a ranking is, if it was moved: NAME=DIR; may be repeated")
	f.StringSliceVar(&bleve, "bleve", nil, "add rankings by bleve's own scoring: bleve-bm25, bleve-tfidf")
	deviceFlag(c, &device)
	f.IntVar(&recent, "cache", 4096, "queries whose rankings are kept for when they are asked again, 5 to 20 KB each, at most 100000; with 0 only their vectors are")
	f.DurationVar(&o.RequestTimeout, "request-timeout", 10*time.Second, "from a request's arrival to its answer")
	f.IntVar(&o.MaxConcurrent, "max-concurrent", 0, "requests that work at a time (default 4 for each processor)")
	f.IntVar(&o.MaxQueue, "max-queue", 0, "requests that wait for their turn (default 8 times --max-concurrent; -1: none)")
	f.DurationVar(&o.QueueWait, "queue-wait", 2*time.Second, "how long they wait before they are told to come back")
	f.IntVar(&o.MaxBatch, "max-batch", 100, "queries in one POST /v1/compare")
	f.IntVar(&o.MaxInputs, "max-inputs", 256, "texts in one POST /v1/embeddings")
	f.IntVar(&o.MaxBody, "max-body", 1<<20, "bytes of a request's body")
	f.IntVar(&o.MaxConnections, "max-connections", 10_000, "connections open at a time")
	f.DurationVar(&o.Grace, "grace", 15*time.Second, "how long a stopping server waits for requests under way")
	f.DurationVar(&o.DrainDelay, "drain-delay", 0, "how long it goes on accepting requests while /readyz already fails")
	f.DurationVar(&o.SlowQuery, "slow-query", time.Second, "requests that take longer are logged as slow")
	f.StringSliceVar(&o.AllowOrigins, "allow-origin", nil, "web origin whose pages may call the API, or *")
	f.StringVar(&logFormat, "log-format", "text", "text or json, on standard error")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error; each request is a line of info")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		if err := o.Validate(); err != nil {
			return usageError("%v", err)
		}
		if err := within("cache", 0, maxRecent, recent); err != nil {
			return err
		}
		logger, err := newLogger(c.ErrOrStderr(), logFormat, logLevel)
		if err != nil {
			return err
		}
		o.Logger, o.Version = logger, version
		_, dirs, err := modelFlag(models)
		if err != nil {
			return err
		}
		open := store.OpenOptions{Models: dirs, Bleve: bleve, Recent: recent, Device: device}
		if fusion != "" {
			if open.Fusion, err = engine.ParseFusion(fusion); err != nil {
				return usageError("--fusion: %v", err)
			}
		}
		processors.ShareWithC()
		// The address first: it may be taken, and opening an index takes time.
		ln, err := new(net.ListenConfig).Listen(c.Context(), "tcp", addr)
		if err != nil {
			return fmt.Errorf("cannot serve on %s: %w (choose another with --addr, or with make run ADDR=HOST:PORT)", addr, err)
		}
		defer ln.Close()
		r := &reloader{dir: index, open: open, log: logger}
		if err := r.load(c.Context()); err != nil {
			return err
		}
		// Without a driver there is nothing to tell.
		gpus, err := gpustat.Open()
		if err == nil {
			defer gpus.Close()
		}
		o.ExtraMetrics = func(w io.Writer) {
			gpus.WriteMetrics(w)
			r.current.Load().WriteMetrics(w)
		}
		x := r.current.Load()
		server := httpapi.New(x.Engine, o)
		logger.Info("serving", "index", index, "products", x.Manifest.Catalogue.Rows, "systems", x.Engine.Systems())
		fmt.Fprintf(c.OutOrStdout(), "http://%s/\n", ln.Addr())

		ctx, stop := context.WithCancel(c.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			r.watch(ctx, server)
		}()
		err = server.Serve(ctx, ln)
		stop()
		<-watched
		if err != nil {
			return err // a request may still use the index: the end of the process closes it
		}
		return r.current.Load().Close()
	}
	return c
}

// collectLessOften lets garbage grow to a size that is small beside what FAISS and ONNX
// Runtime take, where what Go itself keeps is so little that it would be looked
// through dozens of times a second. Settings of GOGC and GOMEMLIMIT stand.
func collectLessOften() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	const garbage = 128 << 20
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(int(min(400, max(100, garbage*100/max(1, m.HeapAlloc)))))
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{}
	switch level {
	case "debug":
		o.Level = slog.LevelDebug
	case "info":
		o.Level = slog.LevelInfo
	case "warn":
		o.Level = slog.LevelWarn
	case "error":
		o.Level = slog.LevelError
	default:
		return nil, usageError("--log-level %q is none of debug, info, warn and error", level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usageError("--log-format %q is neither text nor json", format)
}

// reloader follows the generations of an index directory.
type reloader struct {
	dir     string
	open    store.OpenOptions
	log     *slog.Logger
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

func (r *reloader) load(ctx context.Context) error {
	r.seen = r.manifest()
	x, err := store.Open(ctx, r.dir, r.open)
	if err != nil {
		return err
	}
	r.current.Store(x)
	collectLessOften()
	if len(x.Placement) == 0 {
		r.log.Info("the processor does everything")
	}
	for _, line := range x.Placement {
		r.log.Info(line)
	}
	return nil
}

// watch replaces the server's engine when the manifest is another one, or on
// SIGHUP, until ctx ends.
func (r *reloader) watch(ctx context.Context, server *httpapi.Server) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-tick.C:
			now := r.manifest()
			if now == nil || r.seen != nil && os.SameFile(now, r.seen) && now.ModTime().Equal(r.seen.ModTime()) {
				continue
			}
		}
		old := r.current.Load()
		if err := r.load(ctx); err != nil {
			if !errors.Is(err, context.Canceled) {
				r.log.Error("cannot take over the new index; the old one goes on", "error", err)
			}
			continue
		}
		x := r.current.Load()
		drained := server.SetEngine(x.Engine)
		r.log.Info("the new index serves", "index", r.dir, "products", x.Manifest.Catalogue.Rows, "systems", x.Engine.Systems())
		<-drained
		if err := old.Close(); err != nil {
			r.log.Error("cannot close the old index", "error", err)
		}
	}
}
