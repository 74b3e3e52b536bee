# %% [markdown]
# # 11 · The same gradient again
#
# After this lesson you can
#
# - go from the reward loss to DPO in four lines, and say what became of the reward model;
# - derive DPO's gradient, say what β and the reference do to it, and what flipped labels do to the policy;
# - explain why the chosen responses may become less likely while the margin grows.
#
# You need lessons 4, 5 and 7. Reading takes about 50 minutes, the four exercises 70.

# %%
import numpy as np

from numpy_ref import batches, dpo, language_model, learners, losses, policy, reward_model
from numpy_ref.check.cell import check
from numpy_ref.cli.text import table
from numpy_ref.data import tokenizer, world
from numpy_ref.data.tokens import encode
from numpy_ref.figures import notebook, style
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.training.dpo import starts
from numpy_ref.tree import flatten, tree_map


# %%
def show(*rows):
    """Rows of values as a small table; floats with three decimals"""
    text = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row] for row in rows]
    print(*table(text), sep="\n")


rng = np.random.default_rng(11)

# %% [markdown]
# ## Line 1: the policy that one would like to have
#
# A policy $\pi(y \mid x)$ gives each response $y$ to a prompt $x$ a probability. We want a high expected reward, and we
# want to stay near a reference $\pi_\text{ref}$, say the model after SFT: the reward model was trained on *its*
# responses. So we maximise $J(\pi) = E_\pi[r] - \beta\, \mathrm{KL}(\pi \,\|\, \pi_\text{ref})$, where $\beta > 0$ is
# the price of a nat.
#
# **Predict:** four responses have the rewards 0, 1, 2, 3, and the reference likes the worst one best. With $\beta = 1$,
# is it best to choose response 3 always?

# %%
reward, reference = np.array([0.0, 1.0, 2.0, 3.0]), np.log([0.4, 0.3, 0.2, 0.1])
beta = 1.0
best = policy.optimum(reference, reward, beta)
always = np.log([1e-12, 1e-12, 1e-12, 1.0])
J = lambda log_p: float(policy.penalised_reward(log_p[None], reference[None], reward[None], beta)[0])
expected = lambda log_p: float(np.exp(log_p) @ reward)
policies = {"the reference": reference, "always response 3": always, "the optimum": best}
divergence = lambda log_p: float(policy.kl(log_p, reference))
show(["policy", "reward", "KL", "J"], *([n, expected(p), divergence(p), J(p)] for n, p in policies.items()))
assert J(best) > J(reference) > J(always)  # always the best one costs more nats than it is worth

# %% [markdown]
# The optimum is known in closed form. Write $J$ as a divergence:
#
# $$J(\pi) = \beta \log Z - \beta\, \mathrm{KL}(\pi \,\|\, \pi^*), \qquad
#   \pi^*(y \mid x) = \frac{1}{Z(x)}\, \pi_\text{ref}(y \mid x)\, e^{r(x, y) / \beta},$$
#
# with $Z(x)$ so that the probabilities add up to 1. A divergence is never negative and is 0 for equal distributions
# only, so $\pi^*$ is the maximum and $\beta \log Z$ its value.

# %%
by_formula = np.exp(reference) * np.exp(reward / beta)
Z = by_formula.sum()
show(["response", "π_ref", "π*"], *([str(y), *map(float, np.exp([reference[y], best[y]]))] for y in range(4)))
assert np.allclose(np.exp(best), by_formula / Z)
assert np.isclose(J(best), beta * np.log(Z))
for _ in range(100):
    other = policy.log_softmax(rng.normal(size=4))
    assert np.isclose(J(other), beta * np.log(Z) - beta * policy.kl(other, best))

# %% [markdown]
# ## Line 2: turn it round
#
# Take logarithms and solve for the reward. Every policy is the optimum of *some* reward, namely of
#
# $$r(x, y) = \beta \log \frac{\pi(y \mid x)}{\pi_\text{ref}(y \mid x)} + \beta \log Z(x).$$
#
# The first term is the policy's **implicit reward**. The second depends on the prompt alone.

# %%
implicit = dpo.implicit_reward(best, reference, beta)
columns = zip(reward, implicit, reward - implicit, strict=True)
show(["reward", "implicit reward", "difference"], *(map(float, row) for row in columns))
assert np.allclose(reward - implicit, beta * np.log(Z))

