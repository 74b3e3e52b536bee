"""The same reward model as an nn.Module: `RewardModel.state_dict()` has the names of numpy_ref's flattened tree."""

import torch
from torch import nn

from .layers import Linear
from .losses import pairwise_loss
from .transformer import Transformer


class RewardModel(nn.Module):
    """tokens (B, K, T), length (B, K) -> rewards (B, K), read at each response's last real token"""

    def __init__(self, vocab_size, n_positions, n_embd, n_layer, n_head):
        super().__init__()
        self.body = Transformer(vocab_size, n_positions, n_embd, n_layer, n_head)
        self.head = Linear(n_embd, 1, bias=False)

    def forward(self, tokens, length):
        h = self.body(tokens.flatten(0, 1))
        last = h[torch.arange(len(h), device=h.device), length.flatten() - 1]
        return self.head(last).view(length.shape)


def pairs(reward, **loss_options):
    """The pairwise loss of a batch of pairs        (B, 2) -> ()"""
    return pairwise_loss(reward[:, 0], reward[:, 1], **loss_options)


def loss_and_grads(model, tokens, length, objective=pairs, **loss_options):
    """A batch's loss and its rewards (B, K); autograd leaves the gradient in each `p.grad`"""
    model.zero_grad(set_to_none=True)
    reward = model(tokens, length)
    loss = objective(reward, **loss_options)
    loss.backward()
    return loss.detach(), reward.detach()
