# %% [markdown]
# # 5 · Three witnesses: how to trust a gradient
#
# After this lesson you can
#
# - check a gradient by autograd, by finite differences and by the complex step, and say what each can see;
# - choose the step of a finite difference, and say why the complex step needs no choice;
# - name two tests that pass on wrong gradients, and write laws that need no second implementation.
#
# You need lesson 4 and Taylor's formula. Reading takes about 45 minutes, the three exercises 70. One cell needs
# PyTorch; the others run without it.

# %%
import math

import numpy as np

from numpy_ref import layers, losses
from numpy_ref.check.cell import check
from numpy_ref.figures.notebook import picture, table
from numpy_ref.figures.style import BLUE, INK, RUST
from numpy_ref.gradient_check import check_backward, complex_step

rng = np.random.default_rng(5)

# %% [markdown]
# ## Why witnesses
#
# A gradient derived by hand can be wrong in a way that its author does not see, and a model with a wrong gradient often
# still trains, only worse. To ask the same formula twice proves nothing. So we ask witnesses that share no line with
# the derivation, and believe the gradient when all of them agree.

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
print("by hand, the first three:", by_hand[:3].round(4))

# %% [markdown]
# ## The second witness: autograd
#
# PyTorch records the operations of the forward pass and multiplies their derivatives from the end to the beginning.
# It must be given its own primitive, `logsigmoid`: our formulas typed again in PyTorch would only repeat our
# mistakes. Two right answers agree to a few eps, where eps $= 2^{-52}$ is the distance from 1 to the next float.

# %%
eps = np.finfo(float).eps
print(f"eps = {eps:.1e}")
assert eps == 2.0**-52

# %%
import torch
from torch.nn import functional as F

tensor = torch.tensor(chosen, requires_grad=True)
(-F.logsigmoid(tensor - torch.tensor(rejected)).mean()).backward()
by_autograd = tensor.grad.numpy()
assert np.abs(by_autograd - by_hand).max() <= 4 * eps * np.abs(by_hand).max()
print("by autograd, the first three:", by_autograd[:3].round(4))

# %% [markdown]
# ## The third witness: differences
#
# A derivative is a limit of differences, so take a small step $h$. Taylor's formula tells the error; with steps to
# both sides the terms of even order cancel:
#
# $$\frac{f(x + h) - f(x - h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots$$
#
# So a step ten times smaller should make this error a hundred times smaller. Will it do so for ever?

# %%
f = lambda m: np.log1p(np.exp(-m))  # the loss, in a spelling without abs: it will matter
at, exact = 0.7, -losses.sigmoid(-0.7)
central = lambda h: (f(at + h) - f(at - h)) / (2 * h)
third = (f(at + 0.02) - 2 * f(at + 0.01) + 2 * f(at - 0.01) - f(at - 0.02)) / (2 * 0.01**3)
errors = {h: central(h) - exact for h in (1e-1, 1e-2, 1e-3)}
table([(f"{h:g}", f"{error:.1e}") for h, error in errors.items()], ("step h", "error of the difference"))

# %%
assert np.isclose(errors[1e-2] / errors[1e-3], 100, rtol=0.01)
assert np.isclose(central(1e-2) - exact, 1e-4 / 6 * third, rtol=0.01)

# %% [markdown]
# ## Why not a tiny step?
#
# The two values of $f$ are each rounded, with an error of about eps. Their difference keeps this error, and the
# division by $2h$ enlarges it to about eps $/ h$. A small $h$ is spoilt by rounding, a large $h$ by Taylor's
# remainder. The best step is near $\sqrt[3]{\text{eps}} \approx 6 \cdot 10^{-6}$, and leaves ten or eleven digits.

# %%
steps = 10.0 ** np.arange(-16, 0.1, 0.25)
central_error = np.array([abs(central(h) - exact) / abs(exact) for h in steps])
best = steps[central_error.argmin()]
assert 1e-7 < best < 1e-4
assert central_error[steps > 0.05].min() > 1e-6  # Taylor
assert central_error[steps < 1e-13].max() > 1e-6  # rounding
assert np.median(central_error[(steps > 1e-6) & (steps < 1e-4)]) < 1e-9
size = lambda h: f"about 1e{np.log10(np.median(central_error[np.abs(np.log10(steps / h)) < 0.6])):.0f}"
table([(f"{h:.0e}", size(h)) for h in (1e-1, 1e-5, 1e-9, 1e-13)], ("step h", "relative error"))

