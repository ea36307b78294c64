package httpapi_test

import (
	"testing"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

func TestProduct(t *testing.T) {
	shop := fakeshop.New([]catalog.Product{
		{ID: "a/b c", Title: "Odd id", Bullets: []string{"x"}},
		{ID: "..", Title: "Odder id"},
		{ID: "P1", Title: "Usual id"},
	})
	c := serve(t, shop.Engine(nil), httpapi.Options{})
	for target, title := range map[string]string{
		"/v1/products/a%2Fb%20c": "Odd id",
		"/v1/products/%2E%2E":    "Odder id",
		"/v1/products/P1":        "Usual id",
	} {
		var p catalog.Product
		if c.get(target).is(200).into(&p); p.Title != title {
			t.Errorf("%s: %+v", target, p)
		}
	}
	if p := c.get("/v1/products/nope").problem(404, `unknown product "nope"`); p.Type != "urn:trirank:problem:not-found" {
		t.Errorf("%+v", p)
	}
	c.get("/v1/products/").problem(404, "nothing here")
}

func TestSimilar(t *testing.T) {
	c := serve(t, sample(t).Engine(nil), httpapi.Options{})
	var k engine.Ranking
	c.get("/v1/products/P0019/similar").is(200).into(&k)
	if k.System != "pretrained" || len(k.Hits) != 10 {
		t.Errorf("%s, %d hits", k.System, len(k.Hits))
	}
	c.get("/v1/products/P0019/similar?system=finetuned&k=3").is(200).into(&k)
	if k.System != "finetuned" || len(k.Hits) != 3 {
		t.Errorf("%s, %d hits", k.System, len(k.Hits))
	}
	for _, h := range k.Hits {
		if h.ID == "P0019" {
			t.Error("the product is similar to itself")
		}
	}
	c.get("/v1/products/nope/similar").problem(404, "unknown product")
}
