"""Policies over enumerated responses: three witnesses, and what sampling must give on average, without sampling."""

import math
from itertools import product

import mpmath
import numpy as np
import pytest
import torch
from compare import LAYER, assert_agree, assert_bitwise, autograd, ulp_errors
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import dtypes, normal, seeds

import torch_impl.policy as twin
from numpy_ref import policy
from numpy_ref.errors import InputError
from numpy_ref.gradient_check import check_backward, complex_step

SHAPES = st.sampled_from([(1, 3, 2), (2, 3, 5), (3, 5, 2), (4, 2, 3), (2, 7, 4)])  # N prompts, A responses, G draws


class Drawn:
    """A policy, a reference and rewards (N, A); drawn responses, some of them twice, with their advantages (N, G)"""

    def __init__(self, shape, dtype, seed):
        self.N, self.A, self.G = shape
        self.rng = np.random.default_rng(seed)
        random = normal(self.rng, dtype)
        self.logits, self.reward = 2 * random(self.N, self.A), random(self.N, self.A)
        self.log_reference = policy.log_softmax(random(self.N, self.A))
        self.actions, self.advantage = self.rng.integers(0, self.A, (self.N, self.G)), random(self.N, self.G)
        self.old_log_p = np.take_along_axis(policy.log_softmax(self.logits), self.actions, 1)
        self.old_log_p = self.old_log_p + dtype(0.3) * random(self.N, self.G)  # ratios on both sides of the clip
        self.dout = random()


drawn = st.builds(Drawn, SHAPES, dtypes, seeds)


def three_witnesses(case, forward, backward, of_twin, analytic, scale):
    """dlogits by hand = autograd = complex step; forward and of_twin take the logits, an array and a tensor"""
    out, cache = forward(case.logits)
    dlogits = backward(case.dout, cache)
    twin_out, grads = autograd(of_twin, {"logits": case.logits}, case.dout)
    by_step = complex_step(lambda tree: case.dout * analytic(tree["x"]), {"x": case.logits})["x"]
    assert_agree(out, twin_out, LAYER, scale)
    assert_agree(dlogits, grads["logits"], LAYER, scale * abs(case.dout))
    assert_agree(dlogits, by_step.astype(dlogits.dtype), LAYER, scale * abs(case.dout))


def size_of(case, beta):
    """The size of the terms that the penalised reward adds up"""
    return 1 + abs(case.reward).max() + beta * (abs(case.log_reference).max() + abs(case.logits).max() + 3)


@given(drawn, st.sampled_from([0.0, 0.3, 2.0]))
def test_penalised_reward_hand_derived_equals_autograd_equals_complex_step(case, beta):
    fixed = torch.tensor(case.log_reference), torch.tensor(case.reward), beta
    three_witnesses(
        case,
        lambda x: policy.penalised_reward(x, case.log_reference, case.reward, beta),
        policy.penalised_reward_backward,
        lambda logits: twin.penalised_reward(logits, *fixed),
        lambda x: policy.penalised_reward(x, case.log_reference, case.reward, beta)[0],
        size_of(case, beta),
    )


@given(drawn)
def test_reinforce_hand_derived_equals_autograd_equals_complex_step(case):
    fixed = torch.tensor(case.actions), torch.tensor(case.advantage)
    three_witnesses(
        case,
        lambda x: policy.reinforce_loss(x, case.actions, case.advantage),
        policy.reinforce_loss_backward,
        lambda logits: twin.reinforce_loss(logits, *fixed),
        lambda x: policy.reinforce_loss(x, case.actions, case.advantage)[0],
        abs(case.advantage).max() * (1 + abs(case.old_log_p).max() + 1),
    )


@given(drawn)
def test_the_clipped_loss_hand_derived_equals_autograd_equals_complex_step(case):
    """The third witness chooses the side of the clip by the real ratio, and is analytic on that side"""
    ratio = np.exp(policy.action_log_probability(case.logits, case.actions)[0] - case.old_log_p)
    free = (ratio > 0.8) & (ratio < 1.2) | (ratio >= 1.2) & (case.advantage < 0) | (ratio <= 0.8) & (case.advantage > 0)

    def analytic(x):
        r = np.exp(policy.action_log_probability(x, case.actions)[0] - case.old_log_p)
        return -np.where(free, case.advantage * r, case.advantage * np.clip(ratio, 0.8, 1.2)).mean()

    fixed = (torch.tensor(array) for array in (case.actions, case.advantage, case.old_log_p))
    fixed = tuple(fixed)
    three_witnesses(
        case,
        lambda x: policy.clipped_loss(x, case.actions, case.advantage, case.old_log_p),
        policy.clipped_loss_backward,
        lambda logits: twin.clipped_loss(logits, *fixed),
        analytic,
        abs(case.advantage).max() * ratio.max() * (2 + abs(case.old_log_p).max()),
    )


