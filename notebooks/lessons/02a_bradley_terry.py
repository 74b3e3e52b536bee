# %% [markdown]
# # 2a · The Bradley-Terry model
#
# After this lesson you can
#
# - derive $P(\text{first beats second}) = \sigma(r_1 - r_2)$ from noisy impressions, and read it as odds;
# - say what changes with another noise, and with ties;
# - say what comparisons can never tell you, however many there are.
#
# You need lesson 1 and integrals. Reading takes about 30 minutes, the two exercises 40.

# %%
import math

import numpy as np

from numpy_ref import ties
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK

rng = np.random.default_rng(2)

# %% [markdown]
# ## A probability from two numbers
#
# Lesson 1 ended with orders that are right most of the time. We want one number for each response, its reward $r$, and
# from two rewards the probability that people prefer the first response. As in lesson 1 an impression is the true value
# plus noise, $u = r + g$, and the response with the larger impression wins.
#
# For $g$ take Gumbel's distribution, $F(t) = P(g \le t) = \exp(-e^{-t})$, with the density $F'(t) = e^{-t}
# \exp(-e^{-t})$ by the chain rule.

# %%
cdf = lambda t: np.exp(-np.exp(-t))
density = lambda t: np.exp(-t) * np.exp(-np.exp(-t))
gumbel, rows = rng.gumbel(size=400_000), []
for t in (-1.0, 0.0, 1.0, 3.0):
    share = np.mean(gumbel <= t)
    rows.append((t, share, cdf(t), density(t)))
    assert abs(share - cdf(t)) < 5 * np.sqrt(share * (1 - share) / gumbel.size)
    assert np.isclose((cdf(t + 1e-5) - cdf(t - 1e-5)) / 2e-5, density(t), rtol=0, atol=1e-9)
table(rows, ("t", "share of draws below t", "F(t)", "F'(t)"), 2)

# %% [markdown]
# Why this distribution? Suppose that a rater thinks of several reasons for a response and remembers the strongest one.
# If the reasons are Gumbel numbers, so is the strongest, moved by $\log n$: the largest of $n$ numbers is at most $t$
# exactly when all of them are, with probability $F(t)^n = \exp(-n e^{-t}) = \exp(-e^{-(t - \log n)}) = F(t - \log n)$.

# %%
t = np.linspace(-2, 8, 101)
for n in (2, 5, 100):
    assert np.allclose(cdf(t) ** n, cdf(t - np.log(n)), rtol=0, atol=1e-14)
moved = gumbel.reshape(-1, 5).max(1).mean() - gumbel.mean()
print(f"the largest of five lies {moved:.2f} higher on average; log 5 = {np.log(5):.2f}")
assert abs(moved - np.log(5)) < 0.03  # standard error 0.005

# %% [markdown]
# ## Step 1: the first wins
#
# Let the first impression be $u$. Its density is $F'(u - r_1)$, and the second impression stays below it with
# probability $F(u - r_2)$. Integrate over all $u$:
#
# $$P = \int_{-\infty}^{\infty} e^{-(u - r_1)} \exp(-e^{-(u - r_1)}) \exp(-e^{-(u - r_2)})\, du
#     = \int_{-\infty}^{\infty} e^{r_1} e^{-u} \exp\big(-(e^{r_1} + e^{r_2})\, e^{-u}\big)\, du.$$
#
# The second form uses $e^{-(u - r)} = e^{r} e^{-u}$ and joins the exponents.

# %%
r1, r2 = 0.7, -0.4
u = np.linspace(-20, 60, 200_001)
joined = np.exp(r1 - u) * np.exp(-(np.exp(r1) + np.exp(r2)) * np.exp(-u))
assert np.allclose(density(u - r1) * cdf(u - r2), joined, rtol=0, atol=1e-14)
by_integral = np.trapezoid(joined, u)
print(f"the integral for r1 = {r1}, r2 = {r2}: {by_integral:.4f}")

# %% [markdown]
# ## Step 2: the integral
#
# Substitute $s = e^{-u}$, which falls from $\infty$ to 0 while $u$ rises, with $ds = -e^{-u}\, du$; the minus sign
# exchanges the limits. Write $a = e^{r_1} + e^{r_2}$. Since $\frac{d}{ds}\big(-\frac{1}{a} e^{-as}\big) = e^{-as}$,
#
# $$P = \int_0^{\infty} e^{r_1} e^{-as}\, ds = e^{r_1} \Big[-\frac{1}{a} e^{-as}\Big]_0^{\infty}
#     = \frac{e^{r_1}}{a} = \frac{e^{r_1}}{e^{r_1} + e^{r_2}}.$$

