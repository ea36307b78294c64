package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trirank/trirank/engine"
)

// printExplanations says for each hit how its score comes about, one ranking after the
// other.
func printExplanations(w io.Writer, resp *engine.Response, width int) {
	for _, r := range resp.Rankings {
		if len(r.Hits) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: how scores come about\n", strings.ToUpper(r.System))
		for _, h := range r.Hits {
			fmt.Fprintln(w, strings.TrimRight(fit(fmt.Sprintf("%2d %s", h.Rank, h.Title), width), " "))
			if len(h.Components) > 0 {
				fmt.Fprintf(w, "   %.4g  sum over rankings\n", h.Score)
			}
			for _, c := range h.Components {
				rank := fmt.Sprintf("rank %d", c.Rank)
				if c.Rank == 0 {
					rank = fmt.Sprintf("not among the first %d", resp.Depth)
				}
				fmt.Fprintf(w, "     %.4g  %s: %s, score %.4g, weight %.4g\n", c.Contribution, c.System, rank, c.Score, c.Weight)
			}
			switch {
			case h.Explanation != nil:
				printExplanation(w, h.Explanation, 3)
			case len(h.Components) == 0:
				fmt.Fprintf(w, "   %.4g  a score that has no parts\n", h.Score)
			}
		}
	}
}

func printExplanation(w io.Writer, e *engine.Explanation, indent int) {
	fmt.Fprintf(w, "%*s%.4g  %s\n", indent, "", e.Value, printable(e.Text))
	for _, c := range e.Children {
		printExplanation(w, c, indent+2)
	}
}

// printDistributions describes the scores that each ranking gives to the products of the
// catalogue.
func printDistributions(w io.Writer, resp *engine.Response) {
	for _, r := range resp.Rankings {
		d := r.Distribution
		if d == nil {
			continue
		}
		scope := "the catalogue"
		if d.Scope != "catalogue" {
			scope = "a sample of the catalogue"
		}
		fmt.Fprintf(w, "\n%s: scores of %s of %s", strings.ToUpper(r.System), plural(d.Products, "product"), scope)
		if d.Zeros > 0 {
			fmt.Fprintf(w, ", without the %d whose score is 0", d.Zeros)
		}
		fmt.Fprintln(w)
		if h := d.Histogram; h != nil {
			fmt.Fprintf(w, "   %.4g %s %.4g\n", h.Min, bars(h.Counts), h.Max)
			fmt.Fprintf(w, "   mean %.4g, standard deviation %.4g, skewness %.3g, excess kurtosis %.3g\n", d.Mean, d.Deviation, d.Skewness, d.Kurtosis)
		}
		if n := d.Normality; n != nil {
			fmt.Fprintf(w, "   %s %.4g, p = %.3g (a small p: not a normal distribution)\n", n.Test, n.Statistic, n.P)
		}
	}
}

// bars draws a histogram in a line, a character a bin; a bin that is not empty is seen.
func bars(counts []int) string {
	levels := []rune(" ▁▂▃▄▅▆▇█")
	highest := cmp.Or(slices.Max(counts), 1)
	var b strings.Builder
	for _, n := range counts {
		b.WriteRune(levels[(n*(len(levels)-1)+highest-1)/highest])
	}
	return b.String()
}
