# %% [markdown]
# # 6a · Backward through the layers
#
# After this lesson you can
#
# - derive the backward pass of a linear layer, a softmax, a layer norm and an embedding, with indices and as matrices;
# - code each of them for any number of leading axes, without ever building a Jacobian;
# - say why a layer must hand its cache out instead of keeping it, and show what goes wrong otherwise.
#
# You need lessons 3 to 5, the chain rule, and the product of two matrices. Reading takes about 50 minutes, the four
# exercises 65.

# %%
import numpy as np

from numpy_ref import layers
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.gradient_check import check_backward, complex_step
from numpy_ref.losses import log_sigmoid, sigmoid

rng = np.random.default_rng(6)

# %% [markdown]
# ## What a backward pass is asked
#
# A reward is made by many layers, one after the other, and each layer gets the same question: here is $dy = \partial L
# / \partial y$, the slope of the loss over your output; what is $dx = \partial L / \partial x$, the slope over your
# input? Every number of $x$ has a slope of its own, so $dx$ has the shape of $x$. The loss depends on $x_i$ through
# every $y_j$, and by the chain rule all these ways add up:
#
# $$dx_i = \sum_j dy_j \, \frac{\partial y_j}{\partial x_i}.$$

# %%
jacobian = rng.standard_normal((3, 4))  # of y = J x: row j, column i is ∂y_j/∂x_i
x, dy = rng.standard_normal(4), rng.standard_normal(3)
dx = complex_step(lambda x: dy @ (jacobian @ x), x)
assert np.allclose(dx, [sum(dy[j] * jacobian[j, i] for j in range(3)) for i in range(4)], rtol=0, atol=1e-14)
assert np.allclose(dx, jacobian.T @ dy, rtol=0, atol=1e-14)

# %% [markdown]
# ## The Jacobian is never built
#
# The table of all $\partial y_j / \partial x_i$ is the layer's Jacobian, and $dx = J^\top dy$. For one linear layer of
# a small model, 1024 rows of 32 numbers in and out, it would have $(1024 \cdot 32)^2$ entries, 8 gigabytes in float64.
# Almost all of them are zero or repeated, so each derivation of this lesson simplifies the sum first and codes what is
# left. As witness we take the complex step of lesson 5, through $\sum dy \cdot f(x)$ with a random $dy$.


# %%
def witness(f, x, dy):
    """dx of Σ dy · f(x), by the complex step: it knows none of the formulas below"""
    return complex_step(lambda x: (dy * f(x)).sum(), x)


assert 8 * (1024 * 32) ** 2 == 8 * 2**30
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
long_x, long_dy = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))  # batch, time, channels
dx, grads = layers.linear_backward(long_dy, layers.linear(long_x, weight, bias)[1])
assert np.allclose(dx, long_dy @ weight, rtol=0, atol=1e-13)
assert np.allclose(grads["weight"], np.einsum("bto,bti->oi", long_dy, long_x), rtol=0, atol=1e-13)
assert np.allclose(grads["bias"], long_dy.sum((0, 1)), rtol=0, atol=1e-13)

# %% [markdown]
# ## A bug to find
#
# Shapes are a good guide: with 5 rows, 3 inputs and 4 outputs, $dY\,W$ and $dY^\top X$ are the only products that fit.
# But a fitting shape proves nothing. The gradient of the weight below has the right shape, is right for a single row,
# and is wrong for five.


# %%
def linear_backward_with_a_bug(dout, x, weight, bias):
    rows, drows = x.reshape(-1, weight.shape[1]), dout.reshape(-1, len(bias))
    dweight = drows.reshape(len(bias), -1) @ rows
    return dout @ weight, dweight, drows.sum(0)


got = linear_backward_with_a_bug(dy, x, weight, bias)[1]
assert got.shape == weight.shape
assert np.allclose(linear_backward_with_a_bug(dy[:1], x[:1], weight, bias)[1], dy[:1].T @ x[:1], rtol=0, atol=1e-13)
assert not np.allclose(got, dy.T @ x)

# %% [markdown]
# ### Exercise 6.1 ★☆☆ · 10 minutes · find the bug
#
# What does the line do to the entries of `drows` that it should not? Write the whole function as it should be. For
# which other sizes do both versions agree, so that a test on these alone would not have noticed?


# %%
def linear_backward(dout, x, weight, bias):
    """(dx, dweight, dbias) of y = x Wᵀ + b        (..., O), (..., I), (O, I), (O,) -> (..., I), (O, I), (O,)"""
    ### BEGIN SOLUTION
    rows, drows = x.reshape(-1, weight.shape[1]), dout.reshape(-1, len(bias))
    return dout @ weight, drows.T @ rows, drows.sum(0)
    ### END SOLUTION


