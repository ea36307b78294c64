// In place of CUDA's: GPUs that the environment describes, so that what gpu/plugin.cc
// checks can be tested without one.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define CUDART_VERSION 13000

enum cudaError_t { cudaSuccess = 0, cudaErrorNoDevice = 100, cudaErrorUnknown = 999 };

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock;
    int major, minor;
};

inline long long fake(const char* name, long long otherwise) {
    const char* v = std::getenv(name);
    return v ? std::atoll(v) : otherwise;
}

inline const char* cudaGetErrorString(cudaError_t) { return "a made up error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaDriverGetVersion(int* v) {
    *v = int(fake("FAKE_DRIVER", 13000));
    return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* n) {
    *n = int(fake("FAKE_GPUS", 1));
    return *n ? cudaSuccess : cudaErrorNoDevice;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
    std::memset(p, 0, sizeof *p);
    std::snprintf(p->name, sizeof p->name, "Fake %d", device);
    p->major = int(fake("FAKE_CAPABILITY", 90) / 10);
    p->minor = int(fake("FAKE_CAPABILITY", 90) % 10);
    p->totalGlobalMem = 8ull << 30;
    p->sharedMemPerBlock = 48 << 10;
    return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* all) {
    *all = 8ull << 30;
    *free = size_t(fake("FAKE_FREE", 4ll << 30));
    return cudaSuccess;
}
