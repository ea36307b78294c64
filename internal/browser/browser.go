// Package browser drives a headless Chromium for tests of the page.
package browser

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Browser is a window of a process and a profile of its own, both gone at the end
// of the test. It is used by one goroutine.
type Browser struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

// stepTime is what a single step may take on a machine that is busy.
const stepTime = 30 * time.Second

// New starts Chromium, and fails the test if there is none.
func New(t testing.TB) *Browser {
	t.Helper()
	path := find()
	if path == "" {
		t.Fatal("cannot find a browser in PATH (apt-get install -y chromium)")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(stepTime),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	allocator, closeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	b := &Browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(ctx, stepTime)
		defer cancel()
		_ = chromedp.Cancel(end) // waits for the process, whose profile is removed next
		closeBrowser()
		closeAllocator()
	})
	// The first call starts the process, which lives as long as its context.
	if _, err := chromedp.Run(ctx, chromedp.Title()); err != nil {
		t.Fatalf("cannot start %s: %v", path, err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			switch m.Type {
			case chromedp.ConsoleError, chromedp.ConsoleWarning, chromedp.ConsoleException:
				b.complain(m.String() + " " + m.URL)
			}
		}
	}()
	dialogs := chromedp.Events(ctx, page.JavascriptDialogOpening)
	go func() {
		for d, err := range dialogs {
			if err != nil {
				return
			}
			b.complain("dialog: " + d.Message)
			_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}
	}()
	b.Size(1440, 900)
	b.Dark(false)
	return b
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (b *Browser) complain(problem string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, problem)
}

// Problems returns, and forgets, the errors, warnings and dialogs of the page so far.
func (b *Browser) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.problems
	b.problems = nil
	return p
}

// run does one step, and fails the test if it does not succeed in time.
func run[T any](b *Browser, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatalf("cannot do a step in the browser: %v; the page says: %q", err, b.Problems())
	}
	return v
}

// Do does steps of chromedp.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for _, s := range steps {
		run(b, s)
	}
}

// Open goes to an address.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// Size sets the size of the window; narrow ones are phones, with touch.
func (b *Browser) Size(width, height int64) {
	b.t.Helper()
	if width < 600 {
		b.Do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(2), chromedp.EmulatePortrait, chromedp.EmulateMobile, chromedp.EmulateTouch))
		return
	}
	b.Do(chromedp.EmulateViewport(width, height))
}

// Dark makes the system's theme dark, or light again. Nothing moves in either.
func (b *Browser) Dark(dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

// Eval returns the value of an expression of JavaScript.
func Eval[T any](b *Browser, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression))
}

// Until waits for an expression of JavaScript to be true. (The protocol evaluates
// it, which the page's security policy does not forbid; chromedp's own polling is
// code of the page.)
func (b *Browser) Until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(stepTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if Eval[bool](b, "!!("+expression+")") {
			return
		}
	}
	b.t.Fatalf("never true: %s; the page says: %q", expression, b.Problems())
}

// Keys presses keys, such as "j" or kb.Enter.
func (b *Browser) Keys(keys string) {
	b.t.Helper()
	b.Do(chromedp.KeyEvent(keys))
}

// Click clicks the first element that a CSS selector finds, in its middle.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.Do(chromedp.Click(chromedp.CSS(selector)))
}

// Hover moves the mouse to the first element that a CSS selector finds.
func (b *Browser) Hover(selector string) {
	b.t.Helper()
	at := Eval[[]float64](b, `(() => { const r = document.querySelector(`+strconv.Quote(selector)+`).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`)
	b.Do(chromedp.MouseEvent("mouseMoved", at[0], at[1]))
}

// Screenshot writes what is in view, or with whole set the page in its full length,
// to a PNG file.
func (b *Browser) Screenshot(path string, whole bool) {
	b.t.Helper()
	shot := chromedp.CaptureScreenshot()
	if whole {
		shot = chromedp.FullScreenshot(100)
	}
	if err := os.WriteFile(path, run(b, shot), 0o644); err != nil {
		b.t.Fatal(err)
	}
}
