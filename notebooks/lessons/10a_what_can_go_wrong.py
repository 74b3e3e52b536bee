# %% [markdown]
# # 10a · What can go wrong: length, noise, and a reward that is too good to be true
#
# After this lesson you can
#
# - show that a model has learned to like length, and that its held-out accuracy does not tell;
# - say what flipped labels do to the scale, the floors and the gradient;
# - draw best-of-n against the known true reward, find where it turns over, and say why it must or need not.
#
# You need lessons 4, 7 and 8. Reading takes about 45 minutes, the exercise 20.

# %%
import numpy as np

from numpy_ref import batches, losses, metrics, reward_model
from numpy_ref.check.cell import check
from numpy_ref.cli.main import keep_freed_memory
from numpy_ref.data import encode, tokenizer, world
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.train import Learner, train
from numpy_ref.tree import flatten

rng = np.random.default_rng(10)

# %% [markdown]
# ## The world again
#
# We take the world of lesson 8: its true reward is known, so that every failure can be measured. Its length is
# innocent: the longer of two responses is the better one about as often as not. `fit` trains the model of lesson 8 on
# some data and returns a function that scores encoded responses.

# %%
keep_freed_memory()  # fewer system calls in training, nothing else
train_set, eval_set = world.make_world(10, n_train=3000, n_eval=200, visits=5)
words = tokenizer.Words(world.WORDS)
encode = lambda data: [
    [words.encode(prompt, text) for text in texts] for prompt, texts in zip(data.prompts, data.responses, strict=True)
]
held = encode(eval_set)
in_words = lambda data: np.array([[len(text.split()) for text in texts] for texts in data.responses])
assert abs(metrics.summary(in_words(eval_set), eval_set.rewards)["accuracy"] - 0.5) < 0.05


