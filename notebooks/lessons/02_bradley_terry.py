# %% [markdown]
# # 2 · The Bradley-Terry model: from noisy opinions to σ
#
# After this lesson you can
#
# - derive $P = \sigma(r_c - r_r)$ from rewards that people perceive with noise;
# - read a margin as odds, and say what comparisons can never tell;
# - fit strengths to a table of results, and say when no fit exists.
#
# You need lesson 1 and the integral of $e^{-x}$. Reading takes about 40 minutes, the three exercises 40.

# %%
import math

import numpy as np

from numpy_ref.bradley_terry import fit
from numpy_ref.check_cell import check
from numpy_ref.figures import BLUE, INK, RUST
from numpy_ref.games import read_games
from numpy_ref.inference import standard_errors
from numpy_ref.lesson import picture
from numpy_ref.losses import log_sigmoid, sigmoid

rng = np.random.default_rng(2)

# %% [markdown]
# ## Opinions are noisy
#
# Give each response a reward $r$. A person who reads it feels $u = r + g$, where the noise $g$ is different at each
# reading, and prefers the response that feels better. Gumbel's noise has the distribution function
# $F(x) = e^{-e^{-x}}$: it is what the largest of many independent influences looks like. Drawing from it is easy:
# $-\log(-\log U)$ with $U$ uniform between 0 and 1.


# %%
def gumbel(shape):
    return -np.log(-np.log(rng.random(shape)))


x = np.array([-1.0, 0.0, 1.0, 3.0])
drawn = gumbel((400_000, 1))
assert np.allclose((drawn <= x).mean(0), np.exp(-np.exp(-x)), rtol=0, atol=0.004)  # five standard errors

# %% [markdown]
# ## Step 1: one opinion fixed
#
# Suppose the chosen response feels like $u$. The rejected one feels worse if its noise is below $u - r_r$, which has
# probability $F(u - r_r)$. The density of Gumbel's noise is $F'(x) = e^{-x} e^{-e^{-x}}$; weigh with the density of
# $u$ and add up:
#
# $$P = \int_{-\infty}^{\infty} e^{-(u - r_c)}\, e^{-e^{-(u - r_c)}}\; e^{-e^{-(u - r_r)}}\; du.$$

# %%
r_c, r_r = 1.2, 0.5
u = np.linspace(-12, 60, 200_001)
density = np.exp(-(u - r_c)) * np.exp(-np.exp(-(u - r_c)))
below = np.exp(-np.exp(-(u - r_r)))
total = np.trapezoid(density * below, u)
assert np.isclose(np.trapezoid(density, u), 1, rtol=1e-9)  # it is a density
assert np.isclose(total, sigmoid(r_c - r_r), rtol=1e-9)  # what the next two steps will derive

# %% [markdown]
# ## Step 2: gather the exponents
#
# Both inner exponents hold $e^{-u}$: $e^{-(u - r_c)} + e^{-(u - r_r)} = e^{-u}\,(e^{r_c} + e^{r_r})$. Write
# $S = e^{r_c} + e^{r_r}$, the sum of the two *worths*. The integral becomes
#
# $$P = e^{r_c} \int_{-\infty}^{\infty} e^{-u}\, e^{-S e^{-u}}\; du.$$

# %%
S = np.exp(r_c) + np.exp(r_r)
gathered = np.exp(r_c) * np.exp(-u) * np.exp(-S * np.exp(-u))
assert np.allclose(gathered, density * below, rtol=1e-9, atol=1e-300)

# %% [markdown]
# ## Step 3: substitute
#
# Put $z = e^{-u}$. Then $dz = -e^{-u} du$, and as $u$ runs from $-\infty$ to $\infty$, $z$ runs from $\infty$ to 0;
# the minus sign turns the bounds round:
#
# $$P = e^{r_c} \int_0^{\infty} e^{-S z}\, dz = \frac{e^{r_c}}{S} = \frac{e^{r_c}}{e^{r_c} + e^{r_r}}
#     = \frac{1}{1 + e^{-(r_c - r_r)}} = \sigma(r_c - r_r).$$
#
# This is the model of Bradley and Terry (1952). Nothing but the noise has been assumed.

