// Package peers finds the Python with which tests compare: other people's
// implementations of what this module computes and writes.
package peers

import (
	"os"
	"os/exec"
	"testing"
)

// The Pythons that make names: of test-peers, which has all that results are compared
// with but PyTorch, of test-peers-torch, and of bench-peers, which has what speed is
// compared with.
const (
	variable      = "TRIRANK_PEERS_PYTHON"
	torchVariable = "TRIRANK_TORCH_PYTHON"
	benchVariable = "TRIRANK_BENCH_PYTHON"
)

// Python returns a Python that can import the named modules, with commas between,
// or "" where there is none. The one that make test-peers names must have them.
func Python(t testing.TB, modules string) string {
	t.Helper()
	return find(t, variable, "make test-peers", modules)
}

// Torch is Python for PyTorch, which is too large to be among the others.
func Torch(t testing.TB) string {
	t.Helper()
	return find(t, torchVariable, "make test-peers-torch", "torch, numpy, safetensors.torch")
}

// Bench is Python for what make bench-peers compares speed with.
func Bench(t testing.TB, modules string) string {
	t.Helper()
	return find(t, benchVariable, "make bench-peers", modules)
}

// BenchTorch is a Python that has PyTorch and the named modules besides, or "": that
// of make test-peers-torch need not have these.
func BenchTorch(modules string) string {
	for _, python := range []string{os.Getenv(torchVariable), "python3"} {
		if python != "" && has(python, "torch, "+modules) {
			return python
		}
	}
	return ""
}

// TorchMust reports whether comparisons with PyTorch may not be left out, for want of
// a model or a device: where make test-peers-torch runs them.
func TorchMust() bool { return os.Getenv(torchVariable) != "" }

func find(t testing.TB, variable, target, modules string) string {
	t.Helper()
	if named := os.Getenv(variable); named != "" {
		if !has(named, modules) {
			t.Fatalf("%s=%s cannot import %s (run %s)", variable, named, modules, target)
		}
		return named
	}
	if has("python3", modules) {
		return "python3"
	}
	return ""
}

func has(python, modules string) bool {
	return exec.Command(python, "-c", "import "+modules).Run() == nil
}
