package eval_test

import (
	"context"
	"fmt"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/judgments"
)

// Two systems are compared on twelve queries that each have one exact product.
func Example() {
	js := func(yield func(judgments.Judgment, error) bool) {
		for i := range 12 {
			id := fmt.Sprintf("q%02d", i)
			for _, j := range []judgments.Judgment{{QueryID: id, Product: "lamp", Label: "E"}, {QueryID: id, Product: "bulb", Label: "C"}} {
				if !yield(j, nil) {
					return
				}
			}
		}
	}
	qrels, _, err := judgments.NewSet(judgments.Of(js), judgments.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	old := &eval.Run{System: "old", Hits: map[string][]eval.Hit{}}
	candidate := &eval.Run{System: "new", Hits: map[string][]eval.Hit{}}
	for i, q := range qrels.Queries {
		old.Hits[q.ID] = []eval.Hit{{Product: "bulb", Score: 2}, {Product: "lamp", Score: 1}}
		candidate.Hits[q.ID] = old.Hits[q.ID]
		if i < 10 { // the new system finds the lamp first for all but two
			candidate.Hits[q.ID] = []eval.Hit{{Product: "lamp", Score: .9}, {Product: "bulb", Score: .4}}
		}
	}
	runs := []*eval.Run{old, candidate}
	for _, r := range runs {
		if err := r.Sort(); err != nil {
			fmt.Println(err)
			return
		}
	}

	report, _, err := eval.Evaluate(context.Background(), eval.Input{Name: "lamps", Qrels: qrels, Full: runs}, eval.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range report.Tasks[0].Metrics[0].Values {
		fmt.Println("nDCG@10", eval.Short(float64(v.Mean)))
	}
	fmt.Println(report.Verdicts[0])
	// Output:
	// nDCG@10 .637
	// nDCG@10 .939
	// new beats old on nDCG@10 by .303 [.212, .363], p = .002.
}
