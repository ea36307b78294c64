// Package fakegpu makes a library for GPUs with which tests need none: what it does is
// done by the processor.
package fakegpu

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Real reports whether tests shall run on a GPU that is there, with the libraries that
// TRIRANK_FAISS_GPU and TRIRANK_ONNXRUNTIME_GPU name.
func Real() bool { return os.Getenv("TRIRANK_TEST_GPU") != "" }

// Use makes a GPU there for the test: a real one if Real, else one of Library.
func Use(t testing.TB, root string) {
	t.Helper()
	if !Real() {
		t.Setenv("TRIRANK_FAISS_GPU", Library(t, root))
	}
}

var (
	once    sync.Once
	library string
	failure error
)

// Library compiles faiss/gpu/plugin.cc as it is, but with faiss/testdata/gpu in place of
// CUDA and of FAISS's code for it, and returns where the library is. The environment
// describes its GPUs: FAKE_GPUS, FAKE_DRIVER, FAKE_CAPABILITY, FAKE_FREE and others that
// the files there name. root is the folder of the repository.
func Library(t testing.TB, root string) string {
	t.Helper()
	once.Do(func() { library, failure = build(root) })
	if failure != nil {
		t.Fatal(failure)
	}
	return library
}

func build(root string) (string, error) {
	dir, err := os.MkdirTemp("", "trirank-fake-gpu-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "libtrirank-faiss-gpu.so")
	source := filepath.Join(root, "faiss")
	args := []string{
		"-std=c++17", "-O1", "-fPIC", "-shared", "-fopenmp", "-fvisibility=hidden", "-fno-gnu-unique", `-DTR_GPU_ARCHS="80 90"`,
		"-I" + filepath.Join(source, "testdata", "gpu"),
	}
	args = append(args, strings.Fields(os.Getenv("CGO_CXXFLAGS"))...)
	args = append(args, filepath.Join(source, "gpu", "plugin.cc"), "-o", path, "-Wl,--exclude-libs,ALL")
	for _, flag := range strings.Fields(os.Getenv("CGO_LDFLAGS")) {
		if strings.HasPrefix(flag, "-L") || flag == "-lfaiss" {
			args = append(args, flag)
		}
	}
	args = append(args, "-lopenblas", "-lgomp")
	if out, err := exec.Command("g++", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile the fake GPU: %w\n%s", err, out)
	}
	return path, nil
}
