"""What a fit returns: degrees of freedom of each model, and which effects it has."""

import math

import pytest

from numpy_ref.bradley_terry.strengths import fit
from numpy_ref.bradley_terry.win_counts import pairs_of_rows

PAIRS = pairs_of_rows([0, 0, 1, 1], [1, 2, 2, 0], [5, 4, 6, 2], [3, 3, 1, 1], [2, 5, 4, 3], ordered=True)  # four rows


@pytest.mark.parametrize(
    ("home", "ties", "ridge", "freedom"),
    [
        (False, "drop", 0.0, 4 * 1 - 2),
        (True, "drop", 0.0, 4 * 1 - 3),
        (False, "davidson", 0.0, 4 * 2 - 3),
        (True, "rao-kupper", 0.0, 4 * 2 - 4),
        (False, "half", 0.5, None),
        (False, "davidson", 0.5, None),
    ],
)
def test_degrees_of_freedom(home, ties, ridge, freedom):
    """One free share of outcomes for each row, two with ties, minus the parameters; the common shift is not one"""
    fitted = fit(PAIRS, home, ties, ridge)
    assert fitted.degrees_of_freedom == freedom
    assert (fitted.home is not None) == home
    assert (fitted.tie is not None) == (ties in ("davidson", "rao-kupper"))


def test_the_deviance_of_a_saturated_model_is_zero():
    """Two items, one row: the strengths give back the share of wins"""
    fitted = fit(pairs_of_rows([0], [1], [3], [1]))
    assert abs(fitted.deviance) <= 1e-13
    assert abs(fitted.log_likelihood - (3 * math.log(3 / 4) + math.log(1 / 4))) <= 1e-14


def test_without_an_estimate_no_number_stands():
    fitted = fit(pairs_of_rows([0, 0], [1, 1], [3, 0], [0, 0], [0, 1], at_home=[1, -1]), home=True)
    assert fitted.problem
    assert math.isnan(fitted.home)
    assert math.isnan(fitted.tie)
    assert fit(pairs_of_rows([0], [1], [3], [0])).home is None
    assert fit(pairs_of_rows([0], [1], [3], [0])).tie is None
    assert (fitted.iterations, fitted.degrees_of_freedom) == (0, 0)
