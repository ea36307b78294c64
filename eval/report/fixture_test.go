package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// hostile is what a stranger might call a product or search for.
const hostile = `</span><script>window.pwned=1</script>"'><img src=x onerror=window.pwned=1> & | * _ ` + "`x` \x1b[31mred\u202e $\\alpha_1^2{~}#%"

// numbers makes values that look measured, always the same.
type numbers uint64

func (n *numbers) next() float64 {
	*n = *n*6364136223846793005 + 1442695040888963407
	return float64(*n>>40) / (1 << 24)
}

func near(x, half float64) eval.Value {
	return eval.Value{Mean: eval.Number(x), Low: eval.Number(x - half), High: eval.Number(x + half)}
}

var missing = eval.Value{Mean: nan, Low: nan, High: nan}

// fixture is a report with something in every field.
func fixture() *eval.Report {
	r := &eval.Report{
		Format: eval.ReportFormat, Program: "v1.4.0-12-gabc1234", Name: "esci-us",
		Index: &eval.IndexInfo{Hash: "1f0a" + strings.Repeat("3b", 30), Catalogue: "esci-us-catalogue", Contents: "9e77" + strings.Repeat("c4", 30), Products: 1215854},
		Judgments: eval.JudgmentsInfo{Hash: "77aa" + strings.Repeat("51", 30), Queries: 2956, Count: 61320, Scale: "esci",
			Levels: []eval.LevelInfo{{Label: "I", Gain: 0, Count: 10123}, {Label: "C", Gain: .01, Count: 1730}, {Label: "S", Gain: .1, Count: 20611, Relevant: true}, {Label: "E", Gain: 1, Count: 28856, Relevant: true}},
			Faults: faults.List{Count: 3, ByKind: map[faults.Kind]int{faults.BadLabel: 2, faults.NotUTF8: 1},
				First: []*faults.Fault{{File: "judgments.tsv", Line: 17, Kind: faults.BadLabel, Reason: `the label "X" is none of E, S, C, I`}, {File: "judgments.tsv", Line: 40, Kind: faults.NotUTF8, Reason: "the query is not valid UTF-8"}}}},
		Options: eval.OptionsInfo{Metrics: []string{"ndcg@10", "recall[E+S]@100", "mrr@10"}, PoolMetrics: []string{"ndcg", "map"},
			Gains:    []judgments.GainTable{{Name: "esci", Gains: []float64{0, .01, .1, 1}}, {Name: "exact", Gains: []float64{0, 0, 0, 1}}, {Name: "swapped", Gains: []float64{0, .1, .01, 1}}},
			Relevant: "E+S", Seed: 20240131, Draws: 10000, Confidence: .95, Tie: .005, Split: "test"},
		Systems: []eval.SystemInfo{
			{Name: "bm25", Kind: "lexical", Detail: "k1 1.2, b .75, title boosted"},
			{Name: "pretrained", Kind: "dense", Detail: "e5-small-v2, flat", Model: "aa01" + strings.Repeat("0d", 30)},
			{Name: "finetuned", Kind: "dense", Detail: "e5-small-v2, three epochs on train", Model: "bb02" + strings.Repeat("1e", 30)},
			{Name: "hybrid", Kind: "fused", Detail: "convex:bm25=0.3,finetuned=0.7"},
		},
		Baseline: "pretrained", Candidate: "finetuned", Control: "bm25",
		Notes: []string{
			"Of the first ten hits, 61 to 83 % are judged: what is unjudged counts as irrelevant, which favours the systems that the judgements were pooled from.",
			"14 queries have no relevant product; nDCG does not exist for them.",
			"finetuned saw 41 of the 2956 judged queries in training. They are left out of all results and scored apart.",
			"3 faulty judgements were left out.",
		},
	}
	r.Tasks = []eval.Task{fullTask(r), poolTask(r)}
	r.Tasks[0].Missing = []int{12, 0, 0, 1}
	r.Tasks[0].NoHits = []int{0, 3, 0, 1}
	r.ValuesSHA256 = "5afe" + strings.Repeat("c0", 30)
	c := headlineOf(r)
	r.Verdicts = []string{
		"On the full catalogue, " + c.Verdict,
		r.Tasks[0].Comparisons[5].Verdict,
		"In the judged pool the order of all four systems is the same.",
		"Full catalogue: " + r.Tasks[0].Comparisons[0].Verdict,
		"Full catalogue: " + r.Tasks[0].Comparisons[1].Verdict,
		"Judged products: " + r.Tasks[1].Comparisons[2].Verdict,
	}
	r.Queries, r.Omitted = queries(r, 14), 2942
	r.Movements = []eval.Movement{
		{From: "pretrained", To: "finetuned", Control: "bm25", K: 10, Rows: []eval.MovementRow{
			{Label: "E", Gained: 2210, GainedInControl: 901, Lost: 1312, LostInControl: 402, Promoted: 3301, Demoted: 2877, Kept: 1904},
			{Label: "S", Gained: 1420, GainedInControl: 333, Lost: 1511, LostInControl: 290, Promoted: 1200, Demoted: 1404, Kept: 733},
			{Label: "C", Gained: 61, GainedInControl: 12, Lost: 140, LostInControl: 31, Promoted: 40, Demoted: 66, Kept: 15},
			{Label: "I", Gained: 402, GainedInControl: 120, Lost: 977, LostInControl: 201, Promoted: 302, Demoted: 511, Kept: 144},
			{Label: "", Gained: 3104, GainedInControl: 488, Lost: 3257, LostInControl: 512, Promoted: 1410, Demoted: 1602, Kept: 655},
		}},
		{From: "finetuned", To: "hybrid", K: 10, Rows: []eval.MovementRow{
			{Label: "E", Gained: 810, Lost: 640, Promoted: 2101, Demoted: 1877, Kept: 3904},
			{Label: "I", Gained: 122, Lost: 233, Promoted: 202, Demoted: 311, Kept: 444},
		}},
	}
	r.Segments = []eval.Segments{
		{By: "length in words", Rows: []eval.Segment{
			{Value: "1", Queries: 212, Means: []eval.Number{.501, .544, .541, .562}, Difference: -.003, Low: -.031, High: .024},
			{Value: "2 or 3", Queries: 1204, Means: []eval.Number{.511, .571, .6, .617}, Difference: .029, Low: .018, High: .04},
			{Value: "4 or more", Queries: 1540, Means: []eval.Number{.477, .581, .602, .611}, Difference: .021, Low: .012, High: .031},
		}},
		{By: "kind", Rows: []eval.Segment{
			{Value: "with a number or unit", Queries: 401, Means: []eval.Number{.533, .512, .49, .571}, Difference: -.022, Low: -.041, High: -.004},
			{Value: "with a negation", Queries: 3, Means: []eval.Number{.2, .31, nan, .3}, Difference: nan, Low: nan, High: nan},
		}},
	}
	for i, a := range r.Systems {
		for j, b := range r.Systems[:i] {
			x := .3 + .09*float64(i*j)
			r.Agreement = append(r.Agreement, eval.Agreement{A: b.Name, B: a.Name, RBO: eval.Number(x), Overlap: eval.Number(x - .06), Tau: eval.Number(x - .2)})
		}
	}
	r.Popularity = &eval.Popularity{K: 10, Head: 1042, Metric: "ndcg@10", Systems: []eval.PopularitySystem{
		{Rho: .031, MeanLog: 2.112, Head: .512, Tail: .466}, {Rho: .012, MeanLog: 2.044, Head: .577, Tail: .561},
		{Rho: .044, MeanLog: 2.181, Head: .601, Tail: .588}, {Rho: -.002, MeanLog: 2.15, Head: .622, Tail: .597}}}
	r.Drift = &eval.Drift{A: "pretrained", B: "finetuned", Products: 10000, Neighbours: .412, Overlap: .387,
		Cosine: &eval.Spread{Mean: .871, Std: .031, Least: .641, P5: .818, Median: .874, P95: .917, Most: .966},
		Models: []eval.Geometry{
			{System: "pretrained", Anisotropy: .743, Dimensions: 61.4, Dimension: 384, Separation: .703, Scores: scores(.7, .96, .83, .015)},
			{System: "finetuned", Anisotropy: .212, Dimensions: 92.8, Dimension: 384, Separation: .811, Scores: scores(-.1, .95, .31, .11)},
			{System: "old-model", Anisotropy: .994, Dimensions: 1.2, Dimension: 384, Collapsed: true, Separation: nan},
		}}
	seen := fullTask(r)
	seen.Title, seen.Queries = "Queries that finetuned saw", 41
	r.Leakage = &eval.Leakage{Seen: &seen, Systems: []eval.LeakageSystem{
		{System: "pretrained", SeenProducts: nan, UnseenProducts: nan},
		{System: "finetuned", Recorded: true, Queries: 41, Products: 1203, SeenProducts: .633, UnseenProducts: .588},
	}}
	r.Fusion = fusionTuning()
	return r
}

