package catalog

import "testing"

func TestPriceText(t *testing.T) {
	for _, c := range []struct {
		price    float64
		currency string
		want     string
	}{
		{0, "USD", ""}, {12.5, "", "12.50"}, {1299, "USD", "$1,299.00"}, {1234567.891, "EUR", "€1,234,567.89"}, {999, "CHF", "999.00 CHF"},
		{1500, "JPY", "¥1,500"}, {0.5, "JPY", "¥0.50"}, {45, "kr", "45.00 kr"}, {3, "$", "$3.00"}, {100, "GBP", "£100.00"},
	} {
		p := Product{Price: c.price, Currency: c.currency}
		if got := p.PriceText(); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.price, c.currency, got, c.want)
		}
	}
}
