package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/trirank/trirank/internal/beside"
)

// environment counts the open models: ONNX Runtime's own environment is global.
var environment struct {
	sync.Mutex
	users   int
	library string
}

// Library returns the path of libonnxruntime.so that Open uses by default, and
// an error that says where it was looked for if it is not there.
func Library() (string, error) {
	return find("TRIRANK_ONNXRUNTIME", "libonnxruntime.so", "run make build")
}

// GPULibrary returns the path of the one that Open uses for a GPU, as Library does.
// What it loads itself, its CUDA provider, lies beside it.
func GPULibrary() (string, error) {
	return find("TRIRANK_ONNXRUNTIME_GPU", filepath.Join("gpu", "libonnxruntime.so"), "run make gpu")
}

// find looks for a library where a variable says, or in the folder lib beside the
// program.
func find(variable, name, remedy string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return path, fmt.Errorf("cannot find ONNX Runtime: %w (unset or correct %s)", err, variable)
		}
		return path, nil
	}
	path, err := beside.Path("lib", name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return path, fmt.Errorf("cannot find ONNX Runtime: %w (%s, or set %s to the path of libonnxruntime.so)", err, remedy, variable)
	}
	return path, nil
}

// Version returns the version of the loaded ONNX Runtime, loading it if no
// model is open.
func Version() (string, error) {
	if err := acquire(""); err != nil {
		return "", err
	}
	defer release()
	return ort.GetVersion(), nil
}

func acquire(library string) error {
	environment.Lock()
	defer environment.Unlock()
	if library == "" && environment.users > 0 {
		library = environment.library // that for a GPU does for a processor too
	}
	if library == "" {
		var err error
		if library, err = Library(); err != nil {
			return err
		}
	}
	if environment.users > 0 {
		if library != environment.library {
			return fmt.Errorf("cannot load ONNX Runtime from %s: %s is loaded, and a process can have one only", library, environment.library)
		}
		environment.users++
		return nil
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("cannot load ONNX Runtime from %s: %w", library, err)
	}
	if err := ort.DisableTelemetry(); err != nil {
		return errors.Join(err, ort.DestroyEnvironment())
	}
	environment.users, environment.library = 1, library
	return nil
}

func release() error {
	environment.Lock()
	defer environment.Unlock()
	if environment.users--; environment.users > 0 {
		return nil
	}
	return ort.DestroyEnvironment()
}
