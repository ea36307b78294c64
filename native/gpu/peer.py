"""FAISS from Python over the index files that BenchmarkGPU leaves in a folder, on a GPU
and in the same batches: peer.py FOLDER. It prints lines as go test does."""

import os
import sys
import time

try:
    import faiss
    import numpy as np

    gpus = faiss.get_num_gpus()
except (ImportError, AttributeError) as e:
    print(f"Python has no FAISS for GPUs, so there is nothing to compare with: {e}")
    sys.exit(0)
if gpus == 0:
    print("Python's FAISS finds no GPU, so there is nothing to compare with")
    sys.exit(0)

folder = sys.argv[1]
queries = np.fromfile(os.path.join(folder, "queries.f32"), dtype=np.float32).reshape(-1, 384)
resources = faiss.StandardGpuResources()
resources.setTempMemory(1 << 30)
for name in sorted(f for f in os.listdir(folder) if f.endswith(".faiss")):
    cpu = faiss.read_index(os.path.join(folder, name))
    nprobe = max(1, cpu.nlist // 64)
    cpu.nprobe = nprobe
    index = faiss.index_cpu_to_gpu(resources, 0, cpu)
    batch = 1
    while batch <= 4096:
        index.search(queries[:batch], 10)
        times = []
        for i in range(30):
            first = i * batch % (len(queries) - batch + 1)
            start = time.perf_counter()
            index.search(queries[first : first + batch], 10)
            times.append(time.perf_counter() - start)
        median = sorted(times)[len(times) // 2]
        print(f"PythonGPU/index={name[:-6]}/nprobe={nprobe}/batch={batch}/device=gpu {median * 1e9:.0f} ns/op {batch / median:.0f} queries/s (faiss {faiss.__version__})")
        batch *= 4
    del index
