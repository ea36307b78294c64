//go:build long

package main

import "testing"

// TestLongKills is TestKillsAtRandom with all commands that write, 200 times.
func TestLongKills(t *testing.T) {
	killAll(t, map[string]int{
		"import": 50, "eval": 30, "stats": 30, "index": 25, "embed": 20, "eval of an index": 10, "bench recall": 8,
		"bench choose --write": 7, "bench quantization --write": 5, "model merge": 6, "model quantize": 3, "train": 4, "train sweep": 2,
	})
}
