"""The check cell of an exercise: judges what the notebook has just defined, in the notebook's own process.

The properties, the inputs and the hints are those of `python -m numpy_ref check`. Only the separate process is missing:
an endless loop is ended by interrupting the kernel.
"""

import sys
import warnings

import numpy as np

from ..errors import InputError
from .functions import FUNCTIONS
from .judge import Judge
from .laws import LAWS, judge_law
from .properties import PROPERTIES
from .sandbox import Raised, published, understood
from .submission.host import Host
from .submission.loader import describe
from .submission.wire import encode
from .text import score, text


def check(function, *helpers, seconds=60.0, seed=0):
    """Prints the report and returns the points, a whole number: nbgrader's partial credit

    helpers  other functions of the notebook that are needed to judge this one, such as its forward
    """
    caller = sys._getframe(1)
    namespace = caller.f_globals | caller.f_locals
    name = name_of(function, namespace)
    forward = FUNCTIONS[name].forward if name in FUNCTIONS else ""
    if forward and callable(namespace.get(forward)) and not helpers:
        helpers = (namespace[forward],)
    results = judged(name, function, helpers, seconds, seed)
    print(text(results, []).rpartition("\n")[0])  # the last line adds up several functions
    return score(results)


def name_of(function, namespace):
    """The published name of a callable: its own, or the one that the notebook gave it (`softmax = partial(...)`)"""
    own = getattr(function, "__name__", type(function).__name__)
    if own in FUNCTIONS or own in LAWS:
        return own
    given = [name for name, value in namespace.items() if value is function and (name in FUNCTIONS or name in LAWS)]
    return given[0] if given else own


def judged(name, function, helpers=(), seconds=60.0, seed=0):
    """The results of one function of the notebook"""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a wrong function may warn
        if name in LAWS:
            return judge_law(name, law_call(function))
        if name not in FUNCTIONS:
            raise InputError(f"{name}: no exercise has this name; pass the function itself, under its own name")
        return Judge(name, host_call(function, *helpers, names=[name]), seconds, seed=seed).judge()


def full_marks(name):
    """The most points that a solution in NumPy can get"""
    if name in LAWS:
        return len(LAWS[name].statements)
    return sum(prop.kind != "autograd" for prop in PROPERTIES[name])


def host_call(*functions, names=()):
    """A function like Sandbox.call, without the other process; `names[i]` replaces the name of functions[i]"""
    host = Host(published())
    for place, function in enumerate(functions):
        name = names[place] if place < len(names) else function.__name__
        setattr(host.module, name, function)

    def call(name, arguments, seconds, cotangent=None, layout=""):  # noqa: ARG001  no time limit: the reader interrupts
        answer = host.call(name, [encode(argument) for argument in arguments], encode(cotangent), layout)
        if answer["status"] == "raised" and answer["kind"] == "KeyboardInterrupt":
            raise KeyboardInterrupt
        return understood(answer)

    return call


def law_call(law):
    """The `call` of judge_law for a law of the notebook"""

    def call(arguments):
        try:
            return law(*(np.copy(argument) for argument in arguments))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise Raised(*describe(error, ())) from None

    return call
