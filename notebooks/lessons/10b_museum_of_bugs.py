# %% [markdown]
# # 10b · A museum of bugs
#
# After this lesson you can
#
# - recognise by its symptom each of a dozen bugs of reward-model code, most of them reported in public projects;
# - name for each a property that catches it, and write that property as an assert;
# - find three more yourself.
#
# You need lessons 4, 7 and 8. Reading takes about 40 minutes, the three exercises 45 minutes.

# %%
import numpy as np

from numpy_ref import batches, losses, metrics, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import tokenizer, world
from numpy_ref.data.tokenizer import EOS, PAD
from numpy_ref.data.tokens import encode
from numpy_ref.errors import InputError
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.train import Learner, check_alive, train
from numpy_ref.tree import flatten, unflatten

# %% [markdown]
# ## How the museum is built
#
# None of these bugs stops the program: each gives numbers, and mostly a falling loss. For each one we switch it on,
# look at its effect, and state a property that every correct program has and this one lacks. Where a bug was reported
# in a public project, the thread is quoted and linked; most of these projects have fixed it since.

# %%
rng = np.random.default_rng(1010)
words = tokenizer.Words(world.WORDS)
prompts = world.sample_prompts(rng, 700)
two = world.sample_responses(rng, prompts[:100], 2)
params = reward_model.init_params(rng, words.vocab_size, 32, n_embd=32, n_layer=2)
score = lambda tokens, length: reward_model.rewards(tokens, length, **params, n_head=4)[0]
rows = [[ids.tolist() for ids in row] for row in encode(words, world.rank(rng, two), 16).rows]
right_tokens, right_length = batches.collate(rows)
assert score(right_tokens, right_length).shape == (100, 2)

# %% [markdown]
# # First hall: the wrong token
#
# ## A loss frozen at log 2
#
# Many tokenizers have no pad token, and people pad with `eos` instead. If the program then takes the token before the
# first pad as the end, and a chat template ends every turn with `eos`, it finds the end of the prompt.
# [RLHF-Reward-Modeling #49](https://github.com/RLHFlow/RLHF-Reward-Modeling/issues/49) reports the symptom, "It outputs
# the same score for chosen vs rejected", and its answer the cause: "setting the padding token to be the eos token".
# What will the loss be?

# %%
turns = lambda row: [[EOS if token == tokenizer.SEP else token for token in ids] for ids in row]
tokens, length = batches.collate([turns(row) for row in rows])
tokens[tokens == PAD] = EOS  # the prompt's turn, the response's turn and the padding: all eos
before_first_pad = (tokens == EOS).argmax(axis=-1)  # as a length: it ends just before the first eos
loss, grads, frozen = reward_model.loss_and_grads(params, tokens, before_first_pad, n_head=4)
assert np.isclose(loss, np.log(2), rtol=1e-15)
largest = max(np.abs(g).max() for g in flatten(grads).values())
assert largest < 1e-16
print(f"rewards {frozen[0, 0]:.3f} and {frozen[0, 1]:.3f}, loss {loss:.4f}, largest gradient {largest:.1f}")

# %% [markdown]
# **Property:** *two different responses to a prompt have different rewards.* A training loop can check this at no cost:
# a loss of exactly $\log 2$ together with a vanishing gradient is no coincidence. `check_alive`, which the loop of
# lesson 8 calls, stops such a run in its first step and says why.


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
# ## The end token that is never read
#
# Since [transformers #35911](https://github.com/huggingface/transformers/pull/35911), Hugging Face's classifiers read
# "the rightmost non-padding token". With pad = eos this skips the response's own `eos`, and everything seems to work.
# But the reward is read one token early, at the full stop, and what the model computes at `eos` is never used.

