"""The same body as nn.Modules; attribute names are the keys of the NumPy tree."""

import torch
from torch import nn

from .attention import SelfAttention
from .layers import GELU, Embedding, LayerNorm, Linear


class FeedForward(nn.Module):
    """(B, T, C) -> (B, T, 4C) -> (B, T, C)"""

    def __init__(self, n_embd):
        super().__init__()
        self.fc = Linear(n_embd, 4 * n_embd)
        self.gelu = GELU()
        self.proj = Linear(4 * n_embd, n_embd)

    def forward(self, x):
        return self.proj(self.gelu(self.fc(x)))


class Block(nn.Module):
    """x + attn(ln1(x)), then x + ffn(ln2(x))        (B, T, C) -> (B, T, C)"""

    def __init__(self, n_embd, n_head):
        super().__init__()
        self.ln1 = LayerNorm(n_embd)
        self.attn = SelfAttention(n_embd, n_head)
        self.ln2 = LayerNorm(n_embd)
        self.ffn = FeedForward(n_embd)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class Transformer(nn.Module):
    """(B, T) ints -> (B, T, C)"""

    def __init__(self, vocab_size, n_positions, n_embd, n_layer, n_head):
        super().__init__()
        self.tok = Embedding(vocab_size, n_embd)
        self.pos = Embedding(n_positions, n_embd)
        self.blocks = nn.ModuleList(Block(n_embd, n_head) for _ in range(n_layer))
        self.ln = LayerNorm(n_embd)

    def forward(self, tokens):
        x = self.tok(tokens) + self.pos(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.ln(x)
