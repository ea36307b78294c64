package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/train"
)

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
	judged := map[string]map[string]catalog.Label{}
	splits := map[string]bool{}
	var all []catalog.Judgment
	for j, err := range cat.Judgments() {
		if err != nil {
			return err
		}
		splits[j.Split] = true
		all = append(all, j)
	}
	split := t.split
	if split == "" && splits["train"] {
		split = "train"
	}
	if split == "" && len(splits) > 1 || split == "" && !splits[""] {
		return usageError("the judgements have splits, but none is called train: say which to learn from with --split (all for every judgement)")
	}
	if split != "" && split != "all" && !splits[split] {
		return usageError("--split: no judgement is in split %q", split)
	}
	var texts []string // in order of appearance
	for _, j := range all {
		if split != "" && split != "all" && j.Split != split {
			continue
		}
		if judged[j.Query] == nil {
			judged[j.Query] = map[string]catalog.Label{}
			texts = append(texts, j.Query)
		}
		judged[j.Query][j.ProductID] = j.Label
	}
	if len(texts) == 0 {
		return fmt.Errorf("cannot train on catalogue %s: it has no judgements", t.catalogue)
	}
	learn, held := &pile{}, &pile{}
	for _, q := range texts {
		to := learn
		if heldOut(q, t.validation) {
			to = held
		}
		to.queries = append(to.queries, q)
	}
	keptOut := slices.Clone(held.queries)
	if len(held.queries) > mostValidation { // all are kept out, enough are asked
		held.queries = held.queries[:mostValidation]
	}
	t.held = len(held.queries)
	mined, err := t.mineNegatives(ctx, cat, learn.queries, all)
	if err != nil {
		return err
	}
	for _, p := range []*pile{learn, held} {
		p.want(judged, mined, p == learn)
	}
	// Validation ranks among other products as well, evenly spaced.
	const others = 2000
	every := max(1, cat.Rows()/others)
	row := 0
	step := progress.Start(t.c.ErrOrStderr(), "reading", "products", cat.Rows())
	for p, err := range cat.Products() {
		if err != nil {
			step.Stop()
			return err
		}
		tokens := func() ([]int32, error) { return t.tokens(template.Text(&p), false) }
		if err := learn.add(p.ID, false, tokens); err != nil {
			return err
		}
		if err := held.add(p.ID, row%every == 0, tokens); err != nil {
			return err
		}
		row++
		step.Set(row)
	}
	step.Done()
	if t.job.Data, err = learn.data(judged, mined, t.tokens); err != nil {
		return err
	}
	if t.held > 0 {
		d, err := held.data(judged, nil, t.tokens)
		if err != nil {
			return err
		}
		if t.job.Validation, err = train.NewValidation(d); err != nil {
			return fmt.Errorf("cannot validate on the %d queries that were kept out: %w (keep out more by --validation, or none by --validation 0)", t.held, err)
		}
	}
	// What its parent learnt, the model knows as well.
	if t.record, err = parentRecord(t.model.Dir); err != nil {
		return err
	}
	t.record.Queries = append(t.record.Queries, slices.Concat(learn.queries, keptOut)...)
	for _, p := range t.job.Data.Products {
		t.record.Products = append(t.record.Products, p.ID)
	}
	slices.Sort(t.record.Queries)
	slices.Sort(t.record.Products)
	t.record.Queries, t.record.Products = slices.Compact(t.record.Queries), slices.Compact(t.record.Products)
	t.job.Inputs = map[string]string{
		"catalogue": cat.Hash(), "model": t.model.Encoder.Model.Hash(), "template": template.String(), "split": split,
		"validation": fmt.Sprint(t.validation), "queries": fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(t.record.Queries, "\n")))),
		"products": fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(t.record.Products, "\n")))), "mined": hashMined(mined),
	}
	return nil
}

// mostValidation bounds the queries that a validation asks: more cost time at every
// one and hardly change its figures.
const mostValidation = 500

// parentRecord is the record of training of the model to begin with, empty if it
// has none.
func parentRecord(dir string) (eval.Training, error) {
	f, err := os.Open(filepath.Join(dir, eval.TrainingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return eval.Training{}, nil
	}
	if err != nil {
		return eval.Training{}, err
	}
	defer f.Close()
	r, err := eval.ReadTraining(f)
	if err != nil {
		return eval.Training{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return *r, nil
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
	sum := sha256.Sum256([]byte("validation\n" + eval.Fold(query)))
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

// pile is queries with the products that they need.
type pile struct {
	queries  []string
	wanted   map[string]bool
	products []train.Product
	at       map[string]int
}

func (p *pile) want(judged map[string]map[string]catalog.Label, mined map[string][]string, withMined bool) {
	p.wanted, p.at = map[string]bool{}, map[string]int{}
	for _, q := range p.queries {
		for id := range judged[q] {
			p.wanted[id] = true
		}
		if withMined {
			for _, id := range mined[q] {
				p.wanted[id] = true
			}
		}
	}
}

func (p *pile) add(id string, anyway bool, tokens func() ([]int32, error)) error {
	if !p.wanted[id] && (!anyway || len(p.queries) == 0) {
		return nil
	}
	ids, err := tokens()
	if err != nil {
		return err
	}
	p.at[id] = len(p.products)
	p.products = append(p.products, train.Product{ID: id, Tokens: ids})
	return nil
}

func (p *pile) data(judged map[string]map[string]catalog.Label, mined map[string][]string, tokens func(string, bool) ([]int32, error)) (*train.Data, error) {
	d := &train.Data{Products: p.products}
	for _, text := range p.queries {
		q := train.Query{Text: text}
		var err error
		if q.Tokens, err = tokens(text, true); err != nil {
			return nil, err
		}
		for id, label := range judged[text] {
			if at, ok := p.at[id]; ok {
				q.Judged = append(q.Judged, train.Judged{Product: at, Label: label})
			}
		}
		slices.SortFunc(q.Judged, func(a, b train.Judged) int { return a.Product - b.Product })
		for _, id := range mined[text] {
			if at, ok := p.at[id]; ok {
				q.Mined = append(q.Mined, at)
			}
		}
		d.Queries = append(d.Queries, q)
	}
	return d, nil
}

// Where hard negatives are looked for: below the very first hits, which may be
// right though nobody judged them.
const minedFrom, minedTo = 5, 50

// mineNegatives asks the rankings of an index what they confuse with a query's
// exact products. What is judged exact or a substitute, in whatever split and
// spelling of the query, is never taken.
func (t *training) mineNegatives(ctx context.Context, cat *catalog.Catalog, texts []string, all []catalog.Judgment) (map[string][]string, error) {
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
	right := map[string]map[string]bool{}
	for _, j := range all {
		if j.Label == catalog.Exact || j.Label == catalog.Substitute {
			q := eval.Fold(j.Query)
			if right[q] == nil {
				right[q] = map[string]bool{}
			}
			right[q][j.ProductID] = true
		}
	}
	p := progress.Start(t.c.ErrOrStderr(), "mining negatives", "queries", len(texts))
	out := map[string][]string{}
	for i, q := range texts {
		lists, err := x.Engine.Lists(ctx, q, nil)
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("cannot mine negatives: %w", err)
		}
		for _, l := range lists {
			for rank, h := range l.Hits {
				if rank >= minedFrom && rank < minedTo && !right[eval.Fold(q)][h.ID] && !slices.Contains(out[q], h.ID) {
					out[q] = append(out[q], h.ID)
				}
			}
		}
		p.Set(i + 1)
	}
	p.Done()
	return out, nil
}