# %% [markdown]
# ## The complex step
#
# Now step in the imaginary direction. Taylor's formula with $ih$ in the place of $h$ gives
#
# $$f(x + ih) = f(x) + i h f'(x) - \frac{h^2}{2} f''(x) - i \frac{h^3}{6} f'''(x) + \dots$$
#
# $$\frac{\operatorname{Im} f(x + ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \dots$$
#
# Nothing is subtracted, so nothing is lost to rounding, and with $h = 10^{-20}$ the remainder is far below eps (Squire
# and Trapp 1998).

# %%
complex_error = np.array([abs(f(at + 1j * h).imag / h - exact) / abs(exact) for h in steps])
assert complex_error[steps < 1e-8].max() <= 4 * eps
assert abs(f(at + 1e-20j).imag / 1e-20 - exact) <= 4 * eps
by_complex_step = complex_step(lambda c: f(c - rejected).mean(), chosen)
print("by the complex step, the first three:", by_complex_step[:3].round(4))
assert np.abs(by_complex_step - by_hand).max() <= 4 * eps * np.abs(by_hand).max()


# %%
def against_the_step(axes):
    forward_error = [abs((f(at + h) - f(at)) / h - exact) / abs(exact) for h in steps]
    curves = (forward_error, "one-sided difference", RUST, ":"), (central_error, "central difference", BLUE, "--")
    axes.loglog(steps, np.maximum(complex_error, 1e-17), color=INK, lw=4, alpha=0.35, label="complex step")
    for error, name, colour, line in curves:
        axes.loglog(steps, np.maximum(error, 1e-17), color=colour, ls=line, lw=2, label=name)


alt = "Relative error over the step h, both on log scales. Both finite differences form a V: best 1e-8 one-sided, "
alt += "1e-11 central. The complex step falls with the square of h and stays at the last bit from 1e-8 downwards."
picture(against_the_step, "Error of three quotients", "step h (log-odds)", "relative error", alt, size=(5.4, 4.2))

# %% [markdown]
# ## What the complex step cannot see
#
# It needs an analytic function. `abs`, `max` and comparisons drop the imaginary part, and the answer is then 0, without
# any warning. The stable loss of lesson 3 contains an absolute value, so it is checked in its analytic spelling, at
# margins where that is safe. Each witness has a blind spot, which is why there are three.

# %%
with_abs = lambda m: np.log1p(np.exp(-np.abs(m)))
by_step, by_difference = np.imag(with_abs(0.7 + 1e-20j)) / 1e-20, (with_abs(0.7 + 1e-5) - with_abs(0.7 - 1e-5)) / 2e-5
print(f"slope with an abs: complex step {by_step:.4f}, difference {by_difference:.4f}, exact {exact:.4f}")
assert by_step == 0  # wrong
assert abs(by_difference - exact) < 1e-9

# %% [markdown]
# ## A function with many outputs
#
# Softmax turns a row $x$ into a row $p$. A backward pass does not return its table of slopes, the Jacobian
# $J_{ij} = \partial p_i / \partial x_j$, but the gradient of one number, $\langle d, p \rangle = \sum_i d_i p_i$, for
# any given $d$. In a network $d$ is the gradient that comes from the next layer; in a test we choose it, and call
# it the *cotangent*.

# %%
x = rng.normal(0, 1, (2, 5))
d = rng.normal(0, 1, (2, 5))
p, cache = layers.softmax(x)
dx = layers.softmax_backward(d, cache)
witness = complex_step(lambda z: (d * layers.softmax(z)[0]).sum(), x)
print("backward: ", dx[0].round(4))
print("witness:  ", witness[0].round(4))
assert np.abs(dx - witness).max() <= 8 * eps

# %% [markdown]
# ## A cotangent of ones fools the test
#
# Many tests call `out.sum().backward()`, which is a cotangent of ones. But the sum of a softmax is 1 for every $x$, so
# the gradient of the sum is 0, and a backward pass that returns zeros passes the test. Layer norm with a weight of ones
# always sums to 0, with the same effect. A random cotangent notices both.

# %%
zeros = np.zeros_like(x)
ones_witness = complex_step(lambda z: layers.softmax(z)[0].sum(), x)
off = np.abs(zeros - witness).max()
print(f"a backward of zeros: off by {abs(ones_witness).max():.2f} with ones, by {off:.2f} with a random cotangent")
assert np.abs(zeros - ones_witness).max() <= 8 * eps  # the broken backward passes
assert np.abs(zeros - witness).max() > 0.01  # and fails with a random cotangent
normed = complex_step(lambda z: layers.layer_norm(z, np.ones(5), np.zeros(5))[0].sum(), x)
assert np.abs(normed).max() <= 100 * eps

