package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/formats"
	"github.com/trirank/trirank/eval/judge"
	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/judgments"
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
		t, err := trainingOf(space.Model(), space.Encoder().Model)
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		e.in.Training[info.System] = t
	}
	return nil
}

// readJudgments puts the judgements together: those of the index, or of the files that
// were named, and those that are added.
func (e *evaluating) readJudgments(context.Context) error {
	if len(e.judgments) == 0 && e.formats.Queries != "" {
		return e.readLog()
	}
	named := len(e.judgments) > 0
	paths, format := e.judgments, e.formats
	if !named {
		paths, format = []string{store.JudgmentsPath(e.index)}, judgments.ReadOptions{}
	}
	o := judgments.Options{Skip: e.onFault == "skip", Prefer: judgments.Prefer(e.prefer)}
	if e.x != nil {
		o.Known = e.x.Has
	}
	build := judgments.NewBuilder(o)
	src, err := judgments.Read(paths, format)
	if err != nil {
		return err
	}
	switch err := build.Add(src); {
	case !named && len(e.added) > 0 && errors.Is(err, judgments.ErrNone): // what is added is all there is
	case err != nil:
		return e.unread(named, err)
	}
	e.sayColumns(src)
	for _, path := range e.added {
		o := e.formats
		o.Format = "" // each file tells its own
		src, err := judgments.Read([]string{path}, o)
		if err == nil {
			err = build.Add(src)
		}
		if err != nil {
			return e.unread(true, fmt.Errorf("--add-judgments: %w", err))
		}
		e.sayColumns(src)
	}
	if e.formats.Queries != "" {
		list, err := judgments.ReadQueries(e.formats.Queries)
		if err == nil {
			err = build.Name(list)
		}
		if err != nil {
			return fmt.Errorf("--queries %s: %w", e.formats.Queries, err)
		}
	}
	set, what, err := build.Set()
	if err != nil {
		return e.unread(named, err)
	}
	e.all, e.in.Faults = set, what.Faults
	e.noteJudgments(&what)
	return e.useJudgments()
}

// sayColumns says which columns of tables the judgements come from.
func (e *evaluating) sayColumns(src *judgments.Source) {
	if len(e.judgments)+len(e.added) == 0 {
		return // those of the index
	}
	for _, file := range slices.Sorted(maps.Keys(src.Columns)) {
		if file != store.JudgmentsPath(e.index) {
			fmt.Fprintf(e.c.ErrOrStderr(), "judgements: %s: %s\n", file, src.Columns[file])
		}
	}
}

// unread is the error of reading judgements, with what to do about it.
func (e *evaluating) unread(named bool, err error) error {
	if fault := (*faults.Fault)(nil); errors.As(err, &fault) {
		err = fmt.Errorf("%w (correct it, or leave such judgements out with --on-fault skip)", err)
	}
	if !named && errors.Is(err, judgments.ErrNone) {
		return fmt.Errorf("cannot measure %s: its catalogue has no judgements (name a table of them with --judgments, or a file of queries with --queries to see how alike the rankings are)", e.index)
	}
	return fmt.Errorf("cannot read judgements: %w", err)
}

// noteJudgments says what became of the judgements, here and in the report.
func (e *evaluating) noteJudgments(r *judgments.Report) {
	w := e.c.ErrOrStderr()
	printFaults(w, r.Faults)
	note := func(n int, format string, args ...any) {
		if n > 0 {
			text := fmt.Sprintf(format, args...)
			fmt.Fprintf(w, "judgements: %s\n", text)
			e.notes = append(e.notes, "Judgements: "+text+".")
		}
	}
	note(r.Unlabelled, "%s without a label passed over", plural(r.Unlabelled, "row"))
	note(r.Repeated, "%s passed over", plural(r.Repeated, "repeated row"))
	note(r.SameText, "%s of queries with a text that has another id: each text is one query", plural(r.SameText, "id"))
	note(r.Disagreed, "judges disagree on %s of query and product: the lower median of their labels counts", plural(r.Disagreed, "pair"))
	for i, n := range r.Sources[max(0, len(r.Sources)-len(e.added)):] {
		note(1, "%s added from %s", plural(n, "label"), e.added[i])
	}
	if n := r.Contradictions; n > 0 {
		note(n, "%s other than what was there: the %s one counts", plural(n, "label"), cmp.Or(e.prefer, "old"))
		for _, line := range r.Contradicting {
			fmt.Fprintf(w, "  %s\n", line)
		}
		if more := n - len(r.Contradicting); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
	}
}

// readLog reads queries that nobody judged.
func (e *evaluating) readLog() error {
	list, err := judgments.ReadQueries(e.formats.Queries)
	if err != nil {
		return fmt.Errorf("cannot read queries: %w", err)
	}
	if e.gains != "" || e.relevant != "" || e.tune || len(e.added) > 0 {
		return usageError("--gains, --relevant, --tune-fusion and --add-judgments need judgements, and --queries without --judgments has none")
	}
	if e.all, err = judgments.Queries(list); err != nil {
		return fmt.Errorf("cannot read queries: %s: %w", e.formats.Queries, err)
	}
	e.in.Qrels = e.all
	if n := len(e.all.Queries); n < len(list) { // a log repeats what is asked often
		e.notes = append(e.notes, fmt.Sprintf("%s has %d queries, of which %d are different: each counts once.", e.formats.Queries, len(list), n))
	}
	e.noteTuned()
	return nil
}