# %% [markdown]
# ## Line 3: in a margin the constant cancels
#
# $\log Z$ is a sum over all responses that could be written, and nobody can compute it. But Bradley and Terry's model
# only asks for a margin, and both responses of a pair answer the same prompt:
#
# $$m = \beta \left[\log \frac{\pi(y_c \mid x)}{\pi_\text{ref}(y_c \mid x)}
#           - \log \frac{\pi(y_r \mid x)}{\pi_\text{ref}(y_r \mid x)}\right].$$

# %%
pairs = [(3, 0), (2, 1), (1, 3)]
margins = [(float(reward[c] - reward[r]), float(implicit[c] - implicit[r])) for c, r in pairs]
show(
    ["chosen", "rejected", "r margin", "implicit"],
    *([str(c), str(r), *m] for (c, r), m in zip(pairs, margins, strict=True)),
)
assert all(np.isclose(*m) for m in margins)

# %% [markdown]
# ## Line 4: the loss of lesson 4
#
# Put this margin into $-\log \sigma(m)$: that is DPO, direct preference optimisation (Rafailov et al. 2023,
# [arXiv:2305.18290](https://arxiv.org/abs/2305.18290), equation 7). It is the pairwise loss, with the policy as its own
# reward model. There is no reward model, no sampling and no $Z$.

# %%
log_p, log_ref = -rng.integers(20, 400, (2, 5, 2)) / 8  # five pairs: log π and log π_ref of chosen and rejected
loss, _ = dpo.dpo_loss(log_p, log_ref, beta=0.125)
r = dpo.implicit_reward(log_p, log_ref, 0.125)
same, _ = losses.pairwise_loss(r[:, 0], r[:, 1])
show(
    ["margin", "loss"],
    *(map(float, row) for row in zip(r[:, 0] - r[:, 1], -log_sigmoid(r[:, 0] - r[:, 1]), strict=True)),
)
assert loss == same  # to the last bit: it is the same function

# %% [markdown]
# ### Exercise 11.1 ★★☆ · 20 minutes · DPO's gradient
#
# Let $h$ be the bracket in line 3, so that $m = \beta h$. Derive the slopes of the loss along $\log \pi(y_c \mid x)$
# and $\log \pi(y_r \mid x)$; the reference is a constant. Code them for a batch whose loss is the mean over $B$ pairs,
# so that margins of ±1000 are no trouble.


# %%
def dpo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The slopes of mean(-log σ(β h)) along the policy's log-probabilities        (B,) four times, () -> (B,), (B,)"""
    ### BEGIN SOLUTION
    h = (chosen - ref_chosen) - (rejected - ref_rejected)
    dchosen = -beta * sigmoid(-beta * h) / len(h)
    return dchosen, -dchosen
    ### END SOLUTION


