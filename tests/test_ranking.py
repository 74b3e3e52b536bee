"""Ranked lists: hand-derived = autograd = complex step, the identities between the losses, and every regime."""

import math
import tracemalloc
from itertools import combinations

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import torch_impl.listwise
import torch_impl.ranking
from numpy_ref import ties
from numpy_ref.errors import InputError
from numpy_ref.listwise import plackett_luce_loss, plackett_luce_loss_backward, suffix_sums
from numpy_ref.losses import pairwise_loss, pairwise_loss_backward
from numpy_ref.ranking import ABSENT, half_win, half_win_backward, kwise_loss, kwise_loss_backward

TWINS = {"kwise": torch_impl.ranking.kwise_loss, "plackett_luce": torch_impl.listwise.plackett_luce_loss}
EPS = np.finfo(np.float64).eps
TIES = [("drop", None), ("half", None), ("rao-kupper", 0.4), ("davidson", -0.3)]
KWISE = [{"ties": name, "log_tie": tie, "margin_per_rank": m} for name, tie in TIES for m in (0.0, 0.7)]
PLACKETT_LUCE = [{"top": top} for top in (None, 1, 2)]
seeds = st.integers(0, 2**32 - 1)
LOSSES = [("kwise", options) for options in KWISE] + [("plackett_luce", options) for options in PLACKETT_LUCE]
NAMED = [0.0, 36.7, -36.7, 37.0, 709.0, -709.0, 745.2, -745.2, 750.0, 1e300, -1e300]
everywhere = st.one_of(st.floats(-3, 3), st.floats(-40, 40), st.floats(-1e300, 1e300), st.sampled_from(NAMED))


@pytest.fixture(autouse=True)
def _no_overflow_no_nan():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


def assert_agree(actual, desired, n, scale=1.0):
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    bound = n * np.finfo(actual.dtype).eps * np.asarray(scale) + 1e-300  # below: subnormal numbers
    assert (np.abs(actual - desired) <= bound).all(), (actual, desired, np.max(np.abs(actual - desired) / bound) * n)


@st.composite
def ranks_of(draw, max_prompts=3, max_responses=6):
    """Lists of different length, in any slots, with ties, in both habits of counting past a tie"""
    B, K = draw(st.integers(1, max_prompts)), draw(st.integers(1, max_responses))
    ranks = np.full((B, K), ABSENT)
    for row in ranks:
        slots = draw(st.permutations(range(K)))[: draw(st.integers(0, K))]
        worth = np.array(draw(st.lists(st.integers(0, K), min_size=len(slots), max_size=len(slots))))
        counted = np.unique(worth) if draw(st.booleans()) else worth
        row[slots] = [1 + int((counted > w).sum()) for w in worth]
    return ranks


def draw_lists(rng, B, K, tied=True):
    """A batch by seed: rewards (B, K) and ranks (B, K), with an absent slot in every list but the first"""
    worth = np.tile(np.arange(K), (B, 1))
    if tied:
        worth[:, 2:] = rng.integers(0, K, (B, K - 2))  # 0 and 1 stay: something is left when ties are dropped
    worth = rng.permuted(worth, axis=1)
    ranks = 1 + (worth[:, None, :] > worth[:, :, None]).sum(2)
    for b in range(1, B):
        last = int((ranks[b] + rng.random(K) / 2).argmax())  # the last may leave without a gap in the ranks
        ranks[b, last] = ABSENT
    return 2 * rng.standard_normal((B, K)), ranks


def hand(name, rewards, ranks, dout=1.0, **options):
    """loss, drewards, dlog_tie (0 if there is no such parameter)"""
    if name == "plackett_luce":
        loss, cache = plackett_luce_loss(rewards, ranks, **options)
        return loss, plackett_luce_loss_backward(dout, cache), 0.0
    loss, cache = kwise_loss(rewards, ranks, **options)
    drewards, grads = kwise_loss_backward(dout, cache)
    return loss, drewards, grads.get("log_tie", 0.0)


def autograd(name, rewards, ranks, dout=1.0, **options):
    rewards = torch.tensor(rewards, requires_grad=True)
    tie = options.get("log_tie")
    if tie is not None:
        tie = options["log_tie"] = torch.tensor(tie, dtype=rewards.dtype, requires_grad=True)
    loss = TWINS[name](rewards, torch.as_tensor(ranks), **options)
    (loss * dout).backward()
    return loss.detach().numpy(), rewards.grad.numpy(), 0.0 if tie is None else tie.grad.numpy()


