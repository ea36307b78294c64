package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/english"
	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/progress"
	"github.com/trirank/trirank/judgments"
)

// defaultModel is the model that make fetches, used where none is named.
const defaultModel = "e5-small-v2"

// writeJSON prints v for machines.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// steps reports the steps of a long job on the command's standard error.
func steps(c *cobra.Command) func(what, unit string, total int) store.Step {
	return func(what, unit string, total int) store.Step {
		return progress.Start(c.ErrOrStderr(), what, unit, total)
	}
}

// modelFlag reads --model NAME=MODEL, given any number of times.
func modelFlag(values []string) (systems []string, dirs map[string]string, err error) {
	dirs = map[string]string{}
	for _, v := range values {
		name, dir, ok := strings.Cut(v, "=")
		if !ok || name == "" || dir == "" {
			return nil, nil, usageError("--model %q is not NAME=MODEL, such as pretrained=e5-small-v2", v)
		}
		if _, twice := dirs[name]; twice {
			return nil, nil, usageError("--model names %q twice", name)
		}
		systems, dirs[name] = append(systems, name), dir
	}
	return systems, dirs, nil
}

// fieldFlag reads --field FIELD=COLUMN, given any number of times.
func fieldFlag(values []string) (map[string]string, error) {
	var fields map[string]string
	for _, v := range values {
		field, name, ok := strings.Cut(v, "=")
		if !ok {
			return nil, usageError("--field %q is not FIELD=NAME, such as label=stars", v)
		}
		if _, twice := fields[field]; twice {
			return nil, usageError("--field names %q twice", field)
		}
		if fields == nil {
			fields = map[string]string{}
		}
		fields[field] = name
	}
	return fields, nil
}

// deviceFlag adds --device.
func deviceFlag(c *cobra.Command, d *store.Device) {
	*d = store.Auto
	c.Flags().Var(d, "device", "where models and vector indexes run; auto takes a GPU where there is one")
}

// openModel opens the model that name or path says, on the processor.
func openModel(ctx context.Context, name string) (store.Model, error) {
	m, _, err := store.OpenModel(ctx, name, store.Device{})
	return m, err
}

// openModelOn opens it on a device, and says where that is if there was a choice.
func openModelOn(c *cobra.Command, name string, d store.Device) (store.Model, error) {
	m, report, err := store.OpenModel(c.Context(), name, d)
	printPlacement(c, report)
	return m, err
}

func printPlacement(c *cobra.Command, report []string) {
	for _, line := range report {
		fmt.Fprintln(c.ErrOrStderr(), line)
	}
}

func parseTemplate(s string) (*catalog.Template, error) {
	t, err := catalog.ParseTemplate(s)
	if err != nil {
		return nil, usageError("--template: %v", err)
	}
	return t, nil
}

// longest is how long a measurement may be asked to go on.
const longest = 24 * time.Hour

// within returns a usage error for values of a flag that are not in its range.
func within[T int | float64 | time.Duration](name string, least, most T, values ...T) error {
	for _, v := range values {
		if !(v >= least && v <= most) {
			return usageError("--%s %v is not within %v..%v", name, v, least, most)
		}
	}
	return nil
}

// unreadJudgments is the error of reading judgements: those of an index, unless others
// were named.
func unreadJudgments(index string, named bool, err error) error {
	if !named && errors.Is(err, judgments.ErrNone) {
		return fmt.Errorf("cannot measure %s: its catalogue has no judgements (name a table of them with --judgments)", index)
	}
	return fmt.Errorf("cannot read judgements: %w", err)
}

// plural writes "1 product", "2 products", "2 queries".
func plural(n int, unit string) string {
	return english.Count(n, unit)
}

// printFaults says what was left out for being wrong.
func printFaults(w io.Writer, f faults.List) {
	if f.Count == 0 {
		return
	}
	fmt.Fprintf(w, "left out: %s\n", plural(f.Count, "faulty row"))
	for _, kind := range slices.Sorted(maps.Keys(f.ByKind)) {
		fmt.Fprintf(w, "  %s: %s\n", plural(f.ByKind[kind], "row"), kind)
	}
	for _, fault := range f.First {
		fmt.Fprintf(w, "  %v\n", fault)
	}
	if more := f.Count - len(f.First); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}

// factoryUsage takes an error about what --factory says for wrong usage, and returns
// others as they are.
func factoryUsage(err error) error {
	if wrong := (*faiss.FactoryError)(nil); errors.As(err, &wrong) {
		return usageError("--factory: %v", err)
	}
	return err
}
