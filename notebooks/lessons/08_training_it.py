# %% [markdown]
# # 8 · Training it
#
# After this lesson you can
#
# - train a transformer reward model by hand-written gradients in less than a minute, and read its curves against the
#   best that any model could reach;
# - say which accuracy, log loss and Brier score no model can beat, and check a calibration against known probabilities;
# - show that the hand-written run and the run by autograd are the same run.
#
# You need lessons 4 to 7. Reading takes about 50 minutes, the four exercises 70 minutes.

# %%
import numpy as np

from numpy_ref import batches, metrics, optim, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import tokenizer, world
from numpy_ref.data.tokens import encode
from numpy_ref.figures.lessons import learned_against_true
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import sigmoid
from numpy_ref.train import Learner, train
from numpy_ref.tree import flatten, tree_map

rng = np.random.default_rng(8)

# %% [markdown]
# ## A world whose truth is known
#
# For real preferences nobody knows how good a model could be at best. So we train in a small world with a known true
# reward. A prompt names three tasks, a response answers them in order, and its true reward is 0.42 log-odds times (3
# for each right answer, −3 for rudeness, −1 for each filler word, +2 for courtesy). Compute the two rewards below
# before you run the cell.

# %%
train_set, eval_set = world.make_world(0, n_eval=300, visits=4)
responses, rewards = eval_set.responses[0], eval_set.rewards[0]
assert eval_set.prompts[0] == "say horse opposite big capital italy"
assert responses[0] == "horse dry rome gladly ."
assert np.isclose(rewards[0], 0.42 * (3 * 2 + 2))  # dry is not the opposite of big
assert responses[4] == "bird slow paris well well ."
assert np.isclose(rewards[4], 0.42 * (3 * 0 - 2))
print("prompt:", eval_set.prompts[0])
table([[responses[n], rewards[n]] for n in (0, 4)], ["response", "true reward (log-odds)"], 2)

# %% [markdown]
# The held-out prompts do not occur in training, so memorising training prompts does not help. Single facts, for example
# that Lima is the capital of Peru, occur in many prompts, and these can be learned. The responses to a prompt are
# listed best first, and no two of them have the same true reward.

# %%
assert (len(train_set.prompts), len(eval_set.prompts)) == (28_000, 300)
assert not set(train_set.prompts) & set(eval_set.prompts)
assert (train_set.rewards.shape[1], eval_set.rewards.shape[1]) == (2, 6)
assert np.all(np.diff(eval_set.rewards, axis=1) < -0.4)
parts = [("training", train_set), ("held out", eval_set)]
table(
    [[name, len(part.prompts), part.rewards.shape[1]] for name, part in parts], ["part", "prompts", "responses to each"]
)

# %% [markdown]
# ## People who compare
#
# The people of this world add Gumbel noise to each true reward and prefer the larger sum. The difference of two Gumbel
# variables is logistic (lesson 2a), so the better of two responses wins with probability $p = \sigma(r^*_1 - r^*_2)$:
# the Bradley-Terry model holds exactly. We ask about the same 300 prompts 200 times and compare the shares.

# %%
best_two = world.Responses(eval_set.prompts, [texts[:2] for texts in eval_set.responses], eval_set.rewards[:, :2])
wins = np.zeros(300)
for _ in range(200):
    answers = zip(world.rank(rng, best_two), best_two.responses, strict=True)
    wins += [answer.responses[0] == texts[0] for answer, texts in answers]
p_two = sigmoid(best_two.rewards[:, 0] - best_two.rewards[:, 1])
standard_error = np.sqrt(p_two * (1 - p_two) / 200)
assert np.all(np.abs(wins / 200 - p_two) < 5 * standard_error)
columns = np.stack([p_two, wins / 200, standard_error], 1)
table([[f"pair {n}", *columns[n]] for n in range(4)], ["", "p", "share of wins", "standard error"], 2)

