package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/bench"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/internal/processors"
)

func newBenchLatencyCommand() *cobra.Command {
	var o benchFlags
	lo := bench.LatencyOptions{}
	c := &cobra.Command{
		Use:   "latency --index INDEX",
		Short: "How long each stage of a request takes",
		Long: `Latency asks the judged queries of an index, over and over, and times what happens
inside: encoding and searching of each ranking, fusion, reading the products, writing
JSON, and the whole. First cold, each query with a word more so that it is encoded
anew, then warm, with query vectors from the cache. HTTP is not part of it: see
trirank bench load. At last the index is opened anew, its files once from disk and
once from the system's cache.`,
		Example: `  trirank bench latency --index shop.index
  trirank bench latency --index shop.index --clients 1,2,8 --budget 20s --out latency`,
		Args: cobra.NoArgs,
	}
	o.add(c.Flags())
	deviceFlag(c, &o.device)
	c.Flags().StringVar(&o.judgments, "judgments", "", "whose queries are asked (default: those of the index)")
	c.Flags().DurationVar(&lo.Budget, "budget", 5*time.Second, "how long each number of clients asks")
	c.Flags().IntSliceVar(&lo.Clients, "clients", []int{1, 4}, "how many ask at the same time")
	c.Flags().IntVar(&lo.K, "k", 10, "products that are shown of each ranking")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		if err := cmp.Or(within("budget", time.Millisecond, longest, lo.Budget), within("k", 1, engine.MaxK, lo.K), within("clients", 1, bench.MaxClients, lo.Clients...)); err != nil {
			return err
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		lo.Step = b.step
		s := bench.Section{
			Title: "Stages of a request",
			Text:  "Times of requests that follow each other; a percentile is told where enough was measured beyond it. rank is all rankings side by side. Cold: each query is encoded; warm: its vector is in the cache.",
		}
		if err := b.open(c.Context()); err != nil {
			return err
		}
		processors.ShareWithC() // as serve does
		for _, warm := range []bool{false, true} {
			b.step(map[bool]string{false: "cold queries", true: "warm queries"}[warm])
			lo.Warm = warm
			results, err := bench.Latency(c.Context(), b.x.Engine, b.texts, lo)
			if err != nil {
				return err
			}
			s.Results = append(s.Results, results...)
		}
		sections := []bench.Section{s}
		opening, failed := b.opening(c.Context(), lo.K)
		if failed == nil {
			sections = append(sections, *opening)
		}
		return cmp.Or(b.report("Latency", sections...), failed) // what was measured is not lost
	}
	return c
}

// opening times how long the index takes to open; it is closed then.
func (b *benching) opening(ctx context.Context, k int) (*bench.Section, error) {
	dirs := []string{b.index}
	for _, m := range b.x.Manifest.Models {
		space, _ := b.x.Space(m.System)
		dirs = append(dirs, space.Model())
	}
	if err := b.x.Close(); err != nil {
		return nil, err
	}
	b.step("opening the index anew")
	results, err := bench.Opening(ctx, &reopened{benching: b}, dirs, engine.Request{Query: b.texts[0], K: k})
	return &bench.Section{
		Title: "Opening", Results: results,
		Text: "How long the index takes to open, every file checked against its hash, and the first request takes then: with its files and those of the models on disk, as after a start of the machine, and in the system's cache. read-MB is what was read of disks, of files-MB: what a process has mapped, or had a moment ago, stays in the cache, and so do the program and its libraries.",
	}, err
}

// reopened implements bench.Opened.
type reopened struct {
	*benching
	again *store.Index
}

// Open implements bench.Opened.
func (r *reopened) Open(ctx context.Context) (_ *engine.Engine, err error) {
	if r.again, err = r.openIndex(ctx); err != nil {
		return nil, err
	}
	return r.again.Engine, nil
}

// Close implements bench.Opened.
func (r *reopened) Close() error { return r.again.Close() }

