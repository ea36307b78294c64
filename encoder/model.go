package encoder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/onnxfile"
	"github.com/trirank/trirank/internal/regular"
)

// ModelFormat is the version of model.json that this program reads and writes.
const ModelFormat = 1

// MaxTokenizer bounds what is read of a tokenizer.json. The largest that are known have
// 35 MB.
const MaxTokenizer = 1 << 28

// maxModelFile bounds what is read of a model.json: it may be anybody's.
const maxModelFile = 16 << 20

// Files of a model directory.
const (
	NetworkFile   = "model.onnx"
	TokenizerFile = "tokenizer.json"
	modelFile     = "model.json"
)

// Model is what model.json says about a model directory.
type Model struct {
	Format        int    `json:"format"`
	Name          string `json:"name"`
	Pooling       string `json:"pooling"` // "mean", the only one so far
	QueryPrefix   string `json:"query_prefix"`
	PassagePrefix string `json:"passage_prefix"`
	// NoPrefixes says that the model was trained without prefixes. Otherwise both
	// must be given: one that is forgotten costs relevance without a word.
	NoPrefixes bool   `json:"no_prefixes,omitempty"`
	MaxTokens  int    `json:"max_tokens"` // longer texts are cut
	Dimension  int    `json:"dimension"`
	Precision  string `json:"precision"` // "fp32", "fp16" or "int8"
	// SHA256 holds the hash of each file that decides the vectors, by name: also of
	// those that the network keeps weights in, if model.json does not list them.
	SHA256 map[string]string `json:"sha256"`
	// Parent and Run name the model that a fine-tuned one came from and the
	// training run that made it.
	Parent string `json:"parent,omitempty"`
	Run    string `json:"run,omitempty"`
	// Quantized says how an int8 model was made of its parent, if this program
	// made it.
	Quantized *Quantized `json:"quantized,omitempty"`

	checked bool
}

// Checked reports whether the model.json that m was read from has a checksum.
func (m *Model) Checked() bool { return m.checked }

