"""The inputs that a property is tried on, drawn from a seed, and the search for a smaller one on which it fails."""

import functools
import math
import zlib

import numpy as np

EXAMPLES = 25  # inputs tried for a property
SHRINKS = 400  # smaller inputs tried once one has failed


class Refuted(Exception):
    """A property fails on these arguments"""

    def __init__(self, arguments, sentence, expected="", got=""):
        super().__init__(sentence)
        self.arguments, self.sentence, self.expected, self.got = arguments, sentence, expected, got


class Enough(BaseException):
    """The function lacks the option that the property is about: no further input need be tried"""


class Draw:
    """Picks the inputs of cases: at random, or as in earlier picks, fitted to the shapes that are asked for now

    Every pick is an array of integers and has a target, the simplest value: 0, or else the allowed one nearest to 0.
    """

    def __init__(self, rng=None, picks=(), large=False):
        self.rng, self.old, self.large = rng, list(picks), large
        self.picks: list[np.ndarray] = []
        self.targets: list[int] = []

    def size(self, low, high):
        """A whole number from low to high, all equally likely; the first input of a property has the largest"""
        return int(self._pick((), low, high, high if self.large else None))

    def choice(self, options):
        """One of these; the first is the simplest"""
        return options[int(self._pick((), 0, len(options) - 1))]

    def integers(self, shape, low, high):
        """An array of integers from low to high"""
        return self._pick(tuple(shape), low, high)

    def numbers(self, shape, low, high, step=0.125):
        """An array of multiples of `step` from low to high: float32 holds eighths exactly"""
        return self.integers(shape, math.ceil(low / step), math.floor(high / step)) * step

    def _pick(self, shape, low, high, fixed=None):
        target = min(max(0, low), high)
        if fixed is not None:
            value = np.full(shape, fixed)
        elif self.rng is not None:
            value = self.rng.integers(low, high + 1, shape)
            if value.size > 1 and self.rng.random() < 0.2:  # so that ties occur
                value = self.rng.choice(value.reshape(-1)[:2], shape)
        else:
            value = self._replayed(shape, low, high, target)
        self.picks.append(np.asarray(value, np.int64))
        self.targets.append(target)
        return self.picks[-1].copy()

    def _replayed(self, shape, low, high, target):
        value = np.full(shape, target)
        old = self.old.pop(0) if self.old else None
        if old is not None and old.ndim == value.ndim:
            common = tuple(slice(min(a, b)) for a, b in zip(old.shape, shape, strict=True))
            value[common] = np.clip(old[common], low, high)
        return value


@functools.lru_cache(maxsize=4096)
def drawn(prop, seed=0):
    """[(arguments, their Draw)]: the same for every submission that is judged with this seed"""
    found = []
    for number in range(EXAMPLES):
        draw = Draw(np.random.default_rng([seed, zlib.crc32(prop.statement.encode()), number]), large=number == 0)
        found.append((prop.cases(draw), draw))
    return found


def inputs(prop, seed=0):
    """The arguments of the property's inputs, without their Draws"""
    return [arguments for arguments, _ in drawn(prop, seed)]


def shrink(prop, draw, refute):
    """The last Refuted that refute(arguments) gave, on the smallest input found; None if none was smaller"""
    best, found, tries = draw, None, 0
    place = 0
    while place < len(best.picks) and tries < SHRINKS:
        for smaller in simpler(best.picks[place], best.targets[place]):
            tries += 1
            again = Draw(picks=[*best.picks[:place], smaller, *best.picks[place + 1 :]])
            refuted = refute(prop.cases(again))
            if refuted is not None:
                best, found, place = again, refuted, -1
                break
            if tries >= SHRINKS:
                break
        place += 1
    return found


def simpler(value, target):
    """Arrays of integers nearer to the target than this one, boldest first"""
    distance = value - target
    if not distance.any():
        return
    yield np.full_like(value, target)
    if value.ndim == 0:
        yield from (target + step for step in (distance // 2, distance - np.sign(distance)) if step.any())
        return
    for divisor in (1, 8, 2):
        for place in np.argwhere(distance):
            changed, index = value.copy(), tuple(place)
            step = distance[index]
            near = 0 if divisor == 1 else int(step / divisor) * divisor if divisor == 8 else int(step / 2)
            if near != step:
                changed[index] = target + near
                yield changed