# %% [markdown]
# ## How close is close?
#
# A common test asks for a small *relative* error of each entry. But some gradients are exactly 0 by symmetry, such as
# the one above: 1e-17 against 2e-17, both nothing but rounding, is a relative error of one half. Compare with the size
# of the whole gradient instead, in units of eps.

# %%
noise = layers.softmax_backward(np.ones((2, 5)), cache) + ones_witness
assert np.abs(noise).max() <= 8 * eps  # nothing but rounding
bound = lambda a, b, n: np.abs(a - b).max() <= n * eps * max(1.0, np.abs(b).max())
assert bound(dx, witness, 8)
assert not bound(dx * (1 + 1e-12), witness, 8)  # and it is still sharp
passes = {
    name: bool(bound(wrong, witness, 8)) for name, wrong in (("right", dx), ("times 1 + 1e-12", dx * (1 + 1e-12)))
}
print(f"within 8 eps = {8 * eps:.1e}:", passes)

# %% [markdown]
# ## All of it in one call
#
# `check_backward` does this for any pair `f`, `f_backward`: a random cotangent, the complex step where the function
# is analytic and differences where it is not, every argument and parameter, and a bound of 100 eps. It says nothing if
# all is well, and what is wrong otherwise.

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
# factor $1 + t$. Taking the slope in $t$ on both sides gives a law:
#
# $$\langle dW, W \rangle + \langle db, b \rangle = \langle d, y \rangle.$$

# %%
assert np.abs(dx.sum(-1)).max() <= 4 * eps
W, b, d_out = rng.normal(0, 1, (3, 5)), rng.normal(0, 1, 3), rng.normal(0, 1, (2, 3))
y, cache = layers.linear(x, W, b)
_, grads = layers.linear_backward(d_out, cache)
left, right_side = (grads["weight"] * W).sum() + (grads["bias"] * b).sum(), (d_out * y).sum()
print(f"<dW, W> + <db, b> = {left:.4f}, <d, y> = {right_side:.4f}")
assert abs(left - right_side) <= 100 * eps

# %% [markdown]
# ## Break it on purpose
#
# A test is worth what it notices. Here are four wrong backward passes of softmax. Guess which of them the law notices
# (the sums are 0), which the cotangent of ones, and which a random cotangent beside a witness.

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
tests = seen_by_law, seen_by_ones, seen_by_random
rows = [(name, *("noticed" if name in seen else "-" for seen in tests)) for name in broken]
print({name: len(seen) for name, seen in zip(("law", "ones", "random"), tests, strict=True)})
assert seen_by_law == {"no sum", "sum added", "outer p missing"}
assert seen_by_ones == {"no sum", "sum added"}
assert seen_by_random == set(broken)
table(rows, ("wrong backward", "law", "ones", "random cotangent"))

# %% [markdown]
# ### Exercise 5.1 ★★★ · 30 minutes · the gradient of Thurstone's loss
#
# Replace $\sigma$ by the normal distribution function: the loss is the mean of $-\log\Phi(m)$, and $\Phi' = \varphi$
# with $\varphi(t) = e^{-t^2/2} / \sqrt{2\pi}$. Derive both gradients and code them with $\Phi(t) = \frac12
# \operatorname{erfc}(-t/\sqrt2)$ from `math.erfc`. Then ask a witness of this lesson: which one cannot be asked,
# because it needs $\Phi$ at complex numbers?


# %%
def probit_loss_backward(chosen, rejected):
    """(dchosen, drejected) of mean(-log Φ(chosen - rejected))        (B,), (B,) -> (B,), (B,)"""
    ### BEGIN SOLUTION
    m = chosen - rejected
    density = np.exp(-m * m / 2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in m])
    dmargin = -density / below / len(m)
    return dmargin, -dmargin
    ### END SOLUTION


# %%
check(probit_loss_backward)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>
#
# As in lesson 4: the derivative of a logarithm is the inner derivative over the inner function. Nothing cancels here.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# The slope over the margin is $-\varphi(m) / \Phi(m)$. For $m = -30$ do not compute $\Phi$ as $1 - \Phi(30)$: that is
# 0.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# `below = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in m])`; divide the density by it and by $-B$ for the
# chosen rewards, and take the opposite for the rejected ones.
#
# </details>

# %% [markdown]
# How hard do misranked pairs pull under this loss? Under σ the pull never exceeds 1. Under Φ it grows like $-m$: a
# flipped label on an easy pair pulls far harder than any other pair, which is one reason to prefer σ for noisy labels.
# Differences are witness enough to see it.

