"""Attention's backward has three witnesses; its twin is PyTorch's own scaled_dot_product_attention."""

import numpy as np
import torch
import torch.nn.functional as F
from compare import LAYER, assert_agree, assert_bitwise, assert_trees_agree, autograd, largest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, dtypes, normal, seeds, sizes

from numpy_ref import attention
from numpy_ref.gradient_check import check_backward
from numpy_ref.tree import flatten, unflatten
from torch_impl.attention import SelfAttention


@st.composite
def heads(draw):
    """((q, k, v), rng), each (B, H, T, D)"""
    s, dtype = draw(sizes()), draw(dtypes)
    rng = np.random.default_rng(draw(seeds))
    q = draw(arrays((s.B, s.H, s.T, s.D), dtype))
    return (q, normal(rng, dtype)(*q.shape), normal(rng, dtype)(*q.shape)), rng


@given(heads())
def test_attention_hand_derived_equals_autograd_equals_complex_step(drawn):
    qkv, rng = drawn
    dout = normal(rng, qkv[0].dtype)(*qkv[0].shape)
    out, cache = attention.attention(*qkv)
    by_hand = attention.attention_backward(dout, cache)

    twin = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)  # noqa: E731
    twin_out, by_autograd = autograd(twin, dict(zip("qkv", qkv, strict=True)), dout)
    # the scores' rounding, eps |q| |k| D, passes through the exponential into everything: one product of sizes
    scale = max(1, largest(by_autograd)) * (1 + largest(qkv[0]) * largest(qkv[1]))
    assert_agree(out, twin_out, LAYER, scale=scale)
    for gradient, name in zip(by_hand, "qkv", strict=True):
        assert_agree(gradient, by_autograd[name], LAYER, scale=scale)
    check_backward(attention.attention, attention.attention_backward, qkv, rng=rng, scale=scale)


@st.composite
def self_attention_inputs(draw):
    """(x, params, number of heads, rng)"""
    s, dtype = draw(sizes()), draw(dtypes)
    rng = np.random.default_rng(draw(seeds))
    random = normal(rng, dtype)
    qkv = {"weight": random(3 * s.C, s.C), "bias": random(3 * s.C)}
    return draw(arrays((s.B, s.T, s.C), dtype, 1)), {"qkv": qkv, "proj": affine(random, s.C)}, s.H, rng


def affine(random, C):
    return {"weight": random(C, C), "bias": random(C)}


@given(self_attention_inputs())
def test_self_attention_hand_derived_equals_autograd_equals_complex_step(drawn):
    x, params, n_head, rng = drawn
    out, cache = attention.self_attention(x, **params, n_head=n_head)
    dout = normal(rng, x.dtype)(*x.shape)
    dx, grads = attention.self_attention_backward(dout, cache)

    module = SelfAttention(x.shape[-1], n_head).to(torch.tensor(x).dtype)
    twin = lambda x, **params: torch.func.functional_call(module, flatten(params), x)  # noqa: E731
    twin_out, by_autograd = autograd(twin, {"x": x, **params}, dout)
    # the scores' size passes through the exponential: |q| |k| √D with q and k of size up to 1 + |W| C
    scale = largest(by_autograd) * (1 + largest(cache[1][0]) * largest(cache[1][1]))
    assert_agree(out, twin_out, LAYER, scale=max(scale, largest(out)))
    assert_agree(dx, by_autograd.pop("x"), LAYER, scale=scale)
    assert_trees_agree(grads, unflatten(by_autograd), LAYER, scale=scale)
    check_backward(
        attention.self_attention,
        attention.self_attention_backward,
        x,
        params | {"n_head": n_head},
        rng=rng,
        scale=scale,
    )


@given(self_attention_inputs())
def test_split_heads_and_merge_heads_are_inverse_and_each_others_transpose(drawn):
    x, _, n_head, rng = drawn
    split = attention.split_heads(x, n_head)
    B, T, C = x.shape
    assert split.shape == (B, n_head, T, C // n_head)
    assert_bitwise(attention.merge_heads(split), x)
    assert_bitwise(split[:, -1], x[..., -(C // n_head) :])  # a head is a run of neighbouring channels
    other = np.float64(rng.integers(-9, 9, split.shape))
    whole = np.float64(rng.integers(-9, 9, x.shape))
    assert (attention.split_heads(whole, n_head) * other).sum() == (whole * attention.merge_heads(other)).sum()


@given(heads(), st.data())
def test_no_position_sees_a_later_one_bitwise(drawn, data):
    (q, k, v), rng = drawn
    T = q.shape[2]
    seen = data.draw(st.integers(1, T))
    out, cache = attention.attention(q, k, v)
    k2, v2 = k.copy(), v.copy()
    k2[:, :, seen:], v2[:, :, seen:] = rng.standard_normal((2, *k[:, :, seen:].shape))
    assert_bitwise(attention.attention(q, k2, v2)[0][:, :, :seen], out[:, :, :seen])

    dout = normal(rng, q.dtype)(*q.shape)
    dout[:, :, seen:] = 0  # if only the first positions matter, nothing after them has a gradient
    for gradient in attention.attention_backward(dout, cache):
        assert not gradient[:, :, seen:].any()


@given(heads())
def test_the_first_position_attends_to_itself_alone(drawn):
    (q, k, v), _ = drawn
    assert_bitwise(attention.attention(q, k, v)[0][:, :, 0], v[:, :, 0])
