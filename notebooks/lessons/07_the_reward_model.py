# %% [markdown]
# # 7 · The reward model
#
# After this lesson you can
#
# - turn a language model into a reward model: remove one layer, add one layer, read one token;
# - say which token that is, and find it without ever searching for the padding;
# - recognise the classic ways to read the wrong one, by a loss that stays at $\log 2$ with no gradient, or by a reward
#   that changes with the padding.
#
# You need lesson 4 and the ideas of lesson 6. Reading takes about 50 minutes, the five exercises 65 minutes.

# %%
import numpy as np

from numpy_ref import batches, language_model, layers, losses, metrics, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import world
from numpy_ref.figures.architecture import architecture, parameter_count
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.gradient_check import complex_step

rng = np.random.default_rng(7)

# %%
from numpy_ref.data.tokenizer import EOS, PAD, SEP, Words
from numpy_ref.optim import adamw, adamw_state
from numpy_ref.train import Learner
from numpy_ref.transformer import transformer
from numpy_ref.tree import flatten, tree_map

# %% [markdown]
# ## What the model reads
#
# We use the small world of prompts and responses that comes with the project; lesson 8 explains it. A prompt names
# three small tasks, and a response answers them, well or badly. Four special tokens that no text can contain mark the
# begin, the separator between prompt and response, and the end, and pad the rows of a batch to the same length.

# %%
words = Words(world.WORDS)
learned_from, held_out = world.make_world(7, n_train=1000, n_eval=60, visits=2, k_eval=4)  # better responses first
rows = [
    [words.encode(prompt, response) for response in pair]
    for prompt, pair in zip(learned_from.prompts, learned_from.responses, strict=True)
]
tokens, length = batches.collate(rows[:16])  # (B, 2, T), (B, 2): 16 pairs, chosen before rejected
for side in range(2):
    print(length[0, side], "tokens:", words.decode(tokens[0, side]))
assert words.decode([*tokens[0, 0, :1], SEP, EOS, PAD]) == "<bos> <sep> <eos> <pad>"
assert np.all(tokens[:, :, 7] == SEP)  # <bos> and six words of prompt come before it
assert np.all(np.take_along_axis(tokens, length[..., None] - 1, -1) == EOS)

# %% [markdown]
# ## Where it comes from: a language model
#
# A language model is the body of lesson 6 with an *unembedding*: at every position, a linear layer produces $V$ logits,
# one for each token of the vocabulary. Their softmax $p$ is the model's prediction of the next token $t$, and the loss
# is $-\log p_t$, the mean over the positions that count, in nats per token. What loss do you expect from a model that
# gives every one of the $V$ tokens the same probability?

# %%
lm = {
    "body": reward_model.init_params(rng, words.vocab_size, 32, 32, 2)["body"],
    "unembedding": language_model.init_unembedding(rng, words.vocab_size, 32),
}
after_separator = np.full(16, 8)  # supervised fine-tuning teaches the response; nobody need write the prompt
loss, _ = language_model.loss_and_grads(lm, tokens[:, 0], length[:, 0], after_separator, n_head=4)
print(f"V = {words.vocab_size}, loss {loss:.2f}, log V = {np.log(words.vocab_size):.2f}")
assert abs(loss - np.log(words.vocab_size)) < 0.1

# %% [markdown]
# ### Exercise 7.1 ★★☆ · 20 minutes · the gradient of the language model's loss
#
# With logits $x_k$ the loss of a position is $-\log p_t = -x_t + \log \sum_k e^{x_k}$. Derive its gradient with respect
# to the logits. The batch's loss is the mean over the targets with weight 1; targets with weight 0 belong to the prompt
# or the padding and do not count.


# %%
def next_token_loss_backward(logits, targets, weight):
    """dlogits of -Σ w log p[target] / Σ w        (B, T, V), (B, T) ints, (B, T) of 0 and 1 -> (B, T, V)"""
    ### BEGIN SOLUTION
    p, _ = layers.softmax(logits)
    one_hot = np.eye(logits.shape[-1])[targets]
    return (weight / weight.sum())[..., None] * (p - one_hot)
    ### END SOLUTION