func headlineOf(r *eval.Report) *eval.Comparison {
	_, c := headline(r)
	return c
}

func fullTask(r *eval.Report) eval.Task {
	t := eval.Task{Name: eval.FullTask, Title: "Search all products", Queries: 2956, Missing: make([]int, len(r.Systems)), NoHits: make([]int, len(r.Systems))}
	for i, m := range []struct {
		metric string
		from   float64
		random eval.Number
	}{
		{"ndcg@10", .4975, .0003}, {"recall[E+S]@100", .612, .0001}, {"mrr@10", .701, nan}, {"success@10", .905, .001}, {"judged@10", .61, nan},
		{"ndcg{exact}@10", .463, .0002}, {"ndcg{swapped}@10", .489, .0003}, {"cndcg@10", .633, nan}, {"ndcglow@10", .403, nan}, {"ndcghigh@10", .781, nan},
	} {
		t.Metrics = append(t.Metrics, metricOf(r, m.metric, m.from, m.random, 2942, 14, i))
	}
	if len(r.Systems) > 4 { // more metrics than a line has room for
		for i, m := range []string{"map@100", "precision@10", "err@10"} {
			t.Metrics = append(t.Metrics, metricOf(r, m, .4, nan, 2942, 14, i))
		}
	}
	swapped := t.Metrics[6].Values
	if len(swapped) > 3 {
		swapped[2], swapped[3] = swapped[3], swapped[2]
	}
	addComparisons(r, &t)
	return t
}

