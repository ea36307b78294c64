package bm25

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	segment "github.com/blevesearch/scorch_segment_api/v2"
)

// postings are the documents that have one term in one field. They never
// change and may be read by many goroutines at once.
//
// The sets of documents are bleve's own, in the files that it maps into memory.
// How often the term occurs bleve can only tell by going through all of its
// documents, so it is kept here, for the few where that is more than once.
type postings struct {
	segments []*roaring.Bitmap // by segment, nil for none
	df       uint64
	repeats  []repeat // in order of doc
	// steepest is the most that any document has of
	// tf / (tf + flat + slope*length), as in formula.
	steepest float64
}

// repeat is a document in which a term occurs tf times, more than once.
type repeat struct{ doc, tf uint32 }

// readPostings reads the postings of a term.
func (ix *Index) readPostings(ctx context.Context, field int, term []byte) (*postings, error) {
	segments := ix.snapshot.Segments()
	p := &postings{segments: make([]*roaring.Bitmap, len(segments))}
	unit, _ := ix.formula(field, 1, 1)
	unit.weight = 1
	lengths := ix.table.lengths[field]
	shortest := uint32(math.MaxUint32) // of the documents that have the term once
	var base uint64                    // the first document of the segment
	for i, s := range segments {
		dict, err := s.Segment().Dictionary(ix.header.Options.Fields[field].Name)
		if err != nil {
			return nil, err
		}
		list, err := dict.PostingsList(term, s.Deleted(), nil)
		if err != nil {
			return nil, err
		}
		count := list.Count()
		if count > 0 {
			docs := list.Iterator(true, false, false, nil)
			set, ok := docs.(segment.OptimizablePostingsIterator)
			if !ok {
				return nil, fmt.Errorf("bleve: its postings are a %T", docs)
			}
			p.segments[i] = set.ActualBitmap()
			if p.segments[i] == nil {
				doc, ok := set.DocNum1Hit()
				if !ok {
					return nil, fmt.Errorf("the index is damaged: %d documents, but none", count)
				}
				p.segments[i] = roaring.BitmapOf(uint32(doc))
			}
			for n := uint64(0); ; n++ {
				if n%checkEvery == checkEvery-1 && ctx.Err() != nil {
					return nil, ctx.Err()
				}
				d, err := docs.Next()
				if err != nil {
					return nil, err
				}
				if d == nil {
					if n != count {
						return nil, fmt.Errorf("the index is damaged: %d documents, but %d", count, n)
					}
					break
				}
				doc, tf := base+d.Number(), d.Frequency()
				if doc >= uint64(len(lengths)) {
					return nil, fmt.Errorf("the index is damaged: document %d of %d", doc, len(lengths))
				}
				if tf == 1 {
					shortest = min(shortest, lengths[doc])
				} else {
					p.repeats = append(p.repeats, repeat{uint32(doc), uint32(tf)})
					p.steepest = max(p.steepest, unit.of(float64(tf), lengths[doc]))
				}
			}
		}
		p.df += count
		base += uint64(s.FullSize())
	}
	if p.df > uint64(len(p.repeats)) {
		p.steepest = max(p.steepest, unit.of(1, shortest))
	}
	return p, nil
}

// size returns about how many bytes of memory p takes.
func (p *postings) size() int {
	size := 256 + 8*cap(p.repeats)
	for _, s := range p.segments {
		if s != nil {
			size += 128 + 64*int(s.Stats().Containers)
		}
	}
	return size
}

// postingsCache keeps the postings of terms that were asked for lately.
type postingsCache struct {
	mu sync.Mutex
	// What is used goes into young. When that is full, it becomes old, and
	// what nobody used since it became so is let go of.
	young, old map[postingsKey]*postings
	size       int // of young, in bytes
	limit      int // of size
}

type postingsKey struct {
	field int
	term  string
}

// postingsCacheSize is how many bytes young and old may each take: 32 MiB hold
// the postings of some thousands of the most frequent terms of a million
// products, or some 70,000 of rare ones.
const postingsCacheSize = 32 << 20

func (c *postingsCache) get(field int, term []byte) *postings {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.young[postingsKey{field, string(term)}]; p != nil {
		return p
	}
	p := c.old[postingsKey{field, string(term)}]
	if p != nil {
		c.put(field, term, p)
	}
	return p
}

func (c *postingsCache) add(field int, term []byte, p *postings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(field, term, p)
}

func (c *postingsCache) put(field int, term []byte, p *postings) {
	size := p.size()
	if c.young == nil || c.size+size > c.limit {
		c.old, c.young, c.size = c.young, map[postingsKey]*postings{}, 0
	}
	c.young[postingsKey{field, string(term)}] = p
	c.size += size
}

// postings returns the postings of a term in a field.
func (ix *Index) postings(ctx context.Context, field int, term []byte) (*postings, error) {
	if p := ix.cache.get(field, term); p != nil {
		return p, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := ix.readPostings(ctx, field, term)
	if err == nil && p.df > 0 {
		ix.cache.add(field, term, p)
	}
	return p, err
}
