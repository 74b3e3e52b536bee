# %% [markdown]
# # 2 · The Bradley-Terry model
#
# After this lesson you can
#
# - derive $P(\text{first beats second}) = \sigma(r_1 - r_2)$ from noisy impressions, and read its odds;
# - say what comparisons can never tell you, however many there are;
# - fit the strengths of seven baseball teams in two ways, with a gradient that you have written yourself;
# - say when no fit exists, and see it in the table.
#
# You need lesson 1, integrals, and matrices. Reading takes about 50 minutes, the two exercises 35.

# %%
import numpy as np

from numpy_ref import losses
from numpy_ref.bradley_terry import existence, inference
from numpy_ref.bradley_terry.games import BASEBALL, read_games
from numpy_ref.bradley_terry.strengths import fit
from numpy_ref.bradley_terry.win_counts import pairs_of_rows
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK
from numpy_ref.losses import log_sigmoid

rng = np.random.default_rng(2)

# %% [markdown]
# ## A probability from two numbers
#
# Lesson 1 ended with orders that are right most of the time. We want one number for each response, its reward $r$,
# and from two of them the probability that people prefer the first. As in lesson 1 an impression is the true value
# and noise, $u = r + g$, and the larger impression wins.
#
# For $g$ take Gumbel's distribution: $F(t) = P(g \le t) = \exp(-e^{-t})$, with density $F'(t) = e^{-t} \exp(-e^{-t})$
# by the chain rule.

# %%
cdf = lambda t: np.exp(-np.exp(-t))
density = lambda t: np.exp(-t) * np.exp(-np.exp(-t))
gumbel = rng.gumbel(size=400_000)
for t in (-1.0, 0.0, 1.0, 3.0):
    share = np.mean(gumbel <= t)
    assert abs(share - cdf(t)) < 5 * np.sqrt(share * (1 - share) / gumbel.size)
    assert np.isclose((cdf(t + 1e-5) - cdf(t - 1e-5)) / 2e-5, density(t), rtol=0, atol=1e-9)

# %% [markdown]
# Why this one? It is the distribution of a best reason: the largest of $n$ independent Gumbel numbers is a Gumbel
# number again, moved by $\log n$. For it is at most $t$ if all of them are, with probability $F(t)^n = \exp(-n
# e^{-t}) = \exp(-e^{-(t - \log n)}) = F(t - \log n)$.

# %%
t = np.linspace(-2, 8, 101)
for n in (2, 5, 100):
    assert np.allclose(cdf(t) ** n, cdf(t - np.log(n)), rtol=0, atol=1e-14)
best_of_five = gumbel.reshape(-1, 5).max(1)
assert abs(best_of_five.mean() - gumbel.mean() - np.log(5)) < 0.03  # standard error 0.005

# %% [markdown]
# ## Step 1: the first wins
#
# Let the first impression be $u$: its density is $F'(u - r_1)$, and the second one stays below it with probability
# $F(u
# - r_2)$. Add up over all $u$:
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

# %% [markdown]
# ## Step 2: the integral
#
# Substitute $s = e^{-u}$, which falls from $\infty$ to 0 while $u$ rises, with $ds = -e^{-u}\, du$; the minus sign
# turns the limits round. Write $a = e^{r_1} + e^{r_2}$; since $\frac{d}{ds}\big(-\frac{1}{a} e^{-as}\big) = e^{-as}$,
#
# $$P = \int_0^{\infty} e^{r_1} e^{-as}\, ds = e^{r_1} \Big[-\frac{1}{a} e^{-as}\Big]_0^{\infty}
#     = \frac{e^{r_1}}{a} = \frac{e^{r_1}}{e^{r_1} + e^{r_2}}.$$

# %%
assert np.isclose(by_integral, np.exp(r1) / (np.exp(r1) + np.exp(r2)), rtol=0, atol=1e-12)

# %% [markdown]
# ## Step 3: only the difference is left
#
# Divide above and below by $e^{r_1}$:
#
# $$P(\text{first beats second}) = \frac{1}{1 + e^{-(r_1 - r_2)}} = \sigma(r_1 - r_2).$$
#
# This is the Bradley-Terry model (Zermelo 1929; Bradley & Terry 1952). The simulation knows nothing of integrals and
# gives the same.


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
    axes.plot(differences, shares, "o", color=INK, ms=6, mfc="none", label="share of 50,000 simulated comparisons")
    axes.axhline(0.5, color="#777777", lw=0.8, ls=":")


