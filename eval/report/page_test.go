package report

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/trirank/trirank/eval"
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
	readable := func(name string) {
		t.Helper()
		if bad := browser.Eval[[]string](b, contrast); len(bad) > 0 {
			t.Errorf("%s: too little contrast: %q", name, bad)
		}
	}
	for name, r := range map[string]*eval.Report{"full": fixture(), "minimal": minimal(), "large": large(30)} {
		path := filepath.Join(t.TempDir(), "index.html")
		if err := os.WriteFile(path, []byte(html(t, r)), 0o644); err != nil {
			t.Fatal(err)
		}
		look := func(as string) {
			b.Screenshot(filepath.Join(t.ArtifactDir(), name+"-"+as+".png"), true)
		}
		b.Size(1280, 900)
		b.Dark(false)
		b.Open((&url.URL{Scheme: "file", Path: path}).String())
		// What is not in view is not drawn, which a picture of all should show.
		b.Do(chromedp.Evaluate[chromedp.Void](`document.head.append(Object.assign(document.createElement("style"), { textContent: ".query { content-visibility: visible !important }" }))`))
		readable(name + ", light")
		look("light")
		b.Dark(true)
		readable(name + ", dark")
		look("dark")
		b.Dark(false)
		b.Size(390, 844)
		if wide := browser.Eval[[]string](b, tooWide); len(wide) > 0 {
			t.Errorf("%s: wider than a telephone: %q", name, wide)
		}
		look("phone")
		holds(`window.pwned === undefined && !document.querySelector("main script, main img")`)
		holds(`new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size == document.querySelectorAll("[id]").length`)
		holds(`[...document.querySelectorAll('a[href^="#"]')].every(a => document.getElementById(a.hash.slice(1)))`)
		if name != "full" {
			continue
		}
		b.Size(1280, 900)
		shown := `[...document.querySelectorAll(".query")].filter(q => q.checkVisibility()).length`
		holds(shown + ` == 14 && document.querySelectorAll(".query[open]").length == 3`)
		b.Click("#filter")
		b.Keys("CHARGER volt")
		holds(shown + ` == 2 && document.getElementById("found").textContent == "2 of 14"`)
		b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("filter").value = ""; document.getElementById("which").value = "worse"; document.getElementById("which").dispatchEvent(new Event("change"))`))
		holds(shown + ` > 3 && [...document.querySelectorAll(".query")].every(q => q.checkVisibility() == q.querySelector(".delta").textContent.startsWith("−"))`)
		b.Click(".query:not([hidden]) summary")
	}
	if problems := b.Problems(); len(problems) > 0 {
		t.Errorf("the page complains: %q", problems)
	}
}

// tooWide finds what makes the page scroll sideways on a telephone.
const tooWide = `Math.max(document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth) <= 390 ? [] :
	[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 390 && !e.parentElement.closest(".scroll")).map((e) => e.tagName + "." + e.className + " " + e.textContent.slice(0, 30)).concat(innerWidth + " wide")`

// contrast finds texts whose contrast with what is behind them is below the AA
// level of WCAG 2.2. Pictures do not count.
const contrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const over = (a, b) => a.slice(0, 3).map((x, i) => (x * a[3] + b[i] * (255 - a[3])) / 255).concat(255);
	const luminance = (c) => c.slice(0, 3).map((x) => x / 255).map((x) => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4).reduce((s, x, i) => s + x * [.2126, .7152, .0722][i], 0);
	const bad = new Set();
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (!own || e.closest("svg, [aria-hidden=true], script, .hidden") || !e.checkVisibility()) continue;
		const layers = [];
		for (let p = e; p; p = p.parentElement) layers.push(rgba(getComputedStyle(p).backgroundColor));
		const back = layers.reverse().reduce((b, l) => over(l, b), [255, 255, 255, 255]);
		const [x, y] = [luminance(over(rgba(getComputedStyle(e).color), back)), luminance(back)].sort((p, q) => q - p);
		if ((x + .05) / (y + .05) < (parseFloat(getComputedStyle(e).fontSize) >= 24 ? 3 : 4.5)) bad.add(e.tagName + "." + e.className + " " + e.textContent.slice(0, 20) + " " + ((x + .05) / (y + .05)).toFixed(2));
	}
	return [...bad];
})()`
