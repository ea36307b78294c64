package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"64MiB": 64 << 20, "8GiB": 8 << 30, "1.5GiB": 3 << 29, "100": 100, "2 KB": 2000, "0": 0, "7B": 7} {
		var s byteSize
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
		var again byteSize
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%s is written %s", text, s.String())
		}
	}
	for _, text := range []string{"", "MiB", "-1", "NaN", "1e30", "64MiX"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	machine := availableMemory("/")
	if machine < 1<<28 {
		t.Fatalf("this machine has %d bytes of memory", machine)
	}
	for text, want := range map[string]int64{"512MiB": 512 << 20, "0": 0, "100%": machine, "25%": machine / 4} {
		if n, err := memoryLimit(text); err != nil || n != want {
			t.Errorf("%s is %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"0%", "101%", "x%", "lots"} {
		if _, err := memoryLimit(text); err == nil {
			t.Errorf("%s is a limit", text)
		}
	}
}

func TestAvailableMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"machine":             {map[string]string{}, 1 << 30},
		"container":           {map[string]string{"sys/fs/cgroup/memory.max": "300000000\n"}, 300000000},
		"container, no bound": {map[string]string{"sys/fs/cgroup/memory.max": "max\n"}, 1 << 30},
		"nested group":        {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "200000000\n"}, 200000000},
		"version 1":           {map[string]string{"proc/self/cgroup": "3:cpu,memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "100000000\n"}, 100000000},
		"version 1, no bound": {map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1 << 30},
	} {
		root := t.TempDir()
		c.files["proc/meminfo"] = "MemTotal:        1048576 kB\nMemFree: 1 kB\n"
		for file, text := range c.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := availableMemory(root); got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}

// What is above the limit is shed until there is room again, and what a peak left is
// given back.
func TestMemoryWatch(t *testing.T) {
	var log bytes.Buffer
	m := newMemory(1000<<20, slog.New(slog.NewTextHandler(&log, nil)))
	held, later := int64(500<<20), time.Now()
	m.now = func() int64 { return held }
	m.rebase()
	step := func(mb int64, after time.Duration) {
		held = mb << 20
		later = later.Add(after)
		m.look(later)
	}
	step(520, time.Minute)
	if n := m.given.Load(); n != 1 { // by rebase
		t.Errorf("memory was given back %d times without a peak", n)
	}
	step(600, time.Second)
	step(600, time.Second)
	if n := m.given.Load(); n != 2 {
		t.Errorf("memory was given back %d times in a peak", n)
	}
	step(600, 31*time.Second)
	if n := m.given.Load(); n != 3 {
		t.Errorf("memory was given back %d times, not once every 30 s", n)
	}
	if m.why() != "" {
		t.Error("work is shed below the limit")
	}
	step(1001, time.Second)
	if why := m.why(); !strings.Contains(why, "--memory-limit") {
		t.Errorf("above the limit: %q", why)
	}
	given := m.given.Load()
	step(999, 3*time.Second)
	if m.why() == "" || m.given.Load() != given+1 {
		t.Error("just below the limit work is taken on at once, or memory is not given back")
	}
	step(900, time.Second)
	if m.why() != "" {
		t.Error("work is still shed with room enough")
	}
	if n := strings.Count(log.String(), "memory limit is reached"); n != 1 {
		t.Errorf("%d lines in the log: %s", n, log.String())
	}
	var metrics bytes.Buffer
	m.WriteMetrics(&metrics)
	if s := metrics.String(); !strings.Contains(s, "trirank_memory_shed_total 1\n") || !strings.Contains(s, "trirank_memory_limit_bytes 1048576000\n") {
		t.Errorf("metrics: %s", s)
	}

	m = newMemory(0, slog.New(slog.NewTextHandler(io.Discard, nil)))
	m.now = func() int64 { return 1 << 50 }
	m.look(time.Now())
	if m.why() != "" {
		t.Error("work is shed without a limit")
	}
}

func TestGarbagePercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 10 << 20: 400, 64 << 20: 200, 1 << 30: 100} {
		if got := garbagePercent(live); got != want {
			t.Errorf("%d%% of garbage beside %d bytes, not %d%%", got, live, want)
		}
	}
}

func TestReloadPause(t *testing.T) {
	var all []time.Duration
	for pause, i := time.Duration(0), 0; i < 8; i++ {
		pause = reloadPause(pause)
		all = append(all, pause/time.Second)
	}
	for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60, 60} {
		if all[i] != want {
			t.Errorf("pause %d is %d s, not %d", i, all[i], want)
		}
	}
}
