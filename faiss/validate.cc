#include "validate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/stat.h>

#include <faiss/IndexFlat.h>
#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFastScan.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPQFastScan.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/ProductQuantizer.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <faiss/invlists/BlockInvertedLists.h>
#include <faiss/invlists/InvertedLists.h>

namespace tr {
namespace {

void want(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(std::string("the index is damaged: ") + what);
}

// Whether count*size is total, without overflow.
bool makes(size_t count, size_t size, size_t total) {
    size_t product;
    return !__builtin_mul_overflow(count, size, &product) && product == total;
}

// The number that lies in an enum or a bool. One of a file may be none of the type's
// values, and loading such a value as the type has no defined meaning.
template <class T>
unsigned number(const T& of) {
    unsigned n = 0;
    static_assert(sizeof of <= sizeof n, "of an enum or a bool");
    std::memcpy(&n, &of, sizeof of); // little end first, as in the file
    return n;
}

// The file that FAISS reads. FAISS allocates as many items as a number in the file says,
// and divides by the number of sub-quantizers, before validate can look: so each number is
// checked as it is read.
struct Reader : faiss::FileIOReader {
    size_t most; // that a number of items can be
    const char* before = nullptr; // where the last single number of 64 bits went

    explicit Reader(const char* path) : FileIOReader(path) {
        struct stat s;
        want(fstat(fileno(f), &s) == 0, "its size");
        most = std::max<size_t>(s.st_size, 1 << 20); // FAISS writes 2^20 in places that it does not use
    }

    size_t operator()(void* to, size_t size, size_t count) override {
        size_t got = FileIOReader::operator()(to, size, count);
        if (size != sizeof(uint64_t)) return got;
        const char* p = static_cast<const char*>(to);
        for (size_t i = 0; i < got; i++) {
            uint64_t x;
            std::memcpy(&x, p + i * size, size);
            // What is larger still is -1, a double, or refused by FAISS itself.
            want(x <= most || x >= uint64_t(1) << 60, "a number in it is larger than its file");
            if (count == 1 && before && p - before == parts) want(x != 0, "the parts of its product quantizer");
        }
        before = count == 1 ? p : nullptr;
        return got;
    }

