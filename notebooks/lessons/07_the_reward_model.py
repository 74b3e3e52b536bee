# %% [markdown]
# # 7 · The reward model
#
# After this lesson you can
#
# - turn a language model into a reward model: one layer off, one layer on, one token read;
# - say which token that is, and find it without ever looking for the padding;
# - recognise the classic ways to read the wrong one, by a loss that stays at $\log 2$ with no gradient, or by a
#   reward that moves with the padding.
#
# You need lesson 4 and the ideas of lesson 6. Reading takes about 45 minutes, the four exercises 45.

# %%
import numpy as np

from numpy_ref import attention, batches, language_model, layers, losses, metrics, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import world
from numpy_ref.figures.architecture import architecture, parameter_count
from numpy_ref.figures.notebook import picture
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
# We use the small world of prompts and responses that comes with the project; lesson 8 opens it. A prompt names three
# small jobs, a response answers them, well or badly. Four tokens that no text can contain mark the parts: begin,
# prompt, separator, response, end; and padding makes the rows of a batch equally long.

# %%
words = Words(world.WORDS)
learned_from, held_out = world.make_world(7, n_train=1000, n_eval=60, visits=2, k_eval=4)  # better responses first
rows = [
    [words.encode(prompt, response) for response in pair]
    for prompt, pair in zip(learned_from.prompts, learned_from.responses, strict=True)
]
tokens, length = batches.collate(rows[:16])  # (B, 2, T), (B, 2): 16 pairs, chosen before rejected
assert words.decode([*tokens[0, 0, :1], SEP, EOS, PAD]) == "<bos> <sep> <eos> <pad>"
assert np.all(tokens[:, :, 7] == SEP)  # begin and six words of prompt come before it
assert np.all(np.take_along_axis(tokens, length[..., None] - 1, -1) == EOS)

# %% [markdown]
# ## Where it comes from: a language model
#
# A language model is the body of lesson 6 with an *unembedding*: at every position a linear layer of $V$ outputs, one
# logit for each token of the vocabulary. Its softmax $p$ is the forecast of the next token $t$, and the loss is
# $-\log p_t$, the mean over the positions that count, in nats a token. A model that knows nothing gives every token the
# probability $1/V$ and so has a loss of $\log V$.

# %%
lm = {
    "body": reward_model.init_params(rng, words.vocab_size, 32, 32, 2, np.float32)["body"],
    "unembedding": language_model.init_unembedding(rng, words.vocab_size, 32, np.float32),
}
after_separator = np.full(16, 8)  # supervised fine-tuning teaches the response; nobody need write the prompt
loss, _ = language_model.loss_and_grads(lm, tokens[:, 0], length[:, 0], after_separator, n_head=4)
assert abs(loss - np.log(words.vocab_size)) < 0.1

# %% [markdown]
# ## Its gradient: forecast minus truth
#
# With logits $x_k$ the loss of a position is $-\log p_t = -x_t + \log \sum_k e^{x_k}$. The first term has the slope
# $-\delta_{jt}$ over $x_j$. The second has $e^{x_j} / \sum_k e^{x_k} = p_j$:
#
# $$\frac{\partial}{\partial x_j} (-\log p_t) = p_j - \delta_{jt}.$$
#
# A position that does not count has no gradient, and the others are divided by their number.

# %%
logits, targets = rng.standard_normal((1, 3, 5)), np.array([[4, 0, 2]])
counts = np.array([[0.0, 1.0, 1.0]])  # the first target is a word of the prompt
by_witness = complex_step(lambda x: language_model.next_token_loss(x, targets, counts)[0], logits)
by_hand = (layers.softmax(logits)[0] - np.eye(5)[targets]) * counts[..., None] / 2
assert np.allclose(by_witness, by_hand, rtol=0, atol=1e-15)
assert np.all(by_hand[0, 0] == 0)

