package httpapi

import (
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookEvery is how often it is looked whether the client of a request that is at work,
// or waits, is still there. A request that takes less time is not looked at.
const lookEvery = 100 * time.Millisecond

// watchClient calls gone, once, when the other end of nc is closed, until stop is
// called. fasthttp reads nothing while a request is at work, and so does not notice.
func watchClient(nc net.Conn, gone func()) (stop func()) {
	if c, ok := nc.(*conn); ok {
		nc = c.Conn
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() {}
	}
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(lookEvery, func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case stopped:
		case hungUp(raw):
			gone()
		default:
			timer.Reset(lookEvery)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// hungUp reports whether the other end of a connection is closed, also if it is so for
// sending only: as a rule who has closed that does not read either.
func hungUp(raw syscall.RawConn) (is bool) {
	err := raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		is = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	})
	return is || err != nil
}
