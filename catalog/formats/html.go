package formats

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Texts of shops often hold HTML: entities, and tags in descriptions. Only what is
// HTML beyond doubt is taken for it. An entity ends with a semicolon, for "R&D" and
// "a&notes" are text; a tag has the name of an HTML element and attributes that are
// spelled as such, for "<3mm" and "5 < 6" are text; one that belongs within a line is in
// small letters or is closed somewhere, for <S> may be a size.

var (
	entity = regexp.MustCompile(`&(?:[a-zA-Z][a-zA-Z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});`)
	tag    = regexp.MustCompile(`<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z_:@][-a-zA-Z0-9_:.]*\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))*\s*/?)>`)
	hidden = regexp.MustCompile(`(?is)<!--.*?-->|<script(?:\s[^<>]*)?>.*?</script\s*>|<style(?:\s[^<>]*)?>.*?</style\s*>`)
	inline = set(`a abbr acronym b bdi bdo big center cite code data del dfn em font i ins kbd label mark nobr q s samp small span strike strong sub sup time tt u var wbr`)
	block  = set(`address area article aside audio base blockquote body br button canvas caption col colgroup dd details div dl dt embed fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe img input li link main map meta nav noscript object ol optgroup option p param picture pre section select source summary svg table tbody td template textarea tfoot th thead title tr track ul video`)
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		m[word] = true
	}
	return m
}

// plainText returns s without HTML, and whether there was any. Elements that begin
// a line of their own do so in the text.
func plainText(s string) (string, bool) {
	if !strings.ContainsAny(s, "<&") {
		return s, false
	}
	t := stripTags(s)
	tagged := t != s
	decoded := decodeEntities(t)
	if !tagged && decoded != t {
		// All of it may have been escaped once more, tags too.
		if again := stripTags(decoded); again != decoded {
			decoded, tagged = decodeEntities(again), true
		}
	}
	if decoded == s {
		return s, false
	}
	return tidy(decoded), true
}

// tidy returns s with one space or one line end for each run of white space.
func tidy(s string) string {
	b := make([]byte, 0, len(s))
	gap := byte(0)
	for _, c := range s {
		switch {
		case c == '\n' || c == '\u2028' || c == '\u2029':
			gap = '\n'
		case unicode.IsSpace(c):
			if gap == 0 {
				gap = ' '
			}
		default:
			if gap != 0 && len(b) > 0 {
				b = append(b, gap)
			}
			gap = 0
			b = utf8.AppendRune(b, c)
		}
	}
	return string(b)
}

func decodeEntities(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	return entity.ReplaceAllStringFunc(s, func(e string) string {
		// Of an unknown name the beginning may be an entity without a semicolon, as &not
		// is of &notation;: browsers take it for that, and people do not mean it.
		if text := html.UnescapeString(e); text == ";" || !strings.HasSuffix(text, ";") {
			return text
		}
		return e
	})
}

func stripTags(s string) string {
	if !strings.Contains(s, "<") || !strings.Contains(s, ">") {
		return s
	}
	s = hidden.ReplaceAllString(s, "\n")
	lower, closed := "", map[string]bool{}
	isClosed := func(name string) bool {
		if _, known := closed[name]; !known {
			if lower == "" {
				lower = strings.ToLower(s)
			}
			closed[name] = strings.Contains(lower, "</"+name+">")
		}
		return closed[name]
	}
	return tag.ReplaceAllStringFunc(s, func(t string) string {
		parts := tag.FindStringSubmatch(t)
		name := strings.ToLower(parts[2])
		switch {
		case inline[name] && name != parts[2] && parts[1] == "" && strings.TrimSpace(parts[3]) == "" && name != "wbr" && !isClosed(name):
			return t // "Size <S> to <XL>"
		case inline[name]:
			return ""
		case block[name]:
			return "\n"
		}
		return t
	})
}
