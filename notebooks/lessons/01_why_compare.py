# %% [markdown]
# # 1 · Why compare instead of rate?
#
# After this lesson you can
#
# - say which part of a rater's taste spoils ratings, and prove that it leaves comparisons alone;
# - compute percent agreement and Cohen's kappa, and say why the one must not be read as the other;
# - check a published figure against its source, and say what one row of training data is.
#
# You need means, variances and correlations. Reading takes about 40 minutes, the three exercises 55.

# %%
import numpy as np

from numpy_ref.check.cell import check
from numpy_ref.evaluation.agreement import cohen_kappa as kappa_and_error
from numpy_ref.evaluation.agreement import percent_agreement
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST

rng = np.random.default_rng(1)

# %% [markdown]
# ## Three raters of one taste
#
# A reward model learns from people's judgements, so we begin with the people. Suppose that every response has a
# quality $q$ and that all raters see it alike, but each of them writes it down in their own way: $\text{rating} =
# a + b\,q$, with an offset $a$ (mild or severe) and a scale $b > 0$ (bold or cautious). Qualities are
# standard normal here, and ratings are rounded to the seven points of a usual form. Guess first: how often do two
# such raters give the same response the same rating?


# %%
def seven_points(impression):
    """The nearest of the labels 1 to 7; a quality of 0, rated with offset 0, is a 4"""
    return np.clip(np.rint(4 + impression), 1, 7).astype(int)


quality = rng.normal(size=2000)
offset, scale = np.array([[1.2], [0.0], [-1.0]]), np.array([[0.6], [1.8], [1.1]])  # one row for each rater
impression = offset + scale * quality  # (3 raters, 2000 responses)
rating = seven_points(impression)

# %%
pairs = {"A, B": (0, 1), "A, C": (0, 2), "B, C": (1, 2)}
agree = {name: np.mean(rating[a] == rating[b]) for name, (a, b) in pairs.items()}
correlation = np.corrcoef(impression)
assert np.allclose(correlation, 1, rtol=0, atol=1e-12)  # one taste
assert max(agree.values()) < 0.35
table([(name, correlation[p], agree[name]) for name, p in pairs.items()], ("raters", "correlation", "same rating"), 2)

# %% [markdown]
# The correlation of the impressions is 1: the three agree perfectly about the responses. Still, two of them write down
# the same rating for fewer than 35 % of these. In the figure each rater is a staircase; the stairs differ in height and
# in steepness, and where two of them meet, the ratings agree by accident.


# %%
def three_stairs(axes):
    along = np.linspace(-2.5, 2.5, 501)
    for name, a, b, line in zip("ABC", offset[:, 0], scale[:, 0], ("-", "--", ":"), strict=True):
        axes.step(along, seven_points(a + b * along), where="mid", color=INK, ls=line, lw=1.8, label=f"rater {name}")
    axes.set(yticks=range(1, 8))


# %%
alt = "Ratings of three raters over the quality of a response: three rising stairs of different height and steepness."
picture(
    three_stairs,
    "One taste, three ways to write it down",
    "quality of the response",
    "rating (1 to 7)",
    alt,
    size=(5.4, 4),
)

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
orders = prefers_first(impression)
print("pairs ordered alike:", {name: f"{np.mean(orders[a] == orders[b]):.0%}" for name, (a, b) in pairs.items()})
assert np.allclose(impression[:, ::2] - impression[:, 1::2], scale * lead, rtol=0, atol=1e-12)
assert np.array_equal(orders, np.tile(lead > 0, (3, 1)))

# %% [markdown]
# It does not help to collect ratings and compare them afterwards: rounding turns unequal impressions into equal
# ratings. Rater A uses a small part of the scale, and in about two pairs of five gives both responses the same rating.
# Whoever sees only the form learns nothing about these pairs, so the question itself must be a comparison.

# %%
tied = rating[:, ::2] == rating[:, 1::2]
ties = {name: f"{share:.0%}" for name, share in zip("ABC", tied.mean(1), strict=True)}
print("pairs with two equal ratings:", ties)
assert tied[0].mean() > 0.4
assert np.all(tied.mean(1) > 0.15)

# %% [markdown]
# ### Exercise 1.1 ★☆☆ · 10 minutes · the share of pairs in the right order
#
# Somebody gives a number to the better and to the worse response of each of $B$ pairs. What share of the pairs do these
# numbers put in the right order? A tie counts one half: then a rater who gives everything the same number scores ½,
# like a coin, and exchanging the two arguments turns the share $s$ into $1 - s$.


