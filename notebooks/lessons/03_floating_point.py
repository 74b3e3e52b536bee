# %% [markdown]
# # 3 · The loss, and what floating point does to it
#
# After this lesson you can
#
# - say at which margin each spelling of the loss breaks, in which dtype, and why;
# - measure an error in units in the last place, against sixty digits;
# - write σ, log σ and the loss so that they are right for every margin.
#
# You need lesson 2: the loss is $-\log\sigma(m)$. Reading takes about 35 minutes, the four exercises 50.

# %%
from decimal import Decimal, localcontext

import numpy as np

from numpy_ref import losses
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST

# %% [markdown]
# ## One loss, four spellings
#
# The chosen response wins with probability $P = \frac{e^{r_c}}{e^{r_c} + e^{r_r}}$, and the loss is $-\log P$. Divide
# above and below by $e^{r_c}$, with $m = r_c - r_r$: $P = \frac{1}{1 + e^{-m}} = \sigma(m)$. So on paper
#
# $$-\log \frac{e^{r_c}}{e^{r_c} + e^{r_r}} \;=\; -\log \sigma(m) \;=\; \log(1 + e^{-m}).$$


# %%
def from_worths(chosen, rejected):
    return -np.log(np.exp(chosen) / (np.exp(chosen) + np.exp(rejected)))


def from_sigma(chosen, rejected):
    return -np.log(1 / (1 + np.exp(rejected - chosen)))


def from_sum(chosen, rejected):
    return np.log(1 + np.exp(rejected - chosen))


# %% [markdown]
# ## The fourth spelling
#
# For $m \ge 0$ the term $e^{-m}$ is at most 1 and nothing can overflow. For $m < 0$ take $e^{-m}$ out of the sum:
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

# %% [markdown]
# ## What a float is
#
# A float is a whole number of $p$ bits times a power of two: $p$ is 53 in float64, 24 in float32 and 11 in float16.
# Two neighbours near 1 differ by $2^{1-p}$, called eps; in general the distance to the next float is one *ulp*, a
# unit in the last place. The best that any function can do is to be wrong by half an ulp.

# %%
PRECISION = {np.float64: 53, np.float32: 24, np.float16: 11}
for dtype, p in PRECISION.items():
    one = dtype(1)
    assert np.spacing(one) == np.finfo(dtype).eps == 2.0 ** (1 - p)
    assert np.spacing(dtype(1024)) == 1024 * np.spacing(one)  # an ulp is relative to the size of the number
    assert one + dtype(2.0**-p) == one  # half an ulp is rounded away

# %% [markdown]
# ## Where the exponential overflows
#
# A float also has a largest value, and $e^x$ exceeds it from $x = \log(\text{largest})$ on: 709.8 in float64, 88.7 in
# float32, 11.1 in float16. There `exp` returns infinity. The second and the third spelling then return infinity too,
# although the true loss is a modest number, about $-m$.

# %%
for dtype in PRECISION:
    top = np.log(np.float64(np.finfo(dtype).max))
    m = np.array([-1.05 * top], dtype)
    with np.errstate(over="ignore", divide="ignore"):
        assert np.isinf(from_sum(m, dtype(0)))
        assert np.isinf(from_sigma(m, dtype(0)))
    assert np.isclose(stable(m, dtype(0)), -m, rtol=np.finfo(dtype).eps)

# %% [markdown]
# The first spelling is worse: it takes the exponential of each reward, so two rewards of 800 give infinity over
# infinity, which is not a number. The margin is 0 and the loss should be $\log 2$. On paper only the difference
# counts; in the machine that is true only of code which takes the difference first.

# %%
high = np.array([800.0])
with np.errstate(over="ignore", invalid="ignore"):
    assert np.isnan(from_worths(high, high))
assert np.isclose(stable(high, high), np.log(2), rtol=1e-15)
assert stable(high + 1000, high) == stable(np.array([1000.0]), 0)

# %% [markdown]
# ## Where the sum swallows its small part
#
# At the other end $e^{-m}$ is tiny, and $1 + e^{-m}$ keeps only what fits beside the 1. From $m = p \log 2$ on
# nothing fits and spellings two and three return exactly 0: from 36.74 on in float64, 16.64 in float32, 7.62 in
# float16. `log1p(x)` computes $\log(1 + x)$ without ever forming the sum, and keeps all its digits.

# %%
for dtype, p in PRECISION.items():
    m = np.array([p * np.log(2) + 0.1], dtype)
    assert from_sum(m, dtype(0)) == 0
    assert from_sigma(m, dtype(0)) == 0
    assert np.isclose(stable(m, dtype(0)), np.exp(-m), rtol=2 * np.finfo(dtype).eps)

# %% [markdown]
# ## The truth, with sixty digits
#
# To measure an error we need the right answer. Python's `decimal` computes with as many digits as we like, and every
# float is exactly a decimal number. The error in ulp is the distance from the truth over the distance of two
# neighbouring floats at the truth.


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
assert ulp_error(np.log(np.float64(2)), 0) <= 0.5  # the float next to log 2
assert 0.5 <= ulp_error(np.nextafter(np.log(2), 1), 0) <= 1.5  # its neighbour lies one ulp further

# %% [markdown]
# ## Four spellings, measured
#
# The stable spelling stays within two ulp everywhere. The other three lose a bit for each step of $\log 2$ to the
# right, because the lost part is relative to 1 and not to $e^{-m}$. At a margin of 10 they are wrong by thousands of
# ulp, and beyond 36.74 every digit is wrong.

