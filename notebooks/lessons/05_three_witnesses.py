# %% [markdown]
# # 5 · Three witnesses
#
# After this lesson you can
#
# - put a gradient derived by hand before two witnesses that share no formula with it: autograd and the complex step;
# - say why the error of a central difference has the shape of a V over the step, and that of the complex step has none;
# - choose inputs that do not hide a mistake, a measure of error that does not cry wolf, and laws that need no witness.
#
# You need lessons 3 and 4, Taylor's formula and complex numbers. Reading takes about 45 minutes, the two exercises
# 35.

# %%
import numpy as np
import torch

from numpy_ref import layers, losses
from numpy_ref.check_cell import check
from numpy_ref.figures import BLUE, INK, RUST, SKY
from numpy_ref.gradient_check import check_backward, complex_step, is_analytic
from numpy_ref.lesson import picture
from numpy_ref.losses import sigmoid

rng = np.random.default_rng(5)

# %% [markdown]
# ## What is to be shown
#
# A layer turns an array $x$ into an array $y$, and later layers turn $y$ into the loss $L$. Its backward pass
# receives $\partial L / \partial y$, called `dout`, and returns $\partial L / \partial x$, called `dx`. To test it
# alone we need no later layers: for fixed numbers $d_i$ take $L = \sum_i d_i\, y_i$, whose slope by $y_i$ is $d_i$.

# %%
x, dout = rng.normal(size=(2, 4, 6))  # four rows of six entries
y, cache = layers.softmax(x)


def objective(x):
    return (dout * layers.softmax(x)[0]).sum()


nudged = y.copy()
nudged[1, 2] += 1e-3
assert np.isclose(((dout * nudged).sum() - objective(x)) / 1e-3, dout[1, 2], rtol=0, atol=1e-11)

# %% [markdown]
# ## The suspect: softmax, by hand
#
# One row is $p_i = e^{x_i} / S$ with $S = \sum_k e^{x_k}$, so $\partial S / \partial x_j = e^{x_j}$. The rule for
# quotients gives, with $\delta_{ij} = 1$ if $i = j$ and else 0,
#
# $$\frac{\partial p_i}{\partial x_j} = \frac{\delta_{ij}\, e^{x_i} S - e^{x_i} e^{x_j}}{S^2}
#   = \delta_{ij}\, p_i - p_i\, p_j.$$
#
# The chain rule adds up over all $y_i$ that $x_j$ moves; the term $\delta_{ij}$ leaves $i = j$ alone:
#
# $$\frac{\partial L}{\partial x_j} = \sum_i d_i\,(\delta_{ij}\, p_i - p_i\, p_j) = p_j\,\Big(d_j - \sum_i p_i\, d_i
#   \Big).$$

# %%
dx = layers.softmax_backward(dout, cache)
for row in range(4):
    p, d = y[row], dout[row]
    jacobian = np.diag(p) - np.outer(p, p)
    assert np.allclose(d @ jacobian, p * (d - p @ d), rtol=0, atol=1e-14)
    assert np.allclose(dx[row], d @ jacobian, rtol=0, atol=1e-14)

# %% [markdown]
# The assert above is no proof: code and Jacobian come from the same page of calculus, and a slip in the first line
# would be in both. A witness must know nothing of that page.

# %% [markdown]
# ## First witness: autograd
#
# PyTorch records which operations made a number and applies the chain rule to them, each with a derivative written by
# others. We give it the function only, and with a primitive of its own: `torch.softmax`.

# %%
leaf = torch.tensor(x, requires_grad=True)
(torch.tensor(dout) * torch.softmax(leaf, -1)).sum().backward()
by_autograd = leaf.grad.numpy()
assert np.allclose(dx, by_autograd, rtol=0, atol=1e-14)

# %% [markdown]
# ## Second witness: differences
#
# Autograd shares one thing with us: it too trusts derivatives that somebody derived. A difference derives nothing. By
# Taylor's formula $f(x \pm h) = f \pm h f' + \frac{h^2}{2} f'' \pm \frac{h^3}{6} f''' + \dots$; subtract the two, and
# the even terms cancel:
#
# $$\frac{f(x + h) - f(x - h)}{2h} = f' + \frac{h^2}{6} f''' + \dots$$
#
# Our $f$ is the loss of a pair: by lesson 4 $f' = \sigma - 1$ and $f'' = \sigma' = \sigma(1 - \sigma)$, so $f''' =
# \sigma'(1 - \sigma) - \sigma\sigma' = \sigma(1 - \sigma)(1 - 2\sigma)$.

