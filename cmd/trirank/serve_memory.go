package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	rtmetrics "runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trirank/trirank/train/heap"
)

// byteSize is a flag of bytes, such as 64MiB.
type byteSize int64

var byteUnits = []struct {
	name string
	size float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

// Set implements pflag.Value.
func (s *byteSize) Set(text string) error {
	number, unit := text, 1.
	for _, u := range byteUnits {
		if before, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSpace(before), u.size
			break
		}
	}
	x, err := strconv.ParseFloat(number, 64)
	if err != nil || !(x >= 0 && x*unit < 1<<62) {
		return errors.New("not a size")
	}
	*s = byteSize(x * unit)
	return nil
}

// String implements pflag.Value.
func (s *byteSize) String() string {
	for _, u := range []int{2, 1, 0} {
		if n := byteSize(byteUnits[u].size); *s >= n && *s%n == 0 {
			return fmt.Sprintf("%d%s", *s/n, byteUnits[u].name)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type implements pflag.Value.
func (s *byteSize) Type() string { return "size" }

// memoryLimit reads --memory-limit: a size, a share of the memory that there is, or 0
// for none.
func memoryLimit(text string) (int64, error) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		x, err := strconv.ParseFloat(share, 64)
		if err != nil || !(x > 0 && x <= 100) {
			return 0, usageError("--memory-limit %q is not a share from 1%% to 100%%", text)
		}
		return int64(float64(availableMemory("/")) * x / 100), nil
	}
	var s byteSize
	if err := s.Set(text); err != nil {
		return 0, usageError("--memory-limit %q is neither a size such as 8GiB nor a share such as 80%%", text)
	}
	return int64(s), nil
}

// availableMemory is what the process's container may take, or the machine has; 0 if
// that is not known.
func availableMemory(root string) (least int64) {
	take := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "proc/meminfo")); err == nil {
		take(field(b, "MemTotal:") << 10)
	}
	groups := []string{""}
	if b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup")); err == nil {
		for line := range strings.Lines(string(b)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) == 3 && (parts[1] == "" || strings.Contains(","+parts[1]+",", ",memory,")) {
				for g := parts[2]; g != "/" && g != "."; g = filepath.Dir(g) { // a group is bound by those around it
					groups = append(groups, g)
				}
			}
		}
	}
	for _, g := range groups {
		for _, file := range []string{filepath.Join("sys/fs/cgroup", g, "memory.max"), filepath.Join("sys/fs/cgroup/memory", g, "memory.limit_in_bytes")} {
			if b, err := os.ReadFile(filepath.Join(root, file)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n < 1<<60 { // no limit is "max", or almost 2^63
					take(n)
				}
			}
		}
	}
	return least
}

// field is the number that follows a name at the start of a line; 0 if there is none.
func field(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(string(f[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}

// anonymousBytes is the memory of the process that no file backs: pages of the index's
// files count for nothing, since the system takes those back when it needs them.
func anonymousBytes() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not known: nothing is shed
	}
	return field(b, "RssAnon:") << 10
}

const (
	memoryEvery = 100 * time.Millisecond
	// raisedBy is what makes a peak, above what an index takes that was just opened.
	raisedBy = 48 << 20
	// giveBackEvery is how often memory is given back as long as it is raised.
	giveBackEvery = 30 * time.Second
	// giveBackSoon is how often where the limit is reached.
	giveBackSoon = 2 * time.Second
	// resumeAt is the share of the limit below which work is taken on again.
	resumeAt = .95
)

// memory keeps the process within a limit, and gives back to the system what a peak
// left behind: neither Go nor C does so by itself, or soon.
type memory struct {
	limit int64 // of anonymous memory; 0: none
	log   *slog.Logger
	now   func() int64 // anonymousBytes but in tests

	held     atomic.Int64 // at the last look
	base     atomic.Int64 // once an index was opened
	given    atomic.Int64 // how often memory was given back
	shed     atomic.Int64 // how often the limit was reached
	shedding atomic.Bool
	last     time.Time // when memory was last given back
	percent  int       // of garbage, as it is set
}

func newMemory(limit int64, log *slog.Logger) *memory {
	return &memory{limit: limit, log: log, now: anonymousBytes}
}

// rebase takes what is held now, after an index was opened or closed, for what is needed.
func (m *memory) rebase() {
	m.giveBack()
	m.base.Store(m.held.Load())
	if m.limit == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	// Go has what the rest leaves.
	samples := []rtmetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	rtmetrics.Read(samples)
	ours := int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
	debug.SetMemoryLimit(max(m.limit-max(m.held.Load()-ours, 0), m.limit/4))
}

// watch looks at the memory until ctx ends.
func (m *memory) watch(ctx context.Context) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look(time.Now())
		}
	}
}

