"""The body's backward passes have three witnesses; the twins are the nn.Modules with the same names."""

import inspect
from functools import partial

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
from strategies import cases, few, normal
from torch.func import functional_call

import torch_impl.transformer as twin
from numpy_ref import transformer
from numpy_ref.gradient_check import check_backward
from numpy_ref.tree import flatten, unflatten


def witnesses(forward, backward, module, x, params, n_head, rng):
    """hand-derived = autograd = complex step, for forward(x, **params) and the module with the same names

    Each agrees within 100 eps of the gradient's largest entry, times what rounding is multiplied by on the way: a
    layer norm over a nearly constant row multiplies by its rstd, up to 316.
    """
    heads = {} if n_head is None else {"n_head": n_head}
    out, cache = forward(x, **params, **heads)
    dout = normal(rng, out.dtype)(*out.shape)
    result = backward(dout, cache)

    module = module.to(torch.tensor(out).dtype)
    twin_out, by_autograd = autograd(lambda x, **p: functional_call(module, flatten(p), x), {"x": x, **params}, dout)
    scale = largest(by_autograd) * amplification(cache)
    assert_agree(out, twin_out, MODEL, scale=max(scale, largest(out)))
    by_hand = {"x": result[0], **result[1]} if "x" in by_autograd else result
    assert_trees_agree(by_hand, unflatten(by_autograd), MODEL, scale=scale)

    def objective(tree):
        return (forward(**tree, **heads)[0] * dout).sum()

    first = next(iter(inspect.signature(forward).parameters))  # x, or tokens
    by_hand = {first if name == "x" else name: gradient for name, gradient in by_hand.items()}
    assert_complex_step_agrees(objective, {first: x, **params}, by_hand, MODEL, scale, rng)


@given(cases())
def test_feed_forward_hand_derived_equals_autograd_equals_complex_step(case):
    params = case.params["body"]["blocks"][0]["ffn"]
    x = case_input(case)
    module = twin.FeedForward(x.shape[-1])
    witnesses(transformer.feed_forward, transformer.feed_forward_backward, module, x, params, None, case.rng)


@given(cases())
def test_block_hand_derived_equals_autograd_equals_complex_step(case):
    params = case.params["body"]["blocks"][0]
    x = case_input(case)
    module = twin.Block(x.shape[-1], case.n_head)
    witnesses(transformer.block, transformer.block_backward, module, x, params, case.n_head, case.rng)


@given(cases())
def test_transformer_hand_derived_equals_autograd_equals_complex_step(case):
    params = case.params["body"]
    (V, C), P = params["tok"]["weight"].shape, len(params["pos"]["weight"])
    module = twin.Transformer(V, P, C, len(params["blocks"]), case.n_head)
    tokens = case.tokens[:, 0]
    witnesses(transformer.transformer, transformer.transformer_backward, module, tokens, params, case.n_head, case.rng)


def case_input(case):
    """(B, T, C) numbers for the rooms that do not start from tokens"""
    B, _, T = case.tokens.shape
    weight = case.params["body"]["tok"]["weight"]
    return normal(case.rng, weight.dtype)(B, T, weight.shape[1])


@given(cases(n_layers=(1,), largest_C=3))
@few
def test_every_entry_passes_the_checker_that_students_use(case):
    body, heads, rng = case.params["body"], {"n_head": case.n_head}, case.rng
    params, x = body["blocks"][0], case_input(case)
    _, cache = transformer.transformer(case.tokens[:, 0], **body, **heads)
    check = partial(check_backward, rng=rng, scale=100 * amplification(cache))
    check(transformer.feed_forward, transformer.feed_forward_backward, x, params["ffn"])
    check(transformer.block, transformer.block_backward, x, params | heads)
    check(transformer.transformer, transformer.transformer_backward, case.tokens[:, 0], body | heads)


@given(cases())
def test_a_block_of_zeros_hands_its_input_and_its_gradient_on(case):
    """The residual stream: where the attention's and the feed-forward's last weights are 0, y = x and dx = dy"""
    x, params = case_input(case), case.params["body"]["blocks"][0]
    for last in (params["attn"]["proj"], params["ffn"]["proj"]):
        last["weight"], last["bias"] = 0 * last["weight"], 0 * last["bias"]
    out, cache = transformer.block(x, **params, n_head=case.n_head)
    assert_bitwise(out, x)
    assert_bitwise(transformer.block_backward(x, cache)[0], x)
