# %% [markdown]
# # 10b · A museum of bugs
#
# After this lesson you can
#
# - recognise by its symptom each of a dozen bugs that public reward-model code has really had;
# - name for each a property that catches it, and write that property as an assert;
# - find three of them yourself.
#
# You need lessons 4, 7 and 8. Reading takes about 40 minutes, the three exercises 55.

# %%
import numpy as np

from numpy_ref import batches, losses, metrics, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import encode, tokenizer, world
from numpy_ref.data.tokenizer import BOS, EOS, PAD
from numpy_ref.errors import InputError
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.train import Learner, check_alive, train
from numpy_ref.tree import flatten, unflatten

# %% [markdown]
# ## How the museum is built
#
# None of these bugs stops the program: each gives numbers, and mostly a falling loss. For each we switch it on, look at
# what it does, and state a property that every right program has and this one has not. The exhibits come from the issue
# trackers of public projects, which are named; most of them are mended there by now.

# %%
rng = np.random.default_rng(1010)
words = tokenizer.Words(world.WORDS)
prompts = world.sample_prompts(rng, 700)
two = world.sample_responses(rng, prompts[:100], 2)
params = reward_model.init_params(rng, words.vocab_size, 32, n_embd=32, n_layer=2)
score = lambda tokens, length: reward_model.rewards(tokens, length, **params, n_head=4)[0]
rows = encode.encode(words, world.rank(rng, two), 16).rows
right_tokens, right_length = batches.collate(rows)
assert score(right_tokens, right_length).shape == (100, 2)

# %% [markdown]
# # First hall: the wrong token
#
# ## A loss frozen at log 2
#
# Many tokenizers have no pad token, so one pads with `eos`. If the end is then looked for as the token before the first
# pad, and a chat template ends every turn with `eos`, it is found inside the prompt (trl#937, RLHFlow#49). Both
# responses are scored at the same token of the same prompt: the loss is $\log 2$ for ever, and every gradient is zero.

# %%
turns = lambda row: [[EOS if token == tokenizer.SEP else token for token in ids] for ids in row]
tokens, length = batches.collate([turns(row) for row in rows])
tokens[tokens == PAD] = EOS  # the prompt's turn, the response's turn and the padding: all eos
before_first_pad = (tokens == EOS).argmax(axis=-1)  # as a length: it ends just before the first eos
loss, grads, frozen = reward_model.loss_and_grads(params, tokens, before_first_pad, n_head=4)
assert np.isclose(loss, np.log(2), rtol=1e-15)
assert max(np.abs(g).max() for g in flatten(grads).values()) < 1e-16

# %% [markdown]
# **Property:** *two different responses to a prompt have different rewards.* A training loop can watch for this at no
# cost: a loss of exactly $\log 2$ together with a vanishing gradient is never an accident. `check_alive` of lesson 8's
# loop stops such a run in its first step, and says why.


# %%
def is_stopped(reward):
    try:
        check_alive(1, np.log(2), reward, grad_norm=0.0)
    except InputError as error:
        return "stuck at ln 2" in str(error)
    return False


assert is_stopped(frozen)
assert not is_stopped(score(tokens, length))
assert np.all(score(tokens, length)[:, 0] != score(tokens, length)[:, 1])

# %% [markdown]
# ## The end token that nobody reads
#
# Today the library of the first exhibit takes the rightmost token that is not pad (transformers, PR #35911). With pad
# = eos this one skips the response's own `eos` and everything seems to work. But the model is now scored one token
# early, at the full stop, and whatever it has learned to write at `eos` is never used.

# %%
rightmost_not_pad = (np.arange(tokens.shape[2]) * (tokens != EOS)).max(axis=-1)
read = np.take_along_axis(tokens, rightmost_not_pad[:, :, None], axis=2)
assert np.all(read != EOS)
assert np.all(rightmost_not_pad == length - 2)
assert np.all(np.take_along_axis(tokens, length[:, :, None] - 1, axis=2) == EOS)  # the property: what is read is eos