def pair_loss(m, d, tied, model, tie):
    """One comparison as the papers print it: analytic, right for small |d|, or with enough digits (m: numpy, mpmath)"""
    first, second = 1 / (1 + m.exp(-d)), 1 / (1 + m.exp(d))
    if model == "rao-kupper":
        first, second = 1 / (1 + m.exp(tie - d)), 1 / (1 + m.exp(tie + d))
        return -m.log((m.exp(2 * tie) - 1) * first * second) if tied else -m.log(first)
    if model == "davidson":
        z = m.exp(d / 2) + m.exp(tie) + m.exp(-d / 2)
        return -m.log((m.exp(tie) if tied else m.exp(d / 2)) / z)
    return m.log(1 + m.exp(-d)) / (2 if tied else 1) + (m.log(1 + m.exp(d)) / 2 if tied else 0)


def spelled(m, name, rewards, ranks, ties="drop", log_tie=None, margin_per_rank=0.0, top=None):
    """Both losses with loops over prompts and pairs"""
    prompts = []
    for r, rank in zip(rewards, ranks, strict=True):
        here = [i for i in range(len(r)) if rank[i] != ABSENT]
        if name == "kwise":
            pairs = [(i, j) for i in here for j in here if rank[i] < rank[j]]
            if ties != "drop":
                pairs += [(i, j) for i, j in combinations(here, 2) if rank[i] == rank[j]]
            terms = [
                pair_loss(m, r[i] - r[j] - margin_per_rank * int(rank[j] - rank[i]), rank[i] == rank[j], ties, log_tie)
                for i, j in pairs
            ]
        else:
            worse = {i: [j for j in here if rank[i] < rank[j]] for i in here}
            better = {i: sum(rank[j] < rank[i] for j in here) for i in here}
            chooses = [i for i in here if worse[i] and (top is None or better[i] < top)]
            terms = [m.log(1 + sum(m.exp(r[j] - r[i]) for j in worse[i])) for i in chooses]
        if terms:
            prompts.append(sum(terms) / (len(terms) if name == "kwise" else 1))
    return sum(prompts) / len(prompts) if prompts else r[0] * 0


def complex_step(name, rewards, ranks, h=1e-20, **options):
    drewards = np.zeros(rewards.shape)
    for slot in np.ndindex(rewards.shape):
        step = np.zeros(rewards.shape, complex)
        step[slot] = 1j * h
        drewards[slot] = spelled(np, name, rewards + step, ranks, **options).imag / h
    if options.get("log_tie") is None:
        return drewards, 0.0
    tied = spelled(np, name, rewards + 0j, ranks, **options | {"log_tie": options["log_tie"] + 1j * h})
    return drewards, tied.imag / h


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@settings(deadline=None)
@given(st.sampled_from(LOSSES), ranks_of(), seeds)
def test_hand_derived_is_autograd_is_complex_step(dtype, loss_and_options, ranks, seed):
    """Measured: n at most 0.6 over 400 batches in each dtype; the scale of a list's gradient grows with its K terms"""
    (name, options), rng = loss_and_options, np.random.default_rng(seed)
    rewards, dout = (2 * rng.standard_normal(ranks.shape)).astype(dtype), float(rng.standard_normal())
    loss, drewards, dtie = hand(name, rewards, ranks, dout, **options)
    twin_loss, twin_drewards, twin_dtie = autograd(name, rewards, ranks, dout, **options)
    step_drewards, step_dtie = complex_step(name, rewards.astype(np.float64), ranks, **options)
    assert drewards.dtype == loss.dtype == dtype
    scale = ranks.shape[1] * (1 + np.abs(rewards).max() + 6 * options.get("margin_per_rank", 0))
    assert_agree(loss, twin_loss, 2, scale)
    assert_agree(drewards, twin_drewards, 2, scale * abs(dout))
    assert_agree(drewards, (dout * step_drewards).astype(dtype), 2, scale * abs(dout))
    assert_agree(dtype(dtie), dtype(twin_dtie), 1, 4 * scale * abs(dout))
    assert_agree(dtype(dtie), dtype(dout * step_dtie), 1, 4 * scale * abs(dout))


