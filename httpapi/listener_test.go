package httpapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scripted is a listener that gives errors, and then connections.
type scripted struct {
	net.Listener
	errs []error
}

func (l *scripted) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		c, _ := net.Pipe()
		return c, nil
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

func (l *scripted) Close() error { return nil }

func shortage(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

// What is short for a while must not end the server, as it did by the library's way.
func TestAcceptGoesOn(t *testing.T) {
	var log bytes.Buffer
	conns := newConnections(Options{}.withDefaults())
	l := newListener(&scripted{errs: []error{
		shortage(syscall.EMFILE), shortage(syscall.ENFILE), shortage(syscall.ENOBUFS), shortage(syscall.ENOMEM), shortage(syscall.ECONNABORTED), shortage(syscall.EMFILE),
	}}, conns, slog.New(slog.NewTextHandler(&log, nil)))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "cannot accept"); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
	// For a descriptor that is wanted an idle connection goes.
	l.Listener.(*scripted).errs = []error{shortage(syscall.EMFILE)}
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the idle connection is still open: %v", err)
	}

	for _, passing := range []error{syscall.EPROTO, syscall.ENETDOWN, syscall.EPERM, syscall.EHOSTUNREACH, syscall.EIO, errors.New("the network is on strike")} {
		l.Listener.(*scripted).errs = []error{passing}
		if _, err := l.Accept(); err != nil {
			t.Errorf("%v ends the server: %v", passing, err)
		}
	}
	l.Listener.(*scripted).errs = []error{shortage(syscall.EBADF)}
	if _, err := l.Accept(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a lasting error becomes %v", err)
	}
	for range 20 {
		l.Listener.(*scripted).errs = append(l.Listener.(*scripted).errs, shortage(syscall.ENOBUFS))
	}
	time.AfterFunc(20*time.Millisecond, func() { l.Close() })
	start := time.Now()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) || time.Since(start) > 5*time.Second {
		t.Errorf("closed while it waits: %v after %v", err, time.Since(start))
	}
}

func TestFitDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Skip(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	limit := func(n int) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n), Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s := New(nil, Options{MaxConnections: 1000, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	limit(2*len(entries) + 200)
	if err := s.fitDescriptors(); err != nil {
		t.Fatal(err)
	}
	if n := s.conns.options.MaxConnections; n < 100 || n > 160 || !strings.Contains(log.String(), "ulimit -n") {
		t.Errorf("%d connections; the log: %s", n, log.String())
	}
	limit(2 * len(entries))
	if err := s.fitDescriptors(); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("without room: %v", err)
	}
	log.Reset()
	s = New(nil, Options{MaxConnections: 10})
	limit(2*len(entries) + 200)
	if err := s.fitDescriptors(); err != nil || s.conns.options.MaxConnections != 10 || log.Len() > 0 {
		t.Errorf("with room: %v, %d, %s", err, s.conns.options.MaxConnections, log.String())
	}
}
