# %% [markdown]
# # 3 · The loss, and what floating point does to it
#
# After this lesson you can
#
# - say at which margin each spelling of the loss breaks, in which dtype, and why;
# - measure an error in units in the last place, against sixty digits;
# - write functions of σ so that they are right for every margin.
#
# You need lesson 2a: the loss is $-\log\sigma(m)$. Reading takes about 35 minutes, the four exercises 65.

# %%
from decimal import Decimal, localcontext

import numpy as np

from numpy_ref import losses
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST

# %% [markdown]
# ## One loss, four spellings
#
# The chosen response wins with probability $P = \frac{e^{r_c}}{e^{r_c} + e^{r_r}}$, and the loss is $-\log P$. Divide
# numerator and denominator by $e^{r_c}$ and write $m = r_c - r_r$: $P = \frac{1}{1 + e^{-m}} = \sigma(m)$. So on paper
# three spellings are one. Guess which of them survive two rewards of 800, and which a margin of 40.
#
# $$-\log \frac{e^{r_c}}{e^{r_c} + e^{r_r}} \;=\; -\log \sigma(m) \;=\; \log(1 + e^{-m}).$$


# %%
def from_worths(chosen, rejected):
    return -np.log(np.exp(chosen) / (np.exp(chosen) + np.exp(rejected)))


def from_sigma(chosen, rejected):
    return -np.log(1 / (1 + np.exp(rejected - chosen)))


def from_sum(chosen, rejected):
    return np.log(1 + np.exp(rejected - chosen))


with np.errstate(all="ignore"):
    rows = [(c, r, *(f"{f(np.float64(c), np.float64(r)):.3g}" for f in (from_worths, from_sigma, from_sum)))
            for c, r in ((1, 0), (800, 800), (40, 0), (0, 800))]  # fmt: skip
assert rows[0][2] == rows[0][3] == rows[0][4] == "0.313"
table(rows, ("chosen", "rejected", "from worths", "−log σ", "log(1 + e⁻ᵐ)"))

# %% [markdown]
# ## The fourth spelling
#
# The true values of the last three rows are 0.693, 4.25 · 10⁻¹⁸ and 800: only the first row is right everywhere. For
# $m \ge 0$ the term $e^{-m}$ is at most 1, so nothing can overflow. For $m < 0$ take $e^{-m}$ out of the sum:
#
# $$\log(1 + e^{-m}) = \log\left(e^{-m}\,(e^{m} + 1)\right) = -m + \log(1 + e^{m}).$$
#
# Both cases are one line, $\max(-m, 0) + \log(1 + e^{-|m|})$, in which no exponent is ever positive.


# %%
def stable(chosen, rejected):
    m = chosen - rejected
    return np.maximum(-m, 0) + np.log1p(np.exp(-np.abs(m)))


margins = np.linspace(-5, 5, 101)
for spelling in (from_worths, from_sigma, from_sum):
    assert np.allclose(spelling(margins, np.zeros(101)), stable(margins, 0), rtol=1e-12, atol=0)
assert np.allclose(-losses.log_sigmoid(margins), stable(margins, 0), rtol=1e-15, atol=0)
for c, r, expected in ((800, 800, 0.693), (40, 0, 4.25e-18), (0, 800, 800)):
    print(f"stable({c}, {r}) = {stable(np.float64(c), np.float64(r)):.3g}")
    assert np.isclose(stable(np.float64(c), np.float64(r)), expected, rtol=1e-3)

# %% [markdown]
# ## What a float is
#
# A float is a whole number of $p$ bits times a power of two: $p$ is 53 in float64, 24 in float32 and 11 in float16. Two
# neighbours near 1 differ by $2^{1-p}$, called eps. In general the distance to the next float is one *ulp*, a unit in
# the last place, and no function can promise an error of less than half an ulp.

# %%
PRECISION = {np.float64: 53, np.float32: 24, np.float16: 11}
for dtype, p in PRECISION.items():
    one = dtype(1)
    assert np.spacing(one) == np.finfo(dtype).eps == 2.0 ** (1 - p)
    assert np.spacing(dtype(1024)) == 1024 * np.spacing(one)  # an ulp is relative to the size of the number
    assert one + dtype(2.0**-p) == one  # half an ulp is rounded away
overflow_at = {dtype: float(np.log(np.float64(np.finfo(dtype).max))) for dtype in PRECISION}
rows = [(d.__name__, p, f"{np.finfo(d).eps:.1e}", overflow_at[d], p * np.log(2)) for d, p in PRECISION.items()]
table(rows, ("dtype", "bits p", "eps", "eˣ overflows from", "p log 2"), 1)