# %% [markdown]
# ## Supervised fine-tuning
#
# Stage one of RLHF shows the model good responses, written by people (Ouyang et al. 2022, arXiv:2203.02155, section 3).
# Our demonstrations answer all three jobs rightly. After 120 small steps the model writes them itself, to prompts that
# it has never seen.


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
assert np.mean(logits[:, 7:12].argmax(-1) == unseen[:, 8:]) > 0.95

# %% [markdown]
# ## One layer off, one layer on
#
# Stage two takes the unembedding off and puts a linear layer with a single output in its place, the *head*: $r = w
# \cdot h$, where $h$ is the body's output at one position (the same paper, section 3.5). The body stays as it is. The
# head starts at random, because the language model has no opinion about quality, and it has no bias, because a constant
# in every reward changes no margin.

# %%
from_sft = language_model.to_reward_model(lm, rng)
assert from_sft["body"] is lm["body"]
assert lm["unembedding"]["weight"].shape == (words.vocab_size, 32)
assert {name: weight.shape for name, weight in from_sft["head"].items()} == {"weight": (1, 32)}
assert sum(weight.size for weight in flatten(from_sft).values()) == parameter_count(2, 32, words.vocab_size, 32)

# %% [markdown]
# Read the picture from bottom to top. All positions go through the body; one row of its output is read. At its right,
# the pair of lesson 4: two responses, one set of weights, one loss.

# %%
architecture(2, 4, 32, words.vocab_size, 32)

# %% [markdown]
# ## What is the fine-tuned start worth?
#
# It is said that a reward model should start from the fine-tuned model. Let us measure it: the same pairs, the same 80
# steps, from our fine-tuned body and from two random starts, GPT-2's ordinary one (every matrix normal, of standard
# deviation 0.02) and one whose scales were chosen for this world. The score is the accuracy on prompts held out.


# %%
held_rows = [[words.encode(p, r) for r in rs] for p, rs in zip(held_out.prompts, held_out.responses, strict=True)]


def trained(start, curve, steps=80):
    learner, order = Learner(flatten(start), 4, steps, 4e-3, 8), np.random.default_rng(1)
    for step in range(1, steps + 1):
        learner.step(*batches.collate([rows[i] for i in order.integers(0, len(rows), 32)]), np.zeros(32))
        if step % 10 == 0:
            guess = batches.all_rewards(learner.rewards, held_rows)
            curve.append(metrics.summary(guess, held_out.rewards)["accuracy"])
    return learner.params


# %%
at_random = reward_model.init_params(rng, words.vocab_size, 32, 32, 2, np.float32)
small = lambda w: (0.02 * rng.standard_normal(w.shape)).astype(w.dtype) if w.ndim == 2 else w
ordinary = tree_map(small, at_random)
curve_scaled, curve_ordinary, curve_sft = [], [], []
learned = trained(at_random, curve_scaled)
trained(ordinary, curve_ordinary)
trained(from_sft, curve_sft)
assert len(curve_scaled) == len(curve_ordinary) == len(curve_sft) == 8


# %%
def starts(axes):
    steps = range(10, 81, 10)
    axes.plot(steps, curve_scaled, color=INK, marker="o", label="random, scales chosen for this world")
    axes.plot(steps, curve_ordinary, color=RUST, ls="-.", marker="^", label="random, GPT-2's ordinary scales")
    axes.plot(steps, curve_sft, color=BLUE, ls="--", marker="s", label="fine-tuned language model")
    axes.axhline(0.5, color="#777777", ls=":", label="no opinion")
    axes.set_ylim(0.36, 0.76)


alt = "Held-out accuracy over the steps from three starts: all rise above one half; the fine-tuned one is not the best."
picture(starts, "Three starts, the same pairs", "step", "held-out accuracy (share of pairs)", alt)