# %%
check(linear_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Print `np.arange(6).reshape(3, 2)`, then its `.T`, then its `.reshape(2, 3)`. Both of the last two have two rows and
# three columns; only one of them exchanges rows and columns. With a single output there is nothing to exchange either.
#
# </details>

# %% [markdown]
# ## What the backward pass needs: the cache
#
# The formula $dW = dY^\top X$ needs the input $X$, which the forward pass has seen and the backward pass has not. One
# habit is a layer object that remembers its last input on itself. Each method below is right, and for one forward
# pass followed by one backward pass so is the result.


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
# begin: its two gradients need both rewards. Take a head of one output, $r = w \cdot x$, and let $g = \sigma(-m) / B$
# be the pull of each pair. By lesson 4 the two rewards get $-g$ and $+g$, so step 2 gives $dw = \sum_n (-g_n)\, x^c_n +
# g_n\, x^r_n$.

# %%
chosen, rejected = rng.standard_normal((2, 50, 8)) + np.array([0.5, 0.0])[:, None, None]  # B = 50 pairs, 8 features
head = RememberingLinear(rng.standard_normal((1, 8)) / 8)
margin = head.forward(chosen) - head.forward(rejected)  # (50, 1)
pull = sigmoid(-margin) / len(margin)
right = (pull * (rejected - chosen)).sum(0)
by_witness = complex_step(lambda w: np.log1p(np.exp(-(chosen - rejected) @ w[0])).mean(), head.weight)
assert np.allclose(by_witness, right, rtol=0, atol=1e-14)

# %% [markdown]
# But the object remembers the rejected input only, and uses it for both: $\sum_n (-g_n)\, x^r_n + g_n\, x^r_n = 0$. The
# gradient is exactly zero, of the right shape, without an error or a warning.

# %%
wrong = head.backward(-pull)[1] + head.backward(pull)[1]
assert wrong.shape == head.weight.shape
assert np.all(wrong == 0)
assert np.abs(right).max() > 0.1

# %% [markdown]
# A deeper model does not help: with every layer at the rejected response, the way back is the same for $-g$ and for
# $g$, and what comes out is opposite. Where the two gradients of a loss are not opposite, the result is not zero but
# simply wrong, which is harder to see. An example is a loss that also pulls the rewards towards zero.

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
# The cure is to keep nothing. A forward pass returns its output *and* a cache, and the backward pass is given the cache
# of the call that it belongs to. Two forward passes make two caches, and neither can overwrite the other.

# %%
_, chosen_cache = layers.linear(chosen, head.weight)
_, rejected_cache = layers.linear(rejected, head.weight)
_, from_chosen = layers.linear_backward(-pull, chosen_cache)
_, from_rejected = layers.linear_backward(pull, rejected_cache)
assert np.allclose(from_chosen["weight"] + from_rejected["weight"], right, rtol=0, atol=1e-14)

# %% [markdown]
# A weight that is used twice gets the sum of two gradients, one from each use; this is the chain rule's sum again. Let
# both versions train for 60 steps on the same pairs. The loss of the remembering head does not move by a single bit.


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

# %% [markdown]
# ## Softmax, step 1: the Jacobian
#
# A softmax takes a row of $C$ numbers to $p_i = e^{x_i} / Z$ with $Z = \sum_k e^{x_k}$. Both parts of the fraction
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
# own probability and lowers every other. Each row and each column adds up to zero, because the probabilities always add
# up to 1, and because adding the same number to all inputs changes nothing.


# %%
def table(axes):
    axes.imshow(jacobian > 0, cmap="Greys", vmax=5)  # grey where positive
    for i, j in np.ndindex(4, 4):
        axes.text(j, i, f"{jacobian[i, j]:+.3f}", ha="center", va="center", weight="bold" if i == j else "normal")
    axes.set(xticks=range(4), yticks=range(4))
    axes.set(
        xticklabels=[f"x[{j}] = {x[j]:g}" for j in range(4)], yticklabels=[f"p[{i}] = {p[i]:.2f}" for i in range(4)]
    )


alt = "Table of the softmax's Jacobian for inputs 2, 1, 0, -1: positive on the diagonal, negative everywhere else."
picture(table, "∂p[i] / ∂x[j]", "input moved", "probability that answers", alt, size=(6.0, 4.8))

# %%
assert np.array_equal(jacobian > 0, np.eye(4, dtype=bool))
assert np.abs(jacobian.sum(0)).max() < 1e-15
assert np.abs(jacobian.sum(1)).max() < 1e-15

# %% [markdown]
# ## Softmax, step 2: times dp
#
# Put the Jacobian into the sum of the first cell. The $\delta_{ij}$ picks out one term, and in the other the factor
# $p_j$ does not depend on $i$:
#
# $$dx_j = \sum_i dp_i\, p_i\, (\delta_{ij} - p_j) = dp_j\, p_j - p_j \sum_i dp_i\, p_i
#        = p_j \Bigl( dp_j - \sum_i p_i\, dp_i \Bigr).$$
#
# So a row costs a few operations for each entry and no Jacobian. The sum is the average of $dp$ under $p$: what counts
# is whether a $dp_j$ is above or below that average.

# %%
dp = rng.standard_normal(4)
average = (p * dp).sum()
assert np.allclose(jacobian.T @ dp, p * (dp - average), rtol=0, atol=1e-15)
assert np.array_equal(p * (dp - average) > 0, dp > average)

# %% [markdown]
# ## Two laws of it
#
# The entries of $dx$ add up to zero, as the rows of the Jacobian do. And a constant $dp$ is its own average, so it
# gives no gradient at all. This is why lesson 5 forbade a $dp$ of ones: a backward pass that always returns zeros would
# pass.

# %%
x, dp = 3 * rng.standard_normal((2, 6, 5))
p, cache = layers.softmax(x)
dx = layers.softmax_backward(dp, cache)
assert np.allclose(dx, witness(lambda x: layers.softmax(x)[0], x, dp), rtol=0, atol=1e-13)
assert np.abs(dx.sum(-1)).max() < 1e-14
assert np.abs(layers.softmax_backward(np.ones_like(p), p)).max() < 1e-15

# %% [markdown]
# ### Exercise 6.2 ★★☆ · 15 minutes · softmax backward
#
# Derive $dx_j$ again on paper, from the quotient rule on. Then code it for any number of leading axes: each row along
# the last axis is a softmax of its own. Multiply no matrices.


# %%
def softmax_backward(dout, p):
    """dx of p = softmax(x) over the last axis        (..., C), (..., C) -> (..., C)"""
    ### BEGIN SOLUTION
    return p * (dout - (dout * p).sum(-1, keepdims=True))
    ### END SOLUTION


# %%
check(softmax_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Each row needs its own average, so the sum must keep its axis to be subtracted from every entry of the row:
# `keepdims=True`. If one row passes and several do not, look at which axis you sum over.
#
# </details>

# %% [markdown]
# ## Layer norm: what it does
#
# A layer norm takes each row to mean 0 and variance 1, then stretches and shifts every channel (Ba et al. 2016,
# arXiv:1607.06450). With the mean $\mu$, the variance $\sigma^2$ and a small $\varepsilon$ that keeps a constant row
# finite,
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
assert np.allclose(mean(xhat**2), 1 - eps * inverse_std(x) ** 2, rtol=0, atol=1e-14)  # 1 but for ε

# %% [markdown]
# ## Layer norm, step 1: weight, bias and x̂
#
# The last formula holds for every row $n$, so weight and bias collect from all rows, as in a linear layer. And
# $\hat x_i$ gets what comes back through its own channel only:
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
# From here on one row is enough. The mean moves by $\partial \mu / \partial x_j = \frac{1}{C}$, so the centred entry
# moves by $\partial (x_k - \mu) / \partial x_j = \delta_{kj} - \frac{1}{C}$. For the variance we need the chain rule,
# and the fact that the centred entries add up to zero, which removes the second term:
#
# $$\frac{\partial \sigma^2}{\partial x_j} = \frac{1}{C} \sum_k 2\,(x_k - \mu) \Bigl( \delta_{kj} - \frac{1}{C} \Bigr)
#   = \frac{2}{C}\,(x_j - \mu) - \frac{2}{C^2} \sum_k (x_k - \mu) = \frac{2}{C}\,(x_j - \mu).$$

# %%
row = x[0]
assert np.allclose(complex_step(lambda x: x.mean(), row), 1 / C, rtol=0, atol=1e-15)
variance_slope = complex_step(lambda x: ((x - x.mean()) ** 2).mean(), row)
assert np.allclose(variance_slope, 2 / C * (row - row.mean()), rtol=0, atol=1e-15)

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
# Now $\hat x_i = s \cdot (x_i - \mu)$ is a product of two things that both depend on $x_j$. The product rule takes the
# second from step 2 and the first from step 3, and $(x_i - \mu) = \hat x_i / s$ tidies up:
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
# The first term alone is what one gets by taking $\mu$ and $\sigma$ for constants. The second says that $\mu$ moves
# with $x$, the third that $\sigma$ does.

# %%
dx = inverse_std(x) * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat))
assert np.allclose(witness(lambda x: normed(x, weight, bias), x, dy), dx, rtol=0, atol=1e-13)
assert np.allclose(layers.layer_norm_backward(dy, layers.layer_norm(x, weight, bias)[1])[0], dx, rtol=0, atol=1e-13)
for half_right in (dxhat, dxhat - mean(dxhat), dxhat - xhat * mean(dxhat * xhat)):
    assert not np.allclose(inverse_std(x) * half_right, dx, rtol=0, atol=0.01)

