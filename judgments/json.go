package judgments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/table"
	"github.com/trirank/trirank/internal/textfile"
)

const (
	maxJSON  = 1 << 30 // bytes, of a file of JSON, decompressed
	maxToken = 1 << 22 // bytes, of one text or number
	maxDepth = 100     // of values within values
)

// document reads a file of JSON value by value, so that memory is needed for one
// query only and faults can name their lines.
type document struct {
	*reader
	file   *textfile.File
	tokens *json.Decoder
	// window is what was read of the file but is not yet part of a token.
	window   []byte
	consumed int64 // bytes before window
	depth    int
}

func (r *reader) document(f *textfile.File) *document {
	r.line = 1
	d := &document{reader: r, file: f}
	d.tokens = json.NewDecoder(d)
	d.tokens.UseNumber() // labels stay as they are spelled
	return d
}

// Read reads the file for the decoder.
func (d *document) Read(p []byte) (int, error) {
	switch {
	case len(d.window) > maxToken:
		return 0, fmt.Errorf("%w: over %d bytes in one value", textfile.ErrTooLong, maxToken)
	case d.consumed > maxJSON:
		return 0, fmt.Errorf("the file has over %d bytes (split it, or convert it to CSV)", maxJSON)
	}
	n, err := d.file.Read(p)
	d.window = append(d.window, p[:n]...)
	return n, err
}

// token returns the next token. At the end of the file the error is io.EOF.
func (d *document) token() (json.Token, error) {
	t, err := d.tokens.Token()
	if err != nil {
		return nil, d.unreadable(err)
	}
	n := int(d.tokens.InputOffset() - d.consumed)
	text := d.window[:n]
	d.window, d.consumed = d.window[n:], d.consumed+int64(n)
	d.line += bytes.Count(text, []byte("\n"))
	switch t := t.(type) {
	case json.Delim:
		switch t {
		case '{', '[':
			d.depth++
		default:
			d.depth--
		}
		if d.depth > maxDepth {
			return nil, d.broken(fmt.Errorf("over %d values lie within each other", maxDepth))
		}
	case string:
		if !utf8.Valid(text) {
			// The decoder replaced what is not UTF-8; emit is to see it.
			return strings.ReplaceAll(t, string(utf8.RuneError), "\xff"), nil
		}
	}
	return t, nil
}

func (d *document) unreadable(err error) error {
	var syntax *json.SyntaxError
	switch {
	case err == io.EOF && d.depth == 0:
		return io.EOF
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return d.broken(errors.New("the file is cut off within JSON (fetch or make it again)"))
	case errors.As(err, &syntax):
		// What is not yet a token may hold line ends before the error.
		at := min(max(0, syntax.Offset-d.consumed), int64(len(d.window)))
		d.line += bytes.Count(d.window[:at], []byte("\n"))
		return d.broken(fmt.Errorf("not valid JSON: %w", err))
	}
	return d.broken(err)
}

// all calls each for each value of the file; each must read it.
func (d *document) all(each func() error) error {
	for d.tokens.More() {
		if err := each(); err != nil {
			return err
		}
	}
	if _, err := d.token(); err != io.EOF {
		return err
	}
	return nil
}

// walk reads the next value: object is called with the name of each field of an
// object and must read its value, array for each element of an array and must
// read it. Null is nothing; another value, or one whose function is nil, is a
// fault of what.
func (d *document) walk(what string, object func(name string) error, array func() error) error {
	t, err := d.token()
	if err != nil {
		return err
	}
	return d.walkFrom(t, what, object, array)
}

// walkFrom is walk for a value whose first token was read.
func (d *document) walkFrom(t json.Token, what string, object func(name string) error, array func() error) error {
	switch {
	case t == nil:
		return nil
	case t == json.Delim('{') && object != nil:
		for d.tokens.More() {
			name, err := d.token()
			if err != nil {
				return err
			}
			if err := object(trim(name.(string))); err != nil {
				return err
			}
		}
	case t == json.Delim('[') && array != nil:
		for d.tokens.More() {
			if err := array(); err != nil {
				return err
			}
		}
	default:
		if err := d.fault(faults.Malformed, "%s cannot be %s", what, describe(t)); err != nil {
			return err
		}
		return d.skipFrom(t)
	}
	_, err := d.token()
	return err
}

