# %% [markdown]
# # 6b · Backward through attention, a block, and the whole model
#
# After this lesson you can
#
# - derive the gradients of attention's queries, keys and values with indices, and code them in five lines;
# - say what a residual, a shared position and a weight that is used twice do to a gradient: they add;
# - write the backward pass of a whole transformer by reading its forward pass from bottom to top, and hold it against
#   autograd.
#
# You need lesson 6a. Reading takes about 50 minutes, the two exercises 45.

# %%
import numpy as np
import torch

from numpy_ref import attention, gradient_check, layers, losses, reward_model, transformer
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.tree import flatten, tree_map
from torch_impl.reward_model import RewardModel

rng = np.random.default_rng(66)

# %% [markdown]
# ## Attention, forward
#
# Each position $i$ has a query $q_i$, a key $k_i$ and a value $v_i$ of $D$ numbers (Vaswani et al. 2017,
# arXiv:1706.03762). A score compares query and key, a softmax over the keys turns a row of scores into weights, and
# the output is the weighted mean of the values:
#
# $$S_{ij} = \frac{1}{\sqrt D} \sum_d q_{id}\, k_{jd}, \qquad P_{ij} = \operatorname{softmax}_j(S_{ij}),
#   \qquad y_{id} = \sum_j P_{ij}\, v_{jd}.$$
#
# The model is causal: a position may see itself and the past, so $S_{ij}$ is set to $-\infty$ for $j > i$, and $P_{ij}$
# is 0 there.

# %%
T, D = 6, 4
q, k, v, dy = rng.standard_normal((4, T, D))
future = np.triu(np.ones((T, T), bool), 1)  # j > i
scores = np.where(future, -np.inf, q @ k.T / np.sqrt(D))
p, _ = layers.softmax(scores)
y, cache = attention.attention(q, k, v)
assert np.allclose(y, p @ v, rtol=0, atol=1e-15)
assert np.all(p[future] == 0)
assert np.allclose(p.sum(1), 1, rtol=0, atol=1e-15)

# %% [markdown]
# Read the picture by rows. The first position has only itself to look at, so its weight is 1 whatever its query is; the
# last one spreads its weight over all six.


# %%
def weights(axes):
    axes.imshow(np.where(future, np.nan, p), cmap="Greys", vmin=0, vmax=1.6)
    for i, j in np.argwhere(~future):
        axes.text(j, i, f"{p[i, j]:.2f}", ha="center", va="center")
    axes.set(xticks=range(T), yticks=range(T))


alt = "Table of attention weights for six positions: a lower triangle whose rows add up to 1; the future is empty."
picture(weights, "The weights P", "position looked at, j", "position that looks, i", alt, size=(5.6, 5.0))

# %% [markdown]
# ## Attention, step 1: the values
#
# The witness is the complex step again, with a random $dy$. The value $v_{jd}$ occurs in the output of every position
# $i$, with the factor $P_{ij}$:
#
# $$dv_{jd} = \sum_i P_{ij}\, dy_{id}, \qquad dV = P^\top dY.$$
#
# A value that many positions look at collects from all of them.


# %%
def witness(f, x, dy):
    """dx of Σ dy · f(x), by the complex step"""
    return gradient_check.complex_step(lambda x: (dy * f(x)).sum(), x)


dv = witness(lambda v: attention.attention(q, k, v)[0], v, dy)
assert np.allclose(dv, np.einsum("ij,id->jd", p, dy), rtol=0, atol=1e-14)
assert np.allclose(dv, p.T @ dy, rtol=0, atol=1e-14)

# %% [markdown]
# ## Attention, step 2: the weights
#
# The weight $P_{ij}$ occurs in the $D$ numbers of output $i$ only, with the factors $v_{jd}$:
#
# $$dP_{ij} = \sum_d dy_{id}\, v_{jd}, \qquad dP = dY\, V^\top.$$

# %%
dp = witness(lambda p: p @ v, p, dy)
assert np.allclose(dp, np.einsum("id,jd->ij", dy, v), rtol=0, atol=1e-14)
assert np.allclose(dp, dy @ v.T, rtol=0, atol=1e-14)

# %% [markdown]
# ## Attention, step 3: the scores, and what becomes of the mask
#
# Each row of $P$ is a softmax of its own, so lesson 6a gives $dS_{ij} = P_{ij} \bigl( dP_{ij} - \sum_l P_{il}\, dP_{il}
# \bigr)$. The mask needs no line: where $P_{ij} = 0$ the product is 0, and in the sum over $l$ the future counts with
# weight 0. The first position has only one weight, which is always 1, so its scores get no gradient at all.

