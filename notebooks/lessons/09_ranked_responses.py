# %% [markdown]
# # 9 · K ranked responses
#
# After this lesson you can
#
# - turn a ranking of K responses into its comparisons, its loss and its gradient, and say how much it really tells;
# - name three ways to write the formula wrongly, and the property that catches each;
# - read each response once instead of K − 1 times, and measure what else this changes.
#
# You need lessons 2a, 4, 7 and 8. Reading takes about 45 minutes, the five exercises 110 minutes.

# %%
from itertools import combinations, permutations, product
from math import comb, factorial, log, log2

import numpy as np

from numpy_ref import batches, metrics, optim, ranking, reward_model
from numpy_ref.check.cell import check
from numpy_ref.data import tokenizer, world
from numpy_ref.data.tokens import encode
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.losses import log_sigmoid, pairwise_loss, sigmoid
from numpy_ref.tree import flatten

# %% [markdown]
# ## From a ranking to comparisons
#
# InstructGPT shows labelers between 4 and 9 responses to one prompt and asks for a ranking (Ouyang et al. 2022,
# [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), section 3.5). A ranking of $K$ responses contains a comparison
# for each pair, $\binom{K}{2} = \frac{K(K-1)}{2}$ in all: 36 for $K = 9$. One prompt is read for all of them, so
# comparisons become cheap.

# %%
rng = np.random.default_rng(9)
ranked = ["cold paris cat gladly .", "cold paris cat .", "cold rome cat .", "warm rome cat fool ."]  # best first
pairs = list(combinations(ranked, 2))
assert len(pairs) == comb(4, 2) == 6
assert all(ranked.index(chosen) < ranked.index(rejected) for chosen, rejected in pairs)
assert comb(9, 2) == 9 * 8 // 2 == 36
table([[K, comb(K, 2)] for K in (2, 4, 9)], ["K", "comparisons"])

# %% [markdown]
# ## Thirty-six comparisons are not thirty-six facts
#
# If the first response is better than the second and the second better than the third, the comparison of the first with
# the third is known. There are $2^6 = 64$ ways to answer the six comparisons of four responses, but only $4! = 24$
# rankings. So a ranking of $K$ responses carries at most $\log_2 K!$ bits, while $\binom{K}{2}$ independent comparisons
# would carry up to $\binom{K}{2}$.

# %%
outcomes = {
    tuple(order.index(i) < order.index(j) for i, j in combinations(range(4), 2)) for order in permutations(range(4))
}
assert len(outcomes) == factorial(4) == 24
assert len(list(product([False, True], repeat=6))) == 2**6
assert round(log2(factorial(9)), 1) == 18.5
bits, comparisons = ([f(K) for K in range(2, 10)] for f in (lambda K: log2(factorial(K)), lambda K: comb(K, 2)))
assert bits[0] == comparisons[0] == 1
assert np.all(np.diff(np.divide(comparisons, bits)) > 0)
table([[K, comparisons[K - 2], bits[K - 2]] for K in (2, 4, 9)], ["K", "comparisons", "bits"], 1)


# %%
def information(axes):
    axes.plot(range(2, 10), comparisons, "s--", color=RUST, label="comparisons, C(K, 2)")
    axes.plot(range(2, 10), bits, "o-", color=INK, label="bits, at most log₂(K!)")


alt = "Comparisons and bits of a ranking over K: both are 1 at K = 2; at K = 9 there are 36 comparisons and 18.5 bits."
picture(information, "Comparisons grow faster than information", "K, responses to a prompt", "number, bits", alt)

# %% [markdown]
# ## The formula
#
# Write the rewards of one prompt best first. The loss of the ranking is the mean over its pairs,
#
# $$L = -\frac{1}{\binom{K}{2}} \sum_{i < j} \log \sigma(r_i - r_j),$$
#
# where $i < j$ means that $i$ is ranked above $j$. What is the loss for $K = 2$, and what is it when all rewards are
# equal?

# %% [markdown]
# ### Exercise 9.1 ★★☆ · 20 minutes · the K-wise loss
#
# Code the loss for $B$ prompts with $K$ responses each, best first: the mean over the prompts of the mean over the
# pairs. Margins up to ±800 occur. Then read the three traps below and say which of them a test with $K = 2$ would have
# found.