func describe(t json.Token) string {
	switch t {
	case json.Delim('{'):
		return "an object"
	case json.Delim('['):
		return "a list"
	}
	return fmt.Sprintf("%.40q", fmt.Sprint(t))
}

// skip passes over the next value.
func (d *document) skip() error {
	t, err := d.token()
	if err != nil {
		return err
	}
	return d.skipFrom(t)
}

func (d *document) skipFrom(t json.Token) error {
	if t != json.Delim('{') && t != json.Delim('[') {
		return nil
	}
	for within := d.depth - 1; d.depth > within; {
		if _, err := d.token(); err != nil {
			return err
		}
	}
	return nil
}

// text reads a text or a number; null is not there. What is neither is "", for
// emit to refuse.
func (d *document) text() (s string, there bool, err error) {
	t, err := d.token()
	if err != nil {
		return "", false, err
	}
	return d.textFrom(t)
}

func (d *document) textFrom(t json.Token) (s string, there bool, err error) {
	switch t := t.(type) {
	case nil:
		return "", false, nil
	case string:
		return trim(t), true, nil
	case json.Number:
		return t.String(), true, nil
	case json.Delim:
		return "", true, d.skipFrom(t)
	}
	return fmt.Sprint(t), true, nil // true or false
}

// label reads a label; null is not there. What is no label, such as a list, is named,
// for emit to refuse.
func (d *document) label() (s string, there bool, err error) {
	t, err := d.token()
	if err != nil {
		return "", false, err
	}
	if t == json.Delim('{') || t == json.Delim('[') {
		return describe(t), true, d.skipFrom(t)
	}
	return d.textFrom(t)
}

func trim(s string) string { return strings.TrimSpace(s) }

// rated is a label of a product, and the line it was read from.
type rated struct {
	product, label string
	line           int
}

// ratedQuery reads an object with a query and its ratings, which Quepid and
// OpenSearch spell alike but for the names. The functions are those of walk:
// other reads the other fields, list the elements where the value is a list.
func (d *document) ratedQuery(other func(name string) error, list func() error) error {
	var query string
	var all []rated
	err := d.walk("a query", func(name string) (err error) {
		switch table.Fold(name) {
		case "query", "querytext":
			query, _, err = d.text()
		case "ratings":
			all, err = d.ratings()
		default:
			err = other(name)
		}
		return err
	}, list)
	if err != nil {
		return err
	}
	return d.emitAll(query, all)
}

// ratings reads {"id1": 3} or [{"docId": "id1", "rating": 3}]. What is rated null
// is not rated.
func (d *document) ratings() ([]rated, error) {
	var list []rated
	err := d.walk("ratings", func(product string) error {
		label, there, err := d.label()
		if there {
			list = append(list, rated{product, label, d.line})
		}
		return err
	}, func() error {
		r, null := rated{line: d.line}, false
		err := d.walk("a rating", func(name string) (err error) {
			switch table.Fold(name) {
			case "docid":
				r.product, _, err = d.text()
				r.line = d.line
			case "rating", "score":
				var there bool
				r.label, there, err = d.label()
				null = !there
			default:
				err = d.skip()
			}
			return err
		}, nil)
		if !null && (r.product != "" || r.label != "") {
			list = append(list, r)
		}
		return err
	})
	return list, err
}

// emitAll yields the judgements of a query, and leaves the line at hand as it is.
func (d *document) emitAll(query string, list []rated) error {
	here := d.line
	defer func() { d.line = here }()
	for _, r := range list {
		d.line = r.line
		if err := d.emit(Judgment{Query: query, Product: r.product}, r.label); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) skipField(string) error { return d.skip() }
