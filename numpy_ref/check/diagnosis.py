"""Names the mistake behind a wrong answer: a known wrong version that always gives the same answers as the submission.

Always means on a sample of the inputs of every property that judges values, passed or failed. A version that is right
where the submission is wrong, or wrong where it is right, is not the mistake that was made. If no version fits, no
mistake is named.
"""

import itertools
import warnings

import numpy as np

from . import oracles
from .functions import FUNCTIONS, Mistake
from .mistakes import CATALOGUE
from .mutants import mutants
from .properties import PROPERTIES
from .sandbox import Lost, Without
from .search import Refuted, inputs
from .submission.adapt import DOUT
from .values import ULPS, agree, yardstick

SAMPLE = 20  # inputs of each property on which a mistake must give the same answers as the submission
ROUNDING = 3e-16  # the error of a number to which 1 was added and then subtracted


class Exception_(str):
    """The message of an exception, from a wrong version or from the submission"""


def outcome(function, arguments):
    """The value of a function, or the message of its exception as an Exception_"""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*(a.copy() for a in arguments))
    except Exception as error:
        return Exception_(" ".join(str(error).split())[:300])


def alike(a, b, prop):
    """Do two outcomes agree in the parts and digits that the property judges?"""
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, Exception_) and isinstance(b, Exception_) and bool(b) and b in a
    if isinstance(a, tuple | list) or isinstance(b, tuple | list):
        if not (isinstance(a, tuple | list) and isinstance(b, tuple | list) and len(a) == len(b)):
            return False
        parts = range(len(a)) if prop.part is None else [prop.part]
        return all(alike(a[i], b[i], prop._replace(part=None)) for i in parts)
    if a is None or b is None or isinstance(a, dict):
        return False
    return _alike_in_the_tail(a, b) if prop.kind == "tail" else agree(a, b)


def _alike_in_the_tail(a, b):
    """Equal within ULPS, or off by rounding only: both have then lost their digits, and what is left is no evidence"""
    a, b = np.asarray(a), np.asarray(b)
    return agree(a, b, ULPS) or (a.shape == b.shape and bool((np.abs(a - b) <= ROUNDING).all()))


def lost_alike(a, b, right):
    """Have the entries of a and b lost their digits in the same places?"""
    if isinstance(a, str) or isinstance(b, str):
        return True
    lost = [[agree(x, y, ULPS) for x, y in zip(parts(value), parts(right), strict=False)] for value in (a, b)]
    return lost[0] == lost[1]


def answers(judge, prop):
    """[(arguments, the submission's own outcome)] on the property's sample"""
    if prop not in judge.memory:
        judge.memory[prop] = []
        for arguments in inputs(prop, judge.seed)[:SAMPLE]:
            if judge.memory[prop] and judge.spent > 2 * judge.seconds:
                break
            try:
                got = judge.gradient(arguments) if prop.kind == "autograd" else judge.ask(arguments).value
                got = got[0] if prop.kind == "autograd" and len(got) == 1 else got
            except Refuted as refuted:
                got = Exception_(refuted.sentence)
            judge.memory[prop].append((arguments, got))
    return judge.memory[prop]


def explains(mistake, judge, prop, digits=True):
    """Does the mistake give the submission's answers on the whole sample of this property?

    With `digits`, it must also have lost its digits in the same places.
    """
    key = mistake, prop, digits
    if key not in judge.memory:
        judge.memory[key] = all(_same(mistake, judge, prop, digits, *pair) for pair in answers(judge, prop))
    return judge.memory[key]


def _same(mistake, judge, prop, digits, given, got):
    wrong = outcome(mistake.wrong, given)
    digits = digits and prop.kind == "tail"
    return alike(got, wrong, prop) and (not digits or lost_alike(got, wrong, judge.oracle(*given)))


def breaks(mistake, oracle, prop, arguments):
    """Whether the property really fails for this mistake on the counterexample"""
    if prop.law is not None:
        try:
            with np.errstate(all="ignore"):
                return not agree(*prop.law(mistake.wrong, *arguments))
        except Exception:
            return True
    right, wrong = outcome(oracle, arguments), outcome(mistake.wrong, arguments)
    if isinstance(wrong, str) or len(parts(wrong)) != len(parts(right)):
        return True
    several = isinstance(right, tuple)
    return not all(
        agree(a, b, *yardstick(prop, oracle, arguments, place if several else None))
        for place, (a, b) in enumerate(zip(parts(wrong), parts(right), strict=True))
        if prop.part in (None, place)
    )


