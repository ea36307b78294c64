"""Prints the tensors and metadata of the file ours.safetensors in a folder, as the
safetensors package reads them, and writes them to theirs.safetensors beside it."""

import os
import sys

from safetensors import safe_open
from safetensors.numpy import save_file

folder = sys.argv[1]
with safe_open(os.path.join(folder, "ours.safetensors"), framework="numpy") as f:
    metadata = f.metadata()
    tensors = {name: f.get_tensor(name) for name in f.keys()}
for key in sorted(metadata):
    print(key, metadata[key], sep="\t")
for name in sorted(tensors):
    t = tensors[name]
    print(name, t.dtype, list(t.shape), t.tobytes().hex(), sep="\t")
save_file(tensors, os.path.join(folder, "theirs.safetensors"), metadata)
