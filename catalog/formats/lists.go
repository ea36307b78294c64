package formats

import (
	"encoding/json"
	"strings"
)

// listIn reads a list that is spelled in a text, as in JSON or in Python.
func listIn(s string) ([]string, bool) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return nil, false
	}
	if strings.TrimSpace(s[1:len(s)-1]) == "" {
		return nil, true
	}
	var items []json.RawMessage
	if json.Unmarshal([]byte(s), &items) == nil {
		var list []string
		for _, item := range items {
			switch {
			case string(item) == "null":
			case item[0] == '[' || item[0] == '{':
				return nil, false
			default:
				text, err := (&cell{raw: item}).asText()
				if err != nil {
					return nil, false
				}
				list = append(list, text)
			}
		}
		return list, true
	}
	return pythonList(s[1 : len(s)-1])
}

// nestedIn reads the first list of a list of lists: several paths, of which the first
// counts.
func nestedIn(s string) ([]string, bool) {
	inner, ok := strings.CutPrefix(strings.TrimSpace(s), "[")
	if inner = strings.TrimSpace(inner); !ok || inner == "" || inner[0] != '[' || !strings.HasSuffix(inner, "]") {
		return nil, false
	}
	var items []json.RawMessage
	if json.Unmarshal([]byte(s), &items) == nil && len(items) > 0 {
		return listIn(string(items[0]))
	}
	first, _, _ := strings.Cut(inner, "]")
	return listIn(first + "]")
}

// pythonList reads the items of a list of texts as Python spells it: 'a', "it's".
func pythonList(s string) ([]string, bool) {
	var list []string
	for {
		s = strings.TrimSpace(s)
		if s == "" {
			return list, len(list) > 0
		}
		quote := s[0]
		if quote != '\'' && quote != '"' {
			return nil, false
		}
		var b strings.Builder
		i := 1
		for ; i < len(s) && s[i] != quote; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
				switch s[i] {
				case 'n':
					b.WriteByte('\n')
				case 't':
					b.WriteByte('\t')
				case '\\', '\'', '"':
					b.WriteByte(s[i])
				default: // of others there are few, and they stay as they are
					b.WriteByte('\\')
					b.WriteByte(s[i])
				}
				continue
			}
			b.WriteByte(s[i])
		}
		if i == len(s) {
			return nil, false
		}
		list = append(list, b.String())
		if s = strings.TrimSpace(s[i+1:]); s == "" {
			return list, true
		}
		if s[0] != ',' {
			return nil, false
		}
		s = s[1:]
	}
}

// splitLines parts a text into its lines or, where it has one only, at bars.
func splitLines(s string) []string {
	if list, ok := listIn(s); ok {
		return list
	}
	if s = strings.TrimSpace(s); !strings.Contains(s, "\n") && strings.Contains(s, "|") {
		return strings.Split(s, "|")
	}
	return strings.Split(s, "\n")
}

// isArrow reports whether c parts a path beyond doubt.
func isArrow(c rune) bool { return c == '>' || c == '›' || c == '»' || c == '→' }

// splitPath parts "Electronics > Headphones", "Electronics / Headphones" and
// "Electronics|Headphones". Of several paths in one text the first counts.
func splitPath(s string) []string {
	if list, ok := nestedIn(s); ok {
		return firstPath(list)
	}
	if list, ok := listIn(s); ok {
		return firstPath(list)
	}
	s = strings.TrimSpace(s)
	switch {
	case strings.ContainsFunc(s, isArrow):
		for _, part := range strings.FieldsFunc(s, func(c rune) bool { return c == '|' || c == '\n' || c == ';' }) {
			if strings.ContainsFunc(part, isArrow) {
				s = part
				break
			}
		}
		return strings.FieldsFunc(s, isArrow)
	case strings.ContainsAny(s, "|\n"):
		return strings.FieldsFunc(s, func(c rune) bool { return c == '|' || c == '\n' })
	}
	return strings.Split(s, " / ")
}

// firstPath returns the path that list is or, if its items are paths, the first.
func firstPath(list []string) []string {
	for _, item := range list {
		if strings.ContainsFunc(item, isArrow) {
			return strings.FieldsFunc(list[0], isArrow)
		}
	}
	return list
}

// splitPaths is splitPath for columns that hold several paths, parted by commas:
// "A > B, A > C". A comma within a name follows a backslash.
func splitPaths(s string) []string {
	if t := strings.TrimSpace(s); t != "" && t[0] == '[' {
		return splitPath(s)
	}
	const escaped = "\x00"
	first, _, _ := strings.Cut(strings.ReplaceAll(s, `\,`, escaped), ",")
	return splitPath(strings.ReplaceAll(first, escaped, ","))
}

// deepestPath is for Magento, which lists a path "Default Category/Gear/Bags" with
// those that lead to it, parted by commas: the longest counts, without its root.
func deepestPath(s string) []string {
	var best []string
	for path := range strings.SplitSeq(s, ",") {
		names := strings.Split(path, "/")
		if len(names) > 1 && strings.EqualFold(strings.TrimSpace(names[0]), "Default Category") {
			names = names[1:]
		}
		if len(names) > len(best) {
			best = names
		}
	}
	return best
}

// firstImage returns the first address of a list in a text.
func firstImage(s string) string {
	if list, ok := listIn(s); ok {
		for _, item := range list {
			if item = strings.TrimSpace(item); item != "" {
				return item
			}
		}
		return ""
	}
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	// Commas may be part of an address, but not before the next one.
	for _, scheme := range []string{"http://", "https://", "//"} {
		for _, mark := range []string{",", ";", "|", " "} {
			if i := strings.Index(s, mark+scheme); i > 0 {
				s = s[:i]
			}
			if i := strings.Index(s, mark+" "+scheme); i > 0 {
				s = s[:i]
			}
		}
	}
	return strings.TrimSpace(s)
}
