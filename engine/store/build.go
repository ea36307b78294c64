package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/bm25"
	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/faiss"
	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/filelock"
	"github.com/trirank/trirank/internal/npy"
	"github.com/trirank/trirank/internal/regular"
)

const (
	lexicalSystem = "bm25" // the ranking's name and the folder's
	faissFile     = "index.faiss"
)

// Model is a model that makes a ranking.
type Model struct {
	System  string // the name of the ranking: "pretrained", "finetuned", ...
	Dir     string // of the model
	Encoder *encoder.Encoder
}

// BuildOptions say what an index is built from. Zero values mean the defaults.
type BuildOptions struct {
	Catalog  *catalog.Catalog
	Models   []Model
	Template *catalog.Template // of the text that is embedded; required
	Factory  string            // of the vector indexes; default faiss.AutoFactory
	Recall   float64           // that their searches have to reach; default .99
	BM25     bm25.Options
	Fusion   *engine.Fusion // default: DefaultFusion
	// Vectors lists folders with vectors to take over where text and model are
	// the same: what Embed wrote, or folders of other indexes.
	Vectors []string
	// Step, if not nil, is called as each step begins, and returns what is told
	// of its progress and its end.
	Step func(what, unit string, total int) Step
}

// Step hears of the progress of one step of a build.
type Step interface {
	Skip(n int)
	Set(n int)
	Done()
	Stop()
}

type silent struct{}

func (silent) Skip(int) {}
func (silent) Set(int)  {}
func (silent) Done()    {}
func (silent) Stop()    {}

// Built says what a build did.
type Built struct {
	Manifest *Manifest `json:"manifest"`
	// Reused lists the parts that were taken over from the index that was
	// there before, since nothing they are made of has changed.
	Reused  []string            `json:"reused,omitempty"`
	Vectors map[string]Embedded `json:"vectors"`
}

// DefaultFusion joins BM25 and the most trained of the models with equal weight by
// reciprocal rank; nil if there is no model.
func DefaultFusion(systems []string) *engine.Fusion {
	if len(systems) == 0 {
		return nil
	}
	best := systems[0]
	if slices.Contains(systems, "finetuned") {
		best = "finetuned"
	}
	return &engine.Fusion{Method: engine.RRF, Constant: 60, Weights: map[string]float64{lexicalSystem: 1, best: 1}}
}

// Build makes the index directory out, or replaces it: readers see the old one
// until the new one is whole. Parts of the old one whose inputs are the same are
// taken over. When ctx ends, or the process does, the vectors made so far are kept
// in out.work, where the next Build finds them.
func Build(ctx context.Context, out string, o BuildOptions) (*Built, error) {
	b, err := newBuilder(out, o)
	if err == nil {
		err = b.run(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot build index %s: %w", out, err)
	}
	return &b.built, nil
}

type builder struct {
	BuildOptions
	out, work, fresh string
	old              *Manifest      // nil: there is none that can be used
	sums             checksum.Files // of what is written or taken over, as it should be
	built            Built
}

func newBuilder(out string, o BuildOptions) (*builder, error) {
	if o.Catalog == nil || o.Template == nil {
		return nil, errors.New("a catalogue and a template are needed")
	}
	if o.Step == nil {
		o.Step = func(string, string, int) Step { return silent{} }
	}
	o.Factory = cmp.Or(o.Factory, faiss.AutoFactory)
	o.Recall = cmp.Or(o.Recall, .99)
	o.BM25 = o.BM25.WithDefaults()
	var systems []string
	for _, m := range o.Models {
		if !validSystem(m.System) || slices.Contains(systems, m.System) {
			return nil, fmt.Errorf("%q cannot name a model's ranking: it must be unique, of small letters, digits, - and _, and not %s or %s", m.System, lexicalSystem, engine.Hybrid)
		}
		systems = append(systems, m.System)
	}
	if o.Fusion == nil {
		o.Fusion = DefaultFusion(systems)
	}
	// What a link leads to is built, and the work lies beside that.
	out, err := atomicfile.Resolve(out)
	if err != nil {
		return nil, err
	}
	for s := range o.weights() {
		if s != lexicalSystem && !slices.Contains(systems, s) {
			return nil, fmt.Errorf("the fusion joins a ranking %q that the index will not have (there are %s and the models: %v)", s, lexicalSystem, systems)
		}
	}
	if !(o.Recall > 0 && o.Recall <= 1) {
		return nil, fmt.Errorf("recall %v is not within 0..1", o.Recall)
	}
	for _, m := range o.Models {
		rows, dimension := o.Catalog.Rows(), m.Encoder.Model.Dimension
		if err := faiss.CheckFactory(faiss.ChooseFactory(o.Factory, dimension, rows), dimension, rows); err != nil {
			return nil, err
		}
	}
	if o.Vectors, err = vectorFolders(o.Vectors); err != nil {
		return nil, err
	}
	// Rankings have no dot in their names, so no folder of vectors is called so.
	b := &builder{BuildOptions: o, out: out, work: out + workSuffix, fresh: filepath.Join(out+workSuffix, workFresh)}
	b.sums = checksum.Files{}
	b.built = Built{
		Manifest: &Manifest{
			Format: Format, Template: o.Template.String(), BM25: o.BM25,
			Catalogue: CatalogueInfo{o.Catalog.Name(), o.Catalog.Hash(), o.Catalog.Rows()},
		},
		Vectors: map[string]Embedded{},
	}
	if o.Fusion != nil {
		b.built.Manifest.Fusion = o.Fusion.String()
	}
	return b, checkTarget(out)
}

// weights returns the weights of the fusion, none if there is none.
func (o *BuildOptions) weights() map[string]float64 {
	if o.Fusion == nil {
		return nil
	}
	return o.Fusion.Weights
}

// readOld finds what of the older index can be taken over: it is of use only if
// every byte of it is as it was.
func (b *builder) readOld() {
	old, err := ReadManifest(b.out)
	if err != nil {
		return
	}
	if len(old.Files.Verify(b.out, nil)) > 0 {
		return
	}
	b.old = old
}

// vectorFolders returns the folders that hold vectors: those given, and of an index
// each of its models'.
func vectorFolders(given []string) (out []string, err error) {
	for _, dir := range given {
		found := []string{}
		for _, pattern := range []string{vectorsInfoFile, filepath.Join("*", vectorsInfoFile)} {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return nil, err
			}
			for _, p := range paths {
				found = append(found, filepath.Dir(p))
			}
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("there are no finished vectors in %s to take over", dir)
		}
		out = append(out, found...)
	}
	return out, nil
}

