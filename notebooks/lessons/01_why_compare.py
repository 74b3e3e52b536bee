# %% [markdown]
# # 1 · Why compare instead of rate?
#
# After this lesson you can
#
# - say which part of a rater's taste spoils ratings, and prove that it leaves comparisons alone;
# - compute percent agreement and Cohen's kappa, and say why the one must not be read as the other;
# - check a published figure against its source, and say what one row of training data is.
#
# You need means, variances and correlations. Reading takes about 35 minutes, the two exercises 35.

# %%
import numpy as np

from numpy_ref.check.cell import check
from numpy_ref.evaluation.agreement import cohen_kappa as kappa_and_error
from numpy_ref.evaluation.agreement import percent_agreement
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST

rng = np.random.default_rng(1)

# %% [markdown]
# ## Three raters of one taste
#
# A reward model learns from people's judgements, so we begin with the people. Suppose that every response has a
# quality $q$, that all raters perceive it alike, and that each writes it down in a way of their own: $\text{rating} =
# a + b\,q$, with an offset $a$ (mild or severe) and a scale $b > 0$ (bold or cautious). Below, responses have
# standard normal qualities, and ratings are rounded to the seven points of a usual form.


# %%
def seven_points(impression):
    """The nearest of the labels 1 to 7; a quality of 0, rated with offset 0, is a 4"""
    return np.clip(np.rint(4 + impression), 1, 7).astype(int)


quality = rng.normal(size=2000)
offset, scale = np.array([[1.2], [0.0], [-1.0]]), np.array([[0.6], [1.8], [1.1]])  # one row for each rater
impression = offset + scale * quality  # (3 raters, 2000 responses)
rating = seven_points(impression)
assert np.allclose(np.corrcoef(impression), 1, rtol=0, atol=1e-12)  # one taste
assert all(np.mean(rating[a] == rating[b]) < 0.35 for a, b in ((0, 1), (0, 2), (1, 2)))

# %% [markdown]
# The three raters agree perfectly about the responses, and two of them write the same label for fewer than 35 % of
# these. In the figure each rater is a stair: what differs is where it lies and how steep it is. Where two stairs
# meet, the labels agree by accident.


# %%
def three_stairs(axes):
    along = np.linspace(-2.5, 2.5, 501)
    for name, a, b, line in zip("ABC", offset[:, 0], scale[:, 0], ("-", "--", ":"), strict=True):
        axes.step(along, seven_points(a + b * along), where="mid", color=INK, ls=line, lw=1.8, label=f"rater {name}")
    axes.set(yticks=range(1, 8))


alt = "Ratings of three raters over the quality of a response: three rising stairs of different height and steepness."
picture(three_stairs, "One taste, three ways to write it down", "quality of the response", "rating (1 to 7)", alt)

# %% [markdown]
# ## A comparison cancels both
#
# Now ask one rater which of two responses is better. The rater compares two impressions, and their difference is
#
# $$(a + b\,q_1) - (a + b\,q_2) = a - a + b\,q_1 - b\,q_2 = b\,(q_1 - q_2).$$
#
# The offset has cancelled, and since $b > 0$ the difference has the sign of $q_1 - q_2$, whatever $b$ is.


# %%
def prefers_first(impression):
    """Responses in pairs, 0 with 1, 2 with 3, ...: is the first of each the better one?  (..., 2N) -> (..., N)"""
    return impression[..., ::2] > impression[..., 1::2]


lead = quality[::2] - quality[1::2]
assert np.allclose(impression[:, ::2] - impression[:, 1::2], scale * lead, rtol=0, atol=1e-12)
assert np.array_equal(prefers_first(impression), np.tile(lead > 0, (3, 1)))

# %% [markdown]
# Comparing the two *labels* afterwards is not the same: rounding makes equal labels of unequal impressions. Rater A,
# whose scale is small, gives two pairs of five the same label twice, and whoever sees only the form learns nothing
# about these. So the question must be put as a comparison.

