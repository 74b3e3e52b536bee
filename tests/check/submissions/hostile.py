"""Everything that a submission can try against the checker."""
# ruff: noqa: ARG001

import os
import sys

import numpy as np

print("noise " * 100_000)
STATE = []


def sigmoid(x):
    """Right, and loud"""
    # ruff: noqa: ARG001
    print("noise " * 1000)
    sys.stderr.write("noise " * 1000)
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x):
    while True:
        pass


def pairwise_loss(chosen, rejected):
    os._exit(7)


def pairwise_loss_backward(chosen, rejected):
    sys.exit("enough")


def margin_loss(chosen, rejected, margin):
    return np.ones((50_000, 50_000))


def margin_loss_backward(chosen, rejected, margin):
    pass


def smoothed_loss(chosen, rejected, label_smoothing):
    return "a string"


def smoothed_loss_backward(chosen, rejected, label_smoothing):
    return chosen


def centered_loss(chosen, rejected, coefficient):
    raise KeyboardInterrupt


def kwise_loss(rewards):
    rewards -= rewards.max()
    margins = rewards[:, :, None] - rewards[:, None]
    better, worse = np.triu_indices(rewards.shape[1], 1)
    return np.logaddexp(0, -margins[:, better, worse]).mean()


def kwise_loss_backward(rewards):
    return [0.0]


def plackett_luce_loss(rewards):
    return rewards.no_such_attribute


def softmax(x):
    return np.zeros((2, 3))


def softmax_backward(dout, p):
    return (p * (dout - (dout * p).sum(-1, keepdims=True))).astype(int)


def gelu(x):
    return gelu(x)


def gelu_backward(dout, x):
    import ctypes

    ctypes.string_at(0)


def layer_norm(x, weight, bias):
    if STATE:
        os.kill(os.getpid(), 9)
    STATE.append(x)


def last_token(tokens, length, pad):
    return (length - 1).astype(float)


def last_hidden(hidden, length):
    STATE.append(1)
    return hidden[np.arange(len(hidden)), length - 1] + len(STATE)


def accuracy(chosen, rejected):
    return np.float16(0.5)


def cohen_kappa(a):
    return 1.0


def brier_score(probability, outcome):
    """Right, after all that"""
    return ((probability - outcome) ** 2).mean()
