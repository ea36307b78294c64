package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// hosts are the names under which the server may be asked. A page of another site
// whose name its owner points at 127.0.0.1 could read all answers otherwise (DNS
// rebinding), as a browser takes them for that site's own.
type hosts struct {
	all   bool
	names map[string]bool // in lower case, without ports
}

// hostsFor is who may be asked for on an address: this machine's own names on one that
// only this machine reaches, anything on others unless some are named.
func hostsFor(addr net.Addr, allowed []string) hosts {
	h := hosts{names: map[string]bool{}}
	for _, name := range allowed {
		h.all = h.all || name == "*"
		h.names[hostName(name)] = true
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() && len(allowed) == 0 {
		h.all = true
		return h
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		h.names[name] = true
	}
	if !tcp.IP.IsUnspecified() {
		h.names[tcp.IP.String()] = true
	}
	return h
}

// hostName is the host of HOST, HOST:PORT or [HOST]:PORT, as it is compared.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// check refuses a request for a name that is not the server's. A request that names
// none is no browser's.
func (h hosts) check(host string) error {
	if h.all || host == "" || h.names[hostName(host)] {
		return nil
	}
	return newProblem(http.StatusMisdirectedRequest, fmt.Sprintf("nothing is served here for the host %.100q (to admit it, as behind a proxy that hands it on, give --allow-host)", host))
}
