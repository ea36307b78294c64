// Package mapfault makes errors of reads of mapped files that somebody cut off. By
// default the system ends the process for one.
package mapfault

import (
	"fmt"
	"runtime/debug"
)

// fault is the panic of a read of memory that is not there. It has the address, unlike
// all other runtime errors.
type fault interface {
	error
	Addr() uintptr
}

// Is reports whether a panic is of such a read. The goroutine that made it must have
// called debug.SetPanicOnFault.
func Is(p any) bool {
	_, ok := p.(fault)
	return ok
}

// Catch has such reads in this goroutine become *err, until the function that it returns
// is deferred and run. Other panics go on.
func Catch(err *error) (done func()) {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		switch p := recover(); {
		case p == nil:
		case Is(p):
			*err = fmt.Errorf("a file was cut off while it was read: %v", p)
		default:
			panic(fmt.Sprintf("%v\n%s", p, debug.Stack()))
		}
	}
}
