package encoder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trirank/trirank/internal/processors"
)

// A Tokenizer cuts text into the tokens of a model. It is safe for use by many
// goroutines.
type Tokenizer interface {
	// Tokenize returns the ids of text's tokens between the model's start
	// and end tokens, at most the model's MaxTokens of them in all.
	Tokenize(text string) ([]uint32, error)
}

// A Network computes the vectors of tokens in their context. It is safe for use
// by many goroutines.
type Network interface {
	// Run takes ids and mask of shape [rows, cols] and writes the last
	// hidden layer, of shape [rows, cols, dimension], to hidden.
	Run(rows, cols int, ids, mask []int64, hidden []float32) error
}

// Options bound the work of an Encoder. The zero value means the defaults.
type Options struct {
	// Parallel is how many batches run at once, over all callers, each on
	// one thread; default the number of processors.
	Parallel int
	// BatchTokens bounds the tokens of a batch, padding included, and
	// BatchRows its texts. Defaults 1024 and 16: more costs throughput on
	// a CPU, whose caches it overflows.
	BatchTokens, BatchRows int
	// Elsewhere says that batches are computed by a GPU: they keep no processor busy, nor
	// do busy processors keep them waiting.
	Elsewhere bool
}

func (o Options) withDefaults() Options {
	o.Parallel = cmp.Or(o.Parallel, processors.Count())
	o.BatchTokens = cmp.Or(o.BatchTokens, 1024)
	o.BatchRows = cmp.Or(o.BatchRows, 16)
	return o
}

// Encoder makes vectors of texts. See the package comment.
type Encoder struct {
	Model *Model // read only

	tok      Tokenizer
	net      Network
	closer   io.Closer
	opts     Options
	patience time.Duration // longestWait but in tests
	slots    chan struct{} // one token a batch that may run
	queries  queue
	buffers  sync.Pool // of *batch
}

// maxTextBytes is how much of a text is looked at. No text whose tokens have
// ordinary length reaches it before MaxTokens cuts it.
const maxTextBytes = 64 << 10

// New joins a model's description with what runs it. closer, if not nil, is
// closed with the Encoder.
func New(m *Model, tok Tokenizer, net Network, closer io.Closer, opts Options) *Encoder {
	opts = opts.withDefaults()
	return &Encoder{
		Model: m, tok: tok, net: net, closer: closer, opts: opts, patience: longestWait,
		slots:   make(chan struct{}, opts.Parallel),
		buffers: sync.Pool{New: func() any { return new(batch) }},
	}
}

// Close frees the model. No call may be under way; closing twice is harmless.
func (e *Encoder) Close() error {
	if e.closer == nil {
		return nil
	}
	c := e.closer
	e.closer = nil
	return c.Close()
}

// Queries writes the vectors of texts to dst, one after the other;
// len(dst) must be len(texts)*Model.Dimension.
func (e *Encoder) Queries(ctx context.Context, texts []string, dst []float32) error {
	return e.encode(ctx, e.Model.QueryPrefix, texts, dst)
}

// Passages does for the texts that are searched what Queries does for queries.
func (e *Encoder) Passages(ctx context.Context, texts []string, dst []float32) error {
	return e.encode(ctx, e.Model.PassagePrefix, texts, dst)
}

// CountTokens returns how many tokens the model sees of a passage.
func (e *Encoder) CountTokens(text string) (int, error) {
	ids, err := e.tokenize(e.Model.PassagePrefix, text)
	return len(ids), err
}

// Tokens returns what the network is given for a text, as a query or as a passage:
// for those who train it.
func (e *Encoder) Tokens(text string, query bool) ([]uint32, error) {
	if query {
		return e.tokenize(e.Model.QueryPrefix, text)
	}
	return e.tokenize(e.Model.PassagePrefix, text)
}

// batch is the memory of one run of the network.
type batch struct {
	ids, mask []int64
	hidden    []float32
}

