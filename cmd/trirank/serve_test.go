package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLogLevel(t *testing.T) {
	for level, lines := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		for _, format := range []string{"text", "json"} {
			var b bytes.Buffer
			l, err := newLogger(&b, format, level)
			if err != nil {
				t.Fatal(err)
			}
			l.Debug("a")
			l.Info("b")
			l.Warn("c")
			l.Error("d")
			if n := strings.Count(b.String(), "\n"); n != lines {
				t.Errorf("--log-level %s --log-format %s lets %d lines of 4 through, not %d", level, format, n, lines)
			}
		}
	}
}

// TestServeReloadFails breaks the index under a server: what was open serves on, what
// is wrong can be seen, and a mended index is taken over without being told.
func TestServeReloadFails(t *testing.T) {
	index := sampleIndex(t)
	url, stop := serve(t, index)
	get := func(path string) (int, string) {
		resp, err := http.Get(url + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	eventually := func(what string, f func() bool) {
		t.Helper()
		for start := time.Now(); !f(); time.Sleep(20 * time.Millisecond) {
			if time.Since(start) > time.Minute {
				_, ready := get("/readyz")
				t.Fatalf("never: %s; /readyz says %s", what, ready)
			}
		}
	}
	if _, body := get("/readyz"); body != "ok\n" {
		t.Errorf("/readyz says %q", body)
	}
	manifest := filepath.Join(index, "manifest.json")
	good, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(manifest+".new", b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(manifest+".new", manifest); err != nil {
			t.Fatal(err)
		}
	}
	write(good[:len(good)/2])
	eventually("the failure shows", func() bool {
		code, body := get("/readyz")
		return code == 200 && strings.HasPrefix(body, "ok\n") && strings.Contains(body, "the reload of "+index+" has failed since 2") && strings.Contains(body, "cut off or changed")
	})
	if code, _ := get("/v1/search?q=charger"); code != 200 {
		t.Errorf("the old index: status %d", code)
	}
	// Tried again: of a file that did not change there is more than one failure.
	eventually("it is tried again", func() bool {
		_, body := get("/metrics")
		return strings.Contains(body, "trirank_reload_failing 1\n") && strings.Contains(body, "trirank_reload_failures_total 2\n")
	})
	write(good)
	eventually("the mended index serves", func() bool {
		_, ready := get("/readyz")
		_, metrics := get("/metrics")
		return ready == "ok\n" && strings.Contains(metrics, "trirank_reload_failing 0\n") && strings.Contains(metrics, "trirank_reloads_total 1\n")
	})
	stop()
}

// A server that is stopped while it opens its index ends as it does otherwise.
func TestServeStoppedWhileItOpens(t *testing.T) {
	index := sampleIndex(t)
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond} {
		// The address is taken before the index is opened.
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := free.Addr().String()
		free.Close()
		cmd := program(t, "serve", "--index", index, "--addr", addr)
		var logs bytes.Buffer
		cmd.Stderr = &logs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); ; time.Sleep(time.Millisecond) {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				break
			}
			if time.Since(start) > time.Minute {
				cmd.Process.Kill()
				t.Fatal("it does not listen")
			}
		}
		time.Sleep(after)
		start := time.Now()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || time.Since(start) > 10*time.Second {
			t.Errorf("stopped %v after it listened: %v after %v\n%s", after, err, time.Since(start), logs.String())
		}
	}
}

// TestServeFilesChange copies another index over a served one in place, and then cuts a
// file off: no request gets an answer that is made of both, the server goes on, and it
// serves what is whole in the end.
func TestServeFilesChange(t *testing.T) {
	index, other := sampleIndex(t), sampleIndex(t)
	mustRun(t, "index", "--catalog", "sample", "--out", other, "--k1", "2")
	url, stop := serve(t, index)
	defer func() { stop() }()
	ask := func(path string) (int, string) {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatalf("the server is gone: %v", err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	const query = "/v1/compare?q=charger&explain=1&distribution=1"
	until := func(want int) string {
		t.Helper()
		for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			code, body := ask(query)
			switch {
			case code == want:
				return body
			case code != 200 && code != 503:
				t.Fatalf("status %d: %s", code, body)
			case time.Since(start) > time.Minute:
				t.Fatalf("never %d; the last answer is %d %s", want, code, body)
			}
		}
	}
	until(200)
	if out, err := exec.Command("cp", "-r", other+"/.", index).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(200) // of the other index
	if err := os.Truncate(filepath.Join(index, "products", "products.jsonl"), 100); err != nil {
		t.Fatal(err)
	}
	if body := until(503); !strings.Contains(body, "products/products.jsonl was written to or cut off") {
		t.Errorf("503 says %s", body)
	}
	if code, body := ask("/readyz"); code != 503 || !strings.Contains(body, "products/products.jsonl") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _ := ask("/livez"); code != 200 {
		t.Errorf("/livez: %d", code)
	}
	mustRun(t, "index", "--catalog", "sample", "--out", index)
	until(200)
}
