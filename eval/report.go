package eval

import (
	"encoding/json"
	"math"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// Number is a float64 that may not exist: NaN, null in JSON.
type Number float64

// MarshalJSON writes null for what does not exist.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// Exists reports whether there is a number.
func (n Number) Exists() bool { return !math.IsNaN(float64(n)) }

// ReportFormat is the number of the format of Report. Reports of format 1 are read
// for Diff: their queries without ids were called q1, q2 ... by their order, and what
// they hash judgements, models and indexes by was other.
const ReportFormat = 2

// Report is the outcome of an evaluation; report.json is its JSON. It holds no
// time, no path and nothing else that two evaluations of the same things would
// not share.
type Report struct {
	Format    int           `json:"format"`
	Program   string        `json:"program"` // version
	Name      string        `json:"name"`    // of what was evaluated: the catalogue, or "runs"
	Index     *IndexInfo    `json:"index,omitempty"`
	Judgments JudgmentsInfo `json:"judgments"`
	Options   OptionsInfo   `json:"options"`
	// ValuesSHA256 is the hash of per_query.csv (HashValues), so that nobody
	// compares what does not belong together; empty if it was not written.
	ValuesSHA256 string `json:"values_sha256,omitempty"`
	// Systems in the order in which they are shown. Values that belong to a
	// system stand in lists of this order.
	Systems []SystemInfo `json:"systems"`
	// Baseline and Candidate are the two systems that the report looks into
	// first: pretrained and fine-tuned where they are there. Control is the
	// lexical one, or empty.
	Baseline  string `json:"baseline,omitempty"`
	Candidate string `json:"candidate,omitempty"`
	Control   string `json:"control,omitempty"`
	// Verdicts are what the statistics say, in words, the most important first.
	Verdicts []string `json:"verdicts"`
	// Notes are what a reader must know to trust the numbers, or not to.
	Notes []string `json:"notes,omitempty"`

	Tasks      []Task        `json:"tasks"`
	Queries    []QueryReport `json:"queries"` // sorted by difference, largest first
	Omitted    int           `json:"queries_omitted,omitempty"`
	Movements  []Movement    `json:"movements,omitempty"`
	Segments   []Segments    `json:"segments,omitempty"`
	Agreement  []Agreement   `json:"agreement,omitempty"`
	Popularity *Popularity   `json:"popularity,omitempty"`
	Drift      *Drift        `json:"drift,omitempty"`
	Leakage    *Leakage      `json:"leakage,omitempty"`
	Fusion     *FusionTuning `json:"fusion,omitempty"`
}

// IndexInfo says which index directory was evaluated.
type IndexInfo struct {
	Hash      string `json:"hash"` // SHA-256 of its manifest
	Catalogue string `json:"catalogue"`
	Contents  string `json:"catalogue_hash"`
	Products  int    `json:"products"`
}

// JudgmentsInfo says which judgements were used.
type JudgmentsInfo struct {
	Hash    string      `json:"hash"` // SHA-256 of them (judgments.Set.Hash)
	Queries int         `json:"queries"`
	Count   int         `json:"count"`
	Scale   string      `json:"scale"`
	Levels  []LevelInfo `json:"levels"` // worst first
	Faults  faults.List `json:"faults"`
}

// LevelInfo is a level of the scale, its gain and how often it was given; or a band
// of levels of a long scale, with the gain of the best.
type LevelInfo struct {
	Label string  `json:"label"`
	Gain  float64 `json:"gain"`
	Count int     `json:"count"`
	// Relevant levels count for recall and its like.
	Relevant bool `json:"relevant"`
}

// OptionsInfo records the options of an evaluation.
type OptionsInfo struct {
	Metrics     []string              `json:"metrics"`      // of the full catalogue, the first deciding
	PoolMetrics []string              `json:"pool_metrics"` // of the judged pool
	Gains       []judgments.GainTable `json:"gains"`        // the first is used where a metric names none
	Relevant    string                `json:"relevant"`
	Seed        uint64                `json:"seed"`
	Draws       int                   `json:"draws"`
	Confidence  float64               `json:"confidence"`
	Tie         float64               `json:"tie"` // differences below are called a tie
	Split       string                `json:"split,omitempty"`
}

// SystemInfo describes a system.
type SystemInfo struct {
	Name   string `json:"name"`
	Kind   string `json:"kind,omitempty"` // lexical, dense, fused
	Detail string `json:"detail,omitempty"`
	Model  string `json:"model_hash,omitempty"`
}

// Names of tasks.
const (
	FullTask = "full" // search all products
	PoolTask = "pool" // rank the judged products of a query
)

// Task is one way of asking which system is better.
type Task struct {
	Name    string       `json:"name"`
	Title   string       `json:"title"`
	Queries int          `json:"queries"`
	Metrics []MetricInfo `json:"metrics"` // the first decides
	// Missing counts, for each system, the queries that it did not answer; they
	// count as answered with nothing.
	Missing []int `json:"missing"`
	// NoHits counts those that it answered with nothing.
	NoHits []int `json:"no_hits"`
	// Comparisons of every two systems by every metric.
	Comparisons []Comparison `json:"comparisons"`
}

// MetricInfo is one metric of a task, for all systems.
type MetricInfo struct {
	Metric string `json:"metric"`
	Title  string `json:"title"`
	// Queries is over how many the means are, Left the number of those for
	// which the metric does not exist.
	Queries int     `json:"queries"`
	Left    int     `json:"left_out"`
	Neutral bool    `json:"neutral,omitempty"` // more is not better
	Values  []Value `json:"values"`            // one a system
	// Random is what a random order would reach on average; null where no
	// formula gives it.
	Random Number `json:"random"`
}

// Value is a mean over queries with its bootstrap interval.
type Value struct {
	Mean Number `json:"mean"`
	Low  Number `json:"low"`
	High Number `json:"high"`
}

// Outcomes of a comparison.
const (
	Better  = "better" // B is better than A
	Worse   = "worse"
	Tie     = "tie"     // the difference is too small to matter
	Unclear = "unclear" // none can be shown
)

// Comparison is what can be said of B against A by one metric.
type Comparison struct {
	Metric     string `json:"metric"`
	A          string `json:"a"`
	B          string `json:"b"`
	Queries    int    `json:"queries"`
	Difference Number `json:"difference"` // mean of B minus mean of A
	Low        Number `json:"low"`        // paired bootstrap interval of it
	High       Number `json:"high"`
	P          Number `json:"p"`      // paired randomisation test, two-sided
	PHolm      Number `json:"p_holm"` // corrected for all pairs by this metric
	Effect     Number `json:"effect"` // mean over standard deviation of the differences
	// Detectable is the smallest difference that would have been found four times
	// in five; null where there are too few queries to find any.
	Detectable Number `json:"detectable"`
	Wins       int    `json:"wins"` // queries where B is better by more than the tie
	Ties       int    `json:"ties"`
	Losses     int    `json:"losses"`
	Outcome    string `json:"outcome"`
	Verdict    string `json:"verdict"` // in words

	deviation float64 // of the differences
}

// QueryReport shows one query in full.
type QueryReport struct {
	ID         string        `json:"id"`
	Text       string        `json:"text"`
	Split      string        `json:"split,omitempty"`
	Judged     int           `json:"judged"`
	Relevant   int           `json:"relevant"`
	Difference Number        `json:"difference"` // candidate minus baseline, by the deciding metric
	Systems    []QueryResult `json:"systems"`
}

// QueryResult is what one system gave for one query.
type QueryResult struct {
	Value Number      `json:"value"` // the deciding metric
	Hits  []HitReport `json:"hits"`
}

// HitReport is a hit, its label empty if nobody judged it.
type HitReport struct {
	Product string  `json:"product"`
	Title   string  `json:"title,omitempty"`
	Label   string  `json:"label,omitempty"`
	Score   float64 `json:"score"`
}

// Movement says what changed among the first K hits from one system to another,
// by label, with a third system as a control: what a change found that the control
// has as well was not hard to find.
type Movement struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Control string        `json:"control,omitempty"`
	K       int           `json:"k"`
	Rows    []MovementRow `json:"rows"` // best label first, unjudged last
}

