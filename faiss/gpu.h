// What loads gpu/plugin.h's library: cgo cannot call pointers to functions.
#pragma once
#include "gpu/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// Loads the library at path, once for all, which stays loaded.
const tr_gpu_api* tr_gpu_load(const char* path, char* err);

int tr_gpu_devices(const tr_gpu_api*, int32_t* n, char* err);
int tr_gpu_describe(const tr_gpu_api*, int32_t device, tr_gpu_device*, char* err);
int tr_gpu_free_memory(const tr_gpu_api*, int32_t device, int64_t* bytes, char* err);
int tr_gpu_open(const tr_gpu_api*, const char* path, int32_t device, int64_t scratch, int64_t batch,
                int64_t k, int64_t nprobe, tr_gpu_index** out, int64_t* bytes, char* err);
void tr_gpu_close(const tr_gpu_api*, tr_gpu_index*);
int tr_gpu_search(const tr_gpu_api*, tr_gpu_index*, int64_t n, const float* x, int64_t k,
                  int64_t nprobe, float* scores, int64_t* ids, char* err);

#ifdef __cplusplus
}
#endif
