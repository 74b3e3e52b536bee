"""What each published function must satisfy: one property, one line of the report, one point.

A property consists of a sentence that says what holds, the inputs it is tried on, and how the answer is judged:

value     the answer is the oracle's, within the tolerance of its dtype times the largest entry (or 1)
tail      the same in units of the last place of each entry: tiny answers must be tiny, with their digits, not zero
law       a relation between the submission's own answers; it counts only once another property holds
option    the last argument is an option that a function may lack; a function that has it must obey it
manners   the arguments are left as they were, and may be of any layout
autograd  for a function written in PyTorch: autograd gives the gradient derived by hand
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import cases


class Property(NamedTuple):
    statement: str
    cases: Callable[..., Any]
    kind: str = "value"
    gated: bool = False  # counts only once another property holds: a constant passes here
    part: int | None = None  # of several results, the one that is judged
    law: Callable[..., Any] | None = None  # law(f, *arguments) -> (got, expected)


def shifted(f, chosen, rejected, *rest):
    """A constant in both rewards cancels"""
    return f(chosen + 1000, rejected + 1000, *rest), f(chosen, rejected, *rest)


def list_shifted(f, rewards):
    """A constant in all rewards cancels"""
    return f(rewards + 1000), f(rewards)


def swapped(f, chosen, rejected):
    """L(m) - L(-m) = -m, the mean over the pairs"""
    return f(chosen, rejected) - f(rejected, chosen), np.mean(rejected - chosen)


def opposite(f, *arguments):
    """dchosen + drejected = 0"""
    dchosen, drejected = f(*arguments)
    return dchosen + drejected, np.zeros_like(dchosen)


def sums_to_zero(f, *arguments):
    """Σ over the last axis = 0"""
    total = f(*arguments).sum(-1)
    return total, np.zeros_like(total)


def symmetric(f, x):
    """σ(x) + σ(-x) = 1"""
    return f(x) + f(-x), np.ones_like(x)


def odd(f, x):
    """f(x) - f(-x) = x"""
    return f(x) - f(-x), x


def sums_to_one(f, x):
    """Σ over the last axis = 1"""
    total = f(x).sum(-1)
    return total, np.ones_like(total)


def exchanged(f, a, b):
    """f(a, b) = f(b, a)"""
    return f(a, b), f(b, a)


def complementary(f, chosen, rejected):
    """f(chosen, rejected) + f(rejected, chosen) = 1"""
    return f(chosen, rejected) + f(rejected, chosen), np.array(1.0)


def prompt_constant(f, chosen, rejected, *rest):
    """A constant in both log-probabilities of the policy cancels"""
    return f(chosen + 16, rejected + 16, *rest), f(chosen, rejected, *rest)


def both_moved(f, chosen, rejected, ref_chosen, ref_rejected, beta):
    """Only the ratio to the reference counts"""
    moved = f(chosen + 8, rejected, ref_chosen + 8, ref_rejected, beta)
    return moved, f(chosen, rejected, ref_chosen, ref_rejected, beta)


def tail(statement, case, **more):
    """A property whose answers must be right in every digit, however tiny they are"""
    return Property(statement, case, "tail", **more)


def one_of_two_wins(f, first, second):
    """P(first beats second) + P(second beats first) = 1"""
    return f(first, second) + f(second, first), np.ones_like(first)


def three_sum_to_one(f, *arguments):
    """win + tie + loss = 1"""
    total = sum(f(*arguments))
    return total, np.ones_like(total)


def strengths_shifted(f, wins, strength):
    """A constant in all strengths cancels"""
    return f(wins, strength + 7), f(wins, strength)


def worths_scaled(f, wins, worth):
    """f(wins, 4 worth) = 4 f(wins, worth)"""
    return f(wins, 4 * worth), 4 * f(wins, worth)


def prompt_shifted(f, score, quality, length):
    """A constant for each prompt cancels"""
    level = 10.0 * np.arange(len(score))[:, None]
    return f(score + level, quality - level, length + level), f(score, quality, length)


def paid_more(f, score, quality, length):
    """The slope for score + 2 length is the slope plus 2"""
    return f(score + 2 * length, quality, length), f(score, quality, length) + 2


def manners(case):
    """The property that a function leaves its arguments alone, whatever their layout"""
    return Property("its arguments are left as they were", case, "manners")


def autograd(case, where):
    """The property that autograd gives the right gradient; `case` draws the arguments of the backward"""
    return Property(f"written in PyTorch: autograd's gradient is right {where}", case, "autograd")


def loss(case, wide):
    """The properties common to the variants of the pairwise loss; `wide` are the inputs at which naive forms fail"""
    return (
        Property("for one pair, the loss is the formula", case((1, 1))),
        Property("for a batch, it is the mean over the pairs", case((2, 12))),
        Property("margins up to ±1000: finite, no overflow, no log of 0", wide),
        manners(case((2, 4))),
        autograd(case((1, 4)), "for rewards within ±3"),
        autograd(wide, "for margins up to ±1000 (no NaN)"),
    )


def loss_backward(case, wide):
    """The properties common to the gradients of these variants"""
    return (
        Property("for one pair, both gradients are the formula", case((1, 1))),
        Property("for a batch, each gradient is divided by the number of pairs", case((2, 12))),
        Property("margins up to ±1000: finite, no overflow, no NaN", wide),
        manners(case((2, 4))),
    )


def plain(size):
    """Pairs of rewards within ±3"""
    return cases.pair(size=size)


def margins(size):
    """Pairs, and a target margin for each"""
    return cases.with_margins(cases.pair(size=size))


def smoothing(size):
    """Pairs, and a share of flipped labels"""
    return cases.with_number(cases.pair(size=size), [0.1, 0.25, 0.4])


def ranked_margin(prompts, responses):
    """Lists, and a margin per rank"""
    return cases.with_number(cases.ranked(prompts, responses), [0.5, 2.0])


def centering(size):
    """Pairs, and a coefficient"""
    return cases.with_number(cases.pair(size=size), [0.5, 0.1, 1.0])


def log_probabilities(size=(1, 3)):
    """Log-probabilities of policy and reference, and β"""
    return cases.log_probabilities(size)


def thresholds(case):
    """The arguments of `case`, and a threshold"""
    return cases.with_number(case, [0.5, 2.0])


def wide(draw):
    """One pair with an extreme margin, or a batch with margins from all regimes"""
    return cases.mixed(draw) if draw.choice([0, 1]) else cases.extreme(draw)


WIDE = wide

WIDE_MARGINS = cases.with_margins(WIDE)
WIDE_SMOOTHING = cases.with_number(WIDE, [0.1, 0.25, 0.4])
WIDE_CENTERING = cases.with_number(WIDE, [0.5, 0.1, 1.0])
WRONG_ORDER = cases.far_below
TAIL = cases.apart(20, 80)
TAIL_GRADIENT = "margins from 20 to 80: tiny (e^-margin), with all digits, and not zero"
TAIL_LOSS = "margins from 20 to 80: nearly 0 (e^-margin), with all digits"


PROPERTIES = {
    "sigmoid": (
        Property("σ(x) for x within ±3", cases.vector()),
        Property("σ(x) + σ(-x) = 1", cases.vector(), "law", law=symmetric),
        Property("x up to ±1000: between 0 and 1, never NaN", cases.extreme_vector),
        Property("0, ±40 and ±750 in one array: each by itself", cases.mixed_vector),
        tail("x from -80 to -20: tiny (e^x), with all digits", cases.tail_vector(-80, -20)),
        Property("several axes are taken as they are", cases.array(leading=(1, 2))),
        manners(cases.vector()),
    ),
    "log_sigmoid": (
        Property("log σ(x) for x within ±3", cases.vector()),
        Property("log σ(x) - log σ(-x) = x", cases.vector(), "law", law=odd),
        Property("x down to -1000: about x itself, never -inf", lambda draw: cases.far_below(draw)[:1]),
        Property("x up to 1000: nearly 0, never NaN", lambda draw: cases.far_above(draw)[:1], gated=True),
        Property("0, ±40 and ±750 in one array: each by itself", cases.mixed_vector),
        tail("x from 20 to 80: nearly 0 (-e^-x), with all digits", cases.tail_vector(20, 80)),
        manners(cases.vector()),
    ),
    "pairwise_loss": (
        *loss(plain, WIDE)[:2],
        Property("chosen far below rejected (margins to -1000): about -margin, never inf", WRONG_ORDER),
        Property("chosen far above rejected (margins to 1000): nearly 0, never NaN", cases.far_above, gated=True),
        Property("a pair at 750, one at -40 and one at 0 in one batch", cases.mixed),
        tail(TAIL_LOSS, TAIL),
        Property("a constant (1000) added to every reward changes nothing", plain((1, 4)), "law", law=shifted),
        Property("L(margin) - L(-margin) = -margin: swapping the pair", plain((1, 4)), "law", law=swapped),
        *loss(plain, WIDE)[3:],
    ),
    "pairwise_loss_backward": (
        *loss_backward(plain, WIDE)[:3],
        tail(TAIL_GRADIENT, TAIL),
        Property("the two gradients are opposite", plain((1, 4)), "law", law=opposite),
        manners(plain((2, 4))),
    ),
    "margin_loss": (
        *loss(margins, WIDE_MARGINS)[:3],
        tail(TAIL_LOSS, cases.with_margins(TAIL)),
        *loss(margins, WIDE_MARGINS)[3:],
    ),
    "margin_loss_backward": (
        *loss_backward(margins, WIDE_MARGINS)[:3],
        tail(TAIL_GRADIENT, cases.with_margins(TAIL)),
        Property("the two gradients are opposite", margins((1, 4)), "law", law=opposite),
        manners(margins((2, 4))),
    ),
    "smoothed_loss": loss(smoothing, WIDE_SMOOTHING),
    "smoothed_loss_backward": (
        *loss_backward(smoothing, WIDE_SMOOTHING)[:3],
        Property("the two gradients are opposite", smoothing((1, 4)), "law", law=opposite),
        manners(smoothing((2, 4))),
    ),
    "centered_loss": loss(centering, WIDE_CENTERING),
    "centered_loss_backward": loss_backward(centering, WIDE_CENTERING),
    "dpo_loss_backward": (
        *loss_backward(log_probabilities, cases.log_probabilities_apart)[:3],
        Property("margins from 37 on: tiny (β e^-margin) and not zero", cases.log_probabilities_ahead, "tail"),
        Property("the two gradients are opposite", log_probabilities((1, 4)), "law", law=opposite),
        manners(log_probabilities((2, 4))),
    ),
    "ipo_loss": (
        *loss(log_probabilities, WIDE)[:2],
        Property("a constant in both of the policy's changes nothing", log_probabilities(), "law", law=prompt_constant),
        Property("chosen and its reference moved alike: no change", log_probabilities(), "law", law=both_moved),
        manners(log_probabilities((2, 4))),
        autograd(log_probabilities((1, 4)), "for log-probabilities down to -12"),
    ),
    "ipo_loss_backward": (
        *loss_backward(log_probabilities, WIDE)[:2],
        Property("the two gradients are opposite", log_probabilities((1, 4)), "law", law=opposite),
        manners(log_probabilities((2, 4))),
    ),
    "leave_one_out_advantage": (
        Property("two responses: the difference of their rewards", cases.ranked((1, 1), (2, 2))),
        Property("one prompt, 3 to 6 responses", cases.ranked((1, 1), (3, 6))),
        Property("several prompts, each with a mean of its own", cases.ranked((2, 3), (2, 4))),
        Property("a constant (1000) added to every reward changes nothing", cases.ranked(), "law", law=list_shifted),
        Property("the advantages of a prompt add up to 0", cases.ranked(), "law", law=sums_to_zero),
        manners(cases.ranked()),
    ),
    "kwise_loss": (
        Property("K = 2: the pairwise loss", cases.ranked((1, 3), (2, 2))),
        Property("one prompt, K from 3 to 6: the mean over its C(K,2) pairs", cases.ranked((1, 1), (3, 6))),
        Property("several prompts: the mean over them", cases.ranked((2, 4), (2, 9))),
        Property("margins up to ±800: finite, no overflow, no log of 0", cases.extreme_list),
        Property("K from 3 to 5, rewards far apart in any order: finite", cases.far_apart_lists),
        tail("two rewards 20 to 80 apart: nearly 0 (e^-margin), with all digits", cases.tail_list),
        Property("a constant (1000) added to every reward changes nothing", cases.ranked(), "law", law=list_shifted),
        manners(cases.ranked()),
        autograd(cases.ranked(), "for rewards within ±3"),
    ),
    "kwise_loss_backward": (
        Property("K = 2: the pairwise gradient", cases.ranked((1, 1), (2, 2))),
        Property("one prompt, K from 3 to 6: divided once by C(K,2)", cases.ranked((1, 1), (3, 6))),
        Property("several prompts: divided by their number", cases.ranked((2, 4), (2, 9))),
        Property("margins up to ±800: finite, no overflow, no NaN", cases.extreme_list),
        Property("K from 3 to 5, rewards far apart in any order: finite", cases.far_apart_lists),
        tail("two rewards 20 to 80 apart: tiny (e^-margin), with all digits, and not zero", cases.tail_list),
        Property("the gradient of a list sums to zero", cases.ranked(), "law", law=sums_to_zero),
        manners(cases.ranked()),
    ),
    "plackett_luce_loss": (
        Property("K = 2: the pairwise loss", cases.ranked((1, 1), (2, 2))),
        Property("one prompt, K from 3 to 6: the sum over its K - 1 choices", cases.ranked((1, 1), (3, 6))),
        Property("several prompts: the mean over them", cases.ranked((2, 4), (2, 9))),
        Property("margins up to ±800: finite, no overflow", cases.extreme_list),
        Property("K from 3 to 5, rewards far apart in any order: finite", cases.far_apart_lists),
        Property("several prompts, 800 apart: each by itself", cases.lists_at_heights),
        Property("a constant (1000) added to every reward changes nothing", cases.ranked(), "law", law=list_shifted),
        manners(cases.ranked()),
        autograd(cases.ranked(), "for rewards within ±3"),
    ),
    "plackett_luce_loss_backward": (
        Property("K = 2: the pairwise gradient", cases.ranked((1, 1), (2, 2))),
        Property("one prompt, K from 3 to 6: the formula", cases.ranked((1, 1), (3, 6))),
        Property("several prompts: divided by their number", cases.ranked((2, 4), (2, 9))),
        Property("margins up to ±800: finite, no NaN", cases.extreme_list),
        Property("K from 3 to 5, rewards far apart in any order: finite", cases.far_apart_lists),
        Property("several prompts, 800 apart: each by itself", cases.lists_at_heights),
        Property("the gradient of a list sums to zero", cases.ranked(), "law", law=sums_to_zero),
        manners(cases.ranked()),
    ),
    "kwise_margin_loss": (
        Property("K = 2: the pairwise loss with that margin", ranked_margin((1, 3), (2, 2))),
        Property("K from 3 to 6: the margin grows with the distance of the places", ranked_margin((1, 1), (3, 6))),
        Property("several prompts: the mean over them", ranked_margin((2, 3), (2, 4))),
        Property(
            "margins up to ±800: finite, no overflow, no log of 0", cases.with_number(cases.extreme_list, [0.5, 2.0])
        ),
        manners(ranked_margin((1, 3), (2, 6))),
    ),
    "unbiased_loss": (
        *loss(smoothing, WIDE_SMOOTHING)[:3],
        manners(smoothing((2, 4))),
    ),
    "scaled_loss_backward": (
        Property("one margin", cases.scaled((1, 1))),
        Property("several: the mean", cases.scaled((2, 5))),
        Property("margins up to ±1000: finite, no overflow", cases.extreme_margins),
        manners(cases.scaled((2, 4))),
    ),
    "soft_label_loss": (
        Property("one pair", cases.soft_labels(cases.vector(size=(1, 1)))),
        Property("several: the mean", cases.soft_labels(cases.vector(size=(2, 5)))),
        Property("margins up to ±1000: finite, no overflow, no log of 0", cases.soft_labels(cases.extreme_vector)),
        manners(cases.soft_labels(cases.vector())),
    ),
    "probit_loss_backward": (
        Property("for one pair, both gradients are the formula", plain((1, 1))),
        Property("for a batch, each gradient is divided by the number of pairs", plain((2, 5))),
        Property("margins from -30 to -10: about m itself, never NaN", cases.apart(-30, -10)),
        Property("margins from 8 to 12: tiny and not zero", cases.apart(8, 12), "tail"),
        manners(plain((2, 4))),
    ),
    "linear_reward_gradient": (
        Property("one pair", cases.featured((1, 1))),
        Property("several: the mean", cases.featured((2, 5))),
        Property("weights a thousand times as large: finite, no overflow", cases.featured((1, 3), 1000.0)),
        manners(cases.featured((2, 4))),
    ),
    "thurstone": (
        Property("P for rewards within ±3", plain((1, 4))),
        Property("P(first beats second) + P(second beats first) = 1", plain((1, 4)), "law", law=one_of_two_wins),
        Property("differences up to ±1000: between 0 and 1, never NaN", WIDE),
        manners(plain((2, 4))),
    ),
    "rao_kupper": (
        Property("the first wins", thresholds(plain((1, 4))), part=0),
        Property("a tie", thresholds(plain((1, 4))), part=1),
        Property("the second wins", thresholds(plain((1, 4))), part=2),
        Property("the three sum to 1", thresholds(plain((1, 4))), "law", law=three_sum_to_one),
        Property("differences up to ±1000: between 0 and 1, never NaN", thresholds(WIDE)),
        manners(thresholds(plain((2, 4)))),
    ),
    "strengths_gradient": (
        Property("two items", cases.table((2, 2), -2, 2)),
        Property("three and more", cases.table((3, 4), -2, 2)),
        Property("the gradient sums to zero", cases.table((2, 4), -2, 2), "law", law=sums_to_zero),
        Property(
            "a constant in all strengths changes nothing", cases.table((2, 4), -2, 2), "law", law=strengths_shifted
        ),
        manners(cases.table((2, 4), -2, 2)),
    ),
    "mm_step": (
        Property("two items", cases.table((2, 2), 0.125, 4)),
        Property("three and more", cases.table((3, 4), 0.125, 4)),
        Property("worths four times as large stay so", cases.table((2, 4), 0.125, 4), "law", law=worths_scaled),
        manners(cases.table((2, 4), 0.125, 4)),
    ),
    "weighted_kappa": (
        Property("two labels", cases.two_raters(2)),
        Property("more than two labels", cases.two_raters(5)),
        Property("exchanging the two raters changes nothing", cases.two_raters(4), "law", law=exchanged),
        manners(cases.two_raters(4)),
    ),
    "linear": (
        Property("two axes: x (N, I)", cases.linear(rows=(1, 10))),
        Property("more leading axes", cases.linear((2, 3), (1, 3))),
        manners(cases.linear()),
    ),
    "linear_backward": (
        Property("dx for x (N, I)", cases.linear(dout=True), part=0),
        Property("dweight for x (N, I)", cases.linear(dout=True), part=1),
        Property("dbias for x (N, I)", cases.linear(dout=True), part=2),
        Property("all three for more leading axes", cases.linear((2, 3), (1, 3), dout=True)),
        manners(cases.linear(dout=True)),
    ),
    "lora_backward": (
        Property("dx for x (N, I)", cases.lora(), part=0),
        Property("ddown for x (N, I)", cases.lora(), part=1),
        Property("dup for x (N, I)", cases.lora(), part=2),
        Property("all three for more leading axes", cases.lora((2, 3))),
        manners(cases.lora()),
    ),
    "softmax": (
        Property("one row", cases.array(rows=(1, 1))),
        Property("several rows: over the last axis", cases.array(last=(2, 12), rows=(2, 3))),
        Property("one row with entries up to ±800: finite, no overflow", cases.extreme_row),
        Property("more leading axes", cases.array(last=(2, 4), leading=(2, 2))),
        Property("rows at heights of ±800: each has its own maximum", cases.rows_apart),
        Property("every row sums to 1", cases.array(leading=(1, 2)), "law", law=sums_to_one),
        manners(cases.array()),
    ),
    "softmax_backward": (
        Property("one row", cases.probabilities(cases.array(last=(2, 5), rows=(1, 1)))),
        Property(
            "several rows: the sum runs over the last axis",
            cases.probabilities(cases.array(last=(2, 12), leading=(1, 1), rows=(2, 4))),
        ),
        Property("more leading axes", cases.probabilities(cases.array(last=(2, 4), leading=(2, 2)))),
        Property(
            "dx sums to zero in every row", cases.probabilities(cases.array(last=(2, 5))), "law", law=sums_to_zero
        ),
        manners(cases.probabilities(cases.array())),
    ),
    "log_softmax_backward": (
        Property("one row", cases.with_dout(cases.array(last=(2, 5), rows=(1, 1)))),
        Property("several rows: the sum runs over the last axis", cases.with_dout(cases.array(last=(2, 5)))),
        Property("entries up to ±800: finite, no overflow", cases.with_dout(cases.extreme_row)),
        Property("more leading axes", cases.with_dout(cases.array(last=(2, 4), leading=(2, 2)))),
        Property("dx sums to zero in every row", cases.with_dout(cases.array(last=(2, 5))), "law", law=sums_to_zero),
        manners(cases.with_dout(cases.array())),
    ),
    "gelu": (
        Property("x within ±3", cases.array()),
        Property("gelu(x) - gelu(-x) = x", cases.array(), "law", law=odd),
        Property("x from 20 to 100 on either side: 0 on the left, x on the right", cases.saturated),
        manners(cases.array()),
        autograd(cases.with_dout(cases.array()), "for x within ±3"),
    ),
    "gelu_backward": (
        Property("x within ±3", cases.with_dout(cases.array())),
        Property("x from 20 to 100 on either side: 0 on the left, dy on the right", cases.with_dout(cases.saturated)),
        Property("several axes are taken as they are", cases.with_dout(cases.array(leading=(1, 2)))),
        manners(cases.with_dout(cases.array())),
    ),
    "swiglu_backward": (
        Property("dgate", cases.gated(), part=0),
        Property("dup", cases.gated(), part=1),
        Property("several axes are taken as they are", cases.gated((1, 2))),
        manners(cases.gated()),
    ),
    "residual_backward": (
        Property("dx", cases.residual((1, 3)), part=0),
        Property("dweight is summed over the rows", cases.residual((1, 4)), part=1),
        Property("dbias is summed over the rows", cases.residual((1, 4)), part=2),
        manners(cases.residual((1, 3))),
    ),
    "layer_norm": (
        Property("one row", cases.layer_norm(rows=(1, 1))),
        Property("several rows: mean and variance over the last axis", cases.layer_norm(rows=(2, 4), channels=(2, 12))),
        Property("more leading axes", cases.layer_norm((2, 2), (1, 3))),
        Property("rows that hardly vary: ε under the root keeps it finite", cases.layer_norm(rows=(1, 2), step=2**-12)),
        Property("rows far from zero (10⁷): the mean is subtracted before squaring", cases.far_rows()),
        Property("another ε, if the function takes eps", cases.with_number(cases.layer_norm(), [0.5, 0.1]), "option"),
        manners(cases.layer_norm()),
        autograd(cases.layer_norm(dout=True), "for x within ±3"),
    ),
    "layer_norm_backward": (
        Property("dx for one row", cases.layer_norm(rows=(1, 1), dout=True), part=0),
        Property("dx for several rows", cases.layer_norm(rows=(2, 4), channels=(2, 12), dout=True), part=0),
        Property("dweight is summed over the rows", cases.layer_norm(rows=(1, 4), dout=True), part=1),
        Property("dbias is summed over the rows", cases.layer_norm(rows=(1, 4), dout=True), part=2),
        Property("all three for more leading axes", cases.layer_norm((2, 2), (1, 3), dout=True)),
        Property(
            "dx for rows that hardly vary: ε under the root",
            cases.layer_norm(rows=(1, 2), step=2**-12, dout=True),
            part=0,
        ),
        Property("dx for rows far from zero (10⁷)", cases.far_rows(dout=True), part=0),
        Property(
            "another ε, if the function takes eps",
            cases.with_number(cases.layer_norm(dout=True), [0.5, 0.1]),
            "option",
        ),
        manners(cases.layer_norm(dout=True)),
    ),
    "rms_norm_backward": (
        Property("dx for one row", cases.rms_norm(rows=(1, 1)), part=0),
        Property("dx for several rows", cases.rms_norm(rows=(2, 4)), part=0),
        Property("dweight is summed over the rows", cases.rms_norm(), part=1),
        Property("both for more leading axes", cases.rms_norm((2, 2), (1, 3))),
        Property("dx for rows near 0: ε under the root", cases.rms_norm(rows=(1, 2), step=2**-12), part=0),
        manners(cases.rms_norm()),
    ),
    "embedding_backward": (
        Property("every token at most once: its row is its gradient", cases.embedding(repeats=False)),
        Property("a token that stands twice receives both gradients", cases.embedding(repeats=True)),
        Property("tokens of shape (B, T)", cases.embedding(True, (2, 2))),
        manners(cases.embedding(repeats=True)),
    ),
    "attention": (
        Property("two positions: the first sees itself only", cases.attention(time=(1, 2))),
        Property("more positions: no one sees a later one", cases.attention(time=(3, 4))),
        Property("several rows and heads", cases.attention((1, 3), (1, 3), (1, 2))),
        Property("longer sequences, wider heads", cases.attention((5, 9), (5, 9))),
        Property("scores in the hundreds: no overflow", cases.attention((2, 4), (1, 4), reach=40)),
        manners(cases.attention()),
        autograd(cases.attention(dout=True), "for entries within ±2"),
    ),
    "attention_backward": (
        Property("dv", cases.attention(dout=True), part=2),
        Property("dq", cases.attention(dout=True, time=(2, 4)), part=0),
        Property("dk", cases.attention(dout=True, time=(2, 4)), part=1),
        Property("all three for several rows and heads", cases.attention((2, 3), (1, 3), (1, 2), dout=True)),
        Property("longer sequences, wider heads", cases.attention((5, 9), (5, 9), dout=True)),
        Property("scores in the hundreds: no overflow", cases.attention((2, 4), (1, 4), dout=True, reach=40)),
        manners(cases.attention(dout=True)),
    ),
    "next_token_loss_backward": (
        Property("one text of which all counts", cases.next_tokens(batch=(1, 1))),
        Property("several texts: divided by the number of targets", cases.next_tokens(batch=(2, 3))),
        Property("targets that do not count have no gradient and no share", cases.next_tokens(prompt=True)),
        Property("the gradient of a position sums to zero", cases.next_tokens(), "law", law=sums_to_zero),
        manners(cases.next_tokens()),
    ),
    "last_token": (
        Property("rows without padding", cases.padded(full=True)),
        Property("padded rows", cases.padded()),
        Property("pad is the end token: the last real token is the end token itself", cases.padded(pad=cases.END)),
        Property("the pad id stands inside the text as well", cases.padded(inside=True)),
        manners(cases.padded()),
    ),
    "last_hidden": (
        Property("rows without padding", cases.hidden(full=True)),
        Property("padded rows: each its own last real token", cases.hidden()),
        manners(cases.hidden()),
    ),
    "position_ids": (
        Property("rows without padding: 0, 1, 2, ...", cases.left_padded(full=True)),
        Property("padded rows count from their first real token", cases.left_padded()),
        manners(cases.left_padded()),
    ),
    "join_within": (
        Property("both fit: nothing is cut", cases.joined(lambda draw, P: draw.size(P, P + 2))),
        Property("the prompt is too long: its first tokens go", cases.joined(lambda draw, P: draw.size(1, P - 1))),
        Property("room for the response only", cases.joined(lambda _, __: 0)),
        manners(cases.joined(lambda _, P: P - 1)),
    ),
    "chosen_first": (
        Property("B and T differ", cases.labelled()),
        Property("B = T, where a missing axis goes unnoticed", cases.labelled(square=True)),
        manners(cases.labelled()),
    ),
    "accumulated_gradient": (
        Property("parts of equal size", cases.parts(equal=True)),
        Property("parts of different sizes: each pair weighs the same", cases.parts()),
        manners(cases.parts()),
    ),
    "adamw_step": (
        Property("the first step, without decay", cases.adamw(True, False), part=0),
        Property("a later step, without decay", cases.adamw(False, False), part=0),
        Property("the moments m and v, first of them m", cases.adamw(False, False), part=1),
        Property("the moments m and v, second of them v", cases.adamw(False, False), part=2),
        Property("a step with weight decay", cases.adamw(), part=0),
        Property("a step with a large ε", cases.adamw(decay=False, eps=0.5), part=0),
        manners(cases.adamw()),
    ),
    "accuracy": (
        Property("no ties", cases.untied),
        Property("all pairs tied: one half", cases.tied, gated=True),
        Property("some pairs tied: each one half", cases.some_tied),
        Property("accuracy and its reverse add up to 1", cases.some_tied, "law", law=complementary),
        manners(cases.pair(size=(2, 4))),
    ),
    "cohen_kappa": (
        Property("two labels", cases.two_raters()),
        Property("three and four labels", cases.two_raters(4)),
        Property("the raters may change places", cases.two_raters(3), "law", law=exchanged),
        manners(cases.two_raters()),
    ),
    "brier_score": (
        Property("one forecast", lambda draw: tuple(array[:1] for array in cases.forecasts(draw))),
        Property("the mean over several", cases.forecasts),
        manners(cases.forecasts),
    ),
    "expected_calibration_error": (
        Property("two, four or five bins", cases.binned()),
        Property("a probability of 1 belongs to the last bin", cases.binned(low=0.75)),
        Property("one bin: the difference of two means", cases.binned((1,))),
        manners(cases.binned()),
    ),
    "length_slope": (
        Property("one prompt and several", cases.lengths),
        Property("a constant for each prompt changes nothing", cases.lengths, "law", law=prompt_shifted),
        Property("c · length added to the score adds c to the slope", cases.lengths, "law", law=paid_more),
        manners(cases.lengths),
    ),
}
