"""Laws that hold for a gradient because of what its function conserves: no second implementation is needed.

<a, b> is the sum of products. Where a function is linear in some of its arguments, Euler's identity says that
<gradient, argument>, summed over them, is <dout, out>; where a shift of an argument changes nothing, its gradient sums
to zero; where the Jacobian is symmetric, <u, J v> = <v, J u>. Alone, the numbered laws kill three in four mutants of
the backward passes of layers and attention: what they cannot see is the interior of gelu and attention's 1/√D.
"""

import numpy as np
import pytest
from compare import assert_agree, assert_bitwise, largest, total
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, dtypes, normal, seeds, sizes
from test_reward_model import largest_terms

from numpy_ref import attention, layers, reward_model, transformer
from numpy_ref.tree import flatten, tree_map

SUM = 10  # eps of the sum of the sizes of what is added up, before it cancels: 1.5 at most in 400 examples of each law


@st.composite
def draws(draw):
    """(sizes, random): the sizes of a case and its source of numbers"""
    s, dtype = draw(sizes()), draw(dtypes)
    return s, normal(np.random.default_rng(draw(seeds)), dtype)


def equal(*pairs):
    """Sums of the products of the first pairs equal that of the last: equal((dw, w), (db, b), (dy, y))"""
    totals = [total(*pair) for pair in pairs]
    scale = sum(size for _, size in totals)
    assert_agree(sum(value for value, _ in totals[:-1]), totals[-1][0], SUM, scale)


def vanishes(array, terms):
    """The sum is zero but for rounding; `terms` is what was added up"""
    assert_agree(array, np.zeros_like(array), SUM, scale=max(largest(terms) * terms.shape[-1], 1e-30))


# ---- linear


def linear_case(drawn):
    s, random = drawn
    x, weight, bias, dout = random(s.B, s.T, s.C), random(s.O, s.C), random(s.O), random(s.B, s.T, s.O)
    out, cache = layers.linear(x, weight, bias)
    dx, grads = layers.linear_backward(dout, cache)
    return x, weight, bias, dout, out, dx, grads


@given(draws())
def test_1_linear_is_linear_in_weight_and_bias(drawn):
    _, weight, bias, dout, out, _, grads = linear_case(drawn)
    equal((grads["weight"], weight), (grads["bias"], bias), (dout, out))


@given(draws())
def test_2_linear_is_linear_in_input_and_bias(drawn):
    x, _, bias, dout, out, dx, grads = linear_case(drawn)
    equal((dx, x), (grads["bias"], bias), (dout, out))


# ---- layer norm


def layer_norm_case(drawn):
    s, random = drawn
    x, weight, bias, dout = random(s.B, s.T, s.C), random(s.C), random(s.C), random(s.B, s.T, s.C)
    out, cache = layers.layer_norm(x, weight, bias)
    dx, grads = layers.layer_norm_backward(dout, cache)
    return x, weight, bias, dout, out, dx, grads, cache


@given(draws())
def test_3_layer_norm_is_linear_in_weight_and_bias(drawn):
    _, weight, bias, dout, out, _, grads, _ = layer_norm_case(drawn)
    equal((grads["weight"], weight), (grads["bias"], bias), (dout, out))


@given(draws())
def test_4_layer_norm_forgets_the_mean_so_that_dx_sums_to_zero(drawn):
    _, weight, _, dout, _, dx, _, (_, rstd, _) = layer_norm_case(drawn)
    vanishes(dx.sum(-1), rstd**2 * abs(dout * weight).sum(-1, keepdims=True) * np.ones_like(dx))


@given(draws())
def test_5_layer_norm_forgets_the_scale_but_for_epsilon(drawn):
    """<dx, x - μ> = ε rstd² <dx̂, x̂>: zero if ε were"""
    x, weight, _, dout, _, dx, _, (xhat, rstd, _) = layer_norm_case(drawn)
    centred = x - x.mean(-1, keepdims=True)
    products, kept = dx * centred, 1e-5 * rstd**2 * dout * weight * xhat
    scale = (rstd * abs(dout * weight).sum(-1, keepdims=True) * (1 + abs(x).max())).max() * x.shape[-1]
    assert_agree(products.sum(-1), kept.sum(-1).astype(dx.dtype), SUM, scale=scale)


# ---- gelu


@given(draws())
def test_6_the_slopes_of_gelu_at_x_and_minus_x_add_up_to_one(drawn):
    """gelu(x) - gelu(-x) = x"""
    s, random = drawn
    x, dout = 2 * random(s.B, s.C), random(s.B, s.C)
    right, left = (layers.gelu_backward(dout, layers.gelu(sign * x)[1]) for sign in (1, -1))
    assert_agree(right + left, dout, SUM, scale=largest(dout))


