# %% [markdown]
# # 6b · Backward through attention, a block, and the whole model
#
# After this lesson you can
#
# - derive the gradients of attention's queries, keys and values with indices, and say what a causal mask changes;
# - derive the backward pass of a residual and of a gated layer yourself;
# - write the backward pass of a whole transformer by reading its forward pass from bottom to top, and check it against
#   autograd.
#
# You need lesson 6a. Reading takes about 50 minutes, the three exercises 75 minutes.

# %%
import numpy as np

from numpy_ref import attention, gradient_check, layers, losses, reward_model, transformer
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.tree import flatten, tree_map

rng = np.random.default_rng(66)

# %% [markdown]
# ## Attention, forward
#
# Each position $i$ has a query $q_i$, a key $k_i$ and a value $v_i$ of $D$ numbers (Vaswani et al. 2017,
# [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)). A score compares a query with a key, a softmax over the keys
# turns each row of scores into weights, and the output is the weighted mean of the values:
#
# $$S_{ij} = \frac{1}{\sqrt D} \sum_d q_{id}\, k_{jd}, \qquad P_{ij} = \operatorname{softmax}_j(S_{ij}),
#   \qquad y_{id} = \sum_j P_{ij}\, v_{jd}.$$
#
# Here every position sees every other. We derive this version in full; the causal one, in which no position sees a
# later one, is yours.

# %%
T, D = 6, 4
q, k, v, dy = rng.standard_normal((4, T, D))
everyone = lambda q, k, v: layers.softmax(q @ k.T / np.sqrt(D))[0] @ v
p, _ = layers.softmax(q @ k.T / np.sqrt(D))
assert np.allclose(p.sum(1), 1, rtol=0, atol=1e-15)
assert np.all(p > 0)
shapes = {"q, k, v": q, "scores S and weights P": p, "output y": everyone(q, k, v)}
table([[name, str(array.shape)] for name, array in shapes.items()], ["array", "shape"])

# %% [markdown]
# ## Attention, step 1: the values
#
# The witness is the complex step again, with a random $dy$. The value $v_{jd}$ occurs in the output of every position
# $i$, with the factor $P_{ij}$:
#
# $$dv_{jd} = \sum_i P_{ij}\, dy_{id}, \qquad dV = P^\top dY.$$
#
# A value to which many positions attend receives a gradient from all of them.


# %%
def witness(f, x, dy):
    """dx of Σ dy · f(x), by the complex step"""
    return gradient_check.complex_step(lambda x: (dy * f(x)).sum(), x)


dv = witness(lambda v: everyone(q, k, v), v, dy)
assert np.allclose(dv, np.einsum("ij,id->jd", p, dy), rtol=0, atol=1e-14)
assert np.allclose(dv, p.T @ dy, rtol=0, atol=1e-14)
numbers = ["0", "1", "2", "3"]
table([["by complex step", *dv[0]], ["Pᵀ dY", *(p.T @ dy)[0]]], ["dv of position 0", *numbers])

# %% [markdown]
# ## Attention, step 2: the weights
#
# The weight $P_{ij}$ occurs only in the $D$ numbers of output $i$, with the factors $v_{jd}$:
#
# $$dP_{ij} = \sum_d dy_{id}\, v_{jd}, \qquad dP = dY\, V^\top.$$

# %%
dp = witness(lambda p: p @ v, p, dy)
assert np.allclose(dp, np.einsum("id,jd->ij", dy, v), rtol=0, atol=1e-14)
assert np.allclose(dp, dy @ v.T, rtol=0, atol=1e-14)
print("dP, shape", dp.shape, "first row", np.round(dp[0], 2))

# %% [markdown]
# ## Attention, step 3: the scores
#
# Each row of $P$ is a softmax of its own, so lesson 6a gives the gradient of its inputs:
#
# $$dS_{ij} = P_{ij} \Bigl( dP_{ij} - \sum_l P_{il}\, dP_{il} \Bigr).$$
#
# Each row of $dS$ adds up to zero: a position can only shift attention from one key to another.

