package formats

import (
	"math"
	"strings"
	"testing"
)

func TestParseAmount(t *testing.T) {
	for _, c := range []struct {
		text     string
		comma    bool
		want     float64
		currency string
	}{
		{"15.00 USD", false, 15, "USD"}, {"12,99 EUR", false, 12.99, "EUR"}, {"12,99 €", false, 12.99, "EUR"}, {"12,99\u00a0€", false, 12.99, "EUR"}, {"€12.50", false, 12.5, "EUR"},
		{"$1,299", false, 1299, "$"}, {"US$12.50", false, 12.5, "USD"}, {"US $12.50", false, 12.5, "USD"}, {"₹399", false, 399, "INR"}, {"₹1,09,900", false, 109900, "INR"},
		{"4,26,973", false, 426973, ""}, {"1.299,00 €", false, 1299, "EUR"}, {"1,299.00", false, 1299, ""}, {"1 299,00 kr", false, 1299, "kr"}, {"1'299.50 CHF", false, 1299.5, "CHF"},
		{"CHF 1’299", false, 1299, "CHF"}, {"1.299", false, 1.299, ""}, {"1.299", true, 1299, ""}, {"1,299", false, 1299, ""}, {"1,299", true, 1.299, ""}, {"0,299", false, 0.299, ""},
		{"0.299", true, 0.299, ""}, {"1.299.000", false, 1299000, ""}, {"1,299,000", true, 1299000, ""}, {"12,-", false, 12, ""}, {"kr. 1.299,-", false, 1299, "kr"}, {"1.299,- €", false, 1299, "EUR"}, {"1,299.–", true, 1299, ""},
		{"€ 1.299", false, 1299, "EUR"}, {"€1,299", false, 1299, "EUR"}, {"1.299 €", false, 1299, "EUR"}, {"1,299 €", false, 1.299, "EUR"}, {"€1,299", true, 1.299, "EUR"}, {"12,-- €", false, 12, "EUR"}, {"£5", false, 5, "GBP"},
		{"usd 5", false, 5, "USD"}, {"$5 CAD", false, 5, "CAD"}, {"C$ 5", false, 5, "CAD"}, {"zł5", false, 5, "PLN"}, {"5 Rs.", false, 5, "Rs"}, {"Rs.599", false, 599, "Rs"}, {"Rs. 1,299.50", false, 1299.5, "Rs"}, {"Fr. 5.–", false, 5, "CHF"}, {"-5", false, -5, ""}, {"-$5.00", false, -5, "$"},
		{"$-5", false, -5, "$"}, {"+5", false, 5, ""}, {" 5 ", false, 5, ""}, {"5.", false, 5, ""}, {".5", false, 0.5, ""}, {"1e3", false, 1000, ""}, {"$.99", false, 0.99, "$"},
		{"4.5 out of 5", false, 4.5, ""}, {"4.5 out of 5 stars", false, 4.5, ""}, {"4,5 von 5", false, 4.5, ""}, {"4.5/5", false, 4.5, ""}, {"1,234 ratings", false, 1234, ""},
		{"12 reviews", false, 12, ""}, {"12345678", false, 12345678, ""}, {"12345.678", true, 12345.678, ""}, {"1234,5", false, 1234.5, ""}, {"0", false, 0, ""},
	} {
		in := unsettled
		if c.comma {
			in = decimalCommas
		}
		got, err := parseAmount(c.text, in)
		if err != nil || math.Abs(got.value-c.want) > 1e-9 || got.currency != c.currency {
			t.Errorf("%q (comma %v) is %v %q, error %v, want %v %q", c.text, c.comma, got.value, got.currency, err, c.want, c.currency)
		}
	}
	for _, s := range []string{"cheap", "12.99 - 15.99", "12.03.2020", "1,29,9", "12 apples", "1..2", "1,2,3", "1.2,3.4", "5 x 6", "1e999", "$", "USD", "1,299.00.1", "5%", "10-12", "1 2", "0x10", "Infinity"} {
		if got, err := parseAmount(s, unsettled); err == nil || err == errNoNumber {
			t.Errorf("%q is %+v, error %v", s, got, err)
		}
	}
	for _, s := range []string{"", " ", "N/A", "nan", "NaN", "None", "No rating available", "-"} {
		if _, err := parseAmount(s, unsettled); err != errNoNumber {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

func TestDecimals(t *testing.T) {
	for texts, want := range map[string]column{
		"1.299|12,99": decimalCommas, "1.299|12.99": decimalPoints, "1,299|1.000,00": decimalCommas, "1.299 €|2.000 €": likelyCommas, "€ 1.299": unsettled, "1.299": unsettled,
		"12,99|12.99": unsettled, "1.299 €|9.99 €": decimalPoints, "4,26,973": decimalPoints, "1.299|5,-": decimalCommas, "1.299|1.000.000": decimalCommas,
	} {
		var d decimals
		for s := range strings.SplitSeq(texts, "|") {
			a, err := parseAmount(s, unsettled)
			if err != nil {
				t.Fatal(err)
			}
			d.add(a.marks)
		}
		if got := d.column(false); got != want {
			t.Errorf("%s is a column of kind %v, want %v", texts, got, want)
		}
		fractions := strings.ContainsAny(texts, "|") && texts != "1.299 €|2.000 €" && texts != "1.299|1.000.000"
		if got := d.column(true); (got == counts) == fractions {
			t.Errorf("%s is a column of counts: %v", texts, got == counts)
		}
	}
}

func FuzzAmount(f *testing.F) {
	for _, s := range []string{"15.00 USD", "1.299,00 €", "4,26,973", "4.5 out of 5", "1'299", "-$5", "12,-", "N/A"} {
		for in := range counts + 1 {
			f.Add(s, uint8(in))
		}
	}
	f.Fuzz(func(t *testing.T, s string, in uint8) {
		a, err := parseAmount(s, column(in))
		if err == nil && (math.IsNaN(a.value) || math.IsInf(a.value, 0) || !strings.ContainsAny(s, "0123456789")) {
			t.Errorf("%q is %+v", s, a)
		}
	})
}