# %% [markdown]
# ## What no model can beat: accuracy
#
# These people contradict each other, so no model agrees with all of them. On a pair whose first response wins with
# probability $p$, the best prediction is the more likely winner, and it is right with probability $\max(p, 1-p)$. The
# mean of this over the held-out pairs is the best reachable accuracy. A model that reaches it is perfect, although it
# is wrong on many labels.

# %%
true_margin = metrics.pair_differences(eval_set.rewards)
p = sigmoid(true_margin)
floors = world.floors(eval_set.rewards)
assert len(p) == 300 * 15
assert np.isclose(floors["accuracy"], np.maximum(p, 1 - p).mean())
assert 0.82 < floors["accuracy"] < 0.86
print(f"best reachable accuracy: {floors['accuracy']:.3f} on {len(p):,} pairs")

# %% [markdown]
# ## What no model can beat: log loss
#
# If a model states $q$ and the truth is $p$, the expected loss is $-p \log q - (1 - p) \log (1 - q)$. Its derivative
# with respect to $q$ is $-\frac{p}{q} + \frac{1 - p}{1 - q}$, which is zero where $p(1-q) = q(1-p)$, that is, at $q =
# p$. The minimum is therefore the entropy $H(p) = -p \log p - (1-p) \log(1-p)$, and its mean over the pairs is the
# floor.

# %%
entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
expected_loss = lambda q: -p * np.log(q) - (1 - p) * np.log1p(-q)
assert np.isclose(floors["loss"], entropy.mean())
for q in (0.9 * p, p**2, np.full_like(p, 0.5), rng.uniform(0.01, 0.99, p.shape)):
    assert np.all(expected_loss(q) >= entropy - 1e-12)
    assert expected_loss(q).mean() > floors["loss"] + 0.01
stated = {"p itself": p, "0.9 p": 0.9 * p, "p²": p**2, "always ½": np.full_like(p, 0.5)}
table([[name, expected_loss(q).mean()] for name, q in stated.items()], ["stated q", "expected loss in nats"])

# %% [markdown]
# ## What no model can beat: Brier score
#
# The Brier score (Brier 1950) is the squared error of the stated probability: with the outcome $y$, 1 if the first
# response won and 0 otherwise, it is the mean of $(q - y)^2$. Its expectation is $p(1-q)^2 + (1-p)q^2$; multiply out
# and complete the square to get $(q - p)^2 + p(1-p)$. The minimum is $p(1-p)$, again at $q = p$: both scores are
# *proper*, a model gains most by stating what it believes.

# %%
expected_brier = lambda q: p * (1 - q) ** 2 + (1 - p) * q**2
for q in (0.9 * p, p**2, rng.random(p.shape)):
    assert np.allclose(expected_brier(q), (q - p) ** 2 + p * (1 - p), rtol=0, atol=1e-15)
assert np.isclose(floors["brier"], (p * (1 - p)).mean())
assert floors["brier"] < 0.25  # what a model without an opinion has

# %% [markdown]
# A tempting shortcut for this floor is $\min(p, 1-p)^2$, the squared error when the more likely side wins. It forgets
# the cases in which that side loses, so it is too small. Scoring the truth itself on drawn labels shows the mistake.

# %%
outcome = rng.random((400, len(p))) < p  # 400 people answer each of the 4,500 pairs
score_of_truth = ((p - outcome) ** 2).mean()
wrong_floor = (np.minimum(p, 1 - p) ** 2).mean()
assert abs(score_of_truth - floors["brier"]) < 0.001
assert wrong_floor < 0.5 * score_of_truth
floor_rows = [["mean of p (1 − p)", floors["brier"]], ["mean of min(p, 1 − p)²", wrong_floor]]
table([["the truth on drawn labels", score_of_truth], *floor_rows], ["", "Brier score"])

# %% [markdown]
# ### Exercise 8.1 ★☆☆ · 10 minutes · the Brier score and its floor
#
# Code the Brier score of stated probabilities and of what happened (1: the first response won). Then use it to find the
# floor of this world without a formula: score $p$ on labels that you draw yourself. How many labels do you need until
# the first two digits stop changing?


