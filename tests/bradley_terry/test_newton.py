"""Newton's method and conjugate gradients, on functions whose maximum is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_ref.bradley_terry.newton import Terms, conjugate_gradients, newton
from numpy_ref.bradley_terry.strengths import fit
from numpy_ref.bradley_terry.win_counts import pairs_of_rows


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_conjugate_gradients_solve(n, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n + 3))
    a, exact = root @ root.T, rng.normal(size=n)
    x = conjugate_gradients(lambda v: a @ v, lambda r: r / np.diag(a), a @ exact, 1e-14, lambda r: r)
    np.testing.assert_allclose(x, exact, rtol=0, atol=1e-13 * np.linalg.cond(a) * 10)


def test_conjugate_gradients_stop_where_the_matrix_is_singular():
    a = np.array([[1.0, -1], [-1, 1]])
    np.testing.assert_array_equal(
        conjugate_gradients(lambda v: a @ v, lambda r: r, np.zeros(2), 1e-9, lambda r: r), [0, 0]
    )
    np.testing.assert_allclose(
        conjugate_gradients(lambda v: a @ v, lambda r: r, np.array([1.0, -1]), 1e-9, lambda r: r), [0.5, -0.5]
    )


def log_barrier(x):
    """l = Σ log x - x, with its maximum at 1 and nothing below 0"""
    return Terms((np.log(x) - x).sum(), 1 / x - 1, lambda v: v / x**2, 1 / x**2)


@pytest.mark.parametrize("start", [1e-3, 0.5, 1.9, 30.0])
def test_newton_finds_the_summit_and_stays_inside(start):
    x, certificate, here = newton(log_barrier, np.full(3, start), 1e-12, 60, inside=lambda x: (x > 0).all())
    np.testing.assert_allclose(x, 1, rtol=0, atol=1e-12)
    assert certificate["converged"]
    assert here.value == -3


def test_newton_does_not_call_a_slope_that_fades_a_summit():
    """l = -e⁻ˣ climbs for ever: the decrement tends to 0, but each step is as long as the one before"""
    x, certificate, _ = newton(
        lambda x: Terms(-np.exp(-x).sum(), np.exp(-x), lambda v: np.exp(-x) * v, np.exp(-x)), np.zeros(2), 1e-8, 60
    )
    assert certificate["decrement"] < 1e-8
    assert not certificate["converged"]
    assert (x > 40).all()


def test_newton_reports_the_decrement_of_the_point_it_returns():
    x, certificate, here = newton(log_barrier, np.array([0.5]), 1e-3, 60)
    gradient, curvature = here.gradient, here.diagonal
    np.testing.assert_allclose(certificate["decrement"], np.sqrt((gradient**2 / curvature).sum()), rtol=1e-12)
    np.testing.assert_allclose(certificate["gradient_norm"], abs(1 / x - 1).max(), rtol=1e-9)


def sparse_table(seed, home=False):
    """A random tree of fewer than 120 items and a few more pairs; counts are 1000 to 1 either way, or even"""
    rng = np.random.default_rng(seed)
    n = rng.integers(5, 120)
    extra = rng.integers(0, n // 3 + 1)
    child, other = np.arange(1, n), rng.integers(0, n, extra)
    first = np.concatenate([child, other])
    parent = np.where(rng.random(n - 1) < 0.5, child - 1, rng.integers(0, child))
    second = np.concatenate([parent, (other + rng.integers(1, n, extra)) % n])
    wins, losses = rng.choice([[1000, 1], [1, 1000], [1000, 1000]], len(first), p=[0.5, 0.25, 0.25]).T
    return pairs_of_rows(first, second, wins, losses, 0, n, at_home=rng.integers(-1, 2, len(first)) if home else None)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_sparse_and_lopsided_tables_are_fitted(seed):
    """Curvatures of one table differ by up to 1e15: conjugate gradients fail, elimination does not"""
    fitted = fit(sparse_table(seed))
    assert fitted.converged, fitted.problem
    # Elimination may stop at 1e-10 standard errors. An item has up to about 2,500 games of curvature 1/4, so the
    # gradient is at most 1e-10 · 25. The largest in 300 tables was 4.6e-10, at 1e-11 standard errors.
    assert fitted.gradient_norm < 2.5e-9