# %%
rightmost_not_pad = (np.arange(tokens.shape[2]) * (tokens != EOS)).max(axis=-1)
read = np.take_along_axis(tokens, rightmost_not_pad[:, :, None], axis=2)
print("read:", words.decode(read[0, 0]), "; right:", words.decode(tokens[0, 0, length[0, 0] - 1 : length[0, 0]]))
assert np.all(read != EOS)
assert np.all(rightmost_not_pad == length - 2)
assert np.all(np.take_along_axis(tokens, length[:, :, None] - 1, axis=2) == EOS)  # the property: what is read is eos

# %% [markdown]
# ## The longer neighbour decides
#
# A pair is padded to the longer of its two responses, and both are read at the last column. A comment in [trl
# #937](https://github.com/huggingface/trl/issues/937) describes such a case: "If the `model.config.pad_token_id` is set
# to None, it selects the last padded token for the projection." The reward of the shorter response then depends on the
# length of its neighbour. **Property:** *a response has the same reward, whatever it is padded to.*

# %%
ids = rows[0][0]
padded = [ids + [PAD] * extra for extra in range(16)]
at_end = np.array([score(np.array([[row]]), np.array([[len(row)]])).item() for row in padded])
at_last = np.array([score(np.array([[row]]), np.array([[len(ids)]])).item() for row in padded])
assert np.ptp(at_last) < 1e-12
assert np.ptp(at_end) > 0.01
rows_shown = [["last column", at_end.min(), at_end.max()], ["last real token", at_last.min(), at_last.max()]]
table(rows_shown, ["read at", "smallest reward", "largest reward"])


# %%
def over_padding(axes):
    axes.plot(range(16), at_end, color=RUST, ls="--", marker="s", ms=4, label="read at the last column")
    axes.plot(range(16), at_last, color=INK, marker="o", ms=4, label="read at the last real token")


alt = (
    "Reward of one response over the amount of padding: constant when its last real token is read, wandering when the "
)
alt += "last column is read."
picture(over_padding, "Padding changes what is read", "pad tokens added", "reward (log-odds)", alt)

# %% [markdown]
# ## Two responses become one
#
# Cut two responses to a maximal length, and the part in which they differ may be gone. [rlhf-book
# #504](https://github.com/natolambert/rlhf-book/pull/504) counted such pairs in UltraFeedback at 512 tokens: "352 of
# the default 5000-sample training slice (7%) are degenerate". Such a pair has the loss $\log 2$ and no gradient.
# **Property:** *no two responses of a pair are equal after encoding*; leave such pairs out and print how many.

# %%
limits = np.arange(8, 17)
identical = np.array([np.mean([a[:limit] == b[:limit] for a, b in rows]) for limit in limits])
assert identical[0] == 1  # bos, six words, sep: the prompt alone
assert identical[-1] == 0
assert np.all(np.diff(identical) <= 0)
encoded = encode(words, world.rank(rng, two), 12)
assert encoded.too_long + encoded.identical + len(encoded.rows) == 100  # ours cuts nothing and counts


# %%
def cut(axes):
    axes.plot(limits, identical, color=INK, marker="o", ms=5)
    axes.set(ylim=(-0.02, 1.05))


alt = "Share of pairs that are equal after cutting, over the maximal length: all at 8 tokens, the prompt alone, then "
alt += "falling to none."
picture(cut, "Truncation makes responses equal", "maximal length (tokens)", "share of identical pairs", alt)

# %%
assert np.all(np.diff(identical) <= 0)
table([[limit, share] for limit, share in zip(limits, identical, strict=True)], ["limit", "identical"], 2)
# %% [markdown]
# ## A bug to find
#
# Someone wants to keep long examples and cuts the *prompt* instead, from the front, so that the response stays whole.
# The function below passes a test with a short prompt and one with a long prompt. What happens when the response alone
# fills the limit?


# %%
def join_within_with_a_bug(prompt, response, limit):
    room = limit - len(response)
    return np.concatenate([prompt[-room:], response])