# ---- softmax


def softmax_case(drawn):
    s, random = drawn
    p, cache = layers.softmax(random(s.B, s.T, s.C))
    return p, cache, random(s.B, s.T, s.C), random(s.B, s.T, s.C)


@given(draws())
def test_7_softmax_forgets_a_shift_so_that_dx_sums_to_zero(drawn):
    _, cache, dout, _ = softmax_case(drawn)
    dx = layers.softmax_backward(dout, cache)
    vanishes(dx.sum(-1), dout)


@given(draws())
def test_8_the_jacobian_of_softmax_is_symmetric(drawn):
    _, cache, u, v = softmax_case(drawn)
    equal((layers.softmax_backward(u, cache), v), (layers.softmax_backward(v, cache), u))


@given(draws())
def test_9_the_jacobian_of_softmax_is_the_variance_so_that_it_is_never_negative(drawn):
    """<v, J v> = Σ p v² - (Σ p v)², the variance of v under p"""
    p, cache, v, _ = softmax_case(drawn)
    variance = (p * (v - (p * v).sum(-1, keepdims=True)) ** 2).sum()
    assert_agree((layers.softmax_backward(v, cache) * v).sum(), variance, SUM, scale=(p * v * v).sum())


# ---- attention


def attention_case(drawn):
    s, random = drawn
    q, k, v, dout = (random(s.B, s.H, s.T, s.D) for _ in range(4))
    out, cache = attention.attention(q, k, v)
    return q, k, v, dout, out, attention.attention_backward(dout, cache)


@given(draws())
def test_10_attention_is_linear_in_the_values(drawn):
    _, _, v, dout, out, (_, _, dv) = attention_case(drawn)
    equal((dv, v), (dout, out))


@given(draws())
def test_11_queries_and_keys_enter_as_products_so_that_their_gradients_weigh_the_same(drawn):
    q, k, _, _, _, (dq, dk, _) = attention_case(drawn)
    assert abs(total(dq, q)[0] - total(dk, k)[0]) <= SUM * np.finfo(q.dtype).eps * score_sizes(drawn)


def score_sizes(drawn):
    """Σ |dS S|: what the sums <dQ, Q> and <dK, K> are made of, before they cancel"""
    q, k, v, dout, _, _ = attention_case(drawn)
    return (abs(q) @ abs(k).swapaxes(-1, -2) * (1 + abs(dout) @ abs(v).swapaxes(-1, -2))).sum()


@given(draws())
def test_12_a_constant_added_to_every_key_changes_nothing_so_that_dk_sums_to_zero(drawn):
    _, _, _, _, _, (_, dk, _) = attention_case(drawn)
    assert_agree(dk.sum(-2), np.zeros_like(dk[..., 0, :]), SUM, scale=score_sizes(drawn))


@given(draws())
def test_13_the_rows_of_attention_add_up_to_one_so_that_dv_and_dout_have_the_same_sum(drawn):
    _, _, _, dout, _, (_, _, dv) = attention_case(drawn)
    assert_agree(dv.sum(-2), dout.sum(-2), SUM, scale=max(1, largest(dout)) * dout.shape[-2])


@given(draws())
def test_14_the_first_position_sees_only_itself_so_that_its_query_has_no_gradient(drawn):
    q, _, _, _, _, (dq, _, _) = attention_case(drawn)
    # its one probability is 1: dp - Σ p dp is 0 exactly
    assert_bitwise(dq[:, :, 0], np.zeros_like(q[:, :, 0]))


# ---- self-attention, blocks, embeddings


def self_attention_case(drawn):
    s, random = drawn
    qkv = {"weight": random(3 * s.C, s.C), "bias": random(3 * s.C)}
    proj = {"weight": random(s.C, s.C), "bias": random(s.C)}
    out, cache = attention.self_attention(random(s.B, s.T, s.C), qkv, proj, s.H)
    dout = random(s.B, s.T, s.C)
    return proj, dout, out, cache, attention.self_attention_backward(dout, cache)[1]


@given(draws())
def test_15_the_bias_of_the_keys_has_no_gradient(drawn):
    """It adds the same number to all scores of a query, and softmax ignores that"""
    s, _ = drawn
    proj, dout, _, (_, (q, _, v, p), _, _), grads = self_attention_case(drawn)
    key_bias = grads["qkv"]["bias"][s.C : 2 * s.C]
    dy = attention.split_heads(dout @ proj["weight"], s.H)
    terms = (p * (abs(dy) @ abs(v).swapaxes(-1, -2))).sum() * abs(q).max()  # Σ |dS Q|, before it cancels
    assert_agree(key_bias, np.zeros_like(key_bias), SUM, scale=terms)


