package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSchema has Schemathesis, which TRIRANK_SCHEMATHESIS names, make requests of
// openapi.yaml, right and wrong ones, to a real server, and hold its answers against
// it: make test-schema.
func TestSchema(t *testing.T) {
	st := os.Getenv("TRIRANK_SCHEMATHESIS")
	if st == "" {
		t.Skip("TRIRANK_SCHEMATHESIS does not name a program (see make test-schema)")
	}
	document, err := filepath.Abs("../../httpapi/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	url, stop := serve(t, sampleIndex(t))
	defer stop()
	cmd := exec.Command(st, "--config-file", "schemathesis.toml", "run", document, "--url", url, "--max-examples", "50",
		"--generation-deterministic", "--continue-on-failure", "--no-color")
	cmd.Dir = "../../httpapi/testdata/peers"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("schemathesis: %v", err)
	}
}
