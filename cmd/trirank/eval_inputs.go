package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/formats"
	"github.com/trirank/trirank/eval/judge"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/progress"
)

func (e *evaluating) openIndex(ctx context.Context) (err error) {
	if e.index == "" {
		return nil
	}
	_, dirs, err := modelFlag(e.models)
	if err != nil {
		return err
	}
	for _, text := range e.fusions {
		name, spec, ok := strings.Cut(text, "=")
		if !ok || name == "" || strings.ContainsAny(name, ":(/ ") {
			return usageError("--fusion %q is not NAME=FUSION, such as even=rrf(60):bm25=1,pretrained=1", text)
		}
		f, err := engine.ParseFusion(spec)
		if err != nil {
			return usageError("--fusion: %v", err)
		}
		e.further = append(e.further, judge.Fusion{Name: name, Fusion: f})
	}
	if e.x, err = store.Open(ctx, e.index, store.OpenOptions{Models: dirs, Bleve: e.bleve, Device: e.device}); err != nil {
		return err
	}
	printPlacement(e.c, e.x.Placement)
	m := e.x.Manifest
	e.in.Name, e.in.Products, e.in.Product = m.Catalogue.Name, m.Catalogue.Rows, e.x.Product
	e.in.Index = &eval.IndexInfo{Hash: m.Hash(), Catalogue: m.Catalogue.Name, Contents: m.Catalogue.Hash, Products: m.Catalogue.Rows}
	e.in.Models, e.in.Training, e.in.Spaces = map[string]string{}, map[string]*eval.Training{}, map[string]eval.Space{}
	for _, info := range m.Models {
		e.in.Models[info.System] = info.Hash
		space, _ := e.x.Space(info.System)
		e.in.Spaces[info.System] = space
		f, err := os.Open(filepath.Join(space.Model(), eval.TrainingFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		t, err := eval.ReadTraining(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("model of %s: %w", info.System, err)
		}
		e.in.Training[info.System] = t
	}
	return nil
}

func (e *evaluating) readJudgments(context.Context) error {
	paths := e.judgments
	if len(paths) == 0 {
		paths = []string{store.JudgmentsPath(e.index)}
	}
	src, err := formats.Judgments(paths, e.formats)
	if err != nil {
		return err
	}
	o := eval.QrelsOptions{Skip: e.onFault == "skip", Where: src.Where}
	if e.x != nil {
		o.Known = e.x.Has
	}
	if e.all, e.in.Faults, err = eval.NewQrels(src.Judgments, o); err != nil {
		if fault := (*faults.Fault)(nil); errors.As(err, &fault) {
			err = fmt.Errorf("%w (correct it, or leave such judgements out with --on-fault skip)", err)
		}
		return unreadJudgments(e.index, len(e.judgments) > 0, err)
	}
	printFaults(e.c.ErrOrStderr(), e.in.Faults)
	if e.gains != "" {
		own, err := e.all.Scale.ParseGains("own", e.gains)
		if err != nil {
			return usageError("--gains: %v", err)
		}
		e.options.Tables = append([]eval.GainTable{own}, e.all.Scale.Tables()...)
	}
	e.options.Relevant = e.relevant
	split := e.split
	has := func(split string) bool {
		return slices.ContainsFunc(e.all.Queries, func(q eval.Query) bool { return q.Split == split })
	}
	if split == "" && has("test") {
		split = "test"
		if has("train") {
			e.notes = append(e.notes, "Only queries of the split test are evaluated; --split all takes every query.")
		}
	}
	e.in.Qrels = e.all
	defer e.noteTuned()
	if split != "" && split != "all" {
		if !has(split) {
			return usageError("--split: no judged query is in split %q", split)
		}
		e.in.Split = split
		e.in.Qrels = e.all.Only(func(q *eval.Query) bool { return q.Split == split })
	}
	if e.x != nil {
		for _, q := range e.all.Queries {
			if q.Text == "" {
				return fmt.Errorf("cannot search for query %s: the judgements have no text for it (name a file of texts with --queries)", q.ID)
			}
		}
	}
	return nil
}

// noteTuned says how many of the queries the index's fusion was chosen by.
func (e *evaluating) noteTuned() {
	if e.x == nil {
		return
	}
	if n := len(e.in.Qrels.Only(func(q *eval.Query) bool { return e.x.Manifest.TunedOn(q.Text) }).Queries); n > 0 {
		e.notes = append(e.notes, fmt.Sprintf("The index's fusion was chosen by %d of these %d queries: its numbers flatter it.", n, len(e.in.Qrels.Queries)))
	}
}

func (e *evaluating) rank(ctx context.Context) (err error) {
	if e.x == nil {
		return nil
	}
	p := progress.Start(e.c.ErrOrStderr(), "judging", "queries", len(e.in.Qrels.Queries))
	if e.in.Full, e.in.Pool, err = judge.Runs(ctx, e.x.Engine, e.in.Qrels, e.further, p.Set); err != nil {
		p.Stop()
		return err
	}
	p.Done()
	return nil
}

func (e *evaluating) readRuns(context.Context) error {
	read := func(flag string, values []string, runs *[]*eval.Run) error {
		for _, v := range values {
			name, path, ok := strings.Cut(v, "=")
			if !ok || name == "" || path == "" || strings.ContainsAny(name, "/ \t") {
				return usageError("--%s %q is not NAME=FILE, such as old=old.trec", flag, v)
			}
			run, left, err := formats.ReadRun(path, name, e.onFault == "skip")
			if err != nil {
				if fault := (*faults.Fault)(nil); errors.As(err, &fault) {
					err = fmt.Errorf("%w (correct it, or leave such lines out with --on-fault skip)", err)
				}
				return fmt.Errorf("--%s %s: %w", flag, name, err)
			}
			printFaults(e.c.ErrOrStderr(), left)
			if left.Count > 0 {
				e.notes = append(e.notes, fmt.Sprintf("%s: %d faulty lines of its run were left out.", name, left.Count))
			}
			if !slices.ContainsFunc(e.in.Qrels.Queries, func(q eval.Query) bool { _, ok := run.Hits[q.ID]; return ok }) {
				return fmt.Errorf("--%s %s: no query of %s is judged: its ids are not those of the judgements", flag, name, path)
			}
			e.noteUnknown(run)
			*runs = append(*runs, run)
		}
		return nil
	}
	if err := read("run", e.runs, &e.in.Full); err != nil {
		return err
	}
	var pools []*eval.Run
	if err := read("pool-run", e.poolRuns, &pools); err != nil {
		return err
	}
	// What has no ranking of the pool has none there; the others are compared.
	if len(e.in.Pool)+len(pools) > 0 {
		e.in.Pool = append(e.in.Pool, make([]*eval.Run, len(e.in.Full)-len(e.in.Pool))...)
	}
	for _, pool := range pools {
		i := slices.IndexFunc(e.in.Full, func(r *eval.Run) bool { return r.System == pool.System })
		if i < 0 || e.in.Pool[i] != nil {
			return usageError("--pool-run %s: there is no --run %s, or it has a ranking of the pool already", pool.System, pool.System)
		}
		e.in.Pool[i] = pool
	}
	return nil
}

// choose leaves out the systems that were not asked for, and checks what only now
// can be: names of systems, and what the judgements decide.
func (e *evaluating) choose(context.Context) error {
	e.in.Baseline, e.in.Candidate = e.baseline, e.candidate
	o, err := e.options.WithDefaults(e.in.Qrels.Scale)
	if err == nil {
		_, err = eval.NewCalculator(e.in.Qrels.Scale, slices.Concat(o.Metrics, o.PoolMetrics), o.Tables, o.Relevant)
	}
	if err != nil {
		return usageError("%v", err)
	}
	var names []string
	for _, r := range e.in.Full {
		names = append(names, r.System)
	}
	for _, s := range append(e.systems, e.baseline, e.candidate) {
		if s != "" && !slices.Contains(names, s) {
			return usageError("there is no system %q (there are %s)", s, strings.Join(names, ", "))
		}
	}
	if len(e.systems) == 0 {
		return nil
	}
	var full, pool []*eval.Run
	for i, r := range e.in.Full {
		if slices.Contains(e.systems, r.System) {
			full = append(full, r)
			if len(e.in.Pool) > 0 {
				pool = append(pool, e.in.Pool[i])
			}
		}
	}
	e.in.Full, e.in.Pool = full, pool
	return nil
}

// noteUnknown counts the hits of a run that are not in the index: it was made on
// another catalogue, and its numbers are not for this one.
func (e *evaluating) noteUnknown(run *eval.Run) {
	if e.x == nil {
		return
	}
	unknown, all, example := 0, 0, ""
	for _, q := range e.in.Qrels.Queries {
		for _, h := range run.Hits[q.ID] {
			if all++; !e.x.Has(h.Product) {
				unknown, example = unknown+1, h.Product
			}
		}
	}
	if unknown > 0 {
		e.notes = append(e.notes, fmt.Sprintf("%s: %d of its %d hits are products that the index does not have, such as %s.", run.System, unknown, all, example))
	}
}
