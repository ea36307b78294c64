// Package english writes numbers with the words that follow from them.
package english

import (
	"strconv"
	"strings"
)

// Count writes how many there are of something that is named in the singular: "1 query",
// "2 queries", "0 products".
func Count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + Plural(unit)
}

// CountOf writes a share: "1 of 1 query", "1 of 2 queries".
func CountOf(n, all int, unit string) string {
	return strconv.Itoa(n) + " of " + Count(all, unit)
}

// Choose returns the form of a word that goes with n, such as "is" or "are".
func Choose(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Plural is the plural of a noun that is formed by the rules, as those of this program are.
func Plural(unit string) string {
	if rest, ok := strings.CutSuffix(unit, "ix"); ok {
		return rest + "ices" // matrices
	}
	if rest, ok := strings.CutSuffix(unit, "y"); ok && !strings.ContainsAny(rest[max(0, len(rest)-1):], "aeiou") {
		return rest + "ies"
	}
	for _, hiss := range []string{"s", "x", "ch", "sh"} {
		if strings.HasSuffix(unit, hiss) {
			return unit + "es"
		}
	}
	return unit + "s"
}
