# %% [markdown]
# # 5 · Three witnesses: how to trust a gradient
#
# After this lesson you can
#
# - check a gradient by autograd, by finite differences and by the complex step, and say what each can see;
# - choose the step of a finite difference, and say why the complex step needs no choice;
# - name two tests that pass on wrong gradients, and write laws that need no second implementation.
#
# You need lesson 4 and Taylor's formula. Reading takes about 45 minutes, the three exercises 60.

# %%
import numpy as np
import torch
from torch.nn import functional as F

from numpy_ref import layers, losses
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.gradient_check import check_backward, complex_step

rng = np.random.default_rng(5)

# %% [markdown]
# ## Why witnesses
#
# A gradient derived by hand can be wrong in a way that its author does not see, and a wrong gradient still trains,
# only worse. Asking the same formula twice proves nothing. So we ask witnesses that share no line with the
# derivation, and believe it when all agree.

# %% [markdown]
# ## The first witness: the derivation
#
# Lesson 4 derived $\frac{\partial L}{\partial r_c} = -\sigma(-m) / B$. This is the claim that the others will be
# asked about.

# %%
chosen, rejected = rng.normal(0, 2, (2, 9))
_, cache = losses.pairwise_loss(chosen, rejected)
by_hand, _ = losses.pairwise_loss_backward(1.0, cache)
assert by_hand.shape == chosen.shape
assert np.all(by_hand < 0)

# %% [markdown]
# ## The second witness: autograd
#
# PyTorch records the operations of the forward pass and multiplies their derivatives from the end to the beginning.
# It must be given its own primitive, `logsigmoid`: our formulas typed again in PyTorch would only repeat our
# mistakes. Two right answers agree to a few eps, where eps $= 2^{-52}$ is the distance from 1 to the next float.

# %%
eps = np.finfo(float).eps
tensor = torch.tensor(chosen, requires_grad=True)
(-F.logsigmoid(tensor - torch.tensor(rejected)).mean()).backward()
by_autograd = tensor.grad.numpy()
assert np.abs(by_autograd - by_hand).max() <= 4 * eps * np.abs(by_hand).max()

# %% [markdown]
# ## The third witness: differences
#
# A derivative is a limit of differences, so take a small step $h$. Taylor's formula tells the error; with steps to
# both sides the terms of even order cancel:
#
# $$\frac{f(x + h) - f(x - h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots$$
#
# A step ten times smaller makes this error a hundred times smaller.

# %%
f = lambda m: np.log1p(np.exp(-m))  # the loss, in a spelling without abs: it will matter
at, exact = 0.7, -losses.sigmoid(-0.7)
central = lambda h: (f(at + h) - f(at - h)) / (2 * h)
third = (f(at + 0.02) - 2 * f(at + 0.01) + 2 * f(at - 0.01) - f(at - 0.02)) / (2 * 0.01**3)
assert np.isclose((central(1e-2) - exact) / (central(1e-3) - exact), 100, rtol=0.01)
assert np.isclose(central(1e-2) - exact, 1e-4 / 6 * third, rtol=0.01)

# %% [markdown]
# ## Why not a tiny step?
#
# The two values of $f$ are each rounded to about eps. Their difference keeps this error, and the division by $2h$
# blows it up to about eps $/ h$. Small $h$ is ruined by rounding, large $h$ by Taylor; the best is near
# $\sqrt[3]{\text{eps}} \approx 6 \cdot 10^{-6}$, and leaves ten or eleven digits.

# %%
steps = 10.0 ** np.arange(-16, 0.1, 0.25)
central_error = np.array([abs(central(h) - exact) / abs(exact) for h in steps])
best = steps[central_error.argmin()]
assert 1e-7 < best < 1e-4
assert central_error[steps > 0.05].min() > 1e-6  # Taylor
assert central_error[steps < 1e-13].max() > 1e-6  # rounding
assert np.median(central_error[(steps > 1e-6) & (steps < 1e-4)]) < 1e-9