# %%
check(next_token_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The derivative of $\log \sum_k e^{x_k}$ with respect to $x_j$ is a softmax. What is the derivative of $-x_t$?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `p, _ = layers.softmax(logits)`, and `np.eye(V)[targets]` has a 1 at each target.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $\frac{w}{\sum w}\,(p - \text{one-hot of the target})$: the sum of the weights runs over the whole batch, and the
# weight needs a third axis, `[..., None]`.
#
# </details>

# %% [markdown]
# ## Prediction minus truth
#
# The first term of $-x_t + \log \sum_k e^{x_k}$ has the derivative $-\delta_{jt}$ with respect to $x_j$, and the second
# has $e^{x_j} / \sum_k e^{x_k} = p_j$. The gradient is $p_j - \delta_{jt}$: what the model predicted minus what was
# true. A position that does not count has no gradient, and the others are divided by their number.

# %%
logits, targets = rng.standard_normal((1, 3, 5)), np.array([[4, 0, 2]])
counts = np.array([[0.0, 1.0, 1.0]])  # the first target is a word of the prompt
by_witness = complex_step(lambda x: language_model.next_token_loss(x, targets, counts)[0], logits)
by_hand = (layers.softmax(logits)[0] - np.eye(5)[targets]) * counts[..., None] / 2
assert np.allclose(by_witness, by_hand, rtol=0, atol=1e-15)
rows_shown = [[f"{targets[0, t]}{'' if counts[0, t] else ' (prompt)'}", *by_hand[0, t]] for t in range(3)]
table(rows_shown, ["target", *(f"token {j}" for j in range(5))])

# %% [markdown]
# ## Supervised fine-tuning
#
# In stage one of RLHF the model learns to write good responses from demonstrations by people (Ouyang et al. 2022,
# [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), section 3). Our demonstrations answer all three tasks correctly.
# After 120 small steps the model predicts them word by word, for prompts that it has never seen.


# %%
def demonstrations(prompts):
    jobs = [prompt.split() for prompt in prompts]
    right = [[world.FACTS[task][question] for task, question in zip(j[::2], j[1::2], strict=True)] for j in jobs]
    encoded = [[words.encode(p, " ".join([*answers, "."]))] for p, answers in zip(prompts, right, strict=True)]
    return batches.collate(encoded)[0][:, 0]  # (B, 13): all of one length


# %%
state = adamw_state(lm)
for _ in range(120):
    shown = demonstrations([learned_from.prompts[i] for i in rng.integers(0, 1000, 32)])
    loss, grads = language_model.loss_and_grads(lm, shown, np.full(32, 13), np.full(32, 8), n_head=4)
    lm, state = adamw(lm, grads, state, lr=3e-3)
unseen = demonstrations(held_out.prompts)
logits, _ = layers.linear(transformer(unseen, **lm["body"], n_head=4)[0], **lm["unembedding"])
predicted = logits[:, 7:12].argmax(-1)
print("prompt:   ", held_out.prompts[0])
print("predicted:", words.decode(predicted[0]), f"   right words in all: {np.mean(predicted == unseen[:, 8:]):.2f}")
assert np.mean(predicted == unseen[:, 8:]) > 0.95

# %% [markdown]
# ## Remove one layer, add one layer
#
# Stage two removes the unembedding and puts a linear layer with a single output in its place, the *head*: $r = w \cdot
# h$, where $h$ is the body's output at one position (the same paper, section 3.5). The body stays as it is. The head
# starts at random, because the language model has learned nothing about quality. It has no bias, because a constant in
# every reward changes no margin.

# %%
from_sft = language_model.to_reward_model(lm, rng)
assert from_sft["body"] is lm["body"]
assert lm["unembedding"]["weight"].shape == (words.vocab_size, 32)
assert {name: weight.shape for name, weight in from_sft["head"].items()} == {"weight": (1, 32)}
total = sum(weight.size for weight in flatten(from_sft).values())
assert total == parameter_count(2, 32, words.vocab_size, 32)
rows_shown = [["body", total - 32], ["unembedding, removed", lm["unembedding"]["weight"].size], ["head, new", 32]]
table(rows_shown, ["part", "parameters"])

# %% [markdown]
# Read the picture from bottom to top. All positions go through the body, and the head reads one row of its output.

# %%
example = ("<bos>", "hot", "<sep>", "cold", ".", "<eos>", "<pad>", "<pad>")
architecture(2, 4, 32, words.vocab_size, 32, example, example_length=6, part="model")

# %% [markdown]
# And here is the pair of lesson 4: two responses, one set of weights, one loss.

# %%
architecture(2, 4, 32, words.vocab_size, 32, part="pair")

# %% [markdown]
# ## How much does the fine-tuned start help?
#
# A reward model is usually initialised from the fine-tuned model. We measure what this brings here: 40 steps on the
# same pairs from our fine-tuned body and from two random initialisations, GPT-2's usual one (every matrix normal,
# standard deviation 0.02) and one whose scales were chosen for this world. Single runs of this size differ by several
# points, so we average five seeds. Guess the order before you run it.


# %%
held_rows = [[words.encode(p, r) for r in rs] for p, rs in zip(held_out.prompts, held_out.responses, strict=True)]


def start_of(name, seed):
    """The weights before training        -> a tree"""
    own = np.random.default_rng(seed)
    at_random = reward_model.init_params(own, words.vocab_size, 32, 32, 2)
    usual = lambda w: (0.02 * own.standard_normal(w.shape)).astype(w.dtype) if w.ndim == 2 else w
    fine_tuned = language_model.to_reward_model(lm, own)
    return {"scales chosen": at_random, "GPT-2's usual": tree_map(usual, at_random), "fine-tuned": fine_tuned}[name]


# %%
def trained(name, seed, steps=40, batch_size=16):
    """The weights after training, and the held-out accuracy at every 10th step"""
    learner, order, curve = Learner(flatten(start_of(name, seed)), 4, steps, 4e-3, 8), np.random.default_rng(seed), []
    for step in range(1, steps + 1):
        learner.step(
            *batches.collate([rows[i] for i in order.integers(0, len(rows), batch_size)]), np.zeros(batch_size)
        )
        if step % 10 == 0:
            guess = batches.all_rewards(learner.rewards, held_rows)
            curve.append(metrics.summary(guess, held_out.rewards)["accuracy"])
    return learner.params, curve


# %%
STARTS = {"scales chosen": (INK, "-", "o"), "GPT-2's usual": (RUST, "-.", "^"), "fine-tuned": (BLUE, "--", "s")}
runs = {name: [trained(name, seed) for seed in range(5)] for name in STARTS}
curves = {name: np.array([curve for _, curve in runs[name]]) for name in STARTS}  # (5 seeds, 4 places)
last = {name: curve[:, -1] for name, curve in curves.items()}
assert all(ends.mean() > 0.55 for ends in last.values())
table([[n, a.mean(), a.std(ddof=1) / np.sqrt(5)] for n, a in last.items()], ["start", "accuracy", "standard error"], 2)


# %%
def starts(axes):
    for name, (colour, line, marker) in STARTS.items():
        axes.plot(range(10, 41, 10), curves[name].mean(0), line, color=colour, marker=marker, label=name)
    axes.axhline(0.5, color="#777777", ls=":", label="guessing")
    axes.set(xticks=range(10, 41, 10), ylim=(0.48, 0.72))


alt = "Held-out accuracy over the steps from three starts, mean of five seeds: all three rise above one half."
picture(starts, "The fine-tuned start helps little here", "step", "held-out accuracy", alt)

# %% [markdown]
# In this world the fine-tuned start is not better than well-chosen random scales. This does not contradict common
# practice: our demonstrations teach the model only facts that the preference pairs also contain. A language model that
# was pretrained on billions of words starts with knowledge that no preference data set could teach, and a toy cannot
# measure that.

# %%
difference = last["fine-tuned"] - last["scales chosen"]  # the same seeds: paired
error = difference.std(ddof=1) / np.sqrt(5)
print(f"fine-tuned minus scales chosen: {difference.mean():+.2f}, standard error {error:.2f}")
assert difference.mean() < 2 * error

# %% [markdown]
# ## Which token is read
#
# Attention is causal: a token at position $t$ influences the positions from $t$ on and no earlier one. So only the last
# real token has seen the whole response, and its row is the one to read. From here on we use one model, trained for 80
# steps of 32 pairs.


# %%
params = trained("scales chosen", 7, 80, 32)[0]


def hidden(tokens):
    """The body's output at every position        (B, 2, T) ints -> (B, 2, T, C)"""
    return transformer(tokens.reshape(-1, tokens.shape[-1]), **params["body"], n_head=4)[0].reshape(*tokens.shape, 32)


changed = tokens.copy()
changed[:, :, 9] = (tokens[:, :, 9] + 1) % words.vocab_size
moved = np.any(hidden(changed) != hidden(tokens), axis=(0, 1, 3))  # (T,)
print("changed token: 9; rows that changed:", np.flatnonzero(moved))
assert np.array_equal(np.flatnonzero(moved), np.arange(9, tokens.shape[-1]))  # the others agree to the last bit

# %% [markdown]
# For the same reason, padding on the right cannot influence the last real token, and no mask is needed. Put any tokens
# in its place, and no reward changes by a single bit.

# %%
reward = lambda tokens, length: reward_model.rewards(tokens, length, **params, n_head=4)[0]
is_padding = np.arange(tokens.shape[-1]) >= length[..., None]
noise = np.where(is_padding, rng.integers(0, words.vocab_size, tokens.shape), tokens)
assert not np.array_equal(noise, tokens)
assert np.array_equal(reward(noise, length), reward(tokens, length))
rows_shown = [[what, *reward(t, length)[0]] for what, t in (("<pad>", tokens), ("random tokens", noise))]
table(rows_shown, ["after the end", "chosen", "rejected"], 4)

# %% [markdown]
# ### Exercise 7.2 ★☆☆ · 10 minutes · the last token
#
# You get the tokens of $B$ responses, their lengths, and the id that fills the rest. Return the index of each row's
# last real token. The pad id may also occur inside a text, or be the same as the end token.


# %%
def last_token(tokens, length, pad):
    """The index of each row's last real token        (B, T) ints, (B,) ints, int -> (B,) ints"""
    ### BEGIN SOLUTION
    assert np.all(tokens[np.arange(tokens.shape[1]) >= length[:, None]] == pad)  # the only thing that pad can tell
    return length - 1
    ### END SOLUTION


# %%
check(last_token)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# An id cannot tell you whether it is text or padding. Which argument can?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# No search is needed: the result depends on one argument only.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `return length - 1`, because counting starts at 0.
#
# </details>

# %% [markdown]
# ## The pad token is the end token
#
# Many tokenizers have no padding token, and it is common to pad with the end token. Many chat formats also end the
# *prompt* with it. Until [transformers #35911](https://github.com/huggingface/transformers/pull/35911), Hugging Face's
# sequence classifiers took "the index of the leftmost token that is equal to `pad_token_id`" and subtracted 1. Which
# token is that here?

# %%
chat = np.where((tokens == PAD) | (tokens == SEP), EOS, tokens)  # both customs at once
first_pad = np.argmax(chat == EOS, -1)
assert np.all(first_pad == 7)
assert np.array_equal(chat[:, 0, :7], chat[:, 1, :7])
frozen = reward(chat, first_pad)  # the row before the first pad
assert np.abs(frozen[:, 0] - frozen[:, 1]).max() < 1e-13
print("token that is read:", *(words.decode([token]) for token in chat[0, :, 6]), "; rewards:", *np.round(frozen[0], 3))

# %% [markdown]
# It is the last word of the prompt: the same token, after the same words, for both responses. So every margin is 0 and
# the loss is $\log 2 = 0.693$. The two gradients of a pair, $-\frac12$ and $+\frac12$, go through the same row and
# cancel, and no parameter learns anything.

# %%
frozen_loss, frozen_grads, _ = reward_model.loss_and_grads(params, chat, first_pad, n_head=4)
_, sound_grads, _ = reward_model.loss_and_grads(params, chat, length, n_head=4)
largest = lambda grads: max(np.abs(g).max() for g in flatten(grads).values())
assert abs(frozen_loss - np.log(2)) < 1e-13
assert largest(frozen_grads) < 1e-13
assert largest(sound_grads) > 0.01
sound_loss = reward_model.loss_and_grads(params, chat, length, n_head=4)[0]
rows_shown = [
    ["last real token", sound_loss, largest(sound_grads)],
    ["before the first pad", frozen_loss, largest(frozen_grads)],
]
table(rows_shown, ["token that is read", "loss", "largest gradient"])


# %%
def loss_curve(searches, steps=40):
    learner = Learner(flatten(start_of("scales chosen", 0)), 4, steps, 4e-3, 4)
    order, curve = np.random.default_rng(2), []
    for _ in range(steps):
        batch, length = batches.collate([rows[i] for i in order.integers(0, len(rows), 32)])
        batch = np.where((batch == PAD) | (batch == SEP), EOS, batch)
        read = np.argmax(batch == EOS, -1) if searches else length
        curve.append(learner.step(batch, read, np.zeros(32))[0])
    return np.array(curve)


sound, stuck = loss_curve(searches=False), loss_curve(searches=True)


# %%
def plateau(axes):
    axes.plot(sound, color=BLUE, lw=2, label="the last real token")
    axes.plot(stuck, color=RUST, lw=2, ls="--", label="the token before the first pad")
    axes.annotate("log 2", (30, np.log(2)), (30, np.log(2) + 0.06), arrowprops={"arrowstyle": "-"}, ha="center")


alt = "Training loss over 40 steps: with the last real token it falls; with the token before the first pad it is flat."
picture(plateau, "The log 2 plateau", "step", "loss (nats per pair)", alt)

# %%
assert np.abs(stuck - np.log(2)).max() < 1e-12
assert sound[-10:].mean() < sound[:5].mean()

# %% [markdown]
# A loss of $\log 2$ alone is no alarm: a model whose head is all zeros starts there and trains well, because its head
# has a gradient. The alarm is $\log 2$ *and* no gradient.

# %%
zero_head = {"body": params["body"], "head": {"weight": np.zeros((1, 32))}}
zero_loss, zero_grads, _ = reward_model.loss_and_grads(zero_head, tokens, length, n_head=4)
assert abs(zero_loss - np.log(2)) < 1e-15
assert np.abs(zero_grads["head"]["weight"]).max() > 0.01
print(f"head of zeros: loss {zero_loss:.4f}, largest gradient {largest(zero_grads):.2f}")

# %% [markdown]
# ## The other search: the rightmost token that is not pad
#
# Since then those classifiers search from the right for "the rightmost non-padding token" (the same pull request). This
# avoids the prompt, but where pad is the end token it skips the end and reads the word before it. A response that has
# ended and one that was cut off just before its end are now the same row of tokens. Only the length can tell them
# apart.

# %%
rightmost = chat.shape[-1] - 1 - np.argmax((chat != EOS)[..., ::-1], -1)
assert np.array_equal(rightmost, length - 2)
ended, cut_off = reward(chat, length), reward(chat, length - 1)  # the same array, one token more or less of it
assert np.all(np.abs(ended - cut_off) > 1e-6)
rows_shown = [["ended", *ended[0]], ["cut off before its end", *cut_off[0]]]
table(rows_shown, ["the same row of tokens", "chosen", "rejected"])

# %% [markdown]
# ## A [CLS] at the front sees nothing
#
# Some descriptions say that the input is `[CLS] prompt [SEP] response` and that the [CLS] is scored. This is BERT's
# format, and it works there because in BERT every position sees every other. In a causal model the first position sees
# only itself: its reward is the same number for every response, and we are back on the plateau.

# %%
front = reward(tokens, np.ones_like(length))  # a length of 1: the first row is read
assert np.ptp(front) < 1e-13
print(f"{front.size} responses, one reward: {front.min():.3f} to {front.max():.3f}")
_, front_grads, _ = reward_model.loss_and_grads(params, tokens, np.ones_like(length), n_head=4)
assert largest(front_grads) < 1e-13

# %% [markdown]
# ## Padding on the left
#
# With padding on the left the last token is always in the last column, which looks convenient. But every real token
# moves to another position, with another learned embedding, and the padding is now in its past, where attention sees
# it. How much will the reward of one response depend on the amount of padding?


# %%
def padded(extra, left):
    one = np.array(rows[0][0])
    padded = np.pad(one, (extra, 0) if left else (0, extra), constant_values=PAD)
    return reward(padded[None, None], np.array([[len(one) + extra if left else len(one)]])).item()


extras = np.arange(13)
on_the_left, on_the_right = (np.array([padded(extra, left) for extra in extras]) for left in (True, False))
assert np.ptp(on_the_right) < 1e-12
assert np.ptp(on_the_left) > 0.1


# %%
def sides(axes):
    axes.plot(extras, on_the_right, color=BLUE, marker="o", label="padding on the right")
    axes.plot(extras, on_the_left, color=RUST, ls="--", marker="s", label="padding on the left")


alt = "Reward of one response over the amount of padding: level with padding on the right, moving with it on the left."
picture(sides, "Left padding changes the reward", "padding tokens", "reward (log-odds)", alt)

# %%
rows_shown = [["left", on_the_left.min(), on_the_left.max()], ["right", on_the_right.min(), on_the_right.max()]]
assert on_the_left.min() < on_the_right.min()
table(rows_shown, ["padding", "smallest reward", "largest reward"], 2)

# %% [markdown]
# Left padding therefore needs two repairs: a mask over the padding, and positions that are counted from the first real
# token. On the right neither is needed, so this project pads there.

# %% [markdown]
# ### Exercise 7.3 ★★☆ · 15 minutes · positions for left padding
#
# Generation code pads on the left, so you will meet this repair. A mask has a 1 for each real token and a 0 for each
# pad. Return the position of every token: 0, 1, 2, ... from the first real token on; the padding gets position 0, which
# is a valid row of the table.


# %%
def position_ids(mask):
    """Positions counted from the first real token, 0 in the padding        (B, T) of 0 and 1 -> (B, T) ints"""
    ### BEGIN SOLUTION
    return np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    ### END SOLUTION


# %%
check(position_ids)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# How many real tokens stand at or before each place of a row?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `np.cumsum(mask, axis=1)` counts them.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `np.maximum(np.cumsum(mask, axis=1) - 1, 0)`: the first real token gets 0, and the padding 0 instead of −1.
#
# </details>


# %% [markdown]
# ## A score for every position
#
# Some implementations apply the head to *all* hidden rows and return scores of shape $(B, T)$, while the loss is
# written for rewards of shape $(B,)$. [trlx #308](https://github.com/CarperAI/trlx/issues/308) reports such a loss:
# "there is only one reward for each candidate summary, rather than a tensor of rewards". Nothing crashes, because
# subtraction and mean work for any shape.

# %%
scores = hidden(tokens) @ params["head"]["weight"][0]  # (B, 2, L): a score everywhere
loss_of = lambda chosen, rejected: -losses.log_sigmoid(chosen - rejected).mean()
everywhere = loss_of(scores[:, 0], scores[:, 1])
sound_reward = reward(tokens, length)
of_the_pairs = loss_of(sound_reward[:, 0], sound_reward[:, 1])
assert everywhere.shape == of_the_pairs.shape == ()
assert everywhere > of_the_pairs + 0.1
rows_shown = [
    ["mean over all positions", str(scores[:, 0].shape), everywhere],
    ["last real token", "(16,)", of_the_pairs],
]
table(rows_shown, ["score", "shape", "loss"])

# %% [markdown]
# What does this loss train? Over the prompt both sides are the same, so half of the positions have a margin of 0 and
# add a constant $\log 2$. At the other positions words are compared place by place, and where one response has ended,
# its padding is compared with the other's words. The score that is used as the reward is one of many.

# %%
everywhere_margin = scores[:, 0] - scores[:, 1]  # (B, L)
of_prompt, of_rest = everywhere_margin[:, :8], everywhere_margin[:, 8:]
assert np.abs(of_prompt).max() < 1e-13
assert np.isclose(everywhere, (8 * np.log(2) + 8 * -losses.log_sigmoid(of_rest).mean()) / 16, rtol=1e-12)
with_padding = is_padding.any(1)  # (B, L): at least one side has ended
pull = losses.sigmoid(-everywhere_margin)
assert pull[:, :8].sum() > 0.4 * pull.sum()
assert pull[with_padding].sum() > 0.1 * pull.sum()
shares = {"the prompt": pull[:, :8].sum(), "places with padding on a side": pull[with_padding].sum()}
table([[name, share / pull.sum()] for name, share in shares.items()], ["share of the gradient", "of all"], 2)


# %% [markdown]
# Here are all the scores of one pair. The two lines coincide over the prompt and separate at the first word in which
# the responses differ. To the right of a dot the scores belong to padding.

# %%
shown, ends = batches.collate(rows[:1])
pair_scores = (hidden(shown) @ params["head"]["weight"][0])[0]  # (2, L)
assert np.abs(pair_scores[0, :8] - pair_scores[1, :8]).max() < 1e-13


def by_position(axes):
    for side, colour, line, name in ((0, BLUE, "-", "chosen"), (1, RUST, "--", "rejected")):
        axes.plot(pair_scores[side], color=colour, ls=line, lw=2, label=name)
        axes.plot(ends[0, side] - 1, pair_scores[side, ends[0, side] - 1], "o", color=colour, ms=10)
    axes.axvspan(-0.4, 7.5, color="#eeeeee", lw=0)


# %%
alt = (
    "Scores of a pair over the positions: equal over the shaded prompt, then parting; a dot marks each last real token."
)
title, axis = "One score is the reward: the dots", "score of the trained model (log-odds)"
picture(by_position, title, "position (shaded: the prompt)", axis, alt)

# %% [markdown]
# A law is the sharpest test: more padding must not change the loss. It changes this one, in a direction that depends on
# the scores that the model happens to give to padding.

# %%
wider = np.pad(tokens, ((0, 0), (0, 0), (0, 16)), constant_values=PAD)  # twice as long
wider_scores = hidden(wider) @ params["head"]["weight"][0]
assert abs(loss_of(wider_scores[:, 0], wider_scores[:, 1]) - everywhere) > 1e-3
wider_reward = reward(wider, length)
of_wider = loss_of(wider_reward[:, 0], wider_reward[:, 1])
assert abs(of_wider - of_the_pairs) < 1e-13
rows_shown = [
    ["all positions", everywhere, loss_of(wider_scores[:, 0], wider_scores[:, 1])],
    ["last token", of_the_pairs, of_wider],
]
table(rows_shown, ["loss", "16 columns", "32 columns"])

# %% [markdown]
# ## A bug to find
#
# Someone repairs this and picks the last row with `hidden[:, length - 1]`. The result has one axis too many, and the
# loss still runs.


# %%
def last_hidden_with_a_bug(hidden, length):
    return hidden[:, length - 1]


chosen_hidden, chosen_length = hidden(tokens)[:, 0], length[:, 0]
print("expected (16, 32), got", last_hidden_with_a_bug(chosen_hidden, chosen_length).shape)
assert last_hidden_with_a_bug(chosen_hidden, chosen_length).shape == (16, 16, 32)
assert np.isfinite(loss_of(*(last_hidden_with_a_bug(hidden(tokens)[:, i], length[:, i]).mean(-1) for i in range(2))))

# %% [markdown]
# ### Exercise 7.4 ★☆☆ · 10 minutes · find the bug: the last row
#
# What does entry $[i, j]$ of the result hold, and which of the $B^2$ rows are the right ones? Write the function so
# that it returns these alone.


# %%
def last_hidden(hidden, length):
    """rows[b] = hidden[b, length[b] - 1]        (B, T, C), (B,) ints -> (B, C)"""
    ### BEGIN SOLUTION
    return hidden[np.arange(len(hidden)), length - 1]
    ### END SOLUTION


# %%
check(last_hidden)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# A slice `:` is combined with *every* entry of an index array; two index arrays are taken in pairs.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# The first index must be an array too: 0, 1, ..., B − 1.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `hidden[np.arange(len(hidden)), length - 1]`.
#
# </details>

# %% [markdown]
# ## A bug to find
#
# The same trap with other shapes. Each pair has a target margin $t$, by which the chosen reward should lead, and the
# loss is the mean of $-\log\sigma(r_c - r_r - t)$. The version below shows a symptom that no correct loss has: shuffle
# the targets, and it stays the same.


# %%
def margin_loss_with_a_bug(chosen, rejected, margin):
    chosen, rejected = chosen.reshape(-1, 1), rejected.reshape(-1, 1)  # as a linear layer with one output returns them
    return -losses.log_sigmoid(chosen - rejected - margin).mean()


target = rng.uniform(0, 3, 16)
of_bug = margin_loss_with_a_bug(*sound_reward.T, target)
assert np.isclose(margin_loss_with_a_bug(*sound_reward.T, target[::-1]), of_bug, rtol=1e-12)
print(f"buggy {of_bug:.4f}, targets reversed {margin_loss_with_a_bug(*sound_reward.T, target[::-1]):.4f}")
one_by_one = [margin_loss_with_a_bug(*sound_reward[b : b + 1].T, target[b : b + 1]) for b in range(16)]
assert not np.isclose(np.mean(one_by_one), of_bug, rtol=1e-3)  # pair by pair it is right

# %% [markdown]
# ### Exercise 7.5 ★★☆ · 10 minutes · find the bug: the target margin
#
# Write it for rewards and targets of shape $(B,)$. For which batches do both versions agree, so that a test on these
# alone would not have noticed?


# %%
def margin_loss(chosen, rejected, margin):
    """mean(-log σ(chosen - rejected - margin))        (B,), (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return -losses.log_sigmoid(chosen - rejected - margin).mean()
    ### END SOLUTION


# %%
check(margin_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Print the shape of the argument of $\log \sigma$. Two kinds of batches hide the bug: one pair, and many pairs with the
# same target.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Keep every array at shape $(B,)$.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `-losses.log_sigmoid(chosen - rejected - margin).mean()`: `log_sigmoid`, because the logarithm of a sigmoid is
# infinite for large margins (lesson 3).
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# A reward model is a body, one row of its output, and a head: $r = w \cdot h_{\text{length} - 1}$. The row's index
# comes from the length, never from the pad id. Other tokens in the padding change no reward by a bit, and more padding
# changes none beyond rounding. A loss at $\log 2$ without a gradient means that both sides read the same token.

# %%
assert np.array_equal(reward(noise, length), reward(tokens, length))
assert np.allclose(wider_reward, sound_reward, rtol=0, atol=1e-12)
for wrong_length in (first_pad, np.ones_like(length)):
    wrong_loss, wrong_grads, _ = reward_model.loss_and_grads(params, chat, wrong_length, n_head=4)
    assert abs(wrong_loss - np.log(2)) < 1e-13
    assert largest(wrong_grads) < 1e-13
assert largest(sound_grads) > 0.01

# %% [markdown]
# ## Three questions
#
# <details><summary>Your loss is 0.6931 from the first step on and does not move. Name two different causes and how to
# tell them apart.</summary>
#
# A head of zeros has a gradient and leaves the plateau after one step. If both sides read the same token, all gradients
# are zero: compare the two rewards of a pair.
#
# </details>
# <details><summary>Why does right padding need no attention mask in a causal model?</summary>
#
# The padding comes after the last real token, and a causal position sees no later one.
#
# </details>
# <details><summary>Why is the length passed to the model, although the tokens are there?</summary>
#
# The pad id may also occur in the text or be the end token, so the tokens alone do not say where a response ends.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/reward_model.py](../numpy_ref/reward_model.py) and
#   [numpy_ref/language_model.py](../numpy_ref/language_model.py): the two models of this lesson.
# - [numpy_ref/batches.py](../numpy_ref/batches.py): how rows are padded into a batch.
# - [transformers #35911](https://github.com/huggingface/transformers/pull/35911): how a large library changed the
#   search.
