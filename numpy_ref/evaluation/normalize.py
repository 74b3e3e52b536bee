"""Gives rewards mean 0, and if asked deviation 1 or calibrated margins, without changing the form of the model.

The loss does not determine a constant in all rewards, and the head has no bias to set it with. The last norm has one:

    r = w · (g ⊙ x̂ + b)          b ← b - c w / (w · w)     takes exactly c from every reward,  as w · w / (w · w) = 1
                                 w ← w / s                  divides every reward by s

No other number changes: the file stays an ordinary sequence classifier, which every program reads as before. A last
norm without a bias (RMSNorm, as in Llama) cannot hold a shift: then only the scale is folded into the head, and the
mean is written to config.json.

A shift changes no preference. A division by s changes P = σ(margin) to σ(margin / s): standardised rewards are no
longer log-odds, so log loss, Brier score and calibration change. Rewards divided by a fitted temperature are log-odds
again, and better calibrated.

Sources: Ouyang et al. 2022, arXiv:2203.02155, section 3.5 (mean 0); Ziegler et al. 2019, arXiv:1909.08593, section 2.2
(mean 0, variance 1).
"""

import math
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_json, write_json
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
    with np.errstate(over="ignore", under="ignore"):
        divided = (w / std).astype(w.dtype)
    if not (np.isfinite(divided).all() and divided.any()):
        raise InputError(
            f"divided by {std:g} the head's weights are {divided.flat[0]:g}, out of the range of {w.dtype}"
        )
    return unflatten(flat | {"body.ln.bias": moved.astype(b.dtype), "head.weight": divided})


def check_numbers(mean, std):
    """InputError for numbers by which rewards cannot be shifted and divided"""
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise InputError(f"mean {mean:g} and deviation {std:g}: expected finite numbers, the deviation above 0")


def of_raw(config, mean, std):
    """The total shift and division of the raw rewards, those of config.json included:  m₀ + s₀ m,  s₀ s"""
    check_numbers(mean, std)
    before, scale = config.get("reward_mean", 0.0), config.get("reward_std", 1.0)
    return before + scale * mean, scale * std


def mean_in_config(directory, mean):
    """Writes reward_mean into config.json if the last norm has no bias to hold it (RMSNorm); 0 removes it

    Our own `score` and `evaluate` subtract it. Other programs do not: their rewards are all larger by it, with the same
    differences. The scale is always in the head, so reward_std is removed.
    """
    path = Path(directory, "config.json")
    numbers = {"reward_mean": mean} if mean else {}
    rest = {name: value for name, value in read_json(path).items() if name not in ("reward_mean", "reward_std")}
    write_json(path, rest | numbers)


def moments(reward, eps):
    """Mean and standard deviation, √ mean (r - mean)²; InputError if all rewards are equal        (R,)"""
    mean, std = float(reward.mean()), float(reward.std())
    if std <= 100 * eps * abs(reward).max():  # rounding alone can make equal rewards differ this much
        raise InputError(
            f"every reference reward is {mean:g}: their deviation is 0, and nothing can be divided by it: give other "
            "responses, or --mean-only"
        )
    return mean, std