# %%
ds = p * (dp - (p * dp).sum(1, keepdims=True))
lower = np.where(future, 0.0, scores)  # -inf has no complex neighbour: the witness moves the other scores
by_witness = witness(lambda s: layers.softmax(np.where(future, -np.inf, s))[0], lower, dp)
assert np.allclose(ds, by_witness, rtol=0, atol=1e-14)
assert np.all(ds[future] == 0)
assert np.all(ds[0] == 0)

# %% [markdown]
# ## Attention, step 4: the keys
#
# The key $k_{jd}$ occurs in the scores of every position $i$ with key $j$, each time with the factor $q_{id} / \sqrt
# D$:
#
# $$dk_{jd} = \frac{1}{\sqrt D} \sum_i dS_{ij}\, q_{id}, \qquad dK = \frac{1}{\sqrt D}\, dS^\top Q.$$

# %%
dk = witness(lambda k: attention.attention(q, k, v)[0], k, dy)
assert np.allclose(dk, np.einsum("ij,id->jd", ds, q) / np.sqrt(D), rtol=0, atol=1e-14)
assert np.allclose(dk, ds.T @ q / np.sqrt(D), rtol=0, atol=1e-14)

# %% [markdown]
# ### Exercise 6.5 ★★★ · 30 minutes · the queries, and all of attention
#
# One gradient is left. Derive $dq_{id}$ as in step 4: in which scores does $q_{id}$ occur, and with which factors? Then
# put the steps together for any number of leading axes, such as batch and head; you get $q$, $k$ and $v$, so compute
# $P$ first.


# %%
def attention_backward(dout, q, k, v):
    """(dq, dk, dv) of causal attention        (..., T, D) each -> (..., T, D) each"""
    ### BEGIN SOLUTION
    T, D = q.shape[-2:]
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(D)
    scores = np.exp(np.where(np.triu(np.ones((T, T), bool), 1), -np.inf, scores - scores.max(-1, keepdims=True)))
    p = scores / scores.sum(-1, keepdims=True)
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(D)
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dout
    ### END SOLUTION


