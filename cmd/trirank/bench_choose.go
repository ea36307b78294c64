package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/bench"
)

func newBenchChooseCommand() *cobra.Command {
	var o benchFlags
	var factories []string
	var margin float64
	var cost string
	var write bool
	costs := map[string]string{"latency": bench.Median, "memory": bench.VectorBytes}
	c := &cobra.Command{
		Use:   "choose --index INDEX",
		Short: "The cheapest configuration of an index that loses no relevance to speak of",
		Long: `Choose measures indexes over their parameters as bench recall does and picks the
cheapest that is not inferior to exact search: the 95 % interval of its difference in
nDCG@10, paired by query, lies above minus the loss that is put up with, also when it
is widened for the number of configurations. Fewer than 30 judged queries show
nothing, and exact search stays.

With --write the ranking's FAISS index is built anew like that and replaces the one
in the index directory, with the evidence in its manifest. Vectors, models and texts
stay; a server takes it over without a restart.`,
		Example: `  trirank bench choose --index shop.index --max-ndcg-loss 0.003
  trirank bench choose --index shop.index --system finetuned --cost memory --write`,
		Args: cobra.NoArgs,
	}
	o.addVectors(c.Flags())
	f := c.Flags()
	f.StringArrayVar(&factories, "factory", nil, "FAISS factory string to consider, any number of times (default: what suits the number of products)")
	f.Float64Var(&margin, "max-ndcg-loss", .003, "loss of nDCG@10 that is put up with")
	// What it was called when it said the opposite of what it is.
	f.Float64Var(&margin, "min-ndcg-loss", .003, "")
	f.Lookup("min-ndcg-loss").Hidden = true
	f.StringVar(&cost, "cost", "latency", "what should be least: latency or memory")
	f.BoolVar(&write, "write", false, "build the index like that and put it into INDEX")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "index"); err != nil {
			return err
		}
		if c.Flags().Changed("min-ndcg-loss") {
			fmt.Fprintln(c.ErrOrStderr(), "note: --min-ndcg-loss is called --max-ndcg-loss now")
		}
		unit, ok := costs[cost]
		if !ok {
			return usageError("--cost is latency or memory, not %q", cost)
		}
		if !(margin > 0 && margin < 1) {
			return usageError("--max-ndcg-loss %v is not above 0 and below 1", margin)
		}
		if err := o.check(); err != nil {
			return err
		}
		b := &benching{benchFlags: &o, c: c}
		defer b.close()
		const depth = 100 // of the engine
		s, err := b.recall(c.Context(), factories, []int{depth})
		if err != nil {
			return err
		}
		if s.Choice, err = bench.Choose(s.Results, margin, unit); err != nil {
			return err
		}
		s.Title = "Choice"
		if err := b.report("The cheapest configuration that is not inferior", *s); err != nil {
			return err
		}
		if !write {
			return nil
		}
		b.step("building the index of " + b.system)
		if err := b.x.SetVectorIndex(c.Context(), b.system, s.Choice.Factory, s.Choice.Params, s.Choice.Recall, s.Choice.Evidence); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "%s: ranking %s is searched by %s now\n", o.index, b.system, s.Choice.Factory)
		return nil
	}
	return c
}
