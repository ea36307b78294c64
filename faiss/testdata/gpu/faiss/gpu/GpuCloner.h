#pragma once
#include <faiss/IndexFlat.h>
#include <faiss/clone_index.h>
#include <faiss/gpu/StandardGpuResources.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "../../cuda_runtime_api.h"

namespace faiss::gpu {

struct GpuClonerOptions {
    bool useFloat16 = false;
};

// FakeGpuIndex searches as FAISS does on a GPU: not at the same time from two threads,
// slowly, and with no mercy on what the real one does not do. At its end it says how
// often it was asked, and for how many queries.
struct FakeGpuIndex : IndexFlatIP {
    mutable std::atomic<int> busy{0}, calls{0}, queries{0};

    explicit FakeGpuIndex(const IndexFlat& x) : IndexFlatIP(x.d) { add(x.ntotal, x.get_xb()); }

    ~FakeGpuIndex() override {
        if (const char* path = std::getenv("FAKE_LOG")) {
            if (FILE* f = std::fopen(path, "w")) {
                std::fprintf(f, "%d %d", calls.load(), queries.load());
                std::fclose(f);
            }
        }
    }

    void search(idx_t n, const float* x, idx_t k, float* scores, idx_t* ids, const SearchParameters* p) const override {
        if (busy.fetch_add(1)) std::abort();
        std::this_thread::sleep_for(std::chrono::milliseconds(fake("FAKE_SLEEP_MS", 0)));
        if (p) throw std::runtime_error("an exact search was given parameters");
        if (fake("FAKE_FAILURE", 0) && calls) {
            busy--;
            throw std::runtime_error("a made up failure");
        }
        calls++;
        queries += n;
        IndexFlatIP::search(n, x, k, scores, ids);
        busy--;
    }
};

inline Index* index_cpu_to_gpu(StandardGpuResources*, int, const Index* x, const GpuClonerOptions*) {
    if (auto* flat = dynamic_cast<const IndexFlat*>(x)) return new FakeGpuIndex(*flat);
    return clone_index(x);
}

} // namespace faiss::gpu
