"""Reads a submission, .py or .ipynb, as blocks of Python, and notes what looks like tampering with the checker."""

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..files import check_input
from .submission.statements import UNREADABLE

RUNS = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*")  # cell magics whose body is Python, and is run
SHELL = re.compile(r"get_ipython\(\)\.(system|getoutput|getlines)\(|run_cell_magic\('(bash|sh|script|system|!)'")
SUSPECT = {
    "_getframe": "walks the frames of its caller",
    "f_back": "walks the frames of its caller",
    "currentframe": "walks the frames of its caller",
    "get_objects": "searches the interpreter's memory",
    "get_referrers": "searches the interpreter's memory",
    "settrace": "traces its caller",
    "setprofile": "traces its caller",
    "__globals__": "looks into the globals of another function",
    "getppid": "looks for the process that started it",
    "kill": "sends signals",
    "killpg": "sends signals",
    "fdopen": "opens descriptors that it was not given",
    "meta_path": "changes how imports are found",
    "submission_process": "looks for the checker",
    "oracles": "looks for the checker's answers",
}


class Source(NamedTuple):
    """[(label, source)] of a submission, notes on how it was read, and what looks like tampering with the checker"""

    blocks: list
    notes: list
    suspicions: list
    mentioned: list = []  # noqa: RUF012  every string in the code: some may name files


def read_source(path):
    """The Source of a file; InputError if it is unreadable"""
    blocks = read_blocks(path)
    notes = []
    if Path(path).suffix == ".ipynb":
        blocks = [(label, python_of(source)) for label, source in blocks]
        if any(SHELL.search(source) for _, source in blocks):
            notes.append("shell lines are not run")
    return Source(blocks, notes, suspicions(blocks), mentioned(blocks))


def read_blocks(path):
    """[(label, source)]: a Python file is one block, a notebook has one for each code cell; InputError if unreadable"""
    check_input(path)
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
        return _cells(path, text)
    raise InputError(f"{path}: ends in {path.suffix or 'nothing'}; expected a Python file (.py) or a notebook (.ipynb)")


def _cells(path, text):
    try:
        cells = json.loads(text)["cells"]
        code = [(number, cell["source"]) for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
        return [(f"cell {number}", "".join(source)) for number, source in code]
    except ValueError as error:
        raise InputError(f"{path}: not a notebook: {error}; save it again from Jupyter") from None
    except (KeyError, TypeError):
        raise InputError(f"{path}: not a notebook of version 4: no list of cells; save it again from Jupyter") from None


def python_of(cell):
    """A cell as the kernel would run it, by IPython's own transformer; lines keep their numbers"""
    try:
        ast.parse(cell)
        return cell  # valid Python stays as it is, even where a line of it begins with %
    except UNREADABLE:
        pass
    if RUNS.fullmatch(cell.lstrip().split("\n")[0]):
        _, _, body = cell.lstrip().partition("\n")
        return "\n" * (len(cell) - len(cell.lstrip()) > 0) + "\n" + python_of(body)
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        raise InputError('a notebook with magics needs IPython: pip install "reward-by-hand[check]"') from None
    try:
        return TransformerManager().transform_cell(cell)
    except UNREADABLE:
        return cell


def nodes_of(blocks):
    """(label, node of the syntax tree) of all blocks that parse"""
    for label, source in blocks:
        try:
            yield from ((label, node) for node in ast.walk(ast.parse(source)))
        except UNREADABLE:
            continue


def mentioned(blocks):
    """Every string in the code"""
    constants = (node.value for _, node in nodes_of(blocks) if isinstance(node, ast.Constant))
    return sorted({value for value in constants if isinstance(value, str)})


def suspicions(blocks):
    """[sentence]: where the code does something that only tampering with the checker needs; no points depend on it"""
    found: dict[str, str] = {}
    for label, node in nodes_of(blocks):
        for word in _words(node):
            if word in SUSPECT:
                place = f"{label}, line {getattr(node, 'lineno', 1)}"
                found.setdefault(SUSPECT[word], f"{place} {SUSPECT[word]} ({word})")
    return list(found.values())


def _words(node):
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.ImportFrom):
        path = (node.module or "").split(".")
        return (
            ["oracles"] if path[:2] == ["numpy_ref", "check"] and "cell" not in path else [a.name for a in node.names]
        )
    if isinstance(node, ast.Import):
        names = [part for alias in node.names for part in alias.name.split(".")]
        return ["oracles"] if names[:2] == ["numpy_ref", "check"] and "cell" not in names else names
    return []