# %%
ds = p * (dp - (p * dp).sum(1, keepdims=True))
by_witness = witness(lambda s: layers.softmax(s)[0], q @ k.T / np.sqrt(D), dp)
assert np.allclose(ds, by_witness, rtol=0, atol=1e-14)
assert np.abs(ds.sum(1)).max() < 1e-14
rows = [[f"query {i}", *ds[i], np.abs(ds[i]).sum()] for i in range(3)]
table(rows, ["dS", *(f"key {j}" for j in range(T)), "Σ|dS|"], 2)

# %% [markdown]
# ## Attention, steps 4 and 5: keys and queries
#
# The key $k_{jd}$ occurs in the scores of every query $i$ with key $j$, each time with the factor $q_{id} / \sqrt D$.
# The query $q_{id}$ occurs in the scores of its own row, one for each key $j$, with the factor $k_{jd} / \sqrt D$:
#
# $$dK = \frac{1}{\sqrt D}\, dS^\top Q, \qquad dQ = \frac{1}{\sqrt D}\, dS\, K.$$

# %%
dk = witness(lambda k: everyone(q, k, v), k, dy)
assert np.allclose(dk, np.einsum("ij,id->jd", ds, q) / np.sqrt(D), rtol=0, atol=1e-14)
dq = witness(lambda q: everyone(q, k, v), q, dy)
assert np.allclose(dq, np.einsum("ij,jd->id", ds, k) / np.sqrt(D), rtol=0, atol=1e-14)
rows = [["dk by complex step", *dk[0]], ["dSᵀ Q / √D", *(ds.T @ q / np.sqrt(D))[0]]]
rows += [["dq by complex step", *dq[0]], ["dS K / √D", *(ds @ k / np.sqrt(D))[0]]]
table(rows, ["position 0", *numbers])

# %% [markdown]
# ### Exercise 6.5 ★★★ · 30 minutes · masked attention
#
# A language model is causal: position $i$ sees itself and the past only, so $S_{ij}$ is set to $-\infty$ for $j > i$
# before the softmax. Go through the five steps again and mark each one that changes. Then code the causal version for
# any number of leading axes, such as batch and head; you get $q$, $k$ and $v$, so compute $P$ first.


# %%
def attention_backward(dout, q, k, v):
    """(dq, dk, dv) of causal attention        (..., T, D) each -> (..., T, D) each"""
    ### BEGIN SOLUTION
    T, D = q.shape[-2:]
    future = np.triu(np.ones((T, T), bool), 1)
    p, _ = layers.softmax(np.where(future, -np.inf, q @ k.swapaxes(-1, -2) / np.sqrt(D)))
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(D)
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dout
    ### END SOLUTION


