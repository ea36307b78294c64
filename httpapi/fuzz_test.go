package httpapi_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

// FuzzBodies sends bytes as the body of every request that has one: an answer in JSON,
// and never a fault of the server.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"queries": [{"query": "tv", "k": 3}]}`, `{"input": ["a", "b"], "input_type": "query"}`, `{"queries": []}`, `{"queries": [{"query": "\ud800"}]}`,
		`{"queries": [{"query": "a", "filter": {"brands": ["x"], "min_price": 1e400}}]}`, `[]`, `{`, "\xff", `{"a": 1} {}`, `{"input": "a"}`,
	} {
		f.Add([]byte(seed))
	}
	c := serve(f, fakeshop.Tiny(3).Engine(nil), httpapi.Options{RequestTimeout: 10 * time.Second})
	f.Fuzz(func(t *testing.T, body []byte) {
		c.t = t // f's methods may not be called here
		for _, path := range []string{"/v1/compare", "/v1/embeddings"} {
			a := c.do("POST", path, string(body))
			if a.status >= 500 {
				t.Errorf("%s %q: %d %s", path, body, a.status, a.body)
			}
			if !json.Valid(a.body) {
				t.Errorf("%s %q: %q is no JSON", path, body, a.body)
			}
		}
	})
}
