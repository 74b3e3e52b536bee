"""Known mistakes in the losses of ranked lists, and in their gradients.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""

import math

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import log_sigmoid, sigmoid
from .losses import EXTREME, LITERAL, LOG1P, naive_sigmoid, softplus_without_log1p


def pairs(rewards):
    """(B, K) -> (B, pairs): r_i - r_j for all i < j"""
    better, worse = np.triu_indices(rewards.shape[1], 1)
    return rewards[:, better] - rewards[:, worse]  # (B, pairs)


def from_pairs(rewards, dmargin):
    """Adds up the margins' gradients for each reward        (B, pairs) -> (B, K)"""
    better, worse = np.triu_indices(rewards.shape[1], 1)
    drewards = np.zeros_like(rewards)
    np.add.at(drewards.T, better, dmargin.T)
    np.add.at(drewards.T, worse, -dmargin.T)
    return drewards


def choose(rewards):
    """C(K,2)"""
    return math.comb(rewards.shape[1], 2)


_MAXIMUM = "Rewards far below the largest of the batch underflow to log 0: subtract each prompt's own maximum."


def one_maximum(rewards):
    """Plackett-Luce with the largest reward of the batch subtracted"""
    top, choices = rewards.max(), range(rewards.shape[1] - 1)
    return np.mean(sum(np.log(np.exp(rewards[:, k:] - top).sum(1)) + top - rewards[:, k] for k in choices))


def overwritten(rewards):
    """The loop over the pairs assigns drewards[:, i] instead of adding to it"""
    K = rewards.shape[1]
    drewards = np.zeros_like(rewards)
    for i in range(K):
        for j in range(i + 1, K):
            g = -sigmoid(rewards[:, j] - rewards[:, i]) / (len(rewards) * choose(rewards))
            drewards[:, i], drewards[:, j] = g, -g
    return drewards


def one_sided(rewards, worse):
    """Only the better response of each pair gets a gradient, or with `worse` only the worse one"""
    better, other = np.triu_indices(rewards.shape[1], 1)
    g = -sigmoid(-pairs(rewards)) / pairs(rewards).size
    drewards = np.zeros_like(rewards)
    np.add.at(drewards.T, other if worse else better, (-g if worse else g).T)
    return drewards


