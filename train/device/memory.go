package device

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// XLA on the processor takes and frees a gigabyte each time a step runs. By default
// glibc gives it back to the system at once, which then clears each page of 4 kB anew:
// a quarter of the time of a step. With pages of 2 MB that costs a twentieth, and only
// what is below 32 MB is kept in a pool, which all threads share. Where the system
// has no such pages everything is kept, which takes half as much again: what lives on
// from step to step moves about in what a step has freed.
const (
	kept    = "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=0xffffffffffff:"
	large   = kept + "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=0x2000000"
	noLarge = kept + "glibc.malloc.mmap_max=0"
)

// tunables are right for the system's setting of transparent huge pages, as
// /sys/kernel/mm/transparent_hugepage/enabled has it: the chosen one in brackets.
func tunables(pages string) string {
	if strings.Contains(pages, "[madvise]") || strings.Contains(pages, "[always]") {
		return large
	}
	return noLarge
}

const tunablesVariable = "GLIBC_TUNABLES"

// KeepMemory begins the program anew with a C heap that suits training. Only a
// process that begins can be told; what calls this should have done nothing yet. It
// returns if the heap is like that already, if the user has set one up, or if it
// cannot be done, which costs speed alone.
func KeepMemory() {
	pages, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled") // none: no such pages
	if env := environ(os.Environ(), tunables(string(pages))); env != nil {
		_ = syscall.Exec("/proc/self/exe", os.Args, env)
	}
}

// environ is the environment to begin anew with, nil for no need to.
func environ(env []string, tunables string) []string {
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
