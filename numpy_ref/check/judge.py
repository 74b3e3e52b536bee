"""Judges one function: do earlier calls change its answers, does each property hold, which mistake was made?"""

from typing import Any, NamedTuple

import numpy as np

from . import oracles
from .diagnosis import name_mistake
from .functions import FUNCTIONS
from .properties import PROPERTIES
from .sandbox import Lost, Raised, Without
from .search import EXAMPLES, Enough, Refuted, drawn, inputs, shrink
from .values import EPS32, Unfit, agree, fit, in_single_precision, show_call, show_value, yardstick

SHRINK = 3.0  # seconds for finding a smaller counterexample
FINAL = ("NotImplementedError", "SystemExit", "MemoryError", "NameError", "None")  # no other input need be tried
FORMULA = "the formula is not right on ordinary values yet"


class Result(NamedTuple):
    """One line of the report, and the details below it"""

    function: str
    statement: str
    status: str  # passed, failed, not reached
    sentence: str = ""
    counterexample: dict[str, str] = {}  # noqa: RUF012  call, expected, got
    mistake: tuple[str, str] = ("", "")  # name, hint
    seconds: float = 0.0
    tried: int = EXAMPLES
    explained: int = 0  # number of inputs on which the mistake was compared: it gave the same answers on all of them