def choices(name, ranks, ties="drop", margin_per_rank=0.0, top=None):
    """Both losses are sums of weight · log(1 + Σ_j e^(x_j - x_i + margin_j)): yields b, weight, i, j's, margins"""
    prompts = []
    for rank in ranks:
        here = [i for i in range(len(rank)) if rank[i] != ABSENT]
        if name == "kwise":
            ahead = [(i, j) for i in here for j in here if rank[i] < rank[j]]
            tied = [(i, j) for i in here for j in here if i != j and rank[i] == rank[j] and ties == "half"]
            count = max(1.0, len(ahead) + len(tied) / 2)
            said = [(1 / count, i, [j], [margin_per_rank * int(rank[j] - rank[i])]) for i, j in ahead]
            said += [(0.5 / count, i, [j], [0.0]) for i, j in tied]
        else:
            said = [(1.0, i, [j for j in here if rank[i] < rank[j]]) for i in here]
            said = [(w, i, below, [0.0] * len(below)) for w, i, below in said if below]
            said = [s for s in said if top is None or sum(rank[k] < rank[s[1]] for k in here) < top]
        prompts.append(said)
    heard = max(1, sum(map(bool, prompts)))
    return [(b, w / heard, i, below, margins) for b, said in enumerate(prompts) for w, i, below, margins in said]


def exact(name, rewards, ranks, **options):
    """Loss and gradient at 400 digits, enough for e^-745 beside 1, and the scale of each

    A scale is the sum of absolute terms, each times its condition: what one rounding of d costs the term. That is d
    if d > 0, else less than 1; plus the margin, which may cancel against the difference of the rewards.
    """
    loss, loss_scale, drewards, scale = mpmath.mpf(0), 0.0, np.zeros(rewards.shape, object), np.zeros(rewards.shape)
    with mpmath.workdps(400):
        for b, weight, i, below, margins in choices(name, ranks, **options):
            x, leader = [mpmath.mpf(float(rewards[b, j])) for j in below], mpmath.mpf(float(rewards[b, i]))
            z = [v - leader + margin for v, margin in zip(x, margins, strict=True)]
            total = sum(map(mpmath.exp, z))
            condition = 1 + min(1500.0, max(0.0, float(-max(z))) + max(map(abs, margins)))
            loss += weight * mpmath.log1p(total)
            loss_scale += float(weight * mpmath.log1p(total)) * condition
            drewards[b, i] -= weight * total / (1 + total)
            scale[b, i] += float(weight * total / (1 + total)) * condition
            for j, v in zip(below, z, strict=True):
                share = weight * mpmath.exp(v) / (1 + total)
                drewards[b, j] += share
                scale[b, j] += float(share) * (condition + min(750.0, float(max(z) - v)))
    return float(loss), drewards.astype(float), loss_scale, scale


@st.composite
def lists_everywhere(draw):
    ranks = draw(ranks_of(max_prompts=2, max_responses=4))
    values = draw(st.lists(everywhere, min_size=ranks.size, max_size=ranks.size))
    return np.array(values).reshape(ranks.shape), ranks


@pytest.mark.parametrize("options", [{"ties": "drop"}, {"ties": "half"}])
@settings(deadline=None)
@given(lists_everywhere(), st.sampled_from([0.0, 0.7, 375.0, -750.0]))
def test_kwise_is_exact_in_every_regime(options, lists, margin):
    rewards, ranks = lists
    check_exact("kwise", rewards, ranks, margin_per_rank=margin, **options)


@settings(deadline=None)
@given(lists_everywhere(), st.sampled_from([None, 1, 2]))
@example((np.array([[0.0, -1e300, -1e300, -1e300]]), np.array([[1, 2, 3, 4]])), None)  # ln 3 is lost by a log-sum-exp
@example((np.array([[1e300, 0.0, 0.0, 1e300]]), np.array([[4, 1, 2, 3]])), None)
@example((np.array([[0.0, 1e300, 0.0]]), np.array([[1, 2, ABSENT]])), None)  # beside what stands for an absent reward
@example((np.array([[0.0, -4e307, 0.0]]), np.array([[1, 2, ABSENT]])), None)
def test_plackett_luce_is_exact_in_every_regime(lists, top):
    check_exact("plackett_luce", *lists, top=top)