# %%
check(attention_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The query $q_{id}$ occurs in the scores of its own row $i$, one for each key $j$, with the factor $k_{jd} / \sqrt D$:
# a sum over $j$, and so a product without a transpose. With leading axes `.T` would turn all axes round; exchange the
# last two with `.swapaxes(-1, -2)`. Lesson 6a's softmax has no mask: put $-\infty$ into the scores before it.
#
# </details>

# %% [markdown]
# ## Laws that need no second implementation
#
# The scores are a product, so stretching all queries by a factor does the same as stretching all keys by it: $\langle
# dQ, Q \rangle = \langle dK, K \rangle$, both being $\sum dS_{ij}\, S_{ij}$. The output is linear in the values:
# $\langle dV, V \rangle = \langle dY, Y \rangle$. And adding one vector to *every* key adds the same number to all
# scores of a row, which the softmax does not notice: the key gradients add up to zero over the positions.

# %%
dq, dk, dv = attention.attention_backward(dy, cache)
assert np.allclose(dq, witness(lambda q: attention.attention(q, k, v)[0], q, dy), rtol=0, atol=1e-14)
assert np.isclose((dq * q).sum(), (dk * k).sum(), rtol=0, atol=1e-13)
assert np.isclose((dq * q).sum(), (ds * lower).sum(), rtol=0, atol=1e-13)
assert np.isclose((dv * v).sum(), (dy * y).sum(), rtol=0, atol=1e-13)
assert np.abs(dk.sum(0)).max() < 1e-13

# %% [markdown]
# The third law has a consequence. The bias of the linear layer that makes the keys is such a vector, added to every
# key: whatever the loss, its gradient is zero, and training never moves it. A comparison of two gradients must
# therefore not divide by each entry's own size: some entries are zero by their structure, and what both sides have
# there is rounding.

# %%
one_vector = rng.standard_normal(D)
assert np.allclose(attention.attention(q, k + one_vector, v)[0], y, rtol=0, atol=1e-13)
assert not np.allclose(attention.attention(q + one_vector, k, v)[0], y)  # not so for the queries

# %% [markdown]
# ## Why the scores are divided by √D
#
# The entries of $q$ and $k$ are about as large as standard normal numbers, so a sum of $D$ products has variance $D$.
# Undivided, the scores of a wide head lie far apart, one weight is nearly 1 and the others nearly 0, and in $p\,(dp -
# \sum p\,dp)$ the gradient dies. Divided by $\sqrt D$, the variance is 1 for every width.

# %%
queries, keys = rng.standard_normal((2, 4000, 256))
assert abs((queries * keys).sum(1).std() / np.sqrt(256) - 1) < 0.05


def softmax_gradient(width, divided):
    """The median length of a row of dS, for 12 keys and a standard normal dP"""
    s = np.einsum("nd,njd->nj", queries[:300, :width], keys[:3600, :width].reshape(300, 12, width))
    p, _ = layers.softmax(s / np.sqrt(width) if divided else s)
    dp = np.random.default_rng(0).standard_normal(p.shape)
    return np.median(np.linalg.norm(layers.softmax_backward(dp, p), axis=1))


# %%
def dying(axes):
    widths = [2, 4, 8, 16, 32, 64, 128, 256]
    axes.plot(widths, [softmax_gradient(w, True) for w in widths], color=BLUE, marker="o", label="divided by √D")
    axes.plot(widths, [softmax_gradient(w, False) for w in widths], color=RUST, ls="--", marker="s", label="undivided")
    axes.set(xscale="log", xticks=widths, xticklabels=widths, ylim=(0, None))
    axes.minorticks_off()


alt = "Size of the gradient of the scores over the head size D: level if the scores are divided by √D, falling if not."
picture(dying, "Undivided scores starve the softmax", "head size D", "length of a row of dS (median)", alt)

# %%
assert softmax_gradient(256, True) > 0.8 * softmax_gradient(4, True)
assert softmax_gradient(256, False) < 0.5 * softmax_gradient(256, True)

# %% [markdown]
# ## Heads: moving numbers about
#
# Several heads attend side by side, each over its own $D$ of the $C = H D$ channels. Splitting $(B, T, C)$ into $(B, H,
# T, D)$ computes nothing, it moves every number to another place, so backward moves every slope to the place its number
# came from: the backward of splitting is merging, and the other way round. A move leaves every product as it is:
# $\langle \operatorname{split}(x), dy \rangle = \langle x, \operatorname{merge}(dy) \rangle$.

# %%
x, dsplit = rng.standard_normal((2, 5, 12)), rng.standard_normal((2, 3, 5, 4))
split = attention.split_heads(x, 3)
assert np.array_equal(split[1, 2, 3], x[1, 3, 8:12])  # the last head has the last four channels
assert np.array_equal(attention.merge_heads(split), x)
assert np.allclose((split * dsplit).sum(), (x * attention.merge_heads(dsplit)).sum(), rtol=0, atol=1e-12)

# %% [markdown]
# ## Self-attention: read from bottom to top
#
# One linear layer makes queries, keys and values at once, the heads attend, one linear layer mixes their outputs. The
# backward pass undoes the lines from the last to the first, each with the cache that its line has made. Cutting the
# fused array into three is undone by putting the three gradients side by side again.

# %%
affine = lambda n_out, n_in: {"weight": rng.standard_normal((n_out, n_in)), "bias": rng.standard_normal(n_out)}
qkv, proj = affine(36, 12), affine(12, 12)
fused, qkv_cache = layers.linear(x, **qkv)
queries, keys, values = (attention.split_heads(part, 3) for part in np.split(fused, 3, -1))
mixed, attention_cache = attention.attention(queries, keys, values)
out, proj_cache = layers.linear(attention.merge_heads(mixed), **proj)
assert np.array_equal(out, attention.self_attention(x, qkv, proj, n_head=3)[0])

# %%
dout = rng.standard_normal(out.shape)
dmerged, dproj = layers.linear_backward(dout, proj_cache)  # the last line first
dheads = attention.attention_backward(attention.split_heads(dmerged, 3), attention_cache)
dfused = np.concatenate([attention.merge_heads(d) for d in dheads], -1)
dx, dqkv = layers.linear_backward(dfused, qkv_cache)
assert np.allclose(dx, witness(lambda x: attention.self_attention(x, qkv, proj, n_head=3)[0], x, dout), atol=1e-11)
assert np.abs(dqkv["bias"][12:24]).max() < 1e-12 * np.abs(dqkv["bias"]).max()  # the keys' bias

# %% [markdown]
# ## The feed-forward layer and its GELU
#
# Between two linear layers stands a curve that bends, applied to each number alone. In GPT-2's form (Hendrycks & Gimpel
# 2016, arXiv:1606.08415) it is $y = \frac{x}{2}(1 + t)$ with $t = \tanh u$, $u = k\,(x + a x^3)$, $k = \sqrt{2/\pi}$
# and $a = 0.044715$. From $\tanh = \sinh / \cosh$, the quotient rule and $\cosh^2 - \sinh^2 = 1$ we get
# $\frac{dt}{du} = 1 - t^2$, and the product rule does the rest:
#
# $$\frac{dy}{dx} = \frac{1 + t}{2} + \frac{x}{2} \cdot \frac{dt}{du} \cdot \frac{du}{dx}
#   = \frac{1 + t}{2} + \frac{x}{2}\,(1 - t^2)\, k\,(1 + 3 a x^2).$$

# %%
a, across = 0.044715, np.linspace(-5, 5, 201)
t = np.tanh(np.sqrt(2 / np.pi) * (across + a * across**3))
slope = (1 + t) / 2 + across / 2 * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * a * across**2)
assert np.allclose(layers.gelu(across)[0], across / 2 * (1 + t), rtol=0, atol=1e-15)
assert np.allclose(slope, witness(lambda x: layers.gelu(x)[0], across, np.ones(201)), rtol=0, atol=1e-14)
assert np.allclose(slope + slope[::-1], 1, rtol=0, atol=1e-14)  # y'(x) + y'(-x) = 1