question, answer = np.arange(1, 6), np.array([11, 12, 13])
for limit in (8, 5, 3):
    print(f"at most {limit}:", join_within_with_a_bug(question, answer, limit))
assert len(join_within_with_a_bug(question, answer, 5)) == 5
assert len(join_within_with_a_bug(question, answer, 3)) == 8

# %% [markdown]
# ### Exercise 10.3 ★☆☆ · 15 minutes · find the bug: too long
#
# Write the function so that it keeps to the limit for every prompt, whether much, little or no room is left. The limit
# is at least as long as the response. Which property, for all inputs, would have caught the bug?


# %%
def join_within(prompt, response, limit):
    """The whole response after the last tokens of the prompt        (P,), (R,) ints, int -> (min(P + R, limit),)"""
    ### BEGIN SOLUTION
    room = limit - len(response)
    return np.concatenate([prompt[max(0, len(prompt) - room) :], response])
    ### END SOLUTION


# %%
check(join_within)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# What is `prompt[-0:]`? And what is `prompt[-7:]` if the prompt has five tokens?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Count from the front: how many tokens of the prompt must go?
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `prompt[max(0, len(prompt) - room):]` drops the first `len(prompt) - room` tokens if that is positive. The property:
# the result has exactly `min(P + R, limit)` tokens.
#
# </details>

# %% [markdown]
# # Second hall: arithmetic
#
# ## A logarithm of nothing
#
# `-log(sigmoid(m))` is $\infty$ where $\sigma(m)$ has become 0, in float16 already at a margin of −18.
# [DeepSpeedExamples #423](https://github.com/deepspeedai/DeepSpeedExamples/issues/423) reports it: "I have got an
# infinite loss when trained critic model at step 2". `log(1 + exp(-m))`, the other form in formula sheets, overflows in
# the same way. **Property:** *for every finite margin the loss and its gradient are finite.*

# %%
far_wrong = np.array([-18.0], np.float16)
with np.errstate(all="ignore"):
    assert np.isinf(-np.log(sigmoid(far_wrong)))
    assert np.isinf(np.log(1 + np.exp(-far_wrong)))
    assert np.isinf(-np.log(sigmoid(np.array([-800.0]))))
assert -log_sigmoid(far_wrong) == 18
assert -log_sigmoid(np.array([-800.0])) == 800
with np.errstate(all="ignore"):
    print("float16, margin -18: log of σ", -np.log(sigmoid(far_wrong))[0], "; log σ", -log_sigmoid(far_wrong)[0])

# %% [markdown]
# ## Pairs that were never compared
#
# The head gives rewards of shape $(B, 1)$, the target margins have the shape $(B,)$. [ms-swift
# #9927](https://github.com/modelscope/ms-swift/pull/9927) says what follows: "Subtracting these tensors broadcasts to
# `[B, B]`, silently mixing every reward pair with every margin". With equal margins, or with one pair, nothing is
# wrong, and tests often use just these.


# %%
def margin_loss_with_a_bug(chosen, rejected, margin):
    return -log_sigmoid((chosen - rejected)[:, None] - margin).mean()


chosen, rejected = rng.normal(0, 2, (2, 8))
lead = 2 * np.abs(chosen - rejected)
right = losses.pairwise_loss(chosen, rejected, target_margin=lead)[0]
same_lead = losses.pairwise_loss(chosen, rejected, target_margin=np.ones(8))[0]
assert np.isclose(margin_loss_with_a_bug(chosen, rejected, np.ones(8)), same_lead)
print(f"loss {right:.3f}, with the bug {margin_loss_with_a_bug(chosen, rejected, lead):.3f}")
assert abs(margin_loss_with_a_bug(chosen, rejected, lead) - right) > 0.01

# %% [markdown]
# **Property:** *the loss of a batch is the mean of the losses of its single pairs.* It catches the broadcast, a sum in
# place of a mean, and every other mistake by which one pair influences the term of another.