# %%
worths = np.exp([r1, r2])
print(f"e^r1 / (e^r1 + e^r2) = {worths[0]:.3f} / {worths.sum():.3f} = {worths[0] / worths.sum():.4f}")
assert np.isclose(by_integral, worths[0] / worths.sum(), rtol=0, atol=1e-12)

# %% [markdown]
# ## Step 3: only the difference is left
#
# Divide numerator and denominator by $e^{r_1}$:
#
# $$P(\text{first beats second}) = \frac{1}{1 + e^{-(r_1 - r_2)}} = \sigma(r_1 - r_2).$$
#
# This is the Bradley-Terry model (Zermelo 1929; Bradley & Terry 1952). The simulation below uses no integral and gives
# the same.


# %%
def sigma(m):
    """σ(m) = 1 / (1 + e⁻ᵐ), as it is derived; lesson 3 asks what floating point makes of it"""
    return 1 / (1 + np.exp(-m))


differences, pairs_each = np.linspace(-4, 4, 17), 50_000
noisy = rng.gumbel(size=(2, len(differences), pairs_each))
shares = np.mean(differences[:, None] + noisy[0] > noisy[1], axis=1)
assert np.all(np.abs(shares - sigma(differences)) < 5 * np.sqrt(sigma(differences) * sigma(-differences) / pairs_each))
assert np.isclose(by_integral, sigma(r1 - r2), rtol=0, atol=1e-12)


# %%
def share_and_sigma(axes):
    along = np.linspace(-4.2, 4.2, 300)
    axes.plot(along, sigma(along), color=BLUE, lw=2, label="σ(r₁ − r₂)")
    axes.plot(differences, shares, "o", color=INK, ms=6, mfc="none", label="share of 50,000 simulated pairs")
    axes.axhline(0.5, color="#777777", lw=0.8, ls=":")


alt = "Share of comparisons that the first response wins, over the difference of rewards: simulated points lie on the "
alt += "S-shaped curve of sigma, from near 0 at -4 through one half at 0 to near 1 at 4."
picture(share_and_sigma, "Noisy impressions make σ", "r₁ − r₂ (log-odds)", "P(first beats second)", alt, size=(6, 4))

# %% [markdown]
# ## What the formula says
#
# Guess the probability at a difference of 1, 2 and 5 before you look. One of the two must win: $\sigma(m) + \sigma(-m)
# = 1$, because $\sigma(-m) = \frac{1}{1 + e^m}$, and multiplied by $e^{-m}$ in numerator and denominator this is
# $\frac{e^{-m}}{e^{-m} + 1} = 1 - \sigma(m)$.

# %%
assert sigma(0.0) == 0.5
assert np.allclose(sigma(differences) + sigma(-differences), 1, rtol=0, atol=1e-14)
assert np.all(np.diff(sigma(differences)) > 0)
table([(m, sigma(m), sigma(-m)) for m in (0.0, 1.0, 2.0, 5.0)], ("r₁ − r₂", "first wins", "second wins"))

# %% [markdown]
# ## Does the noise matter?
#
# Thurstone (1927) took normal noise instead of Gumbel's. The difference of two impressions is then normal too, and
# $\Phi$, the normal distribution function, takes the place of $\sigma$: $\Phi(t) = P(Z \le t)$ for a standard normal
# $Z$. The next exercise asks for the exact formula; afterwards we compare the two curves.

# %% [markdown]
# ### Exercise 2.1 ★☆☆ · 15 minutes · Thurstone's model
#
# Let both impressions carry independent noise, normal with mean 0 and variance 1: $u_1 = r_1 + g_1$, $u_2 = r_2 + g_2$.
# What is $P(u_1 > u_2)$? Code it for arrays of $B$ rewards; NumPy has no $\Phi$, but $\Phi(t) = \frac12
# \operatorname{erfc}(-t / \sqrt2)$, and `math.erfc` takes one number.


# %%
def thurstone(first, second):
    """P(first beats second) with normal noise of variance 1 on either impression        (B,), (B,) -> (B,)"""
    ### BEGIN SOLUTION
    t = (first - second) / math.sqrt(2)
    return np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in t])
    ### END SOLUTION


