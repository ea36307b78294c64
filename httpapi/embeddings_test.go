package httpapi_test

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

func TestEmbeddings(t *testing.T) {
	c := serve(t, fakeshop.Tiny(3).Engine(nil), httpapi.Options{MaxInputs: 4})
	type list struct {
		Object, Model string
		Data          []struct {
			Object    string
			Index     int
			Embedding any
		}
		Usage any
	}
	var floats, packed, passages list
	c.do("POST", "/v1/embeddings", `{"input": ["red shoe", "blue shoe"], "model": "finetuned"}`).is(200).into(&floats)
	if floats.Object != "list" || floats.Model != "finetuned" || len(floats.Data) != 2 || floats.Data[1].Index != 1 || floats.Data[0].Object != "embedding" || floats.Usage != nil {
		t.Errorf("%+v", floats)
	}
	c.do("POST", "/v1/embeddings", `{"input": "red shoe", "model": "finetuned", "encoding_format": "base64", "user": "x"}`).is(200).into(&packed)
	b, err := base64.StdEncoding.DecodeString(packed.Data[0].Embedding.(string))
	if err != nil {
		t.Fatal(err)
	}
	vector := floats.Data[0].Embedding.([]any)
	if len(b) != 4*len(vector) {
		t.Fatalf("%d bytes for %d floats", len(b), len(vector))
	}
	for i, x := range vector {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])); math.Abs(float64(got)-x.(float64)) > 1e-6 {
			t.Fatalf("float %d: %v and %v", i, got, x)
		}
	}
	c.do("POST", "/v1/embeddings", `{"input": "red shoe", "model": "finetuned", "input_type": "passage", "encoding_format": "base64"}`).is(200).into(&passages)
	if passages.Data[0].Embedding == packed.Data[0].Embedding {
		t.Error("a passage has the vector of a query")
	}

	for body, want := range map[string]struct {
		status int
		detail string
	}{
		`{}`:                                        {400, "input must be"},
		`{"input": null}`:                           {400, "input must be"},
		`{"input": []}`:                             {400, "input must be"},
		`{"input": [1, 2]}`:                         {400, "input must be"},
		`{"input": ["a", " "]}`:                     {400, "text 1"},
		`{"input": ""}`:                             {400, "text 0"},
		`{"input": ["a","b","c","d","e"]}`:          {413, "--max-inputs"},
		`{"input": "a", "model": "bm25"}`:           {400, "bm25"},
		`{"input": "a", "input_type": "x"}`:         {400, "input_type"},
		`{"input": "a", "encoding_format": "int8"}`: {400, "encoding_format"},
		`{"input": "a", "dimensions": 3}`:           {400, "dimensions is 3, but the model has 64"},
	} {
		c.do("POST", "/v1/embeddings", body).problem(want.status, want.detail)
	}
	c.get("/v1/embeddings").problem(405, "POST")
	c.do("POST", "/v1/embeddings", `{"input": "`+strings.Repeat("a", 1<<20)+`"}`).problem(413, "--max-body")
	c.do("POST", "/v1/embeddings", strings.Repeat("[", 4<<20)).problem(413, "--max-body")
}
