"""Exercises in which the learner writes the property: a law must accept what is right and notice named mistakes.

A law of f_backward is a function law(*arguments, *results) -> bool: given the inputs and somebody's answer it says
whether the answer may be right. There is one point for each mistake it notices, and one for accepting every right
answer. A law that refuses a right answer, or that notices no mistake, gets no points: a constant is not a law.
"""

from typing import NamedTuple

import numpy as np

from . import oracles
from .functions import FUNCTIONS
from .judge import Result
from .mistakes import CATALOGUE
from .properties import PROPERTIES
from .sandbox import Lost, Raised
from .search import inputs
from .values import show_value


class Law(NamedTuple):
    """The published function whose answers the law judges, and the mistakes (of the catalogue) it should notice"""

    of: str
    mistakes: tuple[str, ...]

    @property
    def statements(self):
        return ("accepts every right answer", *(f"notices the mistake: {name}" for name in self.mistakes))


LAWS = {
    "sigmoid_law": Law(
        "sigmoid",
        (
            "the sign of the exponent is lost",
            "tanh instead of σ",
            "tanh(x/2) without its shift",
            "softmax instead of σ",
        ),
    ),
    "gradient_law": Law(
        "pairwise_loss_backward",
        (
            "the minus sign is lost",
            "the gradient for rejected is missing",
            "the mean over the batch is missing",
            "a hinge's gradient",
        ),
    ),
    "dpo_gradient_law": Law(
        "dpo_loss_backward",
        (
            "β is left out of the slope",
            "the reference is left out",
            "the minus sign is lost",
            "the mean over the batch is missing",
        ),
    ),
    "softmax_gradient_law": Law(
        "softmax_backward",
        (
            "the sum term is missing",
            "the sum term is added",
            "the sum runs over all rows",
            "zero, as for dout of ones",
        ),
    ),
}


def published_laws():
    """How the laws are called: all that a submission's process must know about them"""
    return {
        name: {
            "name": name,
            "arguments": (*FUNCTIONS[law.of].arguments, *FUNCTIONS[law.of].results),
            "optional": {},
            "results": ("truth",),
            "forward": "",
            "option": (),
        }
        for name, law in LAWS.items()
    }


def judge_law(name, call):
    """One result for each statement; call(arguments) -> bool, raising Raised or Lost"""
    law = LAWS[name]
    given = [arguments for prop in PROPERTIES[law.of][:2] for arguments in inputs(prop)]
    right, *mistakes = law.statements
    try:
        sentence = next((s for s in (refutes_the_right(law, call, arguments) for arguments in given) if s), "")
        if sentence:
            late = [Result(name, statement, "not reached", "a right answer is refused") for statement in mistakes]
            return [Result(name, right, "failed", sentence), *late]
        missed = [unnoticed(law, mistake, call, given) for mistake in law.mistakes]
    except Lost as lost:
        return [
            Result(name, s, "failed" if s == right else "not reached", f"the function {lost}") for s in law.statements
        ]
    if all(missed):
        results = [Result(name, right, "not reached", "no mistake is noticed: is it a constant?")]
    else:
        results = [Result(name, right, "passed")]
    for statement, sentence in zip(mistakes, missed, strict=True):
        results.append(Result(name, statement, "failed" if sentence else "passed", sentence))
    return results


def answered(call, arguments, answer):
    """(True or False as the law says, "") for this answer, or (None, what went wrong)"""
    try:
        said = call((*arguments, *(answer if isinstance(answer, tuple) else (answer,))))
    except Raised as raised:
        return None, raised.words
    if not isinstance(said, bool | np.bool_) and np.shape(said) != ():
        return None, f"returned an array of shape {np.shape(said)}: one True or False is asked (np.all)"
    return (bool(said), "") if said is not None else (None, "returned None: True or False is asked")


def refutes_the_right(law, call, arguments):
    """ "" or why the right answer was not accepted"""
    answer = getattr(oracles, law.of)(*arguments)
    said, problem = answered(call, arguments, answer)
    if said:
        return ""
    names = (*FUNCTIONS[law.of].arguments, *FUNCTIONS[law.of].results)
    values = (*arguments, *(answer if isinstance(answer, tuple) else (answer,)))
    shown = ", ".join(f"{n} = {show_value(v)}" for n, v in zip(names, values, strict=True))
    return problem or f"a right answer is refused: {shown}"


def unnoticed(law, mistake, call, given):
    """ "" or that the law accepts every answer of this mistake"""
    wrong = next(one.wrong for one in CATALOGUE[law.of] if one.name == mistake)
    problem = ""
    for arguments in given:
        with np.errstate(all="ignore"):
            said, problem = answered(call, arguments, wrong(*arguments))
        if said is False:
            return ""
    return problem or "every answer of this kind was accepted"
