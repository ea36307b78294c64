package httpapi_test

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
	"github.com/trirank/trirank/internal/browser"
	"github.com/trirank/trirank/judgments"
)

// page is the page of a server in a browser.
type page struct {
	*browser.Browser
	t   *testing.T
	url string
}

func openPage(t *testing.T, e httpapi.Engine, path string) *page {
	t.Helper()
	r := run(t, httpapi.New(e, httpapi.Options{}))
	t.Cleanup(func() {
		r.cancel()
		if err := <-r.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	p := &page{browser.New(t), t, r.url}
	p.Open(r.url + path)
	return p
}

// loaded waits for the rankings of a query.
func (p *page) loaded(query string) {
	p.t.Helper()
	p.Until(`document.querySelector("#board:not(.skeleton):not([hidden]):not([aria-busy]) .column") && document.querySelector("#count strong")?.textContent == ` + strconv.Quote("“"+query+"”"))
}

func (p *page) texts(selector string) []string {
	p.t.Helper()
	return browser.Eval[[]string](p.Browser, `[...document.querySelectorAll(`+strconv.Quote(selector)+`)].map(e => e.textContent.trim())`)
}

func (p *page) count(selector string) int {
	p.t.Helper()
	return browser.Eval[int](p.Browser, `document.querySelectorAll(`+strconv.Quote(selector)+`).length`)
}

func (p *page) holds(expression string) {
	p.t.Helper()
	if !browser.Eval[bool](p.Browser, "!!("+expression+")") {
		p.t.Errorf("not true: %s", expression)
	}
}

// look keeps a picture: go test -run Page -artifacts -outputdir /tmp/page.
func (p *page) look(name string) {
	p.t.Helper()
	p.Screenshot(filepath.Join(p.t.ArtifactDir(), name+".png"), false)
}

// quiet checks that the page complained about nothing.
func (p *page) quiet() {
	p.t.Helper()
	if problems := p.Problems(); len(problems) > 0 {
		p.t.Errorf("the page complains: %q", problems)
	}
}

func TestPageCompares(t *testing.T) {
	p := openPage(t, sample(t).Engine(nil), "/")
	p.Until(`document.querySelectorAll(".examples .chip").length == 5`)
	p.Until(`document.activeElement.id == "q"`)
	p.look("start")
	p.Click(".examples .chip")
	p.loaded("wireless mouse")
	p.look("board")
	if got := strings.Join(p.texts(".column h2"), " "); got != "bm25 pretrained finetuned hybrid" {
		t.Errorf("columns %s", got)
	}
	for i := range 4 {
		column := ".column:nth-child(" + strconv.Itoa(i+1) + ") "
		if n := p.count(column + ".card"); n != 10 {
			t.Errorf("column %d has %d cards", i+1, n)
		}
		if n := p.count(column + ".rug i"); n != 10 {
			t.Errorf("column %d marks %d scores", i+1, n)
		}
		if moved := p.count(column+".card .move") > 0; moved == (i == 1) {
			t.Errorf("column %d shows movements: %v", i+1, moved)
		}
	}
	p.holds(`document.title == "wireless mouse – trirank"`)
	p.holds(`document.querySelectorAll(".plot .bars").length == 3 && document.querySelectorAll(".plot .normal").length == 2`)
	p.holds(`document.querySelector(".column .scores").textContent.includes("429 products match no term")`)
	p.holds(`document.querySelector(".column .labels").textContent.includes("3")`)
	p.holds(`new Set([...document.querySelectorAll(".column ol")].map(e => e.getBoundingClientRect().top)).size == 1`)
	p.holds(`document.querySelector("#count").getAttribute("aria-live") == "polite"`)

	p.Click(".note button")
	p.holds(`!document.querySelector(".note")`)
	p.Open(p.url)
	p.Until(`document.querySelector(".examples")`)
	p.holds(`!document.querySelector(".note")`)
	p.quiet()
}

func TestPageFollowsProduct(t *testing.T) {
	p := openPage(t, sample(t).Engine(nil), "/?q=wireless+mouse")
	p.loaded("wireless mouse")
	p.Hover(".column .card")
	p.Until(`document.querySelectorAll(".card.followed").length >= 2`)
	p.holds(`document.querySelectorAll(".wire").length >= 2 && document.querySelectorAll(".where:not(:empty)").length == 1`)
	p.holds(`document.querySelector(".drawer").hidden`)
	p.look("follow")

	p.Click(".column .card")
	p.Until(`document.querySelectorAll(".similar li").length == 6 && document.querySelector(".bullets")`)
	id := browser.Eval[string](p.Browser, `document.querySelector(".column .card").dataset.id`)
	p.holds(`new URLSearchParams(location.search).get("pin") == "` + id + `"`)
	p.holds(`document.querySelectorAll(".card.pinned").length == 3`)
	if rows := p.texts(".placements tbody tr"); len(rows) != 4 || !strings.HasPrefix(rows[0], "bm251▲22") || !strings.HasPrefix(rows[1], "pretrained23") {
		t.Errorf("placements %q", rows)
	}
	if n := p.count(".parts li"); n != 2 {
		t.Errorf("%d parts of the fused score", n)
	}
	p.Click(".why summary")
	p.Until(`document.querySelectorAll(".tree").length == 2 && document.querySelector(".tree").textContent.includes("wireless")`)
	p.look("details")

	p.Do(chromedp.Reload())
	p.loaded("wireless mouse")
	p.Until(`document.querySelectorAll(".card.pinned").length == 3 && document.querySelectorAll(".similar li").length == 6`)

	p.Click(".similar li:nth-child(2) a") // a product that may not be on the board
	p.Until(`new URLSearchParams(location.search).get("pin") != "` + id + `" && document.querySelector(".drawer h2")`)
	p.Do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	p.Until(`document.querySelectorAll(".card.pinned").length == 3`)
	p.Click(".drawer .close")
	p.Until(`document.querySelector(".drawer").hidden && !location.search.includes("pin")`)
	p.holds(`!document.querySelector(".card.pinned")`)
	p.quiet()
}

func TestPageState(t *testing.T) {
	p := openPage(t, sample(t).Engine(nil), "/?q=wireless+mouse&k=5&systems=hybrid,bm25&fusion=convex:bm25%3D0.4,pretrained%3D0.6&brand=Halden&max_price=90")
	p.loaded("wireless mouse")
	if got := strings.Join(p.texts(".column h2"), " "); got != "hybrid bm25" {
		t.Errorf("columns %s", got)
	}
	p.holds(`[...document.querySelectorAll(".card .brand")].every(e => e.textContent == "Halden")`)
	if chips := p.texts("#filters .chip"); len(chips) != 3 {
		t.Errorf("filters %q", chips)
	}
	p.Click("#options-button")
	p.holds(`document.getElementById("option-k").value == "5" && document.getElementById("option-fusion").value.startsWith("convex")`)
	p.Click(`.toggles input[value="finetuned"]`)
	p.Until(`document.querySelectorAll("#board:not([aria-busy]) .column").length == 3`)
	p.holds(`location.search.includes("finetuned")`)
	p.look("options")
	p.holds(`document.querySelector('[data-system="hybrid"] .detail').textContent.startsWith("convex")`)
	p.Click("#filters .chip") // the brand
	p.Until(`!location.search.includes("Halden") && [...document.querySelectorAll(".card .brand")].some(e => e.textContent != "Halden")`)

	p.Click("#q")
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("q").value = "dog toy"`))
	p.Keys(kb.Enter)
	p.loaded("dog toy")
	p.Do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	p.loaded("wireless mouse")
	p.holds(`document.getElementById("q").value == "wireless mouse"`)
	p.Do(chromedp.Evaluate[chromedp.Void](`history.forward()`))
	p.loaded("dog toy")
	p.quiet()
}

func TestPageKeyboard(t *testing.T) {
	p := openPage(t, sample(t).Engine(nil), "/?q=charger")
	p.loaded("charger")
	p.Keys("/")
	p.holds(`document.activeElement.id == "q"`)
	p.Do(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`)) // the protocol, unlike a keyboard, writes the "/" all the same
	p.Keys("usb c charger" + kb.Enter)
	p.loaded("usb c charger")
	at := func() string {
		return browser.Eval[string](p.Browser, `(() => { const c = document.activeElement.closest(".card"); return c ? c.dataset.system + " " + c.querySelector(".rank").textContent : document.activeElement.tagName })()`)
	}
	for _, step := range []struct{ key, want string }{
		{"j", "bm25 1"}, {"j", "bm25 2"}, {kb.ArrowDown, "bm25 3"}, {"l", "pretrained 3"}, {kb.ArrowRight, "finetuned 3"},
		{"k", "finetuned 2"}, {"h", "pretrained 2"}, {kb.ArrowLeft, "bm25 2"}, {"h", "bm25 2"}, {kb.ArrowUp, "bm25 1"}, {"k", "bm25 1"},
	} {
		p.Keys(step.key)
		if got := at(); got != step.want {
			t.Errorf("after %q: at %s, want %s", step.key, got, step.want)
		}
	}
	p.holds(`document.querySelectorAll(".card.followed").length >= 1 && document.querySelectorAll('.card[tabindex="0"]').length == 1`)
	p.Keys(kb.Enter)
	p.Until(`!document.querySelector(".drawer").hidden && document.activeElement.classList.contains("pinned")`)
	p.Keys(kb.Escape)
	p.Until(`document.querySelector(".drawer").hidden`)
	p.Keys("?")
	p.holds(`document.getElementById("help").open`)
	p.Keys(kb.Escape)
	p.holds(`!document.getElementById("help").open`)
	p.Keys("o")
	p.holds(`!document.getElementById("options").hidden && document.activeElement.id == "option-k"`)
	p.Keys("3" + kb.Enter)
	p.Until(`document.querySelectorAll(".column:first-child .card").length == 3`)
	p.Keys(kb.Escape)
	p.holds(`document.getElementById("options").hidden`)
	p.quiet()
}