# %%
f = lambda m: np.log1p(np.exp(-m))  # the loss of a pair, spelled so that complex numbers may pass
central = lambda h, m=1.3: (f(m + h) - f(m - h)) / (2 * h)
slope = -sigmoid(-1.3)
third = sigmoid(1.3) * sigmoid(-1.3) * (1 - 2 * sigmoid(1.3))
assert np.isclose(central(1e-2) - slope, 1e-4 / 6 * third, rtol=1e-3)
assert np.isclose((central(1e-2) - slope) / (central(5e-3) - slope), 4, rtol=1e-3)  # half the step, a quarter

# %% [markdown]
# So make $h$ tiny? Each value of $f$ is rounded, to about $\epsilon |f|$ with $\epsilon = 2^{-53}$, and the
# difference of the two is then divided by $2h$: an error of up to $\epsilon |f| / h$ that grows as $h$ shrinks. Below
# $h = 10^{-16}$ the two points are the same number and the slope is 0. The best step balances both errors: where
# $\frac{h^2}{6}|f'''| + \frac{\epsilon |f|}{h}$ has the derivative $\frac{h}{3}|f'''| - \frac{\epsilon |f|}{h^2} =
# 0$, at $h = \sqrt[3]{3 \epsilon |f| / |f'''|}$.

# %%
epsilon, h = 2.0**-53, np.geomspace(1e-8, 1e-3, 200)
bound = h**2 / 6 * abs(third) + epsilon * f(1.3) / h
assert np.all(np.abs(central(h) - slope) < 4 * bound)  # 4: log1p and exp round as well
best = np.cbrt(3 * epsilon * f(1.3) / abs(third))
assert 5e-6 < best < 1.5e-5
assert np.abs(central(best) - slope) < 1e-10  # a third of the digits is lost, at best
assert central(1e-17) == 0

# %% [markdown]
# ## Third witness: the complex step
#
# The digits went in the subtraction. So step aside instead, into the imaginary direction (Squire & Trapp 1998): put
# $ih$ for $h$ in Taylor's formula, with $i^2 = -1$ and $i^3 = -i$:
#
# $$f(x + ih) = f + ih f' - \frac{h^2}{2} f'' - \frac{i h^3}{6} f''' + \dots
#   \quad\Rightarrow\quad \frac{\operatorname{Im} f(x + ih)}{h} = f' - \frac{h^2}{6} f''' + \dots$$
#
# Nothing is subtracted, so nothing forbids $h = 10^{-20}$, and then $h^2 = 10^{-40}$ is out of sight.

# %%
by_complex_step = lambda h, m=1.3: np.imag(f(m + 1j * h)) / h
assert np.isclose(by_complex_step(1e-2) - slope, -1e-4 / 6 * third, rtol=1e-3)  # the same term, with the other sign
tiny = np.geomspace(1e-200, 1e-9, 400)
assert np.all(np.abs(by_complex_step(tiny) / slope - 1) < 16 * 2.0**-52)


# %%
def vee(axes):
    h = np.geomspace(1e-20, 1, 401)
    error = lambda values: np.maximum(np.abs(values / slope - 1), 2.0**-54)  # no error at all: half an ulp, to be seen
    with np.errstate(under="ignore"):
        axes.loglog(h, error((f(1.3 + h) - f(1.3)) / h), color=RUST, ls=":", label="forward difference")
        axes.loglog(h, error(by_complex_step(h)), color=SKY, lw=5, label="complex step")
        axes.loglog(h, error(central(h)), color=INK, ls="--", label="central difference")
    axes.axvline(best, color="#777777", lw=0.8)
    axes.text(best / 2, 3, "best h of the central difference", ha="right", fontsize=9)
    axes.set(ylim=(1e-17, 30))


# %%
alt = "Relative error of the slope over the step h, both on log scales. Forward and central difference make a V, with "
alt += "their best errors near 1e-9 and 1e-11. The complex step falls with h and stays flat at 1e-16 from 1e-8 down."
picture(vee, "A V, and a line that has none", "step h", "relative error of the slope", alt)