func (b *builder) run(ctx context.Context) error {
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return err
	}
	unlock, err := filelock.Take(filepath.Join(b.work, workLock))
	if err != nil {
		return fmt.Errorf("%w (another build of it is running)", err)
	}
	defer unlock()
	b.readOld() // under the lock: another build may have replaced it meanwhile
	if err := os.RemoveAll(b.fresh); err != nil {
		return err
	}
	if err := os.Mkdir(b.fresh, 0o755); err != nil {
		return err
	}
	if err := b.products(ctx); err != nil {
		return err
	}
	if err := b.lexical(ctx); err != nil {
		return err
	}
	for _, m := range b.Models {
		info, err := b.model(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.System, err)
		}
		b.built.Manifest.Models = append(b.built.Manifest.Models, *info)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.built.Manifest.write(b.fresh, b.sums); err != nil {
		return err
	}
	if err := checkTarget(b.out); err != nil { // looked at again: a build takes long
		return err
	}
	if err := atomicfile.ReplaceDir(b.fresh, b.out); err != nil {
		return err
	}
	return os.RemoveAll(b.work)
}

// sameCatalogue reports whether what the old index made of the catalogue alone
// can be taken over.
func (b *builder) sameCatalogue() bool {
	return b.old != nil && b.old.Catalogue.Hash == b.built.Manifest.Catalogue.Hash && b.old.Catalogue.Rows == b.built.Manifest.Catalogue.Rows
}

// wrote notes what was written into a folder of the index.
func (b *builder) wrote(folder string, files checksum.Files) {
	for name, sum := range files {
		b.sums[folder+"/"+name] = sum
	}
}

// takeOver notes that a folder is that of the old index.
func (b *builder) takeOver(folder string) {
	b.built.Reused = append(b.built.Reused, folder)
	for name, sum := range b.old.Files {
		if strings.HasPrefix(name, folder+"/") {
			b.sums[name] = sum
		}
	}
}

func (b *builder) products(ctx context.Context) error {
	dir := filepath.Join(b.fresh, productsFolder)
	if b.sameCatalogue() {
		b.takeOver(productsFolder)
		return linkTree(filepath.Join(b.out, productsFolder), dir)
	}
	step := b.Step("storing", "product", b.Catalog.Rows())
	rows, files, err := writeProducts(ctx, dir, b.Catalog.Products(), step.Set)
	if err == nil && rows != b.Catalog.Rows() {
		err = fmt.Errorf("the catalogue has %d products, not %d as it says (import it again)", rows, b.Catalog.Rows())
	}
	if err == nil {
		files[judgmentsFile], err = writeJudgments(dir, b.Catalog.Judgments())
	}
	b.wrote(productsFolder, files)
	return ended(step, err)
}

func (b *builder) lexical(ctx context.Context) error {
	dir := filepath.Join(b.fresh, lexicalSystem)
	if b.sameCatalogue() && equalJSON(b.old.BM25, b.BM25) {
		b.takeOver(lexicalSystem)
		return linkTree(filepath.Join(b.out, lexicalSystem), dir)
	}
	step := b.Step("indexing text", "product", b.Catalog.Rows())
	return ended(step, bm25.Build(ctx, dir, b.Catalog.Products(), b.BM25, step.Set))
}

