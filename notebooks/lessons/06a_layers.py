# %% [markdown]
# # 6a · Backward through the layers
#
# After this lesson you can
#
# - derive the backward pass of a linear layer, a softmax, a layer norm and an embedding, with indices and as matrices;
# - derive four siblings yourself: a low-rank adapter, a log-softmax, an RMS norm, the embedding's gradient;
# - say why a layer must return its cache instead of keeping it, and show what goes wrong otherwise.
#
# You need lessons 3 to 5, the chain rule, and the product of two matrices. Reading takes about 45 minutes, the four
# exercises 85 minutes.

# %%
import numpy as np

from numpy_ref import layers
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.gradient_check import check_backward, complex_step
from numpy_ref.losses import log_sigmoid, sigmoid

rng = np.random.default_rng(6)

# %% [markdown]
# ## What a backward pass computes
#
# A reward is computed by many layers, one after the other, and each layer has the same task. It is given $dy = \partial
# L / \partial y$, the derivative of the loss with respect to its output, and must return $dx = \partial L / \partial
# x$, the derivative with respect to its input. Every entry of $x$ has a derivative of its own, so $dx$ has the shape of
# $x$. The loss depends on $x_i$ through every $y_j$, and by the chain rule these contributions add up:
#
# $$dx_i = \sum_j dy_j \, \frac{\partial y_j}{\partial x_i}.$$

# %%
jacobian = rng.standard_normal((3, 4))  # of y = J x: row j, column i is ∂y_j/∂x_i
x, dy = rng.standard_normal(4), rng.standard_normal(3)
dx = complex_step(lambda x: dy @ (jacobian @ x), x)
assert np.allclose(dx, [sum(dy[j] * jacobian[j, i] for j in range(3)) for i in range(4)], rtol=0, atol=1e-14)
assert np.allclose(dx, jacobian.T @ dy, rtol=0, atol=1e-14)
table([["by complex step", *dx], ["Jᵀ dy", *(jacobian.T @ dy)]], ["dx", *(f"entry {i}" for i in range(4))])

# %% [markdown]
# ## The Jacobian is never built
#
# The table of all $\partial y_j / \partial x_i$ is the layer's Jacobian, and $dx = J^\top dy$. Guess its size for one
# linear layer of a small model that maps 1024 rows of 32 numbers to 1024 rows of 32 numbers, in float64. Almost all of
# its entries are zero or repeated, so each derivation below simplifies the sum first and codes what remains. To check
# each result we use the complex step of lesson 5 on $\sum dy \cdot f(x)$, with a random $dy$.


# %%
def witness(f, x, dy):
    """dx of Σ dy · f(x), by the complex step: it knows none of the formulas below"""
    return complex_step(lambda x: (dy * f(x)).sum(), x)


gigabytes = 8 * (1024 * 32) ** 2 / 1e9
print(f"Jacobian: {gigabytes:.1f} GB; the layer's weight: {8 * 32 * 32 / 1e3:.1f} kB")
assert gigabytes > 8 > 1e5 * 8 * 32 * 32 / 1e9
assert np.allclose(witness(lambda x: jacobian @ x, x, dy), jacobian.T @ dy, rtol=0, atol=1e-14)

# %% [markdown]
# ## Linear, step 1: the input
#
# A linear layer takes rows of $I$ numbers to rows of $O$ numbers: $y_{no} = \sum_i W_{oi} x_{ni} + b_o$, or $Y = X
# W^\top + b$. The entry $x_{ni}$ occurs in the outputs $y_{n1}, \dots, y_{nO}$ of its own row and nowhere else, each
# time with the factor $W_{oi}$:
#
# $$dx_{ni} = \sum_o dy_{no} W_{oi}, \qquad dX = dY\, W.$$

# %%
x, weight, bias, dy = (rng.standard_normal(shape) for shape in ((5, 3), (4, 3), (4,), (5, 4)))
dx = witness(lambda x: x @ weight.T + bias, x, dy)
assert np.allclose(dx, np.einsum("no,oi->ni", dy, weight), rtol=0, atol=1e-13)
assert np.allclose(dx, dy @ weight, rtol=0, atol=1e-13)
table([["by complex step", *dx[0]], ["dY W", *(dy @ weight)[0]]], ["dx of row 0", "input 0", "input 1", "input 2"])

# %% [markdown]
# ## Linear, step 2: the weight
#
# The entry $W_{oi}$ occurs in output $o$ of *every* row $n$, with the factor $x_{ni}$. So the rows add up:
#
# $$dW_{oi} = \sum_n dy_{no} \, x_{ni}, \qquad dW = dY^\top X.$$

# %%
dweight = witness(lambda weight: x @ weight.T + bias, weight, dy)
assert np.allclose(dweight, np.einsum("no,ni->oi", dy, x), rtol=0, atol=1e-13)
assert np.allclose(dweight, dy.T @ x, rtol=0, atol=1e-13)