# %%
assert min(curve_scaled[-1], curve_ordinary[-1], curve_sft[-1]) > 0.58
assert curve_sft[-1] < curve_scaled[-1]
assert abs(curve_sft[-1] - curve_ordinary[-1]) < 0.08

# %% [markdown]
# In this world it is worth little: the fine-tuned start is behind the one whose scales were chosen, and changes places
# with the ordinary one from seed to seed. That is no contradiction, because the demonstrations hold no fact that the
# pairs do not hold as well. Ouyang et al. report similar results from a fine-tuned and from a merely pretrained model
# (appendix C.2): what a start brings is the language of billions of words, which no preference data could teach, and
# which a toy cannot measure.

# %% [markdown]
# ## Which token is read
#
# Attention is causal: what stands at position $t$ reaches the positions from $t$ on and no earlier one. So only the
# last real token has seen the whole response, and its row is the one to read: $r = w \cdot h_{\text{length} - 1}$. From
# here on we use the best of the three models, in float64.

# %%
params = tree_map(lambda weight: weight.astype(np.float64), learned)


def hidden(tokens):
    """The body's output at every position        (B, 2, T) ints -> (B, 2, T, C)"""
    return transformer(tokens.reshape(-1, tokens.shape[-1]), **params["body"], n_head=4)[0].reshape(*tokens.shape, 32)


changed = tokens.copy()
changed[:, :, 9] = (tokens[:, :, 9] + 1) % words.vocab_size
assert np.array_equal(hidden(changed)[:, :, :9], hidden(tokens)[:, :, :9])  # to the last bit
assert np.all(np.any(hidden(changed)[:, :, 9:] != hidden(tokens)[:, :, 9:], axis=-1))

# %% [markdown]
# For the same reason padding on the right cannot reach the last real token. Nothing has to hide it: put any tokens you
# like in its place and no reward changes by a single bit.

# %%
reward = lambda tokens, length: reward_model.rewards(tokens, length, **params, n_head=4)[0]
is_padding = np.arange(tokens.shape[-1]) >= length[..., None]
noise = np.where(is_padding, rng.integers(0, words.vocab_size, tokens.shape), tokens)
assert not np.array_equal(noise, tokens)
assert np.array_equal(reward(noise, length), reward(tokens, length))
last_rows = np.take_along_axis(hidden(tokens), (length - 1)[..., None, None], axis=2)[:, :, 0]  # (B, 2, C)
assert np.allclose(reward(tokens, length), last_rows @ params["head"]["weight"][0], rtol=0, atol=1e-13)

# %% [markdown]
# ### Exercise 7.1 ★☆☆ · 10 minutes · the last token
#
# You get the tokens of $B$ responses, their lengths, and the id that fills the rest. Return the place of each row's
# last real token. Read the next section's title before you use the third argument.


# %%
def last_token(tokens, length, pad):
    """The place of each row's last real token        (B, T) ints, (B,) ints, int -> (B,) ints"""
    ### BEGIN SOLUTION
    assert np.all(tokens[np.arange(tokens.shape[1]) >= length[:, None]] == pad)  # the only use that pad is good for
    return length - 1
    ### END SOLUTION


# %%
check(last_token)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Counting starts at 0. If a check fails in which the pad id stands inside the text, or is the end token, you are
# looking for the padding; what you want has been given to you.
#
# </details>

# %% [markdown]
# ## The pad token is the end token
#
# Many tokenizers have no padding token, and it is common to fill up with the end token. Many chat formats also end the
# *prompt* with it. Then "the token before the first pad", which is how Hugging Face's sequence classifiers searched
# before pull request 35911 of transformers, is the last word of the prompt: the same token, after the same words, for
# both responses.

# %%
chat = np.where((tokens == PAD) | (tokens == SEP), EOS, tokens)  # both customs at once
first_pad = np.argmax(chat == EOS, -1)
assert np.all(first_pad == 7)
assert np.array_equal(chat[:, 0, :7], chat[:, 1, :7])
frozen = reward(chat, first_pad)  # the row before the first pad
assert np.abs(frozen[:, 0] - frozen[:, 1]).max() < 1e-13

