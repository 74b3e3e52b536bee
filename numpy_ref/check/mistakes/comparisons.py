"""Known mistakes in the models of one comparison, in the strengths of a table, and in agreement by degrees.

Each row: name, hint, and the mistake as code with the published signature, which takes what it does not use.
"""
# ruff: noqa: ARG005

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import both, log_sigmoid, normal_cdf, normal_density, sigmoid


def per_pair(slope):
    """slope(margin), divided by the number of pairs, for the chosen and with the opposite sign for the rejected"""
    return lambda chosen, rejected: both(slope(chosen - rejected) / len(chosen))


def through_sigma(margin, label):
    """-p log σ(m) - (1 - p) log(1 - σ(m)), each log taken of a σ that may be 0 or 1"""
    s = 1 / (1 + np.exp(-margin))
    return -(label * np.log(s) + (1 - label) * np.log(1 - s)).mean()


def inverted_tail(margin):
    """Φ as 1 - Φ(-m): 0 below -8.3"""
    return -normal_density(margin) / (1 - normal_cdf(-margin))


def linear(pull, features=lambda chosen, rejected: chosen - rejected):
    """mean of pull(m) · features, m = (chosen - rejected) w"""
    return lambda w, c, r: (pull((c - r) @ w)[:, None] * features(c, r)).mean(0)


def outcomes(win, loss):
    """The tie has the rest"""

    def wrong(first, second, threshold):
        d = first - second
        wins, loses = win(d, threshold), loss(d, threshold)
        return wins, 1 - wins - loses, loses

    return wrong


def won_and_expected(wins, strength):
    """(Σ_j w_ij, Σ_j (w_ij + w_ji) σ(λ_i - λ_j)): the wins of i, and those that its strength predicts"""
    return wins.sum(1), ((wins + wins.T) * sigmoid(strength[:, None] - strength)).sum(1)


def factor(wins, worth):
    """By what minorise-maximise multiplies each worth"""
    return np.divide(*won_and_expected(wins, np.log(worth)))


def apart(distance, a, b):
    """1 - observed over expected disagreement"""
    return 1 - distance(a - b).mean() / distance(a[:, None] - b).mean()


_SIGN = "The sign is the opposite: a step along it goes the wrong way."
_MEAN = "The loss is a mean over the pairs: divide by their number."

MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "soft_label_loss": (
        Mistake(
            "the label is rounded",
            "A label of 0.7 stands for 70 % of the people: weigh both terms instead of choosing one.",
            lambda m, p: right.soft_label_loss(m, p.round()),
        ),
        Mistake(
            "the term of the second response is missing",
            "A share 1 - p prefers the second response, with probability σ(-m).",
            lambda m, p: -(p * log_sigmoid(m)).mean(),
        ),
        Mistake("a sum instead of a mean", _MEAN, lambda m, p: len(m) * right.soft_label_loss(m, p)),
        Mistake(
            "the two responses are exchanged",
            "p belongs to σ(m), 1 - p to σ(-m).",
            lambda m, p: right.soft_label_loss(-m, p),
        ),
        Mistake("the squared error", "Asked is the log-loss.", lambda m, p: ((sigmoid(m) - p) ** 2).mean()),
        Mistake(
            "the logarithm of σ",
            "σ rounds to 0 or 1 far out and its logarithm is infinite: use -np.logaddexp(0, -m), which is log σ(m).",
            through_sigma,
        ),
    ),
    "probit_loss_backward": (
        Mistake(
            "the gradient of σ", "The model is Φ, not σ: its slope is the density φ.", right.pairwise_loss_backward
        ),
        Mistake(
            "the density is missing", "Chain rule: the slope of log Φ is φ / Φ.", per_pair(lambda m: -1 / normal_cdf(m))
        ),
        Mistake(
            "the density alone", "Chain rule: the slope of log Φ is φ / Φ.", per_pair(lambda m: -normal_density(m))
        ),
        Mistake("the minus sign is lost", _SIGN, per_pair(lambda m: normal_density(m) / normal_cdf(m))),
        Mistake(
            "the mean over the batch is missing",
            _MEAN,
            lambda c, r: tuple(len(c) * d for d in right.probit_loss_backward(c, r)),
        ),
        Mistake(
            "1 - Φ(-m) in the place of Φ(m)",
            "Far below 0 it subtracts from 1 what rounds to 1: Φ(m) = erfc(-m/√2) / 2 keeps its digits.",
            per_pair(inverted_tail),
        ),
    ),
    "linear_reward_gradient": (
        Mistake("the minus sign is lost", _SIGN, linear(lambda m: sigmoid(-m))),
        Mistake(
            "σ(m) in the place of σ(-m)", "A solved pair, of large margin, hardly pulls.", linear(lambda m: -sigmoid(m))
        ),
        Mistake("every pair pulls alike", "The pull of a pair, σ(-m), is missing.", linear(lambda m: -np.ones_like(m))),
        Mistake(
            "the features of the chosen response alone",
            "The margin holds both responses: its slope in w is the difference of their features.",
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
            "the second wins", "This is the probability of the second response.", lambda a, b: right.thurstone(b, a)
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
            "Either response must lead by η.",
            outcomes(lambda d, t: sigmoid(d - t), lambda d, _: sigmoid(-d)),
        ),
        Mistake(
            "the threshold helps",
            "To win is harder than without ties: subtract η.",
            outcomes(lambda d, t: sigmoid(d + t), lambda d, t: sigmoid(-d + t)),
        ),
        Mistake(
            "the loss as 1 - win",
            "What is left when the first does not win is a tie or a loss.",
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
            "Take off the wins that the model expects.",
            lambda w, s: w.sum(1).astype(float),
        ),
        Mistake(
            "games that were lost are left out",
            "A lost game pulls as well: it lowers the loser by σ.",
            lambda w, s: (w * sigmoid(s - s[:, None])).sum(1),
        ),
        Mistake(
            "divided by the number of games",
            "The log-likelihood is a sum over the games, not a mean.",
            lambda w, s: right.strengths_gradient(w, s) / w.sum(),
        ),
    ),
    "mm_step": (
        Mistake("the factor alone", "won / expected is by what the old worth is multiplied.", factor),
        Mistake(
            "the inverse factor",
            "Who won more than expected becomes stronger: won stands above.",
            lambda wins, worth: worth / factor(wins, worth),
        ),
        Mistake(
            "the games of the winners alone",
            "Each pair counts with all its games, won or lost: w_ij + w_ji.",
            lambda wins, worth: wins.sum(1) / (wins / np.add.outer(worth, worth)).sum(1),
        ),
        Mistake(
            "normalised",
            "The step is asked as it is; to fix the free factor comes afterwards.",
            lambda wins, worth: right.mm_step(wins, worth) / right.mm_step(wins, worth).sum(),
        ),
    ),
    "weighted_kappa": (
        Mistake("without weights", "A near miss costs less than a far one: (a - b)².", right.cohen_kappa),
        Mistake("linear weights", "Square the distance.", lambda a, b: apart(np.abs, a, b)),
        Mistake(
            "the correlation", "Kappa also notices that one rater is milder.", lambda a, b: np.corrcoef(a, b)[0, 1]
        ),
        Mistake("1 - is missing", "No disagreement is a kappa of 1.", lambda a, b: 1 - right.weighted_kappa(a, b)),
        Mistake(
            "chance pairs each item with itself",
            "By chance every label of one rater meets every label of the other.",
            lambda a, b: 1 - ((a - b) ** 2).mean() / (a.var() + b.var()),
        ),
    ),
}