func poolTask(r *eval.Report) eval.Task {
	t := eval.Task{Name: eval.PoolTask, Title: "Rank the judged products of a query", Queries: 2956, Missing: make([]int, len(r.Systems)), NoHits: make([]int, len(r.Systems))}
	t.Metrics = append(t.Metrics, metricOf(r, "ndcg", .811, .755, 2942, 14, 1), metricOf(r, "map", .777, .66, 2942, 14, 2))
	t.Metrics[1].Values[0] = missing
	addComparisons(r, &t)
	return t
}

func metricOf(r *eval.Report, metric string, from float64, random eval.Number, queries, left, seed int) eval.MetricInfo {
	m := eval.MetricInfo{Metric: metric, Queries: queries, Left: left, Random: random}
	if p, err := eval.ParseMetric(metric); err == nil {
		m.Title, m.Neutral = p.Title(), p.Neutral()
	}
	n := numbers(seed*31 + 7)
	steps := []float64{0, .071, .0935, .112, .05, .13}
	for i := range r.Systems {
		m.Values = append(m.Values, near(min(.99, from+steps[i%6]*(.8+.3*n.next())), .009+.004*n.next()))
	}
	return m
}

func addComparisons(r *eval.Report, t *eval.Task) {
	outcomes := map[string]string{eval.Better: "is better than", eval.Worse: "is worse than", eval.Tie: "is as good as", eval.Unclear: "cannot be told from"}
	for _, m := range t.Metrics {
		for i := range r.Systems {
			for j := range i {
				a, b := m.Values[j].Mean, m.Values[i].Mean
				d := b - a
				c := eval.Comparison{Metric: m.Metric, A: r.Systems[j].Name, B: r.Systems[i].Name, Queries: m.Queries, Difference: d, Low: d - .0082, High: d + .0079,
					P: .0004, PHolm: .0011, Effect: d * 4, Detectable: .0113, Wins: 1311, Ties: 702, Losses: 929}
				switch {
				case !d.Exists():
					continue
				case c.Low > 0:
					c.Outcome = eval.Better
				case c.High < 0:
					c.Outcome, c.Wins, c.Losses = eval.Worse, c.Losses, c.Wins
				case math.Abs(float64(d)) < r.Options.Tie:
					c.Outcome, c.P, c.PHolm = eval.Tie, .412, .824
				default:
					c.Outcome, c.P, c.PHolm = eval.Unclear, .031, .062
				}
				c.Verdict = fmt.Sprintf("%s %s %s by %s (%s, %s).", c.B, outcomes[c.Outcome], c.A, title(m.Metric), signed(d), equals("p", c.PHolm))
				t.Comparisons = append(t.Comparisons, c)
			}
		}
	}
}

