"""faiss-cpu over index files that this module wrote: vectors.py QUERIES DIMENSION"""

import sys

import faiss
import numpy as np

import peer

queries = np.fromfile(sys.argv[1], dtype=np.float32).reshape(-1, int(sys.argv[2]))
faiss.omp_set_num_threads(1)  # of this thread; the others have OMP_NUM_THREADS
index = None


def load(path, nprobe):
    global index
    index = faiss.read_index(path)
    if nprobe:
        faiss.extract_index_ivf(index).nprobe = nprobe
    return {}


def search(k):
    return lambda i: index.search(queries[i : i + 1], k)


def results(k):
    found = [search(k)(i) for i in range(len(queries))]
    return {
        "scores": [scores[0].tolist() for scores, _ in found],
        "ids": [ids[0].tolist() for _, ids in found],
    }


peer.answer(
    {
        "load": load,
        "results": results,
        "single": lambda k, seconds: peer.one_by_one(search(k), len(queries), seconds),
        "together": lambda k, callers, seconds: peer.together(search(k), len(queries), callers, seconds),
    },
    {"version": f"faiss-cpu {faiss.__version__}"},
)
