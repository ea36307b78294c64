"""E5 by ONNX Runtime and the tokenizers library, as one would write it in Python."""

import json
import os

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Encoder:
    """A model directory of this module, each run of which uses so many threads. It
    may be used from many threads."""

    def __init__(self, model, threads):
        with open(os.path.join(model, "model.json")) as f:
            about = json.load(f)
        self.query_prefix = about["query_prefix"]
        self.passage_prefix = about["passage_prefix"]
        self.tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
        self.tokenizer.enable_truncation(about["max_tokens"])
        self.tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.path.join(model, "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.typed = any(i.name == "token_type_ids" for i in self.session.get_inputs())
        self.output = [o.name for o in self.session.get_outputs() if len(o.shape) == 3][:1]

    def query(self, text):
        return self.run([self.tokenizer.encode(self.query_prefix + text).ids])[0]

    def run(self, tokens):
        """The vectors of texts, given as lists of tokens, in one batch."""
        longest = max(len(t) for t in tokens)
        ids = np.zeros((len(tokens), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, t in enumerate(tokens):
            ids[row, : len(t)] = t
            mask[row, : len(t)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.typed:
            inputs["token_type_ids"] = np.zeros_like(ids)
        hidden = self.session.run(self.output, inputs)[0]
        vectors = np.matmul(mask[:, None, :].astype(np.float32), hidden)[:, 0, :]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def passages(self, texts, rows, pool):
        """The vectors of passages in batches of so many rows, which the threads of
        pool run. Those of about the same length go together, so that little is
        padded."""
        encoded = self.tokenizer.encode_batch([self.passage_prefix + t for t in texts])
        tokens = [e.ids for e in encoded]
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
        parts = [order[i : i + rows] for i in range(0, len(order), rows)]
        vectors = np.concatenate(list(pool.map(lambda part: self.run([tokens[i] for i in part]), parts)))
        out = np.empty_like(vectors)
        out[order] = vectors
        return out