func TestPageOnPhone(t *testing.T) {
	p := openPage(t, sample(t).Engine(nil), "/")
	p.Size(390, 844)
	fits := func() {
		t.Helper()
		p.holds(`document.documentElement.scrollWidth <= 390 && document.body.scrollWidth <= 390`)
	}
	p.Until(`document.querySelector(".examples")`)
	fits()
	p.look("start")
	p.Open(p.url + "/?q=" + strings.Repeat("wireless", 20) + "+mouse")
	p.loaded(strings.Repeat("wireless", 20) + " mouse")
	fits()
	p.Open(p.url + "/?q=wireless+mouse")
	p.loaded("wireless mouse")
	fits()
	p.look("board")
	inView := `(() => { const at = document.elementFromPoint(195, 700).closest(".column"); return at?.dataset.system })()`
	p.Until(inView + ` == "bm25"`)
	p.Click("#tabs button:nth-child(3)")
	p.Until(inView + ` == "finetuned"`)
	p.Until(`document.querySelector('#tabs [aria-pressed="true"]').textContent == "finetuned"`)
	p.Click(`.column:nth-child(3) .card`)
	p.Until(`document.querySelectorAll(".similar li").length == 6`)
	fits()
	p.look("details")
	p.Click(".drawer .close")
	p.Click("#options-button")
	fits()
	p.quiet()
}

