package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/eval"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
)

// output is what a command makes in a folder of its own.
type output struct {
	name  string   // "a report of trirank eval"
	files []string // and folders, all that may be in it
	is    func(dir string) bool
	// replaces says that it takes the place of the folder, in which even what is
	// hidden would be lost. Others write their files one by one, beside whatever a
	// file manager or an interrupted command hid there.
	replaces bool
	// shared says that other files may lie in the folder of an earlier one.
	shared bool
}

// maxReport bounds what is read of a file that a command wrote for people and itself.
const maxReport = 1 << 30

// hasFile recognizes an output by a file of it.
func hasFile(names ...string) func(dir string) bool {
	return func(dir string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		})
	}
}

var (
	evalOutput = output{
		name:     "a report of trirank eval",
		files:    []string{"index.html", "report.json", "per_query.csv", "table.md", "table.tex", "benchmark.txt", "qrels.trec", "queries.tsv", unjudgedFile, "runs", "pool"},
		is:       func(dir string) bool { _, err := readReport(dir); return err == nil },
		replaces: true,
	}
	benchOutput = output{name: "a report of trirank bench", files: []string{"index.html", "report.json", "benchmark.txt"}, is: isBenchReport, replaces: true}
	statsOutput = output{name: "a report of trirank stats", files: []string{"index.html", "stats.json"}, is: isStatsReport, replaces: true}
	embedOutput = output{name: "vectors of trirank embed", files: store.EmbedFiles(), is: hasFile(store.EmbedMarks()...)}
	// Runs and sweeps go on in their folders, beside what people put there. What is
	// listed is made before config.json.
	trainOutput = output{name: "a run of trirank train", files: []string{"checkpoints"}, is: hasConfig("config", "steps"), shared: true}
	sweepOutput = output{name: "a sweep of trirank train", is: hasConfig("config", "folds"), shared: true}
)

// outputs are what folders are recognized by; what has a file of a common name comes last.
var outputs = []output{
	evalOutput, benchOutput, statsOutput,
	{name: "a catalogue", is: hasFile("catalog.json")},
	{name: "an index", is: hasFile("manifest.json")},
	{name: "a model", is: hasFile("model.json")},
	embedOutput, trainOutput, sweepOutput,
}

// isBenchReport reports whether dir holds what writeBench wrote.
func isBenchReport(dir string) bool {
	b, err := regular.ReadFile(filepath.Join(dir, "report.json"), maxReport)
	if err != nil {
		return false
	}
	var r struct {
		Format   *int            `json:"format"` // of evaluations alone
		Machine  json.RawMessage `json:"machine"`
		Sections json.RawMessage `json:"sections"`
	}
	return json.Unmarshal(b, &r) == nil && r.Format == nil && r.Machine != nil && r.Sections != nil
}

// hasConfig recognizes a run or a sweep by the fields of its config.json, a file that
// many models have too.
func hasConfig(fields ...string) func(dir string) bool {
	return func(dir string) bool {
		b, err := regular.ReadFile(filepath.Join(dir, "config.json"), maxReport)
		var found map[string]json.RawMessage
		if err != nil || json.Unmarshal(b, &found) != nil {
			return false
		}
		return !slices.ContainsFunc(fields, func(name string) bool { return found[name] == nil })
	}
}

// isStatsReport reports whether dir holds what writeStats wrote.
func isStatsReport(dir string) bool {
	b, err := regular.ReadFile(filepath.Join(dir, "stats.json"), maxReport)
	if err != nil {
		return false
	}
	var r struct {
		Products *int            `json:"products"`
		Labels   json.RawMessage `json:"labels"`
	}
	return json.Unmarshal(b, &r) == nil && r.Products != nil && r.Labels != nil
}

// place returns the folder that dir means, symbolic links followed, if the output may be
// written there: see check.
func (o output) place(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	target, err := atomicfile.Resolve(dir)
	if err != nil {
		return "", fmt.Errorf("cannot write %s to %s: %w", o.name, dir, err)
	}
	return target, o.check(dir)
}

// check reports why the output cannot be written to dir, before the work that it is
// of; "" is for none. Only an empty folder will do, or one that holds an earlier output
// of the kind and nothing else: two kinds have files of the same names, and another
// command refuses a folder that has files which are not its own.
func (o output) check(dir string) error {
	fail := func(why string) error { return fmt.Errorf("cannot write %s to %s: %s", o.name, dir, why) }
	entries, err := os.ReadDir(dir)
	if !o.replaces {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") })
	}
	switch info, statErr := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return nil
	case statErr == nil && !info.IsDir():
		return fail("it is a file, and a folder is wanted (name another)")
	case err != nil:
		return fmt.Errorf("cannot write %s to %s: %w", o.name, dir, err)
	}
	for _, other := range outputs {
		if other.name != o.name && other.is(dir) {
			return fail("it holds " + other.name + " (name another folder)")
		}
	}
	if o.shared && o.is(dir) {
		return nil
	}
	for _, e := range entries {
		if !slices.Contains(o.files, e.Name()) {
			return fail(fmt.Sprintf("it holds %s, which is no part of one (move it, or name another folder)", e.Name()))
		}
	}
	if !o.shared && !o.is(dir) {
		return fail(fmt.Sprintf("it holds %s and is not one (name another folder, or remove it)", entries[0].Name()))
	}
	return nil
}

// place finds where an evaluation's report goes, and refuses to replace what is not
// all report.
func (o *evalFlags) place() (err error) {
	if o.target, err = evalOutput.place(o.out); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Dir(o.target)); err != nil || !info.IsDir() {
		return fmt.Errorf("cannot write %s to %s: there is no folder %s (make it)", evalOutput.name, o.out, filepath.Dir(o.target))
	}
	return nil
}

// unmarshalReport reads a report.json of the given format. Older versions wrote no
// checksum; those of format 1 had other members.
func unmarshalReport(b []byte, format int, r *eval.Report) error {
	err := checksum.UnmarshalJSON(b, r)
	switch {
	case !errors.Is(err, checksum.ErrNone):
		return err
	case format == 1:
		return json.Unmarshal(b, r)
	}
	return checksum.Strict(b, r)
}

// readReport reads the report that trirank eval wrote to dir.
func readReport(dir string) (*eval.Report, error) {
	b, err := regular.ReadFile(filepath.Join(dir, "report.json"), maxReport)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read report %s: there is no report.json (trirank eval --out makes one)", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read report %s: %w", dir, err)
	}
	var r eval.Report
	if isBenchReport(dir) {
		return nil, fmt.Errorf("cannot read report %s: it is one of trirank bench, and one of trirank eval is wanted (benchstat compares the benchmark.txt of two)", dir)
	}
	var is struct{ Format int }
	if err := json.Unmarshal(b, &is); err == nil && (is.Format < 1 || is.Format > eval.ReportFormat) {
		return nil, fmt.Errorf("cannot read report %s: its format is %d, this program reads 1 to %d", dir, is.Format, eval.ReportFormat)
	}
	if err := unmarshalReport(b, is.Format, &r); err != nil {
		return nil, fmt.Errorf("cannot read report %s: report.json is damaged: %w", dir, err)
	}
	return &r, nil
}
