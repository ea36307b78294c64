//go:build cgo && linux

package heap

// #include <malloc.h>
import "C"

// Trim gives what is free back to the system. What a step takes for itself cannot lie
// where that of the first step lay, since some small things that stay have come to lie
// there; Keep's heap would have room for both.
func Trim() { C.malloc_trim(0) }
