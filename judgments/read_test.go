package judgments

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	opensearchList = `{
 "name": "n", "status": "COMPLETED", "type": "IMPORT_JUDGMENT", "metadata": {"query": {"a": [1]}},
 "judgmentRatings": [
  {"query": "red dress", "ratings": [
   {"docId": "B1", "rating": "0.000"},
   {"rating": 1.50, "docId": "B2"}, {"docId": "B3", "rating": null}
  ]},
  {"ratings": [{"docId": "B1", "rating": "1"}], "query": "jeans"}
 ]
}`
	rreFile = `{"index": "i", "id_field": "id", "topics": [
 {"description": "Fender", "query_groups": [
  {"name": "Brand", "queries": [
    {"template": "a.json", "placeholders": {"$query": "fender", "$lang": "en"}},
    {"template": "b.json", "placeholders": {"$query": "fender"}},
    {"template": "b.json", "placeholders": {"$lang": "en", "$query": "Fender"}}],
   "relevant_documents": {
     "3": ["id1"],
     "2": ["id2", 7]}}]}]}`
	quepidBook = `{"name": "b", "support_implicit_judgements": null, "query_doc_pairs": [
 {"query_text": "tv", "doc_id": "d1", "position": 1, "document_fields": "{}", "judgements": [
  {"rating": 3.0, "unrateable": false, "user_email": "a@b"}, {"rating": 2.0}]},
 {"query_text": "tv", "doc_id": "d2", "judgements": [{"rating": 3}, {"rating": 1}, {"rating": 3}, {"rating": 0}]},
 {"query_text": "tv", "doc_id": "d3", "judgements": [{"rating": null, "unrateable": true}]},
 {"query_text": "tv", "doc_id": "d4", "judgements": [{"rating": 2, "unrateable": true}, {"rating": 1.0}]},
 {"query_text": "tv", "doc_id": "d5", "judgements": []}]}`
)

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, file, text, format, want string }{
		{"all columns", "a.csv", "query,product_id,esci_label,query_id,split\nusb cable,B1,E,7,train\n\"a, \"\"b\"\"\",B2, exact ,8,test\n", CSV,
			"2: 7|usb cable|B1|E|train\n3: 8|a, \"b\"|B2|E|test\n"},
		{"gz", "a.csv.gz", gz("query,product_id,label\nq,1,2\n"), CSV, "2: |q|1|2|\n"},
		{"mark and line ends", "a", "\ufeffquery,product_id,label\r\nq,1,2\r\n", CSV, "2: |q|1|2|\n"},
		{"semicolon", "a.csv", "Search Term;ASIN;Relevance\nq,r;1;2\n", CSV, "2: |q,r|1|2|\n"},
		{"pipe", "a.txt", "query|item_id|grade\nq|1|2\n", CSV, "2: |q|1|2|\n"},
		{"tab", "a.tsv", "query_id\tquery\tproduct_id\tlabel\n1\t13\" tv, new\tp\tE\n", CSV, "2: 1|13\" tv, new|p|E|\n"},
		{"ids only", "a.csv", "query_id,docid,judgement\n1,d,0\n\x02,d,0\n", CSV, "2: 1||d|0|\na.csv: line 3: query id \"\\x02\" has a control character\n"},
		{"faults of a table", "a.csv", "query,product_id,label\nq,1\n,2,E\nq,,E\nq,4,\nq,\"5\n\",E\nq,\xff,E\nq,\x01,E\nq,8,E\n", CSV,
			"a.csv: line 2: 2 fields, but the header has 3\n" +
				"a.csv: line 3: the judgement names no query\n" +
				"a.csv: line 4: query \"q\": the product id is empty\n" +
				"5: |q|4||\n" +
				"6: |q|5|E|\n" +
				"a.csv: line 8: query \"q\", product \"\\xff\": the text is not valid UTF-8 (convert the file)\n" +
				"a.csv: line 9: product id \"\\x01\" has a control character\n" +
				"10: |q|8|E|\n"},
		{"qrels", "q.txt", "\n301 0 FR94-1 1\n301\t0\tFR94-2\t-1\n\nq2 Q0 D 2.5\n", TREC, "2: 301||FR94-1|1|\n3: 301||FR94-2|-1|\n5: q2||D|2.5|\n"},
		{"faults of qrels", "q.txt", "1 0 d 1\n1 0 d\n1 0 a b 1\n1 0 \xff 1\n" + strings.Repeat("x", maxLine+3) + "\n1 0 e 1", TREC,
			"1: 1||d|1|\n" +
				"q.txt: line 2: 3 fields, but a judgement has 4: query, iteration, product, label\n" +
				"q.txt: line 3: more than 4 fields, but a judgement has 4: query, iteration, product, label\n" +
				"q.txt: line 4: query \"1\", product \"\\xff\": the text is not valid UTF-8 (convert the file)\n" +
				"q.txt: line 5: it is too long: over 1048576 bytes in one line\n" +
				"6: 1||e|1|\n"},
		{"beir", "dev.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n", BEIR, "2: q1||d1|1|dev\n"},
		{"beir of no split", "mine.tsv.gz", gz("query-id\tcorpus-id\tscore\nq1\td1\t1\n"), BEIR, "2: q1||d1|1|\n"},
		{"quepid basic", "r.csv", "query,docid,rating\n\nstar wars,11,3\n\" -1\",12,0\nnot rated\nstar wars,13,\n", Quepid,
			"3: |star wars|11|3|\n4: |-1|12|0|\n5: |not rated|||\n6: |star wars|13||\n"},
		{"quepid detailed", "r.csv", "Team Name,Case Name,Case ID,Query Text,Doc ID,Title,Rating,name\nT,C,1,tv,d1,5\"\" screen,3,x\nT,C,1,tv,d2,t,,x\nT,C,1,tv,,t,2,x\n", Quepid,
			"2: |tv|d1|3|\n3: |tv|d2||\nr.csv: line 4: query \"tv\": the product id is empty\n"},
		{"quepid without quotes", "r.csv", "Query Text,Doc ID,Rating\ntv,d1,--\ntv,d2,undefined\ntv,\"d\n32\n\",1\n", Quepid,
			"2: |tv|d1||\n3: |tv|d2||\nr.csv: line 4: product id \"d\\n32\" has a control character\n"},
		{"quepid positions", "r.csv", "Team Name,Case Name,Case ID,Query Text,Doc ID,Doc Position,Rating\nT,C,1,tv,d1,1,3\n", Quepid, "2: |tv|d1|3|\n"},
		{"quepid book", "r.csv", "query,docid,Ann,Bob,Zoe,Anonymous\ntv,d1,3,,,\ntv,d2,3,2,,\ntv,d3,3,3,1,0\ntv,d4,,,,\ntv,d5,x,1,,\ntv,d6,0.5,1,,\n", Quepid,
			"2: |tv|d1|3|\n3: |tv|d2|3|\n4: |tv|d3|1|\nr.csv: line 6: query \"tv\", product \"d5\": rating \"x\" is no number\n7: |tv|d6|0.75|\n"},
		{"quepid book as JSON", "b.json", quepidBook, Quepid, "2: |tv|d1|3|\n4: |tv|d2|1|\n6: |tv|d4|1|\n"},
		{"quepid book of clicks", "b.json", `{"support_implicit_judgements": true, "query_doc_pairs": [{"query": "q", "doc_id": 1, "judgements": [{"rating": 1}, {"rating": 2}]}]}`,
			Quepid, "1: |q|1|1.5|\n"},
		{"quepid case as JSON", "c.json", "{\"case_name\": \"c\", \"queries\": [{\"query_text\": \"tv\", \"options\": {\"ratings\": 1}, \"ratings\": {\"d1\": 3,\n \"d2\": null, \"d3\": \"1\"}}, {\"query_text\": \"x\", \"ratings\": {}}]}",
			Quepid, "1: |tv|d1|3|\n2: |tv|d3|1|\n"},
		{"older quepid case", "c.json", `{"queries": [{"query_text": "tv", "ratings": [{"doc_id": "d1", "rating": 3, "user_email": "a"}]}]}`, Quepid, "1: |tv|d1|3|\n"},
		{"quepid queries by id", "c.json", `{"case_name": "c", "queries": {"17": {"query_text": "tv", "ratings": {"d1": true}}, "18": [], "19": 1.5}}`, Quepid,
			"c.json: line 1: query \"tv\", product \"d1\": label \"true\" is none of E, S, C, I (exact, substitute, complement, irrelevant) and no number\nc.json: line 1: a query cannot be a list\nc.json: line 1: a query cannot be \"1.5\"\n"},
		{"quepid ratings", "c.json", `{"queries": [{"query": "tv", "ratings": {"d1": 3}}]}`, Quepid, "1: |tv|d1|3|\n"},
		{"rre", "r.json", rreFile, RRE, "8: |fender|id1|3|\n9: |fender|id2|2|\n9: |fender|7|2|\n8: |Fender|id1|3|\n9: |Fender|id2|2|\n9: |Fender|7|2|\n"},
		{"rre gains", "r.json", `{"query_groups": [{"relevant_documents": {"1": {"gain": 3}, "2": 2, "3": {}}, "queries": [{"placeholders": {"$query": "q"}}]}]}`, RRE,
			"1: |q|1|3|\n1: |q|2|2|\n1: |q|3||\n"},
		{"rre list", "r.json", `{"query_placeholder": "text", "query_groups": [{"queries": [{"placeholders": {"$query": "no", "text": "yes"}}],
"relevant_documents": [{"document_id": "d1", "gain": 2}, {"gain": 0, "document_id": "d2"}]}]}`, RRE, "2: |yes|d1|2|\n2: |yes|d2|0|\n"},
		{"rre of quepid", "r.json", `{"id_field": "id", "index": "i", "template": "t.json", "queries": [
{"placeholders": {"$query": "q"}, "relevant_documents": {"1": ["193"]}},
{"placeholders": {"$a": 1, "$b": 2}, "relevant_documents": {"1": ["193"]}},
{"placeholders": {"$keywords": "r"}, "relevant_documents": {"2": ["157"], "1": []}}]}`, RRE,
			"2: |q|193|1|\nr.json: line 3: the query has no text: none of its placeholders is called $query (name the right one with query_placeholder)\n4: |r|157|2|\n"},
		{"opensearch", "o.json", opensearchList, OpenSearch, "5: |red dress|B1|0|\n6: |red dress|B2|1.5|\n8: |jeans|B1|1|\n"},
		{"opensearch gz", "o.json.gz", gz(opensearchList), OpenSearch, "5: |red dress|B1|0|\n6: |red dress|B2|1.5|\n8: |jeans|B1|1|\n"},
		{"opensearch answer", "o.json", "{\"took\": 1, \"hits\": {\"total\": {\"value\": 1}, \"hits\": [\n{\"_id\": \"x\", \"_source\": " + opensearchList + "}]}}", OpenSearch,
			"6: |red dress|B1|0|\n7: |red dress|B2|1.5|\n9: |jeans|B1|1|\n"},
		{"opensearch lines", "o.json", `{"_source": {"judgmentRatings": [{"query": "q", "ratings": [{"docId": "1", "rating": 1}]}]}}
{"_source": {"judgmentRatings": [{"query": "r", "ratings": [{"docId": "2", "rating": 0}]}]}}`, OpenSearch, "1: |q|1|1|\n2: |r|2|0|\n"},
		{"opensearch scores", "o.json", "{\"judgmentScores\": {\"red dress\": [\n{\"docId\": \"B1\", \"score\": \"0.5\"}],\n\"jeans\": {\"B2\": 1}}}", OpenSearch,
			"2: |red dress|B1|0.5|\n3: |jeans|B2|1|\n"},
		{"opensearch of another kind", "o.json", `{"judgmentScores": {"q": {"d": 1}}, "hits": {"hits": {"a": 1}}} ]`, OpenSearch,
			"1: |q|d|1|\nerror: o.json: line 1: not valid JSON: invalid character ']' looking for beginning of value\n"},
		{"opensearch queries", "o.json", `[{"query": "q", "ratings": [{"docId": "1", "rating": 1}]}]`, OpenSearch, "1: |q|1|1|\n"},
		{"faults of JSON", "o.json", "{\"judgmentRatings\": [\n{\"query\": \"q\", \"ratings\": [{\"rating\": 1},\n{\"docId\": \"a\"}, 7, {\"docId\": \"\\u0001\", \"rating\": 1},\n{\"docId\": \"b\", \"rating\": [1, {}]}, {\"docId\": \"\xff\", \"rating\": 1}]},\n{\"ratings\": {\"x\": 1}}, {\"query\": \"r\", \"ratings\": \"none\"}, null, {\"query\": \"r\", \"ratings\": {\"c\": 1}}]}", OpenSearch,
			"o.json: line 3: a rating cannot be \"7\"\n" +
				"o.json: line 2: query \"q\": the product id is empty\n" +
				"3: |q|a||\n" +
				"o.json: line 3: product id \"\\x01\" has a control character\n" +
				"o.json: line 4: query \"q\", product \"b\": label \"a list\" is none of E, S, C, I (exact, substitute, complement, irrelevant) and no number\n" +
				"o.json: line 4: query \"q\", product \"\\xff\": the text is not valid UTF-8 (convert the file)\n" +
				"o.json: line 5: the judgement names no query\n" +
				"o.json: line 5: ratings cannot be \"none\"\n" +
				"5: |r|c|1|\n"},
		{"cut JSON", "o.json", "{\"judgmentRatings\": [{\"query\": \"q\", \"ratings\": {\"c\": 1}},\n", OpenSearch,
			"1: |q|c|1|\nerror: o.json: line 1: the file is cut off within JSON (fetch or make it again)\n"},
		{"broken JSON", "o.json", "{\"judgmentRatings\": [\n{\"query\": \"q\",\n\"ratings\": {\"c\": 1}},\n{a", OpenSearch,
			"3: |q|c|1|\nerror: o.json: line 4: not valid JSON: invalid character 'a'\n"},
		{"nothing", "o.json", "{\"judgmentRatings\": []}", OpenSearch,
			"error: o.json has no judgements of format opensearch (if it is of another, say so with --judgments-format)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Read([]string{file(t, c.file, c.text)}, ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got := drain(s)
			if s.Format != c.format || got != c.want {
				t.Errorf("format %s:\n%s\nwant %s:\n%s", s.Format, got, c.format, c.want)
			}
			if again := drain(s); again != got {
				t.Errorf("read again:\n%s", again)
			}
		})
	}
}