alt = "Share of comparisons that the first response wins, over the difference of rewards: simulated points lie on the "
alt += "S-shaped curve of sigma, from near 0 at -4 through one half at 0 to near 1 at 4."
picture(share_and_sigma, "Noisy impressions make σ", "r₁ − r₂ (log-odds)", "P(first beats second)", alt)

# %% [markdown]
# ## What the formula says
#
# Equal rewards give ½. A reward that is far above the other gives a probability near 1: at a difference of 5 it is
# 0.993. And one of the two must win: $\sigma(m) + \sigma(-m) = 1$, because $\sigma(-m) = \frac{1}{1 + e^m} =
# \frac{e^{-m}}{e^{-m} + 1}$.

# %%
assert sigma(0.0) == 0.5
assert round(sigma(5.0), 3) == 0.993
assert np.all(np.diff(sigma(differences)) > 0)
assert np.allclose(sigma(differences) + sigma(-differences), 1, rtol=0, atol=1e-14)

# %% [markdown]
# Does it matter that the noise was Gumbel's? Thurstone (1927) took normal noise, which leads to the normal
# distribution function $\Phi$ in the place of $\sigma$. After a change of unit, by 1.702, the two curves are never
# further apart than 0.0095: no table of this course could tell them apart.

# %%
along, step = np.linspace(-12, 12, 24_001, retstep=True)
bell = np.exp(-(along**2) / 2) / np.sqrt(2 * np.pi)
normal = np.concatenate([[0], np.cumsum((bell[1:] + bell[:-1]) / 2 * step)])  # Φ, by the trapezoidal rule
assert abs(normal[-1] - 1) < 1e-12
assert 0.009 < np.abs(sigma(1.702 * along) - normal).max() < 0.0096

# %% [markdown]
# ### Exercise 2.1 ★☆☆ · 15 minutes · σ for every difference
#
# Code $\sigma$ for an array of any shape. Differences up to ±1000 are tried, where $e^{1000}$ is no floating-point
# number, and no NaN may come out.


# %%
def sigmoid(x):
    """y = 1 / (1 + e⁻ˣ)        (...) -> (...)"""
    ### BEGIN SOLUTION
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)
    ### END SOLUTION


# %%
check(sigmoid)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $e^{-|x|}$ is at most 1. For $x \ge 0$ the formula needs no other exponential; for $x < 0$ multiply it by $e^x$
# above and below.
#
# </details>

# %% [markdown]
# ## Odds multiply along a chain
#
# The odds are the wins for each loss, $\frac{P}{1 - P}$. With $1 - P = \frac{e^{r_2}}{e^{r_1} + e^{r_2}}$ they are
# $e^{r_1} / e^{r_2} = e^{r_1 - r_2}$, so a difference of rewards is the logarithm of odds: its unit is *log-odds*.
# And from $r_1 - r_3 = (r_1 - r_2) + (r_2 - r_3)$ odds multiply: if A wins 3 to 1 against B, and B 2 to 1 against C,
# then A wins 6 to 1 against C.

# %%
odds = lambda m: sigma(m) / (1 - sigma(m))
assert np.allclose(odds(differences), np.exp(differences), rtol=1e-13)
a_b, b_c = np.log(3), np.log(2)
assert np.isclose(odds(a_b), 3, rtol=1e-13)
assert np.isclose(odds(a_b + b_c), 6, rtol=1e-13)
assert np.isclose(sigma(a_b + b_c), 6 / 7, rtol=1e-13)

# %% [markdown]
# That is an assumption, not a law of nature. Three responses each of which beats the next with 60 %, round a circle,
# have odds of 1.5 at every step, and along the circle these multiply to 3.375. But any rewards give $(r_1 - r_2) +
# (r_2 - r_3) + (r_3 - r_1) = 0$, odds of 1: the model has no rock, paper and scissors.

