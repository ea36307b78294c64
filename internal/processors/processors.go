// Package processors says how many processors there are, has Go share them with C,
// and knows whether they are busy.
package processors

import (
	"os"
	"runtime"
	"sync/atomic"
)

var atStart = runtime.GOMAXPROCS(0)

// Count is how many processors the program may use, as Go found at its start: by the
// machine, by what the process may run on and by the limits of its container.
func Count() int { return atStart }

// ShareWithC lets Go code run while as many threads as there are processors encode and
// as many search. Go takes a thread in C for one that runs Go code, and looks only now
// and then, up to 10 ms later, whether it is not: on two processors of which both are in
// C a request would not even be read before. The system shares the processors then.
// Limits of the container that change later are no longer followed. A GOMAXPROCS of the
// environment stands.
func ShareWithC() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(3 * atStart)
	}
}

var working atomic.Int64

// Work says that a computation that keeps a processor busy begins, or will as soon as it is
// given one; what it returns says that it ends. What waits for something else is none.
func Work() (end func()) {
	working.Add(1)
	return ended
}

func ended() { working.Add(-1) }

// Idle reports whether fewer such computations are under way than there are processors.
func Idle() bool { return int(working.Load()) < atStart }
