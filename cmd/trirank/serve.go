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
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/internal/gpustat"
	"github.com/trirank/trirank/internal/processors"
	"github.com/trirank/trirank/train/heap"
)

// maxRecent bounds --cache: what is kept of a query takes 5 to 20 KB.
const maxRecent = 100_000

func newServeCommand() *cobra.Command {
	var index, addr, logFormat, logLevel, fusion, limit string
	body, bodies, answers := byteSize(1<<20), byteSize(64<<20), byteSize(128<<20)
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
being dropped; if it cannot be opened, the old one goes on, and it is tried again:
the log, /readyz and /metrics say so.

Nobody can take all there is: connections, requests at work, the bytes of bodies
and of answers, and memory as a whole are bounded. What is beyond gets status 429
or 503 with Retry-After; /livez, /readyz and /metrics are answered all the same.

On an address that only this machine reaches, such as 127.0.0.1, requests must be
for this machine by their Host header. A proxy that hands on its client's Host
needs --allow-host.

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
	f.IntVar(&o.MaxHits, "max-hits", 10_000, "products in the answer to one POST /v1/compare: the sum of k times the number of systems")
	f.Var(&body, "max-body", "size of a request's body")
	f.IntVar(&o.MaxConnections, "max-connections", 10_000, "connections open at a time; for one more the longest idle is closed")
	f.Var(&bodies, "body-memory", "memory for all bodies that are read or worked on at a time")
	f.Var(&answers, "answer-memory", "memory for all answers that are worked out or sent at a time")
	f.StringVar(&limit, "memory-limit", "80%", "memory from which on work is refused, without that of mapped files: a size, a share of the container's or the machine's, or 0 for none")
	f.DurationVar(&o.Grace, "grace", 15*time.Second, "how long a stopping server waits for requests under way")
	f.DurationVar(&o.DrainDelay, "drain-delay", 0, "how long it goes on accepting requests while /readyz already fails")
	f.DurationVar(&o.SlowQuery, "slow-query", time.Second, "requests that take longer are logged as slow")
	f.StringSliceVar(&o.AllowOrigins, "allow-origin", nil, "web origin whose pages may call the API, or *")
	f.StringSliceVar(&o.AllowHosts, "allow-host", nil, "host that requests may be for by their Host header, or *")
	f.StringVar(&logFormat, "log-format", "text", "text or json, on standard error")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error; each request is a line of info")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		o.MaxBody, o.BodyMemory, o.AnswerMemory = int(body), int(bodies), int(answers)
		if err := o.Validate(); err != nil {
			return usageError("%s", fieldName.ReplaceAllStringFunc(err.Error(), flagOf))
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
		if open.Fusion, err = parseFusion(fusion); err != nil {
			return err
		}
		most, err := memoryLimit(limit)
		if err != nil {
			return err
		}
		processors.ShareWithC()
		heap.FewArenas()
		// The address first: it may be taken, and opening an index takes time.
		ln, err := listen(c.Context(), addr)
		if err != nil {
			return err
		}
		defer ln.Close()
		hangup := make(chan os.Signal, 1) // by itself it would end the program
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		m := newMemory(most, logger)
		r := &reloader{dir: index, open: open, log: logger, memory: m}
		if err := r.check(); err != nil {
			return err
		}
		// Opening may be in C, which nothing interrupts; the end of the process does.
		loaded := make(chan error, 1)
		go func() { loaded <- r.load(c.Context()) }()
		select {
		case err = <-loaded:
		case <-c.Context().Done():
			err = c.Context().Err()
		}
		if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
			logger.Info("stopped before the index was open")
			return nil
		}
		if err != nil {
			return err
		}
		m.rebase()
		if held := m.held.Load(); most > 0 && held > most {
			return fmt.Errorf("cannot serve index %s: it takes %d MB of memory, and --memory-limit is %d MB (raise it)", index, held>>20, most>>20)
		}
		// Without a driver there is nothing to tell.
		gpus, err := gpustat.Open()
		if err == nil {
			defer gpus.Close()
		}
		o.ExtraMetrics = func(w io.Writer) {
			gpus.WriteMetrics(w)
			m.WriteMetrics(w)
			r.current.Load().WriteMetrics(w)
		}
		o.Shed = m.why
		x := r.current.Load()
		server := httpapi.New(x.Engine, o)
		logger.Info("serving", "index", index, "products", x.Manifest.Catalogue.Rows, "systems", x.Engine.Systems())
		fmt.Fprintf(c.OutOrStdout(), "http://%s/\n", ln.Addr())

		ctx, stop := context.WithCancel(c.Context())
		var watchers sync.WaitGroup
		watchers.Go(func() { r.watch(ctx, server, hangup) })
		watchers.Go(func() { m.watch(ctx) })
		err = server.Serve(ctx, ln)
		stop()
		watchers.Wait()
		if err != nil {
			return err // a request may still use the index: the end of the process closes it
		}
		return r.current.Load().Close()
	}
	return c
}

// listen takes an address, and an error that says what is wrong with it for wrong usage.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		return ln, nil
	}
	err = fmt.Errorf("cannot serve on %s: %w (choose another with --addr, or with make run ADDR=HOST:PORT)", addr, err)
	var malformed *net.AddrError
	var unknown *net.DNSError
	if errors.As(err, &malformed) || errors.As(err, &unknown) {
		return nil, usageError("--addr %q is not HOST:PORT: %w", addr, err)
	}
	return nil, err
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

// fieldName is the name of a field of httpapi.Options at the start of an error of
// Validate, which are parted by lines.
var fieldName = regexp.MustCompile(`(?m)^[A-Z][A-Za-z]+`)

// flagOf names the flag of a field: its words in small letters. Of lists, a flag gives one.
func flagOf(field string) string {
	words := regexp.MustCompile(`[A-Z][a-z]*`).FindAllString(field, -1)
	name := strings.ToLower(strings.Join(words, "-"))
	if strings.HasPrefix(name, "allow-") {
		name = strings.TrimSuffix(name, "s")
	}
	return "--" + name
}
