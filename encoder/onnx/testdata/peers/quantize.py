"""quantize.py FROM TO: what ONNX Runtime's own tool makes of a model of fp32, by the
settings that keep it nearest: a scale a column of weights, and embeddings too."""

import sys

from onnxruntime.quantization import QuantType, quantize_dynamic

quantize_dynamic(
    sys.argv[1],
    sys.argv[2],
    per_channel=True,
    weight_type=QuantType.QInt8,
    extra_options={"DefaultTensorType": 1},  # float, where the tool cannot tell
)