# %%
tied = rating[:, ::2] == rating[:, 1::2]
assert tied[0].mean() > 0.4
assert np.all(tied.mean(1) > 0.15)

# %% [markdown]
# ### Exercise 1.1 ★☆☆ · 10 minutes · the share of pairs in the right order
#
# You have numbers for the better and the worse response of $B$ pairs. What share of the pairs do they put in the
# right order? A tie says nothing, so it counts one half: then somebody who gives everything the same number gets the
# ½ of a coin, and exchanging the two arguments turns the share $s$ into $1 - s$.


# %%
def accuracy(chosen, rejected):
    """The share of pairs with chosen > rejected, a tie counting one half        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.mean((chosen > rejected) + 0.5 * (chosen == rejected))
    ### END SOLUTION


# %%
check(accuracy)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `chosen > rejected` is an array of True and False, which count as 1 and 0. The mean of such an array is a share. Do
# not compare floats with a tolerance here: a tie is equality.
#
# </details>

# %% [markdown]
# ## Noise does not cancel
#
# People also waver: $\text{impression} = a + b\,(q + \varepsilon)$, where $\varepsilon$ is new for every rater and
# response. Let $\varepsilon$ be normal with variance $s^2$. The perceived leads of two raters, $q_1 + \varepsilon_1 -
# q_2 - \varepsilon_2$, have variance $2 + 2s^2$ each, and share only the part $q_1 - q_2$, of variance 2: their
# correlation is $\rho = \frac{2}{2 + 2s^2} = \frac{1}{1 + s^2}$.


# %%
def perceived(noise, raters=2, responses=400_000):
    """q + ε of each rater, for responses of standard normal quality        -> (raters, responses)"""
    return rng.normal(size=responses) + noise * rng.normal(size=(raters, responses))


for noise in (0.3, 0.73, 2.0):
    seen = perceived(noise)
    rho = np.corrcoef(seen[:, ::2] - seen[:, 1::2])[0, 1]
    assert abs(rho - 1 / (1 + noise**2)) < 0.01  # 200,000 pairs: standard error at most 0.0022

# %% [markdown]
# Two normal variables of mean 0 and correlation $\rho$ have the same sign with probability $\frac12 +
# \frac{1}{\pi}\arcsin\rho$ (Sheppard 1899). So two raters order a pair alike with this probability, whatever their
# offsets and scales. With $s = 0.73$ it is 72.6 %, a figure that we shall meet again.


# %%
def same_order(noise):
    """P(two raters order a pair alike) = 1/2 + arcsin(ρ) / π,  ρ = 1 / (1 + s²)"""
    return 0.5 + np.arcsin(1 / (1 + noise**2)) / np.pi


for noise in (0.0, 0.3, 0.73, 2.0):
    first, second = prefers_first(perceived(noise))
    share, standard_error = percent_agreement(first, second)
    assert abs(share - same_order(noise)) <= 5 * standard_error
assert round(same_order(0.73), 3) == 0.726

# %% [markdown]
# ## How much agreement is luck?
#
# May we now compare 72.6 % of orders with the percentage of equal ratings? No: two people who toss coins agree on
# half of the orders, and two who roll dice of seven faces agree on a seventh of the ratings. An agreement means
# something only beside the agreement that luck would give.

# %%
coins, dice = rng.integers(0, 2, (2, 100_000)), rng.integers(1, 8, (2, 100_000))
for labels, luck in ((coins, 1 / 2), (dice, 1 / 7)):
    share, standard_error = percent_agreement(*labels)
    assert abs(share - luck) < 5 * standard_error

# %% [markdown]
# Cohen's kappa (Cohen 1960) puts luck at 0 and full agreement at 1. Let $p_o$ be the observed agreement. If the two
# labelled independently, each label $k$ as often as they do, they would agree with probability $p_e = \sum_k
# P_\text{first}(k)\,P_\text{second}(k)$; of the room above that, $1 - p_e$, they use
#
# $$\kappa = \frac{p_o - p_e}{1 - p_e}.$$


# %%
def kappa_from(p_o, p_e):
    return (p_o - p_e) / (1 - p_e)


for labels, luck in ((coins, 1 / 2), (dice, 1 / 7)):
    kappa, standard_error = kappa_and_error(*labels)
    assert abs(kappa) < 5 * standard_error  # luck is 0
    assert abs(kappa - kappa_from(percent_agreement(*labels)[0], luck)) < 0.001
    assert kappa_and_error(labels[0], labels[0])[0] == 1  # full agreement is 1

# %% [markdown]
# ### Exercise 1.2 ★★☆ · 25 minutes · Cohen's kappa
#
# Two raters gave one label each to $N$ items; labels are whole numbers, any and as many as they like. Code $p_o$ and
# $p_e$ from their definitions, then $\kappa$.


# %%
def cohen_kappa(a, b):
    """κ = (p_o - p_e) / (1 - p_e)        (N,) ints, (N,) ints -> ()"""
    ### BEGIN SOLUTION
    observed = np.mean(a == b)
    expected = sum(np.mean(a == label) * np.mean(b == label) for label in np.union1d(a, b))
    return (observed - expected) / (1 - expected)
    ### END SOLUTION


# %%
check(cohen_kappa)

# %% [markdown]
# <details><summary>Hint</summary>
#
# $P_\text{first}(k)$ is `np.mean(a == k)`. Which labels does the sum run over? All that either rater used:
# `np.union1d(a, b)`. Each rater has rates of their own; do not pool the two.
#
# </details>

# %% [markdown]
# ## One percentage, many kappas
#
# Let both raters say "the first" with probability $p$, and agree on a share $p_o$ of the pairs. Then $p_e = p^2 + (1
# - p)^2$, so $1 - p_e = 2p(1 - p)$, and $\kappa = 1 - \frac{1 - p_o}{1 - p_e} = 1 - \frac{1 - p_o}{2p(1 - p)}$. With
# 72.6 % agreement and two balanced outcomes kappa is 0.45; if one outcome has 80 % of the labels it is 0.14, and
# beyond 83.6 % it is below luck.

# %%
kappa_at = lambda p, p_o=0.726: 1 - (1 - p_o) / (2 * p * (1 - p))
assert round(kappa_at(0.5), 2) == 0.45
assert round(kappa_at(0.8), 2) == 0.14
assert kappa_at(0.836) > 0 > kappa_at(0.837)
assert np.isclose(kappa_at(0.8), kappa_from(0.726, 0.8**2 + 0.2**2), rtol=1e-12)


# %%
def kappa_by_balance(axes):
    p = np.linspace(0.137, 0.863, 400)  # further out 72.6 % agreement is not possible: half of 27.4 % disagree each way
    axes.plot(p, kappa_at(p), color=INK, lw=2)
    axes.axhline(0, color="#777777", lw=0.8, ls=":")
    for at, words, place in ((0.5, "balanced: 0.45", (52, 10)), (0.8, "four to one: 0.14", (-10, -4))):
        axes.plot(at, kappa_at(at), "o", color=RUST, ms=7)
        axes.annotate(words, (at, kappa_at(at)), place, textcoords="offset points", ha="right")
    axes.set(ylim=(-0.2, 0.55))


# %%
alt = (
    "Cohen's kappa over the share of the label 'first', all at 72.6 % agreement: an arch from below 0 at both ends to "
)
alt += "0.45 in the middle; at a share of 0.8 it is 0.14."
labels = ("share of pairs on which a rater says: the first", "Cohen's kappa")
picture(kappa_by_balance, "72.6 % agreement is not one kappa", *labels, alt)

# %% [markdown]
# ## Rankings agree better than ratings: the mechanism
#
# Now the claim can be put fairly, kappa against kappa. Raters A and B judge the same responses, first by seven
# points, then in pairs. For orders $p_e = \frac12$, so $\kappa = 2 p_o - 1 = \frac{2}{\pi}\arcsin\rho$. At every
# level of noise shown the orders agree better, and without noise they agree perfectly where the ratings hardly do.

# %%
noises = np.array([0, 0.1, 0.2, 0.35, 0.5, 0.73, 1, 1.4, 2])
own, shared, quadratic = [], [], []
for noise in noises:
    seen = perceived(noise, responses=40_000)
    own.append(kappa_and_error(*seven_points(offset[:2] + scale[:2] * seen))[0])
    shared.append(kappa_and_error(*seven_points(1.4 * seen))[0])
    quadratic.append(kappa_and_error(*seven_points(1.4 * seen), weights="quadratic")[0])
of_orders = 2 * same_order(noises) - 1
assert np.all(of_orders - own > 0.08)
assert own[0] < 0.1 < 1 == of_orders[0]


# %%
def kappas_over_noise(axes):
    axes.plot(noises, of_orders, color=BLUE, lw=2.5, label="orders, any offsets and scales")
    calibrated = "ratings, one offset and scale"
    axes.plot(noises, quadratic, color=INK, ls=":", marker="^", label=calibrated + ", near misses count")
    axes.plot(noises, shared, color=INK, ls="--", marker="s", label=calibrated)
    axes.plot(noises, own, color=RUST, ls="-.", marker="o", label="ratings, offsets and scales of their own")
    axes.set(ylim=(-0.03, 1.05))


alt = "Kappa over the noise of the raters. Orders fall from 1 to 0.13. Ratings of raters with their own offsets and "
alt += "scales stay below 0.1; with one offset and scale they lie between, and above the orders if near misses count."
picture(kappas_over_noise, "What two raters agree on", "noise of a rater s (in units of quality)", "kappa", alt)

# %% [markdown]
# The figure also says where the claim ends. Give both raters one offset and one scale: without noise the gap is gone,
# so offsets and scales had made it. With noise, kappa takes a 5 beside a 6 for as much of a disagreement as a 1
# beside a 7; if near misses count as near (quadratic weights, Cohen 1968), these calibrated ratings even agree
# *better* than orders.

# %%
assert np.isclose(shared[0], 1, rtol=1e-12)
assert np.all(np.array(shared) > own)
assert np.all(of_orders[1:] > shared[1:])
assert np.all(np.array(quadratic[1:]) > of_orders[1:])

# %% [markdown]
# ## What people reach: three annotators of PandaLM
#
# Three people judged the same 999 pairs of responses: tie, first or second (Wang et al. 2023, arXiv:2306.05087; test
# set of the repository WeOpenML/PandaLM, Apache-2.0). Below are the counts: `counts["1, 2"][i][j]` pairs had the
# label $i$ from annotator 1 and $j$ from annotator 2. They give the published kappas of 0.85, 0.88 and 0.86: people
# who compare can agree well, though these data hold no ratings to set beside that.

# %%
counts = {  # rows and columns: tie, first, second
    "1, 2": np.array([[89, 0, 8], [16, 388, 23], [11, 29, 435]]),
    "1, 3": np.array([[89, 2, 6], [15, 391, 21], [9, 18, 448]]),
    "2, 3": np.array([[97, 13, 6], [10, 379, 28], [6, 19, 441]]),
}
for (pair, table), expected in zip(counts.items(), (0.852, 0.879, 0.862), strict=True):
    p = table / 999
    kappa = kappa_from(np.trace(p), p.sum(1) @ p.sum(0))
    assert round(kappa, 3) == expected, pair

# %% [markdown]
# The same from labels: row $i$, column $j$ of a table stands for that many pairs of labels. The standard error
# (Fleiss, Cohen & Everitt 1969) says how far chance alone may carry such a figure: about 0.014, so that the
# differences between the three kappas mean little.

# %%
for table in counts.values():
    first, second = np.divmod(np.repeat(np.arange(9), table.ravel()), 3)
    kappa, standard_error = kappa_and_error(first, second)
    p = table / 999
    assert np.isclose(kappa, kappa_from(np.trace(p), p.sum(1) @ p.sum(0)), rtol=1e-12)
    assert 0.012 < standard_error < 0.016

# %% [markdown]
# ## A figure to check: 0.42 against 0.73
#
# One can read that InstructGPT (Ouyang et al. 2022, arXiv:2203.02155) measured a Cohen's kappa of 0.42 for rating
# against 0.73 for ranking. The paper does not say so: the words "kappa" and "Cohen" do not occur in it, its labelers
# rated *and* ranked every response (figure 12), and no experiment sets the two against each other. Section 3.4 gives
# raw agreement: 72.6 ± 1.5 % among training labelers, 77.3 ± 1.3 % among held-out ones; with two balanced outcomes
# these would be kappas of 0.45 and 0.55.

# %%
assert round(kappa_from(0.726, 1 / 2), 2) == 0.45
assert round(kappa_from(0.773, 1 / 2), 2) == 0.55

# %% [markdown]
# Perhaps "about 73 %" (section 5.2) was read as a kappa of 0.73; that is a guess. A kappa of 0.73 would be 86.5 %
# agreement with two balanced outcomes: solve $\kappa = 2 p_o - 1$ for $p_o = \frac{1 + \kappa}{2}$. The reason to
# compare stands without the figure: it is the mechanism above.

# %%
needed = (1 + 0.73) / 2
assert np.isclose(needed, 0.865, rtol=1e-12)
assert np.isclose(kappa_from(needed, 1 / 2), 0.73, rtol=1e-12)
assert needed > 0.773 + 3 * 0.013  # far above what the paper reports

# %% [markdown]
# ## What a comparison costs
#
# Nothing is free. A rating of seven points holds up to $\log_2 7 = 2.8$ bits, a comparison at most one; and $K$
# responses want $K$ ratings but have $\binom{K}{2} = \frac{K(K-1)}{2}$ pairs. A comparison also hides *how much*
# better the better one is; lesson 2 gets that back from how often it wins.

# %%
assert 2.8 < np.log2(7) < 2.81
for responses in range(2, 10):
    first, second = np.triu_indices(responses, 1)
    assert len(first) == responses * (responses - 1) // 2
assert len(first) == 36  # nine responses

# %% [markdown]
# ## The row that training reads
#
# So the data are comparisons. A row holds the prompt, the chosen and the rejected response: that is all. There is no
# rating and no rater in it, and the order of the last two is the label.


# %%
def row(prompt, first, second, first_is_better):
    chosen, rejected = (first, second) if first_is_better else (second, first)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


asked, good, bad = "What is 2 + 2?", "4.", "2 + 2 is 5."
assert row(asked, good, bad, True) == row(asked, bad, good, False)
assert row(asked, good, bad, True) != row(asked, good, bad, False)
assert list(row(asked, good, bad, True)) == ["prompt", "chosen", "rejected"]

# %% [markdown]
# ## What you can now assert
#
# An offset and a positive scale change every rating and no order; noise changes both. Percent agreement is not kappa:
# 72.6 % is a kappa of 0.45 if two outcomes are balanced, and less if they are not. Orders of raters with their own
# offsets and scales agree better than their ratings; calibrated ratings need not be worse. Training reads rows of
# prompt, chosen and rejected, and lesson 2 makes probabilities of them.

# %%
other_way = np.exp(rng.normal(size=(3, 1))) * impression + rng.normal(size=(3, 1))
assert np.array_equal(prefers_first(other_way), prefers_first(impression))
assert not np.array_equal(seven_points(other_way), seven_points(impression))
assert round(kappa_from(0.726, 1 / 2), 2) == 0.45
assert kappa_at(0.8) < kappa_at(0.5)