# %% [markdown]
# ## The witness on a whole layer
#
# `gradient_check.complex_step` moves each entry of each array by $ih$ and asks for the imaginary part of $L$. On the
# softmax above it agrees with hand and autograd to the last bits. The three have in common what softmax *is*, and
# nothing else.

# %%
by_step = complex_step(objective, x)
largest = np.abs(dx).max()
assert np.abs(dx - by_step).max() <= 8 * 2.0**-52 * largest
assert np.abs(by_autograd - by_step).max() <= 8 * 2.0**-52 * largest

# %% [markdown]
# Why not train with it? It runs the forward pass once for each entry, while one backward pass gives all entries
# together. A witness may be slow.

# %%
calls = []
complex_step(lambda x: calls.append(1) or objective(x), x)
assert len(calls) == x.size

# %% [markdown]
# ## Where the complex step is blind
#
# It needs an *analytic* function, one that has a power series. The absolute value of a complex number is
# $\sqrt{\text{Re}^2 + \text{Im}^2}$, which is real: the imaginary part is lost and the slope comes out as 0, without
# a word. The stable $\sigma$ of lesson 3 contains `abs`, so it must be spelled another way for this witness.

# %%
assert np.imag(np.abs(3 + 1e-20j)) / 1e-20 == 0  # the slope of |x| at 3 is 1
assert np.imag(sigmoid(np.array(1.3 + 1e-20j))) / 1e-20 == 0  # the slope of σ at 1.3 is 0.168
plain_sigmoid = lambda m: 1 / (1 + np.exp(-m))
assert np.isclose(np.imag(plain_sigmoid(1.3 + 1e-20j)) / 1e-20, sigmoid(1.3) * sigmoid(-1.3), rtol=1e-14)

# %% [markdown]
# A maximum is another such place. NumPy orders complex numbers by real part, then by imaginary part; so at a tie the
# entry that is moved wins, and each of two equal entries is said to have the slope 1. But if both rise by 1, the
# maximum rises by 1, not by 2. And `np.var` takes $|z|^2$ of a complex number, so a layer norm that uses it is wrong
# in silence.

# %%
tie = complex_step(np.max, np.array([2.0, 2.0, 1.0]))
assert tie.tolist() == [1, 1, 0]
assert np.max(np.array([2.0, 2.0, 1.0]) + 1) - 2 == 1
by_var = complex_step(lambda x: x.var(), x[0])
assert np.all(by_var == 0)
assert np.allclose(complex_step(lambda x: ((x - x.mean()) ** 2).mean(), x[0]), 2 / 6 * (x[0] - x[0].mean()), rtol=1e-13)

# %% [markdown]
# The remedy is a cheap question before the trial: along one random direction, do the complex step and a central
# difference agree to four digits? They fail in different ways, so a function that loses imaginary parts is found out,
# and the central difference takes its place.

# %%
assert is_analytic(objective, x, rng)
assert not is_analytic(lambda x: np.abs(x).sum(), x, rng)
assert not is_analytic(lambda x: x.var(), x, rng)
assert not is_analytic(lambda x: sigmoid(x).sum(), x, rng)

# %% [markdown]
# ## One call
#
# `check_backward` does all this: it draws `dout` from normal numbers, asks the witness, and compares. It is silent
# when the backward pass is right, and raises an `AssertionError` with a sentence when it is not. To show both we keep
# the sentence.


# %%
def complaint(forward, backward, x, params=None):
    """What check_backward has to say: nothing, or a sentence"""
    try:
        check_backward(forward, backward, x, params, rng=rng)
    except AssertionError as sentence:
        return str(sentence)
    return ""


assert complaint(layers.softmax, layers.softmax_backward, x) == ""
assert "negative" in complaint(layers.softmax, lambda dout, p: -layers.softmax_backward(dout, p), x)

# %% [markdown]
# ## Why a cotangent of ones fools tests
#
# Many tests add up the output and differentiate that: $L = \sum_i y_i$, which is `dout` of ones. For softmax this sum
# is 1 whatever $x$ is, so the gradient is 0: put $d_i = 1$ into the formula, $p_j\,(1 - \sum_i p_i) = p_j\,(1 - 1) =
# 0$. A backward pass that returns zeros passes such a test; numbers drawn at random find it out.


# %%
def lazy_softmax_backward(dout, p):
    return 0 * dout * p


