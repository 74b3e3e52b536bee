"""The optimisers by hand take the steps of torch.optim, and change nothing in place."""

import copy
import math

import mpmath
import numpy as np
import pytest
import torch
from compare import assert_agree, assert_bitwise, assert_trees_agree, largest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import dtypes, seeds

from numpy_ref.optim import SCHEDULES, adamw, adamw_state, clip_by_global_norm, sgd
from numpy_ref.tree import flatten, tree_map
from torch_impl import optim as twin

STEPS = 30


def trees(rng, dtype, scale=1.0):
    """A tree as parameters are: dicts in dicts, a list, a row, a scalar"""

    def normal(*shape):
        return np.asarray(scale * rng.standard_normal(shape)).astype(dtype)

    return {"body": {"blocks": [{"w": normal(3, 4)}, {"w": normal(2)}], "b": normal(5)}, "head": normal(1, 4)}


def tensors(tree):
    return {name: torch.tensor(leaf) for name, leaf in flatten(tree).items()}


def walk(make_optimiser, params, gradients):
    """The parameters after torch.optim has taken these gradients one after the other"""
    leaves = tensors(params)
    optimiser = make_optimiser(list(leaves.values()))
    for grads in gradients:
        for name, grad in tensors(grads).items():
            leaves[name].grad = grad
        optimiser.step()
    return {name: leaf.numpy() for name, leaf in leaves.items()}


def drawn(seed, dtype, steps=STEPS):
    """Weights, and gradients whose size changes from step to step by four orders of magnitude"""
    rng = np.random.default_rng(seed)
    return trees(rng, dtype), [trees(rng, dtype, 10 ** rng.uniform(-3, 1)) for _ in range(steps)]


@given(
    seed=seeds,
    dtype=dtypes,
    lr=st.floats(1e-4, 0.1),
    betas=st.tuples(st.floats(0.5, 0.95), st.floats(0.8, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.01, 0.3]),
    eps=st.sampled_from([1e-8, 1e-3]),
)
def test_adamw_is_torchs(seed, dtype, lr, betas, weight_decay, eps):
    """Over 30 steps: measured at most 30 eps of the largest weight on the way, in 1,500 draws"""
    params, gradients = drawn(seed, dtype)
    options = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
    theirs = walk(lambda leaves: torch.optim.AdamW(leaves, betas=betas, **options), params, gradients)
    state, scale = adamw_state(params), largest(params)
    for grads in gradients:
        params, state = adamw(params, grads, state, beta1=betas[0], beta2=betas[1], **options)
        scale = max(scale, largest(params))
    assert_trees_agree(params, theirs_as(params, theirs), 100, scale)
    assert state[2] == STEPS


def theirs_as(params, flat):
    names = iter(flatten(params))
    return tree_map(lambda _: flat[next(names)], params)


@given(seed=seeds, dtype=dtypes)
def test_both_sides_have_the_same_defaults(seed, dtype):
    params, gradients = drawn(seed, dtype, 5)
    theirs = walk(lambda leaves: twin.adamw(leaves, lr=0.01), params, gradients)
    state = adamw_state(params)
    for grads in gradients:
        params, state = adamw(params, grads, state, lr=0.01)
    assert_trees_agree(params, theirs_as(params, theirs), 20, largest(params))


@given(seed=seeds, dtype=dtypes, lr=st.floats(1e-4, 0.1))
def test_sgd_is_torchs(seed, dtype, lr):
    params, gradients = drawn(seed, dtype)
    theirs = walk(lambda leaves: torch.optim.SGD(leaves, lr=lr), params, gradients)
    scale = largest(params)
    for grads in gradients:
        params = sgd(params, grads, lr)
        scale = max(scale, largest(params))
    assert_trees_agree(params, theirs_as(params, theirs), STEPS, scale)  # a rounding a step


def test_decay_is_decoupled():
    """Without a gradient a weight shrinks by ηλ of itself; decay as a part of the gradient (L2) would move it by η"""
    params, zero = {"w": np.array([2.0, -3.0])}, {"w": np.zeros(2)}
    decayed, _ = adamw(params, zero, adamw_state(params), lr=0.1, weight_decay=0.2)
    assert_agree(decayed["w"], params["w"] * (1 - 0.1 * 0.2), 2, 3)
    l2 = walk(lambda leaves: torch.optim.Adam(leaves, lr=0.1, weight_decay=0.2), params, [zero])
    np.testing.assert_allclose(l2["w"], params["w"] - 0.1 * np.sign(params["w"]), rtol=1e-6)


@given(seed=seeds, lr=st.floats(1e-4, 1))
def test_bias_correction_makes_the_first_step_one_learning_rate(seed, lr):
    """m̂ / √v̂ = g / |g| at step 1, whatever β₁ and β₂"""
    params, (grads,) = drawn(seed, np.float64, 1)
    moved, (m, v, t) = adamw(params, grads, adamw_state(params), lr, eps=0.0, weight_decay=0.0)
    expected = tree_map(lambda p, g: p - lr * np.sign(g), params, grads)
    assert_trees_agree(moved, expected, 4, largest(params) + lr)
    assert_trees_agree(m, tree_map(lambda g: 0.1 * g, grads), 4, largest(grads))
    assert_trees_agree(v, tree_map(lambda g: 0.001 * g * g, grads), 100, 0.001 * largest(grads) ** 2)  # 1 - 0.999
    assert t == 1


def test_the_state_starts_at_zero_in_the_shape_of_the_parameters():
    params = trees(np.random.default_rng(0), np.float32)
    m, v, t = adamw_state(params)
    for moments in (m, v):
        assert_bitwise(moments, tree_map(lambda p: np.zeros(p.shape, np.float32), params))
    assert t == 0