// contrast finds texts whose contrast with what is behind them is below the AA
// level of WCAG 2.2. Pictures do not count.
const contrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const over = (a, b) => a.slice(0, 3).map((x, i) => (x * a[3] + b[i] * (255 - a[3])) / 255).concat(255);
	const luminance = (c) => c.slice(0, 3).map((x) => x / 255).map((x) => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4).reduce((s, x, i) => s + x * [.2126, .7152, .0722][i], 0);
	const behind = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor), rgba(getComputedStyle(e, "::before").content !== "none" && e.classList.contains("card") ? getComputedStyle(e, "::before").backgroundColor : "transparent"));
		return layers.reverse().reduce((b, l) => over(l, b), [255, 255, 255, 255]);
	};
	const bad = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (!own || e.closest("svg, [aria-hidden=true], noscript, .zero") || !e.checkVisibility()) continue;
		const style = getComputedStyle(e);
		const back = behind(e);
		const [a, b] = [luminance(over(rgba(style.color), back)), luminance(back)].sort((x, y) => y - x);
		const large = parseFloat(style.fontSize) >= 24;
		if ((a + .05) / (b + .05) < (large ? 3 : 4.5)) bad.push(e.className + " " + e.textContent.slice(0, 20) + " " + ((a + .05) / (b + .05)).toFixed(2));
	}
	return bad;
})()`

func TestPageThemes(t *testing.T) {
	p := openPage(t, sample(t).Engine(nil), "/?q=wireless+mouse&brand=Halden&brand=Corvane")
	paper := `getComputedStyle(document.body).backgroundColor`
	readable := func(theme string) {
		t.Helper()
		p.loaded("wireless mouse")
		p.Click(".column .card")
		p.Until(`document.querySelectorAll(".similar li").length == 6 && document.querySelector(".bullets")`)
		if bad := browser.Eval[[]string](p.Browser, contrast); len(bad) > 0 {
			t.Errorf("%s: too little contrast: %q", theme, bad)
		}
		p.look(theme)
		p.Click(".drawer .close")
	}
	readable("light")
	light := browser.Eval[string](p.Browser, paper)
	p.Dark(true)
	readable("dark")
	dark := browser.Eval[string](p.Browser, paper)
	if light == dark {
		t.Errorf("the paper is %s in both themes", light)
	}
	p.Click("#theme-button") // from the system's to light
	p.holds(paper + ` == "` + light + `"`)
	p.Do(chromedp.Reload())
	p.loaded("wireless mouse")
	p.holds(paper + ` == "` + light + `"`)
	p.quiet()
}

func TestPageHostileText(t *testing.T) {
	const attack = `"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`
	shop := fakeshop.Tiny(12)
	shop.Edit("T003", func(p *catalog.Product) {
		p.Title, p.Brand, p.Category = "thing "+attack, attack, []string{attack, attack}
		p.Description, p.Bullets, p.Color, p.Image = attack, []string{attack}, attack, "javascript:window.pwned=1"
		p.Extra = map[string]jsonRaw{attack: jsonRaw(strconv.Quote(attack))}
	})
	config := shop.Config(nil)
	config.Name, config.Examples, config.Notes = attack, []string{attack}, []string{attack}
	config.Systems[0].Detail = attack
	e, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	p := openPage(t, e, "/")
	p.Until(`document.querySelector(".examples")`)
	query := "thing " + attack
	p.Open(p.url + "/?" + url.Values{"q": {query}, "brand": {attack}, "pin": {"T003"}}.Encode())
	p.loaded(query)
	p.Until(`document.querySelector(".drawer .bullets")`)
	p.Click(".why summary")
	p.Until(`document.querySelector(".tree")`)
	p.holds(`document.querySelector(".card .title").textContent.includes("<script>window.pwned=1</script>")`)
	p.holds(`window.pwned === undefined && !document.querySelector("main script, aside script, main img, aside img")`)
	p.Open(p.url + "/?q=" + url.QueryEscape(query) + "&fusion=" + url.QueryEscape(attack))
	p.Until(`document.querySelector(".message.error")`)
	p.holds(`window.pwned === undefined && !document.querySelector("main script, main img")`)
	for _, problem := range p.Problems() {
		if !strings.Contains(problem, "status of 400") { // which is what was provoked
			t.Errorf("the page complains: %s", problem)
		}
	}
}

