//go:build long

package main

import (
	"os"
	"strconv"
	"testing"
)

// TestLongDiskFaults makes calls of every command that writes fail: every one of those
// that take little time, and some at equal distances of the others. TRIRANK_TEST_FAULTS is
// how many at most are tried of each command and call, 60 where it is not set.
func TestLongDiskFaults(t *testing.T) {
	most := 60
	if s := os.Getenv("TRIRANK_TEST_FAULTS"); s != "" {
		most, _ = strconv.Atoi(s)
	}
	var names []string
	for _, w := range writers() {
		names = append(names, w.name)
	}
	failAll(t, names, diskFaults(), func(w writer) int { return max(1, most/w.cost) })
}
