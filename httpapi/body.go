package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
)

// readBeyond is how many times MaxBody is read and dropped of a body that is too long:
// a client that is cut off while it sends may never see the answer that says why.
const readBeyond = 4

// firstPiece is how much of a body is read before more memory is taken for it.
const firstPiece = 4 << 10

// readBody reads the request's body. Memory is taken, and counted, as the bytes come;
// it counts until the request is done.
func (r *request) readBody() ([]byte, error) {
	s, stream := r.server, r.ctx.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	declared := r.ctx.Request.Header.ContentLength() // -1 if it is not known
	if declared > s.options.MaxBody {
		r.drop(stream)
		return nil, s.bodyTooLarge()
	}
	r.at(reading)
	defer r.at(working)
	size := min(firstPiece, s.options.MaxBody+1)
	if declared >= 0 {
		size = min(size, declared+1) // one more, to see the end
	}
	if err := r.hold(size); err != nil {
		r.drop(stream)
		return nil, err
	}
	b := make([]byte, 0, size)
	for {
		n, err := stream.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > s.options.MaxBody:
			r.drop(stream)
			return nil, s.bodyTooLarge()
		case errors.Is(err, io.EOF) && len(b) < declared:
			return nil, badRequest("the body ends after %d bytes of %d", len(b), declared)
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, s.unreadableBody(err)
		}
		if len(b) < cap(b) {
			continue
		}
		size := min(2*cap(b), s.options.MaxBody+1)
		if declared >= 0 {
			size = min(size, declared+1)
		}
		if err := r.hold(len(b) + size); err != nil { // both, while it is copied
			r.drop(stream)
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
		if err := r.hold(size); err != nil {
			return nil, err
		}
	}
}

// hold makes the memory of the body n bytes. Where there is none, a body that has been
// coming in for long has to give its own for the next that wants some.
func (r *request) hold(n int) error {
	err := r.body.set(n)
	if err != nil {
		r.server.conns.evictSlow(r.ctx.Conn())
	}
	return err
}

// drop reads the rest of a body that nobody wants, for a while, and has the connection
// closed after the answer.
func (r *request) drop(stream io.Reader) {
	r.ctx.SetConnectionClose()
	r.at(dropping)
	defer r.at(working)
	scratch := make([]byte, firstPiece)
	for n := 0; n < readBeyond*r.server.options.MaxBody; {
		m, err := stream.Read(scratch)
		n += m
		if err != nil {
			return
		}
	}
}

// at says what the request's connection is at.
func (r *request) at(p phase) {
	if c, ok := r.ctx.Conn().(*conn); ok {
		c.enter(p)
	}
}

func (s *Server) bodyTooLarge() *Problem {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes (to admit it, raise --max-body)", s.options.MaxBody))
}

// unreadableBody says why a request, or its body, could not be read.
func (s *Server) unreadableBody(err error) *Problem {
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &small):
		return newProblem(http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request line and headers have more than %d bytes", maxHeaders))
	case errors.As(err, &netErr) && netErr.Timeout():
		return newProblem(http.StatusRequestTimeout, fmt.Sprintf("the request did not arrive within %v, and a second for each %d bytes of its body", s.options.ReadTimeout, leastRate))
	}
	return newProblem(http.StatusBadRequest, "the request is not HTTP as it should be")
}

// bounded is a list in a body of which no more is read than most: a body of
// {},{},{},… would take a hundred times its size otherwise.
type bounded[T any] struct {
	most  int
	items []T
	more  bool // there are more
}

// UnmarshalJSON reads a list.
func (l *bounded[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	t, err := d.Token()
	if err != nil {
		return err
	}
	l.items, l.more = nil, false
	if t == nil {
		return nil
	}
	if t != json.Delim('[') {
		return errNoList
	}
	for d.More() {
		if len(l.items) >= l.most {
			l.more = true
			return nil
		}
		var v T
		if err := d.Decode(&v); err != nil {
			return err
		}
		l.items = append(l.items, v)
	}
	return nil
}

var errNoList = errors.New("a list is wanted")
