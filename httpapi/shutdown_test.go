package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

// running is a server on a real address.
type running struct {
	url    string
	cancel context.CancelFunc
	served chan error
}

func run(t *testing.T, s *httpapi.Server) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{url: "http://" + ln.Addr().String(), cancel: cancel, served: make(chan error, 1)}
	go func() { r.served <- s.Serve(ctx, ln) }()
	return r
}

func status(t *testing.T, url string) (int, error) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// leaks waits until no goroutine runs this package's code but the test's own.
func leaks(t *testing.T) {
	t.Helper()
	var left string
	for range 3000 {
		buf := make([]byte, 1<<20)
		left = ""
		for stack := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
			s := string(stack)
			if strings.Contains(s, "trirank/httpapi.") && !strings.Contains(s, "testing.tRunner") {
				left += s + "\n\n"
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines left:\n%s", left)
}

func TestShutdown(t *testing.T) {
	faults := &fakeshop.Faults{}
	faults.SetDelay(3500 * time.Millisecond)
	r := run(t, httpapi.New(fakeshop.Tiny(3).Engine(faults), httpapi.Options{DrainDelay: 3 * time.Second}))
	defer http.DefaultClient.CloseIdleConnections()

	result := make(chan int, 1)
	go func() {
		code, _ := status(t, r.url+"/v1/compare?q=thing")
		result <- code
	}()
	eventually(t, "a request is at work", func() bool { return faults.Calls.Load() > 0 })
	r.cancel()
	eventually(t, "readiness fails while requests are still taken", func() bool {
		code, err := status(t, r.url+"/readyz")
		return err == nil && code == 503
	})
	if code, err := status(t, r.url+"/livez"); err != nil || code != 200 {
		t.Errorf("livez while draining: %d, %v", code, err)
	}
	if code := <-result; code != 200 {
		t.Errorf("the request under way got %d", code)
	}
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := status(t, r.url+"/livez"); err == nil {
		t.Error("the listener is still open")
	}
	leaks(t)
}

func TestShutdownWithoutPatience(t *testing.T) {
	faults := &fakeshop.Faults{}
	faults.SetDelay(time.Minute)
	r := run(t, httpapi.New(fakeshop.Tiny(3).Engine(faults), httpapi.Options{Grace: 50 * time.Millisecond, RequestTimeout: time.Minute}))
	defer http.DefaultClient.CloseIdleConnections()
	result := make(chan int, 1)
	go func() {
		code, _ := status(t, r.url+"/v1/compare?q=thing")
		result <- code
	}()
	eventually(t, "a request is at work", func() bool { return faults.Calls.Load() > 0 })
	start := time.Now()
	r.cancel()
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if code := <-result; code != 503 {
		t.Errorf("the request under way got %d", code)
	}
	leaks(t)
}

func TestShutdownWithStuckEngine(t *testing.T) {
	until := make(chan struct{})
	s := httpapi.New(stuck{until: until}, httpapi.Options{Grace: 50 * time.Millisecond, RequestTimeout: 10 * time.Millisecond})
	r := run(t, s)
	defer http.DefaultClient.CloseIdleConnections()
	if code, err := status(t, r.url+"/v1/compare?q=a"); err != nil || code != 504 {
		t.Fatalf("%d, %v", code, err)
	}
	r.cancel()
	if err := <-r.served; err == nil || !strings.Contains(err.Error(), "do not close it") {
		t.Errorf("Serve: %v", err)
	}
	close(until)
	leaks(t)
}

func TestServeErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpapi.New(nil, httpapi.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx, ln); err != nil { // ended before it began
		t.Errorf("Serve: %v", err)
	}
	if err := s.Serve(ctx, ln); err == nil {
		t.Error("served twice")
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if err := httpapi.New(nil, httpapi.Options{}).Serve(t.Context(), closed); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
	leaks(t)
}
