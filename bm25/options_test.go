package bm25

import (
	"math"
	"strings"
	"testing"
)

func TestOptionsDefaults(t *testing.T) {
	var o Options
	if err := o.Validate(); err != nil {
		t.Errorf("zero options: %v", err)
	}
	o = o.WithDefaults()
	if o.K1 != 1.2 || o.B != 0.75 || o.Analyzer != "en" || o.MaxTerms != 128 || len(o.Fields) != 4 {
		t.Errorf("defaults are %+v", o)
	}
	shared := []Field{{Name: Title}}
	if o := (Options{Fields: shared}).WithDefaults(); o.Fields[0].Boost != 1 || shared[0].Boost != 0 {
		t.Errorf("boost is %v, and the caller's became %v", o.Fields[0].Boost, shared[0].Boost)
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Options
		want []string // parts of the error; none if valid
	}{
		{"none", Options{K1: None, B: None}, nil},
		{"all fields", Options{Fields: allFields()}, nil},
		{"unknown field", Options{Fields: []Field{{"colour", 1}}}, []string{`field "colour" is none of title, brand`}},
		{"no field name", Options{Fields: []Field{{"", 1}}}, []string{`field ""`}},
		{"field twice", Options{Fields: []Field{{Title, 1}, {Title, 2}}}, []string{`"title" is given twice`}},
		{"boost", Options{Fields: []Field{{Title, -1}, {Brand, math.NaN()}, {Bullets, math.Inf(1)}}}, []string{"boost -1", "boost NaN", "boost +Inf"}},
		{"analyzer", Options{Analyzer: "klingon"}, []string{`analyzer "klingon" is unknown`}},
		{"k1", Options{K1: -2}, []string{"k1 -2"}},
		{"k1 NaN", Options{K1: math.NaN()}, []string{"k1 NaN"}},
		{"b", Options{B: 1.5}, []string{"b 1.5"}},
		{"sizes", Options{MaxTerms: -1, BatchSize: 1 << 30}, []string{"max terms -1", "batch size 1073741824"}},
		{
			"all at once", Options{Fields: []Field{{"x", -1}}, Analyzer: "y", K1: -3, B: 9, MaxTerms: 1 << 20, BatchSize: -1},
			[]string{`"x"`, "boost -1", `"y"`, "k1 -3", "b 9", "max terms 1048576", "batch size -1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.o.Validate()
			if (err != nil) != (test.want != nil) {
				t.Fatalf("Validate: %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	for _, name := range []string{"en", "es", "cjk", "standard", "simple", "web", "keyword"} {
		if err := (Options{Analyzer: name}).Validate(); err != nil {
			t.Error(err)
		}
	}
}