func TestPageImages(t *testing.T) {
	const dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
	shop := fakeshop.Tiny(3)
	shop.Edit("T000", func(p *catalog.Product) { p.Image = dot })
	shop.Edit("T001", func(p *catalog.Product) { p.Image = "http://127.0.0.1:9/gone.jpg" })
	p := openPage(t, shop.Engine(nil), "/?q=thing&systems=bm25")
	p.loaded("thing")
	p.Until(`document.querySelectorAll("img.tile").length == 1 && document.querySelectorAll("span.tile").length == 2`)
}

func TestPageFailures(t *testing.T) {
	faults := &fakeshop.Faults{}
	p := openPage(t, sample(t).Engine(faults), "/?q=mouse&systems=bm25,finetuned")
	p.loaded("mouse")
	p.holds(`!document.querySelector(".column:first-child .move") && document.querySelector(".column:nth-child(2) .move")`) // without pretrained, the first is the baseline
	broken := "pretrained"
	faults.Fail.Store(&broken)
	p.Open(p.url + "/?q=mouse")
	p.loaded("mouse")
	p.holds(`document.querySelectorAll(".failed").length == 1 && document.querySelector('[data-system="pretrained"] .failed').textContent.includes("on strike")`)
	p.holds(`document.querySelectorAll('[data-system="hybrid"] .card').length == 10 && !document.querySelector(".card .move")`)
	p.look("failed")
	faults.Fail.Store(nil)

	p.Open(p.url + "/?q=mouse&brand=Nobody")
	p.Until(`document.querySelector(".message.empty .plain")`)
	p.look("empty")
	p.Click(".message .plain")
	p.loaded("mouse")
	calls := faults.Calls.Load()
	p.Click("#search button") // the same query: the index may be a new one
	eventually(t, "it is asked once more", func() bool { return faults.Calls.Load() > calls })
	p.loaded("mouse")
	p.quiet()

	p.Open(p.url + "/?q=mouse&k=1000")
	p.Until(`document.querySelector(".message.error")`)
	p.holds(`document.querySelector(".message").textContent.includes("1..100")`)
	p.look("error")

	faults.SetDelay(5 * time.Second)
	p.Open(p.url + "/?q=keyboard")
	p.Until(`document.querySelector("#board.skeleton .bone")`)
	p.look("loading")
	p.loaded("keyboard")
}

