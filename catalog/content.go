package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/judgments"
)

// contentHash writes products and judgements in their one canonical spelling and
// hashes what it writes, so that the hash does not depend on compression, on the
// version of a library, or on how the source spelled things.
type contentHash struct {
	products, judged    io.Writer
	productSum, judgSum hash.Hash
	buf                 bytes.Buffer
	json                *json.Encoder
	table               *judgments.Writer
}

func newContentHash(products, judged io.Writer) *contentHash {
	c := &contentHash{productSum: sha256.New(), judgSum: sha256.New()}
	c.products = io.MultiWriter(products, c.productSum)
	c.judged = io.MultiWriter(judged, c.judgSum)
	c.json = json.NewEncoder(&c.buf)
	c.json.SetEscapeHTML(false)
	c.table = judgments.NewWriter(c.judged)
	return c
}

// ContentHash returns the SHA-256, in hexadecimal, of products and judgements: that of the
// catalogue that has them.
func ContentHash(products iter.Seq2[Product, error], judged iter.Seq2[judgments.Judgment, error]) (string, error) {
	h := newContentHash(io.Discard, io.Discard)
	for p, err := range products {
		if err == nil {
			err = h.product(&p)
		}
		if err != nil {
			return "", err
		}
	}
	for j, err := range judged {
		if err == nil {
			err = h.judgment(&j)
		}
		if err != nil {
			return "", err
		}
	}
	return h.sum(), nil
}

// product writes p. What cannot be stored is a *faults.Fault.
func (c *contentHash) product(p *Product) error {
	c.buf.Reset()
	if err := c.json.Encode(p); err != nil {
		return &faults.Fault{Kind: faults.Malformed, Reason: fmt.Sprintf("product %q: %v", p.ID, err)}
	}
	if n := c.buf.Len(); n > maxStored {
		c.buf = bytes.Buffer{} // gives back what a huge product took
		return &faults.Fault{Kind: faults.TooLong, Reason: fmt.Sprintf("product %q has %d bytes", p.ID, n)}
	}
	_, err := c.products.Write(c.buf.Bytes())
	return err
}

func (c *contentHash) judgment(j *judgments.Judgment) error { return c.table.Write(j) }

// flush writes out what is buffered.
func (c *contentHash) flush() error { return c.table.Flush() }

// sum returns the hash of all that was written.
func (c *contentHash) sum() string {
	c.flush()
	both := sha256.New()
	both.Write(c.productSum.Sum(nil))
	both.Write(c.judgSum.Sum(nil))
	return hex.EncodeToString(both.Sum(nil))
}
