"""ONNX Runtime and tokenizers: encode.py MODEL TEXTS, the latter with lists of
queries and passages"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import onnxruntime

import e5
import peer

with open(sys.argv[2]) as f:
    texts = json.load(f)
encoders = {threads: e5.Encoder(sys.argv[1], threads) for threads in (1, 2)}
pools = {sessions: ThreadPoolExecutor(sessions) for sessions in (1, 2)}


def query(threads):
    return lambda i: encoders[threads].query(texts["queries"][i])


def results():
    n = len(texts["queries"])
    return {
        "queries": [query(1)(i).tolist() for i in range(n)],
        "passages": encoders[1].passages(texts["passages"], 16, pools[2]).tolist(),
    }


def passages(sessions, threads, rows, seconds):
    done = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        encoders[threads].passages(texts["passages"], rows, pools[sessions])
        done += len(texts["passages"])
    return {"value": done / (time.perf_counter() - start)}


peer.answer(
    {
        "results": results,
        "single": lambda threads, seconds: peer.one_by_one(query(threads), len(texts["queries"]), seconds),
        "passages": passages,
    },
    {"version": f"onnxruntime {onnxruntime.__version__}"},
)