# %%
check(dpo_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Lesson 4 has the slope of $-\log \sigma(m)$ along $m$. What is the slope of $m$ along $\log \pi(y_c \mid x)$?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `h = (chosen - ref_chosen) - (rejected - ref_rejected)`
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $\partial m / \partial \log \pi(y_c) = \beta$ and $\partial m / \partial \log \pi(y_r) = -\beta$. Multiply by the
# slope of lesson 4 in the spelling that never becomes 0, and divide by $B$.
#
# </details>

# %% [markdown]
# ## The same σ(m) − 1
#
# The answer is the gradient of lesson 4, times β:
#
# $$\nabla L = \beta\, (\sigma(m) - 1)\, \big[\nabla \log \pi(y_c \mid x) - \nabla \log \pi(y_r \mid x)\big].$$
#
# A solved pair hardly pulls, a misranked one with nearly β. **Predict:** at the very start the policy *is* the
# reference. What is every margin, what is the loss, how hard does each pair pull?

# %%
start, cache = dpo.dpo_loss(log_ref, log_ref, beta=0.1)
pull = dpo.dpo_loss_backward(1.0, cache)[:, 0] * len(log_ref)
show(["", "value"], ["loss", float(start)], ["log 2", float(np.log(2))], ["slope of each pair", float(pull[0])])
assert np.isclose(start, np.log(2), rtol=1e-15)
assert np.allclose(pull, -0.1 / 2, rtol=1e-15)

# %% [markdown]
# ## Three regimes, and what β does to them
#
# In lesson 4 a pair was misranked, undecided or solved by its margin, in log-odds. Here the margin is $\beta h$, so β
# says how many *nats* of log-ratio are much: with $\beta = 0.1$ a pair is solved ($m = 4$) when the policy has moved by
# 40 nats. β enters twice: it widens the undecided regime to $1/\beta$ and lowers the pull to β.


# %%
def slope(h, beta):
    """|dL / d log π(chosen)| of one pair whose log-ratio has moved by h nats"""
    pair = np.array([[h, 0.0]])
    return -float(dpo.dpo_loss_backward(1.0, dpo.dpo_loss(pair, 0 * pair, beta)[1])[0, 0])


moved = [-40.0, -4.0, 0.0, 4.0, 40.0]
show(["β", *(f"h = {h:.0f}" for h in moved)], *([str(b), *(slope(h, b) for h in moved)] for b in (0.1, 0.5, 2.0)))
assert all(np.isclose(slope(0.0, b), b / 2) for b in (0.1, 0.5, 2.0))
assert all(np.isclose(slope(4 / b, b) / b, sigmoid(-4.0)) for b in (0.1, 0.5, 2.0))  # solved: the same share of β

# %%
nats = np.linspace(-30, 30, 241)


def pulls(axes):
    for b, line, colour in ((0.1, "-", style.BLUE), (0.5, "--", style.INK), (2.0, ":", style.RUST)):
        axes.plot(nats, [slope(h, b) / b for h in nats], line, color=colour, label=f"β = {b}")
    axes.set(yticks=[0, 0.5, 1])


alt = "Share of β with which a pair pulls, over nats: steps from 1 to 0, all ½ at 0, wide for β = 0.1, steep for 2."
notebook.picture(
    pulls, "β stretches the undecided regime", "h, nats of log-ratio towards chosen", "pull, share of β", alt
)

# %% [markdown]
# As β goes to 0 all pairs are undecided for ever: the loss is log 2 whatever the policy does, and each pair pulls with
# β/2, however well it is learned. Nothing holds the policy any more.

# %%
for b in (1e-2, 1e-4, 1e-6):
    values = [float(dpo.dpo_loss(np.array([[h, 0.0]]), np.zeros((1, 2)), b)[0]) for h in (-40, 40)]
    print(f"β = {b:g}: loss {values[0]:.4f} and {values[1]:.4f}, pull / β {slope(40.0, b) / b:.4f}")
assert abs(values[0] - np.log(2)) < 1e-4
assert abs(slope(40.0, 1e-6) / 1e-6 - 0.5) < 1e-4

# %% [markdown]
# ## What the reference does
#
# Take two pairs between which the policy makes no difference: it finds chosen as likely as rejected. In the first one
# the reference agrees; in the second the reference found *rejected* $e^{20}$ times likelier. **Predict:** which of the
# two pulls harder?

# %%
now = np.array([[-12.0, -12.0], [-12.0, -12.0]])
before = np.array([[-12.0, -12.0], [-30.0, -10.0]])
_, cache = dpo.dpo_loss(now, before, beta=0.1)
pull = -2 * dpo.dpo_loss_backward(1.0, cache)[:, 0] / 0.1
h = (now - before)[:, 0] - (now - before)[:, 1]
show(["pair", "h", "pull, share of β"], *([str(i + 1), float(h[i]), float(pull[i])] for i in range(2)))
assert np.isclose(pull[0], 0.5)
assert pull[1] < 0.2

# %% [markdown]
# The second pulls less: there the policy has already moved by 20 nats. What is rewarded is not to be likely but to have
# become *likelier than it was*. Without a reference ($\log \pi_\text{ref} = 0$ for both) DPO would ask for likely
# texts, and short texts are likely. A reference is a frozen copy: the gradient never moves it.

# %%
copy = before.copy()
dpo.dpo_loss_backward(1.0, cache)
short, long = -5.0, -60.0  # log-probabilities: few words and many
without = slope(short - long, 0.1)
print(f"a short chosen response without a reference: pull {without / 0.1:.3f} of β, as if it were solved")
assert np.array_equal(before, copy)
assert without / 0.1 < 0.01

# %% [markdown]
# ### Exercise 11.2 ★★☆ · 20 minutes · a law of DPO's gradient
#
# Write a function that says whether somebody's answer may be right, without the formula of the gradient: the slopes
# must be opposite, never of the wrong sign, at most β/B in size, and an answer tells which margin it believes in. It
# must accept every right answer for margins within ±100 and notice the four mistakes that the report names.


# %%
def dpo_gradient_law(chosen, rejected, ref_chosen, ref_rejected, beta, dchosen, drejected):
    """True unless (dchosen, drejected) cannot be the slopes of DPO's loss        seven arrays -> bool"""
    ### BEGIN SOLUTION
    h = (chosen - ref_chosen) - (rejected - ref_rejected)
    share = -dchosen * len(dchosen) / beta  # σ(-m), in (0, 1)
    if not np.allclose(dchosen, -drejected, rtol=1e-9, atol=0) or np.any((share < 0) | (share > 1)):
        return False
    odds = share / np.maximum(1 - share, 1e-300)  # e^-m
    return bool(np.allclose(odds * np.exp(np.minimum(beta * h, 200)), 1, rtol=1e-6) or np.any(np.abs(beta * h) > 15))
    ### END SOLUTION


# %%
check(dpo_gradient_law)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# `-dchosen * B / beta` should be $\sigma(-m)$. Its odds are $e^{-m}$.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `share = -dchosen * len(dchosen) / beta`
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# Refuse if `dchosen` is not `-drejected`, or if a share is outside 0 to 1. Then compare `share / (1 - share)` with
# `np.exp(-beta * h)`, where neither has lost its digits.
#
# </details>

# %% [markdown]
# ## A language model learns it
#
# The log-probability of a response is the sum over its tokens, $\log \pi(y \mid x) = \sum_t \log p(y_t \mid x,
# y_{<t})$, and its gradient flows through the body that we know. First SFT on 1,200 chosen responses of the world, as
# in lesson 7. This model is the start and the reference.

# %%
words = tokenizer.Words(world.WORDS)
train_set, _ = world.make_world(11, n_train=600, n_eval=1, visits=2)
rows = encode(words, world.rank(rng, train_set), 16).rows
body = reward_model.init_params(rng, words.vocab_size, 16, n_embd=24, n_layer=1)["body"]
first = {"body": body, "unembedding": language_model.init_unembedding(rng, words.vocab_size, 24)}

# %%
sft = learners.LanguageLearner(flatten(first), 4, 100, 1e-2, 10)
for step in range(100):
    tokens, length = batches.collate([[rows[i][0]] for i in batches.batch_indices(step, len(rows), 32, 0)])
    nats, *_ = sft.step(tokens[:, 0], length[:, 0], starts(tokens)[:, 0])
print(f"{nats:.1f} nats a token, of {np.log(words.vocab_size):.1f} at the start")
assert nats < 1.6

# %% [markdown]
# Now DPO, 80 steps of 32 pairs, and 200 pairs on which we look at the log-probabilities before and after. **Predict:**
# will the chosen responses become more likely? The loss pushes them up with exactly the force with which it pushes the
# rejected ones down.

# %%
learner = learners.PolicyLearner(sft.weights(), 4, 80, 3e-3, 8, beta=0.1, label_smoothing=0.0)
tokens, length = batches.collate([rows[i] for i in range(200)])
look = lambda params: dpo.log_probability(tokens, length, starts(tokens), **params, n_head=4)[0]
at_start, seen = look(learner.reference), []
for step in range(80):
    batch = batches.collate([rows[i] for i in batches.batch_indices(step, len(rows), 32, 1)])
    learner.step(*batch, starts(batch[0]))
    if step % 20 == 19:
        seen.append(look(learner.params) - at_start)

# %%
show(
    ["steps", "chosen, nats", "rejected, nats", "log-ratio h"],
    *([str(20 * k + 20), *(f"{x:.0f}" for x in (*s.mean(0), -np.diff(s).mean()))] for k, s in enumerate(seen)),
)
chosen_moved, rejected_moved = seen[-1].mean(0)
assert chosen_moved < 0  # less likely than before
assert rejected_moved < chosen_moved - 5  # but rejected even less
assert np.mean(np.diff(seen[-1]) < 0) > 0.7  # most pairs are ranked as people ranked them


# %%
def both(axes):
    steps = [0, 20, 40, 60, 80]
    for side, name, line, colour in ((0, "chosen", "o-", style.BLUE), (1, "rejected", "s--", style.RUST)):
        axes.plot(steps, [0.0, *(s[:, side].mean() for s in seen)], line, color=colour, label=name)
    axes.axhline(0, color=style.INK, lw=0.8)


alt = "Change of log-probability over DPO steps: both curves fall below 0, rejected several times further than chosen."
notebook.picture(both, "The margin grows, chosen gets less likely", "DPO steps", "change of log π, nats", alt)

# %% [markdown]
# ## Why both may fall
#
# The loss asks for a *difference*, and does not mind how it comes about. SFT has just made the chosen texts as likely
# as it could: over the weights, their mean log-probability is near its maximum, from where every direction leads down.
# The rejected texts are at no maximum. Walk in a straight line from the reference to the policy that DPO has found.

# %%
between = lambda t: tree_map(lambda a, b: a + t * (b - a), learner.reference, learner.params)
parts = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]
walk = np.array([(look(between(t)) - at_start).mean(0) for t in parts])
show(
    ["part of the way", "chosen, nats", "rejected, nats"],
    *([f"{t:g}", f"{c:.1f}", f"{r:.1f}"] for t, (c, r) in zip(parts, walk, strict=True)),
)