ones = np.ones_like(x)
with_ones = complex_step(lambda x: (ones * layers.softmax(x)[0]).sum(), x)
assert np.allclose(lazy_softmax_backward(ones, y), with_ones, rtol=0, atol=1e-14)
assert np.abs(layers.softmax_backward(ones, y)).max() < 1e-14  # the right answer is as empty
assert "zero everywhere" in complaint(layers.softmax, lazy_softmax_backward, x)

# %% [markdown]
# Layer norm, $y = w\hat x + b$, has the same trap: $\hat x$ has mean 0, so with $w = 1$ the sum of $y$ is fixed and
# `dx` is 0. This loss is 0 to the last bits for every input, and the exact gradient is indistinguishable from none.

# %%
unit = {"weight": np.ones(6), "bias": np.zeros(6)}
for scale in (0.1, 1, 10):
    out, cache = layers.layer_norm(scale * x, **unit)
    dx, grads = layers.layer_norm_backward(np.ones_like(out), cache)
    assert abs(out.sum()) < 1e-13
    assert np.abs(dx).max() < 1e-13

# %% [markdown]
# ## Why fresh parameters fool tests
#
# A layer norm starts with $w = 1$ and $b = 0$. There a factor $w$ that was forgotten changes nothing, and $\hat x$
# and $y$ are the same array, so that taking the wrong one for `dweight` changes nothing either. Both mistakes pass
# with a random `dout`, and both fail as soon as the parameters are random too.


# %%
def without_weight(dout, cache):
    xhat, rstd, weight = cache
    return layers.layer_norm_backward(dout, (xhat, rstd, np.ones_like(weight)))


def y_for_xhat(dout, cache):
    (xhat, _, weight), (dx, grads) = cache, layers.layer_norm_backward(dout, cache)
    return dx, grads | {"weight": (dout * xhat * weight).sum(0)}


# %%
drawn = {"weight": rng.normal(size=6), "bias": rng.normal(size=6)}
for wrong, name in ((without_weight, "dx"), (y_for_xhat, "grads.weight")):
    assert complaint(layers.layer_norm, wrong, x, unit) == ""
    assert complaint(layers.layer_norm, wrong, x, drawn).startswith(name)
assert complaint(layers.layer_norm, layers.layer_norm_backward, x, drawn) == ""

# %% [markdown]
# The rule behind it: every symmetry of the input is a place to hide. One pair hides a mean that should have been
# taken; a square, symmetric matrix hides a transpose. So let all sizes differ, and draw everything.

# %%
forgets_mean = lambda dout, cache: tuple(g * len(cache[0]) for g in losses.pairwise_loss_backward(dout, cache))
one_pair, five_pairs = rng.normal(size=(2, 1)), rng.normal(size=(2, 5))
assert complaint(losses.pairwise_loss, forgets_mean, tuple(one_pair)) == ""
assert "5 times the gradient" in complaint(losses.pairwise_loss, forgets_mean, tuple(five_pairs))

# %% [markdown]
# The centred loss adds $c\,(r_c + r_r)^2$ to the loss of each pair, so that rewards stay near 0. Somebody tested the
# backward pass below with $c = 0$, the default, and it passed. With $c = 0.1$ the witness has a complaint.


# %%
def centered_loss_backward_with_a_bug(dout, cache):
    margin, total, _, c = cache
    dchosen = dout * (-sigmoid(-margin) + 2 * c * total) / len(margin)
    return dchosen, -dchosen


centered = lambda c: lambda chosen, rejected: losses.pairwise_loss(chosen, rejected, center_coefficient=c)
assert complaint(centered(0.0), centered_loss_backward_with_a_bug, tuple(five_pairs)) == ""
assert complaint(centered(0.1), centered_loss_backward_with_a_bug, tuple(five_pairs)).startswith("dx[1]")


# %% [markdown]
# ### Exercise 5.1 ★☆☆ · 15 minutes · find the bug
#
# Print the complaint for $c = 0.1$ and read it, take the two derivatives of the centred loss, and write both
# gradients as they should be.


# %%
def centered_loss_backward(chosen, rejected, coefficient):
    """(dchosen, drejected) of mean(-log σ(margin) + c (chosen + rejected)²)        (B,), (B,), () -> (B,), (B,)"""
    ### BEGIN SOLUTION
    dmargin = -sigmoid(rejected - chosen) / len(chosen)
    dtotal = 2 * coefficient * (chosen + rejected) / len(chosen)
    return dtotal + dmargin, dtotal - dmargin
    ### END SOLUTION