# %% [markdown]
# ## Where the exponential overflows
#
# A float also has a largest value, and $e^x$ exceeds it from $x = \log(\text{largest})$ on: the fourth column of the
# table. There `exp` returns infinity. The second and the third spelling then return infinity too, although the true
# loss is a modest number, about $-m$.

# %%
for dtype, top in overflow_at.items():
    m = np.array([-1.05 * top], dtype)
    with np.errstate(over="ignore", divide="ignore"):
        print(f"{dtype.__name__}, m = {m.item():.1f}: {from_sum(m, dtype(0)).item()}, stable {stable(m, 0).item():.1f}")
        assert np.isinf(from_sum(m, dtype(0)))
        assert np.isinf(from_sigma(m, dtype(0)))
    assert np.isclose(stable(m, dtype(0)), -m, rtol=np.finfo(dtype).eps)

# %% [markdown]
# The first spelling is worse. It takes the exponential of each reward, so two rewards of 800 give infinity over
# infinity, which is not a number, although the margin is 0 and the loss is $\log 2$. On paper only the difference
# counts; in the machine, only if the code takes the difference first.

# %%
high = np.array([800.0])
with np.errstate(over="ignore", invalid="ignore"):
    print(f"two rewards of 800: {from_worths(high, high).item()}, stable {stable(high, high).item():.4f}")
    assert np.isnan(from_worths(high, high))
assert np.isclose(stable(high, high), np.log(2), rtol=1e-15)
assert stable(high + 1000, high) == stable(np.array([1000.0]), 0)

# %% [markdown]
# ## Where the sum swallows its small part
#
# At the other end $e^{-m}$ is tiny, and $1 + e^{-m}$ keeps only the digits that fit beside the 1. From $m = p \log 2$
# on, the last column of the table, none fit, and spellings two and three return exactly 0. `log1p(x)` computes
# $\log(1 + x)$ without ever forming the sum, and keeps all its digits.

# %%
for dtype, p in PRECISION.items():
    m = np.array([p * np.log(2) + 0.1], dtype)
    print(f"{dtype.__name__}, m = {m.item():.2f}: {from_sum(m, dtype(0)).item()}, stable {stable(m, 0).item():.2e}")
    assert from_sum(m, dtype(0)) == 0
    assert from_sigma(m, dtype(0)) == 0
    assert np.isclose(stable(m, dtype(0)), np.exp(-m), rtol=2 * np.finfo(dtype).eps)

# %% [markdown]
# ## The truth, with sixty digits
#
# To measure an error we need the right answer. Python's `decimal` computes with as many digits as we like, and every
# float is exactly a decimal number. The error in ulp is the distance from the truth, divided by the distance between
# two neighbouring floats there.


# %%
def truth(m):
    """The loss at the float m, to 60 digits"""
    with localcontext(prec=60 + int(abs(m) / 2)):  # decimals round as well: room for the digits behind 1.000...
        return (1 + (-Decimal(float(m))).exp()).ln()


def ulp_error(computed, m):
    """By how many units in the last place `computed` is off"""
    exact = truth(m)
    unit = np.spacing(computed.dtype.type(exact))
    return float(abs(Decimal(float(computed)) - exact) / Decimal(float(unit)))


# %%
with localcontext(prec=60):
    assert abs(truth(0) - Decimal(2).ln()) < Decimal("1e-58")
nearest, neighbour = ulp_error(np.log(np.float64(2)), 0), ulp_error(np.nextafter(np.log(2), 1), 0)
print(f"the float nearest to log 2 is off by {nearest:.2f} ulp, its neighbour by {neighbour:.2f}")
assert nearest <= 0.5 <= neighbour <= 1.5

# %% [markdown]
# ## Four spellings, measured
#
# How many ulp is each spelling off, at which margin? The digits that are lost are relative to 1, but the answer has the
# size of $e^{-m}$: so the naive spellings should lose one bit for each step of $\log 2$ to the right. Guess their error
# at a margin of 10 before you look.

# %%
grid = np.linspace(-40, 45, 511)
spellings = {"from worths": from_worths, "−log σ": from_sigma, "log(1 + e⁻ᵐ)": from_sum, "stable": stable}
errors = {
    name: np.array([ulp_error(np.float64(f(m, np.float64(0))), m) for m in grid]) for name, f in spellings.items()
}
assert errors["stable"].max() < 2

# %%
for name in ("from worths", "−log σ", "log(1 + e⁻ᵐ)"):
    assert errors[name][np.abs(grid - 10) < 1].max() > 1000
    assert errors[name][grid > 36.8].min() > 2**51
