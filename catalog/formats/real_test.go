//go:build real

package formats

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/judgments"
)

// TestReal imports the real products and judgements that lie beside the
// repository, or where TRIRANK_REAL_DATA says.
func TestReal(t *testing.T) {
	data := os.Getenv("TRIRANK_REAL_DATA")
	if data == "" {
		data = "../../../shared/data"
	}
	in, err := Read([]string{filepath.Join(data, "esci-us")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "c")
	r, err := catalog.Write(t.Context(), dir, in.Source, catalog.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Products != 6764 || r.Judgments != 4135 || r.Queries != 94 || r.Faults.Count+r.UnknownProducts+r.Duplicates != 0 {
		t.Errorf("the report is %+v", r)
	}
	c, err := catalog.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[judgments.Label]int{}
	for _, j := range sound(t, c.Judgments()) {
		labels[j.Label]++
	}
	if labels["E"] != 2120 || labels["S"] != 1158 || labels["C"] != 200 || labels["I"] != 657 {
		t.Errorf("labels %v", labels)
	}
	got := map[string]int{}
	for _, p := range sound(t, c.Products()) {
		for name, has := range map[string]bool{"image": p.Image != "", "bullets": p.Bullets != nil, "brand": p.Brand != "", "category": p.Category != nil,
			"color": p.Color != "", "rating": p.Rating > 0, "popularity": p.Popularity > 0, "description": p.Description != ""} {
			if has {
				got[name]++
			}
		}
	}
	// Of 5,383 products with a color four have "-" or "N/a", which is none.
	for name, want := range map[string]int{"image": 6764, "bullets": 6416, "brand": 6640, "category": 6512, "color": 5379,
		"rating": 6663, "popularity": 6671, "description": 3376} {
		if got[name] != want {
			t.Errorf("%d products have the field %s, want %d", got[name], name, want)
		}
	}
}