func newBenchEncodeCommand() *cobra.Command {
	var o benchFlags
	var models []string
	var threads, sessions, batches []int
	var budget time.Duration
	c := &cobra.Command{
		Use:   "encode --index INDEX --encoder MODEL...",
		Short: "How fast models encode queries and products",
		Long: `Encode times models on the queries and product titles of an index, over threads of
one batch, batches at a time, and tokens of a batch. Several models are timed in one
run, so that their ratio means something.`,
		Example: `  trirank bench encode --index shop.index --encoder e5-small-v2 --encoder e5-small-v2-int8
  trirank bench encode --index shop.index --encoder runs/a/model --threads 1,2 --sessions 1,2 --out encode`,
		Args: cobra.NoArgs,
	}
	o.add(c.Flags())
	f := c.Flags()
	f.StringArrayVar(&models, "encoder", []string{defaultModel}, "model to time: a directory or a name; any number of times")
	f.IntSliceVar(&threads, "threads", []int{1, 2}, "threads of a batch")
	f.IntSliceVar(&sessions, "sessions", []int{1, 2}, "batches at a time")
	f.IntSliceVar(&batches, "batch-tokens", []int{1024}, "tokens of a batch, padding included")
	f.DurationVar(&budget, "budget", 3*time.Second, "how long each setting is timed, for queries and for products")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		const most = 256
		if err := cmp.Or(within("threads", 1, most, threads...), within("sessions", 1, most, sessions...), within("batch-tokens", 1, 1<<20, batches...),
			within("budget", time.Millisecond, longest, budget)); err != nil {
			return err
		}
		var settings []bench.EncodeSetting
		for _, t := range threads {
			for _, n := range sessions {
				for _, tokens := range batches {
					settings = append(settings, bench.EncodeSetting{Threads: t, Sessions: n, BatchTokens: tokens})
				}
			}
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		s, err := b.encode(c.Context(), models, settings, budget)
		if err != nil {
			return err
		}
		return b.report("Encoding", *s)
	}
	return c
}

