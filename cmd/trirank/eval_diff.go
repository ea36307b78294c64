package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/report"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/judgments"
)

func newEvalDiffCommand() *cobra.Command {
	var failIf []string
	var asJSON, asMarkdown bool
	var o eval.DiffOptions
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two evaluations, and fail where the second is worse",
		Long: `Diff compares the reports in folders A and B, written by trirank eval at two dates
or with two models, system by system and query by query.

--fail-if 'METRIC drop > LIMIT' fails if the metric's mean falls by more than LIMIT
from A to B and chance does not explain it (p below .05 by the paired randomisation
test). LIMIT is a difference, such as 0.01, or a share of A's mean, such as 2%. The
condition is meant of every system and of the full catalogue, unless it names a
system or begins with pool: or full:. Each condition is tested by itself: p is not
corrected for how many there are.

A condition fails as well if it cannot be held: B lacks queries, a system or a
metric that A has (--allow-missing lets that pass), or the judgements, gains or
relevant labels of A and B are not the same (--allow-changed).

The exit status is
  0  if no condition failed;
  1  if one did ("B is worse than A", or "B cannot be held against A"), or if
     A and B cannot be read or compared ("cannot compare A with B");
  2  if the command is wrong, such as a condition that cannot be read or that
     names a metric or a system that is not there.`,
		Example: `  trirank eval diff report-monday report
  trirank eval diff main branch --fail-if 'ndcg@10 drop > 0.01' --fail-if 'hybrid recall@100 drop > 2%'
  trirank eval diff main branch --fail-if 'pool:finetuned ndcg drop > 0.003' --json
  trirank eval diff main branch --fail-if 'ndcg@10 drop > 0.01' --markdown >> "$GITHUB_STEP_SUMMARY"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("trirank eval diff needs two folders of reports")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringArrayVar(&failIf, "fail-if", nil, "what must not be, such as 'ndcg@10 drop > 0.01' or 'ndcg@10 drop > 2%'; may be repeated")
	f.BoolVar(&o.AllowMissing, "allow-missing", false, "hold conditions over what B still has where it lacks queries, systems or metrics of A")
	f.BoolVar(&o.AllowChanged, "allow-changed", false, "hold conditions though judgements, gains or relevant labels differ")
	f.Uint64Var(&o.Statistics.Seed, "seed", 1, "of the random draws")
	f.IntVar(&o.Statistics.Draws, "draws", eval.DefaultDraws, "of the bootstrap and of the randomisation test")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&asMarkdown, "markdown", false, "print Markdown for a pull request, what failed first")
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, text := range failIf {
			condition, err := eval.ParseCondition(text)
			if err != nil {
				return usageError("--fail-if: %v", err)
			}
			o.Conditions = append(o.Conditions, condition)
		}
		if asJSON && asMarkdown {
			return usageError("--json and --markdown exclude each other")
		}
		if o.Statistics.Seed == 0 {
			return usageError("--seed begins at 1")
		}
		if _, err := o.Statistics.WithDefaults(judgments.ESCI()); err != nil || o.Statistics.Draws == 0 {
			return usageError("--draws %d: draws are within 100..1000000", o.Statistics.Draws)
		}
		var sides [2]eval.Outcome
		for i, dir := range args {
			var err error
			if sides[i], err = readOutcome(dir); err != nil {
				return fmt.Errorf("cannot compare %s with %s: %w", args[0], args[1], err)
			}
		}
		d, err := eval.Diff(sides[0], sides[1], o)
		if wrong := (*eval.ConditionError)(nil); errors.As(err, &wrong) {
			return usageError("--fail-if: %v", err)
		}
		if err != nil {
			return err
		}
		switch {
		case asJSON:
			err = writeJSON(c.OutOrStdout(), d)
		case asMarkdown:
			err = report.DiffMarkdown(c.OutOrStdout(), d)
		default:
			err = report.DiffText(c.OutOrStdout(), d)
		}
		if err != nil {
			return err
		}
		return d.Err()
	}
	return c
}

// readOutcome reads a report with its values, and refuses what does not belong
// together: a gate must not pass because a file was cut off or edited.
func readOutcome(dir string) (eval.Outcome, error) {
	r, err := readReport(dir)
	if err != nil {
		return eval.Outcome{}, err
	}
	path := filepath.Join(dir, "per_query.csv")
	bad := func(err error) (eval.Outcome, error) {
		return eval.Outcome{}, fmt.Errorf("cannot read report %s: %s: %w", dir, path, err)
	}
	text, err := regular.ReadFile(path, maxReport)
	if err != nil {
		return eval.Outcome{}, fmt.Errorf("cannot read report %s: %w", dir, err)
	}
	values, err := eval.ReadValues(bytes.NewReader(text))
	if err != nil {
		return bad(err)
	}
	if sum := sha256.Sum256(text); r.ValuesSHA256 != "" && hex.EncodeToString(sum[:]) != r.ValuesSHA256 {
		return bad(errors.New("it is not the file that report.json was written with: it was edited, cut off or exchanged (evaluate again)"))
	}
	if err := r.CheckValues(values); err != nil {
		return bad(fmt.Errorf("it does not agree with report.json: %w (one of the two was edited; evaluate again)", err))
	}
	return eval.Outcome{Name: dir, Report: r, Values: values}, nil
}
