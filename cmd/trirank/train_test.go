package main

import (
	"strings"
	"testing"
)

func TestNoteLeft(t *testing.T) {
	const none, validation = "none left to test this model on", "no query is kept out for validation"
	for _, c := range []struct {
		held, left int
		split      string
		want       []string
	}{
		{10, 20, "train", nil},
		{0, 20, "train", []string{validation}},
		{10, 0, "train", []string{"every query is of the split train", none, "trirank import --split test=30%"}},
		{10, 0, "", []string{"the judgements have no splits", none}},
		{0, 0, "all", []string{validation, "--split all takes every query", none}},
	} {
		var b strings.Builder
		(&training{held: c.held, data: &dataset{split: c.split, left: c.left}}).noteLeft(&b)
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%+v: %q does not say %q", c, b.String(), want)
			}
		}
		if c.want == nil && b.Len() > 0 {
			t.Errorf("%+v: %q", c, b.String())
		}
	}
}