# %%
def fit(data, steps, seed=0, batch_size=32):
    """A reward model trained on this data        -> (N lists of K lists of ids -> (N, K))"""
    first = reward_model.init_params(np.random.default_rng(seed), words.vocab_size, 16, 32, 2, np.float32)
    learner = Learner(flatten(first), 4, steps, 4e-3, steps // 10)
    for _ in train(learner, data, start=0, total_steps=steps, batch_size=batch_size, seed=seed):
        pass
    return lambda rows: batches.all_rewards(learner.rewards, rows)


labels = lambda data: encode.encode(words, world.rank(rng, data), max_length=16)
assert len(labels(train_set).rows) == 15_000

# %% [markdown]
# # Length
#
# ## Raters who like length
#
# Let raters add a bonus for each word to the true reward before they compare: none, half a log-odd, or one. Nothing in
# the data says so. The one trace is that the longer response wins more often than it should.

# %%
BONUS = (0.0, 0.5, 1.0)
biased = lambda data, bonus: data._replace(rewards=data.rewards + bonus * in_words(data))
answers = {bonus: labels(biased(train_set, bonus)) for bonus in BONUS}
longer = {bonus: np.mean([(np.sign(len(a) - len(b)) + 1) / 2 for a, b in answers[bonus].rows]) for bonus in BONUS}
assert longer[0.0] < 0.55
assert longer[0.0] < longer[0.5] - 0.04 < longer[1.0] - 0.08

# %% [markdown]
# ## The held-out accuracy does not tell
#
# Train a model on each of the three. On held-out labels *by the same raters* all three look well: each is a good
# distance above a half, the most biased one no worse than the others. Only the true reward, which nobody has outside
# of this world, shows the damage.

# %%
models = {bonus: fit(answers[bonus], 400) for bonus in BONUS}
scores = {bonus: models[bonus](held) for bonus in BONUS}
by_raters = {b: metrics.summary(scores[b], biased(eval_set, b).rewards)["accuracy"] for b in BONUS}
by_truth = {b: metrics.summary(scores[b], eval_set.rewards)["accuracy"] for b in BONUS}
assert min(by_raters.values()) > 0.7
assert by_raters[1.0] > by_raters[0.0] - 0.03
assert by_truth[1.0] < by_truth[0.0] - 0.05

# %% [markdown]
# ## Score and length
#
# What can be seen without the truth is how the score goes with the length, within each prompt. The correlation alone
# is no proof: complete answers are longer than cut ones, so even the true reward correlates a little. But a large one
# is a question that must be answered.

# %%
centred = lambda rewards: (rewards - rewards.mean(axis=1, keepdims=True)).ravel()
correlation = lambda a, b: np.corrcoef(centred(a), centred(b))[0, 1]
length = in_words(eval_set).astype(float)
with_length = {bonus: correlation(scores[bonus], length) for bonus in BONUS}
assert 0 < correlation(eval_set.rewards, length) < 0.2
assert with_length[0.0] < with_length[0.5] - 0.1 < with_length[1.0] - 0.2
assert with_length[1.0] > 0.6


# %%
places = [n for n in range(1, 8) if (length == n).sum() >= 20]
mean_by_length = lambda rewards: np.array([centred(rewards)[length.ravel() == n].mean() for n in places])
steepness = [np.polyfit(places, mean_by_length(scores[bonus]), 1)[0] for bonus in BONUS]
assert np.all(np.diff(steepness) > 0.1)


# %%
def score_by_length(axes):
    for bonus, line, colour in zip(BONUS, ("-", "--", ":"), (INK, BLUE, RUST), strict=True):
        name = f"raters' bonus: {bonus:g} a word"
        axes.plot(places, mean_by_length(scores[bonus]), line, marker="o", ms=4, color=colour, label=name)
    axes.plot(places, mean_by_length(eval_set.rewards), color="#777777", lw=4, alpha=0.4, label="true reward")


alt = "Mean score over the number of words: for unbiased raters it follows the true reward; the larger the raters' "
alt += "bonus for length, the steeper the score rises with it."
title, label = "What the model pays for a word", "mean reward − its prompt's mean (log-odds)"
picture(score_by_length, title, "length of the response (words)", label, alt)

# %% [markdown]
# ## Apart from quality: a regression
#
# Quality and length are mixed in that figure. Fit $r \approx a\, r^* + b \cdot \text{length}$ within the prompts by
# least squares, and $b$ is what the model pays for a word of no worth. Where the truth is unknown, compare responses
# of equal quality instead, for example the same response with and without padding.

# %%
design = np.stack([centred(eval_set.rewards), centred(length)], axis=1)
paid = {bonus: np.linalg.lstsq(design, centred(scores[bonus]), rcond=None)[0][1] for bonus in BONUS}
assert abs(paid[0.0]) < 0.3
assert paid[0.0] < paid[0.5] - 0.1 < paid[1.0] - 0.2

# %% [markdown]
# ## A property that catches it
#
# *A filler word must not raise the reward.* This needs no labels and no truth: take good responses, put `um` in, score
# both. In our world people dislike fillers by 0.42 log-odds each; the model of the unbiased raters has learned the
# sign, while the model of the biased ones pays for them.

# %%
whole = [(q, t[0].split()) for q, t in zip(eval_set.prompts, eval_set.responses, strict=True) if t[0][-1] == "."]
short = [(prompt, text) for prompt, text in whole if len(text) <= 5]
padded = [[words.encode(q, " ".join(t[:3] + ["um"] * k + t[3:])) for k in (0, 1, 2)] for q, t in short]
for_filler = {b: np.diff(models[b](padded), axis=1).mean() for b in (0.0, 1.0)}
assert for_filler[0.0] < 0 < for_filler[1.0]

# %% [markdown]
# # Noise
#
# ## What flipped labels do to the truth that can be learned
#
# Flip each label with probability $\varepsilon$. The first response now wins with $p' = (1-\varepsilon) p +
# \varepsilon (1-p)$, between $\varepsilon$ and $1 - \varepsilon$, so its log-odds never exceed $\log
# \frac{1-\varepsilon}{\varepsilon}$ (lesson 4). The order is still the true one; all margins have shrunk, and every
# floor has moved towards "no opinion".

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

# %% [markdown]
# ## A model trained on flipped labels
#
# Its scale shrinks, as the formula says it must. Its order is worse than that of the clean run, since each label says
# less; but noise of this kind points nowhere, so the model does not come to pay for length. This is the difference
# between noise and bias: more labels average noise out, and no number of labels averages a bias out.

# %%
clean = answers[0.0]
is_flipped = rng.random(len(clean.rows)) < flip_rate
noisy_rows = [row[::-1] if flip else row for row, flip in zip(clean.rows, is_flipped, strict=True)]
noisy = fit(clean._replace(rows=noisy_rows), 400)
spread = lambda rewards: centred(rewards).std()
assert spread(noisy(held)) < 0.8 * spread(scores[0.0])
assert 0.5 < metrics.spearman(noisy(held), eval_set.rewards) < metrics.spearman(scores[0.0], eval_set.rewards)
paid_by_noisy = np.linalg.lstsq(design, centred(noisy(held)), rcond=None)[0][1]
assert abs(paid_by_noisy) < 0.15 < paid[0.5]

# %% [markdown]
# ## Who holds the gradient
#
# Before training every margin is near 0, and the flipped labels hold their share of the gradient, one fifth. A model
# that has learned something contradicts them, and what contradicts the model pulls hardest. Look for the pairs with the
# largest loss when you look for wrong labels.

# %%
margin = np.diff(noisy(noisy_rows[:4000]), axis=1)[:, 0] * -1
pull, flip = sigmoid(-margin), is_flipped[:4000]
share = pull[flip].sum() / pull.sum()
assert abs(flip.mean() - 0.2) < 0.03  # at the start every pair pulls with a half
assert share > flip.mean() + 0.02
hardest = np.argsort(pull)[-200:]
assert flip[hardest].mean() > 1.4 * flip.mean()

# %% [markdown]
# ## A bug to find
#
# Label smoothing (lesson 4) tells the loss that a share $\varepsilon$ of the labels is flipped. The loss below has
# the right value at $\varepsilon = 0$ and at $\varepsilon = \frac12$, and it falls when a model without an opinion
# learns. But its least does not lie where it should.


# %%
def smoothed_loss_with_a_bug(chosen, rejected, label_smoothing):
    m = chosen - rejected
    return -(label_smoothing * log_sigmoid(m) + (1 - label_smoothing) * log_sigmoid(-m)).mean()


m, zero = np.linspace(-6, 6, 1201), np.zeros(1)
buggy = np.array([smoothed_loss_with_a_bug(np.array([d]), zero, 0.1) for d in m])
right = np.array([losses.pairwise_loss(np.array([d]), zero, label_smoothing=0.1)[0] for d in m])
assert abs(m[right.argmin()] - np.log(9)) < 0.01
assert abs(m[buggy.argmin()] + np.log(9)) < 0.01

# %% [markdown]
# ### Exercise 10.1 ★☆☆ · 20 minutes · find the bug
#
# Where is the least of the loss above, and what does a model become that is trained with it? Write the loss as it
# should be: at $\varepsilon = 0$ it is the plain pairwise loss. Margins up to ±1000 occur.


# %%
def smoothed_loss(chosen, rejected, label_smoothing):
    """mean(-(1 - ε) log σ(Δ) - ε log σ(-Δ)),  Δ = chosen - rejected        (B,), (B,), () -> ()"""
    ### BEGIN SOLUTION
    margin = chosen - rejected
    return -((1 - label_smoothing) * log_sigmoid(margin) + label_smoothing * log_sigmoid(-margin)).mean()
    ### END SOLUTION


# %%
check(smoothed_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A share $1 - \varepsilon$ of the labels is right, and these ask for a large margin. Which of the two terms falls when
# the margin grows, and which factor stands before it?
#
# </details>

# %% [markdown]
# # Reward hacking
#
# ## Best of n
#
# Draw $n$ responses to a prompt, score them all, keep the best: the simplest way to use a reward model, with no
# training at all. How far does it move from the responses as they come? In terms of the score's quantile $u$ the best
# of $n$ has the density $n u^{n-1}$ instead of 1, so the KL divergence is $\int_0^1 n u^{n-1} \log(n u^{n-1})\, du =
# \log n - \frac{n-1}{n}$ (for scores without ties; Gao et al. 2022, arXiv:2210.10760).

# %%
u = (np.arange(1_000_000) + 0.5) / 1_000_000
for n in (1, 4, 64):
    density = n * u ** (n - 1.0)
    assert np.isclose(density.mean(), 1, rtol=1e-5)
    assert np.isclose((density * np.log(np.maximum(density, 1e-300))).mean(), np.log(n) - (n - 1) / n, atol=1e-5)

# %% [markdown]
# ## Every n from one pool
#
# Draw $M$ responses once and sort them by score. In a random subset of $n$, the one at place $i$ (from the lowest) is
# the best if the other $n-1$ come from the $i - 1$ below it: its probability is $\binom{i-1}{n-1} / \binom{M}{n}$. As
# a product, from the top down, no large number occurs.


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
assert abs(best_of(8, normal, normal) - drawn.mean()) < 5 * drawn.std() / np.sqrt(20_000)

# %% [markdown]
# ## A proxy from few labels
#
# For 20 new prompts we draw 512 responses each, and know their true rewards. The *proxy* is a reward model trained for
# ten epochs on only 250 pairs, as one does when labels are dear. On fresh responses its score still rises with the true
# reward, though the correlation is far from 1.

# %%
jobs = world.sample_prompts(rng, 1020)
drawn = [[world.sample_response(rng, job) for _ in range(512)] for job in jobs[:20]]
gold = np.array([[reward for _, reward in row] for row in drawn])
ask = [" ".join(f"{task} {question}" for task, question in job) for job in jobs[:20]]
pool = [[words.encode(q, text) for text, _ in row] for q, row in zip(ask, drawn, strict=True)]
pairs = {n: labels(world.sample_responses(rng, jobs[20 : 20 + n], 2)) for n in (60, 250, 1000)}
proxy = {n: fit(data, 150, batch_size=16)(pool) for n, data in pairs.items()}
assert all(0.05 < correlation(proxy[n], gold) < 0.8 for n in proxy)
assert correlation(proxy[60], gold) < correlation(proxy[1000], gold)

# %% [markdown]
# ## It turns over
#
# With growing $n$ the proxy's score rises without end: it is what we maximise. The true reward rises with it at first.
# Then it turns over and falls: from there on, the harder we search, the worse the responses become, while the number
# on the screen gets better. This is reward hacking, or Goodhart's law.

# %%
ns = 2 ** np.arange(9)
course = lambda score, worth: np.array([best_of(n, score, worth) for n in ns])
seen, real = course(proxy[250], proxy[250]), course(proxy[250], gold)
assert np.all(np.diff(seen) > 0)
assert real.max() > real[0] + 0.2
assert 1 < ns[real.argmax()] < 64
assert real[-1] < real.max() - 0.3


# %%
def two_courses(axes):
    axes.plot(ns, seen - seen[0], color=RUST, ls="--", marker="s", ms=4, label="proxy reward of the chosen response")
    axes.plot(ns, real - real[0], color=INK, marker="o", ms=4, label="its true reward")
    turn = ns[real.argmax()]
    axes.axvline(turn, color="#777777", ls=":", label=f"the true reward turns over: n = {turn}")
    axes.set_xscale("log", base=2)


alt = "Gain of best-of-n over n: the proxy reward rises all the way; the true reward rises a little, turns over at a "
alt += f"small n ({ns[real.argmax()]}) and falls."
title = "Best of n under a proxy from 250 pairs"
picture(two_courses, title, "n, responses drawn for each prompt", "gain over n = 1 (log-odds)", alt)

# %% [markdown]
# ## More labels: later and higher
#
# The same with a proxy from 60 pairs, from 1,000, and the model of the first section, trained on 12,800. From the
# fewest to the most labels the peak is higher and comes later. In between, single runs may change places, as those from
# 250 and from 1,000 pairs do here: which errors a proxy makes is chance. The true reward as its own judge never falls.

# %%
proxy[12_800] = models[0.0](pool)
courses = {n: course(proxy[n], gold) for n in sorted(proxy)}
oracle = course(gold, gold)
peaks = [c.max() for c in courses.values()]
assert np.all(np.diff(oracle) > 0)
assert peaks[0] < min(peaks[1:3]) < max(peaks[1:3]) < peaks[-1]
assert courses[60].argmax() < courses[12_800].argmax()
assert all(c.max() < oracle.max() for c in courses.values())


# %%
def more_labels(axes):
    for (n, c), line in zip(courses.items(), (":", "-.", "--", "-"), strict=True):
        axes.plot(ns, c, line, color=INK, label=f"proxy from {n:,} pairs")
        axes.plot(ns[c.argmax()], c.max(), "o", color=RUST, ms=6)
    axes.plot(ns, oracle, color=BLUE, lw=3, alpha=0.5, label="the true reward itself")
    axes.set_xscale("log", base=2)


# %%
alt = (
    "True reward of best-of-n over n for proxies from 60 to 12,800 pairs: all turn over, at the dot; the peak from 60 "
)
alt += "pairs is lowest, that from 12,800 highest. The true reward as its own judge rises to its largest value."
picture(more_labels, "The peak by the number of labels", "n", "true reward of the chosen (log-odds)", alt)

# %% [markdown]
# ## Must it turn over?
#
# Not by selection alone. Let the proxy be the true reward plus an independent error, both normal: then the expected
# truth given the proxy is a straight line that rises, and no search is too hard; one only gains less than the proxy
# says. If large errors are commoner than large truths, the top of the list is made of errors, and the truth falls back
# to its mean.


# %%
def course_of(truth, error):
    return np.array([best_of(n, truth + error, truth) for n in ns])


truth = rng.normal(size=(400, 1024))
light, heavy = course_of(truth, rng.normal(size=truth.shape)), course_of(truth, rng.standard_t(1.5, truth.shape))
assert np.all(np.diff(light) > 0)
assert np.allclose(light, course_of(truth, 0) / np.sqrt(2), atol=0.1)  # the regression's share
assert heavy.argmax() < len(ns) - 1
assert heavy[-1] < heavy.max() - 0.1

# %% [markdown]
# Our world is of the second kind: its true reward is bounded, 4.62 at most for a courteous answer to all three jobs,
# and an overtrained proxy's errors are not. Real rewards are bounded likewise: a text cannot be much better than right,
# but a model's mistakes can be of any size. The curves of Gao et al. (2022) turn over for the same reason.

# %%
assert np.isclose(gold.max(), world.reward(right=3, rude=False, fillers=0, courteous=True))
assert np.isclose(gold.max(), 4.62)
top = np.take_along_axis(gold, proxy[60].argmax(axis=1)[:, None], axis=1)
assert proxy[60].max() - np.median(proxy[60]) > 1.5 * (gold.max() - np.median(gold))
assert top.mean() < gold.max() - 2

# %% [markdown]
# ## What helps when the truth is not known
#
# Train four proxies on the same 250 pairs from different first weights. Where they agree they have learned something,
# where they disagree one of them errs, and best-of-n looks for errors. So their disagreement is larger at the top of
# one proxy than on average: an alarm that needs no truth. Their mean is a better judge than any one of them.

# %%
four = [proxy[250], *(fit(pairs[250], 150, seed=seed, batch_size=16)(pool) for seed in (1, 2, 3))]
standard = [(one - one.mean(axis=1, keepdims=True)) / one.std(axis=1, keepdims=True) for one in four]
others = np.mean(standard[1:], axis=0)
at_top = np.argsort(standard[0], axis=1)[:, -8:]  # what best-of-n would choose from
gap = standard[0] - others
assert np.take_along_axis(gap, at_top, axis=1).mean() > 0.5
together = course(np.mean(standard, axis=0), gold)
assert together.max() > np.mean([course(one, gold).max() for one in four])

# %% [markdown]
# ## What you can now assert
#
# A bias of the raters is learned with good held-out accuracy and is found by a property; noise shrinks the scale and
# holds more than its share of the gradient, but points nowhere. Under a proxy from few labels best-of-n turns over at a
# small $n$ while the proxy's score still rises. With normal errors it would not: heavy errors at the top are the cause.

# %%
assert by_raters[1.0] > 0.7
assert for_filler[0.0] < 0 < for_filler[1.0]
assert share > flip.mean()
assert real[-1] < real.max()
assert seen[-1] == seen.max()
assert np.all(np.diff(light) > 0)
