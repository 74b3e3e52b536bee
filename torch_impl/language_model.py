"""The same language model: F.cross_entropy is the next-token loss, autograd its gradient."""

import torch
import torch.nn.functional as F
from torch import nn

from .layers import Linear
from .transformer import Transformer


class LanguageModel(nn.Module):
    """tokens (B, T) -> logits of the next token (B, T, V)"""

    def __init__(self, vocab_size, n_positions, n_embd, n_layer, n_head):
        super().__init__()
        self.body = Transformer(vocab_size, n_positions, n_embd, n_layer, n_head)
        self.unembedding = Linear(n_embd, vocab_size, bias=False)

    def forward(self, tokens):
        return self.unembedding(self.body(tokens))


def token_log_probability(logits, targets):
    """log softmax(logits)[target]        (..., V), (...) -> (...)"""
    each = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return -each.view(targets.shape)


def next_token_loss(logits, targets, weight):
    """-Σ w log softmax(logits)[target] / Σ w        (B, T, V), (B, T), (B, T) -> ()"""
    return -(weight * token_log_probability(logits, targets)).sum() / weight.sum()


def response_log_probability(model, tokens, length, start):
    """Each token's log-probability, and 1 where it counts        (B, T), (B,), (B,) -> (B, T - 1) twice"""
    logits = model(tokens[:, :-1])
    position = torch.arange(1, tokens.shape[1], device=tokens.device)
    counted = (position >= start[:, None]) & (position < length[:, None])
    return token_log_probability(logits, tokens[:, 1:]), counted.to(logits.dtype)


def response_loss(model, tokens, length, start):
    """The next-token loss of the responses        (B, T), (B,), (B,) -> ()"""
    log_p, counted = response_log_probability(model, tokens, length, start)
    return -(counted * log_p).sum() / counted.sum()


def loss_and_grads(model, tokens, length, start):
    """The next-token loss of the responses; autograd leaves the gradient in each `p.grad`"""
    model.zero_grad(set_to_none=True)
    loss = response_loss(model, tokens, length, start)
    loss.backward()
    return loss.detach()
