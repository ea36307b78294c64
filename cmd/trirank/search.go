package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/unicode/norm"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/judgments"
)

func newSearchCommand() *cobra.Command {
	var index, fusion string
	var models, bleve []string
	var asJSON bool
	var timeout time.Duration
	var device store.Device
	var r engine.Request
	c := &cobra.Command{
		Use:   "search --index INDEX QUERY...",
		Short: "Answer a query with all rankings side by side",
		Long: `Search prints the rankings of a query side by side: for each hit its label if it
was judged (E exact, S substitute, C complement, I irrelevant, · unjudged), how
far it moved against the pretrained ranking, its title and its score.

--explain adds how the score of each hit comes about, --distribution how the scores
of the whole catalogue are spread. With --json it prints what the server's
/v1/compare answers.`,
		Example: `  trirank search --index shop.index "wireless mouse"
  trirank search --index shop.index --k 5 --systems bm25,hybrid --brand Norrvik charger
  trirank search --index shop.index --json --explain --distribution "red shoes" | jq .`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("trirank search needs a query")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&index, "index", "", "index directory")
	f.IntVar(&r.K, "k", engine.DefaultK, "hits a ranking")
	f.StringSliceVar(&r.Systems, "systems", nil, "rankings to show, with commas between (default all)")
	f.StringArrayVar(&r.Filter.Brands, "brand", nil, "only this brand; may be repeated")
	f.StringArrayVar(&r.Filter.Categories, "category", nil, "only this category, of any level; may be repeated")
	f.Float64Var(&r.Filter.MinPrice, "min-price", 0, "only products of at least this price")
	f.Float64Var(&r.Filter.MaxPrice, "max-price", 0, "only products of at most this price")
	f.StringVar(&fusion, "fusion", "", "fuse like this instead: rrf(60):bm25=1,pretrained=2 or convex:bm25=0.3,pretrained=0.7")
	f.BoolVar(&r.Explain, "explain", false, "say how the score of each hit comes about")
	f.BoolVar(&r.Distribution, "distribution", false, "describe the scores that each ranking gives to the whole catalogue")
	f.StringArrayVar(&models, "model", nil, "where the model of a ranking is, if it was moved: NAME=DIR; may be repeated")
	f.StringSliceVar(&bleve, "bleve", nil, "add rankings by bleve's own scoring: bleve-bm25, bleve-tfidf")
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long a ranking may take")
	f.Var(&device, "device", "where the model and the vector index run; for one query a GPU takes longer to start")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		var err error
		if fusion != "" {
			if r.Fusion, err = engine.ParseFusion(fusion); err != nil {
				return usageError("--fusion: %v", err)
			}
		}
		_, dirs, err := modelFlag(models)
		if err != nil {
			return err
		}
		x, err := store.Open(c.Context(), index, store.OpenOptions{Models: dirs, Bleve: bleve, Device: device})
		if err != nil {
			return err
		}
		printPlacement(c, x.Placement)
		r.Query = strings.Join(args, " ")
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		resp, err := x.Engine.Compare(ctx, r)
		switch {
		case errors.Is(err, engine.ErrRequest):
			return usageError("cannot search %s for %.80q: %v", index, r.Query, err)
		case err != nil:
			return fmt.Errorf("cannot search %s for %q: %w", index, r.Query, err)
		}
		if asJSON {
			err = writeJSON(c.OutOrStdout(), resp)
		} else {
			w, width := c.OutOrStdout(), terminalWidth(c.OutOrStdout())
			printRankings(w, resp, width)
			if r.Distribution {
				printDistributions(w, resp)
			}
			if r.Explain {
				printExplanations(w, resp, width)
			}
		}
		for _, ranking := range resp.Rankings {
			if ranking.Error != "" {
				return fmt.Errorf("ranking %s failed: %s", ranking.System, ranking.Error)
			}
		}
		if err != nil {
			return err
		}
		return x.Close()
	}
	return c
}