// look sheds work and gives memory back as is needed.
func (m *memory) look(now time.Time) {
	m.collectLessOften()
	held := m.now()
	m.held.Store(held)
	over := m.limit > 0 && held > m.limit
	raised := held > m.base.Load()+raisedBy
	if since := now.Sub(m.last); (over || m.shedding.Load()) && since >= giveBackSoon || raised && since >= giveBackEvery {
		m.last = now
		m.giveBack()
		held = m.held.Load()
		over = m.limit > 0 && held > m.limit
	}
	switch shedding := m.shedding.Load(); {
	case over && !shedding:
		m.shed.Add(1)
		m.shedding.Store(true)
		m.log.Warn("the memory limit is reached: requests for work are answered with status 503 (raise --memory-limit, or lower --max-concurrent)", "anonymous_bytes", held, "limit_bytes", m.limit)
	case shedding && float64(held) < resumeAt*float64(m.limit):
		m.shedding.Store(false)
		m.log.Info("work is taken on again", "anonymous_bytes", held, "limit_bytes", m.limit)
	}
}

// giveBack returns what is free to the system, of Go's memory and of C's.
func (m *memory) giveBack() {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // what pools held is free after a second collection
	heap.Trim()
	m.given.Add(1)
	m.held.Store(m.now())
}

// why says why no work is taken on; "" if it is.
func (m *memory) why() string {
	if !m.shedding.Load() {
		return ""
	}
	return fmt.Sprintf("the server takes %d MB of memory of the %d MB of --memory-limit; try again soon", m.held.Load()>>20, m.limit>>20)
}

// collectLessOften lets garbage grow to a size that is small beside what FAISS and ONNX
// Runtime take, where what Go itself keeps is so little that it would be looked
// through dozens of times a second. Settings of GOGC and GOMEMLIMIT stand.
func (m *memory) collectLessOften() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	sample := []rtmetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	rtmetrics.Read(sample)
	if percent := garbagePercent(sample[0].Value.Uint64()); math.Abs(float64(percent-m.percent)) > .1*float64(m.percent) {
		m.percent = percent
		debug.SetGCPercent(percent)
	}
}

// garbagePercent is how much garbage is let lie beside so many live bytes.
func garbagePercent(live uint64) int {
	const garbage = 128 << 20
	return int(min(400, max(100, garbage*100/max(1, live))))
}

// WriteMetrics writes what is known in Prometheus' text format.
func (m *memory) WriteMetrics(w io.Writer) {
	shedding := 0
	if m.shedding.Load() {
		shedding = 1
	}
	for _, x := range []struct {
		name, kind, help string
		value            int64
	}{
		{"trirank_memory_anonymous_bytes", "gauge", "Memory of the process that no file backs.", m.held.Load()},
		{"trirank_memory_limit_bytes", "gauge", "What it may be; 0 if there is no limit.", m.limit},
		{"trirank_memory_shedding", "gauge", "1 while the limit is reached and no work is taken on.", int64(shedding)},
		{"trirank_memory_shed_total", "counter", "How often the limit was reached.", m.shed.Load()},
		{"trirank_memory_given_back_total", "counter", "How often free memory was given back to the system.", m.given.Load()},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", x.name, x.help, x.name, x.kind, x.name, x.value)
	}
}