# %%
one_by_one = lambda f: np.mean([f(chosen[i : i + 1], rejected[i : i + 1], lead[i : i + 1]) for i in range(8)])
right_loss = lambda c, r, m: losses.pairwise_loss(c, r, target_margin=m)[0]
assert np.isclose(one_by_one(right_loss), right_loss(chosen, rejected, lead))
assert not np.isclose(one_by_one(margin_loss_with_a_bug), margin_loss_with_a_bug(chosen, rejected, lead))

# %% [markdown]
# ## A bug to find
#
# A data set gives two responses for each prompt and a label, 1 or 2: which one was preferred. The function below sorts
# every pair so that the chosen one comes first. It was tested with four pairs of four tokens each.


# %%
def chosen_first_with_a_bug(first, second, preferred):
    chosen = np.where(preferred == 1, first, second)
    return np.stack([chosen, np.where(preferred == 1, second, first)], axis=1)


left, right_side = np.full((4, 4), 7), np.full((4, 4), 8)
mixed = chosen_first_with_a_bug(left, right_side, np.array([1, 2, 2, 1]))
print(mixed[0])  # the first pair, whose label is 1
assert mixed.shape == (4, 2, 4)
assert np.all(chosen_first_with_a_bug(left, right_side, np.ones(4))[:, 0] == 7)  # equal labels: right

# %% [markdown]
# ### Exercise 10.4 ★★☆ · 15 minutes · find the bug: sorted by label
#
# Describe what the function does to a pair, and why it crashes for four pairs of six tokens. Write it correctly. Which
# property, stated for one row at a time, catches it?


# %%
def chosen_first(first, second, preferred):
    """pair[b, 0] is the preferred row, pair[b, 1] the other        (B, T), (B, T), (B,) of 1 and 2 -> (B, 2, T)"""
    ### BEGIN SOLUTION
    is_first = (preferred == 1)[:, None]
    return np.stack([np.where(is_first, first, second), np.where(is_first, second, first)], axis=1)
    ### END SOLUTION


# %%
check(chosen_first)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# To which axis of a $(B, T)$ array does NumPy align an array of shape $(B,)$?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Give the labels a second axis: `(preferred == 1)[:, None]`.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# With `is_first = (preferred == 1)[:, None]`, stack `np.where(is_first, first, second)` and
# `np.where(is_first, second, first)` along axis 1. The property: every row of the result is one of the two rows that
# went in, unmixed.
#
# </details>

# %% [markdown]
# ## Divided twice
#
# A prompt with $K$ ranked responses has $\binom{K}{2}$ pairs (lesson 9). In [minChatGPT's
# loss.py](https://github.com/ethanyanjiali/minChatGPT/blob/0184111568a1e497623bbc81b835eb6a2673bbbb/src/loss.py) the
# sum over the pairs is divided by `total_comparision`, and then the result is again: `-(1 / total_comparision) *
# expectation.mean()`. For $K = 2$ nothing changes. **Property:** *with equal rewards the loss is $\log 2$ for every
# $K$.*


# %%
def kwise(rewards, twice=False):
    i, j = np.triu_indices(rewards.shape[1], 1)  # best first: i is ranked above j
    loss = -log_sigmoid(rewards[:, i] - rewards[:, j]).mean()
    return loss / len(i) if twice else loss


for K in (2, 4, 9):
    equal = np.zeros((3, K))
    assert np.isclose(kwise(equal), np.log(2))
    assert np.isclose(kwise(equal, twice=True), np.log(2)) == (K == 2)
    print(f"K = {K}, equal rewards: {kwise(equal):.4f}, divided twice {kwise(equal, twice=True):.4f}")

