"""Right solutions in PyTorch: losses whose gradient autograd finds, and a few others."""

import torch
import torch.nn.functional as F


def sigmoid(x):
    return torch.sigmoid(x)


def log_sigmoid(x):
    return F.logsigmoid(x)


def pairwise_loss(chosen, rejected):
    return F.softplus(rejected - chosen).mean()


def margin_loss(chosen, rejected, margin):
    return -F.logsigmoid(chosen - rejected - margin).mean()


def smoothed_loss(chosen, rejected, label_smoothing):
    return F.binary_cross_entropy_with_logits(chosen - rejected, torch.full_like(chosen, 1 - label_smoothing))


def centered_loss(chosen, rejected, coefficient):
    return -F.logsigmoid(chosen - rejected).mean() + coefficient * (chosen + rejected).pow(2).mean()


def kwise_loss(rewards):
    i, j = torch.triu_indices(rewards.shape[1], rewards.shape[1], 1)
    return -F.logsigmoid(rewards[:, i] - rewards[:, j]).mean()


def plackett_luce_loss(rewards):
    return (torch.logcumsumexp(rewards.flip(1), 1).flip(1) - rewards).sum(1).mean()


def linear(x, weight, bias):
    return F.linear(x, weight, bias)


def softmax(x):
    return x.softmax(dim=-1)


def gelu(x):
    return F.gelu(x, approximate="tanh")


def layer_norm(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def pairwise_loss_backward(chosen, rejected):
    c = torch.as_tensor(chosen).clone().requires_grad_()
    r = torch.as_tensor(rejected).clone().requires_grad_()
    return torch.autograd.grad(-F.logsigmoid(c - r).mean(), (c, r))


def softmax_backward(dout, p):
    return p * (dout - (dout * p).sum(-1, keepdim=True))


def last_hidden(hidden, length):
    return hidden[torch.arange(len(hidden)), length - 1]


def accuracy(chosen, rejected):
    return ((chosen > rejected).float() + 0.5 * (chosen == rejected).float()).mean()


def embedding_backward(dout, tokens, vocab_size):
    out = torch.zeros(vocab_size, dout.shape[-1], dtype=dout.dtype)
    return out.index_add(0, tokens.reshape(-1), dout.reshape(-1, dout.shape[-1]))