# %%
first_slopes = walk[1] / 0.1
assert abs(first_slopes[0]) < abs(first_slopes[1]) / 3  # chosen starts nearly flat, rejected downhill
assert np.all(np.diff(walk[[0, 2, 3, 4, 5], 0], 2) < 0.05)  # and chosen bends down all the way
assert walk[-1, 0] < -2

# %% [markdown]
# A summit has no slope, so no first-order force holds chosen up, and the loss looks at the difference alone. Other
# causes are known: chosen and rejected that share most of their words pull on the same weights (Razin et al. 2024,
# [arXiv:2410.08847](https://arxiv.org/abs/2410.08847)). It is why one watches `logps/chosen` beside `rewards/margins`.

# %% [markdown]
# ## Flipped labels, and cDPO
#
# A pair whose label was flipped never becomes solved: it pulls with nearly β for ever (lesson 4). And a pair that is
# met again and again drives $h$ to infinity, since $-\log \sigma$ has no minimum. cDPO (Mitchell 2023) takes a share
# $\varepsilon$ of the labels to be flipped: its loss is $-(1 - \varepsilon) \log \sigma(m) - \varepsilon \log
# \sigma(-m)$. **Predict:** at which margin is this loss smallest?

# %%
smoothing, m = 0.1, np.linspace(-6, 6, 24_001)
cdpo = [float(dpo.dpo_loss(np.array([[x, 0.0]]), np.zeros((1, 2)), 1.0, smoothing)[0]) for x in m[::100]]
at = m[::100][np.argmin(cdpo)]
show(["", "margin"], ["smallest loss seen at", f"{at:.1f}"], ["log((1 - ε) / ε)", f"{np.log(9):.1f}"])
assert abs(at - np.log((1 - smoothing) / smoothing)) <= 0.05
_, cache = dpo.dpo_loss(np.array([[np.log(9), 0.0]]), np.zeros((1, 2)), 1.0, smoothing)
assert abs(dpo.dpo_loss_backward(1.0, cache)).max() < 1e-15  # σ(m) = 1 - ε: nothing pulls

