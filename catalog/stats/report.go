// Package stats describes a catalogue: how many products and judgements, how
// they are labelled, how long texts are, which fields are missing, what repeats,
// brands, categories, prices, popularity, and how many of a query's words the
// title of a judged product has.
//
// Compute reads a catalogue twice, row by row. Memory grows by 24 bytes a
// product (hashes of titles), 24 bytes a judgement and the words of the queries;
// the rest is bounded, and where a bound cuts something off the report says so.
// A Report holds no time and no path: equal catalogues give equal reports.
package stats

// Report is what Compute finds; stats.json is its JSON.
type Report struct {
	Name      string `json:"name"`
	Hash      string `json:"hash"`
	Products  int    `json:"products"`
	Judgments int    `json:"judgments"`
	Queries   int    `json:"queries"`
	Judged    int    `json:"judged_products"` // products with a judgement

	Labels            []Labels      `json:"labels"` // the first of all, then one a split
	JudgmentsPerQuery *Distribution `json:"judgments_per_query,omitempty"`
	Lengths           []Length      `json:"lengths"`
	Fields            []Field       `json:"fields"`
	Duplicates        Duplicates    `json:"duplicate_titles"`
	Brands            Ranking       `json:"brands"`
	Departments       Ranking       `json:"departments"` // first elements of the category path
	Categories        Ranking       `json:"categories"`  // last elements
	Price             *Distribution `json:"price,omitempty"`
	// Currencies are those of the prices, as catalog.Product has them, by code.
	// Prices of several are in one distribution, unconverted.
	Currencies         []string      `json:"currencies,omitempty"`
	Popularity         *Distribution `json:"popularity,omitempty"`
	PopularityByRank   []RankPoint   `json:"popularity_by_rank,omitempty"`
	Rating             *Distribution `json:"rating,omitempty"`
	QueryWordsInTitles []Overlap     `json:"query_words_in_titles,omitempty"` // one a label that was given

	// Notes say what was sampled or cut off.
	Notes []string `json:"notes,omitempty"`
}

// Labels counts judgements by label.
type Labels struct {
	Split  string       `json:"split"`  // "all", the split, or "none" for judgements without
	Counts []LabelCount `json:"counts"` // best first; of a scale of many numbers, in bands
}

// LabelCount says how often a label, or a band of labels, was given.
type LabelCount struct {
	Label string `json:"label"`
	Count int    `json:"count"`
}

// Total is the number of judgements.
func (l Labels) Total() (n int) {
	for _, c := range l.Counts {
		n += c.Count
	}
	return n
}

// Distribution describes numbers. Quantiles are exact up to 65,536 different
// numbers, and within one percent beyond.
type Distribution struct {
	Count int     `json:"count"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Mean  float64 `json:"mean"`
	P5    float64 `json:"p5"`
	P25   float64 `json:"p25"`
	P50   float64 `json:"p50"`
	P75   float64 `json:"p75"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Bins  []Bin   `json:"bins"`
}

// Bin counts the numbers x with From <= x < To; the last bin of a histogram has
// its To as well.
type Bin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int     `json:"count"`
}

// Length is the distribution of the lengths of a text.
type Length struct {
	Text string `json:"text"` // query, title, bullets, description
	Unit string `json:"unit"` // words, or tokens of a model
	*Distribution
}

// Field counts the products that have a value in a field.
type Field struct {
	Name    string `json:"name"`
	Present int    `json:"present"`
	Missing int    `json:"missing"`
}

// Duplicates counts products whose title an earlier product has: letter by
// letter, and but for case and spaces.
type Duplicates struct {
	Exact    int      `json:"exact"`
	Folded   int      `json:"folded"`
	Examples []Ranked `json:"examples,omitempty"` // folded titles that repeat most
}

// Ranking counts products by a text, such as their brand.
type Ranking struct {
	Distinct int      `json:"distinct"`
	None     int      `json:"none"`   // products without
	Single   int      `json:"single"` // texts of one product only
	Top      []Ranked `json:"top"`    // the most frequent, then by text
	// Tail is the share of products, of those with a text, in texts below the top.
	Tail float64 `json:"tail"`
}

// Ranked is a text and how often it occurs.
type Ranked struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// RankPoint says that the product at a rank, from 1, has a popularity.
type RankPoint struct {
	Rank       int     `json:"rank"`
	Popularity float64 `json:"popularity"`
}

// Overlap describes, for the judgements of one label, the share of the query's
// distinct words that the product's title has.
type Overlap struct {
	Label string  `json:"label"` // or a band of labels
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	// Bins counts shares: 0 to below 10 %, and so on; the last is 100 % only.
	Bins [11]int `json:"bins"`
}
