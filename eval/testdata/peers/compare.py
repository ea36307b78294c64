"""Times ranx on the runs in a folder, for BenchmarkPeers.

    python3 compare.py FOLDER PERMUTATIONS METRIC...

Prints the seconds of ranx.compare, its just-in-time compilation, reading and the
start of Python left out.
"""
import sys
import time
import warnings
from pathlib import Path

import ranx

warnings.filterwarnings("ignore")
folder, permutations, metrics = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
qrels = ranx.Qrels.from_file(str(folder / "qrels.trec"), kind="trec")
runs = [ranx.Run.from_file(str(p), kind="trec") for p in sorted(folder.glob("run*.trec"))]


def compare(qrels, runs, n):
    # It keeps what it has computed in the runs: each time with fresh ones.
    ranx.compare(qrels, runs, metrics, stat_test="fisher", n_permutations=n)


few = sorted(qrels.qrels.keys())[:10]
compare(ranx.Qrels({q: dict(qrels.qrels[q]) for q in few}), [ranx.Run({q: dict(r.run[q]) for q in few}, name=str(i)) for i, r in enumerate(runs)], 2)
start = time.perf_counter()
compare(qrels, runs, permutations)
print(time.perf_counter() - start)
