# %% [markdown]
# # 2b · Fitting strengths to a table of games
#
# After this lesson you can
#
# - write the likelihood of a table of games and its gradient;
# - fit the strengths in two ways, and say why each way climbs;
# - give standard errors, and check them by simulation;
# - say when no fit exists, and see it in the table.
#
# You need lesson 2a and matrices. Reading takes about 40 minutes, the two exercises 45.

# %%
import numpy as np

from numpy_ref import bradley_terry, losses
from numpy_ref.bradley_terry import existence, inference
from numpy_ref.bradley_terry.games import BASEBALL, read_games
from numpy_ref.bradley_terry.strengths import fit
from numpy_ref.bradley_terry.win_counts import pairs_of_rows
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK
from numpy_ref.losses import log_sigmoid, sigmoid

rng = np.random.default_rng(22)

# %% [markdown]
# ## A table: baseball, 1987
#
# Seven teams of the American League East met 13 times each (Agresti 2002, Categorical Data Analysis, 2nd edition,
# table 10.10). A team plays the part of a response, and a game is a comparison. Let $w_{ij}$ be the games that $i$ won
# against $j$.

# %%
teams, pairs, _ = read_games(BASEBALL)
wins = np.zeros((7, 7), int)
np.add.at(wins, (pairs.first, pairs.second), pairs.wins.astype(int))
np.add.at(wins, (pairs.second, pairs.first), pairs.losses.astype(int))
won = wins.sum(1)
assert np.array_equal(wins + wins.T, 13 * (1 - np.eye(7, dtype=int)))
assert won.sum() == 273
table([(team, *row, row.sum()) for team, row in zip(teams, wins, strict=True)], ("", *(t[:3] for t in teams), "won"))

# %% [markdown]
# ## The likelihood
#
# Call $\lambda_i$ the strength of team $i$; it is what a reward is for a response. If the games are independent, the
# probability of all results is a product of one $\sigma$ for each game. Its logarithm is
#
# $$l(\lambda) = \sum_{i \ne j} w_{ij} \log \sigma(\lambda_i - \lambda_j),$$
#
# and the fit is the $\lambda$ that makes $l$ largest. What is $l$ if all teams are equally strong?


# %%
def log_likelihood(strength, wins=wins):
    return (wins * log_sigmoid(strength[:, None] - strength)).sum()  # the diagonal has no wins


equal = log_likelihood(np.zeros(7))
print(f"equal strengths: l = {equal:.2f}, and 273 log(1/2) = {273 * np.log(0.5):.2f}")
assert np.isclose(equal, 273 * np.log(1 / 2), rtol=1e-14)
assert np.isclose(log_likelihood(np.arange(7.0)), log_likelihood(np.arange(7.0) + 100), rtol=1e-13)  # the shift

# %% [markdown]
# ## How one game pulls
#
# Since $\log\sigma(d) = -\log(1 + e^{-d})$, its derivative is $\frac{e^{-d}}{1 + e^{-d}}$; multiplied by $e^d$ in
# numerator and denominator this is $\frac{1}{e^d + 1} = \sigma(-d)$. So a game pulls its winner up and its loser down,
# both by $\sigma(-d)$, the probability that the model gave to the *other* result. A surprise pulls hard, an expected
# result hardly at all.


# %%
def pulls(strength, games):
    """The gradient of the log-likelihood, game by game        (7,), [(winner, loser), ...] -> (7,)"""
    slope = np.zeros(len(strength))
    for winner, loser in games:
        pull = sigmoid(strength[loser] - strength[winner])
        slope[winner] += pull
        slope[loser] -= pull
    return slope


lead = np.array([-3.0, 0.0, 3.0])
table([(d, sigmoid(d), sigmoid(-d)) for d in lead], ("lead of the winner", "P of this result", "pull"))