# %%
check(attention_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The mask changes the forward pass. What are $P_{ij}$ and therefore $dS_{ij}$ where $j > i$? Does any line of the
# backward pass need to know the mask?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `scores = np.where(np.triu(np.ones((T, T), bool), 1), -np.inf, q @ k.swapaxes(-1, -2) / np.sqrt(D))`: with leading
# axes, `.T` would reverse all axes, so exchange the last two.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# With the masked $P$ the five lines stay as they are: `dp = dout @ vᵀ`, `ds = p * (dp - (p * dp).sum(-1,
# keepdims=True)) / √D`, and then `ds @ k`, `dsᵀ @ q`, `pᵀ @ dout`, where ᵀ exchanges the last two axes.
#
# </details>

# %% [markdown]
# ## What the mask does to the gradient
#
# The mask needs no line of its own in the backward pass: where $P_{ij} = 0$, the factor $P_{ij}$ makes $dS_{ij}$ zero
# as well. The first position sees only itself, so its weight is always 1 and its scores get no gradient at all.

# %%
future = np.triu(np.ones((T, T), bool), 1)  # j > i
y, cache = attention.attention(q, k, v)
p, scores = cache[3], np.where(future, 0.0, q @ k.T / np.sqrt(D))
dp = dy @ v.T
ds = p * (dp - (p * dp).sum(1, keepdims=True))
masked = lambda s: layers.softmax(np.where(future, -np.inf, s))[0]
assert np.allclose(ds, witness(masked, scores, dp), rtol=0, atol=1e-14)
assert np.all(ds[future] == 0)
assert np.all(ds[0] == 0)
rows = [[f"query {i}", *("" if future[i, j] else f"{p[i, j]:.2f}" for j in range(T))] for i in range(T)]
table(rows, ["weights P", *(f"key {j}" for j in range(T))])

# %% [markdown]
# ## Laws that need no second implementation
#
# Multiplying all queries by a factor has the same effect on the scores as multiplying all keys by it, so $\langle dQ, Q
# \rangle = \langle dK, K \rangle$; both equal $\sum dS_{ij}\, S_{ij}$. The output is linear in the values, so $\langle
# dV, V \rangle = \langle dY, Y \rangle$. Adding one vector to *every* key adds the same number to all scores of a row,
# which the softmax ignores: the gradients of the keys add up to zero over the positions.

# %%
dq, dk, dv = attention.attention_backward(dy, cache)
assert np.allclose(dq, witness(lambda q: attention.attention(q, k, v)[0], q, dy), rtol=0, atol=1e-14)
assert np.isclose((dq * q).sum(), (dk * k).sum(), rtol=0, atol=1e-13)
assert np.isclose((dq * q).sum(), (ds * scores).sum(), rtol=0, atol=1e-13)
assert np.isclose((dv * v).sum(), (dy * y).sum(), rtol=0, atol=1e-13)
assert np.abs(dk.sum(0)).max() < 1e-13
products = {"⟨dQ, Q⟩": (dq, q), "⟨dK, K⟩": (dk, k), "⟨dV, V⟩": (dv, v), "⟨dY, Y⟩": (dy, y)}
table([[name, (a * b).sum()] for name, (a, b) in products.items()], ["product", "value"])

# %% [markdown]
# The third law has a consequence. The bias of the linear layer that produces the keys is such a vector, added to every
# key: its gradient is zero for every loss, and training never changes it. A comparison of two gradients must therefore
# not divide by each entry's own size, because where the true value is zero both sides hold only rounding errors.

# %%
one_vector = rng.standard_normal(D)
assert np.allclose(attention.attention(q, k + one_vector, v)[0], y, rtol=0, atol=1e-13)
assert not np.allclose(attention.attention(q + one_vector, k, v)[0], y)  # not so for the queries
moved = {name: np.abs(attention.attention(*inputs)[0] - y).max() for name, inputs in
         {"to every key": (q, k + one_vector, v), "to every query": (q + one_vector, k, v)}.items()}  # fmt: skip
table([[name, change] for name, change in moved.items()], ["one vector added", "largest change of the output"])

# %% [markdown]
# ## Why the scores are divided by √D
#
# The entries of $q$ and $k$ are about as large as standard normal numbers, so a sum of $D$ products has variance $D$.
# Without the division the scores of a wide head are far apart, one weight is nearly 1 and the others nearly 0, and
# $p\,(dp - \sum p\,dp)$ is almost zero. Divided by $\sqrt D$, the scores have variance 1 for every width.

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
picture(dying, "Undivided scores: the gradient vanishes", "head size D", "length of a row of dS (median)", alt)

# %%
assert softmax_gradient(256, True) > 0.8 * softmax_gradient(4, True)
assert softmax_gradient(256, False) < 0.5 * softmax_gradient(256, True)
rows = [[f"D = {w}", softmax_gradient(w, True), softmax_gradient(w, False)] for w in (4, 64, 256)]
table(rows, ["median length of a row of dS", "divided by √D", "undivided"], 2)

# %% [markdown]
# ## Heads: moving numbers
#
# Several heads attend in parallel, each with its own $D$ of the $C = H D$ channels. Splitting $(B, T, C)$ into $(B, H,
# T, D)$ computes nothing; it only moves each number to another place. The backward pass moves each gradient back, so
# the backward of splitting is merging, and vice versa. Therefore $\langle \operatorname{split}(x), dy \rangle = \langle
# x, \operatorname{merge}(dy) \rangle$.

# %%
x, dsplit = rng.standard_normal((2, 5, 12)), rng.standard_normal((2, 3, 5, 4))
split = attention.split_heads(x, 3)
assert np.array_equal(split[1, 2, 3], x[1, 3, 8:12])  # the last head has the last four channels
assert np.array_equal(attention.merge_heads(split), x)
assert np.allclose((split * dsplit).sum(), (x * attention.merge_heads(dsplit)).sum(), rtol=0, atol=1e-12)
print("x", x.shape, "-> split", split.shape, "-> merged", attention.merge_heads(split).shape)

# %% [markdown]
# ## Self-attention: read from bottom to top
#
# One linear layer computes queries, keys and values at once, the heads attend, and one linear layer mixes their
# outputs. The backward pass goes through the lines from the last to the first, each with the cache that its line
# produced. The forward pass cuts one array into three; the backward pass concatenates the three gradients again.

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
# Between two linear layers stands a nonlinear function, applied to each number separately. In GPT-2's form (Hendrycks &
# Gimpel 2016, [arXiv:1606.08415](https://arxiv.org/abs/1606.08415)) it is $y = \frac{x}{2}(1 + t)$ with $t = \tanh u$,
# $u = k\,(x + a x^3)$, $k = \sqrt{2/\pi}$ and $a = 0.044715$. From $\tanh = \sinh / \cosh$, the quotient rule and
# $\cosh^2 - \sinh^2 = 1$ we get $\frac{dt}{du} = 1 - t^2$, and the product and chain rules give the rest:
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
rows = [
    [f"{across[n]:g}", layers.gelu(across)[0][n], slope[n], slope[n] + slope[200 - n]] for n in (20, 80, 100, 120, 180)
]
table(rows, ["x", "gelu(x)", "slope", "slope(x) + slope(−x)"])


# %%
def gelu_and_slope(axes):
    axes.plot(across, layers.gelu(across)[0], color=INK, lw=2, label="gelu")
    axes.plot(across, slope, color=BLUE, ls="--", lw=2, label="its slope")
    axes.axhline(0, color="#777777", lw=0.6)
    axes.set(ylim=(-0.5, 3))


alt = "GELU is near 0 on the left and near x on the right; its slope rises from 0 to 1, overshooting on both sides."
picture(gelu_and_slope, "GELU's slope goes beyond 1", "x", "gelu(x), and its slope", alt)

# %% [markdown]
# ### Exercise 6.6 ★★☆ · 20 minutes · a gated layer
#
# Llama and its relatives replace GELU by a *gated* layer: two linear layers produce $g$ and $u$, and the output is $y =
# g\, \sigma(g)\, u$, number by number (SwiGLU, Shazeer 2020, [arXiv:2002.05202](https://arxiv.org/abs/2002.05202)).
# Derive $dg$ and $du$. Which rule of differentiation makes the first one longer than the second?


# %%
def swiglu_backward(dout, gate, up):
    """(dgate, dup) of y = g σ(g) u        (...), (...), (...) -> (...), (...)"""
    ### BEGIN SOLUTION
    s = losses.sigmoid(gate)
    return dout * up * s * (1 + gate * losses.sigmoid(-gate)), dout * gate * s
    ### END SOLUTION


# %%
check(swiglu_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The gate occurs twice in $g\, \sigma(g)$: use the product rule. The slope of $\sigma$ is $\sigma(g)\, \sigma(-g)$
# (lesson 4).
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Begin with `s = losses.sigmoid(gate)`; then `dup` is `dout * gate * s`.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $\frac{d}{dg}\, g\, \sigma(g) = \sigma(g) + g\, \sigma(g)\, \sigma(-g) = \sigma(g)\,(1 + g\, \sigma(-g))$, so $dg =
# dy\, u\, \sigma(g)\,(1 + g\, \sigma(-g))$.
#
# </details>

# %% [markdown]
# ## Residuals
#
# A block does not replace its input, it adds to it: $y = x + f(x)$. Such an $x$ reaches the loss in two ways, directly
# and through $f$. Before you read on, derive what this means for one example.

# %% [markdown]
# ### Exercise 6.7 ★★☆ · 25 minutes · a residual
#
# Take $y = x + \tanh(x W^\top + b)$ for rows $x_n$ of $C$ numbers. Derive $dx$ from $\partial y_i / \partial x_j$, and
# the gradients of $W$ and $b$. What is $dx$ when $W = 0$?


# %%
def residual_backward(dout, x, weight, bias):
    """(dx, dweight, dbias) of y = x + tanh(x Wᵀ + b)        (N, C), (N, C), (C, C), (C,) -> (N, C), (C, C), (C,)"""
    ### BEGIN SOLUTION
    dh = dout * (1 - np.tanh(x @ weight.T + bias) ** 2)
    return dout + dh @ weight, dh.T @ x, dh.sum(0)
    ### END SOLUTION


# %%
check(residual_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Write $h = x W^\top + b$. What is used twice receives two gradients; the first term of $y$ has the derivative
# $\delta_{ij}$.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `dh = dout * (1 - np.tanh(h) ** 2)` is the gradient of $h$, and $h$ comes from a linear layer.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $dx = dy + dh\, W$, $dW = dh^\top x$, $db = \sum_n dh_n$. With $W = 0$ only $dy$ remains.
#
# </details>

# %% [markdown]
# ## Residuals add
#
# In general $\partial y_i / \partial x_j = \delta_{ij} + \partial f_i / \partial x_j$, and the sum of lesson 6a splits
# in two:
#
# $$dx_j = \sum_i dy_i \Bigl( \delta_{ij} + \frac{\partial f_i}{\partial x_j} \Bigr)
#   = dy_j + \sum_i dy_i\, \frac{\partial f_i}{\partial x_j}.$$
#
# The gradient is passed on unchanged, and what comes back through $f$ is added.

# %%
ffn = {"fc": affine(48, 12), "proj": affine(12, 48)}
f_out, f_cache = transformer.feed_forward(x, **ffn)
dx = dout + transformer.feed_forward_backward(dout, f_cache)[0]
assert np.allclose(dx, witness(lambda x: x + transformer.feed_forward(x, **ffn)[0], x, dout), rtol=1e-11, atol=1e-11)

# %% [markdown]
# The first term is why deep models can be trained. Stack 30 feed-forward layers with weights of a usual size and follow
# a gradient from the last layer to the first. Guess how much of it arrives with and without residuals.


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
picture(sizes, "Without residuals the gradient vanishes", "layers passed", "root mean square of the gradient", alt)

# %%
assert np.all(with_residuals > 0.5)
assert without[-1] < 1e-12
rows = [[n, f"{with_residuals[n - 1]:.2f}", f"{without[n - 1]:.0e}"] for n in (1, 10, 20, 30)]
table(rows, ["layers passed", "y = x + f(x)", "y = f(x)"])

# %% [markdown]
# ## The rule behind it
#
# Whatever is used twice gets two gradients, and they add: the input of a residual, the weights that both the chosen and
# the rejected response go through, the row of a token that occurs twice. Positions are one more case: a position's
# embedding is added in every row of the batch, so its gradient is the sum over the batch. It is always the sum of the
# chain rule, over all ways in which the loss depends on one number.

# %%
tokens, dh = rng.integers(0, 9, (4, 5)), rng.standard_normal((4, 5, 12))
tok, pos = rng.standard_normal((9, 12)), rng.standard_normal((8, 12))
assert np.allclose(witness(lambda pos: tok[tokens] + pos[:5], pos, dh)[:5], dh.sum(0), rtol=0, atol=1e-14)
assert np.all(witness(lambda pos: tok[tokens] + pos[:5], pos, dh)[5:] == 0)  # positions beyond the end of every row

# %% [markdown]
# ## A block
#
# A block is $x + \operatorname{attn}(\operatorname{ln}_1(x))$, followed by the same with the feed-forward layer. The
# second cell is its backward pass: read it beside the forward pass, from bottom to top. Each `dout + ...` belongs to a
# residual.

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
# The gradients of the parameters form a tree of the same shape as the parameters. `check_backward` of lesson 5 compares
# every single number with its complex step.

# %%
n_head = lambda f: lambda x, **params: f(x, **params, n_head=3)
gradient_check.check_backward(n_head(transformer.block), transformer.block_backward, x, params, rng=rng, n=1000)
print(f"{sum(weight.size for weight in flatten(params).values()):,} parameters checked, one complex step each")
assert set(flatten(params)) > {"attn.qkv.weight", "ffn.fc.weight", "ln1.bias"}

# %% [markdown]
# ## The whole model
#
# The body consists of embeddings, blocks and a last layer norm. A reward model applies a linear layer with one output
# to one row of the body's output, and the pairwise loss compares two rewards. We know the backward pass of every part.
# All responses have the same length here, so the model reads the last row; lesson 7 is about the choice of that row.

# %%
params = reward_model.init_params(rng, vocab_size=9, n_positions=7, n_embd=12, n_layer=2)
params = tree_map(lambda weight: weight + 0.1 * rng.standard_normal(weight.shape), params)  # no bias 0, no weight 1
tokens = rng.integers(0, 9, (4, 2, 6))  # 4 pairs, chosen before rejected, 6 tokens each; many tokens repeat
h, body_cache = transformer.transformer(tokens.reshape(8, 6), **params["body"], n_head=3)
out, head_cache = layers.linear(h[:, -1], **params["head"])
reward = out.reshape(4, 2)
loss, loss_cache = losses.pairwise_loss(reward[:, 0], reward[:, 1])
steps = {"tokens": tokens.reshape(8, 6), "body": h, "last row": h[:, -1], "head": out, "reward": reward}
assert loss > 0
table([[name, str(array.shape)] for name, array in steps.items()], ["after", "shape"])

# %% [markdown]
# And back: the loss of lesson 4, the head, the body. All rows of $dh$ except the last are zero at the output of the
# body. Attention then carries the gradient to the earlier positions.

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
# The PyTorch twin uses PyTorch's own layers, and autograd differentiates them: no formula is shared. Our flattened tree
# has the names of its `state_dict`, so the same weights can be loaded, and the comparison is one loop over names. The
# distance from 1 to the next float64 is $2^{-52}$, called eps: every gradient agrees to within 100 eps of the largest
# one.

# %%
import torch

from torch_impl.reward_model import RewardModel

twin = RewardModel(9, 7, 12, 2, 3).double()
twin.load_state_dict({name: torch.tensor(weight) for name, weight in flatten(params).items()})
twin_reward = twin(torch.tensor(tokens), torch.full((4, 2), 6))
twin_loss = -torch.nn.functional.logsigmoid(twin_reward[:, 0] - twin_reward[:, 1]).mean()
twin_loss.backward()
largest = max(np.abs(g).max() for g in flatten(grads).values())
off = {name: np.abs(g - twin.get_parameter(name).grad.numpy()).max() for name, g in flatten(grads).items()}
print(f"loss by hand {loss:.4f}, by PyTorch {twin_loss.item():.4f}; {len(off)} gradients compared")
assert abs(loss - twin_loss.item()) < 1e-14
assert max(off.values()) < 100 * 2.0**-52 * largest

# %% [markdown]
# ## What you can now assert
#
# Attention's backward pass is five lines, and its mask needs none; splitting heads is undone by merging, a residual
# adds the gradient that it passes on, and a model's backward pass is its forward pass read from bottom to top. Two
# gradients are zero for all data: that of the keys' bias, and, under a loss of differences, that of the last layer
# norm's bias.

# %%
largest = max(np.abs(g).max() for g in flatten(grads).values())
for i in range(2):
    assert np.abs(grads["body"]["blocks"][i]["attn"]["qkv"]["bias"][12:24]).max() < 1e-14 * largest
assert np.abs(grads["body"]["ln"]["bias"]).max() < 1e-14 * largest
assert np.abs(grads["body"]["blocks"][0]["attn"]["qkv"]["bias"][:12]).max() > 1e-6 * largest

# %% [markdown]
# ## Three questions
#
# <details><summary>Why do the gradients of all keys add up to zero over the positions, but not those of the
# queries?</summary>
#
# The same vector added to every key changes all scores of a row by the same number, which the softmax ignores. Added to
# every query, it changes the scores of one row by different numbers.
#
# </details>
# <details><summary>A model has 30 blocks without residuals and does not learn. What would you measure?</summary>
#
# The size of the gradient after each block, from the last to the first. Without residuals it shrinks by a factor at
# each block.
#
# </details>
# <details><summary>In which order are the gradients of a block's parameters computed, and why?</summary>
#
# From the last line of the forward pass to the first, because each step needs the gradient of its own output.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/attention.py](../numpy_ref/attention.py) and [numpy_ref/transformer.py](../numpy_ref/transformer.py): the
#   backward passes of this lesson.
# - [torch_impl/reward_model.py](../torch_impl/reward_model.py): the twin, which autograd differentiates.
# - Lesson 7 chooses the row that the head reads.
