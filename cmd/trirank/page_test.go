package main

import (
	"bytes"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/trirank/trirank/internal/browser"
)

// TestPage uses the page over the real index as a visitor does, and takes the
// picture that the README shows.
func TestPage(t *testing.T) {
	url, stop := serve(t, finetunedIndex(t))
	b := browser.New(t)
	b.Size(1440, 1000)
	b.Open(url + "/")
	b.Until(`!document.getElementById("start").hidden`)
	b.Open(url + "/?q=portable+battery+pack+for+phone") // which is judged
	ready := `document.querySelectorAll("#board:not(.skeleton) .column").length === 4 && document.querySelectorAll("#board:not(.skeleton) .card").length === 40`
	b.Until(ready)
	b.Until(`document.querySelectorAll("#board svg").length >= 2`) // the distributions

	// A product is followed across the columns.
	b.Hover(".column:nth-child(1) .card")
	b.Until(`document.querySelectorAll(".card.followed").length >= 2`)
	path := filepath.Join(t.TempDir(), "screenshot.png")
	if updating() {
		path = filepath.Join("..", "..", "docs", "screenshot.png")
	}
	b.Screenshot(path, true)

	// What is seen can be had again from the address.
	b.Click(".column:nth-child(2) .card")
	b.Until(`location.search.includes("P0")`)
	b.Open(browser.Eval[string](b, "location.href"))
	b.Until(ready)
	if p := b.Problems(); len(p) > 0 {
		t.Errorf("the page complains: %q", p)
	}
	stop()
}

// finetunedIndex is an index of the sample with the model that was trained on it, as
// make run makes it.
func finetunedIndex(t *testing.T) string {
	return indexOnce(t, &shared.finetuned, "finetuned.index", func(root string) [][]string {
		model := filepath.Join(root, "finetuned")
		return [][]string{
			{"model", "merge", "--delta", filepath.Join("..", "..", "catalog", "sample", "finetuned.safetensors"), "--out", model},
			{"index", "--catalog", "sample", "--model", "pretrained=e5-small-v2", "--model", "finetuned=" + model, "--out", filepath.Join(root, "finetuned.index")},
		}
	})
}

// TestReport reads the report on the sample as an engineer does, and takes the
// picture that the README shows.
func TestReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	var out, errs bytes.Buffer
	if code := run([]string{"eval", "--index", sampleIndex(t), "--tune-fusion", "--out", dir}, &out, &errs); code != 0 {
		t.Fatalf("eval ends with %d: %s", code, errs.String())
	}
	b := browser.New(t)
	b.Size(1200, 1500)
	b.Open((&url.URL{Scheme: "file", Path: filepath.Join(dir, "index.html")}).String())
	path := filepath.Join(t.TempDir(), "report.png")
	if updating() {
		path = filepath.Join("..", "..", "docs", "report.png")
	}
	b.Screenshot(path, false)
	for what, expression := range map[string]string{
		"the verdict":           `document.body.innerText.includes("pretrained beats bm25 on nDCG@10")`,
		"every query":           `document.querySelectorAll(".query").length === 63`,
		"a hit with its label":  `document.querySelectorAll(".query .E").length > 63`,
		"the score histograms":  `document.querySelectorAll("svg").length > 3`,
		"the tuned fusion":      `document.body.innerText.includes("convex:bm25=")`,
		"what was not recorded": `document.body.innerText.toLowerCase().includes("no training record")`,
		"nothing from outside":  `![...document.querySelectorAll("[src],link[href]")].some(e => /^https?:/.test(e.src || e.href))`,
	} {
		if !browser.Eval[bool](b, expression) {
			t.Errorf("the report lacks %s", what)
		}
	}
	b.Click("#filter")
	b.Keys("charger")
	b.Until(`[...document.querySelectorAll(".query")].filter(q => q.checkVisibility()).length < 20`)
	if p := b.Problems(); len(p) > 0 {
		t.Errorf("the report complains: %q", p)
	}
}
