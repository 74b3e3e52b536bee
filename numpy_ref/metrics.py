"""How good are a model's margins? Scores over all pairs at once, never a mean of batch means.

Every score takes the model's margins and, optionally, the true margins. Without true margins, chosen always beats
rejected; with them, a score is its expectation when the first response wins with p = σ(true margin). `each=True`
returns the score of every pair instead of their mean.
"""

import numpy as np

from .losses import log_sigmoid, sigmoid

CERTAIN = np.inf  # a true margin of ∞: the label is certain


def _expect(if_first_wins, if_second_wins, true_margin, each):
    """p if_first_wins + q if_second_wins,  p = σ(true margin);  q = σ(-true margin) keeps the digits that 1 - p loses

    An outcome of probability 0 adds 0 even if its score is infinite, which is the limit.
    """
    true_margin = np.broadcast_to(true_margin, if_first_wins.shape)
    expected = np.zeros(if_first_wins.shape)
    for p, score in ((sigmoid(true_margin), if_first_wins), (sigmoid(-true_margin), if_second_wins)):
        expected += np.multiply(p, score, where=p > 0, out=np.zeros_like(expected))
    return expected if each else float(expected.mean())


def accuracy(margin, true_margin=CERTAIN, each=False):
    """E[ p [m > 0] + (1 - p) [m < 0] + ½ [m = 0] ]: a tie in reward counts one half        (N,) -> ()"""
    right = (np.sign(margin) + 1) / 2
    return _expect(right, 1 - right, true_margin, each)


def log_loss(margin, true_margin=CERTAIN, each=False):
    """E[ -p log σ(m) - (1 - p) log σ(-m) ]        (N,) -> (), in nats"""
    return _expect(-log_sigmoid(margin), -log_sigmoid(-margin), true_margin, each)


def brier(margin, true_margin=CERTAIN, each=False):
    """E[ p (1 - σ(m))² + (1 - p) σ(m)² ]        (N,) -> ()        Brier 1950"""
    return _expect(sigmoid(-margin) ** 2, sigmoid(margin) ** 2, true_margin, each)


def ranks(x):
    """Rank of each entry along the last axis, 0 lowest; equal entries share their mean rank        (N, K) -> (N, K)"""
    below = np.sign(x[..., :, None] - x[..., None, :])  # (N, K, K)
    return (below.sum(-1) + x.shape[-1] - 1) / 2


def spearman(learned, true):
    """Mean over prompts of the rank correlation within the prompt        (N, K), (N, K) -> ()

    A prompt whose learned rewards are all equal counts as 0.
    """
    a, b = (r - r.mean(-1, keepdims=True) for r in (ranks(learned), ranks(true)))
    norm = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return float(np.divide((a * b).sum(-1), norm, out=np.zeros(len(norm)), where=norm > 0).mean())


def pair_differences(rewards, labels=None):
    """r_i - r_j of all pairs within each prompt, i ranked above j        (N, K) -> (N · K (K - 1) / 2,)

    labels  ranks (N, K): 1 is best, ABSENT marks an empty slot. Without labels, responses are listed best first. Pairs
            with equal ranks are left out.
    """
    i, j = np.triu_indices(rewards.shape[1], 1)
    difference = rewards[:, i] - rewards[:, j]
    if labels is None:
        return difference.reshape(-1)
    counted = (labels[:, i] != labels[:, j]) & (labels[:, i] > 0) & (labels[:, j] > 0)
    return (np.sign(labels[:, j] - labels[:, i]) * difference)[counted]


def summary(rewards, true=None, labels=None):
    """The logged names for rewards (N, K) of responses listed best first, or ranked by `labels` (N, K)

    `ties` is the share of pairs with equal rewards. Every pair has weight one, so a long list counts more than a short
    one. With the true rewards (N, K), loss, accuracy and Brier score are expectations, and Spearman's correlation is
    added. Pairs with equal labels are not counted; if none is left, only the three rewards are returned.
    """
    rewards = rewards.astype(float)
    margin = pair_differences(rewards, labels)
    true_margin = CERTAIN if true is None else pair_differences(true)
    known = {} if true is None else {"spearman": spearman(rewards, true)}
    pairs = (
        {
            "loss": log_loss(margin, true_margin),
            "accuracy": accuracy(margin, true_margin),
            "brier": brier(margin, true_margin),
            **known,
            "ties": float((margin == 0).mean()),
            "margin": float(margin.mean()),
        }
        if len(margin)
        else {}
    )
    present = rewards if labels is None else rewards[labels > 0]
    return pairs | {
        "min_reward": float(present.min()),
        "mean_reward": float(present.mean()),
        "max_reward": float(present.max()),
    }