# %%
def kwise_loss(rewards):
    """mean over prompts of 1/C(K,2) Σ over i < j of -log σ(r_i - r_j), best first        (B, K) -> ()"""
    ### BEGIN SOLUTION
    i, j = np.triu_indices(rewards.shape[1], 1)
    return np.logaddexp(0, rewards[:, j] - rewards[:, i]).mean()
    ### END SOLUTION


# %%
check(kwise_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Every prompt has the same number of pairs, so the mean of means is one mean over an array of shape $(B,
# \binom{K}{2})$.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `i, j = np.triu_indices(K, 1)` gives all $i < j$.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `-log_sigmoid(rewards[:, i] - rewards[:, j]).mean()`, or `np.logaddexp(0, rewards[:, j] - rewards[:, i]).mean()`.
#
# </details>

# %% [markdown]
# ## Three traps
#
# For $K = 2$ the formula is the pairwise loss, and with equal rewards it is $\log 2$ for every $K$. The function below
# is the formula for one prompt, with two switches for the mistakes that follow.


# %%
def loss_of(rewards, sign=-1, divide=1):
    """The formula above for one prompt, best first        (K,) -> (); sign and divide are for what follows"""
    K = len(rewards)
    return sign * sum(log_sigmoid(rewards[i] - rewards[j]) for i, j in combinations(range(K), 2)) / comb(K, 2) / divide


two = rng.normal(size=2)
assert np.isclose(loss_of(two), pairwise_loss(two[:1], two[1:])[0])
assert all(np.isclose(loss_of(np.zeros(K)), log(2)) for K in range(2, 10))
five = rng.normal(size=5)
assert np.isclose(loss_of(five), ranking.kwise_loss(five[None], [[1, 2, 3, 4, 5]])[0])
table([[K, loss_of(np.zeros(K))] for K in (2, 4, 9)], ["K", "loss with equal rewards"])

# %% [markdown]
# **The minus sign.** Without it the number is never positive, and descending it ranks everything backwards: a
# log-probability must be raised, a loss lowered. The property that catches it: *the loss is positive*.

# %%
start = np.array([1.0, 0.0, -1.0])
slope = lambda f, r: np.array([(f(r + h) - f(r - h)) / 2e-5 for h in 1e-5 * np.eye(len(r))])
unsigned = lambda r: loss_of(r, sign=1)
assert unsigned(start) < 0 < loss_of(start)
worse = start - 20 * slope(unsigned, start)
better = start - 20 * slope(loss_of, start)
assert np.all(np.diff(better) < np.diff(start))  # the gaps open
assert np.all(np.diff(worse) > 0)  # the order is reversed
table([["start", *start], ["with minus", *better], ["without", *worse]], ["rewards", "best", "middle", "worst"], 2)

# %% [markdown]
# **What i < j means.** Read as a condition on *places in the file*, it is right only if the file lists the best
# response first. If ranks are given beside the rewards, the order of the file must not matter. The property: *permute
# responses and ranks together, and the loss is the same*.

# %%
rewards, ranks = rng.normal(size=(1, 6)), np.array([[1, 2, 3, 4, 5, 6]])
order = np.array([3, 0, 5, 1, 4, 2])
loss, _ = ranking.kwise_loss(rewards, ranks)
permuted, _ = ranking.kwise_loss(rewards[:, order], ranks[:, order])
assert np.isclose(loss, permuted, rtol=1e-14)
assert not np.isclose(loss_of(rewards[0, order]), loss)  # by places alone
table(
    [["as listed", loss], ["permuted, by rank", permuted], ["permuted, by place", loss_of(rewards[0, order])]],
    ["order", "loss"],
)

# %% [markdown]
# **Dividing twice.** The paper writes $-\frac{1}{\binom{K}{2}} E\big[\log\sigma(r_w - r_l)\big]$ with the expectation
# over comparisons (eq. 1). An expectation already divides by their number, so taken literally the formula divides
# again. We read it as the sum over a prompt's comparisons, divided once; lesson 10b shows a public implementation that
# divides twice.

# %%
assert np.isclose(loss_of(np.zeros(9), divide=comb(9, 2)), log(2) / 36)
assert np.isclose(loss_of(np.zeros(2), divide=comb(2, 2)), log(2))  # K = 2 does not show it
for K in (2, 9):
    print(f"K = {K}: divided once {loss_of(np.zeros(K)):.4f}, twice {loss_of(np.zeros(K), divide=comb(K, 2)):.4f}")
for K in (4, 9):
    r = rng.normal(size=K)
    assert np.allclose(
        slope(lambda r: loss_of(r, divide=comb(len(r), 2)), r) * comb(K, 2), slope(loss_of, r), atol=1e-9
    )

# %% [markdown]
# ## Each prompt has weight one
#
# Prompts may have different $K$. The mean over a prompt's pairs and then over the prompts gives each prompt the same
# weight. The mean over all pairs together gives a prompt with nine responses 36 times the weight of a prompt with two.
# Neither is wrong, but they are different losses, so say which one you use.

# %%
nine, pair = rng.normal(size=9), np.array([0.3, -0.2])
both = np.full((2, 9), 0.0)
both[0], both[1, :2] = nine, pair
both_ranks = np.full((2, 9), ranking.ABSENT)
both_ranks[0], both_ranks[1, :2] = np.arange(1, 10), [1, 2]
by_prompt, _ = ranking.kwise_loss(both, both_ranks)
together = (36 * loss_of(nine) + 1 * loss_of(pair)) / 37
assert np.isclose(by_prompt, (loss_of(nine) + loss_of(pair)) / 2)
assert abs(together - loss_of(nine)) < abs(by_prompt - loss_of(nine))
print(f"mean of prompts {by_prompt:.3f}, mean of pairs {together:.3f}, the nine alone {loss_of(nine):.3f}")

# %% [markdown]
# ### Exercise 9.2 ★★☆ · 20 minutes · a margin from the ranks
#
# Suppose that the first should lead the second by a margin $c$, the third by $2c$, and so on: the pair $i < j$ asks for
# $r_i - r_j$ to exceed $c\,(j - i)$ (the target margin of lesson 7, taken from the ranks). Code this loss, again as the
# mean over prompts of the mean over pairs.


# %%
def kwise_margin_loss(rewards, per_rank):
    """mean over prompts and pairs i < j of -log σ(r_i - r_j - c (j - i)), best first        (B, K), () -> ()"""
    ### BEGIN SOLUTION
    i, j = np.triu_indices(rewards.shape[1], 1)
    return -log_sigmoid(rewards[:, i] - rewards[:, j] - per_rank * (j - i)).mean()
    ### END SOLUTION


# %%
check(kwise_margin_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Only the argument of $\log \sigma$ changes. Which margin makes every term $\log 2$?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# With `i, j = np.triu_indices(K, 1)`, the distances are `j - i`, one for each pair.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `-log_sigmoid(rewards[:, i] - rewards[:, j] - per_rank * (j - i)).mean()`. It is $\log 2$ if the rewards fall by
# exactly $c$ from place to place.
#
# </details>

# %% [markdown]
# ### Exercise 9.3 ★★★ · 35 minutes · the gradient of the K-wise loss
#
# In which pairs does $r_i$ occur, on which side, and what does lesson 4 say about each? Derive $\partial L / \partial
# r_i$ of the loss without margins, and code it for $B$ prompts, best first. A double loop over the pairs is a good
# start; an array of all differences, $(B, K, K)$, needs no loop.


# %%
def kwise_loss_backward(rewards):
    """dL/dr of the mean over prompts of 1/C(K,2) Σ over i < j of -log σ(r_i - r_j)        (B, K) -> (B, K)"""
    ### BEGIN SOLUTION
    B, K = rewards.shape
    pull = np.triu(sigmoid(rewards[:, None, :] - rewards[:, :, None]), 1)  # (B, K, K): σ(r_j - r_i), i above j
    return (pull.sum(axis=1) - pull.sum(axis=2)) / (B * K * (K - 1) / 2)
    ### END SOLUTION


# %%
check(kwise_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Each pair $(i, j)$ adds $-\sigma(r_j - r_i)$ to the gradient of $i$ and the opposite to that of $j$.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `pull = np.triu(sigmoid(rewards[:, None, :] - rewards[:, :, None]), 1)` has $\sigma(r_j - r_i)$ at `[b, i, j]` for $i
# < j$ and 0 elsewhere.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# Response $i$ gets minus its row's sum and plus its column's sum: `(pull.sum(1) - pull.sum(2)) / (B * K * (K - 1) /
# 2)`.
#
# </details>

# %% [markdown]
# ## The gradient
#
# The reward $r_i$ occurs in $K - 1$ pairs: as the better one against each $j > i$, as the worse one against each $j <
# i$. Lesson 4 gives the derivative of each, and the sum is divided by the number of pairs:
#
# $$\frac{\partial L}{\partial r_i} = \frac{1}{\binom{K}{2}} \Big[ \sum_{j > i} (\sigma(r_i - r_j) - 1)
#   + \sum_{j < i} (1 - \sigma(r_j - r_i)) \Big].$$

# %%
r = rng.normal(size=5)
above = lambda i: sum(sigmoid(r[i] - r[j]) - 1 for j in range(i + 1, 5))
below = lambda i: sum(1 - sigmoid(r[j] - r[i]) for j in range(i))
by_formula = np.array([above(i) + below(i) for i in range(5)]) / comb(5, 2)
assert np.allclose(slope(loss_of, r), by_formula, rtol=0, atol=1e-9)
_, cache = ranking.kwise_loss(r[None], np.arange(1, 6)[None])
assert np.allclose(ranking.kwise_loss_backward(1.0, cache)[0], by_formula, rtol=0, atol=1e-15)
table(
    [["reward", *r], ["by differences", *slope(loss_of, r)], ["by formula", *by_formula]], ["", *map(str, range(1, 6))]
)

# %% [markdown]
# Three facts check it. The gradients of a prompt add up to zero, because a constant is free. None is larger than
# $\frac{2}{K}$: there are $K - 1$ pairs with a gradient of at most 1, divided by $\binom{K}{2}$. With equal rewards
# each pair has the gradient ½, so the $i$-th response gets $\frac{2i - K - 1}{K(K-1)}$, evenly spaced from the best to
# the worst.

# %%
for K in (2, 4, 9):
    r, place = 20 * rng.normal(size=(3, K)), np.tile(np.arange(1, K + 1), (3, 1))
    dr, _ = ranking.kwise_loss_backward(1.0, ranking.kwise_loss(r, place)[1])
    assert np.allclose(dr.sum(axis=1), 0, atol=1e-15)
    assert np.all(np.abs(3 * dr) <= 2 / K + 1e-15)
    dzero, _ = ranking.kwise_loss_backward(1.0, ranking.kwise_loss(0 * r, place)[1])
    assert np.allclose(3 * dzero, (2 * place - K - 1) / (K * (K - 1)))
    print(f"K = {K}, equal rewards:", np.round(3 * dzero[0], 3))

# %% [markdown]
# ## One forward pass for each response
#
# If the comparisons are treated as separate pairs, the model reads nine responses $2 \cdot 36 = 72$ times, each of them
# $K - 1 = 8$ times. The reward of a response does not depend on what it is compared with, so nine readings are enough.
# The loss and the gradient of every weight are the same: the gradients of eight comparisons are added *before* the
# backward pass instead of after it.

# %%
words = tokenizer.Words(world.WORDS)
lists = world.sample_responses(rng, world.sample_prompts(rng, 1), 9)
rows = encode(words, world.rank(rng, lists), 16).rows
params = reward_model.init_params(rng, words.vocab_size, 16, n_embd=32, n_layer=2)
as_pairs = [[rows[0][i], rows[0][j]] for i, j in combinations(range(9), 2)]
readings = {name: sum(len(row) for row in data) for name, data in {"list": rows, "pairs": as_pairs}.items()}
assert readings == {"list": 9, "pairs": 9 * 8}


# %%
def gradients(params, rows):
    """The K-wise loss of rows that are listed best first, and the gradient of every weight"""
    tokens, length = batches.collate(rows)
    reward, cache = reward_model.rewards(tokens, length, **params, n_head=4)
    place = np.tile(np.arange(1, reward.shape[1] + 1), (len(reward), 1))
    loss, loss_cache = ranking.kwise_loss(reward, place)
    return loss, reward_model.rewards_backward(ranking.kwise_loss_backward(1.0, loss_cache)[0], cache)


# %%
(list_loss, list_grads), (pair_loss, pair_grads) = gradients(params, rows), gradients(params, as_pairs)
assert np.isclose(list_loss, pair_loss, rtol=1e-12)
one, other = flatten(list_grads), flatten(pair_grads)
largest = max(np.abs(g).max() for g in one.values())
assert all(np.abs(one[name] - other[name]).max() < 1e-12 * largest for name in one)
norm = lambda tree: np.sqrt(sum((g**2).sum() for g in tree.values()))
rows_shown = [["a list", readings["list"], list_loss, norm(one)], ["pairs", readings["pairs"], pair_loss, norm(other)]]
table(rows_shown, ["taken as", "readings", "loss", "gradient norm"])

# %% [markdown]
# ## Plackett-Luce: a ranking as a sequence of choices
#
# The world's labelers rank by reward plus Gumbel noise. Their rankings follow the model of Plackett and Luce: choose
# the best of all with probability $e^{r_1} / \sum_j e^{r_j}$, then the best of the rest in the same way, and so on. The
# product of these choices is a probability distribution over all $K!$ rankings.

# %% [markdown]
# ### Exercise 9.4 ★★☆ · 20 minutes · the Plackett-Luce loss
#
# Code $-\log P$ of $B$ rankings, best first, as the mean over the prompts. Rewards up to ±1000 occur, so no exponential
# may overflow. How many choices does a ranking of $K$ responses contain?


# %%
def plackett_luce_loss(rewards):
    """mean over prompts of -log P, P the product of the choices, best first        (B, K) -> ()"""
    ### BEGIN SOLUTION
    K = rewards.shape[1]
    of_place = [np.logaddexp.reduce(rewards[:, k:] - rewards[:, k : k + 1], axis=1) for k in range(K - 1)]
    return np.sum(of_place, axis=0).mean()
    ### END SOLUTION


# %%
check(plackett_luce_loss)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The choice at place $k$ is a softmax over the responses from $k$ on. The last one is no choice.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# $-\log \frac{e^{r_k}}{\sum_{j \ge k} e^{r_j}} = \log \sum_{j \ge k} e^{r_j - r_k}$; NumPy's `np.logaddexp.reduce` is a
# log-sum-exp that does not overflow.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# Sum `np.logaddexp.reduce(rewards[:, k:] - rewards[:, k : k + 1], axis=1)` over $k = 0, \dots, K - 2$ and take the mean
# over the prompts.
#
# </details>

# %% [markdown]
# The probabilities of all rankings add up to 1. The product of the *pairs'* probabilities does not: it treats
# comparisons as independent that are not. What does a ranking of nine cost a model that gives all responses the same
# reward?


# %%
def plackett_luce(r):
    """log P of the ranking best first: Σ over k of log(e^(r_k) / Σ over j >= k of e^(r_j))        (K,) -> ()"""
    return sum(r[k] - np.logaddexp.reduce(r[k:]) for k in range(len(r)))


r = rng.normal(size=4)
all_rankings = [r[list(order)] for order in permutations(range(4))]
assert np.isclose(-plackett_luce(np.zeros(9)) / log(2), log2(factorial(9)))  # equal rewards
sums = [sum(np.exp(plackett_luce(s)) for s in all_rankings), sum(np.exp(-6 * loss_of(s)) for s in all_rankings)]
print(f"sum over all rankings: Plackett-Luce {sums[0]:.3f}, product of pairs {sums[1]:.3f}")
print(f"equal rewards, K = 9: {-plackett_luce(np.zeros(9)) / log(2):.1f} bits")

# %%
assert np.isclose(sums[0], 1)
assert sums[1] < 0.9
assert np.isclose(plackett_luce(two), log_sigmoid(two[0] - two[1]))

# %% [markdown]
# Do the labelers follow it? We rank the same four responses twenty thousand times and count how often each of the 24
# orders occurs. Each *pair* of such a ranking is still Bradley-Terry: the share of rankings in which $i$ stands above
# $j$ is $\sigma(r_i - r_j)$, so the K-wise loss also leads to the right rewards.

# %%
drawn = np.argsort(-(r + rng.gumbel(size=(20_000, 4))), axis=1)
code = drawn @ [64, 16, 4, 1]
for order in permutations(range(4)):
    p = np.exp(plackett_luce(r[list(order)]))
    assert abs(np.mean(code == np.dot(order, [64, 16, 4, 1])) - p) < 5 * np.sqrt(p / 20_000)
place = np.argsort(drawn, axis=1)
for i, j in combinations(range(4), 2):
    assert abs(np.mean(place[:, i] < place[:, j]) - sigmoid(r[i] - r[j])) < 5 * 0.5 / np.sqrt(20_000)
    print(f"response {i} above {j}: share {np.mean(place[:, i] < place[:, j]):.2f}, σ {sigmoid(r[i] - r[j]):.2f}")

# %% [markdown]
# ### Exercise 9.5 ★★☆ · 15 minutes · the gradient of the Plackett-Luce loss
#
# Derive the gradient of the Plackett-Luce loss: in which choices does $r_i$ occur, and what is the derivative of each?
# Code it for $B$ prompts, best first. Does it add up to zero for each prompt, and why?


# %%
def plackett_luce_loss_backward(rewards):
    """dL/dr of the mean over prompts of -log P        (B, K) -> (B, K)"""
    ### BEGIN SOLUTION
    drewards = np.zeros_like(rewards)
    for k in range(rewards.shape[1] - 1):
        rest = rewards[:, k:] - rewards[:, k:].max(axis=1, keepdims=True)
        drewards[:, k:] += np.exp(rest) / np.exp(rest).sum(axis=1, keepdims=True)
        drewards[:, k] -= 1
    return drewards / len(rewards)
    ### END SOLUTION


# %%
check(plackett_luce_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Each choice is $-\log$ of a softmax probability. Exercise 7.1 gives its gradient: prediction minus truth.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Loop over the $K - 1$ choices; at place $k$ add the softmax of `rewards[:, k:]` to those columns.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# At place $k$: `drewards[:, k:] += softmax(rewards[:, k:])` and `drewards[:, k] -= 1`; at the end divide by $B$. Each
# choice adds up to zero, so the prompt does.
#
# </details>

# %% [markdown]
# ## Does shuffling the pairs overfit?
#
# InstructGPT gives a second reason for one batch element per prompt: with all comparisons shuffled into one data set, a
# single pass overfits, because each response is used in up to $K - 1$ updates (section 3.5). We try it with 200
# prompts, $K = 6$, and three seeds. Lists and shuffled pairs get one epoch each, with the same number of steps and of
# comparisons in a step; a third variant reads the lists for $K - 1$ epochs.

# %%
K, PROMPTS = 6, 200


def data_of(seed):
    """(lists best first, their pairs, held-out responses as ids, held-out true rewards)"""
    lists, held = world.make_world(seed, PROMPTS, 100, k_train=K, visits=1)
    rows = encode(words, world.rank(np.random.default_rng([seed, 3]), lists), 16).rows
    shuffled = [[row[i], row[j]] for row in rows for i, j in combinations(range(K), 2)]
    asked = zip(held.prompts, held.responses, strict=True)
    return rows, shuffled, [[words.encode(q, text) for text in texts] for q, texts in asked], held.rewards


assert [len(part) for part in data_of(0)] == [200, 200 * 15, 100, 100]


# %%
def fit(rows, batch_size, epochs, seed):
    """The model after these epochs, as a function that scores rows; gradients by hand, AdamW as in lesson 8"""
    params = reward_model.init_params(np.random.default_rng(seed), words.vocab_size, 16, 32, 2)
    state, total = optim.adamw_state(params), epochs * batches.steps_per_epoch(len(rows), batch_size)
    for step in range(total):
        chosen = batches.batch_indices(step, len(rows), batch_size, seed)
        grads, _ = optim.clip_by_global_norm(gradients(params, [rows[i] for i in chosen])[1], 1.0)
        rate = optim.warmup_cosine(step, total, 4e-3, total // 10)
        params, state = optim.adamw(params, grads, state, rate, beta2=0.95)
    return lambda rows: batches.all_rewards(lambda *batch: reward_model.rewards(*batch, **params, n_head=4)[0], rows)


# %%
VARIANTS = {"lists": (0, 2, 1), "shuffled pairs": (1, 30, 1), f"lists, {K - 1} epochs": (0, 2, K - 1)}
training, held_out = {name: [] for name in VARIANTS}, {name: [] for name in VARIANTS}
for seed in range(3):
    data = data_of(seed)
    for name, (part, batch_size, epochs) in VARIANTS.items():
        score = fit(data[part], batch_size, epochs, seed)
        training[name].append(metrics.summary(score(data[0]))["loss"])
        held_out[name].append(metrics.summary(score(data[2]), data[3])["loss"])
gap = {name: np.subtract(held_out[name], training[name]) for name in VARIANTS}
assert len(data[0]) / 2 == len(data[1]) / 30 == 100  # as many steps an epoch


# %%
def bars(axes):
    for place, name in enumerate(VARIANTS):
        axes.plot(3 * [place - 0.08], training[name], "o", color=BLUE, mfc="white", label="" if place else "training")
        axes.plot(3 * [place + 0.08], held_out[name], "s", color=RUST, label="" if place else "held out")
        ends = np.mean(training[name]), np.mean(held_out[name])
        axes.plot([place - 0.08, place + 0.08], ends, color=INK, lw=1.5)
    axes.axhline(log(2), color="#777777", ls=":", label="equal rewards: log 2")
    axes.set_xticks(range(3), VARIANTS)


# %%
means = ", ".join(f"{name}: {np.mean(training[name]):.2f} and {np.mean(held_out[name]):.2f}" for name in VARIANTS)
alt = f"Loss on the training comparisons and held out, three seeds for each variant. Means: {means}."
picture(bars, "More epochs widen the gap", "how the comparisons were used", "loss (nats per comparison)", alt)

# %% [markdown]
# The mechanism is confirmed. After one epoch of shuffled pairs the training loss is lower, and the gap to the held-out
# loss is about twice as wide: responses that are used five times are partly memorised. Reading the *lists* five times
# shows where this leads: the training loss is far lower, and the held-out loss has risen again.

# %%
lists_once, pairs_once, lists_often = VARIANTS
assert np.mean(training[pairs_once]) < np.mean(training[lists_once]) - 0.03
assert np.mean(gap[pairs_once]) > 1.5 * np.mean(gap[lists_once])
assert np.mean(gap[lists_often]) > 2 * np.mean(gap[pairs_once])
assert np.mean(held_out[lists_often]) > np.mean(held_out[lists_once])
rows_shown = [[name, np.mean(training[name]), np.mean(held_out[name]), np.mean(gap[name])] for name in VARIANTS]
table(rows_shown, ["mean of three seeds", "training loss", "held-out loss", "gap"], 2)

# %% [markdown]
# The harm is *not* reproduced at this scale: the held-out loss of the shuffled pairs is no worse than that of the
# lists. Two things help the pairs here. Their batches contain pairs of about 30 prompts instead of 2, and a small fresh
# model is so far from the floor that further updates still help. Whether the paper's observation depends on large
# pretrained models we cannot tell from this experiment.

# %%
floor = world.floors(data[3])["loss"]
assert np.mean(held_out[pairs_once]) < np.mean(held_out[lists_once]) + 0.02
assert np.mean(held_out[lists_once]) > floor + 0.1  # far from what could be reached
assert 2 * comb(9, 2) == 8 * 9  # readings as pairs: K - 1 times those as a list

# %% [markdown]
# ## What you can now assert
#
# A ranking of nine is 36 comparisons, at most 18.5 bits, and nine forward passes. Its loss has a minus sign, compares
# by rank and divides once, so that equal rewards cost $\log 2$. Its gradient adds up to zero, and no entry exceeds
# $2/K$. Shuffled pairs widen the gap between training and held-out loss within one epoch; whether this does harm
# depends on the scale.

# %%
assert comb(9, 2) == 36 > log2(factorial(9)) > 18
assert np.isclose(loss_of(np.zeros(9)), log(2))
assert readings == {"list": 9, "pairs": 72}
assert all(np.abs(one[name] - other[name]).max() < 1e-12 * largest for name in one)
assert np.mean(gap[pairs_once]) > np.mean(gap[lists_once])

# %% [markdown]
# ## Three questions
#
# <details><summary>Why does a test with two responses find none of the division errors?</summary>
#
# For $K = 2$ there is one pair, and dividing by 1 twice changes nothing.
#
# </details>
# <details><summary>A labeler ranks 4 responses. How many comparisons, how many bits at most, how many forward
# passes?</summary>
#
# 6 comparisons, $\log_2 24 = 4.6$ bits, 4 forward passes.
#
# </details>
# <details><summary>K-wise loss or Plackett-Luce: which one assigns a probability to each ranking?</summary>
#
# Plackett-Luce: its probabilities add up to 1 over all rankings. The product of the pairs' probabilities does not.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/ranking.py](../numpy_ref/ranking.py): all pairs of a list;
#   [numpy_ref/listwise.py](../numpy_ref/listwise.py): the list as a sequence of choices.
# - [numpy_ref/ties.py](../numpy_ref/ties.py): lists with equal ranks.
# - [tests/benchmarks/shuffled_pairs.py](../tests/benchmarks/shuffled_pairs.py): the last experiment at a larger scale.
