# %% [markdown]
# # 4 · The gradient by hand, and its three regimes
#
# After this lesson you can
#
# - derive the gradient of the pairwise loss line by line, and code it so that it survives floating point;
# - say how hard a pair pulls on the model when it is misranked, undecided or solved;
# - show why flipped labels take more than their share of the gradient;
# - say where the loss is convex, and why separable data have no optimum.
#
# You need lessons 1 to 3 and the chain rule. Reading takes about 50 minutes, the five exercises 105.

# %%
import numpy as np

from numpy_ref import losses
from numpy_ref.check.cell import check
from numpy_ref.figures.lessons import REGIMES, gradient_regimes
from numpy_ref.figures.notebook import Explorable, picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import log_sigmoid, sigmoid

rng = np.random.default_rng(4)

# %% [markdown]
# ## What we are after
#
# A pair has two rewards, $r_c$ of the chosen and $r_r$ of the rejected response. Its margin is $m = r_c - r_r$, in
# log-odds, and its loss is $\ell = -\log \sigma(m)$, in nats. Training changes each reward against the slope of the
# loss, so we need two numbers: $\partial \ell / \partial r_c$ and $\partial \ell / \partial r_r$.

# %% [markdown]
# ## Step 1: the slope of σ
#
# Write $\sigma(m) = (1 + e^{-m})^{-1}$ and use the chain rule: the outer derivative is $-(1 + e^{-m})^{-2}$, the
# inner one is $-e^{-m}$. Their product splits into two factors that we know:
#
# $$\sigma'(m) = \frac{e^{-m}}{(1 + e^{-m})^2}
#              = \frac{1}{1 + e^{-m}} \cdot \frac{e^{-m}}{1 + e^{-m}} = \sigma(m)\,(1 - \sigma(m)).$$
#
# The second factor is $1 - \sigma(m)$, because $1 - \frac{1}{1 + e^{-m}} = \frac{e^{-m}}{1 + e^{-m}}$; multiplied by
# $e^m$ above and below, it is also $\frac{1}{e^m + 1} = \sigma(-m)$.


# %%
def slope(f, x, h=1e-5):
    """(f(x + h) - f(x - h)) / 2h, a witness that knows no calculus: here off by less than 1e-9"""
    return (f(x + h) - f(x - h)) / (2 * h)


margin = np.linspace(-8, 8, 161)
assert np.allclose(slope(sigmoid, margin), sigmoid(margin) * (1 - sigmoid(margin)), rtol=0, atol=1e-9)
assert np.allclose(1 - sigmoid(margin), sigmoid(-margin), rtol=0, atol=1e-15)
rows = [(m, slope(sigmoid, m), sigmoid(m) * (1 - sigmoid(m))) for m in (-4.0, 0.0, 1.0, 4.0)]
table(rows, ("m", "slope of σ, measured", "σ (1 − σ)"), 4)

# %% [markdown]
# ### Exercise 4.1 ★☆☆ · 15 minutes · both gradients
#
# Do steps 2 to 4 yourself on paper before you read on: the slope of $-\log\sigma(m)$, then both rewards, then the mean
# over $B$ pairs. Code the result. The check also tries margins up to ±1000; if only these fail, the section "On paper
# equal, in the machine not" says why.


# %%
def pairwise_loss_backward(chosen, rejected):
    """(dchosen, drejected) of mean(-log σ(chosen - rejected))        (B,), (B,) -> (B,), (B,)"""
    ### BEGIN SOLUTION
    dmargin = -sigmoid(rejected - chosen) / len(chosen)
    return dmargin, -dmargin
    ### END SOLUTION


