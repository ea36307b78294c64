package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// LoadOptions say how a server is put under load. Zero values mean the defaults.
type LoadOptions struct {
	// URL of a request, whose parameter q is set: http://127.0.0.1:8080/v1/compare?k=10
	URL string
	// Queries that real users ask. Each request asks one of them followed by a word
	// of another, so that it was hardly asked before; with Repeat, a share of the
	// requests asks one as it is.
	Queries []string
	Repeat  float64
	// Duration of each rate; default 10 s. Limit on the p99, which the knee keeps;
	// default 50 ms.
	Duration, Limit time.Duration
	// Rates are requests a second; without any, the knee is looked for and then
	// twice its rate is tried.
	Rates []float64
	Step  func(what string)
}

// Load sends requests to a server at fixed rates, whether or not it keeps up, and
// times each from the moment at which it was due: an open loop, in which a slow
// answer delays no other request and hides no other's time (no coordinated
// omission). Answers other than 200 are counted apart; times are of the others.
func Load(ctx context.Context, o LoadOptions) ([]Result, error) {
	target, err := parseTarget(o.URL)
	if err != nil {
		return nil, err
	}
	if len(o.Queries) == 0 {
		return nil, errors.New("cannot put a server under load without queries")
	}
	if o.Duration < 0 || o.Limit < 0 {
		return nil, errors.New("cannot put a server under load for less than no time")
	}
	if !(o.Repeat >= 0 && o.Repeat <= 1) {
		return nil, fmt.Errorf("a share of %v requests is not within 0..1", o.Repeat)
	}
	for _, r := range o.Rates {
		if !(r > 0 && r <= MaxRate) {
			return nil, fmt.Errorf("%v requests a second are not within 0..%d", r, MaxRate)
		}
	}
	o.Duration, o.Limit = cmp.Or(o.Duration, 10*time.Second), cmp.Or(o.Limit, 50*time.Millisecond)
	if o.Step == nil {
		o.Step = func(string) {}
	}
	l := &load{LoadOptions: o, target: target, client: &fasthttp.Client{
		MaxConnsPerHost: maxInFlight, NoDefaultUserAgentHeader: true, ReadTimeout: waitFor, WriteTimeout: waitFor,
		MaxIdemponentCallAttempts: 1, // a request that is sent again is one more
		MaxResponseBodySize:       maxAnswer,
	}, asker: newAsker(o.Queries, o.Repeat)}
	defer l.client.CloseIdleConnections()
	// The first requests find nothing warm, and an answer says that there is one.
	if err := l.request(l.asker.query(0)); err != nil {
		return nil, cmp.Or(ctx.Err(), fmt.Errorf("cannot put %s under load: %w", o.URL, err))
	}
	if _, err := l.at(ctx, "warm-up", 5, 2*time.Second); err != nil {
		return nil, err
	}
	if len(o.Rates) > 0 {
		for _, rate := range o.Rates {
			if _, err := l.at(ctx, "given", rate, o.Duration); err != nil {
				return nil, err
			}
		}
		return l.results[1:], nil
	}
	if err := l.knee(ctx); err != nil {
		return nil, err
	}
	return l.results[1:], nil
}

// CheckURL is an error if no server can be at a URL.
func CheckURL(raw string) error {
	_, err := parseTarget(raw)
	return err
}

func parseTarget(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("cannot put %q under load: it is no URL such as http://127.0.0.1:8080/v1/compare", raw)
	}
	return u, nil
}

// HasKnee reports whether what Load measured without Rates has a knee.
func HasKnee(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool { return r.Param("what") == "knee" })
}

// MaxRate is the most requests a second that LoadOptions.Rates may be.
const MaxRate = 100_000

const (
	maxInFlight = 4096
	// waitFor is how long an answer is waited for.
	waitFor   = 30 * time.Second
	maxAnswer = 64 << 20 // bytes
)

type load struct {
	LoadOptions
	target  *url.URL
	client  *fasthttp.Client
	asker   *asker
	sent    int
	results []Result
}

// statusError is an answer that is not the one that was asked for.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("it answers with status %d", int(s)) }

func (l *load) request(query string) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	u := *l.target
	values := u.Query()
	values.Set("q", query)
	u.RawQuery = values.Encode()
	req.SetRequestURI(u.String())
	if err := l.client.DoTimeout(req, resp, waitFor); err != nil {
		return err
	}
	if code := resp.StatusCode(); code != fasthttp.StatusOK {
		return statusError(code)
	}
	return nil
}

// rung is what came of a rate.
type rung struct {
	rate, answered float64 // a second
	p99            time.Duration
	failed         int // refused, timed out or not sent for too many under way
}

