"""fuse.py FROM TO: what ONNX Runtime's own tool for transformers makes of BERT: embeddings,
attention, normalisations and GELU as a node each"""

import sys

from onnxruntime.transformers.optimizer import optimize_model

# Level 0 leaves to ONNX Runtime what it does by itself when it opens a model; heads and
# channels are found in the graph.
optimize_model(sys.argv[1], model_type="bert", num_heads=0, hidden_size=0, opt_level=0).save_model_to_file(sys.argv[2])