@given(drawn)
def test_backward_passes_are_right_for_any_cotangent(case):
    assert_agree(
        *(
            f(torch.tensor(case.logits), torch.tensor(case.actions)).numpy()
            for f in (by_torch, twin.action_log_probability)
        ),
        LAYER,
        20,
    )
    check_backward(
        lambda x: policy.action_log_probability(x, case.actions),
        policy.action_log_probability_backward,
        case.logits.astype(float),
        rng=case.rng,
    )


def by_torch(logits, actions):
    return torch.tensor(policy.action_log_probability(logits.numpy(), actions.numpy())[0])


# ---- the optimum


@given(drawn, st.sampled_from([0.1, 0.7, 3.0]))
def test_at_the_optimum_the_gradient_is_zero_and_the_value_is_beta_log_z(case, beta):
    log_reference, reward = case.log_reference.astype(float), case.reward.astype(float)
    best = policy.optimum(log_reference, reward, beta)
    J, cache = policy.penalised_reward(best, log_reference, reward, beta)
    scale = 1 + abs(reward).max() + beta * abs(log_reference).max()
    assert_agree(policy.penalised_reward_backward(1.0, cache), np.zeros_like(best), LAYER, scale)
    log_z = np.log((np.exp(log_reference) * np.exp(reward / beta)).sum(1))
    assert_agree(J, (beta * log_z).mean(), LAYER, scale)
    assert_agree(best, twin.optimum(*map(torch.tensor, (log_reference, reward)), beta).numpy(), LAYER, scale / beta + 3)
    for other in (case.logits.astype(float), log_reference, best + 0.1 * case.rng.standard_normal(best.shape)):
        assert policy.penalised_reward(other, log_reference, reward, beta)[0] <= J + 20 * 2.3e-16 * scale


@given(drawn)
def test_what_any_policy_loses_against_the_optimum_is_beta_times_its_divergence_from_it(case):
    """J(π*) - J(π) = β KL(π ‖ π*), which is 0 for π* alone"""
    log_p, reference, reward = (
        policy.log_softmax(case.logits.astype(float)),
        case.log_reference.astype(float),
        case.reward,
    )
    best = policy.optimum(reference, reward.astype(float), 0.5)
    lost = [policy.penalised_reward(x, reference, reward.astype(float), 0.5)[0] for x in (best, log_p)]
    assert lost[0] - lost[1] == pytest.approx(0.5 * policy.kl(log_p, best).mean(), rel=1e-12, abs=1e-13)


def test_a_large_beta_keeps_the_reference_and_a_small_one_takes_the_best():
    reference, reward = np.log([[0.5, 0.3, 0.2]]), np.array([[0.0, 1.0, 3.0]])
    assert_agree(policy.optimum(reference, reward, 1e20), reference, LAYER, 2)
    assert np.exp(policy.optimum(reference, reward, 1e-3)).tolist() == [[0.0, 0.0, 1.0]]
    assert np.isfinite(policy.optimum(reference, 1e300 * reward, 1.0)).all()
    for beta in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match=f"beta is {beta}: expected a number above 0"):
            policy.optimum(reference, reward, beta)


@given(drawn)
def test_the_divergence_is_positive_and_zero_from_itself(case):
    p, q = (policy.log_softmax(x.astype(float)) for x in (case.logits, case.log_reference))
    assert (policy.kl(p, q) >= -1e-15).all()
    assert_bitwise(policy.kl(p, p), np.zeros(case.N))
    assert policy.kl(np.array([0.0, -np.inf]), np.log([0.25, 0.75])) == math.log(4)
    expected = torch.distributions.kl_divergence(
        *(torch.distributions.Categorical(logits=torch.tensor(x)) for x in (p, q))
    )
    assert_agree(policy.kl(p, q), expected.numpy(), LAYER, 1 + abs(p).max() + abs(q).max())


# ---- what sampling gives on average: the sum over all that can be drawn, with its probabilities


def expected_gradient(logits, reward, G, advantage, loss, backward):
    """E[-dlogits] over all A^G groups of one prompt"""
    log_p = policy.log_softmax(logits)
    total = np.zeros_like(logits)
    for group in product(range(logits.shape[1]), repeat=G):
        actions = np.array([group])
        _, cache = loss(logits, actions, advantage(np.take_along_axis(reward, actions, 1)))
        total -= np.exp(log_p[0, actions[0]].sum()) * backward(1.0, cache)
    return total


def exact_gradient(logits, reward):
    """The slope of the expected reward: β = 0"""
    return policy.penalised_reward_backward(1.0, policy.penalised_reward(logits, 0 * logits, reward, 0.0)[1])