# %% [markdown]
# ## Linear, step 3: the bias
#
# The entry $b_o$ is added to output $o$ of every row, with the factor 1: $db_o = \sum_n dy_{no}$. Inputs of more axes,
# such as batch and time, are rows laid end to end: reshape to two axes, use the three formulas, shape $dx$ back. This
# is all that `layers.linear_backward` does.

# %%
assert np.allclose(witness(lambda bias: x @ weight.T + bias, bias, dy), dy.sum(0), rtol=0, atol=1e-13)
long_x, long_dy = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))  # (B, T, I), (B, T, O)
dx, grads = layers.linear_backward(long_dy, layers.linear(long_x, weight, bias)[1])
assert np.allclose(dx, long_dy @ weight, rtol=0, atol=1e-13)
assert np.allclose(grads["weight"], np.einsum("bto,bti->oi", long_dy, long_x), rtol=0, atol=1e-13)
assert np.allclose(grads["bias"], long_dy.sum((0, 1)), rtol=0, atol=1e-13)
shapes = [
    ("x and dx", long_x, dx),
    ("weight and dweight", weight, grads["weight"]),
    ("bias and dbias", bias, grads["bias"]),
]
table([[name, value.shape, gradient.shape] for name, value, gradient in shapes], ["", "value", "gradient"])

# %% [markdown]
# ## A fitting shape proves nothing
#
# With 5 rows, 3 inputs and 4 outputs, $dY\,W$ and $dY^\top X$ are the only products that fit, so shapes are a good
# guide. They are no proof. The gradient below reshapes where it should transpose: it has the right shape and is right
# for a single row. What do you expect for five rows?


# %%
def dweight_with_a_bug(dout, x):
    return dout.reshape(dout.shape[1], -1) @ x


for n in (1, 5):
    wrong, correct = dweight_with_a_bug(dy[:n], x[:n]), dy[:n].T @ x[:n]
    print(f"rows: {n}, shape {wrong.shape}, first entry {wrong[0, 0]:.3f}, expected {correct[0, 0]:.3f}")
assert np.allclose(dweight_with_a_bug(dy[:1], x[:1]), dy[:1].T @ x[:1], rtol=0, atol=1e-13)
assert wrong.shape == correct.shape
assert not np.allclose(wrong, correct)

# %% [markdown]
# ### Exercise 6.1 ★★☆ · 20 minutes · a low-rank adapter
#
# Fine-tuning often leaves a layer's weight $W$ as it is and trains only a small detour beside it: $y = W x + B A x$,
# where $A$ has $R$ rows, $B$ has $R$ columns, and $R$ is small (LoRA, Hu et al. 2021,
# [arXiv:2106.09685](https://arxiv.org/abs/2106.09685)). Derive $dx$, $dA$ and $dB$ with indices, as above. The frozen
# $W$ needs no gradient; does it therefore play no part in the backward pass?


# %%
def lora_backward(dout, x, down, up, weight):
    """(dx, ddown, dup) of y = x Wᵀ + (x Aᵀ) Bᵀ        dout (..., O), x (..., I), A (R, I), B (O, R), W (O, I)"""
    ### BEGIN SOLUTION
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    dhidden = drows @ up  # (N, R): the gradient of x Aᵀ
    dx = drows @ weight + dhidden @ down
    return dx.reshape(x.shape), dhidden.T @ rows, drows.T @ (rows @ down.T)
    ### END SOLUTION


