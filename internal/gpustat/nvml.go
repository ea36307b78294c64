//go:build cgo

package gpustat

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Monitor asks for the state of GPUs. A nil one knows of none.
type Monitor struct {
	nvml nvml.Interface
	gpus []gpu
}

type gpu struct {
	device nvml.Device
	labels string // of its metrics
}

// Open loads NVML. The error says why there is nothing to ask: no driver, mostly.
func Open() (*Monitor, error) { return open(nvml.New()) }

func open(n nvml.Interface) (*Monitor, error) {
	if r := n.Init(); r != nvml.SUCCESS {
		return nil, fmt.Errorf("cannot ask for the state of GPUs: %s", n.ErrorString(r))
	}
	m := &Monitor{nvml: n}
	count, r := n.DeviceGetCount()
	if r != nvml.SUCCESS {
		return nil, errors.Join(fmt.Errorf("cannot count GPUs: %s", n.ErrorString(r)), m.Close())
	}
	for i := range count {
		d, r := n.DeviceGetHandleByIndex(i)
		if r != nvml.SUCCESS {
			continue // one that this user may not see
		}
		name, _ := d.GetName()
		m.gpus = append(m.gpus, gpu{d, fmt.Sprintf(`{gpu="%d",name="%s"}`, i, escape.Replace(name))})
	}
	return m, nil
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ")

// Close gives NVML back.
func (m *Monitor) Close() error {
	if m == nil {
		return nil
	}
	if r := m.nvml.Shutdown(); r != nvml.SUCCESS {
		return fmt.Errorf("cannot close NVML: %s", m.nvml.ErrorString(r))
	}
	return nil
}

// WriteMetrics writes the state of each GPU in Prometheus' text format. What a GPU does
// not tell is left out.
func (m *Monitor) WriteMetrics(w io.Writer) {
	if m == nil {
		return
	}
	for _, x := range []struct {
		name, help string
		read       func(d nvml.Device) (float64, nvml.Return)
	}{
		{"utilization_ratio", "Share of the last moments in which the GPU was at work.", func(d nvml.Device) (float64, nvml.Return) {
			u, r := d.GetUtilizationRates()
			return float64(u.Gpu) / 100, r
		}},
		{"memory_used_bytes", "Memory in use, that of other programs included.", func(d nvml.Device) (float64, nvml.Return) {
			i, r := d.GetMemoryInfo()
			return float64(i.Used), r
		}},
		{"memory_total_bytes", "Memory of the GPU.", func(d nvml.Device) (float64, nvml.Return) {
			i, r := d.GetMemoryInfo()
			return float64(i.Total), r
		}},
		{"temperature_celsius", "Temperature of the GPU.", func(d nvml.Device) (float64, nvml.Return) {
			t, r := d.GetTemperature(nvml.TEMPERATURE_GPU)
			return float64(t), r
		}},
	} {
		headed := false
		for _, g := range m.gpus {
			v, r := x.read(g.device)
			if r != nvml.SUCCESS {
				continue
			}
			if !headed {
				fmt.Fprintf(w, "# HELP trirank_gpu_%s %s\n# TYPE trirank_gpu_%s gauge\n", x.name, x.help, x.name)
				headed = true
			}
			fmt.Fprintf(w, "trirank_gpu_%s%s %g\n", x.name, g.labels, v)
		}
	}
}