# %%
one_game_each = [(i, j) for i, j in zip(*np.nonzero(wins), strict=True) for _ in range(wins[i, j])]
at, h = rng.normal(size=7), 1e-5
difference = [(log_likelihood(at + h * e) - log_likelihood(at - h * e)) / (2 * h) for e in np.eye(7)]
assert len(one_game_each) == 273
assert np.allclose(pulls(at, one_game_each), difference, rtol=0, atol=1e-7)
assert pulls(lead, [(0, 1)])[0] == sigmoid(3.0)
table(
    zip(teams, pulls(at, one_game_each), difference, strict=True), ("team", "sum of the pulls", "difference quotient")
)

# %% [markdown]
# ### Exercise 2.3 ★★☆ · 20 minutes · the gradient of the strengths
#
# 273 games take 273 steps; a million games take a million. Collect the pulls of all games between $i$ and $j$ and
# write the gradient from the table of wins alone, without a loop over games. You will find that it says something
# simple about the games that team $i$ has won: what is 0 at the fit?


# %%
def strengths_gradient(wins, strength):
    """∂l/∂λ, where i has beaten j wins[i, j] times        (K, K) ints, (K,) -> (K,)"""
    ### BEGIN SOLUTION
    p = sigmoid(strength[:, None] - strength)
    expected = ((wins + wins.T) * p).sum(1)
    return wins.sum(1) - expected
    ### END SOLUTION


# %%
check(strengths_gradient)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Team $i$ is pulled up by $w_{ij}\,\sigma(\lambda_j - \lambda_i)$ and down by $w_{ji}\,\sigma(\lambda_i - \lambda_j)$.
# Write the first factor as $1 - \sigma(\lambda_i - \lambda_j)$ and collect.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `p = sigmoid(strength[:, None] - strength)` is the table of all probabilities.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# The sum is (games won) - (games that the model expects the team to win). Expected are `((wins + wins.T) * p).sum(1)`;
# at the fit each team has won exactly as many games as the model expects.
#
# </details>

# %% [markdown]
# ## First way: climb under a bound (MM)
#
# In worths $v_i = e^{\lambda_i}$ a win has probability $\frac{v_i}{v_i + v_j}$, so $l = \sum_i \text{won}_i \log v_i -
# \sum_{i < j} n_{ij} \log(v_i + v_j)$ with $n_{ij} = w_{ij} + w_{ji}$. The sums $v_i + v_j$ tie all teams together.
# The logarithm lies below its tangents: $\log x \le \log y + \frac{x - y}{y}$. At the present worths $v'$, with $y =
# v'_i + v'_j$, this separates them:
#
# $$l(v) \;\ge\; Q(v) = \sum_i \text{won}_i \log v_i - \sum_{i < j} n_{ij} \Big( \log y_{ij} + \frac{v_i + v_j -
# y_{ij}}{y_{ij}} \Big), \qquad l(v') = Q(v').$$


# %%
def surrogate(v, present):
    """Q: below l everywhere, equal to it at the present worths"""
    i, j = np.triu_indices(7, 1)
    y = present[i] + present[j]
    n = (wins + wins.T)[i, j]
    return (won * np.log(v)).sum() - (n * (np.log(y) + (v[i] + v[j] - y) / y)).sum()


present = np.exp(rng.normal(0, 0.5, 7))
others = np.exp(rng.normal(0, 1, (1000, 7)))
gap = np.array([log_likelihood(np.log(v)) - surrogate(v, present) for v in others])
print(f"l - Q at 1000 other places: at least {gap.min():.1f}; at the present one: 0.0")
assert gap.min() > 0
assert np.isclose(log_likelihood(np.log(present)), surrogate(present, present), rtol=1e-13)

# %% [markdown]
# The worths that maximise $Q$ have a likelihood of at least $Q \ge Q(v') = l(v')$, so every such step climbs. No step
# size is chosen (Zermelo 1929; Hunter 2004 gives it as an instance of minorise-maximise, MM, and proves that the steps
# converge to the fit where one exists; we cite that proof).

