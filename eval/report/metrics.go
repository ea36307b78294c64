package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trirank/trirank/eval"
)

// The parts of a task's metrics that are shown apart.
const (
	plainPart    = iota
	gainsPart    // a metric with a gain table of its own
	unjudgedPart // what the unjudged hits might change
)

func part(m eval.Metric) int {
	switch {
	case m.Gains != "":
		return gainsPart
	case m.Name == "cndcg" || m.Name == "ndcglow" || m.Name == "ndcghigh":
		return unjudgedPart
	}
	return plainPart
}

// parsed returns the metric, and whether it is one that this program knows.
func parsed(text string) (eval.Metric, bool) {
	m, err := eval.ParseMetric(text)
	return m, err == nil
}

// partOf is part of a metric's text; what is unknown is shown with the others.
func partOf(text string) int {
	if m, ok := parsed(text); ok {
		return part(m)
	}
	return plainPart
}

// title is how people write a metric.
func title(text string) string {
	if m, ok := parsed(text); ok {
		return m.Title()
	}
	return clean(text)
}

// titleOf prefers the title that the report has.
func titleOf(m *eval.MetricInfo) string {
	if m.Title != "" {
		return clean(m.Title)
	}
	return title(m.Metric)
}

var glosses = map[string]string{
	"ndcg": "best products first", "dcg": "gain, best first", "cndcg": "unjudged hits skipped",
	"ndcglow": "unjudged at their worst", "ndcghigh": "unjudged at their best",
	"recall": "share of relevant found", "precision": "share of hits relevant",
	"mrr": "how early the first good hit", "map": "how early all good hits",
	"success": "any good hit at all", "bpref": "judged hits in order", "rbp": "a shopper who may leave",
	"err": "when a shopper is satisfied", "judged": "share of hits with a label",
}

// gloss says in a few words what a metric asks.
func gloss(text string) string {
	m, _ := parsed(text)
	return glosses[m.Name]
}

// unbounded says why a query may have no bounds of nDCG.
var unbounded = fmt.Sprintf("A query whose unjudged hits could be labelled in more than %s ways, as with many numeric labels, has none.", count(eval.MaxAssignments))

// define says in a sentence or two what a metric is.
func define(text string, o eval.OptionsInfo) string {
	m, ok := parsed(text)
	if !ok {
		return "A metric that this version does not know."
	}
	hits := "hits returned"
	if m.K > 0 {
		hits = fmt.Sprintf("first %d hits", m.K)
	}
	relevant := m.Relevant
	if relevant == "" {
		relevant = o.Relevant
	}
	good := "relevant products"
	one := "a relevant product"
	if relevant != "" {
		good = "products labelled " + relevant
		one = "a product labelled " + relevant
	}
	gains := "the default gains"
	if m.Gains != "" {
		gains = "the gains “" + m.Gains + "”"
	} else if len(o.Gains) > 0 {
		gains = "the gains “" + o.Gains[0].Name + "”"
	}
	switch m.Name {
	case "ndcg":
		return fmt.Sprintf("The gain of the %s, each divided by log2 of its rank plus one, over the same sum for the best possible order of all judged products; with %s, an unjudged hit gains nothing.", hits, gains)
	case "dcg":
		return fmt.Sprintf("The gain of the %s, each divided by log2 of its rank plus one; with %s.", hits, gains)
	case "cndcg":
		return fmt.Sprintf("nDCG of the %s that remain when the unjudged ones are taken out of the ranking (Sakai, 2007); with %s.", hits, gains)
	case "ndcglow":
		return fmt.Sprintf("The lowest nDCG that any labels of the unjudged among the %s could lead to; with %s. %s", hits, gains, unbounded)
	case "ndcghigh":
		return fmt.Sprintf("The highest nDCG that any labels of the unjudged among the %s could lead to; with %s. %s", hits, gains, unbounded)
	case "recall":
		return fmt.Sprintf("The share of all %s that is among the %s.", good, hits)
	case "precision":
		return fmt.Sprintf("The share of the %s that are %s.", hits, good)
	case "mrr":
		return fmt.Sprintf("One over the rank of the first hit that is %s, 0 if it is not among the %s.", one, hits)
	case "map":
		return fmt.Sprintf("The mean, over all %s, of the precision at their ranks; those not among the %s count 0.", good, hits)
	case "success":
		return fmt.Sprintf("The share of queries with %s among the %s.", one, hits)
	case "bpref":
		return fmt.Sprintf("How seldom a judged product that is not relevant stands above %s, unjudged hits aside (Buckley and Voorhees, 2004).", one)
	case "rbp":
		return fmt.Sprintf("What a shopper finds who goes on from each hit to the next with probability %s, counting %s (Moffat and Zobel, 2008).", number(m.Persistence), good)
	case "err":
		return fmt.Sprintf("The expected reciprocal of the rank among the %s at which a shopper is satisfied, the more likely the better the label (Chapelle et al., 2009).", hits)
	case "judged":
		return fmt.Sprintf("The share of the %s that somebody judged: where it is low, other metrics guess.", hits)
	}
	return ""
}

// base is the metric that m is a variant of: without its gain table.
func base(m eval.Metric) string {
	m.Gains = ""
	return m.String()
}

// gainTable spells a table, best label first: "E 1, S .1".
func gainTable(name string, r *eval.Report) string {
	for _, t := range r.Options.Gains {
		if t.Name != name {
			continue
		}
		if len(t.Gains) > len(r.Judgments.Levels) { // the levels are shown in bands
			return fmt.Sprintf("%d labels from %s to %s", len(t.Gains), number(slices.Min(t.Gains)), number(slices.Max(t.Gains)))
		}
		var parts []string
		for i := len(t.Gains) - 1; i >= 0; i-- {
			label := fmt.Sprintf("level %d", i)
			if i < len(r.Judgments.Levels) {
				label = clean(r.Judgments.Levels[i].Label)
			}
			parts = append(parts, label+" "+number(t.Gains[i]))
		}
		return strings.Join(parts, ", ")
	}
	return ""
}

// metricsUsed lists every metric of the report once, in the order of appearance.
func metricsUsed(r *eval.Report) (names []string) {
	seen := map[string]bool{}
	add := func(list ...string) {
		for _, m := range list {
			if m != "" && !seen[m] {
				seen[m], names = true, append(names, m)
			}
		}
	}
	tasks := r.Tasks
	if r.Leakage != nil && r.Leakage.Seen != nil {
		tasks = append(tasks[:len(tasks):len(tasks)], *r.Leakage.Seen)
	}
	for _, t := range tasks {
		for _, m := range t.Metrics {
			add(m.Metric)
		}
	}
	add(r.Options.Metrics...)
	add(r.Options.PoolMetrics...)
	if r.Fusion != nil {
		add(r.Fusion.Metric)
	}
	return names
}
