package formats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/textfile"
)

// queries are the texts of queries by id.
type queries struct {
	path  string
	texts map[string]string
}

// readQueries reads lines of id, tab and text, or of JSON as BEIR has them.
func readQueries(path string) (*queries, error) {
	f, err := textfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	q := &queries{path: path, texts: map[string]string{}}
	lines := textfile.NewLines(f, maxLine)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return q, nil
		}
		if err == nil {
			err = q.add(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, lines.Number(), err)
		}
	}
}

func (q *queries) add(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	if !utf8.Valid(line) {
		return errors.New("the line is not valid UTF-8 (convert the file)")
	}
	var id, text string
	if line[0] == '{' {
		var query struct {
			ID   json.RawMessage `json:"_id"` // a text or a number
			Text string          `json:"text"`
		}
		if err := json.Unmarshal(line, &query); err != nil {
			return fmt.Errorf("not a query as BEIR has them: %w", err)
		}
		if json.Unmarshal(query.ID, &id) != nil {
			id = string(query.ID)
		}
		text = query.Text
	} else {
		before, after, ok := bytes.Cut(line, []byte("\t"))
		if !ok {
			return errors.New("there is no tab between the id of the query and its text")
		}
		id, text = string(before), string(after)
	}
	id, text = trim(id), trim(text)
	if id == "" {
		return errors.New("the query has no id")
	}
	if known, ok := q.texts[id]; ok && known != text {
		return fmt.Errorf("query %.80q has the text %.80q, but %.80q before (give each query an id of its own)", id, text, known)
	}
	q.texts[id] = text
	return nil
}