# %% [markdown]
# ### Exercise 2.4 ★★☆ · 25 minutes · one MM step
#
# In $Q$ every worth stands by itself: differentiate by $v_i$, set the result to 0 and solve. Code the new worths for
# any table of wins.


# %%
def mm_step(wins, worth):
    """The worths that maximise Q at the present ones        (K, K) ints, (K,) -> (K,)"""
    ### BEGIN SOLUTION
    games = wins + wins.T
    sums = worth[:, None] + worth
    return wins.sum(1) / (games / sums).sum(1)
    ### END SOLUTION


# %%
check(mm_step)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The derivative of $\text{won}_i \log v_i$ is $\text{won}_i / v_i$. Of the bound only the terms $v_i / y_{ij}$ depend
# on $v_i$.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# $\frac{\text{won}_i}{v_i} = \sum_j \frac{n_{ij}}{y_{ij}}$, where `y = worth[:, None] + worth`.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Divide `wins.sum(1)` by `((wins + wins.T) / y).sum(1)`. The diagonal of the games is 0, so a team does not meet
# itself.
#
# </details>

# %% [markdown]
# The step can also be read without worths: multiplied by $v'_i$ above and below, the new worth is the old one times
# $\frac{\text{won}}{\text{expected}}$. Who has won more than expected becomes stronger. Let us take 60 such steps from
# equal strengths.

# %%
expected = lambda strength: ((wins + wins.T) * sigmoid(strength[:, None] - strength)).sum(1)
slope = lambda strength: won - expected(strength)
path = [np.zeros(7)]
for _ in range(60):
    path.append(path[-1] + np.log(won / expected(path[-1])))
path = np.array([strength - strength.mean() for strength in path])
climbing = [log_likelihood(strength) for strength in path]
print("l after 0, 1, 5, 20 steps:", [round(float(climbing[n]), 3) for n in (0, 1, 5, 20)])
assert np.all(np.diff(climbing[:25]) > 0)
assert np.abs(slope(path[-1])).max() < 1e-12

# %% [markdown]
# Strengths of these data relative to Baltimore have also been computed to 50 digits, and these steps agree with them.
# Boston is 1.11 above Baltimore, odds of about 3 to 1. The 13 games between the two went 12 to 1: why is the estimate
# not log 12 = 2.48?

# %%
relative = dict(zip(teams, path[-1] - path[-1][0], strict=True))
boston, baltimore = teams.index("Boston"), teams.index("Baltimore")
assert np.isclose(relative["Boston"], 1.107697705378655, rtol=0, atol=1e-12)
assert np.isclose(relative["Milwaukee"], 1.5813558766613942, rtol=0, atol=1e-12)
assert wins[boston, baltimore] == 12  # the other 60 games of each team have a say too
table([(team, int(won[i]), relative[team], np.exp(relative[team])) for i, team in enumerate(teams)],
      ("team", "won", "strength", "odds against Baltimore"), 2)  # fmt: skip

# %% [markdown]
# ## Second way: Newton
#
# Second derivatives make fewer steps. Let $s = \sigma(d)$; from $s' = \frac{e^{-d}}{(1 + e^{-d})^2} = s\,(1 - s)$ the
# expected wins change by $n_{ij}\, s_{ij} (1 - s_{ij}) =: c_{ij}$ if the lead of $i$ over $j$ changes by 1. So $A =
# -\frac{\partial^2 l}{\partial \lambda^2}$ has $\sum_j c_{ij}$ on the diagonal, where $\lambda_i$ changes itself, and
# $-c_{ij}$ beside it. All its rows sum to 0: the shift once more.


# %%
def curvature(strength):
    """A = -∂²l/∂λ²        (7,) -> (7, 7)"""
    s = sigmoid(strength[:, None] - strength)
    c = (wins + wins.T) * s * (1 - s)
    return np.diag(c.sum(1)) - c