# %%
loss_of = lambda m: -math.log(0.5 * math.erfc(-m / math.sqrt(2)))
pull = {m: -(loss_of(m + 1e-5) - loss_of(m - 1e-5)) / 2e-5 for m in (-10.0, -5.0, 0.0, 5.0)}
assert all(-m < pull[m] < -m + 1 for m in (-10.0, -5.0))
table([(m, losses.sigmoid(-m), pull[m]) for m in pull], ("m", "pull under σ", "pull under Φ"))

# %% [markdown]
# ## A bug for the witnesses
#
# The loss says nothing about the mean reward of a pair, so one may add $c\,(r_c + r_r)^2$ to keep it near 0
# (Eisenstein et al. 2023, [arXiv:2312.09244](https://arxiv.org/abs/2312.09244)). The gradient below was coded in a
# hurry. It is right for the loss alone, and its sign and its shape are right, but the complex step does not agree.


# %%
def centered_loss_backward_with_a_bug(chosen, rejected, coefficient):
    pull = losses.sigmoid(rejected - chosen)
    centre = coefficient * (chosen + rejected)
    return (-pull + centre) / len(chosen), (pull + centre) / len(chosen)


centred = lambda c, r: (f(c - r) + 0.3 * (c + r) * (c + r)).mean()
wrong, _ = centered_loss_backward_with_a_bug(chosen, rejected, 0.3)
right = complex_step(lambda c: centred(c, rejected), chosen)
print("coded:       ", wrong[:3].round(4))
print("complex step:", right[:3].round(4))
assert np.abs(wrong - right).max() > 0.01

# %% [markdown]
# ### Exercise 5.2 ★★☆ · 15 minutes · find the bug
#
# Find what is wrong, and write the function as it should be. Subtract `wrong` from `right`: what does the difference
# tell you about where to look?


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
# <details><summary>Hint 1: the idea</summary>
#
# The difference is proportional to $r_c + r_r$: the error is in the added term.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# Compare `right - wrong` with $c\,(r_c + r_r) / B$. What is the slope of a square?
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# `centre` must be `2 * coefficient * (chosen + rejected)`; the rest is right.
#
# </details>

# %% [markdown]
# ### Exercise 5.3 ★★★ · 25 minutes · laws of the softmax gradient
#
# You are given a cotangent `dout`, the probabilities `p` and somebody's gradient `dx`. Say whether it may be right,
# without computing the gradient. Your law must accept every right answer and notice four mistakes; one of them returns
# zeros, whose rows sum to 0 as they should.


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
# <details><summary>Hint 1: the idea</summary>
#
# A constant added to $x$ changes nothing: what does this say about the sum of a row of `dx`? And when may the gradient
# be zero? Moving $x$ along `dout` must raise $\langle d, p \rangle$, unless all entries of `dout` in the row are equal.
#
# </details>
# <details><summary>Hint 2: the first line</summary>
#
# `np.all(np.abs(dx.sum(-1)) < 1e-9)` allows for rounding.
#
# </details>
# <details><summary>Hint 3: the whole</summary>
#
# Two more facts: `(dout * dx).sum(-1)` is positive in each row in which `dout` is not constant, and no entry of `dx`
# exceeds $p_i$ times the spread of `dout` in its row (largest minus smallest), up to rounding.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# Three witnesses that share no formula agree on the gradient of the loss to a few eps. Finite differences keep ten or
# eleven digits at best; the complex step keeps all of them, as long as the function is analytic. Test with random
# cotangents, bounds in eps, and laws, and break the code once, to see that the test can fail.

# %%
assert np.abs(by_hand - by_complex_step).max() <= 4 * eps
assert np.median(central_error[(steps > 1e-6) & (steps < 1e-4)]) > 100 * eps
assert complex_error.min() <= eps
assert seen_by_random == set(broken) != seen_by_law

# %% [markdown]
# ## Three questions
#
# <details><summary>Why is a step of 1e-12 worse than 1e-5 in a central difference?</summary>
#
# Rounding: the difference of two values keeps an error of about eps, and the division by a tiny step enlarges it.
#
# </details>
# <details><summary>The complex step returns 0 for your loss. Is the gradient 0?</summary>
#
# Perhaps not. An `abs`, a `max` or a comparison may have dropped the imaginary part; ask differences.
#
# </details>
# <details><summary>A backward pass of softmax passes a test on out.sum(). What do you know?</summary>
#
# Very little: the gradient of that sum is 0, and a backward that returns zeros passes as well.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# The witnesses in one call: [numpy_ref/gradient_check.py](../numpy_ref/gradient_check.py). The same tests for every
# layer: [tests/test_layers.py](../tests/test_layers.py) and [tests/test_laws.py](../tests/test_laws.py). Next is
# lesson 6a: the layers of the network.