# %% [markdown]
# ## What the two means take away
#
# Adding a constant to a row changes nothing that comes out, and neither does multiplying the centred row by a number,
# but for $\varepsilon$. A gradient has no part along a direction in which nothing changes. So $dx$ adds up to zero, and
# its product with $x - \mu$ is the tiny share $\varepsilon / (\sigma^2 + \varepsilon)$ of $\sum d\hat x\, \hat x$.

# %%
assert np.abs(dx.sum(-1)).max() < 1e-13
along = (dx * (x - mean(x))).sum(-1)
left_by_eps = (dxhat * xhat).sum(-1) * eps * inverse_std(x)[:, 0] ** 2
assert np.allclose(along, left_by_eps, rtol=0, atol=1e-13)
assert np.all(np.abs(left_by_eps) < 1e-3)

# %% [markdown]
# A picture with three channels: all rows of the same mean lie in a plane, and layer norm moves each of them straight
# out or in to a circle. The gradient before the means is any arrow. What is left of it runs along the circle's
# direction, since moving outwards or off the plane would change nothing.


# %%
plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions in which the mean stays 0
three, dthree = np.array([2.2, -0.4, -1.8]), np.array([0.9, 1.2, 0.1])  # a row x of mean 0, and its dx̂
free = dthree / np.sqrt((three**2).mean())  # s dx̂: μ and σ taken for constants
kept, _ = layers.layer_norm_backward(dthree, layers.layer_norm(three, np.ones(3), np.zeros(3))[1])
assert np.isclose(np.linalg.norm(layers.layer_norm(three, np.ones(3), np.zeros(3))[0]), np.sqrt(3), rtol=1e-5)
assert abs((plane @ kept) @ (plane @ three)) < 1e-4 < abs((plane @ free) @ (plane @ three))


