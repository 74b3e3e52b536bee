"""DPO: three witnesses, and the laws that make a language model its own reward model."""

import math

import numpy as np
import pytest
import torch
from compare import (
    LAYER,
    MODEL,
    assert_agree,
    assert_bitwise,
    assert_complex_step_agrees,
    assert_trees_agree,
    autograd,
    largest,
)
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import arrays, cases, dtypes, dyadic, margins, normal, seeds
from test_losses import analytic_pairwise_loss

import torch_impl.dpo as twin
from numpy_ref import dpo, language_model, policy
from numpy_ref.errors import InputError
from numpy_ref.gradient_check import check_backward, complex_step
from numpy_ref.losses import pairwise_loss, pairwise_loss_backward
from numpy_ref.tree import flatten, tree_map
from torch_impl.language_model import LanguageModel

EPS = np.finfo(np.float64).eps
OPTIONS = [{}, {"beta": 0.5}, {"beta": 2.0, "label_smoothing": 0.2}]


class LanguageCase:
    """A case as a language model with an unembedding, and where the response of each row begins"""

    def __init__(self, case, seed):
        rng = np.random.default_rng(seed)
        (V, C), dtype = case.params["body"]["tok"]["weight"].shape, case.params["head"]["weight"].dtype
        self.params = {"body": case.params["body"], "unembedding": {"weight": normal(rng, dtype)(V, C)}}
        self.tokens, self.n_head, self.rng, self.dtype = case.tokens, case.n_head, rng, dtype
        self.length = np.maximum(case.length, 2)  # something must be there to predict
        self.start = rng.integers(1, self.length)
        self.reference = -rng.integers(1, 8, self.length.shape).astype(dtype)

    @property
    def batch(self):
        return self.tokens, self.length, self.start

    def module(self):
        """The PyTorch twin with the same weights"""
        (V, C), P = self.params["unembedding"]["weight"].shape, len(self.params["body"]["pos"]["weight"])
        module = LanguageModel(V, P, C, len(self.params["body"]["blocks"]), self.n_head)
        module = module.to(torch.from_numpy(self.reference).dtype)
        module.load_state_dict({name: torch.tensor(leaf) for name, leaf in flatten(self.params).items()})
        return module


language_cases = st.builds(LanguageCase, cases().filter(lambda case: case.tokens.shape[-1] > 1), seeds)


@given(language_cases, st.sampled_from(OPTIONS))
def test_loss_and_grads_hand_derived_equals_autograd_equals_complex_step(case, options):
    loss, grads, log_p = dpo.loss_and_grads(case.params, *case.batch, case.reference, case.n_head, **options)

    module = case.module()
    tensors = [torch.tensor(array) for array in (*case.batch, case.reference)]
    twin_loss, twin_log_p = twin.loss_and_grads(module, *tensors, **options)
    by_autograd = {name: p.grad.numpy() for name, p in module.named_parameters()}

    def analytic(params):
        reward = options.get("beta", 0.1) * (log_probability(case, params) - case.reference)
        return analytic_pairwise_loss(reward[:, 0], reward[:, 1], label_smoothing=options.get("label_smoothing", 0.0))

    scale, size = max(terms(case, options.get("beta", 0.1)), 1.0), 1 + largest(log_p) + largest(case.reference)
    assert_agree(loss, twin_loss.numpy(), MODEL, size)
    assert_agree(log_p, twin_log_p.numpy(), MODEL, size)
    assert_trees_agree(flatten(grads), by_autograd, MODEL, scale)
    assert_complex_step_agrees(analytic, case.params, grads, MODEL, scale, case.rng)


def log_probability(case, params):
    return dpo.log_probability(*case.batch, **params, n_head=case.n_head)[0]


def terms(case, beta):
    """What is added up before chosen and rejected cancel: the largest entry of either one's own gradient"""
    _, cache = dpo.log_probability(*case.batch, **case.params, n_head=case.n_head)
    each = (np.array([side] * len(case.tokens), case.dtype) for side in ((1, 0), (0, 1)))
    return beta * max(largest(dpo.log_probability_backward(dout, cache)) for dout in each)


