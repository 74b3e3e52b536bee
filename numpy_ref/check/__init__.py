"""Checks anybody's gradients, losses and metrics: `python -m numpy_ref check FILE`, or `check` in a notebook.

In reading order:

functions       the functions that can be checked, with signatures and formulas
properties      the properties that each function must have
cases           the inputs on which properties are tried
oracles         the right answers
search          draws the inputs from a seed, and looks for a smaller one that still fails
values          decides whether an answer is right
judge           the verdict on one function
diagnosis       names the mistake behind a wrong answer
mistakes        a catalogue of known mistakes
mutants         further mistakes, made by small changes of the right code
laws            exercises in which the learner writes a law; it is tried on right and wrong answers
source          reads a submission
sandbox         starts the process in which a submission runs, and asks it
submission      the checker's code inside that process
cell            `check` in a notebook
command         the command `check`
text            the report as text, for Gradescope and as JUnit XML
backward        check_backward: compares any backward with the derivative of its forward
witnesses       the derivative of a forward by the complex step or by differences
fitting         explains a wrong gradient: a lost sign, a factor, a transpose
bring           the command for any forward and backward of a file
plugin          the pytest plugin
strategies      the inputs of its tests, drawn by Hypothesis
power           counts how many mutants of a backward its tests notice
slips           makes mutants from source code, with one broken operation in each

To add a function, write its line in `functions`, its answer in `oracles` (float64, published signature), its `Property`
rows in `properties` with inputs from `cases`, and its known mistakes in `mistakes`. The first property is the formula
on ordinary values: nothing else counts before it holds. A law is a row in `laws`. tests/check compares the tables.

`__all__` lists what notebooks and tests import: `check`, `check_backward` and `check_second` for any code,
`checks_backward` and `shape` for pytest. Each is imported when it is first used, because pytest loads this package for
the plugin and should not wait for NumPy.
"""

import importlib

_HOMES = {
    "check": "cell",
    "check_backward": "backward",
    "check_second": "backward",
    "checks_backward": "plugin",
    "shape": "strategies",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
