package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestKillsAtRandom kills commands at random moments. TestLongKills does so with all that
// write, and more often.
func TestKillsAtRandom(t *testing.T) {
	killAll(t, map[string]int{"import": 6, "eval": 4, "stats": 3, "index": 2})
}

// killAll kills each writer so often as kills says.
func killAll(t *testing.T, kills map[string]int) {
	all := slices.DeleteFunc(writers(), func(w writer) bool { return kills[w.name] == 0 })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorkshop(t)
	total := 0
	for _, one := range all {
		t.Run(one.name, func(t *testing.T) {
			w := &workshop{t, w.root}
			p := w.prepare(one)
			found := map[string]int{}
			for range kills[one.name] {
				found[p.kill(random)]++
				total++
			}
			p.unharmed()
			t.Logf("of %v: %d kills, after which there was %v", p.took.Round(time.Millisecond), kills[one.name], found)
		})
	}
	t.Logf("%d kills", total)
}

// kill kills the command at a random moment of the time that it takes, and runs it
// again.
func (p *prepared) kill(random *rand.Rand) (found string) {
	p.w.t.Helper()
	p.w.fresh(p.template)
	cmd := p.w.command(p.writer)
	after := time.Duration(random.Float64() * float64(p.took))
	if err := cmd.Start(); err != nil {
		p.w.t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	what := p.name + ", killed after " + after.String()
	found = p.whole(what)
	if err == nil {
		found += " and it had ended"
	}
	start := time.Now()
	p.again(what)
	// Other work of the machine makes it slower or faster.
	if found == "old" || p.steps {
		p.took = (3*p.took + time.Since(start)) / 4
	}
	return found
}
