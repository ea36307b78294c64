package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/judgments"
	"github.com/trirank/trirank/train"
)

// dataset is the judgements that are learnt from, and the products they need, in
// tokens: what training, validation and the folds of a sweep are cut from.
type dataset struct {
	split    string   // that was chosen
	left     int      // queries of other splits, to test the model on
	relevant string   // which labels are right
	queries  []string // in order of appearance
	judged   map[string]map[string]judgments.Label
	meanings *train.Meanings
	mined    map[string][]string        // nil: none
	scored   map[string][]scoredProduct // by a teacher; nil: none
	products []train.Product            // in order of the catalogue
	at       map[string]int             // index in products, by id
	others   map[int]bool               // products that validation ranks among besides
	tokens   func(string, bool) ([]int32, error)
	// right are products judged right or nearly so for a query, by its folded
	// text, in whatever split and spelling.
	right map[string]map[string]bool
}

// readData makes tokens of the judgements and parts them.
func (t *training) readData(ctx context.Context) error {
	cat, err := catalog.Load(t.catalogue)
	if err != nil {
		return err
	}
	template, err := parseTemplate(t.template)
	if err != nil {
		return err
	}
	d, err := t.readJudgments(cat)
	if err != nil {
		return err
	}
	if d.scored, err = t.readTeacher(cat, d); err != nil {
		return err
	}
	if err := t.checkData(d); err != nil {
		return err
	}
	learn, held := d.part(d.queries, t.validation)
	if t.folds == 0 && t.config.Objective == train.Distill { // the others are not seen
		learn = slices.DeleteFunc(learn, func(q string) bool { return len(d.scored[q]) == 0 })
	}
	keptOut := held
	if len(held) > mostValidation { // all are kept out, enough are asked
		held = held[:mostValidation]
	}
	t.held = len(held)
	mining := learn
	if t.folds > 0 {
		mining = d.queries
	}
	if d.mined, err = t.mineNegatives(ctx, cat, mining, d.right); err != nil {
		return err
	}
	if err := t.readProducts(ctx, cat, template, d); err != nil {
		return err
	}
	if err := t.checkTeacher(d); err != nil {
		return err
	}
	t.data = d
	if t.folds == 0 {
		if t.job.Data, err = d.cut(learn, true, false); err != nil {
			return err
		}
		if t.job.Validation, err = d.validation(held, t.validation); err != nil {
			return err
		}
		if t.record, err = t.recordOf(learn, keptOut, t.job.Data); err != nil {
			return err
		}
	}
	t.job.Inputs = map[string]string{
		"catalogue": cat.Hash(), "model": t.model.Encoder.Model.Hash(), "template": template.String(), "split": d.split, "relevant": d.relevant, "gains": t.gains,
		"validation": fmt.Sprint(t.validation), "blend": fmt.Sprint(t.blend), "device": t.backend.Name(), "mined": hashMined(d.mined), "teacher": d.hashScored(),
		"queries": hashLines(t.record.Queries), "products": hashLines(t.record.Products),
	}
	return nil
}

// checkData reports judgements that an option or the objective has no use for.
func (t *training) checkData(d *dataset) error {
	if t.config.Objective == train.Distill {
		return nil
	}
	for _, list := range d.judged {
		for _, label := range list {
			if d.meanings.Role(label) == train.Right {
				return nil
			}
		}
	}
	return fmt.Errorf("cannot train on catalogue %s: no product is judged %s for a query that may be learnt from, and that is what is learnt (other labels: --relevant)", t.catalogue, d.relevant)
}

// readJudgments reads those of the split that is learnt from.
func (t *training) readJudgments(cat *catalog.Catalog) (*dataset, error) {
	d := &dataset{judged: map[string]map[string]judgments.Label{}, at: map[string]int{}, others: map[int]bool{}, tokens: t.tokens, right: map[string]map[string]bool{}}
	set, err := cat.JudgmentSet()
	if err != nil {
		return nil, fmt.Errorf("cannot train on catalogue %s: %w", t.catalogue, err)
	}
	if err := t.means(d, set.Scale); err != nil {
		return nil, err
	}
	byText := map[string]*judgments.Query{}
	splits := map[string]bool{}
	for i := range set.Queries {
		q := &set.Queries[i]
		byText[q.Text], splits[q.Split] = q, true
		for k, product := range q.Products {
			if d.meanings.Role(set.Label(q, k)) == train.Wrong {
				continue
			}
			key := judgments.Fold(q.Text)
			if d.right[key] == nil {
				d.right[key] = map[string]bool{}
			}
			d.right[key][product] = true
		}
	}
	d.split = t.split
	if d.split == "" && splits["train"] {
		d.split = "train"
	}
	if d.split == "" && len(splits) > 1 || d.split == "" && len(splits) > 0 && !splits[""] {
		return nil, usageError("the judgements have splits, but none is called train: say which to learn from with --split (all for every judgement)")
	}
	if d.split != "" && d.split != "all" && !splits[d.split] {
		return nil, usageError("--split: no judgement is in split %q", d.split)
	}
	for i := range set.Queries {
		if d.split != "" && d.split != "all" && set.Queries[i].Split != d.split {
			d.left++
		}
	}
	for j, err := range cat.Judgments() { // for the order of the queries
		if err != nil {
			return nil, err
		}
		q := byText[j.Query]
		if d.judged[j.Query] != nil || d.split != "" && d.split != "all" && q.Split != d.split {
			continue
		}
		d.judged[q.Text] = map[string]judgments.Label{}
		d.queries = append(d.queries, q.Text)
		for k, product := range q.Products {
			d.judged[q.Text][product] = set.Label(q, k)
		}
	}
	if len(d.queries) == 0 {
		return nil, fmt.Errorf("cannot train on catalogue %s: it has no judgements", t.catalogue)
	}
	return d, nil
}

