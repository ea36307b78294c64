// Package progress tells a waiting user how far a long job is: a line that
// rewrites itself on a terminal, and a plain line every few seconds elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/trirank/trirank/internal/english"
)

// Intervals between reports on a terminal, and elsewhere.
const (
	terminalEvery = 100 * time.Millisecond
	plainEvery    = 5 * time.Second
)

// Progress reports one job. Its methods may be called by many goroutines.
type Progress struct {
	w        io.Writer
	what     string // "embedding"
	unit     string // "product"
	total    int    // 0: unknown
	terminal bool
	now      func() time.Time

	mu       sync.Mutex
	start    time.Time
	reported time.Time
	done     int
	skipped  int // done before the job began: they tell nothing about its rate
	shown    bool
}

// Start begins to report on w a job of total units, or of an unknown number if
// total is 0.
func Start(w io.Writer, what, unit string, total int) *Progress {
	p := &Progress{w: w, what: what, unit: unit, total: total, now: time.Now}
	if f, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	p.start = p.now()
	p.reported = p.start
	return p
}

// Restart counts the rate from here, where n units are done: how long they took tells
// nothing about the rest.
func (p *Progress) Restart(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start, p.skipped, p.done = p.now(), n, n
}

// Skip says that n units were found done, and reports at once where the job goes
// on.
func (p *Progress) Skip(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped, p.done = n, max(n, p.done)
	if n > 0 {
		p.clear()
		fmt.Fprintf(p.w, "%s: %s %s done already; going on with the rest\n", p.what, english.Count(n, p.unit), english.Choose(n, "is", "are"))
	}
}

// Set says that n units are done in all.
func (p *Progress) Set(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = n
	every := plainEvery
	if p.terminal {
		every = terminalEvery
	}
	if now := p.now(); now.Sub(p.reported) >= every {
		p.reported = now
		p.report()
	}
}

// Done ends the job with a last line: how much, how long and how fast.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.now().Sub(p.start)
	p.clear()
	fmt.Fprintf(p.w, "%s: %s in %s%s\n", p.what, english.Count(p.done, p.unit), round(took), p.rate(took))
}

// Stop ends the job without the line of success.
func (p *Progress) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.terminal && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *Progress) report() {
	took := p.now().Sub(p.start)
	line := fmt.Sprintf("%s: %d", p.what, p.done)
	if p.total > 0 {
		line += fmt.Sprintf(" of %s (%d%%)", english.Count(p.total, p.unit), 100*p.done/p.total)
	} else {
		line = fmt.Sprintf("%s: %s", p.what, english.Count(p.done, p.unit))
	}
	line += p.rate(took)
	if fresh := p.done - p.skipped; p.total > p.done && fresh > 0 {
		line += fmt.Sprintf(", %s left", round(time.Duration(float64(took)/float64(fresh)*float64(p.total-p.done))))
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// rate is empty where there is none to speak of.
func (p *Progress) rate(took time.Duration) string {
	fresh := p.done - p.skipped
	if fresh <= 0 || took < 50*time.Millisecond {
		return ""
	}
	if rate := float64(fresh) / took.Seconds(); rate < 10 {
		return fmt.Sprintf(", %.2g/s", rate)
	} else {
		return fmt.Sprintf(", %.0f/s", rate)
	}
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}