# %% [markdown]
# ## The wrong square
#
# The loss does not depend on the mean of a pair's two rewards, so some people add a penalty that centres it:
# $c\,(\text{chosen} + \text{rejected})^2$. The author of trl's version wrote in [trl
# #1931](https://github.com/huggingface/trl/issues/1931): "I just realized my PR has a bug. We don't want the mean of
# the squared **differences**. We want the mean of the squared **sums**." The squared difference penalises the margin,
# which the loss tries to raise. **Property:** *the penalty's gradient is the same for both rewards.*


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
    for path, line, colour, name in ((by_sum, "-", INK, "sum²"), (by_gap, "--", RUST, "difference²")):
        axes.plot(path[:, 0] - path[:, 1], line, color=colour, lw=2, label=f"margin, {name}")
        axes.plot(path.mean(axis=1), line, color=colour, lw=0.8, label=f"mean, {name}")
    axes.set(ylim=(-0.3, 11))


alt = (
    "Margin and mean of one pair in training: with the right penalty the mean falls to 0 and the margin keeps growing; "
)
alt += "with the wrong one the mean stays at 3 and the margin is held at a low value."
picture(two_paths, "The wrong square holds the margin down", "step", "log-odds", alt, size=(5.2, 4.4))

# %%
assert np.all(np.diff(by_sum[:, 0] - by_sum[:, 1]) > 0)
final = by_gap[-1, 0] - by_gap[-1, 1]
assert np.isclose(sigmoid(-final), 2 * 0.05 * final)  # where the penalty holds the loss in balance
assert final < 2.1
ends = [
    ["square of the sum", by_sum[-1].mean(), by_sum[-1, 0] - by_sum[-1, 1]],
    ["square of the difference", by_gap[-1].mean(), final],
]
table(ends, ["penalty", "mean reward at the end", "margin at the end"], 2)

# %% [markdown]
# # Third hall: numbers in a report
#
# ## What is a tie worth?
#
# Take a model that gives every response the same reward. A program that counts `chosen > rejected` reports an accuracy
# of 0, one that counts `>=` reports 1, and one half is right. In [trl
# #1012](https://github.com/huggingface/trl/pull/1012) someone noticed: "the current evaluation metric will set this
# pair to be \"correct\"". **Property:** *the accuracy and that of the exchanged pairs add up to 1.*

# %%
constant = np.zeros(50)
policies = {"wrong": lambda c, r: np.mean(c > r), "right": lambda c, r: np.mean(c >= r)}
policies["half"] = lambda c, r: metrics.accuracy(c - r)
assert [policy(constant, constant) for policy in policies.values()] == [0, 1, 0.5]
some_ties = rng.integers(0, 3, (2, 50))
sums = {name: policy(*some_ties) + policy(*some_ties[::-1]) for name, policy in policies.items()}
assert sums["wrong"] < 1 < sums["right"]
assert np.isclose(sums["half"], 1)
rows_shown = [[name, policy(constant, constant), sums[name]] for name, policy in policies.items()]
table(rows_shown, ["a tie counts as", "accuracy, equal rewards", "accuracy + exchanged"], 2)

# %% [markdown]
# Ties are common in half precision. A constant added to all rewards changes no loss on paper, but float16 has 11 bits:
# rewards around 100 are stored in steps of $\frac{1}{16}$, and small margins become ties. Keep the head and the rewards
# in float32, and report the share of ties.

# %%
pair = rng.normal(0, 0.3, (2, 20_000))
tied = [np.mean(np.equal(*(pair + offset).astype(np.float16))) for offset in (0, 10, 100, 1000)]
assert np.all(np.diff(tied) > 0)
assert tied[0] < 0.001
assert 0.04 < tied[2] < tied[3]
assert np.spacing(np.float16(100)) == 1 / 16
rows_shown = [[offset, share] for offset, share in zip((0, 10, 100, 1000), tied, strict=True)]
table(rows_shown, ["rewards around", "share of ties, float16"])

# %% [markdown]
# ## The mean of means
#
# A hundred pairs in batches of 32 leave a last batch of 4. If a program averages the accuracies of the batches, each of
# these four pairs has eight times the weight of any other. **Property:** *no reported number depends on the batch
# size.*