# %%
check(pairwise_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The derivative of a logarithm is the inner derivative over the inner function, and σ' is known from step 1. The margin
# has slope 1 in the chosen reward and −1 in the rejected one.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# One array is enough: the slope of the loss over the margin, divided by the number of pairs. Write it with
# $\sigma(-m)$.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# `dmargin = -sigmoid(rejected - chosen) / len(chosen)`; the chosen reward gets it, the rejected reward its opposite.
#
# </details>

# %% [markdown]
# ## Step 2: the slope of −log σ
#
# The derivative of a logarithm is the inner derivative over the inner function. The factor $\sigma(m)$ cancels:
#
# $$\frac{d\ell}{dm} = -\frac{\sigma'(m)}{\sigma(m)} = -\frac{\sigma(m)\,(1 - \sigma(m))}{\sigma(m)}
#                    = -(1 - \sigma(m)) = \sigma(m) - 1 = -\sigma(-m).$$

# %%
loss_slope = slope(lambda m: -log_sigmoid(m), margin)
assert np.allclose(loss_slope, sigmoid(margin) - 1, rtol=0, atol=1e-9)
assert np.allclose(loss_slope, -sigmoid(-margin), rtol=0, atol=1e-9)
places = [20, 80, 120, 140]
table([(margin[i], loss_slope[i], sigmoid(margin[i]) - 1) for i in places], ("m", "slope of the loss", "σ(m) − 1"), 4)

# %% [markdown]
# ## Step 3: from the margin to the two rewards
#
# The margin $m = r_c - r_r$ has the slopes $\partial m / \partial r_c = 1$ and $\partial m / \partial r_r = -1$. The
# chain rule multiplies $d\ell / dm$ by each of them:
#
# $$\frac{\partial \ell}{\partial r_c} = \sigma(m) - 1, \qquad \frac{\partial \ell}{\partial r_r} = 1 - \sigma(m).$$
#
# The two are opposite: a step raises the chosen reward by exactly as much as it lowers the rejected one.

# %%
chosen, rejected = rng.normal(0, 3, (2, 50))
by_chosen = slope(lambda r: -log_sigmoid(r - rejected), chosen)
by_rejected = slope(lambda r: -log_sigmoid(chosen - r), rejected)
assert np.allclose(by_chosen, sigmoid(chosen - rejected) - 1, rtol=0, atol=1e-9)
assert np.allclose(by_rejected, 1 - sigmoid(chosen - rejected), rtol=0, atol=1e-9)
print(f"first pair, margin {chosen[0] - rejected[0]:.2f}: slopes {by_chosen[0]:.4f} and {by_rejected[0]:.4f}")

# %% [markdown]
# ## Step 4: a batch
#
# The loss of a batch is the mean over its $B$ pairs, $L = \frac{1}{B} \sum_b \ell_b$, and a pair's rewards occur in
# no other pair's loss. So each gradient of the last step is divided by $B$, and this is what
# `losses.pairwise_loss_backward` returns.

# %%
_, cache = losses.pairwise_loss(chosen, rejected)
dchosen, drejected = losses.pairwise_loss_backward(1.0, cache)
assert np.allclose(dchosen, (sigmoid(chosen - rejected) - 1) / len(chosen), rtol=0, atol=1e-16)
assert np.array_equal(drejected, -dchosen)
print(f"shapes {dchosen.shape} and {drejected.shape}; first pair {dchosen[0]:.5f}, a fiftieth of the slope above")

# %% [markdown]
# ## On paper equal, in the machine not
#
# The derivation ends in two spellings, $\sigma(m) - 1$ and $-\sigma(-m)$. For a large margin the first one subtracts
# two nearly equal numbers: $\sigma(m)$ keeps only the digits of $1 - e^{-m}$ that fit beside the 1, and the
# subtraction uncovers what was cut off. At a margin of 10 it has typically lost 13 of its 53 bits.

# %%
around_ten = np.linspace(9.5, 10.5, 10_001)
relative_error = np.abs((sigmoid(around_ten) - 1) / -sigmoid(-around_ten) - 1)
bits_lost = np.log2(np.median(relative_error) / 2.0**-53)
print(f"bits lost at a margin of 10: about {bits_lost:.0f}")
assert 13 <= bits_lost < 14
assert np.all(-sigmoid(-around_ten) < 0)

# %% [markdown]
# Where $e^{-m}$ is less than half a unit in the last place of 1, $\sigma(m)$ *is* 1 and the gradient as written is
# exactly zero. With $p$ bits of precision this happens from a margin of $p \log 2$ on: 36.74 in float64, 16.64 in
# float32, 7.62 in float16. The spelling $-\sigma(-m)$ has no such cliff, so this is the one to code.

# %%
for dtype, bits in ((np.float64, 53), (np.float32, 24), (np.float16, 11)):
    before, after = np.array([bits * np.log(2) - 0.05, bits * np.log(2) + 0.05], dtype)
    assert sigmoid(before) - 1 < 0
    assert sigmoid(after) - 1 == 0
    print(f"{dtype.__name__}, m = {after:.2f}: {sigmoid(after) - 1:.0f} and {-sigmoid(-after):.2e}")
    assert -sigmoid(-after) < 0

# %% [markdown]
# ## The three regimes
#
# Near 0 the gradient follows its tangent $-\frac12 + \frac{m}{4}$, and this line meets −1 at a margin of −2 and 0 at
# 2. These two margins cut the axis into three regimes: *misranked by far*, *undecided* and *solved*. The figure shows
# the loss, both gradients, and on a log scale the tail of the solved pairs.

# %%
gradient_regimes(narrow=True)

# %% [markdown]
# Each regime has its own simple formula for the gradient: −1, then $-\frac12 + \frac{m}{4}$, then $-e^{-m}$. The
# formula is never off by more than 12 %: of the largest gradient, 1, in the first two regimes, and of the tiny
# gradient itself in the third. The worst places are the borders, where $1 - \sigma(2) = 0.119$.

# %%
far_wrong, undecided, solved = np.linspace(-40, -2, 381), np.linspace(-2, 2, 401), np.linspace(2, 40, 381)
assert np.all(np.abs(-sigmoid(-far_wrong) - -1) < 0.12)
assert np.all(np.abs(-sigmoid(-undecided) - (-1 / 2 + undecided / 4)) < 0.12)
assert np.all(np.abs(sigmoid(-solved) / np.exp(-solved) - 1) < 0.12)
rules = [(-5.0, "misranked by far", -1.0), (0.5, "undecided", -0.5 + 0.5 / 4), (5.0, "solved", -np.exp(-5.0))]
table([(m, name, -sigmoid(-m), rule) for m, name, rule in rules], ("m", "regime", "gradient", "its simple formula"), 4)

# %% [markdown]
# ## Is every wrong prediction pulled with full force?
#
# One often reads that the gradient is near −1 when the model ranks the pair wrongly. That is a limit: just below a
# margin of 0 the prediction is already wrong and the gradient is $-\frac12$. Solving $\sigma(m) - 1 = -0.95$ gives
# $m = \log \frac{0.05}{0.95} = -2.94$, which a model must reach to be that wrong.

# %%
assert abs(-sigmoid(np.array(1e-9)) - -0.5) < 1e-9
margin_of_095 = np.log(0.05 / 0.95)
assert np.isclose(-sigmoid(-margin_of_095), -0.95, rtol=1e-12)
assert round(margin_of_095, 2) == -2.94
print(f"just below 0: {-sigmoid(np.array(1e-9)):.2f}; the gradient is -0.95 at a margin of {margin_of_095:.2f}")

# %% [markdown]
# ## Only the difference counts
#
# The gradient is a function of two rewards, but its contours are straight lines along the diagonal: both rewards may
# rise together and nothing changes. The three regimes are three bands.


# %%
def bands(axes):
    across, up = np.meshgrid(np.linspace(-6, 6, 241), np.linspace(-6, 6, 241))
    gradient = -sigmoid(up - across)
    axes.contourf(across, up, gradient, [-1, -0.88, -0.12, 0], colors=[colour for *_, colour in REGIMES])
    lines = axes.contour(across, up, gradient, [-0.99, -0.88, -0.5, -0.12, -0.01], colors=INK, linewidths=1)
    axes.clabel(lines, fmt="%g")
    for (name, *_), place in zip(REGIMES, ((-3.6, 3.6), (3.5, 2.5), (3.6, -3.6)), strict=True):
        axes.text(*place, name, ha="center", va="center", weight="bold", rotation=45)


# %%
alt = "Contours of the gradient over both rewards: lines along the diagonal. Misranked by far, in the upper left: near "
alt += "-1; solved, in the lower right: near 0; between them the band of the undecided pairs, -1/2 on the diagonal."
axis = "reward of the {} response (log-odds)"
picture(bands, "Gradient σ(m) − 1", axis.format("chosen"), axis.format("rejected"), alt, size=(5.4, 5.2))

# %%
gradient_at = lambda c, r: losses.pairwise_loss_backward(1.0, losses.pairwise_loss(c, r)[1])[0]
assert np.allclose(gradient_at(chosen + 100, rejected + 100), gradient_at(chosen, rejected), rtol=1e-12, atol=0)

# %% [markdown]
# ## Take it in hand
#
# In the figure below you move both rewards; the dashed tangent shows the slope $\sigma(m) - 1$. Under it, a batch of
# eight pairs takes steps of gradient descent. Guess first: if you flip the label of pair 8, which is solved with a
# margin of 6, what share of the whole gradient does this one pair then hold? (Where no scripts are run you see a
# picture of three tangents; the figure itself is `lessons/gradient_regimes.html`.)


# %%
def three_tangents(axes):
    for name, _, left, right, colour in REGIMES:
        axes.axvspan(left, right, color=colour, lw=0)
        axes.text((left + right) / 2, 8.6, name, ha="center", va="top", weight="bold")
    axes.plot(margin, -log_sigmoid(margin), color=INK, lw=2, label="loss −log σ(m)")
    for m in (-5, 0, 4):
        tangent = -log_sigmoid(m) - sigmoid(-m) * (margin - m)
        axes.plot(margin, tangent, color=BLUE, ls="--", label="tangents at −5, 0 and 4" if m == 0 else None)
        axes.plot(m, -log_sigmoid(m), "o", color=RUST, ms=9)
    axes.set(xlim=(-8, 8), ylim=(-1, 9))


# %%
alt = "The loss and three tangents: of slope −0.99 at a margin of −5, −½ at 0 and −0.02 at 4; the regimes are shaded."
still = picture(three_tangents, "The tangent tips late", "margin m (log-odds)", "loss (nats)", alt, size=(5.4, 4))
Explorable("gradient_regimes.html", still)

# %%
batch = np.array([-5, -3, -1, 0, 1, 2.5, 4, 6])  # the margins of the figure's eight pairs
before, after = sigmoid(-batch), sigmoid(-np.append(batch[:7], -batch[7]))
print(f"share of pair 8: {before[7] / before.sum():.2%} before the flip, {after[7] / after.sum():.1%} after it")
assert before[7] / before.sum() < 0.001
assert 0.21 < after[7] / after.sum() < 0.23

# %% [markdown]
# ## A bug to find
#
# With a target margin $t$ the loss is $-\log\sigma(r_c - r_r - t)$ (Llama 2,
# [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), eq. 2): the chosen reward should lead by $t$. The gradient below
# runs, and its two parts are opposite. But it changes when both rewards of a pair move together, which the loss does
# not.


# %%
def margin_loss_backward_with_a_bug(chosen, rejected, margin):
    dmargin = -sigmoid(margin - chosen - rejected) / len(chosen)
    return dmargin, -dmargin


here = margin_loss_backward_with_a_bug(chosen, rejected, np.full(50, 0.5))
moved = margin_loss_backward_with_a_bug(chosen + 5, rejected + 5, np.full(50, 0.5))
assert np.array_equal(here[1], -here[0])
assert not np.allclose(moved[0], here[0])
print(f"gradient of pair 1: {here[0][0]:.5f}, and {moved[0][0]:.5f} when both rewards rise by 5")

# %% [markdown]
# ### Exercise 4.2 ★☆☆ · 10 minutes · find the bug
#
# Take the derivative yourself, find the bug, and write the function as it should be. For which rewards do both versions
# agree, so that a test with these alone would not have noticed?


# %%
def margin_loss_backward(chosen, rejected, margin):
    """(dchosen, drejected) of mean(-log σ(chosen - rejected - margin))        (B,), (B,), (B,) -> (B,), (B,)"""
    ### BEGIN SOLUTION
    dmargin = -sigmoid(margin - chosen + rejected) / len(chosen)
    return dmargin, -dmargin
    ### END SOLUTION


# %%
check(margin_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The loss depends on $r_c - r_r - t$. Which sign has each of the three in the argument of σ?
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# Multiply out $-(r_c - r_r - t)$ and compare with the code: two of the three signs are right.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# The argument is `margin - chosen + rejected`. Both versions agree where all rejected rewards are 0.
#
# </details>

# %% [markdown]
# ## Who pulls hardest: flipped labels
#
# Does the loss concentrate on the pairs that are difficult to tell apart? Take people who know the better response,
# but one label in twenty is flipped, and a model that has learned the true rewards. A difficult pair has a margin near
# 0 and pulls with ½. A flipped label on an easy pair has a margin far below 0: guess how hard it pulls.

# %%
lead = np.abs(rng.normal(0, 3, 20_000))  # true margin of each pair, seen from the better response
is_flipped = rng.random(lead.size) < 0.05
pull = sigmoid(-np.where(is_flipped, -lead, lead))  # |gradient| of each reward, before the mean
difficult = ~is_flipped & (lead < 0.5)
assert np.all(pull[~is_flipped] <= 0.5)
assert np.all(pull[is_flipped] >= 0.5)
assert pull[is_flipped].mean() > 1.7 * pull[difficult].mean()
groups = {"correct label": ~is_flipped, "of these, difficult": difficult, "flipped label": is_flipped}
rows = [(name, pairs.mean(), pull[pairs].mean(), pull[pairs].sum() / pull.sum()) for name, pairs in groups.items()]
table(rows, ("pairs", "share of the labels", "mean pull", "share of the gradient"), 2)

# %% [markdown]
# One label in twenty is flipped, yet these labels hold about a fifth of the whole gradient. The better the model fits,
# the larger their share: multiply the rewards by a scale, and the pull of every correct pair tends to 0 while each
# flipped one tends to 1. In the end almost the whole gradient comes from wrong labels.


# %%
def flipped_share(scale, flip_rate, leads=lead[:2000]):
    """Share of the total |gradient| that flipped labels hold, in expectation over which labels are flipped"""
    wrong, right = flip_rate * sigmoid(scale * leads).sum(), (1 - flip_rate) * sigmoid(-scale * leads).sum()
    return wrong / (wrong + right)


# %%
scales = np.geomspace(0.01, 100, 81)
assert 0.17 < pull[is_flipped].sum() / pull.sum() < 0.23
assert np.all(np.diff([flipped_share(s, 0.05) for s in scales]) > 0)
assert flipped_share(0.01, 0.05) < 0.052
assert flipped_share(100, 0.05) > 0.9
table(
    [(s, flipped_share(s, 0.05)) for s in (0.01, 1.0, 3.0, 100.0)],
    ("scale of the rewards", "share of flipped labels"),
    2,
)


# %%
def shares(axes):
    for flip_rate, line in ((0.2, "-"), (0.05, "--"), (0.01, ":")):
        share = [flipped_share(s, flip_rate) for s in scales]
        axes.plot(scales, share, color=INK, ls=line, label=f"{flip_rate:.0%} of the labels are flipped")
    axes.set(xscale="log", ylim=(0, 1))


alt = "Share of the gradient of flipped labels over the scale of the rewards: from their share of the labels to 1."
labels = ("scale of the rewards (true = 1)", "share of the gradient")
picture(shares, "Flipped labels take over the gradient", *labels, alt, size=(5.4, 4))

# %% [markdown]
# ## The tail: solved pairs never stop pulling
#
# The gradient decays as $e^{-m}$, but it is zero for no margin, so a pair that is right by far still asks for more.
# Let one pair take steps of size ½ on both rewards: its margin grows by $\sigma(-m) = \frac{1}{1 + e^m}$ a step. As a
# flow in time, $(1 + e^m)\,dm = dt$; integrate from $m = 0$ at $t = 0$ and get $m + e^m = 1 + t$. So the margin grows
# like $\log t$: slowly, and without bound.

# %%
path = np.zeros(20_001)
for t in range(20_000):
    path[t + 1] = path[t] + sigmoid(-path[t])  # both rewards move by half of this
steps = np.arange(20_001)
assert np.all(np.diff(path) > 0)
assert np.allclose(path[1000:] + np.exp(path[1000:]), 1 + steps[1000:], rtol=0.005, atol=0)  # steps, not a flow
assert np.all(np.abs(path[10_000:] - np.log(steps[10_000:])) < 0.001)
table([(t, path[t], np.log(t)) for t in (10, 100, 1000, 10_000)], ("steps t", "margin", "log t"), 2)


# %%
def growth(axes):
    axes.plot(steps[1:], path[1:], color=BLUE, lw=3, label="margin of the pair")
    axes.plot(steps[1:], np.log(steps[1:]), color=INK, ls="--", label="log(number of steps)")
    axes.set_xscale("log")


alt = "The margin of one pair over the number of steps, on a log axis: a straight line along log t, with no end."
picture(growth, "One pair, pulled for ever", "step", "margin (log-odds)", alt, size=(5.4, 4))

# %% [markdown]
# ## The loss is convex in the margin
#
# The slope is $\ell'(m) = \sigma(m) - 1$, and step 1 gives its derivative: $\ell''(m) = \sigma(m)\,(1 - \sigma(m)) >
# 0$. So the loss is convex: its slope only rises, and each chord lies above the curve. The curvature is at most ¼, at
# $m = 0$, and tends to 0 on both sides.

# %%
bend = lambda m, h=1e-3: (slope(lambda x: -log_sigmoid(x), m + h) - slope(lambda x: -log_sigmoid(x), m - h)) / (2 * h)
rows = [(m, bend(m), sigmoid(m) * sigmoid(-m)) for m in (-4.0, 0.0, 4.0)]
assert np.allclose([row[1] for row in rows], [row[2] for row in rows], rtol=0, atol=1e-6)
a, b = rng.normal(0, 4, (2, 1000))
assert np.all(-log_sigmoid((a + b) / 2) <= -(log_sigmoid(a) + log_sigmoid(b)) / 2 + 1e-15)  # the chord lies above
table(rows, ("m", "second derivative, measured", "σ(m) σ(−m)"), 4)

# %% [markdown]
# Let the reward be linear in features, $r = \langle w, x \rangle$, as in a reward head on a frozen network. Then $m =
# \langle w, x_c - x_r \rangle$ is linear in $w$, and the loss is convex in $w$ as well: along any direction $v$ its
# second derivative is the mean of $\sigma(m)\,\sigma(-m)\,\langle v, x_c - x_r \rangle^2 \ge 0$. So there are no poor
# local minima, and strengths (lesson 2b) are the case of one feature for each item. A whole network is *not* linear in
# its weights, and its loss is not convex.

# %%
features = rng.normal(size=(200, 3))  # x_c - x_r of 200 pairs
mean_loss = lambda w: -log_sigmoid(features @ w).mean()
w, v = rng.normal(size=(2, 3))
along_v = np.mean(sigmoid(features @ w) * sigmoid(-features @ w) * (features @ v) ** 2)
measured = (mean_loss(w + 1e-4 * v) - 2 * mean_loss(w) + mean_loss(w - 1e-4 * v)) / 1e-8
print(f"second derivative along v: {along_v:.4f}, measured {measured:.4f}")
assert np.isclose(along_v, measured, rtol=1e-4)
assert along_v > 0

# %% [markdown]
# ### Exercise 4.3 ★★☆ · 25 minutes · the gradient of a linear reward
#
# Let $w$ hold $F$ weights and `chosen` and `rejected` the features of $B$ pairs, one row each. Derive the gradient of
# the mean loss over $w$: the chain has one more link than before.


# %%
def linear_reward_gradient(weight, chosen, rejected):
    """of mean -log σ((chosen - rejected) w) over w        (F,), (B, F), (B, F) -> (F,)"""
    ### BEGIN SOLUTION
    difference = chosen - rejected
    dmargin = -sigmoid(-difference @ weight) / len(difference)
    return dmargin @ difference
    ### END SOLUTION


# %%
check(linear_reward_gradient)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The slope of a pair's margin over the weights is $x_c - x_r$. The slope of the mean loss over each margin is known.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `difference = chosen - rejected` has one row for each pair, and the margins are `difference @ weight`.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Multiply each row of `difference` by $-\sigma(-m) / B$ of its pair and add up the rows: a vector times a matrix.
#
# </details>

# %% [markdown]
# ## Separable data have no optimum
#
# A convex function need not have a minimum. Data are separable if some rewards rank every pair as labelled. Multiply
# these rewards by a larger scale: every margin grows, so every loss falls. The loss comes as close to zero as you like
# but never reaches it, so no maximum-likelihood estimate exists.

# %%
separable = rng.uniform(0.1, 2, 100)  # all margins positive
losses_by_scale = np.array([-log_sigmoid(scale * separable).mean() for scale in (1, 3, 10, 30, 100, 300)])
assert np.all(np.diff(losses_by_scale) < 0)
assert np.all(losses_by_scale > 0)
assert losses_by_scale[-1] < 1e-12
print("loss at scales 1, 3, 10, 30, 100, 300:", ", ".join(f"{loss:.1e}" for loss in losses_by_scale))

# %% [markdown]
# A single disagreement changes this. Let ten people compare the same two responses, nine for the first and one for
# the second: the slopes sum to $9(\sigma(m) - 1) + \sigma(m)$, which is zero where $\sigma(m) = \frac{9}{10}$, at
# $m = \log 9$. Disagreement gives the loss an optimum, and its amount decides how large the rewards become.

# %%
ten_slopes = lambda m: 9 * -sigmoid(-m) + sigmoid(m)
assert abs(ten_slopes(np.log(9))) < 1e-15
assert ten_slopes(np.log(9) - 0.1) < 0 < ten_slopes(np.log(9) + 0.1)
print("slope at margins 2.1, log 9, 2.3:", ", ".join(f"{ten_slopes(m):.3f}" for m in (2.1, np.log(9) + 1e-9, 2.3)))

# %% [markdown]
# ## Label smoothing: an optimum by assumption
#
# If a share $\varepsilon$ of the labels is taken to be flipped, the loss of a pair is
# $-(1 - \varepsilon) \log \sigma(m) - \varepsilon \log \sigma(-m)$. Its slope is zero at
# $m = \log \frac{1 - \varepsilon}{\varepsilon}$, for the same reason as with the ten people. A pair beyond that
# margin is pulled *back*.

# %%
rows = []
for epsilon in (0.01, 0.1, 0.3):
    best = np.array([np.log((1 - epsilon) / epsilon)])
    slopes = []
    for m in (best - 1, best, best + 1):
        _, cache = losses.pairwise_loss(m, np.zeros(1), label_smoothing=epsilon)
        slopes.append(losses.pairwise_loss_backward(1.0, cache)[0].item())
    rows.append((epsilon, best.item(), slopes[0], slopes[2]))
    assert slopes[0] < 0 < slopes[2]
    assert abs(slopes[1]) < 1e-15
table(rows, ("ε", "optimal margin", "slope 1 below", "slope 1 above"))

# %% [markdown]
# ### Exercise 4.4 ★★☆ · 25 minutes · the gradient with label smoothing
#
# Derive the two gradients of the smoothed loss above, line by line: you need the slope of $-\log\sigma(m)$ at $m$ and
# at $-m$. Code them for $B$ pairs and one number $\varepsilon$.


# %%
def smoothed_loss_backward(chosen, rejected, label_smoothing):
    """(dchosen, drejected) of mean(-(1 - ε) log σ(m) - ε log σ(-m))        (B,), (B,), () -> (B,), (B,)"""
    ### BEGIN SOLUTION
    m = chosen - rejected
    dmargin = (label_smoothing * sigmoid(m) - (1 - label_smoothing) * sigmoid(-m)) / len(chosen)
    return dmargin, -dmargin
    ### END SOLUTION


# %%
check(smoothed_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# By the chain rule the slope of $-\log\sigma(-m)$ over $m$ is minus the slope of $-\log\sigma$, taken at $-m$.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# This is $-(-\sigma(m)) = \sigma(m)$. So a pair has the slope $-(1 - \varepsilon)\,\sigma(-m) +
# \varepsilon\,\sigma(m)$.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Divide this slope by $B$ for the chosen rewards and take its opposite for the rejected ones. With $\varepsilon = 0$
# you must get exercise 4.1 back; test this yourself.
#
# </details>

# %% [markdown]
# ### Exercise 4.5 ★★★ · 30 minutes · write a property
#
# You are given rewards and somebody's answer for the two gradients of exercise 4.1. Without computing the gradient
# yourself, say whether the answer may be right: use what this lesson has proved about signs, sizes and the three
# regimes. Your law must accept every right answer and notice four known mistakes; the check names those that slip
# through.


# %%
def gradient_law(chosen, rejected, dchosen, drejected):
    """False if (dchosen, drejected) cannot be the gradients of the mean pairwise loss        (B,) four times -> bool"""
    ### BEGIN SOLUTION
    pull = -dchosen * len(chosen)
    opposite = np.array_equal(drejected, -dchosen)
    between = np.all((pull > 0) & (pull < 1))
    wrong_pairs_pull_more = np.all((pull > 0.5) == (chosen < rejected))
    return bool(opposite and between and wrong_pairs_pull_more)
    ### END SOLUTION


# %%
check(gradient_law)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Three facts are enough. How are the two gradients related? Between which two numbers must $B$ times a gradient lie? On
# which side of ½ is the pull of a pair that is ranked wrongly?
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `pull = -dchosen * len(chosen)` must lie between 0 and 1.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Also `drejected` must equal `-dchosen`, and `pull > 0.5` must hold exactly where `chosen < rejected`. Combine the
# three with `and`, and use `np.all` for each.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# The gradient is $\sigma(m) - 1$ for the chosen and its opposite for the rejected response, coded as $-\sigma(-m)$.
# It is about −1 for pairs misranked by far, −½ for a tie, and $-e^{-m}$ for solved pairs, never zero. So wrong labels
# pull hardest, and without any disagreement in the data rewards would grow for ever. The loss is convex in the margin
# and in the weights of a linear reward.

# %%
tie, wrong, right = (-sigmoid(-np.array(m)) for m in (0.0, -30.0, 30.0))
assert tie == -0.5
assert abs(wrong + 1) < 1e-12
assert np.isclose(right, -np.exp(-30.0), rtol=1e-12)
assert -sigmoid(-700.0) < 0 == sigmoid(700.0) - 1
assert flipped_share(100, 0.05) > 0.9

# %% [markdown]
# ## Three questions
#
# <details><summary>A pair has a margin of 0.01 the wrong way. How hard does it pull?</summary>
#
# With about ½, half of the largest pull. Near −1 the gradient is only for pairs misranked by far.
#
# </details>
# <details><summary>Why is −σ(−m) the right spelling, if σ(m) − 1 is equal on paper?</summary>
#
# For large margins σ(m) rounds to 1 and the difference loses its digits; beyond 36.74 it is exactly 0 in float64.
#
# </details>
# <details><summary>Training loss falls for ever, and rewards grow. Is something broken?</summary>
#
# Not necessarily: on separable data no minimum exists. Disagreement, label smoothing or weight decay gives one.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# The loss and its gradient: [numpy_ref/losses.py](../numpy_ref/losses.py). The same convex problem for a head on
# frozen features: [numpy_ref/bradley_terry/linear_head.py](../numpy_ref/bradley_terry/linear_head.py). Next is lesson
# 5: how to trust a gradient.