func queries(r *eval.Report, n int) (list []eval.QueryReport) {
	texts := []string{"wireless mouse for small hands", "usb c charger 65w", "dog toy", "non slip yoga mat without latex", "red running shoes women size 8", "12 volt battery charger"}
	titles := []string{"Ergonomic Wireless Mouse, 2.4 GHz with USB Receiver, Small Size for Women and Kids", "Mouse Pad, Large", "USB-C Charger 65 W, GaN, Foldable Plug", "Rubber Dog Bone", "Yoga Mat, Natural Cork, 183 x 61 cm, Non-Slip, with Carrying Strap", "Women's Running Shoe"}
	labels := []string{"E", "S", "", "E", "C", "I"}
	rng := numbers(n)
	for i := range n {
		d := .95 - 1.9*float64(i)/float64(max(n-1, 1))
		d = d * d * d
		q := eval.QueryReport{ID: fmt.Sprintf("q%d", 1000+i), Text: texts[i%len(texts)], Split: "test", Judged: 16 + i%9, Relevant: 9 + i%5, Difference: eval.Number(d)}
		switch i {
		case 1:
			q.Text = hostile
		case 2:
			q.Text = strings.Repeat("unbroken", 40)
		case 3:
			q.Difference = nan
		}
		for s := range r.Systems {
			one := eval.QueryResult{Value: eval.Number(min(1, max(0, .5+(d/2)*float64(s-1)))), Hits: []eval.HitReport{}}
			for h := range 8 {
				k := int(rng.next() * 6)
				hit := eval.HitReport{Product: fmt.Sprintf("B0%06d", i*10+h), Title: titles[k], Label: labels[(k+h)%6], Score: []float64{23.41, .8713, .6021, .0312}[s%4] * (1 - float64(h)/40)}
				if i == 1 && h == 0 {
					hit.Title = hostile
				}
				one.Hits = append(one.Hits, hit)
			}
			if i == 2 && s == 0 {
				one = eval.QueryResult{Value: nan}
			}
			q.Systems = append(q.Systems, one)
		}
		list = append(list, q)
	}
	return list
}

