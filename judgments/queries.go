package judgments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

// QueryText is a query of a file of queries.
type QueryText struct {
	ID   string // empty where the file has none
	Text string
	Line int // where it stands, from 1
}

// ReadQueries reads a file of queries, in order: a table whose first line names the
// columns, query and (where there are any) query_id among them; lines of id, tab and
// text; JSON lines as BEIR ("_id", "text") or a log ("query_id", "query" or
// "user_query") has them; or a text a line, where no line has a tab. Texts are as
// the file spells them. An error names the file and the line.
func ReadQueries(path string) ([]QueryText, error) {
	f, err := textfile.OpenOnce(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	start := f.Peek()
	if err := textfile.Legible(start); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	q := &queryReader{path: path}
	header := table.Split(firstLine(start), 0, func(header []string) bool { return findColumns(header, nil).query >= 0 })
	if c := findColumns(header, nil); c.query >= 0 && (c.queryID >= 0 || !slices.ContainsFunc(header, isNumber)) && start[0] != '{' {
		err = q.table(f)
	} else {
		err = q.lines(f)
	}
	if err != nil {
		return nil, err
	}
	if len(q.list) == 0 {
		return nil, fmt.Errorf("%s has no query", path)
	}
	return q.list, nil
}

type queryReader struct {
	path string
	list []QueryText
	// plain counts lines that are a text without an id, and tabbed those with one.
	plain, tabbed int
}

func (q *queryReader) table(f *textfile.File) error {
	t, err := table.New(f, table.Options{Max: maxRow, Known: func(header []string) bool { return findColumns(header, nil).query >= 0 }})
	if err != nil {
		return fmt.Errorf("%s: %w", q.path, err)
	}
	c := findColumns(t.Header, nil)
	for {
		record, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && Normalize(field(record, c.query)) == "" {
			err = &table.Error{Line: t.Line(), Reason: "the query has no text"}
		}
		if err == nil && !utf8.ValidString(record[c.query]) {
			err = &table.Error{Line: t.Line(), Reason: "the line is not valid UTF-8 (convert the file)"}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q.path, err)
		}
		q.list = append(q.list, QueryText{field(record, c.queryID), field(record, c.query), t.Line()})
	}
}

func (q *queryReader) lines(f *textfile.File) error {
	lines := textfile.NewLines(f, maxLine)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = q.add(line, lines.Number())
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", q.path, lines.Number(), err)
		}
	}
}

func (q *queryReader) add(line []byte, number int) error {
	line = bytes.TrimRight(line, "\r\n ")
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if !utf8.Valid(line) {
		return errors.New("the line is not valid UTF-8 (convert the file)")
	}
	var query QueryText
	switch {
	case line[0] == '{':
		var err error
		if query, err = queryOfJSON(line); err != nil {
			return err
		}
	default:
		parts := strings.Split(string(line), "\t")
		switch {
		case len(parts) > 2:
			return fmt.Errorf("it has %d fields parted by tabs, and an id and a text are wanted (name the columns query_id and query in the first line)", len(parts))
		case len(parts) == 2:
			query = QueryText{ID: trim(parts[0]), Text: trim(parts[1])}
			q.tabbed++
			if query.ID == "" {
				return errors.New("the query has no id before the tab")
			}
		default:
			query = QueryText{Text: trim(parts[0])}
			q.plain++
		}
		if q.tabbed > 0 && q.plain > 0 {
			return errors.New("there is no tab between the id of the query and its text, or one where lines before have none")
		}
	}
	if Normalize(query.Text) == "" {
		return errors.New("the query has no text")
	}
	query.Line = number
	q.list = append(q.list, query)
	return nil
}

func queryOfJSON(line []byte) (QueryText, error) {
	var o struct {
		BEIR      json.RawMessage `json:"_id"` // a text or a number
		QueryID   json.RawMessage `json:"query_id"`
		Text      string          `json:"text"`
		Query     string          `json:"query"`
		UserQuery string          `json:"user_query"`
	}
	if err := json.Unmarshal(line, &o); err != nil {
		return QueryText{}, fmt.Errorf("not a query as BEIR or a query log has them: %w", err)
	}
	var q QueryText
	for _, raw := range []json.RawMessage{o.BEIR, o.QueryID} {
		if q.ID == "" && len(raw) > 0 && json.Unmarshal(raw, &q.ID) != nil {
			q.ID = string(raw)
		}
	}
	for _, text := range []string{o.Text, o.Query, o.UserQuery} {
		if q.Text == "" {
			q.Text = text
		}
	}
	q.ID, q.Text = trim(q.ID), trim(q.Text)
	return q, nil
}

// texts are the texts of queries by id.
type texts struct {
	path string
	byID map[string]string
}

// readTexts reads a file of queries that must have ids.
func readTexts(path string) (*texts, error) {
	list, err := ReadQueries(path)
	if err != nil {
		return nil, err
	}
	t := &texts{path: path, byID: make(map[string]string, len(list))}
	if i := slices.IndexFunc(list, func(q QueryText) bool { return q.ID == "" }); i >= 0 {
		return nil, fmt.Errorf("%s: line %d: query %.80q has no id (write lines of id, tab and text, or name the columns query_id and query)", path, list[i].Line, list[i].Text)
	}
	for _, q := range list {
		q.ID = Normalize(q.ID)
		if known, ok := t.byID[q.ID]; ok && Normalize(known) != Normalize(q.Text) {
			return nil, fmt.Errorf("%s: line %d: query %.80q has the text %.80q, but %.80q before (give each query an id of its own)", path, q.Line, q.ID, q.Text, known)
		}
		t.byID[q.ID] = q.Text
	}
	return t, nil
}