// Files of several formats are read together.
func TestFormatsMixed(t *testing.T) {
	s, err := Read([]string{file(t, "a.csv", "query,product_id,label\nq,1,2\n"), file(t, "b", "7 0 d 1\n"), file(t, "c.json", `{"queries": [{"query": "tv", "ratings": {"d1": 3}}]}`)}, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := drain(s); s.Format != "csv, trec, quepid" || got != "2: |q|1|2|\n1: 7||d|1|\n1: |tv|d1|3|\n" {
		t.Errorf("%s: %s", s.Format, got)
	}
}

func TestFields(t *testing.T) {
	path := file(t, "a.csv", "search;article;stars;query\nq;1;2;no\n")
	s, err := Read([]string{path}, ReadOptions{Fields: map[string]string{"query": "search", "product": "article", "label": "stars"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := drain(s); got != "2: |q|1|2|\n" {
		t.Error(got)
	}
	if _, err := Read([]string{path}, ReadOptions{Fields: map[string]string{"price": "stars"}}); err == nil || !strings.Contains(err.Error(), "no field \"price\"") {
		t.Errorf("error %v", err)
	}
}

// TestQueries reads files of queries as people have them.
func TestQueries(t *testing.T) {
	for text, want := range map[string]string{
		"1\tone\n2\ttwo words\n": "1=one 2=two words",
		"one\n\ntwo words\r\n":   "=one =two words",
		"query_id\tquery\tquery_class\n0\tsalon chair\tMassage Chairs\n": "0=salon chair",
		"Query,Query ID,count\n\"a, b\",7,12\n":                          "7=a, b",
		"query,count\nfoo,3\n":                                           "=foo",
		"1\tquery\n2\ttv\n":                                              "1=query 2=tv",
		"query\nfoo\n":                                                   "=foo",
		"{\"_id\": \"1\", \"text\": \"one\"}\n":                          "1=one",
		"{\"query_id\": \"u1\", \"user_query\": \"red tv\", \"timestamp\": \"x\"}\n": "u1=red tv",
		"\xff\xfeo\x00n\x00e\x00": "=one",
	} {
		list, err := ReadQueries(file(t, "queries", text))
		var got []string
		for _, q := range list {
			got = append(got, q.ID+"="+q.Text)
		}
		if strings.Join(got, " ") != want || err != nil {
			t.Errorf("%q: %q, error %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "it is empty", "1\ta\tb\n": "line 1: it has 3 fields parted by tabs", "1\ta\nb\n": "line 2: there is no tab", "a\n1\tb\n": "line 2: there is no tab",
		"query_id,query\n1,\n": "line 2: the query has no text", "1\t\n2\tb": "line 1: the query has no text",
	} {
		if _, err := ReadQueries(file(t, "queries", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestTexts(t *testing.T) {
	qrels := file(t, "q", "1 0 d 1\n2 0 d 1\n3 0 d 1\n")
	for _, q := range []string{"1\tone\n2\ttwo words\n", "{\"_id\": \"1\", \"text\": \"one\"}\n\n{\"_id\": 2, \"text\": \"two words\", \"metadata\": {}}\n", gz("1\tone\n2\ttwo words\n")} {
		s, err := Read([]string{qrels}, ReadOptions{Queries: file(t, "queries", q)})
		if err != nil {
			t.Fatal(err)
		}
		got := drain(s)
		want := "1: 1|one|d|1|\n2: 2|two words|d|1|\nq: line 3: query \"3\" is not in "
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	for text, want := range map[string]string{
		"1\ta\n1\tb\n":      "line 2: query \"1\" has the text \"b\", but \"a\" before",
		"1 a\n":             "line 1: query \"1 a\" has no id",
		"{\"_id\": \"\"}":   "line 1: the query has no text",
		"{\"text\": \"a\"}": "line 1: query \"a\" has no id",
		"{":                 "line 1: not a query as BEIR or a query log has them",
		"1\t\xff":           "line 1: the line is not valid UTF-8",
	} {
		_, err := Read([]string{qrels}, ReadOptions{Queries: file(t, "queries", text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestFolderOfBEIR(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "qrels"), 0o755)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		os.WriteFile(path, []byte(text), 0o644)
		return path
	}
	train := write("qrels/train.tsv", "query-id\tcorpus-id\tscore\n1\ta\t1\n")
	test := write("qrels/test.tsv", "query-id\tcorpus-id\tscore\n2\tb\t0\n3\tb\t0\n")
	write("queries.jsonl", "{\"_id\": \"1\", \"text\": \"one\"}\n{\"_id\": \"2\", \"text\": \"two\"}\n")
	s, err := Read([]string{train, test}, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "2: 1|one|a|1|train\n2: 2|two|b|0|test\ntest.tsv: line 3: query \"3\" is not in "
	if got := drain(s); !strings.HasPrefix(got, want) || s.Format != BEIR {
		t.Errorf("%s: %s\nwant %s", s.Format, got, want)
	}
	for range s.Judgments {
		break // which must end reading
	}
}

// TestEarlyEnd stops at the first judgement or fault of each format.
func TestEarlyEnd(t *testing.T) {
	for _, text := range []string{
		"query,product_id,label\nq,1,2\nq,2,2\n", "query,product_id,label\nq,1\nq,2,2\n", "1 0 d 1\n1 0 e 1\n", "query-id\tcorpus-id\tscore\n1\t\t1\n1\ta\t1\n",
		"query,docid,rating\nq,1,2\nq,2,2\n", "query,docid,A\nq,1,2\nq,2,2\n", quepidBook, rreFile, opensearchList,
		`{"query_groups": 1, "topics": 2}`, `{"judgmentRatings": 1, "judgmentScores": 2}`,
	} {
		s, err := Read([]string{file(t, "f", text)}, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range s.Judgments {
			n++
			break // the runtime panics if the reader goes on
		}
		if n != 1 {
			t.Errorf("%.40q: nothing was yielded", text)
		}
	}
}

func TestGivenFormat(t *testing.T) {
	table := file(t, "a", "query,doc_id,rating\nq,1,2\nq,2,\n")
	for _, c := range []struct {
		o    ReadOptions
		want string
	}{
		{ReadOptions{Format: CSV}, "2: |q|1|2|\n3: |q|2||\n"},
		{ReadOptions{Format: Quepid}, "2: |q|1|2|\n3: |q|2||\n"},
		{ReadOptions{Format: CSV, Delimiter: ";"}, "error: a: there is no column query, product_id, label, only query,doc_id,rating (name the columns query, product_id and label, or say with --field which they are)\n"},
		{ReadOptions{Format: Quepid, Delimiter: "tab"}, "error: a: there are no columns query, docid and rating, only query,doc_id,rating\n"},
		{ReadOptions{Format: RRE}, "error: a: line 1: not valid JSON: invalid character 'q' looking for beginning of value\n"},
	} {
		s, err := Read([]string{table}, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := drain(s); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.o, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	good := file(t, "good.csv", "query,product_id,label\nq,1,2\n")
	f := func(text string) []string { return []string{file(t, "f", text)} }
	for _, c := range []struct {
		paths []string
		o     ReadOptions
		want  string
	}{
		{nil, ReadOptions{}, "no file is named"},
		{[]string{"nowhere"}, ReadOptions{}, "nowhere"},
		{[]string{t.TempDir()}, ReadOptions{}, "is a directory"},
		{f(""), ReadOptions{}, "it is empty"},
		{f(" \n"), ReadOptions{Format: CSV}, "it is empty"},
		{f("PAR1\x15"), ReadOptions{Format: CSV}, "Parquet"},
		{f("\x00\x01"), ReadOptions{}, "no text"},
		{f("cable,B1,E\n"), ReadOptions{}, "the first line must name the columns"},
		{f("1,usb cable,B1,2\n"), ReadOptions{}, "the first line must name the columns"},
		{f("cable,B1,E\n"), ReadOptions{Format: Quepid, Queries: "nowhere"}, "nowhere"},
		{f("1\tB1\t1\n"), ReadOptions{}, "the first line must name the columns"},
		{f("1 Q0 d 1 2.5 tag\n"), ReadOptions{}, "it is a run"},
		{f("hello, world\n"), ReadOptions{}, "which of csv, trec, beir, quepid, rre, opensearch, parquet it is"},
		{f(`{"a": "query_doc_pairs"}`), ReadOptions{}, "--judgments-format"},
		{f(`{"a": [`), ReadOptions{}, "--judgments-format"},
		{[]string{good}, ReadOptions{Format: "xml"}, `format "xml" is none of csv, trec`},
		{[]string{good}, ReadOptions{Delimiter: "::"}, `delimiter "::"`},
		{[]string{good}, ReadOptions{Delimiter: "\""}, "cannot part fields"},
		{[]string{good}, ReadOptions{Queries: "nowhere"}, "nowhere"},
	} {
		_, err := Read(c.paths, c.o)
		if err == nil || !strings.HasPrefix(err.Error(), "cannot read judgements: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %s", c.o, err, c.want)
		}
	}
}

// TestHostile reads files made to take all memory, stack or time.
func TestHostile(t *testing.T) {
	for _, c := range []struct{ format, text, want string }{
		{OpenSearch, strings.Repeat("[", 1_000_000), "lie within each other"},
		{OpenSearch, strings.Repeat(`{"_source":`, 1_000_000), "lie within each other"},
		{OpenSearch, `{"x":` + strings.Repeat("[", 1_000_000), "lie within each other"},
		{RRE, strings.Repeat(`{"topics":[`, 1_000_000), "lie within each other"},
		{Quepid, `{"queries": "` + strings.Repeat("x", 3*maxToken), "too long"},
		{RRE, `{"queries": [` + strings.Repeat(`{"placeholders":{"q":"1"}},`, 2) + `{}], "relevant_documents": {"1": [` + strings.Repeat("1,", 1000) + "1]}}", ""},
		{Quepid, "query,docid,rating\nq,1,1\nq,\"" + strings.Repeat("x", maxRow), "too long"},
		{CSV, "query,docid,label\nq,1,1\nq,\"" + strings.Repeat("x", maxRow), "too long"},
	} {
		s, err := Read([]string{file(t, "f", c.text)}, ReadOptions{Format: c.format})
		if err != nil {
			t.Fatal(err)
		}
		last := error(nil)
		for _, err := range s.Judgments {
			last = err
		}
		if c.want != "" && (last == nil || !strings.Contains(last.Error(), c.want)) {
			t.Errorf("%.40q: error %v, want %s", c.text, last, c.want)
		}
	}
	// Many queries times many documents.
	var many strings.Builder
	many.WriteString(`{"queries": [{"placeholders": {"q": "a"}}`)
	for i := range 5000 {
		many.WriteString(`,{"placeholders": {"q": "` + strconv.Itoa(i) + `"}}`)
	}
	many.WriteString(`], "relevant_documents": {"1": ["0"` + strings.Repeat(`,"1"`, 5000) + "]}}")
	s, err := Read([]string{file(t, "f", many.String())}, ReadOptions{Format: RRE})
	if err != nil {
		t.Fatal(err)
	}
	for j, err := range s.Judgments {
		if err == nil || !strings.Contains(err.Error(), "over 10000000 judgements") {
			t.Fatalf("%+v, error %v", j, err)
		}
	}
}

// BenchmarkSet reads a table of 200,000 judgements of 10,000 queries and puts them
// together.
func BenchmarkSet(b *testing.B) {
	var text strings.Builder
	text.WriteString("query_id,query,product_id,label\n")
	for q := range 10_000 {
		for p := range 20 {
			text.WriteString(strconv.Itoa(q) + ",some query text number " + strconv.Itoa(q) + ",B" + strconv.Itoa(7919*q+p) + "," + "ESCI"[(q+p)%4:][:1] + "\n")
		}
	}
	path := file(b, "judgments.csv", text.String())
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		src, err := Read([]string{path}, ReadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if s, _, err := NewSet(src, Options{}); err != nil || s.Count != 200_000 {
			b.Fatal(err)
		}
	}
}
