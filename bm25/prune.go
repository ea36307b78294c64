package bm25

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/bits-and-blooms/bitset"
)

// errK answers a search for nothing.
var errK = errors.New("k must be above zero")

// Search returns the k products with the highest Okapi BM25 scores, best
// first, equal scores in order of rows. Only products that share a term with
// the query are returned, and of these only the rows that are set in allow,
// unless that is nil. A query without terms finds nothing.
//
// The query is text without syntax. What is not UTF-8 in it separates words,
// and of a long one only the beginning is read: 16 KiB and Options.MaxTerms
// different terms.
func (ix *Index) Search(ctx context.Context, query string, allow *bitset.BitSet, k int) (hits []Hit, err error) {
	err = ix.use("search", func() error {
		if k <= 0 {
			return errK
		}
		s, err := ix.openSearcher(ctx, query, allow, k)
		if err != nil {
			return err
		}
		hits, err = s.run(ctx, ix)
		if err == nil {
			ix.closeSearcher(s)
		}
		return err
	})
	return hits, err
}

// openSearcher returns a searcher with the lists of a query. It must go back by
// closeSearcher, except after an error: it may be in any state then.
func (ix *Index) openSearcher(ctx context.Context, query string, allow *bitset.BitSet, k int) (*searcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, ok := ix.searchers.Get().(*searcher)
	if !ok {
		s = new(searcher)
	}
	s.work, s.due = 0, checkEvery
	s.rows, s.allow = ix.table.rows, allow
	s.best = top{k: min(k, ix.header.Rows)}
	return s, s.open(ctx, ix, query)
}

func (ix *Index) closeSearcher(s *searcher) {
	clear(s.lists)
	s.lists, s.rows, s.allow, s.best = s.lists[:0], nil, nil, top{}
	ix.searchers.Put(s)
}

// searcher finds the best documents of a query by MaxScore. It passes over the
// lists whose documents cannot come up to the hits found so far unless they are
// in another list as well. All documents of the other lists are scored, a window
// at a time, and the lists passed over are asked only about those of them that
// may become hits.
type searcher struct {
	// lists are in the order in which scores are summed. It is that of the
	// cursors, so that scores are the same to the last bit.
	lists []list
	// order holds the lists that can add least first, by index.
	order []int
	// reach[i] is the most that a document can get from order[:i].
	reach  []float64
	passed int // order[:passed] are passed over

	rows  []uint32 // by document
	allow *bitset.BitSet
	best  top

	// What a window has: the sums over the lists that are not passed over.
	scores [windowSize]float64
	seen   [windowSize / 64]uint64 // the documents with a score
	places []uint32                // of documents that may be hits

	work int // postings scored or asked for
	due  int // when work has become that, ctx is looked at
}

// list is the postings of one term in one field.
type list struct {
	*postings
	formula
	lengths []uint32 // of the field, by document
	most    float64  // that a document can get
	passed  bool

	docs   *roaring.Bitmap // of the segment, nil for none
	walk   roaring.ManyIntIterator
	buf    [256]uint32
	ahead  []uint32 // in buf: documents of the segment that are not scored yet
	repeat int      // the first that is not scored yet, by index
}

// bar returns what a document must have at least to become a hit if it can get
// s.reach[i] more. It errs to the low side, by a million times what comes of
// adding numbers in another order.
func (s *searcher) bar(i int) float64 {
	return s.best.least()*(1-1e-9) - s.reach[i]*(1+1e-9) - 1e-300
}

// run finds the best k.
func (s *searcher) run(ctx context.Context, ix *Index) ([]Hit, error) {
	var base uint32 // the first document of the segment
	for i, segment := range ix.snapshot.Segments() {
		for j := range s.lists {
			s.lists[j].enter(i)
		}
		size := uint32(segment.FullSize())
		for first := uint32(0); first < size; first += windowSize {
			if err := s.window(ctx, base, first); err != nil {
				return nil, err
			}
		}
		base += size
	}
	return s.best.sorted(), nil
}

// ask scores rows by asking each list about each; order are their indexes by document.
func (s *searcher) ask(ix *Index, rows []uint32, order []int, dst []float64) {
	var base uint32 // the first document of the segment
	for i, segment := range ix.snapshot.Segments() {
		for j := range s.lists {
			s.lists[j].docs = s.lists[j].segments[i]
		}
		end := base + uint32(segment.FullSize())
		for len(order) > 0 && ix.table.docs[rows[order[0]]] < end {
			doc, score := ix.table.docs[rows[order[0]]], 0.
			for j := range s.lists {
				score += s.lists[j].part(base, doc-base)
			}
			dst[order[0]], order = score, order[1:]
		}
		base = end
	}
}

// open fills in the lists.
func (s *searcher) open(ctx context.Context, ix *Index, query string) error {
	terms := ix.parse(query)
	for f := range ix.header.Options.Fields {
		if ix.header.Totals[f] == 0 {
			continue
		}
		for _, t := range terms {
			p, err := ix.postings(ctx, f, t.text)
			if err != nil {
				return err
			}
			if p.df == 0 {
				continue
			}
			formula, _ := ix.formula(f, t.count, p.df)
			s.lists = append(s.lists, list{
				postings: p,
				formula:  formula,
				lengths:  ix.table.lengths[f],
				most:     formula.weight * p.steepest,
			})
		}
	}
	s.passed = 0
	s.order, s.reach = s.order[:0], append(s.reach[:0], 0)
	for i := range s.lists {
		s.order = append(s.order, i)
	}
	slices.SortFunc(s.order, func(i, j int) int { return cmp.Compare(s.lists[i].most, s.lists[j].most) })
	for i, l := range s.order {
		s.reach = append(s.reach, s.reach[i]+s.lists[l].most)
	}
	return nil
}