@given(draws())
def test_16_self_attention_is_linear_in_its_output_weights(drawn):
    proj, dout, out, _, grads = self_attention_case(drawn)
    equal((grads["proj"]["weight"], proj["weight"]), (grads["proj"]["bias"], proj["bias"]), (dout, out))


@given(draws())
def test_17_splitting_and_merging_heads_only_moves_numbers(drawn):
    s, random = drawn
    x, y = random(s.B, s.T, s.C), random(s.B, s.H, s.T, s.D)
    equal((attention.split_heads(x, s.H), y), (x, attention.merge_heads(y)))


@given(draws())
def test_18_feed_forward_is_linear_in_its_second_weights(drawn):
    s, random = drawn
    fc = {"weight": random(4 * s.C, s.C), "bias": random(4 * s.C)}
    proj = {"weight": random(s.C, 4 * s.C), "bias": random(s.C)}
    out, cache = transformer.feed_forward(random(s.B, s.T, s.C), fc, proj)
    dout = random(s.B, s.T, s.C)
    grads = transformer.feed_forward_backward(dout, cache)[1]["proj"]
    equal((grads["weight"], proj["weight"]), (grads["bias"], proj["bias"]), (dout, out))


@given(draws())
def test_19_embedding_is_linear_in_its_table(drawn):
    s, random = drawn
    tokens, weight = np.arange(s.B * s.T).reshape(s.B, s.T) % s.V, random(s.V, s.C)
    out, cache = layers.embedding(tokens, weight)
    dout = random(*out.shape)
    equal((layers.embedding_backward(dout, cache)["weight"], weight), (dout, out))


@given(cases())
def test_20_words_and_positions_are_added_so_that_their_gradients_have_the_same_sum(case):
    _, grads, _ = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    tok, pos = grads["body"]["tok"]["weight"], grads["body"]["pos"]["weight"]
    assert_agree(tok.sum(0), pos.sum(0), SUM, scale=max(abs(tok).sum(), abs(pos).sum(), largest_terms(case)))


@given(cases())
def test_21_rewards_are_linear_in_the_head(case):
    reward, cache = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    dout = normal(case.rng, reward.dtype)(*reward.shape)
    grads = reward_model.rewards_backward(dout, cache)
    equal((grads["head"]["weight"], case.params["head"]["weight"]), (dout, reward))


@given(cases())
def test_22_rewards_are_linear_in_the_last_layer_norm_together_with_its_bias(case):
    reward, cache = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    dout = normal(case.rng, reward.dtype)(*reward.shape)
    grads, ln = reward_model.rewards_backward(dout, cache)["body"]["ln"], case.params["body"]["ln"]
    equal((grads["weight"], ln["weight"]), (grads["bias"], ln["bias"]), (dout, reward))


# ---- Structural zeros: gradients that are zero whatever the weights, each with its reason


@given(cases())
def test_a_constant_in_every_reward_has_no_gradient(case):
    """Only the margin counts: the loss's slopes along chosen and rejected cancel exactly, pair by pair"""
    _, cache = reward_model.pairwise_loss(*normal(case.rng, np.float64)(2, len(case.tokens)))
    dchosen, drejected = reward_model.pairwise_loss_backward(1.0, cache)
    assert_bitwise(dchosen + drejected, np.zeros_like(dchosen))


@given(cases())
def test_the_bias_of_the_last_layer_norm_has_no_gradient(case):
    """It adds head·bias to every reward alike, and only the margin counts"""
    _, grads, _ = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    bias = grads["body"]["ln"]["bias"]
    assert_agree(bias, np.zeros_like(bias), SUM, scale=largest(case.params["head"]) * len(case.tokens))


@given(cases())
def test_absent_words_and_unused_positions_have_exactly_no_gradient(case):
    """No row of the table was read, so nothing depends on it; the last position of the table is never reached"""
    _, grads, _ = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    tok, pos = grads["body"]["tok"]["weight"], grads["body"]["pos"]["weight"]
    absent = ~np.isin(np.arange(len(tok)), case.tokens)
    assert absent.any()
    assert not tok[absent].any()
    assert not pos[case.tokens.shape[-1] :].any()