size = lambda error: "below 3" if error < 3 else f"about 10^{np.log10(error):.0f}"
worst = lambda error, at: size(error[np.abs(grid - at) < 1].max())
rows = [(name, *(worst(error, at) for at in (-10, 0, 10, 20, 40))) for name, error in errors.items()]
table(rows, ("worst error (ulp) near", "m = −10", "0", "10", "20", "40"))


# %% [markdown]
# The figure shows the largest error within half a unit of each margin. The three naive spellings lie so close together
# that they are drawn as one band. Errors below half an ulp are drawn at half an ulp, the dotted line: no function can
# promise less, so smaller ones are luck.


# %%
near = [np.abs(grid - m) <= 0.5 for m in grid]
highest = {name: np.array([max(error[place].max(), 0.5) for place in near]) for name, error in errors.items()}
naive = np.array([highest[name] for name in ("from worths", "−log σ", "log(1 + e⁻ᵐ)")])
assert np.all(naive >= highest["stable"] - 1.5)  # never better by more than rounding


# %%
def draw_errors(axes):
    axes.fill_between(grid, naive.min(0), naive.max(0), color=RUST, alpha=0.35, label="the three naive spellings")
    axes.plot(grid, naive.max(0), color=RUST, lw=1)
    axes.plot(grid, highest["stable"], color=INK, lw=2, label="stable")
    axes.axhline(0.5, color=BLUE, ls=":", label="½ ulp: smaller errors are drawn here")
    axes.set_yscale("log")


alt = (
    "Error over the margin, on a log scale. The stable spelling stays near one ulp, just above the floor of one half. "
)
alt += "The other three are as good for negative margins, then rise in a straight line to 4e15 ulp at 36.7 and stay."
picture(draw_errors, "Error in float64", "margin (log-odds)", "largest error (ulp)", alt, size=(5.4, 4))

# %% [markdown]
# ## The same in three dtypes
#
# The stable spelling is as good in every dtype, measured in the ulp of that dtype. What changes is the range in which
# the others survive: in float16 the usable margins of $\log(1 + e^{-m})$ lie between −11 and 7. Models are trained in
# 16 bits every day, so such margins do occur.

# %%
small = {np.float32: np.linspace(-80, 80, 321), np.float16: np.linspace(-9, 9, 181)}
for dtype, wide in small.items():
    m = wide.astype(dtype)
    largest = max(ulp_error(loss, at) for loss, at in zip(-losses.log_sigmoid(m), m, strict=True))
    print(f"{dtype.__name__}: the stable loss is off by less than 2 ulp: {largest < 2}")
    assert largest < 2

# %% [markdown]
# ## The epsilon that people add
#
# A common repair is $-\log(\sigma(m) + 10^{-7})$. It never returns infinity, but it replaces one wrong number by
# another: the loss of a badly misranked pair stops at 16.1. Guess the slope at a margin of −100, where the true slope
# is −1.

# %%
repaired = lambda m: -np.log(losses.sigmoid(m) + 1e-7)
m, h = np.array([-100.0]), 1e-3
slope = lambda f: ((f(m + h) - f(m - h)) / (2 * h)).item()
of_repaired, of_stable = slope(repaired), slope(lambda m: stable(m, 0))
print(f"loss {repaired(m).item():.1f} instead of {stable(m, 0).item():.1f}, slope {abs(of_repaired):.1f} instead of -1")
assert 16.1 < repaired(m).item() < 16.2
assert abs(of_repaired) < 1e-30  # the pair that should pull hardest does not pull at all
assert np.isclose(of_stable, -1, rtol=1e-9)

# %% [markdown]
# ### Exercise 3.1 ★☆☆ · 10 minutes · a σ that cannot overflow
#
# $\sigma(x) = \frac{1}{1 + e^{-x}}$ overflows for large negative $x$, $\frac{e^x}{e^x + 1}$ for large positive $x$.
# Write σ so that no exponent is positive. The check tries $x$ up to ±1000.


# %%
def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ)        (...) -> (...)"""
    ### BEGIN SOLUTION
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)
    ### END SOLUTION


# %%
check(sigmoid)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Both fractions are right on paper. Use the one whose exponent is not positive, entry by entry.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `e = np.exp(-np.abs(x))` is at most 1, and both fractions have the denominator `1 + e`.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Only the numerator depends on the sign of $x$: `np.where(x < 0, e, 1)`.
#
# </details>

# %% [markdown]
# ### Exercise 3.2 ★★☆ · 20 minutes · a soft label
#
# Ten people compared two responses and a share $p$ of them preferred the first. The loss of a model that gives the
# margin $m$ is then $-p \log\sigma(m) - (1 - p) \log\sigma(-m)$. Write the mean over $B$ pairs for any $p$ between 0
# and 1, finite for every margin; can you do it with a single logarithm?


# %%
def soft_label_loss(margin, label):
    """mean of -p log σ(m) - (1 - p) log σ(-m), p = label        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.mean(np.logaddexp(0, margin) - label * margin)
    ### END SOLUTION