# %%
z = np.linspace(0, 40, 400_001)
assert np.isclose(np.trapezoid(np.exp(-S * z), z), 1 / S, rtol=1e-6)
assert np.isclose(np.exp(r_c) / S, sigmoid(r_c - r_r), rtol=1e-15)
feels_better = r_c + gumbel(400_000) > r_r + gumbel(400_000)
assert abs(feels_better.mean() - sigmoid(r_c - r_r)) < 0.004

# %% [markdown]
# ## Does the noise matter?
#
# With normal noise one gets Thurstone's model (1927) and Φ in the place of σ. Stretch the axis by 1.702 and the two
# curves are nowhere further apart than one point in a hundred: to see that much, one needs ten thousand opinions on
# one pair for a standard error of half a point. σ is chosen because its logarithm has a simple slope, as lesson 4
# will show.

# %%
margin = np.linspace(-6, 6, 241)
normal = np.array([0.5 * (1 + math.erf(m / 1.702 / math.sqrt(2))) for m in margin])
assert np.abs(normal - sigmoid(margin)).max() < 0.01
assert math.sqrt(0.5 * 0.5 / 10_000) == 0.005
coarse = np.linspace(-5, 5, 11)
observed = np.array([(m + gumbel(2000) > gumbel(2000)).mean() for m in coarse])
assert np.all(np.abs(observed - sigmoid(coarse)) < 5 * np.sqrt(0.25 / 2000))


# %%
def curves(axes):
    axes.plot(margin, sigmoid(margin), color=INK, lw=2, label="σ(m): Gumbel noise")
    axes.plot(margin, normal, color=BLUE, ls="--", label="Φ(m / 1.702): normal noise")
    axes.plot(coarse, observed, "o", color=RUST, label="2000 simulated opinions each")


alt = "Probability over the margin: an S-shaped curve through one half at 0. Normal noise gives almost the same "
alt += "curve, and the simulated shares lie on both."
labels = ("margin (log-odds)", "probability that the chosen one wins")
picture(curves, "Two kinds of noise, one curve", *labels, alt)

# %% [markdown]
# ## A margin is log-odds
#
# The odds of an event are $P / (1 - P)$. Here they are $e^{r_c} / e^{r_r} = e^m$, so the margin *is* the logarithm of
# the odds: that is its unit. A margin of 0 means even odds, 1 means 2.7 to 1, and $\log 9 = 2.2$ means nine to one.
# Odds multiply along a chain, so the model knows no circles: who beats a stronger one also beats a weaker one more
# often.

# %%
odds = lambda p: p / (1 - p)
assert np.allclose(np.log(odds(sigmoid(margin))), margin, rtol=1e-12, atol=1e-12)
assert sigmoid(0.0) == 0.5
assert np.isclose(sigmoid(np.log(9)), 0.9, rtol=1e-15)
a, b, c = 1.7, 0.9, -0.4
assert np.isclose(odds(sigmoid(a - c)), odds(sigmoid(a - b)) * odds(sigmoid(b - c)), rtol=1e-12)

# %% [markdown]
# ## What comparisons cannot tell
#
# Add a constant to every reward and all margins, all probabilities, all data stay the same: the zero of the scale
# cannot be known. Its unit can: doubling all rewards changes every probability but one half. In RLHF each prompt has
# a constant of its own, because responses to different prompts are never compared.

# %%
rewards = np.array([0.3, -1.1, 2.0])
probabilities = lambda r: sigmoid(r[:, None] - r[None, :])
assert np.allclose(probabilities(rewards + 100), probabilities(rewards), rtol=1e-12)
off_diagonal = ~np.eye(3, dtype=bool)
assert np.all(np.abs(probabilities(2 * rewards) - probabilities(rewards))[off_diagonal] > 0.01)

