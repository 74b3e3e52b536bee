"""`evaluate --model A --against B`: is B better than A?

Both models score the same pairs, and the bootstrap draws the same prompts, with all their pairs, for both. Pairs that
are hard for both cancel in the difference, so its interval is much shorter than those of A and B suggest. The result
is about these two models, not about the ways in which they were trained: another seed gives other models.
"""

import numpy as np

from .. import metrics
from ..cli.text import counted, table
from ..errors import InputError
from .measures import bootstrapped
from .text import FEW, NAMES, interval_text

SCORES = {"accuracy": metrics.accuracy, "loss": metrics.log_loss}
NOT_TOLD_APART = "not told apart"


def compared(a, b, rng):
    """Comparisons of A and of B -> {"pairs", "prompts", "accuracy", "loss"}, on the rows that both models read

    Each score has its value for "a" and for "b", and their "difference" b - a with its interval.
    """
    in_b, in_a = np.isin(a.row, b.row), np.isin(b.row, a.row)
    if not in_b.any():
        raise InputError("there is no pair that both models read to its end: give shorter texts")
    true, prompt = a.true[in_b], a.prompt[in_b]
    found: dict = {"pairs": len(prompt), "prompts": len(np.unique(prompt))}
    for name, score in SCORES.items():
        of_a, of_b = (score(margin, true, each=True) for margin in (a.margin[in_b], b.margin[in_a]))
        difference = bootstrapped(of_b - of_a, prompt, rng)
        found[name] = {"a": float(of_a.mean()), "b": float(of_b.mean()), "difference": difference}
        found[name]["b_is"] = verdict(difference, 1 if name == "accuracy" else -1)
    return found


def verdict(difference, sign):
    """ "better" or "worse" if the interval does not contain 0        sign: 1 if more is better, else -1"""
    low, high = (difference[name] for name in ("low", "high"))
    if low is None or low <= 0 <= high:
        return NOT_TOLD_APART
    return "better" if sign * low > 0 else "worse"


def as_text(result, a, b):
    """The lines that the command prints; a and b are the models' directories"""
    yield f"A         {a}"
    yield f"B         {b}"
    yield f"compared  {counted(result['pairs'], 'pair')} of {counted(result['prompts'], 'prompt')}, read by both"
    yield ""
    rows = [["", "A", "B", "B - A", "95 % interval", "B is"]]
    for name in SCORES:
        row = result[name]
        numbers = f"{row['a']:.4f}", f"{row['b']:.4f}", f"{row['difference']['value']:+.4f}"
        rows.append([NAMES[name], *numbers, interval_text(row["difference"], "+.4f"), row["b_is"]])
    yield from table(rows)
    yield "Prompts drawn again, for both models at once. It speaks of these two models,"
    yield "not of the ways in which they were trained."
    if 1 < result["prompts"] < FEW:
        yield f"Of {result['prompts']} prompts the bootstrap is too narrow: trust it from some {FEW} on."
