"""Which PyTorch primitive each layer of numpy_ref/layers.py is.

| numpy_ref    | PyTorch                              |
|--------------|--------------------------------------|
| linear       | nn.Linear, weight (O, I)             |
| layer_norm   | nn.LayerNorm, eps 1e-5               |
| gelu         | nn.GELU(approximate="tanh")          |
| softmax      | inside F.scaled_dot_product_attention |
| embedding    | nn.Embedding                         |
"""

from functools import partial

from torch import nn

Linear, LayerNorm, Embedding = nn.Linear, nn.LayerNorm, nn.Embedding
GELU = partial(nn.GELU, approximate="tanh")
