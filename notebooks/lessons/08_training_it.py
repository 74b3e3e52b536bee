# %% [markdown]
# # 8 · Training it
#
# After this lesson you can
#
# - train a transformer reward model by hand-written gradients in less than a minute, and read its curves against the
#   best that any model could reach;
# - say what accuracy, log loss and Brier score cannot fall short of, and check a calibration against known
#   probabilities;
# - show that the hand-written run and the run by autograd are the same run.
#
# You need lessons 4 to 7. Reading takes about 50 minutes, the three exercises 45.

# %%
import numpy as np

from numpy_ref import batches, metrics, optim, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import tokenizer, world
from numpy_ref.data.tokens import encode
from numpy_ref.figures.lessons import learned_against_true, training_curves
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import sigmoid
from numpy_ref.train import Learner, train
from numpy_ref.tree import flatten, tree_map

rng = np.random.default_rng(8)

# %% [markdown]
# ## A world whose truth is known
#
# Real preferences have no answer sheet: nobody knows how good a model could be at best. So we train in a small world
# with a known true reward. A prompt names three jobs, a response answers them in order, and its true reward is 0.42
# log-odds times (3 for each job done right, −3 for rudeness, −1 for each filler word, +2 for courtesy).

# %%
train_set, eval_set = world.make_world(0, n_eval=300, visits=4)
responses, rewards = eval_set.responses[0], eval_set.rewards[0]
assert eval_set.prompts[0] == "say horse opposite big capital italy"
assert responses[0] == "horse dry rome gladly ."
assert np.isclose(rewards[0], 0.42 * (3 * 2 + 2))  # dry is not the opposite of big
assert responses[4] == "bird slow paris well well ."
assert np.isclose(rewards[4], 0.42 * (3 * 0 - 2))

# %% [markdown]
# Prompts of the held-out part do not occur in training, so that repeating what was seen does not help. Single facts,
# as that Peru's capital is Lima, are shared by all prompts: they are what can be learned. The responses to a prompt
# are listed best first, and no two have the same true reward.

# %%
assert (len(train_set.prompts), len(eval_set.prompts)) == (28_000, 300)
assert not set(train_set.prompts) & set(eval_set.prompts)
assert (train_set.rewards.shape[1], eval_set.rewards.shape[1]) == (2, 6)
assert np.all(np.diff(eval_set.rewards, axis=1) < -0.4)

# %% [markdown]
# ## People who compare
#
# The people of this world add Gumbel noise to each true reward and prefer the larger sum. The difference of two
# Gumbel variables is logistic (lesson 2), so the better of two responses wins with probability $p = \sigma(r^*_1 -
# r^*_2)$: the Bradley-Terry model holds exactly. Let us ask the same 300 prompts 200 times and compare the shares.

# %%
best_two = world.Responses(eval_set.prompts, [texts[:2] for texts in eval_set.responses], eval_set.rewards[:, :2])
wins = np.zeros(300)
for _ in range(200):
    answers = zip(world.rank(rng, best_two), best_two.responses, strict=True)
    wins += [answer.responses[0] == texts[0] for answer, texts in answers]
p_two = sigmoid(best_two.rewards[:, 0] - best_two.rewards[:, 1])
standard_error = np.sqrt(p_two * (1 - p_two) / 200)
assert np.all(np.abs(wins / 200 - p_two) < 5 * standard_error)
assert 0.5 < p_two.min() < 0.65 < 0.95 < p_two.max() < 1

# %% [markdown]
# ## What no model can beat: accuracy
#
# These people contradict each other, so no model agrees with all of them. On a pair where the first wins with
# probability $p$, the best answer is the likelier one, right with probability $\max(p, 1-p)$. The mean of this over
# the held-out pairs is the best reachable accuracy, here 0.84, and a model at 0.84 is not 16 points short: it is
# perfect.

# %%
true_margin = metrics.pair_differences(eval_set.rewards)
p = sigmoid(true_margin)
floors = world.floors(eval_set.rewards)
assert len(p) == 300 * 15
assert np.isclose(floors["accuracy"], np.maximum(p, 1 - p).mean())
assert 0.82 < floors["accuracy"] < 0.86

