"""Agreement beyond chance: published values, chance itself, and standard errors against the bootstrap."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpy_ref.errors import InputError
from numpy_ref.evaluation.agreement import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    label_credit,
    percent_agreement,
    same_length,
)
from numpy_ref.evaluation.intervals import bootstrap_interval

PANDALM = Path(__file__).resolve().parents[3] / "shared" / "data" / "pandalm_annotators.csv"
NAN = np.nan
# Krippendorff 2011, four observers and twelve units; Fleiss 1971-like table of ten items and fourteen raters
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
FOURTEEN = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip
labels = st.integers(1, 40).flatmap(lambda n: hnp.arrays(np.int64, (2, n), elements=st.integers(0, 3)))


@pytest.mark.skipif(not PANDALM.exists(), reason="data: pandalm_annotators.csv is not here")
def test_pandalm_annotators_as_published():
    ratings = np.loadtxt(PANDALM, delimiter=",", skiprows=1, dtype=int)[:, 1:].T
    found = [cohen_kappa(ratings[i], ratings[j])[0] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert [round(kappa, 3) for kappa in found] == [0.852, 0.879, 0.862]


def test_two_annotators_keep_their_order():
    first, second = same_length([1, 2], [3, 4])
    assert (first.tolist(), second.tolist()) == ([1, 2], [3, 4])


def test_published_values():
    first, second = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [20, 5, 10, 15], axis=0).T
    np.testing.assert_allclose(cohen_kappa(first, second)[0], 0.4, rtol=1e-14)
    np.testing.assert_allclose(fleiss_kappa(FOURTEEN)[0], 0.210, atol=5e-4)
    for level, alpha in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        np.testing.assert_allclose(krippendorff_alpha(OBSERVERS, level), alpha, atol=5e-4)


@given(labels, st.sampled_from([None, "linear", "quadratic"]))
def test_kappa_is_one_minus_observed_over_expected_disagreement(ratings, weights):
    """Counted pair by pair: observed over the items, expected over all pairs of a label of each rater"""
    first, second = ratings
    assume(len(np.unique(ratings)) > 1)
    place = np.searchsorted(np.unique(ratings), ratings)
    power = {None: 0, "linear": 1, "quadratic": 2}[weights]

    def apart(a, b):
        return (a != b).astype(float) if power == 0 else abs(a - b).astype(float) ** power

    expected = apart(place[0][:, None], place[1]).mean()
    kappa, error = cohen_kappa(first, second, weights)
    np.testing.assert_allclose(kappa, 1 - apart(*place).mean() / expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(cohen_kappa(second, first, weights), [kappa, error], rtol=0, atol=1e-7)
    assert kappa <= 1 + 1e-12


@given(labels)
def test_kappa_standard_error_is_the_delta_method(ratings):
    """√ Σ influence² / n, the influence of an item being the slope of kappa as its weight grows"""
    first, second = ratings
    n = len(first)
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1 / n)

    def kappa(p):
        p = p / p.sum()
        expected = p.sum(0) @ p.sum(1)
        return (np.trace(p) - expected) / (1 - expected)

    assume(len(np.unique(ratings)) > 1)
    slopes = np.zeros((4, 4))
    for cell in np.ndindex(4, 4):
        step = np.zeros((4, 4), complex)
        step[cell] = 1e-20j
        slopes[cell] = kappa(table + step).imag / 1e-20
    variance = ((table * slopes**2).sum() - (table * slopes).sum() ** 2) / n
    np.testing.assert_allclose(cohen_kappa(first, second)[1], np.sqrt(max(variance, 0)), rtol=0, atol=1e-7)


@pytest.mark.parametrize("items", [10, 4])
def test_fleiss_kappa_standard_error_is_the_delta_method(items):
    """√ Σ influence² / (n (n - 1)), the influence of an item being the slope of kappa as its weight grows"""
    counts = FOURTEEN[-items:]
    agreement, share = (counts * (counts - 1)).sum(1) / (14 * 13), counts / 14

    def kappa(weight):
        weight = weight / weight.sum()
        expected = ((weight @ share) ** 2).sum()
        return (weight @ agreement - expected) / (1 - expected)

    slopes = items * np.array([kappa(np.ones(items) + 1e-20j * item).imag / 1e-20 for item in np.eye(items)])
    value, error = fleiss_kappa(counts)
    np.testing.assert_allclose(value, kappa(np.ones(items)), rtol=1e-12)
    np.testing.assert_allclose(error, np.sqrt((slopes**2).sum() / (items * (items - 1))), rtol=1e-12)


def test_credit_for_labels_of_three_of_two_and_of_one():
    np.testing.assert_array_equal(label_credit(3, None), np.eye(3))
    np.testing.assert_array_equal(label_credit(3, "linear"), [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]])
    np.testing.assert_array_equal(label_credit(3, "quadratic"), [[1, 0.75, 0], [0.75, 1, 0.75], [0, 0.75, 1]])
    for weights in ("linear", "quadratic"):
        np.testing.assert_array_equal(label_credit(2, weights), np.eye(2))
        np.testing.assert_array_equal(label_credit(1, weights), [[1]])


def test_quadratic_weights_are_what_two_labels_do_not_need():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, (2, 50))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa(first, second, "quadratic"), abs=1e-12)


def test_chance_is_zero_and_agreement_is_one():
    rng = np.random.default_rng(1)
    ratings = rng.integers(0, 3, (4, 20_000))
    counts = (ratings[:, :, None] == np.arange(3)).sum(0)
    assert abs(cohen_kappa(ratings[0], ratings[1])[0]) < 0.03
    assert abs(fleiss_kappa(counts)[0]) < 0.01
    for level in ("nominal", "ordinal", "interval"):
        assert abs(krippendorff_alpha(ratings, level)) < 0.01
        assert krippendorff_alpha(ratings[[0, 0, 0]], level) == 1
    assert cohen_kappa(ratings[0], ratings[0]) == pytest.approx((1, 0), abs=1e-12)
    assert fleiss_kappa(4 * np.eye(3)) == pytest.approx((1, 0), abs=1e-12)
    assert percent_agreement(ratings[0], ratings[0]) == (1, 0)


def test_fleiss_kappa_of_two_is_scotts_pi_and_alpha_is_close():
    rng = np.random.default_rng(2)
    first = rng.integers(0, 3, 500)
    second = np.where(rng.random(500) < 0.6, first, rng.integers(0, 3, 500))
    counts = (np.stack([first, second])[:, :, None] == np.arange(3)).sum(0)
    kappa = fleiss_kappa(counts)[0]
    pooled = counts.sum(0) / 1000
    np.testing.assert_allclose(kappa, ((first == second).mean() - pooled @ pooled) / (1 - pooled @ pooled), rtol=1e-12)
    # Krippendorff's correction for small samples: 1 - alpha = (1 - pi) (2 n - 1) / (2 n)
    np.testing.assert_allclose(1 - krippendorff_alpha([first, second]), (1 - kappa) * 999 / 1000, rtol=1e-12)


def test_missing_ratings_are_as_if_never_asked():
    alone = np.array([[NAN, 3], [5, NAN], [NAN, NAN], [NAN, NAN]])
    for level in ("nominal", "ordinal", "interval"):
        with_singles = krippendorff_alpha(np.hstack([OBSERVERS, alone]), level)
        np.testing.assert_allclose(with_singles, krippendorff_alpha(OBSERVERS, level), rtol=1e-14)
        np.testing.assert_allclose(with_singles, krippendorff_alpha(OBSERVERS[::-1, ::-1], level), rtol=1e-12)
    np.testing.assert_allclose(  # an interval scale has neither unit nor zero
        krippendorff_alpha(3 - 2 * OBSERVERS, "interval"), krippendorff_alpha(OBSERVERS, "interval"), rtol=1e-12
    )
    np.testing.assert_allclose(  # an ordinal scale knows only the order
        krippendorff_alpha(np.exp(OBSERVERS), "ordinal"), krippendorff_alpha(OBSERVERS, "ordinal"), rtol=1e-12
    )


def test_standard_errors_agree_with_the_bootstrap():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 400)
    ratings = np.where(rng.random((3, 400)) < 0.7, truth, rng.integers(0, 3, (3, 400)))
    statistics = [
        lambda r: percent_agreement(r[0], r[1]),
        lambda r: cohen_kappa(r[0], r[1], "linear"),
        lambda r: fleiss_kappa((r[:, :, None] == np.arange(3)).sum(0)),
    ]
    for statistic in statistics:
        value, error = statistic(ratings)
        low, high, undefined = bootstrap_interval(lambda r, f=statistic: f(r)[0], ratings, rng, 1000)
        assert undefined == 0
        assert low < value < high
        np.testing.assert_allclose(
            (high - low) / 2, 1.96 * error, rtol=0.12
        )  # 1000 resamples: a quantile's error is 5 %


@pytest.mark.parametrize(
    ("options", "quantiles"), [({}, [0.025, 0.975]), ({"resamples": 300, "level": 0.5}, [0.25, 0.75])]
)
def test_the_interval_is_the_middle_of_what_was_found(options, quantiles):
    items, found = np.array([[1.0, 2, 4, 8, 16]]), []

    def statistic(drawn):
        assert drawn.shape == items.shape
        found.append(drawn.mean())
        seen.update(drawn[0])
        return found[-1]

    seen = set()
    low, high, undefined = bootstrap_interval(statistic, items, np.random.default_rng(0), **options)
    np.testing.assert_allclose([low, high], np.quantile(found, quantiles), rtol=1e-13)  # (1 - 0.95)/2 is not 0.025
    assert (len(found), undefined) == (options.get("resamples", 1000), 0)
    assert seen == set(items[0])


def test_resamples_where_nobody_could_disagree_are_counted():
    ratings = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 1]])
    low, high, undefined = bootstrap_interval(krippendorff_alpha, ratings, np.random.default_rng(0), 300)
    assert (low, high) == (1, 1)
    assert 60 < undefined < 140  # (4/5)⁵ and (1/5)⁵ of 300 are 98


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cohen_kappa([0, 1, np.nan], [0, 1, 1]), "item 2 has the label NaN"),
        (lambda: percent_agreement([0, 1.0], [np.nan, 1]), "item 0 has the label NaN"),
        (lambda: cohen_kappa(["a", np.nan, "b"], ["a", "b", "b"]), "item 1 has the label NaN"),
        (lambda: cohen_kappa(["a", "b"], ["a", None]), "item 1 has the label NaN"),
        (lambda: cohen_kappa([1, 1], [1, 1]), "one label"),
        (lambda: cohen_kappa([1, 2], [1]), "expected one length"),
        (lambda: cohen_kappa([], []), "not 0"),
        (lambda: cohen_kappa([1, 2], [1, 2], "cubic"), "cubic"),
        (lambda: fleiss_kappa([[2, 0], [2, 1]]), "same number of annotators, .* with 2 to 3 annotators"),
        (lambda: fleiss_kappa([[2, 0], [2, 0]]), "same label"),
        (lambda: krippendorff_alpha([[1, NAN], [NAN, 1]]), "at least two ratings"),
        (lambda: krippendorff_alpha([[1, 1], [1, 1]]), "every rating is 1"),
        (lambda: krippendorff_alpha([[1, 2], [1, 1]], "ratio"), "ratio"),
    ],
)
def test_what_has_no_value_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
