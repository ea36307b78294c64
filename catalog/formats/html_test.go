package formats

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainText(t *testing.T) {
	for text, want := range map[string]string{
		"10&#x2013;30mm &amp; Hood":                       "10–30mm & Hood",
		"<p>Light &amp; fast</p>":                         "Light & fast",
		"<ul><li>one</li>\n<li class=\"x\">two</li></ul>": "one\ntwo",
		"a<br>b<br/>c<BR />d":                             "a\nb\nc\nd",
		"<b>-</b> <br> Copas<sup>2</sup>":                 "-\nCopas2",
		"&lt;p&gt;Soft &amp;amp; thick&lt;/p&gt;":         "Soft & thick",
		"a&nbsp;b":                     "a b",
		"a&semi; b&#59; c":             "a; b; c",
		"<B>bold</b> <I CLASS=x>i<BR>": "bold i",
		"x <a href='http://x/?a=1&b=2' target=_blank>y</a>":         "x y",
		"<!-- a > b --><style>p {}</style>c<script>1 < 2</script>d": "c\nd",
		"10 &quot; &lt; 12 &quot;":                                  `10 " < 12 "`,
	} {
		if got, found := plainText(text); got != want || !found {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"5 < 6", "R&D", "<3mm", "AT&T; or not", "&notanentity; here", "&ampere;", "Size <S> to <XL>", "<Small>", "a <b or c> d", "x&notes", "<Brand>", "if a<b then b>a", "1 &#; 2", "I <3 you", "&unknown;", "<b", "A < B > C", "  two  spaces "} {
		if got, found := plainText(text); got != text || found {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func FuzzPlainText(f *testing.F) {
	f.Add("<p>a &amp; b</p><br/>")
	f.Add("&lt;b&gt;<!-- <")
	f.Fuzz(func(t *testing.T, s string) {
		got, found := plainText(s)
		if !found && got != s || utf8.ValidString(s) && (!utf8.ValidString(got) || len(got) > 2*len(s)) {
			t.Errorf("%q becomes %q", s, got)
		}
		if found && strings.TrimSpace(got) != got {
			t.Errorf("%q has white space around it", got)
		}
	})
}
