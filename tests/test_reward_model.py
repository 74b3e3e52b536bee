"""The whole reward model: three witnesses, pooling, and what a reward does not depend on."""

import math

import numpy as np
import pytest
import torch
from compare import (
    MODEL,
    amplification,
    assert_agree,
    assert_bitwise,
    assert_complex_step_agrees,
    assert_trees_agree,
    autograd,
    largest,
)
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, dtypes, few, make_case, normal, seeds
from test_losses import analytic_pairwise_loss
from torch.func import functional_call

import torch_impl.reward_model as twin
from numpy_ref import reward_model
from numpy_ref.gradient_check import check_backward, complex_step
from numpy_ref.tree import flatten, tree_map, unflatten


def module_of(case):
    """The PyTorch twin with the same weights, loaded by name"""
    (V, C), P = case.params["body"]["tok"]["weight"].shape, len(case.params["body"]["pos"]["weight"])
    module = twin.RewardModel(V, P, C, len(case.params["body"]["blocks"]), case.n_head)
    state = {name: torch.tensor(leaf) for name, leaf in flatten(case.params).items()}
    module = module.to(state["head.weight"].dtype)
    module.load_state_dict(state)
    return module


@st.composite
def loss_options(draw, B, dtype):
    """What loss_and_grads hands on to the loss: nothing, or all three; the target margin is one number or (B,)"""
    target_margin = draw(st.one_of(st.floats(-3, 3), st.just(normal(np.random.default_rng(B), dtype)(B))))
    options = {
        "target_margin": target_margin,
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.4])),
        "center_coefficient": draw(st.sampled_from([0.0, 0.01, 1.0])),
    }
    return draw(st.sampled_from([{}, options]))


@given(cases(), st.data())
def test_loss_and_grads_hand_derived_equals_autograd_equals_complex_step(case, data):
    tokens, length, dtype = case.tokens, case.length, case.params["head"]["weight"].dtype
    options = data.draw(loss_options(len(tokens), dtype))
    loss, grads, reward = reward_model.loss_and_grads(case.params, tokens, length, case.n_head, **options)

    module = module_of(case)
    tensors = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    twin_loss, twin_reward = twin.loss_and_grads(module, torch.tensor(tokens), torch.tensor(length), **tensors)
    by_autograd = unflatten({name: p.grad.numpy() for name, p in module.named_parameters()})

    def analytic_loss(params):
        r, _ = reward_model.rewards(tokens, length, **params, n_head=case.n_head)
        return analytic_pairwise_loss(r[:, 0], r[:, 1], **options)

    # if chosen and rejected nearly cancel, what is left is the rounding of what cancelled
    scale = max(largest(by_autograd) * rstd_of(case), largest_terms(case) / 10)
    assert_agree(loss, twin_loss.numpy(), MODEL, scale=(1 + largest(reward)) ** 2 * rstd_of(case))
    assert_agree(reward, twin_reward.numpy(), MODEL, scale=(1 + largest(reward)) * rstd_of(case))
    assert_trees_agree(grads, by_autograd, MODEL, scale)
    assert_complex_step_agrees(analytic_loss, case.params, grads, MODEL, scale, case.rng)


def rstd_of(case):
    """What rounding is multiplied by in this model: rstd of its most nearly constant row, 1 where none is"""
    return amplification(reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)[1])


def largest_terms(case):
    """What is added up before chosen and rejected cancel: each reward's own gradient, times the rstd on its way"""
    reward, cache = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    terms = 0.0
    for i in np.ndindex(reward.shape):
        dout = np.zeros_like(reward)
        dout[i] = 1
        terms = max(terms, largest(reward_model.rewards_backward(dout, cache)))
    return terms * amplification(cache) * reward.size * (1 + largest(reward))


