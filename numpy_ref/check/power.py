"""Counts how many mutants of a backward its own tests notice."""

import ast
import inspect
import textwrap

from .backward import check_backward
from .slips import broken_trees


def power(backward, calls):
    """(the number of mutants, [those that no call of check_backward notices]); (0, []) if there is no source"""
    try:
        source, start = inspect.getsourcelines(backward)
        tree = ast.parse(textwrap.dedent("".join(source)))
    except (OSError, TypeError, SyntaxError):
        return 0, []
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        return 0, []
    function.decorator_list = []
    count, survivors = 0, []
    for old, new, line, broken in broken_trees(tree):
        count += 1
        if not noticed(rebuilt(backward, broken), calls):
            survivors.append(f"line {start + line - 1}: `{new}` in place of `{old}`")
    return count, survivors


def rebuilt(backward, tree):
    """The function of a broken tree, with the globals and the closure of the original"""
    closure = inspect.getclosurevars(backward).nonlocals
    world: dict = {**backward.__globals__, **closure}
    exec(compile(tree, "<mutant>", "exec"), world)
    return world[backward.__name__]


def noticed(mutant, calls):
    """Does check_backward raise anything for this mutant on one of the calls?"""
    for forward, x, params, options in calls:
        try:
            check_backward(forward, mutant, x, params, **options)
        except Exception:
            return True
    return False