# %% [markdown]
# So cDPO gives a pair a target, $\sigma(m) = 1 - \varepsilon$, and pulls back what is beyond. Descend on one pair for a
# long time, once with each loss.


# %%
def descend(smoothing, steps, beta=0.1, rate=50.0):
    """The log-ratio h of one pair after so many steps of plain descent"""
    pair = np.zeros((1, 2))
    for _ in range(steps):
        pair = pair - rate * dpo.dpo_loss_backward(1.0, dpo.dpo_loss(pair, np.zeros((1, 2)), beta, smoothing)[1])
    return float(pair[0, 0] - pair[0, 1])


paths = {name: [descend(e, n) for n in (10, 100, 1000)] for name, e in (("DPO", 0.0), ("cDPO, ε = 0.1", 0.1))}
show(["h in nats after", "10 steps", "100", "1000"], *([name, *(f"{h:.0f}" for h in hs)] for name, hs in paths.items()))
assert np.isclose(paths["cDPO, ε = 0.1"][-1], np.log(9) / 0.1)
assert paths["DPO"][2] > paths["DPO"][1] + 15  # and on, as the logarithm of the steps

# %% [markdown]
# ## IPO: a square with a target
#
# Azar et al. (2023, [arXiv:2310.12036](https://arxiv.org/abs/2310.12036), eq. 17) give every pair a target without
# asking for a share of flips: the log-ratio itself, not its sigmoid, should be $h = \frac{1}{2\beta}$, and what is off
# is squared.

