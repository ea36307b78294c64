// Package heap makes C's heap, which XLA works in on a processor, suit training.
package heap

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// tunables make glibc keep what is freed, in one pool that all threads share and in
// pages of 2 MB where the system has them. XLA on the processor takes and frees a
// gigabyte each time a step runs; by default glibc gives it back to the system at
// once, which then clears each page anew: a quarter of the time of a step.
const tunables = "glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=0xffffffffffff:glibc.malloc.hugetlb=1"

const tunablesVariable = "GLIBC_TUNABLES"

// Keep begins the program anew with a C heap that suits training. Only a
// process that begins can be told; what calls this should have done nothing yet. It
// returns if the heap is like that already, if the user has set one up, or if it
// cannot be done, which costs speed alone.
func Keep() {
	if env := environ(os.Environ()); env != nil {
		_ = syscall.Exec("/proc/self/exe", os.Args, env)
	}
}

// environ is the environment to begin anew with, nil for no need to.
func environ(env []string) []string {
	for i, v := range env {
		if set, ok := strings.CutPrefix(v, tunablesVariable+"="); ok {
			if strings.Contains(set, "glibc.malloc.") {
				return nil
			}
			// In its place: of two the new process would see the first.
			out := slices.Clone(env)
			out[i] = tunablesVariable + "=" + strings.Trim(set+":"+tunables, ":")
			return out
		}
	}
	return append(slices.Clip(env), tunablesVariable+"="+tunables)
}
