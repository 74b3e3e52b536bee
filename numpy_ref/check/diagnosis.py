"""Names the mistake behind a wrong answer: the known wrong version that gives the same answers throughout.

Not from one counterexample, where many mistakes look alike, but from a sample of inputs of the property that failed;
of several that fit, the one that also explains most of the other properties, and of these the best known.
"""

import itertools
import time
import warnings

import numpy as np

from . import oracles
from .functions import FUNCTIONS, Mistake
from .host import DOUT
from .mistakes import CATALOGUE
from .mutants import mutants
from .properties import PROPERTIES
from .sandbox import Lost
from .search import Refuted, inputs
from .values import agree

SAMPLE = 20  # inputs on which a mistake must give the same answers as the submission


def outcome(function, arguments):
    """What a wrong version gives: its value, or the name of the exception it raises"""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*(a.copy() for a in arguments))
    except Exception as error:
        return type(error).__name__


def alike(a, b, prop):
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    if isinstance(a, tuple | list) or isinstance(b, tuple | list):
        if not (isinstance(a, tuple | list) and isinstance(b, tuple | list) and len(a) == len(b)):
            return False
        parts = range(len(a)) if prop.part is None else [prop.part]
        return all(alike(a[i], b[i], prop._replace(part=None)) for i in parts)
    return a is not None and not isinstance(a, dict) and agree(a, b, prop.kind == "tail")


def answers(judge, prop):
    """The submission's own outcomes on the property's sample"""

    if prop not in judge.memory:
        judge.memory[prop] = []
        for arguments in inputs(prop)[:SAMPLE]:
            try:
                got = judge.gradient(arguments) if prop.kind == "autograd" else judge.ask(arguments)[0]
                got = got[0] if prop.kind == "autograd" and len(got) == 1 else got
            except Refuted as refuted:
                got = refuted.got
            judge.memory[prop].append((arguments, got))
    return judge.memory[prop]


def explains(mistake, judge, prop):
    if (mistake, prop) not in judge.memory:
        same = (alike(got, outcome(mistake.wrong, given), prop) for given, got in answers(judge, prop))
        judge.memory[mistake, prop] = all(same)
    return judge.memory[mistake, prop]


def breaks(mistake, oracle, prop, arguments):
    """Whether the property really fails for this mistake on the counterexample"""
    if prop.law is not None:
        try:
            with np.errstate(all="ignore"):
                return not agree(*prop.law(mistake.wrong, *arguments))
        except Exception:
            return True
    return not alike(outcome(mistake.wrong, arguments), outcome(oracle, arguments), prop)


def name_mistake(judge, prop, refuted):
    """(name, hint) or two empty strings; of autograd's gradient, the mistake of the backward that it stands for"""

    if prop.kind == "manners":
        return "", ""
    name = judge.function.name + "_backward" * (prop.kind == "autograd")
    oracle = getattr(oracles, name)
    alike_kinds = ("autograd",) if prop.kind == "autograd" else ("value", "tail")
    others = [p for p in PROPERTIES[judge.function.name] if p.kind in alike_kinds]
    known, made = CATALOGUE[name], (generic(name, oracle), negated(name), mutants(name))
    try:
        best = most_telling(known, judge, prop, oracle, refuted, others)
        return best or most_telling(itertools.chain(*made), judge, prop, oracle, refuted, others) or ("", "")
    except Lost:
        return "", ""


def most_telling(mistakes, judge, prop, oracle, refuted, others):
    """(name, hint) of the one that explains this property and most of the others, or None"""
    best, most = None, -1
    for mistake in mistakes:
        if most == len(others) or time.monotonic() > judge.end:
            break
        if breaks(mistake, oracle, prop, refuted.arguments) and explains(mistake, judge, prop):
            explained = sum(explains(mistake, judge, p) for p in others)
            if explained > most:
                best, most = (mistake.name, mistake.hint), explained
    return best


def parts(value):
    return value if isinstance(value, tuple) else (value,)


def back(values, like):
    return tuple(values) if isinstance(like, tuple) else values[0]


def scaled(oracle, factor, only=None):
    def wrong(*arguments):
        right = oracle(*arguments)
        k = factor(arguments) if callable(factor) else factor
        return back([k * v if only in (None, i) else v for i, v in enumerate(parts(right))], right)

    return wrong


def rows(arguments):
    return float(np.shape(arguments[0])[0]) if np.ndim(arguments[0]) else 1.0


FACTORS = (
    ("the sign is lost", "This is the right answer with the opposite sign.", -1.0),
    ("twice too large", "This is the right answer times 2.", 2.0),
    ("half too small", "This is half of the right answer.", 0.5),
    ("a sum where a mean belongs", "This is the right answer times the length of the first axis: mean, not sum.", rows),
    (
        "a mean where a sum belongs, or a mean taken twice",
        "This is the right answer divided by the length of the first axis once more.",
        lambda arguments: 1 / rows(arguments),
    ),
    ("zero everywhere", "This returns zeros.", 0.0),
)


def generic(name, oracle):
    """Mistakes that any function may have, made from the right answer; then the same in one of several results"""
    function = FUNCTIONS[name]
    results = function.results
    found = [Mistake(title, hint, scaled(oracle, k)) for title, hint, k in FACTORS]
    if len(results) == 2:
        swap = f"{results[0]} and {results[1]} are exchanged"
        found.append(Mistake(swap, "Each is right, but returned in the other's place.", lambda *a: oracle(*a)[::-1]))
    if len(results) > 1:
        for i, result in enumerate(results):
            found += [Mistake(f"{result}: {t}", f"Of {result}: {h}", scaled(oracle, k, i)) for t, h, k in FACTORS]
    if function.arguments[0] == "dout":
        hint = "This is the answer for dout of ones: multiply by the gradient that comes from above."
        found.append(Mistake("dout is ignored", hint, lambda dout, *a: oracle(np.ones_like(dout), *a)))
    elif function.forward:
        hint = "Multiply by dout, the gradient that comes from above, even though it is mostly 1."
        found.append(Mistake("dout is ignored", hint, scaled(oracle, 1 / DOUT)))
    return found


def negated(name):
    """Two mistakes at once: a known one and the sign"""
    return [
        Mistake(f"{m.name}; and the sign is lost", f"{m.hint} Besides, the sign is opposite.", scaled(m.wrong, -1.0))
        for m in CATALOGUE[name]
    ]