columns = [-(slope(at + h * e) - slope(at - h * e)) / (2 * h) for e in np.eye(7)]
rank = int(np.linalg.matrix_rank(curvature(at)))
print(f"A has {len(columns)} rows and rank {rank}")
assert np.allclose(curvature(at), columns, rtol=0, atol=1e-7)
assert np.allclose(curvature(at) @ np.ones(7), 0, rtol=0, atol=1e-13)
assert rank == 6

# %% [markdown]
# A small change $\Delta$ of the strengths changes the gradient by about $-A\,\Delta$. Newton's step therefore solves
# $A\,\Delta = \nabla l$: almost nothing of the gradient is left. $A$ has no inverse; all solutions differ by a shift,
# and `lstsq` returns the one of mean 0. Guess: how many steps does Newton need for ten digits, where MM needs 40?

# %%
newton = [np.zeros(7)]
for _ in range(5):
    newton.append(newton[-1] + np.linalg.lstsq(curvature(newton[-1]), slope(newton[-1]), rcond=None)[0])
fitted = fit(pairs)  # the project's own
mm_errors, newton_errors = (np.abs(np.array(way) - fitted.strength).max(1) for way in (path, newton))
assert mm_errors[50] < newton_errors[4] < mm_errors[35]
assert newton_errors[5] < 1e-14
assert np.all(newton_errors[1:5] < 10 * newton_errors[:4] ** 2)  # the number of right digits doubles
digits = lambda error: str(int(-np.log10(error)))
table([(n, digits(mm_errors[n]), digits(newton_errors[n])) for n in range(5)], ("step", "right digits, MM", "Newton"))

# %%
shrinks = mm_errors[21:40] / mm_errors[20:39]
print(f"each step of MM multiplies the error by {shrinks.mean():.2f}")
assert np.allclose(shrinks, 0.58, rtol=0, atol=0.005)


# %%
def two_ways(axes):
    axes.semilogy(mm_errors, color=INK, ls="--", marker="o", ms=4, label="MM")
    axes.semilogy(newton_errors, color=BLUE, marker="s", ms=7, label="Newton")
    axes.set(ylim=(1e-16, 5))


alt = "Largest error of the strengths over the step, on a log scale: MM falls along a straight line to 1e-15 in 60 "
alt += "steps, Newton plunges to 1e-11 in four steps and to rounding in five."
picture(two_ways, "Two ways to the same strengths", "step", "largest error (log-odds)", alt, size=(5.4, 4))

# %% [markdown]
# ## How sure?
#
# Another season would give other strengths. The theory of maximum likelihood, which we cite and do not derive, says
# that for many games the estimate is about normal, with the inverse of $A$ as its covariance (the pseudo-inverse here,
# because of the shift). A simulation needs no theory: play 400 seasons with the fitted strengths, fit each, and look
# how far the estimates scatter.

# %%
i, j = np.triu_indices(7, 1)
p = sigmoid(fitted.strength[i] - fitted.strength[j])
seasons = [rng.binomial(13, p) for _ in range(400)]
refits = np.array([fit(pairs_of_rows(i, j, w, 13 - w)).strength for w in seasons])
by_theory = np.sqrt(np.diag(np.linalg.pinv(curvature(fitted.strength))))
by_seasons = np.nanstd(refits, axis=0)
assert np.allclose(by_seasons / by_theory, 1, rtol=0, atol=0.15)
assert np.allclose(inference.standard_errors(fitted), by_theory, rtol=1e-10)
table(zip(teams, fitted.strength, by_theory, by_seasons, strict=True),
      ("team", "strength", "standard error", "scatter of 400 seasons"), 2)  # fmt: skip

# %% [markdown]
# With 1.96 standard errors to both sides, the bars of the five strongest teams have a stretch in common, so their order
# is hardly known. The bar of Baltimore lies below all five.