    // How far the number of parts lies behind the dimension, which is read before it.
    static ptrdiff_t distance() {
        faiss::ProductQuantizer pq;
        return reinterpret_cast<const char*>(&pq.M) - reinterpret_cast<const char*>(&pq.d);
    }
    const ptrdiff_t parts = distance();
};

void quantizer(const faiss::ProductQuantizer& pq, size_t d) {
    want(pq.nbits >= 1 && pq.nbits <= 16 && pq.M >= 1 && pq.ksub == size_t(1) << pq.nbits, "the bits of its product quantizer");
    want(pq.d == d && makes(pq.M, pq.dsub, d), "the parts of its product quantizer");
    want(makes(d, pq.ksub, pq.centroids.size()), "the centroids of its product quantizer");
    want(pq.code_size == (pq.nbits * pq.M + 7) / 8, "the codes of its product quantizer");
}

void quantizer(const faiss::ScalarQuantizer& sq, size_t d) {
    using SQ = faiss::ScalarQuantizer;
    want(sq.d == d && number(sq.qtype) <= SQ::QT_8bit_direct_signed, "its scalar quantizer");
    SQ again(d, sq.qtype);
    want(sq.code_size == again.code_size && sq.bits == again.bits, "the codes of its scalar quantizer");
    size_t trained = 0;
    switch (sq.qtype) {
        case SQ::QT_8bit:
        case SQ::QT_6bit:
        case SQ::QT_4bit:
            trained = 2 * d;
            break;
        case SQ::QT_8bit_uniform:
        case SQ::QT_4bit_uniform:
            trained = 2;
            break;
        default:
            break;
    }
    want(sq.trained.size() == trained, "the ranges of its scalar quantizer");
}

// Inverted lists: each vector in one of them, under an id that there is.
void lists(const faiss::IndexIVF* ivf) {
    const faiss::InvertedLists* l = ivf->invlists;
    want(l && l->nlist == ivf->nlist, "the number of its inverted lists");
    auto* array = dynamic_cast<const faiss::ArrayInvertedLists*>(l);
    auto* block = dynamic_cast<const faiss::BlockInvertedLists*>(l);
    want(array || block, "the kind of its inverted lists");
    if (array) {
        want(l->code_size == ivf->code_size && array->ids.size() == l->nlist && array->codes.size() == l->nlist, "its inverted lists");
    } else {
        want(block->ids.size() == l->nlist && block->codes.size() == l->nlist && block->n_per_block > 0, "its inverted lists");
    }
    size_t total = 0;
    for (size_t i = 0; i < l->nlist; i++) {
        want(!__builtin_add_overflow(total, l->list_size(i), &total), "the sizes of its inverted lists");
    }
    want(total == size_t(ivf->ntotal), "the number of vectors in its inverted lists");
    std::vector<bool> seen(total); // no more than ids that were read
    for (size_t i = 0; i < l->nlist; i++) {
        size_t n = l->list_size(i);
        if (array) {
            want(makes(n, l->code_size, array->codes[i].size()), "the codes of an inverted list");
        } else {
            size_t blocks = (n + block->n_per_block - 1) / block->n_per_block;
            want(makes(blocks, block->block_size, block->codes[i].size()), "the codes of an inverted list");
        }
        const faiss::idx_t* ids = l->get_ids(i);
        for (size_t j = 0; j < n; j++) {
            want(ids[j] >= 0 && ids[j] < ivf->ntotal && !seen[ids[j]], "an id in an inverted list");
            seen[ids[j]] = true;
        }
    }
}

// Blocks of codes for a fast scan: what FAISS makes of the quantizer, and no other way
// to search than it chooses itself.
template <class FastScan>
void blocks(const FastScan& f) {
    want(f.nbits == 4 && f.pq.nbits == 4 && f.M == f.pq.M && f.ksub == f.pq.ksub, "the quantizer of its fast scan");
    want(f.bbs > 0 && f.bbs <= 1024 && f.bbs % 32 == 0 && f.M2 == (f.M + 1) / 2 * 2, "the blocks of its fast scan");
    want(f.implem == 0 && f.skip == 0 && f.qbs == 0, "the way its fast scan searches");
}

// A graph: each vector has as many places for links as its level has, and a link of a
// level leads to a vector that has this level.
void graph(const faiss::HNSW& h, size_t n) {
    const auto& places = h.cum_nneighbor_per_level;
    want(places.size() >= 2 && places[0] == 0, "the levels of its graph");
    for (size_t i = 1; i < places.size(); i++) {
        want(places[i] >= places[i - 1], "the levels of its graph");
    }
    want(h.levels.size() == n && h.offsets.size() == n + 1 && h.offsets[0] == 0, "the size of its graph");
    for (size_t i = 0; i < n; i++) {
        want(h.levels[i] >= 1 && size_t(h.levels[i]) < places.size(), "the level of a vector in its graph");
        want(h.offsets[i + 1] - h.offsets[i] == size_t(places[h.levels[i]]), "the links of a vector in its graph");
    }
    want(h.neighbors.size() == h.offsets[n], "the links of its graph");
    for (size_t i = 0; i < n; i++) {
        for (int level = 0; level < h.levels[i]; level++) {
            for (size_t j = h.offsets[i] + places[level]; j < h.offsets[i] + places[level + 1]; j++) {
                auto to = h.neighbors[j];
                want(to == -1 || (to >= 0 && size_t(to) < n && h.levels[to] > level), "a link of its graph");
            }
        }
    }
    want(h.efSearch >= 1 && h.efSearch <= 1 << 16, "the candidates of its graph"); // FAISS makes room for them
    if (n == 0) {
        want(h.entry_point == -1, "the entry of its graph");
        return;
    }
    want(h.entry_point >= 0 && size_t(h.entry_point) < n && h.max_level >= 0 && h.levels[h.entry_point] == h.max_level + 1, "the entry of its graph");
}

// Finite vectors: a walk through a graph that gets ever nearer does not end at others.
void numbers(const faiss::Index* storage) {
    std::vector<float> v(storage->d);
    for (faiss::idx_t i = 0; i < storage->ntotal; i++) {
        storage->reconstruct(i, v.data());
        for (float x : v) want(std::isfinite(x), "a value of a vector in its graph");
    }
}

void transform(const faiss::VectorTransform* t) {
    want(t && number(t->is_trained) == 1 && t->d_in > 0 && t->d_out > 0, "its transform of vectors");
    if (auto* l = dynamic_cast<const faiss::LinearTransform*>(t)) {
        want(makes(l->d_in, l->d_out, l->A.size()), "the matrix of its transform");
        want(number(l->have_bias) == 0 || (number(l->have_bias) == 1 && l->b.size() == size_t(l->d_out)), "the offset of its transform");
    }
}

} // namespace

std::unique_ptr<faiss::Index> read(const char* path) {
    Reader r(path);
    std::unique_ptr<faiss::Index> index(faiss::read_index(&r));
    validate(index.get());
    return index;
}

void validate(const faiss::Index* index) {
    want(index && index->d > 0 && index->d < 1 << 20 && index->ntotal >= 0, "its size");
    want(number(index->is_trained) == 1, "it is not trained");
    want(number(index->metric_type) <= faiss::METRIC_GOWER, "its metric");
    size_t d = index->d, n = index->ntotal;
    if (auto* t = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
        int in = index->d;
        for (auto* v : t->chain) {
            transform(v);
            want(v->d_in == in, "the dimensions of its transforms");
            in = v->d_out;
        }
        validate(t->index);
        want(t->index->d == in && t->index->ntotal == index->ntotal, "what its transforms lead to");
    } else if (auto* r = dynamic_cast<const faiss::IndexRefine*>(index)) {
        validate(r->base_index);
        validate(r->refine_index);
        want(r->base_index->d == index->d && r->refine_index->d == index->d, "the dimensions of its two passes");
        want(r->base_index->ntotal == index->ntotal && r->refine_index->ntotal == index->ntotal, "the sizes of its two passes");
        want(std::isfinite(r->k_factor) && r->k_factor >= 1 && r->k_factor <= 1000, "the candidates of its second pass");
    } else if (auto* i = dynamic_cast<const faiss::IndexIVF*>(index)) {
        validate(i->quantizer);
        want(i->quantizer->d == index->d && size_t(i->quantizer->ntotal) == i->nlist && i->nprobe >= 1, "the centroids of its inverted lists");
        if (auto* s = dynamic_cast<const faiss::IndexIVFScalarQuantizer*>(i)) {
            quantizer(s->sq, d);
            want(i->code_size == s->sq.code_size, "the size of its codes");
        } else if (auto* p = dynamic_cast<const faiss::IndexIVFPQ*>(i)) {
            quantizer(p->pq, d);
            want(i->code_size == p->pq.code_size, "the size of its codes");
        } else if (auto* f = dynamic_cast<const faiss::IndexIVFPQFastScan*>(i)) {
            quantizer(f->pq, d);
            blocks(*f);
            auto* l = dynamic_cast<const faiss::BlockInvertedLists*>(f->invlists);
            want(i->code_size == f->pq.code_size && l && l->n_per_block == size_t(f->bbs) && makes(f->bbs, f->M2 / 2, l->block_size), "the blocks of its inverted lists");
        } else {
            want(dynamic_cast<const faiss::IndexIVFFastScan*>(i) == nullptr, "a fast scan of a kind that is not known");
        }
        lists(i);
    } else if (auto* h = dynamic_cast<const faiss::IndexHNSW*>(index)) {
        validate(h->storage);
        want(h->storage->d == index->d && h->storage->ntotal == index->ntotal, "the vectors of its graph");
        graph(h->hnsw, n);
        numbers(h->storage);
    } else if (auto* c = dynamic_cast<const faiss::IndexFlatCodes*>(index)) {
        if (dynamic_cast<const faiss::IndexFlat*>(c)) {
            want(c->code_size == d * sizeof(float), "the size of its vectors");
        } else if (auto* s = dynamic_cast<const faiss::IndexScalarQuantizer*>(c)) {
            quantizer(s->sq, d);
            want(c->code_size == s->sq.code_size, "the size of its codes");
        } else if (auto* p = dynamic_cast<const faiss::IndexPQ*>(c)) {
            quantizer(p->pq, d);
            want(c->code_size == p->pq.code_size, "the size of its codes");
        }
        want(makes(n, c->code_size, c->codes.size()), "the number of its vectors");
    } else if (auto* f = dynamic_cast<const faiss::IndexPQFastScan*>(index)) {
        quantizer(f->pq, d);
        blocks(*f);
        want(f->ntotal2 >= n && f->ntotal2 % f->bbs == 0 && f->ntotal2 - n < size_t(f->bbs), "the blocks of its fast scan");
        want(makes(f->ntotal2, f->M2 / 2, f->codes.size()), "the codes of its fast scan");
    }
}

} // namespace tr
