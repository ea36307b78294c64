// Package fakegpu makes a library for GPUs with which tests need none: what it does is
// done by the processor.
package fakegpu

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
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
	source := filepath.Join(root, "faiss")
	args := []string{
		"-std=c++17", "-O1", "-fPIC", "-shared", "-fopenmp", "-fvisibility=hidden", "-fno-gnu-unique", `-DTR_GPU_ARCHS="80 90"`,
		"-I" + filepath.Join(source, "testdata", "gpu"),
	}
	args = append(args, strings.Fields(os.Getenv("CGO_CXXFLAGS"))...)
	args = append(args, filepath.Join(source, "gpu", "plugin.cc"), "-Wl,--exclude-libs,ALL")
	for _, flag := range strings.Fields(os.Getenv("CGO_LDFLAGS")) {
		if strings.HasPrefix(flag, "-L") || flag == "-lfaiss" {
			args = append(args, flag)
		}
	}
	args = append(args, "-lopenblas", "-lgomp")

	// It is kept under a name that spells all that goes into it.
	hash := sha256.New()
	fmt.Fprintln(hash, args)
	for _, dir := range []string{filepath.Join(source, "gpu"), filepath.Join(source, "testdata", "gpu")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			hash.Write(text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "trirank", "fake-gpu")
	path := filepath.Join(dir, fmt.Sprintf("%x.so", hash.Sum(nil)[:8]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	aside, err := os.MkdirTemp(dir, ".making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	made := filepath.Join(aside, "made.so")
	if out, err := exec.Command("g++", append(args, "-o", made)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile the fake GPU: %w\n%s", err, out)
	}
	return path, os.Rename(made, path)
}
