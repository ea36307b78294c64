package formats

import (
	"reflect"
	"strings"
	"testing"

	"github.com/trirank/trirank/judgments"
)

func beir(t *testing.T, scores string) string {
	return folder(t, map[string]string{
		"corpus.jsonl":    `{"_id": "d1", "title": "Mug", "text": "A mug."}` + "\n" + `{"_id": "d2", "title": "", "text": "` + strings.Repeat("word ", 60) + `", "metadata": {"url": "u"}}`,
		"queries.jsonl":   `{"_id": "q1", "text": "mug"}`,
		"qrels/test.tsv":  "query-id\tcorpus-id\tscore\n" + scores,
		"qrels/train.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t0\n",
		"README.md":       "# not read",
	})
}

func TestBEIR(t *testing.T) {
	in := open(t, Options{}, beir(t, "q1\td2\t1\nq9\td2\t1\nq1\td2\tx\n"))
	products := sound(t, in.Products)
	if in.Format != BEIR || products[0].Title != "Mug" || products[0].Description != "A mug." {
		t.Errorf("format %s, %+v", in.Format, products)
	}
	if title := products[1].Title; len(title) > 125 || !strings.HasSuffix(title, "word…") || extraNames(products[1]) != "metadata" {
		t.Errorf("%+v", products[1])
	}
	judged, faults, err := drain(in.Judgments)
	want := []judgments.Judgment{{QueryID: "q1", Query: "mug", Product: "d2", Label: "1", Split: "test"},
		{QueryID: "q1", Query: "mug", Product: "d1", Label: "0", Split: "train"}}
	if !reflect.DeepEqual(judged, want) || err != nil {
		t.Errorf("judgements %+v, error %v", judged, err)
	}
	wantFaults(t, faults, `test.tsv: line 3: query "q9" is not in`, `test.tsv: line 4: query "q1", product "d2": label "x" is none of E, S, C, I`)
}

func TestBEIRScores(t *testing.T) {
	esci := map[int]judgments.Label{1: "C", 10: "S", 100: "E"}
	for _, tt := range []struct {
		scores map[int]judgments.Label
		rows   string
		want   string
	}{
		{nil, "1 0 -1", "10-1"}, {esci, "100 10 1 0", "ESCI"}, {esci, "99", "S"},
	} {
		rows := ""
		for s := range strings.FieldsSeq(tt.rows) {
			rows += "q1\td2\t" + s + "\n"
		}
		got := ""
		for _, j := range sound(t, open(t, Options{Scores: tt.scores}, beir(t, rows)).Judgments) {
			if j.Split == "test" {
				got += j.Label.String()
			}
		}
		if got != tt.want {
			t.Errorf("scores %s, labels %s, want %s", tt.rows, got, tt.want)
		}
	}
}
