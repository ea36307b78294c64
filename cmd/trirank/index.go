package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/faiss"
)

func newIndexCommand() *cobra.Command {
	var catalogue, out, template, fusion string
	var models []string
	var asJSON bool
	var device store.Device
	var o store.BuildOptions
	c := &cobra.Command{
		Use:   "index --catalog CATALOGUE --model NAME=MODEL ... --out INDEX",
		Short: "Build the index directory that search and serve answer from",
		Long: `Index builds INDEX: the products, a BM25 text index, and for each --model the
vectors of all products with a FAISS index over them. The directory takes its
place only when it is whole, so a server may go on reading the old one.

What has not changed since INDEX was built is taken over: a new model costs its
own vectors, a changed product its own text. If it is interrupted, the vectors
made so far are kept in INDEX.work and the same command goes on.`,
		Example: `  trirank index --catalog sample --out shop.index
  trirank index --catalog shop --model pretrained=e5-small-v2 --model finetuned=runs/a/model --out shop.index
  trirank index --catalog shop --factory IVF4096,SQ8 --recall 0.98 --out shop.index`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&catalogue, "catalog", "", "catalogue directory, or the word sample")
	f.StringArrayVar(&models, "model", []string{"pretrained=" + defaultModel}, "name of a ranking and the model that makes it; may be repeated")
	f.StringVar(&out, "out", "", "index directory")
	f.StringVar(&template, "template", catalog.DefaultTemplate, "the text of a product that is embedded")
	f.StringVar(&o.Factory, "factory", faiss.AutoFactory, "FAISS factory string of the vector indexes, or auto")
	f.Float64Var(&o.Recall, "recall", .99, "share of the true ten nearest that a vector search has to find")
	f.StringVar(&o.BM25.Analyzer, "analyzer", "en", "how text is cut into terms: en, es, cjk, standard, simple, web, keyword")
	f.Float64Var(&o.BM25.K1, "k1", 1.2, "BM25: how much repetitions of a term count")
	f.Float64Var(&o.BM25.B, "b", .75, "BM25: how much long fields are held back")
	fields := f.StringToString("field", nil, "BM25: boost of a field, such as title=2,brand=1; only the named fields are searched")
	f.StringVar(&fusion, "fusion", "", "the fused ranking, such as rrf(60):bm25=1,pretrained=1 (default: bm25 and the most trained model)")
	f.StringArrayVar(&o.Vectors, "vectors", nil, "folder of trirank embed, or of another index, to take vectors over from; may be repeated")
	deviceFlag(c, &device)
	f.BoolVar(&asJSON, "json", false, "print the manifest and what was reused as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := required(c, "catalog", "out"); err != nil {
			return err
		}
		var err error
		if o.Template, err = parseTemplate(template); err != nil {
			return err
		}
		if fusion != "" {
			if o.Fusion, err = engine.ParseFusion(fusion); err != nil {
				return usageError("--fusion: %v", err)
			}
		}
		if o.BM25.Fields, err = boosts(*fields); err != nil {
			return err
		}
		// In Options 0 means the default, on the command line it means 0.
		for _, v := range []*float64{&o.BM25.K1, &o.BM25.B} {
			if *v == 0 {
				*v = bm25.None
			}
		}
		if err := o.BM25.WithDefaults().Validate(); err != nil {
			return usageError("%v", err)
		}
		systems, dirs, err := modelFlag(models)
		if err != nil {
			return err
		}
		if o.Fusion != nil {
			rankings := append([]string{"bm25"}, systems...)
			for _, s := range slices.Sorted(maps.Keys(o.Fusion.Weights)) {
				if !slices.Contains(rankings, s) {
					return usageError("--fusion: there is no ranking %q to fuse (there are: %s)", s, strings.Join(rankings, ", "))
				}
			}
		}
		if err := store.CheckTarget(out); err != nil {
			return err
		}
		if o.Catalog, err = catalog.Load(catalogue); err != nil {
			return err
		}
		for _, s := range systems {
			m, err := openModelOn(c, dirs[s], device)
			if err != nil {
				return err
			}
			defer m.Encoder.Close()
			if err := m.Encoder.SelfTest(c.Context()); err != nil {
				return err
			}
			m.System = s
			o.Models = append(o.Models, m)
		}
		noteLost(c.ErrOrStderr(), out, &o, systems)
		o.Step = steps(c)
		start := time.Now()
		built, err := store.Build(c.Context(), out, o)
		if err != nil {
			return factoryUsage(err)
		}
		if asJSON {
			return writeJSON(c.OutOrStdout(), built)
		}
		printBuilt(c.OutOrStdout(), out, built, time.Since(start))
		return nil
	}
	return c
}

