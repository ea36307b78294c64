// The GPU side of FAISS: a library of its own, libtrirank-faiss-gpu.so, which package
// faiss loads where a GPU is wanted, so that one program runs with and without one.
// It has a FAISS of its own inside, and shows nothing but tr_gpu.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Changes when what is below does.
#define TR_GPU_ABI 1
#define TR_GPU_ERR 512

// What FAISS can do on a GPU at most.
#define TR_GPU_MAX_K 2048
#define TR_GPU_MAX_NPROBE 2048

typedef struct {
    char name[256];
    int64_t memory;       // bytes
    int32_t major, minor; // of the compute capability
} tr_gpu_device;

typedef struct tr_gpu_index tr_gpu_index;

// Functions that can fail return 0, or write a message to err, of TR_GPU_ERR bytes,
// and return -1. CUDA's own errors in the middle of a search end the process: all that
// can be looked at beforehand is.
typedef struct {
    int32_t abi;

    // Counts the GPUs; that there are none, and why, is an error.
    int (*devices)(int32_t* n, char* err);
    int (*describe)(int32_t device, tr_gpu_device* out, char* err);

    // Asks for the bytes that nobody has taken. The process takes some hundred MB of
    // the device by asking.
    int (*free_memory)(int32_t device, int64_t* bytes, char* err);

    // Copies the index file at path to a device, if its kind can be searched there and
    // there is room for it and for scratch bytes of working memory, and tries a search
    // of batch queries for k results in nprobe lists. bytes is what the index takes there.
    int (*open)(const char* path, int32_t device, int64_t scratch, int64_t batch, int64_t k,
                int64_t nprobe, tr_gpu_index** out, int64_t* bytes, char* err);
    void (*close)(tr_gpu_index*);

    // Searches n queries, at most batch of them; nprobe of 0 is the index's own. One
    // call at a time for an index. Places without a result get the id -1.
    int (*search)(tr_gpu_index*, int64_t n, const float* x, int64_t k, int64_t nprobe,
                  float* scores, int64_t* ids, char* err);
} tr_gpu_api;

const tr_gpu_api* tr_gpu(void);

#ifdef __cplusplus
}
#endif