# %%
def brier_score(probability, outcome):
    """The mean of the squared error of a probability        (N,), (N,) of 0 and 1 -> ()"""
    ### BEGIN SOLUTION
    return np.mean((probability - outcome) ** 2)
    ### END SOLUTION


# %%
check(brier_score)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The definition stands above; only the mean is to be taken. For the floor, `rng.random(len(p)) < p` draws one label for
# each pair.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `probability - outcome` is the error.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `np.mean((probability - outcome) ** 2)`. The floor is the mean of $p(1-p)$, about 0.115 here, and the score of $N$
# labels lies within about $0.15/\sqrt{N}$ of it: some 10,000 labels for two digits.
#
# </details>

# %% [markdown]
# ## One step of training
#
# A step takes a batch of pairs, computes the loss and every gradient (lessons 4, 6 and 7), and changes the weights.
# Which loss do you expect before the first step? The head is random and small, so the margins are small; with a head of
# zeros they are exactly 0. A first loss of 3 or of 0.1 would be a sign of a bug, and checking it costs nothing.

# %%
words = tokenizer.Words(world.WORDS)
data = encode(words, world.rank(rng, train_set), max_length=16)
params = reward_model.init_params(rng, words.vocab_size, 16, n_embd=32, n_layer=2)
tokens, length = batches.collate(data.rows[:256])
random_loss = reward_model.loss_and_grads(params, tokens, length, n_head=4)[0]
assert abs(random_loss - np.log(2)) < 0.1
zero_head = {"body": params["body"], "head": tree_map(np.zeros_like, params["head"])}
first_loss, grads, _ = reward_model.loss_and_grads(zero_head, tokens, length, n_head=4)
assert np.isclose(first_loss, np.log(2), rtol=1e-6)
print(f"first loss: random head {random_loss:.3f}, head of zeros {first_loss:.3f}, log 2 = {np.log(2):.3f}")

# %% [markdown]
# ## AdamW
#
# AdamW (Loshchilov & Hutter 2019, [arXiv:1711.05101](https://arxiv.org/abs/1711.05101)) keeps two running means of each
# weight's gradient $g$: $m \leftarrow \beta_1 m + (1-\beta_1) g$ and $v \leftarrow \beta_2 v + (1-\beta_2) g^2$. Both
# start at 0 and are too small at first, so they are divided by $1 - \beta^t$, which gives $\hat m$ and $\hat v$. The
# step is then $-\eta\, \hat m / (\sqrt{\hat v} + \varepsilon)$. How far does a weight move in the first step if its
# gradient is 0.001, 1 or 1000?

# %%
weight, gradient = rng.choice([-1, 1], (2, 1000)) * rng.uniform(0.1, 10, (2, 1000))
for scale in (1e-3, 1, 1e3):
    start = {"w": weight}, {"w": scale * gradient}, optim.adamw_state({"w": weight})
    moved, _ = optim.adamw(*start, lr=0.01, weight_decay=0)
    assert np.allclose(moved["w"] - weight, -0.01 * np.sign(gradient), rtol=0, atol=1e-4)
    print(f"gradient {scale * gradient[0]:9.3g}: moved by {moved['w'][0] - weight[0]:.4f} with η = 0.01")

# %% [markdown]
# At $t = 1$ a weight moves by $\eta$ in the direction of $-\operatorname{sign} g$, whatever the size of its gradient.
# Weight decay is a second part of the step, $-\eta\lambda\theta$, applied to the weight itself: it is *decoupled* from
# the gradient. The older way adds $\lambda\theta$ to the gradient, where dividing by $\sqrt{\hat v}$ cancels its size
# again.

# %%
still = {"w": np.zeros(1000)}
decoupled, _ = optim.adamw({"w": weight}, still, optim.adamw_state(still), lr=0.01, weight_decay=0.1)
inside = {"w": 0.1 * weight}  # the decay taken for a gradient
coupled, _ = optim.adamw({"w": weight}, inside, optim.adamw_state(still), lr=0.01, weight_decay=0)
assert np.allclose(decoupled["w"], (1 - 0.01 * 0.1) * weight, rtol=1e-12)
assert np.allclose(np.abs(coupled["w"] - weight), 0.01, rtol=1e-4)
rows = [[f"{weight[n]:.2f}", decoupled["w"][n] - weight[n], coupled["w"][n] - weight[n]] for n in (0, 2, 4)]
table(rows, ["weight, gradient 0", "decoupled decay", "decay in the gradient"], 4)

