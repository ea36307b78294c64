package report

import (
	"bytes"
	"flag"
	"testing"

	"github.com/trirank/trirank/eval"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func html(t testing.TB, r *eval.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