# %%
grid = np.linspace(-40, 45, 511)
spellings = {"from worths": from_worths, "−log σ": from_sigma, "log(1 + e⁻ᵐ)": from_sum, "stable": stable}
errors = {
    name: np.array([ulp_error(np.float64(f(m, np.float64(0))), m) for m in grid]) for name, f in spellings.items()
}
assert errors["stable"].max() < 2
for name in ("from worths", "−log σ", "log(1 + e⁻ᵐ)"):
    assert errors[name][np.abs(grid - 10) < 1].max() > 1000
    assert errors[name][grid > 36.8].min() > 2**51


# %%
def draw_errors(axes):
    lines = ((RUST, "-."), (BLUE, "--"), (BLUE, ":"), (INK, "-"))
    for (name, error), (colour, line) in zip(errors.items(), lines, strict=True):
        axes.plot(grid, np.maximum(error, 0.01), color=colour, ls=line, label=name)
    axes.set_yscale("log")


alt = "Error of four spellings of the loss over the margin, on a log scale. The stable one stays near one ulp. The "
alt += "others are as good for negative margins, then lose digits exponentially and level off at 4e15 ulp beyond 36.7."
picture(draw_errors, "Error of four spellings, float64", "margin (log-odds)", "error (ulp)", alt)

# %% [markdown]
# ## The same in three dtypes
#
# The stable spelling is as good in every dtype, measured in its own ulp. What changes is the range in which the
# others survive: in float16 the usable margins of $\log(1 + e^{-m})$ lie between −11 and 7. Models are trained in 16
# bits every day, so these are not exotic numbers.

# %%
small = {np.float32: np.linspace(-80, 80, 321), np.float16: np.linspace(-9, 9, 181)}
for dtype, wide in small.items():
    m = wide.astype(dtype)
    worst = max(ulp_error(loss, at) for loss, at in zip(-losses.log_sigmoid(m), m, strict=True))
    assert worst < 2

# %% [markdown]
# ## The epsilon that people add
#
# A well-known repair is $-\log(\sigma(m) + 10^{-7})$: no infinity any more. But it replaces a wrong number by another
# one. The loss of a badly misranked pair is cut off at 16.1, and its slope is almost 0: the pair that should pull
# hardest does not pull.

# %%
repaired = lambda m: -np.log(losses.sigmoid(m) + 1e-7)
m, h = np.array([-100.0]), 1e-3
assert 16.1 < repaired(m).item() < 16.2
assert abs(repaired(m + h) - repaired(m - h)).item() / (2 * h) < 1e-30
slope = (stable(m + h, 0) - stable(m - h, 0)) / (2 * h)
assert np.isclose(slope, -1, rtol=1e-9)

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
# <details><summary>Hint</summary>
#
# Compute $e = e^{-|x|}$ once. Both fractions above have the denominator $1 + e$; only the numerator depends on the
# sign of $x$ (`np.where`).
#
# </details>

# %% [markdown]
# ### Exercise 3.2 ★☆☆ · 10 minutes · log σ
#
# Write $\log\sigma(x)$, finite for every $x$ and with the right digits for large $x$. Do not go by way of σ.


# %%
def log_sigmoid(x):
    """log σ(x) = -log(1 + e⁻ˣ)        (...) -> (...)"""
    ### BEGIN SOLUTION
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))
    ### END SOLUTION


# %%
check(log_sigmoid)

# %% [markdown]
# <details><summary>Hint</summary>
#
# It is minus the fourth spelling. `np.logaddexp(0, -x)` would do as well: it computes $\log(e^0 + e^{-x})$ in the
# same way.
#
# </details>

# %% [markdown]
# ### Exercise 3.3 ★★☆ · 15 minutes · the loss of a batch
#
# Write the mean loss of $B$ pairs. The check adds 1000 to all rewards, exchanges chosen and rejected, and goes out to
# margins of ±1000.


# %%
def pairwise_loss(chosen, rejected):
    """mean of -log σ(chosen - rejected)        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.logaddexp(0, rejected - chosen).mean()
    ### END SOLUTION


# %%
check(pairwise_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Take the difference of the rewards before anything else, then use what you have written in exercise 3.2. Write that
# in here again: each exercise is checked by itself.
#
# </details>

# %% [markdown]
# ### Exercise 3.4 ★★☆ · 15 minutes · more than two responses
#
# With $K$ responses the probabilities to be the best are $p_i = e^{r_i} / \sum_j e^{r_j}$, the softmax of the
# rewards. It overflows like the first spelling. Find a constant that may be subtracted from all rewards so that no
# exponent is positive, and say why at least one term of the sum is then 1.


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
# <details><summary>Hint</summary>
#
# Each row has its own largest entry: `x.max(-1, keepdims=True)`. One maximum for the whole array would let all other
# rows underflow to 0/0.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# Three of the four spellings break: by overflow below $-\log(\text{largest})$, by cancellation above $p \log 2$. The
# fourth is right to two ulp for every margin and in every dtype. Lesson 4 takes its derivative.

# %%
everywhere = np.array([-1e300, -1000.0, -1.0, 0.0, 1.0, 40.0, 700.0])
loss = -losses.log_sigmoid(everywhere)
assert np.all(np.isfinite(loss) & (loss > 0))
assert max(ulp_error(computed, at) for computed, at in zip(loss[1:], everywhere[1:], strict=True)) < 2
assert from_sum(np.float64(40), 0) == 0 < loss[5]
