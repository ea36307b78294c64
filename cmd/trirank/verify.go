package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/train"
	"github.com/trirank/trirank/train/finetuned"
)

func newVerifyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify DIR...",
		Short: "Read whole folders that trirank wrote and name everything that is wrong",
		Long: `Verify reads every byte of catalogues, indexes, vectors of trirank embed, models,
training runs, sweeps and reports, and compares them with their checksums. It also
compares what refers to each other: rows with ids, vectors with the texts that they
are of, an index with its models, judgements with products.

All faults are named, one a line, and it ends with status 1 if there are any. Model
descriptions that people wrote have no checksum of their own; an index knows the hash of
the model that it was built with.`,
		Example: `  trirank verify shop shop.index
  trirank verify runs/a runs/a/model`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, dirs []string) error {
			var all []verified
			faults := 0
			for _, dir := range dirs {
				v, err := verifyDir(c.Context(), dir)
				if c.Context().Err() != nil {
					return err
				}
				v.add(err)
				all, faults = append(all, v), faults+len(v.Faults)
				if !asJSON {
					v.print(c)
				}
			}
			if asJSON {
				if err := writeJSON(c.OutOrStdout(), all); err != nil {
					return err
				}
			}
			if faults > 0 {
				return fmt.Errorf("%s found", plural(faults, "fault"))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// verified is what verify found out about a folder.
type verified struct {
	Dir    string   `json:"dir"`
	Kind   string   `json:"kind"`
	Detail string   `json:"detail,omitempty"`
	Faults []string `json:"faults"`
}

func (v *verified) print(c *cobra.Command) {
	if len(v.Faults) == 0 {
		fmt.Fprintf(c.OutOrStdout(), "ok   %s: %s, %s\n", v.Dir, v.Kind, v.Detail)
	}
	for _, f := range v.Faults {
		fmt.Fprintf(c.OutOrStdout(), "BAD  %s\n", strings.ReplaceAll(f, "\n", "; "))
	}
}

// add notes faults.
func (v *verified) add(wrong ...error) {
	for _, err := range wrong {
		if err != nil {
			v.Faults = append(v.Faults, err.Error())
		}
	}
}

// verifyDir finds out what a folder is and verifies it. The error is that of ctx, or says
// that it is nothing that can be verified.
func verifyDir(ctx context.Context, dir string) (v verified, err error) {
	v = verified{Dir: dir, Faults: []string{}}
	switch info, err := os.Stat(dir); {
	case err != nil:
		return v, fmt.Errorf("cannot verify %s: %w", dir, errors.Unwrap(err))
	case !info.IsDir():
		return v, fmt.Errorf("cannot verify %s: it is a file, and a folder that trirank wrote is wanted", dir)
	}
	has := func(name string) bool { return hasFile(name)(dir) }
	var wrong []error
	switch {
	case has("catalog.json"):
		v.Kind = "a catalogue"
		wrong, err = catalog.Verify(ctx, dir)
		if c, err := catalog.Open(dir); err == nil {
			v.Detail = plural(c.Rows(), "product")
		}
	case has("manifest.json"):
		v.Kind = "an index"
		wrong, err = store.Verify(ctx, dir)
		if m, err := store.ReadManifest(dir); err == nil {
			v.Detail = fmt.Sprintf("%s of %s", plural(m.Catalogue.Rows, "product"), m.Catalogue.Name)
		}
	case has("vectors.json"), has("vectors.json.partial"):
		v.Kind, v.Detail = "vectors", "whole"
		wrong, err = store.VerifyVectors(ctx, dir)
	case has("model.json"):
		v.Kind = "a model"
		wrong, v.Detail = verifyModel(dir)
	case trainOutput.is(dir):
		v.Kind = "a run"
		wrong, v.Detail = verifyRun(dir, false)
	case sweepOutput.is(dir):
		v.Kind = "a sweep"
		wrong, v.Detail = verifySweep(dir)
	case isBenchReport(dir), has("stats.json"):
		return v, fmt.Errorf("cannot verify %s: it is a report for people, which no command reads, and has no checksums", dir)
	case has("report.json"):
		v.Kind = "a report"
		wrong, v.Detail = verifyReport(dir)
	default:
		return v, fmt.Errorf("cannot verify %s: it holds no catalogue, index, vectors, model, run, sweep or report", dir)
	}
	v.add(wrong...)
	return v, err
}

func verifyReport(dir string) (wrong []error, detail string) {
	d, err := readReportDocument(dir)
	if err != nil {
		return []error{err}, ""
	}
	bad := func(err error) { wrong = append(wrong, fmt.Errorf("report %s: %w", dir, err)) }
	if d.Files == nil {
		return nil, plural(d.Judgments.Queries, "query") + ", of an older version, without checksums"
	}
	filled := func(name string) bool { return name == unjudgedFile }
	for _, err := range d.Files.Verify(dir, filled) {
		bad(fmt.Errorf("%w (evaluate again into another folder)", err))
	}
	for _, err := range d.Files.Verify(dir, func(name string) bool { return !filled(name) }) {
		bad(fmt.Errorf("%w (if labels were filled in, that is meant: take them in with trirank eval --add-judgments)", err))
	}
	others, err := d.Files.Unlisted(dir, reportFile)
	if err != nil {
		bad(err)
	}
	if len(others) > 0 {
		bad(fmt.Errorf("%s is no part of it (move it away)", strings.Join(others, ", ")))
	}
	if _, err := readOutcome(dir); err != nil && len(wrong) == 0 {
		wrong = append(wrong, err)
	}
	return wrong, plural(d.Judgments.Queries, "query")
}

func verifyModel(dir string) (wrong []error, detail string) {
	wrong, m := encoder.Verify(dir)
	if m != nil {
		detail = fmt.Sprintf("%s, hash %.12s", m.Name, m.Hash())
		if !m.Checked() {
			detail += ", model.json has no checksum"
		}
	}
	if _, err := trainingOf(dir, m); err != nil {
		wrong = append(wrong, err)
	}
	return wrong, detail
}

// verifyRun verifies a run with the delta and the model that came of it. A run of a sweep
// is measured, and leaves neither.
func verifyRun(dir string, inSweep bool) (wrong []error, detail string) {
	wrong, v := train.Verify(dir)
	detail = plural(v.Checkpoints, "checkpoint")
	delta := filepath.Join(dir, deltaFile)
	for _, name := range []string{deltaFile, modelFolder} {
		if _, err := os.Stat(filepath.Join(dir, name)); v.Done && !inSweep && errors.Is(err, fs.ErrNotExist) {
			wrong = append(wrong, fmt.Errorf("run %s: all steps are done, and %s is missing (trirank train --resume makes it)", dir, name))
		}
	}
	if _, err := os.Stat(delta); err == nil {
		_, err := finetuned.ReadDelta(delta)
		wrong = append(wrong, err)
	}
	model := filepath.Join(dir, modelFolder)
	if _, err := os.Stat(model); err == nil {
		of, _ := verifyModel(model)
		wrong = append(wrong, of...)
	}
	return wrong, detail
}

// verifySweep verifies what a sweep goes on from: its options, the values that were
// measured, and the runs with what came of them.
func verifySweep(dir string) (wrong []error, detail string) {
	values := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && trainOutput.is(path):
			of, _ := verifyRun(path, true)
			wrong = append(wrong, of...)
		case path == filepath.Join(dir, sweepConfigFile):
			wrong = append(wrong, readChecked(path, new(map[string]any)))
		case d.Name() == valuesFile:
			values++
			_, err := readValues(path)
			wrong = append(wrong, err)
		}
		return nil
	})
	return append(wrong, err), plural(values, "measurement")
}

func readChecked(path string, v any) error {
	b, err := regular.ReadFile(path, maxReport)
	if err == nil {
		err = checksum.UnmarshalJSON(b, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