# %%
check(lora_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Give the middle of the detour a name, $h = x A^\top$. Then $y = x W^\top + h B^\top$, and each of the three products
# is a linear layer. What is used twice receives two gradients.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Reshape `x` and `dout` to two axes, then begin with `dhidden = drows @ up`, the gradient of $h$.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $dh = dY\,B$, then $dX = dY\,W + dh\,A$, $dA = dh^\top X$, $dB = dY^\top h$ with $h = X A^\top$. The sums run over all
# rows, so reshape first, and give `dx` the shape of `x` at the end.
#
# </details>

# %% [markdown]
# ## What the backward pass needs: the cache
#
# The formula $dW = dY^\top X$ needs the input $X$, which only the forward pass has seen. One common solution is a layer
# object that stores its last input. Each method below is right, and after one forward pass and one backward pass so is
# the result.


# %%
class RememberingLinear:
    def __init__(self, weight):
        self.weight = weight

    def forward(self, x):
        self.x = x  # the next forward pass overwrites it
        return x @ self.weight.T

    def backward(self, dout):
        return dout @ self.weight, dout.T @ self.x


# %%
layer = RememberingLinear(weight)
layer.forward(x)
assert np.allclose(layer.backward(dy)[1], dy.T @ x, rtol=0, atol=1e-13)

# %% [markdown]
# ## The same weights run twice
#
# A pairwise loss runs the same weights over the chosen and over the rejected response before any backward pass can
# begin, because its gradients need both rewards. Take a head of one output, $r = w \cdot x$, and let $g = \sigma(-m) /
# B$ be the size of each pair's gradient. By lesson 4 the two rewards get $-g$ and $+g$, so step 2 gives $dw = \sum_n
# (-g_n)\, x^c_n + g_n\, x^r_n$. What will the object above return?

# %%
chosen, rejected = rng.standard_normal((2, 50, 8)) + np.array([0.5, 0.0])[:, None, None]  # B = 50 pairs, 8 features
head = RememberingLinear(rng.standard_normal((1, 8)) / 8)
margin = head.forward(chosen) - head.forward(rejected)  # (50, 1)
pull = sigmoid(-margin) / len(margin)
right = (pull * (rejected - chosen)).sum(0)
by_witness = complex_step(lambda w: np.log1p(np.exp(-(chosen - rejected) @ w[0])).mean(), head.weight)
assert np.allclose(by_witness, right, rtol=0, atol=1e-14)

# %% [markdown]
# The object remembers only the rejected input and uses it for both: $\sum_n (-g_n)\, x^r_n + g_n\, x^r_n = 0$. The
# gradient has the right shape and is exactly zero, and there is no error and no warning.

# %%
wrong = head.backward(-pull)[1] + head.backward(pull)[1]
assert wrong.shape == head.weight.shape
assert np.all(wrong == 0)
assert np.abs(right).max() > 0.1
table([["right", *right[:4]], ["cache on the layer", *wrong[0, :4]]], ["dw", *(f"feature {i}" for i in range(4))])

# %% [markdown]
# A deeper model does not help. If every layer remembers the rejected response, the backward pass is the same for $-g$
# and for $g$, and the two results cancel. Where the two gradients of a loss are not opposite, the result is not zero
# but simply wrong, which is harder to notice.

# %%
below, above = RememberingLinear(rng.standard_normal((4, 8))), RememberingLinear(rng.standard_normal((1, 4)))
for x_side in (chosen, rejected):
    above.forward(below.forward(x_side))
deep = [below.backward(above.backward(g)[0])[1] for g in (-pull, pull)]
assert np.all(deep[0] + deep[1] == 0)
uneven = head.backward(-2 * pull)[1] + head.backward(pull)[1]
should_be = (pull * (rejected - 2 * chosen)).sum(0)
assert np.abs(uneven).max() > 0.01
assert not np.allclose(uneven, should_be, rtol=0.1)

# %% [markdown]
# ## The idiom: (out, cache)
#
# The solution is to keep nothing in the layer. A forward pass returns its output *and* a cache, and the backward pass
# is given the cache of the call that it belongs to. Two forward passes make two caches, and neither can overwrite the
# other.

# %%
_, chosen_cache = layers.linear(chosen, head.weight)
_, rejected_cache = layers.linear(rejected, head.weight)
_, from_chosen = layers.linear_backward(-pull, chosen_cache)
_, from_rejected = layers.linear_backward(pull, rejected_cache)
assert np.allclose(from_chosen["weight"] + from_rejected["weight"], right, rtol=0, atol=1e-14)

# %% [markdown]
# A weight that is used twice gets the sum of two gradients, one from each use: this is the chain rule's sum again. Now
# both versions train for 60 steps on the same pairs. What will the loss of the remembering head look like?


# %%
def trained(weight, remembers, steps=60, rate=0.1):
    weight, curve = weight.copy(), []
    for _ in range(steps):
        margin = (chosen - rejected) @ weight.T
        pull = sigmoid(-margin) / len(margin)
        curve.append(-log_sigmoid(margin).mean())
        weight -= rate * (pull.T @ rejected - pull.T @ (rejected if remembers else chosen))
    return np.array(curve)


# %%
def curves(axes):
    axes.plot(trained(head.weight, False), color=BLUE, lw=2, label="(out, cache)")
    axes.plot(trained(head.weight, True), color=RUST, lw=2, ls="--", label="cache kept on the layer")


alt = "Loss over 60 steps: with (out, cache) it falls; with the cache kept on the layer it is a flat line at its start."
picture(curves, "The same head, the same pairs", "step", "loss (nats per pair)", alt)

# %%
assert np.all(np.diff(trained(head.weight, False)) < 0)
assert np.all(trained(head.weight, True) == trained(head.weight, True)[0])
ends = [
    [name, *trained(head.weight, keeps)[[0, -1]]]
    for name, keeps in (("(out, cache)", False), ("cache on the layer", True))
]
table(ends, ["loss in nats", "first step", "last step"])

# %% [markdown]
# ## Softmax, step 1: the Jacobian
#
# A softmax maps a row of $C$ numbers to $p_i = e^{x_i} / Z$ with $Z = \sum_k e^{x_k}$. Both parts of the fraction
# depend on $x_j$: $\partial e^{x_i} / \partial x_j = \delta_{ij} e^{x_i}$, where $\delta_{ij}$ is 1 if $i = j$ and 0
# otherwise, and $\partial Z / \partial x_j = e^{x_j}$. The quotient rule gives
#
# $$\frac{\partial p_i}{\partial x_j} = \frac{\delta_{ij} e^{x_i} Z - e^{x_i} e^{x_j}}{Z^2}
#   = \delta_{ij}\, p_i - p_i\, p_j = p_i\,(\delta_{ij} - p_j).$$

# %%
x = np.array([2.0, 1.0, 0.0, -1.0])
p, _ = layers.softmax(x)
jacobian = np.array([witness(lambda x: layers.softmax(x)[0], x, one_hot) for one_hot in np.eye(4)])  # row i: ∂p_i/∂x
assert np.allclose(jacobian, [[p[i] * ((i == j) - p[j]) for j in range(4)] for i in range(4)], rtol=0, atol=1e-15)
assert np.allclose(jacobian, np.diag(p) - np.outer(p, p), rtol=0, atol=1e-15)

# %% [markdown]
# In matrix form $J = \operatorname{diag}(p) - p\,p^\top$. Only the diagonal is positive: raising one input raises its
# own probability and lowers all others. Each column adds up to zero because the probabilities always add up to 1, and
# each row does because adding the same number to all inputs changes nothing.

# %%
assert np.array_equal(jacobian > 0, np.eye(4, dtype=bool))
assert np.abs(jacobian.sum(0)).max() < 1e-15
assert np.abs(jacobian.sum(1)).max() < 1e-15
table(
    [[f"p[{i}] = {p[i]:.3f}", *jacobian[i]] for i in range(4)],
    ["∂p[i] / ∂x[j]", *(f"x[{j}] = {x[j]:g}" for j in range(4))],
)

# %% [markdown]
# ## Softmax, step 2: times dp
#
# Put the Jacobian into the sum of the first cell. The $\delta_{ij}$ picks out one term, and in the other the factor
# $p_j$ does not depend on $i$:
#
# $$dx_j = \sum_i dp_i\, p_i\, (\delta_{ij} - p_j) = dp_j\, p_j - p_j \sum_i dp_i\, p_i
#        = p_j \Bigl( dp_j - \sum_i p_i\, dp_i \Bigr).$$
#
# So a row costs a few operations for each entry, and no Jacobian is built. The sum is the average of $dp$ with weights
# $p$. An input's gradient is positive exactly when its $dp_j$ lies above that average.

# %%
dp = rng.standard_normal(4)
average = (p * dp).sum()
assert np.allclose(jacobian.T @ dp, p * (dp - average), rtol=0, atol=1e-15)
assert np.array_equal(p * (dp - average) > 0, dp > average)
print(f"average of dp: {average:.3f}")
table([["p", *p], ["dp", *dp], ["dx", *(p * (dp - average))]], ["", *(f"entry {j}" for j in range(4))])

# %% [markdown]
# ## Two laws of it
#
# The entries of $dx$ add up to zero, as the rows of the Jacobian do. A constant $dp$ equals its own average, so it
# gives no gradient at all. This is why lesson 5 does not allow a $dp$ of ones: with it, a backward pass that always
# returns zeros would pass the test.

# %%
x, dp = 3 * rng.standard_normal((2, 6, 5))
p, cache = layers.softmax(x)
dx = layers.softmax_backward(dp, cache)
assert np.allclose(dx, witness(lambda x: layers.softmax(x)[0], x, dp), rtol=0, atol=1e-13)
assert np.abs(dx.sum(-1)).max() < 1e-14
assert np.abs(layers.softmax_backward(np.ones_like(p), p)).max() < 1e-15

# %% [markdown]
# ### Exercise 6.2 ★★☆ · 20 minutes · log-softmax backward
#
# The loss of a language model needs $\log p$ rather than $p$ (lesson 7): $y_i = x_i - \log \sum_k e^{x_k}$. Derive $dx$
# from this formula, in the two steps above: the Jacobian first, then its product with $dy$. Code it for any number of
# leading axes; entries up to ±800 occur, so no exponential may overflow.


# %%
def log_softmax_backward(dout, x):
    """dx of y = x - log Σ eˣ over the last axis        (..., C), (..., C) -> (..., C)"""
    ### BEGIN SOLUTION
    return dout - layers.softmax(x)[0] * dout.sum(-1, keepdims=True)
    ### END SOLUTION


# %%
check(log_softmax_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# The first term of $y_i$ has the derivative $\delta_{ij}$. Which familiar quantity is the derivative of $\log \sum_k
# e^{x_k}$ with respect to $x_j$?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# $\partial y_i / \partial x_j = \delta_{ij} - p_j$. Multiply by $dy_i$ and sum over $i$; `layers.softmax(x)[0]` is a
# $p$ that does not overflow.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $dx_j = dy_j - p_j \sum_i dy_i$. Each row has its own sum, so it must keep its axis: `dout.sum(-1, keepdims=True)`.
#
# </details>

# %% [markdown]
# ## Layer norm: what it does
#
# A layer norm transforms each row to mean 0 and variance 1, then scales and shifts every channel (Ba et al. 2016,
# [arXiv:1607.06450](https://arxiv.org/abs/1607.06450)). With the mean $\mu$, the variance $\sigma^2$ and a small
# $\varepsilon$ that keeps a constant row finite,
#
# $$\mu = \frac{1}{C} \sum_k x_k, \quad \sigma^2 = \frac{1}{C} \sum_k (x_k - \mu)^2, \quad
#   s = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}, \quad \hat x_i = s\,(x_i - \mu), \quad y_i = w_i\, \hat x_i + b_i.$$

# %%
C, eps = 6, 1e-5
x, weight, bias, dy = (rng.standard_normal(shape) for shape in ((5, C), C, C, (5, C)))
mean = lambda a: a.mean(-1, keepdims=True)
inverse_std = lambda x: 1 / np.sqrt(mean((x - mean(x)) ** 2) + eps)  # s, (5, 1)
xhat = inverse_std(x) * (x - mean(x))
assert np.allclose(layers.layer_norm(x, weight, bias)[0], weight * xhat + bias, rtol=0, atol=1e-14)
assert np.abs(mean(xhat)).max() < 1e-15
assert np.allclose(mean(xhat**2), 1 - eps * inverse_std(x) ** 2, rtol=0, atol=1e-14)  # 1 except for ε
channels = [f"channel {i}" for i in range(C)]
table([["x", *x[0], x[0].std()], ["x̂", *xhat[0], xhat[0].std()]], ["row 0", *channels, "std"], 2)

# %% [markdown]
# ## Layer norm, step 1: weight, bias and x̂
#
# The last formula holds for every row $n$, so the gradients of weight and bias are sums over all rows, as in a linear
# layer. The gradient of $\hat x_i$ comes from its own channel only:
#
# $$dw_i = \sum_n dy_{ni}\, \hat x_{ni}, \qquad db_i = \sum_n dy_{ni}, \qquad d\hat x_{ni} = w_i\, dy_{ni}.$$

# %%
normed = lambda x, weight, bias: layers.layer_norm(x, weight, bias)[0]
assert np.allclose(witness(lambda w: normed(x, w, bias), weight, dy), (dy * xhat).sum(0), rtol=0, atol=1e-14)
assert np.allclose(witness(lambda b: normed(x, weight, b), bias, dy), dy.sum(0), rtol=0, atol=1e-14)
dxhat = weight * dy
assert np.allclose(witness(lambda xhat: weight * xhat + bias, xhat, dy), dxhat, rtol=0, atol=1e-14)

# %% [markdown]
# ## Layer norm, step 2: the mean and the variance
#
# From here on one row is enough. The mean has the derivative $\partial \mu / \partial x_j = \frac{1}{C}$, so the
# centred entry has $\partial (x_k - \mu) / \partial x_j = \delta_{kj} - \frac{1}{C}$. For the variance we need the
# chain rule, and the fact that the centred entries add up to zero, which removes the second term:
#
# $$\frac{\partial \sigma^2}{\partial x_j} = \frac{1}{C} \sum_k 2\,(x_k - \mu) \Bigl( \delta_{kj} - \frac{1}{C} \Bigr)
#   = \frac{2}{C}\,(x_j - \mu) - \frac{2}{C^2} \sum_k (x_k - \mu) = \frac{2}{C}\,(x_j - \mu).$$

# %%
row = x[0]
assert np.allclose(complex_step(lambda x: x.mean(), row), 1 / C, rtol=0, atol=1e-15)
variance_slope = complex_step(lambda x: ((x - x.mean()) ** 2).mean(), row)
assert np.allclose(variance_slope, 2 / C * (row - row.mean()), rtol=0, atol=1e-15)
table([["by complex step", *variance_slope], ["2 (x − μ) / C", *(2 / C * (row - row.mean()))]], ["∂σ² / ∂x", *channels])

# %% [markdown]
# ## Layer norm, step 3: the factor s
#
# Write $s = (\sigma^2 + \varepsilon)^{-1/2}$. The outer derivative is $-\frac12 (\sigma^2 + \varepsilon)^{-3/2} =
# -\frac12 s^3$, the inner one is that of step 2, and $s\,(x_j - \mu)$ is $\hat x_j$:
#
# $$\frac{\partial s}{\partial x_j} = -\frac12\, s^3 \cdot \frac{2}{C}\,(x_j - \mu)
#   = -\frac{s^3}{C}\,(x_j - \mu) = -\frac{s^2}{C}\, \hat x_j.$$

# %%
s, row_hat = inverse_std(row), xhat[0]
factor_slope = complex_step(lambda x: inverse_std(x)[0], row)
assert np.allclose(factor_slope, -(s**3) / C * (row - row.mean()), rtol=0, atol=1e-14)
assert np.allclose(factor_slope, -(s**2) / C * row_hat, rtol=0, atol=1e-14)

# %% [markdown]
# ## Layer norm, step 4: the Jacobian of x̂
#
# Now $\hat x_i = s \cdot (x_i - \mu)$ is a product of two factors that both depend on $x_j$. Step 2 gives the
# derivative of the second factor and step 3 that of the first; then substitute $(x_i - \mu) = \hat x_i / s$:
#
# $$\frac{\partial \hat x_i}{\partial x_j} = s \Bigl( \delta_{ij} - \frac{1}{C} \Bigr) - (x_i - \mu)\, \frac{s^2}{C}\,
#   \hat x_j = s \Bigl( \delta_{ij} - \frac{1}{C} - \frac{\hat x_i\, \hat x_j}{C} \Bigr).$$

# %%
normalise = lambda x: inverse_std(x) * (x - mean(x))
jacobian = np.array([witness(normalise, row, one_hot) for one_hot in np.eye(C)])  # row i: ∂x̂_i/∂x
assert np.allclose(jacobian, s * (np.eye(C) - 1 / C - np.outer(row_hat, row_hat) / C), rtol=0, atol=1e-14)

# %% [markdown]
# ## Layer norm, step 5: times dx̂
#
# Sum over $i$. The $\delta_{ij}$ picks out $d\hat x_j$, and the two other terms become means over the channels:
#
# $$dx_j = \sum_i d\hat x_i\, s \Bigl( \delta_{ij} - \frac{1}{C} - \frac{\hat x_i\, \hat x_j}{C} \Bigr)
#   = s \Bigl( d\hat x_j - \operatorname{mean}(d\hat x) - \hat x_j \operatorname{mean}(d\hat x\, \hat x) \Bigr).$$
#
# If $\mu$ and $\sigma$ were constants, only the first term would remain. The second term is there because $\mu$ depends
# on $x$, the third because $\sigma$ does.

# %%
dx = inverse_std(x) * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat))
assert np.allclose(witness(lambda x: normed(x, weight, bias), x, dy), dx, rtol=0, atol=1e-13)
assert np.allclose(layers.layer_norm_backward(dy, layers.layer_norm(x, weight, bias)[1])[0], dx, rtol=0, atol=1e-13)
terms = {"first term": dxhat, "and the second": dxhat - mean(dxhat), "all three": dx / inverse_std(x)}
for half_right in list(terms.values())[:2]:
    assert not np.allclose(inverse_std(x) * half_right, dx, rtol=0, atol=0.01)