// equalJSON reports whether two options would be written alike; one of them has
// been, and lost on the way what makes no difference.
func equalJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func ended(s Step, err error) error {
	if err != nil {
		s.Stop()
		return err
	}
	s.Done()
	return nil
}

func (b *builder) model(ctx context.Context, m Model) (*ModelInfo, error) {
	info := &ModelInfo{
		System: m.System, Model: m.Encoder.Model.Name, Hash: m.Encoder.Model.Hash(), Path: m.Dir,
		Precision: m.Encoder.Model.Precision, Dimension: m.Encoder.Model.Dimension,
		Requested: b.Factory, Recall: b.Recall,
	}
	dir := filepath.Join(b.fresh, m.System)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	// Vectors and index belong together: models whose vectors depend on the batch
	// would not make the same ones again.
	if old := b.oldModel(info); old != nil && b.sameCatalogue() {
		info.Index, info.Evidence = old.Index, old.Evidence
		b.takeOver(m.System)
		b.built.Vectors[m.System] = Embedded{Rows: b.Catalog.Rows(), Reused: b.Catalog.Rows()}
		return info, linkFiles(filepath.Join(b.out, m.System), dir, append([]string{faissFile}, vectorFiles...))
	}
	vectorsDir := filepath.Join(b.work, m.System)
	if err := os.MkdirAll(vectorsDir, 0o755); err != nil {
		return nil, err
	}
	reuse := []string{vectorsDir}
	if b.old != nil {
		reuse = append(reuse, filepath.Join(b.out, m.System))
	}
	step := b.Step("embedding for "+m.System, "product", b.Catalog.Rows())
	job := &embedJob{
		dir: vectorsDir, matrix: vectorsFile, products: b.Catalog.Products(), rows: b.Catalog.Rows(),
		template: b.Template, model: m.Encoder.Model, encode: m.Encoder.Passages,
		resume: true, started: step.Skip, progress: step.Set,
		reuse: append(reuse, b.Vectors...),
	}
	done, err := job.run(ctx)
	if err := ended(step, err); err != nil {
		return nil, err
	}
	b.built.Vectors[m.System] = Embedded{done.Rows, done.Resumed, done.Reused, done.Encoded}
	b.wrote(m.System, done.files)

	if err := linkFiles(vectorsDir, dir, vectorFiles); err != nil {
		return nil, err
	}
	matrix, err := npy.Open(filepath.Join(dir, vectorsFile))
	if err != nil {
		return nil, err
	}
	defer matrix.Close()
	queries, err := b.tuningQueries(ctx, m)
	if err != nil {
		return nil, err
	}
	step = b.Step("indexing vectors of "+m.System, "product", matrix.Rows)
	info.Index, err = faiss.Build(ctx, filepath.Join(dir, faissFile), matrix.Values, matrix.Cols, faiss.BuildOptions{
		Factory: b.Factory, Recall: b.Recall, Queries: queries,
		Progress: func(done, _ int) { step.Set(done) },
	})
	return info, ended(step, err)
}

// oldModel returns the entry of the old index that info would become, if there is
// one with the same vectors and the same wishes. What auto means may have changed since.
func (b *builder) oldModel(info *ModelInfo) *ModelInfo {
	if b.old == nil || b.old.Template != b.built.Manifest.Template {
		return nil
	}
	factory := faiss.ChooseFactory(info.Requested, info.Dimension, b.Catalog.Rows())
	for _, m := range b.old.Models {
		if m.System == info.System && m.Hash == info.Hash && m.Requested == info.Requested && m.Recall == info.Recall && (m.Index.Factory == factory || m.Evidence != "") {
			return &m
		}
	}
	return nil
}

// tuningQueries returns the vectors of some of the catalogue's queries, which
// show better than products' vectors do how far a search has to look.
func (b *builder) tuningQueries(ctx context.Context, m Model) ([]float32, error) {
	const most = 128
	seen := map[string]bool{}
	var texts []string
	for j, err := range b.Catalog.Judgments() {
		if err != nil {
			return nil, err
		}
		// Read to the end, where it shows whether they are as they were written.
		if key := fold(j.Query); len(texts) < most && !seen[key] {
			seen[key] = true
			texts = append(texts, j.Query)
		}
	}
	v := make([]float32, len(texts)*m.Encoder.Model.Dimension)
	return v, m.Encoder.Queries(ctx, texts, v)
}

// linkTree makes to a copy of from whose files share their contents where the
// file system can: none of them is ever changed.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		return link(path, target)
	})
}

// vectorFiles are the files that hold the vectors of a model.
var vectorFiles = []string{vectorsFile, vectorsInfoFile, textHashesFile}

func linkFiles(from, to string, names []string) error {
	for _, name := range names {
		if err := link(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func link(from, to string) error {
	// What a link leads to is linked: the link itself may lead elsewhere from there.
	if real, err := filepath.EvalSymlinks(from); err == nil {
		from = real
	}
	if os.Link(from, to) == nil {
		return nil
	}
	return atomicfile.Write(to, func(w io.Writer) error {
		f, err := regular.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}