// Quantized is what is known of a model that was made of an fp32 one.
type Quantized struct {
	Kind      string    `json:"kind"`   // see package encoder/quantize
	Parent    string    `json:"parent"` // Model.Hash of the fp32 model
	Closeness Closeness `json:"closeness"`
	// Evidence is what it was found to cost, one entry a catalogue and metric.
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Evidence compares a quantized model with the fp32 one by the judgements of a
// catalogue, both with vectors of their own and exact search.
type Evidence struct {
	Catalogue  string  `json:"catalogue"` // its name
	Hash       string  `json:"hash"`      // and hash
	Metric     string  `json:"metric"`
	Queries    int     `json:"queries"`
	FP32       float64 `json:"fp32"`       // what the fp32 model has
	Difference float64 `json:"difference"` // how much more the quantized one has, and
	Low        float64 `json:"low"`        // the 95 % interval of that
	High       float64 `json:"high"`
}

// CheckParent is an error if trirank model quantize did not make m of the model with the
// given hash.
func (m *Model) CheckParent(hash string) error {
	if m.Quantized == nil {
		return fmt.Errorf("%s is no model that trirank model quantize made", m.Name)
	}
	if m.Quantized.Parent != hash {
		return fmt.Errorf("trirank model quantize did not make %s of the model that it is compared with", m.Name)
	}
	return nil
}

// AddEvidence adds e to what is known of the quantized model in dir, in place of what
// was known by the same catalogue and metric. Nothing else changes: parent and model are
// the hashes that the fp32 model and this one must have.
func AddEvidence(dir, parent, model string, e Evidence) error {
	m, err := ReadModel(dir)
	if err != nil {
		return err
	}
	err = m.CheckParent(parent)
	if err == nil && m.Hash() != model {
		err = errors.New("it is not the model that was measured (was it made again meanwhile?)")
	}
	if err == nil {
		m.Quantized.Evidence = append(slices.DeleteFunc(m.Quantized.Evidence, func(old Evidence) bool {
			return old.Hash == e.Hash && old.Metric == e.Metric
		}), e)
		err = m.Validate()
	}
	if err == nil {
		err = m.write(dir)
	}
	if err != nil {
		return fmt.Errorf("cannot add evidence to model %s: %w", dir, err)
	}
	return nil
}

// Closeness is how near the vectors of one model are to those of another: cosines
// of the vectors that both make of the same texts.
type Closeness struct {
	Texts int     `json:"texts"`
	Mean  float64 `json:"mean_cosine"`
	Min   float64 `json:"min_cosine"`
}

// DependsOnBatch reports whether the vector of a text depends on what else is encoded
// with it, as with int8 models that take one scale from all of a batch. Of those that
// this program did not make that is assumed.
func (m *Model) DependsOnBatch() bool {
	return m.Precision == "int8" && (m.Quantized == nil || !slices.Contains([]string{"tokens", "blocks"}, m.Quantized.Kind))
}

// Hash identifies the vectors that the model makes: two directories with equal
// hashes embed equally.
func (m *Model) Hash() string {
	c := *m
	c.Name, c.Parent, c.Run, c.Quantized = "", "", "", nil // origins change no vector
	b, err := json.Marshal(c)                              // maps are written in order of key
	if err != nil {
		panic(err) // no field can fail
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Validate reports all that is wrong with m.
func (m *Model) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.Format != ModelFormat {
		bad("format is %d (this program reads %d)", m.Format, ModelFormat)
	}
	if m.Name == "" {
		bad("name is empty")
	}
	if m.Pooling != "mean" {
		bad("pooling %q is not supported (only mean)", m.Pooling)
	}
	switch {
	case m.NoPrefixes && (m.QueryPrefix != "" || m.PassagePrefix != ""):
		bad("no_prefixes is true, but there are prefixes")
	case !m.NoPrefixes && (m.QueryPrefix == "" || m.PassagePrefix == "" || m.QueryPrefix == m.PassagePrefix):
		bad("query_prefix %q and passage_prefix %q must be two different ones, as the model was trained with (E5: \"query: \" and \"passage: \"), or no_prefixes be true", m.QueryPrefix, m.PassagePrefix)
	}
	if m.MaxTokens < 3 || m.MaxTokens > 8192 {
		bad("max_tokens %d is not within 3..8192", m.MaxTokens)
	}
	if m.Dimension < 1 || m.Dimension > 8192 {
		bad("dimension %d is not within 1..8192", m.Dimension)
	}
	if !slices.Contains([]string{"fp32", "fp16", "int8"}, m.Precision) {
		bad("precision %q is none of fp32, fp16, int8", m.Precision)
	}
	if q := m.Quantized; q != nil {
		if m.Precision != "int8" || !slices.Contains([]string{"tokens", "blocks", "dynamic"}, q.Kind) || len(q.Parent) != sha256.Size*2 {
			bad("quantized is of kind %q and parent %q (precision int8, one of the kinds tokens, blocks, dynamic and the hash of the parent expected)", q.Kind, q.Parent)
		}
		if c := q.Closeness; !(-1 <= c.Min && c.Min <= c.Mean && c.Mean <= 1) || c.Texts < 0 {
			bad("quantized has the cosines %g (mean) and %g (least) of %d texts", c.Mean, c.Min, c.Texts)
		}
		for _, e := range q.Evidence {
			const rounding = 1e-9 // of means that were added up in another order
			if !(e.Low <= e.Difference+rounding && e.Difference <= e.High+rounding) || e.Metric == "" || e.Hash == "" || e.Queries < 1 {
				bad("quantized has as evidence a difference in %q of %g within %g to %g by %d queries of catalogue %q", e.Metric, e.Difference, e.Low, e.High, e.Queries, e.Hash)
			}
		}
	}
	for _, name := range []string{NetworkFile, TokenizerFile} {
		if len(m.SHA256[name]) != sha256.Size*2 {
			bad("sha256 of %s is missing", name)
		}
	}
	return errors.Join(faults...)
}

// ReadModel reads and validates DIR/model.json. Files of weights that model.onnx names and
// model.json does not are added to SHA256, so that Hash covers them; other files are not
// compared with their hashes: see Model.Verify.
func ReadModel(dir string) (*Model, error) {
	path := filepath.Join(dir, modelFile)
	b, err := regular.ReadFile(path, maxModelFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read model: %w", err)
	}
	var m Model
	// People write model.json by hand, too. A misspelt field would change vectors
	// silently.
	if err := checksum.UnmarshalEdited(b, &m); err != nil {
		return nil, fmt.Errorf("cannot read model %s: %w", path, err)
	}
	m.checked = !errors.Is(checksum.UnmarshalJSON(b, new(Model)), checksum.ErrNone)
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("cannot use model %s: %w", path, err)
	}
	if err := m.network(dir); err != nil {
		// A file that is not the model's at all has no other fault worth telling.
		if err2 := m.verify(dir, NetworkFile); err2 != nil {
			return nil, err2
		}
		return nil, fmt.Errorf("cannot use model %s: %s: %w", dir, NetworkFile, err)
	}
	return &m, nil
}

// network takes from the network what decides vectors and model.json may not tell.
func (m *Model) network(dir string) error {
	n, err := onnxfile.Inspect(filepath.Join(dir, NetworkFile))
	if err != nil {
		return err
	}
	if n.Positions > 0 && m.MaxTokens > n.Positions {
		return fmt.Errorf("it has positions for %d tokens, and max_tokens is %d (set max_tokens in %s to %d or less)", n.Positions, m.MaxTokens, modelFile, n.Positions)
	}
	return m.addWeights(dir, n.Files)
}

// addWeights adds the hashes of files of weights that are not known yet.
func (m *Model) addWeights(dir string, files []string) error {
	for _, name := range files {
		if name == modelFile {
			return fmt.Errorf("weights lie in %s, which describes them (export the model again)", name)
		}
		if m.SHA256[name] != "" {
			continue
		}
		sum, err := checksum.Of(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		m.SHA256[name] = sum.SHA256
	}
	return nil
}

// Verify reads the model directory dir and returns everything that is wrong with it, and
// the model, nil if its description cannot be read.
func Verify(dir string) (wrong []error, m *Model) {
	m, err := ReadModel(dir)
	if err != nil {
		return []error{err}, nil
	}
	for _, name := range slices.Sorted(maps.Keys(m.SHA256)) {
		if err := m.verify(dir, name); err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong, m
}

// Verify compares the files of dir with the hashes in m. It reads them whole:
// about a tenth of a second for 100 MB.
func (m *Model) Verify(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(m.SHA256)) {
		if err := m.verify(dir, name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) verify(dir, name string) error {
	if filepath.Base(name) != name {
		return fmt.Errorf("cannot verify model %s: %q is not a plain file name", dir, name)
	}
	got, err := checksum.Of(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("cannot verify model %s: %w", dir, err)
	}
	if want := m.SHA256[name]; got.SHA256 != want {
		return fmt.Errorf("cannot verify model %s: %s is not the file that model.json describes: its SHA-256 is %.12s…, not %.12s… (make or fetch the model again)", dir, name, got.SHA256, want)
	}
	return nil
}

// CheckTarget reports whether a model that is made of the model directory base may
// take the place of out: if out does not exist or is empty, or is the directory of
// another such model, which alike tells, with no files but its own and those named
// also.
func CheckTarget(base, out string, alike func(*Model) bool, also ...string) error {
	if err := atomicfile.Clean(out); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a model.json whose writing was killed
		return err
	}
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(append([]string{NetworkFile, TokenizerFile, modelFile}, also...), e.Name()) {
			return fmt.Errorf("it holds %s, which is no part of a model and would be lost (name another folder)", e.Name())
		}
	}
	old, err := ReadModel(out)
	if err != nil {
		return errors.New("there is a folder that is not a model (name another, or remove it)")
	}
	same, err := os.Stat(out)
	if other, err2 := os.Stat(base); err == nil && err2 == nil && os.SameFile(same, other) {
		return errors.New("it is the model to begin with (name another folder)")
	}
	if !alike(old) {
		return fmt.Errorf("there is another model, %s (name another folder, or remove it)", old.Name)
	}
	return nil
}

// WriteModel describes the files of dir in its model.json. The hashes of m are
// filled in.
func WriteModel(dir string, m *Model) error {
	c := *m
	c.SHA256 = map[string]string{}
	for _, name := range []string{NetworkFile, TokenizerFile} {
		sum, err := checksum.Of(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("cannot describe model %s: %w", dir, err)
		}
		c.SHA256[name] = sum.SHA256
	}
	if err := c.network(dir); err != nil {
		return fmt.Errorf("cannot describe model %s: %s: %w", dir, NetworkFile, err)
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("cannot describe model %s: %w", dir, err)
	}
	if err := c.write(dir); err != nil {
		return fmt.Errorf("cannot describe model %s: %w", dir, err)
	}
	return nil
}

func (m *Model) write(dir string) error { return checksum.WriteJSON(filepath.Join(dir, modelFile), m) }
