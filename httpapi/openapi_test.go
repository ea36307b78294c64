package httpapi

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
)

// apiDocument is what the tests look at in openapi.yaml.
type apiDocument struct {
	OpenAPI    string                               `yaml:"openapi"`
	Paths      map[string]map[string]map[string]any `yaml:"paths"`
	Components struct {
		Schemas    map[string]schema         `yaml:"schemas"`
		Parameters map[string]map[string]any `yaml:"parameters"`
		Responses  map[string]map[string]any `yaml:"responses"`
	} `yaml:"components"`
}

type schema struct {
	Properties map[string]any `yaml:"properties"`
	Required   []string       `yaml:"required"`
}

func readDocument(t *testing.T) (d apiDocument) {
	t.Helper()
	if err := yaml.Unmarshal(openAPIDocument, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIRoutes(t *testing.T) {
	d := readDocument(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("openapi: %s", d.OpenAPI)
	}
	var want, got []string
	for _, r := range New(nil, Options{}).routes {
		if r.get != nil {
			want = append(want, "get "+r.name)
		}
		if r.post != nil {
			want = append(want, "post "+r.name)
		}
	}
	ids := map[any]bool{}
	for path, operations := range d.Paths {
		for method, o := range operations {
			got = append(got, method+" "+path)
			if ids[o["operationId"]] || o["summary"] == nil || o["responses"] == nil {
				t.Errorf("%s %s lacks something, or has the id of another", method, path)
			}
			ids[o["operationId"]] = true
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("documented %v\nserved %v", got, want)
	}
}

// TestOpenAPISchemas compares each schema with the Go type that is sent: the names,
// and whether they are always there.
func TestOpenAPISchemas(t *testing.T) {
	d := readDocument(t)
	types := map[string]any{
		"Request": engine.Request{}, "Filter": engine.Filter{}, "Fusion": engine.Fusion{}, "Response": engine.Response{},
		"Ranking": engine.Ranking{}, "Stage": engine.Stage{}, "Hit": engine.Hit{}, "Component": engine.Component{},
		"Explanation": engine.Explanation{}, "Distribution": engine.Distribution{}, "Histogram": engine.Histogram{},
		"Normality": engine.Normality{}, "Product": catalog.Product{}, "SystemInfo": engine.SystemInfo{},
		"BatchRequest": batchRequest{}, "BatchResponse": batchResponse{}, "EmbeddingRequest": embeddingRequest{},
		"EmbeddingResponse": embeddingResponse{}, "Embedding": embedding{}, "Info": infoResponse{}, "Limits": Limits{}, "Problem": Problem{},
	}
	for name := range d.Components.Schemas {
		if _, ok := types[name]; !ok && name != "Label" && name != "BatchItem" {
			t.Errorf("schema %s is no type's", name)
		}
	}
	for name, value := range types {
		fields := jsonFields(reflect.TypeOf(value))
		s, ok := d.Components.Schemas[name]
		if !ok {
			t.Errorf("type %s has no schema", name)
			continue
		}
		if got, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("%s: documented %v\nsent %v", name, got, want)
		}
		var always []string
		for field, optional := range fields {
			if !optional {
				always = append(always, field)
			}
		}
		slices.Sort(always)
		slices.Sort(s.Required)
		if !slices.Equal(s.Required, always) {
			t.Errorf("%s: required %v\nalways sent %v", name, s.Required, always)
		}
	}
}

// jsonFields returns the names that a struct has in JSON, and whether they may be
// absent.
func jsonFields(t reflect.Type) map[string]bool {
	fields := map[string]bool{}
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && tag == "":
			maps.Copy(fields, jsonFields(f.Type))
		case f.IsExported() && tag != "-":
			fields[name] = strings.Contains(options, "omit")
		}
	}
	return fields
}

// TestOpenAPIReferences finds references to what is not there, and definitions that
// nothing refers to.
func TestOpenAPIReferences(t *testing.T) {
	d := readDocument(t)
	defined := map[string]bool{}
	for name := range d.Components.Schemas {
		defined["#/components/schemas/"+name] = false
	}
	for name := range d.Components.Parameters {
		defined["#/components/parameters/"+name] = false
	}
	for name := range d.Components.Responses {
		defined["#/components/responses/"+name] = false
	}
	var root any
	if err := yaml.Unmarshal(openAPIDocument, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok {
				if _, ok := defined[ref]; !ok {
					t.Errorf("%s is not defined", ref)
				}
				defined[ref] = true
			}
			for _, v := range node {
				walk(v)
			}
		case []any:
			for _, v := range node {
				walk(v)
			}
		}
	}
	walk(root)
	for ref, used := range defined {
		if !used {
			t.Errorf("%s is not used", ref)
		}
	}
}

// TestOpenAPIParameters compares the documented parameters with those that the
// parser knows.
func TestOpenAPIParameters(t *testing.T) {
	d := readDocument(t)
	for path, special := range map[string]string{"/v1/compare": "systems", "/v1/search": "system"} {
		var got []string
		for _, p := range d.Paths[path]["get"]["parameters"].([]any) {
			p := p.(map[string]any)
			if ref, ok := p["$ref"].(string); ok {
				p = d.Components.Parameters[strings.TrimPrefix(ref, "#/components/parameters/")]
			}
			got = append(got, p["name"].(string))
		}
		want := append([]string{special}, rankingParams...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: documented %v, known %v", path, got, want)
		}
	}
}

func TestBatchItemJSON(t *testing.T) {
	for want, item := range map[string]batchItem{
		`{"error":{"type":"t","title":"T","status":400}}`:                      {Error: &Problem{Type: "t", Title: "T", Status: 400}},
		`{"query":"q","k":1,"depth":0,"took_ms":0,"judged":0,"rankings":null}`: {Response: &engine.Response{Query: "q", K: 1}},
	} {
		if got, err := json.Marshal(item); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