// means says what the labels of a scale mean to training.
func (t *training) means(d *dataset, scale judgments.Scale) error {
	d.relevant = t.relevant
	if d.relevant == "" {
		d.relevant = "E"
		if scale.Name != "esci" { // half of the greatest and more
			d.relevant = ">=" + strconv.FormatFloat(scale.Levels[len(scale.Levels)-1].Grade/2, 'g', -1, 64)
		}
	}
	relevant, err := scale.Relevant(d.relevant)
	if err != nil {
		return usageError("--relevant: %v", err)
	}
	gains := scale.Tables()[0]
	if t.gains != "" {
		if gains, err = scale.ParseGains("own", t.gains); err != nil {
			return usageError("--gains: %v", err)
		}
	}
	d.meanings = train.NewMeanings(scale, gains, relevant)
	return nil
}

// part parts queries into those to learn from and those kept out, by the hash of
// their text.
func (d *dataset) part(queries []string, share float64) (learn, held []string) {
	for _, q := range queries {
		if heldOut(q, share) {
			held = append(held, q)
		} else {
			learn = append(learn, q)
		}
	}
	return learn, held
}

// readProducts makes tokens of the products that are judged, mined or scored for a
// query, and of some others, evenly spaced, for validation to rank among.
func (t *training) readProducts(ctx context.Context, cat *catalog.Catalog, template *catalog.Template, d *dataset) error {
	wanted := map[string]bool{}
	for _, q := range d.queries {
		for id := range d.judged[q] {
			wanted[id] = true
		}
		for _, id := range d.mined[q] {
			wanted[id] = true
		}
		for _, x := range d.scored[q] {
			wanted[x.id] = true
		}
	}
	const others = 2000
	every := max(1, cat.Rows()/others)
	row, popular := 0, 0
	step := progress.Start(t.c.ErrOrStderr(), "reading", "product", cat.Rows())
	for p, err := range cat.Products() {
		if err != nil {
			step.Stop()
			return err
		}
		if err := ctx.Err(); err != nil {
			step.Stop()
			return err
		}
		other := row%every == 0
		if wanted[p.ID] || other {
			ids, err := t.tokens(template.Text(&p), false)
			if err != nil {
				step.Stop()
				return err
			}
			if p.Popularity > 0 {
				popular++
			}
			d.at[p.ID] = len(d.products)
			if other {
				d.others[len(d.products)] = true
			}
			d.products = append(d.products, train.Product{ID: p.ID, Tokens: ids, Popularity: p.Popularity})
		}
		row++
		step.Set(row)
	}
	step.Done()
	if popular == 0 && t.config.PopularityWeight > 0 {
		return usageError("--popularity-weight: no product has a popularity (import them with a field popularity)")
	}
	return nil
}

// cut returns some queries with the products that they need: with what was mined
// and scored for them to learn from, or with others to rank them among.
func (d *dataset) cut(queries []string, toLearn, withOthers bool) (*train.Data, error) {
	need := map[int]bool{}
	if withOthers && len(queries) > 0 {
		need = maps.Clone(d.others)
	}
	want := func(id string) {
		if at, ok := d.at[id]; ok { // a judgement may be of a product that left the catalogue
			need[at] = true
		}
	}
	for _, q := range queries {
		for id := range d.judged[q] {
			want(id)
		}
		if toLearn {
			for _, id := range d.mined[q] {
				want(id)
			}
			for _, x := range d.scored[q] {
				want(x.id)
			}
		}
	}
	out := &train.Data{Meanings: d.meanings}
	place := map[string]int{}
	for _, at := range slices.Sorted(maps.Keys(need)) {
		place[d.products[at].ID] = len(out.Products)
		out.Products = append(out.Products, d.products[at])
	}
	for _, text := range queries {
		ids, err := d.tokens(text, true)
		if err != nil {
			return nil, err
		}
		q := train.Query{Text: text, Tokens: ids}
		for id, label := range d.judged[text] {
			if at, ok := place[id]; ok {
				q.Judged = append(q.Judged, train.Judged{Product: at, Label: label})
			}
		}
		slices.SortFunc(q.Judged, func(a, b train.Judged) int { return a.Product - b.Product })
		if toLearn {
			q.Right = map[int]bool{}
			for id := range d.right[judgments.Fold(text)] {
				if at, ok := place[id]; ok {
					q.Right[at] = true
				}
			}
			for _, id := range d.mined[text] {
				if at, ok := place[id]; ok {
					q.Mined = append(q.Mined, at)
				}
			}
			for _, x := range d.scored[text] {
				if at, ok := place[x.id]; ok {
					q.Scored = append(q.Scored, train.Scored{Product: at, Score: x.score})
				}
			}
			slices.SortFunc(q.Scored, func(a, b train.Scored) int { return a.Product - b.Product })
		}
		out.Queries = append(out.Queries, q)
	}
	return out, nil
}

