"""Texts become arrays without a loss, in an order that only the seed and the step decide."""

from collections import Counter

import numpy as np
import pytest
from compare import assert_agree
from hypothesis import example, given
from hypothesis import strategies as st
from listed import encode
from strategies import seeds

from numpy_ref.batches import all_rewards, batch_indices, collate, steps_per_epoch
from numpy_ref.data.reader import Preference
from numpy_ref.data.tokenizer import PAD, Bytes
from numpy_ref.reward_model import init_params, rewards
from numpy_ref.tree import tree_map

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
preferences = st.builds(Preference, texts, st.tuples(texts, texts), st.floats(-3, 3), st.just((1, 2)))


def size(preference, response):
    return 3 + len((preference.prompt + response).encode())


@given(rows=st.lists(preferences, max_size=8), max_length=st.integers(4, 30))
@example(rows=[Preference("p", ("a", "a"), 1.0), Preference("p", ("a", "b"), 2.0)], max_length=5)
@example(rows=[Preference("", ("aa", "aa"), 1.0)], max_length=4)  # too long counts before identical
def test_pairs_too_long_or_identical_are_left_out_and_counted(rows, max_length):
    encoded = encode(Bytes(), rows, max_length)
    short = [row for row in rows if max(size(row, text) for text in row.responses) <= max_length]
    kept = [row for row in short if row.responses[0] != row.responses[1]]
    assert encoded.kept == kept
    assert encoded.too_long == len(rows) - len(short)
    assert encoded.identical == len(short) - len(kept)
    assert encoded.rows == [[Bytes().encode(row.prompt, text) for text in row.responses] for row in kept]
    np.testing.assert_array_equal(encoded.margin, [row.margin for row in kept])


ragged = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=k, max_size=k), min_size=1, max_size=5
    )
)


@given(rows=ragged)
def test_collated_rows_come_back_by_their_lengths(rows):
    """Rows may hold the pad id themselves, because the length says where the end is"""
    tokens, length = collate(rows)
    B, K, T = tokens.shape
    assert (B, K) == length.shape == (len(rows), len(rows[0]))
    assert max(len(ids) for row in rows for ids in row) == T
    for b, row in enumerate(rows):
        for k, ids in enumerate(row):
            assert tokens[b, k, : length[b, k]].tolist() == ids
            assert (tokens[b, k, length[b, k] :] == PAD).all()
    assert tokens.dtype == length.dtype == np.int64


@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), seed=seeds, epoch=st.integers(0, 4))
@example(n=10, batch_size=4, seed=0, epoch=1)
def test_every_epoch_visits_each_prompt_once(n, batch_size, seed, epoch):
    per_epoch = steps_per_epoch(n, batch_size)
    batches = [batch_indices(epoch * per_epoch + i, n, batch_size, seed) for i in range(per_epoch)]
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches[-1]) == (n - 1) % batch_size + 1  # the last one may be smaller, never empty


def test_the_order_is_a_function_of_seed_and_step_alone():
    """Asked backwards, twice and among other seeds, the answer is the same, so a resumed run goes on unchanged"""
    forwards = [batch_indices(step, 20, 6, 3).tolist() for step in range(12)]
    for step in reversed(range(12)):
        batch_indices(step, 20, 6, 4)
        assert batch_indices(step, 20, 6, 3).tolist() == forwards[step]
    epochs = [[i for batch in forwards[start : start + 4] for i in batch] for start in (0, 4, 8)]
    assert len({tuple(epoch) for epoch in epochs}) == 3, "each epoch has an order of its own"
    assert forwards != [batch_indices(step, 20, 6, 4).tolist() for step in range(12)]


@pytest.fixture(scope="module")
def score():
    rng = np.random.default_rng(0)
    params = init_params(rng, vocab_size=10, n_positions=8, n_embd=8, n_layer=2)
    params = tree_map(lambda leaf: 0.6 * rng.standard_normal(leaf.shape), params)
    return lambda tokens, length: rewards(tokens, length, **params, n_head=2)[0]


@given(rows=ragged, max_tokens=st.integers(1, 80), data=st.data())
@example(rows=[[[1], [2, 3]]], max_tokens=1, data=None)  # a prompt beyond max_tokens is a chunk of its own
def test_all_rewards_are_those_of_one_prompt_at_a_time(score, rows, max_tokens, data):
    order = data.draw(st.permutations(range(len(rows)))) if data else [0]
    alone = np.concatenate([score(*collate([row])) for row in rows])
    together = all_rewards(score, [rows[i] for i in order], max_tokens)
    assert_agree(together, alone[order], 100, max(1.0, abs(alone).max()))


def test_all_rewards_keeps_its_promise_of_bounded_memory():
    rng = np.random.default_rng(0)
    rows = [[[1] * n, [1] * int(rng.integers(1, n + 1))] for n in rng.integers(1, 9, 40)]
    seen = Counter()

    def spy(tokens, length):
        seen[tokens.size <= 50 or len(tokens) == 1] += 1
        return length.astype(float)

    found = all_rewards(spy, rows, max_tokens=50)
    assert found.tolist() == [[len(a), len(b)] for a, b in rows]
    assert seen[False] == 0
    assert seen[True] < len(rows) / 2


@given(st.lists(st.lists(st.lists(st.integers(4, 6), min_size=1, max_size=3), min_size=1, max_size=3), min_size=1))
def test_a_text_that_stands_in_many_lists_is_run_once(rows):
    """Whichever batches it is in, it is run once and so has one reward"""
    run = []

    def rewards(tokens, length):
        run.extend(tuple(ids[: n[0]]) for (ids,), n in zip(tokens.tolist(), length, strict=True))
        return np.array([[hash(ids) % 1000] for ids in run[-len(tokens) :]], float)

    out = all_rewards(rewards, rows, max_tokens=7)
    assert sorted(run) == sorted({tuple(ids) for row in rows for ids in row})
    for row, found in zip(rows, out, strict=True):
        assert found[: len(row)].tolist() == [hash(tuple(ids)) % 1000 for ids in row]
        assert not found[len(row) :].any()