# %% [markdown]
# ## The complex step
#
# Now step in the imaginary direction. Taylor's formula with $ih$ in the place of $h$ gives
#
# $$f(x + ih) = f(x) + i h f'(x) - \frac{h^2}{2} f''(x) - i \frac{h^3}{6} f'''(x) + \dots$$
#
# $$\frac{\operatorname{Im} f(x + ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \dots$$
#
# Nothing is subtracted, so nothing is lost to rounding, and $h = 10^{-20}$ makes the rest invisible (Squire and Trapp
# 1998).

# %%
complex_error = np.array([abs(f(at + 1j * h).imag / h - exact) / abs(exact) for h in steps])
assert complex_error[steps < 1e-8].max() <= 4 * eps
assert abs(f(at + 1e-20j).imag / 1e-20 - exact) <= 4 * eps
by_complex_step = complex_step(lambda c: f(c - rejected).mean(), chosen)
assert np.abs(by_complex_step - by_hand).max() <= 4 * eps * np.abs(by_hand).max()


# %%
def against_the_step(axes):
    forward_error = [abs((f(at + h) - f(at)) / h - exact) / abs(exact) for h in steps]
    curves = (forward_error, "one-sided difference", RUST, ":"), (central_error, "central difference", BLUE, "--")
    for error, name, colour, line in (*curves, (complex_error, "complex step", INK, "-")):
        axes.loglog(steps, np.maximum(error, 1e-17), color=colour, ls=line, lw=2, label=name)


alt = "Relative error over the step h, both on log scales. Both finite differences form a V: best 1e-8 one-sided, "
alt += "1e-11 central. The complex step falls with the square of h and stays at the last bit from 1e-8 downwards."
picture(against_the_step, "Error of three difference quotients", "step h (log-odds)", "relative error", alt)

# %% [markdown]
# ## What the complex step cannot see
#
# It needs an analytic function: `abs`, `max` and comparisons drop the imaginary part, and the answer is 0 without a
# word. The stable loss of lesson 3 holds an absolute value, so it is checked by its analytic spelling, on margins
# where that is safe. Each witness has a blind spot, which is why there are three.

# %%
with_abs = lambda m: np.log1p(np.exp(-np.abs(m)))
assert np.imag(with_abs(0.7 + 1e-20j)) == 0  # wrong: the slope is not 0
assert abs((with_abs(0.7 + 1e-5) - with_abs(0.7 - 1e-5)) / 2e-5 - exact) < 1e-9  # differences do see it

# %% [markdown]
# ## A function with many outputs
#
# Softmax turns a row $x$ into a row $p$. A backward pass does not return its table of slopes, the Jacobian
# $J_{ij} = \partial p_i / \partial x_j$, but the gradient of one number, $\langle d, p \rangle = \sum_i d_i p_i$, for
# any given $d$. In a network $d$ is the gradient that arrives from above; in a test we choose it, and call it the
# *cotangent*.

# %%
x = rng.normal(0, 1, (2, 5))
d = rng.normal(0, 1, (2, 5))
p, cache = layers.softmax(x)
dx = layers.softmax_backward(d, cache)
witness = complex_step(lambda z: (d * layers.softmax(z)[0]).sum(), x)
assert np.abs(dx - witness).max() <= 8 * eps

# %% [markdown]
# ## A cotangent of ones fools the test
#
# Many tests take `out.sum().backward()`, that is a cotangent of ones. But the sum of a softmax is 1 whatever $x$ is,
# so its gradient is 0, and a backward pass that returns zeros passes. Layer norm with a weight of ones sums to 0 in
# the same way. A random cotangent sees both.

# %%
zeros = np.zeros_like(x)
ones_witness = complex_step(lambda z: layers.softmax(z)[0].sum(), x)
assert np.abs(zeros - ones_witness).max() <= 8 * eps  # the broken backward passes
assert np.abs(zeros - witness).max() > 0.01  # and fails with a random cotangent
normed = complex_step(lambda z: layers.layer_norm(z, np.ones(5), np.zeros(5))[0].sum(), x)
assert np.abs(normed).max() <= 100 * eps