def name_mistake(judge, prop, refuted):
    """((name, hint), number of inputs on which it agrees), or (("", ""), 0) if no mistake fits

    For a property of the kind `autograd`, these are the mistakes of the backward.
    """
    if prop.kind == "manners":
        return ("", ""), 0
    if prop.kind == "option":
        return option_ignored(judge, refuted), 1
    name = judge.function.name + "_backward" * (prop.kind == "autograd")
    oracle = getattr(oracles, name)
    kinds = ("autograd",) if prop.kind == "autograd" else ("value", "tail")
    others = [p for p in PROPERTIES[judge.function.name] if p.kind in kinds]
    made = itertools.chain(generic(name, oracle), fitted(judge, prop, oracle), negated(name), mutants(name))
    # last, known mistakes apart from lost digits: these are a mistake of their own, with a sentence of their own
    passes = [(CATALOGUE[name], True), (made, True)] + [(CATALOGUE[name], False)] * (prop.kind != "tail")
    try:
        for candidates, digits in passes:
            for mistake in candidates:
                if judge.spent > 3 * judge.seconds:
                    return ("", ""), 0
                if not breaks(mistake, oracle, prop, refuted.arguments):
                    continue
                if all(explains(mistake, judge, p, digits) for p in others):
                    return (mistake.name, mistake.hint), len(answers(judge, prop if prop in others else others[0]))
    except (Lost, Without):
        pass
    return ("", ""), 0


def option_ignored(judge, refuted):
    """(name, hint) if the function takes its option but answers as for the default value, else ("", "")"""
    *arguments, _ = refuted.arguments
    with np.errstate(all="ignore"):
        try:
            got, usual = judge.value(refuted.arguments)[0], judge.oracle(*arguments)
        except (Refuted, Lost, Without):
            return "", ""
    if all(agree(a, b) for a, b in zip(parts(got), parts(usual), strict=True)):
        (name,) = judge.function.optional
        return f"{name} is ignored", f"The function takes {name} and computes with the default."
    return "", ""


def parts(value):
    """The results as a tuple, even if there is only one"""
    return value if isinstance(value, tuple) else (value,)


def back(values, like):
    """The inverse of `parts`: a tuple if `like` is one, else the only value"""
    return tuple(values) if isinstance(like, tuple) else values[0]


def scaled(oracle, factor, only=None):
    """The right answer times a factor: a number or factor(arguments); `only`: in this one of several results"""

    def wrong(*arguments):
        right = oracle(*arguments)
        k = factor(arguments) if callable(factor) else factor
        return back([k * v if only in (None, i) else v for i, v in enumerate(parts(right))], right)

    return wrong


def rows(arguments):
    """The length of the first argument's first axis, 1 for a number"""
    return float(np.shape(arguments[0])[0]) if np.ndim(arguments[0]) else 1.0


def columns(arguments):
    """The length of the first argument's last axis if it has two axes or more, else 1"""
    return float(np.shape(arguments[0])[-1]) if np.ndim(arguments[0]) > 1 else 1.0


def entries(arguments):
    """The number of the first argument's entries if it has two axes or more, else 1"""
    return float(np.size(arguments[0])) if np.ndim(arguments[0]) > 1 else 1.0


def inverse(factor):
    """1 / factor(arguments)"""
    return lambda arguments: 1 / factor(arguments)


FACTORS = (
    ("the sign is lost", "This is the right answer with the opposite sign.", -1.0),
    ("twice too large", "This is the right answer times 2.", 2.0),
    ("half too small", "This is half of the right answer.", 0.5),
    ("a sum where a mean belongs", "This is the right answer times the length of the first axis: mean, not sum.", rows),
    (
        "a mean where a sum belongs, or a mean taken twice",
        "This is the right answer divided by the length of the first axis once more.",
        inverse(rows),
    ),
    (
        "a sum over the last axis where a mean belongs",
        "This is the right answer times the last axis's length.",
        columns,
    ),
    ("divided by the length of the last axis", "Divided by it once too often.", inverse(columns)),
    ("a sum over all entries where a mean belongs", "This is the right answer times the number of entries.", entries),
    ("divided by the number of entries", "Divided by it once too often.", inverse(entries)),
    ("zero everywhere", "This returns zeros.", 0.0),
)


