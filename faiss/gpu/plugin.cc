#include "plugin.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/gpu/GpuCloner.h>
#include <faiss/gpu/GpuIndexIVF.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/index_io.h>

// The compute capabilities that FAISS's kernels were compiled for: "80 90".
#ifndef TR_GPU_ARCHS
#error "define TR_GPU_ARCHS"
#endif

struct tr_gpu_index {
    // Before index, which must be destroyed first.
    faiss::gpu::StandardGpuResources resources;
    std::unique_ptr<faiss::Index> index;
};

namespace {

template <class... T>
std::runtime_error failure(const char* format, T... values) {
    char text[TR_GPU_ERR];
    std::snprintf(text, sizeof text, format, values...);
    return std::runtime_error(text);
}

template <class F>
int guarded(char* err, F f) {
    try {
        f();
        return 0;
    } catch (const std::exception& e) {
        std::snprintf(err, TR_GPU_ERR, "%s", e.what());
    } catch (...) {
        std::snprintf(err, TR_GPU_ERR, "unknown exception");
    }
    return -1;
}

void check(cudaError_t e, const char* what) {
    if (e != cudaSuccess) {
        cudaGetLastError(); // FAISS would take it for its own
        throw failure("%s: %s", what, cudaGetErrorString(e));
    }
}

int count_devices() {
    int driver = 0, n = 0;
    check(cudaDriverGetVersion(&driver), "cannot ask for the NVIDIA driver");
    if (driver == 0) throw failure("there is no NVIDIA driver");
    if (driver < CUDART_VERSION / 1000 * 1000) {
        throw failure("the NVIDIA driver is for CUDA %d.%d, and %d.0 at least is needed (a newer driver brings it)",
                      driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000);
    }
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaErrorNoDevice || (e == cudaSuccess && n == 0)) {
        cudaGetLastError();
        throw failure("the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)");
    }
    check(e, "cannot count the GPUs");
    return n;
}

int devices(int32_t* n, char* err) {
    return guarded(err, [&] { *n = count_devices(); });
}

cudaDeviceProp properties(int32_t device) {
    int n = count_devices();
    if (device < 0 || device >= n) throw failure("there is no GPU %d (there are %d, from 0 on)", device, n);
    cudaDeviceProp p;
    check(cudaGetDeviceProperties(&p, device), "cannot describe the GPU");
    return p;
}

// free_memory makes the device's context, if there is none, which itself takes memory.
int64_t free_memory(int32_t device) {
    check(cudaSetDevice(device), "cannot use the GPU");
    size_t free = 0, all = 0;
    check(cudaMemGetInfo(&free, &all), "cannot ask for the GPU's memory");
    return int64_t(free);
}

int describe(int32_t device, tr_gpu_device* out, char* err) {
    return guarded(err, [&] {
        cudaDeviceProp p = properties(device);
        std::memset(out, 0, sizeof *out);
        std::snprintf(out->name, sizeof out->name, "%s", p.name);
        out->major = p.major;
        out->minor = p.minor;
        out->memory = int64_t(p.totalGlobalMem);
    });
}

int ask_free_memory(int32_t device, int64_t* bytes, char* err) {
    return guarded(err, [&] {
        properties(device);
        *bytes = free_memory(device);
    });
}

// FAISS would end the process at its first kernel on a GPU for which it has none.
void check_kernels(const cudaDeviceProp& p) {
    for (const char* s = TR_GPU_ARCHS; *s;) {
        char* end;
        long arch = std::strtol(s, &end, 10);
        if (end == s) break;
        if (arch / 10 == p.major && arch % 10 <= p.minor) return;
        s = end;
        while (*s == ' ') s++;
    }
    throw failure("%s is of compute capability %d.%d, and this library is built for %s (build it with: make gpu CUDA_ARCHS=%d%d)",
                  p.name, p.major, p.minor, TR_GPU_ARCHS, p.major, p.minor);
}

bool is_flat(const faiss::Index* x) {
    const std::type_info& t = typeid(*x);
    return t == typeid(faiss::IndexFlat) || t == typeid(faiss::IndexFlatIP) || t == typeid(faiss::IndexFlatL2);
}

