#include "shim.h"
#include "validate.h"

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_io.h>
#include <faiss/invlists/InvertedLists.h>
#include <faiss/utils/distances.h>
#include <faiss/utils/utils.h>

extern "C" void openblas_set_num_threads(int);

struct tr_index {
    std::unique_ptr<faiss::Index> index;
};

namespace {

// OpenMP keeps its number of threads for each thread of the program, and Go moves
// goroutines between those: so it is set around each call, and set back, since
// building an index on the same thread wants all of them.
struct OneThread {
    int before = omp_get_max_threads();
    OneThread() { omp_set_num_threads(1); }
    ~OneThread() { omp_set_num_threads(before); }
};

template <class F>
int guarded(char* err, F f) {
    OneThread one;
    try {
        f();
        return 0;
    } catch (const std::exception& e) {
        std::snprintf(err, TR_ERR, "%s", e.what());
    } catch (...) {
        std::snprintf(err, TR_ERR, "unknown exception");
    }
    return -1;
}

// Params holds the parameters of one search, nested as the index is.
struct Params {
    faiss::SearchParameters plain;
    faiss::SearchParametersIVF ivf;
    faiss::SearchParametersHNSW hnsw;
    faiss::IndexRefineSearchParameters refine;
    faiss::SearchParametersPreTransform transform;

    faiss::SearchParameters* of(const faiss::Index* index, int64_t nprobe, int64_t ef,
                                float k_factor, faiss::IDSelector* sel) {
        if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
            transform.index_params = of(t->index, nprobe, ef, k_factor, sel);
            return &transform;
        }
        if (auto* r = dynamic_cast<const faiss::IndexRefine*>(index)) {
            refine.k_factor = k_factor > 0 ? k_factor : r->k_factor;
            refine.base_index_params = of(r->base_index, nprobe, ef, k_factor, sel);
            return &refine;
        }
        if (auto* i = dynamic_cast<const faiss::IndexIVF*>(index)) {
            ivf.nprobe = nprobe > 0 ? nprobe : i->nprobe;
            ivf.sel = sel;
            return &ivf;
        }
        if (auto* h = dynamic_cast<const faiss::IndexHNSW*>(index)) {
            hnsw.efSearch = ef > 0 ? ef : h->hnsw.efSearch;
            hnsw.sel = sel;
            return &hnsw;
        }
        // Some kinds take no parameters at all, not even empty ones.
        if (!sel) return nullptr;
        plain.sel = sel;
        return &plain;
    }
};

void describe(const faiss::Index* index, tr_info* info) {
    if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        describe(t->index, info);
    } else if (auto* r = dynamic_cast<const faiss::IndexRefine*>(index)) {
        info->refines = 1;
        describe(r->base_index, info);
    } else if (auto* i = dynamic_cast<const faiss::IndexIVF*>(index)) {
        info->nlist = i->nlist;
    } else if (dynamic_cast<const faiss::IndexHNSW*>(index)) {
        info->hnsw = 1;
    }
}

// Whether a filtered search works is not in the type: so one is tried.
bool can_filter(const faiss::Index* index) {
    if (index->ntotal == 0) return true;
    try {
        std::vector<float> x(index->d, 0.f);
        x[0] = 1.f;
        std::vector<uint8_t> none((index->ntotal + 7) / 8, 0);
        faiss::IDSelectorBitmap sel(none.size(), none.data());
        Params p;
        float score;
        faiss::idx_t id;
        index->search(1, x.data(), 1, &score, &id, p.of(index, 0, 0, 0, &sel));
        return id < 0; // a kind that ignores the filter finds something
    } catch (const std::exception&) {
        return false;
    }
}

// Inverted lists know where an id is only through a map that nobody made here;
// reconstruct_n looks through them instead.
void reconstruct(const faiss::Index* index, int64_t id, float* out) {
    if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        std::vector<float> inner(t->index->d);
        reconstruct(t->index, id, inner.data());
        t->reverse_chain(1, inner.data(), out);
    } else if (auto* r = dynamic_cast<const faiss::IndexRefine*>(index)) {
        reconstruct(r->refine_index, id, out);
    } else if (dynamic_cast<const faiss::IndexIVF*>(index)) {
        index->reconstruct_n(id, 1, out);
    } else {
        index->reconstruct(id, out);
    }
}

using Range = std::pair<uintptr_t, uintptr_t>; // of addresses