// MovementRow counts the products of one label.
type MovementRow struct {
	Label           string `json:"label"`
	Gained          int    `json:"gained"` // came among the first K
	GainedInControl int    `json:"gained_in_control"`
	Lost            int    `json:"lost"`
	LostInControl   int    `json:"lost_in_control"`
	Promoted        int    `json:"promoted"` // stayed and rose
	Demoted         int    `json:"demoted"`
	Kept            int    `json:"kept"` // stayed at the same rank
}

// Segments are the queries parted by one property.
type Segments struct {
	By   string    `json:"by"`
	Rows []Segment `json:"rows"`
}

// Segment is a part of the queries, measured by the deciding metric of the full
// catalogue, or of the pool where that is all there is.
type Segment struct {
	Value      string   `json:"value"`
	Queries    int      `json:"queries"`
	Means      []Number `json:"means"`      // one a system
	Difference Number   `json:"difference"` // candidate minus baseline
	Low        Number   `json:"low"`
	High       Number   `json:"high"`
}

// Agreement says how alike the rankings of two systems are, on average over
// queries.
type Agreement struct {
	A       string `json:"a"`
	B       string `json:"b"`
	RBO     Number `json:"rbo"`     // p = .9, extrapolated
	Overlap Number `json:"overlap"` // share of the first ten that both have
	Tau     Number `json:"tau"`     // Kendall's, of the products that both have
}

