//go:build cgo && linux

package heap

// #include <malloc.h>
import "C"

// FewArenas keeps C's heap in two parts. By default glibc makes up to eight for each
// processor, as many threads as it has, and what is free in one serves no other: each
// time a server opens an index anew, in whatever threads, the next one grows. It
// has to be called before there are threads of C.
func FewArenas() { C.mallopt(C.M_ARENA_MAX, 2) }

// Trim gives what is free back to the system. What a step takes for itself cannot lie
// where that of the first step lay, since some small things that stay have come to lie
// there; Keep's heap would have room for both.
func Trim() { C.malloc_trim(0) }
