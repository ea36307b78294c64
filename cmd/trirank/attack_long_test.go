//go:build long

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// These attack a real server, and take minutes. TRIRANK_ATTACK names another program
// to attack in place of this one: what came before can be compared.

// attacked is a server under attack.
type attacked struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	logs *sharedBuffer
	base int64 // anonymous memory at the start, in bytes
	peak atomic.Int64
	end  chan struct{}
}

// sharedBuffer is written by the server and read by the test.
type sharedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sharedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sharedBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// attack starts a server of the sample; limits is what the shell does before.
func attack(t *testing.T, limits string, args ...string) *attacked {
	t.Helper()
	index := sampleIndex(t)
	exe := os.Getenv("TRIRANK_ATTACK")
	if exe == "" {
		exe = program(t).Path
	}
	if limits == "" {
		limits = ":"
	}
	a := &attacked{t: t, logs: &sharedBuffer{}, end: make(chan struct{})}
	a.cmd = exec.Command("bash", append([]string{"-c", limits + ` && exec "$0" "$@"`, exe, "serve", "--index", index, "--addr", "127.0.0.1:0"}, args...)...)
	a.cmd.Stderr = a.logs
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.cmd.Process.Kill() })
	var url string
	if _, err := fmt.Fscanln(stdout, &url); err != nil {
		a.cmd.Process.Kill()
		a.cmd.Wait()
		t.Fatalf("no address: %v\n%s", err, a.logs)
	}
	a.addr = strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	a.ask("/v1/compare?q=charger")
	time.Sleep(time.Second)
	a.base = a.anonymous()
	go func() {
		for {
			select {
			case <-a.end:
				return
			case <-time.After(20 * time.Millisecond):
				if n := a.anonymous(); n > a.peak.Load() {
					a.peak.Store(n)
				}
			}
		}
	}()
	t.Cleanup(func() { close(a.end) })
	return a
}

func (a *attacked) anonymous() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "RssAnon:" {
			var kb int64
			fmt.Sscan(f[1], &kb)
			return kb << 10
		}
	}
	return 0
}

// ask asks on a connection of its own, and returns 0 where there was no answer.
func (a *attacked) ask(path string) (status int, took time.Duration) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	start := time.Now()
	resp, err := c.Get("http://" + a.addr + path)
	if err != nil {
		return 0, time.Since(start)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, time.Since(start)
}

func (a *attacked) dial() net.Conn {
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.t.Logf("dial: %v", err)
		return nil
	}
	a.t.Cleanup(func() { c.Close() })
	return c
}

// within fails the test where the peak of memory is above the base by more than most.
func (a *attacked) within(most int64) {
	a.t.Helper()
	a.t.Logf("anonymous memory: %d MB at the start, %d MB at the peak", a.base>>20, a.peak.Load()>>20)
	if grew := a.peak.Load() - a.base; grew > most {
		a.t.Errorf("the memory grew by %d MB, more than the %d MB that are promised", grew>>20, most>>20)
	}
}

func (a *attacked) alive() {
	a.t.Helper()
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/v1/search?q=charger"} {
		if code, took := a.ask(path); code != 200 || took > 5*time.Second {
			a.t.Errorf("%s: %d after %v\n%s", path, code, took, tail(a.logs.String()))
		}
	}
}

func TestLongDescriptors(t *testing.T) {
	a := attack(t, "ulimit -n 256")
	for range 400 {
		a.dial()
	}
	time.Sleep(2 * time.Second)
	a.alive()
	if !strings.Contains(a.logs.String(), "limit of descriptors") {
		t.Errorf("the log says nothing:\n%s", a.logs)
	}
}

// held sends all but the end of a body of so many bytes on so many connections.
func (a *attacked) held(n, size int) {
	piece := bytes.Repeat([]byte("["), size-1)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 50)
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if c := a.dial(); c != nil {
				c.SetDeadline(time.Now().Add(5 * time.Second))
				fmt.Fprintf(c, "POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size)
				c.Write(piece)
			}
		})
	}
	wg.Wait()
}

func TestLongBodies(t *testing.T) {
	for _, size := range []int{4<<20 - 100, 1<<20 - 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a := attack(t, "")
			a.held(1500, size)
			a.alive()
			// The budget, as much garbage, what lies beside (128 MB at most), and 40 KB a connection.
			a.within(64<<20 + 64<<20 + 128<<20 + 1500*40<<10)
			a.givesBack()
		})
	}
}

// givesBack waits for the memory to be given back after a peak.
func (a *attacked) givesBack() {
	start := time.Now()
	for time.Since(start) < time.Minute {
		if a.anonymous() < a.base+64<<20 {
			a.t.Logf("given back after %v: %d MB", time.Since(start).Round(time.Second), a.anonymous()>>20)
			return
		}
		time.Sleep(time.Second)
	}
	a.t.Errorf("%d MB after a minute, %d MB at the start", a.anonymous()>>20, a.base>>20)
}

func batch(n, k int) []byte {
	var queries []map[string]any
	for i := range n {
		queries = append(queries, map[string]any{"query": fmt.Sprintf("charger %d", i%10), "k": k})
	}
	b, _ := json.Marshal(map[string]any{"queries": queries})
	return b
}