void add(std::vector<Range>* to, const void* start, size_t bytes) {
    if (bytes) to->emplace_back(uintptr_t(start), uintptr_t(start) + bytes);
}

// What searches read from end to end.
void vectors(const faiss::Index* index, std::vector<Range>* out) {
    if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        vectors(t->index, out);
    } else if (auto* r = dynamic_cast<const faiss::IndexRefine*>(index)) {
        vectors(r->base_index, out);
        vectors(r->refine_index, out);
    } else if (auto* h = dynamic_cast<const faiss::IndexHNSW*>(index)) {
        vectors(h->storage, out);
    } else if (auto* c = dynamic_cast<const faiss::IndexFlatCodes*>(index)) {
        add(out, c->codes.data(), c->codes.size());
    } else if (auto* i = dynamic_cast<const faiss::IndexIVF*>(index)) {
        if (auto* lists = dynamic_cast<const faiss::ArrayInvertedLists*>(i->invlists)) {
            for (size_t l = 0; l < lists->nlist; l++) {
                add(out, lists->get_codes(l), lists->list_size(l) * lists->code_size);
                add(out, lists->get_ids(l), lists->list_size(l) * sizeof(faiss::idx_t));
            }
        }
    }
}

// A search reads so much memory that looking up the addresses of small pages takes up
// to a quarter of its time. Most systems give large ones to those who ask; where the
// kernel does not, all stays as it is.
void use_large_pages(const faiss::Index* index) {
#if defined(MADV_HUGEPAGE)
#ifndef MADV_COLLAPSE // of Linux 6.1
#define MADV_COLLAPSE 25
#endif
    constexpr uintptr_t page = 4096, between = 64 << 10, large = 2 << 20;
    std::vector<Range> ranges;
    vectors(index, &ranges);
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 0; i < ranges.size();) {
        auto [start, end] = ranges[i++];
        // Lists lie one after the other, with little between.
        while (i < ranges.size() && ranges[i].first < end + between) {
            end = std::max(end, ranges[i++].second);
        }
        start &= ~(page - 1);
        end = (end + page - 1) & ~(page - 1);
        if (end - start < large) continue;
        madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
        madvise(reinterpret_cast<void*>(start), end - start, MADV_COLLAPSE);
    }
#endif
}

} // namespace

int tr_open(const char* path, tr_index** out, tr_info* info, char* err) {
    return guarded(err, [&] {
        std::unique_ptr<tr_index> x(new tr_index);
        x->index = tr::read(path);
        std::memset(info, 0, sizeof *info);
        info->ntotal = x->index->ntotal;
        info->dim = x->index->d;
        info->inner_product = x->index->metric_type == faiss::METRIC_INNER_PRODUCT;
        describe(x->index.get(), info);
        info->filters = can_filter(x->index.get());
        use_large_pages(x->index.get());
        *out = x.release();
    });
}

void tr_close(tr_index* index) { delete index; }

int tr_search(const tr_index* index, int64_t n, const float* x, int64_t k, int64_t nprobe,
              int64_t ef, float k_factor, const uint8_t* allow, int64_t allow_bytes,
              float* scores, int64_t* ids, char* err) {
    return guarded(err, [&] {
        faiss::IDSelectorBitmap bitmap(allow_bytes, allow);
        Params p;
        index->index->search(n, x, k, scores, ids,
                             p.of(index->index.get(), nprobe, ef, k_factor, allow ? &bitmap : nullptr));
    });
}

int tr_reconstruct(const tr_index* index, int64_t id, float* out, char* err) {
    return guarded(err, [&] { reconstruct(index->index.get(), id, out); });
}

void tr_inner_products(float* dst, const float* x, const float* rows, int64_t d, int64_t n) {
    faiss::fvec_inner_products_ny(dst, x, rows, d, n);
}

#define TR_STRING_(x) #x
#define TR_STRING(x) TR_STRING_(x)
const char* tr_version(void) {
    return TR_STRING(FAISS_VERSION_MAJOR) "." TR_STRING(FAISS_VERSION_MINOR) "." TR_STRING(FAISS_VERSION_PATCH);
}

int tr_vectorized(void) {
    try {
        return faiss::get_compile_options().find("GENERIC") == std::string::npos;
    } catch (...) { // no memory
        return 0;
    }
}

void tr_blas_threads(int n) { openblas_set_num_threads(n); }
