// Package peers finds the Python with which tests compare: other people's
// implementations of what this module computes and writes.
package peers

import (
	"os"
	"os/exec"
	"testing"
)

// variable names the Python of make test-peers, which has all of them.
const variable = "TRIRANK_PEERS_PYTHON"

// Python returns a Python that can import the named modules, with commas between,
// or "" where there is none. The one that make test-peers names must have them.
func Python(t testing.TB, modules string) string {
	t.Helper()
	has := func(python string) bool { return exec.Command(python, "-c", "import "+modules).Run() == nil }
	if named := os.Getenv(variable); named != "" {
		if !has(named) {
			t.Fatalf("%s=%s cannot import %s (run make test-peers)", variable, named, modules)
		}
		return named
	}
	if has("python3") {
		return "python3"
	}
	return ""
}