# %%
low, high = fitted.strength - 1.96 * by_theory, fitted.strength + 1.96 * by_theory
five = np.argsort(-fitted.strength)[:5]
print(f"the five bars share {low[five].max():.2f} to {high[five].min():.2f}; Baltimore's ends at {high[baltimore]:.2f}")
assert low[five].max() < high[five].min()
assert high[baltimore] < low[five].min()


# %%
def bars(axes):
    order = np.argsort(fitted.strength)
    axes.errorbar(fitted.strength[order], range(7), xerr=1.96 * by_theory[order], fmt="o", color=INK, capsize=4)
    axes.set_yticks(range(7), [teams[i] for i in order])
    axes.axvline(0, color="#777777", lw=0.8, ls=":")


alt = "Strengths of the seven teams with 95 % intervals, relative to their mean: Milwaukee, Detroit, Toronto, "
alt += "New York and Boston overlap; Cleveland is a little below 0, Baltimore far below, at about -1."
picture(bars, "Strengths in 1987, with 95 % intervals", "strength (log-odds against the mean)", "", alt, size=(5.4, 4))

# %% [markdown]
# ## One call
#
# All of this is one call: `bradley_terry.fit` takes the games as they are, with the names of the teams, and gives
# strengths, standard errors, and the probability of any game. Two bars that overlap do not decide whether two teams
# differ: `compare` gives the difference itself, with a standard error that knows that both were measured together.

# %%
games = [(teams[a], teams[b], int(wins[a, b])) for a, b in zip(*np.nonzero(wins), strict=True)]
answer = bradley_terry.fit(games)  # (winner, loser, how often)
place = [answer.index(team) for team in teams]
assert np.allclose(answer.strength[place], fitted.strength, rtol=0, atol=1e-12)
assert np.allclose(answer.standard_error[place], by_theory, rtol=1e-9)
columns = ("item", "strength", "standard_error", "games")
table(zip(*(answer.table[name] for name in columns), strict=True), columns, 2)

# %%
apart = answer.compare("Boston", "Baltimore")
print(f"P(Boston beats Baltimore) = {answer.predict('Boston', 'Baltimore'):.2f}")
print(f"Boston leads by {apart.difference:.2f}, 95 % interval {apart.low:.2f} to {apart.high:.2f}")
assert np.isclose(apart.difference, relative["Boston"], rtol=0, atol=1e-12)
assert np.isclose(answer.predict("Boston", "Baltimore"), sigmoid(apart.difference))

# %% [markdown]
# The file also says who played at home. Add one number $h$ to the strength of the home team and fit it with the rest.
# For responses the same term measures how much it helps to be shown first.

# %%
at_home = fit(pairs, home=True)
home_error = inference.standard_errors(at_home)[-1]
print(f"h = {at_home.home:.2f} ± {home_error:.2f}: at home the odds are {np.exp(at_home.home):.2f} times as large")
assert np.isclose(at_home.home, 0.30226065552894081, rtol=0, atol=1e-10)
assert np.isclose(home_error, 0.13094370745591709, rtol=1e-9)

# %% [markdown]
# ## When there is no fit
#
# Now let Milwaukee have won all its games. Its gradient is the number of games won minus the expected number, which is
# smaller whatever the strengths are. So the likelihood rises with $\lambda_\text{Milwaukee}$ for ever, and no strength
# is the best. A program that returns a number here returns the place where it stopped.

# %%
undefeated, m = wins.copy(), teams.index("Milwaukee")
undefeated[m], undefeated[:, m] = (wins + wins.T)[m], 0
leads = (0, 1, 2, 4, 8, 16)
rising = [log_likelihood(np.where(np.arange(7) == m, lead, fitted.strength), undefeated) for lead in leads]
assert np.all(np.diff(rising) > 0)
table([(lead, f"{value:.3f}") for lead, value in zip(leads, rising, strict=True)], ("Milwaukee's strength", "l"))