# %%
def circle(axes):
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.sqrt(3) * np.cos(turn), np.sqrt(3) * np.sin(turn), color=INK, lw=1, ls=":", label="where x̂ lies")
    axes.plot(*np.stack([[0, 0], plane @ three]).T, color=INK, lw=1, marker="o", label="x, from the origin")
    for gradient, line, name in ((free, "--", "s dx̂ (twice its length)"), (kept, "-", "dx (twice its length)")):
        ends = np.stack([plane @ three, plane @ (three + 2 * gradient)])
        axes.plot(*ends.T, color=RUST if line == "--" else BLUE, ls=line, lw=2.5, label=name)
    axes.set(aspect="equal", xlim=(-2.2, 4.8), ylim=(-2.2, 3.8))


alt = "The plane of rows with mean 0: a line from the origin to x; dx is at a right angle to it, s dx̂ is not."
picture(circle, "dx has no part along x", "(x[0] − x[1]) / √2", "(x[0] + x[1] − 2 x[2]) / √6", alt, size=(6.8, 5.6))

# %% [markdown]
# ### Exercise 6.3 ★★★ · 30 minutes · layer norm backward
#
# Derive the five steps on paper without looking, then code all three gradients for any number of leading axes. You get
# $x$ and not $\hat x$, so compute that first. The check also tries rows that hardly vary, where $\varepsilon$ decides.


# %%
def layer_norm_backward(dout, x, weight, bias, eps=1e-5):
    """(dx, dweight, dbias) of y = w x̂ + b        (..., C), (..., C), (C,), (C,) -> (..., C), (C,), (C,)"""
    ### BEGIN SOLUTION
    centred = x - x.mean(-1, keepdims=True)
    s = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    xhat, dxhat = s * centred, dout * weight
    dx = s * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dxhat * xhat).mean(-1, keepdims=True))
    return dx, (dout * xhat).reshape(-1, len(weight)).sum(0), dout.reshape(-1, len(bias)).sum(0)
    ### END SOLUTION


