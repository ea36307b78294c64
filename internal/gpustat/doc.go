// Package gpustat tells how busy, how full and how warm NVIDIA GPUs are. It asks NVML,
// the library of the driver, which it loads when it is there: a program with it runs
// without one as well. NVML cannot be asked without cgo, and so the package has nothing
// in a program that is built without.
package gpustat