@given(cases())
def test_words_in_the_padding_have_exactly_no_gradient(case):
    """No position sees a later one, and nothing reads the padding, so even the pad id's own row has no gradient"""
    pad = len(case.params["body"]["tok"]["weight"]) - 1  # the word that no case contains
    behind = np.arange(case.tokens.shape[-1]) >= case.length[..., None]
    tokens = np.where(behind, pad, case.tokens)
    _, grads, _ = reward_model.loss_and_grads(case.params, tokens, case.length, case.n_head)
    assert not grads["body"]["tok"]["weight"][pad].any()
    assert not grads["body"]["pos"]["weight"][case.length.max() :].any()


@given(cases(dtype=np.float64))
def test_a_later_word_has_no_influence_on_an_earlier_position(case):
    """The whole body is causal: if only the first positions have a gradient, later words receive zeros"""
    tokens, body = np.arange(case.tokens.shape[-1])[None], case.params["body"]
    assert tokens.max() < len(body["tok"]["weight"])
    h, cache = transformer.transformer(tokens, **body, n_head=case.n_head)
    for seen in range(1, tokens.size):
        dout = normal(case.rng, np.float64)(*h.shape)
        dout[:, seen:] = 0
        grads = transformer.transformer_backward(dout, cache)
        assert not grads["tok"]["weight"][seen : tokens.size].any()
        assert not grads["pos"]["weight"][seen:].any()


# ---- Pairs


@given(cases())
def test_identical_responses_have_no_gradient_at_all(case):
    """-1/2 along one and +1/2 along the other cancel, up to rounding by the order of the sums"""
    tokens, length = case.tokens[:, [0, 0]], case.length[:, [0, 0]]
    loss, grads, _ = reward_model.loss_and_grads(case.params, tokens, length, case.n_head)
    assert_agree(loss, np.log(np.asarray(2, loss.dtype)), n=4, scale=1)
    terms = largest_terms(case._replace(tokens=tokens, length=length))
    for leaf in flatten(grads).values():
        assert_agree(leaf, np.zeros_like(leaf), SUM, scale=terms)


@given(cases())
def test_an_identical_pair_has_exactly_no_gradient_at_the_head(case):
    """It is the sum of a product and its negative, which is 0, bit for bit"""
    tokens, length = case.tokens[:1, [0, 0]], case.length[:1, [0, 0]]
    _, grads, _ = reward_model.loss_and_grads(case.params, tokens, length, case.n_head)
    assert_bitwise(grads["head"]["weight"], np.zeros_like(grads["head"]["weight"]))


@given(cases())
def test_swapping_chosen_and_rejected_turns_the_gradient_by_the_odds(case):
    """d loss = -σ(-Δ) dΔ: swapped it is σ(Δ) dΔ, so that for one pair both gradients together are dΔ"""
    tokens, length = case.tokens[:1], case.length[:1]
    _, grads, reward = reward_model.loss_and_grads(case.params, tokens, length, case.n_head)
    _, swapped, _ = reward_model.loss_and_grads(case.params, tokens[:, ::-1], length[:, ::-1], case.n_head)
    _, cache = reward_model.rewards(tokens, length, **case.params, n_head=case.n_head)
    dmargin = reward_model.rewards_backward(np.array([[1, -1]], reward.dtype), cache)
    terms = largest_terms(case)
    for name, leaf in flatten(tree_map(lambda a, b: b - a, grads, swapped)).items():
        assert_agree(leaf, flatten(dmargin)[name], SUM, scale=terms)


@given(cases())
def test_a_batch_repeated_has_the_same_loss_and_the_same_gradient(case):
    """1/B: twice as many pairs, each with half the weight"""
    tokens, length = np.concatenate([case.tokens] * 2), np.concatenate([case.length] * 2)
    loss, grads, _ = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    loss2, grads2, reward2 = reward_model.loss_and_grads(case.params, tokens, length, case.n_head)
    assert_agree(loss2, loss, SUM, scale=1 + largest(reward2))
    terms = largest_terms(case)
    for name, leaf in flatten(grads).items():
        assert_agree(flatten(grads2)[name], leaf, SUM, scale=terms)


@pytest.mark.parametrize("factor", [0.5, -2.0])
@given(cases())
def test_a_backward_pass_is_linear_in_its_cotangent(factor, case):
    """Powers of two only scale, so that it holds bit for bit"""
    reward, cache = reward_model.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    dout = normal(case.rng, reward.dtype)(*reward.shape)
    once, scaled = (reward_model.rewards_backward(f * dout, cache) for f in (1, factor))
    assert_bitwise(scaled, tree_map(lambda leaf: factor * leaf, once))