@given(seeds, st.floats(-5, 5))
def test_the_expected_gradient_of_reinforce_is_the_exact_one_whatever_the_baseline(seed, baseline):
    rng = np.random.default_rng(seed)
    logits, reward = rng.standard_normal((2, 1, 4))
    got = expected_gradient(
        logits, reward, 2, lambda r: r - baseline, policy.reinforce_loss, policy.reinforce_loss_backward
    )
    assert_agree(got, exact_gradient(logits, reward), LAYER, 10)


@given(seeds, st.integers(2, 4))
def test_the_mean_of_the_group_is_a_baseline_that_shrinks_the_gradient_by_its_own_share(seed, G):
    """The mean holds the response itself: E = (1 - 1/G) of the exact gradient"""
    rng = np.random.default_rng(seed)
    logits, reward = rng.standard_normal((2, 1, 3))
    got = expected_gradient(
        logits, reward, G, lambda r: r - r.mean(1, keepdims=True), policy.reinforce_loss, policy.reinforce_loss_backward
    )
    assert_agree(got, (1 - 1 / G) * exact_gradient(logits, reward), LAYER, 10)


@given(seeds, st.integers(2, 5))
def test_grpo_on_rewards_of_0_and_1_is_the_exact_gradient_times_a_known_factor(seed, G):
    """E[√(k (1 - k))] / (p (1 - p)), k = K/G with K binomial: what dividing by the deviation does to a prompt"""
    rng = np.random.default_rng(seed)
    logits, reward = rng.standard_normal((1, 3)), np.array([[0.0, 1.0, 0.0]])
    p = float(np.exp(policy.log_softmax(logits))[0, 1])
    weights = [math.comb(G, k) * p**k * (1 - p) ** (G - k) * math.sqrt(k / G * (1 - k / G)) for k in range(G + 1)]
    factor = math.fsum(weights) / (p * (1 - p))

    def clipped(logits, actions, advantage):
        old = policy.action_log_probability(logits, actions)[0]
        return policy.clipped_loss(logits, actions, advantage, old)

    for loss, backward in (
        (policy.reinforce_loss, policy.reinforce_loss_backward),
        (clipped, policy.clipped_loss_backward),
    ):
        got = expected_gradient(logits, reward, G, policy.group_advantage, loss, backward)
        assert_agree(got, factor * exact_gradient(logits, reward), LAYER, 10 * factor)


@given(drawn)
def test_at_the_policy_that_drew_the_actions_clipping_changes_nothing_bitwise(case):
    old, _ = policy.action_log_probability(case.logits, case.actions)
    plain = policy.reinforce_loss_backward(1.0, policy.reinforce_loss(case.logits, case.actions, case.advantage)[1])
    loss, cache = policy.clipped_loss(case.logits, case.actions, case.advantage, old)
    assert_bitwise(policy.clipped_loss_backward(1.0, cache), plain)
    assert_bitwise(loss, -case.advantage.mean())
    _, on_the_edge = policy.clipped_loss(case.logits, case.actions, case.advantage, old, clip=0.0)
    assert_bitwise(policy.clipped_loss_backward(1.0, on_the_edge), plain)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [(1.3, 1.0, -1.2, False), (1.3, -1.0, 1.3, True), (0.7, 1.0, -0.7, True), (0.7, -1.0, 0.8, False)],
)
def test_a_ratio_that_left_the_interval_in_the_direction_of_its_advantage_stands_still(ratio, advantage, loss, moves):
    logits, actions = np.log([[0.25, 0.75]]), np.array([[0]])
    old = np.log([[0.25 / ratio]])
    value, cache = policy.clipped_loss(logits, actions, np.array([[advantage]]), old)
    slope = policy.clipped_loss_backward(1.0, cache)
    assert float(value) == pytest.approx(loss, rel=1e-14)
    assert slope[0, 0] == pytest.approx(-advantage * ratio * 0.75 * moves, rel=1e-14)
    wide, _ = policy.clipped_loss(logits, actions, np.array([[advantage]]), old, clip=0.5)
    assert float(wide) == pytest.approx(-advantage * ratio, rel=1e-14)


@given(drawn)
def test_a_groups_advantages_have_mean_0_and_deviation_1(case):
    reward = case.advantage.astype(float)
    advantage = policy.group_advantage(reward)
    assert_agree(advantage, twin.group_advantage(torch.tensor(reward)).numpy(), 200, abs(advantage).max() + 1)
    assert abs(advantage.mean(1)).max() <= 1e-9
    assert abs((advantage**2).mean(1) - 1).max() <= 1e-9


@given(st.sampled_from([0.1, 1 / 3, 1e100, -7.3]), st.integers(1, 9))
@example(0.1, 3)  # the mean of three tenths is not a tenth: rounding divided by rounding would be 1
def test_a_group_of_equal_rewards_has_no_advantage(reward, G):
    both = np.array([[reward] * G, [0.0] * (G - 1) + [1.0]])
    if G == 1:
        both = both[:1]
    for advantage in (policy.group_advantage(both), twin.group_advantage(torch.tensor(both)).numpy()):
        assert_bitwise(advantage[0], np.zeros(G))
        assert (advantage[1:] != 0).all()


