package httpapi

import (
	"context"
	"sync"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
)

// Engine is what the server needs of an *engine.Engine.
type Engine interface {
	Compare(ctx context.Context, r engine.Request) (*engine.Response, error)
	Product(id string) (catalog.Product, error)
	Similar(ctx context.Context, id, system string, k int) (*engine.Ranking, error)
	Embed(ctx context.Context, system string, texts []string, asQueries bool) (vectors [][]float32, by string, err error)
	Info() engine.Info
	Intact() error
}

// generation is an engine together with the number of its users.
type generation struct {
	engine  Engine
	systems func() int // how many rankings it has
	users   int
	retired bool
	drained chan struct{} // closed when retired and without users
}

// generations lends out the engine that serves now.
type generations struct {
	mu      sync.Mutex
	current *generation // nil: none
}

// lease borrows the current engine until release is called, once. ok is false if
// there is none.
func (g *generations) lease() (e Engine, release func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	lent := g.current
	if lent == nil {
		return nil, nil, false
	}
	lent.users++
	return lent.engine, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		lent.users--
		lent.drainIfUnused()
	}, true
}

// set makes e the current engine, none if it is nil, and returns a channel that is
// closed when nobody uses the one before it.
func (g *generations) set(e Engine) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.current
	g.current = nil
	if e != nil {
		g.current = &generation{engine: e, systems: sync.OnceValue(func() int { return len(e.Info().Systems) }), drained: make(chan struct{})}
	}
	if old == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	old.retired = true
	old.drainIfUnused()
	return old.drained
}

func (g *generation) drainIfUnused() {
	if g.retired && g.users == 0 {
		close(g.drained)
	}
}

// systems returns how many rankings the current engine has, 0 if there is none.
func (g *generations) systems() int {
	g.mu.Lock()
	current := g.current
	g.mu.Unlock()
	if current == nil {
		return 0
	}
	return current.systems()
}

// ready reports whether there is an engine to lend.
func (g *generations) ready() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current != nil
}