@given(st.integers(1, 4).filter(lambda K: K != 2).flatmap(lambda K: cases(K=K)))
def test_rewards_of_any_number_of_responses_hand_derived_equals_autograd_equals_complex_step(case):
    tokens, length = case.tokens, case.length
    reward, cache = reward_model.rewards(tokens, length, **case.params, n_head=case.n_head)
    dout = normal(case.rng, reward.dtype)(*reward.shape)
    grads = reward_model.rewards_backward(dout, cache)

    module, fixed = module_of(case), (torch.tensor(tokens), torch.tensor(length))
    twin_reward, by_autograd = autograd(lambda **p: functional_call(module, flatten(p), fixed), case.params, dout)
    scale = largest(by_autograd) * rstd_of(case)
    assert_agree(reward, twin_reward, MODEL, scale=(1 + largest(reward)) * rstd_of(case))
    assert_trees_agree(grads, unflatten(by_autograd), MODEL, scale)

    def objective(params):
        return (reward_model.rewards(tokens, length, **params, n_head=case.n_head)[0] * dout).sum()

    assert_complex_step_agrees(objective, case.params, grads, MODEL, scale, case.rng)


@given(cases(K=3, n_layers=(1,), largest_C=3))
@few
def test_every_entry_passes_the_checker_that_students_use(case):
    inputs, scale = case.params | {"n_head": case.n_head}, 10 * rstd_of(case)
    forward, backward, x = reward_model.rewards, reward_model.rewards_backward, (case.tokens, case.length)
    check_backward(forward, backward, x, inputs, rng=case.rng, scale=scale)


@given(cases(n_layers=(1,), largest_C=3, dtype=np.float64))
@few
def test_every_entry_of_the_gradient_of_the_loss_agrees_with_the_complex_step(case):
    def analytic_loss(params):
        r, _ = reward_model.rewards(case.tokens, case.length, **params, n_head=case.n_head)
        return analytic_pairwise_loss(r[:, 0], r[:, 1])

    _, grads, _ = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    by_complex_step = complex_step(analytic_loss, case.params)
    assert_trees_agree(
        grads, by_complex_step, MODEL, scale=max(largest(by_complex_step) * rstd_of(case), largest_terms(case) / 10)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=seeds)
@few
def test_a_larger_model_agrees_with_autograd_within_100_eps_of_its_largest_gradient_entry(dtype, seed):
    case = make_case(B=4, K=2, T=9, H=4, C=32, V=50, n_layer=3, dtype=dtype, seed=seed, gain=0.2)
    _, grads, _ = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    module = module_of(case)
    twin.loss_and_grads(module, torch.tensor(case.tokens), torch.tensor(case.length))
    by_autograd = unflatten({name: p.grad.numpy() for name, p in module.named_parameters()})
    assert_trees_agree(grads, by_autograd, MODEL, largest(by_autograd))


# ---- Pooling: the last real token by its length, whatever stands behind it


@given(cases(K=3))
def test_a_response_is_scored_at_its_last_real_token(case):
    """The reward of a padded response is the head's answer at position length - 1 of that row run alone, uncut"""
    reward, _ = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    body, head = case.params["body"], case.params["head"]
    h, _ = reward_model.transformer(case.tokens.reshape(-1, case.tokens.shape[-1]), **body, n_head=case.n_head)
    for i, (row, length) in enumerate(zip(h, case.length.reshape(-1), strict=True)):
        expected = row[length - 1] @ head["weight"][0]
        assert_agree(reward.reshape(-1)[i], expected, MODEL, scale=1 + abs(row * head["weight"]).sum())


@given(cases(), st.data())
def test_what_stands_in_the_padding_changes_nothing_bitwise(case, data):
    T = case.tokens.shape[-1]
    padding = np.arange(T) >= case.length[..., None]
    pad = data.draw(st.integers(0, len(case.params["body"]["tok"]["weight"]) - 1))  # any token, real ones too
    padded = np.where(padding, pad, case.tokens)
    loss, grads, reward = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    loss2, grads2, reward2 = reward_model.loss_and_grads(case.params, padded, case.length, case.n_head)
    assert_bitwise([loss, reward], [loss2, reward2])
    assert_bitwise(grads["head"], grads2["head"])
    assert_bitwise(grads["body"]["blocks"], grads2["body"]["blocks"])
    assert_bitwise(grads["body"]["pos"], grads2["body"]["pos"])
    # the rows of the padding's own tokens receive zeros, in whatever order they are added
    assert_agree(grads["body"]["tok"]["weight"], grads2["body"]["tok"]["weight"], MODEL, scale=max(1, largest(grads)))