# %% [markdown]
# ## A bug to find
#
# The function below says where each row's last real token stands. It is right for ordinary text, with a pad id of its
# own. The check also hands it rows in which pad *is* the end token, rows without any padding, and texts that hold the
# pad id inside.


# %%
def last_token_with_a_bug(tokens, length, pad):  # noqa: ARG001
    return (tokens == pad).argmax(axis=1) - 1


ordinary = np.array([[BOS, 7, 8, EOS, PAD, PAD], [BOS, 7, EOS, PAD, PAD, PAD]])
assert np.array_equal(last_token_with_a_bug(ordinary, np.array([4, 3]), PAD), [3, 2])
full = np.array([[BOS, 7, 8, EOS]])
assert last_token_with_a_bug(full, np.array([4]), PAD) == [-1]  # as an index right by luck, as a place wrong

# %% [markdown]
# ### Exercise 10.2 ★☆☆ · 10 minutes · find the bug: the last token
#
# Write it so that the pad id does not matter. What would have to be known about a text if only `tokens` and `pad` were
# given?


# %%
def last_token(tokens, length, pad):  # noqa: ARG001
    """The place of each row's last real token        (B, T) ints, (B,) ints, int -> (B,) ints"""
    ### BEGIN SOLUTION
    return length - 1
    ### END SOLUTION


# %%
check(last_token)

# %% [markdown]
# <details><summary>Hint</summary>
#
# An id cannot say whether it is text or padding, but one of the arguments can.
#
# </details>

# %% [markdown]
# ## The longer neighbour decides
#
# A pair is padded to the longer of its two responses, and both are scored at the last column (trlx#442, #308). The
# shorter one is then scored at a pad token: in training its reward depends on its neighbour's length, and at inference,
# alone, it is another number. **Property:** *a response has the same reward, whatever it is padded to.*

# %%
ids = rows[0][0]
padded = [ids + [PAD] * extra for extra in range(16)]
at_end = np.array([score(np.array([[row]]), np.array([[len(row)]])).item() for row in padded])
at_last = np.array([score(np.array([[row]]), np.array([[len(ids)]])).item() for row in padded])
assert np.ptp(at_last) < 1e-12
assert np.ptp(at_end) > 0.01


# %%
def over_padding(axes):
    axes.plot(range(16), at_end, color=RUST, ls="--", marker="s", ms=4, label="read at the last column")
    axes.plot(range(16), at_last, color=INK, marker="o", ms=4, label="read at the last real token")


alt = (
    "Reward of one response over the amount of padding: constant when its last real token is read, wandering when the "
)
alt += "last column is read."
picture(over_padding, "The same text, padded further", "pad tokens added", "reward (log-odds)", alt)

# %% [markdown]
# ## Two responses become one
#
# Cut two responses to a maximal length, and what distinguished them may be gone: 352 of 5,000 pairs of a well-known
# data set at 512 tokens (rlhf-book#503). Such a pair has the loss $\log 2$, no gradient, and drags the accuracy to a
# half. **Property:** *no two responses of a pair are equal after encoding*; leave such pairs out and print how many.

# %%
limits = np.arange(8, 17)
identical = np.array([np.mean([a[:limit] == b[:limit] for a, b in rows]) for limit in limits])
assert identical[0] == 1  # bos, six words, sep: the prompt alone
assert identical[-1] == 0
assert np.all(np.diff(identical) <= 0)
encoded = encode.encode(words, world.rank(rng, two), 12)
assert encoded.too_long + encoded.identical + len(encoded.rows) == 100  # ours cuts nothing and counts


# %%
def cut(axes):
    axes.plot(limits, identical, color=INK, marker="o", ms=5)
    axes.set(ylim=(-0.02, 1.05))


alt = "Share of pairs that are equal after cutting, over the maximal length: all at 8 tokens, the prompt alone, then "
alt += "falling to none."
picture(cut, "What truncation makes equal", "maximal length (tokens)", "share of identical pairs", alt)

