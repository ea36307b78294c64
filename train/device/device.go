// Package device opens what training computes on: XLA by way of a PJRT plugin, on
// the processor or on a GPU, or plain Go where there is no plugin.
package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/go-xla/compute/xla"

	"github.com/trirank/trirank/internal/beside"
)

// The kinds of devices.
const (
	CPU    = "cpu" // XLA on the processor
	GPU    = "gpu" // XLA on an NVIDIA GPU
	PureGo = "go"  // no plugin needed, several times slower
)

// warnings is go-xla's variable for what it thinks of the place of CUDA's libraries.
const warnings = "GOPJRT_CUDA_CHECKS"

// Open opens a device. kind "auto" is CPU where its plugin is there, else PureGo,
// and note then says so. plugins is the folder of the plugins; empty for what
// TRIRANK_PJRT says, or lib beside the program.
func Open(kind, plugins string) (b compute.Backend, note string, err error) {
	xla.EnableAutoInstall(false) // nothing is fetched behind the user's back
	auto := kind == "auto" || kind == ""
	if auto {
		kind = CPU
	}
	switch kind {
	case CPU, GPU:
		var path string
		if path, err = plugin(map[string]string{CPU: "cpu", GPU: "cuda"}[kind], plugins); err == nil {
			if kind == CPU {
				path += ",shared_buffers" // what is not copied need not be freed
			}
			if kind == GPU && os.Getenv(warnings) == "" {
				os.Setenv(warnings, "0") // of folders of wheels that need not be there
			}
			b, err = xla.New(path)
		}
		if err == nil || !auto {
			break
		}
		note = "no XLA, so plain Go computes, several times slower: " + err.Error()
		fallthrough
	case PureGo:
		b, err = gobackend.New("ops_sequential") // the default deadlocks on two cores
	default:
		err = errors.New("there are auto, cpu, gpu and go")
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot train on device %q: %w", kind, err)
	}
	return b, note, nil
}

// plugin finds the PJRT plugin with the given name.
func plugin(name, folder string) (string, error) {
	folders := []string{folder, os.Getenv("TRIRANK_PJRT")}
	if lib, err := beside.Path("lib"); err == nil {
		folders = append(folders, lib)
	}
	var tried []string
	for _, dir := range folders {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, "pjrt_c_api_"+name+"_plugin.so")
		if _, err := os.Stat(path); err == nil {
			return filepath.Abs(path)
		}
		tried = append(tried, path)
	}
	return "", fmt.Errorf("there is no plugin %s (make native fetches the one for the processor, make gpu that for GPUs)", strings.Join(tried, ", nor "))
}
