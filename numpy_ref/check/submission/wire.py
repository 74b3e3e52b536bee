"""Values to JSON and back, between the checker and the submission's process. No pickle: it runs code that it reads."""

import base64
import sys
from typing import NamedTuple

import numpy as np

LARGEST = 1_000_000  # numbers in an answer; of a larger answer only the shape is sent


class Foreign(NamedTuple):
    """An answer that is no number, array or container of these; `words` say what it is"""

    words: str


def is_tensor(value):
    """Whether this is a PyTorch tensor; PyTorch is not imported to find out"""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def encode(value):
    """A value as JSON: arrays and tensors in base64, containers item by item, anything else described in words"""
    if value is None:
        return None
    if is_tensor(value):
        if str(value.dtype) == "torch.bfloat16":
            return {"foreign": "a bfloat16 tensor"}
        value = value.detach().cpu().resolve_conj().numpy()
    if isinstance(value, tuple | list):
        if len(value) > 1000:
            return {"foreign": f"a {type(value).__name__} of {len(value)} items"}
        return {type(value).__name__ if type(value) is list else "tuple": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": {str(key): encode(item) for key, item in list(value.items())[:100]}}
    if not isinstance(value, np.ndarray | np.generic | float | int | complex):
        return {"foreign": f"a {type(value).__name__}"}
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        return {"foreign": f"an array of dtype {array.dtype}"}
    data = base64.b64encode(array.tobytes()).decode() if array.size <= LARGEST else None
    return {"array": [array.dtype.str, array.shape, data]}


def decode(node):
    """The value that was encoded: an array (a number is one without axes), a container or a Foreign"""
    if node is None:
        return None
    (kind, content), *_ = node.items()
    if kind == "foreign":
        return Foreign(content)
    if kind == "dict":
        return {key: decode(item) for key, item in content.items()}
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(decode(item) for item in content)
    dtype, shape, data = content
    if data is None:
        return np.broadcast_to(np.zeros((), dtype), shape)
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