class Judge:
    """Judges one function through `call(name, arguments, seconds, cotangent, layout) -> Answer`, as Sandbox.call

    `seconds` is processor time of the submission; `renew`, if given, loads it into a new process.
    """

    def __init__(self, name, call, seconds=20.0, shrink=True, seed=0, renew=None):
        self.function, self.call, self.shrink, self.seed = FUNCTIONS[name], call, shrink, seed
        self.renew = renew
        self.oracle = getattr(oracles, name)
        self.seconds, self.spent = seconds, 0.0
        self.tensor = False
        self.memory: dict[Any, Any] = {}

    @property
    def left(self):
        """Seconds that the function may still compute"""
        return max(self.seconds - self.spent, 0.01)

    def ask(self, arguments, cotangent=None, layout=""):
        """The Answer; raises Refuted if the function raised, Lost if its process is gone"""
        try:
            answer = self.call(self.function.name, arguments, self.left, cotangent, layout)
        except Raised as raised:
            self.spent += raised.seconds
            raise Refuted(arguments, raised.words, got=raised.kind) from None
        except Lost as lost:
            self.lost = Refuted(arguments, str(lost))
            raise
        self.spent += answer.seconds
        self.tensor = self.tensor or answer.tensor
        return answer

    def value(self, arguments, part=None, layout=""):
        """(got, expected); raises Refuted if the answer is not of the published kind"""
        with np.errstate(all="ignore"):
            expected = self.oracle(*arguments)
        value = self.ask(arguments, layout=layout).value
        try:
            return fit(value, expected, self.function, part), expected
        except Unfit as unfit:
            raise Refuted(arguments, str(unfit), show_value(expected), show_value(value)) from None

    def test(self, prop, arguments):
        """Raises Refuted if the property does not hold here"""
        if prop.kind == "manners":
            self.test_manners(prop, arguments)
        elif prop.kind == "law":
            with np.errstate(all="ignore"):
                self.compare(prop, arguments, *prop.law(lambda *given: self.value(given)[0], *arguments))
        elif prop.kind == "autograd":
            self.test_autograd(prop, arguments)
        elif prop.kind == "option":
            try:
                self.judge_value(prop, arguments)
            except Without:  # the function has no such option
                raise Enough from None
        else:
            self.judge_value(prop, arguments)

    def judge_value(self, prop, arguments):
        """Raises Refuted unless the answer is the oracle's"""
        got, expected = self.value(arguments, prop.part)
        self.compare(prop, arguments, got, expected, oracle=self.oracle)

    def test_manners(self, prop, arguments):
        """Raises Refuted if the function writes into an argument, or is wrong for arrays that are not contiguous"""
        answer = self.ask(arguments)
        if answer.wrote:
            names = ", ".join(self.function.arguments[i] for i in answer.wrote)
            raise Refuted(arguments, f"writes into its argument {names}: work on a copy")
        usual = self.value(arguments)[0]
        try:
            self.compare(prop, arguments, self.value(arguments, layout="strided")[0], usual)
        except Refuted as refuted:
            if "read-only" not in refuted.sentence:  # a function that writes and then restores the old values passes
                refuted.sentence += ", for arrays that are not contiguous"
                raise

    def test_autograd(self, prop, arguments):
        """Raises Refuted unless autograd gives the oracle's gradient; the arguments are those of the backward"""
        backward = self.function.name + "_backward"
        with np.errstate(all="ignore"):
            expected = getattr(oracles, backward)(*arguments)
        got = self.gradient(arguments)
        if not isinstance(expected, tuple):
            got = got[0]
        self.compare(prop, arguments, got, expected, FUNCTIONS[backward].results, getattr(oracles, backward))

    def gradient(self, arguments):
        """Autograd's gradient of the submission's function, at the arguments of the backward; zeros for a None"""
        backward = FUNCTIONS[self.function.name + "_backward"]
        takes_dout = backward.arguments[0] == "dout"
        cotangent, given = (arguments[0], arguments[1:]) if takes_dout else (np.array(1.0), arguments)
        value = self.ask(given, cotangent).value
        if value is None:
            raise Refuted(given, "returns no tensor, so that autograd has nothing to go back through")
        floats = [a for a in given if a.ndim and a.dtype.kind == "f"]
        found = tuple(np.zeros_like(a) if v is None else v for a, v in zip(floats, value, strict=True))
        return found[: len(backward.results)]

    def compare(self, prop, arguments, got, expected, names=(), oracle=None):
        """Raises Refuted if got and expected differ"""
        several, names = isinstance(expected, tuple), names or self.function.results
        for part in range(len(expected)) if several else [None]:
            if several and prop.part not in (None, part):
                continue
            a, b = (got[part], expected[part]) if several else (got, expected)
            ulps, single = yardstick(prop, oracle, arguments, part)
            if agree(a, b, ulps, single):
                continue
            wrong = "the two sides differ" if prop.kind == "law" else "the answer is wrong"
            if ulps and agree(a, b):
                wrong = f"{names[part or 0]} has lost its digits: " + lost_digits(a, b)
            elif several:
                wrong = f"{names[part]} is wrong"
            raise Refuted(arguments, wrong, show_value(b), show_value(a))

    def judge(self):
        """One result for each property, in order"""
        properties = PROPERTIES[self.function.name]
        results: list[Result] = []
        stopped = ""
        try:
            state = self.state(properties[0])
        except Lost:
            state = None
        for place, prop in enumerate(properties):
            if prop.kind == "autograd" and not self.tensor:
                continue
            if state is not None and place == 0:
                shown = {
                    "call": show_call(self.function, state.arguments),
                    "expected": state.expected,
                    "got": state.got,
                }
                results.append(self.result(prop, "failed", state.sentence, shown))
                stopped = "its answers depend on earlier calls"
                continue
            why = stopped or self.gate(prop, properties, results)
            if why:
                results.append(self.result(prop, "not reached", why, tried=0))
                continue
            result, stopped = self.property(prop, len(properties) - place)
            results.append(result)
        return results

    def gate(self, prop, properties, results):
        """Why a property does not count yet, or "": the formula must first be right on ordinary values"""
        if not results:
            return ""
        of_part = next((p for p in properties if p.part == prop.part and p.kind == "value"), properties[0])
        first = of_part if prop.kind in ("value", "tail", "option") else properties[0]
        passed = {result.statement for result in results if result.status == "passed"}
        if prop.kind in ("law", "manners") or prop.gated:
            return "" if passed else FORMULA
        return "" if prop is first or first.statement in passed else FORMULA

    def result(self, prop, status, sentence="", shown=None, **more):
        """A Result of this function"""
        return Result(self.function.name, prop.statement, status, sentence, shown or {}, **more)

    def property(self, prop, share):
        """(the result of the property, why the function is not judged further or "")"""
        before, stopped = self.spent, ""
        until = before + self.left / share
        refuted, tried = None, 0
        try:
            refuted, draw, tried = self.first_failure(prop, until)
            if refuted is not None and self.shrink and refuted.got not in FINAL:
                until = self.spent + SHRINK
                refuted = shrink(prop, draw, lambda arguments: self.refutation(prop, arguments, until)) or refuted
        except Lost as lost:
            refuted, stopped = self.lost, f"the function {lost}"
        seconds = self.spent - before
        if refuted is None:
            return self.result(prop, "passed", seconds=seconds, tried=tried), ""
        if refuted.got in FINAL:
            stopped = f"the function {refuted.sentence}"
        mistake, explained = (("", ""), 0) if stopped else name_mistake(self, prop, refuted)
        if not stopped and not mistake[0] and prop.kind in ("value", "tail"):
            refuted.sentence += self.memories(prop, refuted.arguments)
        shown = {"call": show_call(self.function, refuted.arguments), "expected": refuted.expected, "got": refuted.got}
        named = {"mistake": mistake, "explained": explained, "seconds": seconds}
        return self.result(prop, "failed", refuted.sentence, shown, **named), stopped

    def first_failure(self, prop, until):
        """(the first of the property's inputs that refutes it or None, its draw, how many were tried)

        Slow code is tried on fewer inputs, but always on one.
        """
        for number, (arguments, draw) in enumerate(drawn(prop, self.seed)):
            if number and self.spent > until:
                return None, None, number
            try:
                self.test(prop, arguments)
            except Refuted as refuted:
                return refuted, draw, number + 1
            except Enough:
                break
        return None, None, EXAMPLES

    def refutation(self, prop, arguments, until):
        """The Refuted of these arguments; None if the property holds, or if the time for shrinking is up"""
        if self.spent > until:
            return None
        try:
            self.test(prop, arguments)
        except Refuted as refuted:
            return refuted
        except Enough:
            pass
        return None

    def state(self, prop):
        """A Refuted if an answer depends on the calls before it: f(a), f(a), f(b), f(a) with b of a's shape"""
        given = inputs(prop, self.seed)
        first = given[0]
        other = next((g for g in given[1:] if shapes(g) == shapes(first) and not alike(g, first)), self.mirrored(first))
        try:
            one, two, three, four = (self.ask(a).value for a in (first, first, other, first))
            if not (same(one, two) and same(one, four)):
                sentence = "it answers differently from call to call: randomness, or state left over?"
                return Refuted(first, sentence, show_value(one), show_value(two if not same(one, two) else four))
            right = self.oracle(*first), self.oracle(*other)
            if same(one, three) and not same(right[0], right[1]) and same(one, right[0]):
                sentence = "it gives the answer of an earlier call: a cache that does not look at the values?"
                return Refuted(other, sentence, show_value(right[1]), show_value(three))
        except Refuted:
            pass
        return None

    def mirrored(self, arguments):
        """Other arguments of the same shapes: every array of floats is reversed along its first axis"""
        return tuple(a[::-1].copy() if a.ndim and a.dtype.kind == "f" else a for a in arguments)

    def memories(self, prop, arguments):
        """What to add to the sentence if a wrong answer is due to randomness or to earlier calls, else "" """
        try:
            if len({show_value(self.ask(arguments).value) for _ in range(5)}) > 1:
                return "; and it answers differently from call to call: randomness, or state left over?"
            renew, self.renew = self.renew, None  # only once for each function: a new process takes a while
            if renew is not None:
                renew()
                self.test(prop, arguments)
                return "; but right in a fresh start: something is kept from earlier calls, such as a cache"
        except (Refuted, Lost):
            pass
        return ""