def check_exact(name, rewards, ranks, **options):
    """Within n = 2; measured at most 1.3 over 1,200 lists"""
    loss, drewards, _ = hand(name, rewards, ranks, **options)
    desired_loss, desired_drewards, loss_scale, scale = exact(name, rewards, ranks, **options)
    assert_agree(loss, desired_loss, 2, loss_scale)
    assert_agree(drewards, desired_drewards, 2, scale)


@settings(deadline=None)
@given(st.lists(st.tuples(everywhere, everywhere), min_size=1, max_size=5), st.floats(-750, 750))
def test_two_responses_are_a_pair(pairs, margin):
    """Value and gradient of pairwise_loss; Plackett-Luce of two is Bradley-Terry"""
    rewards, ranks = np.array(pairs), np.tile([1, 2], (len(pairs), 1))
    for name, options in [("kwise", {"margin_per_rank": margin}), ("plackett_luce", {})]:
        loss, cache = pairwise_loss(*rewards.T, target_margin=options.get("margin_per_rank", 0.0))
        dpair = np.stack(pairwise_loss_backward(0.3, cache), 1)
        actual, drewards, _ = hand(name, rewards, ranks, 0.3, **options)
        assert_agree(actual, loss, 3, loss)
        assert_agree(drewards, dpair, 1, np.abs(dpair))
        assert_agree(hand(name, rewards[:, ::-1], ranks[:, ::-1], 0.3, **options)[1], drewards[:, ::-1], 0)


@pytest.mark.parametrize(("model", "tie"), TIES)
def test_all_pairs_are_the_mean_of_the_pairwise_losses(rng, model, tie):
    """A prompt's comparisons taken one by one through the rooms of losses and ties"""
    rewards, ranks = draw_lists(rng, 1, 7)
    terms = []
    for i, j in combinations(range(7), 2):
        if ranks[0, i] > ranks[0, j]:
            i, j = j, i
        pair, tied = rewards[:, [i, j]], ranks[0, i] == ranks[0, j]
        if tied and model == "drop":
            continue
        if tie is None:
            terms.append(pairwise_loss(*pair.T, label_smoothing=0.5 if tied else 0.0)[0])
        else:
            log_p = {"rao-kupper": ties.rao_kupper, "davidson": ties.davidson}[model](pair[:, 0] - pair[:, 1], tie)[0]
            terms.append(-log_p[0, int(tied)])
    assert_agree(kwise_loss(rewards, ranks, model, tie)[0], np.mean(terms), 4, np.mean(terms))


def test_half_a_win_each_by_hand_by_autograd_and_by_complex_step():
    """All three outcomes are tested, with any number of axes; a list, with the better first, never has a lost pair"""
    rng, h = np.random.default_rng(0), 1e-20
    d, dout = rng.uniform(-20, 20, (2, 5)), rng.standard_normal((2, 5, 3))
    log_p, cache = half_win(d, None)
    dd, no_tie = half_win_backward(dout, cache)
    first, second = -np.log(1 + np.exp(-d - 1j * h)), -np.log(1 + np.exp(d + 1j * h))
    spelled_out = np.stack([first, (first + second) / 2, second], -1)
    td = torch.tensor(d, requires_grad=True)
    wins, loses = torch.nn.functional.logsigmoid(td), torch.nn.functional.logsigmoid(-td)
    torch_log_p = torch.stack([wins, (wins + loses) / 2, loses], -1)
    (torch_dd,) = torch.autograd.grad(torch_log_p, td, torch.as_tensor(dout))
    assert_agree(log_p, spelled_out.real, 2, 20)
    assert_agree(log_p, torch_log_p.detach().numpy(), 2, 20)
    assert_agree(dd, torch_dd.numpy(), 4, np.abs(dout).sum(-1))
    assert_agree(dd, (spelled_out.imag / h * dout).sum(-1), 4, np.abs(dout).sum(-1))
    assert no_tie is None


@settings(deadline=None)
@given(st.sampled_from(LOSSES), seeds)
def test_gradient_of_a_list_sums_to_zero_and_does_not_see_a_shift(loss_and_options, seed):
    (name, options), rng = loss_and_options, np.random.default_rng(seed)
    rewards, ranks = draw_lists(rng, 3, 6)
    rewards = np.round(rewards * 1024) / 1024  # so that the shift is exact, and the result therefore bitwise the same
    loss, drewards, dtie = hand(name, rewards, ranks, **options)
    assert_agree(drewards.sum(1), np.zeros(3), 4, np.abs(drewards).sum(1))
    shift = rng.integers(-1000, 1000, (3, 1)) * 1.0
    for actual, desired in zip(hand(name, rewards + shift, ranks, **options), (loss, drewards, dtie), strict=True):
        np.testing.assert_array_equal(actual, desired)


