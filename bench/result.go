package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/processors"
	"github.com/trirank/trirank/internal/procfile"
)

// Param is part of a configuration, such as nprobe=16.
type Param struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Metric is a measured value. Its unit is spelled as Go benchmarks do: recall@10,
// p99-ns, bytes/vector.
type Metric struct {
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// Result is what was measured of one configuration.
type Result struct {
	Name    string   `json:"name"` // of the measurement: Search, Stage, Load, Encode
	Params  []Param  `json:"params"`
	Runs    int      `json:"runs"` // operations that the times are of
	Metrics []Metric `json:"metrics"`
	// Against compares the deciding metric, query by query, with the section's
	// first result.
	Against *eval.Comparison `json:"against,omitempty"`
	// Deviation is the standard deviation of the differences that Against is of.
	Deviation float64 `json:"deviation,omitempty"`
}

// Metric returns the value of a unit; ok is false if it was not measured.
func (r *Result) Metric(unit string) (v float64, ok bool) {
	i := slices.IndexFunc(r.Metrics, func(m Metric) bool { return m.Unit == unit })
	if i < 0 {
		return 0, false
	}
	return r.Metrics[i].Value, true
}

// Param returns the value of a parameter, empty if it has none.
func (r *Result) Param(key string) string {
	for _, p := range r.Params {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// String spells the configuration: Search/index=IVF512,SQ8/nprobe=16/k=10.
func (r *Result) String() string {
	var b strings.Builder
	b.WriteString(r.Name)
	for _, p := range r.Params {
		b.WriteString("/" + word(p.Key) + "=" + word(p.Value))
	}
	return b.String()
}

// word makes text fit into the name of a benchmark.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' {
			return '_'
		}
		return r
	}, s)
}

func (r *Result) param(key string, value any) {
	r.Params = append(r.Params, Param{key, fmt.Sprint(value)})
}

// metric adds a value, unless there is none.
func (r *Result) metric(unit string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	r.Metrics = append(r.Metrics, Metric{unit, value})
}

// Machine says what a measurement ran on and with.
type Machine struct {
	Processor string            `json:"processor"`
	Cores     int               `json:"cores"`
	MemoryGB  float64           `json:"memory_gb,omitempty"`
	System    string            `json:"system"` // and architecture
	Go        string            `json:"go"`
	Program   string            `json:"program"`
	Commit    string            `json:"commit,omitempty"`
	Libraries map[string]string `json:"libraries,omitempty"` // versions, by name
}

// ThisMachine describes the machine and the program that runs.
func ThisMachine(program string, libraries map[string]string) Machine {
	m := Machine{
		Processor: procfile.Value("/proc/cpuinfo", "model name"), Cores: processors.Count(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Program: program,
		MemoryGB: procfile.Kilobytes("/proc/meminfo", "MemTotal") / 1e6, Libraries: libraries,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		changed := ""
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				m.Commit = s.Value[:min(12, len(s.Value))]
			case "vcs.modified":
				if s.Value == "true" {
					changed = " with changes"
				}
			}
		}
		if m.Commit != "" {
			m.Commit += changed
		}
	}
	return m
}

// Report is what one measurement found.
type Report struct {
	Title    string    `json:"title"`
	Subject  string    `json:"subject"` // what was measured
	Date     time.Time `json:"date"`
	Machine  Machine   `json:"machine"`
	Notes    []string  `json:"notes,omitempty"`
	Sections []Section `json:"sections"`
}

// Section is a part of a report: results that belong in one table.
type Section struct {
	Title     string     `json:"title"`
	Text      string     `json:"text"` // how to read it
	Results   []Result   `json:"results,omitempty"`
	Plots     []Plot     `json:"plots,omitempty"`
	Waterfall *Waterfall `json:"waterfall,omitempty"`
	Choice    *Choice    `json:"choice,omitempty"`
}

// Plot is a picture of a section's results: a point each, joined by lines where
// they differ in other parameters than Series alone.
type Plot struct {
	X      string `json:"x"` // unit
	Y      string `json:"y"`
	Series string `json:"series"`          // parameter that colours stand for
	Where  string `json:"where,omitempty"` // key=value that results must have
	LogX   bool   `json:"log_x,omitempty"`
	// Front marks the results that no other one beats in both X (less is better)
	// and Y (more is).
	Front bool `json:"front,omitempty"`
}

// Includes reports whether a plot shows a result.
func (p *Plot) Includes(r *Result) bool {
	_, x := r.Metric(p.X)
	_, y := r.Metric(p.Y)
	key, v, ok := strings.Cut(p.Where, "=")
	return x && y && (!ok || r.Param(key) == v)
}

// higher lists the units of which more is better; of all others less is.
var higher = []string{"recall", "ndcg", "queries/s", "products/s", "requests/s"}

// Write writes the results as lines of Go benchmarks, which
// golang.org/x/perf/cmd/benchstat compares.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	declared := map[string]bool{}
	for _, s := range r.Sections {
		for _, x := range s.Results {
			for _, m := range x.Metrics {
				isHigher := slices.ContainsFunc(higher, func(h string) bool { return strings.HasPrefix(m.Unit, h) })
				if isHigher && !declared[m.Unit] {
					declared[m.Unit] = true
					fmt.Fprintf(&b, "Unit %s better=higher\n", m.Unit)
				}
			}
		}
	}
	m := r.Machine
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, m.Processor)
	fmt.Fprintf(&b, "# subject: %s\n# program: %s %s, %s\n", r.Subject, m.Program, m.Commit, m.Go)
	for _, s := range r.Sections {
		for _, x := range s.Results {
			fmt.Fprintf(&b, "Benchmark%s-%d %d", x.String(), m.Cores, max(1, x.Runs))
			for _, v := range x.Metrics {
				fmt.Fprintf(&b, " %s %s", strconv.FormatFloat(v.Value, 'g', 8, 64), v.Unit)
			}
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
