"""The next-token loss and the language model: three witnesses, and what the loss must not see."""

import math

import numpy as np
import pytest
import torch
from compare import MODEL, amplification, assert_agree, assert_bitwise, assert_trees_agree, autograd, largest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import cases, dtypes, make_case, normal, seeds, sizes

import torch_impl.language_model as twin
from numpy_ref import language_model
from numpy_ref.gradient_check import check_backward, complex_step
from numpy_ref.reward_model import rewards
from numpy_ref.tree import flatten


@given(sizes(), dtypes, seeds)
def test_next_token_loss_hand_derived_equals_autograd_equals_complex_step(size, dtype, seed):
    rng = np.random.default_rng(seed)
    logits = 3 * normal(rng, dtype)(size.B, size.T, size.V)
    targets = rng.integers(0, size.V, (size.B, size.T))
    weight = rng.random((size.B, size.T)).astype(dtype)
    dout = normal(rng, dtype)()

    loss, cache = language_model.next_token_loss(logits, targets, weight)
    dlogits = language_model.next_token_loss_backward(dout, cache)

    fixed = {"targets": targets, "weight": torch.tensor(weight)}
    twin_loss, grads = autograd(
        lambda logits, targets, weight: twin.next_token_loss(logits, torch.as_tensor(targets), weight),
        {"logits": logits, **fixed},
        dout,
    )
    assert_agree(loss, twin_loss, 20, max(1, abs(float(loss))))
    assert_agree(dlogits, grads["logits"], 20, abs(dout))
    exact = complex_step(
        lambda tree: dout * language_model.next_token_loss(tree["x"], targets, weight)[0], {"x": logits}
    )
    assert_agree(dlogits, exact["x"].astype(dtype), 20, abs(dout))


def lifted(case, seed):
    """The case as a language model: its body with an unembedding, one response a row; prediction begins at `start`"""
    rng = np.random.default_rng(seed)
    V, C = case.params["body"]["tok"]["weight"].shape
    dtype = case.params["head"]["weight"].dtype
    params = {"body": case.params["body"], "unembedding": {"weight": normal(rng, dtype)(V, C)}}
    tokens = case.tokens.reshape(-1, case.tokens.shape[-1])
    length = np.maximum(case.length.reshape(-1), 2)  # something must be there to predict
    return params, tokens, length, rng.integers(1, length)


@given(cases().filter(lambda case: case.tokens.shape[-1] > 1), seeds)
@example(make_case(B=5, K=2, T=2, H=1, C=3, V=11, n_layer=1, dtype=np.float64, seed=5607, gain=0.6), 8569669)
def test_loss_and_grads_hand_derived_equals_autograd(case, seed):
    params, tokens, length, start = lifted(case, seed)
    loss, grads = language_model.loss_and_grads(params, tokens, length, start, case.n_head)

    (V, C), P = params["unembedding"]["weight"].shape, len(params["body"]["pos"]["weight"])
    module = twin.LanguageModel(V, P, C, len(params["body"]["blocks"]), case.n_head)
    state = {name: torch.tensor(leaf) for name, leaf in flatten(params).items()}
    module = module.to(state["unembedding.weight"].dtype)
    module.load_state_dict(state)
    twin_loss = twin.loss_and_grads(module, *map(torch.tensor, (tokens, length, start)))
    twin_grads = {name: p.grad.numpy() for name, p in module.named_parameters()}

    # A layer norm over a nearly constant row multiplies rounding by its rstd, as in test_transformer.py: in the
    # example 102 eps of 1, with an rstd of 17.6.
    _, cache = language_model.response_loss(tokens, length, start, **params, n_head=case.n_head)
    scale = max(largest(twin_grads), 1.0) * amplification(cache)
    assert_agree(loss, twin_loss.numpy(), MODEL, max(1, abs(float(loss))))
    assert_trees_agree(flatten(grads), twin_grads, MODEL, scale)


@given(sizes(), seeds)
def test_the_backward_pass_is_right_for_any_cotangent(size, seed):
    rng = np.random.default_rng(seed)
    targets, weight = rng.integers(0, size.V, (size.B, size.T)), rng.random((size.B, size.T))
    check_backward(
        lambda logits: language_model.next_token_loss(logits, targets, weight),
        language_model.next_token_loss_backward,
        rng.standard_normal((size.B, size.T, size.V)),
        rng=rng,
    )


@given(cases().filter(lambda case: case.tokens.shape[-1] > 1), seeds, st.data())
def test_neither_the_prompt_nor_the_padding_is_predicted(case, seed, data):
    """Other tokens after the end change nothing, bitwise, in the loss or in any gradient"""
    params, tokens, length, start = lifted(case, seed)
    position = np.arange(tokens.shape[1])
    V = len(params["unembedding"]["weight"])
    padded = np.where(position < length[:, None], tokens, data.draw(st.integers(0, V - 1)))
    for a, b in zip(
        language_model.loss_and_grads(params, tokens, length, start, case.n_head),
        language_model.loss_and_grads(params, padded, length, start, case.n_head),
        strict=True,
    ):
        assert_bitwise(a, b)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary():
    loss, _ = language_model.next_token_loss(np.zeros((2, 3, 7)), np.zeros((2, 3), int), np.ones((2, 3)))
    assert float(loss) == pytest.approx(math.log(7), rel=1e-15)


@pytest.mark.parametrize("size", [-1e300, -800.0, 800.0, 1e300])
def test_logits_of_any_size_have_a_loss(size):
    """e^800 overflows, and e^-800 leaves nothing to divide by: only differences of logits count"""
    logits = np.array([[[size, size, -size]]])
    loss, _ = language_model.next_token_loss(logits, np.array([[1]]), np.ones((1, 1)))
    assert float(loss) == pytest.approx(math.log(2) if size > 0 else -2 * size, rel=1e-15)


def test_a_target_outside_the_weight_has_no_gradient():
    rng = np.random.default_rng(0)
    weight = np.array([[1.0, 0.0, 1.0]])
    _, cache = language_model.next_token_loss(rng.standard_normal((1, 3, 5)), np.array([[0, 1, 2]]), weight)
    dlogits = language_model.next_token_loss_backward(1.0, cache)
    assert_bitwise(dlogits[0, 1], np.zeros(5))
    assert abs(dlogits.sum(-1)).max() <= 1e-16  # p and the one-hot target both sum to one


def test_the_unembedding_comes_off_and_a_scalar_head_goes_on():
    """The reward model starts from the language model's body, and reads it"""
    rng = np.random.default_rng(0)
    from numpy_ref.reward_model import init_params

    body = init_params(rng, 11, 6, 8, 2)["body"]
    params = {"body": body, "unembedding": language_model.init_unembedding(rng, 11, 8)}
    model = language_model.to_reward_model(params, rng)
    assert_bitwise(model["body"], body)
    assert model["head"]["weight"].shape == (1, 8)
    reward, _ = rewards(rng.integers(0, 11, (3, 2, 6)), np.full((3, 2), 6), **model, n_head=2)
    assert reward.shape == (3, 2)
    assert reward.std() > 0
