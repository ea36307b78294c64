// Package processors says how many processors there are, and has Go share them with C.
package processors

import (
	"os"
	"runtime"
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