// Popularity says whether rankings follow popularity.
type Popularity struct {
	K       int                `json:"k"`
	Head    float64            `json:"head"` // least popularity of the head: the better half of the judged products
	Systems []PopularitySystem `json:"systems"`
	Metric  string             `json:"metric"`
}

// PopularitySystem is what Popularity says of one system.
type PopularitySystem struct {
	// Rho is Spearman's correlation of popularity with rank among the first
	// hits, averaged over queries: 1 if the most popular come first.
	Rho Number `json:"rho"`
	// MeanLog is the mean of log10(1+popularity) of the first K hits.
	MeanLog Number `json:"mean_log"`
	// Head and Tail are the deciding metric when only popular products, or only
	// the others, count as relevant.
	Head Number `json:"head"`
	Tail Number `json:"tail"`
}

// Drift says how far the candidate's vectors are from the baseline's.
type Drift struct {
	A        string `json:"a"`
	B        string `json:"b"`
	Products int    `json:"products"` // looked at
	// Cosine of a product's two vectors, where both models have the same
	// dimension.
	Cosine *Spread `json:"cosine,omitempty"`
	// Neighbours is how alike the nearest products of a product are under both.
	Neighbours Number     `json:"neighbour_rbo"`
	Overlap    Number     `json:"neighbour_overlap"`
	Models     []Geometry `json:"models"`
}

// Spread describes a sample of values.
type Spread struct {
	Mean   Number `json:"mean"`
	Std    Number `json:"std"`
	Least  Number `json:"least"`
	P5     Number `json:"p5"`
	Median Number `json:"median"`
	P95    Number `json:"p95"`
	Most   Number `json:"most"`
}

// Geometry says how one model uses its space.
type Geometry struct {
	System string `json:"system"`
	// Anisotropy is the mean cosine of two random products: near 0 if vectors
	// point everywhere, near 1 if all point the same way.
	Anisotropy Number `json:"anisotropy"`
	// Dimensions is how many directions the vectors use in effect: the
	// participation ratio of the eigenvalues of their covariance.
	Dimensions Number `json:"dimensions"`
	Dimension  int    `json:"dimension"`
	// Collapsed warns that the vectors hardly tell products apart.
	Collapsed bool `json:"collapsed"`
	// Scores of judged products by label, worst label first.
	Scores []LabelScores `json:"scores"`
	// Separation is how often a relevant product scores higher than one that is
	// not, of the same query (AUC).
	Separation Number `json:"separation"`
}

// LabelScores are the scores that judged products of one label got.
type LabelScores struct {
	Label  string `json:"label"`
	Count  int    `json:"count"`
	Spread Spread `json:"spread"`
	// Bins count scores over equal parts of From..To, the same for all labels of
	// a model.
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Bins []int   `json:"bins"`
}

// Leakage says what models saw in training, and keeps it apart.
type Leakage struct {
	Systems []LeakageSystem `json:"systems"`
	// Seen is the task on the queries that some model saw; no other part of the
	// report counts them.
	Seen *Task `json:"seen,omitempty"`
}

// LeakageSystem is what one model saw.
type LeakageSystem struct {
	System   string `json:"system"`
	Recorded bool   `json:"recorded"` // its training is on record
	Queries  int    `json:"queries"`  // judged queries that it saw
	Products int    `json:"products"` // judged products of the others that it saw
	// On the queries it did not see, the deciding metric where only products
	// that it saw, or only the others, count as relevant.
	SeenProducts   Number `json:"seen_products"`
	UnseenProducts Number `json:"unseen_products"`
}

// FusionTuning is the choice of a fusion.
type FusionTuning struct {
	Metric   string          `json:"metric"`
	Folds    int             `json:"folds"`
	Dev      int             `json:"dev_queries"`
	Test     int             `json:"test_queries"`
	Settings []FusionSetting `json:"settings"`
	Chosen   string          `json:"chosen"`
	Current  string          `json:"current,omitempty"`
	// CrossValidated is the mean over dev queries when each is ranked by the
	// setting that was best on the other folds: what choosing is worth.
	CrossValidated Number `json:"cross_validated"`
	// Comparison is of the chosen setting against the current one, or against
	// the first if none is current, on test queries that took no part in
	// choosing; nil if the two are one.
	Comparison *Comparison `json:"comparison,omitempty"`
	Written    bool        `json:"-"`
}

// FusionSetting is one setting that was tried.
type FusionSetting struct {
	Fusion string `json:"fusion"`
	Dev    Number `json:"dev"`
	Test   Number `json:"test"`
}