@given(cases(K=3))
def test_the_other_rows_of_a_batch_change_nothing_bitwise(case):
    """This holds at the same shape and slot; another shape may add up in another order"""
    reward, _ = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    others, other_lengths = case.tokens.copy(), case.length.copy()
    others[:, 1:] = (others[:, 1:] + 1) % len(case.params["body"]["tok"]["weight"])
    other_lengths[:, 1:] = case.tokens.shape[-1]
    again, _ = reward_model.rewards(others, other_lengths, **case.params, n_head=case.n_head)
    assert_bitwise(again[:, 0], reward[:, 0])


@given(cases(K=3))
def test_permuting_the_batch_permutes_the_rewards(case):
    B, K, _ = case.tokens.shape
    order, swap = case.rng.permutation(B), case.rng.permutation(K)
    reward, _ = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    tokens, length = case.tokens[order][:, swap], case.length[order][:, swap]
    permuted, _ = reward_model.rewards(tokens, length, **case.params, n_head=case.n_head)
    # 100 eps: matrix products may add up in another order, 51 eps measured over 400 shapes
    assert_agree(permuted, reward[order][:, swap], MODEL, scale=(1 + largest(reward)) * rstd_of(case))


@given(cases(), st.integers(1, 5))
def test_padding_further_changes_only_the_order_of_the_sums(case, further):
    positions = case.params["body"]["pos"]
    C = positions["weight"].shape[1]
    more = normal(case.rng, positions["weight"].dtype)(further, C)
    params = case.params | {"body": case.params["body"] | {"pos": {"weight": np.vstack([positions["weight"], more])}}}
    longer = np.concatenate([case.tokens, case.rng.integers(0, 3, (*case.length.shape, further))], -1)
    loss, grads, reward = reward_model.loss_and_grads(params, case.tokens, case.length, case.n_head)
    loss2, grads2, reward2 = reward_model.loss_and_grads(params, longer, case.length, case.n_head)
    rstd = rstd_of(case)
    assert_agree(reward2, reward, MODEL, scale=(1 + largest(reward)) * rstd)
    assert_agree(loss2, loss, MODEL, scale=(1 + largest(reward)) * rstd)
    assert_trees_agree(grads2, grads, MODEL, scale=max(largest(grads) * rstd, largest_terms(case) / 10))


# ---- Parameters


@given(dtypes, seeds)
def test_fresh_weights_have_the_twins_names_and_shapes_and_rewards_that_the_head_bounds(dtype, seed):
    rng = np.random.default_rng(seed)
    params = reward_model.init_params(rng, vocab_size=11, n_positions=7, n_embd=8, n_layer=2, dtype=dtype)
    shapes = {name: tuple(p.shape) for name, p in twin.RewardModel(11, 7, 8, 2, 4).state_dict().items()}
    assert {name: leaf.shape for name, leaf in flatten(params).items()} == shapes
    assert {leaf.dtype for leaf in flatten(params).values()} == {np.dtype(dtype)}
    tokens, length = rng.integers(0, 11, (5, 2, 7)), rng.integers(1, 8, (5, 2))
    loss, _, reward = reward_model.loss_and_grads(params, tokens, length, n_head=4)
    head = np.linalg.norm(params["head"]["weight"])
    assert abs(reward).max() <= math.sqrt(8) * head * (1 + 1e-6)  # a layer-normed row of C channels is at most √C long
    assert abs(loss - math.log(2)) <= abs(reward[:, 0] - reward[:, 1]).mean()  # the loss has slopes within ±1
    assert reward.dtype == loss.dtype == np.dtype(dtype)


def test_the_same_seed_gives_the_same_weights():
    first, again = (reward_model.init_params(np.random.default_rng(3), 7, 5, 4, 1) for _ in range(2))
    assert_bitwise(first, again)


@given(cases())
def test_nothing_is_written_into_the_arguments(case):
    before = tree_map(np.copy, case.params), case.tokens.copy(), case.length.copy()
    reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    assert_bitwise(case.params, before[0])
    assert_bitwise([case.tokens, case.length], list(before[1:]))
