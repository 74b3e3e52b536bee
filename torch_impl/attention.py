"""Causal self-attention as one PyTorch primitive."""

import torch.nn.functional as F
from torch import nn

from .layers import Linear


class SelfAttention(nn.Module):
    """(B, T, C) -> (B, T, C)"""

    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.qkv = Linear(n_embd, 3 * n_embd)
        self.proj = Linear(n_embd, n_embd)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        # numpy_ref's attention: softmax(Q Kᵀ / √D) V, where no position sees a later one
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        return self.proj(y.transpose(1, 2).flatten(-2))
