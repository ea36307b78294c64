// Package trec has what the text files of TREC have in common: fields parted by
// white space, and ids that have none.
package trec

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Split puts the fields of a line, parted by ASCII white space as trec_eval parts
// them, into words; it returns how many there are, up to len(words).
func Split(line []byte, words [][]byte) int {
	n := 0
	for i := 0; i < len(line) && n < len(words); {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		start := i
		for i < len(line) && !isSpace(line[i]) {
			i++
		}
		if i > start {
			words[n] = line[start:i]
			n++
		}
	}
	return n
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// Count spells the number of fields that Split found where it wants most.
func Count(n, most int) string {
	if n > most {
		return "more than " + string(rune('0'+most))
	}
	return string(rune('0' + n))
}

// Unwritable reports whether c cannot stand in a field of a TREC file.
func Unwritable(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }

// IDError says that an id cannot stand in a TREC file.
type IDError struct{ reason string }

// Error names the id and what is wrong with it.
func (e *IDError) Error() string { return e.reason }

// Writable refuses ids that cannot stand in a TREC file, with an *IDError; what says of
// what they are.
func Writable(what, id string) error {
	fail := func(format string, args ...any) error { return &IDError{fmt.Sprintf(format, args...)} }
	switch {
	case id == "":
		return fail("a %s has no id", what)
	case !utf8.ValidString(id):
		return fail("%s id %.80q is not valid UTF-8", what, id)
	case strings.ContainsFunc(id, Unwritable):
		return fail("%s id %.80q has white space or a control character in it, which TREC files cannot hold (give it another id)", what, id)
	}
	return nil
}
