//go:build real

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/trirank/trirank/eval"
)

// TestRealEvaluation imports, indexes and evaluates real products and judgements
// as a user does, and compares with what is known of them, so that a mistake
// anywhere on the way, such as a lost prefix, cannot go unnoticed. The known
// figures come from an implementation in Python; .005 is the tolerance.
func TestRealEvaluation(t *testing.T) {
	data := os.Getenv("TRIRANK_REAL_DATA")
	if data == "" {
		t.Fatal("TRIRANK_REAL_DATA is not set (run make test-real)")
	}
	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }
	command := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 0 {
			t.Fatalf("%q ends with %d: %s", args, code, errs.String())
		}
		return out.String()
	}
	command("import", filepath.Join(data, "esci-us"), "--out", in("catalogue"))
	command("index", "--catalog", in("catalogue"), "--out", in("index"))
	t.Log(command("eval", "--index", in("index"), "--tune-fusion", "--out", in("report")))
	var r eval.Report
	b, err := os.ReadFile(filepath.Join(in("report"), "report.json"))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.Judgments.Queries != 94 || r.Judgments.Count != 4135 || r.Index.Products != 6764 {
		t.Errorf("%d queries, %d judgements, %d products", r.Judgments.Queries, r.Judgments.Count, r.Index.Products)
	}
	for _, known := range []struct {
		system, task, metric string
		value                float64
	}{
		{"pretrained", eval.PoolTask, "ndcg", .855},
		{"pretrained", eval.FullTask, "ndcg@10", .628},
		{"pretrained", eval.FullTask, "recall@100", .883},
		{"pretrained", eval.FullTask, "mrr@10", .809},
		{"bm25", eval.PoolTask, "ndcg", .848},
		{"bm25", eval.FullTask, "ndcg@10", .599},
		{"bm25", eval.FullTask, "recall@100", .852},
	} {
		if got := mean(t, &r, known.task, known.metric, known.system); math.Abs(got-known.value) > .005 {
			t.Errorf("%s, %s, %s is %.4f, known as %.3f", known.system, known.task, known.metric, got, known.value)
		}
	}
	if r.Fusion == nil || r.Fusion.Dev+r.Fusion.Test != 94 {
		t.Errorf("fusion tuning: %+v", r.Fusion)
	}
	// A retrieval that lost half its fields must not pass for as good.
	command("index", "--catalog", in("catalogue"), "--field", "description=1", "--vectors", in("index"), "--out", in("worse.index"))
	command("eval", "--index", in("worse.index"), "--out", in("worse"))
	var out, errs bytes.Buffer
	if code := run([]string{"eval", "diff", in("report"), in("worse"), "--fail-if", "bm25 ndcg@10 drop > 0.01"}, &out, &errs); code != 1 {
		t.Errorf("diff with a worse index ends with %d: %s%s", code, out.String(), errs.String())
	}
	t.Log(out.String())
	command("eval", "diff", in("report"), in("report"), "--fail-if", "ndcg@10 drop > 0.01", "--fail-if", "pool:ndcg drop > 0")
}

func mean(t *testing.T, r *eval.Report, task, metric, system string) float64 {
	for _, x := range r.Tasks {
		for _, m := range x.Metrics {
			for i, s := range r.Systems {
				if x.Name == task && m.Metric == metric && s.Name == system {
					return float64(m.Values[i].Mean)
				}
			}
		}
	}
	t.Fatalf("the report has no %s of %s in task %s", metric, system, task)
	return 0
}