func TestPageShowsGPU(t *testing.T) {
	r := run(t, httpapi.New(fakeshop.Tiny(1).Engine(nil), httpapi.Options{ExtraMetrics: func(w io.Writer) {
		fmt.Fprint(w, "trirank_gpu_utilization_ratio{gpu=\"0\",name=\"H\"} 0.43\ntrirank_gpu_memory_used_bytes{gpu=\"0\"} 2254857830\ntrirank_gpu_memory_total_bytes{gpu=\"0\"} 8589934592\ntrirank_gpu_temperature_celsius{gpu=\"0\"} 61\n")
	}}))
	b := browser.New(t)
	b.Open(r.url)
	b.Until(`document.getElementById("gauges").textContent == "GPU 0 · 43 % · 2.1 of 8.0 GiB · 61 °C"`)
}

func TestPageBeforeReady(t *testing.T) {
	p := openPage(t, nil, "/?q=mouse")
	p.Until(`document.querySelector(".message.error .plain")`)
	p.holds(`document.querySelector(".message h2").textContent == "The server is starting"`)
}

// TestPageNumericLabels: labels that are numbers are shown as they are, on the colour
// of their share of the greatest.
func TestPageNumericLabels(t *testing.T) {
	shop := fakeshop.Tiny(6)
	for id, label := range map[string]judgments.Label{"T000": "3", "T001": "1.5", "T002": "0.25", "T003": "0"} {
		shop.Judge("thing", id, label)
	}
	config := shop.Config(nil)
	config.GreatestLabel = 3
	e, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	p := openPage(t, e, "/?q=thing&systems=bm25")
	p.loaded("thing")
	got := browser.Eval[[]string](p.Browser, `[...document.querySelectorAll(".card .gutter .label")].map(e => e.textContent + " " + e.dataset.label + " " + e.title)`)
	slices.Sort(got)
	want := []string{"0 I 0 of 3", "0.25 C 0.25 of 3", "1.5 S 1.5 of 3", "3 E 3 of 3", "· unjudged Not judged", "· unjudged Not judged"}
	if !slices.Equal(got, want) {
		t.Errorf("labels %q", got)
	}
	if got := strings.Join(p.texts(".labels > span"), "|"); got != "3 1|1.5 1|0.25 1|0 1|· 2|" {
		t.Errorf("counts %q", got)
	}
	p.quiet()
	p.look("numeric")
}
