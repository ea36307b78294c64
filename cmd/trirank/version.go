package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"

	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/engine/store"
	"github.com/trirank/trirank/faiss"
)

// A part is something the program is made of, or needs.
type part struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Problem string `json:"problem,omitempty"`
	// Absent says that there is none, which is no problem.
	Absent bool `json:"absent,omitempty"`
	// Warning is what somebody should know of, though it may be meant.
	Warning string `json:"warning,omitempty"`
}

// parts names every part with its version, and what is wrong with it. The models
// are opened and tested only if deep.
func parts(ctx context.Context, deep bool) []part {
	out := []part{{Name: "trirank", Version: version}, {Name: "go", Version: runtime.Version()}}
	f := part{Name: "FAISS", Version: faiss.Version() + " " + faissLevel}
	if err := checkLevel(faissLevel); err != nil {
		f.Problem = err.Error()
	}
	out = append(out, f)
	ort := part{Name: "ONNX Runtime"}
	if v, err := onnx.Version(); err != nil {
		ort.Problem = err.Error()
	} else {
		library, _ := onnx.Library()
		ort.Version = v + " (" + library + ")"
	}
	out = append(out, ort)
	out = append(out, gpuPart())
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/DataIntelligenceCrew/go-faiss", "github.com/yalue/onnxruntime_go", "github.com/daulet/tokenizers", "github.com/valyala/fasthttp", "github.com/blevesearch/bleve/v2":
				out = append(out, part{Name: d.Path, Version: d.Version})
			}
		}
	}
	if deep {
		names := store.Models()
		if len(names) == 0 {
			names = []string{defaultModel} // whose absence is then explained
		}
		for _, name := range names {
			out = append(out, checkModel(ctx, name))
		}
	}
	return out
}

// gpuPart tells what GPUs there are. That there are none is no problem.
func gpuPart() part {
	devices, err := faiss.Devices()
	if err != nil {
		return part{Name: "GPU", Version: "none: " + err.Error(), Absent: true}
	}
	if len(devices) == 0 {
		return part{Name: "GPU", Version: "none: no device was found", Absent: true}
	}
	var names []string
	for _, d := range devices {
		names = append(names, fmt.Sprintf("%s (%.0f GB)", d.Name, float64(d.Memory)/1e9))
	}
	return part{Name: "GPU", Version: strings.Join(names, ", ")}
}

// checkLevel reports whether this processor can run what FAISS was built for:
// otherwise the first search would end the process.
func checkLevel(level string) error {
	ok := true
	switch level {
	case "avx2":
		ok = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	case "avx512":
		ok = cpu.X86.HasAVX512F && cpu.X86.HasAVX512CD && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW
	}
	if !ok {
		return fmt.Errorf("this processor lacks the %s instructions that FAISS was built for (build again here, or with make FAISS_LEVEL=avx2 or generic)", level)
	}
	return nil
}

func checkModel(ctx context.Context, name string) part {
	p := part{Name: "model " + name}
	dir, err := store.FindModel(name)
	if err != nil {
		p.Problem = err.Error()
		return p
	}
	p.Version = dir
	enc, err := onnx.Open(dir, onnx.Options{})
	if err != nil {
		p.Problem = err.Error()
		return p
	}
	defer enc.Close()
	if err := enc.SelfTest(ctx); err != nil {
		p.Problem = err.Error()
		return p
	}
	p.Version = fmt.Sprintf("%s, %d dimensions (%s)", enc.Model.Precision, enc.Model.Dimension, dir)
	return p
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the program and of its parts",
		Example: `  trirank version --json`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := parts(c.Context(), false)
			if asJSON {
				return writeJSON(c.OutOrStdout(), all)
			}
			for _, p := range all {
				fmt.Fprintf(c.OutOrStdout(), "%-42s %s\n", p.Name, p.Version)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// A processor that cannot run the program should be told before FAISS crashes on it.
func init() {
	if err := checkLevel(faissLevel); err != nil {
		fmt.Fprintf(os.Stderr, "trirank: cannot run: %v\n", err)
		os.Exit(1)
	}
}
