package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/mapfault"
	"github.com/trirank/trirank/internal/npy"
)

// OpenOptions say how an index directory is opened. The zero value means the
// defaults.
type OpenOptions struct {
	// Models says where the models are, by system, if not where they were when
	// the index was built.
	Models map[string]string
	// Fusion replaces the index's own.
	Fusion *engine.Fusion
	// Bleve adds rankings by bleve's own scoring: "bleve-bm25", "bleve-tfidf".
	Bleve []string
	// Recent is how many queries the engine keeps the rankings of; none if 0.
	Recent int
	// Device is where vectors are searched and queries encoded.
	Device Device
	ONNX   onnx.Options
}

// Index is an open index directory.
type Index struct {
	Manifest *Manifest
	Engine   *engine.Engine
	// Placement says what runs where, in lines for people, if there was a choice.
	Placement []string

	dir      string
	products *products
	dense    map[string]*dense // by system
	closers  []func() error
}

// exampleQueries is how many of the judged queries are offered for trying.
const exampleQueries = 12

// Open verifies the index directory dir and opens its parts. An encoder that does
// not pass its self-test, or is not the one that made the vectors, is an error.
func Open(ctx context.Context, dir string, o OpenOptions) (_ *Index, err error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	for name := range o.Models {
		if !slices.ContainsFunc(m.Models, func(i ModelInfo) bool { return i.System == name }) {
			return nil, fmt.Errorf("cannot open index %s: it has no ranking %q to give a model to", dir, name)
		}
	}
	x := &Index{Manifest: m, dir: dir, dense: map[string]*dense{}}
	var files *watched
	defer func() {
		if err != nil {
			if files != nil {
				err = cmp.Or(files.changed(), err) // which is what it comes of
			}
			err = errors.Join(fmt.Errorf("cannot open index %s: %w", dir, err), x.Close())
		}
	}()
	defer mapfault.Catch(&err)()
	if files, err = watch(dir, m); err != nil {
		return nil, err
	}
	x.closers = append(x.closers, files.close)
	if err := m.verify(dir); err != nil {
		return nil, err
	}
	testHookOpen(dir, "verified")
	ps, err := openProducts(filepath.Join(dir, productsFolder), m.Catalogue.Rows)
	if err != nil {
		return nil, err
	}
	x.products = ps
	x.closers = append(x.closers, ps.close)
	testHookOpen(dir, "mapped")
	if ps.judged, err = openJudged(filepath.Join(dir, productsFolder), ps.Row); err != nil {
		return nil, err
	}
	text, err := bm25.Open(filepath.Join(dir, lexicalSystem))
	if err != nil {
		return nil, err
	}
	x.closers = append(x.closers, text.Close)
	if text.Rows() != m.Catalogue.Rows {
		return nil, fmt.Errorf("the text index has %d products, the catalogue %d", text.Rows(), m.Catalogue.Rows)
	}
	config := engine.Config{
		Name: m.Catalogue.Name, Products: ps, Fusion: o.Fusion, Recent: o.Recent, Examples: ps.judged.some(exampleQueries), GreatestLabel: ps.judged.greatest(), Intact: files.changed,
		Systems: []engine.System{{Name: lexicalSystem, Kind: "lexical", Detail: bm25Detail(m.BM25), Ranker: newLexical(text)}},
	}
	for _, name := range o.Bleve {
		s, err := bleveSystem(name, text)
		if err != nil {
			return nil, err
		}
		config.Systems = append(config.Systems, s)
	}
	at, err := place(o.Device)
	if err != nil {
		return nil, err
	}
	for _, info := range m.Models {
		s, err := x.openModel(ctx, dir, info, o, at)
		if err != nil {
			return nil, fmt.Errorf("ranking %s: %w", info.System, err)
		}
		config.Systems = append(config.Systems, s)
	}
	x.Placement = at.report
	if !slices.ContainsFunc(m.Models, func(i ModelInfo) bool { return i.System == "finetuned" }) {
		config.Notes = append(config.Notes, "There is no fine-tuned ranking yet. Add the directory of a fine-tuned model with: trirank index --model finetuned=DIR and the other options as before.")
	}
	if config.Fusion == nil && m.Fusion != "" {
		if config.Fusion, err = engine.ParseFusion(m.Fusion); err != nil {
			return nil, err
		}
	}
	if x.Engine, err = engine.New(config); err != nil {
		return nil, err
	}
	if err := files.opened(); err != nil {
		return nil, err
	}
	return x, nil
}

func bm25Detail(o bm25.Options) string {
	s := fmt.Sprintf("Okapi BM25, k1 %g, b %g, analyzer %s, fields", o.K1, o.B, o.Analyzer)
	for _, f := range o.Fields {
		s += fmt.Sprintf(" %s×%g", f.Name, f.Boost)
	}
	return s
}