@given(st.integers(1, 6), dtypes, seeds, st.sampled_from(OPTIONS))
def test_the_loss_alone_hand_derived_equals_autograd_equals_complex_step(B, dtype, seed, options):
    random = normal(np.random.default_rng(seed), dtype)
    log_p, reference, dout = 9 * random(B, 2), 9 * random(B, 2), random()
    loss, cache = dpo.dpo_loss(log_p, reference, **options)
    dlog_p = dpo.dpo_loss_backward(dout, cache)

    fixed = torch.tensor(reference)
    twin_loss, grads = autograd(lambda log_p: twin.dpo_loss(log_p, fixed, **options), {"log_p": log_p}, dout)

    def analytic(tree):
        reward = options.get("beta", 0.1) * (tree["x"] - reference.astype(float))
        smoothing = options.get("label_smoothing", 0.0)
        return float(dout) * analytic_pairwise_loss(reward[:, 0], reward[:, 1], label_smoothing=smoothing)

    scale = 1 + 2 * (abs(log_p).max() + abs(reference).max())
    assert_agree(loss, twin_loss, LAYER, scale)
    assert_agree(dlog_p, grads["log_p"], LAYER, scale * abs(dout))
    assert_agree(dlog_p, complex_step(analytic, {"x": log_p})["x"].astype(dtype), LAYER, scale * abs(dout))


@given(language_cases)
def test_the_log_probability_has_the_gradient_of_autograd_for_any_cotangent(case):
    """The cotangent is random; a loss would only send back two rows that are each other's negative"""
    dout = normal(case.rng, case.dtype)(*case.length.shape)
    out, cache = dpo.log_probability(*case.batch, **case.params, n_head=case.n_head)
    grads, module = dpo.log_probability_backward(dout, cache), case.module()
    twin_out = twin.log_probability(module, *map(torch.tensor, case.batch))
    twin_out.backward(torch.tensor(dout))
    by_autograd = {name: p.grad.numpy() for name, p in module.named_parameters()}
    assert_agree(out, twin_out.detach().numpy(), MODEL, 1 + largest(out))
    assert_trees_agree(flatten(grads), by_autograd, MODEL, max(terms(case, 1.0), 1.0) * max(1, largest(dout)))


@given(st.integers(1, 4), seeds, st.sampled_from(OPTIONS))
def test_the_loss_passes_the_checker_that_students_use(B, seed, options):
    rng = np.random.default_rng(seed)
    log_p, reference = 3 * rng.standard_normal((2, B, 2))
    check_backward(lambda x: dpo.dpo_loss(x, reference, **options), dpo.dpo_loss_backward, log_p, rng=rng, scale=10.0)


# ---- the log-probability of a response


@given(language_cases)
def test_it_is_the_sum_of_the_tokens_and_what_sft_minimises(case):
    """The loss of SFT is minus the sum over all responses, for each predicted token"""
    log_p = log_probability(case, case.params)
    rows = [array.reshape(-1, *array.shape[2:]) for array in case.batch]
    loss, _ = language_model.response_loss(*rows, **case.params, n_head=case.n_head)
    count = (case.length - case.start).sum()
    assert_agree(-log_p.sum() / np.asarray(count, case.dtype), loss, MODEL, 1 + largest(log_p))


@given(language_cases, st.data())
def test_neither_the_prompts_own_probability_nor_the_padding_counts(case, data):
    """Other tokens after the end change nothing, bitwise, in the loss or in any gradient"""
    V = len(case.params["unembedding"]["weight"])
    inside = np.arange(case.tokens.shape[-1]) < case.length[..., None]
    padded = np.where(inside, case.tokens, data.draw(st.integers(0, V - 1)))
    for a, b in zip(
        dpo.loss_and_grads(case.params, case.tokens, *case.batch[1:], case.reference, case.n_head),
        dpo.loss_and_grads(case.params, padded, *case.batch[1:], case.reference, case.n_head),
        strict=True,
    ):
        assert_bitwise(a, b)


