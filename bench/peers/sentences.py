"""sentence-transformers, with the weights of an ONNX file: sentences.py MODEL TEXTS
FOLDER, the last of which is for the model in the format of transformers"""

import json
import os
import shutil
import sys
import time

import onnx
import sentence_transformers
import torch
from onnx import numpy_helper
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, BertTokenizerFast

try:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
except ImportError:  # before version 5.2
    from sentence_transformers.models import Normalize, Pooling, Transformer

import peer


def convert(model, folder):
    """Writes the model as transformers reads it."""
    graph = onnx.load(os.path.join(model, "model.onnx")).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = {name: v for name, v in values.items() if "." in name}
    # The matrices of linear layers have lost their names, but the biases that are
    # added to what they give have not.
    users = {name: node for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            add = users[node.output[0]]
            bias = next(name for name in add.input if name in values)
            weights[bias.removesuffix("bias") + "weight"] = values[node.input[1]].T
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    size = weights["encoder.layer.0.intermediate.dense.weight"].shape
    words = weights["embeddings.word_embeddings.weight"].shape
    bert = BertModel(
        BertConfig(
            vocab_size=words[0],
            hidden_size=words[1],
            num_hidden_layers=layers,
            num_attention_heads=words[1] // 32,
            intermediate_size=size[0],
        ),
        add_pooling_layer=False,
    )
    state = {name: torch.from_numpy(v.copy()) for name, v in weights.items() if name in bert.state_dict()}
    missing = set(bert.state_dict()) - set(state)
    if missing - {"embeddings.position_ids", "embeddings.token_type_ids"}:
        sys.exit(f"the ONNX file lacks {sorted(missing)}")
    bert.load_state_dict(state, strict=False)
    bert.save_pretrained(folder)
    shutil.copy(os.path.join(model, "tokenizer.json"), folder)
    BertTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json")).save_pretrained(folder)


model, texts_file, folder = sys.argv[1:]
with open(texts_file) as f:
    texts = json.load(f)
with open(os.path.join(model, "model.json")) as f:
    about = json.load(f)
convert(model, folder)
network = Transformer(folder)
network.max_seq_length = about["max_tokens"]
encoder = SentenceTransformer(modules=[network, Pooling(about["dimension"], "mean"), Normalize()], device="cpu")


def query(i):
    return encoder.encode(about["query_prefix"] + texts["queries"][i], show_progress_bar=False)


def encode_passages(rows):
    prefixed = [about["passage_prefix"] + t for t in texts["passages"]]
    return encoder.encode(prefixed, batch_size=rows, show_progress_bar=False)


def results():
    return {
        "queries": [query(i).tolist() for i in range(len(texts["queries"]))],
        "passages": encode_passages(16).tolist(),
    }


def single(threads, seconds):
    torch.set_num_threads(threads)
    return peer.one_by_one(query, len(texts["queries"]), seconds)


def passages(sessions, threads, rows, seconds):
    torch.set_num_threads(threads)
    done = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        encode_passages(rows)
        done += len(texts["passages"])
    return {"value": done / (time.perf_counter() - start)}


peer.answer(
    {"results": results, "single": single, "passages": passages},
    {"version": f"sentence-transformers {sentence_transformers.__version__} (PyTorch {torch.__version__})"},
)
