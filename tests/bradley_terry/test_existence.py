"""Ford's condition: when strengths exist, and what the message says if they do not."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref import bradley_terry
from numpy_ref.bradley_terry.answer import NoEstimate
from numpy_ref.bradley_terry.existence import describe, describe_groups, groups_of, name_group, strong_groups, walk
from numpy_ref.bradley_terry.mm import fit_mm
from numpy_ref.bradley_terry.strengths import fit
from numpy_ref.bradley_terry.win_counts import pairs_of_games, pairs_of_rows


@st.composite
def arrows(draw):
    n = draw(st.integers(2, 8))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    drawn = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=14))
    winner, loser = np.array(drawn).T
    return winner, loser, n


def closure(winner, loser, n):
    """Who reaches whom, by powers of the adjacency matrix"""
    reach = np.eye(n, dtype=int)
    np.maximum.at(reach, (winner, loser), 1)
    for _ in range(n):
        reach = (reach @ reach > 0).astype(int)
    return reach.astype(bool)


@given(arrows())
def test_groups_are_the_classes_of_mutual_reach_strongest_first(case):
    winner, loser, n = case
    reach, groups = closure(*case), strong_groups(*case)
    assert sorted(np.concatenate(groups).tolist()) == list(range(n))
    group_of = np.empty(n, int)
    for k, group in enumerate(groups):
        group_of[group] = k
    np.testing.assert_array_equal(group_of[:, None] == group_of, reach & reach.T)
    assert (group_of[winner] <= group_of[loser]).all()


@given(arrows())
def test_walking_every_arrow_finds_the_same_groups(case):
    winner, loser, n = case
    found = {frozenset(group) for group in walk(winner, loser, n)}
    assert found == {frozenset(group.tolist()) for group in strong_groups(*case)}


@given(arrows())
def test_one_group_is_fords_condition(case):
    """However the items are split in two, each part has beaten the other"""
    winner, loser, n = case
    splits = (set(part) for size in range(1, n) for part in combinations(range(n), size))
    games = list(zip(winner.tolist(), loser.tolist(), strict=True))
    ford = all(any(won in part and lost not in part for won, lost in games) for part in splits)
    fitted = fit(pairs_of_games(*case))
    assert (len(fitted.groups) == 1) == ford
    assert fitted.converged == ford
    assert np.isfinite(fitted.strength).all() == ford


@pytest.mark.parametrize("n", [20, 200, 3000])
def test_a_long_circle_hangs_together_and_a_long_chain_does_not(n):
    """They have more links than the whole-array passes follow"""
    ring = np.arange(n), (np.arange(n) + 1) % n
    assert len(strong_groups(*ring, n)) == 1
    chain = np.arange(n - 1), np.arange(1, n)
    assert [group.tolist() for group in strong_groups(*chain, n)] == [[i] for i in range(n)]


def test_a_sample_of_the_rows_decides_nothing_that_all_rows_would_not():
    """One undefeated item among very many games splits the samples and the whole; one more game connects them"""
    n, rng = 250, np.random.default_rng(0)
    winner = rng.integers(1, n, 100_000)
    loser = 1 + (winner - 1 + rng.integers(1, n - 1, 100_000)) % (n - 1)
    winner, loser = np.append(winner, [0, 0]), np.append(loser, [3, 4])
    pairs = pairs_of_games(winner, loser)
    assert len(pairs.first) > 64 * n
    assert [len(group) for group in groups_of(pairs)] == [1, n - 1]
    healed = pairs_of_games(np.append(winner, n - 1), np.append(loser, 0))
    assert len(groups_of(healed)) == 1


# A never lost; B, C, D beat each other in a circle; E and F met only each other; G met nobody
ITEMS = "ABCDEFG"
BROKEN = pairs_of_rows([0, 0, 1, 2, 3, 4], [1, 2, 2, 3, 1, 5], [3, 1, 2, 1, 1, 2], [0, 0, 1, 1, 0, 1], n_items=7)


def test_where_no_estimate_exists_the_groups_are_named_and_no_number_is_given():
    fitted = fit(BROKEN)
    assert not fitted.converged
    assert np.isnan([*fitted.strength, fitted.log_likelihood, fitted.deviance, fitted.decrement]).all()
    assert "Ford" in fitted.problem
    assert set(describe_groups(fitted.groups, BROKEN, ITEMS)) == {
        "A never lost to B and C",
        "B, C and D never beat A",
        "E and F never met the others",
        "G never met the others",
    }
    assert np.isnan(fit_mm(BROKEN).strength).all()


@given(arrows())
def test_the_sentences_are_those_of_a_search_by_hand(case):
    """For each group, plain sets say which outsiders it beat and which beat it; 7 of 8 items are not listed by name"""
    winner, loser, n = case
    games, groups = list(zip(winner.tolist(), loser.tolist(), strict=True)), strong_groups(*case)
    for group, sentence in zip(groups, describe(groups, winner, loser, ITEMS + "H"), strict=True):
        members = set(group.tolist())
        beaten = sorted({b for a, b in games if a in members and b not in members})
        beaten_by = sorted({a for a, b in games if b in members and a not in members})
        names = [("never lost to", beaten), ("never beat", beaten_by)]
        said = " and ".join(f"{verb} {listed(some)}" for verb, some in names if some) or "never met the others"
        who = f"the {len(group)} other items" if len(group) > 6 and n > len(group) else listed(group)
        if len(groups) > 1:
            assert sentence == f"{who} {said}"


def listed(items):
    """A, B and C; at most six of them"""
    names = [(ITEMS + "H")[i] for i in items]
    if len(names) > 6:
        return f"{', '.join(names[:6])} and {len(names) - 6} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@pytest.mark.parametrize(
    ("extra", "sentences"),
    [
        ([(0, 3)], ["0 never lost to 3", "the 199 other items never beat 0"]),
        ([(3, 0)], ["the 199 other items never lost to 0", "0 never beat 3"]),
        (
            [(0, k) for k in range(3, 12)],
            ["0 never lost to 3, 4, 5, 6, 7, 8 and 3 more", "the 199 other items never beat 0"],
        ),
        ([], ["0 never met the others", "the 199 other items never met the others"]),
    ],
)
def test_of_200_items_only_the_few_at_fault_are_named(extra, sentences):
    ring = np.arange(1, 200)
    games = np.array([*zip(ring.tolist(), np.roll(ring, 1).tolist(), strict=True), *extra])
    pairs = pairs_of_games(*games.T, 200)
    assert set(describe_groups(fit(pairs).groups, pairs, range(200))) == set(sentences)


def test_a_ridge_gives_what_the_data_alone_do_not():
    fitted = fit(BROKEN, ridge=1.0)
    assert fitted.converged
    assert fitted.strength[0] == fitted.strength.max()
    assert abs(fitted.strength[6]) < 1e-12
    assert len(fitted.groups) == 4


def test_ties_hold_items_together():
    pairs = pairs_of_rows([0, 1, 0], [1, 2, 2], [1, 1, 1], [0, 0, 0], [0, 0, 1])
    assert len(groups_of(pairs)) == 1
    assert fit(pairs, ties="half").converged
    assert len(fit(pairs, ties="drop").groups) == 3


@pytest.mark.parametrize(
    ("pairs", "options"),
    [
        (pairs_of_rows([0, 1, 2], [1, 2, 0], [3, 3, 1], [0, 0, 0], ordered=True), {"home": True}),  # only hosts win
        (pairs_of_rows([0, 0], [1, 2], [3, 3], [1, 2], ordered=True), {"home": True}),  # 0 is always the host
        (pairs_of_rows([0, 1], [1, 2], [0, 0], [0, 0], [3, 2]), {"ties": "davidson"}),  # nothing but ties
        (pairs_of_rows([0, 1], [1, 2], [0, 0], [0, 0], [3, 2]), {"ties": "rao-kupper"}),
        (pairs_of_rows([0, 1, 0], [1, 2, 2], [1, 0, 0], [0, 0, 0], [0, 1, 1]), {"ties": "davidson"}),  # ν without bound
        (pairs_of_rows([0, 2], [1, 1], [0, 1], [4, 0], [8, 5]), {"ties": "davidson"}),  # once called converged, at 37
    ],
)
def test_an_effect_without_bound_is_no_estimate_either(pairs, options):
    fitted = fit(pairs, **options)
    assert len(fitted.groups) == 1
    assert not fitted.converged
    assert np.isnan(fitted.strength).all()
    assert fitted.problem


def test_long_groups_are_cut():
    assert name_group(np.arange(9), list("ABCDEFGHI")) == "A, B, C, D, E, F and 3 more"
    assert name_group(np.array([2]), list("ABC")) == "C"


@pytest.mark.parametrize(("n", "end"), [(5, "4 never beat 3"), (6, "and 1 more group"), (7, "and 2 more groups")])
def test_of_many_groups_the_first_five_are_described(n, end):
    with pytest.raises(NoEstimate) as raised:
        bradley_terry.fit([(k, k + 1) for k in range(n - 1)])
    assert str(raised.value).endswith(end)


def test_long_names_are_cut_in_a_sentence():
    with pytest.raises(NoEstimate) as raised:
        bradley_terry.fit([("a" * 300, "b" * 300)])
    assert "a" * 39 + "… never lost to " + "b" * 39 + "…;" in str(raised.value)