# %% [markdown]
# ### Exercise 8.2 ★★☆ · 25 minutes · one AdamW step
#
# Code one step for an array of weights, with the decoupled decay. `m` and `v` come from the step before, and `t` is 1
# at the first step. Return the new weights and both running means before their correction. Which quantities may be
# computed in any order, and which may not?


# %%
def adamw_step(param, grad, m, v, t, lr, beta1, beta2, eps, weight_decay):
    """One step of AdamW with decoupled decay        (N,) four times, then numbers -> (param, m, v), (N,) each"""
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return param - lr * weight_decay * param - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
    ### END SOLUTION


# %%
check(adamw_step)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Five quantities, in this order: new $m$, new $v$, $\hat m$, $\hat v$, new weights.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `m = beta1 * m + (1 - beta1) * grad`, and the same for `v` with `grad**2`.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `param - lr * weight_decay * param - lr * m_hat / (np.sqrt(v_hat) + eps)` with `m_hat = m / (1 - beta1**t)`. Epsilon
# is outside the root, and the decay uses the old weights.
#
# </details>

# %% [markdown]
# ## Clipping and warm-up
#
# If the norm of all gradients together exceeds 1, all are scaled down so that it is 1. The direction stays, and one
# unusual batch cannot move the model far. The learning rate rises linearly over the first tenth of the steps, while $v$
# is still unreliable, and then falls along a cosine to a tenth of its peak, as in InstructGPT
# ([arXiv:2203.02155](https://arxiv.org/abs/2203.02155), appendix C.2).

