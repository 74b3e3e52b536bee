"""Judges one function: each property on inputs that Hypothesis draws, shrinks and replays; then names the mistake."""

import time
from typing import Any, NamedTuple

import numpy as np

from . import oracles
from .diagnosis import name_mistake
from .functions import FUNCTIONS
from .properties import PROPERTIES
from .sandbox import Lost, Raised
from .search import Enough, Refuted, inputs, search
from .values import Unfit, agree, fit, show_call, show_value

SHRINK = 3.0  # seconds for finding a smaller counterexample


FINAL = ("NotImplementedError", "SystemExit", "MemoryError", "NameError", "None")  # no other input will do better


class Result(NamedTuple):
    """One line of the report, and what stands below it"""

    function: str
    statement: str
    status: str  # passed, failed, not reached
    sentence: str = ""
    counterexample: dict[str, str] = {}  # noqa: RUF012  call, expected, got
    mistake: tuple[str, str] = ("", "")  # name, hint
    seconds: float = 0.0


class Judge:
    """Of one function: `call(name, arguments, seconds, cotangent) -> (value, wrote, tensor)`, as Sandbox.call"""

    def __init__(self, name, call, seconds=20.0, shrink=True):
        self.function, self.call, self.shrink = FUNCTIONS[name], call, shrink
        self.oracle = getattr(oracles, name)
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.tensor = False
        self.memory: dict[Any, Any] = {}

    def ask(self, arguments, cotangent=None):
        """The answer in the shape that the list publishes; Refuted where there is none"""
        left = max(self.end - time.monotonic(), 0.01)
        try:
            value, wrote, tensor = self.call(self.function.name, arguments, left, cotangent)
        except Raised as raised:
            raise Refuted(arguments, raised.words, got=raised.kind) from None
        except Lost as lost:
            self.lost = Refuted(arguments, str(lost))
            raise
        self.tensor = self.tensor or tensor
        return value, wrote

    def value(self, arguments, part=None):
        """(got, expected), of the kind that the list publishes"""
        with np.errstate(all="ignore"):
            expected = self.oracle(*arguments)
        value, _ = self.ask(arguments)
        try:
            return fit(value, expected, self.function, part), expected
        except Unfit as unfit:
            raise Refuted(arguments, str(unfit), show_value(expected), show_value(value)) from None

    def test(self, prop, arguments):
        """Raises Refuted if the property does not hold here"""
        if prop.kind == "manners":
            self.test_manners(arguments)
        elif prop.kind == "law":
            with np.errstate(all="ignore"):
                self.compare(prop, arguments, *prop.law(lambda *given: self.value(given)[0], *arguments))
        elif prop.kind == "autograd":
            self.test_autograd(prop, arguments)
        else:
            self.compare(prop, arguments, *self.value(arguments, prop.part))

    def test_manners(self, arguments):
        _, wrote = self.ask(arguments)
        if wrote:
            names = ", ".join(self.function.arguments[i] for i in wrote)
            raise Refuted(arguments, f"writes into its argument {names}: work on a copy")

    def test_autograd(self, prop, arguments):
        """The arguments are those of the backward: dout first, where it has one"""
        backward = self.function.name + "_backward"
        with np.errstate(all="ignore"):
            expected = getattr(oracles, backward)(*arguments)
        got = self.gradient(arguments)
        if not isinstance(expected, tuple):
            got = got[0]
        self.compare(prop, arguments, got, expected, FUNCTIONS[backward].results)

    def gradient(self, arguments):
        """What autograd makes of the submission's function, for the arrays of the backward; None stands for zero"""
        backward = FUNCTIONS[self.function.name + "_backward"]
        takes_dout = backward.arguments[0] == "dout"
        cotangent, given = (arguments[0], arguments[1:]) if takes_dout else (np.array(1.0), arguments)
        value, _ = self.ask(given, cotangent)
        if value is None:
            raise Refuted(given, "returns no tensor, so that autograd has nothing to go back through")
        floats = [a for a in given if a.ndim and a.dtype.kind == "f"]
        found = tuple(np.zeros_like(a) if v is None else v for a, v in zip(floats, value, strict=True))
        return found[: len(backward.results)]

    def compare(self, prop, arguments, got, expected, names=()):
        several, names = isinstance(expected, tuple), names or self.function.results
        for part in range(len(expected)) if several else [None]:
            if several and prop.part not in (None, part):
                continue
            a, b = (got[part], expected[part]) if several else (got, expected)
            if not agree(a, b, prop.kind == "tail"):
                wrong = "the two sides differ" if prop.kind == "law" else "the answer is wrong"
                sentence = f"{names[part]} is wrong" if several else wrong
                raise Refuted(arguments, sentence, show_value(b), show_value(a))

    def judge(self):
        """One result for each property, in order"""
        properties = PROPERTIES[self.function.name]
        for prop in properties:
            inputs(prop)  # Hypothesis's time is not the submission's
        self.end = time.monotonic() + self.seconds
        results: list[Result] = []
        stopped = ""
        for place, prop in enumerate(properties):
            if prop.kind == "autograd" and not self.tensor:
                continue
            credit = any(result.status == "passed" for result in results)
            if stopped or ((prop.gated or prop.kind in ("law", "manners")) and not credit):
                why = stopped or "no value is right yet"
                results.append(Result(self.function.name, prop.statement, "not reached", why))
                continue
            result, stopped = self.property(prop, len(properties) - place)
            results.append(result)
        return results

    def property(self, prop, left):
        """(its result, why the function is not judged further or "")"""
        start = time.monotonic()
        until = start + (self.end - start) / left
        refuted, stopped = None, ""
        try:
            refuted = self.first_failure(prop, until)
            if refuted is not None and self.shrink and refuted.got not in FINAL:
                until = min(until, time.monotonic() + SHRINK)
                refuted = search(prop.cases, lambda arguments: self.timed(prop, arguments, until)) or refuted
        except Lost as lost:
            refuted, stopped = self.lost, f"the function {lost}"
        seconds = time.monotonic() - start
        if refuted is None:
            return Result(self.function.name, prop.statement, "passed", seconds=seconds), ""
        if refuted.got in FINAL:
            stopped = f"the function {refuted.sentence}"
        mistake = ("", "") if stopped else name_mistake(self, prop, refuted)
        if not stopped and not mistake[0] and self.wavers(prop, refuted.arguments):
            refuted.sentence += "; and it answers differently from call to call: randomness, or state left over?"
        shown = {"call": show_call(self.function, refuted.arguments), "expected": refuted.expected, "got": refuted.got}
        return Result(self.function.name, prop.statement, "failed", refuted.sentence, shown, mistake, seconds), stopped

    def first_failure(self, prop, until):
        """The first of the property's inputs that refutes it; slow code may see fewer of them, but always one"""
        for number, arguments in enumerate(inputs(prop)):
            try:
                if number:
                    self.timed(prop, arguments, until)
                else:
                    self.test(prop, arguments)
            except Refuted as refuted:
                return refuted
            except Enough:
                break
        return None

    def wavers(self, prop, arguments):
        """Whether the same call does not give the same answer each time"""
        try:
            answers = {show_value(self.ask(arguments)[0]) for _ in range(5)}
        except (Refuted, Lost):
            return False
        return prop.kind != "autograd" and len(answers) > 1

    def timed(self, prop, arguments, until):
        if time.monotonic() > until:
            raise Enough
        self.test(prop, arguments)