// terminalWidth is 100 where there is no terminal, so that output does not depend
// on the machine.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return max(width, 60)
		}
	}
	return 100
}

// printRankings prints columns side by side, as many as fit the width and the rest
// below.
func printRankings(w io.Writer, resp *engine.Response, width int) {
	const least, gap = 38, 2
	perRow := max(1, min(len(resp.Rankings), (width+gap)/(least+gap)))
	column := (width+gap)/perRow - gap
	// Moves are told only where the ranking that they start from is there.
	hasBaseline := slices.ContainsFunc(resp.Rankings, func(r engine.Ranking) bool { return r.System == baseline && r.Error == "" })
	labels := 1 // the width of the widest
	for _, r := range resp.Rankings {
		for _, h := range r.Hits {
			labels = max(labels, utf8.RuneCountInString(labelOf(h)))
		}
	}
	fmt.Fprintf(w, "%s  (%.1f ms", resp.Query, resp.TookMS)
	if resp.Judged > 0 {
		fmt.Fprintf(w, "; %s judged", plural(resp.Judged, "product"))
	}
	fmt.Fprintln(w, ")")
	for first := 0; first < len(resp.Rankings); first += perRow {
		rankings := resp.Rankings[first:min(first+perRow, len(resp.Rankings))]
		fmt.Fprintln(w)
		heads := make([]string, len(rankings))
		for i, r := range rankings {
			heads[i] = fit(fmt.Sprintf("%s  %.1f ms", strings.ToUpper(r.System), r.TookMS), column)
		}
		line(w, heads, gap)
		for rank := range resp.K {
			cells, any := make([]string, len(rankings)), false
			for i, r := range rankings {
				cell := ""
				switch {
				case rank < len(r.Hits):
					any = true
					cell = hitCell(r.Hits[rank], hasBaseline && r.System != baseline, labels, column)
				case rank == 0 && r.Error != "":
					any = true
					cell = fit(r.Error, column)
				case rank == 0:
					any = true
					cell = fit("no product matches", column)
				}
				cells[i] = fmt.Sprintf("%s%*s", cell, column-len([]rune(cell)), "")
			}
			if !any {
				break
			}
			line(w, cells, gap)
		}
	}
}

func line(w io.Writer, cells []string, gap int) {
	fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, strings.Repeat(" ", gap)), " "))
}

// labelOf is the label of a hit, a dot where nobody judged it.
func labelOf(h engine.Hit) string {
	if h.Label == judgments.Unlabelled {
		return "·"
	}
	return h.Label.String()
}

// hitCell writes a hit in exactly width characters, labels of them for its label.
func hitCell(h engine.Hit, showMove bool, labels, width int) string {
	label := labelOf(h)
	head := fmt.Sprintf("%2d %s%*s ", h.Rank, label, labels-utf8.RuneCountInString(label), "")
	if showMove {
		head += fmt.Sprintf("%-4s", move(h))
	}
	tail := fmt.Sprintf(" %.4g", h.Score)
	return head + fit(h.Title, width-len([]rune(head))-len(tail)) + tail
}

// baseline is the ranking that others are compared with.
const baseline = "pretrained"

// move says how a hit moved against the baseline ranking.
func move(h engine.Hit) string {
	was, ok := h.Ranks[baseline]
	switch {
	case !ok:
		return "new"
	case was > h.Rank:
		return fmt.Sprintf("▲%d", was-h.Rank)
	case was < h.Rank:
		return fmt.Sprintf("▼%d", h.Rank-was)
	}
	return "="
}

// fit pads or cuts s to width characters.
func fit(s string, width int) string {
	r := []rune(printable(s))
	if len(r) > width {
		r = append(r[:max(width-1, 0)], '…')
	}
	return string(r) + strings.Repeat(" ", max(0, width-len(r)))
}

// printable leaves no control character in s: a title must not steer the terminal. A
// letter and its accents become one character, which takes one place.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, norm.NFC.String(s))
}