# %% [markdown]
# ### Exercise 11.3 ★☆☆ · 10 minutes · IPO's square
#
# Code the mean over the pairs of the squared distance of $h$ from its target.


# %%
def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """mean of (h - 1 / (2β))²,  h the log-ratio of exercise 11.1        (B,) four times, () -> ()"""
    ### BEGIN SOLUTION
    h = (chosen - ref_chosen) - (rejected - ref_rejected)
    return np.mean((h - 1 / (2 * beta)) ** 2)
    ### END SOLUTION


# %%
check(ipo_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The same log-ratio as in exercise 11.1. β stands in the target alone.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `h = (chosen - ref_chosen) - (rejected - ref_rejected)`
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# Subtract $\frac{1}{2\beta}$ from `h`, square, and take the mean over the pairs.
#
# </details>

# %% [markdown]
# ### Exercise 11.4 ★★☆ · 20 minutes · its gradient
#
# Derive it and code it. How does its pull differ from DPO's for a pair far on the wrong side, and for one far beyond
# the target?


# %%
def ipo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The slopes of IPO's loss along log π(chosen) and log π(rejected)        (B,) four times, () -> (B,), (B,)"""
    ### BEGIN SOLUTION
    h = (chosen - ref_chosen) - (rejected - ref_rejected)
    dchosen = 2 * (h - 1 / (2 * beta)) / len(h)
    return dchosen, -dchosen
    ### END SOLUTION


# %%
check(ipo_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The derivative of $x^2$ is $2x$; the slope of $h$ along $\log \pi(y_c)$ is 1, along $\log \pi(y_r)$ it is −1.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `h = (chosen - ref_chosen) - (rejected - ref_rejected)`
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# Twice the distance of `h` from its target, divided by $B$; the rejected response gets the opposite.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# - $\pi^* \propto \pi_\text{ref}\, e^{r/\beta}$, and its implicit reward is $r$ up to a constant of the prompt.
# - DPO is the pairwise loss of implicit rewards; its gradient is $\beta(\sigma(m) - 1)$ times a difference of two.
# - At the reference the loss is $\log 2$; chosen may fall while the margin grows; cDPO has a target, DPO has none.

# %%
assert np.isclose(start, np.log(2))
assert loss == same
assert chosen_moved < 0 < chosen_moved - rejected_moved

# %% [markdown]
# ## Three questions
#
# <details><summary>Why does DPO need no Z(x)?</summary>
#
# A preference compares two responses to the same prompt. $\beta \log Z(x)$ is in both implicit rewards and cancels in
# their margin.
#
# </details>
# <details><summary>The loss is still 0.69 after 100 steps although the accuracy is 0.9. What is likely wrong?</summary>
#
# β, or the learning rate, is so small that $\beta h$ stays near 0: the pairs are in the right order, but undecided. The
# margins tell, not the accuracy.
#
# </details>
# <details><summary><code>logps/chosen</code> falls. Is the run broken?</summary>
#
# Not by itself: SFT left the chosen texts near their maximum, and the loss asks for a difference. Broken is a run in
# which the margin does not grow, or whose texts get worse: look at what the model writes.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# The gradients by hand are in [numpy_ref/dpo.py](../numpy_ref/dpo.py), autograd's in
# [torch_impl/dpo.py](../torch_impl/dpo.py); your own data go through `python -m numpy_ref dpo`. In lesson 12 the
# reward is used, and used too much.
