package arch

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/trirank/trirank/"

// ours lists what each package may import of this module besides internal; a
// package that is not listed may import nothing of it.
var ours = map[string][]string{
	"catalog":          {"judgments"},
	"catalog/formats":  {"catalog", "judgments"},
	"catalog/stats":    {"catalog", "judgments"},
	"encoder/onnx":     {"encoder", "encoder/onnx/operators"},
	"encoder/quantize": {"encoder"},
	"bm25":             {"catalog"},
	"engine":           {"catalog", "judgments"},
	"engine/store":     {"engine", "faiss", "bm25", "encoder", "encoder/onnx", "catalog", "judgments"},
	"eval":             {"catalog", "judgments"},
	"eval/formats":     {"eval", "judgments"},
	"eval/judge":       {"eval", "engine", "judgments"},
	"eval/report":      {"eval"},
	"train":            {"judgments", "eval", "train/bert", "train/events", "train/heap", "train/safetensors"},
	"train/finetuned":  {"encoder", "eval", "train", "train/bert", "train/safetensors", "train/weights"},
	"train/sweep":      {"eval", "judgments"},
	"httpapi":          {"engine", "catalog"},
	"bench":            {"engine", "faiss", "encoder", "eval", "judgments"},
	"bench/larger":     {"engine/store", "catalog", "judgments", "faiss", "encoder"},
	"bench/report":     {"bench"},
	"cmd/trirank":      {"*"},
}

// only lists the packages that alone may import a library.
var only = map[string][]string{
	"github.com/DataIntelligenceCrew/go-faiss": {"faiss"},
	"github.com/yalue/onnxruntime_go":          {"encoder/onnx"},
	"github.com/daulet/tokenizers":             {"encoder/onnx"},
	"github.com/blevesearch/bleve/v2":          {"bm25"},
	"github.com/valyala/fasthttp":              {"httpapi", "bench"}, // server, client
	"github.com/spf13/cobra":                   {"cmd/trirank"},
	"github.com/gomlx/go-xla":                  {"train/device"},
	"github.com/NVIDIA/go-nvml":                {"internal/gpustat"},
}

// cgo lists the packages that may use it.
var cgo = []string{"faiss", "train/heap", "encoder/onnx/operators"}

type pkg struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
}

func packages(t *testing.T) (all []pkg) {
	readSources(t)
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,CgoFiles", module+"...")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 8 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// readSources reads what go list will, since go test takes a result from its cache
// unless a file that the test itself has read is another one.
func readSources(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if len(p.CgoFiles) > 0 && !slices.Contains(cgo, name) {
			t.Errorf("%s uses cgo", name)
		}
		for _, i := range p.Imports {
			for library, owners := range only {
				if (i == library || strings.HasPrefix(i, library+"/")) && !slices.Contains(owners, name) {
					t.Errorf("%s imports %s, which only %v may", name, i, owners)
				}
			}
			sub, isOurs := strings.CutPrefix(i, module)
			// Go itself sees to who may import what is internal.
			if !isOurs || strings.Contains("/"+sub, "/internal/") || strings.Contains("/"+name, "/internal/") {
				continue
			}
			if allowed := ours[name]; !slices.Contains(allowed, sub) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s (allowed: %v)", name, sub, allowed)
			}
		}
	}
}
