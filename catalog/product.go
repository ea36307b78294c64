package catalog

import "encoding/json"

// Product is one item of a catalogue. Only ID and Title are always set; the
// zero value of any other field means that the source did not say.
type Product struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Brand       string   `json:"brand,omitempty"`
	Color       string   `json:"color,omitempty"`
	Category    []string `json:"category,omitempty"` // path, from department to leaf
	Bullets     []string `json:"bullets,omitempty"`
	Description string   `json:"description,omitempty"`
	Price       float64  `json:"price,omitempty"`
	// Currency is that of Price: its ISO 4217 code or, where a sign belongs to
	// several currencies, the sign as the source has it, such as $ or kr.
	Currency string  `json:"currency,omitempty"`
	Image    string  `json:"image,omitempty"` // URL
	Rating   float64 `json:"rating,omitempty"`
	// Popularity is how much shoppers deal with the product (views, sales or
	// the number of ratings), in the source's own unit.
	Popularity float64 `json:"popularity,omitempty"`
	// Extra keeps the fields of the source that have no place above.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
}