@given(seed=seeds, dtype=dtypes, max_norm=st.floats(1e-3, 1e3), scale=st.sampled_from([0.0, 1e-5, 1.0, 1e4]))
@example(seed=0, dtype=np.float64, max_norm=1.0, scale=0.0)
def test_clipping_is_torchs(seed, dtype, max_norm, scale):
    grads = trees(np.random.default_rng(seed), dtype, scale)
    leaves = [torch.zeros_like(grad) for grad in tensors(grads).values()]
    for leaf, grad in zip(leaves, tensors(grads).values(), strict=True):
        leaf.grad = grad
    norm_there = torch.nn.utils.clip_grad_norm_(leaves, max_norm).item()
    clipped, norm = clip_by_global_norm(grads, max_norm)
    theirs = theirs_as(grads, dict(zip(flatten(grads), [leaf.grad.numpy() for leaf in leaves], strict=True)))
    assert_trees_agree(clipped, theirs, 20, largest(grads))
    assert_agree(np.array(norm, dtype), np.array(norm_there, dtype), 20, norm)
    flat = np.concatenate([leaf.ravel() for leaf in flatten(grads).values()]).astype(float)
    assert math.isclose(norm, np.linalg.norm(flat), rel_tol=20 * np.finfo(dtype).eps)
    assert norm > max_norm or largest(tree_map(np.subtract, clipped, grads)) <= 2e-3 * largest(grads)


def test_short_gradients_are_left_as_they_are_bit_for_bit():
    grads = trees(np.random.default_rng(0), np.float32)
    clipped, norm = clip_by_global_norm(grads, 1e3)
    assert norm < 1e2
    assert_bitwise(clipped, grads)


KINDS = pytest.mark.parametrize("kind", SCHEDULES)


def exactly(kind, step, N, W, peak, share):
    """The learning rate with 60 digits"""
    with mpmath.workdps(60):
        peak, share = mpmath.mpf(peak), mpmath.mpf(share)
        if step < W:
            return float(peak * (step + 1) / (W + 1))
        progress = mpmath.mpf(step - W) / max(1, N - W)
        falls = {"cosine": (1 + mpmath.cos(mpmath.pi * progress)) / 2, "linear": 1 - progress, "constant": 1}
        return float(peak * (share + (1 - share) * falls[kind]))


@KINDS
@pytest.mark.parametrize(("N", "W"), [(1, 0), (2, 0), (10, 0), (10, 1), (10, 3), (50, 5), (525, 52), (7, 7), (2, 1)])
@pytest.mark.parametrize("peak", [1.0, 4e-3])
def test_by_hand_as_torch_as_60_digits_at_every_step(kind, N, W, peak):
    """PyTorch multiplies from step to step, we compute each step afresh: measured at most 8 eps apart in 525 steps"""
    weight = torch.zeros(1)
    weight.grad = torch.zeros(1)
    optimiser = twin.adamw([weight], lr=peak)
    schedule = twin.SCHEDULES[kind](optimiser, N, peak, W)
    for step in range(N):
        here, there = SCHEDULES[kind](step, N, peak, W), optimiser.param_groups[0]["lr"]
        assert_agree(np.array(here), np.array(there), 20, peak)
        assert_agree(np.array(here), np.array(exactly(kind, step, N, W, peak, 0.1)), 4, peak)
        optimiser.step()
        schedule.step()


@KINDS
@given(N=st.integers(2, 300), W=st.integers(0, 299), share=st.floats(0, 1))
def test_the_schedule_rises_in_equal_steps_and_falls_to_its_final_share(kind, N, W, share):
    W, how = min(W, N - 1), {} if kind == "constant" else {"final_share": share}
    rates = [SCHEDULES[kind](step, N, 2.0, W, **how) for step in range(N + 1)]
    for step in range(W):
        assert math.isclose(rates[step], 2.0 * (step + 1) / (W + 1))
    assert rates[W] == pytest.approx(2.0, rel=1e-15)
    assert rates[N] == pytest.approx(2.0 * how.get("final_share", 1.0), abs=1e-15)
    assert all(later <= earlier + 1e-15 for earlier, later in zip(rates[W:], rates[W + 1 :], strict=False))
    if (N - W) % 2 == 0:  # half-way down, by symmetry
        assert rates[(N + W) // 2] == pytest.approx(1 + how.get("final_share", 1.0))


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_the_default_final_share_is_a_tenth(kind):
    assert SCHEDULES[kind](100, 100, 1.0, 0) == pytest.approx(0.1)


@given(seed=seeds, dtype=dtypes)
def test_nothing_is_written_in_place_and_types_and_shapes_stay(seed, dtype):
    params, (grads, more) = drawn(seed, dtype, 2)
    state = adamw_state(params)
    before = copy.deepcopy((params, grads, state[:2]))
    new, new_state = adamw(params, grads, state, lr=0.1)
    kept = copy.deepcopy((new, new_state[:2]))
    adamw(new, more, new_state, lr=0.1)
    results = [new, *new_state[:2], sgd(params, grads, 0.1), clip_by_global_norm(grads, 0.01)[0]]
    for now, then in zip((params, grads, *state[:2]), (*before[:2], *before[2]), strict=True):
        assert_bitwise(now, then)
    for now, then in zip((new, *new_state[:2]), (kept[0], *kept[1]), strict=True):
        assert_bitwise(now, then)
    for tree in results:
        assert {k: (v.shape, v.dtype) for k, v in flatten(tree).items()} == {
            k: (v.shape, np.dtype(dtype)) for k, v in flatten(params).items()
        }
        assert type(tree["body"]["blocks"]) is list