func TestLongUnreadAnswers(t *testing.T) {
	for _, k := range []int{100, 33} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			a := attack(t, "")
			body := batch(100, k)
			var conns []net.Conn
			statuses := map[string]int{}
			for range 400 {
				c := a.dial()
				if c == nil {
					break
				}
				c.(*net.TCPConn).SetReadBuffer(4096)
				fmt.Fprintf(c, "POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				conns = append(conns, c)
			}
			time.Sleep(30 * time.Second)
			a.alive()
			for _, c := range conns {
				c.SetReadDeadline(time.Now().Add(time.Second))
				line, _ := bufio.NewReaderSize(c, 16).ReadString('\n')
				statuses[strings.TrimSpace(line)]++
			}
			t.Logf("answers: %v", statuses)
			// The budget, as much garbage, and what lies beside.
			a.within(128<<20 + 128<<20 + 128<<20)
			for _, c := range conns {
				c.Close()
			}
			a.givesBack()
		})
	}
}

func TestLongIdleConnections(t *testing.T) {
	const n = 1000
	a := attack(t, "", "--max-connections", fmt.Sprint(n))
	for i := range n {
		c := a.dial()
		if i%2 == 0 {
			fmt.Fprintf(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
	}
	time.Sleep(time.Second)
	a.alive()
	a.within(n * 40 << 10 * 2)
}

func TestLongTenThousandConnections(t *testing.T) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); limit.Cur < 12_000 {
		t.Skipf("%d descriptors are not enough", limit.Cur)
	}
	a := attack(t, "")
	for range 10_000 {
		c := a.dial()
		fmt.Fprintf(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	a.alive()
	a.within(10_000 * 64 << 10)
}

func TestLongAbandonedEmbeddings(t *testing.T) {
	a := attack(t, "")
	var texts []string
	for i := range 250 {
		texts = append(texts, strings.Repeat(fmt.Sprintf("word%d ", i), 500))
	}
	body, _ := json.Marshal(map[string]any{"input": texts, "input_type": "passage"})
	var conns []net.Conn
	for range 8 {
		c := a.dial()
		fmt.Fprintf(c, "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", min(len(body), 1<<20), body)
		conns = append(conns, c)
	}
	t.Logf("bodies of %d bytes", len(body))
	time.Sleep(500 * time.Millisecond)
	code, took := a.ask("/v1/search?q=wireless")
	t.Logf("while they are at work: %d after %v", code, took)
	for _, c := range conns {
		c.Close()
	}
	start := time.Now()
	for {
		if _, metrics := a.body("/metrics"); strings.Contains(metrics, "trirank_http_working 0\n") {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("they are still at work")
		}
		time.Sleep(20 * time.Millisecond)
	}
	took = time.Since(start)
	t.Logf("their places are free %v after they went", took)
	if took > 3*time.Second {
		t.Errorf("places are free only after %v", took)
	}
	a.alive()
}

func (a *attacked) body(path string) (int, string) {
	resp, err := http.Get("http://" + a.addr + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestLongStopWithHalfOpenRequests(t *testing.T) {
	a := attack(t, "")
	for i := range 100 {
		c := a.dial()
		switch i % 3 {
		case 0:
			fmt.Fprintf(c, "GET /livez HT")
		case 1:
			fmt.Fprintf(c, "POST /v1/compare HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		}
	}
	time.Sleep(200 * time.Millisecond)
	start := time.Now()
	a.cmd.Process.Signal(syscall.SIGTERM)
	err := a.cmd.Wait()
	t.Logf("ended after %v: %v", time.Since(start), err)
	if took := time.Since(start); took > 2*time.Second || err != nil {
		t.Errorf("ended after %v: %v\n%s", took, err, tail(a.logs.String()))
	}
}

func TestLongReloads(t *testing.T) {
	a := attack(t, "")
	for i := range 45 {
		a.cmd.Process.Signal(syscall.SIGHUP)
		for start := time.Now(); strings.Count(a.logs.String(), "the new index serves") <= i; time.Sleep(20 * time.Millisecond) {
			if time.Since(start) > time.Minute {
				t.Fatalf("reload %d is not done\n%s", i, tail(a.logs.String()))
			}
		}
		if i%5 == 4 {
			t.Logf("%d reloads: %d MB", i+1, a.anonymous()>>20)
		}
	}
	time.Sleep(2 * time.Second)
	t.Logf("%d MB at the start, %d MB at the peak, %d MB in the end", a.base>>20, a.peak.Load()>>20, a.anonymous()>>20)
	if n := a.anonymous(); n > a.base*3/2 {
		t.Errorf("%d MB after 45 reloads, %d MB before", n>>20, a.base>>20)
	}
}

func TestLongMemoryLimit(t *testing.T) {
	a := attack(t, "", "--memory-limit", "256MiB", "--answer-memory", "1GiB", "--max-hits", "100000", "--request-timeout", "30s")
	var wg sync.WaitGroup
	var shed, served atomic.Int64
	body := batch(100, 100)
	end := time.Now().Add(20 * time.Second)
	for range 40 {
		wg.Go(func() {
			for time.Now().Before(end) {
				resp, err := http.Post("http://"+a.addr+"/v1/compare", "application/json", bytes.NewReader(body))
				if err != nil {
					continue
				}
				if resp.StatusCode == 503 && resp.Header.Get("Retry-After") != "" {
					shed.Add(1)
				}
				served.Add(1)
				time.Sleep(100 * time.Millisecond)
				resp.Body.Close()
			}
		})
	}
	for time.Now().Before(end) {
		for _, path := range []string{"/livez", "/metrics"} {
			if code, took := a.ask(path); code != 200 || took > 5*time.Second {
				t.Errorf("%s: %d after %v", path, code, took)
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	wg.Wait()
	t.Logf("%d answers, %d of them shed, peak %d MB under a limit of 256 MB", served.Load(), shed.Load(), a.peak.Load()>>20)
	if shed.Load() == 0 {
		t.Error("nothing was shed")
	}
	time.Sleep(5 * time.Second)
	a.alive()
}
