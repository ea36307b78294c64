package httpapi

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// spareDescriptors are left for what is opened in passing.
	spareDescriptors = 32
	leastConnections = 8
)

// fitDescriptors lowers the bound of connections to what the system's limit of
// descriptors has room for: beside what is open now there must be as much again, for
// another index that is opened while this one serves. Go itself has raised the soft
// limit to the hard one.
func (s *Server) fitDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil // without knowledge of a limit there is nothing to fit
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil // no Linux
	}
	room := int64(limit.Cur) - int64(2*len(entries)+spareDescriptors+reserveConnections)
	if limit.Cur > 1<<40 || room >= int64(s.options.MaxConnections) {
		return nil
	}
	if room < leastConnections {
		return fmt.Errorf("the limit of %d descriptors leaves none for connections (raise it to %d or more with ulimit -n)", limit.Cur, int64(limit.Cur)-room+int64(s.options.MaxConnections))
	}
	s.options.Logger.Warn("the limit of descriptors admits fewer connections than --max-connections (raise it with ulimit -n)",
		"descriptors", limit.Cur, "max_connections", s.options.MaxConnections, "admitted", room)
	s.conns.options.MaxConnections = int(room)
	return nil
}
