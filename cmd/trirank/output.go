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
	// strange, if not nil, says what in the folder of an earlier one is not of it; "" for
	// nothing.
	strange func(dir string) (string, error)
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
		strange:  strangeInReport,
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

// checkInside refuses an output within a folder of which trirank lists all files: it would
// be no part of that, and make it useless or be lost with it.
func checkInside(out string) error {
	target, err := atomicfile.Resolve(out)
	if err != nil {
		return nil // the command says so itself
	}
	for dir := filepath.Dir(target); ; dir = filepath.Dir(dir) {
		for name, what := range map[string]string{"catalog.json": "a catalogue", "manifest.json": "an index", reportFile: "a report"} {
			var listing struct {
				Format int
				Files  checksum.Files
			}
			b, err := regular.ReadFile(filepath.Join(dir, name), maxReport)
			if err == nil && json.Unmarshal(b, &listing) == nil && listing.Format > 0 && listing.Files != nil {
				return fmt.Errorf("cannot write to %s: it would lie within %s, which is %s (name a place beside it)", out, dir, what)
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
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
	if o.strange != nil {
		why, err := o.strange(dir)
		if err != nil {
			return fmt.Errorf("cannot write %s to %s: %w", o.name, dir, err)
		}
		if why != "" {
			return fail(why + " (move it, or name another folder)")
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

// reportFile describes a report of eval.
const reportFile = "report.json"

// reportDocument is report.json: the report, and the files beside it as they were written.
type reportDocument struct {
	*eval.Report
	Files checksum.Files `json:"files"`
}

// unmarshalReport reads a report.json of the given format. Those of format 1 had no
// checksum and other members.
func unmarshalReport(b []byte, format int) (reportDocument, error) {
	d := reportDocument{Report: &eval.Report{}}
	err := checksum.UnmarshalJSON(b, &d)
	if errors.Is(err, checksum.ErrNone) && format == 1 {
		err = json.Unmarshal(b, &d)
	}
	return d, err
}

// strangeInReport says what in the folder of a report is not as trirank eval wrote it; ""
// for nothing, and where the report does not list its files, as those of older versions
// do not. Labels that were filled in are another matter: see keepLabels.
func strangeInReport(dir string) (string, error) {
	d, err := readReportDocument(dir)
	if err != nil || d.Files == nil {
		return "", nil // if it is no report, that is told otherwise
	}
	others, err := d.Files.Unlisted(dir, reportFile)
	if err != nil {
		return "", err
	}
	if len(others) > 0 {
		return fmt.Sprintf("it holds %s, which is no part of one", others[0]), nil
	}
	changed := d.Files.Verify(dir, func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name)))
		return name == unjudgedFile || errors.Is(err, fs.ErrNotExist)
	})
	if len(changed) > 0 {
		return fmt.Sprintf("replacing the report that is there would lose a change: %v", changed[0]), nil
	}
	return "", nil
}

// readReport reads the report that trirank eval wrote to dir.
func readReport(dir string) (*eval.Report, error) {
	d, err := readReportDocument(dir)
	return d.Report, err
}

func readReportDocument(dir string) (d reportDocument, err error) {
	b, err := regular.ReadFile(filepath.Join(dir, reportFile), maxReport)
	if errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("cannot read report %s: there is no report.json (trirank eval --out makes one)", dir)
	}
	if err != nil {
		return d, fmt.Errorf("cannot read report %s: %w", dir, err)
	}
	if isBenchReport(dir) {
		return d, fmt.Errorf("cannot read report %s: it is one of trirank bench, and one of trirank eval is wanted (benchstat compares the benchmark.txt of two)", dir)
	}
	var is struct{ Format int }
	if err := json.Unmarshal(b, &is); err == nil && (is.Format < 1 || is.Format > eval.ReportFormat) {
		return d, fmt.Errorf("cannot read report %s: its format is %d, this program reads 1 to %d", dir, is.Format, eval.ReportFormat)
	}
	if d, err = unmarshalReport(b, is.Format); err != nil {
		return reportDocument{}, fmt.Errorf("cannot read report %s: report.json is damaged: %w (evaluate again)", dir, err)
	}
	return d, nil
}