// FAISS has kernels for these numbers of bytes; from 56 on the tables are of 16 bits.
bool is_pq_length(size_t m) {
    for (size_t x : {1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96}) {
        if (x == m) return true;
    }
    return false;
}

constexpr size_t longest_pq_of_floats = 48;

bool is_quantizer(faiss::ScalarQuantizer::QuantizerType t) {
    switch (t) {
        case faiss::ScalarQuantizer::QT_8bit:
        case faiss::ScalarQuantizer::QT_8bit_uniform:
        case faiss::ScalarQuantizer::QT_8bit_direct:
        case faiss::ScalarQuantizer::QT_6bit:
        case faiss::ScalarQuantizer::QT_4bit:
        case faiss::ScalarQuantizer::QT_4bit_uniform:
        case faiss::ScalarQuantizer::QT_fp16:
            return true;
        default:
            return false;
    }
}

// allocated is what CUDA takes for so many bytes.
int64_t allocated(int64_t bytes) {
    int64_t unit = bytes > 1 << 20 ? 2 << 20 : 512;
    return (bytes + unit - 1) / unit * unit;
}

// check_kind throws if an index is of a kind that FAISS has no code for on a GPU, which
// it would find out in part only, and too late. It returns the bytes that the index
// takes there: inverted lists are padded to 32 vectors, and each is allocated by itself.
int64_t check_kind(const faiss::Index* x, const cudaDeviceProp& device, faiss::gpu::GpuClonerOptions* options) {
    if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(x)) return check_kind(t->index, device, options);
    if (is_flat(x)) return allocated(x->ntotal * int64_t(x->d) * 4) + allocated(x->ntotal * 4);
    if (auto* q = dynamic_cast<const faiss::IndexScalarQuantizer*>(x)) {
        if (q->sq.qtype == faiss::ScalarQuantizer::QT_fp16) {
            // FAISS copies a million at a time, to a new place for all so far.
            return allocated(x->ntotal * (int64_t(x->d) * 2 + 4)) * (x->ntotal > 1 << 20 ? 2 : 1);
        }
        throw failure("a GPU searches quantized vectors in inverted lists only (IVF1024,SQ8, say), except those of 16 bits");
    }
    auto* ivf = dynamic_cast<const faiss::IndexIVF*>(x);
    if (!ivf) throw failure("a GPU cannot search an index of this kind (it can Flat, SQfp16, and IVF with Flat, SQ or PQ)");
    if (typeid(*x) == typeid(faiss::IndexIVFScalarQuantizer)) {
        auto* q = static_cast<const faiss::IndexIVFScalarQuantizer*>(x);
        if (!is_quantizer(q->sq.qtype)) throw failure("a GPU cannot search vectors quantized like that (it can SQ8, SQ6, SQ4 and SQfp16)");
        if (size_t(x->d) >= device.sharedMemPerBlock / 8) {
            throw failure("the dimension %d is more than the GPU's shared memory takes of a scalar quantizer", int(x->d));
        }
    } else if (typeid(*x) == typeid(faiss::IndexIVFPQ)) {
        auto* q = static_cast<const faiss::IndexIVFPQ*>(x);
        if (q->pq.nbits != 8 || !is_pq_length(q->pq.M) || !q->by_residual || q->polysemous_ht != 0) {
            throw failure("a GPU cannot search PQ%dx%d (it can 8 bits, of residuals, in 1 to 4, 8, 12, ... 32, 40, 48, 56, 64 or 96 parts)",
                          int(q->pq.M), int(q->pq.nbits));
        }
        options->useFloat16 = q->pq.M > longest_pq_of_floats;
        size_t table = q->pq.M * 256 * (options->useFloat16 ? 2 : 4);
        if (table > device.sharedMemPerBlock) throw failure("the tables of PQ%d are more than the GPU's shared memory takes", int(q->pq.M));
    } else if (typeid(*x) != typeid(faiss::IndexIVFFlat)) {
        throw failure("a GPU cannot search inverted lists of this kind (it can IVF with Flat, SQ or PQ)");
    }
    if (!ivf->quantizer || !is_flat(ivf->quantizer)) throw failure("a GPU wants the centroids of inverted lists in an index Flat");
    if (ivf->nprobe > TR_GPU_MAX_NPROBE) {
        throw failure("the index visits %d lists a query, and a GPU %d at most", int(ivf->nprobe), TR_GPU_MAX_NPROBE);
    }
    int64_t bytes = 2 * allocated(int64_t(ivf->nlist) * x->d * 4);
    for (size_t l = 0; l < ivf->nlist; l++) {
        int64_t n = ivf->invlists->list_size(l);
        bytes += allocated((n + 31) / 32 * 32 * int64_t(ivf->code_size)) + allocated(n * 8);
    }
    return bytes;
}

