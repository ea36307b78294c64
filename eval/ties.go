package eval

import (
	"context"
	"fmt"
)

// tiedShare is the share of places decided by equal scores from which on a run is
// warned of.
const tiedShare = .05

// ties warns of runs made elsewhere that leave many places to the order of product ids.
// Scores that were rounded do so, and each evaluator has its own rule for them.
func (e *evaluation) ties(context.Context) error {
	for _, run := range e.Full {
		if run.Kind != "" {
			continue
		}
		tied, places := 0, 0
		for i := range e.Qrels.Queries {
			t, n := tiedPlaces(run.Hits[e.Qrels.Queries[i].ID], movedK)
			tied, places = tied+t, places+n
		}
		if share := float64(tied) / float64(max(places, 1)); share >= tiedShare {
			e.report.Notes = append(e.report.Notes, fmt.Sprintf("%s: equal scores decide %.0f %% of its first %d places, which then follow product ids; another evaluator may break such ties otherwise. Write its scores with more digits.",
				run.System, 100*share, movedK))
		}
	}
	return nil
}

// tiedPlaces counts which of the first k hits have the score of another hit.
func tiedPlaces(hits []Hit, k int) (tied, places int) {
	for i := range cut(hits, k) {
		places++
		if i > 0 && hits[i-1].Score == hits[i].Score || i+1 < len(hits) && hits[i+1].Score == hits[i].Score {
			tied++
		}
	}
	return tied, places
}