# %% [markdown]
# The exact condition is known (Ford 1957, cited). Draw an arrow from the winner to the loser of each game: strengths
# exist if and only if one can go along the arrows from every team to every other. Otherwise the teams fall into groups,
# and some group has never lost to the rest or has never met it; `fit` then returns no numbers and says why.

# %%
no_fit = pairs_of_rows(i, j, undefeated[i, j], undefeated[j, i])
groups = existence.groups_of(no_fit)
print(existence.describe_groups(groups, no_fit, teams)[0])
print("groups of the real season:", len(existence.groups_of(pairs)))
assert [len(group) for group in groups] == [1, 6]
assert np.isnan(fit(no_fit).strength).all()
assert "no estimate exists" in fit(no_fit).problem
assert len(existence.groups_of(pairs)) == 1

# %% [markdown]
# One remedy is to say what one believes before the games. Let strengths be normal with mean 0 and variance 1,
# a *prior*: this subtracts $\frac12 \sum_i \lambda_i^2$ from $l$ and keeps the strengths finite. The answer then
# depends on the data and on our belief, and the report must say so.

# %%
priors = {variance: fit(no_fit, ridge=1 / variance) for variance in (0.25, 1.0, 4.0)}
strengths = [fitted_with.strength[m] for fitted_with in priors.values()]
assert np.all(np.diff(strengths) > 0)  # a wider belief, a larger strength
assert all(np.argmax(fitted_with.strength) == m for fitted_with in priors.values())
table(zip(priors, strengths, strict=True), ("variance of the prior", "Milwaukee's strength"), 2)

# %% [markdown]
# ## From teams to responses
#
# A reward model changes one thing: a network computes the reward of any prompt and response, in place of one $\lambda$
# for each team, so that it also speaks about responses that nobody has compared. Training minimises the mean of $-\log
# \sigma(r_\text{chosen} - r_\text{rejected})$ over all comparisons, which is $-l / 273$ here.

# %%
winner, loser = np.array(one_game_each).T
loss, _ = losses.pairwise_loss(fitted.strength[winner], fitted.strength[loser])
coin, _ = losses.pairwise_loss(np.zeros(273), np.zeros(273))
print(f"loss per game: {loss:.4f} nats at the fit, {coin:.4f} for equal strengths")
assert np.isclose(loss, -log_likelihood(fitted.strength) / 273, rtol=1e-13)
assert loss < coin == np.log(2)

# %% [markdown]
# ## What you can now assert
#
# At the fit every team has won as many games as the model expects. MM climbs because it maximises a bound that touches
# the likelihood; Newton doubles the right digits in each step. Standard errors come from the curvature and agree with
# simulated seasons. There is no fit if some group has never lost to the rest.

# %%
assert np.abs(slope(fitted.strength)).max() < 1e-10
assert np.abs(slope(fitted.strength + 7)).max() < 1e-10
assert climbing[-1] >= max(climbing[:-1]) - 1e-10
assert fit(no_fit).problem is not None is fitted.problem

# %% [markdown]
# ## Three questions
#
# <details><summary>Boston won 12 of 13 games against Baltimore. Why is the fitted difference not log 12?</summary>
#
# One strength must explain all 78 games of a team. Against the other five the two teams differed less.
#
# </details>
# <details><summary>Two leagues never meet. Can you compare their teams?</summary>
#
# No. The strengths of each league have a shift of their own, which no game fixes.
#
# </details>
# <details><summary>Why does an MM step need no step size?</summary>
#
# It jumps to the maximum of a bound that lies below the likelihood and touches it. The likelihood there is at least as
# large as the bound.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# The fit for tables of any size: [numpy_ref/bradley_terry/strengths.py](../numpy_ref/bradley_terry/strengths.py). When
# it exists: [numpy_ref/bradley_terry/existence.py](../numpy_ref/bradley_terry/existence.py). Standard errors:
# [numpy_ref/bradley_terry/inference.py](../numpy_ref/bradley_terry/inference.py). Next is lesson 3: the loss in
# floating point.
