"""Explains a wrong gradient by comparing it with the right one: a lost sign, a transpose, a factor, a missing part."""

import numpy as np


def explain(name, got, want):  # noqa: ARG001  another `explain` may look a mistake up by the name
    """A sentence if a common mistake turns `want` into `got`, else None"""
    if np.isnan(got).any():
        return "it is NaN"
    if not np.isfinite(got).all():
        return "it is not finite"
    size = abs(want).max(initial=0.0)
    if size == 0 or got.shape != want.shape:
        return None
    if not got.any():
        return "it is zero everywhere"
    for sentence, other in forms(want):
        if other.shape == want.shape and abs(other - want).max() > 1e-3 * size and close(got, other, size):
            return sentence
    return factor(got, want, size) or offset(got, want, size) or partly(got, want, size)


def close(a, b, size):
    """Equal to 1e-5 of the size"""
    return bool(abs(a - b).max(initial=0.0) <= 1e-5 * size)


def forms(want):
    """Yields (sentence, the gradient with that mistake)"""
    yield "the minus sign is lost: this is the gradient's negative", -want
    yield "this is the gradient's transpose", np.transpose(want)
    for axis in range(want.ndim):
        yield f"axis {axis} runs backwards", np.flip(want, axis)
        yield f"axis {axis} is shifted by one", np.roll(want, 1, axis)
        yield f"axis {axis} is shifted by one", np.roll(want, -1, axis)


def factor(got, want, size):
    """A sentence if `got` is a constant times `want`; it says if the constant is the length of an axis"""
    k = float((got * want).sum() / (want * want).sum())
    if abs(k - 1) <= 1e-3 or not close(got, k * want, size):
        return None
    lengths = {f"the length of axis {axis}": length for axis, length in enumerate(want.shape) if length > 1}
    for words, length in (lengths | {"the number of entries": want.size}).items():
        for value, said in ((length, "a sum where a mean belongs"), (1 / length, "a mean where a sum belongs")):
            if abs(k - value) <= 1e-5 * value:
                return f"it is {k:.6g} times the gradient, {words}: {said}"
    return f"it is {k:.6g} times the gradient: a constant forgotten, or a sum where a mean belongs"


def offset(got, want, size):
    """A sentence if one constant is added to every entry"""
    c = float((got - want).mean())
    constant = got.size > 1 and abs(c) > 1e-9 * size and close(got, want + c, abs(c))
    return f"it is the gradient plus {c:.6g}" if constant else None


def partly(got, want, size):
    """A sentence if some entries are zero and all the others right: a part was forgotten"""
    zero = got == 0
    if zero.any() and not zero.all() and close(got[~zero], want[~zero], size) and abs(want[zero]).max() > 1e-3 * size:
        return f"{int(zero.sum())} of its {got.size} entries are zero and the others right: a part is forgotten"
    return None