def neighbours(rewards):
    """The gradient of a loss over neighbours in the list instead of over all pairs"""
    g = -sigmoid(rewards[:, 1:] - rewards[:, :-1])
    drewards = np.zeros_like(rewards)
    drewards[:, :-1] += g
    drewards[:, 1:] -= g
    return drewards / g.size


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "kwise_loss": (
        Mistake("log(1 + e^-|x|) instead of log1p", LOG1P, lambda r: softplus_without_log1p(-pairs(r)).mean()),
        Mistake(
            "divided by C(K,2) twice",
            "The mean over the pairs divides already: the formula's 1/C(K,2) is that mean.",
            lambda r: right.kwise_loss(r) / choose(r),
        ),
        Mistake(
            "the sum over the pairs",
            "Divide by C(K,2), so that every prompt has the weight 1.",
            lambda r: right.kwise_loss(r) * choose(r),
        ),
        Mistake("divided by K(K-1)", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss(r) / 2),
        Mistake(
            "divided by K²", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss(r) * choose(r) / r.shape[1] ** 2
        ),
        Mistake("divided by K", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss(r) * choose(r) / r.shape[1]),
        Mistake("the minus sign is lost", "log σ is negative; the loss is -log σ.", lambda r: -right.kwise_loss(r)),
        Mistake(
            "the worst response comes first",
            "rewards are ordered best first: i < j means i is preferred.",
            lambda r: right.kwise_loss(r[:, ::-1]),
        ),
        Mistake(
            "neighbours only",
            "All C(K,2) pairs count, not only the K - 1 neighbours.",
            lambda r: -log_sigmoid(r[:, :-1] - r[:, 1:]).mean(),
        ),
        Mistake(
            "the best against the rest only",
            "All C(K,2) pairs count, not only those with the best response.",
            lambda r: -log_sigmoid(r[:, :1] - r[:, 1:]).mean(),
        ),
        Mistake(
            "both orders of every pair",
            "Take only i < j: the reverse comparison did not happen.",
            lambda r: -(log_sigmoid(pairs(r)) + log_sigmoid(-pairs(r))).mean(),
        ),
        Mistake(
            "both orders of every pair, halved",
            "Take only i < j: the reverse comparison did not happen.",
            lambda r: -(log_sigmoid(pairs(r)) + log_sigmoid(-pairs(r))).mean() / 2,
        ),
        Mistake(
            "a response is compared with itself",
            "Take i < j, not i <= j: each response compared with itself adds ln 2.",
            lambda r: np.mean(
                [-log_sigmoid(r[:, i] - r[:, j]) for i in range(r.shape[1]) for j in range(i, r.shape[1])]
            ),
        ),
        Mistake("the sum over the prompts", "Divide by the number of prompts.", lambda r: right.kwise_loss(r) * len(r)),
        Mistake(
            "the mean over the prompts is missing",
            "This returns one loss for each prompt: take their mean.",
            lambda r: -log_sigmoid(pairs(r)).mean(1),
        ),
        Mistake(
            "log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda r: -np.log(sigmoid(pairs(r))).mean()
        ),
        Mistake(
            "log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda r: np.log(1 + np.exp(-pairs(r))).mean()
        ),
        Mistake(
            "Plackett-Luce", "This is the listwise loss; here every pair is one comparison.", right.plackett_luce_loss
        ),
    ),
    "kwise_loss_backward": (
        Mistake(
            "divided by C(K,2) twice",
            "Divide once: the mean over the pairs is the formula's 1/C(K,2).",
            lambda r: right.kwise_loss_backward(r) / choose(r),
        ),
        Mistake("the sum over the pairs", "Divide by C(K,2).", lambda r: right.kwise_loss_backward(r) * choose(r)),
        Mistake("divided by K(K-1)", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss_backward(r) / 2),
        Mistake(
            "divided by K", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss_backward(r) * choose(r) / r.shape[1]
        ),
        Mistake(
            "the mean over the prompts is missing",
            "Divide by the number of prompts.",
            lambda r: right.kwise_loss_backward(r) * len(r),
        ),
        Mistake(
            "the minus sign is lost",
            "The better response's gradient is negative.",
            lambda r: -right.kwise_loss_backward(r),
        ),
        Mistake(
            "the worst response comes first",
            "rewards are ordered best first.",
            lambda r: right.kwise_loss_backward(r[:, ::-1])[:, ::-1],
        ),
        Mistake(
            "overwritten instead of added",
            "A response takes part in K - 1 pairs: add their gradients, do not assign them.",
            lambda r: overwritten(r),
        ),
        Mistake(
            "the worse response gets no gradient",
            "Every pair moves both of its responses.",
            lambda r: one_sided(r, worse=False),
        ),
        Mistake(
            "the better response gets no gradient",
            "Every pair moves both of its responses.",
            lambda r: one_sided(r, worse=True),
        ),
        Mistake("neighbours only", "All C(K,2) pairs count, not only neighbours.", lambda r: neighbours(r)),
        Mistake("the literal σ(m) - 1", LITERAL, lambda r: from_pairs(r, (sigmoid(pairs(r)) - 1) / pairs(r).size)),
        Mistake(
            "e^-m / (1 + e^-m) overflows",
            "For very negative margins this is inf / inf = NaN: use a stable σ(-m).",
            lambda r: from_pairs(r, -naive_sigmoid(-pairs(r)) / pairs(r).size),
        ),
        Mistake("Plackett-Luce", "This is the gradient of the listwise loss.", right.plackett_luce_loss_backward),
    ),
    "plackett_luce_loss": (
        Mistake(
            "the rewards are sorted first",
            "The columns are in the annotators' order, best first; sorting the rewards throws it away.",
            lambda r: right.plackett_luce_loss(-np.sort(-r, 1)),
        ),
        Mistake("one maximum for all prompts", _MAXIMUM, lambda r: one_maximum(r)),
        Mistake(
            "the minus sign is lost", "The loss is the negative log-likelihood.", lambda r: -right.plackett_luce_loss(r)
        ),
        Mistake(
            "divided by K - 1",
            "The log-likelihood of a ranking is the sum over its choices.",
            lambda r: right.plackett_luce_loss(r) / (r.shape[1] - 1),
        ),
        Mistake(
            "divided by K",
            "The log-likelihood of a ranking is the sum over its choices.",
            lambda r: right.plackett_luce_loss(r) / r.shape[1],
        ),
        Mistake(
            "every choice is among all",
            "Responses chosen before are no longer there: the sum of choice k runs over j >= k.",
            lambda r: np.mean((np.logaddexp.reduce(r, 1)[:, None] - r)[:, :-1].sum(1)),
        ),
        Mistake(
            "every choice is among all, the last included",
            "The sum of choice k runs over j >= k, and there is no choice K.",
            lambda r: np.mean((np.logaddexp.reduce(r, 1)[:, None] - r).sum(1)),
        ),
        Mistake(
            "the top choice only",
            "The loss has K - 1 choices: the best of all, then the best of the rest, and so on.",
            lambda r: np.mean(np.logaddexp.reduce(r, 1) - r[:, 0]),
        ),
        Mistake(
            "the worst response comes first",
            "rewards are ordered best first, and the denominator of choice k runs over the rest, j >= k.",
            lambda r: right.plackett_luce_loss(r[:, ::-1]),
        ),
        Mistake(
            "the chosen one is left out of its denominator",
            "The denominator runs over j >= k, which includes the chosen response.",
            lambda r: np.mean(sum(np.logaddexp.reduce(r[:, k + 1 :], 1) - r[:, k] for k in range(r.shape[1] - 1))),
        ),
        Mistake(
            "the sum over the prompts",
            "Divide by the number of prompts.",
            lambda r: right.plackett_luce_loss(r) * len(r),
        ),
        Mistake(
            "the mean over the prompts is missing",
            "This returns one loss for each prompt: take their mean.",
            lambda r: sum(np.logaddexp.reduce(r[:, k:], 1) - r[:, k] for k in range(r.shape[1] - 1)),
        ),
        Mistake(
            "exp overflows",
            "Subtract the largest reward first, or use np.logaddexp.",
            lambda r: np.mean(sum(np.log(np.exp(r[:, k:]).sum(1)) - r[:, k] for k in range(r.shape[1] - 1))),
        ),
        Mistake(
            "the K-wise pairwise loss", "This is the mean over the pairs, not the listwise loss.", right.kwise_loss
        ),
    ),
    "plackett_luce_loss_backward": (
        Mistake(
            "the minus sign is lost",
            "The sign is reversed: descending along this gradient raises the loss.",
            lambda r: -right.plackett_luce_loss_backward(r),
        ),
        Mistake(
            "divided by K - 1",
            "The loss is the sum over the choices.",
            lambda r: right.plackett_luce_loss_backward(r) / (r.shape[1] - 1),
        ),
        Mistake(
            "divided by K",
            "The loss is the sum over the choices.",
            lambda r: right.plackett_luce_loss_backward(r) / r.shape[1],
        ),
        Mistake(
            "the top choice only",
            "The gradients of all K - 1 choices add up.",
            lambda r: (right.softmax(r) - (np.arange(r.shape[1]) == 0)) / len(r),
        ),
        Mistake(
            "the mean over the prompts is missing",
            "Divide by the number of prompts.",
            lambda r: right.plackett_luce_loss_backward(r) * len(r),
        ),
        Mistake(
            "the worst response comes first",
            "rewards are ordered best first.",
            lambda r: right.plackett_luce_loss_backward(r[:, ::-1])[:, ::-1],
        ),
        Mistake(
            "the chosen response's -1 is missing",
            "Each choice adds its softmax, minus 1 for the chosen response.",
            lambda r: right.plackett_luce_loss_backward(r) + (np.arange(r.shape[1]) < r.shape[1] - 1) / len(r),
        ),
        Mistake(
            "a -1 for the last response too",
            "The last response is not chosen: there is nothing left to choose from.",
            lambda r: right.plackett_luce_loss_backward(r) - (np.arange(r.shape[1]) == r.shape[1] - 1) / len(r),
        ),
        Mistake(
            "every choice is among all",
            "The softmax of choice k runs over j >= k.",
            lambda r: ((r.shape[1] - 1) * right.softmax(r) - (np.arange(r.shape[1]) < r.shape[1] - 1)) / len(r),
        ),
        Mistake("the K-wise gradient", "This is the gradient of the mean over the pairs.", right.kwise_loss_backward),
    ),
}