// enter goes to the beginning of a segment.
func (l *list) enter(segment int) {
	l.docs, l.ahead = l.segments[segment], nil
	if l.docs != nil {
		l.walk.Initialize(l.docs)
	}
}

// window finds hits among the documents from first on of the segment that
// begins at base.
func (s *searcher) window(ctx context.Context, base, first uint32) error {
	for ; s.passed < len(s.order) && s.bar(s.passed+1) > 0; s.passed++ {
		s.lists[s.order[s.passed]].passed = true
	}
	before := s.work
	for i := range s.lists {
		if l := &s.lists[i]; !l.passed && l.docs != nil {
			if err := s.fill(ctx, l, base, first); err != nil {
				return err
			}
		}
	}
	if s.work == before {
		return nil
	}
	return s.collect(ctx, base, first)
}

// fill adds the scores of one list to those of a window.
func (s *searcher) fill(ctx context.Context, l *list, base, first uint32) error {
	repeats := l.repeats[l.repeat:]
	for {
		if len(l.ahead) == 0 {
			l.ahead = l.buf[:l.walk.NextMany(l.buf[:])]
		}
		n := 0
		for _, doc := range l.ahead {
			place := doc - first
			if place >= windowSize {
				break
			}
			n++
			doc += base
			tf := 1.0
			if len(repeats) > 0 && repeats[0].doc == doc {
				tf = float64(repeats[0].tf)
				repeats = repeats[1:]
			}
			s.scores[place] += l.of(tf, l.lengths[doc])
			s.seen[place/64] |= 1 << (place % 64)
		}
		s.work += n
		l.ahead = l.ahead[n:]
		if n == 0 || len(l.ahead) > 0 {
			break
		}
	}
	l.repeat = len(l.repeats) - len(repeats)
	return s.look(ctx)
}

// look looks at ctx once in a while.
func (s *searcher) look(ctx context.Context) error {
	if s.work < s.due {
		return nil
	}
	s.due = s.work + checkEvery
	return ctx.Err()
}

// skip goes to the first document at or after first.
func (l *list) skip(base, first uint32) {
	for {
		i, _ := slices.BinarySearch(l.ahead, first)
		if l.ahead = l.ahead[i:]; len(l.ahead) > 0 {
			break
		}
		if l.ahead = l.buf[:l.walk.NextMany(l.buf[:])]; len(l.ahead) == 0 {
			break
		}
	}
	for l.repeat < len(l.repeats) && l.repeats[l.repeat].doc < base+first {
		l.repeat++
	}
}

// collect offers the documents of a window to the best and empties the window.
func (s *searcher) collect(ctx context.Context, base, first uint32) error {
	// Which documents can be hits at all?
	s.places = s.places[:0]
	bar := s.bar(s.passed)
	for i, word := range s.seen {
		for ; word != 0; word &= word - 1 {
			place := uint32(i*64 + bits.TrailingZeros64(word))
			if s.scores[place] >= bar && (s.allow == nil || s.allow.Test(uint(s.rows[base+first+place]))) {
				s.places = append(s.places, place)
			}
		}
	}
	for i := s.passed - 1; i >= 0 && len(s.places) > 0; i-- {
		l := &s.lists[s.order[i]]
		if l.docs == nil {
			continue
		}
		if uint64(len(s.places))*askCost*uint64(len(s.rows)) < l.df*windowSize {
			for _, place := range s.places {
				s.scores[place] += l.part(base, first+place)
			}
			s.work += len(s.places)
		} else {
			l.skip(base, first)
			if err := s.fill(ctx, l, base, first); err != nil {
				return err
			}
		}
		n, bar := 0, s.bar(i)
		for _, place := range s.places {
			s.places[n] = place
			if s.scores[place] >= bar {
				n++
			}
		}
		s.places = s.places[:n]
	}
	for _, place := range s.places {
		score := s.scores[place]
		if s.passed > 0 {
			if score < s.bar(0) {
				continue
			}
			// The sum again, in the right order.
			score = 0
			for i := range s.lists {
				score += s.lists[i].part(base, first+place)
			}
			s.work += len(s.lists)
		}
		if score >= s.best.least() {
			s.best.offer(Hit{Row: s.rows[base+first+place], Score: score})
		}
	}
	for i, word := range s.seen {
		for ; word != 0; word &= word - 1 {
			s.scores[i*64+bits.TrailingZeros64(word)] = 0
		}
		s.seen[i] = 0
	}
	return s.look(ctx)
}

// askCost is how many postings a list is scored in the time that it takes to
// ask it about one document.
const askCost = 3

// part returns what a document gets from the list.
func (l *list) part(base, doc uint32) float64 {
	if l.docs == nil || !l.docs.Contains(doc) {
		return 0
	}
	doc += base
	tf := 1.0
	if i, ok := slices.BinarySearchFunc(l.repeats, doc, func(r repeat, doc uint32) int { return cmp.Compare(r.doc, doc) }); ok {
		tf = float64(l.repeats[i].tf)
	}
	return l.of(tf, l.lengths[doc])
}
