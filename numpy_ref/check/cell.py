"""The check cell of an exercise: judges what the notebook has just defined, in the notebook's own process.

The properties, the inputs and the hints are those of `python -m numpy_ref check`. Only the separate process is missing:
an endless loop is ended by interrupting the kernel.
"""

import warnings

import numpy as np

from ..errors import InputError
from .functions import FUNCTIONS
from .host import Host, describe
from .judge import Judge
from .laws import LAWS, judge_law
from .properties import PROPERTIES
from .sandbox import Raised
from .text import score, text
from .wire import decode, encode


def check(function, *helpers, seconds=60.0):
    """Prints the report and returns the points, a whole number: nbgrader's partial credit

    helpers  other functions that the notebook defines and that this one is judged with, such as its forward
    """
    name = getattr(function, "__name__", repr(function))
    results = judged(name, function, helpers, seconds)
    print(text(results, []).rpartition("\n")[0])  # the last line adds up several functions
    return score(results)


def judged(name, function, helpers, seconds):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions that are wrong on purpose or by mistake
        if name in LAWS:
            return judge_law(name, law_call(function))
        if name not in FUNCTIONS:
            raise InputError(f"{name}: no exercise has this name; pass the function itself, under its own name")
        return Judge(name, host_call(function, *helpers), seconds).judge()


def full_marks(name):
    """The points of an exercise written in NumPy"""
    if name in LAWS:
        return len(LAWS[name].statements)
    return sum(prop.kind != "autograd" for prop in PROPERTIES[name])


def host_call(*functions):
    """As Sandbox.call, without the other process"""
    host = Host()
    for function in functions:
        setattr(host.module, function.__name__, function)

    def call(name, arguments, seconds, cotangent=None):  # noqa: ARG001  the reader is the clock
        answer = host.call(name, [encode(argument) for argument in arguments], encode(cotangent))
        if answer["status"] == "raised" and answer["kind"] == "KeyboardInterrupt":
            raise KeyboardInterrupt
        if answer["status"] != "ok":
            raise Raised(answer["kind"], answer["words"])
        return decode(answer["value"]), answer["wrote"], answer["tensor"]

    return call


def law_call(law):
    def call(arguments):
        try:
            return law(*(np.copy(argument) for argument in arguments))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise Raised(*describe(error, ())) from None

    return call
