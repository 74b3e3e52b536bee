# %% [markdown]
# # 10a · What can go wrong: length, noise, and a reward that is too good to be true
#
# After this lesson you can
#
# - show that a model has learned to prefer length although its held-out accuracy looks good;
# - say what flipped labels do to the scale, the floors and the gradient, and correct the loss for them;
# - draw best-of-n against the known true reward, find where it falls again, and say why it must or need not.
#
# You need lessons 4, 7 and 8. Reading takes about 45 minutes, the two exercises 50 minutes.

# %%
import numpy as np

from numpy_ref import batches, metrics, reward_model
from numpy_ref.check.cell import check
from numpy_ref.cli.main import keep_freed_memory
from numpy_ref.data import tokenizer, world
from numpy_ref.data.tokens import encode
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.train import Learner, train
from numpy_ref.tree import flatten

rng = np.random.default_rng(10)

# %% [markdown]
# ## The world again
#
# We take the world of lesson 8: its true reward is known, so every failure can be measured. Length plays no role in it:
# the longer of two responses is the better one about as often as not. `fit` trains the model of lesson 8 on some data
# and returns a function that scores encoded responses.

# %%
keep_freed_memory()  # fewer system calls in training, nothing else
train_set, eval_set = world.make_world(10, n_train=3000, n_eval=200, visits=5)
words = tokenizer.Words(world.WORDS)
ids_of = lambda data: [
    [words.encode(prompt, text) for text in texts] for prompt, texts in zip(data.prompts, data.responses, strict=True)
]
held = ids_of(eval_set)
in_words = lambda data: np.array([[len(text.split()) for text in texts] for texts in data.responses])
by_length = metrics.summary(in_words(eval_set), eval_set.rewards)["accuracy"]
print(f"the longer response is the better one in {100 * by_length:.0f} % of the pairs")
assert abs(by_length - 0.5) < 0.05


