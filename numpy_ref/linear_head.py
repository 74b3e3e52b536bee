"""A linear head on features that stay as they are: Bradley-Terry with r = φ w, convex, solved exactly by Newton.

M distinct responses have features φ (M, C); N pairs are rows (chosen, rejected) of indices into them. Each response
is run through the network once however many pairs it stands in, and here too it is met once: sums over the pairs
become sums over the responses. With λ > 0 there is one minimum, and |w - minimum| ≤ |dL/dw| / λ, a certificate.
"""

import numpy as np

from .losses import log_sigmoid, sigmoid, sigmoid_derivative
from .newton import newton

TOLERANCE = 1e-10  # of the Newton decrement δ: the loss is δ²/2 above its minimum


def head_loss(weight, features, pairs, ridge=0.0):
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
    """v -> (φᵀ B φ / N + λ) v and its diagonal,  B = Σ over the pairs of σ'(Δ) (e_c - e_r)(e_c - e_r)ᵀ"""
    delta, _, features, pairs, ridge = cache
    chosen, rejected = pairs.T
    slope = sigmoid_derivative(delta) / len(pairs)  # (N,)

    def multiply(v):
        reward = features @ v
        return features.T @ _over_pairs(slope * (reward[chosen] - reward[rejected]), pairs, len(features)) + ridge * v

    return multiply, slope @ (features[chosen] - features[rejected]) ** 2 + ridge


def fit_head(features, pairs, ridge, start=None):
    """The weights of least loss and their certificate (a dict)        (M, C), (N, 2) -> (C,)

    The fit happens along the principal axes of the features, of which there are no more than responses. A rotation
    changes neither rewards nor |w|, and along these axes the curvature is nearly diagonal: conjugate gradients need
    few steps. The certificate's gradient norm and bound speak of the weights returned.
    """
    features = features - features.mean(axis=0)  # a constant in the reward changes no margin
    along, sizes, axes = np.linalg.svd(features, full_matrices=False)
    coordinates = along * sizes  # (M, min(M, C))

    def minus_loss(v):
        loss, cache = head_loss(v, coordinates, pairs, ridge)
        return -loss, -head_loss_backward(1.0, cache), *curvature(cache)

    first = np.zeros(len(axes)) if start is None else axes @ start
    found, certificate, _ = newton(minus_loss, first, TOLERANCE)
    weight = axes.T @ found
    gradient = head_loss_backward(1.0, head_loss(weight, features, pairs, ridge)[1])
    norm = float(np.linalg.norm(gradient))
    return weight, certificate | {"gradient_norm": norm, "distance_bound": norm / ridge}


def scale_of(features):
    """Of each feature: its standard deviation times √C, so that φ / scale has mean square 1        (M, C) -> (C,)

    A feature that is constant but for rounding gets the floor: it is not blown up. Nothing is subtracted, for a
    constant changes no margin; so the scale folds into the head exactly, r = (φ / s) w = φ (w / s).
    """
    spread = features.std(axis=0)
    return np.maximum(spread, 1e-6 * spread.max()) * np.sqrt(len(spread))


def fit_standardised(features, pairs, ridge):
    """fit_head on the features of one size each; the weights returned are for the features as they are"""
    scale = scale_of(features[np.unique(pairs)])
    weight, certificate = fit_head(features / scale, pairs, ridge)
    return weight / scale, certificate


def left_out_margins(features, pairs, groups, ridges):
    """Margins of every pair by heads that never saw its group        (M, C), (N, 2), (N,), (R,) -> (R, N)

    Of each group in turn a head is fitted on all the other groups' pairs, with the scale of their responses alone; from
    the strongest ridge to the weakest, each fit starting from the one before.
    """
    margins = np.zeros((len(ridges), len(pairs)))
    for group in np.unique(groups):
        out = groups == group
        seen, rows = np.unique(pairs[~out], return_inverse=True)
        scaled = features / scale_of(features[seen])
        weight = None
        for i in np.argsort(ridges)[::-1]:
            weight, _ = fit_head(scaled[seen], rows.reshape(-1, 2), ridges[i], weight)
            reward = scaled[pairs[out]] @ weight  # (n, 2)
            margins[i, out] = reward[:, 0] - reward[:, 1]
    return margins


def _over_pairs(x, pairs, n):
    """Σ over the pairs of x (e_chosen - e_rejected)        (N,) -> (M,)"""
    return np.bincount(pairs[:, 0], x, n) - np.bincount(pairs[:, 1], x, n)
