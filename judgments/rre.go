package judgments

import (
	"encoding/json"
	"fmt"

	"github.com/trirank/trirank/internal/faults"
	"github.com/trirank/trirank/internal/textfile"
)

// maxPairs bounds the judgements that one group of a ratings file stands for: its
// queries times its documents. A small file could make them endless.
const maxPairs = 10_000_000

// rre yields the judgements of ratings files.
func (r *reader) rre(f *textfile.File) error {
	d := &ratingsFile{document: r.document(f)}
	return d.all(d.group)
}

type ratingsFile struct {
	*document
	placeholder string // which holds the texts of queries; "": not said
}

// group reads a topic, a group, or the file as a whole: whatever may hold queries
// and the documents that are relevant for them.
func (d *ratingsFile) group() error {
	var texts []string
	known := map[string]bool{"": true}
	var documents []rated
	err := d.walk("a topic or group", func(name string) (err error) {
		switch name {
		case "topics", "query_groups":
			err = d.walk(name, nil, d.group)
		case "queries":
			err = d.walk(name, nil, func() error {
				text, err := d.query()
				// Templates make several queries of one text.
				if !known[text] {
					known[text] = true
					texts = append(texts, text)
				}
				return err
			})
		case "relevant_documents":
			documents, err = d.documents()
		case "query_placeholder":
			d.placeholder, _, err = d.text()
		default:
			err = d.skip()
		}
		return err
	}, nil)
	if err != nil {
		return err
	}
	if len(texts) > 0 && len(documents) > maxPairs/len(texts) {
		return d.broken(fmt.Errorf("a group of %d queries and %d documents has over %d judgements (split it)", len(texts), len(documents), maxPairs))
	}
	for _, text := range texts {
		if err := d.emitAll(text, documents); err != nil {
			return err
		}
	}
	return nil
}

// query reads a query and returns its text, or "" if it has documents of its own,
// as in what Quepid exports for RRE: then its judgements are yielded.
func (d *ratingsFile) query() (text string, err error) {
	var placeholders map[string]string
	var documents []rated
	own, line := false, d.line
	err = d.walk("a query", func(name string) (err error) {
		switch name {
		case "placeholders":
			line = d.line
			placeholders, err = d.placeholders()
		case "relevant_documents":
			own = true
			documents, err = d.documents()
		default:
			err = d.skip()
		}
		return err
	}, nil)
	if err != nil {
		return "", err
	}
	text = d.textOf(placeholders)
	switch {
	case text == "":
		here := d.line
		d.line = line
		err = d.fault(faults.MissingField, "the query has no text: none of its placeholders is called $query (name the right one with query_placeholder)")
		d.line = here
		return "", err
	case own:
		return "", d.emitAll(text, documents)
	}
	return text, nil
}

func (d *ratingsFile) placeholders() (map[string]string, error) {
	all := map[string]string{}
	err := d.walk("placeholders", func(name string) error {
		text, there, err := d.text()
		if there {
			all[name] = text
		}
		return err
	}, nil)
	return all, err
}

// textOf returns what the placeholders of a query say is its text.
func (d *ratingsFile) textOf(placeholders map[string]string) string {
	for _, name := range []string{d.placeholder, "$query", "query", "$q", "q"} {
		if text, ok := placeholders[name]; ok {
			return text
		}
	}
	if len(placeholders) == 1 {
		for _, text := range placeholders {
			return text
		}
	}
	return ""
}

// documents reads {"3": ["id1"]}, {"id1": {"gain": 3}}, {"id1": 3} or
// [{"document_id": "id1", "gain": 3}].
func (d *ratingsFile) documents() (list []rated, err error) {
	err = d.walk("relevant_documents", func(key string) error {
		t, err := d.token()
		if err != nil {
			return err
		}
		if _, ok := t.(json.Delim); !ok {
			label, _, err := d.textFrom(t)
			list = append(list, rated{key, label, d.line})
			return err
		}
		document := rated{product: key, line: d.line}
		err = d.walkFrom(t, key, func(name string) (err error) {
			if name != "gain" && name != "rating" {
				return d.skip()
			}
			document.label, _, err = d.label()
			return err
		}, func() error {
			id, _, err := d.text()
			list = append(list, rated{id, key, d.line})
			return err
		})
		if t == json.Delim('{') {
			list = append(list, document)
		}
		return err
	}, func() error {
		r := rated{line: d.line}
		err := d.walk("a document", func(name string) (err error) {
			switch name {
			case "document_id", "doc_id", "id":
				r.product, _, err = d.text()
				r.line = d.line
			case "gain", "rating":
				r.label, _, err = d.label()
			default:
				err = d.skip()
			}
			return err
		}, nil)
		list = append(list, r)
		return err
	})
	return list, err
}