# %%
check(centered_loss_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `dx[1]` is the gradient of the second argument. The margin holds the rejected reward with a minus; with which sign
# does the sum hold it?
#
# </details>

# %% [markdown]
# ## How wrong is wrong? Structural zeros
#
# One would compare two gradients entry by entry, by $|a - b| / \max(|a|, |b|)$. Now let $x = z + c$, where one number
# $c$ is added to a whole row $z$: softmax ignores it, so its gradient $\sum_j \partial L / \partial x_j$ is exactly 0
# in algebra. In the machine it is what rounding leaves, and where two right gradients differ in it, they differ by a
# large part of it. (The bias of the keys in attention is such an entry; lesson 6.)

# %%
many, many_dout = rng.normal(size=(2, 300, 6))
by_hand = layers.softmax_backward(many_dout, layers.softmax(many)[1])
leaf = torch.tensor(many, requires_grad=True)
(torch.tensor(many_dout) * torch.softmax(leaf, -1)).sum().backward()
dc, dc_by_autograd = by_hand.sum(-1), leaf.grad.numpy().sum(-1)  # 300 structural zeros
assert np.abs(dc).max() < 1e-14
assert np.abs(dc_by_autograd).max() < 1e-14

# %%
differ = dc != dc_by_autograd
a, b = np.abs(dc[differ]), np.abs(dc_by_autograd[differ])
relative = np.abs(dc - dc_by_autograd)[differ] / np.maximum(a, b)
assert differ.sum() > 100
assert np.median(relative) > 0.2  # and both are right

# %% [markdown]
# Measure by the size of the sums that were rounded instead: an error is small if it is a few $\epsilon$ of the
# *largest* entry of all gradients of the test. By this measure both witnesses agree to a few units in the last place,
# structural zeros included. `check_backward` allows $100\,\epsilon$ of it.

# %%
largest, epsilon = np.abs(by_hand).max(), 2.0**-52
assert np.abs(dc - dc_by_autograd).max() < 8 * epsilon * largest
assert np.abs(by_hand - leaf.grad.numpy()).max() < 8 * epsilon * largest


# %%
def two_measures(axes):
    bins = np.geomspace(1e-3, 1e17, 81)
    own, shared = relative / epsilon, np.abs(dc - dc_by_autograd)[differ] / largest / epsilon
    axes.hist(own, bins, color="white", ec=RUST, hatch="///", label="by the entry itself")
    axes.hist(shared, bins, color=INK, label="by the largest entry")
    axes.axvline(100, color=BLUE, ls="--", label="allowed: 100 ε")
    axes.set(xscale="log", ylabel="number of entries")


# %%
alt = "Errors of the structural zeros that hand and autograd do not give alike. Divided by the largest entry they are "
alt += "about 0.1 epsilon; divided by the entry itself they lie near 1e15 epsilon, far beyond the allowed 100."
picture(two_measures, "Two right gradients, two measures", "error (units of ε)", "number of entries", alt)

# %% [markdown]
# ## Laws: what needs no witness
#
# If adding a constant to a row changes nothing, $L(x + c) = L(x)$, then the derivative by $c$ at 0 is 0: $\sum_j
# \partial L / \partial x_j = 0$. This is a conservation law: it holds for softmax and for layer norm, and in the
# pairwise loss it is the opposite sign of the two gradients.

# %%
dx = layers.softmax_backward(dout, y)
assert np.allclose(dx.sum(-1), 0, rtol=0, atol=1e-14)
_, cache = layers.layer_norm(x, **drawn)
dx_norm, _ = layers.layer_norm_backward(dout, cache)
assert np.allclose(dx_norm.sum(-1), 0, rtol=0, atol=1e-14)
dchosen, drejected = losses.pairwise_loss_backward(1.0, losses.pairwise_loss(*five_pairs)[1])
assert np.array_equal(dchosen + drejected, np.zeros(5))

# %% [markdown]
# If multiplying a row by a constant changes nothing, $L(cx) = L(x)$, then the derivative by $c$ at 1 is 0: $\sum_j
# x_j\, \partial L / \partial x_j = 0$. Layer norm obeys it if its ε is 0. And if $L$ is linear in a weight, $L(cW) =
# c\,L(W)$, then $\sum W\, \partial L / \partial W = L$ (Euler): so for a linear layer without bias.

# %%
_, cache = layers.layer_norm(x, **drawn, eps=0.0)
dx_norm, _ = layers.layer_norm_backward(dout, cache)
assert np.allclose((x * dx_norm).sum(-1), 0, rtol=0, atol=1e-13)
weight = rng.normal(size=(3, 6))
out, cache = layers.linear(x, weight)
dout_linear = rng.normal(size=(4, 3))
_, grads = layers.linear_backward(dout_linear, cache)
assert np.isclose((weight * grads["weight"]).sum(), (dout_linear * out).sum(), rtol=1e-13)

# %% [markdown]
# Laws are cheap and need no reference, but they are necessary and not sufficient: the zeros of the lazy backward pass
# obey the first law, and so does twice the right gradient. Use laws on inputs where no witness can go, and a witness
# wherever one can.

# %%
for wrong in (lazy_softmax_backward(dout, y), 2 * dx):
    assert np.allclose(wrong.sum(-1), 0, rtol=0, atol=1e-14)
    assert not np.allclose(wrong, dx, rtol=0, atol=0.01)
assert "2 times the gradient" in complaint(layers.softmax, lambda dout, p: 2 * layers.softmax_backward(dout, p), x)

# %% [markdown]
# ## A bug that small numbers hide
#
# GPT-2's activation is $y = \frac{x}{2}(1 + t)$ with $t = \tanh u$ and $u = k\,(x + a x^3)$. Somebody tested the
# backward pass below on inputs of size 0.01, as small as fresh activations may be, by a difference with a tolerance
# of $10^{-6}$: it passed. The complex step is finer, and ordinary inputs need no finesse at all.


# %%
def gelu_backward_with_a_bug(dout, cache):
    (x, t), k, a = cache, np.sqrt(2 / np.pi), 0.044715
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + a * x * x))


