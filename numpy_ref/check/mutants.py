"""Generated mistakes: the project's own code broken on purpose, one operation at a time, for what no catalogue foresaw.

A wrong answer that equals a mutant's throughout is explained by the one place where the mutant differs.
"""

import ast
import copy
import functools
import inspect
import textwrap
import types

from .. import attention, layers, losses
from . import oracles
from .functions import FUNCTIONS, Mistake

ROOMS = {"layers": layers, "losses": losses, "attention_room": attention}  # as oracles.py names them
SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult}
METHODS = {"mean": "sum", "sum": "mean"}


@functools.cache
def mutants(name):
    """Mistakes made from the code behind a published function, its forward pass included"""
    found = []
    for room, target in sources(name):
        tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(ROOMS.get(room, oracles), target))))
        for old, new, broken in broken_trees(tree):
            hint = f"The project's own {target} gives your answers once `{old}` in it becomes `{new}`."
            found.append(Mistake(f"`{new}` in place of `{old}`", hint, rebuilt(name, room, target, broken)))
    return tuple(found)


def sources(name):
    """[(room, function)]: where the code of a published function stands"""
    base = "pairwise_loss" + "_backward" * name.endswith("_backward") if FUNCTIONS[name].option else name
    names = [base, *([base.removesuffix("_backward")] if base.endswith("_backward") else [])]
    homes = [(room, target) for target in names for room, module in ROOMS.items() if at_home(target, module)]
    return homes or [("", name)]


def at_home(target, module):
    return getattr(getattr(module, target, None), "__module__", "") == module.__name__


def broken_trees(tree):
    """(old code, new code, a copy of the tree with the new in place of the old), for every place that can be broken"""
    for place, node in enumerate(ast.walk(tree)):
        for new in broken_nodes(node):
            changed = copy.deepcopy(tree)
            twin = next(other for i, other in enumerate(ast.walk(changed)) if i == place)
            twin.__class__, twin.__dict__ = new.__class__, copy.deepcopy(new).__dict__
            yield ast.unparse(node), ast.unparse(new), ast.fix_missing_locations(changed)


def broken_nodes(node):
    """What a slip of the pen makes of one operation"""
    if isinstance(node, ast.BinOp):
        if type(node.op) in SWAPS:
            yield ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)
        yield node.left
        yield node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    elif isinstance(node, ast.Attribute) and node.attr in METHODS:
        yield ast.Attribute(node.value, METHODS[node.attr], node.ctx)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "swapaxes":
        yield node.func.value
    elif (
        isinstance(node, ast.Constant) and isinstance(node.value, float | int) and node.value and node.value is not True
    ):
        yield ast.Constant(2 * node.value)


def rebuilt(name, room, target, tree):
    """The oracle of `name`, in whose world the broken function has taken the place of `target`"""
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
