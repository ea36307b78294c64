package catalog

import (
	"strconv"
	"strings"
)

// signs are the currencies that are written with a sign before the number.
var signs = map[string]string{
	"USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥", "CNY": "CN¥", "KRW": "₩", "BRL": "R$", "CAD": "CA$", "AUD": "A$", "NZD": "NZ$",
	"HKD": "HK$", "TWD": "NT$", "SGD": "S$", "MXN": "MX$", "ILS": "₪", "PHP": "₱", "VND": "₫", "NGN": "₦",
	"$": "$", "¥": "¥",
}

// whole are the currencies that have no smaller coins in use.
var whole = map[string]bool{"JPY": true, "KRW": true, "VND": true, "CLP": true, "ISK": true, "HUF": true}

// PriceText spells the price for readers: $1,299.00 or 12.99 CHF. A price of an
// unknown currency is a number only, and an unknown price is empty.
func (p *Product) PriceText() string { return PriceText(p.Price, p.Currency) }

// PriceText is the method of Product for a price and a currency.
func PriceText(price float64, currency string) string {
	if price == 0 {
		return ""
	}
	decimals := 2
	if whole[currency] && price == float64(int64(price)) {
		decimals = 0
	}
	s := strconv.FormatFloat(price, 'f', decimals, 64)
	units, fraction, _ := strings.Cut(s, ".")
	for i := len(units) - 3; i > 0 && units[i-1] != '-'; i -= 3 {
		units = units[:i] + "," + units[i:]
	}
	if s = units; fraction != "" {
		s += "." + fraction
	}
	if sign := signs[currency]; sign != "" {
		return sign + s
	}
	return strings.TrimSpace(s + " " + currency)
}