# %%
def gelu_and_slope(axes):
    axes.plot(across, layers.gelu(across)[0], color=INK, lw=2, label="gelu")
    axes.plot(across, slope, color=BLUE, ls="--", lw=2, label="its slope")
    axes.axhline(0, color="#777777", lw=0.6)
    axes.set(ylim=(-0.5, 3))


alt = "GELU is near 0 on the left and near x on the right; its slope rises from 0 to 1, overshooting on both sides."
picture(gelu_and_slope, "GELU", "x", "gelu(x), and its slope", alt)

# %% [markdown]
# ## A bug to find
#
# Ones are a fair $dy$ here, because each output depends on its own input alone. The version below is right at zero and
# far out on the right, where the curve is straight. But the law $y'(x) + y'(-x) = 1$, which is the derivative of $y(x)
# - y(-x) = x$, fails.


# %%
def gelu_backward_with_a_bug(dout, x):
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return dout * ((1 + t) / 2 + x / 2 * (1 - t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2))


buggy = gelu_backward_with_a_bug(np.ones(201), across)
assert buggy[100] == slope[100] == 0.5
assert abs(buggy[-1] - 1) < 1e-5
assert np.abs(buggy + buggy[::-1] - 1).max() > 0.5

# %% [markdown]
# ### Exercise 6.6 ★★☆ · 15 minutes · find the bug
#
# Take the derivative line by line and compare. Write the function as it should be. Why would a test at $x = 0$ alone
# not have noticed?


# %%
def gelu_backward(dout, x):
    """dx of y = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))        (...), (...) -> (...)"""
    ### BEGIN SOLUTION
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return dout * ((1 + t) / 2 + x / 2 * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2))
    ### END SOLUTION


