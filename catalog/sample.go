package catalog

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"sync"
)

// sampleName is the word that stands for the embedded catalogue.
const sampleName = "sample"

//go:embed sample/products.jsonl
var sampleProducts []byte

//go:embed sample/judgments.csv
var sampleJudgments []byte

// Sample returns the catalogue that is part of the program: a small fictional
// store with queries and judgements. The folder sample of this package's source
// says more.
func Sample() *Catalog { return sample() }

// sample hashes the texts once: nothing changes them.
var sample = sync.OnceValue(func() *Catalog {
	c := &Catalog{
		where: sampleName, name: sampleName,
		rows:      bytes.Count(sampleProducts, []byte("\n")),
		judgments: bytes.Count(sampleJudgments, []byte("\n")) - 1,
		open: func(file string) (io.ReadCloser, error) {
			if file == productsFile {
				return io.NopCloser(bytes.NewReader(sampleProducts)), nil
			}
			return io.NopCloser(bytes.NewReader(sampleJudgments)), nil
		},
	}
	var err error
	if c.hash, err = ContentHash(c.Products(), c.Judgments()); err != nil {
		panic(fmt.Sprintf("the embedded sample is damaged: %v", err))
	}
	return c
})