// validation prepares to rank queries that were kept out; nil for none.
func (d *dataset) validation(held []string, share float64) (*train.Validation, error) {
	if len(held) == 0 {
		return nil, nil
	}
	data, err := d.cut(held, false, true)
	if err != nil {
		return nil, err
	}
	v, err := train.NewValidation(data)
	if err != nil {
		return nil, fmt.Errorf("cannot validate on the %d queries that were kept out: %w (keep out more than %g of them by --validation, or none by --validation 0)", len(held), err, share)
	}
	return v, nil
}

// recordOf is what a model that learns from data has seen, its parent included.
func (t *training) recordOf(learn, keptOut []string, data *train.Data) (eval.Training, error) {
	known, err := trainingOf(t.model.Dir, t.model.Encoder.Model) // what its parent learnt, the model knows as well
	if err != nil {
		return eval.Training{}, err
	}
	var r eval.Training
	if known != nil {
		r = *known
	}
	r.Queries = append(r.Queries, slices.Concat(learn, keptOut)...)
	for _, p := range data.Products {
		r.Products = append(r.Products, p.ID)
	}
	slices.Sort(r.Queries)
	slices.Sort(r.Products)
	r.Queries, r.Products = slices.Compact(r.Queries), slices.Compact(r.Products)
	return r, nil
}

func hashLines(lines []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// mostValidation bounds the queries that a validation asks: more cost time at every
// one and hardly change its figures.
const mostValidation = 500

// trainingOf returns the record of what the model m in dir saw in training, nil if it has
// none. A model that trirank trained must have its record: without it, it would
// be tested on what it has learnt.
func trainingOf(dir string, m *encoder.Model) (*eval.Training, error) {
	path := filepath.Join(dir, eval.TrainingFile)
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if m != nil && m.Run != "" {
			return nil, fmt.Errorf("model %s: %s is missing, which says what the run %s that made it learnt from (copy it from there)", dir, eval.TrainingFile, m.Run)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", dir, err)
	}
	defer f.Close()
	t, err := eval.ReadTraining(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// hashMined stands for what was mined for each query; empty for nothing.
func hashMined(mined map[string][]string) string {
	if mined == nil {
		return ""
	}
	h := sha256.New()
	for _, q := range slices.Sorted(maps.Keys(mined)) {
		fmt.Fprintf(h, "%s\t%s\n", q, strings.Join(mined[q], "\t"))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// heldOut chooses queries by their text alone, so that more judgements change
// nothing for the others.
func heldOut(query string, share float64) bool {
	sum := sha256.Sum256([]byte("validation\n" + judgments.Fold(query)))
	return float64(uint16(sum[0])<<8|uint16(sum[1])) < share*65536
}

func (t *training) tokens(text string, query bool) ([]int32, error) {
	ids, err := t.model.Encoder.Tokens(text, query)
	if err != nil {
		return nil, err
	}
	if n := t.config.MaxTokens; len(ids) > n { // the last one ends every text
		ids = append(ids[:n-1:n-1], ids[len(ids)-1])
	}
	return signed(ids), nil
}

func signed(ids []uint32) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// Where hard negatives are looked for: below the very first hits, which may be
// right though nobody judged them.
const minedFrom, minedTo = 5, 50

// mineNegatives asks the rankings of an index what they confuse with a query's
// right products. What is judged right or nearly so, in whatever split and
// spelling of the query, is never taken.
func (t *training) mineNegatives(ctx context.Context, cat *catalog.Catalog, texts []string, right map[string]map[string]bool) (map[string][]string, error) {
	if t.mine == "" {
		return nil, nil
	}
	x, err := store.Open(ctx, t.mine, store.OpenOptions{})
	if err != nil {
		return nil, err
	}
	defer x.Close()
	if x.Manifest.Catalogue.Hash != cat.Hash() {
		return nil, fmt.Errorf("cannot mine negatives: index %s is of another catalogue (%s)", t.mine, x.Manifest.Catalogue.Name)
	}
	p := progress.Start(t.c.ErrOrStderr(), "mining negatives", "query", len(texts))
	out := map[string][]string{}
	for i, q := range texts {
		lists, err := x.Engine.Lists(ctx, q, nil)
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("cannot mine negatives: %w", err)
		}
		for _, l := range lists {
			for rank, h := range l.Hits {
				if rank >= minedFrom && rank < minedTo && !right[judgments.Fold(q)][h.ID] && !slices.Contains(out[q], h.ID) {
					out[q] = append(out[q], h.ID)
				}
			}
		}
		p.Set(i + 1)
	}
	p.Done()
	return out, nil
}
