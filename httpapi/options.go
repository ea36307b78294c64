package httpapi

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/processors"
)

// Options configure a Server. The zero value is useful: each field that is zero
// stands for the default that its comment names. Where an error message tells the
// user to raise a limit, it calls the flag by the field's name in kebab case:
// MaxConcurrent is --max-concurrent.
type Options struct {
	Version string       // of the program, shown and exported as a metric; "dev"
	Logger  *slog.Logger // nothing is logged

	RequestTimeout time.Duration // from arrival to answer, waiting included; 10 s
	MaxConcurrent  int           // requests that work at a time; 4 for each processor
	MaxQueue       int           // requests that wait for their turn; 8*MaxConcurrent, none if negative
	QueueWait      time.Duration // how long they wait; 2 s
	MaxBatch       int           // queries in one POST /v1/compare; 100
	MaxInputs      int           // texts in one POST /v1/embeddings; 256
	MaxHits        int           // products in the answer to one POST /v1/compare; 10,000
	MaxBody        int           // bytes of a request body; 1 MiB
	MaxConnections int           // open at a time, and a few more for probes; 10,000
	BodyMemory     int           // bytes of all bodies that are read or worked on at a time; 64 MiB
	AnswerMemory   int           // bytes of all answers that are worked out or sent at a time; 128 MiB

	// ReadTimeout is how long a client has for a request, and besides a second for
	// each 16 KiB of its body; 10 s.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of its answer, and how far it
	// may be behind 16 KiB a second; 30 s.
	WriteTimeout time.Duration
	IdleTimeout  time.Duration // of a connection kept alive, if its place is not wanted; 2 min

	// DrainDelay is how long a stopping server goes on accepting requests
	// while /readyz already fails, for a load balancer to notice; 0.
	DrainDelay time.Duration
	// Grace is how long a stopping server waits for requests under way; 15 s.
	Grace time.Duration

	// SlowQuery is the time from which on a request is logged as slow; 1 s,
	// never if negative.
	SlowQuery time.Duration
	// AllowOrigins lists the web origins, such as "https://example.com", whose
	// pages may call the API; "*" stands for all. Empty: none but our own page.
	AllowOrigins []string
	// AllowHosts lists the hosts, besides this machine's own names, that requests may
	// be for on an address that only this machine reaches; "*" stands for all. On other
	// addresses all are allowed if it is empty.
	AllowHosts []string
	// Shed, if not nil, says why no work is taken on at the moment; "" if it is.
	// Whoever asks for some gets that with status 503.
	Shed func() string
	// ExtraMetrics, if not nil, adds lines in Prometheus' text format to
	// /metrics. The page shows those named trirank_gpu_utilization_ratio,
	// trirank_gpu_memory_used_bytes, trirank_gpu_memory_total_bytes and
	// trirank_gpu_temperature_celsius, by their label gpu.
	ExtraMetrics func(io.Writer)
}

// Validate reports all that is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	durations := []struct {
		name string
		d    time.Duration
	}{
		{"RequestTimeout", o.RequestTimeout}, {"QueueWait", o.QueueWait}, {"ReadTimeout", o.ReadTimeout},
		{"WriteTimeout", o.WriteTimeout}, {"IdleTimeout", o.IdleTimeout}, {"DrainDelay", o.DrainDelay}, {"Grace", o.Grace},
	}
	for _, x := range durations {
		if x.d < 0 {
			errs = append(errs, fmt.Errorf("%s is %v (give a positive duration)", x.name, x.d))
		}
	}
	numbers := []struct {
		name string
		n    int
	}{
		{"MaxConcurrent", o.MaxConcurrent}, {"MaxBatch", o.MaxBatch}, {"MaxInputs", o.MaxInputs},
		{"MaxHits", o.MaxHits}, {"MaxBody", o.MaxBody}, {"MaxConnections", o.MaxConnections}, {"BodyMemory", o.BodyMemory}, {"AnswerMemory", o.AnswerMemory},
	}
	for _, x := range numbers {
		if x.n < 0 {
			errs = append(errs, fmt.Errorf("%s is %d (give a positive number)", x.name, x.n))
		}
	}
	for _, host := range o.AllowHosts {
		if host == "" || host != "*" && (strings.ContainsAny(host, "/*@ ") || hostName(host) == "") {
			errs = append(errs, fmt.Errorf("AllowHosts has %q (write a host as shop.example, without scheme and port, or *)", host))
		}
	}
	for _, origin := range o.AllowOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			errs = append(errs, fmt.Errorf("AllowOrigins has %q (write an origin as https://example.com, or *)", origin))
		}
	}
	return errors.Join(errs...)
}

// withDefaults fills in what is zero, and what Validate would refuse.
func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	wait := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.MaxConcurrent, 4*processors.Count())
	if o.MaxQueue == 0 {
		o.MaxQueue = 8 * o.MaxConcurrent
	}
	o.MaxQueue = max(o.MaxQueue, 0)
	set(&o.MaxBatch, 100)
	set(&o.MaxInputs, 256)
	set(&o.MaxHits, 10_000)
	set(&o.MaxBody, 1<<20)
	set(&o.BodyMemory, 64<<20)
	set(&o.AnswerMemory, 128<<20)
	set(&o.MaxConnections, 10_000)
	wait(&o.RequestTimeout, 10*time.Second)
	wait(&o.QueueWait, 2*time.Second)
	wait(&o.ReadTimeout, 10*time.Second)
	wait(&o.WriteTimeout, 30*time.Second)
	wait(&o.IdleTimeout, 2*time.Minute)
	wait(&o.Grace, 15*time.Second)
	if o.SlowQuery == 0 {
		o.SlowQuery = time.Second
	}
	return o
}

// Limits tells a client what the server accepts.
type Limits struct {
	MaxK          int `json:"max_k"`
	MaxQueryBytes int `json:"max_query_bytes"`
	MaxBatch      int `json:"max_batch"`
	MaxInputs     int `json:"max_inputs"`
	MaxHits       int `json:"max_hits"`
	MaxBodyBytes  int `json:"max_body_bytes"`
}

func (o Options) limits() Limits {
	return Limits{
		MaxK: engine.MaxK, MaxQueryBytes: engine.MaxQueryBytes,
		MaxBatch: o.MaxBatch, MaxInputs: o.MaxInputs, MaxHits: o.MaxHits, MaxBodyBytes: o.MaxBody,
	}
}
