"""Is anybody's gradient, loss or metric right? `python -m numpy_ref check FILE`, and `check` in a notebook.

In reading order:

functions       what can be checked, and what each function must do
properties, cases, oracles    the properties, the inputs they are tried on, the right answers
search, values, judge   inputs from a seed, smaller ones; is an answer right; the verdict on one function
diagnosis, mistakes, mutants    the name of the mistake: a catalogue, and small changes of right code
laws            laws that a reader writes, tried on right and wrong code
source, sandbox, submission    a submission is read, and runs in a process of its own
cell, command, text    the face in a notebook, the command, its report
backward, witnesses, fitting    check_backward for any code; the derivative in other ways; what a wrong one is
bring           a forward and a backward of any file, in a process of their own
plugin, strategies, power, slips    the pytest plugin: inputs drawn by Hypothesis; mutants of a backward under test

To add a function: its line in `functions`, its answer in `oracles` (float64, published signature), its `Property` rows
in `properties` (the formula on ordinary values first: nothing else counts before it holds; inputs from `cases`), and
its known mistakes in `mistakes`. A law: a row in `laws`. tests/check holds the tables together.

`__all__` names what a notebook or a test imports: `check`, `check_backward` and `check_second` for any code,
`checks_backward` and `shape` for pytest. Nothing is imported here before it is used: pytest starts with the plugin,
and must not wait for NumPy.
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