@settings(deadline=None)
@given(st.sampled_from(LOSSES), seeds)
def test_permuting_the_list_permutes_the_gradient(loss_and_options, seed):
    (name, options), rng = loss_and_options, np.random.default_rng(seed)
    rewards, ranks = draw_lists(rng, 3, 6)
    order = rng.permutation(6)
    loss, drewards, dtie = hand(name, rewards, ranks, **options)
    loss_2, drewards_2, dtie_2 = hand(name, rewards[:, order], ranks[:, order], **options)
    assert_agree(loss_2, loss, 4, loss)
    assert_agree(drewards_2, drewards[:, order], 8, np.abs(drewards).max())
    assert_agree(np.float64(dtie_2), np.float64(dtie), 8, 1 + abs(dtie))
    prompts = rng.permutation(3)  # and a prompt's gradient does not depend on its neighbours
    assert_agree(
        hand(name, rewards[prompts], ranks[prompts], **options)[1], drewards[prompts], 1, np.abs(drewards).max()
    )


@pytest.mark.parametrize("garbage", [np.inf, -np.inf, np.nan, 1.7e308, -1.7e308, 0.0])
@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_absent_slots_are_never_read(rng, name, options, garbage):
    """Whatever the slots hold, results are bitwise the same and their gradient is exactly 0, in both witnesses"""
    rewards, ranks = draw_lists(rng, 4, 6)
    ranks[3] = ABSENT
    ranks[3, 2] = 1  # a single response
    for witness in (hand, autograd):
        desired = witness(name, rewards, ranks, **options)
        actual = witness(name, np.where(ranks == ABSENT, garbage, rewards), ranks, **options)
        for a, b in zip(actual, desired, strict=True):
            np.testing.assert_array_equal(a, b)
        assert (actual[1][ranks == ABSENT] == 0).all()
        assert (actual[1][3] == 0).all()


@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_lists_of_different_length_are_the_mean_of_each_alone(rng, name, options):
    """Each prompt has weight one; prompts without a comparison are left out of the mean"""
    lists = [draw_lists(rng, 1, K) for K in (3, 6, 4)]
    rewards, ranks = np.zeros((5, 6)), np.full((5, 6), ABSENT)
    for b, (r, rank) in enumerate(lists):
        slots = rng.permutation(6)[: r.shape[1]]
        rewards[b, slots], ranks[b, slots] = r[0], rank[0]
    ranks[3, 4] = 1  # one response, and prompt 4 has none
    loss, drewards, dtie = hand(name, rewards, ranks, **options)
    alone = [hand(name, r, rank, **options) for r, rank in lists]
    assert_agree(loss, np.mean([a[0] for a in alone]), 4, loss)
    assert_agree(np.float64(dtie), np.mean([a[2] for a in alone]), 8, 1)
    assert_agree(np.sort(drewards[1]), np.sort(alone[1][1][0] / 3), 4, np.abs(drewards).max())


def test_dropping_ties_equals_the_sublists():
    """Ranks 1, 2, 2, 3 give five comparisons without the tie; if all are tied there is none"""
    rewards, ranks = np.array([[0.3, -1.2, 0.9, 0.4]]), np.array([[1, 2, 2, 3]])
    pairs = np.array([(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)])
    loss, cache = pairwise_loss(*rewards[0, pairs].T)
    assert_agree(kwise_loss(rewards, ranks)[0], loss, 2, loss)
    assert_agree(hand("kwise", rewards, ranks)[1][0, 0], pairwise_loss_backward(1.0, cache)[0][:3].sum(), 4)
    halves = [hand("plackett_luce", np.delete(rewards, k, 1), np.array([[1, 2, 3]]))[0] for k in (1, 2)]
    choices = [np.logaddexp.reduce(rewards[0]) - rewards[0, 0]] + [
        np.logaddexp(0, rewards[0, 3] - rewards[0, k]) for k in (1, 2)
    ]
    assert_agree(hand("plackett_luce", rewards, ranks)[0], np.sum(choices), 4, np.sum(choices))
    assert all(half < np.sum(choices) for half in halves)