# %%
around_the_circle = 1.5**3
assert np.isclose(around_the_circle, 3.375, rtol=1e-14)
for r in rng.normal(0, 3, (100, 3)):
    assert np.isclose(np.prod(odds(r - np.roll(r, -1))), 1, rtol=1e-9)

# %% [markdown]
# ## What cannot be known
#
# Add a constant $c$ to all rewards: $(r_1 + c) - (r_2 + c) = r_1 - r_2$, and no probability changes. So no
# comparison, and no number of them, says how high the rewards lie as a whole; and where only responses to the same
# prompt are compared, *each prompt* has such a constant of its own. A reward of 3 says nothing unless another reward,
# to the same prompt, stands beside it. The scale is known: to double all rewards is to square all odds.

# %%
first, second = rng.normal(size=(2, 1000))
height = rng.normal(0, 10, 1000)  # one constant for each prompt
assert np.allclose(sigma((first + height) - (second + height)), sigma(first - second), rtol=0, atol=1e-14)
assert np.allclose(odds(2 * (first - second)), odds(first - second) ** 2, rtol=1e-9)

# %% [markdown]
# ## The best of several
#
# Let $K$ responses be judged at once. In step 1 all others must now stay below $u$, which joins all their exponents:
# $a = \sum_j e^{r_j}$, and step 2 goes through as it stands. The chance that response $i$ is the best is
# $\frac{e^{r_i}}{\sum_j e^{r_j}}$, known as softmax, and for $K = 2$ it is $\sigma$.

# %%
r = np.array([1.0, 0.2, -0.5, 0.8])
winner = np.argmax(r + rng.gumbel(size=(400_000, 4)), axis=1)
share = np.bincount(winner) / len(winner)
expected = np.exp(r) / np.exp(r).sum()
assert np.all(np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / len(winner)))
assert np.isclose(np.exp(r1) / np.exp([r1, r2]).sum(), sigma(r1 - r2), rtol=1e-14)

# %% [markdown]
# ### Exercise 2.2 ★★☆ · 20 minutes · softmax
#
# Code it for rows of rewards: the last axis holds the responses to one prompt, and there may be further axes before
# it. Rewards up to ±800 are tried, and rows that lie far apart. What you know about constants is all you need.


# %%
def softmax(x):
    """p = eˣ / Σ eˣ over the last axis        (..., K) -> (..., K)"""
    ### BEGIN SOLUTION
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
    ### END SOLUTION


# %%
check(softmax)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A constant subtracted from a whole row changes nothing. Which constant makes the largest exponential 1? Every row
# has its own; `keepdims=True` keeps the axis, so that the shapes fit.
#
# </details>

# %% [markdown]
# ## A table: baseball, 1987
#
# Seven teams of the American League East met 13 times each (Agresti 2002, Categorical Data Analysis, 2nd edition,
# table 10.10). Here a team is what a response will be, and a game is a comparison. Let $w_{ij}$ be the games that $i$
# won against $j$; Milwaukee won most, 50 of 78, Baltimore fewest, 18.

# %%
teams, pairs, _ = read_games(BASEBALL)
wins = np.zeros((7, 7))
np.add.at(wins, (pairs.first, pairs.second), pairs.wins)
np.add.at(wins, (pairs.second, pairs.first), pairs.losses)
games, won = wins + wins.T, wins.sum(1)
assert np.array_equal(games, 13 * (1 - np.eye(7)))
assert dict(zip(teams, won, strict=True))["Milwaukee"] == won.max() == 50
assert teams[np.argmin(won)] == "Baltimore"
assert won.min() == 18

# %% [markdown]
# ## The likelihood
#
# Call the strength of team $i$, its reward, $\lambda_i$. If games are independent, the probability of the whole table
# is the product of one $\sigma$ for each game, up to a factor without $\lambda$; its logarithm is
#
# $$l(\lambda) = \sum_{i \ne j} w_{ij} \log \sigma(\lambda_i - \lambda_j).$$
#
# The fit is the $\lambda$ that makes the table most probable. Equal strengths give each of the 273 games the
# probability ½.


# %%
def log_likelihood(strength):
    return (wins * log_sigmoid(strength[:, None] - strength)).sum()  # the diagonal has no wins


