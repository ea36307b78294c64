//go:build long

package main

import (
	"path/filepath"
	"testing"
)

// TestLongFlips is TestFlips with more bits, and with a training run.
func TestLongFlips(t *testing.T) {
	all := folders(t)
	all["run"] = filepath.Join(t.TempDir(), "run")
	mustRun(t, "train", "--catalog", "sample", "--out", all["run"], "--epochs", "1")
	flipFolders(t, flipsLong, all)
}
