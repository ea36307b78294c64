package operators

// #cgo CXXFLAGS: -O3 -std=c++20
// #include <stdlib.h>
// #include "operators.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Supported reports whether this processor has the instructions that the operators
// need.
func Supported() bool { return C.trirank_operators_supported() != 0 }

// AllowTiles has products be computed by AMX's tiles where the processor has them, as they
// are at first, or by vectors. They give the same; tests of a processor with tiles look at
// what one without would do.
func AllowTiles(allowed bool) {
	var a C.int
	if allowed {
		a = 1
	}
	C.trirank_operators_allow_tiles(a)
}

// Register adds the operators to options, an OrtSessionOptions of the ONNX Runtime at
// the path library, which is loaded. Calls must not overlap.
func Register(options unsafe.Pointer, library string) error {
	path := C.CString(library)
	defer C.free(unsafe.Pointer(path))
	if message := C.trirank_operators_register(options, path); message != nil {
		defer C.free(unsafe.Pointer(message))
		return errors.New(C.GoString(message))
	}
	return nil
}
