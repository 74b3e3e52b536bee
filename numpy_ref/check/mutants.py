"""Generated mistakes, for those that the catalogue lacks: the project's own code, broken in one operation at a time.

If a mutant gives the same wrong answers as a submission, the broken operation explains the mistake.
"""

import ast
import functools
import inspect
import textwrap
import types

from .. import attention, layers, losses
from . import oracles
from .functions import FUNCTIONS, Mistake
from .slips import broken_trees

ROOMS = {"layers": layers, "losses": losses, "attention_room": attention}  # named as oracles.py imports them


@functools.cache
def mutants(name):
    """Mistakes made from the code behind a published function, its forward pass included"""
    found = []
    for room, target in sources(name):
        tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(ROOMS.get(room, oracles), target))))
        for old, new, _, broken in broken_trees(tree):
            hint = f"The project's own {target} gives your answers once `{old}` in it becomes `{new}`."
            found.append(Mistake(f"`{new}` in place of `{old}`", hint, rebuilt(name, room, target, broken)))
    return tuple(found)


def sources(name):
    """[(room, function)]: where the code of a published function is defined"""
    base = "pairwise_loss" + "_backward" * name.endswith("_backward") if FUNCTIONS[name].option else name
    names = [base, *([base.removesuffix("_backward")] if base.endswith("_backward") else [])]
    homes = [(room, target) for target in names for room, module in ROOMS.items() if at_home(target, module)]
    return homes or [("", name)]


def at_home(target, module):
    """Is the function defined in this module, and not only imported there?"""
    return getattr(getattr(module, target, None), "__module__", "") == module.__name__


def rebuilt(name, room, target, tree):
    """The oracle of `name`, with the broken function in place of `target`"""
    module = ROOMS.get(room, oracles)
    world = dict(vars(module))
    exec(compile(tree, f"<{target}, broken>", "exec"), world)
    if module is oracles:
        return world[name]
    shim = types.SimpleNamespace(**vars(module) | {target: world[target]})
    around = dict(vars(oracles)) | {room: shim}
    for helper in ("pairwise_loss", "pairwise_loss_backward"):
        around[helper] = types.FunctionType(getattr(oracles, helper).__code__, around)
    oracle = getattr(oracles, name)  # sigmoid and log_sigmoid are the project's own, without a wrapper
    return world[name] if oracle.__module__ != oracles.__name__ else types.FunctionType(oracle.__code__, around)