# %%
check(thurstone)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The first wins if $g_2 - g_1 < r_1 - r_2$. What is the variance of the difference of two independent variables?
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# $g_2 - g_1$ has variance 2, so divide by its standard deviation: `t = (first - second) / math.sqrt(2)`.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# The answer is $\Phi(t)$. Take `0.5 * math.erfc(-x / math.sqrt(2))` for each `x` in `t` and put the numbers into one
# array.
#
# </details>

# %% [markdown]
# After a change of unit, by 1.702, $\sigma$ and $\Phi$ are never further apart than 0.0095: no table in this course is
# large enough to tell them apart. The tails differ, though. At a difference of 8 in Thurstone's unit an upset is two
# billion times less likely under $\Phi$ than under $\sigma$, and lesson 5 shows what this does to the gradient.

# %%
along = np.linspace(-12, 12, 24_001)
normal = np.vectorize(lambda t: 0.5 * math.erfc(-t / math.sqrt(2)))
apart = np.abs(sigma(1.702 * along) - normal(along)).max()
upset_sigma, upset_normal = sigma(-1.702 * 8), float(normal(-8.0))
print(f"largest distance {apart:.4f}; an upset at 8: {upset_sigma:.1e} under σ, {upset_normal:.1e} under Φ")
assert 0.009 < apart < 0.0096
assert upset_sigma > 1.9e9 * upset_normal

# %% [markdown]
# ## Odds multiply along a chain
#
# The odds are the wins for each loss, $\frac{P}{1 - P}$. With $1 - P = \frac{e^{r_2}}{e^{r_1} + e^{r_2}}$ they are
# $e^{r_1} / e^{r_2} = e^{r_1 - r_2}$, so a difference of rewards is the logarithm of odds: its unit is *log-odds*. And
# because $r_1 - r_3 = (r_1 - r_2) + (r_2 - r_3)$, odds multiply: if A wins 3 to 1 against B, and B wins 2 to 1 against
# C, what does the model say about A against C?

# %%
odds = lambda m: sigma(m) / (1 - sigma(m))
a_b, b_c = np.log(3), np.log(2)
print(f"A against C: odds {odds(a_b + b_c):.1f} to 1, probability {sigma(a_b + b_c):.3f}")
assert np.allclose(odds(differences), np.exp(differences), rtol=1e-13)
assert np.isclose(odds(a_b + b_c), 6, rtol=1e-13)
assert np.isclose(sigma(a_b + b_c), 6 / 7, rtol=1e-13)

# %% [markdown]
# That is an assumption, not a law of nature. Suppose that A beats B, B beats C and C beats A, each with probability
# 60 %: odds of 1.5 at every step, whose product round the circle is 3.375. But any rewards give $(r_1 - r_2) + (r_2 -
# r_3) + (r_3 - r_1) = 0$, and so odds of 1 round the circle. The model cannot describe rock, paper and scissors.

# %%
around = [np.prod(odds(r - np.roll(r, -1))) for r in rng.normal(0, 3, (100, 3))]
print(f"round the circle: data {1.5**3:.3f}, every model {np.mean(around):.3f}")
assert np.allclose(around, 1, rtol=1e-9)

# %% [markdown]
# ## Ties
#
# People also say "neither is better". Rao and Kupper (1967) let a response win only if it leads by a threshold $\eta
# \ge 0$: the first wins if $u_1 > u_2 + \eta$, the second if $u_2 > u_1 + \eta$, and all else is a tie. With Gumbel
# noise as above, steps 1 to 3 need one small change.

# %% [markdown]
# ### Exercise 2.2 ★★☆ · 25 minutes · three outcomes
#
# Derive the three probabilities for Gumbel noise and a threshold $\eta$, and code them for arrays of $B$ rewards and
# one number $\eta$. What must they be for $\eta = 0$?


# %%
def rao_kupper(first, second, threshold):
    """(win, tie, loss): who leads by more than the threshold wins        (B,), (B,), () -> (B,), (B,), (B,)"""
    ### BEGIN SOLUTION
    stable = lambda m: np.exp(-np.logaddexp(0, -m))
    win, loss = stable(first - second - threshold), stable(second - first - threshold)
    return win, 1 - win - loss, loss
    ### END SOLUTION


# %%
check(rao_kupper)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The condition $u_1 > u_2 + \eta$ is the old one with the second reward raised by $\eta$. So the result of step 3 holds
# with $r_2 + \eta$ in place of $r_2$.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `win` is $\sigma(r_1 - r_2 - \eta)$. By symmetry `loss` is $\sigma(r_2 - r_1 - \eta)$.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# The three probabilities sum to 1, which gives the tie. For differences up to ±1000, `np.exp(-np.logaddexp(0, -m))` is
# a $\sigma(m)$ that does not overflow; lesson 3 explains why.
#
# </details>