// What a search is told, nested as the index is.
struct Params {
    faiss::SearchParametersIVF ivf;
    faiss::SearchParametersPreTransform transform;

    faiss::SearchParameters* of(const faiss::Index* x, int64_t nprobe) {
        if (nprobe <= 0) return nullptr;
        if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(x)) {
            transform.index_params = of(t->index, nprobe);
            return transform.index_params ? &transform : nullptr;
        }
        // Setting it on the index itself would write over other memory, in 1.12.
        if (!dynamic_cast<const faiss::gpu::GpuIndexIVF*>(x)) return nullptr;
        ivf.nprobe = nprobe;
        return &ivf;
    }
};

constexpr int64_t context_bytes = 300 << 20; // of CUDA and cuBLAS themselves
constexpr double mega = 1 << 20;

int open_index(const char* path, int32_t device, int64_t scratch, int64_t batch, int64_t k,
               int64_t nprobe, tr_gpu_index** out, int64_t* bytes, char* err) {
    return guarded(err, [&] {
        cudaDeviceProp p = properties(device);
        check_kernels(p);
        std::unique_ptr<faiss::Index> cpu(faiss::read_index(path));
        if (cpu->metric_type != faiss::METRIC_INNER_PRODUCT) throw failure("the index does not rank by inner product");
        faiss::gpu::GpuClonerOptions options;
        *bytes = check_kind(cpu.get(), p, &options);
        int64_t free = free_memory(device), need = *bytes + scratch + context_bytes;
        if (need > free) {
            throw failure("GPU %d (%s) has %.0f MB free, and the index takes %.0f MB with %.0f MB to work in",
                          device, p.name, free / mega, need / mega, scratch / mega);
        }
        std::unique_ptr<tr_gpu_index> x(new tr_gpu_index);
        x->resources.setTempMemory(size_t(scratch));
        x->resources.setPinnedMemory(64 << 20); // of the host; queries are small
        x->resources.getResources()->initializeForDevice(device); // takes it now
        x->index.reset(faiss::gpu::index_cpu_to_gpu(&x->resources, device, cpu.get(), &options));
        // What goes wrong shall do so now rather than when somebody asks.
        std::vector<float> queries(size_t(batch) * x->index->d, 0.f);
        for (int64_t i = 0; i < batch; i++) queries[size_t(i) * x->index->d] = 1.f;
        std::vector<float> scores(size_t(batch) * k);
        std::vector<faiss::idx_t> ids(size_t(batch) * k);
        Params params;
        x->index->search(batch, queries.data(), k, scores.data(), ids.data(), params.of(x->index.get(), nprobe));
        check(cudaDeviceSynchronize(), "a first search failed");
        *out = x.release();
    });
}

void close_index(tr_gpu_index* x) { delete x; }

int search(tr_gpu_index* x, int64_t n, const float* queries, int64_t k, int64_t nprobe, float* scores, int64_t* ids, char* err) {
    return guarded(err, [&] {
        if (n < 1 || k < 1 || k > TR_GPU_MAX_K || nprobe > TR_GPU_MAX_NPROBE) {
            throw failure("%d queries for %d results in %d lists are beyond what a GPU can do", int(n), int(k), int(nprobe));
        }
        Params p;
        x->index->search(n, queries, k, scores, ids, p.of(x->index.get(), nprobe));
    });
}

} // namespace

extern "C" __attribute__((visibility("default"))) const tr_gpu_api* tr_gpu(void) {
    static const tr_gpu_api api = {TR_GPU_ABI, devices, describe, ask_free_memory, open_index, close_index, search};
    return &api;
}
