"""A submission as a list of statements: what each binds and uses, and which of them a function needs."""

import __future__

import ast
import re
import symtable
from typing import Any, NamedTuple

# ValueError comes from a null byte; RecursionError and MemoryError from too deep nesting
UNREADABLE = SyntaxError, ValueError, RecursionError, MemoryError
HARMLESS = {
    "math",
    "np",
    "numpy",
    "functools",
    "partial",
}  # their functions may be used in a constant, as in np.sqrt(2 / np.pi)
LIBRARIES = {"torch", "numpy", "scipy", "math", "jax", "sklearn", "tensorflow", "numpy_ref", "torch_impl"}


class Statement(NamedTuple):
    """One statement at the top level: its code, its cell, the names that it binds, changes and uses"""

    node: ast.stmt
    label: str
    binds: frozenset = frozenset()
    changes: frozenset = frozenset()  # x[0] = ..., x.a = ..., x.append(...): x exists already
    uses: frozenset = frozenset()
    global_in: frozenset = frozenset()  # `global C` inside a function: C is bound once that function is called


def parse(label, source):
    """(statements, broken): top-level nodes, and for each part that does not parse (names it defines, sentence)"""
    try:
        return ast.parse(source, label).body, []
    except UNREADABLE:
        return _parse_in_pieces(label, source.splitlines())


def _parse_in_pieces(label, lines):
    """Cuts at lines that start in column 0, so that a definition that does not parse leaves the others readable"""
    starts = [i for i, line in enumerate(lines) if re.match(r"[@\w]", line)]
    starts = [i for i in starts if not re.match(r"(else|elif|except|finally)\b", lines[i])]
    starts = [i for i in starts if not (i and lines[i - 1].startswith("@"))]
    body, broken = [], []
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        piece = "\n" * start + "\n".join(lines[start:stop])
        try:
            body += ast.parse(piece, label).body
        except UNREADABLE as error:
            line = getattr(error, "lineno", None) or start + 1
            where, what = f"{label}, line {line}", (error.args or ("nested too deeply",))[0]
            broken.append((re.findall(r"^def\s+(\w+)", piece, re.M), f"syntax error in {where}: {what}"))
    return body, broken


def future_flags(nodes):
    """The compiler's flags for the `from __future__ import` among these nodes"""
    imports = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    features = [getattr(__future__, alias.name, None) for n in imports for alias in n.names]
    return sum({feature.compiler_flag for feature in features if feature})


def described(node, label):
    """The Statement of a node; one that cannot be analysed binds and uses nothing"""
    try:
        top = symtable.symtable(ast.unparse(node), label, "exec")
    except UNREADABLE:
        return Statement(node, label)
    symbols = top.get_symbols()
    binds = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()}
    uses = {s.get_name() for s in symbols if s.is_referenced()}
    inner = {(s.get_name(), s.is_assigned()) for table in _inside(top) for s in table.get_symbols() if s.is_global()}
    assigned = {name for name, is_assigned in inner if is_assigned}
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        binds.add("*")
    return Statement(
        node, label, *map(frozenset, (binds, _changed(node), uses | {name for name, _ in inner}, assigned))
    )


def _inside(table):
    for child in table.get_children():
        yield child
        yield from _inside(child)


def _changed(node):
    """Names whose objects the statement may write to"""
    targets = [n for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Subscript)]
    found = {_root(n) for n in targets if isinstance(n.ctx, ast.Store | ast.Del)}
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        found.add(_root(node.value.func))  # table.append(...), np.random.seed(...)
    return found - {""}


def _root(node):
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def is_check(node):
    """Whether the statement only looks at values: an assert, a print, a plot or a check"""
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Expr):
        return False
    path = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
    return not path or bool(re.search(r"assert|testing|print|plot|show|display|check", path))


def checked_at(statements, name):
    """The place of the last check cell of a function, check(name, ...), or None"""
    places = [
        place
        for place, statement in enumerate(statements)
        if isinstance(statement.node, ast.Expr) and isinstance(call := statement.node.value, ast.Call)
        if isinstance(call.func, ast.Name) and call.func.id == "check" and call.args
        if isinstance(call.args[0], ast.Name) and call.args[0].id == name
    ]
    return places[-1] if places else None


def after_the_check(statements, names):
    """The places of statements that bind one of these functions after its check cell, where it was defined before"""
    return {
        place
        for name in names
        if (end := checked_at(statements, name)) is not None and any(name in s.binds for s in statements[:end])
        for place in range(end, len(statements))
        if name in statements[place].binds
    }


def needed(statements, names):
    """The places of the statements that these functions depend on, in order"""
    wanted, chosen = set(names), set[int]()
    while True:
        more = {
            place
            for place, statement in enumerate(statements)
            if place not in chosen and _supplies(statement, wanted, statements)
        }
        if not more:
            return sorted(chosen)
        chosen |= more
        wanted |= {name for place in more for name in statements[place].uses}


def _supplies(statement, wanted, statements):
    if statement.binds & (wanted | {"*"}):
        return True
    if is_check(statement.node):
        return False
    if statement.changes & wanted:
        return True
    if isinstance(statement.node, ast.Expr) and isinstance(statement.node.value, ast.Call):
        called = _root(statement.node.value.func)
        return any(called in other.binds and other.global_in & wanted for other in statements)
    return False


def is_constant(node):
    """Whether it holds only literals, names, arithmetic, lambda and functions of math and numpy: it runs fast"""
    if isinstance(node, ast.Call):
        return _root(node.func) in HARMLESS and all(map(is_constant, [*node.args, *(k.value for k in node.keywords)]))
    if isinstance(node, ast.Constant | ast.Name | ast.Lambda):
        return True
    kinds = ast.Attribute | ast.UnaryOp | ast.BinOp | ast.Tuple | ast.List | ast.Set | ast.Dict
    children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return isinstance(node, kinds) and all(map(is_constant, children))


def is_definition(node):
    """Whether it is an import, a function, a class or a constant, or a try or an if that holds nothing else"""
    if isinstance(node, ast.Try | ast.If):
        parts = node.body + node.orelse + getattr(node, "finalbody", [])
        parts += [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
        return all(isinstance(part, ast.Pass) or is_definition(part) for part in parts)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return node.value is not None and is_constant(node.value)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def roots(statements):
    """The packages that the statements import anywhere, as {"numpy", "torch"}"""
    found = set()
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def borrowed(statements) -> dict[str, Any]:
    """{name: module} of the names that are imported from a library, as in `from scipy.special import softmax`"""
    found: dict[str, Any] = {}
    for statement in statements:
        node = statement.node
        for name in statement.binds:
            found.pop(name, None)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            found |= {alias.asname or alias.name: node.module for alias in node.names}
    return found