func (e *Encoder) tokenize(prefix, text string) ([]uint32, error) {
	if len(text) > maxTextBytes {
		text = text[:maxTextBytes]
	}
	// NUL would end the text on its way through C; the tokenizer would drop it.
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
	ids, err := e.tok.Tokenize(prefix + text)
	if err != nil {
		return nil, fmt.Errorf("cannot tokenize %.60q: %w", text, err)
	}
	if n := len(ids); n == 0 || n > e.Model.MaxTokens {
		return nil, fmt.Errorf("cannot tokenize %.60q: the tokenizer gave %d tokens (1 to %d expected)", text, n, e.Model.MaxTokens)
	}
	return ids, nil
}

func (e *Encoder) encode(ctx context.Context, prefix string, texts []string, dst []float32) error {
	dim := e.Model.Dimension
	if len(dst) != len(texts)*dim {
		return fmt.Errorf("cannot encode %d texts of dimension %d into %d values", len(texts), dim, len(dst))
	}
	items := make([]item, len(texts))
	var cut errgroup.Group
	cut.SetLimit(e.opts.Parallel)
	const few = 16 // worth a goroutine
	for from := 0; from < len(texts); from += few {
		cut.Go(func() error {
			for i := from; i < min(from+few, len(texts)); i++ {
				if err := ctx.Err(); err != nil { // tokenizing a large request takes long too
					return err
				}
				ids, err := e.tokenize(prefix, texts[i])
				if err != nil {
					return err
				}
				items[i] = item{ids, texts[i], dst[i*dim : (i+1)*dim]}
			}
			return nil
		})
	}
	if err := cut.Wait(); err != nil {
		return err
	}
	// Longest first, so that little is padded; the order is total, so that
	// equal input makes equal batches.
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(len(b.ids), len(a.ids)) })

	g, ctx := errgroup.WithContext(ctx)
	for len(items) > 0 {
		cols := len(items[0].ids)
		rows := min(len(items), max(1, e.opts.BatchTokens/cols), e.opts.BatchRows)
		part := items[:rows]
		items = items[rows:]
		select {
		case e.slots <- struct{}{}:
		case <-ctx.Done():
			if err := g.Wait(); err != nil {
				return err
			}
			return ctx.Err()
		}
		g.Go(func() error {
			defer e.release()
			if err := ctx.Err(); err != nil { // there was a slot as well
				return err
			}
			return e.run(part)
		})
	}
	return g.Wait()
}

// item is a text on its way to a vector.
type item struct {
	ids  []uint32
	text string
	dst  []float32
}

// run encodes items as one batch, the longest of which is first. Its caller holds a
// slot.
func (e *Encoder) run(part []item) error {
	rows, cols, dim := len(part), len(part[0].ids), e.Model.Dimension
	b := e.buffers.Get().(*batch)
	defer e.buffers.Put(b)
	b.ids = slices.Grow(b.ids[:0], rows*cols)[:rows*cols]
	b.mask = slices.Grow(b.mask[:0], rows*cols)[:rows*cols]
	b.hidden = slices.Grow(b.hidden[:0], rows*cols*dim)[:rows*cols*dim]
	clear(b.ids)
	clear(b.mask)
	for r, it := range part {
		for c, id := range it.ids {
			b.ids[r*cols+c] = int64(id)
			b.mask[r*cols+c] = 1
		}
	}
	if !e.opts.Elsewhere {
		defer processors.Work()()
	}
	if err := e.net.Run(rows, cols, b.ids, b.mask, b.hidden); err != nil {
		return fmt.Errorf("cannot run model %s on %d texts of up to %d tokens: %w", e.Model.Name, rows, cols, err)
	}
	for r, it := range part {
		if !meanPool(it.dst, b.hidden[r*cols*dim:], len(it.ids)) {
			return fmt.Errorf("model %s gives no finite vector for %.60q", e.Model.Name, it.text)
		}
	}
	return nil
}

// meanPool writes the mean of the first n rows of hidden to v and scales it to
// unit length. It reports false if that cannot be done.
func meanPool(v, hidden []float32, n int) bool {
	dim := len(v)
	clear(v)
	for t := range n {
		for i, h := range hidden[t*dim : (t+1)*dim] {
			v[i] += h
		}
	}
	// The mean's own factor 1/n falls out with the length.
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return false
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= scale
	}
	return true
}