table([[name, *(inverse_std(x) * part)[0]] for name, part in terms.items()], ["dx of row 0", *channels])

# %% [markdown]
# ## What the two means take away
#
# Adding a constant to a row does not change the output, and apart from $\varepsilon$ neither does multiplying the
# centred row by a number. In a direction in which the output does not change, the gradient has no component. So the
# entries of $dx$ add up to zero, and the product of $dx$ with $x - \mu$ is only the share $\varepsilon / (\sigma^2 +
# \varepsilon)$ of $\sum d\hat x\, \hat x$.

# %%
assert np.abs(dx.sum(-1)).max() < 1e-13
along = (dx * (x - mean(x))).sum(-1)
left_by_eps = (dxhat * xhat).sum(-1) * eps * inverse_std(x)[:, 0] ** 2
assert np.allclose(along, left_by_eps, rtol=0, atol=1e-13)
assert np.all(np.abs(left_by_eps) < 1e-3)

# %% [markdown]
# A picture with three channels: all rows of mean 0 lie in a plane, and layer norm moves each of them along its ray from
# the origin onto a circle. Before the two means are subtracted, the gradient is an arrow of any direction. What remains
# is at a right angle to the ray, because moving along the ray does not change the output.


# %%
plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions in which the mean stays 0
three, dthree = np.array([2.2, -0.4, -1.8]), np.array([1.6, -0.9, 0.4])  # a row x of mean 0, and its dx̂
free = dthree / np.sqrt((three**2).mean())  # s dx̂: μ and σ taken for constants
kept, _ = layers.layer_norm_backward(dthree, layers.layer_norm(three, np.ones(3), np.zeros(3))[1])
assert np.isclose(np.linalg.norm(layers.layer_norm(three, np.ones(3), np.zeros(3))[0]), np.sqrt(3), rtol=1e-5)
assert abs((plane @ kept) @ (plane @ three)) < 1e-4 < abs((plane @ free) @ (plane @ three))


