"""Rewards with mean 0, and if asked deviation 1 or calibrated margins, without a change of the model's form.

The loss leaves a constant in every reward free, and the head has no bias to set it with. The last norm has one:

    r = w · (g ⊙ x̂ + b)          b ← b - c w / (w · w)     takes exactly c from every reward,  as w · w / (w · w) = 1
                                 w ← w / s                  divides every reward by s

No other number changes, the file stays an ordinary sequence classifier, and no reader has to know of it.

A shift changes no preference. A division by s changes P = σ(margin) to σ(margin / s): standardised rewards are no
log-odds any more, and log loss, Brier score and calibration are others. Divided by a fitted temperature instead they
are log-odds again, and better ones.

Sources: Ouyang et al. 2022, arXiv:2203.02155, section 3.5 (mean 0); Ziegler et al. 2019, arXiv:1909.08593, section 2.2
(mean 0, variance 1).
"""

import math
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_json, write_json
from ..storage.checksums import SUMS, seal
from ..tree import flatten, unflatten


def shift_and_scale(params, mean, std):
    """params whose rewards are (r - mean) / std for every text: b ← b - mean w / (w · w), w ← w / std"""
    check_numbers(mean, std)
    flat = flatten(params)
    w, b = flat["head.weight"], flat["body.ln.bias"]
    wide = w[0].astype(np.float64)
    if not wide.any():
        raise InputError("the head is 0 throughout, and so is every reward: there is nothing to normalise")
    moved = b - (mean / (wide @ wide)) * wide
    return unflatten(flat | {"body.ln.bias": moved.astype(b.dtype), "head.weight": (w / std).astype(w.dtype)})


def check_numbers(mean, std):
    """InputError for numbers that no rewards can be shifted and divided by"""
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise InputError(f"mean {mean:g} and deviation {std:g}: expected finite numbers, the deviation above 0")


def numbers_in_config(directory, mean, std):
    """Writes reward_mean and reward_std into config.json, where the last norm has no bias to take the shift up

    For such models (RMSNorm) our own `score`, `evaluate` and the model card apply them; other readers do not know them.
    Numbers that stand there already are what the rewards at hand have gone through: m ← m₀ + s₀ m, s ← s₀ s.
    """
    check_numbers(mean, std)
    path = Path(directory, "config.json")
    config = read_json(path)
    before, scale = config.get("reward_mean", 0.0), config.get("reward_std", 1.0)
    config |= {"reward_mean": before + scale * mean, "reward_std": scale * std}
    write_json(path, config)
    if path.with_name(SUMS).is_file():
        seal(path.parent)


def moments(reward, eps):
    """Mean and standard deviation, √ mean (r - mean)²; InputError where the rewards are one and the same        (R,)"""
    mean, std = float(reward.mean()), float(reward.std())
    if std <= 100 * eps * abs(reward).max():  # what the order of a sum can do to equal rewards
        raise InputError(
            f"the {len(reward)} reference rewards are all {mean:g}: their deviation is 0, and nothing can "
            "be divided by it: give other responses, or --mean-only"
        )
    return mean, std
