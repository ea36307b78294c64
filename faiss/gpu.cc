#include "gpu.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

const tr_gpu_api* tr_gpu_load(const char* path, char* err) {
    // GPUs are numbered as NVML and nvidia-smi do, and all code for them is loaded at
    // once: what is missing shall be missed when the program starts.
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0);
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
    // Its names are its own: it has a FAISS in it, as the program has.
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        std::snprintf(err, TR_GPU_ERR, "%s", dlerror());
        return nullptr;
    }
    auto* entry = reinterpret_cast<const tr_gpu_api* (*)()>(dlsym(library, "tr_gpu"));
    if (!entry) {
        std::snprintf(err, TR_GPU_ERR, "it is no library of trirank's: %s", dlerror());
        dlclose(library);
        return nullptr;
    }
    const tr_gpu_api* api = entry();
    if (api->abi != TR_GPU_ABI) {
        std::snprintf(err, TR_GPU_ERR, "it is of another version (%d, not %d) of trirank", api->abi, TR_GPU_ABI);
        dlclose(library);
        return nullptr;
    }
    return api;
}

int tr_gpu_devices(const tr_gpu_api* a, int32_t* n, char* err) { return a->devices(n, err); }

int tr_gpu_describe(const tr_gpu_api* a, int32_t device, tr_gpu_device* out, char* err) {
    return a->describe(device, out, err);
}

int tr_gpu_free_memory(const tr_gpu_api* a, int32_t device, int64_t* bytes, char* err) {
    return a->free_memory(device, bytes, err);
}

int tr_gpu_open(const tr_gpu_api* a, const char* path, int32_t device, int64_t scratch, int64_t batch,
                int64_t k, int64_t nprobe, tr_gpu_index** out, int64_t* bytes, char* err) {
    return a->open(path, device, scratch, batch, k, nprobe, out, bytes, err);
}

void tr_gpu_close(const tr_gpu_api* a, tr_gpu_index* x) { a->close(x); }

int tr_gpu_search(const tr_gpu_api* a, tr_gpu_index* x, int64_t n, const float* q, int64_t k,
                  int64_t nprobe, float* scores, int64_t* ids, char* err) {
    return a->search(x, n, q, k, nprobe, scores, ids, err);
}
