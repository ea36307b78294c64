package report

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/trirank/trirank/internal/browser"
)

// TestPage looks at the page as a reader does. Pictures of it are kept by
// go test -run Page -artifacts -outputdir /tmp/report.
func TestPage(t *testing.T) {
	b := browser.New(t)
	holds := func(expression string) {
		t.Helper()
		if !browser.Eval[bool](b, "!!("+expression+")") {
			t.Errorf("not true: %s", expression)
		}
	}
	var page bytes.Buffer
	if err := HTML(&page, fixture()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	b.Size(1280, 900)
	b.Open((&url.URL{Scheme: "file", Path: path}).String())
	b.Screenshot(filepath.Join(t.ArtifactDir(), "light.png"), true)
	// Each point lies within the frame and says what it is.
	holds(`document.querySelectorAll("circle").length == 5`)
	holds(`[...document.querySelectorAll("svg")].every(s => { const f = s.querySelector(".frame").getBoundingClientRect();
		return [...s.querySelectorAll("circle")].every(c => { const r = c.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
			return x >= f.left && x <= f.right && y >= f.top && y <= f.bottom }) })`)
	holds(`[...document.querySelectorAll("circle title")].some(t => t.textContent == "Search/index=IVF173,SQ8/nprobe=16/k=10: recall@10 0.951, p50 ms 0.120")`)
	// What is slower has its point further to the right, what finds more higher up.
	holds(`(() => { const at = name => { const c = [...document.querySelectorAll("circle")].find(c => c.textContent.includes(name)); return [+c.getAttribute("cx"), +c.getAttribute("cy")] };
		const [hasty, thorough] = [at("SQ8/nprobe=1/"), at("index=Flat/")]; return hasty[0] < thorough[0] && hasty[1] > thorough[1] })()`)
	// The waterfall's bars fall.
	holds(`(() => { const w = [...document.querySelectorAll(".fall .now")].map(e => e.getBoundingClientRect().width); return w.length == 3 && w[0] > w[1] && w[1] > w[2] })()`)
	b.Dark(true)
	b.Screenshot(filepath.Join(t.ArtifactDir(), "dark.png"), true)
	b.Dark(false)
	b.Size(390, 844)
	holds(`Math.max(document.documentElement.scrollWidth, innerWidth) <= 390`)
	b.Screenshot(filepath.Join(t.ArtifactDir(), "phone.png"), true)
	if problems := b.Problems(); len(problems) > 0 {
		t.Errorf("the page complains: %q", problems)
	}
}