assert won.sum() == 273
assert np.isclose(log_likelihood(np.zeros(7)), 273 * np.log(1 / 2), rtol=1e-14)
assert np.isclose(log_likelihood(np.arange(7.0)), log_likelihood(np.arange(7.0) + 100), rtol=1e-13)  # the shift

# %% [markdown]
# ## The gradient by hand
#
# Of $\log \sigma(d) = -\log(1 + e^{-d})$ the derivative is $\frac{e^{-d}}{1 + e^{-d}} = \sigma(-d) = 1 - \sigma(d)$.
# A strength $\lambda_i$ stands in the terms of its wins with a plus and in those of its losses with a minus. With
# $n_{ij} = w_{ij} + w_{ji}$ games,
#
# $$\frac{\partial l}{\partial \lambda_i} = \sum_j w_{ij}\,\big(1 - \sigma(\lambda_i - \lambda_j)\big)
#   - w_{ji}\, \sigma(\lambda_i - \lambda_j) = \sum_j w_{ij} - \sum_j n_{ij}\, \sigma(\lambda_i - \lambda_j).$$
#
# This is the number of games won less the number that the model expects; it is 0 where every team wins as often as it
# should.


# %%
def gradient(strength):
    """∂l/∂λ = won - expected        (7,) -> (7,)"""
    expected = (games * sigma(strength[:, None] - strength)).sum(1)
    return won - expected


at, h = rng.normal(size=7), 1e-5
difference = [(log_likelihood(at + h * e) - log_likelihood(at - h * e)) / (2 * h) for e in np.eye(7)]
assert np.allclose(gradient(at), difference, rtol=0, atol=1e-7)
assert abs(gradient(at).sum()) < 1e-12  # the shift again: along (1, ..., 1) the slope is 0

# %% [markdown]
# ## First way: multiply until it fits
#
# A team that has won more than expected should have a larger worth $e^{\lambda_i}$; so multiply the worth by $\frac{
# \text{won}}{\text{expected}}$, which adds the logarithm to $\lambda_i$. Where nothing moves any more the gradient is
# 0. Every step climbs (Zermelo 1929; Hunter 2004 shows it as an instance of minorise-maximise, MM), and there is no
# step size to choose.

# %%
path = [np.zeros(7)]
for _ in range(60):
    path.append(path[-1] + np.log(won / (won - gradient(path[-1]))))
path = np.array([strength - strength.mean() for strength in path])
climbing = [log_likelihood(strength) for strength in path[:25]]
assert np.all(np.diff(climbing) > 0)
assert np.abs(gradient(path[-1])).max() < 1e-12

# %% [markdown]
# The result can be held against a reference: strengths of these data relative to Baltimore, computed to 50 digits.
# Boston is 1.1077 above Baltimore, odds of about 3 to 1; the 13 games between the two went 12 to 1, but all the
# others have a say too.

# %%
relative = dict(zip(teams, path[-1] - path[-1][0], strict=True))
assert np.isclose(relative["Boston"], 1.107697705378655, rtol=0, atol=1e-12)
assert np.isclose(relative["Milwaukee"], 1.5813558766613942, rtol=0, atol=1e-12)
assert 3.0 < np.exp(relative["Boston"]) < 3.1
assert wins[teams.index("Boston"), teams.index("Baltimore")] == 12

# %% [markdown]
# ## Second way: Newton
#
# MM approaches slowly; second derivatives help. The derivative of $\log \sigma$ is $\sigma' / \sigma$ by the chain
# rule and $1 - \sigma$ from above, so $\sigma' = \sigma(1 - \sigma)$. With $c_{ij} = n_{ij}\, \sigma(\lambda_i -
# \lambda_j)\, \sigma(\lambda_j - \lambda_i)$ the matrix $A = -\frac{\partial^2 l}{\partial \lambda^2}$, minus the
# derivative of the gradient, has the entries $-c_{ij}$ beside the diagonal and $\sum_j c_{ij}$ on it. All its rows
# add up to 0: the shift once more.


# %%
def curvature(strength):
    """A = -∂²l/∂λ²        (7,) -> (7, 7)"""
    p = sigma(strength[:, None] - strength)
    c = games * p * p.T
    return np.diag(c.sum(1)) - c


