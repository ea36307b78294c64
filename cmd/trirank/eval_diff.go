package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/eval"
)

func newEvalDiffCommand() *cobra.Command {
	var failIf []string
	var asJSON bool
	var o eval.Options
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two evaluations, and fail where the second is worse",
		Long: `Diff compares the reports in folders A and B, written by trirank eval at two dates
or with two models, system by system and query by query.

--fail-if METRIC drop > LIMIT ends with status 1 if the metric's mean falls by more
than LIMIT from A to B and chance does not explain it (p below .05 by the paired
randomisation test). It is meant of every system and of the full catalogue, unless
the condition names a system or begins with pool: or full:.`,
		Example: `  trirank eval diff report-monday report
  trirank eval diff main branch --fail-if 'ndcg@10 drop > 0.01' --fail-if 'hybrid recall@100 drop > 0.005'
  trirank eval diff main branch --fail-if 'pool:finetuned ndcg drop > 0.003' --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("trirank eval diff needs two folders of reports")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringArrayVar(&failIf, "fail-if", nil, "what must not be, such as 'ndcg@10 drop > 0.01'; may be repeated")
	f.Uint64Var(&o.Seed, "seed", 1, "of the random draws")
	f.IntVar(&o.Draws, "draws", eval.DefaultDraws, "of the bootstrap and of the randomisation test")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		var conditions []*eval.Condition
		for _, text := range failIf {
			condition, err := eval.ParseCondition(text)
			if err != nil {
				return usageError("--fail-if: %v", err)
			}
			conditions = append(conditions, condition)
		}
		var sides [2]eval.Outcome
		for i, dir := range args {
			var err error
			if sides[i], err = readOutcome(dir); err != nil {
				return err
			}
		}
		d, err := eval.Diff(sides[0], sides[1], conditions, o)
		if err != nil {
			return err
		}
		if asJSON {
			err = writeJSON(c.OutOrStdout(), d)
		} else {
			printDiff(c.OutOrStdout(), d, conditions)
		}
		if err != nil {
			return err
		}
		if n := len(d.Failed); n > 0 {
			return fmt.Errorf("%s is worse than %s: %s", args[1], args[0], d.Failed[0])
		}
		return nil
	}
	return c
}

func readOutcome(dir string) (eval.Outcome, error) {
	r, err := readReport(dir)
	if err != nil {
		return eval.Outcome{}, err
	}
	f, err := os.Open(filepath.Join(dir, "per_query.csv"))
	if err != nil {
		return eval.Outcome{}, fmt.Errorf("cannot read report %s: %w", dir, err)
	}
	defer f.Close()
	values, err := eval.ReadValues(f)
	if err != nil {
		return eval.Outcome{}, fmt.Errorf("report %s: %w", dir, err)
	}
	return eval.Outcome{Name: dir, Report: r, Values: values}, nil
}

// printDiff prints the deciding metric of each task and whatever a condition
// speaks of.
func printDiff(w io.Writer, d *eval.DiffReport, conditions []*eval.Condition) {
	fmt.Fprintf(w, "%s -> %s\n", d.A, d.B)
	for _, c := range d.Changed {
		fmt.Fprintf(w, "  %s\n", c)
	}
	fmt.Fprintf(w, "\n%-5s %-14s %-20s %7s  %-17s %7s %17s\n", "task", "system", "metric", "change", "95 % interval", "p", "win / tie / loss")
	for _, s := range d.Systems {
		for i, c := range s.Comparisons {
			named := false
			for _, condition := range conditions {
				named = named || condition.About(c.Metric)
			}
			if i > 0 && !named {
				continue
			}
			fmt.Fprintf(w, "%-5s %-14s %-20s %7s  [%s, %s]%*s %7s %17s\n", s.Task, s.System, c.Metric, eval.Signed(float64(c.Difference)),
				eval.Signed(float64(c.Low)), eval.Signed(float64(c.High)), max(0, 13-len(eval.Signed(float64(c.Low)))-len(eval.Signed(float64(c.High)))), "",
				short(float64(c.P)), fmt.Sprintf("%d / %d / %d", c.Wins, c.Ties, c.Losses))
		}
	}
	for _, m := range d.Missing {
		fmt.Fprintf(w, "%s\n", m)
	}
	for _, p := range d.Passed {
		fmt.Fprintf(w, "passed: %s\n", p)
	}
	for _, f := range d.Failed {
		fmt.Fprintf(w, "FAILED: %s\n", f)
	}
}

// short writes a p-value.
func short(p float64) string {
	if p < .001 {
		return "< .001"
	}
	return eval.Short(p)
}