# %% [markdown]
# ## A table to fit: baseball, 1987
#
# Seven teams of the American League East played 273 games (Agresti 2002, table 10.10). The likelihood of strengths λ
# is the product of the probabilities of what happened; its logarithm adds up $\log\sigma(\lambda_i - \lambda_j)$ over
# all games in which $i$ beat $j$.

# %%
from importlib import resources

table = read_games(resources.files("numpy_ref") / "tables" / "baseball_1987.csv")
n = len(table.items)
beat = np.zeros((n, n))  # beat[i, j]: how often i beat j
np.add.at(beat, (table.pairs.first, table.pairs.second), table.pairs.wins)
np.add.at(beat, (table.pairs.second, table.pairs.first), table.pairs.losses)
log_likelihood = lambda strength: (beat * log_sigmoid(strength[:, None] - strength[None, :])).sum()
assert (n, beat.sum()) == (7, 273)
assert np.isclose(log_likelihood(np.zeros(n)), 273 * np.log(0.5), rtol=1e-12)

# %% [markdown]
# ## Won as often as expected
#
# A team is expected to win $\sum_j n_{ij}\,\sigma(\lambda_i - \lambda_j)$ games, where $n_{ij}$ counts the games of
# $i$ and $j$. If it won more, raise its strength by the logarithm of won over expected; do so until nothing moves.
# Every such step climbs the likelihood (Zermelo 1929; Hunter 2004), and where it comes to rest each team has won
# exactly as often as expected.

# %%
games, strength, climbed = beat + beat.T, np.zeros(n), []
for _ in range(200):
    expected = (games * sigmoid(strength[:, None] - strength[None, :])).sum(1)
    strength = strength + np.log(beat.sum(1) / expected)
    climbed.append(log_likelihood(strength))
assert np.all(np.diff(climbed) > -1e-10)  # it climbs, up to rounding
assert np.allclose(expected, beat.sum(1), rtol=1e-10)
for i in range(n):  # and from there every way leads down
    assert log_likelihood(strength + 0.1 * np.eye(n)[i]) < climbed[-1] > log_likelihood(strength - 0.1 * np.eye(n)[i])

# %% [markdown]
# The project's `fit` finds the same strengths in a handful of steps, by Newton's method. They agree with the
# published ones to the last printed digit: Milwaukee first, and all teams relative to Baltimore, the weakest.

# %%
fitted = fit(table.pairs)
assert np.allclose(fitted.strength - fitted.strength.mean(), strength - strength.mean(), rtol=0, atol=1e-9)
published = {"Milwaukee": 1.58, "Detroit": 1.44, "Toronto": 1.29, "New York": 1.25, "Boston": 1.11, "Cleveland": 0.68}
relative = dict(zip(table.items, fitted.strength - fitted.strength[table.items.index("Baltimore")], strict=True))
for team, value in published.items():
    assert round(relative[team], 2) == value

# %% [markdown]
# ## How sure are we?
#
# Forty games a team do not settle much. The bars below are standard errors of the difference from the average team:
# the first four teams overlap. Only Baltimore is clearly apart.

# %%
errors = standard_errors(fitted)[:n]
order = np.argsort(fitted.strength)
top_four, last = order[-4:], order[0]
gap = fitted.strength[top_four].max() - fitted.strength[top_four].min()
assert gap < 2 * errors[top_four].min()
assert table.items[last] == "Baltimore"
assert fitted.strength[order[1]] - fitted.strength[last] > 2 * errors[last]


# %%
def strengths(axes):
    names = [table.items[i] for i in order]
    axes.errorbar(fitted.strength[order], names, xerr=errors[order], fmt="o", color=INK, capsize=3)
    axes.axvline(0, color=INK, ls=":", lw=1)