func (b *benching) encode(ctx context.Context, models []string, settings []bench.EncodeSetting, budget time.Duration) (*bench.Section, error) {
	var dirs []string
	for _, model := range models { // before any is timed
		dir, err := store.FindModel(model)
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	rows := b.x.Manifest.Catalogue.Rows
	titles := make([]string, min(2000, rows))
	for i := range titles { // evenly spread
		p, err := b.x.Row(i * rows / len(titles))
		if err != nil {
			return nil, err
		}
		titles[i] = p.Title
	}
	s := &bench.Section{
		Title: "Queries and products by setting",
		Text:  "Threads work on one batch, sessions are batches at a time. Queries are encoded one by one, by as many clients as there are sessions; products in batches.",
		Plots: []bench.Plot{{X: bench.Median, Y: "queries/s", Series: "model"}},
	}
	for i, model := range models {
		open := func(x bench.EncodeSetting) (*encoder.Encoder, error) {
			return onnx.Open(dirs[i], onnx.Options{Threads: x.Threads, Encoder: encoder.Options{Parallel: x.Sessions, BatchTokens: x.BatchTokens}})
		}
		b.step("timing " + model)
		results, err := bench.Encode(ctx, settings, open, bench.EncodeOptions{Model: model, Queries: b.texts, Passages: titles, Budget: budget, Step: b.step})
		if err != nil {
			return nil, err
		}
		s.Results = append(s.Results, results...)
		enc, err := open(settings[0])
		if err != nil {
			return nil, err
		}
		r, err := bench.Tokenize(ctx, enc, model, b.texts, budget/4)
		if err = errors.Join(err, enc.Close()); err != nil {
			return nil, err
		}
		s.Results = append(s.Results, r)
	}
	return s, nil
}

func newBenchLoadCommand() *cobra.Command {
	var o benchFlags
	var url string
	lo := bench.LoadOptions{}
	var server store.Device
	c := &cobra.Command{
		Use:   "load --index INDEX [--url URL]",
		Short: "How many requests a second a server answers, and what happens beyond",
		Long: `Load sends requests to a server at fixed rates, whether or not it keeps up, and times
each from the moment at which it was due. Without --rate it looks for the knee, the
highest rate whose p99 stays below --limit, and then sends twice as many.

Without --url a server of INDEX is started beside this process, on the same
processors: what this program takes for sending is taken from the server. INDEX also
says what is asked: its judged queries, each with a word more, so that hardly any is
asked twice and each is encoded. With --repeat a share is asked as it is.`,
		Example: `  trirank bench load --index shop.index
  trirank bench load --index shop.index --rate 20,40,80 --duration 30s --out load
  trirank bench load --index shop.index --url 'http://search.example:8080/v1/compare?k=10'`,
		Args: cobra.NoArgs,
	}
	o.add(c.Flags())
	f := c.Flags()
	o.addJudgments(f, "whose queries are asked")
	deviceFlag(c, &server) // this process itself only reads the queries
	f.StringVar(&url, "url", "", "server to ask; the parameter q is set (default: one that is started)")
	f.Float64SliceVar(&lo.Rates, "rate", nil, "requests a second (default: look for the knee)")
	f.Float64Var(&lo.Repeat, "repeat", 0, "share of the requests that ask a judged query as it is")
	f.DurationVar(&lo.Duration, "duration", 10*time.Second, "of each rate")
	f.DurationVar(&lo.Limit, "limit", 50*time.Millisecond, "p99 that the knee keeps")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if err := required(c, "index"); err != nil {
			return err
		}
		if url != "" && c.Flags().Changed("device") {
			return usageError("--device is of the server that is started without --url")
		}
		if err := cmp.Or(within("rate", 1e-3, bench.MaxRate, lo.Rates...), within("repeat", 0., 1, lo.Repeat),
			within("duration", time.Millisecond, longest, lo.Duration), within("limit", time.Microsecond, longest, lo.Limit)); err != nil {
			return err
		}
		if url != "" {
			if err := bench.CheckURL(url); err != nil {
				return usageError("--url: %v", err)
			}
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		if err := b.open(c.Context()); err != nil {
			return err
		}
		lo.Queries, lo.Step, lo.URL = b.texts, b.step, url
		if url == "" {
			address, stop, err := startServer(c.Context(), o.index, o.models, server)
			if err != nil {
				return err
			}
			defer stop()
			lo.URL = address + "v1/compare?k=10"
		}
		results, err := bench.Load(c.Context(), lo)
		if err != nil {
			return err
		}
		if len(lo.Rates) == 0 && !bench.HasKnee(results) {
			b.notes = append(b.notes, fmt.Sprintf("No knee was found: no rate held for the whole --duration: requests failed, or their p99 was above %v (--limit).", lo.Limit))
		}
		return b.report("Load", bench.Section{
			Title: "Requests at fixed rates", Results: results,
			Text:  "Times count from the moment at which a request was due. requests/s is what was answered with status 200; other answers are counted by their status.",
			Plots: []bench.Plot{{X: "offered/s", Y: "p99-ns", Series: "what"}},
		})
	}
	return c
}

// startServer starts trirank serve and returns its address and what stops it.
func startServer(ctx context.Context, index string, models []string, d store.Device) (address string, stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	args := []string{"serve", "--index", index, "--addr", "127.0.0.1:0", "--device", d.String()}
	for _, m := range models {
		args = append(args, "--model", m)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// A terminal's Ctrl-C is for this process, which then stops the server. If it cannot,
	// since it is killed, the kernel does: it looks at the thread that started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	var errs beginning
	cmd.Stderr = &errs
	started, stopped := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and so the thread lives as long as this goroutine
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-stopped
	}()
	if err := <-started; err != nil {
		close(stopped)
		return "", nil, fmt.Errorf("cannot start a server: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()
		close(stopped)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		return "", nil, fmt.Errorf("cannot start a server of %s: %s", index, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(line), stop, nil
}

// beginning keeps the first of what is written to it: why a server does not start, and
// not all that it logs afterwards.
type beginning struct{ strings.Builder }

func (b *beginning) Write(p []byte) (int, error) {
	const most = 64 << 10
	b.Builder.Write(p[:min(len(p), max(0, most-b.Len()))])
	return len(p), nil
}