# %%
check(soft_label_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The two losses differ by something simple: what is $-\log\sigma(m) + \log\sigma(-m)$? Write both as $\log(1 +
# e^{\mp m})$ to see it.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# $-\log\sigma(m) = -\log\sigma(-m) - m$, and `np.logaddexp(0, m)` is $\log(e^0 + e^m)$ without overflow.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Put the first line into the loss: $-\log\sigma(-m) - p\,m$ is left. Its mean is
# `np.mean(np.logaddexp(0, margin) - label * margin)`.
#
# </details>

# %% [markdown]
# ### Exercise 3.3 ★★☆ · 15 minutes · more than two responses
#
# With $K$ responses the probabilities of being the best are $p_i = e^{r_i} / \sum_j e^{r_j}$, the softmax of the
# rewards. It overflows like the first spelling. Write it for rows of rewards, finite for rewards up to ±800, also if
# the rows lie far apart.


# %%
def softmax(x):
    """p = eˣ / Σ eˣ over the last axis        (..., C) -> (..., C)"""
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
    ### END SOLUTION


# %%
check(softmax)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# A constant subtracted from all rewards of a row changes no probability. Which constant makes the largest exponential
# 1?
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `x.max(-1, keepdims=True)`: each row has its own. One maximum for the whole array would let other rows become 0 / 0.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Take the exponentials of the differences once, and divide them by their sum over the last axis, with `keepdims=True`.
#
# </details>

# %% [markdown]
# ### Exercise 3.4 ★★☆ · 20 minutes · a law of σ
#
# Tests should also work without a right answer at hand. You are given numbers `x` and somebody's `y`; say whether `y`
# may be $\sigma(x)$, *without computing σ*: use what you know about its values, its symmetry and its order. Your law
# must accept every right answer and notice four mistakes, among them $\tanh$ in two versions.


# %%
def sigmoid_law(x, y):
    """False if y cannot be σ(x)        (...), (...) -> bool"""
    ### BEGIN SOLUTION
    odds_are_exponential = np.allclose(y * (1 + np.exp(-np.clip(x, -50, 50))), 1, atol=1e-9)
    return bool(np.all((y > 0) & (y < 1)) and np.array_equal(y > 0.5, x > 0) and odds_are_exponential)
    ### END SOLUTION


# %%
check(sigmoid_law)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Which values can σ take? On which side of ½ does it lie? Its odds $y / (1 - y)$ are known from lesson 2a.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `np.all((y > 0) & (y < 1))` notices the tanh that is not shifted.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Besides, `y > 0.5` must hold exactly where `x > 0`, and the odds must be $e^x$: `np.allclose(np.log(y / (1 - y)), x)`
# for numbers that are not large.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# Three of the four spellings break: by overflow below $-\log(\text{largest})$, by cancellation above $p \log 2$. The
# fourth is right to two ulp for every margin and in every dtype.

# %%
everywhere = np.array([-1e300, -1000.0, -1.0, 0.0, 1.0, 40.0, 700.0])
loss = -losses.log_sigmoid(everywhere)
assert np.all(np.isfinite(loss) & (loss > 0))
print("the loss at these margins:", [f"{value:.3g}" for value in loss])
assert max(ulp_error(computed, at) for computed, at in zip(loss[1:], everywhere[1:], strict=True)) < 2
assert from_sum(np.float64(40), 0) == 0 < loss[5]

# %% [markdown]
# ## Three questions
#
# <details><summary>Your loss is NaN at the first step, and all margins are 0. Which spelling may it be?</summary>
#
# The one from worths: exponentials of large rewards overflow, and infinity over infinity is not a number.
#
# </details>
# <details><summary>A loss is exactly 0.0 in float32 at a margin of 17. Is the pair perfectly solved?</summary>
#
# No. Beyond 16.64 the sum 1 + e⁻ᵐ rounds to 1; the true loss is about 4 · 10⁻⁸.
#
# </details>
# <details><summary>Why not just add 10⁻⁷ inside the logarithm?</summary>
#
# The loss of misranked pairs then stops growing, and their gradient vanishes: the worst pairs are no longer corrected.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# σ, log σ and the loss: [numpy_ref/losses.py](../numpy_ref/losses.py). The stable softmax:
# [numpy_ref/layers.py](../numpy_ref/layers.py). Next is lesson 4: the derivative of this loss.