def test_the_probabilities_of_all_responses_of_a_length_add_up_to_one():
    from itertools import product

    rng, V = np.random.default_rng(0), 3
    from numpy_ref.reward_model import init_params

    params = {"body": init_params(rng, V, 5, 4, 1)["body"], "unembedding": {"weight": rng.standard_normal((V, 4))}}
    responses = list(product(range(V), repeat=3))
    tokens = np.array([[(2, 1, *response) for response in responses]])
    length, start = np.full((1, V**3), 5), np.full((1, V**3), 2)
    log_p, _ = dpo.log_probability(tokens, length, start, **params, n_head=2)
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-14)


# ---- laws


@given(language_cases, st.sampled_from(OPTIONS))
def test_at_the_reference_every_margin_is_0_and_the_loss_log_2(case, options):
    reference = log_probability(case, tree_map(np.copy, case.params))
    loss, grads, log_p = dpo.loss_and_grads(case.params, *case.batch, reference, case.n_head, **options)
    assert_bitwise(dpo.implicit_reward(log_p, reference, 0.3), np.zeros_like(log_p))
    assert float(loss) == pytest.approx(math.log(2), rel=4 * float(np.finfo(case.dtype).eps))
    _, cache = dpo.log_probability(*case.batch, **case.params, n_head=case.n_head)
    beta, smoothing = options.get("beta", 0.1), options.get("label_smoothing", 0.0)
    half = np.array([[-0.5, 0.5]] * len(log_p), case.dtype) * (1 - 2 * smoothing) * beta / len(log_p)
    expected = dpo.log_probability_backward(half.astype(case.dtype), cache)
    assert_trees_agree(grads, expected, MODEL, max(terms(case, beta), 1e-30))


@given(seeds, st.sampled_from([0.05, 0.5, 4.0]))
def test_the_implicit_rewards_of_the_optimal_policy_are_the_rewards_but_for_a_constant_of_the_prompt(seed, beta):
    """Its margins are Bradley-Terry margins: σ(margin) is the probability with which chosen is preferred"""
    rng = np.random.default_rng(seed)
    reward, reference = rng.standard_normal((3, 5)), policy.log_softmax(rng.standard_normal((3, 5)))
    implicit = dpo.implicit_reward(policy.optimum(reference, reward, beta), reference, beta)
    log_z = np.log((np.exp(reference) * np.exp(reward / beta)).sum(1, keepdims=True))
    scale = abs(reward).max() + beta * abs(reference).max()
    assert_agree(implicit, reward - beta * log_z, LAYER, scale + beta)
    log_p = policy.optimum(reference, reward, beta)
    loss, _ = dpo.dpo_loss(log_p[:, [4, 1]], reference[:, [4, 1]], beta)
    assert_agree(loss, pairwise_loss(reward[:, 4], reward[:, 1])[0], LAYER, scale + beta)


@given(st.lists(st.tuples(dyadic(), dyadic(), dyadic(), dyadic()), min_size=1, max_size=5), st.sampled_from([0, 0.25]))
def test_it_is_the_pairwise_loss_of_the_implicit_rewards_bitwise(rows, smoothing):
    """If nothing is rounded, it is also that of the margins as the paper groups them"""
    numbers, beta = np.array(rows), 0.125
    log_p, reference = numbers[:, :2], numbers[:, 2:]
    loss, cache = dpo.dpo_loss(log_p, reference, beta, smoothing)
    slopes = dpo.dpo_loss_backward(1.0, cache)
    reward = dpo.implicit_reward(log_p, reference, beta)
    grouped = beta * ((log_p[:, 0] - log_p[:, 1]) - (reference[:, 0] - reference[:, 1]))
    for chosen, rejected in ((reward[:, 0], reward[:, 1]), (grouped, np.zeros_like(grouped))):
        expected, expected_cache = pairwise_loss(chosen, rejected, label_smoothing=smoothing)
        assert_bitwise(loss, expected)
        assert_bitwise(slopes, beta * np.stack(pairwise_loss_backward(1.0, expected_cache), 1))


