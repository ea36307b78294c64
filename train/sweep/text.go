package sweep

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/trirank/trirank/eval"
)

// WriteText writes the table for people, and what it means.
func (t *Table) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "setting\tnDCG@10\tdifference, 95 %\tp\trecall@100\tdifference, 95 %\tp\ttime")
	fmt.Fprintf(tw, "(before)\t%s\t\t\t%s\t\t\t\n", short(t.NDCG), short(t.Recall))
	for i, r := range t.Rows {
		mark := ""
		if i == t.Best && len(t.Rows) > 1 {
			mark = " *"
		}
		fmt.Fprintf(tw, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f s\n", r.Setting, mark, short(r.NDCG), interval(r.ByNDCG), p(r.ByNDCG),
			short(r.Recall), interval(r.ByRec), p(r.ByRec), r.Seconds)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d queries in %d folds, each ranked by models that did not see it", t.Queries, t.Folds)
	if n := len(t.Rows); n > 1 {
		fmt.Fprintf(w, "; p is corrected for %d settings", n)
	}
	fmt.Fprintln(w)
	_, err := fmt.Fprintln(w, t.Verdict())
	return err
}

// Verdict says in words what the table shows on nDCG@10.
func (t *Table) Verdict() string {
	best := t.Rows[t.Best]
	c := best.ByNDCG
	shown := c.PHolm < .05
	switch one := len(t.Rows) == 1; {
	case shown && c.Difference > 0 && one:
		return "it is better than the model that it began with"
	case shown && c.Difference > 0:
		return fmt.Sprintf("best: %s. The best of several looks better than it is: train it on all, and compare it on queries that no fold held", best.Setting)
	case shown && one:
		return "it is worse than the model that it began with"
	case one:
		return "no difference to the model that it began with can be shown"
	}
	return "no setting can be shown to be better than the model that all began with"
}

func short(x eval.Number) string { return eval.Short(float64(x)) }

func interval(c eval.Comparison) string {
	return fmt.Sprintf("%s [%s, %s]", eval.Signed(float64(c.Difference)), eval.Signed(float64(c.Low)), eval.Signed(float64(c.High)))
}

func p(c eval.Comparison) string {
	if c.PHolm < .001 {
		return "<.001"
	}
	return short(c.PHolm)
}

// WriteCSV writes the table for programs.
func (t *Table) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"setting", "ndcg@10", "ndcg@10_difference", "ndcg@10_low", "ndcg@10_high", "ndcg@10_p_holm",
		"recall@100", "recall@100_difference", "recall@100_low", "recall@100_high", "recall@100_p_holm", "seconds"})
	number := func(x eval.Number) string {
		if math.IsNaN(float64(x)) {
			return ""
		}
		return strconv.FormatFloat(float64(x), 'g', 10, 64)
	}
	c.Write([]string{"(before)", number(t.NDCG), "", "", "", "", number(t.Recall), "", "", "", "", ""})
	for _, r := range t.Rows {
		c.Write([]string{r.Setting.String(), number(r.NDCG), number(r.ByNDCG.Difference), number(r.ByNDCG.Low), number(r.ByNDCG.High), number(r.ByNDCG.PHolm),
			number(r.Recall), number(r.ByRec.Difference), number(r.ByRec.Low), number(r.ByRec.High), number(r.ByRec.PHolm), strconv.FormatFloat(r.Seconds, 'f', 1, 64)})
	}
	c.Flush()
	return c.Error()
}