# %% [markdown]
# ## How close is close?
#
# A common test asks for a small *relative* error of each entry. But some gradients are exactly 0 by symmetry, as the
# one above: rounding noise of 1e-17 against noise of 2e-17 is a relative error of one half. Compare with the size of
# the whole gradient instead, in units of eps.

# %%
noise = layers.softmax_backward(np.ones((2, 5)), cache) + ones_witness
assert np.abs(noise).max() <= 8 * eps  # nothing but rounding
bound = lambda a, b, n: np.abs(a - b).max() <= n * eps * max(1.0, np.abs(b).max())
assert bound(dx, witness, 8)
assert not bound(dx * (1 + 1e-12), witness, 8)  # and it is still sharp

# %% [markdown]
# ## All of it in one call
#
# `check_backward` does this for any pair `f`, `f_backward`: a random cotangent, the complex step where the function
# is analytic and differences where it is not, every argument and parameter, and a bound of 100 eps. It is silent when
# all is well, and says what is wrong otherwise.

# %%
weight, bias = rng.normal(0, 1, (2, 5))
params = {"weight": weight, "bias": bias}
check_backward(layers.layer_norm, layers.layer_norm_backward, x, params, rng=rng)
try:
    check_backward(layers.softmax, lambda dout, _: np.zeros_like(dout), x, rng=rng)
except AssertionError as error:
    said = str(error)
assert "zero everywhere" in said

# %% [markdown]
# ## Laws: what must hold without a second opinion
#
# Softmax does not change when a constant is added to $x$, so its gradient must sum to 0 in each row. A linear layer
# $y = x W^T + b$ is linear in $(W, b)$ together: multiply both by $1 + t$ and $\langle d, y \rangle$ grows by the
# factor $1 + t$. The slope in $t$, taken in both ways, is a law:
#
# $$\langle dW, W \rangle + \langle db, b \rangle = \langle d, y \rangle.$$

# %%
assert np.abs(dx.sum(-1)).max() <= 4 * eps
W, b, d_out = rng.normal(0, 1, (3, 5)), rng.normal(0, 1, 3), rng.normal(0, 1, (2, 3))
y, cache = layers.linear(x, W, b)
_, grads = layers.linear_backward(d_out, cache)
assert abs((grads["weight"] * W).sum() + (grads["bias"] * b).sum() - (d_out * y).sum()) <= 100 * eps

# %% [markdown]
# ## Break it on purpose
#
# A test is worth what it notices. Here are four wrong backward passes of softmax: the law sees three of them, the
# cotangent of ones two. A random cotangent, held against a witness, sees all four.

# %%
broken = {
    "no sum": lambda d, p: p * d,
    "sum added": lambda d, p: p * (d + (p * d).sum(-1, keepdims=True)),
    "outer p missing": lambda d, p: d - (p * d).sum(-1, keepdims=True),
    "zeros": lambda d, p: 0 * d * p,
}
seen_by_law = {name for name, f in broken.items() if np.abs(f(d, p).sum(-1)).max() > 1e-6}
seen_by_ones = {name for name, f in broken.items() if np.abs(f(np.ones_like(d), p)).max() > 1e-6}
seen_by_random = {name for name, f in broken.items() if np.abs(f(d, p) - witness).max() > 1e-6}

# %%
assert seen_by_law == {"no sum", "sum added", "outer p missing"}
assert seen_by_ones == {"no sum", "sum added"}
assert seen_by_random == set(broken)

# %% [markdown]
# ### Exercise 5.1 ★★☆ · 20 minutes · the slope of GELU
#
# GPT-2's activation is $y = \frac{x}{2}(1 + t)$ with $t = \tanh\left(k\,(x + a x^3)\right)$, $k = \sqrt{2/\pi}$,
# $a = 0.044715$. Derive $y'$ by the product rule and $\tanh' = 1 - \tanh^2$, and return $d \cdot y'$. Ask the complex
# step before you ask the check.


# %%
def gelu_backward(dout, x):
    """dx = dout · y'(x), y = x/2 (1 + tanh(k (x + a x³)))        (...), (...) -> (...)"""
    ### BEGIN SOLUTION
    k, a = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(k * (x + a * x * x * x))
    return dout * ((1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * a * x * x))
    ### END SOLUTION