# %%
def arrow(axes, start, end, name, **style):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 2, "mutation_scale": 14} | style)
    axes.text(*(end + np.array([0.12, 0.1])), name, color=style["color"], weight="bold")


def circle(axes):
    turn, place = np.linspace(0, 2 * np.pi, 200), plane @ three
    axes.plot(np.sqrt(3) * np.cos(turn), np.sqrt(3) * np.sin(turn), color=INK, lw=1, ls=":")
    axes.text(0, -2.1, "the circle of all x̂", ha="center")
    arrow(axes, np.zeros(2), place, "x", color=INK)
    arrow(axes, place, place + 2 * plane @ free, "2 s dx̂", color=RUST, ls="--")
    arrow(axes, place, place + 2 * plane @ kept, "2 dx", color=BLUE)


# %%
def framed(axes):
    circle(axes)
    axes.set(aspect="equal", xlim=(-2.2, 4.9), ylim=(-2.4, 3.2))


angle = lambda a, b: np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
angles = {name: angle(plane @ arrow_, plane @ three) for name, arrow_ in (("s dx̂", free), ("dx", kept))}
assert abs(angles["dx"] - 90) < 0.01 < abs(angles["s dx̂"] - 90)
table([[name, value] for name, value in angles.items()], ["arrow", "angle to x (degrees)"], 1)

