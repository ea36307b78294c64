package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx"
	"github.com/trirank/trirank/faiss"
)

// Device says where vectors are searched and texts are encoded. The zero Device is the
// processor. It is a flag's value (pflag.Value).
type Device struct {
	kind   string
	number int // of a GPU
}

// The kinds of devices.
const (
	deviceAuto = "auto"
	deviceCPU  = "cpu"
	deviceGPU  = "gpu"
)

// Auto is a GPU for what it can do where there is one, and the processor otherwise.
var Auto = Device{kind: deviceAuto}

// String writes the device as Set reads it.
func (d *Device) String() string {
	switch {
	case d.kind == "":
		return deviceCPU
	case d.kind == deviceGPU && d.number > 0:
		return fmt.Sprintf("%s:%d", deviceGPU, d.number)
	}
	return d.kind
}

// Set reads auto, cpu, gpu or the number of a GPU as gpu:1.
func (d *Device) Set(s string) error {
	kind, number, numbered := strings.Cut(s, ":")
	out := Device{kind: kind}
	if numbered {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > 255 || kind != deviceGPU {
			return fmt.Errorf("%q is no device (there are auto, cpu, gpu and gpu:N)", s)
		}
		out.number = n
	}
	switch kind {
	case deviceAuto, deviceCPU, deviceGPU:
		*d = out
		return nil
	}
	return fmt.Errorf("%q is no device (there are auto, cpu, gpu and gpu:N)", s)
}

// Type names the value in a command's help.
func (d *Device) Type() string { return "auto|cpu|gpu[:N]" }

// placement puts parts of an index on a device, and keeps account of what is where.
type placement struct {
	device Device
	gpu    *faiss.Device // nil: there is none, or it is not wanted
	report []string
}

// place looks for the device. That a GPU is wanted and not there is an error; for Auto
// the report says why.
func place(d Device) (*placement, error) {
	p := &placement{device: d}
	if d.kind == "" || d.kind == deviceCPU {
		return p, nil
	}
	all, err := faiss.Devices()
	if err == nil && d.number >= len(all) {
		err = fmt.Errorf("there is no GPU %d (there are %d, from 0 on)", d.number, len(all))
	}
	switch {
	case err == nil:
		p.gpu = &all[d.number]
	case d.kind == deviceGPU:
		return nil, fmt.Errorf("cannot use a GPU: %w (--device auto takes the processor then)", err)
	case errors.Is(err, faiss.ErrNoGPULibrary): // and so nobody expects a GPU to be used
	default:
		p.report = append(p.report, fmt.Sprintf("the processor does everything: %v", err))
	}
	return p, nil
}

func (p *placement) name() string { return fmt.Sprintf("GPU %d (%s)", p.gpu.Number, p.gpu.Name) }

// failed is what becomes of err, with which something stays on the processor: nothing if
// that is allowed.
func (p *placement) failed(what string, err error) error {
	if p.device.kind == deviceGPU {
		return fmt.Errorf("%w (--device auto leaves to the processor what a GPU cannot do)", err)
	}
	p.report = append(p.report, fmt.Sprintf("the processor does %s: %v", what, err))
	return nil
}

// encoder opens a model, and returns where it runs; "" is the processor.
func (p *placement) encoder(ctx context.Context, what, dir string, o onnx.Options) (*encoder.Encoder, string, error) {
	if p.gpu == nil {
		return p.onProcessor(dir, o)
	}
	err := p.unfit(dir)
	if err == nil {
		var enc *encoder.Encoder
		if enc, err = p.onGPU(ctx, dir, o); err == nil {
			p.report = append(p.report, fmt.Sprintf("%s runs what %s does", p.name(), what))
			return enc, p.name(), nil
		}
	}
	if err := p.failed(what, err); err != nil {
		return nil, "", err
	}
	return p.onProcessor(dir, o)
}

// unfit says why a model is better left to the processor, if it may be. CUDA has no
// code for the arithmetic of 8 bits, and would send each layer back to the processor.
func (p *placement) unfit(dir string) error {
	m, err := encoder.ReadModel(dir)
	if err != nil || p.device.kind != deviceAuto || m.Precision == "fp32" {
		return nil // what is wrong with a model is said when it is opened
	}
	return fmt.Errorf("the model is of precision %s, which is slower on a GPU", m.Precision)
}

// onGPU opens a model on the GPU, and runs it: some things are missed only then.
func (p *placement) onGPU(ctx context.Context, dir string, o onnx.Options) (*encoder.Encoder, error) {
	o.GPU = &onnx.GPU{Device: p.gpu.Number}
	enc, err := onnx.Open(dir, o)
	if err != nil {
		return nil, err
	}
	if err := enc.SelfTest(ctx); err != nil {
		enc.Close()
		return nil, err
	}
	return enc, nil
}

// onProcessor opens a model on the processor: where there is a GPU, by the library for
// it, since a process can have one only and another model may want it.
func (p *placement) onProcessor(dir string, o onnx.Options) (*encoder.Encoder, string, error) {
	if p.gpu != nil && o.Library == "" {
		if library, err := onnx.GPULibrary(); err == nil {
			o.Library = library
		}
	}
	enc, err := onnx.Open(dir, o)
	return enc, "", err
}

// vectors moves an index to the GPU if there is one, and returns where it is.
func (p *placement) vectors(what string, x *faiss.Index) (string, error) {
	if p.gpu == nil {
		return "", nil
	}
	if err := x.UseGPU(faiss.GPUOptions{Device: p.gpu.Number}); err != nil {
		return "", p.failed(what, err)
	}
	_, bytes, _ := x.GPU()
	p.report = append(p.report, fmt.Sprintf("%s does %s, in %.0f MB", p.name(), what, float64(bytes)/1e6))
	return p.name(), nil
}

// OpenModel opens the model that a name or a path says, on a device. report says what
// runs where, if there was a choice.
func OpenModel(ctx context.Context, name string, d Device) (m Model, report []string, err error) {
	dir, err := FindModel(name)
	if err != nil {
		return m, nil, err
	}
	p, err := place(d)
	if err != nil {
		return m, nil, err
	}
	enc, _, err := p.encoder(ctx, "encoding by "+name, dir, onnx.Options{})
	return Model{Dir: dir, Encoder: enc}, p.report, err
}