# %%
correct = np.arange(100) < 96  # only the last four are wrong
in_parts = lambda size: [correct[i : i + size] for i in range(0, 100, size)]
of_means = {size: np.mean([part.mean() for part in in_parts(size)]) for size in (1, 25, 32, 100)}
weighted = {
    size: np.average([part.mean() for part in in_parts(size)], weights=[*map(len, in_parts(size))]) for size in of_means
}
assert of_means[32] == 0.75
assert np.allclose(list(weighted.values()), 0.96)
table(
    [[size, of_means[size], weighted[size]] for size in of_means], ["batch size", "mean of means", "weighted mean"], 3
)

# %% [markdown]
# ## A bug to find
#
# Gradients have the same trap. A large batch is split into parts that fit into memory, and the parts' gradients are
# averaged. A [blog post of Hugging Face](https://github.com/huggingface/blog/pull/2414) says of its own trainer:
# "Gradient accumulation is *supposed* to be mathematically equivalent to full batch training; however, losses did not
# match".


# %%
def accumulated_gradient_with_a_bug(gradients, counts):  # noqa: ARG001
    return gradients.mean(axis=0)


of_pair = rng.normal(size=(10, 3))  # the gradient of each pair's loss
of_parts = lambda cuts: (
    np.array([part.mean(0) for part in np.split(of_pair, cuts)]),
    [len(p) for p in np.split(of_pair, cuts)],
)
even, uneven = accumulated_gradient_with_a_bug(*of_parts([5])), accumulated_gradient_with_a_bug(*of_parts([8]))
assert np.allclose(even, of_pair.mean(0))
assert not np.allclose(uneven, of_pair.mean(0))
table([["full batch", *of_pair.mean(0)], ["5 + 5", *even], ["8 + 2", *uneven]], ["gradient", "0", "1", "2"])

# %% [markdown]
# ### Exercise 10.5 ★☆☆ · 15 minutes · find the bug: accumulation
#
# `gradients[m]` is the gradient of the mean loss over the `counts[m]` pairs of part $m$. Return the gradient of the
# mean loss over all pairs, however they were split.


# %%
def accumulated_gradient(gradients, counts):
    """The gradient of the mean over all pairs, from the means of the parts        (M, N), (M,) ints -> (N,)"""
    ### BEGIN SOLUTION
    return counts @ gradients / counts.sum()
    ### END SOLUTION


# %%
check(accumulated_gradient)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# What does `gradients[m] * counts[m]` stand for?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# It is the *sum* over the pairs of part $m$, and sums may be added.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `counts @ gradients / counts.sum()`. The property: every way of splitting the batch gives the same gradient.
#
# </details>

# %% [markdown]
# ## Evaluated on the training data
#
# It is easy to evaluate on what was trained on: by taking the evaluation rows from the training file, or by splitting a
# file by pairs, so that the same prompt occurs on both sides. A model that has memorised 60 pairs shows what such a
# number is worth. **Property:** *training and evaluation share no prompt.*


# %%
few = world.sample_responses(rng, prompts[100:160], 2)
new = world.sample_responses(rng, prompts[200:], 2)
data, held_out = (encode(words, world.rank(rng, part), 16) for part in (few, new))
learner = Learner(flatten(params), 4, 120, 4e-3, 12)
for _ in train(learner, data, start=0, total_steps=120, batch_size=16, seed=0):
    pass
accuracy_on = lambda part: metrics.accuracy(-np.diff(batches.all_rewards(learner.rewards, part.rows), axis=1)[:, 0])
print(f"accuracy on the 60 training pairs {accuracy_on(data):.2f}, on new prompts {accuracy_on(held_out):.1f}")
assert accuracy_on(data) > 0.97
assert accuracy_on(held_out) < 0.75
assert not set(few.prompts) & set(new.prompts)

