package main

import "testing"

func TestSweepPlan(t *testing.T) {
	var p sweepPlan
	for fold := range 3 {
		p.add(sweepRun{fold: fold, setting: "cheap", steps: 10})
		p.add(sweepRun{fold: fold, setting: "cheap", steps: 10}) // with another blend
		p.add(sweepRun{fold: fold, setting: "dear", steps: 10})
	}
	check := func(want string) {
		t.Helper()
		if got := p.String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	check("0 of 6 runs are over")
	p.finish(0, "cheap", 0) // was resumed: how long it took is not known
	check("1 of 6 runs are over")
	p.finish(1, "cheap", 10)
	check("2 of 6 runs are over, 40s left for the others") // the dear ones as long as this
	p.finish(0, "dear", 100)
	p.finish(0, "dear", 1) // again, with another blend
	check("3 of 6 runs are over, 3m30s left for the others")
	p.giveUp("dear")
	check("5 of 6 runs are over, 10s left for the others")
	p.finish(2, "cheap", 10)
	check("6 of 6 runs are over")
}
