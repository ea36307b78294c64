package device

// #include <malloc.h>
import "C"

// Trim gives what is free in the C heap back to the system. What a step takes for
// itself cannot lie where that of the first step lay, since some small things that
// stay have come to lie there; KeepMemory's heap would keep both.
func Trim() { C.malloc_trim(0) }
