package encoder

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/trirank/trirank/internal/processors"
)

// Query returns the vector of a search query: Model.Dimension values, of unit
// length.
//
// A query that finds a processor idle is encoded at once and alone. While all are
// busy queries wait, and whoever is next takes those of about its length along in one
// batch, which costs less than one after the other: until the batch that is being encoded
// ends, or so many wait that another is worth it, or one has waited 50 ms. On a GPU they
// wait for a slot alone. A model whose vectors depend on
// the batch takes each alone: they would depend on who else asks at the moment.
func (e *Encoder) Query(ctx context.Context, text string) ([]float32, error) {
	ids, err := e.tokenize(e.Model.QueryPrefix, text)
	if err != nil {
		return nil, err
	}
	w := &waiting{item: item{ids, text, make([]float32, e.Model.Dimension)}, done: make(chan error, 1), look: make(chan struct{}, 1)}
	most := e.opts.BatchRows
	if e.Model.DependsOnBatch() {
		most = 1
	}
	defer w.end()
	asked := time.Now()
	e.queries.add(w)
	for {
		slots, again := e.slots, (<-chan time.Time)(nil)
		if !e.worth(most) && time.Since(asked) < e.patience {
			slots, again = nil, time.After(lookAgain)
		}
		select {
		case err := <-w.done:
			return w.dst, err
		case <-w.look:
		case <-again:
		case slots <- struct{}{}:
			e.runWaiting(e.queries.take(most, e.opts.BatchTokens)) // gives the slot back
		case <-ctx.Done():
			if e.queries.remove(w) {
				e.queries.look() // it may have been its turn
				return nil, ctx.Err()
			}
			return w.dst, <-w.done // it is being encoded: that takes no longer than this
		}
		select {
		case err := <-w.done: // and not a batch of others first
			return w.dst, err
		default:
		}
	}
}

// enoughWait is for how many queries, most of which will be of about one length, another
// batch is begun while the processors have other work. A batch of four costs E5-small in
// int8 twice as much as one query does.
const enoughWait = 4

// lookAgain is after what time a query that waits looks whether a processor is idle by
// now: less than what its encoding takes.
const lookAgain = time.Millisecond

// longestWait is how long a query waits for others at most: where passages are encoded as
// well a batch of theirs follows the other, and no processor becomes idle.
const longestWait = 50 * time.Millisecond

// worth reports whether a batch of at most so many of those that wait is to be encoded
// now, if there is a slot.
func (e *Encoder) worth(most int) bool {
	return e.opts.Elsewhere || len(e.slots) == 0 || processors.Idle() || e.queries.len() >= min(most, enoughWait)
}

// release gives a slot back.
func (e *Encoder) release() {
	<-e.slots
	e.queries.look()
}

// runWaiting encodes queries, tells those who wait for them, and gives back the slot
// that its caller holds.
func (e *Encoder) runWaiting(list []*waiting) {
	defer e.release()
	if len(list) == 0 { // another one took them
		return
	}
	slices.SortStableFunc(list, func(a, b *waiting) int { return cmp.Compare(len(b.ids), len(a.ids)) })
	items := make([]item, len(list))
	for i, w := range list {
		items[i] = w.item
	}
	err := e.attempt(items)
	for i, w := range list {
		if err != nil && len(list) > 1 { // one of them may have spoilt it for all
			w.tell(e.attempt(items[i : i+1]))
		} else {
			w.tell(err)
		}
	}
}

// attempt is run, but that a panic is an error: those who wait shall hear of it, and it is
// not their fault whose goroutine runs the batch.
func (e *Encoder) attempt(items []item) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot run model %s: it panicked: %v\n%s", e.Model.Name, p, debug.Stack())
		}
	}()
	return e.run(items)
}

// waiting is a query that waits for its vector.
type waiting struct {
	item
	done chan error    // has room for what is told
	look chan struct{} // says to look whether it is its turn; has room for one
	work func()        // ends the work that tell began
}

// tell says that a query has its vector, or why not. From then on it has work for a processor, though it
// may have to wait for one.
func (w *waiting) tell(err error) {
	w.work = processors.Work()
	w.done <- err
}

// end ends the work that tell began.
func (w *waiting) end() {
	if w.work != nil {
		w.work()
	}
}

// queue holds the queries that wait, in the order in which they came.
type queue struct {
	mu   sync.Mutex
	list []*waiting
}

func (q *queue) add(w *waiting) {
	q.mu.Lock()
	q.list = append(q.list, w)
	q.mu.Unlock()
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// look has the query that has waited longest look whether it is its turn.
func (q *queue) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return
	}
	select {
	case q.list[0].look <- struct{}{}:
	default: // it was told already
	}
}

// worthPadding is by how many tokens the queries of a batch may differ. A query more
// in a batch saves reading the model's weights once more, which takes as long as
// computing about eight tokens does (E5-small, one thread); padding costs its tokens.
const worthPadding = 6

// take removes the query that has waited longest, and with it those that are about
// as long: at most so many, and no more tokens, padding included, if it is more than
// one.
func (q *queue) take(most, tokens int) (out []*waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	least, longest := 0, 0
	rest := q.list[:0]
	for _, w := range q.list {
		low, high := min(least, len(w.ids)), max(longest, len(w.ids))
		if len(out) == 0 {
			low = high
		}
		if n := len(out); n > 0 && (n >= most || high-low > worthPadding || (n+1)*high > tokens) {
			rest = append(rest, w)
			continue
		}
		least, longest = low, high
		out = append(out, w)
	}
	clear(q.list[len(rest):])
	q.list = rest
	return out
}

// remove takes a query out of the queue; it reports false if it is not there any
// more.
func (q *queue) remove(w *waiting) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.Index(q.list, w)
	if at < 0 {
		return false
	}
	q.list = slices.Delete(q.list, at, at+1)
	return true
}