alt = "Strengths of the seven teams with one standard error: Milwaukee first, Detroit, Toronto, New York and "
alt += "Boston close behind, Cleveland below the mean, Baltimore last and apart from the others."
picture(strengths, "American League East, 1987", "strength (log-odds against the average team)", "team", alt)

# %% [markdown]
# ## When no fit exists
#
# A team that has won all its games would have an infinite strength: whatever finite value you try, a larger one is
# more likely. More generally a fit exists if and only if no group of teams has won all its games against the rest
# (Ford 1957). Reward models meet this all the time; lesson 4 returns to it.

# %%
from numpy_ref.pairs import pairs_of_games

undefeated = fit(pairs_of_games([0, 0, 1, 2], [1, 2, 2, 1]))  # 0 beat 1 and 2, these two beat each other
assert np.all(np.isnan(undefeated.strength))
assert "Ford's condition" in undefeated.problem
one_defeat = fit(pairs_of_games([0, 0, 1, 2, 1], [1, 2, 2, 1, 0]))
assert np.all(np.isfinite(one_defeat.strength))

# %% [markdown]
# ### Exercise 2.1 ★☆☆ · 10 minutes · accuracy
#
# How often does a model rank the chosen response above the rejected one? Return the share of pairs; a tie counts one
# half, since the model might as well toss a coin.


# %%
def accuracy(chosen, rejected):
    """the share of pairs with chosen > rejected, a tie counting one half        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return ((chosen > rejected) + 0.5 * (chosen == rejected)).mean()
    ### END SOLUTION


# %%
check(accuracy)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A comparison of arrays is an array of True and False, which count as 1 and 0 in a mean.
#
# </details>

# %% [markdown]
# ### Exercise 2.2 ★☆☆ · 10 minutes · the Brier score
#
# Accuracy ignores how sure the model was. The Brier score is the mean squared distance between the probability it
# gave and what happened, 0 or 1. A model without an opinion scores ¼.


# %%
def brier_score(probability, outcome):
    """mean of (probability - outcome)²        (N,), (N,) of 0 and 1 -> ()"""
    ### BEGIN SOLUTION
    return ((probability - outcome) ** 2).mean()
    ### END SOLUTION


# %%
check(brier_score)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Subtract, square, take the mean. No root: the score is in units of probability squared.
#
# </details>

# %% [markdown]
# ### Exercise 2.3 ★★☆ · 20 minutes · laws of σ
#
# Somebody gives you numbers $x$ and claims that the numbers $y$ are $\sigma(x)$. Without computing σ, say whether
# that may be true: between which bounds must $y$ lie, on which side of ½, and in which order? Your law must accept
# every right answer and notice four known mistakes.


# %%
def sigmoid_law(x, y):
    """False if y cannot be σ(x)        (N,), (N,) -> bool"""
    ### BEGIN SOLUTION
    bounded = np.all((y > 0) & (y < 1))
    right_side = np.array_equal(np.sign(y - 0.5), np.sign(x))
    steep = np.all(np.abs(y - 0.5) <= np.abs(x) / 4)  # the slope of σ is nowhere above ¼
    return bool(bounded and right_side and steep)
    ### END SOLUTION


# %%
check(sigmoid_law)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Probabilities lie between 0 and 1, and a response of higher reward wins more than half of the time. If a mistake
# still slips through: try your law on $x = 0$.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# Gumbel noise on rewards gives $P = \sigma(r_c - r_r)$ exactly, and a margin is log-odds. Comparisons know no zero,
# and without some defeat for every group no finite strengths. Lesson 3 turns the logarithm of $P$ into a loss, and
# meets the machine.

# %%
assert np.isclose(sigmoid(r_c - r_r), np.exp(r_c) / (np.exp(r_c) + np.exp(r_r)), rtol=1e-15)
assert np.isclose(fitted.log_likelihood, climbed[-1], rtol=1e-12)
assert np.isclose(log_likelihood(strength + 5), log_likelihood(strength), rtol=1e-12)
assert table.items[order[-1]] == "Milwaukee"