// noteLost says, before the time is spent, what the index that is replaced has and the new
// one will not have.
func noteLost(w io.Writer, out string, o *store.BuildOptions, systems []string) {
	old, err := store.ReadManifest(out)
	if err != nil {
		return // there is none, or none that can be read
	}
	for _, m := range old.Models {
		if !slices.Contains(systems, m.System) {
			fmt.Fprintf(w, "note: the index that is replaced has a ranking %s, of model %s, and the new one will not: name it with --model %s=DIR to keep it\n", m.System, m.Model, m.System)
		}
	}
	if len(old.Tuned) > 0 && o.Fusion == nil && store.DefaultFusion(systems).String() != old.Fusion {
		fmt.Fprintf(w, "note: the fusion of the index that is replaced, which trirank eval chose, is not taken over: choose it again with trirank eval --tune-fusion --write-fusion\n")
	}
}

// boosts turns --field title=2 into the fields of the text index, in the order of
// their names in bm25.
func boosts(given map[string]string) (fields []bm25.Field, err error) {
	known := []string{bm25.Title, bm25.Brand, bm25.Bullets, bm25.Description}
	for _, name := range known {
		if s, ok := given[name]; ok {
			var boost float64
			if _, err := fmt.Sscanf(s, "%g", &boost); err != nil {
				return nil, usageError("--field %s=%s: the boost is not a number", name, s)
			}
			fields = append(fields, bm25.Field{Name: name, Boost: boost})
			delete(given, name)
		}
	}
	for name := range given {
		return nil, usageError("--field: there is no field %q (there are %s)", name, strings.Join(known, ", "))
	}
	return fields, nil
}

func printBuilt(w io.Writer, out string, b *store.Built, took time.Duration) {
	m := b.Manifest
	var bytes int64
	for _, f := range m.Files {
		bytes += f.Bytes
	}
	fmt.Fprintf(w, "%s: %s of catalogue %s, %.1f MB, in %s\n", out, plural(m.Catalogue.Rows, "product"), m.Catalogue.Name, float64(bytes)/1e6, took.Round(10*time.Millisecond))
	fmt.Fprintf(w, "  bm25        analyzer %s, k1 %g, b %g\n", m.BM25.Analyzer, m.BM25.K1, m.BM25.B)
	for _, x := range m.Models {
		v := b.Vectors[x.System]
		fmt.Fprintf(w, "  %-11s %s, FAISS %s", x.System, x.Model, x.Index.Factory)
		if n := x.Index.Params.NProbe; n > 0 {
			fmt.Fprintf(w, ", nprobe %d", n)
		}
		fmt.Fprintf(w, ", recall@10 %.3f; %s encoded, %d reused\n", x.Index.Recall, plural(v.Encoded, "vector"), v.Reused+v.Resumed)
		if x.Index.Recall < x.Recall {
			fmt.Fprintf(w, "              the recall of %.3f that was asked for cannot be reached with this index\n", x.Recall)
		}
	}
	if m.Fusion != "" {
		fmt.Fprintf(w, "  hybrid      %s\n", m.Fusion)
	}
	if len(b.Reused) > 0 {
		fmt.Fprintf(w, "  unchanged and taken over: %s\n", strings.Join(b.Reused, ", "))
	}
}