// WriteMetrics writes what was done on a GPU in Prometheus' text format, and nothing where
// there is none.
func (x *Index) WriteMetrics(w io.Writer) {
	for _, m := range []struct {
		name, help string
		value      func(s faiss.GPUStats) uint64
	}{
		{"queries", "Vector searches that a GPU was given.", func(s faiss.GPUStats) uint64 { return s.Queries }},
		{"batches", "Batches in which it was given them.", func(s faiss.GPUStats) uint64 { return s.Batches }},
		{"failures", "Vector searches at which it failed, and which the processor did.", func(s faiss.GPUStats) uint64 { return s.Failures }},
	} {
		headed := false
		for _, info := range x.Manifest.Models {
			index := x.dense[info.System].index
			if _, _, on := index.GPU(); !on {
				continue
			}
			name := "trirank_gpu_index_" + m.name + "_total"
			if !headed {
				fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s counter\n", name, m.help, name)
				headed = true
			}
			fmt.Fprintf(w, "%s{system=%q} %d\n", name, info.System, m.value(index.GPUStats()))
		}
	}
}

func (x *Index) openModel(ctx context.Context, dir string, info ModelInfo, o OpenOptions, at *placement) (s engine.System, err error) {
	enc, model, encodes, err := openEncoder(ctx, info, o, at)
	if err != nil {
		return s, err
	}
	x.closers = append(x.closers, enc.Close)
	if h := enc.Model.Hash(); h != info.Hash {
		return s, fmt.Errorf("the model is not the one that made the vectors: its hash is %.12s…, not %.12s… (build the index again, or give the right model)", h, info.Hash)
	}
	if err := enc.SelfTest(ctx); err != nil {
		return s, err
	}
	vectors, err := npy.Open(filepath.Join(dir, info.System, vectorsFile))
	if err != nil {
		return s, err
	}
	x.closers = append(x.closers, vectors.Close)
	index, err := faiss.Open(filepath.Join(dir, info.System, faissFile), info.Index.SHA256)
	if err != nil {
		return s, err
	}
	x.closers = append(x.closers, index.Close)
	rows := x.Manifest.Catalogue.Rows
	if vectors.Rows != rows || index.Len() != rows || vectors.Cols != info.Dimension || index.Dimension() != info.Dimension {
		return s, fmt.Errorf("%d products, %d x %d vectors and an index of %d x %d do not fit together", rows, vectors.Rows, vectors.Cols, index.Len(), index.Dimension())
	}
	index.Params = info.Index.Params
	searches, err := at.vectors("the vector searches of "+info.System, index)
	if err != nil {
		return s, err
	}
	x.dense[info.System] = newDense(model, enc, index, vectors)
	return engine.System{Name: info.System, Kind: "dense", Detail: denseDetail(info) + placeDetail(encodes, searches), Ranker: x.dense[info.System]}, nil
}

// placeDetail says what is done elsewhere than by the processor.
func placeDetail(encodes, searches string) string {
	switch {
	case encodes == "" && searches == "":
		return ""
	case searches == "":
		return ", encoded on " + encodes
	case encodes == "":
		return ", searched on " + searches
	}
	return ", encoded and searched on " + searches
}

func denseDetail(info ModelInfo) string {
	s := fmt.Sprintf("%s, %s, FAISS %s", info.Model, info.Precision, info.Index.Factory)
	if p := info.Index.Params; p.NProbe > 0 {
		s += fmt.Sprintf(", nprobe %d", p.NProbe)
	}
	return s + fmt.Sprintf(", recall@10 %.3f", info.Index.Recall)
}

// openEncoder finds the model of a ranking where it is said to be, where it was,
// or among those fetched under its name.
func openEncoder(ctx context.Context, info ModelInfo, o OpenOptions, at *placement) (_ *encoder.Encoder, dir, where string, err error) {
	from, given := o.Models[info.System]
	if !given {
		from = info.Path
	}
	if dir, err = FindModel(from); err != nil && !given {
		dir, err = FindModel(info.Model)
	}
	if err != nil {
		return nil, "", "", fmt.Errorf("%w; or say where it is with --model %s=DIR", err, info.System)
	}
	enc, where, err := at.encoder(ctx, "the encoding of "+info.System, dir, o.ONNX)
	return enc, dir, where, err
}

// Close closes all parts. No request may use the engine any more; closing twice is
// harmless.
func (x *Index) Close() (err error) {
	if x.Engine != nil {
		x.Engine.Wait()
	}
	for _, c := range slices.Backward(x.closers) {
		err = errors.Join(err, c())
	}
	x.closers = nil
	return err
}