# %%
def fit(data, steps, seed=0, batch_size=32):
    """A reward model trained on this data        -> (N lists of K lists of ids -> (N, K))"""
    first = reward_model.init_params(np.random.default_rng(seed), words.vocab_size, 16, 32, 2)
    learner = Learner(flatten(first), 4, steps, 4e-3, steps // 10)
    for _ in train(learner, data, start=0, total_steps=steps, batch_size=batch_size, seed=seed):
        pass
    return lambda rows: batches.all_rewards(learner.rewards, rows)


labels = lambda data: encode(words, world.rank(rng, data), max_length=16)
assert len(labels(train_set).rows) == 15_000

# %% [markdown]
# # Length
#
# ## Raters who like length
#
# Let raters add a bonus for each word to the true reward before they compare: 0, 0.5 or 1 log-odds. The data do not
# record this. The only trace is that the longer response wins more often than it should.

# %%
BONUS = (0.0, 0.5, 1.0)
biased = lambda data, bonus: data._replace(rewards=data.rewards + bonus * in_words(data))
answers = {bonus: labels(biased(train_set, bonus)) for bonus in BONUS}
longer = {bonus: np.mean([(np.sign(len(a) - len(b)) + 1) / 2 for a, b in answers[bonus].rows]) for bonus in BONUS}
assert longer[0.0] < 0.55
assert longer[0.0] < longer[0.5] - 0.04 < longer[1.0] - 0.08
table([[f"{bonus:g}", longer[bonus]] for bonus in BONUS], ["bonus for a word", "share won by the longer"], 2)

# %% [markdown]
# ## The held-out accuracy does not show it
#
# Train one model on the labels of each group of raters. Guess which of the three has the best accuracy on held-out
# labels *by the same raters*. Then look at the accuracy against the true reward, which nobody has outside of this
# world.

# %%
models = {bonus: fit(answers[bonus], 250) for bonus in BONUS}
scores = {bonus: models[bonus](held) for bonus in BONUS}
by_raters = {b: metrics.summary(scores[b], biased(eval_set, b).rewards)["accuracy"] for b in BONUS}
by_truth = {b: metrics.summary(scores[b], eval_set.rewards)["accuracy"] for b in BONUS}
assert min(by_raters.values()) > 0.7
assert by_raters[1.0] > by_raters[0.0] - 0.03
assert by_truth[1.0] < by_truth[0.0] - 0.05
rows = [[f"{b:g}", by_raters[b], by_truth[b]] for b in BONUS]
table(rows, ["bonus for a word", "accuracy, same raters", "accuracy, true reward"], 2)

# %% [markdown]
# ## Score and length
#
# Without the truth we can still measure how the score depends on the length within each prompt. The correlation alone
# proves nothing: complete answers are longer than incomplete ones, so even the true reward correlates a little with
# length. But a large correlation needs an explanation.

# %%
centred = lambda rewards: (rewards - rewards.mean(axis=1, keepdims=True)).ravel()
correlation = lambda a, b: np.corrcoef(centred(a), centred(b))[0, 1]
length = in_words(eval_set).astype(float)
with_length = {bonus: correlation(scores[bonus], length) for bonus in BONUS}
assert 0 < correlation(eval_set.rewards, length) < 0.2
assert with_length[0.0] < with_length[0.5] - 0.1 < with_length[1.0] - 0.2
assert with_length[1.0] > 0.6
rows = [["true reward", correlation(eval_set.rewards, length)]]
table(rows + [[f"model, bonus {b:g}", with_length[b]] for b in BONUS], ["", "correlation with length"], 2)


# %%
places = [n for n in range(1, 8) if (length == n).sum() >= 20]
mean_by_length = lambda rewards: np.array([centred(rewards)[length.ravel() == n].mean() for n in places])
steepness = [np.polyfit(places, mean_by_length(scores[bonus]), 1)[0] for bonus in BONUS]
assert np.all(np.diff(steepness) > 0.1)


# %%
def score_by_length(axes):
    for bonus, line, colour in zip(BONUS, ("-", "--", ":"), (INK, BLUE, RUST), strict=True):
        name = f"raters' bonus {bonus:g}"
        axes.plot(places, mean_by_length(scores[bonus]), line, marker="o", ms=4, color=colour, label=name)
    axes.plot(places, mean_by_length(eval_set.rewards), color="#777777", lw=4, alpha=0.4, label="true reward")


alt = "Mean score over the number of words: for unbiased raters it follows the true reward; the larger the raters' "
alt += "bonus for length, the steeper the score rises with it."
title, label = "The bonus tilts the score", "mean reward − its prompt's mean\n(log-odds)"
picture(score_by_length, title, "length of the response (words)", label, alt)

# %% [markdown]
# ## Quality held fixed: a regression
#
# In that figure quality and length are mixed. Fit $r \approx a\, r^* + b \cdot \text{length}$ by least squares, with
# every variable reduced by its prompt's mean. Then $b$ is what the model pays for one more word at equal quality.

# %% [markdown]
# ### Exercise 10.1 ★★☆ · 20 minutes · the price of a word
#
# Given the score, the quality and the length of $P$ prompts with $K$ responses each, return $b$. On real data the
# quality is unknown; then a second reward model, or the length of *the same* response with and without padding words,
# takes its place.


# %%
def length_slope(score, quality, length):
    """The b of least squares score = a quality + b length, all less their prompt's mean        (P, K) each -> ()"""
    ### BEGIN SOLUTION
    score, quality, length = (x - x.mean(axis=1, keepdims=True) for x in (score, quality, length))
    design = np.stack([quality.ravel(), length.ravel()], axis=1)
    return np.linalg.lstsq(design, score.ravel(), rcond=None)[0][1]
    ### END SOLUTION


# %%
check(length_slope)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Three steps: subtract each prompt's own mean from all three arrays, write both explanatory variables as columns,
# solve.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `x - x.mean(axis=1, keepdims=True)` for each of the three, then `.ravel()`.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `np.linalg.lstsq(np.stack([quality, length], axis=1), score, rcond=None)[0][1]` of the three centred and flattened
# arrays.
#
# </details>

# %% [markdown]
# Here is what our three models pay. Compare it with the bonus that their raters gave.

# %%
design = np.stack([centred(eval_set.rewards), centred(length)], axis=1)
paid = {bonus: np.linalg.lstsq(design, centred(scores[bonus]), rcond=None)[0][1] for bonus in BONUS}
assert abs(paid[0.0]) < 0.3
assert paid[0.0] < paid[0.5] - 0.1 < paid[1.0] - 0.2
table([[f"{bonus:g}", paid[bonus]] for bonus in BONUS], ["raters' bonus", "model pays for a word (log-odds)"], 2)

# %% [markdown]
# ## A property that catches it
#
# *A filler word must not raise the reward.* This test needs no labels and no truth: take good responses, insert `um`,
# score both versions. In our world every filler costs 0.42 log-odds. Which sign do you expect from the model of the
# biased raters?

# %%
whole = [(q, t[0].split()) for q, t in zip(eval_set.prompts, eval_set.responses, strict=True) if t[0][-1] == "."]
short = [(prompt, text) for prompt, text in whole if len(text) <= 5]
padded = [[words.encode(q, " ".join(t[:3] + ["um"] * k + t[3:])) for k in (0, 1, 2)] for q, t in short]
for_filler = {b: np.diff(models[b](padded), axis=1).mean() for b in (0.0, 1.0)}
assert for_filler[0.0] < 0 < for_filler[1.0]
table([[f"{b:g}", change] for b, change in for_filler.items()], ["raters' bonus", "change of the score by one um"], 2)

# %% [markdown]
# # Noise
#
# ## What flipped labels do to what can be learned
#
# Flip each label with probability $\varepsilon$. The first response now wins with probability $p' = (1-\varepsilon) p +
# \varepsilon (1-p)$, which lies between $\varepsilon$ and $1 - \varepsilon$, so its log-odds never exceed $\log
# \frac{1-\varepsilon}{\varepsilon}$ (lesson 4). The order stays the true one, but all margins shrink, and no model can
# reach the old accuracy on such labels.

# %%
flip_rate = 0.2
true_margin = metrics.pair_differences(eval_set.rewards)
p = sigmoid(true_margin)
p_flipped = (1 - flip_rate) * p + flip_rate * (1 - p)
margin_flipped = np.log(p_flipped / (1 - p_flipped))
assert np.all(np.sign(margin_flipped) == np.sign(true_margin))
assert np.all(np.abs(margin_flipped) < np.minimum(np.abs(true_margin), np.log(0.8 / 0.2)))
best, best_flipped = np.maximum(p, 1 - p).mean(), np.maximum(p_flipped, 1 - p_flipped).mean()
assert np.isclose(best_flipped, 0.2 + 0.6 * best)
print(f"best reachable accuracy: clean {best:.2f}, one label in five flipped {best_flipped:.2f}")

# %% [markdown]
# ## A model trained on flipped labels
#
# The scale shrinks, as the formula predicts. The order is worse than in the clean run, because each label says less;
# but such noise favours no property of the text, so the model does not learn to pay for length. This is the difference
# between noise and bias: with more labels noise averages out, a bias never does. One training each.

# %%
clean = answers[0.0]
is_flipped = rng.random(len(clean.rows)) < flip_rate
noisy_rows = [row[::-1] if flip else row for row, flip in zip(clean.rows, is_flipped, strict=True)]
noisy = fit(clean._replace(rows=noisy_rows), 250)
spread = lambda rewards: centred(rewards).std()
assert spread(noisy(held)) < 0.8 * spread(scores[0.0])
assert 0.5 < metrics.spearman(noisy(held), eval_set.rewards) < metrics.spearman(scores[0.0], eval_set.rewards)
paid_by_noisy = np.linalg.lstsq(design, centred(noisy(held)), rcond=None)[0][1]
assert abs(paid_by_noisy) < 0.15 < paid[0.5]
print(f"spread of the score: clean {spread(scores[0.0]):.2f}, flipped {spread(noisy(held)):.2f} log-odds")

# %% [markdown]
# ## Whose gradient is it?
#
# Before training every margin is near 0, and the flipped labels produce their share of the gradient, one fifth. A
# trained model contradicts them, and labels that contradict the model have the largest gradients. So the pairs with the
# largest loss are the first place to look for wrong labels.

# %%
margin = np.diff(noisy(noisy_rows[:4000]), axis=1)[:, 0] * -1
pull, flip = sigmoid(-margin), is_flipped[:4000]
share = pull[flip].sum() / pull.sum()
assert abs(flip.mean() - 0.2) < 0.03  # at the start every pair pulls with a half
assert share > flip.mean() + 0.02
hardest = np.argsort(pull)[-200:]
assert flip[hardest].mean() > 1.4 * flip.mean()
shares = {"of the labels": flip.mean(), "of the gradient": share, "of the 200 largest losses": flip[hardest].mean()}
table([[name, value] for name, value in shares.items()], ["flipped share", ""], 2)

# %% [markdown]
# ## A loss that expects flips
#
# Label smoothing (lesson 4) answers noise by asking for less: its minimum is a margin of $\log
# \frac{1-\varepsilon}{\varepsilon}$. One can also ask for the opposite, a loss whose *average over the flips* is the
# loss of the clean label. With $\ell(\Delta) = -\log \sigma(\Delta)$, look for a function
# $f(\Delta) = a\, \ell(\Delta) + b\, \ell(-\Delta)$ with
# $(1-\varepsilon) f(\Delta) + \varepsilon f(-\Delta) = \ell(\Delta)$.

# %% [markdown]
# ### Exercise 10.2 ★★★ · 30 minutes · the unbiased loss
#
# Find $a$ and $b$, and code the mean of $f$ over a batch (Natarajan et al. 2013, "Learning with Noisy Labels"). Margins
# up to ±1000 occur. Why is one of the two coefficients negative, and what happens as $\varepsilon$ approaches ½?


# %%
def unbiased_loss(chosen, rejected, flip_rate):
    """mean of a ℓ(Δ) + b ℓ(-Δ), whose average over the flips is ℓ(Δ)        (B,), (B,), () -> ()"""
    ### BEGIN SOLUTION
    margin = chosen - rejected
    as_given, turned = -log_sigmoid(margin), -log_sigmoid(-margin)
    return ((1 - flip_rate) * as_given - flip_rate * turned).mean() / (1 - 2 * flip_rate)
    ### END SOLUTION


# %%
check(unbiased_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Insert $f$ into the condition and compare the coefficients of $\ell(\Delta)$ and $\ell(-\Delta)$ on both sides: two
# equations for $a$ and $b$.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# $(1-\varepsilon) a + \varepsilon b = 1$ and $(1-\varepsilon) b + \varepsilon a = 0$. The second gives $b =
# -\frac{\varepsilon}{1 - \varepsilon}\, a$.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $a = \frac{1-\varepsilon}{1-2\varepsilon}$ and $b = -\frac{\varepsilon}{1-2\varepsilon}$. The negative part removes
# what the flipped labels add. Near ½ the labels say nothing, and both coefficients grow without bound.
#
# </details>

# %% [markdown]
# # Reward hacking
#
# ## Best of n
#
# Draw $n$ responses to a prompt, score all of them, keep the best: the simplest way to use a reward model, without any
# training. How far does this move the distribution of responses? Measured by the quantile $u$ of the score, the best of
# $n$ has the density $n u^{n-1}$ instead of 1. So the KL divergence is $\int_0^1 n u^{n-1} \log(n u^{n-1})\, du = \log
# n - \frac{n-1}{n}$, for scores without ties.

# %%
u = (np.arange(1_000_000) + 0.5) / 1_000_000
for n in (1, 4, 64):
    density = n * u ** (n - 1.0)
    assert np.isclose(density.mean(), 1, rtol=1e-5)
    numerical = (density * np.log(np.maximum(density, 1e-300))).mean()
    print(f"n = {n:2}: KL {numerical:.3f} nats, formula {np.log(n) - (n - 1) / n:.3f}")
    assert np.isclose(numerical, np.log(n) - (n - 1) / n, atol=1e-5)

# %% [markdown]
# ## Every n from one pool
#
# Draw $M$ responses once and sort them by score. In a random subset of size $n$, the response at place $i$ (from the
# lowest) is the best if the other $n-1$ come from the $i - 1$ below it. This has the probability $\binom{i-1}{n-1} /
# \binom{M}{n}$. The code computes it as a running product from the top place down, so no large number occurs.


# %%
def best_of(n, score, worth):
    """Mean worth of the response with the largest score among n, over all subsets of n        (P, M), (P, M) -> ()"""
    M = score.shape[1]
    i = np.arange(n, M)  # weight_i = C(i-1, n-1) / C(M, n); weight_M = n / M, weight_i = weight_{i+1} (i-n+1) / i
    weight = n / M * np.append(np.cumprod(((i - n + 1) / i)[::-1])[::-1], 1.0)
    return (np.take_along_axis(worth, np.argsort(score, axis=1), axis=1)[:, n - 1 :] @ weight).mean()


# %%
normal = rng.normal(size=(1, 64))
drawn = np.array([rng.choice(normal[0], 8, replace=False).max() for _ in range(20_000)])
assert np.isclose(best_of(1, normal, normal), normal.mean())
assert best_of(64, normal, normal) == normal.max()
print(f"best of 8: exact {best_of(8, normal, normal):.2f}, mean of 20,000 draws {drawn.mean():.2f}")
assert abs(best_of(8, normal, normal) - drawn.mean()) < 5 * drawn.std() / np.sqrt(20_000)

# %% [markdown]
# ## A proxy from few labels
#
# For 16 new prompts we draw 256 responses each, and know their true rewards. The *proxy* is a reward model trained on
# only 60, 250 or 1000 pairs, always for 80 steps of 16 pairs: labels are expensive. Five trainings of each differ in
# their first weights and in the order of the pairs. How well do their scores follow the true reward?

# %%
jobs = world.sample_prompts(rng, 1020)
drawn = [[world.sample_response(rng, job) for _ in range(256)] for job in jobs[:16]]
gold = np.array([[reward for _, reward in row] for row in drawn])
ask = [" ".join(f"{task} {question}" for task, question in job) for job in jobs[:16]]
pool = [[words.encode(q, text) for text, _ in row] for q, row in zip(ask, drawn, strict=True)]
pairs = {n: labels(world.sample_responses(rng, jobs[20 : 20 + n], 2)) for n in (60, 250, 1000)}

# %%
proxies = {n: [fit(data, 80, seed, 16)(pool) for seed in range(5)] for n, data in pairs.items()}
follows = {n: [correlation(score, gold) for score in five] for n, five in proxies.items()}
assert all(0 < min(five) < max(five) < 0.9 for five in follows.values())
assert np.mean(follows[60]) < np.mean(follows[1000])
rows = [[n, np.mean(five), min(five), max(five)] for n, five in follows.items()]
table(rows, ["pairs", "correlation, mean of five", "smallest", "largest"], 2)

# %% [markdown]
# ## The true reward falls again
#
# With growing $n$ the proxy's own score keeps rising, because it is what we maximise. What will the *true* reward of
# the chosen response do? The figure is the mean of the five proxies from 60 pairs. This is reward hacking, or
# Goodhart's law.

# %%
ns = 2 ** np.arange(9)
course = lambda score, worth: np.array([best_of(n, score, worth) for n in ns])
unit = lambda score: (score - score.mean()) / score.std()
seen = np.mean([course(unit(score), unit(score)) for score in proxies[60]], axis=0)
real = np.mean([course(score, gold) for score in proxies[60]], axis=0)
assert np.all(np.diff(seen) > 0)
assert real.max() > real[0] + 0.1
assert 1 < ns[real.argmax()] < 128
assert real[-1] < real.max() - 0.1

# %%
assert np.all(np.diff(seen) > 0)
rows = [[n, seen[k], real[k]] for k, n in enumerate(ns) if k % 2 == 0]
table(rows, ["n", "proxy score (its std)", "true reward (log-odds)"], 2)


# %%
def two_courses(axes):
    axes.plot(ns, seen - seen[0], color=RUST, ls="--", marker="s", ms=4, label="proxy score (its std)")
    axes.plot(ns, real - real[0], color=INK, marker="o", ms=4, label="true reward (log-odds)")
    turn = ns[real.argmax()]
    axes.axvline(turn, color="#777777", ls=":", label=f"largest true reward: n = {turn}")
    axes.set_xscale("log", base=2)


alt = "Gain of best-of-n over n: the proxy score rises all the way; the true reward rises a little, then falls from "
alt += f"n = {ns[real.argmax()]} on."
picture(two_courses, "Best of n: proxy up, truth down", "n, responses drawn for each prompt", "gain over n = 1", alt)

# %% [markdown]
# ## More labels
#
# The same for proxies from 60, 250 and 1000 pairs, each the mean of five trainings. With more labels the peak is
# higher. Single trainings may change places, because which errors a proxy makes is partly chance; the table shows the
# standard error. If the true reward itself is the judge, the curve never falls.

# %%
each = {
    n: np.array([course(score, gold) for score in five]) for n, five in proxies.items()
}  # (5 trainings, 9 values of n)
courses = {n: runs.mean(0) for n, runs in each.items()}
oracle = course(gold, gold)
peaks = {n: c.max() for n, c in courses.items()}
assert np.all(np.diff(oracle) > 0)
assert peaks[60] < peaks[250] < peaks[1000] < oracle.max()
error = {n: runs[:, courses[n].argmax()].std(ddof=1) / np.sqrt(5) for n, runs in each.items()}
rows = [[n, ns[courses[n].argmax()], peaks[n], error[n], courses[n][-1]] for n in courses]
table(rows, ["pairs", "peak at n", "true reward there", "standard error", "at n = 256"], 2)


# %%
def more_labels(axes):
    for (n, c), line in zip(courses.items(), (":", "--", "-"), strict=True):
        axes.plot(ns, c, line, color=INK, label=f"proxy from {n:,} pairs")
        axes.plot(ns[c.argmax()], c.max(), "o", color=RUST, ms=6)
    axes.plot(ns, oracle, color=BLUE, lw=3, alpha=0.5, label="the true reward itself")
    axes.set_xscale("log", base=2)
    axes.set_ylim(1, 6.4)  # room for the names


alt = (
    "True reward of best-of-n over n for proxies from 60, 250 and 1,000 pairs, means of five trainings, with a dot at "
)
alt += "each peak: the more pairs, the higher the peak. The true reward as its own judge rises to its largest value."
picture(more_labels, "More labels, a higher peak", "n", "true reward of the chosen (log-odds)", alt)

# %% [markdown]
# ## Must the true reward fall again?
#
# Selection alone does not force it. Let the proxy be the true reward plus an independent error, both normal: then the
# expected true reward, given the proxy, is a rising straight line, and more search never hurts. If large errors are
# more frequent than large true rewards, the top of the list consists of errors, and the true reward falls back to its
# mean.


# %%
def course_of(truth, error):
    return np.array([best_of(n, truth + error, truth) for n in ns])


truth = rng.normal(size=(400, 1024))
light, heavy = course_of(truth, rng.normal(size=truth.shape)), course_of(truth, rng.standard_t(1.5, truth.shape))
assert np.all(np.diff(light) > 0)
assert np.allclose(light, course_of(truth, 0) / np.sqrt(2), atol=0.1)  # the regression's share
assert heavy.argmax() < len(ns) - 1
assert heavy[-1] < heavy.max() - 0.1
rows = [[name, c[0], c.max(), c[-1]] for name, c in (("normal", light), ("heavy tails (t, 1.5)", heavy))]
table(rows, ["errors", "n = 1", "largest", "n = 256"], 2)

# %% [markdown]
# Our world is of the second kind: its true reward is at most 4.62, for a courteous answer to all three tasks, while a
# proxy's errors are not bounded in this way. Gao and others ([arXiv:2210.10760](https://arxiv.org/abs/2210.10760))
# measured such curves with large models and fitted, with $d = \sqrt{\mathrm{KL}}$, the law $R_{\text{bon}}(d) =
# d\,(\alpha - \beta d)$ for best-of-n. Whether their curves fall for the same reason as ours, we cannot tell from our
# experiment. [Lesson 12](12_what_the_reward_is_for.ipynb) shows where such a curve turns, with the true reward at hand.

# %%
assert np.isclose(gold.max(), world.reward(right=3, rude=False, fillers=0, courteous=True))
assert np.isclose(gold.max(), 4.62)
top = [np.take_along_axis(gold, score.argmax(axis=1)[:, None], axis=1).mean() for score in proxies[60]]
print(f"true reward: at most {gold.max():.2f}, mean {gold.mean():.2f}, of the proxies' favourites {np.mean(top):.2f}")
assert np.mean(top) < gold.max() - 2

# %% [markdown]
# ## What helps when the truth is not known
#
# The five proxies from 250 pairs saw the same pairs from different first weights. Where they disagree, at least one of
# them is wrong, and best-of-n searches for errors. So the disagreement is larger at the top of one proxy than on
# average: an alarm that needs no truth. How good a judge is their mean?

# %%
standard = [(one - one.mean(axis=1, keepdims=True)) / one.std(axis=1, keepdims=True) for one in proxies[250]]
others = np.mean(standard[1:], axis=0)
at_top = np.argsort(standard[0], axis=1)[:, -8:]  # what best-of-n would choose from
gap = standard[0] - others
at_the_top = np.take_along_axis(gap, at_top, axis=1).mean()
print(f"first proxy minus the others: {abs(gap.mean()):.2f} on average, {at_the_top:.1f} at its top")
assert at_the_top > abs(gap.mean()) + 0.2
together = course(np.mean(standard, axis=0), gold)
single = np.mean([course(one, gold).max() for one in proxies[250]])
print(f"largest true reward: single proxies {single:.2f}, their mean as judge {together.max():.2f}")
assert together.max() > single

# %% [markdown]
# ## What you can now assert
#
# A bias of the raters is learned with a good held-out accuracy, and a property finds it. Flipped labels shrink the
# scale and produce more than their share of the gradient, but favour nothing. Under a proxy from few labels the true
# reward of best-of-n falls again while the proxy's score still rises. With normal errors it would not fall: large
# errors at the top are the cause here.

# %%
assert by_raters[1.0] > 0.7
assert for_filler[0.0] < 0 < for_filler[1.0]
assert share > flip.mean()
assert real[-1] < real.max()
assert seen[-1] == seen.max()
assert np.all(np.diff(light) > 0)

# %% [markdown]
# ## Three questions
#
# <details><summary>Your reward model has a held-out accuracy of 0.8. Why is this no proof that it does not simply
# prefer long answers?</summary>
#
# The held-out labels come from the same raters. If they prefer length, preferring length is accurate.
#
# </details>
# <details><summary>Ten times as many labels: what do they change about noise, and what about a bias?</summary>
#
# Noise averages out, so the order improves. A bias is learned only better.
#
# </details>
# <details><summary>In which case does best-of-n never hurt, however large n is?</summary>
#
# If the expected true reward rises with the proxy everywhere, as with normal truth and normal errors, or if the judge
# is the true reward itself.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/report/findings.py](../numpy_ref/report/findings.py): which shortcuts, such as length, explain a
#   preference file.
# - [numpy_ref/data/world.py](../numpy_ref/data/world.py): the world and its true reward.
# - Gao, Schulman, Hilton: Scaling Laws for Reward Model Overoptimization,
#   [arXiv:2210.10760](https://arxiv.org/abs/2210.10760).
