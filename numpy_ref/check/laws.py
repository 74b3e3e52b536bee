"""Exercises in which the learner writes the property: a law must accept what is right and notice named mistakes.

A law of f_backward is a function law(*arguments, *results) -> bool: given the inputs and somebody's answer it says
whether the answer may be right. One point for each mistake it notices, and one for accepting every right answer;
without the latter, or if it notices nothing, there is none: a constant is no law.
"""

import contextlib
import json
import multiprocessing
import os
import time
from typing import Any, NamedTuple

import numpy as np

from . import oracles
from .functions import FUNCTIONS
from .host import Host, describe, limit_memory
from .judge import Result
from .mistakes import CATALOGUE
from .properties import PROPERTIES
from .sandbox import MEMORY, START, Lost, Raised
from .search import inputs
from .source import read_blocks
from .values import show_value
from .wire import decode, encode


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
    """(what the law says of this answer, or None; what went wrong in words)"""
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


class LawProcess:
    """judge_law's `call` for a law of a file: a process of its own, which is ended when its time is up

    `with LawProcess(path, name, seconds) as call: judge_law(name, call)`. The answers come as JSON, never as a pickle.
    """

    def __init__(self, path, name, seconds):
        self.blocks, self.name, self.seconds = read_blocks(path), name, seconds
        self.process: Any = None

    def __enter__(self):
        context = multiprocessing.get_context("spawn")
        self.mine, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.blocks, self.name), daemon=True)
        self.process.start()
        theirs.close()
        self.answer(START)
        self.end = time.monotonic() + self.seconds
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
        self.mine.close()

    def __call__(self, arguments):
        with contextlib.suppress(OSError):  # gone: the answer says so
            self.mine.send_bytes(json.dumps([encode(argument) for argument in arguments]).encode())
        answer = self.answer(max(self.end - time.monotonic(), 0.01))
        if "words" in answer:
            raise Raised(str(answer["kind"]), str(answer["words"]))
        return decode(answer["value"])

    def answer(self, seconds):
        try:
            if not self.mine.poll(seconds):
                raise Lost(f"did not finish within {self.seconds:g} s: an endless loop?")
            return json.loads(self.mine.recv_bytes(1_000_000))
        except (EOFError, OSError, ValueError):
            raise Lost("ended the interpreter") from None


def serve(connection, blocks, name):
    """The other side: loads the submission's definitions and answers until it is ended"""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    limit_memory(MEMORY)
    host = Host()
    broken = host.load(blocks, True)["broken"]
    missing = broken.get(name, "is not defined in the submission")
    connection.send_bytes(json.dumps({"status": "ready"}).encode())
    while True:
        arguments = [decode(argument) for argument in json.loads(connection.recv_bytes())]
        try:
            law = getattr(host.module, name, None)
            answer = {"value": encode(law(*arguments))} if callable(law) else {"kind": "NameError", "words": missing}
        except BaseException as error:
            kind, words = describe(error, host.labels)
            answer = {"kind": kind, "words": words}
        connection.send_bytes(json.dumps(answer).encode())
