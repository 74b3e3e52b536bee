"""A linear head on frozen features: Bradley-Terry with r = φ w, a convex problem that Newton's method solves.

M distinct responses have features φ (M, C). The N pairs are rows (chosen, rejected) of indices into them. A response
may be in many pairs; its features are stored once, and sums over the pairs become sums over the responses. With λ > 0
there is one minimum, and the gradient bounds the distance to it: |w - minimum| ≤ |dL/dw| / λ.
"""

import numpy as np

from ..losses import log_sigmoid, sigmoid, sigmoid_derivative
from .newton import Terms, newton

TOLERANCE = 1e-10  # of the Newton decrement δ: the loss is δ²/2 above its minimum


def head_loss(weight, features, pairs, ridge):
    """L = mean[ -log σ(Δ) ] + λ/2 |w|²,  Δ = (φ_chosen - φ_rejected) w        (C,), (M, C), (N, 2) -> ()"""
    reward = features @ weight  # (M,)
    delta = reward[pairs[:, 0]] - reward[pairs[:, 1]]  # (N,)
    loss = -log_sigmoid(delta).mean() + ridge / 2 * (weight @ weight)
    return loss, (delta, weight, features, pairs, ridge)


def head_loss_backward(dout, cache):
    """dL/dw = -φᵀ s / N + λ w,  s the sum of ±σ(-Δ) over a response's pairs, + where it was chosen        () -> (C,)"""
    delta, weight, features, pairs, ridge = cache
    pull = _over_pairs(sigmoid(-delta), pairs, len(features))
    return dout * (ridge * weight - features.T @ pull / len(pairs))


def curvature(cache):
    """v -> (φᵀ B φ / N + λ) v,  B = Σ over the pairs of σ'(Δ) (e_c - e_r)(e_c - e_r)ᵀ        -> (C,) -> (C,)"""
    delta, _, features, pairs, ridge = cache
    chosen, rejected = pairs.T
    slope = sigmoid_derivative(delta) / len(pairs)  # (N,)

    def multiply(v):
        reward = features @ v
        return features.T @ _over_pairs(slope * (reward[chosen] - reward[rejected]), pairs, len(features)) + ridge * v

    return multiply


def fit_heads(features, pairs, ridges):
    """The weights of least loss for each ridge, and their certificates (dicts)        (M, C), (N, 2), (R,) -> (R, C)

    The fit uses coordinates along the principal axes of the features; there are at most M axes. A rotation changes
    neither the rewards nor |w|. Along these axes the curvature is nearly diagonal, so conjugate gradients need few
    steps; the preconditioner is the diagonal with σ' at its maximum 1/4. Ridges are fitted from the strongest to the
    weakest, each starting from the fit before it. The certificate's gradient norm and distance bound are those of the
    weights returned.
    """
    features = features - features.mean(axis=0)  # a constant in the reward changes no margin
    along, sizes, axes = np.linalg.svd(features, full_matrices=False)
    coordinates = along * sizes  # (M, min(M, C))
    steepest = np.square(coordinates[pairs[:, 0]] - coordinates[pairs[:, 1]]).mean(axis=0) / 4
    weights, found = np.zeros((len(ridges), features.shape[1])), np.zeros(len(axes))
    certificates: list = [None] * len(ridges)
    for i in np.argsort(ridges)[::-1]:

        def minus_loss(v, ridge=ridges[i]):
            loss, cache = head_loss(v, coordinates, pairs, ridge)
            return Terms(-loss, -head_loss_backward(1.0, cache), curvature(cache), steepest + ridge)

        found, certificate, _ = newton(minus_loss, found, TOLERANCE)
        weights[i] = found @ axes
        gradient = head_loss_backward(1.0, head_loss(weights[i], features, pairs, ridges[i])[1])
        norm = float(np.linalg.norm(gradient))
        certificates[i] = certificate | {"gradient_norm": norm, "distance_bound": norm / ridges[i]}
    return weights, certificates


def scale_of(features):
    """s = √C times the standard deviation of each feature        (M, C) -> (C,)

    The squared norm of a row of φ / s, centred, is 1 on average.

    A feature that is constant up to rounding is divided by a floor, so that its rounding is not magnified. No mean is
    subtracted, because a constant changes no margin. So the scale s folds into the head, r = (φ / s) w = φ (w / s).
    """
    spread = features.std(axis=0)
    return np.maximum(spread, 1e-6 * spread.max()) * np.sqrt(len(spread))


def fit_standardised(features, pairs, ridge):
    """fit_heads on φ / scale; the weights returned are for φ itself"""
    scale = scale_of(features[np.unique(pairs)])
    weights, certificates = fit_heads(features / scale, pairs, [ridge])
    return weights[0] / scale, certificates[0]


def left_out_margins(features, pairs, groups, ridges):
    """Margins of every pair by heads that were fitted without its group        (M, C), (N, 2), (N,), (R,) -> (R, N)

    The features' scale is also computed without the group, from the responses of the other pairs.
    """
    margins = np.empty((len(ridges), len(pairs)))
    for group in np.unique(groups):
        out = groups == group
        seen, rows = np.unique(pairs[~out], return_inverse=True)
        scaled = features / scale_of(features[seen])
        weights, _ = fit_heads(scaled[seen], rows, ridges)
        reward = scaled @ weights.T  # (M, R)
        margins[:, out] = (reward[pairs[out, 0]] - reward[pairs[out, 1]]).T
    return margins


def _over_pairs(x, pairs, n):
    """Σ over the pairs of x (e_chosen - e_rejected)        (N,) -> (M,)"""
    return np.bincount(pairs[:, 0], x, n) - np.bincount(pairs[:, 1], x, n)
