package judgments

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// fuzz reads bytes as a file of a format.
func fuzz(f *testing.F, format string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		Recognise(b, nil)
		file, err := textfile.New(bytes.NewReader(b))
		if err != nil {
			return // the decompressor's to refuse
		}
		r := &reader{format: format, file: "f", said: map[string]string{}}
		r.yield = func(j Judgment, err error) bool {
			if fault := (*faults.Fault)(nil); errors.As(err, &fault) {
				if fault.File == "" || fault.Line < 1 || fault.Kind == "" || fault.Reason == "" {
					t.Errorf("%+v", fault)
				}
				return true
			}
			if err != nil {
				t.Errorf("%v is no fault", err)
			}
			if j.Label == Unlabelled {
				return true
			}
			id := j.QueryID + j.Query
			if id == "" || j.Product == "" || !utf8.ValidString(id+j.Product+string(j.Label)+j.Split) || hasControl(j.QueryID+j.Product) {
				t.Errorf("%+v", j)
			}
			for _, s := range []string{j.QueryID, j.Query, j.Product} {
				if s != "" && strings.TrimSpace(s) == "" {
					t.Errorf("%+v has %q", j, s)
				}
			}
			if r.line < 1 {
				t.Errorf("a judgement of line %d", r.line)
			}
			return true
		}
		if err := r.read(file); err == errStop {
			t.Error(err)
		}
	})
}

func FuzzTREC(f *testing.F) { fuzz(f, TREC, "1 0 d 1\n1\t0\td 2\r\n1 0\n\n", "\v1 0 \u00a0 1\n") }

func FuzzCSV(f *testing.F) {
	fuzz(f, CSV, "query,product_id,label,query_id,split\nq,1,E,7,train\n\"q\",2\n,,,,\n", "query;asin;grade\nq;1;\"2\n", "query_id\tdocid\tscore\n1\t\"\t2\n")
}

func FuzzBEIR(f *testing.F) { fuzz(f, BEIR, "query-id\tcorpus-id\tscore\n1\ta\t1\n") }

func FuzzQuepid(f *testing.F) {
	fuzz(f, Quepid, "query,docid,rating\nq,1,3\nr\ns,2,\n", "query,docid,A,B\nq,1,3,2\nq,2,x,1\n", "Query Text,Doc ID,Rating\n5\" tv,1,2\n", quepidBook,
		`{"queries": [{"query_text": "tv", "ratings": {"d1": 3}}, {"query": "x", "ratings": [{"doc_id": 1, "rating": "2"}]}]}`)
}

func FuzzRRE(f *testing.F) {
	fuzz(f, RRE, rreFile, `{"query_groups": [{"relevant_documents": {"1": {"gain": 3}}, "queries": [{"placeholders": {"$query": "q"}}]}]}`,
		`{"queries": [{"placeholders": {"q": "\ud800"}, "relevant_documents": [{"document_id": 1, "gain": 2}]}]}`)
}

func FuzzOpenSearch(f *testing.F) {
	fuzz(f, OpenSearch, opensearchList, `{"judgmentScores": {"q": [{"docId": "1", "score": "1"}], "r": {"2": null}}}`,
		`{"hits": {"hits": [{"_source": {}}]}} [[{"query": "q", "ratings": {"a": 1}}]]`)
}
