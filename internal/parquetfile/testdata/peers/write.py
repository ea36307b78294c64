"""Writes Parquet files with pyarrow, and what pyarrow reads in them, for TestPeersParquet.

usage: write.py FOLDER [small]

Every file NAME.parquet has cells in NAME.json: a list of rows, a cell a column: null, a
text, or a list of texts.
"""

import decimal
import itertools
import json
import math
import os
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

folder, small = sys.argv[1], "small" in sys.argv[2:]
rows = 40 if small else 1500
r = random.Random(1)
WORDS = ["mug", "red lamp", "stehlampe über", "", "椅子", "desk, oak", "x" * 300]


def texts(n):
    return [f"{r.choice(WORDS)} {r.randrange(10**6) if i % 3 else i % 7}" for i in range(n)]


def columns(n):
    """Name, type, values, whether a dictionary suits, and the encodings that the type has."""
    yield "text", pa.string(), texts(n), ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    yield "empty", pa.string(), [""] * n, ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    yield "prefixes", pa.string(), [f"product/{i:07d}" for i in range(n)], ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    yield "int32", pa.int32(), [r.choice([0, -1, 2**31 - 1, -(2**31), r.randrange(1000)]) for _ in range(n)], ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"]
    yield "int64", pa.int64(), [r.choice([0, -1, 2**63 - 1, -(2**63), r.randrange(10**12)]) for _ in range(n)], ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"]
    yield "rising", pa.int64(), list(range(n)), ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"]
    yield "uint8", pa.uint8(), [r.randrange(256) for _ in range(n)], ["PLAIN", "DELTA_BINARY_PACKED"]
    yield "uint32", pa.uint32(), [r.choice([0, 2**32 - 1, r.randrange(2**32)]) for _ in range(n)], ["PLAIN", "DELTA_BINARY_PACKED"]
    yield "uint64", pa.uint64(), [r.choice([0, 2**64 - 1, r.randrange(2**64)]) for _ in range(n)], ["PLAIN", "DELTA_BINARY_PACKED"]
    yield "float", pa.float32(), [r.choice([0.0, -1.5, math.nan, r.random() * 1e6]) for _ in range(n)], ["PLAIN", "BYTE_STREAM_SPLIT"]
    yield "double", pa.float64(), [r.choice([0.0, -1.5, math.nan, 1e-7, r.random() * 1e9]) for _ in range(n)], ["PLAIN", "BYTE_STREAM_SPLIT"]
    yield "bool", pa.bool_(), [r.random() < (0.1 if i % 200 < 100 else 0.9) for i in range(n)], ["PLAIN", "RLE"]
    yield "decimal", pa.decimal128(12, 2), [decimal.Decimal(r.randrange(-(10**7), 10**7)) / 100 for _ in range(n)], ["PLAIN"]
    yield "bytes8", pa.binary(8), [bytes(f"{r.randrange(10**8):08d}", "ascii") for _ in range(n)], ["PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BYTE_ARRAY"]
    yield "list", pa.list_(pa.string()), [[w for w in texts(r.randrange(4))] for _ in range(n)], ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    yield "numbers", pa.list_(pa.int64()), [[r.randrange(9) for _ in range(r.randrange(20))] for _ in range(n)], ["PLAIN", "DELTA_BINARY_PACKED"]
    yield "date", pa.date32(), [r.randrange(20000) for _ in range(n)], ["PLAIN"]
    yield "time", pa.timestamp("us"), [r.randrange(10**15) for _ in range(n)], ["PLAIN"]
    yield "struct", pa.struct([("a", pa.int64())]), [{"a": i} for i in range(n)], ["PLAIN"]
    yield "nested", pa.list_(pa.list_(pa.int64())), [[[i], [1, 2]] for i in range(n)], ["PLAIN"]


def nulls(values, kind):
    if kind == "none":
        return values
    if kind == "all":
        return [None] * len(values)
    out = [None if r.random() < 0.3 or 100 <= i < 160 else v for i, v in enumerate(values)]
    return [[None if r.random() < 0.2 else x for x in v] if isinstance(v, list) and v and not isinstance(v[0], list) else v for v in out]


def number(x):
    if math.isnan(x):
        return None
    return plain(repr(x))


def plain(text):
    text = format(decimal.Decimal(text), "f")
    return text[:-2] if text.endswith(".0") else text


def cell(v, t):
    if v is None:
        return None
    if isinstance(v, list):
        return [c for c in (cell(x, t.value_type) for x in v) if c is not None]
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, bytes):
        return v.decode("ascii")
    if pa.types.is_float32(t):
        import numpy

        return None if math.isnan(v) else plain(str(numpy.float32(v)))
    if isinstance(v, float):
        return number(v)
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    return str(v)


def write(name, table, **options):
    path = os.path.join(folder, name + ".parquet")
    try:
        pq.write_table(table, path, **options)
    except (OSError, NotImplementedError, pa.ArrowException, ValueError) as e:
        if os.path.exists(path):
            os.remove(path)
        print(f"{name}: pyarrow cannot write it: {e}", file=sys.stderr)
        return
    read = pq.read_table(path)
    skip = {"date", "time", "struct", "nested"}
    cells = {c: [cell(v, read.schema.field(c).type) for v in read.column(c).to_pylist()] for c in read.column_names if c not in skip}
    with open(os.path.join(folder, name + ".json"), "w") as f:
        json.dump(cells, f)


codecs = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
all_columns = list(columns(rows))
encodings = ["dictionary", "PLAIN", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT", "RLE"]
for codec, encoding, null, version in itertools.product(codecs, encodings, ["none", "some", "all"], ["1.0", "2.0"]):
    if small and (null == "all" or codec not in ("lz4", "zstd", "none") or (codec == "zstd") != (version == "2.0") and codec != "lz4" or codec == "none" and encoding != "dictionary"):
        continue
    chosen = [c for c in all_columns if encoding == "dictionary" or encoding in c[3]]
    if small:
        chosen = [c for c in chosen if c[0] in ("text", "int64", "double", "list", "bool", "decimal", "prefixes")]
    if not chosen:
        continue
    fields = [pa.field(name, t, nullable=null != "none") for name, t, _, _ in chosen]
    table = pa.table([pa.array(nulls(v, null), t) for _, t, v, _ in chosen], schema=pa.schema(fields))
    options = {"compression": codec, "data_page_version": version, "data_page_size": 2000 if null == "some" else 1 << 20, "row_group_size": rows // 2 + 1, "write_page_checksum": null == "some"}
    if encoding == "dictionary":
        options["use_dictionary"] = True
    else:
        options["use_dictionary"] = False
        leaves = {}
        for f in fields:
            path = f.name
            if pa.types.is_list(f.type):
                path += ".list.element"
                if pa.types.is_list(f.type.value_type):
                    path += ".list.element"
            elif pa.types.is_struct(f.type):
                path += ".a"
            leaves[path] = encoding
        options["column_encoding"] = leaves
    write(f"{codec}-{encoding.lower()}-{null}-{version}", table, **options)