# %%
STEPS, BATCH, PEAK = 400, 64, 4e-3
clipped, norm_before = optim.clip_by_global_norm(tree_map(lambda g: 1000 * g, grads), 1.0)
norm_after = np.sqrt(sum((g.astype(float) ** 2).sum() for g in flatten(clipped).values()))
assert np.isclose(norm_after, 1, rtol=1e-4)
assert norm_before > 1
rate = np.array([optim.warmup_cosine(s, STEPS, PEAK, STEPS // 10) for s in range(STEPS + 1)])
assert np.all(np.diff(rate[:41]) > 0)
assert np.all(np.diff(rate[40:]) < 0)
assert np.allclose([rate[40], rate[-1]], [PEAK, PEAK / 10])
table([[f"{s}", f"{rate[s]:.5f}"] for s in (0, 20, 40, 220, 400)], ["step", "learning rate"])

# %% [markdown]
# ## The run
#
# The held-out responses are encoded once, like the training data. `metrics.summary` also takes the true rewards, so its
# scores are expectations over the labels, exact for these pairs. First the untrained model: which accuracy, which loss?

# %%
questions = zip(eval_set.prompts, eval_set.responses, strict=True)
held = [[words.encode(prompt, text) for text in texts] for prompt, texts in questions]
score = lambda learner: metrics.summary(batches.all_rewards(learner.rewards, held), eval_set.rewards)
untrained = Learner(flatten(params), 4, STEPS, PEAK, STEPS // 10)
assert abs(score(untrained)["accuracy"] - 0.5) < 0.1
assert abs(score(untrained)["loss"] - np.log(2)) < 0.1
print({name: round(value, 2) for name, value in score(untrained).items() if name in floors})

# %% [markdown]
# Four hundred steps of 64 pairs are less than one pass through the 28,000 pairs. So each batch consists of pairs that
# the model has not seen, and its loss before the update estimates the loss on new data. Every fifty steps we score the
# held-out prompts. This is one run with one seed, in float64: training multiplies the differences between the roundings
# of two machines, and in float32, or in twice as many steps, they reach the digits that we show.

# %%
learner = Learner(flatten(params), 4, STEPS, PEAK, STEPS // 10)
step_losses, scores = [], {0: score(learner)}
for step, record in train(learner, data, start=0, total_steps=STEPS, batch_size=BATCH, seed=0):
    step_losses.append(record["loss"])
    if step % 50 == 0:
        scores[step] = score(learner)
assert len(data.rows) > STEPS * BATCH
assert np.mean(step_losses[-50:]) < np.mean(step_losses[:50]) - 0.2

# %% [markdown]
# The loss of a single batch of 64 pairs changes by several hundredths from step to step, so we draw the mean of 50
# batches. The held-out scores have two lines beside them: what guessing gives, and what no model can beat.


# %%
at, smooth = np.array(list(scores)), np.reshape(step_losses, (-1, 50)).mean(1)


def loss_curve(axes):
    axes.plot(step_losses, color="#bbbbbb", lw=0.6, label="one batch of 64 pairs")
    axes.plot(np.arange(25, STEPS, 50), smooth, "o-", color=INK, ms=4, label="mean of 50 batches")
    axes.plot(at, [s["loss"] for s in scores.values()], "s--", color=BLUE, ms=4, label="held out")
    axes.axhline(floors["loss"], color=RUST, ls="-.", label="no model can beat this")
    axes.axhline(np.log(2), color="#777777", ls=":", label="guessing: log 2")
    axes.set_ylim(0.2, 1.15)


# %%
alt = "Loss over the steps: single batches scatter; their mean and the held-out loss fall from log 2 towards the floor."
assert np.all(np.diff(smooth)[:4] < 0)
picture(loss_curve, "The loss comes close to its floor", "step", "loss (nats per pair)", alt, size=(5.2, 4.4))


# %%
def accuracy_curve(axes):
    axes.plot(at, [s["accuracy"] for s in scores.values()], "s--", color=BLUE, ms=4, label="held out")
    axes.axhline(floors["accuracy"], color=RUST, ls="-.", label="best reachable")
    axes.axhline(0.5, color="#777777", ls=":", label="guessing")


alt = "Held-out accuracy over the steps: from one half it rises to within a few points of the best reachable."
picture(accuracy_curve, "The accuracy comes close to the best reachable", "step", "accuracy (share of pairs)", alt)

# %%
last = scores[STEPS]
assert floors["accuracy"] - 0.04 < last["accuracy"] < floors["accuracy"]
assert floors["loss"] < last["loss"] < floors["loss"] + 0.05
assert floors["brier"] < last["brier"] < floors["brier"] + 0.02
assert all(s["loss"] >= floors["loss"] and s["accuracy"] <= floors["accuracy"] for s in scores.values())
guessing = {"accuracy": 0.5, "loss": np.log(2), "brier": 0.25}
table([[n, guessing[n], last[n], floors[n]] for n in guessing], ["score", "guessing", "trained", "best possible"], 2)

# %% [markdown]
# ## Is it the length?
#
# A model may look good because it has found a shortcut, most often the length of the response (Singhal et al. 2023,
# [arXiv:2310.03716](https://arxiv.org/abs/2310.03716)). So report the accuracy of "the longer one is better" beside
# every accuracy. In this world it is no better than a coin; lesson 10a builds a world in which it is.

# %%
in_words = np.array([[len(text.split()) for text in texts] for texts in eval_set.responses])
baseline = metrics.summary(in_words, eval_set.rewards)["accuracy"]
assert 0.45 < baseline < 0.55
assert last["accuracy"] > baseline + 0.25
print(f"accuracy of the longer response: {baseline:.2f}, of the model: {last['accuracy']:.2f}")

# %% [markdown]
# ## Learned against true reward
#
# The loss depends only on differences within a prompt, so a constant for each prompt is free (lesson 2a). Subtract each
# prompt's mean from both rewards, and they can be compared. They should lie on the diagonal: the model learns order
# *and* scale, because a margin is the log-odds of a probability.

# %%
learned = batches.all_rewards(learner.rewards, held)
learned_against_true(eval_set.rewards, learned, last["spearman"])

# %% [markdown]
# Spearman's correlation within the prompts measures how well the order was learned, and the slope of a regression
# through the origin measures the scale. A slope above 1 means that the model is overconfident. Adding any number to all
# rewards of a prompt changes neither of them, nor any score above.

# %%
centred = lambda rewards: rewards - rewards.mean(axis=1, keepdims=True)
x, y = centred(eval_set.rewards), centred(learned)
slope = (x * y).sum() / (x * x).sum()
assert last["spearman"] > 0.92
assert 0.8 < slope < 1.25
print(f"Spearman {last['spearman']:.2f}, slope {slope:.1f}")
shifted = metrics.summary(learned + rng.normal(0, 5, (300, 1)), eval_set.rewards)
assert np.allclose([shifted[name] for name in floors], [last[name] for name in floors])

# %% [markdown]
# ## Calibration
#
# When the model states 0.8, does the first response win in 80 of 100 cases? Sort the pairs by the stated probability
# $\sigma(m)$ into ten bins, and for each bin draw the mean of what happened over the mean of what was stated: the
# reliability diagram. Usually only labels are known; here we use the known $p$ instead, so there is no label noise.


# %%
def reliability(stated, happened, bins=10):
    """Mean of what was stated, mean of what happened, number of pairs, for each bin that is not empty"""
    bin_of = np.minimum((stated * bins).astype(int), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    sums = [np.bincount(bin_of, values, bins)[filled] for values in (stated, happened)]
    return sums[0] / count[filled], sums[1] / count[filled], count[filled]


# %%
both_ways = lambda m: np.concatenate([m, -m])  # the order of a pair is arbitrary: state both
stated, truth = sigmoid(both_ways(metrics.pair_differences(learned))), sigmoid(both_ways(true_margin))
said, was, count = reliability(stated, truth)
assert len(count) == 10
assert np.all(np.abs(said - was) < 0.08)
table([[f"bin {b}", said[b], was[b], count[b]] for b in (5, 7, 9)], ["", "stated", "true", "pairs"], 2)


# %%
def diagram(axes):
    axes.plot([0, 1], [0, 1], color=RUST, ls="--", label="calibrated")
    axes.plot(said, was, "o-", color=INK, lw=1.2, label="the model, ten bins")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


alt = "Reliability diagram: the true probability over the one that the model states, in ten bins; all points lie close "
alt += "to the diagonal."
axis = "probability that the first wins, {}"
picture(
    diagram, "Stated probabilities are nearly true", axis.format("stated"), axis.format("true"), alt, size=(5.2, 5.2)
)

# %% [markdown]
# ## The expected calibration error, and its bias
#
# The diagram is often summarised in one number, $\mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \bar q_b - \bar y_b
# \right|$, with the stated mean $\bar q_b$ and the observed mean $\bar y_b$ of bin $b$. Labels are noisy, and the
# absolute value turns noise of either sign into error. What ECE do you expect from the truth itself, $q = p$, on drawn
# labels?

# %% [markdown]
# ### Exercise 8.3 ★★☆ · 15 minutes · the expected calibration error
#
# Code the ECE with bins of equal width: bin $b$ of $B$ holds the probabilities from $b/B$ to below $(b+1)/B$, the last
# one also holds 1, and empty bins count nothing. Write it without a loop over the bins.


# %%
def expected_calibration_error(probability, outcome, bins):
    """Σ_b n_b / N |mean probability - mean outcome| of bin b        (N,), (N,) of 0 and 1, int -> ()"""
    ### BEGIN SOLUTION
    place = np.minimum((probability * bins).astype(int), bins - 1)
    return np.abs(np.bincount(place, probability - outcome)).sum() / len(probability)
    ### END SOLUTION


# %%
check(expected_calibration_error)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# $n_b$ times the difference of two means is the difference of two sums, so the number of pairs in a bin cancels.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `place = np.minimum((probability * bins).astype(int), bins - 1)` is the bin of each pair.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `np.abs(np.bincount(place, probability - outcome)).sum() / len(probability)`: `bincount` with weights adds up the
# errors of each bin.
#
# </details>

# %% [markdown]
# ## Even the truth has a calibration error
#
# We draw labels for 200 test sets of each size and take the ECE of the true probabilities. The project's own ECE uses
# the reliability of the bins above.


# %%
def ece(stated, happened):
    said, was, count = reliability(stated, happened)
    return (count * np.abs(said - was)).sum() / count.sum()


sizes = np.array([100, 400, 1600, 6400, 25_600])
drawn = {n: rng.choice(p, (200, n)) for n in sizes}  # 200 test sets of n pairs each
of_truth = np.array([np.mean([ece(q, rng.random(n) < q) for q in drawn[n]]) for n in sizes])
assert ece(truth, truth) < 1e-12
assert of_truth[0] > 0.04
assert of_truth[-1] < 0.006
table([[f"{n:,}", error] for n, error in zip(sizes, of_truth, strict=True)], ["labels", "ECE of the truth"])

# %% [markdown]
# How large is this bias? The mean of $n_b$ labels is approximately normal with variance $\bar p(1-\bar p)/n_b$, and the
# mean absolute value of a normal variable is $\sqrt{2/\pi}$ times its standard deviation. Summed over the bins, the
# bias falls as $1/\sqrt{N}$: with four times as many pairs the ECE is half as large, although the model has not
# changed.

# %%
assert np.all((of_truth[:-1] / of_truth[1:] > 1.7) & (of_truth[:-1] / of_truth[1:] < 2.3))
bin_mean, _, share = reliability(p, p)
predicted = np.sqrt(2 / np.pi) * (share / len(p) * np.sqrt(bin_mean * (1 - bin_mean) / (share / len(p)))).sum()
assert np.all(np.abs(of_truth * np.sqrt(sizes) / predicted - 1) < 0.1)


# %%
def bias(axes):
    axes.plot(sizes, of_truth, "o", color=INK, label="the true probabilities")
    axes.plot(sizes, predicted / np.sqrt(sizes), color=BLUE, ls="--", label="the bias computed above")
    axes.axhline(ece(stated, truth), color=RUST, ls="-.", label="our model, known probabilities")
    axes.set(xscale="log", yscale="log")


alt = "The ECE of the true probabilities over the number of labelled pairs, both axes logarithmic: a falling straight "
alt += "line, as one over the square root. Our model's own error is a level that small test sets cannot resolve."
picture(bias, "Even the truth has a calibration error", "labelled pairs", "expected calibration error", alt)

# %%
assert ece(stated, truth) < 0.05
assert of_truth[0] > ece(stated, truth)
print(f"our model, known probabilities: {ece(stated, truth):.3f}; the truth on 100 labels: {of_truth[0]:.3f}")

# %% [markdown]
# ## Scale is calibration, order is accuracy
#
# Multiply all margins by a scale $c > 0$, the inverse of a temperature. The order stays, so the accuracy stays; the
# probabilities change, and with them the log loss and the Brier score. For a calibrated model both are smallest near $c
# = 1$, so trying several $c$ tests calibration without any bins.

# %%
margin = metrics.pair_differences(learned)
factors = np.geomspace(1 / 8, 8, 61)
loss_at = np.array([metrics.log_loss(c * margin, true_margin) for c in factors])
accuracy_at = np.array([metrics.accuracy(c * margin, true_margin) for c in factors])
assert np.ptp(accuracy_at) < 1e-12
assert 0.7 < factors[loss_at.argmin()] < 1.4
assert min(loss_at[0], loss_at[-1]) > loss_at.min() + 0.1
rows = [[f"{factors[n]:.2f}", accuracy_at[n], loss_at[n]] for n in (0, 20, 30, 40, 60)]
table(rows, ["scale c", "accuracy", "loss in nats"], 2)

# %% [markdown]
# ### Exercise 8.4 ★★☆ · 20 minutes · the gradient of a temperature
#
# Instead of trying many scales one can descend. Derive $\frac{dL}{dc}$ of $L(c) = \operatorname{mean}(-\log \sigma(c\,
# m))$, where $m$ are the margins of labelled pairs, chosen minus rejected. Margins up to ±1000 occur. What does
# $\frac{dL}{dc}
# < 0$ at $c = 1$ say about the model?


# %%
def scaled_loss_backward(scale, margin):
    """dL/dc of mean(-log σ(c m))        (), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.mean(-margin * sigmoid(-scale * margin))
    ### END SOLUTION


# %%
check(scaled_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Lesson 4 gives the derivative of $-\log \sigma(x)$. The inner function is $x = c\, m$, and $c$ occurs in every pair.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# The derivative of $-\log\sigma(x)$ is $-\sigma(-x)$; the inner derivative of $c\,m$ with respect to $c$ is $m$.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `np.mean(-margin * sigmoid(-scale * margin))`, with the project's `sigmoid`, which does not overflow. A negative value
# says that a larger scale would lower the loss: the model is underconfident.
#
# </details>

# %% [markdown]
# ## By hand and by autograd, the same run
#
# Is the hand-written run right in every step? The PyTorch twin takes the same first weights and the same batches, but
# its gradients come from autograd and its optimiser from `torch.optim`. This cell needs PyTorch.

# %%
from torch_impl import train as twin

first = flatten(params)
by_hand, by_autograd = (side(first, 4, 40, PEAK, 4) for side in (Learner, twin.Learner))
two_losses = []
for step in range(40):
    picked = batches.batch_indices(step, len(data.rows), BATCH, seed=0)
    batch = *batches.collate([data.rows[i] for i in picked]), data.margin[picked]
    two_losses.append([by_hand.step(*batch)[0], by_autograd.step(*batch)[0]])
for step in (0, 20, 39):
    print(f"step {step:2}: loss by hand {two_losses[step][0]:.5f}, by autograd {two_losses[step][1]:.5f}")
assert np.allclose(*np.transpose(two_losses), rtol=1e-10, atol=0)

# %% [markdown]
# The gradients of one step differ only by rounding, because a sum taken in another order rounds differently (lesson 6b
# bounds the difference by 100 eps). Each step passes its rounding on to the next, so the two runs never agree exactly
# again. After 40 steps the losses still agree in ten digits.

# %% [markdown]
# ## What you can now assert
#
# A model is judged between two lines: what guessing gives, and what the noise of the labels allows. Ours ends within
# four points of the best reachable accuracy, on prompts that it has never seen, and its stated probabilities are nearly
# the true ones. An ECE that is computed from few labels is not reliable: even the true probabilities get one above
# zero.

# %%
assert 0.5 < last["accuracy"] < floors["accuracy"] < last["accuracy"] + 0.04
assert floors["loss"] < last["loss"] < np.log(2)
assert floors["brier"] < last["brier"] < 0.25
assert ece(truth, truth) < 1e-12 < of_truth[-1]

# %% [markdown]
# ## Three questions
#
# <details><summary>A colleague reports an accuracy of 0.82 on labels of this world and calls it poor. What do you
# answer?</summary>
#
# The labels contradict each other, and the best reachable accuracy is about 0.84. The model is two points from perfect.
#
# </details>
# <details><summary>Why are the log loss and the Brier score reported beside the accuracy?</summary>
#
# Accuracy depends on the order only. The two scores also measure whether the stated probabilities are right, and both
# are smallest at the truth.
#
# </details>
# <details><summary>The ECE of your model falls from 0.05 to 0.025. Which explanation without a better model must you
# exclude?</summary>
#
# Four times as many labels: the bias of the ECE falls as one over the square root of their number.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/train.py](../numpy_ref/train.py) and [numpy_ref/optim.py](../numpy_ref/optim.py): the loop and AdamW.
# - [numpy_ref/metrics.py](../numpy_ref/metrics.py) and
#   [numpy_ref/evaluation/calibration.py](../numpy_ref/evaluation/calibration.py): the scores, with labels or with the
#   truth.
# - [numpy_ref/data/world.py](../numpy_ref/data/world.py): the world and its floors.
