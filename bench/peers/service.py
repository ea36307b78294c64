"""A service that answers as trirank serve does, of an index directory of trirank: as
one would write it in Python. TRIRANK_SERVICE names the directory,
TRIRANK_SERVICE_THREADS is how many requests a worker answers at a time, and
TRIRANK_SERVICE_REMEMBERS what it keeps of queries, "vectors" or "rankings"."""

import contextlib
import json
import os
import time
from functools import lru_cache

import anyio.to_thread
import faiss
import numpy as np
import orjson
from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool

import e5
import lexical

DEPTH = 100  # of each ranking, for fusion
CONSTANT = 60  # of reciprocal ranks

folder = os.environ["TRIRANK_SERVICE"]
with open(os.path.join(folder, "manifest.json")) as f:
    model = json.load(f)["models"][0]
faiss.omp_set_num_threads(1)
products = lexical.products(os.path.join(folder, "products", "products.jsonl"))
words = lexical.Index([lexical.text(p) for p in products])
# A hit shows no long texts.
shown = [{k: v for k, v in p.items() if k not in ("bullets", "description", "extra")} for p in products]
del products
vectors = faiss.read_index(os.path.join(folder, model["system"], "index.faiss"))
if nprobe := model["index"]["params"].get("nprobe"):
    faiss.extract_index_ivf(vectors).nprobe = nprobe
encoder = e5.Encoder(model["path"], 1)
# As many as ours remembers.
encode = lru_cache(4096)(encoder.query)


def by_words(query):
    start = time.perf_counter()
    rows, scores = words.search([query], DEPTH)
    hits = [(row, score) for row, score in zip(rows[0].tolist(), scores[0].tolist()) if score > 0]
    return hits, start, [{"name": "bm25", "ms": milliseconds(start)}]


def by_vectors(query):
    start = time.perf_counter()
    vector = encode(query)
    encoded = milliseconds(start)
    between = time.perf_counter()
    scores, rows = vectors.search(vector[np.newaxis], DEPTH)
    hits = list(zip(rows[0].tolist(), scores[0].tolist()))
    return hits, start, [{"name": "encode", "ms": encoded}, {"name": "faiss", "ms": milliseconds(between)}]


def milliseconds(start):
    return round((time.perf_counter() - start) * 1000, 3)


def rank(query):
    """The rankings of a query, as lists of rows and scores and as places of rows, and
    what they took."""
    begun = time.perf_counter()
    found, times = {}, {}
    for system, by in (("bm25", by_words), (model["system"], by_vectors)):
        found[system], start, stages = by(query)
        times[system] = {"took_ms": milliseconds(start), "stages": stages}
    start = time.perf_counter()
    places = {system: {row: i + 1 for i, (row, _) in enumerate(hits)} for system, hits in found.items()}
    fused = {}
    for hits in found.values():
        for i, (row, _) in enumerate(hits):
            fused[row] = fused.get(row, 0) + 1 / (CONSTANT + i + 1)
    found["hybrid"] = sorted(fused.items(), key=lambda hit: (-hit[1], shown[hit[0]]["id"]))[:DEPTH]
    places["hybrid"] = {row: i + 1 for i, (row, _) in enumerate(found["hybrid"])}
    times["hybrid"] = {"took_ms": milliseconds(begun), "stages": [{"name": "fuse", "ms": milliseconds(start)}]}
    return found, places, times


if os.environ.get("TRIRANK_SERVICE_REMEMBERS") == "rankings":
    rank = lru_cache(4096)(rank)


def compare(query, k):
    begun = time.perf_counter()
    found, places, times = rank(query)
    rankings = [{"system": system, **times[system]} for system in found]
    for ranking in rankings:
        system = ranking["system"]
        ranking["hits"] = [
            {
                "rank": i + 1,
                **shown[row],
                "score": score,
                "label": "unjudged",
                "ranks": {s: ranks[row] for s, ranks in places.items() if s != system and row in ranks},
            }
            for i, (row, score) in enumerate(found[system][:k])
        ]
        if system == "hybrid":
            for hit, (row, _) in zip(ranking["hits"], found[system]):
                hit["components"] = [component(s, row, places[s], found[s]) for s in ("bm25", model["system"])]
    return {"query": query, "k": k, "depth": DEPTH, "took_ms": milliseconds(begun), "judged": 0, "rankings": rankings}


def component(system, row, places, hits):
    rank = places.get(row)
    if rank is None:
        return {"system": system, "score": 0, "weight": 1, "contribution": 0}
    return {"system": system, "rank": rank, "score": hits[rank - 1][1], "weight": 1, "contribution": 1 / (CONSTANT + rank)}


@contextlib.asynccontextmanager
async def lifespan(app):
    anyio.to_thread.current_default_thread_limiter().total_tokens = int(os.environ["TRIRANK_SERVICE_THREADS"])
    compare("to warm up", 10)
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/v1/compare")
async def answer(q: str, k: int = 10):
    body = await run_in_threadpool(lambda: orjson.dumps(compare(q, k)))
    return Response(body, media_type="application/json")