def fitted(judge, prop, oracle):
    """Mistakes suggested by the first wrong answer: a constant factor, a constant term, a transpose"""
    pairs = [(given, got, outcome(oracle, given)) for given, got in answers(judge, prop) if not isinstance(got, str)]
    names = FUNCTIONS[judge.function.name].results
    for part in range(len(names)):
        if prop.part not in (None, part) or (len(names) == 1 and part):
            continue
        seen = [(g, _part(got, part), _part(want, part)) for g, got, want in pairs]
        seen = [(g, np.asarray(a), np.asarray(b)) for g, a, b in seen if isinstance(a, np.ndarray | float | int)]
        wrong = [(a, b) for _, a, b in seen if a.shape != b.shape or not agree(a, b)]
        if not wrong:
            continue
        title = f"{names[part]}: " if len(names) > 1 else ""
        yield from _forms(title, *wrong[0], oracle, part)


def _part(value, part):
    return value[part] if isinstance(value, tuple | list) and len(value) > part else value


def _forms(title, got, want, oracle, part):
    if got.shape == want.shape and want.size:
        weight = float((want * want).sum())
        if weight > 0 and np.isfinite(got).all():
            factor = float((got * want).sum()) / weight
            words = f"{title}{factor:.6g} times the right answer"
        if weight > 0 and np.isfinite(got).all() and abs(factor - 1) > 1e-3:
            yield Mistake(words, "A constant factor is too much or missing.", scaled(oracle, factor, part))
        if np.isfinite(got).all():
            offset = float((got - want).mean())
            words = f"{title}the right answer plus {offset:.6g}"
            yield Mistake(words, "A constant is added or forgotten.", _changed(oracle, lambda v: v + offset, part))
    if want.ndim == 2:
        yield Mistake(f"{title}transposed", "Rows and columns are exchanged.", _changed(oracle, np.transpose, part))


def _changed(oracle, change, only):
    def wrong(*arguments):
        right = oracle(*arguments)
        return back([change(v) if i == only else v for i, v in enumerate(parts(right))], right)

    return wrong


def generic(name, oracle):
    """Mistakes that any function may have, made from the right answer; of several results, also in one alone"""
    function = FUNCTIONS[name]
    results = function.results
    found = [Mistake(title, hint, scaled(oracle, k)) for title, hint, k in FACTORS]
    for i, j in itertools.combinations(range(len(results)), 2):
        swap = f"{results[i]} and {results[j]} are exchanged"
        found.append(Mistake(swap, "Each is right, but returned in the other's place.", _exchanged(oracle, i, j)))
    if len(results) > 1:
        for i, result in enumerate(results):
            only = f"The mistake is in {result} alone."
            found += [Mistake(f"{result}: {t}", f"{only} {h}", scaled(oracle, k, i)) for t, h, k in FACTORS]
    if function.arguments[0] == "dout":
        hint = "This is the answer for dout of ones: multiply by the gradient that comes from above."
        found.append(Mistake("dout is ignored", hint, lambda dout, *a: oracle(np.ones_like(dout), *a)))
    elif function.forward:
        hint = "Multiply by dout, the gradient that comes from above, even though it is mostly 1."
        found.append(Mistake("dout is ignored", hint, scaled(oracle, 1 / DOUT)))
    return found


def _exchanged(oracle, i, j):
    def wrong(*arguments):
        right = list(oracle(*arguments))
        right[i], right[j] = right[j], right[i]
        return tuple(right)

    return wrong


def negated(name):
    """Two mistakes at once: a known one and the sign"""
    return [
        Mistake(f"{m.name}; and the sign is lost", f"{m.hint} Besides, the sign is opposite.", scaled(m.wrong, -1.0))
        for m in CATALOGUE[name]
    ]
