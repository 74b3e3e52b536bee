# %% [markdown]
# # 12 · What the reward is for
#
# After this lesson you can
#
# - compute what best-of-n chooses, how far it moves from the policy, and the best policy at any distance, exactly;
# - say what REINFORCE and GRPO give on average, without sampling, and let a policy learn by either;
# - watch a proxy be optimised until the true reward falls, predict where, and say when the prediction fails.
#
# You need lessons 8 and 11. Reading takes about 50 minutes, the exercise 20.

# %%
from itertools import product
from math import comb

import numpy as np

from numpy_ref import policy
from numpy_ref.bradley_terry.linear_head import fit_heads
from numpy_ref.check.cell import check
from numpy_ref.cli.text import table
from numpy_ref.data import responses, world
from numpy_ref.figures import notebook, style
from numpy_ref.optim import adamw, adamw_state


# %%
def show(*rows, digits=2):
    """Rows of values as a small table; floats rounded"""
    text = [[f"{v:.{digits}f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    print(*table(text), sep="\n")


rng = np.random.default_rng(12)

# %% [markdown]
# ## Best of n
#
# The simplest use of a reward: draw $n$ responses, keep the best one (Stiennon and others 2020,
# [arXiv:2009.01325](https://arxiv.org/abs/2009.01325)). It needs no training. **Predict:** four responses have the
# probabilities 0.4, 0.3, 0.2, 0.1, and the rarest is the best. How often is it the best of four draws?

# %%
log_p, reward = np.log([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 1.0, 2.0, 3.0])
kept = {n: policy.best_of_n(log_p, reward, n) for n in (1, 2, 4, 16)}
show(
    ["n", *(f"P(r = {r:.0f})" for r in reward), "reward"],
    *([str(n), *map(float, p), float(p @ reward)] for n, p in kept.items()),
)
assert np.isclose(kept[4][3], 1 - 0.9**4)  # unless none of the four is it
draws = rng.choice(4, size=(20_000, 4), p=np.exp(log_p)).max(1)  # here the place is the reward
assert abs(np.bincount(draws) / 20_000 - kept[4]).max() < 0.02

# %% [markdown]
# The best of $n$ is at most $r$ exactly when all $n$ draws are: $F(r)^n$, with $F(r)$ the probability of a draw that is
# at most $r$. So a response gets $F(r)^n - F(r^-)^n$, and responses of equal reward share it as they are drawn.
#
# ## How far is that from the policy?
#
# Where no two rewards tie and none is likely, put $u = F(r)$, which is uniform between 0 and 1. The best of $n$ has the
# density $n u^{n-1}$ over $u$, and
#
# $$\mathrm{KL} = \int_0^1 n u^{n-1} \log(n u^{n-1})\, du = \log n + (n - 1) \int_0^1 n u^{n-1} \log u\, du
#   = \log n - \frac{n - 1}{n}.$$

# %%
many = np.full(4096, -np.log(4096))
distance = lambda log_p, reward, n: float(policy.kl(np.log(policy.best_of_n(log_p, reward, n)), log_p))
formula = lambda n: float(np.log(n) - (n - 1) / n)
distinct, tied = np.arange(4096.0), np.arange(4096) // 2048 * 1.0
cases = [[str(n), formula(n), distance(many, distinct, n), distance(many, tied, n)] for n in (1, 2, 4, 16, 64)]
show(["n", "log n - (n-1)/n", "no ties", "two levels"], *cases)
assert all(bound - 0.01 < exact <= bound + 1e-12 for _, bound, exact, _ in cases)
assert all(two <= np.log(2) + 1e-12 for *_, two in cases)

# %% [markdown]
# The formula is an upper bound (Beirami et al. 2024, [arXiv:2401.01879](https://arxiv.org/abs/2401.01879)). With ties
# it is far too large: once the best level is found, more draws change nothing, and two levels of half the mass are at
# most $\log 2$ nats away.

# %% [markdown]
# ## The best policy at any distance
#
# Lesson 11 found the policy with the largest reward minus β KL: $\pi^* \propto \pi_\text{ref}\, e^{r / \beta}$. So for
# its own distance no policy has more reward. **Predict:** how much does best-of-n lose against it?

# %%
jobs = world.sample_prompts(rng, 4)
every = [responses.enumerate_responses(asked) for asked in jobs]
log_ref, true = every[0].log_p, every[0].rewards
print(f"{len(true):,} responses to one prompt; {every[0].texts[np.argmax(true)]!r} is worth {true.max():.2f} log-odds")
assert len(true) == 19_655
assert np.isclose(true.max(), world.reward(right=3, rude=0, fillers=0, courteous=1))


# %%
def optimum_at(nats):
    """The reward of π* whose KL is this: β by bisection on the logarithm"""
    low, high = -4.0, 6.0
    for _ in range(60):
        beta = np.exp((low + high) / 2)
        best = policy.optimum(log_ref, true, beta)
        low, high = ((low + high) / 2, high) if policy.kl(best, log_ref) > nats else (low, (low + high) / 2)
    return float(np.exp(best) @ true)


# %%
rows = []
for n in (1, 2, 4, 16, 64):
    chosen = policy.best_of_n(log_ref, true, n)
    nats = float(policy.kl(np.log(chosen), log_ref))
    rows.append([str(n), nats, float(chosen @ true), optimum_at(nats) if n > 1 else float(chosen @ true)])
show(["n", "KL, nats", "best of n", "optimum"], *rows)
assert all(best >= got - 1e-6 for *_, got, best in rows)
assert all(best - got < 0.1 for *_, got, best in rows)

# %% [markdown]
# Hardly anything. Best-of-n is nearly optimal for its distance, but dear: one answer costs $n$ draws. A trained policy
# pays once.

# %% [markdown]
# ## What sampling gives on average
#
# A policy with logits $x$ climbs $J = E_\pi[r]$, whose gradient is $\pi_a (r_a - E_\pi[r])$. A real policy cannot sum
# over all responses, so it draws some: REINFORCE takes $A_g \nabla \log \pi(a_g)$ with the advantage $A = r - b$, GRPO
# divides it by the group's deviation. Here all groups can be enumerated, with their probabilities.


# %%
def expected(advantage, G=3):
    """E of minus the gradient of REINFORCE's loss over all groups of G draws"""
    total, log_p = np.zeros_like(logits), policy.log_softmax(logits)
    for group in product(range(logits.shape[1]), repeat=G):
        actions = np.array([group])
        _, cache = policy.reinforce_loss(logits, actions, advantage(worth[:, group]))
        total -= np.exp(log_p[0, actions[0]].sum()) * policy.reinforce_loss_backward(1.0, cache)
    return total[0]


# %%
logits, worth = rng.normal(size=(1, 4)), np.array([[0.0, 1.0, 0.0, 0.0]])
_, cache = policy.penalised_reward(logits, 0 * logits, worth, 0.0)
exact = policy.penalised_reward_backward(1.0, cache)[0]
averages = {
    "exact": exact,
    "REINFORCE, baseline 0.5": expected(lambda r: r - 0.5),
    "mean of the group": expected(lambda r: r - r.mean(1, keepdims=True)),
    "GRPO": expected(policy.group_advantage),
}
# %%
show(["gradient along", *map(str, range(4))], *([name, *map(float, g)] for name, g in averages.items()), digits=3)
assert np.allclose(averages["REINFORCE, baseline 0.5"], exact)  # a baseline changes nothing
assert np.allclose(averages["mean of the group"], exact * 2 / 3)  # it holds the draw itself: 1 - 1/G
ratio = averages["GRPO"] / exact
assert np.allclose(ratio, ratio[0])

# %% [markdown]
# For rewards of 0 and 1, GRPO's average points the right way, but its length is another one: the exact gradient times
# $E[\sqrt{k (1 - k)}] / (p (1 - p))$, with $p$ the chance of a 1 and $k$ its share in the group. Prompts that are
# nearly always or nearly never solved get more than their share.


# %%
def factor(p, G=3):
    """E[√(k (1 - k))] / (p (1 - p)), k binomial"""
    share = np.arange(G + 1) / G
    chance = np.array([comb(G, k) * p**k * (1 - p) ** (G - k) for k in range(G + 1)])
    return float(chance @ np.sqrt(share * (1 - share)) / (p * (1 - p)))


# %%
show(
    ["GRPO over exact", "p = 0.02", "0.1", "0.5"],
    *([f"G = {G}", *(factor(p, G) for p in (0.02, 0.1, 0.5))] for G in (8, 64)),
)
assert np.allclose(ratio, factor(float(np.exp(policy.log_softmax(logits))[0, 1])))
assert factor(0.02, 64) > 2 * factor(0.5, 64)

# %% [markdown]
# ### Exercise 12.1 ★★☆ · 20 minutes · a baseline that does not shrink the gradient
#
# The group's mean holds the response itself, which cost a third of the gradient above. Compare each of the $G$
# responses to a prompt with the mean of the *other* $G - 1$. Show on paper that this is the mean's advantage times
# $\frac{G}{G - 1}$, and code it for $N$ prompts.


# %%
def leave_one_out_advantage(rewards):
    """Each reward minus the mean of its prompt's other rewards        (N, G) -> (N, G)"""
    ### BEGIN SOLUTION
    G = rewards.shape[1]
    return rewards - (rewards.sum(axis=1, keepdims=True) - rewards) / (G - 1)
    ### END SOLUTION


# %%
check(leave_one_out_advantage)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The sum of the others is the sum of all minus one's own.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `others = rewards.sum(axis=1, keepdims=True) - rewards`
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# Divide `others` by $G - 1$ and subtract it from `rewards`.
#
# </details>

# %% [markdown]
# Now let it learn: 1,000 of the responses to each of four prompts, 16 draws a prompt and step, GRPO with its clip, and
# the price β = 0.3. The optimum is known, so we can say how near it came.

# %%
pool = [rng.choice(len(e.texts), 1000, replace=False, p=np.exp(e.log_p)) for e in every]
ref = policy.log_softmax(np.array([e.log_p[i] for e, i in zip(every, pool, strict=True)]))
gold = np.array([e.rewards[i] for e, i in zip(every, pool, strict=True)])
x, state, beta = ref, adamw_state(ref), 0.3
for _ in range(60):
    log_p = policy.log_softmax(x)
    actions = (log_p[:, None] + rng.gumbel(size=(4, 16, 1000))).argmax(-1)
    net = np.take_along_axis(gold - beta * (log_p - ref), actions, 1)
    _, cache = policy.clipped_loss(x, actions, policy.group_advantage(net), np.take_along_axis(log_p, actions, 1))
    x, state = adamw(x, policy.clipped_loss_backward(1.0, cache), state, 0.1, weight_decay=0.0)

# %%
J = lambda logits: float(policy.penalised_reward(logits, ref, gold, beta)[0])
reached = (J(x) - J(ref)) / (J(policy.optimum(ref, gold, beta)) - J(ref))
show(["", "J"], ["reference", J(ref)], ["GRPO", J(x)], ["optimum", J(policy.optimum(ref, gold, beta))], digits=1)
print(f"{reached:.0%} of the way")
assert 0.85 < reached <= 1

# %% [markdown]
# ## Now the reward is learned
#
# Nobody has the true reward. We have a proxy that learned from preferences. Ours is linear, so that it is fitted
# exactly: how often each word stands in a response, and which word answers which job. The true reward *is* such a
# function, so whatever goes wrong comes from too few labels and from nothing else.

# %%
ANSWERS = [(t, q, a) for t in world.FACTS for q in world.FACTS[t] for a in world.FACTS[t].values()]
PLACE = {key: i for i, key in enumerate([(word,) for word in world.WORDS] + ANSWERS)}


def features(asked, text):
    """How often each word stands in a response, and which word answers which job"""
    words, row = text.split(), np.zeros(len(PLACE))
    for key in [(word,) for word in words] + [(*job, word) for job, word in zip(asked, words, strict=False)]:
        if key in PLACE:
            row[PLACE[key]] += 1
    return row


# %%
phi = [np.array([features(asked, text) for text in e.texts]) for asked, e in zip(jobs, every, strict=True)]
rows = [[text, int((row > 0).sum())] for text, row in zip(every[0].texts[::6000], phi[0][::6000], strict=True)]
show(["a response", "features that are not 0"], *rows)
assert phi[0].shape == (19_655, len(PLACE))


# %%
def preferences(seed, n):
    """Features of both responses (2n, C), and pairs (n, 2), chosen first"""
    rng = np.random.default_rng([seed, n])
    found = []
    for p in world.rank(rng, world.sample_responses(rng, world.sample_prompts(rng, n), 2)):
        asked = list(zip(p.prompt.split()[::2], p.prompt.split()[1::2], strict=True))
        found += [features(asked, text) for text in p.responses]
    return np.array(found), np.arange(2 * n).reshape(-1, 2)


# %%
def proxy(data, pairs):
    """The weights of least loss, with a prior of deviation 1 on each"""
    return fit_heads(data, pairs, np.array([1 / len(pairs)]))[0][0]


# %%
weights, DRAWS = proxy(*preferences(0, 100)), np.unique(np.geomspace(1, 1e5, 16).round())
named = lambda word: float(weights[PLACE[word,]])
words = ["gladly", "sure", "fool", "um", "like"]
show(
    ["word", "learned", "true"],
    *([w, named(w), t] for w, t in zip(words, [0.84, 0.84, -1.26, -0.42, -0.42], strict=True)),
)
assert named("gladly") > 0 > named("fool")  # what is worth much is learned first

# %% [markdown]
# ## Too much of a good thing
#
# Best-of-n by this proxy, exactly, over all responses, until $n = 100{,}000$. We watch both rewards over $d =
# \sqrt{\mathrm{KL}}$, the distance of Gao and others (2022, [arXiv:2210.10760](https://arxiv.org/abs/2210.10760)).
# **Predict:** the proxy must grow; what does the true reward do?


# %%
def curve(scores):
    """d, proxy reward and true reward of best-of-n, n in DRAWS, means over the prompts        -> three (16,)"""
    rows = []
    for n in DRAWS:
        best = [policy.best_of_n(e.log_p, s, n) for e, s in zip(every, scores, strict=True)]
        with np.errstate(divide="ignore"):
            nats = np.mean([policy.kl(np.log(p), e.log_p) for p, e in zip(best, every, strict=True)])
        means = np.mean([(p @ s, p @ e.rewards) for p, s, e in zip(best, scores, every, strict=True)], 0)
        rows.append((np.sqrt(max(nats, 0.0)), *means))
    return np.array(rows).T


# %%
d, by_proxy, by_truth = curve([p @ weights for p in phi])
top = by_truth.argmax()
seen = zip(DRAWS[::3], d[::3], by_proxy[::3], by_truth[::3], strict=True)
show(["n", "d", "proxy", "true"], *([f"{n:.0f}", float(x), float(p), float(t)] for n, x, p, t in seen), digits=1)
assert np.all(np.diff(by_proxy) > -1e-9)
assert 0 < top < len(d) - 1  # a summit inside
assert by_truth[-1] < by_truth[top] - 0.3


# %%
def both(axes):
    axes.plot(d, by_proxy - by_proxy[0], "--", color=style.RUST, label="proxy reward")
    axes.plot(d, by_truth - by_truth[0], "-", color=style.BLUE, label="true reward")
    axes.axvline(d[top], color=style.INK, lw=0.8, ls=":")


alt = "Gain in reward over d: the proxy's rises without end, the true one rises, turns at a dotted line and falls."
notebook.picture(both, "The proxy rises; the true reward turns", "d = √KL, √nats", "gain in reward, log-odds", alt)

# %% [markdown]
# Why does it turn? What is worth much (right answers, manners) has large weights that even few labels get right, and it
# is won first. Then only small weights are left to optimise, and of those some have the wrong sign: an "um" that
# happened to stand in preferred responses. Look at what the proxy likes best.

# %%
best_text = every[0].texts[np.argmax(phi[0] @ weights)]
best_true = every[0].rewards[np.argmax(phi[0] @ weights)]
show(
    ["", "text", "true"],
    ["prompt", " ".join(map(" ".join, jobs[0])), ""],
    ["the proxy's favourite", best_text, float(best_true)],
)
assert best_true < every[0].rewards.max()

# %% [markdown]
# ## More labels
#
# Three sizes of preference data, five seeds each: another draw of prompts, responses and labels. **Predict:** does the
# summit move, rise, or both?

# %%
SIZES, SEEDS = (50, 200, 800), range(5)
found = {n: np.array([curve([p @ proxy(*preferences(s, n)) for p in phi]) for s in SEEDS]) for n in SIZES}
means = {n: f.mean(0) for n, f in found.items()}
summits = {n: [(c[0][c[2].argmax()], c[2].max(), c[2][-1]) for c in f] for n, f in found.items()}

# %%
show(
    ["pairs", "summit at d", "its true reward", "at the end"],
    *([str(n), *map(float, np.mean(s, 0))] for n, s in summits.items()),
    digits=1,
)
at, height, end = np.array([np.mean(s, 0) for s in summits.values()]).T
assert np.all(np.diff(at) > 0)
assert np.all(np.diff(height) > 0)
assert end[0] < height[0] - 0.5


# %%
def sizes(axes):
    for (n, c), line in zip(means.items(), (":", "--", "-"), strict=True):
        axes.plot(c[0], c[2], line, color=style.BLUE, label=f"{n} pairs")


alt = "True reward over d for 50, 200 and 800 pairs: more pairs rise higher, turn later and fall less."
notebook.picture(sizes, "More labels: higher, later, less to fall", "d = √KL, √nats", "true reward, log-odds", alt)

# %% [markdown]
# ## An ensemble that doubts
#
# Fit five proxies to five resamples of the same 50 pairs. Where they disagree, none of them knows. So optimise their
# mean minus λ times their variance. **Predict:** at $n = 100{,}000$, what does doubt cost, and what does it save?


# %%
def ensemble(seed, penalties, n=50):
    """Curves of mean - λ variance over five bootstrapped proxies, for each λ"""
    data, pairs = preferences(seed, n)
    rng = np.random.default_rng(seed)
    heads = np.array([proxy(data, pairs[rng.integers(0, n, n)]) for _ in range(5)]).T
    votes = [p @ heads for p in phi]
    return [curve([v.mean(1) - penalty * v.var(1) for v in votes]) for penalty in penalties]


# %%
PENALTIES = (0.0, 1.0, 3.0)
doubting = np.array([ensemble(seed, PENALTIES) for seed in SEEDS])  # (5, 3, 3, 16)
rows = [
    [f"λ = {x:g}", float(c[:, 2].max(1).mean()), float(c[:, 2, -1].mean())]
    for x, c in zip(PENALTIES, doubting.swapaxes(0, 1), strict=True)
]
show(["50 pairs, five seeds", "summit", "at the end"], ["one proxy", float(height[0]), float(end[0])], *rows, digits=1)
assert rows[0][1] > height[0]  # the mean of five is a better proxy
assert abs(rows[2][2] - rows[0][2]) < 0.4  # the doubt saves next to nothing


# %%
def doubt(axes):
    axes.plot(means[50][0], means[50][2], color=style.RUST, label="one proxy")
    for penalty, c, line in zip(PENALTIES, doubting.mean(0), ("-", "--", ":"), strict=True):
        axes.plot(c[0], c[2], line, color=style.BLUE, label=f"mean − {penalty:g} variance")


alt = "True reward over d for one proxy and three ensembles: all turn; the larger the penalty, the lower the summit."
notebook.picture(doubt, "Doubt does not save the summit here", "d = √KL, √nats", "true reward, log-odds", alt)

# %% [markdown]
# The mean of five is a better proxy than one. The penalty, here, saves nothing: five resamples of the same 50 pairs
# share their accidents, and where all five are wrong together the variance is small. Doubt helps where the members
# disagree about what is wrong (Coste et al. 2023, [arXiv:2310.02743](https://arxiv.org/abs/2310.02743), report gains
# for language models).


# %% [markdown]
# ## A law, and a prediction
#
# Gao and others (2022) describe the true reward under best-of-n by $R(d) = d\,(\alpha - \beta d)$, for proxies of many
# sizes. Such a curve has its summit at $d = \alpha / 2\beta$. Whoever fits it to little optimisation, where the truth
# could still be measured, would know when to stop. **Predict** with what you saw: is the start of our curves as bent as
# their summit needs?


# %%
def summit(c, limit):
    """α / 2β of gain = d (α - β d), by least squares up to `limit` nats; ∞ where the fit bends upwards"""
    d, gain = c[0], c[2] - c[2][0]
    use = (d > 0) & (d**2 <= limit)
    alpha, beta = np.linalg.lstsq(np.stack([d[use], -(d[use] ** 2)], 1), gain[use], rcond=None)[0]
    return float(alpha / (2 * beta)) if beta > 0 else np.inf


# %%
rows = []
for n in SIZES:
    seen = [float(c[0][c[2].argmax()]) for c in found[n]]
    guesses = [np.median([summit(c, limit) for c in found[n]]) for limit in (1.0, 2.0, np.inf)]
    rows.append([f"{n} pairs", float(np.mean(seen)), *map(float, guesses)])
show(["summit at d, five seeds", "seen", "up to 1 nat", "2 nats", "all"], *rows, digits=1)
assert all(one > 2 * seen for _, seen, one, *_ in rows)  # far too late
assert all(two < one for _, _, one, two, _ in rows)  # the more is seen, the better
assert all(0.6 < whole / seen < 1.8 for _, seen, *_, whole in rows)  # fitted to everything it describes

# %% [markdown]
# ## Where the law fails
#
# Fitted to the whole curve, the form describes it. Fitted to its start, it promises a summit much too far away: there
# the true reward is won nearly as fast as by the truth itself, and the proxy's small errors are optimised later. With
# 20 seeds (`tests/benchmarks/overoptimisation.py`) the mean of |predicted / seen − 1| is 0.3, 0.5, 0.8 and 1.0 for 50,
# 100, 200 and 400 pairs if it is fitted up to 2 nats, nearly to the summit; up to 1 nat it is 1.6, 3.8, 10 and 34.

# %%
few, perfect = means[50], curve([e.rewards for e in every])
early = [float(np.interp(0.8, c[0], c[2]) - c[2][0]) for c in (few, perfect)]
late = [float(np.interp(2.5, few[0], few[2])), float(perfect[2].max())]

# %%
show(["", "50 pairs", "truth itself"], ["gain at d = 0.8", *early], ["true reward at the far end", *late], digits=1)
assert early[0] > 0.5 * early[1]  # at the start one looks like the other
assert late[0] < late[1] - 1

# %% [markdown]
# So a measured start is no licence: hold back some labels and measure where you stop, or stay near. Gao and others
# fitted large models over the whole range, where the form is good. Ours is a small world with a bounded reward, whose
# curve has a knee.

# %% [markdown]
# ## What you can now assert
#
# - The best of $n$ is known exactly; $\log n - \frac{n-1}{n}$ bounds its KL; $\pi^*$ is the best at any distance.
# - REINFORCE's average is the exact gradient; GRPO's is that gradient times a factor that depends on the prompt.
# - A proxy rises while the true reward turns and falls; more labels raise the summit and move it out.

# %%
assert np.all(np.diff(by_proxy) > -1e-9)
assert by_truth[-1] < by_truth.max()
assert np.all(np.diff(height) > 0)

# %% [markdown]
# ## Three questions
#
# <details><summary>Best of 16 and best of 64 have the same KL. What do you know about the rewards?</summary>
#
# They tie at the top: with 16 draws the best level is found nearly always, and 48 more draws change nothing.
#
# </details>
# <details><summary>Why subtract a baseline, if the average gradient stays the same?</summary>
#
# For its variance: without it every drawn response is pushed up, the good ones only more so, and the average emerges
# from many draws.
#
# </details>
# <details><summary>Your proxy's reward still grows, the KL is 8 nats. Is the policy getting better?</summary>
#
# The proxy cannot tell: its reward grows by construction. Ask people, or a reward model that learned from other labels.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# Policies, their gradients and best-of-n are in [numpy_ref/policy.py](../numpy_ref/policy.py), all responses of the
# world in [numpy_ref/data/responses.py](../numpy_ref/data/responses.py). The whole path, in both packages, is `python
# -m torch_impl compare --stage all`.