# %%
log_p, _ = ties.rao_kupper(np.array([0.0, 1.0, 3.0]), 0.5)  # logarithms: they keep their digits
outcomes = np.exp(log_p)
assert np.allclose(outcomes.sum(-1), 1, rtol=1e-14)
assert np.all(np.diff(outcomes[:, 1]) < 0)  # equal responses tie most often
table([(float(d), *p) for d, p in zip((0, 1, 3), outcomes, strict=True)], ("r₁ − r₂", "first", "tie", "second"), 3)

# %% [markdown]
# ## What cannot be known
#
# Add a constant $c$ to all rewards: $(r_1 + c) - (r_2 + c) = r_1 - r_2$, and no probability changes. So comparisons
# never tell how high the rewards are as a whole, however many there are. If only responses to the same prompt are
# compared, *each prompt* has its own unknown constant. A reward of 3 means nothing by itself: compare it with another
# reward for the same prompt.

# %%
first, second = rng.normal(size=(2, 1000))
height = rng.normal(0, 10, 1000)  # one constant for each prompt
moved = np.abs(sigma((first + height) - (second + height)) - sigma(first - second)).max()
print(f"a constant for each prompt: the largest change of a probability is {0.0 if moved < 1e-14 else moved:.1f}")
assert moved < 1e-14

# %% [markdown]
# The scale is known, though. Doubling all rewards squares all odds, so a model that is too sure of itself shows in the
# data: it loses more often than it says.

# %%
assert np.allclose(odds(2 * (first - second)), odds(first - second) ** 2, rtol=1e-9)
table([(m, sigma(m), sigma(2 * m)) for m in (0.5, 1.0, 2.0)], ("r₁ − r₂", "P", "P, rewards doubled"))

# %% [markdown]
# ## The best of several
#
# Let people pick the best of $K$ responses. In step 1 *all* other impressions must stay below $u$, and all their
# exponents join: $a = \sum_j e^{r_j}$. Step 2 stays as it is. So response $i$ is the best with probability
# $\frac{e^{r_i}}{\sum_j e^{r_j}}$, which is called softmax; for $K = 2$ it is $\sigma$.

# %%
r = np.array([1.0, 0.2, -0.5, 0.8])
best = np.argmax(r + rng.gumbel(size=(400_000, 4)), axis=1)
share, expected = np.bincount(best) / len(best), np.exp(r) / np.exp(r).sum()
assert np.all(np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / len(best)))
assert np.isclose(np.exp(r1) / np.exp([r1, r2]).sum(), sigma(r1 - r2), rtol=1e-14)
table(zip(r, share, expected, strict=True), ("reward", "is the best, simulated", "softmax"), 2)

# %% [markdown]
# ## What you can now assert
#
# Gumbel noise makes $P = \sigma(r_1 - r_2)$: ½ for equal rewards, near 1 for a large difference. Differences are
# log-odds and add up along a chain. A constant in all rewards cannot be known; the scale can. Another noise makes
# another curve, and a threshold makes ties.

# %%
assert sigma(0.0) == 0.5
assert np.isclose(odds(1.0) * odds(2.0), odds(3.0), rtol=1e-13)
assert np.isclose(sigma((r1 + 5) - (r2 + 5)), by_integral, rtol=1e-12)
assert np.allclose(np.exp(ties.rao_kupper(r1 - r2, 0.0)[0]), [sigma(r1 - r2), 0, sigma(r2 - r1)], rtol=1e-12)

# %% [markdown]
# ## Three questions
#
# <details><summary>A response has the reward 12.3. Is it good?</summary>
#
# Nobody can say. Only the difference from another reward for the same prompt means something.
#
# </details>
# <details><summary>A beats B in 75 % of the comparisons, B beats C in 75 %. What about A and C?</summary>
#
# Odds of 3 each, so 9 to 1: A wins 90 %.
#
# </details>
# <details><summary>Can three responses beat each other in a circle, under this model?</summary>
#
# In single comparisons yes, since each is decided by noise. In their probabilities no: somebody has the largest reward
# and beats everybody else more often than not.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# The probabilities of ties, with their gradients: [numpy_ref/ties.py](../numpy_ref/ties.py). The best of several, place
# by place: [numpy_ref/listwise.py](../numpy_ref/listwise.py) and lesson 9. Next is lesson 2b: from games to strengths.