def shapes(arguments):
    """The shape of each argument"""
    return [np.shape(argument) for argument in arguments]


def alike(a, b):
    """Are all arguments equal?"""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def same(a, b):
    """Equal to 1e-9 of the largest entry, container by container; of values without numbers, only the types count"""
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if not isinstance(a, np.ndarray | np.generic | float | int) or not isinstance(
        b, np.ndarray | np.generic | float | int
    ):
        return type(a) is type(b)
    a, b = np.asarray(a, float), np.asarray(b, float)
    scale = np.abs(a[np.isfinite(a)]).max(initial=1e-300)
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-9 * scale, equal_nan=True)


def lost_digits(got, expected):
    """How many units in the last place the worst entry is off, and what to do if rounding explains it"""
    eps = EPS32 if in_single_precision(np.asarray(got)) else np.finfo(float).eps
    got, expected = np.ravel(np.asarray(got, float)), np.ravel(np.asarray(expected, float))
    error = np.abs(got - expected)
    ulps = error / np.spacing(np.abs(expected))
    worst = int(np.argmax(ulps))
    size = "0 where the answer is tiny" if got[worst] == 0 else f"off by {ulps[worst]:.0e} units in the last place"
    if error[worst] > 4 * eps:  # more than adding and subtracting 1 can explain
        return f"{size}: tiny answers must be tiny"
    return f"{size}; σ(m) - 1, 1 + e^-m and log_softmax or cross_entropy round it away: use σ(-m), log1p or logaddexp"
