package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/trirank/trirank/engine"
)

// Problem is an error as the API reports it: an RFC 9457 problem document, sent as
// application/problem+json.
type Problem struct {
	// Type is "urn:trirank:problem:" and the Title in kebab case. It is the
	// part that programs should look at; it does not change.
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // names the request, as the log does

	retryAfter int    // seconds, if not 0
	allow      string // methods, if not empty
}

// Error returns title and detail.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

const (
	problemType  = "urn:trirank:problem:"
	instanceType = "urn:trirank:request:"
)

// newProblem makes a problem whose title is the status text.
func newProblem(status int, detail string) *Problem {
	title := http.StatusText(status)
	return &Problem{
		Type:  problemType + strings.ReplaceAll(strings.ToLower(title), " ", "-"),
		Title: title, Status: status, Detail: detail,
	}
}

func badRequest(format string, args ...any) error {
	return newProblem(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// panicError is a panic in code that serves a request.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

var (
	// errStopping is why requests under way end when the grace period does.
	errStopping = errors.New("the server is stopping")
	// errGone is why a request ends whose client has closed the connection. Only one that
	// closed it for sending alone sees it.
	errGone = &Problem{Type: problemType + "client-closed-request", Title: "Client Closed Request", Status: 499, Detail: "the client closed the connection before it had an answer"}

	errNotReady = notReady()
)

// asProblem turns any error into a problem.
func asProblem(err error) *Problem {
	var p *Problem
	var panicked *panicError
	switch {
	case errors.As(err, &p):
		copied := *p // it may be shared, and gets an instance
		return &copied
	case errors.As(err, &panicked):
		return newProblem(http.StatusInternalServerError, "the server failed; its log says how, under the id in instance")
	case errors.Is(err, engine.ErrUnknown):
		return newProblem(http.StatusNotFound, detail(err))
	case errors.Is(err, engine.ErrRequest):
		return newProblem(http.StatusBadRequest, detail(err))
	case errors.Is(err, engine.ErrChanged):
		p := newProblem(http.StatusServiceUnavailable, detail(err))
		p.retryAfter = 2
		return p
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusGatewayTimeout, "nothing was found in time; if this happens often, raise --request-timeout or ask for fewer systems")
	case errors.Is(err, context.Canceled), errors.Is(err, errStopping):
		return stopping()
	}
	return newProblem(http.StatusInternalServerError, detail(err))
}

func notReady() *Problem {
	p := newProblem(http.StatusServiceUnavailable, "no index is open yet (try again when /readyz answers 200)")
	p.retryAfter = 1
	return p
}

func stopping() *Problem {
	p := newProblem(http.StatusServiceUnavailable, "the server is stopping")
	p.retryAfter = 1
	return p
}

// detail is what err says, without the words that the status says again and
// without stack traces, which begin on the second line.
func detail(err error) string {
	return firstLine(strings.TrimPrefix(err.Error(), engine.ErrRequest.Error()+": "))
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
