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

// WithoutTiles has products be computed by vectors also where the processor has AMX's
// tiles, until restore is called. They give the same; so tests look at what a processor
// without tiles does.
func WithoutTiles() (restore func()) {
	C.trirank_operators_allow_tiles(0)
	return func() { C.trirank_operators_allow_tiles(1) }
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
