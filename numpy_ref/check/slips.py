"""Slips of the pen: breaks the operations of a piece of code one at a time, each in a copy of its syntax tree."""

import ast
import itertools
import pickle

SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult}
METHODS = {"mean": "sum", "sum": "mean"}


def broken_trees(tree):
    """(old code, new code, line, a copy of the tree with the new in place of the old), for every place"""
    kept = pickle.dumps(tree)  # copy.deepcopy takes several times as long
    for place, node in enumerate(ast.walk(tree)):
        for new in broken_nodes(node):
            changed = pickle.loads(kept)
            twin = next(itertools.islice(ast.walk(changed), place, None))
            twin.__class__, twin.__dict__ = new.__class__, pickle.loads(pickle.dumps(new)).__dict__
            yield ast.unparse(node), ast.unparse(new), getattr(node, "lineno", 1), ast.fix_missing_locations(changed)


def broken_nodes(node):
    """The wrong versions of one operation that a slip of the pen may produce"""
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
