// The serving side of FAISS as package faiss needs it. Plain C, so that cgo can
// read it. Functions that can fail return 0 or write a message to err, of
// TR_ERR bytes, and return -1; no C++ exception leaves them.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TR_ERR 512

typedef struct tr_index tr_index;

typedef struct {
    int64_t ntotal;
    int64_t nlist;   // 0 if the index has no inverted lists
    int32_t dim;
    int32_t inner_product; // 1 if that is the metric
    int32_t refines; // 1 if a second, finer pass reorders the results
    int32_t hnsw;    // 1 if it is a navigable graph
    int32_t filters; // 1 if searches can be restricted to some ids
} tr_info;

int tr_open(const char* path, tr_index** out, tr_info* info, char* err);
void tr_close(tr_index* index);

// Searches n queries of the index's dimension; nprobe, ef and k_factor of 0 mean
// the index's own. allow, if not null, is a bitmap of allow_bytes bytes.
int tr_search(const tr_index* index, int64_t n, const float* x, int64_t k,
              int64_t nprobe, int64_t ef, float k_factor,
              const uint8_t* allow, int64_t allow_bytes,
              float* scores, int64_t* ids, char* err);

int tr_reconstruct(const tr_index* index, int64_t id, float* out, char* err);

// dst[i] = <x, rows[i]> for n contiguous rows of dimension d.
void tr_inner_products(float* dst, const float* x, const float* rows, int64_t d, int64_t n);

// The version of the library, such as "1.12.0".
const char* tr_version(void);

// 1 if the library was built for a processor with vector instructions beyond the plainest.
int tr_vectorized(void);

// Sets the threads of OpenBLAS, for the whole process.
void tr_blas_threads(int n);

#ifdef __cplusplus
}
#endif