@pytest.mark.parametrize("counted", [[[1, 1, 3, 4, 4]], [[1, 1, 2, 3, 3]]])
@pytest.mark.parametrize(("name", "options"), [c for c in LOSSES if not c[1].get("margin_per_rank")])
def test_both_habits_of_counting_past_a_tie_say_the_same(rng, name, options, counted):
    rewards = rng.standard_normal((1, 5))
    desired = hand(name, rewards, np.array([[1, 1, 3, 4, 4]]), **options)
    for actual, want in zip(hand(name, rewards, np.array(counted), **options), desired, strict=True):
        np.testing.assert_array_equal(actual, want)


def test_rao_kupper_and_davidson_reduce_to_bradley_terry(rng):
    """At θ = 1 and ν = 0, in lists without ties"""
    rewards, ranks = draw_lists(rng, 4, 5, tied=False)
    loss, drewards, _ = hand("kwise", rewards, ranks)
    for model, tie in (("rao-kupper", 0.0), ("davidson", -np.inf)):
        actual, actual_drewards, _ = hand("kwise", rewards, ranks, ties=model, log_tie=tie)
        assert_agree(actual, loss, 4, loss)
        assert_agree(actual_drewards, drewards, 8, np.abs(drewards).max())
    with np.errstate(divide="ignore"):
        assert hand("kwise", np.zeros((1, 2)), np.array([[1, 1]]), ties="rao-kupper", log_tie=0.0)[0] == np.inf


def test_plackett_luce_top_one_is_the_cross_entropy_of_the_best(rng):
    rewards, ranks = rng.standard_normal((4, 6)), rng.permuted(np.tile(np.arange(1, 7), (4, 1)), axis=1)
    best = torch.as_tensor(ranks.argmin(1))
    desired = torch.nn.functional.cross_entropy(torch.as_tensor(rewards), best)
    assert_agree(plackett_luce_loss(rewards, ranks, top=1)[0], desired.numpy(), 4, desired.numpy())
    for top in (5, 6, 100):
        assert plackett_luce_loss(rewards, ranks, top=top)[0] == plackett_luce_loss(rewards, ranks)[0]


def test_a_number_of_places_may_be_numpys(rng):
    rewards, ranks = rng.standard_normal((2, 4)), np.array([[1, 2, 3, 4], [3, 1, 2, 4]])
    assert plackett_luce_loss(rewards, ranks, top=np.int64(2))[0] == plackett_luce_loss(rewards, ranks, top=2)[0]


def test_suffix_sums_are_those_of_every_place_and_change_nothing(rng):
    for K in (1, 2, 3, 7, 8):
        x, weight = rng.standard_normal((2, K)), rng.random((2, K))
        x_before, weight_before = x.copy(), weight.copy()
        highest, total = suffix_sums(x, weight)
        np.testing.assert_array_equal(highest, [[row[k:].max() for k in range(K)] for row in x])
        desired = [[(w[k:] * np.exp(r[k:])).sum() for k in range(K)] for r, w in zip(x, weight, strict=True)]
        assert_agree(total * np.exp(highest), desired, 8, desired)
        np.testing.assert_array_equal(x, x_before)
        np.testing.assert_array_equal(weight, weight_before)


def test_equal_rewards_give_the_information_of_a_ranking():
    """ln K! for Plackett-Luce, ln 2 for a comparison; probabilities of all rankings add up to one"""
    for K in (2, 4, 9):
        rewards, ranks = np.zeros((1, K)), np.arange(1, K + 1)[None]
        assert_agree(plackett_luce_loss(rewards, ranks)[0], math.lgamma(K + 1), 4, math.lgamma(K + 1))
        assert_agree(kwise_loss(rewards, ranks)[0], math.log(2), 2)
    rewards = np.array([[0.3, -2.0, 1.5, 0.1]])
    orders = [np.argsort(order)[None] + 1 for order in np.ndindex(4, 4, 4, 4) if len(set(order)) == 4]
    assert_agree(sum(np.exp(-plackett_luce_loss(rewards, ranks)[0]) for ranks in orders), np.float64(1), 8)


