package httpapi

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// listener accepts connections for as long as it is open: what is short now, such as
// descriptors, is waited for, where the HTTP library would end.
type listener struct {
	net.Listener
	conns *connections
	log   *slog.Logger

	closing sync.Once
	closed  chan struct{}
	logged  time.Time // when the last shortage was
}

func newListener(ln net.Listener, conns *connections, log *slog.Logger) *listener {
	return &listener{Listener: ln, conns: conns, log: log, closed: make(chan struct{})}
}

const (
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
	// logShortage is how often the log says that connections cannot be accepted.
	logShortage = time.Minute
)

// Accept returns a connection that counts among the open ones.
func (l *listener) Accept() (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		nc, err := l.Listener.Accept()
		if err == nil {
			return l.conns.admit(nc), nil
		}
		if lasts(err) {
			return nil, err
		}
		if errors.Is(err, syscall.ECONNABORTED) { // it is that client's affair
			pause = firstPause
			continue
		}
		// Where descriptors are short an idle connection has one to give.
		freed := (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && l.conns.evictIdle()
		if time.Since(l.logged) >= logShortage {
			l.logged = time.Now()
			open, _ := l.conns.count()
			l.log.Warn("cannot accept connections for now; trying again (lower --max-connections, or raise the limit of descriptors, ulimit -n)", "error", err, "connections", open)
		}
		if freed {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

// Close stops accepting.
func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// lasts reports whether an error of Accept is of the listener itself. All others pass:
// descriptors or memory may come free, and Linux tells here of networks and firewalls
// that a client's connection met.
func lasts(err error) bool {
	for _, lasting := range []error{net.ErrClosed, syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EOPNOTSUPP} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}
