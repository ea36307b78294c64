package eval

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Metric measures one ranking of one query. Its text is
//
//	name[relevant](persistence){gains}@k
//
// with all but the name left out where the default will do: "ndcg@10",
// "recall[E+S]@100", "recall[>=2]@10", "rbp(0.8)", "ndcg{exact}@10". Without @k
// the whole list counts.
type Metric struct {
	Name        string  // see Names
	K           int     // how many hits count; 0: all
	Relevant    string  // labels that count as relevant; empty: Options.Relevant
	Persistence float64 // of rbp
	Gains       string  // name of a gain table; empty: the first of Options.Gains
}

// metricKind is what the parser and the calculator must know of a metric.
type metricKind struct {
	title   string
	binary  bool // takes labels that count as relevant
	graded  bool // takes a gain table
	needsK  bool
	measure func(*ranking, *target, int) float64
}

// kinds are the metrics there are. The formulas are with the functions.
var kinds = map[string]metricKind{
	"ndcg":      {title: "nDCG", graded: true, measure: (*ranking).ndcg},
	"dcg":       {title: "DCG", graded: true, measure: (*ranking).dcg},
	"cndcg":     {title: "condensed nDCG", graded: true, measure: (*ranking).condensed},
	"ndcglow":   {title: "lowest nDCG", graded: true, needsK: true, measure: (*ranking).lowest},
	"ndcghigh":  {title: "highest nDCG", graded: true, needsK: true, measure: (*ranking).highest},
	"recall":    {title: "Recall", binary: true, measure: (*ranking).recall},
	"precision": {title: "Precision", binary: true, measure: (*ranking).precision},
	"mrr":       {title: "MRR", binary: true, measure: (*ranking).mrr},
	"map":       {title: "MAP", binary: true, measure: (*ranking).averagePrecision},
	"success":   {title: "Success", binary: true, needsK: true, measure: (*ranking).success},
	"bpref":     {title: "bpref", binary: true, measure: (*ranking).bpref},
	"rbp":       {title: "RBP", binary: true, measure: (*ranking).rbp},
	"err":       {title: "ERR", measure: (*ranking).err},
	"judged":    {title: "Judged", needsK: true, measure: (*ranking).judged},
}

// Names returns the names of the metrics there are, in order.
func Names() (names []string) {
	for n := range kinds {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

var metricSyntax = regexp.MustCompile(`^([a-z]+)(?:\[([^\[\]]{1,60})\])?(?:\(([0-9]?\.?[0-9]{1,9})\))?(?:\{([a-z0-9-]{1,20})\})?(?:@([0-9]{1,7}))?$`)

// ParseMetric reads a metric; case does not matter but in labels.
func ParseMetric(s string) (Metric, error) {
	bad := func(why string) (Metric, error) {
		return Metric{}, fmt.Errorf("metric %.60q %s (write it as ndcg@10, recall[E+S]@100 or rbp(0.8); there are %s)", s, why, strings.Join(Names(), ", "))
	}
	lower := strings.ToLower(s)
	if i, j := strings.IndexByte(s, '['), strings.IndexByte(s, ']'); 0 <= i && i < j { // labels keep their case
		lower = strings.ToLower(s[:i]) + s[i:j] + strings.ToLower(s[j:])
	}
	parts := metricSyntax.FindStringSubmatch(lower)
	if parts == nil {
		return bad("cannot be read")
	}
	m := Metric{Name: parts[1], Relevant: parts[2], Gains: parts[4]}
	if m.Name == "ap" {
		m.Name = "map"
	}
	kind, ok := kinds[m.Name]
	switch {
	case !ok:
		return bad("is unknown")
	case m.Relevant != "" && !kind.binary:
		return bad("takes no labels")
	case m.Gains != "" && !kind.graded:
		return bad("takes no gain table")
	case parts[3] != "" && m.Name != "rbp":
		return bad("takes no parameter")
	}
	if parts[5] != "" {
		m.K, _ = strconv.Atoi(parts[5])
		if m.K == 0 {
			return bad("has a depth of 0")
		}
	}
	if kind.needsK && m.K == 0 {
		return bad("needs a depth, such as @10")
	}
	if m.Name == "rbp" {
		m.Persistence = defaultPersistence
		if parts[3] != "" {
			p, err := strconv.ParseFloat(parts[3], 64)
			if err != nil || p <= 0 || p >= 1 {
				return bad("has a persistence that is not between 0 and 1")
			}
			m.Persistence = p
		}
	}
	return m, nil
}

// defaultPersistence of RBP: a shopper who looks at five hits on average.
const defaultPersistence = .8

// String writes the metric as ParseMetric reads it.
func (m Metric) String() string { return m.Name + m.suffix() }

// Title is the metric as people write it: "nDCG@10".
func (m Metric) Title() string { return kinds[m.Name].title + m.suffix() }

func (m Metric) suffix() string {
	var b strings.Builder
	if m.Relevant != "" {
		fmt.Fprintf(&b, "[%s]", m.Relevant)
	}
	if m.Name == "rbp" {
		fmt.Fprintf(&b, "(%s)", strconv.FormatFloat(m.Persistence, 'f', -1, 64))
	}
	if m.Gains != "" {
		fmt.Fprintf(&b, "{%s}", m.Gains)
	}
	if m.K > 0 {
		fmt.Fprintf(&b, "@%d", m.K)
	}
	return b.String()
}

// Neutral reports whether the metric describes a ranking without saying that more
// is better.
func (m Metric) Neutral() bool { return m.Name == "judged" }
