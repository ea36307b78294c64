package main

import (
	"path/filepath"
	"testing"

	"github.com/trirank/trirank/internal/browser"
)

// TestPage uses the page over the real index as a visitor does, and takes the
// picture that the README shows.
func TestPage(t *testing.T) {
	url, stop := serve(t, sampleIndex(t))
	b := browser.New(t)
	b.Size(1440, 1000)
	b.Open(url + "/")
	b.Until(`!document.getElementById("start").hidden`)
	b.Open(url + "/?q=portable+battery+pack+for+phone") // which is judged
	ready := `document.querySelectorAll("#board:not(.skeleton) .column").length === 3 && document.querySelectorAll("#board:not(.skeleton) .card").length === 30`
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
