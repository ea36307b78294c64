package eval

import (
	"errors"
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

// GainTable gives each level of a scale its gain.
type GainTable struct {
	Name  string    `json:"name"`
	Gains []float64 `json:"gains"` // by level, worst first
}

// Tables returns the gain tables that the default options hold: the scale's own
// and those that show how much a verdict depends on it. The one called "exact"
// counts the best level only, "swapped" is ESCI's with S and C exchanged (as a
// widespread preparation script has it), "exp" is 2^grade-1.
func (s Scale) Tables() []GainTable {
	own, exact, exp := make([]float64, len(s.Levels)), make([]float64, len(s.Levels)), make([]float64, len(s.Levels))
	for i, l := range s.Levels {
		own[i], exp[i] = l.Gain, pow2(l.Grade)-1
	}
	exact[len(exact)-1] = 1
	tables := []GainTable{{s.Name, own}, {"exact", exact}}
	if s.Name == "esci" {
		tables = append(tables, GainTable{"swapped", []float64{0, .1, .01, 1}})
	}
	if s.Levels[len(s.Levels)-1].Grade <= 30 { // beyond, 2^grade says nothing any more
		tables = append(tables, GainTable{"exp", exp})
	}
	return tables
}

// ParseGains reads a gain table such as "E=1,S=0.1,C=0.01,I=0". Each label of the
// scale must be given once, with a gain that is not negative.
func (s Scale) ParseGains(name, text string) (GainTable, error) {
	bad := func(format string, args ...any) (GainTable, error) {
		return GainTable{}, fmt.Errorf("gains %.80q %s (write them as E=1,S=0.1,C=0.01,I=0, each label of the judgements once)", text, fmt.Sprintf(format, args...))
	}
	t := GainTable{Name: name, Gains: make([]float64, len(s.Levels))}
	seen := make([]bool, len(s.Levels))
	for _, part := range strings.Split(text, ",") {
		label, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		gain, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || !(gain >= 0 && gain <= 1e9) {
			return bad("have a part %.20q that is not LABEL=GAIN", part)
		}
		at, ok := s.Level(label)
		if !ok || seen[at] {
			return bad("name %.20q, which is no label of the judgements, or twice", label)
		}
		seen[at], t.Gains[at] = true, gain
	}
	if i := slices.Index(seen, false); i >= 0 {
		return bad("leave out label %s", s.Levels[i].Label)
	}
	if slices.Max(t.Gains) == 0 {
		return bad("are all 0")
	}
	return t, nil
}

// relevant finds which levels a text such as "E+S" or ">=2" names.
func (s Scale) relevant(text string) ([]bool, error) {
	out := make([]bool, len(s.Levels))
	if bound, ok := strings.CutPrefix(text, ">="); ok {
		v, err := strconv.ParseFloat(bound, 64)
		if err != nil {
			return nil, fmt.Errorf("relevant labels %.40q: what follows >= is not a number", text)
		}
		for i, l := range s.Levels {
			out[i] = l.Grade >= v
		}
	} else {
		for _, label := range strings.Split(text, "+") {
			at, ok := s.Level(label)
			if !ok {
				return nil, fmt.Errorf("relevant labels %.40q: %.20q is no label of the judgements", text, label)
			}
			out[at] = true
		}
	}
	if !slices.Contains(out, true) {
		return nil, fmt.Errorf("relevant labels %.40q: the judgements have no such label", text)
	}
	if !slices.Contains(out, false) {
		return nil, errors.New("relevant labels " + text + ": then every judged product would be relevant")
	}
	return out, nil
}