# %% [markdown]
# ## The head that was left behind
#
# Weights are loaded by name, and names that do not match are skipped with a warning. So a reward model that was saved
# without its head, or with another name for it, comes back with a random one. [OpenRLHF
# #209](https://github.com/OpenRLHF/OpenRLHF/issues/209) quotes such a warning: "newly initialized:
# ['value_head.weight']". **Property:** *a model has the same rewards after it was saved and loaded again*, compared bit
# by bit.


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
print("names that do not match:", *sorted(set(saved) ^ set(flatten(fresh))))

# %%
first_pair = [["saved", *score(right_tokens, right_length)[0]], ["loaded", *again[0]]]
assert set(saved) - set(flatten(fresh)) == {"v_head.weight"}
table(first_pair, ["rewards of a pair", "chosen", "rejected"])

# %% [markdown]
# # The exit: bugs against properties
#
# One property finds many bugs, and none finds all. Below are seven losses for pairs, one of them right, and six
# properties. A filled square says that the property catches the bug; the right loss has an empty row. Which property do
# you expect to find most?

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
found = caught.sum(axis=0)
table([[name, n] for name, n in zip(PROPERTIES, found, strict=True)], ["property", "bugs caught, of 6"])


# %%
def matrix(axes):
    axes.imshow(caught, cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
    axes.set_xticks(range(len(PROPERTIES)), PROPERTIES, rotation=40, ha="right")
    axes.set_yticks(range(len(LOSSES)), LOSSES)
    axes.set_xticks(np.arange(0.5, len(PROPERTIES) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(LOSSES) - 1), minor=True)
    axes.grid(which="minor", color=BLUE, lw=0.5)
    axes.tick_params(which="both", length=0)


# %%
by_bug = {name: int(row.sum()) for name, row in zip(LOSSES, caught, strict=True)}
alt = "Table of losses against properties; the number of properties that catch each: " + str(by_bug)[1:-1] + "."
picture(matrix, "Which property catches which bug", "property", "loss", alt, size=(5.2, 4.6))

# %% [markdown]
# ## What you can now assert
#
# A program that runs and a loss that falls prove little. A few short properties prove more: different responses have
# different rewards; padding and neighbours change nothing; equal rewards cost $\log 2$ for every $K$; the batch is the
# mean of its pairs; evaluation shares no prompt with training; what was saved comes back. Write these six lines before
# you train.

# %%
assert np.all(score(tokens, length)[:, 0] != score(tokens, length)[:, 1])
assert np.ptp(at_last) < 1e-12
assert all(np.isclose(kwise(np.zeros((1, K))), np.log(2)) for K in range(2, 10))
assert np.isclose(one_by_one(right_loss), right_loss(chosen, rejected, lead))
assert not set(few.prompts) & set(new.prompts)
same = reward_model.rewards(right_tokens, right_length, **unflatten(flatten(params)), n_head=4)[0]
assert np.array_equal(same, score(right_tokens, right_length))

# %% [markdown]
# ## Three questions
#
# <details><summary>A test with a batch of one pair passes. Which of the bugs of this lesson can still be
# there?</summary>
#
# All that mix pairs: broadcasting, sums in place of means, labels along the wrong axis, parts of different sizes.
#
# </details>
# <details><summary>Which check would you add to a training loop first, because it costs nothing?</summary>
#
# That the two rewards of a pair differ and that the gradient is not zero.
#
# </details>
# <details><summary>Why must an evaluation split the file by prompts and not by pairs?</summary>
#
# Pairs of the same prompt share text, so a model that has memorised the prompt's responses looks better than it is.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/train.py](../numpy_ref/train.py): `check_alive`, which stops a run whose rewards are all equal.
# - [numpy_ref/check/mistakes/losses.py](../numpy_ref/check/mistakes/losses.py): the catalogue of mistakes that the
#   exercises are checked with.
# - [tests/test_laws.py](../tests/test_laws.py): the properties of this course as tests.