# %%
check(gelu_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The derivative of the hyperbolic tangent is even: it is the same at $u$ and at $-u$. Is the factor in the code?
#
# </details>

# %% [markdown]
# ## Residuals add
#
# A block does not replace its input, it adds to it: $y = x + f(x)$. So $\partial y_i / \partial x_j = \delta_{ij} +
# \partial f_i / \partial x_j$, and the sum of lesson 6a splits in two:
#
# $$dx_j = \sum_i dy_i \Bigl( \delta_{ij} + \frac{\partial f_i}{\partial x_j} \Bigr)
#   = dy_j + \sum_i dy_i\, \frac{\partial f_i}{\partial x_j}.$$
#
# The gradient is handed on as it is, and what comes back through $f$ is added.

# %%
ffn = {"fc": affine(48, 12), "proj": affine(12, 48)}
f_out, f_cache = transformer.feed_forward(x, **ffn)
dx = dout + transformer.feed_forward_backward(dout, f_cache)[0]
assert np.allclose(dx, witness(lambda x: x + transformer.feed_forward(x, **ffn)[0], x, dout), rtol=1e-11, atol=1e-11)

# %% [markdown]
# The first term is why deep models can be trained. Stack 30 feed-forward layers with weights of a usual size, and
# follow a gradient from the top down: without residuals each layer leaves only a share of it, with them it arrives.


# %%
def gradient_sizes(residual, depth=30):
    (h, dh), caches, sizes = rng.standard_normal((2, 8, 32)), [], []
    matrix = lambda n_out, n_in: {"weight": rng.standard_normal((n_out, n_in)) * 0.7 / np.sqrt(n_in)}
    for _ in range(depth):
        out, cache = transformer.feed_forward(h, matrix(128, 32), matrix(32, 128))
        h, caches = h * residual + out, [*caches, cache]
    for cache in reversed(caches):
        dh = dh * residual + transformer.feed_forward_backward(dh, cache)[0]
        sizes.append(np.sqrt((dh**2).mean()))
    return np.array(sizes)


# %%
with_residuals, without = gradient_sizes(1), gradient_sizes(0)


def sizes(axes):
    axes.plot(range(1, 31), with_residuals, color=BLUE, lw=2, label="y = x + f(x)")
    axes.plot(range(1, 31), without, color=RUST, lw=2, ls="--", label="y = f(x)")
    axes.set_yscale("log")


alt = "Size of the gradient over the layers passed: with residuals it rises a little, without it falls to 1e-18."
picture(sizes, "From the top down through 30 layers", "layers passed", "root mean square of the gradient", alt)

# %%
assert np.all(with_residuals > 0.5)
assert without[-1] < 1e-12

# %% [markdown]
# ## The rule behind it
#
# What is used twice gets two gradients, and they add: the input of a residual, the weights of a layer that chosen and
# rejected response go through, the row of a token that stands twice. A position is one more case: its embedding is
# added in every row of the batch, so its gradient is the sum over the batch. Always it is the sum of the chain rule,
# over all ways in which the loss depends on one number.

# %%
tokens, dh = rng.integers(0, 9, (4, 5)), rng.standard_normal((4, 5, 12))
tok, pos = rng.standard_normal((9, 12)), rng.standard_normal((8, 12))
assert np.allclose(witness(lambda pos: tok[tokens] + pos[:5], pos, dh)[:5], dh.sum(0), rtol=0, atol=1e-14)
assert np.all(witness(lambda pos: tok[tokens] + pos[:5], pos, dh)[5:] == 0)  # positions that nobody reached

# %% [markdown]
# ## A block
#
# A block is $x + \operatorname{attn}(\operatorname{ln}_1(x))$, then the same with the feed-forward layer. Here is its
# backward pass in five lines: follow them beside the forward pass, from bottom to top. Each `dout + ...` is a residual,
# and each gradient of a parameter is taken where its layer is passed.

# %%
norm = lambda: {"weight": rng.standard_normal(12), "bias": rng.standard_normal(12)}
params = {"ln1": norm(), "attn": {"qkv": qkv, "proj": proj}, "ln2": norm(), "ffn": ffn}
h, ln1_cache = layers.layer_norm(x, **params["ln1"])
branch, attn_cache = attention.self_attention(h, **params["attn"], n_head=3)
middle = x + branch
h, ln2_cache = layers.layer_norm(middle, **params["ln2"])
branch, ffn_cache = transformer.feed_forward(h, **params["ffn"])
assert np.array_equal(middle + branch, transformer.block(x, **params, n_head=3)[0])

# %%
dh, dffn = transformer.feed_forward_backward(dout, ffn_cache)
dmiddle, dln2 = layers.layer_norm_backward(dh, ln2_cache)
dmiddle = dout + dmiddle
dh, dattn = attention.self_attention_backward(dmiddle, attn_cache)
dx, dln1 = layers.layer_norm_backward(dh, ln1_cache)
dx = dmiddle + dx
by_witness = witness(lambda x: transformer.block(x, **params, n_head=3)[0], x, dout)
assert np.allclose(dx, by_witness, rtol=0, atol=1e-12 * np.abs(by_witness).max())

# %% [markdown]
# The parameters' gradients come out in a tree of the same shape as the parameters. `check_backward` of lesson 5 moves
# every single number of it by a complex step and compares.

# %%
n_head = lambda f: lambda x, **params: f(x, **params, n_head=3)
gradient_check.check_backward(n_head(transformer.block), transformer.block_backward, x, params, rng=rng, n=1000)

# %% [markdown]
# ## The whole model
#
# The body is embeddings, blocks and a last layer norm; a reward model reads one row of its output with a linear layer
# of one output, and the pairwise loss compares two rewards. We know the backward pass of every part. All responses have
# the same length here, so the row to read is the last; lesson 7 is about the choice of that row.

# %%
params = reward_model.init_params(rng, vocab_size=9, n_positions=7, n_embd=12, n_layer=2)
params = tree_map(lambda weight: weight + 0.1 * rng.standard_normal(weight.shape), params)  # no bias 0, no weight 1
tokens = rng.integers(0, 9, (4, 2, 6))  # 4 pairs, chosen before rejected, 6 tokens each; many tokens repeat
h, body_cache = transformer.transformer(tokens.reshape(8, 6), **params["body"], n_head=3)
out, head_cache = layers.linear(h[:, -1], **params["head"])
reward = out.reshape(4, 2)
loss, loss_cache = losses.pairwise_loss(reward[:, 0], reward[:, 1])

# %% [markdown]
# And back: the loss of lesson 4, the head, the body. All rows of $dh$ but the last are zero at the top; attention then
# carries the gradient to the earlier positions.

# %%
dreward = np.stack(losses.pairwise_loss_backward(1.0, loss_cache), 1)
dlast, dhead = layers.linear_backward(dreward.reshape(8, 1), head_cache)
dh = np.zeros_like(h)
dh[:, -1] = dlast
grads = {"body": transformer.transformer_backward(dh, body_cache), "head": dhead}
ready_made = reward_model.loss_and_grads(params, tokens, np.full((4, 2), 6), n_head=3)
assert loss == ready_made[0]
assert all(np.array_equal(g, flatten(ready_made[1])[name]) for name, g in flatten(grads).items())

# %% [markdown]
# ## Against autograd
#
# The twin in PyTorch uses PyTorch's own layers and lets autograd differentiate: no formula is shared. The names of our
# flattened tree are those of its `state_dict`, so the same weights go in, and the comparison is one loop over names.

# %%
twin = RewardModel(9, 7, 12, 2, 3).double()
twin.load_state_dict({name: torch.tensor(weight) for name, weight in flatten(params).items()})
twin_reward = twin(torch.tensor(tokens), torch.full((4, 2), 6))
twin_loss = -torch.nn.functional.logsigmoid(twin_reward[:, 0] - twin_reward[:, 1]).mean()
twin_loss.backward()
by_autograd = {name: weight.grad.numpy() for name, weight in twin.named_parameters()}
largest = max(np.abs(g).max() for g in by_autograd.values())
off = {name: np.abs(g - by_autograd[name]).max() / (2.0**-52 * largest) for name, g in flatten(grads).items()}
assert abs(loss - twin_loss.item()) < 1e-14

# %% [markdown]
# Every number agrees to within rounding. One eps is the distance from 1 to the next float64, $2^{-52}$; we measure in
# units of eps times the largest gradient, so that what is zero by structure does not count as wrong.


# %%
def differences(axes):
    axes.plot(list(off.values()), range(len(off)), "o", color=BLUE, ms=5)
    axes.axvline(100, color=RUST, ls="--", label="bound: 100 eps")
    axes.set_yticks(range(len(off)), list(off), fontsize=8)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=-0.1)
    axes.invert_yaxis()


alt = f"A dot for each of the {len(off)} parameters: the difference of both gradients is far below 100 eps everywhere."
labels = ("largest difference (eps of the largest gradient)", "parameter")
picture(differences, "By hand against autograd", *labels, alt, size=(8.0, 6.5))

# %%
assert off.keys() == by_autograd.keys()
assert max(off.values()) < 100

# %% [markdown]
# ## What you can now assert
#
# Attention's backward pass is five lines, its mask none; splitting heads is undone by merging, a residual by adding,
# and a model by reading its forward pass from bottom to top. The gradient of every parameter of a transformer reward
# model, derived by hand, is autograd's to within 100 eps. Two gradients are zero whatever the data: that of the keys'
# bias, and, under a loss of differences, that of the last layer norm's bias.

# %%
assert max(off.values()) < 100
for i in range(2):
    assert np.abs(grads["body"]["blocks"][i]["attn"]["qkv"]["bias"][12:24]).max() < 1e-14 * largest
assert np.abs(grads["body"]["ln"]["bias"]).max() < 1e-14 * largest
assert np.abs(grads["body"]["blocks"][0]["attn"]["qkv"]["bias"][:12]).max() > 1e-6 * largest