# %% [markdown]
# Both rewards of a pair are the same number, so every margin is 0 and the loss is $\log 2 = 0.693$. Each pair still
# pulls with a half, but its two gradients go through the same row with opposite signs and cancel. No parameter moves
# for a reason.

# %%
frozen_loss, frozen_grads, _ = reward_model.loss_and_grads(params, chat, first_pad, n_head=4)
_, sound_grads, _ = reward_model.loss_and_grads(params, chat, length, n_head=4)
largest = lambda grads: max(np.abs(g).max() for g in flatten(grads).values())
assert abs(frozen_loss - np.log(2)) < 1e-13
assert largest(frozen_grads) < 1e-13
assert largest(sound_grads) > 0.01


# %%
def loss_curve(searches, steps=40):
    learner, order, curve = Learner(flatten(at_random), 4, steps, 4e-3, 4), np.random.default_rng(2), []
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
assert np.abs(stuck - np.log(2)).max() < 1e-5  # float32
assert sound[-10:].mean() < sound[:5].mean()

# %% [markdown]
# A loss of $\log 2$ alone is no alarm: a model whose head is all zeros starts there and trains well, since its head has
# a gradient. The alarm is $\log 2$ *and* no gradient.

# %%
zero_head = {"body": params["body"], "head": {"weight": np.zeros((1, 32))}}
zero_loss, zero_grads, _ = reward_model.loss_and_grads(zero_head, tokens, length, n_head=4)
assert abs(zero_loss - np.log(2)) < 1e-15
assert np.abs(zero_grads["head"]["weight"]).max() > 0.01

# %% [markdown]
# ## The other search: the rightmost token that is not pad
#
# Searching from the right, as those classifiers do since, avoids the prompt; but where pad is the end token it skips
# the end and reads the word before it. Worse, a response that has ended and one cut off just before its end are now
# the same row of tokens. Only the length can tell them apart.

# %%
rightmost = chat.shape[-1] - 1 - np.argmax((chat != EOS)[..., ::-1], -1)
assert np.array_equal(rightmost, length - 2)
ended, cut_off = reward(chat, length), reward(chat, length - 1)  # the same array, one token more or less of it
assert np.all(np.abs(ended - cut_off) > 1e-6)

# %% [markdown]
# ## A bug to find
#
# How good is the frozen model, with its equal rewards? The function below says that it is perfect. A model that is
# always undecided should do as well as a coin.


# %%
def accuracy_with_a_bug(chosen, rejected):
    return np.mean(chosen >= rejected)


