package sweep

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/trirank/trirank/eval"
)

// WriteText writes the table for people, and what it means.
func (t *Table) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "setting\tnDCG@10\tdifference, 95 %\tp\trecall@100\tdifference, 95 %\tp\ttime")
	fmt.Fprintf(tw, "(before)\t%s\t\t\t%s\t\t\t\n", short(t.NDCG), short(t.Recall))
	for i, r := range t.Rows {
		if r.Failed != "" {
			fmt.Fprintf(tw, "%s\tfailed: %s\n", r.Setting, r.Failed)
			continue
		}
		mark, took := "", "resumed"
		if i == t.Best && len(t.Rows) > 1 {
			mark = " *"
		}
		if r.Seconds > 0 {
			took = fmt.Sprintf("%.0f s", r.Seconds)
		}
		fmt.Fprintf(tw, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Setting, mark, short(r.NDCG), interval(r.ByNDCG), p(r.ByNDCG),
			short(r.Recall), interval(r.ByRecall), p(r.ByRecall), took)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d queries in %d folds, each ranked by models that did not see it", t.Queries, t.Folds)
	if n := len(t.Rows); n > 1 {
		fmt.Fprintf(w, "; p is corrected for %d settings; * has the highest nDCG@10", n)
	}
	fmt.Fprintln(w)
	_, err := fmt.Fprintln(w, t.Verdict())
	return err
}

// shown is the p-value, corrected, below which a difference counts as shown.
const shown = .05

// Verdict says in words what the table shows on nDCG@10.
func (t *Table) Verdict() string {
	if t.Best < 0 {
		return "no setting could be trained"
	}
	best := t.Rows[t.Best].ByNDCG
	if len(t.Rows) == 1 {
		switch {
		case best.PHolm >= shown:
			return "no difference to the model that it began with can be shown"
		case best.Mean > 0:
			return "it is better than the model that it began with"
		}
		return "it is worse than the model that it began with"
	}
	var better []string
	for _, r := range t.Rows {
		if r.Failed == "" && r.ByNDCG.PHolm < shown && r.ByNDCG.Mean > 0 {
			better = append(better, r.Setting.String())
		}
	}
	if len(better) == 0 {
		return "no setting can be shown to be better than the model that all began with"
	}
	return fmt.Sprintf("better than the model that all began with: %s. The best of several looks better than it is: train it on all, and compare it on queries that no fold held",
		strings.Join(better, "; "))
}

func short(x eval.Number) string { return eval.Short(float64(x)) }

func interval(d Difference) string {
	return fmt.Sprintf("%s [%s, %s]", eval.Signed(float64(d.Mean)), eval.Signed(float64(d.Low)), eval.Signed(float64(d.High)))
}

func p(d Difference) string {
	if d.PHolm < .001 {
		return "<.001"
	}
	return short(d.PHolm)
}

// WriteCSV writes the table for programs.
func (t *Table) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"setting", "ndcg@10", "ndcg@10_difference", "ndcg@10_low", "ndcg@10_high", "ndcg@10_p_holm",
		"recall@100", "recall@100_difference", "recall@100_low", "recall@100_high", "recall@100_p_holm", "seconds", "failed"})
	number := func(x eval.Number) string {
		if math.IsNaN(float64(x)) {
			return ""
		}
		return strconv.FormatFloat(float64(x), 'g', 10, 64)
	}
	c.Write([]string{"(before)", number(t.NDCG), "", "", "", "", number(t.Recall), "", "", "", "", "", ""})
	for _, r := range t.Rows {
		record := []string{r.Setting.String()}
		for _, m := range []struct {
			value eval.Number
			Difference
		}{{r.NDCG, r.ByNDCG}, {r.Recall, r.ByRecall}} {
			for _, x := range []eval.Number{m.value, m.Mean, m.Low, m.High, m.PHolm} {
				if r.Failed != "" {
					x = eval.Number(math.NaN())
				}
				record = append(record, number(x))
			}
		}
		c.Write(append(record, strconv.FormatFloat(r.Seconds, 'f', 1, 64), r.Failed))
	}
	c.Flush()
	return c.Error()
}
