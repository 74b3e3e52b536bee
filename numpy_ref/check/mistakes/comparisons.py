"""Known mistakes in models of one comparison, in strengths fitted to a table of wins, and in weighted kappa.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG005

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import both, log_sigmoid, normal_cdf, normal_density, sigmoid


def per_pair(slope):
    """(slope(margin) / B, -slope(margin) / B): the gradients of chosen and rejected"""
    return lambda chosen, rejected: both(slope(chosen - rejected) / len(chosen))


def through_sigma(margin, label):
    """mean of -p log σ(m) - (1 - p) log(1 - σ(m)): infinite or NaN where σ rounds to 0 or 1"""
    s = 1 / (1 + np.exp(-margin))
    return -(label * np.log(s) + (1 - label) * np.log(1 - s)).mean()


def inverted_tail(margin):
    """-φ(m) / Φ(m) with Φ(m) written as 1 - Φ(-m), which is 0 below m = -8.3"""
    return -normal_density(margin) / (1 - normal_cdf(-margin))


def linear(pull, features=lambda chosen, rejected: chosen - rejected):
    """mean of pull(m) · features, m = (chosen - rejected) w"""
    return lambda w, c, r: (pull((c - r) @ w)[:, None] * features(c, r)).mean(0)


def outcomes(win, loss):
    """(win, tie, loss) from win(d, η) and loss(d, η); the tie has the remaining probability"""

    def wrong(first, second, threshold):
        d = first - second
        wins, loses = win(d, threshold), loss(d, threshold)
        return wins, 1 - wins - loses, loses

    return wrong


def won_and_expected(wins, strength):
    """(Σ_j w_ij, Σ_j (w_ij + w_ji) σ(λ_i - λ_j)): the wins of i, and those that its strength predicts"""
    return wins.sum(1), ((wins + wins.T) * sigmoid(strength[:, None] - strength)).sum(1)


def factor(wins, worth):
    """won / expected, by which minorise-maximise multiplies each worth"""
    return np.divide(*won_and_expected(wins, np.log(worth)))


def apart(distance, a, b):
    """1 - observed / expected disagreement, for any distance of two labels"""
    return 1 - distance(a - b).mean() / distance(a[:, None] - b).mean()


_SIGN = "The sign is reversed: a step along this gradient goes the wrong way."
_MEAN = "The loss is a mean over the pairs: divide by their number."

MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "soft_label_loss": (
        Mistake(
            "the label is rounded",
            "A label of 0.7 means that 70 % of the people prefer the first: weight both terms instead of choosing one.",
            lambda m, p: right.soft_label_loss(m, p.round()),
        ),
        Mistake(
            "the term of the second response is missing",
            "A share 1 - p of the people prefers the second response, so add -(1 - p) log σ(-m).",
            lambda m, p: -(p * log_sigmoid(m)).mean(),
        ),
        Mistake("a sum instead of a mean", _MEAN, lambda m, p: len(m) * right.soft_label_loss(m, p)),
        Mistake(
            "the two responses are exchanged",
            "p multiplies log σ(m), and 1 - p multiplies log σ(-m).",
            lambda m, p: right.soft_label_loss(-m, p),
        ),
        Mistake("the squared error", "The task asks for the log loss.", lambda m, p: ((sigmoid(m) - p) ** 2).mean()),
        Mistake(
            "the logarithm of σ",
            "Far from 0, σ rounds to 0 or 1 and a logarithm is infinite: use -np.logaddexp(0, -m), which is log σ(m).",
            through_sigma,
        ),
    ),
    "probit_loss_backward": (
        Mistake(
            "the gradient of σ",
            "The model is Φ, not σ: the derivative of Φ is the normal density φ.",
            right.pairwise_loss_backward,
        ),
        Mistake(
            "the density is missing",
            "Chain rule: the derivative of log Φ is φ / Φ.",
            per_pair(lambda m: -1 / normal_cdf(m)),
        ),
        Mistake(
            "the density alone", "Chain rule: the derivative of log Φ is φ / Φ.", per_pair(lambda m: -normal_density(m))
        ),
        Mistake("the minus sign is lost", _SIGN, per_pair(lambda m: normal_density(m) / normal_cdf(m))),
        Mistake(
            "the mean over the batch is missing",
            _MEAN,
            lambda c, r: tuple(len(c) * d for d in right.probit_loss_backward(c, r)),
        ),
        Mistake(
            "1 - Φ(-m) in the place of Φ(m)",
            "Far below 0, Φ(-m) rounds to 1 and the difference is 0: Φ(m) = erfc(-m/√2) / 2 keeps its digits.",
            per_pair(inverted_tail),
        ),
    ),
    "linear_reward_gradient": (
        Mistake("the minus sign is lost", _SIGN, linear(lambda m: sigmoid(-m))),
        Mistake(
            "σ(m) in the place of σ(-m)",
            "A pair with a large margin is solved and hardly counts: its factor is σ(-m), not σ(m).",
            linear(lambda m: -sigmoid(m)),
        ),
        Mistake(
            "every pair pulls alike", "The factor σ(-m) of each pair is missing.", linear(lambda m: -np.ones_like(m))
        ),
        Mistake(
            "the features of the chosen response alone",
            "The margin depends on both responses: its gradient in w is the difference of their features.",
            linear(lambda m: -sigmoid(-m), lambda c, r: c),
        ),
        Mistake("a sum instead of a mean", _MEAN, lambda w, c, r: len(c) * right.linear_reward_gradient(w, c, r)),
    ),
    "thurstone": (
        Mistake("σ", "Normal noise leads to Φ; Gumbel noise leads to σ.", lambda a, b: sigmoid(a - b)),
        Mistake(
            "the noise of one impression alone",
            "Both impressions carry noise: the variance of their difference is 2.",
            lambda a, b: normal_cdf(a - b),
        ),
        Mistake(
            "√2 on the wrong side", "Divide by the standard deviation, √2.", lambda a, b: normal_cdf((a - b) * 2**0.5)
        ),
        Mistake(
            "the variance for the standard deviation",
            "Divide by the standard deviation √2, not by the variance 2.",
            lambda a, b: normal_cdf((a - b) / 2),
        ),
        Mistake(
            "the second wins",
            "This is the probability that the second response wins.",
            lambda a, b: right.thurstone(b, a),
        ),
    ),
    "rao_kupper": (
        Mistake(
            "ties are forgotten",
            "Within the threshold nobody wins: the winner must lead by η.",
            outcomes(lambda d, _: sigmoid(d), lambda d, _: sigmoid(-d)),
        ),
        Mistake(
            "the threshold hinders the first response alone",
            "The second response must lead by η as well.",
            outcomes(lambda d, t: sigmoid(d - t), lambda d, _: sigmoid(-d)),
        ),
        Mistake(
            "the threshold helps",
            "Winning is harder with ties than without them: subtract η.",
            outcomes(lambda d, t: sigmoid(d + t), lambda d, t: sigmoid(-d + t)),
        ),
        Mistake(
            "the loss as 1 - win",
            "If the first response does not win, the outcome is a tie or a loss: 1 - win holds both.",
            outcomes(lambda d, t: sigmoid(d - t), lambda d, t: 1 - sigmoid(d - t)),
        ),
        Mistake(
            "win, loss, tie",
            "The order is win, tie, loss.",
            lambda a, b, t: tuple(right.rao_kupper(a, b, t)[i] for i in (0, 2, 1)),
        ),
    ),
    "strengths_gradient": (
        Mistake("the sign is lost", _SIGN, lambda w, s: -right.strengths_gradient(w, s)),
        Mistake(
            "the games won alone",
            "Subtract the wins that the model expects.",
            lambda w, s: w.sum(1).astype(float),
        ),
        Mistake(
            "games that were lost are left out",
            "Lost games count as well: each one subtracts the probability with which the loser would have won.",
            lambda w, s: (w * sigmoid(s - s[:, None])).sum(1),
        ),
        Mistake(
            "divided by the number of games",
            "The log-likelihood is a sum over the games, not a mean.",
            lambda w, s: right.strengths_gradient(w, s) / w.sum(),
        ),
    ),
    "mm_step": (
        Mistake("the factor alone", "This is won / expected: multiply the old worth by it.", factor),
        Mistake(
            "the inverse factor",
            "An item that won more than expected becomes stronger: the wins are the numerator.",
            lambda wins, worth: worth / factor(wins, worth),
        ),
        Mistake(
            "the games of the winners alone",
            "Each pair counts with all its games, won or lost: w_ij + w_ji.",
            lambda wins, worth: wins.sum(1) / (wins / np.add.outer(worth, worth)).sum(1),
        ),
        Mistake(
            "normalised",
            "Return the step as it is: the free factor is fixed afterwards.",
            lambda wins, worth: right.mm_step(wins, worth) / right.mm_step(wins, worth).sum(),
        ),
    ),
    "weighted_kappa": (
        Mistake(
            "without weights",
            "A near miss costs less than a far one: weight each disagreement by (a - b)².",
            right.cohen_kappa,
        ),
        Mistake("linear weights", "The weights are quadratic: square the distance.", lambda a, b: apart(np.abs, a, b)),
        Mistake(
            "the correlation",
            "Kappa falls if one rater is milder than the other; the correlation does not.",
            lambda a, b: np.corrcoef(a, b)[0, 1],
        ),
        Mistake(
            "1 - is missing",
            "Without any disagreement kappa is 1: subtract the ratio from 1.",
            lambda a, b: 1 - right.weighted_kappa(a, b),
        ),
        Mistake(
            "the raters' means are left out of chance",
            "By chance every label of one rater meets every label of the other: take the mean over all pairs (i, j).",
            lambda a, b: 1 - ((a - b) ** 2).mean() / (a.var() + b.var()),
        ),
    ),
}
