"""Takes steps of training in PyTorch, for peers_test.go.

    python3 step.py FOLDER [--time [--passive]]

FOLDER holds settings.json, the weights of a BERT in weights.safetensors, its linear
layers as [in, out], and a batch in batch.safetensors. Writes the gradient of the loss
to gradient.safetensors and prints JSON: the loss, then of each step the loss before
it, the norm of its gradient and its seconds, the norm of each weight after them, and
the most memory that the process held.

Computes in double precision, so that what differs from it is the other's rounding.
PyTorch's own is not small: in single precision its fused attention puts gradients of
E5 off by 2.6e-4 of the greatest value of a weight, its plain attention by 3.5e-5.
With --time only steps are taken, in single precision; with --passive threads sleep
while they wait for each other, which is faster where other work runs beside them.
"""
import json
import os
import sys
import time
from pathlib import Path

if "--passive" in sys.argv:  # PyTorch reads it as it is imported
    os.environ["OMP_WAIT_POLICY"] = "passive"

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

folder = Path(sys.argv[1])
timed = "--time" in sys.argv
settings = json.loads((folder / "settings.json").read_text())
config = settings["config"]
torch.set_num_threads(settings["threads"])
precision = torch.float32 if timed else torch.float64


def is_linear(name):
    return name.endswith(".dense.weight") or ".attention.self." in name and name.endswith(".weight")


def load_weights():
    """The weights as PyTorch keeps them: linear layers as [out, in]."""
    loaded = load_file(folder / "weights.safetensors")
    for name in list(loaded):
        value = loaded.pop(name).to(precision)
        yield name, (value.t().contiguous() if is_linear(name) else value).requires_grad_()


weights = dict(load_weights())
batch = {name: value.to(precision) for name, value in load_file(folder / "batch.safetensors").items()}


def linear(name, x):
    return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])


def normalise(name, x):
    return F.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], 1e-12)


def encode(ids, mask):
    """Unit vectors: BERT, the mean over the tokens that there are, at unit length."""
    texts, tokens = ids.shape
    x = F.embedding(ids, weights["embeddings.word_embeddings.weight"])
    x = x + weights["embeddings.position_embeddings.weight"][:tokens] + weights["embeddings.token_type_embeddings.weight"][0]
    x = normalise("embeddings.LayerNorm", x)
    seen = mask.bool()[:, None, None, :]
    for i in range(settings["layers"]):
        layer = f"encoder.layer.{i}."
        q, k, v = (
            linear(layer + "attention.self." + part, x).view(texts, tokens, settings["heads"], -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        mixed = mixed.transpose(1, 2).reshape(texts, tokens, -1)
        x = normalise(layer + "attention.output.LayerNorm", x + linear(layer + "attention.output.dense", mixed))
        inner = F.gelu(linear(layer + "intermediate.dense", x))
        x = normalise(layer + "output.LayerNorm", x + linear(layer + "output.dense", inner))
    mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return F.normalize(mean, dim=-1)


def cosent(scores):
    """log(1 + sum of exp(worse - better)) over a query's own products, summed."""
    grades = batch["grades"]
    better, worse = grades[:, :, None], grades[:, None, :]
    counts = (better > worse) & (worse >= 0)
    difference = scores[:, None, :] - scores[:, :, None]
    difference = difference.masked_fill(~counts, -torch.inf).flatten(1)
    return torch.logsumexp(F.pad(difference, (1, 0)), 1).sum()


def divergence(scores):
    """Of the probabilities from the teacher's, over the products that it scored."""
    scored = batch["teacher"] >= 0
    chances = F.log_softmax(scores.masked_fill(~scored, -1e9), 1)
    return F.kl_div(chances, batch["teacher"].clamp(min=0), reduction="sum")


def loss_of(queries, products):
    logits = queries @ products.t() / config["temperature"]
    chances = F.log_softmax(logits.masked_fill(batch["allowed"] == 0, -1e9), 1)
    loss = -(batch["target"] * chances).sum()
    own = products.view(len(queries), -1, products.shape[1])
    scores = torch.einsum("qd,qod->qo", queries, own) / config["temperature"]
    if "cosent" in config:
        loss = loss + config["cosent"] * cosent(scores)
    if "teacher_weight" in config:
        loss = loss + config["teacher_weight"] * divergence(scores)
    return loss / settings["queries"]


ids = {side: batch[side + ".ids"].long() for side in ("queries", "products")}


def forward():
    queries, products = (encode(ids[side], batch[side + ".mask"]) for side in ("queries", "products"))
    losses = [loss_of(queries, products)]
    for dim in config.get("matryoshka", []):
        losses.append(loss_of(F.normalize(queries[:, :dim], dim=-1), F.normalize(products[:, :dim], dim=-1)))
    return sum(losses) / len(losses)


def peak_gb():
    """Not ru_maxrss, which begins with the memory of the process that started this one."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1e6
    return 0


def decays(name):
    return not name.endswith(".bias") and "LayerNorm" not in name


optimizer = torch.optim.AdamW(
    [
        {"params": [w for name, w in weights.items() if decays(name)], "weight_decay": config["weight_decay"]},
        {"params": [w for name, w in weights.items() if not decays(name)], "weight_decay": 0},
    ],
    lr=config["learning_rate"], betas=(0.9, 0.999), eps=1e-8, fused=True,
)
out = {"loss": 0, "losses": [], "norms": [], "seconds": []}
if not timed:
    loss = forward()
    loss.backward()
    out["loss"] = loss.item()
    gradient = {name: (w.grad.t() if is_linear(name) else w.grad).float().contiguous() for name, w in weights.items()}
    save_file(gradient, folder / "gradient.safetensors")
for _ in range(settings["steps"]):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = forward()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(weights.values(), config["clip"])
    optimizer.step()
    out["losses"].append(loss.item())
    out["norms"].append(norm.item())
    out["seconds"].append(time.perf_counter() - start)
if settings["steps"]:
    out["after"] = {name: w.detach().norm().item() for name, w in weights.items()}
out["peak_gb"] = peak_gb()
print(json.dumps(out))
