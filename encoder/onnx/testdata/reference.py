"""Writes reference.json: vectors of a few texts by Python's onnxruntime and
tokenizers, one text at a time, straight from the definition of E5. Needs
`pip install onnxruntime tokenizers numpy`; run it as
`python reference.py MODEL_DIR > reference.json`."""
import json
import sys

import numpy
import onnxruntime
import tokenizers

TEXTS = [
    "query: usb c charger for iphone",
    "passage: Norrvik 30W USB-C Wall Charger, Foldable Plug, White",
    "query: émaillé crème brûlée dish – 4\" (10 cm) ½ pint",
    "passage: 不锈钢保温杯 500ml vacuum flask",
    "query: a",
    "passage: ",
    "passage: " + "adjustable stainless steel hose clamp 1/2 in. " * 80,
]

model = sys.argv[1]
tokenizer = tokenizers.Tokenizer.from_file(model + "/tokenizer.json")
tokenizer.enable_truncation(512)
session = onnxruntime.InferenceSession(model + "/model.onnx", providers=["CPUExecutionProvider"])
out = []
for text in TEXTS:
    ids = numpy.array([tokenizer.encode(text).ids], dtype=numpy.int64)
    feeds = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
    hidden = session.run(["last_hidden_state"], feeds)[0][0].astype(numpy.float64)
    v = hidden.mean(axis=0)
    v /= numpy.linalg.norm(v)
    out.append({"text": text, "ids": ids[0].tolist(), "vector": [round(x, 7) for x in v.tolist()]})
json.dump(out, sys.stdout, ensure_ascii=False)
print()
