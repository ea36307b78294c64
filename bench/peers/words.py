"""bm25s or tantivy over the products of an index: words.py bm25s|tantivy PRODUCTS
QUERIES"""

import json
import sys
import time
from importlib.metadata import version

import lexical
import peer


def bm25s_search(texts):
    index = lexical.Index(texts)

    def search(query, k):
        rows, _ = index.search([query], k)
        return rows[0]

    return search, index.search, f"bm25s {version('bm25s')}"


def tantivy_search(texts):
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
    schema.add_integer_field("row", fast=True)
    index = tantivy.Index(schema.build())
    writer = index.writer(300_000_000, 1)  # one thread, and so one segment
    for row, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=text, row=row))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(query, k):
        parsed, _ = index.parse_query_lenient(query, ["text"])
        hits = searcher.search(parsed, k, count=False).hits
        return searcher.fast_field_values("row", [address for _, address in hits])

    return search, None, f"tantivy {version('tantivy')}"


with open(sys.argv[3]) as f:
    queries = json.load(f)
texts = [lexical.text(p) for p in lexical.products(sys.argv[2])]
search, all_at_once, about = {"bm25s": bm25s_search, "tantivy": tantivy_search}[sys.argv[1]](texts)


def batch(k, seconds):
    """Queries a second where all are known beforehand."""
    done = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        all_at_once(queries, k)
        done += len(queries)
    return {"value": done / (time.perf_counter() - start)}


def call(k):
    return lambda i: search(queries[i], k)


peer.answer(
    {
        "results": lambda k: {"rows": [[int(row) for row in search(q, k)] for q in queries]},
        "single": lambda k, seconds: peer.one_by_one(call(k), len(queries), seconds),
        "together": lambda k, callers, seconds: peer.together(call(k), len(queries), callers, seconds),
        "batch": batch,
    },
    {"version": about},
)
