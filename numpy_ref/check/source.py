"""What of a submission is executed: reads .py and .ipynb into blocks of source, and each block into statements."""

import ast
import json
import re
from pathlib import Path

from ..errors import InputError

UNREADABLE = SyntaxError, ValueError, RecursionError, MemoryError  # a null byte; nested too deeply
MAGIC = re.compile(r"^(\s*)(?:[%!?].*|\w+\s*=\s*[%!].*|.*\w\?\s*$)")
HARMLESS = {"math", "np", "numpy"}  # whose functions may stand in a constant, as in SCALE = math.sqrt(2 / math.pi)
LIBRARIES = {"torch", "numpy", "scipy", "math", "jax", "sklearn", "tensorflow"}


def read_blocks(path):
    """[(label, source)]: a Python file is one block, a notebook has one for each code cell; InputError if unreadable"""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a Python file or a notebook") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a Python file or a notebook") from None
    if path.suffix == ".py":
        return [(path.name, text)]
    if path.suffix == ".ipynb":
        return read_notebook(path, text)
    raise InputError(f"{path}: ends in {path.suffix or 'nothing'}; expected a Python file (.py) or a notebook (.ipynb)")


def read_notebook(path, text):
    try:
        cells = json.loads(text)["cells"]
        code = [(number, cell["source"]) for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
        return [(f"cell {number}", "".join(source)) for number, source in code]
    except ValueError as error:
        raise InputError(f"{path}: not a notebook: {error}; save it again from Jupyter") from None
    except (KeyError, TypeError):
        raise InputError(f"{path}: not a notebook of version 4: no list of cells; save it again from Jupyter") from None


def parse(label, source):
    """(statements, broken): top-level statements, and for each part that does not parse (names it defines, sentence)"""
    try:
        return ast.parse(source, label).body, []
    except UNREADABLE:
        plain = "" if source.lstrip().startswith("%%") else source
    lines = [MAGIC.sub(r"\1pass", line) for line in plain.splitlines()]
    try:
        return ast.parse("\n".join(lines), label).body, []
    except UNREADABLE:
        return parse_in_pieces(label, lines)


def parse_in_pieces(label, lines):
    """One definition that does not parse must not take the others with it: cut where a line starts in column 0"""
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
            broken.append(
                (
                    re.findall(r"^def\s+(\w+)", piece, re.M),
                    f"syntax error in {where}: {what}",
                )
            )
    return body, broken


def is_constant(node):
    """Literals, names, arithmetic, lambda, and functions of math and numpy on these: nothing that runs for long"""
    if isinstance(node, ast.Call):
        root = node.func.value if isinstance(node.func, ast.Attribute) else None
        return isinstance(root, ast.Name) and root.id in HARMLESS and all(map(is_constant, node.args))
    if isinstance(node, ast.Constant | ast.Name | ast.Lambda):
        return True
    kinds = ast.Attribute | ast.UnaryOp | ast.BinOp | ast.Tuple | ast.List | ast.Set | ast.Dict
    children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return isinstance(node, kinds) and all(map(is_constant, children))


def is_definition(node):
    """Imports, functions, classes, constants; and a try or an if that holds nothing else"""
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


def borrowed(statements):
    """Names that come as they are from a library, as in `from scipy.special import softmax`: not the submission's"""
    nodes = [node for node in statements if isinstance(node, ast.ImportFrom)]
    nodes = [node for node in nodes if (node.module or "").split(".")[0] in LIBRARIES]
    return {alias.asname or alias.name for node in nodes for alias in node.names}