@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_nothing_to_say_is_zero(name, options):
    rewards = np.array([[0.3, -1.0], [2.0, 0.5]])
    for witness in (hand, autograd):
        for ranks in ([[1, ABSENT], [ABSENT, 1]], [[ABSENT] * 2] * 2, [[1, 1], [1, 1]]):
            says = ranks == [[1, 1], [1, 1]] and options.get("ties", "drop") != "drop"
            loss, drewards, dtie = witness(name, rewards, np.array(ranks), **options)
            assert says or (loss == 0 and (drewards == 0).all() and dtie == 0)
            assert not says or loss > 0


@pytest.mark.parametrize("name", ["kwise", "plackett_luce"])
def test_five_hundred_responses(name):
    rng = np.random.default_rng(0)
    rewards, ranks = 50 * rng.standard_normal((1, 500)), 1 + rng.permutation(500)[None]
    loss, drewards, _ = hand(name, rewards, ranks)
    twin_loss, twin_drewards, _ = autograd(name, rewards, ranks)
    scale = np.abs(rewards).max()
    assert_agree(loss, twin_loss, 1, loss * scale)
    assert_agree(drewards, twin_drewards, 8, np.abs(drewards).max() * scale)
    assert_agree(drewards.sum(), 0.0, 4, np.abs(drewards).sum())


def peak_bytes(name, K):
    rewards, ranks = np.zeros((1, K)), np.arange(1, K + 1)[None]
    tracemalloc.start()
    hand(name, rewards, ranks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_as_the_pairs_and_as_the_list():
    """From K = 2000 to 4000 Plackett-Luce takes twice as much, from 200 to 400 all pairs take four times as much"""
    hand("kwise", np.zeros((1, 2)), np.array([[1, 2]]))
    assert 3.6 < peak_bytes("kwise", 400) / peak_bytes("kwise", 200) < 4.2
    assert peak_bytes("kwise", 400) < 120 * 400**2
    assert 1.8 < peak_bytes("plackett_luce", 4000) / peak_bytes("plackett_luce", 2000) < 2.2


BAD = [
    ([[1.0, np.nan, 2.0]], "whole numbers"),
    ([[1.0, np.inf, 2.0]], "whole numbers"),
    ([[1.0, 2.5, 2.0]], "whole numbers"),
    ([["1", "2", "3"]], "whole numbers"),
    ([[0, 1, 2]], "expected 1 for the best"),
    ([[2, 3, 3]], "expected 1 for the best"),
    ([[1, 2, 4]], "none above 3"),
    ([[1, 3, ABSENT]], "none above 2"),
    ([[1, 2, -2]], "expected 1 for the best"),
    ([[1, 2]], r"shape \(1, 3\), ranks \(1, 2\)"),
    ([1, 2, 3], r"ranks \(3,\)"),
]


@pytest.mark.parametrize(("ranks", "sentence"), BAD)
@pytest.mark.parametrize("loss", [kwise_loss, plackett_luce_loss])
def test_bad_ranks_are_refused_with_a_sentence(loss, ranks, sentence):
    with pytest.raises(InputError, match=sentence):
        loss(np.zeros((1, 3)), np.array(ranks))


def test_the_sentence_names_the_prompt():
    with pytest.raises(InputError, match=r"prompt 1 of the batch has the ranks \[1, 3\]"):
        kwise_loss(np.zeros((2, 3)), np.array([[1, 2, 3], [1, ABSENT, 3]]))


@pytest.mark.parametrize(("kwise", "listwise"), [(kwise_loss, plackett_luce_loss), tuple(TWINS.values())])
def test_bad_options_are_refused_with_a_sentence(kwise, listwise):
    rewards, ranks = torch.zeros(1, 2), torch.tensor([[1, 2]])
    if kwise is kwise_loss:
        rewards, ranks = rewards.numpy(), ranks.numpy()
    for options, sentence in [
        ({"ties": "guess"}, "'guess': expected one of drop, half, davidson, rao-kupper"),
        ({"ties": "davidson"}, "need a number"),
        ({"ties": "half", "log_tie": 0.1}, "have none"),
    ]:
        with pytest.raises(InputError, match=sentence):
            kwise(rewards, ranks, **options)
    for top in (0, -1, 1.5, "1"):
        with pytest.raises(InputError, match="whole number of places"):
            listwise(rewards, ranks, top=top)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
