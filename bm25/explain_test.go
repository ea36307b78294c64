package bm25

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/trirank/trirank/catalog"
)

// TestExplain recomputes an explanation from its leaves.
func TestExplain(t *testing.T) {
	products := []catalog.Product{
		{Title: "Blue kitchen towels", Brand: "Towel Co"},
		{Title: "Red kitchen towels, towels for all", Description: "A towel."},
		{Title: "Shoe"},
	}
	ix := buildIndex(t, products, Options{Fields: []Field{{Title, 2}, {Brand, 0.5}, {Description, 1}}})
	const query = "towel towels kitchen nothing"
	e, err := ix.Explain(context.Background(), query, 0)
	if err != nil {
		t.Fatal(err)
	}
	var score [1]float64
	if err := ix.Scores(context.Background(), query, []uint32{0}, score[:]); err != nil {
		t.Fatal(err)
	}
	if e.Value != score[0] {
		t.Errorf("explained %v, but the score is %v", e.Value, score[0])
	}
	if len(e.Children) != 2 || len(e.Children[0].Children) != 2 || len(e.Children[1].Children) != 1 {
		t.Fatalf("want title with two terms and brand with one, got\n%s", outline(e, 0))
	}
	for _, field := range e.Children {
		var sum float64
		for _, term := range field.Children {
			boost, qtf, idf, saturation := term.Children[0].Value, term.Children[1].Value, term.Children[2], term.Children[3]
			n, df := idf.Children[0].Value, idf.Children[1].Value
			near(t, "idf", idf.Value, math.Log(1+(n-df+0.5)/(df+0.5)))
			tf, length, average := saturation.Children[0].Value, saturation.Children[1].Value, saturation.Children[2].Value
			near(t, "saturation", saturation.Value, tf*2.2/(tf+1.2*(0.25+0.75*length/average)))
			near(t, term.Text, term.Value, boost*qtf*idf.Value*saturation.Value)
			sum += term.Value
		}
		near(t, field.Text, field.Value, sum)
	}
	towel := e.Children[0].Children[0]
	near(t, "qtf of towel", towel.Children[1].Value, 2)
	near(t, "df of towel", towel.Children[2].Children[1].Value, 2)
	near(t, "length of the title", towel.Children[3].Children[1].Value, 3)

	e, err = ix.Explain(context.Background(), query, 2)
	if err != nil || e.Value != 0 || len(e.Children) > 0 || !strings.Contains(e.Text, "no term") {
		t.Errorf("of a row without the terms: %v, %v", e, err)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func outline(e *Explanation, depth int) string {
	s := fmt.Sprintf("%s%.4f %s\n", strings.Repeat("  ", depth), e.Value, e.Text)
	for _, c := range e.Children {
		s += outline(c, depth+1)
	}
	return s
}
