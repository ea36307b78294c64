package judgments

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Normalize returns the text that a query is known by: composed letters (NFC), one
// space where there is white space, and no marks that nobody sees (byte order marks,
// zero-width spaces). Case counts.
func Normalize(text string) string {
	if isPlain(text) {
		return text
	}
	if strings.ContainsFunc(text, unseen) {
		text = strings.Map(func(c rune) rune {
			if unseen(c) {
				return -1
			}
			return c
		}, text)
	}
	if norm.NFC.QuickSpanString(text) != len(text) {
		text = norm.NFC.String(text)
	}
	return strings.Join(strings.FieldsFunc(text, unicode.IsSpace), " ")
}

// SaysNoMore reports whether an id says no more of a query than its normalized text does:
// it is the text, or made of it.
func SaysNoMore(id, text string) bool {
	return id == text || len(id) == idLength && id[0] == idLetter && id == ID(text)
}

// isPlain reports whether a text is ASCII and normal as it is, as most are.
func isPlain(text string) bool {
	before := byte(' ')
	for i := range len(text) {
		c := text[i]
		if c <= ' ' && (c != ' ' || before == ' ') || c >= 0x7f {
			return false
		}
		before = c
	}
	return before != ' ' || text == ""
}

func unseen(c rune) bool { return c == '\ufeff' || c == '\u200b' || c == '\u2060' }

// Fold makes texts of queries comparable where a difference in case does not matter,
// such as whether a model has seen a query.
func Fold(text string) string { return strings.ToLower(Normalize(text)) }

// ID is the id of a query that its source gives none: a letter and 64 bits of the
// SHA-256 of its normalized text, in hexadecimal. It depends on nothing but the text.
func ID(text string) string {
	sum := sha256.Sum256([]byte(Normalize(text)))
	return string(idLetter) + hex.EncodeToString(sum[:8])
}

// What an id that is made of a text begins with, and its length.
const (
	idLetter = 't'
	idLength = 1 + 2*8
)
