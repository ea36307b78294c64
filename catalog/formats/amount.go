package formats

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A number of a shop may have a currency, group its digits and have a comma for a
// decimal point. What a mark means is mostly plain: 12,99 and 1.299,00 have a
// decimal comma, 1,299.00 and 4,26,973 have not, nor has 1.299,- a fraction. Only one
// mark with three digits behind it, as in 1,299 and 1.299, is of either kind; such a
// number is read as the plain ones of its column are, by the first rows. Counts have
// no fractions, so a mark groups their digits. Where plain numbers are of both kinds or
// there are none, a euro decides: behind the number it stands where commas are decimal,
// and in front no price of whole euros has three decimals, whatever the mark. Otherwise
// a point is decimal and a comma is not.

// amount is a number as it was written.
type amount struct {
	value    float64
	currency string // its code, or a sign of several currencies; "" is unknown
	marks    marks
	either   bool // its mark could have meant the other
}

// marks say what the marks in a number tell of those in others.
type marks int

const (
	noMarks    marks = iota
	decimalPt        // a point is decimal
	groupComma       // a comma is not
	decimalComma
	groupPoint
	perhapsComma // a euro stands behind the number, where commas are decimal most often
)

// column is what the plain numbers of a column tell of those that could be either.
type column int

const (
	unsettled     column = iota
	decimalPoints        // there are such, and none with decimal commas
	decimalCommas
	likelyCommas // there are only euros behind numbers
	counts       // there are no fractions, nor can there be
)

// errNoNumber is of text that says, in words, that there is no number.
var errNoNumber = errors.New("there is no number")

// noNumber are the words for it, in lower case.
var noNumber = map[string]bool{
	"": true, "-": true, "--": true, "—": true, "n/a": true, "na": true, "#n/a": true, "nan": true, "none": true, "null": true, "nil": true, "unknown": true,
	"not available": true, "not rated": true, "no rating": true, "no ratings": true, "no rating available": true, "no ratings available": true,
	"no reviews": true, "no reviews yet": true, "no price": true, "no price available": true,
}