# ---- best of n


def by_counting(log_p, reward, n):
    """The distribution of the best of n draws, counted over all A^n draws; tied best ones are equally likely"""
    out = np.zeros(len(log_p))
    for draws in product(range(len(log_p)), repeat=n):
        best = [a for a in draws if reward[a] == max(reward[b] for b in draws)]
        for a in best:
            out[a] += math.exp(sum(log_p[list(draws)])) / len(best)
    return out


@given(seeds, st.integers(1, 4), st.sampled_from([[3.0, 1.0, 2.0, 0.0], [1.0, 0.0, 1.0, -2.0], [5.0, 5.0, 5.0, 5.0]]))
def test_the_best_of_n_is_what_counting_all_draws_says(seed, n, reward):
    log_p, reward = policy.log_softmax(np.random.default_rng(seed).standard_normal(4)), np.array(reward)
    best = policy.best_of_n(log_p, reward, n)
    # counting sums 4ⁿ products, and was found 21 eps off; bound: three times that
    assert_agree(best, by_counting(log_p, reward, n), 64, 1)
    assert_agree(best, twin.best_of_n(torch.tensor(log_p), torch.tensor(reward), n).numpy(), LAYER, 3)


levels = st.lists(st.integers(0, 6), min_size=2, max_size=12)


@given(seeds, levels, st.integers(1, 10_000))
def test_the_divergence_of_the_best_of_n_is_within_its_bound_and_the_reward_grows(seed, level, n):
    log_p = policy.log_softmax(np.random.default_rng(seed).standard_normal(len(level)))
    reward = np.array(level, float)
    best, better = (policy.best_of_n(log_p, reward, k) for k in (n, n + 1))
    assert best.sum() == pytest.approx(1, rel=1e-10)  # n roundings of π(r ≤ r_a)
    with np.errstate(divide="ignore"):
        assert policy.kl(np.log(best), log_p) <= math.log(n) - (n - 1) / n + 1e-9
    assert (better * reward).sum() >= (best * reward).sum() - 1e-9


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_without_ties_the_bound_is_reached_as_responses_become_many_and_with_ties_it_is_not(n):
    log_p, bound = np.full(4096, -math.log(4096)), math.log(n) - (n - 1) / n
    of = lambda reward: float(policy.kl(np.log(policy.best_of_n(log_p, reward, n)), log_p))  # noqa: E731
    assert bound - 0.01 < of(np.arange(4096.0)) <= bound + 1e-12
    # two levels of half the mass each: the better one has 1 - 2⁻ⁿ of the best
    q = 1 - 0.5**n
    tied = math.log(2) + q * math.log(q) + (0 if q == 1 else (1 - q) * math.log(1 - q))
    assert of(np.repeat([0.0, 1.0], 2048)) == pytest.approx(tied, rel=1e-10, abs=1e-13)
    assert of(np.zeros(4096)) == pytest.approx(0, abs=1e-12)


def test_best_of_one_is_the_policy_and_best_of_none_is_refused():
    log_p, reward = policy.log_softmax(np.array([0.3, -1.0, 2.0])), np.array([1.0, 1.0, 0.0])
    assert_agree(policy.best_of_n(log_p, reward, 1), np.exp(log_p), 4, 1)
    for n in (0, 0.5, -3):
        with pytest.raises(InputError, match=f"n is {n}: expected at least 1 draw"):
            policy.best_of_n(log_p, reward, n)


def test_a_rare_best_response_keeps_its_digits(show_table):
    """π(r ≤ r_a)ⁿ - π(r < r_a)ⁿ cancels for a rare response: at a probability of 1e-12 it loses twelve digits"""
    lines = [f"{'a response of probability':>28}{'ours':>12}{'literal':>12}"]
    for rare in (1e-4, 1e-8, 1e-12):
        log_p, reward, n = np.log([1 - rare, rare]), np.array([0.0, 1.0]), 16
        p = np.exp(log_p)
        with mpmath.workdps(60):
            exact = [mpmath.mpf(x) / (mpmath.mpf(p[0]) + mpmath.mpf(p[1])) for x in p.tolist()]
            truth = [1 - (1 - exact[1]) ** n]
        ours = ulp_errors(policy.best_of_n(log_p, reward, n)[1:], truth)[0]
        literal = ulp_errors(np.array([1.0 - p[0] ** n]), truth)[0]
        lines.append(f"{rare:28.0e}{ours:12.3g}{literal:12.3g}")
        assert ours <= 16 < literal
    show_table("best of 16: error in ulp of the probability of a rare best response", lines)