# %%
check(layer_norm_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The means run over the channels of one row, the sums of weight and bias over all rows: do not exchange the axes. The
# weight enters once, in $d\hat x = w\, dy$, before both means are taken. Two laws help without any reference: every row
# of $dx$ adds up to zero, and $\langle dw, w \rangle + \langle db, b \rangle = \langle dy, y \rangle$.
#
# </details>

# %% [markdown]
# ## Embedding: a lookup is a product
#
# An embedding replaces each token by a row of a table: $y_n = W_{t_n}$ for the token $t_n$ at place $n$. Write a matrix
# $E$ with $E_{nv} = 1$ where $t_n = v$ and 0 elsewhere: then $y_{nc} = \sum_v E_{nv} W_{vc}$, which is a linear layer
# without bias.

# %%
tokens, table = np.array([3, 1, 3, 0, 3]), rng.standard_normal((5, 2))  # token 3 three times, tokens 2 and 4 never
one_hot = (tokens[:, None] == np.arange(5)).astype(float)  # E, (5 places, 5 tokens)
assert np.array_equal(one_hot @ table, table[tokens])
assert np.array_equal(layers.embedding(tokens, table)[0], table[tokens])

# %% [markdown]
# ## Embedding backward: repeated tokens add up
#
# By the same steps as for the linear layer, with $W^\top$ in the place of $W$,
#
# $$dW_{vc} = \sum_n E_{nv}\, dy_{nc} = \sum_{n:\, t_n = v} dy_{nc}, \qquad dW = E^\top dY.$$
#
# Row $v$ collects from all places where token $v$ stands: three for token 3 here, none for the tokens 2 and 4, whose
# rows get no gradient. Tokens are whole numbers and have no gradient themselves.

# %%
dy = rng.standard_normal((5, 2))
dtable = witness(lambda table: table[tokens], table, dy)
assert np.allclose(dtable, one_hot.T @ dy, rtol=0, atol=1e-15)
assert np.allclose(dtable[3], dy[0] + dy[2] + dy[4], rtol=0, atol=1e-15)
assert np.all(dtable[[2, 4]] == 0)

# %% [markdown]
# ## The trap: += with repeated indices
#
# It is tempting to write `dtable[tokens] += dy`. NumPy reads the old rows, adds, and writes back, in this order and
# each *once*: of several additions to the same row the last one wins. Nothing warns you, and a test in which no token
# repeats passes.

# %%
tempting = np.zeros_like(table)
tempting[tokens] += dy
assert np.array_equal(tempting[3], dy[4])  # the last place only
assert np.array_equal(tempting[[0, 1]], dtable[[0, 1]])  # tokens that stand once are right
assert not np.allclose(tempting, dtable)

# %% [markdown]
# ### Exercise 6.4 ★★☆ · 10 minutes · embedding backward
#
# Code it for tokens of any shape, such as batch and time. You get the number of rows of the table, not the table: the
# gradient of a lookup does not depend on what is looked up.


# %%
def embedding_backward(dout, tokens, vocab_size):
    """dweight: row v is the sum of dout over the places of token v        (..., C), (...) ints, V -> (V, C)"""
    ### BEGIN SOLUTION
    dweight = np.zeros((vocab_size, dout.shape[-1]), dout.dtype)
    np.add.at(dweight, tokens, dout)
    return dweight
    ### END SOLUTION


# %%
check(embedding_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `np.add.at(array, indices, values)` adds every value, repeated indices included. Or lay the tokens end to end and
# multiply by the one-hot matrix, as in the cell above.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# Each backward pass is one line that you have derived: $dY\,W$ and $dY^\top X$; $p\,(dp - \sum p\, dp)$; the layer norm
# with its two means; a sum over the places of a token. Each is given the cache of its own forward call, so the same
# weights may run twice. The last cell holds all of them against the complex step, at random weights and with random
# cotangents; lesson 6b puts them together.

# %%
x, tokens = rng.standard_normal((2, 5, 3)), rng.integers(0, 7, (2, 5))
normal = lambda *shape: rng.standard_normal(shape)
check_backward(layers.linear, layers.linear_backward, x, {"weight": normal(4, 3), "bias": normal(4)}, rng=rng)
check_backward(layers.softmax, layers.softmax_backward, x, rng=rng)
check_backward(layers.layer_norm, layers.layer_norm_backward, x, {"weight": normal(3), "bias": normal(3)}, rng=rng)
check_backward(layers.embedding, layers.embedding_backward, tokens, {"weight": normal(7, 3)}, rng=rng)
assert np.all(wrong == 0)  # the cache kept on the layer
assert np.abs(right).max() > 0.1  # and the gradient that it lost