var (
	plainNumber = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$`)
	// outOf is 4.5 out of 5, 4.5/5 and 4,5 von 5 stars.
	outOf = regexp.MustCompile(`^([\d.,]+)\s*(?:/|(?i:out of|of|von|de|sur|su|van|av))\s*\d+(?:[.,]0)?(?:\s*(?i:stars?|sterne[n]?|\*|★+))?$`)
	// counted is 1,234 ratings.
	counted   = regexp.MustCompile(`^([\d.,\s']+)\s*(?i:ratings?|reviews?|views?|votes?|stars?|sold|global ratings?)$`)
	decorated = regexp.MustCompile(`^([^\d.,]*)([.,]?\d(?:[\d.,'\s]*\d)?)(?:([.,])(?:-|–|—)+)?([^\d]*)$`)
	// dotted are signs that end with a point, which is no decimal one.
	dotted = regexp.MustCompile(`^(?i:rs\.|kr\.|s?fr\.|руб\.|лв\.)\s*`)
)

// currencySigns are what stands beside numbers, in lower case.
var currencySigns = map[string]string{
	"$": "$", "us$": "USD", "us $": "USD", "c$": "CAD", "ca$": "CAD", "cad$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD", "nt$": "TWD",
	"mx$": "MXN", "r$": "BRL", "€": "EUR", "euro": "EUR", "£": "GBP", "₹": "INR", "¥": "¥", "￥": "¥", "円": "JPY", "元": "CNY", "cn¥": "CNY", "₩": "KRW", "원": "KRW",
	"₽": "RUB", "руб": "RUB", "руб.": "RUB", "₺": "TRY", "tl": "TRY", "₴": "UAH", "₫": "VND", "đ": "VND", "₪": "ILS", "฿": "THB", "₱": "PHP", "₦": "NGN", "zł": "PLN",
	"kč": "CZK", "ft": "HUF", "лв": "BGN", "лв.": "BGN", "lei": "RON", "kr": "kr", "kr.": "kr", "rs": "Rs", "rs.": "Rs", "fr.": "CHF", "sfr.": "CHF",
}

// currencyCodes are the codes of ISO 4217 that are in use.
var currencyCodes = func() map[string]bool {
	codes := map[string]bool{}
	for code := range strings.FieldsSeq(`AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
		CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD
		JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR
		NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD
		TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW`) {
		codes[code] = true
	}
	return codes
}()

// currencyOf reads a code or a sign of a currency.
func currencyOf(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if code := strings.ToUpper(s); len(s) == 3 && currencyCodes[code] {
		return code, true
	}
	sign, ok := currencySigns[strings.ToLower(s)]
	return sign, ok
}

// parseAmount reads a number of a column.
func parseAmount(s string, in column) (amount, error) {
	t := strings.TrimSpace(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c), c == '\u200b', c == '\u202f':
			return ' '
		case c == '’', c == '‘':
			return '\''
		case c == '−':
			return '-'
		}
		return c
	}, s))
	if noNumber[strings.ToLower(t)] {
		return amount{}, errNoNumber
	}
	bad := fmt.Errorf("%.60q is not a number", s)
	if plainNumber.MatchString(t) && !isEither(strings.TrimLeft(t, "+-"), '.') {
		n, err := strconv.ParseFloat(t, 64)
		if err != nil || math.IsInf(n, 0) {
			return amount{}, bad
		}
		m := noMarks
		if strings.Contains(t, ".") {
			m = decimalPt
		}
		return amount{value: n, marks: m}, nil
	}
	if m := outOf.FindStringSubmatch(t); m != nil {
		t = m[1]
	} else if m := counted.FindStringSubmatch(t); m != nil {
		t = strings.TrimSpace(m[1])
	}
	sign := dotted.FindString(t)
	m := decorated.FindStringSubmatch(t[len(sign):])
	if m == nil {
		return amount{}, bad
	}
	m[1] = sign + m[1]
	var a amount
	negative, euro := false, [2]bool{} // in front, and behind
	for i, beside := range []string{m[1], m[4]} {
		beside = strings.TrimSpace(beside)
		if i == 0 {
			if cut, ok := cutSign(beside, "-"); ok {
				beside, negative = cut, true
			} else if cut, ok := cutSign(beside, "+"); ok {
				beside = cut
			}
		}
		if beside == "" {
			continue
		}
		currency, ok := currencyOf(beside)
		if !ok {
			return amount{}, bad
		}
		if a.currency == "" || len(currency) == 3 {
			a.currency = currency
		}
		euro[i] = currency == "EUR"
	}
	if euro[1] {
		a.marks = perhapsComma
	}
	how := points
	switch {
	case m[3] != "" || in == counts || in == unsettled && euro[0]:
		how = neither
	case in == decimalCommas || in == likelyCommas || in == unsettled && euro[1]:
		how = commas
	}
	digits, found, ok := ungroup(m[2], how)
	if !ok {
		return amount{}, bad
	}
	a.either = m[3] == "" && (isEither(m[2], '.') || isEither(m[2], ','))
	switch m[3] { // the dash stands for decimals
	case ",":
		found = decimalComma
	case ".":
		found = decimalPt
	}
	if found != noMarks {
		a.marks = found
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(n, 0) {
		return amount{}, bad
	}
	if a.value = n; negative {
		a.value = -n
	}
	return a, nil
}

// cutSign cuts a sign off either end of what stands before a number.
func cutSign(s, sign string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, sign); ok {
		return strings.TrimSpace(rest), true
	}
	rest, ok := strings.CutSuffix(s, sign)
	return strings.TrimSpace(rest), ok
}

// isEither reports whether digits has one mark, which may part thousands as well as
// decimals.
func isEither(digits string, mark byte) bool {
	i := strings.IndexByte(digits, mark)
	return i >= 1 && i <= 3 && len(digits)-i == 4 && digits[0] != '0' && strings.Trim(digits[i+1:], "0123456789") == ""
}

