//go:build cgo

package gpustat

import (
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
)

// driver is a driver with a GPU that tells all and one that tells little.
func driver(init nvml.Return) *mock.Interface {
	full := &mock.Device{
		GetNameFunc:             func() (string, nvml.Return) { return `NVIDIA "H200"`, nvml.SUCCESS },
		GetUtilizationRatesFunc: func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 43}, nvml.SUCCESS },
		GetMemoryInfoFunc: func() (nvml.Memory, nvml.Return) {
			return nvml.Memory{Total: 8 << 30, Used: 3 << 30}, nvml.SUCCESS
		},
		GetTemperatureFunc: func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS },
	}
	part := &mock.Device{
		GetNameFunc:             func() (string, nvml.Return) { return "part of one", nvml.SUCCESS },
		GetUtilizationRatesFunc: func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_NOT_SUPPORTED },
		GetMemoryInfoFunc:       func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 1e9, Used: 5e8}, nvml.SUCCESS },
		GetTemperatureFunc:      func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED },
	}
	return &mock.Interface{
		InitFunc:           func() nvml.Return { return init },
		ShutdownFunc:       func() nvml.Return { return nvml.SUCCESS },
		ErrorStringFunc:    func(r nvml.Return) string { return r.String() },
		DeviceGetCountFunc: func() (int, nvml.Return) { return 3, nvml.SUCCESS },
		DeviceGetHandleByIndexFunc: func(i int) (nvml.Device, nvml.Return) {
			switch i {
			case 0:
				return full, nvml.SUCCESS
			case 1:
				return nil, nvml.ERROR_NO_PERMISSION
			}
			return part, nvml.SUCCESS
		},
	}
}

func TestMetrics(t *testing.T) {
	m, err := open(driver(nvml.SUCCESS))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	m.WriteMetrics(&b)
	const want = `# HELP trirank_gpu_utilization_ratio Share of the last moments in which the GPU was at work.
# TYPE trirank_gpu_utilization_ratio gauge
trirank_gpu_utilization_ratio{gpu="0",name="NVIDIA \"H200\""} 0.43
# HELP trirank_gpu_memory_used_bytes Memory in use, that of other programs included.
# TYPE trirank_gpu_memory_used_bytes gauge
trirank_gpu_memory_used_bytes{gpu="0",name="NVIDIA \"H200\""} 3.221225472e+09
trirank_gpu_memory_used_bytes{gpu="2",name="part of one"} 5e+08
# HELP trirank_gpu_memory_total_bytes Memory of the GPU.
# TYPE trirank_gpu_memory_total_bytes gauge
trirank_gpu_memory_total_bytes{gpu="0",name="NVIDIA \"H200\""} 8.589934592e+09
trirank_gpu_memory_total_bytes{gpu="2",name="part of one"} 1e+09
# HELP trirank_gpu_temperature_celsius Temperature of the GPU.
# TYPE trirank_gpu_temperature_celsius gauge
trirank_gpu_temperature_celsius{gpu="0",name="NVIDIA \"H200\""} 61
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestNone(t *testing.T) {
	if _, err := open(driver(nvml.ERROR_LIBRARY_NOT_FOUND)); err == nil {
		t.Error("a driver that is not there is no error")
	}
	var m *Monitor
	m.WriteMetrics(nil)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	// Whatever this machine has must not end the test.
	if m, err := Open(); err == nil {
		m.WriteMetrics(new(strings.Builder))
		m.Close()
	}
}
