"""Checks any function of a file and its backward; the user gives the names and shapes of the inputs."""

import math
import re

import numpy as np

from ..errors import InputError
from .backward import readable, verdicts
from .judge import Result
from .sandbox import Lost, Raised, Sandbox
from .source import read_source

SHAPE = re.compile(r"\(([\d,\s]*)\)(?:<(\d+))?")
MOST_NUMBERS = 10**6  # of one input: the derivative is computed for each of them
SCALES = 1.0, 3.0, 0.1  # of the inputs: they are drawn once at each scale


def check_pair(path, forward, backward, inputs, seconds, seed):
    """(a Result for each gradient, notes) of a pair of functions of a file"""
    if not (forward and backward and inputs):
        raise InputError("bring your own takes all three: --forward F, --backward B and --input NAME=SHAPE")
    specs = dict(map(parsed, inputs))
    source = read_source(path)
    with Sandbox(path, source, seconds, {}, [forward, backward], ours=True) as box:
        for name in (forward, backward):
            if name not in box.loaded["names"]:
                why = box.loaded["broken"].get(name, "is not defined there")
                raise InputError(f"{path}: {name} {why}; give the name of a function of the file")
        floats = [name for name, (_, below) in specs.items() if below is None]
        found = judged(box, forward, backward, specs, np.random.default_rng(seed), list(floats))
    statement = f"is the gradient of {forward}"
    results = [
        Result(backward, f"{name} {statement}", "failed" if said else "passed", said, tried=25)
        for name, said in found.items()
    ]
    return results, source.notes + source.suspicions + box.loaded["notes"]


def parsed(text):
    """(name, (shape or number, below)) of `x=(2,3,5)`, `tokens=(4,7)<11` or `eps=1e-5`"""
    name, equals, value = text.partition("=")
    match = SHAPE.fullmatch(value.strip())
    if equals and name.strip().isidentifier() and match:
        sizes = tuple(int(part) for part in match[1].split(",") if part.strip())
        if math.prod(sizes) > MOST_NUMBERS:
            raise InputError(f"--input {text}: more than {MOST_NUMBERS:,} numbers: choose smaller sizes")
        return name.strip(), (sizes, int(match[2]) if match[2] else None)
    try:
        return name.strip(), (float(value) if "." in value or "e" in value else int(value), "constant")
    except ValueError:
        form = "NAME=(SIZES), NAME=(SIZES)<LIMIT for integers, or NAME=NUMBER"
        raise InputError(f"--input {text}: expected {form}") from None


def drawn(specs, rng, scale):
    """{name: array or number}"""
    given = {}
    for name, (form, below) in specs.items():
        if below == "constant":
            given[name] = form
        elif below is not None:
            given[name] = rng.integers(0, below, form)
        else:
            given[name] = np.asarray(scale * rng.standard_normal(form))
    return given


def judged(box, forward, backward, specs, rng, floats):
    """{gradient: "" or what is wrong with it, on the first draw on which it is wrong}"""
    found = dict.fromkeys((readable(f"x.{name}") for name in floats), "")
    for scale in SCALES:
        given = drawn(specs, rng, scale)
        f, f_backward = remote(box, forward, backward, list(given))
        try:
            said = verdicts(f, f_backward, given, cache=False, rng=rng)
        except (AssertionError, Raised, Lost) as error:
            return {name: words or str(error) for name, words in found.items()}
        found = {name: found[name] or said.get(name, "") for name in found}
    return found


def remote(box, forward, backward, names):
    """The pair as plain functions of arrays, which run in the submission's process"""

    def run(values, dout=None):
        return box.pair(forward, backward, dict(zip(names, values, strict=True)), dout)

    return (lambda *values: run(values)), (lambda dout, *values: run(values, dout))