// decimal says which mark is decimal in a number that could be either.
type decimal int

const (
	points decimal = iota
	commas
	neither
)

// ungroup spells digits with marks as ParseFloat reads them.
func ungroup(s string, how decimal) (digits string, m marks, ok bool) {
	if i := strings.IndexAny(s, " '"); i >= 0 {
		// Spaces and apostrophes part thousands only.
		whole, fraction, mark := s, "", ""
		if j := strings.LastIndexAny(s, ".,"); j > i {
			whole, fraction, mark = s[:j], s[j+1:], s[j:j+1]
		}
		groups := strings.FieldsFunc(whole, func(c rune) bool { return c == ' ' || c == '\'' })
		if !grouped(groups) || strings.Trim(fraction, "0123456789") != "" {
			return "", 0, false
		}
		switch mark {
		case ",":
			return strings.Join(groups, "") + "." + fraction, decimalComma, true
		case ".":
			return strings.Join(groups, "") + "." + fraction, decimalPt, true
		}
		return strings.Join(groups, ""), noMarks, true
	}
	dots, commata := strings.Count(s, "."), strings.Count(s, ",")
	switch {
	case dots == 0 && commata == 0:
		return s, noMarks, true
	case dots > 0 && commata > 0:
		decimal, group := ".", ","
		m = decimalPt
		if strings.LastIndex(s, ",") > strings.LastIndex(s, ".") {
			decimal, group, m = ",", ".", decimalComma
		}
		whole, fraction, _ := strings.Cut(s, decimal)
		groups := strings.Split(whole, group)
		if strings.ContainsAny(fraction, ".,") || !grouped(groups) {
			return "", 0, false
		}
		return strings.Join(groups, "") + "." + fraction, m, true
	case dots > 1 || commata > 1:
		mark := ","
		m = groupComma
		if dots > 1 {
			mark, m = ".", groupPoint
		}
		groups := strings.Split(s, mark)
		return strings.Join(groups, ""), m, grouped(groups)
	case dots == 1 && isEither(s, '.'):
		if how != points {
			return strings.Replace(s, ".", "", 1), noMarks, true
		}
		return s, noMarks, true
	case dots == 1:
		return s, decimalPt, true
	case isEither(s, ','):
		if how == commas {
			return strings.Replace(s, ",", ".", 1), noMarks, true
		}
		return strings.Replace(s, ",", "", 1), noMarks, true
	}
	return strings.Replace(s, ",", ".", 1), decimalComma, true
}

// grouped reports whether digits are parted as thousands are, or as in India: the
// last group has three, the others two or three, the first not more.
func grouped(groups []string) bool {
	for i, g := range groups {
		if strings.Trim(g, "0123456789") != "" {
			return false
		}
		last := i == len(groups)-1
		switch {
		case i == 0 && (len(g) < 1 || len(g) > 3 && len(groups) > 1):
			return false
		case i > 0 && last && len(g) != 3:
			return false
		case i > 0 && !last && (len(g) < 2 || len(g) > 3):
			return false
		}
	}
	return len(groups) > 0
}

// decimals counts what the numbers of a column tell.
type decimals struct{ point, comma, perhaps, fractions int }

func (d *decimals) add(m marks) {
	switch m {
	case decimalPt, groupComma:
		d.point++
	case decimalComma, groupPoint:
		d.comma++
	case perhapsComma:
		d.perhaps++
	}
	if m == decimalPt || m == decimalComma {
		d.fractions++
	}
}

// column sums up; whole says that the column counts something.
func (d decimals) column(whole bool) column {
	switch {
	case whole && d.fractions == 0:
		return counts
	case d.point > 0 && d.comma > 0:
		return unsettled
	case d.point > 0:
		return decimalPoints
	case d.comma > 0:
		return decimalCommas
	case d.perhaps > 0:
		return likelyCommas
	}
	return unsettled
}