// behind says why the server does not keep up, nothing if it does.
func (r rung) behind(limit time.Duration) string {
	switch {
	case r.failed > 0:
		return fmt.Sprintf("%d requests were not answered with status 200", r.failed)
	case r.p99 > limit:
		return fmt.Sprintf("the p99 is %v, above %v", r.p99.Round(100*time.Microsecond), limit)
	case r.answered < kept*r.rate:
		return fmt.Sprintf("%.4g a second were answered", r.answered)
	}
	return ""
}

// kept is the share of a rate that a server answers in time if it keeps up: the last
// answers of a trial come after the last request.
const kept = .95

// keeps reports whether the server keeps up, and if not, tells why.
func (l *load) keeps(r rung) bool {
	why := r.behind(l.Limit)
	if why != "" {
		l.Step("that is too much: " + why)
	}
	return why == ""
}

// at sends requests at a rate, and waits for all answers.
func (l *load) at(ctx context.Context, what string, rate float64, d time.Duration) (rung, error) {
	if err := ctx.Err(); err != nil {
		return rung{}, err
	}
	if what != "warm-up" {
		l.Step(fmt.Sprintf("%.4g requests a second for %v", rate, d.Round(10*time.Millisecond)))
	}
	times := newTimes()
	status := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, maxInFlight)
	n := max(1, int(math.Round(rate*d.Seconds())))
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return rung{}, ctx.Err() // whoever waits for an answer ends by itself
		}
		query := l.asker.query(l.sent)
		l.sent++
		select {
		case slots <- struct{}{}:
		default:
			mu.Lock()
			status["too many under way"]++
			mu.Unlock()
			continue
		}
		all.Go(func() {
			err := l.request(query)
			took := time.Since(due)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			var code statusError
			switch {
			case err == nil:
				record(times, took)
			case errors.As(err, &code):
				status[fmt.Sprintf("status-%d", int(code))]++
			default:
				status["no answer"]++
			}
		})
	}
	answered := make(chan struct{})
	go func() {
		all.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-ctx.Done():
		return rung{}, ctx.Err()
	}
	took := time.Since(start)
	out := rung{rate: rate, answered: float64(times.TotalCount()) / max(took, d).Seconds(), p99: time.Duration(quantile(times, 99)), failed: n - int(times.TotalCount())}
	l.results = append(l.results, l.result(what, out, times, status))
	return out, nil
}

func quantile(h *hdrhistogram.Histogram, q float64) int64 {
	if h.TotalCount() == 0 {
		return mostTime
	}
	return h.ValueAtQuantile(q)
}

func (l *load) result(what string, out rung, times *hdrhistogram.Histogram, status map[string]int) Result {
	r := Result{Name: "Load"}
	r.param("what", what)
	r.param("rate", fmt.Sprintf("%.4g", out.rate))
	r.times(times)
	r.metric("offered/s", out.rate)
	r.metric("requests/s", out.answered)
	failed := []string{}
	for name := range status {
		failed = append(failed, name)
	}
	slices.Sort(failed)
	for _, name := range failed {
		r.metric(word(name), float64(status[name]))
	}
	return r
}

// try sends requests at a rate for as long as it takes to tell a p99, and once more
// if the server does not keep up: a hiccup of the machine is no knee.
func (l *load) try(ctx context.Context, rate float64) (keeps bool, err error) {
	const forP99 = 100
	d := max(l.Duration/2, min(2*l.Duration, time.Duration(forP99/rate*float64(time.Second))))
	for range 2 {
		out, err := l.at(ctx, "search", rate, d)
		if err != nil {
			return false, err
		}
		if l.keeps(out) {
			return true, nil
		}
	}
	return false, nil
}

// knee doubles the rate until the server does not keep up, closes in on the highest
// with which it does, tries that for the whole duration, less where that is too much,
// and then twice of it.
func (l *load) knee(ctx context.Context) error {
	low, high := 0., 0.
	for narrowed := 0; narrowed < 3; {
		rate := max(10, 2*low)
		if high > 0 {
			rate = (low + high) / 2
			narrowed++
		}
		if rate > MaxRate { // it keeps up with all that this client can do
			break
		}
		keeps, err := l.try(ctx, rate)
		if err != nil {
			return err
		}
		if keeps {
			low = rate
		} else {
			high = rate
		}
	}
	if low == 0 {
		return nil
	}
	// What held for a moment may not for as long as is wanted.
	for range kneeTries {
		out, err := l.at(ctx, "knee", low, l.Duration)
		if err != nil {
			return err
		}
		if l.keeps(out) {
			_, err = l.at(ctx, "twice", 2*low, l.Duration)
			return err
		}
		l.results[len(l.results)-1].Params[0].Value = "search"
		low *= .85
	}
	return nil
}

// kneeTries bounds how often a rate that held for a moment is lowered.
const kneeTries = 6
