"""Every shape comment is true: the program is traced, and each `# (B, T, 3C)` is compared with the real array.

A comment stands on an assignment and speaks of its first name. B, T, C, H, D, V, K and O are the sizes of the case,
all different; `...` stands for any leading axes; in the rooms below the reward model, B counts all responses.
"""

import ast
import re
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch
from strategies import make_case
from test_reward_model import module_of

from numpy_ref.reward_model import loss_and_grads
from torch_impl.reward_model import loss_and_grads as twin_loss_and_grads

ROOT = Path(__file__).resolve().parent.parent
HEART = ["losses", "layers", "attention", "transformer", "reward_model"]
SHAPE = re.compile(r"#\s*\((\.\.\.|[A-Z0-9][A-Z0-9 *]*)(,\s*[A-Z0-9][A-Z0-9 *]*)*,?\)\s*$")


def claims(path):
    """{line where the assignment starts: (variable, ["B", "T", "3C"])} for each shape comment of a file"""
    with path.open("rb") as file:
        comments = {t.start[0]: t.string for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT}
    assignments = {n.end_lineno: n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Assign)}
    found = {}
    for line, comment in comments.items():
        if SHAPE.match(comment):
            assert line in assignments, f"{path.name}:{line}: the shape comment {comment} stands on no assignment"
            node = assignments[line]
            names = [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
            found[node.lineno] = (names[0], [axis.strip() for axis in comment.strip("# ()").split(",") if axis.strip()])
    return found


def axis_size(text, sizes):
    """3C -> 3 · C,  B * K -> B · K"""
    size = 1
    for factor in re.findall(r"\d+|[A-Z]", text):
        size *= int(factor) if factor.isdigit() else sizes[factor]
    return size


def sizes_in(frame, sizes):
    """The sizes in this frame: first its own B, T, C ..., then O of its weight, and B · K as B below the model"""
    own = {k: v for k, v in frame.f_locals.items() if len(k) == 1 and k.isupper() and isinstance(v, int)}
    below = {} if frame.f_code.co_filename.endswith("reward_model.py") else {"B": sizes["B"] * sizes["K"]}
    weight = frame.f_locals.get("weight")
    return sizes | below | ({"O": weight.shape[0]} if weight is not None else {}) | own


def check_shape_comments(paths, sizes, run):
    """Runs `run` under a tracer; returns the number of comments, all of which must be reached and true"""
    table = {str(path): claims(path) for path in paths}
    reached, wrong = set(), []

    def compare(frame, line):
        path = frame.f_code.co_filename
        name, axes = table[path][line]
        got, want = (
            tuple(frame.f_locals[name].shape),
            [axis_size(a, sizes_in(frame, sizes)) for a in axes if a != "..."],
        )
        reached.add((path, line))
        if (got[len(got) - len(want) :] if axes[0] == "..." else got) != tuple(want):
            wrong.append(f"{Path(path).name}:{line}: {name} has shape {got}, the comment says ({', '.join(axes)})")

    def trace(frame, _event, _arg):
        if frame.f_code.co_filename not in table:
            return None
        pending = None

        def local(frame, event, _arg):
            nonlocal pending
            if pending is not None and event in {"line", "return"}:
                compare(frame, pending)
                pending = None
            if event == "line" and frame.f_lineno in table[frame.f_code.co_filename]:
                pending = frame.f_lineno
            return local

        return local

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    assert not wrong, "\n".join(wrong)
    missed = {(path, line) for path, lines in table.items() for line in lines} - reached
    assert not missed, f"never reached: {sorted(missed)}"
    return len(reached)


CASE = {"B": 5, "K": 2, "T": 7, "H": 3, "C": 12, "V": 17, "n_layer": 2, "dtype": np.float64, "seed": 0}
SIZES = {k: v for k, v in CASE.items() if len(k) == 1} | {"D": 4}


def rooms(package):
    return [path for path in (ROOT / package / f"{room}.py" for room in HEART) if path.exists()]


def test_every_shape_comment_of_the_heart_is_true():
    case = make_case(**CASE)
    found = check_shape_comments(
        rooms("numpy_ref"), SIZES, lambda: loss_and_grads(case.params, case.tokens, case.length, case.n_head)
    )
    assert found >= 10


def test_every_shape_comment_of_the_twin_is_true():
    case = make_case(**CASE)
    module, tokens, length = module_of(case), torch.tensor(case.tokens), torch.tensor(case.length)
    assert check_shape_comments(rooms("torch_impl"), SIZES, lambda: twin_loss_and_grads(module, tokens, length)) >= 1


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def f(x):\n    y = x.T  # (B, T)\n    return y\n", "y has shape"),
        ("def f(x):\n    if x.any():\n        return x\n    y = x  # (B, T)\n    return y\n", "never reached"),
        ("def f(x):\n    return x  # (B, T)\n", "stands on no assignment"),
        ("def f(x):\n    y, _ = x[..., None], 0  # (..., 2)\n    return y\n", "the comment says"),
    ],
)
def test_a_false_comment_is_noticed(source, sentence, tmp_path):
    room = tmp_path / "room.py"
    room.write_text(source)
    scope = {}
    exec(compile(source, str(room), "exec"), scope)
    with pytest.raises(AssertionError, match=sentence):
        check_shape_comments([room], SIZES | {"B": 2, "K": 1, "T": 3}, lambda: scope["f"](np.ones((2, 3))))