# %% [markdown]
# ## What no model can beat: log loss
#
# Say $q$ where the truth is $p$: the expected loss is $-p \log q - (1 - p) \log (1 - q)$. Its slope over $q$ is
# $-\frac{p}{q} + \frac{1 - p}{1 - q}$, which is zero where $p(1-q) = q(1-p)$, that is at $q = p$. The least loss is
# then the entropy $H(p) = -p \log p - (1-p) \log(1-p)$, and its mean over the pairs is the floor.

# %%
entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
expected_loss = lambda q: -p * np.log(q) - (1 - p) * np.log1p(-q)
assert np.isclose(floors["loss"], entropy.mean())
for q in (0.9 * p, p**2, np.full_like(p, 0.5), rng.uniform(0.01, 0.99, p.shape)):
    assert np.all(expected_loss(q) >= entropy - 1e-12)
    assert expected_loss(q).mean() > floors["loss"] + 0.01

# %% [markdown]
# ## What no model can beat: Brier score
#
# The Brier score (Brier 1950) is the squared error of the stated probability. Its expectation is $p(1-q)^2 +
# (1-p)q^2$; multiply out and complete the square, and it is $(q - p)^2 + p(1-p)$. So the least is $p(1-p)$, again at
# $q = p$: the two scores are *proper*, they reward honesty.

# %%
expected_brier = lambda q: p * (1 - q) ** 2 + (1 - p) * q**2
for q in (0.9 * p, p**2, rng.random(p.shape)):
    assert np.allclose(expected_brier(q), (q - p) ** 2 + p * (1 - p), rtol=0, atol=1e-15)
assert np.isclose(floors["brier"], (p * (1 - p)).mean())
assert floors["brier"] < 0.25  # what a model without an opinion has

# %% [markdown]
# A public classroom notebook takes $\min(p, 1-p)^2$ for this floor: the squared error when the likelier side wins,
# which forgets the cases in which it loses. The number is too small, so that every model looks far from its floor.
# The slip shows at once when we score the truth itself on drawn labels.

# %%
outcome = rng.random((400, len(p))) < p  # 400 people answer each of the 4,500 pairs
score_of_truth = ((p - outcome) ** 2).mean()
wrong_floor = (np.minimum(p, 1 - p) ** 2).mean()
assert abs(score_of_truth - floors["brier"]) < 0.001
assert wrong_floor < 0.5 * score_of_truth

# %% [markdown]
# ### Exercise 8.1 ★☆☆ · 10 minutes · accuracy with ties
#
# A pair is right when the chosen reward is larger. Two equal rewards are no answer, and guessing would be right in
# half of the cases: a tie counts ½. Some public trainers count ties as wrong, some as right; say to yourself what
# each of them would report for a model that gives every response the same reward.


