"""The search for inputs on which a property fails, by Hypothesis."""

import contextlib
import functools
import math
from typing import Any

import numpy as np

from ..errors import InputError

EXAMPLES = 25  # inputs tried for a property


class Refuted(Exception):
    """A property fails on these arguments"""

    def __init__(self, arguments, sentence, expected="", got=""):
        super().__init__(sentence)
        self.arguments, self.sentence, self.expected, self.got = arguments, sentence, expected, got


class Enough(BaseException):
    """The property's share of the time is used up: what was found until then counts"""


class Draw:
    """How cases pick their inputs (check_cases.py); Hypothesis draws"""

    def __init__(self, draw, strategies):
        self.draw, self.st = draw, strategies

    def size(self, low, high):
        return self.draw(self.st.integers(low, high))

    def choice(self, options):
        return self.draw(self.st.sampled_from(options))

    def integers(self, shape, low, high):
        size = math.prod(shape)
        drawn = self.draw(self.st.lists(self.st.integers(low, high), min_size=size, max_size=size))
        return np.array(drawn, np.int64).reshape(shape)

    def numbers(self, shape, low, high, step=0.125):
        return self.integers(shape, math.ceil(low / step), math.floor(high / step)) * step


def search(cases, body, shrink=True):
    """body(arguments) on inputs drawn from `cases`; the last Refuted that was raised, on the smallest input, or None"""
    try:
        import hypothesis
        from hypothesis import strategies as st
    except ImportError:
        raise InputError('check needs the test extra: pip install -e ".[test]"') from None
    found: list[Refuted] = []

    @st.composite
    def drawn(draw):
        return cases(Draw(draw, st))

    @hypothesis.settings(
        max_examples=EXAMPLES,
        phases=[hypothesis.Phase.generate] + [hypothesis.Phase.shrink] * shrink,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(drawn())
    def run(arguments):
        try:
            body(arguments)
        except Refuted as refuted:
            found.append(refuted)
            raise

    with contextlib.suppress(Refuted, Enough, hypothesis.errors.Flaky):
        run()
    return found[-1] if found else None


@functools.cache
def inputs(prop):
    """What Hypothesis draws for a property: the same at every call, for every submission"""
    drawn: list[Any] = []
    search(prop.cases, drawn.append, shrink=False)
    return drawn
