package engine

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/trirank/trirank/internal/mapfault"
)

// ErrChanged marks the errors of requests whose answer cannot be trusted, since a file that
// the engine reads was changed or cut off by somebody else.
var ErrChanged = errors.New("the index was changed while it was open")

// Intact reports, by an error that names the file, whether what the engine reads is no
// longer what was opened.
func (e *Engine) Intact() error {
	if e.config.Intact == nil {
		return nil
	}
	if err := e.config.Intact(); err != nil {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return nil
}

// faulted is what to say of a panic; ok is false if it is of another kind.
func (e *Engine) faulted(p any) (err error, ok bool) {
	if !mapfault.Is(p) {
		return nil, false
	}
	if err := e.Intact(); err != nil {
		return err, true
	}
	return nil, false // no file is to blame
}

// guard has reads of files that were cut off become errors instead of the end of the
// process, until the function that it returns is deferred and run. Then it looks
// whether what was read is what was opened: an answer that was made of something else is
// none.
func (e *Engine) guard(err *error) (done func()) {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			wrong, ok := e.faulted(p)
			if !ok {
				panic(fmt.Sprintf("%v\n%s", p, debug.Stack()))
			}
			*err = wrong
			return
		}
		if changed := e.Intact(); changed != nil {
			*err = changed
		}
	}
}
