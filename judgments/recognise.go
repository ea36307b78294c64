package judgments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// examine tells the format of the file at path, if it is not given, by what the
// file begins with.
func examine(path, format string, r *reader) (string, error) {
	if format == Parquet {
		return format, nil
	}
	f, err := textfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	start := f.Peek()
	if format == "" && bytes.HasPrefix(start, []byte("PAR1")) {
		return Parquet, nil
	}
	if err := textfile.Legible(start); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if format == "" {
		if format, err = r.recognise(start); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
	}
	return format, nil
}

// Recognise tells which of the formats judgments are of by the beginning of a file, or
// "" if it does not look like judgments. fields is ReadOptions.Fields.
func Recognise(start []byte, fields map[string]string) string {
	if textfile.Legible(start) != nil {
		return ""
	}
	r := &reader{o: ReadOptions{Fields: fields}}
	format, _ := r.recognise(start)
	return format
}

// recognise tells the format of a file by its beginning.
func (r *reader) recognise(start []byte) (string, error) {
	unknown := fmt.Errorf("its format cannot be recognised: say with --judgments-format which of %s it is", strings.Join(All, ", "))
	if text := bytes.TrimSpace(start); text[0] == '{' || text[0] == '[' {
		if format := recogniseJSON(text); format != "" {
			return format, nil
		}
		return "", unknown
	}
	line := firstLine(start)
	header := r.splitHeader(line)
	c := findColumns(header, r.o.Fields)
	switch {
	case isQuepid(header):
		return Quepid, nil
	case c.queryID >= 0 && c.product >= 0 && table.Fold(header[c.product]) == "corpusid":
		return BEIR, nil
	case c.missing() == "", (c.query >= 0 || c.queryID >= 0) && c.product >= 0: // what is missing is said when it is read
		return CSV, nil
	}
	words := strings.Fields(string(line))
	switch {
	case len(words) == 4 && isLabel(words[3]):
		return TREC, nil
	case len(words) == 6 && isNumber(words[3]) && isNumber(words[4]):
		return "", fmt.Errorf("it is a run, which lists results, where judgements are needed")
	case isRow(header):
		return "", errNoHeader
	}
	return "", unknown
}

// decisive are the names of fields that one format alone has.
var decisive = map[string]string{
	"query_doc_pairs": Quepid, "case_name": Quepid, "query_text": Quepid,
	"topics": RRE, "query_groups": RRE, "id_field": RRE, "query_placeholder": RRE, "placeholders": RRE, "relevant_documents": RRE,
	"judgmentRatings": OpenSearch, "judgmentScores": OpenSearch, "_source": OpenSearch, "docId": OpenSearch,
}

// recogniseJSON goes by the first field with a decisive name.
func recogniseJSON(start []byte) string {
	d := json.NewDecoder(bytes.NewReader(start))
	var inObject []bool // for each value that is open
	key, queries := true, false
	for {
		t, err := d.Token()
		if err != nil {
			return "" // at the end of what was read, at the latest
		}
		within := len(inObject) > 0 && inObject[len(inObject)-1]
		name, isString := t.(string)
		if within && key && isString {
			if format := decisive[name]; format != "" {
				return format
			}
			// Quepid's ratings alone; others have their ratings elsewhere.
			if name == "ratings" && queries {
				return Quepid
			}
			queries = queries || name == "queries"
			key = false
			continue
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			inObject = append(inObject, t == json.Delim('{'))
		case json.Delim('}'), json.Delim(']'):
			inObject = inObject[:len(inObject)-1]
		}
		key = true // next in an object, for here a value has begun or ended
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func isLabel(s string) bool {
	l, err := ParseLabel(s)
	return err == nil && l != Unlabelled
}