small, ordinary = 0.01 * rng.normal(size=50), 2 * rng.normal(size=50)
by_difference = (layers.gelu(small + 1e-5)[0] - layers.gelu(small - 1e-5)[0]) / 2e-5
assert np.abs(gelu_backward_with_a_bug(np.ones(50), layers.gelu(small)[1]) - by_difference).max() < 1e-6
assert complaint(layers.gelu, gelu_backward_with_a_bug, small) != ""
assert complaint(layers.gelu, gelu_backward_with_a_bug, ordinary) != ""

# %% [markdown]
# ### Exercise 5.2 ★★☆ · 20 minutes · find the bug
#
# Derive $\partial y / \partial x$: the product rule splits $\frac{x}{2}(1 + t)$ in two, and the second part needs the
# slope of $\tanh$, which is $1 - \tanh^2$, and of $u$. Write the backward pass, with `x` as its second argument.


# %%
def gelu_backward(dout, x):
    """dx = dy · d/dx [ x/2 (1 + tanh(k (x + a x³))) ],  k = √(2/π), a = 0.044715        (...), (...) -> (...)"""
    ### BEGIN SOLUTION
    k, a = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(k * (x + a * x**3))
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * k * (1 + 3 * a * x**2))
    ### END SOLUTION


# %%
check(gelu_backward)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Write out $du/dx$ term by term and compare it with the last bracket of the code. With `complaint(layers.gelu, lambda
# dout, cache: gelu_backward(dout, cache[0]), ordinary)` you can ask the witness yourself.
#
# </details>

# %% [markdown]
# ## What you can now assert
#
# A central difference loses a third of its digits at the best step; the complex step loses none, where the function
# is analytic. Hand, autograd and complex step agree to a few ε of the largest gradient, which is the measure to use.
# `dout` of ones, unit weights, one pair and small inputs hide mistakes; laws find some mistakes without any witness.
# Lesson 6 puts every layer of a transformer before these witnesses.

# %%
assert np.abs(by_complex_step(1e-20) / slope - 1) < 1e-15 < 1e-12 < np.abs(central(1e-8) / slope - 1)
assert complaint(layers.softmax, layers.softmax_backward, x) == ""
assert complaint(layers.softmax, lazy_softmax_backward, x) != ""
assert (
    complaint(layers.layer_norm, without_weight, x, unit)
    == ""
    != complaint(layers.layer_norm, without_weight, x, drawn)
)
assert np.allclose(dx.sum(-1), 0, rtol=0, atol=1e-14)