# %%
def accuracy(chosen, rejected):
    """The share of pairs with chosen > rejected, a tie counting one half        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.mean((chosen > rejected) + 0.5 * (chosen == rejected))
    ### END SOLUTION


# %%
check(accuracy)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# `chosen > rejected` is an array of True and False, which count as 1 and 0. The mean of such an array is a share. A
# tie is equality: no tolerance is needed.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `right, tie = chosen > rejected, chosen == rejected`
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Each pair scores 1, ½ or 0, that is `right + 0.5 * tie`; return the mean of these scores.
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


levels, rows = (0.3, 0.73, 2.0), []
for noise in levels:
    seen = perceived(noise)
    rho = np.corrcoef(seen[:, ::2] - seen[:, 1::2])[0, 1]
    rows.append((noise, rho, 1 / (1 + noise**2)))
    assert abs(rho - 1 / (1 + noise**2)) < 0.01  # 200,000 pairs: standard error at most 0.0022
table(rows, ("noise s", "correlation, simulated", "1 / (1 + s²)"), 2)

# %% [markdown]
# ## How often do two raters agree?
#
# Let $X$ and $Y$ be the two perceived leads, divided by their standard deviation: two standard normal variables of
# correlation $\rho$. Write $Y = \rho X + \sqrt{1 - \rho^2}\,Z$ with $Z$ independent of $X$, and let $\rho =
# \cos\theta$. Then $Y = X\cos\theta + Z\sin\theta$ is the component of the point $(X, Z)$ along a direction that is
# turned by $\theta$ against the $X$ axis.

# %%
theta = np.arccos(1 / (1 + 0.73**2))
x, z = rng.normal(size=(2, 400_000))
y = x * np.cos(theta) + z * np.sin(theta)
print(f"angle θ: {np.degrees(theta):.1f} degrees, correlation of X and Y: {np.corrcoef(x, y)[0, 1]:.2f}")
assert abs(np.corrcoef(x, y)[0, 1] - np.cos(theta)) < 0.01

# %% [markdown]
# $X > 0$ is a half-plane, and $Y > 0$ is the same half-plane turned by $\theta$. The signs differ in the two wedges
# that belong to one half-plane only, each of angle $\theta$. The density of $(X, Z)$ is the same in all directions, so
# the share of the wedges is $2\theta / 2\pi$, and with $\theta = \frac{\pi}{2} - \arcsin\rho$
#
# $$P(\text{same order}) = 1 - \frac{\theta}{\pi} = \frac12 + \frac{1}{\pi}\arcsin\rho \qquad\text{(Sheppard 1899)}.$$


# %%
def same_order(noise):
    """P(two raters order a pair alike) = 1/2 + arcsin(ρ) / π,  ρ = 1 / (1 + s²)"""
    return 0.5 + np.arcsin(1 / (1 + noise**2)) / np.pi


rows = []
for noise in (0.0, *levels):
    share, standard_error = percent_agreement(*prefers_first(perceived(noise)))
    rows.append((noise, share, same_order(noise)))
    assert abs(share - same_order(noise)) <= 5 * standard_error
assert round(same_order(0.73), 3) == 0.726  # we shall meet this figure again
table(rows, ("noise s", "same order, simulated", "1/2 + arcsin(ρ) / π"))

# %% [markdown]
# ## How much agreement is luck?
#
# May we compare 72.6 % of equal orders with the percentage of equal ratings? No: two people who toss coins agree on
# half of the orders, and two people who roll dice of seven faces agree on one rating in seven. An agreement means
# something only beside the agreement that luck alone would give.

# %%
coins, dice = rng.integers(0, 2, (2, 100_000)), rng.integers(1, 8, (2, 100_000))
for name, labels, luck in (("coins", coins, 1 / 2), ("dice", dice, 1 / 7)):
    share, standard_error = percent_agreement(*labels)
    print(f"two {name} agree on {share:.1%} of the labels; expected {luck:.1%}")
    assert abs(share - luck) < 5 * standard_error

# %% [markdown]
# Cohen's kappa (Cohen 1960) puts luck at 0 and full agreement at 1. Let $p_o$ be the observed agreement. If the two
# raters kept their own label frequencies but labelled independently, they would agree with probability $p_e = \sum_k
# P_\text{first}(k)\,P_\text{second}(k)$. Between this and full agreement there is room for $1 - p_e$; kappa is the
# share of this room that they use:
#
# $$\kappa = \frac{p_o - p_e}{1 - p_e}.$$


# %%
def kappa_from(p_o, p_e):
    return (p_o - p_e) / (1 - p_e)


for labels, luck in ((coins, 1 / 2), (dice, 1 / 7)):
    kappa, standard_error = kappa_and_error(*labels)
    print(f"kappa {abs(kappa):.2f}, standard error {standard_error:.3f}")
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
# <details><summary>Hint 1: the idea</summary>
#
# $P_\text{first}(k)$ is `np.mean(a == k)`. The sum runs over all labels that either rater used. Each rater has their
# own rates; do not average the two.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `observed = np.mean(a == b)`, and for the labels `np.union1d(a, b)`.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# For each label multiply `np.mean(a == label)` by `np.mean(b == label)` and add these products up: that is the expected
# agreement. Then put both numbers into the formula.
#
# </details>

# %% [markdown]
# ## One percentage, many kappas
#
# Let both raters say "the first" with probability $p$, and agree on a share $p_o$ of the pairs. Then
# $p_e = p^2 + (1 - p)^2$, so $1 - p_e = 2p(1 - p)$, and
# $\kappa = 1 - \frac{1 - p_o}{1 - p_e} = 1 - \frac{1 - p_o}{2p(1 - p)}$. Two raters agree on
# 72.6 % of the pairs: guess their kappa if both say "the first" half of the time, and if they say it for 80 % of the
# pairs.

# %%
kappa_at = lambda p, p_o=0.726: 1 - (1 - p_o) / (2 * p * (1 - p))
assert round(kappa_at(0.5), 2) == 0.45
assert round(kappa_at(0.8), 2) == 0.14
assert kappa_at(0.836) > 0 > kappa_at(0.837)
assert np.isclose(kappa_at(0.8), kappa_from(0.726, 0.8**2 + 0.2**2), rtol=1e-12)
table([(f"{p:.0%}", kappa_at(p)) for p in (0.5, 0.6, 0.7, 0.8, 0.85)], ("says: the first", "kappa at 72.6 %"), 2)


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
picture(kappa_by_balance, "72.6 % agreement is not one kappa", *labels, alt, size=(5.4, 4))

# %% [markdown]
# ## Rankings agree better than ratings: the mechanism
#
# Now we can compare fairly, kappa with kappa. Raters A and B judge the same responses, first on seven points, then in
# pairs. For orders $p_e = \frac12$, so $\kappa = 2 p_o - 1 = \frac{2}{\pi}\arcsin\rho$. At every level of noise shown
# the orders agree better; without noise the orders agree perfectly, and the ratings hardly at all.

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
shown = [0, 3, 5, 8]
heads = ("noise s", "orders", "ratings, own scales", "one scale", "one scale, near misses count")
rows = [(float(noises[i]), of_orders[i], own[i], shared[i], quadratic[i]) for i in shown]
assert all(orders > rating for _, orders, rating, *_ in rows)
table(rows, heads, 2)


# %%
def kappas_over_noise(axes):
    axes.plot(noises, of_orders, color=BLUE, lw=2.5, label="orders")
    calibrated = "ratings, one scale"
    axes.plot(noises, quadratic, color=INK, ls=":", marker="^", label=calibrated + ", near misses count")
    axes.plot(noises, shared, color=INK, ls="--", marker="s", label=calibrated)
    axes.plot(noises, own, color=RUST, ls="-.", marker="o", label="ratings, scales of their own")
    axes.set(ylim=(-0.03, 1.05))


# %%
alt = "Kappa over the noise of the raters. Orders fall from 1 to 0.13. Ratings of raters with their own offsets and "
alt += "scales stay below 0.1; with one offset and scale they lie between, and above the orders if near misses count."
picture(
    kappas_over_noise,
    "What two raters agree on",
    "noise of a rater s (in units of quality)",
    "kappa",
    alt,
    size=(5.4, 4.4),
)

# %% [markdown]
# The figure also shows where the claim ends. Give both raters the same offset and scale: without noise the gap is
# gone, so the offsets and scales had caused it. With noise, kappa counts 5 against 6 as a full disagreement, like 1
# against 7. If near misses cost less (quadratic weights, Cohen 1968), these calibrated ratings even agree *better*
# than the orders.

# %%
assert np.isclose(shared[0], 1, rtol=1e-12)
assert np.all(np.array(shared) > own)
assert np.all(of_orders[1:] > shared[1:])
assert np.all(np.array(quadratic[1:]) > of_orders[1:])

# %% [markdown]
# ### Exercise 1.3 ★★☆ · 20 minutes · kappa when near misses count
#
# Kappa can also be read as $1 - \frac{\text{observed disagreement}}{\text{disagreement by chance}}$: check this with
# the formula above. Now let two ratings $a_i$ and $b_i$ of one item disagree by $(a_i - b_i)^2$, and write this kappa.
# By chance means: any rating of the first rater may meet any rating of the second.


# %%
def weighted_kappa(a, b):
    """1 - observed over chance disagreement, where a and b disagree by (a - b)²        (N,) ints, (N,) ints -> ()"""
    ### BEGIN SOLUTION
    observed = np.mean((a - b) ** 2)
    by_chance = np.mean((a[:, None] - b) ** 2)
    return 1 - observed / by_chance
    ### END SOLUTION


# %%
check(weighted_kappa)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# If the raters are independent, the pair of ratings $(a_i, b_j)$ is as likely for $i \ne j$ as for $i = j$. So the
# disagreement by chance is a mean over all $N^2$ pairs $(i, j)$.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `observed = np.mean((a - b) ** 2)`
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# `a[:, None] - b` holds all $N^2$ differences. Take the mean of their squares, divide the observed disagreement by it,
# and subtract the quotient from 1.
#
# </details>

# %% [markdown]
# ## What people reach: three annotators of PandaLM
#
# Three people judged the same 999 pairs of responses: tie, first or second (Wang et al. 2023,
# [arXiv:2306.05087](https://arxiv.org/abs/2306.05087); test set of the repository WeOpenML/PandaLM, Apache-2.0). In the
# code, `counts["1, 2"][i][j]` pairs have label $i$ from annotator 1 and $j$ from annotator 2. The kappas come out as
# published, 0.85, 0.88 and 0.86: people who compare can agree well, but there are no ratings of the same pairs to
# compare with.

# %%
counts = {  # rows and columns: tie, first, second
    "1, 2": np.array([[89, 0, 8], [16, 388, 23], [11, 29, 435]]),
    "1, 3": np.array([[89, 2, 6], [15, 391, 21], [9, 18, 448]]),
    "2, 3": np.array([[97, 13, 6], [10, 379, 28], [6, 19, 441]]),
}
shares = {pair: n / 999 for pair, n in counts.items()}
kappas = {pair: kappa_from(np.trace(p), p.sum(1) @ p.sum(0)) for pair, p in shares.items()}
for pair, expected in zip(counts, (0.852, 0.879, 0.862), strict=True):
    print(f"annotators {pair}: {np.trace(shares[pair]):.1%} agreement, kappa {kappas[pair]:.3f}")
    assert round(kappas[pair], 3) == expected

# %% [markdown]
# Kappa from single labels must give the same: row $i$, column $j$ of a table stands for that many pairs of labels. The
# standard error (Fleiss, Cohen & Everitt 1969, cited here without its derivation) says how far kappa would vary from
# sample to sample. It is about 0.014, so the differences between the three kappas mean little.

# %%
for pair, n in counts.items():
    first, second = np.divmod(np.repeat(np.arange(9), n.ravel()), 3)
    kappa, standard_error = kappa_and_error(first, second)
    print(f"annotators {pair}: {kappa:.3f} ± {standard_error:.3f}")
    assert np.isclose(kappa, kappas[pair], rtol=1e-12)
    assert 0.012 < standard_error < 0.016

# %% [markdown]
# ## A figure to check: 0.42 against 0.73
#
# One can read that InstructGPT (Ouyang et al. 2022, [arXiv:2203.02155](https://arxiv.org/abs/2203.02155)) measured a
# Cohen's kappa of 0.42 for rating against 0.73 for ranking. We did not find this in the paper: the words "kappa" and
# "Cohen" do not occur in it, and no experiment compares the two. Section 3.4 gives raw agreement: 72.6 ± 1.5 % among
# training labelers, 77.3 ± 1.3 % among held-out ones; which kappas would these be if both outcomes were equally
# frequent?

# %%
for agreement, expected in ((0.726, 0.45), (0.773, 0.55)):
    print(f"{agreement:.1%} agreement: kappa {kappa_from(agreement, 1 / 2):.2f}")
    assert round(kappa_from(agreement, 1 / 2), 2) == expected

# %% [markdown]
# Perhaps an agreement of about 73 % was read as a kappa of 0.73; that is our guess. A kappa of 0.73 would need 86.5 %
# agreement with two balanced outcomes: solve $\kappa = 2 p_o - 1$ for $p_o = \frac{1 + \kappa}{2}$. The reason to
# compare does not depend on this figure: it is the mechanism above.

# %%
needed = (1 + 0.73) / 2
print(f"a kappa of 0.73 needs {needed:.1%} agreement")
assert np.isclose(needed, 0.865, rtol=1e-12)
assert np.isclose(kappa_from(needed, 1 / 2), 0.73, rtol=1e-12)
assert needed > 0.773 + 3 * 0.013  # far above what the paper reports

# %% [markdown]
# ## What a comparison costs
#
# Comparisons have a price. A rating on seven points carries up to $\log_2 7 = 2.8$ bits, a comparison at most one, and
# $K$ responses need $K$ ratings but have $\binom{K}{2} = \frac{K(K-1)}{2}$ pairs. A comparison also hides *how much*
# better the better response is; lesson 2a recovers this from how often it wins.

# %%
assert 2.8 < np.log2(7) < 2.81
for responses in range(2, 10):
    first, second = np.triu_indices(responses, 1)
    assert len(first) == responses * (responses - 1) // 2
assert len(first) == 36  # nine responses
print(f"a rating: {np.log2(7):.1f} bits; nine responses: 9 ratings or {len(first)} comparisons")

# %% [markdown]
# ## The row that training reads
#
# So the data are comparisons. A row holds the prompt, the chosen response and the rejected response, and nothing else:
# no rating, no rater. Which response is called *chosen* is the label; the literature also says winner and loser.


# %%
def row(prompt, first, second, first_is_better):
    chosen, rejected = (first, second) if first_is_better else (second, first)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


asked, good, bad = "What is 2 + 2?", "4.", "2 + 2 is 5."
assert row(asked, good, bad, True) == row(asked, bad, good, False)
assert row(asked, good, bad, True) != row(asked, good, bad, False)
assert list(row(asked, good, bad, True)) == ["prompt", "chosen", "rejected"]
print(row(asked, good, bad, True))

# %% [markdown]
# ## What you can now assert
#
# An offset and a positive scale change every rating and no order; noise changes both. Percent agreement is not kappa:
# 72.6 % is a kappa of 0.45 if two outcomes are balanced, and less if they are not. Orders of raters with their own
# offsets and scales agree better than their ratings; calibrated ratings need not be worse. Training reads rows of
# prompt, chosen and rejected, and lesson 2a turns them into probabilities.

# %%
other_way = np.exp(rng.normal(size=(3, 1))) * impression + rng.normal(size=(3, 1))
assert np.array_equal(prefers_first(other_way), prefers_first(impression))
assert not np.array_equal(seven_points(other_way), seven_points(impression))
assert round(kappa_from(0.726, 1 / 2), 2) == 0.45
assert kappa_at(0.8) < kappa_at(0.5)

# %% [markdown]
# ## Three questions
#
# <details><summary>Two raters have a kappa of 0 for ratings. May they still order all pairs alike?</summary>
#
# Yes. Different offsets and scales make their ratings unequal, and leave every order as it is.
#
# </details>
# <details><summary>Two teams report 80 % agreement. Is their agreement equally good?</summary>
#
# One cannot say without the label frequencies. If one label makes up 90 % of all labels, chance alone gives 82 %.
#
# </details>
# <details><summary>Why does noise in the raters not cancel in a comparison, although the offset does?</summary>
#
# The offset is the same for both responses and drops out of the difference. The noise is drawn anew for each response,
# so the difference carries both: its variance is twice as large.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# Agreement with its standard errors: [numpy_ref/evaluation/agreement.py](../numpy_ref/evaluation/agreement.py). The
# reader of preference files: [numpy_ref/data/reader.py](../numpy_ref/data/reader.py). Then lesson 2a: from orders to
# probabilities.