// useJudgments chooses the queries to evaluate, and what labels are worth.
func (e *evaluating) useJudgments() error {
	if e.gains != "" {
		own, err := e.all.Scale.ParseGains("own", e.gains)
		if err != nil {
			return usageError("--gains: %v", err)
		}
		e.options.Tables = append([]judgments.GainTable{own}, e.all.Scale.Tables()...)
	}
	e.options.Relevant = e.relevant
	split := e.split
	has := func(split string) bool {
		return slices.ContainsFunc(e.all.Queries, func(q judgments.Query) bool { return q.Split == split })
	}
	if split == "" && has("test") {
		split = "test"
		if has("train") {
			e.notes = append(e.notes, "Only queries of the split test are evaluated; --split all takes every query.")
		}
		if n := len(e.all.Only(func(q *judgments.Query) bool { return q.Split == "" }).Queries); n > 0 {
			e.notes = append(e.notes, fmt.Sprintf("%s in no split and not evaluated (trirank import --split puts every query in one; --split all takes them here).", fmt.Sprintf("%d judged %s", n, english.Choose(n, "query is", "queries are"))))
		}
	}
	e.in.Qrels = e.all
	defer e.noteTuned()
	if split != "" && split != "all" {
		if !has(split) {
			return usageError("--split: no judged query is in split %q", split)
		}
		e.in.Split = split
		e.in.Qrels = e.all.Only(func(q *judgments.Query) bool { return q.Split == split })
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
	if n := len(e.in.Qrels.Only(func(q *judgments.Query) bool { return e.x.Manifest.TunedOn(q.Text) }).Queries); n > 0 {
		e.notes = append(e.notes, fmt.Sprintf("The index's fusion was chosen by %s that judge it here: its numbers flatter it.", english.CountOf(n, len(e.in.Qrels.Queries), "query")))
	}
}

func (e *evaluating) rank(ctx context.Context) (err error) {
	if e.x == nil {
		return nil
	}
	p := progress.Start(e.c.ErrOrStderr(), "judging", "query", len(e.in.Qrels.Queries))
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
				e.notes = append(e.notes, fmt.Sprintf("%s: %s of its run left out.", name, plural(left.Count, "faulty line")))
			}
			if err := e.identify(run); err != nil {
				return fmt.Errorf("--%s %s: %s: %w", flag, name, path, err)
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

// oldID is an id that versions before this one made up, by the order of the queries.
var oldID = regexp.MustCompile(`^q[0-9]+$`)

// identify gives the queries of a run the ids that they have here.
func (e *evaluating) identify(run *eval.Run) error {
	ids := e.all.IDs()
	hits := make(map[string][]eval.Hit, len(run.Hits))
	unknown, example := 0, ""
	for _, id := range slices.Sorted(maps.Keys(run.Hits)) {
		known, ok := ids[judgments.Normalize(id)]
		if !ok {
			unknown++
			if example == "" {
				example = id
			}
			if oldID.MatchString(id) && e.all.MadeUp() {
				return fmt.Errorf("its query %s has an id that an older version made up by the order of the queries, which says nothing of its text (make the run again: queries.tsv of a report has the ids, which now follow from the texts)", id)
			}
			continue
		}
		if other, twice := hits[known]; twice && !slices.Equal(other, run.Hits[id]) {
			return fmt.Errorf("it answers one query in two ways, as %s and by another id of the same text (keep one)", id)
		}
		hits[known] = run.Hits[id]
	}
	run.Hits = hits
	if !slices.ContainsFunc(e.in.Qrels.Queries, func(q judgments.Query) bool { _, ok := hits[q.ID]; return ok }) {
		return errors.New("none of its queries is evaluated: its ids, such as " + example + ", are not those of the judgements (name a file of ids and texts with --queries, to find queries by their texts)")
	}
	if unknown > 0 {
		e.notes = append(e.notes, fmt.Sprintf("%s: %d of the %d queries of its run are not judged, such as %s, and count for nothing.", run.System, unknown, unknown+len(hits), example))
	}
	return nil
}

// choose leaves out the systems that were not asked for, and checks what only now
// can be: names of systems, and what the judgements decide.
func (e *evaluating) choose(context.Context) error {
	e.in.Baseline, e.in.Candidate = e.baseline, e.candidate
	o, err := e.options.WithDefaults(e.in.Qrels.Scale)
	if err == nil && e.in.Qrels.Count > 0 {
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
		e.notes = append(e.notes, fmt.Sprintf("%s: %d of its %s %s that the index does not have, such as %s.", run.System,
			unknown, plural(all, "hit"), english.Choose(unknown, "is a product", "are products"), example))
	}
}