# %% [markdown]
# # Second hall: arithmetic
#
# ## A logarithm of nothing
#
# `-log(sigmoid(m))` is $\infty$ where $\sigma(m)$ has become 0: in float16 at a margin of −18 already
# (DeepSpeedExamples#423: "NaN after three epochs"). `log(1 + exp(-m))`, the other spelling of the formula sheet,
# overflows likewise. **Property:** *for every finite margin the loss and its gradient are finite.*

# %%
far_wrong = np.array([-18.0], np.float16)
with np.errstate(all="ignore"):
    assert np.isinf(-np.log(sigmoid(far_wrong)))
    assert np.isinf(np.log(1 + np.exp(-far_wrong)))
    assert np.isinf(-np.log(sigmoid(np.array([-800.0]))))
assert -log_sigmoid(far_wrong) == 18
assert -log_sigmoid(np.array([-800.0])) == 800

# %% [markdown]
# ## Pairs that were never compared
#
# The head gives rewards of shape $(B, 1)$, the target margins have the shape $(B,)$, and NumPy and PyTorch subtract
# them without a word: the result is $(B, B)$ (ms-swift, PR #9927). Each pair is now also held to the margins of all
# others. With equal margins, or a batch of one, nothing is wrong: those are what tests tend to use.


# %%
def margin_loss_with_a_bug(chosen, rejected, margin):
    return -log_sigmoid((chosen - rejected)[:, None] - margin).mean()


chosen, rejected = rng.normal(0, 2, (2, 8))
lead = 2 * np.abs(chosen - rejected)
right = losses.pairwise_loss(chosen, rejected, target_margin=lead)[0]
same_lead = losses.pairwise_loss(chosen, rejected, target_margin=np.ones(8))[0]
assert np.isclose(margin_loss_with_a_bug(chosen, rejected, np.ones(8)), same_lead)
assert abs(margin_loss_with_a_bug(chosen, rejected, lead) - right) > 0.01

# %% [markdown]
# **Property:** *the loss of a batch is the mean of the losses of its pairs, each alone.* It catches the broadcast, a
# sum in place of a mean, and everything else by which pairs see each other.

# %%
one_by_one = lambda f: np.mean([f(chosen[i : i + 1], rejected[i : i + 1], lead[i : i + 1]) for i in range(8)])
right_loss = lambda c, r, m: losses.pairwise_loss(c, r, target_margin=m)[0]
assert np.isclose(one_by_one(right_loss), right_loss(chosen, rejected, lead))
assert not np.isclose(one_by_one(margin_loss_with_a_bug), margin_loss_with_a_bug(chosen, rejected, lead))

# %% [markdown]
# ### Exercise 10.3 ★★☆ · 15 minutes · find the bug: the margin loss
#
# Write the loss as it should be. The check hands it different margins for different pairs.


# %%
def margin_loss(chosen, rejected, margin):
    """mean(-log σ(chosen - rejected - margin))        (B,), (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return -log_sigmoid(chosen - rejected - margin).mean()
    ### END SOLUTION


# %%
check(margin_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Print the shape of the argument of log σ. It must be that of `chosen`.
#
# </details>

# %% [markdown]
# ## Divided twice
#
# A prompt with $K$ ranked responses has $\binom{K}{2}$ pairs (lesson 9). A public implementation takes the mean over
# the pairs and then divides by $\binom{K}{2}$ once more, as the formula of the paper does when read word by word
# (minChatGPT). For $K = 2$ nothing changes. **Property:** *with equal rewards the loss is $\log 2$ for every $K$.*


# %%
def kwise(rewards, twice=False):
    i, j = np.triu_indices(rewards.shape[1], 1)  # best first: i is ranked above j
    loss = -log_sigmoid(rewards[:, i] - rewards[:, j]).mean()
    return loss / len(i) if twice else loss


for K in (2, 4, 9):
    equal = np.zeros((3, K))
    assert np.isclose(kwise(equal), np.log(2))
    assert np.isclose(kwise(equal, twice=True), np.log(2)) == (K == 2)

# %% [markdown]
# ## The brake on the wrong wheel
#
# The loss leaves the mean of a pair's two rewards free, so some add a penalty that centres it: $c\,(r_c + r_r)^2$. The
# first version of a well-known trainer penalised $(r_c - r_r)^2$ (trl, PR #1932), that is, the margin, which the loss
# tries to raise. **Property:** *the penalty's gradient is the same for both rewards*: it moves the mean, not the gap.


# %%
def descend(penalty, steps=400, rate=0.5, c=0.05):
    """Path of one pair's rewards from (3, 3) under the pairwise loss and c times the penalty"""
    path = [np.array([3.0, 3.0])]
    for _ in range(steps):
        r, pull = path[-1], sigmoid(path[-1][1] - path[-1][0])
        extra = r.sum() * np.ones(2) if penalty == "sum" else (r[0] - r[1]) * np.array([1, -1])
        path.append(r - rate * (np.array([-pull, pull]) + 2 * c * extra))
    return np.array(path)