columns = [-(gradient(at + h * e) - gradient(at - h * e)) / (2 * h) for e in np.eye(7)]
assert np.allclose(curvature(at), columns, rtol=0, atol=1e-7)
assert np.allclose(curvature(at) @ np.ones(7), 0, rtol=0, atol=1e-13)
assert np.linalg.matrix_rank(curvature(at)) == 6

# %% [markdown]
# A small change $\Delta$ of the strengths changes the gradient by about $-A\,\Delta$, so Newton's step solves
# $A\,\Delta = \nabla l$, after which little of it is left. $A$ has no inverse; of the solutions, all shifts of one,
# `lstsq` picks the shortest, which has mean 0. Four steps of Newton do what MM does in some forty: each about doubles
# the number of right digits, while a step of MM only multiplies the error by 0.58.


# %%
newton = [np.zeros(7)]
for _ in range(5):
    newton.append(newton[-1] + np.linalg.lstsq(curvature(newton[-1]), gradient(newton[-1]), rcond=None)[0])
fitted = fit(pairs)  # the project's own, by Newton with conjugate gradients
mm_errors, newton_errors = (np.abs(np.array(way) - fitted.strength).max(1) for way in (path, newton))
assert mm_errors[50] < newton_errors[4] < mm_errors[35]
assert newton_errors[5] < 1e-14
assert np.allclose(mm_errors[21:40] / mm_errors[20:39], 0.58, rtol=0, atol=0.005)
assert np.all(newton_errors[1:5] < 10 * newton_errors[:4] ** 2)  # the digits double


# %%
def two_ways(axes):
    axes.semilogy(mm_errors, color=INK, ls="--", marker="o", ms=4, label="MM")
    axes.semilogy(newton_errors, color=BLUE, marker="s", ms=7, label="Newton")
    axes.set(ylim=(1e-16, 5))


alt = "Largest error of the strengths over the step, on a log scale: MM falls along a straight line to 1e-15 in 60 "
alt += "steps, Newton plunges to 1e-11 in four steps and to rounding in five."
picture(two_ways, "Two ways to the same strengths", "step", "largest error (log-odds)", alt)

# %% [markdown]
# ## How sure?
#
# Each pair met 13 times only, and the strengths would come out otherwise in another year. The standard errors follow
# from $A$ (its inverse, apart from the shift, is the covariance of the strengths): Boston's against Baltimore is
# 0.334. The five strongest teams have bars of 1.96 standard errors that share a stretch, so their order is hardly
# known; the bar of Baltimore lies below all five.

# %%
error = inference.standard_errors(fitted)  # against the mean of all teams
by_hand = np.sqrt(np.diag(np.linalg.pinv(curvature(fitted.strength))))
assert np.allclose(error, by_hand, rtol=1e-10)
assert np.isclose(inference.standard_errors(fitted, reference=0)[teams.index("Boston")], 0.33387820698942689, rtol=1e-9)
low, high = fitted.strength - 1.96 * error, fitted.strength + 1.96 * error
five = np.argsort(-fitted.strength)[:5]
assert low[five].max() < high[five].min()  # the stretch
assert high[teams.index("Baltimore")] < low[five].min()


# %%
def bars(axes):
    order = np.argsort(fitted.strength)
    axes.errorbar(fitted.strength[order], range(7), xerr=1.96 * error[order], fmt="o", color=INK, capsize=4)
    axes.set_yticks(range(7), [teams[i] for i in order])
    axes.axvline(0, color="#777777", lw=0.8, ls=":")


alt = "Strengths of the seven teams with 95 % intervals, relative to their mean: Milwaukee, Detroit, Toronto, "
alt += "New York and Boston overlap; Cleveland is a little below 0, Baltimore far below, at about -1."
picture(bars, "Strengths in 1987, with 95 % intervals", "strength (log-odds against the mean)", "", alt)

# %% [markdown]
# The rows of the table also tell who was at home. One more number $h$, added to the strength of the home team, is
# estimated as 0.302 ± 0.131: at home the odds are 1.35 times what they are elsewhere. For responses the same term
# says how much it helps to be shown first.