# %%
check(gelu_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two terms: the slope of $\frac{x}{2}$ times $(1 + t)$, and $\frac{x}{2}$ times the slope of $t$. The latter is
# $1 - t^2$ times the slope of what stands inside the tanh, $k(1 + 3 a x^2)$.
#
# </details>

# %% [markdown]
# ## A bug for the witnesses
#
# The loss leaves the mean reward of a pair free, so one may add $c\,(r_c + r_r)^2$ to pull it to 0 (Eisenstein et al.
# 2023, arXiv:2312.09244). The gradient below was coded in a hurry. It is right for the loss alone, and its sign and
# shape are right; the complex step does not agree.


# %%
def centered_loss_backward_with_a_bug(chosen, rejected, coefficient):
    pull = losses.sigmoid(rejected - chosen)
    centre = coefficient * (chosen + rejected)
    return (-pull + centre) / len(chosen), (pull + centre) / len(chosen)


centred = lambda c, r: (f(c - r) + 0.3 * (c + r) * (c + r)).mean()
wrong, _ = centered_loss_backward_with_a_bug(chosen, rejected, 0.3)
right = complex_step(lambda c: centred(c, rejected), chosen)
assert np.abs(wrong - right).max() > 0.01

# %% [markdown]
# ### Exercise 5.2 ★★☆ · 15 minutes · find the bug
#
# Find what is wrong, and write the function as it should be. What does the size of the difference between `wrong` and
# `right` tell you about where to look?


# %%
def centered_loss_backward(chosen, rejected, coefficient):
    """(dchosen, drejected) of mean(-log σ(c - r) + coefficient (c + r)²)        (B,), (B,), () -> (B,), (B,)"""
    ### BEGIN SOLUTION
    pull = losses.sigmoid(rejected - chosen)
    centre = 2 * coefficient * (chosen + rejected)
    return (-pull + centre) / len(chosen), (pull + centre) / len(chosen)
    ### END SOLUTION


# %%
check(centered_loss_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Compare `right - wrong` with $c\,(r_c + r_r) / B$. What is the slope of a square?
#
# </details>

# %% [markdown]
# ### Exercise 5.3 ★★★ · 25 minutes · laws of the softmax gradient
#
# You are given a cotangent `dout`, the probabilities `p` and somebody's gradient `dx`. Without computing the
# gradient, say whether it may be right. Your law must accept every right answer and notice four mistakes; one of them
# returns zeros, which the sum of each row does not notice.


# %%
def softmax_gradient_law(dout, p, dx):
    """False if dx cannot be the gradient of softmax        (..., C) three times -> bool"""
    ### BEGIN SOLUTION
    sums_to_zero = np.all(np.abs(dx.sum(-1)) < 1e-9)
    spread = dout.max(-1) - dout.min(-1)
    bounded = np.all(np.abs(dx) <= p * spread[..., None] + 1e-9)
    rises = (dout * dx).sum(-1)  # the variance of dout under p
    return bool(sums_to_zero and bounded and np.all(rises[spread > 0] > 0))
    ### END SOLUTION


# %%
check(softmax_gradient_law)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A constant added to $x$ changes nothing: that is a sum. For the zeros, ask when the gradient may vanish: moving $x$
# along `dout` must raise $\langle d, p \rangle$, unless all entries of `dout` in the row are equal. Allow for
# rounding.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# Three witnesses that share no formula agree on the gradient of the loss to a few eps. Finite differences keep ten
# digits at best, the complex step all of them, as long as the function is analytic. Test with random cotangents,
# bounds in eps, and laws; and break the code once, to see that the test can fail.

# %%
witnesses = by_hand, by_autograd, by_complex_step
assert max(np.abs(a - b).max() for a in witnesses for b in witnesses) <= 4 * eps
assert np.median(central_error[(steps > 1e-6) & (steps < 1e-4)]) > 100 * eps
assert complex_error.min() <= eps
assert seen_by_random == set(broken) != seen_by_law