# %%
def accuracy(chosen, rejected):
    """Share of the pairs with chosen > rejected, a tie counting one half        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.mean((np.sign(chosen - rejected) + 1) / 2)
    ### END SOLUTION


# %%
check(accuracy)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The sign of the margin is −1, 0 or 1. Which straight line takes these three numbers to 0, ½ and 1?
#
# </details>

# %% [markdown]
# ### Exercise 8.2 ★☆☆ · 10 minutes · the Brier score and its floor
#
# Code the Brier score of stated probabilities and what then happened (1: the first response won). Then use it to find
# the floor of the world without any formula: score $p$ on labels that you draw yourself. How many labels do you need
# until the first two digits stand still?


# %%
def brier_score(probability, outcome):
    """The mean of (probability - outcome)²        (N,), (N,) of 0 and 1 -> ()"""
    ### BEGIN SOLUTION
    return np.mean((probability - outcome) ** 2)
    ### END SOLUTION


# %%
check(brier_score)

# %% [markdown]
# <details><summary>Hint</summary>
#
# One line is enough. Of the floor: by the formula above it is the mean of $p(1-p)$, about 0.115 here, and the score
# of $N$ labels lies within about $0.15/\sqrt{N}$ of it.
#
# </details>

# %% [markdown]
# ## One step of training
#
# A step takes a batch of pairs, computes the loss and every gradient (lessons 4, 6 and 7), and changes the weights.
# Before the first step the head is random and small, so margins are small and the loss is near $\log 2 = 0.693$, the
# loss of no opinion; with a head of zeros it is $\log 2$ exactly. A first loss of 3 or of 0.1 is the cheapest sign of
# a bug.

# %%
words = tokenizer.Words(world.WORDS)
data = encode(words, world.rank(rng, train_set), max_length=16)
params = reward_model.init_params(rng, words.vocab_size, 16, n_embd=32, n_layer=2, dtype=np.float32)
tokens, length = batches.collate(data.rows[:256])
assert abs(reward_model.loss_and_grads(params, tokens, length, n_head=4)[0] - np.log(2)) < 0.1
zero_head = {"body": params["body"], "head": tree_map(np.zeros_like, params["head"])}
first_loss, grads, _ = reward_model.loss_and_grads(zero_head, tokens, length, n_head=4)
assert np.isclose(first_loss, np.log(2), rtol=1e-6)

# %% [markdown]
# ## AdamW
#
# AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) keeps two running means of each weight's gradient $g$: $m
# \leftarrow \beta_1 m + (1-\beta_1) g$ and $v \leftarrow \beta_2 v + (1-\beta_2) g^2$. Both start at 0 and are too
# small at first; dividing by $1 - \beta^t$ mends this. The step is $\theta \leftarrow \theta - \eta \lambda \theta -
# \eta\, \hat m / (\sqrt{\hat v} + \varepsilon)$: at $t = 1$ it is $\eta$ in the direction of $-\operatorname{sign}
# g$, whatever the size of the gradient.

# %%
weight, gradient = rng.choice([-1, 1], (2, 1000)) * rng.uniform(0.1, 10, (2, 1000))
for scale in (1e-3, 1, 1e3):
    start = {"w": weight}, {"w": scale * gradient}, optim.adamw_state({"w": weight})
    moved, _ = optim.adamw(*start, lr=0.01, weight_decay=0)
    assert np.allclose(moved["w"] - weight, -0.01 * np.sign(gradient), rtol=0, atol=1e-4)

# %% [markdown]
# The term $\eta\lambda\theta$ is the weight decay, and it stands beside the gradient's step, not inside it:
# *decoupled*. The older way adds $\lambda\theta$ to the gradient, where $\sqrt{\hat v}$ divides it out again. With no
# gradient at all the decoupled decay shrinks every weight by the same share, while the older way moves all of them by
# $\eta$, large or small.

# %%
still = {"w": np.zeros(1000)}
decoupled, _ = optim.adamw({"w": weight}, still, optim.adamw_state(still), lr=0.01, weight_decay=0.1)
inside = {"w": 0.1 * weight}  # the decay taken for a gradient
coupled, _ = optim.adamw({"w": weight}, inside, optim.adamw_state(still), lr=0.01, weight_decay=0)
assert np.allclose(decoupled["w"], (1 - 0.01 * 0.1) * weight, rtol=1e-12)
assert np.allclose(np.abs(coupled["w"] - weight), 0.01, rtol=1e-4)

# %% [markdown]
# ### Exercise 8.3 ★★☆ · 25 minutes · one AdamW step
#
# Code one step for an array of weights. The arguments are what the step before left: `m`, `v`, and `t`, which is 1 at
# the first step. Return the new weights and both moments, as they are before the correction.


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
# <details><summary>Hint</summary>
#
# Five quantities, in this order: new m, new v, m corrected, v corrected, new weights. Epsilon is added to the root,
# outside of it. The decay uses the old weights and is not divided by anything.
#
# </details>

# %% [markdown]
# ## Two brakes: clipping and warm-up
#
# If the norm of all gradients together exceeds 1, they are all scaled down to it: the direction stays, and one strange
# batch cannot throw the model far. The learning rate rises linearly over the first tenth of the steps, while $v$ knows
# little, and falls along a cosine to a tenth of its peak, as in InstructGPT (arXiv:2203.02155, appendix C.2).

# %%
STEPS, BATCH, PEAK = 800, 32, 4e-3
clipped, norm_before = optim.clip_by_global_norm(tree_map(lambda g: 1000 * g, grads), 1.0)
norm_after = np.sqrt(sum((g.astype(float) ** 2).sum() for g in flatten(clipped).values()))
assert np.isclose(norm_after, 1, rtol=1e-4)
assert norm_before > 1
rate = np.array([optim.warmup_cosine(s, STEPS, PEAK, STEPS // 10) for s in range(STEPS + 1)])
assert np.all(np.diff(rate[:81]) > 0)
assert np.all(np.diff(rate[80:]) < 0)
assert np.allclose([rate[80], rate[-1]], [PEAK, PEAK / 10])

# %% [markdown]
# ## The run
#
# The held-out responses are encoded once, like the training data: as lists of token ids, which `batches.all_rewards`
# scores in chunks. The summary takes the true rewards too, and so gives expectations over the labels, exact for these
# pairs.

# %%
questions = zip(eval_set.prompts, eval_set.responses, strict=True)
held = [[words.encode(prompt, text) for text in texts] for prompt, texts in questions]
score = lambda learner: metrics.summary(batches.all_rewards(learner.rewards, held), eval_set.rewards)
untrained = Learner(flatten(params), 4, STEPS, PEAK, STEPS // 10)
assert abs(score(untrained)["accuracy"] - 0.5) < 0.1
assert abs(score(untrained)["loss"] - np.log(2)) < 0.1

# %% [markdown]
# Eight hundred steps of 32 pairs, in float32: less than one pass through the 28,000 pairs, so each batch consists of
# pairs that the model has never met, and its loss before the update is an honest estimate of the loss on new data.
# Every hundred steps we score the held-out prompts.

# %%
learner = Learner(flatten(params), 4, STEPS, PEAK, STEPS // 10)
step_losses, scores = [], {0: score(learner)}
for step, record in train(learner, data, start=0, total_steps=STEPS, batch_size=BATCH, seed=0):
    step_losses.append(record["loss"])
    if step % 100 == 0:
        scores[step] = score(learner)
assert len(data.rows) > STEPS * BATCH
assert np.mean(step_losses[-50:]) < np.mean(step_losses[:50]) - 0.2

# %% [markdown]
# The accuracy on 32 pairs jumps by several points from batch to batch, and so does the loss: single batches say
# little. The held-out scores are smooth, and each has two lines beside it. The dotted one is what a model without an
# opinion has, the dash-dotted one what nothing can beat.

# %%
at = np.array(list(scores))
curves = {f"eval_{name}": (at, np.array([s[name] for s in scores.values()])) for name in floors}
curves["loss"] = (np.arange(1, STEPS + 1), np.array(step_losses))
training_curves({"NumPy, by hand": curves}, {f"eval_{name}": floor for name, floor in floors.items()})

# %%
last = scores[STEPS]
assert floors["accuracy"] - 0.04 < last["accuracy"] < floors["accuracy"]
assert floors["loss"] < last["loss"] < floors["loss"] + 0.05
assert floors["brier"] < last["brier"] < floors["brier"] + 0.02
assert all(s["loss"] >= floors["loss"] and s["accuracy"] <= floors["accuracy"] for s in scores.values())

# %% [markdown]
# ## Is it the length?
#
# A model may look good because it has found a shortcut, and the commonest is the length of the response (Singhal et
# al. 2023, arXiv:2310.03716). So the accuracy of "the longer one is better" belongs beside every accuracy. In this
# world it is no better than a coin; lesson 10 builds one in which it is not.

# %%
in_words = np.array([[len(text.split()) for text in texts] for texts in eval_set.responses])
baseline = metrics.summary(in_words, eval_set.rewards)["accuracy"]
assert 0.45 < baseline < 0.55
assert last["accuracy"] > baseline + 0.25

# %% [markdown]
# ## Learned against true reward
#
# The loss sees differences within a prompt only, so a constant for each prompt is free (lesson 2). Take each prompt's
# mean off both rewards, and they can be compared. They should lie on the diagonal: order *and* scale are learned,
# since a margin is a probability's log-odds.

# %%
learned = batches.all_rewards(learner.rewards, held)
learned_against_true(eval_set.rewards, learned, last["spearman"])

# %% [markdown]
# Spearman's correlation within the prompts says how well the order is learned, the slope of the regression through
# the origin how well the scale. A slope above 1 is a model too sure of itself. Adding any number to all rewards of a
# prompt changes neither of them, nor any score above.

# %%
centred = lambda rewards: rewards - rewards.mean(axis=1, keepdims=True)
x, y = centred(eval_set.rewards), centred(learned)
slope = (x * y).sum() / (x * x).sum()
assert last["spearman"] > 0.92
assert 0.8 < slope < 1.25
shifted = metrics.summary(learned + rng.normal(0, 5, (300, 1)), eval_set.rewards)
assert np.allclose([shifted[name] for name in floors], [last[name] for name in floors])

# %% [markdown]
# ## Calibration
#
# When the model says 0.8, does the first response win in 80 of 100 cases? Sort the pairs by the stated probability
# $\sigma(m)$, cut them into bins, and draw the mean of what happens over the mean of what was said: the reliability
# diagram. Usually only labels are known; here the known $p$ takes their place and the noise of the labels is gone.


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


# %%
def diagram(axes):
    axes.plot([0, 1], [0, 1], color=RUST, ls="--", label="calibrated")
    axes.plot(said, was, "o-", color=INK, lw=1.2, label="the model, ten bins")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


alt = "Reliability diagram: the true probability over the one that the model states, in ten bins; all points lie close "
alt += "to the diagonal."
axis = "probability that the first wins, {}"
picture(diagram, "What it says and what is so", axis.format("stated"), axis.format("true"), alt, size=(5.2, 5.2))

# %% [markdown]
# ## The expected calibration error, and its bias
#
# The diagram is often summed up in one number, $\mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \bar q_b - \bar y_b
# \right|$, with the stated mean $\bar q_b$ and the observed mean $\bar y_b$ of bin $b$. Labels are noisy, and an
# absolute value turns noise of either sign into error. So even the truth itself, $q = p$, has an ECE above 0 on drawn
# labels.


# %%
def ece(stated, happened, bins=10):
    """Σ_b n_b / N |mean stated - mean happened|        (N,), (N,) -> ()"""
    said, was, count = reliability(stated, happened, bins)
    return (count * np.abs(said - was)).sum() / len(stated)


sizes = np.array([100, 400, 1600, 6400, 25_600])
drawn = {n: rng.choice(p, (200, n)) for n in sizes}  # 200 test sets of n pairs each
of_truth = np.array([np.mean([ece(q, rng.random(n) < q) for q in drawn[n]]) for n in sizes])
assert ece(truth, truth) < 1e-12
assert of_truth[0] > 0.04
assert of_truth[-1] < 0.006

# %% [markdown]
# How large is this bias? The mean of $n_b$ labels is about normal with the variance $\bar p(1-\bar p)/n_b$, and the
# mean absolute value of a normal variable is $\sqrt{2/\pi}$ of its standard deviation. Summed over bins the bias falls
# as $1/\sqrt{N}$: four times the pairs, half the ECE, though the model has not changed.

# %%
assert np.all((of_truth[:-1] / of_truth[1:] > 1.7) & (of_truth[:-1] / of_truth[1:] < 2.3))
bin_mean, _, share = reliability(p, p)
predicted = np.sqrt(2 / np.pi) * (share / len(p) * np.sqrt(bin_mean * (1 - bin_mean) / (share / len(p)))).sum()
assert np.all(np.abs(of_truth * np.sqrt(sizes) / predicted - 1) < 0.1)


# %%
def bias(axes):
    axes.plot(sizes, of_truth, "o", color=INK, label="ECE of the true probabilities (mean of 200 test sets)")
    axes.plot(sizes, predicted / np.sqrt(sizes), color=BLUE, ls="--", label="the bias computed above")
    axes.axhline(ece(stated, truth), color=RUST, ls="-.", label="our model, against the known probabilities")
    axes.set(xscale="log", yscale="log")


alt = "The ECE of the true probabilities over the number of labelled pairs, both axes logarithmic: a falling straight "
alt += "line, as one over the square root. Our model's own error is a level that small test sets cannot resolve."
picture(bias, "Even the truth has a calibration error", "labelled pairs", "expected calibration error", alt)

# %%
assert ece(stated, truth) < 0.05
assert of_truth[0] > ece(stated, truth)  # 100 labels give the truth itself a worse report than our model deserves

# %% [markdown]
# ## Scale is calibration, order is accuracy
#
# Multiply all margins by a temperature's inverse $c > 0$. No order changes, hence no accuracy; the probabilities do
# change, hence the log loss and the Brier score. Both have their least near $c = 1$ when a model is calibrated, so a
# sweep over $c$ is a test of calibration without any bins.

# %%
margin = metrics.pair_differences(learned)
factors = np.geomspace(1 / 8, 8, 61)
loss_at = np.array([metrics.log_loss(c * margin, true_margin) for c in factors])
accuracy_at = np.array([metrics.accuracy(c * margin, true_margin) for c in factors])
assert np.ptp(accuracy_at) < 1e-12
assert 0.7 < factors[loss_at.argmin()] < 1.4
assert min(loss_at[0], loss_at[-1]) > loss_at.min() + 0.1

# %% [markdown]
# ## Both witnesses, the same curve
#
# Is the hand-written run right in every step? The PyTorch twin takes the same first weights and the same batches, but
# its gradients come from autograd and its optimiser from `torch.optim`. We use float64 here, and compare both gradients
# at the same weights: they must agree to a few units in the last place of the largest entry (*eps*).

# %%
import torch

from torch_impl import train as twin

torch.set_num_threads(1)
first = flatten(tree_map(lambda array: array.astype(np.float64), params))
by_hand, by_autograd = (side(first, 4, 40, PEAK, 4) for side in (Learner, twin.Learner))
assert all(np.array_equal(by_autograd.weights()[name], by_hand.weights()[name]) for name in first)


# %%
def two_gradients(by_hand, tokens, length):
    """max |hand - autograd| over all parameters, in eps of the largest entry, both at the weights of `by_hand`"""
    hand = flatten(reward_model.loss_and_grads(by_hand.params, tokens, length, 4)[1])
    model = twin.model_of(by_hand.weights(), 4)
    twin.loss_and_grads(model, torch.from_numpy(tokens), torch.from_numpy(length))
    auto = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    largest = max(np.abs(gradient).max() for gradient in auto.values())
    return max(np.abs(hand[name] - auto[name]).max() for name in auto) / largest / np.finfo(float).eps


# %%
difference = []
for step in range(40):
    chosen = batches.batch_indices(step, len(data.rows), BATCH, seed=0)
    batch = *batches.collate([data.rows[i] for i in chosen]), data.margin[chosen]
    difference.append((two_gradients(by_hand, *batch[:2]), by_hand.step(*batch)[0], by_autograd.step(*batch)[0]))
apart, hand_losses, autograd_losses = np.transpose(difference)
assert np.isclose(hand_losses[0], autograd_losses[0], rtol=1e-14)

# %%
steps = np.arange(1, 41)
runs = {"NumPy, by hand": {"loss": (steps, hand_losses)}, "PyTorch, autograd": {"loss": (steps, autograd_losses)}}
training_curves(runs, gradient_eps=(steps, apart))

# %% [markdown]
# The curves lie on each other. The gradients differ by rounding alone, since a sum taken in another order rounds
# differently. The runs themselves never meet again, and each step hands its rounding on; yet after 40 steps the losses
# still agree in ten digits.

# %%
assert np.all(apart < 100)
assert np.allclose(hand_losses, autograd_losses, rtol=1e-10, atol=0)
assert hand_losses[-1] < hand_losses[0]

# %% [markdown]
# ## What you can now assert
#
# A model is judged between two lines: no opinion, and what the noise of the labels allows. Ours ends within four
# points of the best reachable accuracy, on prompts that it has never seen, and its stated probabilities can be
# believed. An ECE on few labels cannot be, and hand-written and automatic gradients are one.

# %%
assert 0.5 < last["accuracy"] < floors["accuracy"] < last["accuracy"] + 0.04
assert floors["loss"] < last["loss"] < np.log(2)
assert floors["brier"] < last["brier"] < 0.25
assert ece(truth, truth) < 1e-12 < of_truth[-1]
assert apart.max() < 100
