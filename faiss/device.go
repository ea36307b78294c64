package faiss

// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "gpu.h"
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"github.com/trirank/trirank/internal/beside"
)

// ErrNoGPULibrary says that there is no library for GPUs: nobody built or brought it.
var ErrNoGPULibrary = errors.New("there is no library for GPUs")

// Device is an NVIDIA GPU.
type Device struct {
	Number     int    // from 0, as nvidia-smi counts those that CUDA_VISIBLE_DEVICES leaves
	Name       string // such as "NVIDIA H200"
	Capability string // of its processors, such as "9.0"
	Memory     int64  // bytes
}

// gpu is the loaded library for GPUs.
var gpu struct {
	sync.Mutex
	api *C.tr_gpu_api
}

// GPULibrary returns the path of the library for GPUs: $TRIRANK_FAISS_GPU, else
// lib/gpu/libtrirank-faiss-gpu.so beside the program. The error says where it was
// looked for if it is not there.
func GPULibrary() (string, error) {
	path, remedy := os.Getenv("TRIRANK_FAISS_GPU"), "unset or correct TRIRANK_FAISS_GPU"
	if path == "" {
		var err error
		if path, err = beside.Path("lib", "gpu", "libtrirank-faiss-gpu.so"); err != nil {
			return "", err
		}
		remedy = "make gpu builds it"
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, fmt.Errorf("%w at %s (%s)", ErrNoGPULibrary, path, remedy)
	}
	if err != nil {
		return path, fmt.Errorf("cannot load the library for GPUs: %w", err)
	}
	return path, nil
}

// library loads the library for GPUs where it is not loaded yet.
func library() (*C.tr_gpu_api, error) {
	gpu.Lock()
	defer gpu.Unlock()
	if gpu.api != nil {
		return gpu.api, nil
	}
	path, err := GPULibrary()
	if err != nil {
		return nil, err
	}
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var msg [C.TR_GPU_ERR]C.char
	api := C.tr_gpu_load(cpath, &msg[0])
	if api == nil {
		return nil, fmt.Errorf("cannot load %s: %s (it needs the libraries of CUDA 13 beside it or in LD_LIBRARY_PATH)", path, C.GoString(&msg[0]))
	}
	gpu.api = api
	return api, nil
}

// Devices returns the GPUs of this machine. That there are none is an error, which
// says what is missing: the library, the driver or the device.
func Devices() ([]Device, error) {
	api, err := library()
	if err != nil {
		return nil, err
	}
	var n C.int32_t
	var msg [C.TR_GPU_ERR]C.char
	if C.tr_gpu_devices(api, &n, &msg[0]) != 0 {
		return nil, errors.New(C.GoString(&msg[0]))
	}
	var out []Device
	for i := range int(n) {
		d, err := device(api, i)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func device(api *C.tr_gpu_api, number int) (Device, error) {
	var d C.tr_gpu_device
	var msg [C.TR_GPU_ERR]C.char
	if C.tr_gpu_describe(api, C.int32_t(number), &d, &msg[0]) != 0 {
		return Device{}, fmt.Errorf("cannot use GPU %d: %s", number, C.GoString(&msg[0]))
	}
	return Device{
		Number: number, Name: C.GoString(&d.name[0]), Capability: fmt.Sprintf("%d.%d", d.major, d.minor),
		Memory: int64(d.memory),
	}, nil
}

// FreeMemory returns the bytes of a GPU that nobody has taken. To ask, the process takes
// some hundred MB of it.
func FreeMemory(number int) (int64, error) {
	api, err := library()
	if err != nil {
		return 0, err
	}
	var bytes C.int64_t
	var msg [C.TR_GPU_ERR]C.char
	if C.tr_gpu_free_memory(api, C.int32_t(number), &bytes, &msg[0]) != 0 {
		return 0, fmt.Errorf("cannot ask GPU %d for its memory: %s", number, C.GoString(&msg[0]))
	}
	return int64(bytes), nil
}
