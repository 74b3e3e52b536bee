"""Known mistakes in the layers and their backward passes.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG005

import math

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import sigmoid


def erf(x):
    """The error function, entry by entry"""
    return np.vectorize(math.erf, otypes=[float])(x)


def softmax_over(x, axis):
    """Softmax over any axis"""
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def normalise(x, ddof=0, eps=1e-5, axis=-1):
    """(x̂, 1/√(σ² + ε)) over any axis, with the variance divided by C - ddof"""
    centred = x - x.mean(axis, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).sum(axis, keepdims=True) / (x.shape[axis] - ddof) + eps)
    return centred * rstd, rstd


def sum_rows(a):
    """(..., C) -> (C,): the sum over every leading axis"""
    return a.reshape(-1, a.shape[-1]).sum(0)


def norm_backward(dout, x, weight, dx):
    """A wrong dx(dxhat, xhat, rstd) with the right dweight and dbias"""
    xhat, rstd = normalise(x)
    return dx(dout * weight, xhat, rstd), sum_rows(dout * xhat), sum_rows(dout)


def mean(a):
    """The mean over the last axis, which stays as an axis of length 1"""
    return a.mean(-1, keepdims=True)


SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715


def tanh_part(x):
    """tanh(√(2/π) (x + 0.044715 x³))"""
    return np.tanh(SCALE * (x + CUBIC * x**3))


def mean_free(x):
    """x minus its mean over the last axis"""
    return x - mean(x)


def unbiased(dout, x, weight):
    """The right gradients of a layer norm whose variance is divided by C - 1"""
    xhat, rstd = normalise(x, 1)
    dxhat, C = dout * weight, x.shape[-1]
    dx = rstd * (dxhat - mean(dxhat) - xhat * (dxhat * xhat).sum(-1, keepdims=True) / (C - 1))
    return dx, sum_rows(dout * xhat), sum_rows(dout)


def without_eps(dout, x, weight):
    """The gradients of layer norm with ε = 0"""
    xhat, rstd = normalise(x, eps=0)
    dxhat = dout * weight
    return rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)), sum_rows(dout * xhat), sum_rows(dout)


def assigned(dout, tokens, vocab_size):
    """dW[tokens] = dy: a token that occurs twice keeps only its last gradient"""
    dweight = np.zeros((int(vocab_size), dout.shape[-1]))
    dweight[tokens] = dout
    return dweight


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "linear": (
        Mistake("the bias is missing", "y = x Wᵀ + b.", lambda x, w, b: x @ w.T),
        Mistake("the bias is subtracted", "y = x Wᵀ + b.", lambda x, w, b: x @ w.T - b),
        Mistake(
            "the weight is not transposed",
            "weight is (O, I), as in torch.nn.Linear: y = x Wᵀ.",
            lambda x, w, b: x @ w + b,
        ),
    ),
    "linear_backward": (
        Mistake(
            "dweight is transposed",
            "dW = dyᵀ x has the shape of W, (O, I).",
            lambda d, x, w, b: (d @ w, right.linear_backward(d, x, w, b)[1].T, sum_rows(d)),
        ),
        Mistake(
            "dbias is a mean",
            "Every row adds to the bias's gradient: take the sum.",
            lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], sum_rows(d) / (d.size // d.shape[-1])),
        ),
        Mistake(
            "dweight is a mean",
            "Every row adds to the weight's gradient: take the sum.",
            lambda d, x, w, b: (d @ w, right.linear_backward(d, x, w, b)[1] / (d.size // d.shape[-1]), sum_rows(d)),
        ),
        Mistake(
            "dbias is not summed over the rows",
            "db has the shape of b: sum over the rows.",
            lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], d),
        ),
        Mistake(
            "dbias is summed over the first axis only",
            "Sum over every leading axis.",
            lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], d.sum(0)),
        ),
        Mistake(
            "dbias is summed over the outputs",
            "Sum over the rows, axis 0.",
            lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], d.sum(-1)),
        ),
        Mistake(
            "dx with the transposed weight",
            "dx = dy W, without a transpose.",
            lambda d, x, w, b: (d @ w.T, *right.linear_backward(d, x, w, b)[1:]),
        ),
        Mistake(
            "only two axes",
            "Merge the leading axes first: x.reshape(-1, I).",
            lambda d, x, w, b: (d @ w, d.T @ x, d.sum(0)),
        ),
        Mistake(
            "dweight with dx in place of x",
            "dW = dyᵀ x.",
            lambda d, x, w, b: (d @ w, d.reshape(-1, d.shape[-1]).T @ (d @ w).reshape(-1, x.shape[-1]), sum_rows(d)),
        ),
    ),
    "softmax": (
        Mistake(
            "the wrong axis", "Softmax runs over the last axis: axis=-1, not axis=0.", lambda x: softmax_over(x, 0)
        ),
        Mistake(
            "all entries together",
            "Every row is a distribution of its own: axis=-1, keepdims=True.",
            lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
        ),
        Mistake(
            "exp overflows",
            "Subtract the row's largest entry first: it cancels.",
            lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
        ),
        Mistake(
            "one maximum for all rows",
            "Rows far below the overall maximum underflow to 0/0: subtract each row's own maximum.",
            lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(-1, keepdims=True),
        ),
        Mistake("not normalised", "Divide by the sum.", lambda x: np.exp(x - x.max(-1, keepdims=True))),
        Mistake(
            "log softmax", "This is the logarithm of softmax.", lambda x: x - np.logaddexp.reduce(x, -1, keepdims=True)
        ),
        Mistake("normalised without exp", "p = e^x / Σ e^x.", lambda x: x / x.sum(-1, keepdims=True)),
        Mistake(
            "keepdims is missing", "The sum must keep its axis: keepdims=True.", lambda x: np.exp(x) / np.exp(x).sum(-1)
        ),
        Mistake("σ of each entry", "Softmax, not sigmoid: the entries of a row compete.", sigmoid),
        Mistake("softmax of -x", "The sign of the exponent is lost.", lambda x: right.softmax(-x)),
    ),
    "softmax_backward": (
        Mistake(
            "only the diagonal p (1 - p)",
            "Every entry of x changes the whole row of p: subtract Σ p dp.",
            lambda d, p: d * p * (1 - p),
        ),
        Mistake(
            "the sum term is missing", "dx = p (dp - Σ p dp): the sum over the row is missing.", lambda d, p: p * d
        ),
        Mistake(
            "the sum term is added",
            "dx = p (dp - Σ p dp): the sum is subtracted.",
            lambda d, p: p * (d + (d * p).sum(-1, keepdims=True)),
        ),
        Mistake("the sum is without p", "Σ p dp, not Σ dp.", lambda d, p: p * (d - d.sum(-1, keepdims=True))),
        Mistake(
            "the mean of dp",
            "Σ p dp weights each entry with its probability.",
            lambda d, p: p * (d - d.mean(-1, keepdims=True)),
        ),
        Mistake(
            "a mean of p dp",
            "Take the sum of p dp, not its mean.",
            lambda d, p: p * (d - (d * p).mean(-1, keepdims=True)),
        ),
        Mistake(
            "the sum runs over the first axis",
            "Sum over the last axis, with keepdims=True.",
            lambda d, p: p * (d - (d * p).sum(0, keepdims=True)),
        ),
        Mistake(
            "the sum runs over all rows",
            "Every row has a sum of its own: axis=-1, keepdims=True.",
            lambda d, p: p * (d - (d * p).sum()),
        ),
        Mistake(
            "keepdims is missing", "The sum must keep its axis: keepdims=True.", lambda d, p: p * (d - (d * p).sum(-1))
        ),
        Mistake(
            "p - 1, cross entropy's shortcut",
            "p - y is the gradient of softmax and cross entropy together, not of softmax alone.",
            lambda d, p: p - d,
        ),
        Mistake("the outer p is missing", "dx = p (dp - Σ p dp).", lambda d, p: d - (d * p).sum(-1, keepdims=True)),
        Mistake(
            "zero, as for dout of ones",
            "A row of p always sums to 1, so dout of ones gives zero; but dout is not ones here.",
            lambda d, p: np.zeros_like(p),
        ),
    ),
    "gelu": (
        Mistake(
            "0.0447 instead of 0.044715",
            "The constant is 0.044715.",
            lambda x: 0.5 * x * (1 + np.tanh(SCALE * (x + 0.0447 * x**3))),
        ),
        Mistake(
            "√(π/2) instead of √(2/π)",
            "The factor inside tanh is √(2/π), about 0.7979.",
            lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(math.pi / 2) * (x + CUBIC * x**3))),
        ),
        Mistake(
            "0.44715 instead of 0.044715",
            "The constant is 0.044715: a zero is missing.",
            lambda x: 0.5 * x * (1 + np.tanh(SCALE * (x + 0.44715 * x**3))),
        ),
        Mistake(
            "the exact erf form",
            "This is x Φ(x) with erf. The task asks for GPT-2's tanh form, which differs by up to 5e-4.",
            lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
        ),
        Mistake(
            "x σ(1.702 x)",
            "This is the sigmoid approximation, which differs by up to 0.02.",
            lambda x: x * sigmoid(1.702 * x),
        ),
        Mistake("x σ(x)", "This is SiLU.", lambda x: x * sigmoid(x)),
        Mistake("relu", "This is ReLU.", lambda x: np.maximum(x, 0)),
        Mistake(
            "the cubic term is missing",
            "The argument of tanh holds x + 0.044715 x³.",
            lambda x: 0.5 * x * (1 + np.tanh(SCALE * x)),
        ),
        Mistake(
            "√(2π) or √2 instead of √(2/π)",
            "k = √(2/π) = 0.7979.",
            lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 * math.pi) * (x + CUBIC * x**3))),
        ),
        Mistake(
            "2/π without its root",
            "k = √(2/π) = 0.7979.",
            lambda x: 0.5 * x * (1 + np.tanh(2 / math.pi * (x + CUBIC * x**3))),
        ),
        Mistake("the 1/2 is missing", "y = x/2 (1 + t).", lambda x: x * (1 + tanh_part(x))),
        Mistake(
            "x² instead of x³",
            "The term is 0.044715 x³: with a cube the argument of tanh is odd.",
            lambda x: 0.5 * x * (1 + np.tanh(SCALE * (x + CUBIC * x**2))),
        ),
        Mistake(
            "the factor x is missing", "y = x/2 (1 + t); this is (1 + t)/2 alone.", lambda x: 0.5 * (1 + tanh_part(x))
        ),
    ),
    "gelu_backward": (
        Mistake(
            "the derivative of the exact erf form",
            "Φ(x) + x φ(x) is the derivative of the erf form; the forward pass is the tanh form.",
            lambda d, x: d * (0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
        ),
        Mistake(
            "the derivative of x σ(1.702 x)",
            "This is the derivative of the sigmoid approximation.",
            lambda d, x: d * (sigmoid(1.702 * x) + 1.702 * x * sigmoid(1.702 * x) * sigmoid(-1.702 * x)),
        ),
        Mistake(
            "the derivative of x σ(x)",
            "This is the derivative of SiLU.",
            lambda d, x: d * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
        ),
        Mistake(
            "half of the product rule: only (1 + t)/2",
            "The other term of the product rule, x/2 times the derivative of tanh, is missing.",
            lambda d, x: d * 0.5 * (1 + tanh_part(x)),
        ),
        Mistake(
            "half of the product rule: only x/2 tanh'",
            "The other term of the product rule, (1 + t)/2, is missing.",
            lambda d, x: d * 0.5 * x * (1 - tanh_part(x) ** 2) * SCALE * (1 + 3 * CUBIC * x**2),
        ),
        Mistake(
            "the inner derivative is missing",
            "tanh's argument is k (x + a x³): multiply by k (1 + 3a x²).",
            lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2)),
        ),
        Mistake(
            "the inner derivative without its 3",
            "The derivative of a x³ is 3a x².",
            lambda d, x: (
                d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2) * SCALE * (1 + CUBIC * x**2))
            ),
        ),
        Mistake(
            "the inner derivative without √(2/π)",
            "The derivative of k (x + a x³) keeps the factor k.",
            lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2) * (1 + 3 * CUBIC * x**2)),
        ),
        Mistake(
            "the inner derivative without the cubic part",
            "The inner derivative is k (1 + 3a x²): the part 3a x² is missing.",
            lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2) * SCALE),
        ),
        Mistake(
            "1 - t instead of 1 - t²",
            "tanh' = 1 - tanh².",
            lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x)) * SCALE * (1 + 3 * CUBIC * x**2)),
        ),
        Mistake(
            "1 + t² instead of 1 - t²",
            "tanh' = 1 - tanh².",
            lambda d, x: (
                d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 + tanh_part(x) ** 2) * SCALE * (1 + 3 * CUBIC * x**2))
            ),
        ),
        Mistake("relu's derivative", "0 or 1 is the derivative of ReLU.", lambda d, x: d * (x > 0)),
        Mistake(
            "the forward value times dout", "This is dy · gelu(x), not its derivative.", lambda d, x: d * right.gelu(x)
        ),
    ),
    "layer_norm": (
        Mistake(
            "the mean of the squares minus the square of the mean",
            "For rows far from zero both are huge and their difference loses its digits: take the mean of (x - μ)².",
            lambda x, w, b: mean_free(x) / np.sqrt(mean(x * x) - mean(x) ** 2 + 1e-5) * w + b,
        ),
        Mistake(
            "the unbiased variance", "Divide by C, not by C - 1 (ddof=0).", lambda x, w, b: normalise(x, 1)[0] * w + b
        ),
        Mistake(
            "ε is missing",
            "Divide by √(σ² + ε): without ε a constant row gives 0/0.",
            lambda x, w, b: normalise(x, eps=0)[0] * w + b,
        ),
        Mistake(
            "ε outside the root",
            "Divide by √(σ² + ε), not by √σ² + ε.",
            lambda x, w, b: mean_free(x) / (np.sqrt(mean(mean_free(x) ** 2)) + 1e-5) * w + b,
        ),
        Mistake("ε of another size", "ε is 1e-5, torch's default.", lambda x, w, b: normalise(x, eps=1e-6)[0] * w + b),
        Mistake(
            "ε of another size (1e-8)", "ε is 1e-5, torch's default.", lambda x, w, b: normalise(x, eps=1e-8)[0] * w + b
        ),
        Mistake(
            "over the wrong axis",
            "Normalise over the last axis; over the first it is batch norm.",
            lambda x, w, b: normalise(x, axis=0)[0] * w + b,
        ),
        Mistake(
            "over all entries",
            "Every row has its own mean and variance.",
            lambda x, w, b: (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w + b,
        ),
        Mistake("weight and bias are missing", "y = w x̂ + b.", lambda x, w, b: normalise(x)[0]),
        Mistake("the bias is missing", "y = w x̂ + b.", lambda x, w, b: normalise(x)[0] * w),
        Mistake(
            "the root is missing",
            "Divide by √(σ² + ε), not by σ² + ε.",
            lambda x, w, b: normalise(x)[0] * normalise(x)[1] * w + b,
        ),
        Mistake("the mean is not subtracted", "x̂ = (x - μ) / √(σ² + ε).", lambda x, w, b: x * normalise(x)[1] * w + b),
        Mistake(
            "RMS norm",
            "Layer norm subtracts the mean first; RMS norm does not.",
            lambda x, w, b: x / np.sqrt(mean(x * x) + 1e-5) * w + b,
        ),
        Mistake(
            "the variance is not divided",
            "The variance is the mean of the squares, not their sum.",
            lambda x, w, b: mean_free(x) / np.sqrt((mean_free(x) ** 2).sum(-1, keepdims=True) + 1e-5) * w + b,
        ),
    ),
    "layer_norm_backward": (
        Mistake(
            "both mean terms are missing",
            "μ and σ depend on x too: subtract mean(dx̂) and x̂ mean(dx̂ x̂).",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * dh),
        ),
        Mistake(
            "mean(dx̂) is missing",
            "μ depends on x too: subtract mean(dx̂).",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - xh * mean(dh * xh))),
        ),
        Mistake(
            "x̂ mean(dx̂ x̂) is missing",
            "σ depends on x too: subtract x̂ mean(dx̂ x̂).",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - mean(dh))),
        ),
        Mistake(
            "mean(dx̂ x̂) without its x̂",
            "The variance's term is x̂ mean(dx̂ x̂).",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - mean(dh) - mean(dh * xh))),
        ),
        Mistake(
            "x̂ mean(dx̂) instead of x̂ mean(dx̂ x̂)",
            "The variance's term is x̂ mean(dx̂ x̂).",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - mean(dh) - xh * mean(dh))),
        ),
        Mistake(
            "the mean terms are added",
            "Both mean terms are subtracted.",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh + mean(dh) + xh * mean(dh * xh))),
        ),
        Mistake(
            "sums instead of means",
            "Both terms are means, mean(dx̂) and mean(dx̂ x̂): divide the sums by C.",
            lambda d, x, w, b: norm_backward(
                d, x, w, lambda dh, xh, s: s * (dh - dh.sum(-1, keepdims=True) - xh * (dh * xh).sum(-1, keepdims=True))
            ),
        ),
        Mistake(
            "1/√(σ² + ε) is missing",
            "x̂ is x divided by √(σ² + ε), so dx is too.",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: dh - mean(dh) - xh * mean(dh * xh)),
        ),
        Mistake(
            "1/(σ² + ε) instead of its root",
            "Divide by √(σ² + ε) once.",
            lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * s * (dh - mean(dh) - xh * mean(dh * xh))),
        ),
        Mistake("the unbiased variance", "Divide by C, not by C - 1 (ddof=0).", lambda d, x, w, b: unbiased(d, x, w)),
        Mistake(
            "the weight is missing in dx",
            "dx̂ = w dy: multiply by the weight first.",
            lambda d, x, w, b: norm_backward(
                d, x, np.ones_like(w), lambda dh, xh, s: s * (dh - mean(dh) - xh * mean(dh * xh))
            ),
        ),
        Mistake(
            "the weight is multiplied last",
            "dx̂ = w dy: the weight belongs inside the means.",
            lambda d, x, w, b: norm_backward(
                d, x, np.ones_like(w), lambda dh, xh, s: w * s * (dh - mean(dh) - xh * mean(dh * xh))
            ),
        ),
        Mistake(
            "dweight with x in place of x̂",
            "dw = Σ dy x̂, the normalised x.",
            lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], sum_rows(d * x), sum_rows(d)),
        ),
        Mistake(
            "dweight with the centred x",
            "dw = Σ dy x̂: divide the centred x by √(σ² + ε) as well.",
            lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], sum_rows(d * mean_free(x)), sum_rows(d)),
        ),
        Mistake(
            "dweight with w dy",
            "dw = Σ dy x̂, without w.",
            lambda d, x, w, b: (
                right.layer_norm_backward(d, x, w, b)[0],
                sum_rows(d * w * normalise(x)[0]),
                sum_rows(d),
            ),
        ),
        Mistake(
            "dweight and dbias are means",
            "Every row adds to them: take the sum.",
            lambda d, x, w, b: (
                right.layer_norm_backward(d, x, w, b)[0],
                *(g / (d.size // d.shape[-1]) for g in right.layer_norm_backward(d, x, w, b)[1:]),
            ),
        ),
        Mistake(
            "dweight and dbias are not summed",
            "They have the shapes of weight and bias: sum over the rows.",
            lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], d * normalise(x)[0], d),
        ),
        Mistake(
            "dweight and dbias are summed over the first axis only",
            "Sum over every leading axis.",
            lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], (d * normalise(x)[0]).sum(0), d.sum(0)),
        ),
        Mistake(
            "dbias is w dy",
            "db = Σ dy, without w.",
            lambda d, x, w, b: (*right.layer_norm_backward(d, x, w, b)[:2], sum_rows(d * w)),
        ),
        Mistake("ε is missing", "Use √(σ² + ε), as in the forward pass.", lambda d, x, w, b: without_eps(d, x, w)),
    ),
    "embedding_backward": (
        Mistake(
            "assigned instead of added",
            "dW[tokens] = dout keeps only the last gradient of a repeated token, and so does +=. Use np.add.at.",
            lambda d, t, v: assigned(d, t, v),
        ),
        Mistake(
            "the first place only",
            "A token that occurs twice receives both gradients.",
            lambda d, t, v: assigned(d[::-1], t[::-1], v) if t.ndim == 1 else assigned(d[::-1, ::-1], t[::-1, ::-1], v),
        ),
        Mistake(
            "divided by the token's count",
            "The gradients of a token add up; they are not averaged.",
            lambda d, t, v: (
                right.embedding_backward(d, t, v) / np.maximum(np.bincount(t.reshape(-1), minlength=int(v)), 1)[:, None]
            ),
        ),
        Mistake(
            "divided by the number of places",
            "The gradients add up; do not divide them.",
            lambda d, t, v: right.embedding_backward(d, t, v) / t.size,
        ),
        Mistake("transposed", "dW has the shape of W: (V, C).", lambda d, t, v: right.embedding_backward(d, t, v).T),
        Mistake(
            "the gradient is not gathered by token",
            "dW has one row for each token of the vocabulary, not for each place.",
            lambda d, t, v: d,
        ),
        Mistake(
            "a row too low",
            "Token v's gradient belongs in row v.",
            lambda d, t, v: np.roll(right.embedding_backward(d, t, v), 1, 0),
        ),
        Mistake(
            "token counts",
            "This counts the places of each token: add up their dout instead.",
            lambda d, t, v: right.embedding_backward(np.ones_like(d), t, v),
        ),
    ),
}