# %%
alt = (
    "The plane of rows with mean 0: arrow x from the origin; at its tip dx, at a right angle to x, and s dx̂, which is "
)
alt += "not. A dotted circle around the origin shows where x̂ lies."
picture(
    framed, "dx is at a right angle to x", "(x[0] − x[1]) / √2", "(x[0] + x[1] − 2 x[2]) / √6", alt, size=(5.2, 4.6)
)

# %% [markdown]
# ### Exercise 6.3 ★★★ · 30 minutes · RMS norm backward
#
# Many recent models leave the mean alone and only divide by the root mean square: $y = w\, \hat x$ with $\hat x = x /
# \sqrt{\operatorname{mean}(x^2) + \varepsilon}$ (Zhang & Sennrich 2019,
# [arXiv:1910.07467](https://arxiv.org/abs/1910.07467)). Derive $dx$ and $dw$ along the five steps, and say before you
# compute which of the two means disappears. The check also tries rows near zero, where $\varepsilon$ decides.


# %%
def rms_norm_backward(dout, x, weight, eps=1e-5):
    """(dx, dweight) of y = w x̂,  x̂ = x / √(mean x² + ε)        (..., C), (..., C), (C,) -> (..., C), (C,)"""
    ### BEGIN SOLUTION
    s = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    xhat, dxhat = s * x, dout * weight
    dx = s * (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True))
    return dx, (dout * xhat).reshape(-1, len(weight)).sum(0)
    ### END SOLUTION