func scores(from, to, center, width float64) (list []eval.LabelScores) {
	for i, label := range []string{"I", "C", "S", "E"} {
		s := eval.LabelScores{Label: label, From: from, To: to, Bins: make([]int, 40)}
		c := center + width*float64(i)*.8
		for b := range s.Bins {
			x := (from + (to-from)*(float64(b)+.5)/40 - c) / width
			s.Bins[b] = int(math.Round(900 * math.Exp(-x*x/2)))
			s.Count += s.Bins[b]
		}
		s.Spread = eval.Spread{Mean: eval.Number(c), Std: eval.Number(width), Least: eval.Number(c - 3*width), P5: eval.Number(c - 1.6*width), Median: eval.Number(c), P95: eval.Number(c + 1.6*width), Most: eval.Number(c + 3*width)}
		list = append(list, s)
	}
	return list
}

func fusionTuning() *eval.FusionTuning {
	f := &eval.FusionTuning{Metric: "ndcg@10", Folds: 5, Dev: 1478, Test: 1478, Chosen: "convex:bm25=0.3,finetuned=0.7", Current: "rrf(60):bm25=1,finetuned=1", CrossValidated: .6093, Written: true}
	for i := 0; i <= 10; i++ {
		w := float64(i) / 10
		v := .6102 - .9*(w-.3)*(w-.3)*(.4+w/3)
		f.Settings = append(f.Settings, eval.FusionSetting{Fusion: fmt.Sprintf("convex:bm25=%g,finetuned=%g", w, math.Round(10*(1-w))/10), Dev: eval.Number(v), Test: eval.Number(v - .004 + .003*math.Sin(float64(i)))})
	}
	f.Settings = append(f.Settings, eval.FusionSetting{Fusion: "rrf(60):bm25=1,finetuned=1", Dev: .5931, Test: .5902}, eval.FusionSetting{Fusion: "rrf(10):bm25=1,finetuned=1", Dev: .6011, Test: nan})
	f.Comparison = &eval.Comparison{Metric: "ndcg@10", A: f.Current, B: f.Chosen, Queries: 1478, Difference: .0161, Low: .0102, High: .0219, P: .0001, PHolm: .0001, Effect: .14, Detectable: .0084, Wins: 602, Ties: 477, Losses: 399,
		Outcome: eval.Better, Verdict: "The chosen fusion is better than the current one on test queries (+.016, p < .001)."}
	return f
}

// minimal is one system and nothing to compare it with.
func minimal() *eval.Report {
	r := &eval.Report{Format: eval.ReportFormat, Program: "dev", Name: "runs", Judgments: eval.JudgmentsInfo{Hash: "00", Queries: 1, Count: 1, Scale: "numeric"},
		Options: eval.OptionsInfo{Metrics: []string{"ndcg@10"}, Confidence: .95, Draws: 1000}, Systems: []eval.SystemInfo{{Name: "only"}}}
	r.Tasks = []eval.Task{{Name: eval.FullTask, Title: "Search all products", Queries: 1, Missing: []int{0}, NoHits: []int{0}, Metrics: []eval.MetricInfo{{Metric: "ndcg@10", Title: "nDCG@10", Queries: 1, Random: nan, Values: []eval.Value{near(.5, .1)}}}}}
	return r
}

// large has six systems, n queries, and names that are too long.
func large(n int) *eval.Report {
	r := fixture()
	r.Drift.A, r.Drift.B, r.Drift.Cosine = "", "", nil
	r.Systems = append(r.Systems, eval.SystemInfo{Name: "pretrained-large-with-a-name-that-goes-on-and-on"}, eval.SystemInfo{Name: "e5-2"})
	r.Tasks = []eval.Task{fullTask(r), poolTask(r)}
	r.Agreement = nil
	r.Queries = queries(r, n)
	for i := range r.Segments {
		for j := range r.Segments[i].Rows {
			r.Segments[i].Rows[j].Means = append(r.Segments[i].Rows[j].Means, .5, nan)
		}
	}
	return r
}