# %%
by_sum, by_gap = descend("sum"), descend("gap")
assert abs(by_sum[-1].mean()) < 1e-6
assert np.isclose(by_gap[-1].mean(), 3)


# %%
def two_paths(axes):
    for path, line, colour, name in ((by_sum, "-", INK, "(r_c + r_r)²"), (by_gap, "--", RUST, "(r_c − r_r)²")):
        axes.plot(path[:, 0] - path[:, 1], line, color=colour, lw=2, label=f"margin, penalty {name}")
        axes.plot(path.mean(axis=1), line, color=colour, lw=0.8, label=f"mean reward, penalty {name}")
    axes.set(ylim=(-0.3, 9))


alt = (
    "Margin and mean of one pair in training: with the right penalty the mean falls to 0 and the margin keeps growing; "
)
alt += "with the wrong one the mean stays at 3 and the margin is held at a low value."
picture(two_paths, "Centring a pair", "step", "log-odds", alt)

# %%
assert np.all(np.diff(by_sum[:, 0] - by_sum[:, 1]) > 0)
final = by_gap[-1, 0] - by_gap[-1, 1]
assert np.isclose(sigmoid(-final), 2 * 0.05 * final)  # where the penalty holds the loss in balance
assert final < 2.1

# %% [markdown]
# ### Exercise 10.4 ★★☆ · 30 minutes · find the bug: the centred loss
#
# Derive the gradient of $-\log\sigma(r_c - r_r) + c\,(r_c + r_r)^2$ for each reward, and code it for $B$ pairs. Note
# that it is no longer true that the two gradients are opposite: what is their sum?


# %%
def centered_loss_backward(chosen, rejected, coefficient):
    """(dchosen, drejected) of mean(-log σ(r_c - r_r) + c (r_c + r_r)²)        (B,), (B,), () -> (B,), (B,)"""
    ### BEGIN SOLUTION
    pull = sigmoid(rejected - chosen) / len(chosen)
    centring = 2 * coefficient * (chosen + rejected) / len(chosen)
    return centring - pull, centring + pull
    ### END SOLUTION