# %%
check(rms_norm_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Go through the steps with $x_i$ in the place of $x_i - \mu$. What was subtracted because $\mu$ depends on $x$?
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# `s = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + eps)`, and $\partial s / \partial x_j = -\frac{s^2}{C}\, \hat x_j$,
# as in step 3.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# $dx = s\,(d\hat x - \hat x \operatorname{mean}(d\hat x\, \hat x))$ with $d\hat x = w\, dy$, and $dw = \sum dy\, \hat
# x$ over all rows. The mean runs over the channels of one row.
#
# </details>

# %% [markdown]
# ## Embedding: a lookup is a product
#
# An embedding replaces each token by a row of a weight $W$: $y_n = W_{t_n}$ for the token $t_n$ at place $n$. Write a
# matrix $E$ with $E_{nv} = 1$ where $t_n = v$ and 0 elsewhere. Then $y_{nc} = \sum_v E_{nv} W_{vc}$, which is a linear
# layer without bias.

# %%
tokens, rows = np.array([3, 1, 3, 0, 3]), rng.standard_normal((5, 2))  # token 3 three times, tokens 2 and 4 never
one_hot = (tokens[:, None] == np.arange(5)).astype(float)  # E, (5 places, 5 tokens)
print(one_hot.astype(int))
assert np.array_equal(one_hot @ rows, rows[tokens])
assert np.array_equal(layers.embedding(tokens, rows)[0], rows[tokens])

# %% [markdown]
# ## A trap: += with repeated indices
#
# It is tempting to write the backward pass as `drows[tokens] += dy`. NumPy reads the old rows, adds, and writes the
# result back, *once* for each index: of several additions to the same row only the last one remains. There is no
# warning, and a test in which no token repeats passes.

# %%
dy, tempting = rng.standard_normal((5, 2)), np.zeros_like(rows)
tempting[tokens] += dy
drows = witness(lambda rows: rows[tokens], rows, dy)
assert np.array_equal(tempting[3], dy[4])  # the last place only
assert np.allclose(tempting[[0, 1]], drows[[0, 1]], rtol=0, atol=1e-15)  # tokens that stand once are right
assert not np.allclose(tempting[3], drows[3])
counts = np.bincount(tokens, minlength=5)
table(
    [[v, counts[v], *tempting[v], *drows[v]] for v in range(5)],
    ["token", "stands", "+= c0", "+= c1", "right c0", "right c1"],
)

# %% [markdown]
# ### Exercise 6.4 ★★☆ · 15 minutes · embedding backward
#
# Derive $dW_{vc}$ from $y_{nc} = \sum_v E_{nv} W_{vc}$, as in step 2 of the linear layer, and say in words what it is.
# Code it for tokens of any shape, such as batch and time. You get the number of rows of the weight but not the weight:
# the gradient of a lookup does not depend on the values that are looked up.


# %%
def embedding_backward(dout, tokens, vocab_size):
    """dweight: row v is the gradient of row v of the weight        (..., C), (...) ints, V -> (V, C)"""
    ### BEGIN SOLUTION
    dweight = np.zeros((vocab_size, dout.shape[-1]), dout.dtype)
    np.add.at(dweight, tokens, dout)
    return dweight
    ### END SOLUTION


# %%
check(embedding_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# Which places use row $v$? Compare the right columns of the table above with the entries of $dy$.
#
# </details>
#
# <details><summary>Hint 2: the first line</summary>
#
# Begin with zeros of shape `(vocab_size, dout.shape[-1])`. Every place adds its row of `dout` to the row of its token.
#
# </details>
#
# <details><summary>Hint 3: the whole</summary>
#
# `np.add.at(dweight, tokens, dout)` adds every row, repeated indices included. Or reshape the tokens to one axis, build
# $E$, and return `E.T @ dout.reshape(-1, C)`.
#
# </details>

# %% [markdown]
# ## Repeated tokens add up
#
# By the same steps as for the linear layer, $dW = E^\top dY$, or with indices
#
# $$dW_{vc} = \sum_n E_{nv}\, dy_{nc} = \sum_{n:\, t_n = v} dy_{nc}.$$
#
# Row $v$ is the sum over all places at which token $v$ stands: three places for token 3 here, none for the tokens 2 and
# 4, whose rows get no gradient. Tokens are whole numbers and have no gradient themselves.

# %%
assert np.allclose(drows, one_hot.T @ dy, rtol=0, atol=1e-15)
assert np.allclose(drows[3], dy[0] + dy[2] + dy[4], rtol=0, atol=1e-15)
assert np.all(drows[[2, 4]] == 0)

# %% [markdown]
# ## What you can now assert
#
# Each backward pass is one line that you have derived: $dY\,W$ and $dY^\top X$; $p\,(dp - \sum p\, dp)$; the layer norm
# with its two means; a sum over the places of a token. Each is given the cache of its own forward call, so the same
# weights may run twice. The last cell checks all of them against the complex step, with random weights and random $dy$.

# %%
x, tokens = rng.standard_normal((2, 5, 3)), rng.integers(0, 7, (2, 5))
normal = lambda *shape: rng.standard_normal(shape)
check_backward(layers.linear, layers.linear_backward, x, {"weight": normal(4, 3), "bias": normal(4)}, rng=rng)
check_backward(layers.softmax, layers.softmax_backward, x, rng=rng)
check_backward(layers.layer_norm, layers.layer_norm_backward, x, {"weight": normal(3), "bias": normal(3)}, rng=rng)
check_backward(layers.embedding, layers.embedding_backward, tokens, {"weight": normal(7, 3)}, rng=rng)
assert np.all(wrong == 0)  # the cache kept on the layer
assert np.abs(right).max() > 0.1  # and the gradient that it lost

# %% [markdown]
# ## Three questions
#
# <details><summary>Two rows of a batch are equal. What does this mean for the gradient of a linear layer's
# weight?</summary>
#
# Nothing special: each row adds $dy^\top x$ of its own. The two products differ if the rows' $dy$ differ.
#
# </details>
# <details><summary>Softmax and layer norm both subtract something from the incoming gradient. Why?</summary>
#
# Both outputs stay the same when a constant is added to the input, so the gradient along that direction must be zero.
# Layer norm also ignores the scale of the centred row, and subtracts a second term for it.
#
# </details>
# <details><summary>Your model's loss stays exactly constant, although all gradients have the right shapes. What do you
# look for first?</summary>
#
# A cache that the second forward pass has overwritten: the gradients of chosen and rejected then cancel.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [numpy_ref/layers.py](../numpy_ref/layers.py): every layer of this lesson, each followed by its backward pass.
# - [numpy_ref/gradient_check.py](../numpy_ref/gradient_check.py): the complex step that served as witness.
# - Lesson 6b puts the layers together: attention, a block, the whole model.