# %%
at_home = fit(pairs, home=True)
assert np.isclose(at_home.home, 0.30226065552894081, rtol=0, atol=1e-10)
assert np.isclose(inference.standard_errors(at_home)[-1], 0.13094370745591709, rtol=1e-9)
assert round(np.exp(at_home.home), 2) == 1.35

# %% [markdown]
# ## When there is no fit
#
# Now let Milwaukee have won all its games. Then its gradient, won less expected, is $\sum_j n_{ij}\,\big(1 -
# \sigma(\lambda_i - \lambda_j)\big)$, which is positive for all strengths: the likelihood rises with $\lambda_i$ for
# ever, and no strength is the best. A program that returns a number here returns the place where it grew tired.

# %%
undefeated, m = wins.copy(), teams.index("Milwaukee")
undefeated[m], undefeated[:, m] = games[m], 0
likelihood = lambda lead: (undefeated * log_sigmoid(np.subtract.outer(lead, lead))).sum()
rising = [likelihood(np.where(np.arange(7) == m, lead, fitted.strength)) for lead in range(31)]
assert np.all(np.diff(rising) > 0)

# %% [markdown]
# The condition is known exactly (Ford 1957). Draw an arrow from the winner to the loser of each game: strengths exist
# if and only if the arrows lead from every team to every other. Otherwise the teams fall into groups, of which one
# has never lost to the rest, or which have never met; `fit` then gives no numbers and says why.

# %%
i, j = np.triu_indices(7, 1)
no_fit = pairs_of_rows(i, j, undefeated[i, j], undefeated[j, i])
groups = existence.groups_of(no_fit)
assert [len(group) for group in groups] == [1, 6]
assert existence.describe_groups(groups, no_fit, teams)[0].startswith("Milwaukee never lost to")
assert np.isnan(fit(no_fit).strength).all()
assert "no estimate exists" in fit(no_fit).problem
assert len(existence.groups_of(pairs)) == 1  # the real season has its fit

# %% [markdown]
# What may be done is to say what one believes before the games. Let strengths be normal with variance 1, a *prior*:
# $\frac12 \sum_i \lambda_i^2$ is taken from $l$, which bounds them. The answer is then partly the data's and partly
# ours, and should be called so.

# %%
with_prior = fit(no_fit, ridge=1.0)  # ridge = 1 / variance
assert with_prior.converged
assert np.argmax(with_prior.strength) == m
assert with_prior.strength[m] > fit(no_fit, ridge=4.0).strength[m]  # a narrower belief, a smaller strength

# %% [markdown]
# ## From teams to responses
#
# A reward model is this model with one change: instead of one $\lambda$ for each team, a network computes the reward
# of any prompt and response, so that it also speaks of responses that nobody has compared. What is minimised is the
# mean over all games of $-\log \sigma(\text{winner} - \text{loser})$, that is $-\frac{l}{273}$ here. Lesson 3 is
# about this loss.

# %%
winner, loser = np.nonzero(wins)
times = wins[winner, loser].astype(int)
winner, loser = np.repeat(winner, times), np.repeat(loser, times)  # one entry for each game
loss, _ = losses.pairwise_loss(fitted.strength[winner], fitted.strength[loser])
assert len(winner) == 273
assert np.isclose(loss, -log_likelihood(fitted.strength) / 273, rtol=1e-13)
assert loss < np.log(2)  # better than a coin

# %% [markdown]
# ## What you can now assert
#
# Gumbel noise makes $P = \sigma(r_1 - r_2)$: ½ for equal rewards, near 1 for a large difference. Differences are
# log-odds and add up along a chain; a constant in all rewards cannot be known. At the fit every team wins as often as
# expected, and there is no fit if some group has never lost to the rest. The reward model puts a network where the
# teams were.

# %%
assert sigma(0.0) == 0.5
assert np.isclose(odds(1.0) * odds(2.0), odds(3.0), rtol=1e-13)
assert np.abs(gradient(fitted.strength)).max() < 1e-10
assert np.abs(gradient(fitted.strength + 7)).max() < 1e-10
assert fit(no_fit).problem is not None is fitted.problem