# %%
check(centered_loss_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The sum $s = r_c + r_r$ has the slope 1 over either reward, so $c s^2$ has the slope $2 c s$ over either. The sum of
# the two gradients is $4 c s / B$.
#
# </details>

# %% [markdown]
# # Third hall: numbers in a report
#
# ## What is a tie worth?
#
# Take a model that gives every response the same reward. Trainers that ask for `chosen > rejected` report an accuracy
# of 0, those that ask for `>=` report 1, and one half is right (trl, PR #2350). **Property:** *the accuracy and that of
# the exchanged pairs add up to 1.*

# %%
constant = np.zeros(50)
policies = {"wrong": lambda c, r: np.mean(c > r), "right": lambda c, r: np.mean(c >= r)}
policies["half"] = lambda c, r: metrics.accuracy(c - r)
assert [policy(constant, constant) for policy in policies.values()] == [0, 1, 0.5]
some_ties = rng.integers(0, 3, (2, 50))
sums = {name: policy(*some_ties) + policy(*some_ties[::-1]) for name, policy in policies.items()}
assert sums["wrong"] < 1 < sums["right"]
assert np.isclose(sums["half"], 1)

# %% [markdown]
# Who has ties? Everyone in half precision. A constant added to all rewards is free in the loss, but not in the machine:
# float16 has 11 bits, so rewards around 100 are stored in steps of $\frac{1}{16}$, and small margins become ties. Keep
# the head and the rewards in float32, and report the share of ties.

# %%
pair = rng.normal(0, 0.3, (2, 20_000))
tied = [np.mean(np.equal(*(pair + offset).astype(np.float16))) for offset in (0, 10, 100, 1000)]
assert np.all(np.diff(tied) > 0)
assert tied[0] < 0.001
assert 0.04 < tied[2] < tied[3]
assert np.spacing(np.float16(100)) == 1 / 16

# %% [markdown]
# ## The mean of means
#
# A hundred pairs in batches of 32 leave a last batch of 4. Most trainers average the accuracies of the batches, so each
# of these four pairs weighs eight times as much as any other; gradients accumulated over unequal parts have the same
# flaw (trl#4104). **Property:** *no reported number depends on the batch size.*

# %%
correct = np.arange(100) < 96  # only the last four are wrong
in_parts = lambda size: [correct[i : i + size] for i in range(0, 100, size)]
of_means = {size: np.mean([part.mean() for part in in_parts(size)]) for size in (1, 25, 32, 100)}
weighted = {
    size: np.average([part.mean() for part in in_parts(size)], weights=[*map(len, in_parts(size))]) for size in of_means
}
assert of_means[32] == 0.75
assert np.allclose(list(weighted.values()), 0.96)

# %% [markdown]
# ## Examined on the exercises
#
# A script takes its first 500 training rows as evaluation set, another 1 % of the training file if none is named, a
# third splits by pair, so that a prompt stands on both sides. A model that has learned 60 pairs by heart shows what
# this is worth. **Property:** *training and evaluation share no prompt.*


# %%
few = world.sample_responses(rng, prompts[100:160], 2)
new = world.sample_responses(rng, prompts[200:], 2)
data, held_out = (encode.encode(words, world.rank(rng, part), 16) for part in (few, new))
learner = Learner(flatten(params), 4, 120, 4e-3, 12)
for _ in train(learner, data, start=0, total_steps=120, batch_size=16, seed=0):
    pass
accuracy_on = lambda part: metrics.accuracy(-np.diff(batches.all_rewards(learner.rewards, part.rows), axis=1)[:, 0])
assert accuracy_on(data) > 0.97
assert accuracy_on(held_out) < 0.75
assert not set(few.prompts) & set(new.prompts)

# %% [markdown]
# ## The head that was left behind
#
# Weights are loaded by name, and names that do not fit are skipped with a warning among a hundred others. So a reward
# model saved without its head, or under another name for it, comes back with a random one (trl#1379, OpenRLHF#873).
# **Property:** *a model has the same rewards after it was saved and loaded again*, compared bit by bit.


# %%
def load_what_fits(saved, fresh):
    """The fresh weights, replaced by the saved ones where the names agree: no complaint about the others"""
    return unflatten({name: saved.get(name, array) for name, array in flatten(fresh).items()})


fresh = reward_model.init_params(rng, words.vocab_size, 32, n_embd=32, n_layer=2)
saved = {name.replace("head.", "v_head."): array for name, array in flatten(params).items()}
reloaded = load_what_fits(saved, fresh)
again = reward_model.rewards(right_tokens, right_length, **reloaded, n_head=4)[0]
assert np.array_equal(reloaded["body"]["tok"]["weight"], params["body"]["tok"]["weight"])
assert not np.allclose(again, score(right_tokens, right_length))
assert set(saved) != set(flatten(fresh))  # what a strict loader looks at first

# %% [markdown]
# # The exit: bugs against properties
#
# One property finds many bugs, and none finds all. Below are seven losses for pairs, one of them right, and six
# properties; a filled square says that the property catches the bug. The right loss has an empty row, and every wrong
# one has at least one square.

# %%
LOSSES = {
    "right": lambda c, r: -log_sigmoid(c - r).mean(),
    "sides exchanged": lambda c, r: -log_sigmoid(r - c).mean(),
    "log of σ": lambda c, r: -np.log(sigmoid(c - r)).mean(),
    "(B, 1) − (B,)": lambda c, r: -log_sigmoid(c[:, None] - r).mean(),
    "sum, not mean": lambda c, r: -log_sigmoid(c - r).sum(),
    "absolute labels": lambda c, r: -(log_sigmoid(c) + log_sigmoid(-r)).mean() / 2,
    "hinge": lambda c, r: np.maximum(0, 1 - (c - r)).mean(),
}
assert all(np.isfinite(loss(chosen, rejected)) for loss in LOSSES.values())

# %%
alone = lambda f, c, r: np.mean([f(c[i : i + 1], r[i : i + 1]) for i in range(len(c))])
PROPERTIES = {
    "log 2 at ties": lambda f, c, r: np.isclose(f(c, c), np.log(2)) and np.isclose(f(r, r), np.log(2)),
    "shift changes nothing": lambda f, c, r: np.isclose(f(c + 5, r + 5), f(c, r)),
    "batch = mean of pairs": lambda f, c, r: np.isclose(f(c, r), alone(f, c, r)),
    "finite at −1000": lambda f, c, r: np.isfinite(f(c - 1000, r)),
    "L(m) − L(−m) = −m": lambda f, c, r: np.isclose(f(c, r) - f(r, c), (r - c).mean()),
    "falls as chosen rises": lambda f, c, r: f(c + 1, r) < f(c, r),
}
assert all(has(LOSSES["right"], chosen, rejected) for has in PROPERTIES.values())

# %%
with np.errstate(all="ignore"):
    caught = np.array([[not has(loss, chosen, rejected) for has in PROPERTIES.values()] for loss in LOSSES.values()])
assert not caught[0].any()
assert caught[1:].any(axis=1).all()
assert caught.any(axis=0).all()


# %%
def matrix(axes):
    axes.imshow(caught, cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
    axes.set_xticks(range(len(PROPERTIES)), PROPERTIES, rotation=25, ha="right")
    axes.set_yticks(range(len(LOSSES)), LOSSES)
    axes.set_xticks(np.arange(0.5, len(PROPERTIES) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(LOSSES) - 1), minor=True)
    axes.grid(which="minor", color=BLUE, lw=0.5)
    axes.tick_params(which="both", length=0)


# %%
by_bug = {name: int(row.sum()) for name, row in zip(LOSSES, caught, strict=True)}
alt = "Table of losses against properties; the number of properties that catch each: " + str(by_bug)[1:-1] + "."
picture(matrix, "Which property catches which bug", "property", "loss", alt, size=(8, 4.6))

# %% [markdown]
# ## What you can now assert
#
# A program that runs and a loss that falls prove little. What proves something is short: different responses have
# different rewards, padding and batch mates change nothing, equal rewards cost $\log 2$ for every $K$, the batch is the
# mean of its pairs, evaluation shares no prompt with training, and what was saved comes back. Write these six lines
# before you train.

# %%
assert np.all(score(tokens, length)[:, 0] != score(tokens, length)[:, 1])
assert np.ptp(at_last) < 1e-12
assert all(np.isclose(kwise(np.zeros((1, K))), np.log(2)) for K in range(2, 10))
assert np.isclose(one_by_one(right_loss), right_loss(chosen, rejected, lead))
assert not set(few.prompts) & set(new.prompts)
same = reward_model.rewards(right_tokens, right_length, **unflatten(flatten(params)), n_head=4)[0]
assert np.array_equal(same, score(right_tokens, right_length))