assert accuracy_with_a_bug(np.zeros(50), np.zeros(50)) == 1
assert accuracy_with_a_bug(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0.5  # without ties it is right

# %% [markdown]
# ### Exercise 7.2 ★☆☆ · 10 minutes · find the bug
#
# A fair count gives a tie one half: then exchanging chosen and rejected turns an accuracy of $a$ into $1 - a$, ties or
# not. Write it so. What would a strict `>` say of the frozen model?


# %%
def accuracy(chosen, rejected):
    """The share of pairs with chosen > rejected, a tie counting one half        (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return np.mean((chosen > rejected) + 0.5 * (chosen == rejected))
    ### END SOLUTION


# %%
check(accuracy)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two comparisons are enough, one strict and one for equality. NumPy counts True as 1.
#
# </details>

# %% [markdown]
# ## A [CLS] at the front sees nothing
#
# One also reads that the input is `[CLS] prompt [SEP] response`, scored at the [CLS]. This is BERT's format, and there
# it works, because in BERT every position sees every other. In a causal model the first position sees itself only: its
# reward is the same number for every response ever written, and we are back on the plateau.

# %%
front = reward(tokens, np.ones_like(length))  # a length of 1: the first row is read
assert np.ptp(front) < 1e-13
_, front_grads, _ = reward_model.loss_and_grads(params, tokens, np.ones_like(length), n_head=4)
assert largest(front_grads) < 1e-13

# %%
q, k, v = rng.standard_normal((3, 5, 4))
other = v + np.array([0, 0, 0, 0, 1.0])[:, None]  # another last token
everyone_sees = lambda v: layers.softmax(q @ k.T / 2)[0] @ v
assert not np.allclose(everyone_sees(other)[0], everyone_sees(v)[0])  # BERT's first position notices
assert np.array_equal(attention.attention(q, k, other)[0][0], attention.attention(q, k, v)[0][0])  # ours does not

# %% [markdown]
# ## Padding on the left
#
# With padding on the left the last token is always at the end, which looks convenient. But every real token is moved to
# another position, which has another learned embedding, and now the padding stands in its past, where attention sees
# it. The reward of one and the same response moves with the length of its neighbours in the batch.


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
picture(sides, "One response, padded", "padding tokens", "reward (log-odds)", alt)

# %% [markdown]
# Whoever must pad on the left needs two repairs, a mask over the padding and positions counted from the first real
# token. On the right neither is needed, so that is where this project pads.

# %% [markdown]
# ## A score for every position
#
# A sketch that is often copied ends its forward pass with the head over *all* hidden rows and returns scores of shape
# $[B, L]$, while its loss is written for rewards of shape $[B]$. Nothing crashes: subtraction and mean work for any
# shape. But the loss is now the mean over all positions: a model that ranks its pairs well seems to be near $\log 2$.

# %%
scores = hidden(tokens) @ params["head"]["weight"][0]  # (B, 2, L): a score everywhere
loss_of = lambda chosen, rejected: -losses.log_sigmoid(chosen - rejected).mean()
everywhere = loss_of(scores[:, 0], scores[:, 1])
sound_reward = reward(tokens, length)
of_the_pairs = loss_of(sound_reward[:, 0], sound_reward[:, 1])
assert everywhere.shape == of_the_pairs.shape == ()
assert everywhere > of_the_pairs + 0.1

# %% [markdown]
# What does it train? Over the prompt both sides are the same, so half of the positions have a margin of 0 and put a
# constant $\log 2$ into the loss. At the others, word is compared with word by place, and where one response has
# ended, its padding with the other's words. The reward proper is a few entries among many.

# %%
everywhere_margin = scores[:, 0] - scores[:, 1]  # (B, L)
of_prompt, of_rest = everywhere_margin[:, :8], everywhere_margin[:, 8:]
assert np.abs(of_prompt).max() < 1e-13
assert np.isclose(everywhere, (8 * np.log(2) + 8 * -losses.log_sigmoid(of_rest).mean()) / 16, rtol=1e-12)
with_padding = is_padding.any(1)  # (B, L): at least one side has ended
pull = losses.sigmoid(-everywhere_margin)
assert pull[:, :8].sum() > 0.4 * pull.sum()
assert pull[with_padding].sum() > 0.1 * pull.sum()


# %% [markdown]
# Here are all the scores of one pair. The two lines coincide over the prompt and
# part at the first word in which the responses differ; past a dot, a line is read off padding.

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
# The sharpest test is a law: more padding must not change the loss. It changes this one, in a direction that depends on
# what the model happens to make of padding.

# %%
wider = np.pad(tokens, ((0, 0), (0, 0), (0, 16)), constant_values=PAD)  # twice as long
wider_scores = hidden(wider) @ params["head"]["weight"][0]
assert abs(loss_of(wider_scores[:, 0], wider_scores[:, 1]) - everywhere) > 1e-3
wider_reward = reward(wider, length)
assert abs(loss_of(wider_reward[:, 0], wider_reward[:, 1]) - of_the_pairs) < 1e-13

# %% [markdown]
# ## A bug to find
#
# Someone repairs the sketch and picks the last row with `hidden[:, length - 1]`. The result has one axis too many, and
# the loss still runs.


# %%
def last_hidden_with_a_bug(hidden, length):
    return hidden[:, length - 1]


chosen_hidden, chosen_length = hidden(tokens)[:, 0], length[:, 0]
assert last_hidden_with_a_bug(chosen_hidden, chosen_length).shape == (16, 16, 32)
assert np.isfinite(loss_of(*(last_hidden_with_a_bug(hidden(tokens)[:, i], length[:, i]).mean(-1) for i in range(2))))

# %% [markdown]
# ### Exercise 7.3 ★☆☆ · 10 minutes · find the bug
#
# What does entry $[i, j]$ of the result hold, and which of the $B^2$ rows are right? Write the function so that it
# returns these alone.


# %%
def last_hidden(hidden, length):
    """rows[b] = hidden[b, length[b] - 1]        (B, T, C), (B,) ints -> (B, C)"""
    ### BEGIN SOLUTION
    return hidden[np.arange(len(hidden)), length - 1]
    ### END SOLUTION


# %%
check(last_hidden)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A slice `:` is crossed with an array of indices; two arrays of indices are taken in pairs. So the first index must be
# an array too.
#
# </details>

# %% [markdown]
# ## A bug to find
#
# The same trap with other shapes. With a target margin $t$ for each pair, the loss is the mean of $-\log\sigma(r_c -
# r_r - t)$. In the version below the targets have become a column, $[B, 1]$, and NumPy completes the difference to $[B,
# B]$. The loss no longer knows which target belongs to which pair: shuffle them, and it stays the same.


# %%
def margin_loss_with_a_bug(chosen, rejected, margin):
    return -losses.log_sigmoid(chosen - rejected - margin.reshape(-1, 1)).mean()


target = rng.uniform(0, 3, 16)
of_bug = margin_loss_with_a_bug(*sound_reward.T, target)
assert np.isclose(margin_loss_with_a_bug(*sound_reward.T, target[::-1]), of_bug, rtol=1e-12)
assert not np.isclose(loss_of(sound_reward[:, 0], sound_reward[:, 1] + target), of_bug, rtol=1e-3)

# %% [markdown]
# ### Exercise 7.4 ★★☆ · 15 minutes · find the bug
#
# Write it for targets of shape $[B]$. For which batches do both versions agree, so that a test on these alone would not
# have noticed? Which law of lesson 4 would have?


# %%
def margin_loss(chosen, rejected, margin):
    """mean(-log σ(chosen - rejected - margin))        (B,), (B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    return -losses.log_sigmoid(chosen - rejected - margin).mean()
    ### END SOLUTION


# %%
check(margin_loss)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Print the shape of the difference. Two batches hide the bug: one pair, and many pairs with the same target. A pair's
# rewards occur in no other pair's loss: change one pair, and the others' gradients must stay as they are. And use
# `losses.log_sigmoid`, not the logarithm of a sigmoid: lesson 3.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# A reward model is a body, one row of it, and a head: $r = w \cdot h_{\text{length} - 1}$. The place comes from the
# length, never from the pad id. Changing the padding changes no reward by a bit, and more of it changes none beyond
# rounding; a loss at $\log 2$ without a gradient means that both sides read the same token. Lesson 8 trains it.

# %%
assert np.array_equal(reward(noise, length), reward(tokens, length))
assert np.allclose(wider_reward, sound_reward, rtol=0, atol=1e-12)
for wrong_length in (first_pad, np.ones_like(length)):
    wrong_loss, wrong_grads, _ = reward_model.loss_and_grads(params, chat, wrong_length, n_head=4)
    assert abs(wrong_loss - np.log(2)) < 1e-13
    assert largest(wrong_grads) < 1e-13
assert largest(sound_grads) > 0.01