@given(margins(), st.sampled_from([0.0, 0.25]))
@example(0.0, 0.0)
def test_swapping_a_pair_adds_the_margin_and_shares_out_one_beta(margin, smoothing):
    """loss(-m) - loss(m) = (1 - 2 ε) m, and the two slopes of the chosen response add up to β (1 - 2 ε)"""
    log_p = np.array([[margin, 0.0]])
    there, back = (dpo.dpo_loss(pair, np.zeros((1, 2)), 1.0, smoothing) for pair in (log_p, log_p[:, ::-1]))
    scale = max(1.0, abs(margin))
    assert abs(back[0] - there[0] - (1 - 2 * smoothing) * margin) <= 8 * EPS * scale
    slopes = [dpo.dpo_loss_backward(1.0, cache) for _, cache in (there, back)]
    assert abs(slopes[0][0, 0] + slopes[1][0, 0] + 1 - 2 * smoothing) <= 8 * EPS
    assert_bitwise(slopes[0][0, 0], -slopes[0][0, 1])


@given(arrays((4, 2), np.float64, 50), st.sampled_from([1e-6, 1e-9, 1e-12]))
def test_as_beta_goes_to_0_every_pair_pulls_with_half_of_beta(log_p, beta):
    """The loss tends to log 2 for every policy, and all slopes to those at the start, however well a pair is learned"""
    reference = np.zeros((4, 2))
    loss, cache = dpo.dpo_loss(log_p, reference, beta)
    assert abs(loss - math.log(2)) <= 100 * beta
    assert abs(dpo.dpo_loss_backward(1.0, cache) / beta - [-0.125, 0.125]).max() <= 100 * beta


@given(st.integers(-64, 64).filter(bool), st.integers(-500, 500), st.sampled_from([0.0, 0.25]))
def test_a_shift_of_the_policy_and_the_reference_of_a_prompt_changes_nothing_bitwise(lead, shift, smoothing):
    log_p, reference = np.array([[lead / 8, 1.0]]), np.array([[0.5, 0.25]])
    results = []
    for moved in (0, shift):
        loss, cache = dpo.dpo_loss(log_p + moved, reference + moved, 0.5, smoothing)
        results.append([loss, dpo.dpo_loss_backward(1.0, cache)])
    assert_bitwise(*results)


@pytest.mark.parametrize("smoothing", [0.01, 0.1, 0.4])
def test_smoothed_labels_stop_at_the_margin_that_they_describe(smoothing):
    """cDPO's loss is least where σ(m) = 1 - ε; without smoothing every margin pushes on"""
    target = math.log((1 - smoothing) / smoothing)
    beta, signs = 0.1, []
    for margin in (target - 1e-6, target, target + 1e-6):
        log_p = np.array([[margin / beta, 0.0]])
        slope = dpo.dpo_loss_backward(1.0, dpo.dpo_loss(log_p, np.zeros((1, 2)), beta, smoothing)[1])[0, 0]
        signs.append(slope)
        assert dpo.dpo_loss_backward(1.0, dpo.dpo_loss(log_p, np.zeros((1, 2)), beta)[1])[0, 0] < 0
    assert signs[0] < 0 < signs[2]
    assert abs(signs[1]) <= 8 * EPS


@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan])
def test_a_beta_that_is_not_positive_is_refused(beta):
    with pytest.raises(InputError, match=f"beta is {beta}: expected a number above 0, such as 0.1"):
        dpo.dpo_loss(np.zeros((1, 2)), np.zeros((1, 2)), beta)


@given(margins())
def test_the_slope_keeps_its_sign_however_large_the_margin(margin):
    """σ(m) - 1 taken literally is 0 from 36.74 on; this slope is below 0 as long as e^-m is above 0 in float64"""
    slope = dpo.dpo_loss_backward(1.0, dpo.dpo_loss(np.array([[margin, 0.0]]), np.zeros((1, 2)), 1.0)[1])[0, 0]
    assert slope < 0 or margin > 745
    assert slope >= -1


def test_the_default_beta_is_a_tenth():
    log_p, reference = np.array([[1.0, 0.0]]), np.zeros((1, 2))
    assert_bitwise(dpo.dpo_loss(log_p, reference)[0], dpo.dpo_loss(log_p, reference, beta=0.1)[0])
