package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/eval/formats"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/trec"
	"github.com/trirank/trirank/judgments"
)

// unjudgedFile is the file of a report that people fill in.
const unjudgedFile = "unjudged.csv"

// keepLabels refuses to replace a report whose unjudged.csv holds labels that somebody
// filled in and that this evaluation does not know.
func (e *evaluating) keepLabels(context.Context) error {
	path := filepath.Join(e.target, unjudgedFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	changed := false // as far as the report tells
	if d, err := readReportDocument(e.target); err == nil && d.Files != nil {
		now, err := checksum.Of(path)
		if err == nil && now == d.Files[unjudgedFile] {
			return nil
		}
		changed = true
	}
	shown := filepath.Join(e.out, unjudgedFile)
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot write %s to %s: %s", evalOutput.name, e.out, fmt.Sprintf(format, args...))
	}
	src, err := judgments.Read([]string{path}, judgments.ReadOptions{})
	if err != nil {
		return fail("%s cannot be read, so that labels filled in would be lost: %v (move it)", shown, err)
	}
	// Labels that come from this very file alone are in no other once it is replaced.
	own := slices.ContainsFunc(slices.Concat(e.judgments, e.added), func(name string) bool { return sameFile(name, path) })
	taken := newTaken(e.all)
	labels, lost, broken := 0, 0, 0
	for j, err := range src.Judgments {
		if fault := (*faults.Fault)(nil); errors.As(err, &fault) {
			broken++
			continue
		}
		if errors.Is(err, judgments.ErrNone) { // its header is all there is
			return nil
		}
		if err != nil {
			return fail("%s cannot be read, so that labels filled in would be lost: %v (move it)", shown, err)
		}
		if j.Label == judgments.Unlabelled {
			continue
		}
		if labels++; own || !taken.has(&j) {
			lost++
		}
	}
	switch {
	case own && lost > 0:
		return fail("%s holds %s that are nowhere else, and replacing it would lose them (name another folder with --out, or copy the file first)", shown, plural(lost, "label"))
	case lost > 0:
		return fail("%s holds %s that this evaluation does not take in, and replacing it would lose them (take them in with --add-judgments %s and another --out, or move the file)",
			shown, plural(lost, "label"), shown)
	case broken > 0:
		return fail("%s has %s that cannot be read, and replacing it would lose what was filled in there (correct it, or move the file)", shown, plural(broken, "row"))
	case labels == 0 && changed:
		return fail("%s was changed since it was written, and replacing it would lose that (move it, or name another folder with --out)", shown)
	}
	return nil
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// taken finds judgements among those of an evaluation.
type taken struct {
	set     *judgments.Set
	ids     map[string]string
	queries map[string]*judgments.Query
}

func newTaken(set *judgments.Set) *taken {
	t := &taken{set: set, ids: set.IDs(), queries: map[string]*judgments.Query{}}
	for i := range set.Queries {
		t.queries[set.Queries[i].ID] = &set.Queries[i]
	}
	return t
}

// has reports whether j is known.
func (t *taken) has(j *judgments.Judgment) bool {
	for _, name := range []string{j.Query, j.QueryID} {
		q := t.queries[t.ids[judgments.Normalize(name)]]
		if name == "" || q == nil {
			continue
		}
		i, judged := slices.BinarySearch(q.Products, j.Product)
		v, number := j.Label.Number()
		switch {
		case judged:
			return t.set.Label(q, i) == j.Label
		case number && v < 0:
			return slices.Contains(q.Pooled, j.Product)
		}
		return false
	}
	return false
}

// writeTREC writes the files that trec_eval reads. Of what has an id that they cannot
// hold none is written, which the report says.
func (e *evaluating) writeTREC(dir string, r *eval.Report) error {
	type file struct {
		name  string
		write func(w io.Writer) error
	}
	files := []file{
		{"qrels.trec", func(w io.Writer) error { return judgments.WriteQrels(w, e.in.Qrels) }},
		{"queries.tsv", func(w io.Writer) error { return judgments.WriteQueries(w, e.in.Qrels) }},
	}
	for _, task := range []struct {
		folder string
		runs   []*eval.Run
	}{{"runs", e.in.Full}, {"pool", e.in.Pool}} {
		for _, run := range task.runs {
			if run != nil {
				files = append(files, file{filepath.Join(task.folder, run.System+".trec"), func(w io.Writer) error { return formats.WriteRun(w, run, e.in.Qrels.Queries) }})
			}
		}
	}
	var left []string
	var why *trec.IDError
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err := atomicfile.Write(path, f.write)
		if errors.As(err, &why) {
			if folder := filepath.Dir(path); folder != dir {
				os.Remove(folder) // unless it holds others
			}
			left = append(left, f.name)
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(left) > 0 {
		text := fmt.Sprintf("%s not written: %v", english.Choose(len(left), left[0]+" is", strings.Join(left, ", ")+" are"), why)
		fmt.Fprintf(e.c.ErrOrStderr(), "note: %s\n", text)
		r.Notes = append(r.Notes, strings.ToUpper(text[:1])+text[1:]+".")
	}
	return nil
}
