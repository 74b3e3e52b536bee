"""The house stands as it was drawn: two packages room by room, imports that go down, the same names on both sides."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from numpy_ref.reward_model import init_params
from numpy_ref.tree import flatten
from torch_impl.reward_model import RewardModel

ROOT = Path(__file__).resolve().parent.parent

# The floor of every room, in either package. An import goes to a lower floor, or to a room of the same floor that
# stands before it in this list. A new room is entered here, at the lowest floor that its imports allow. A room that
# became too large for one file has helpers named after it (check_cases beside check): they stand with it.
FLOORS = {
    0: "errors tree losses layers agreement metrics calibration pairs existence newton spanning_tree",
    1: "attention ties gradient_check linear_head",
    2: "bootstrap transformer optim plackett_luce ranking listwise bradley_terry inference games",
    3: "preferences tokenizer token_rows world batches reward_model language_model objectives dpo policy",
    4: "checkpoint figures architecture_figure fit_figure calibration_figure model_card train runs commands "
    "token_cache train_recorded train_read train_source train_options train_resume train_data train_command sft "
    "score evaluate normalisation check fit report compare distributed lean shared_prompt engine backbone lesson",
    5: "__main__",
}
PLACE = {room: (floor, i) for floor, names in FLOORS.items() for i, room in enumerate(names.split())}

# Rooms of numpy_ref without a gradient, or of files, words and pictures that both packages share: they have no twin.
WITHOUT_TWIN = {
    "errors",
    "tree",
    "metrics",
    "agreement",
    "calibration",
    "pairs",
    "existence",
    "newton",
    "spanning_tree",
    "inference",
    "plackett_luce",
}
WITHOUT_TWIN |= {
    "gradient_check",
    "games",
    "world",
    "tokenizer",
    "token_rows",
    "token_cache",
    "preferences",
    "report",
    "check",
    "fit",
}
WITHOUT_TWIN |= {
    "figures",
    "architecture_figure",
    "fit_figure",
    "calibration_figure",
    "model_card",
    "evaluate",
    "normalisation",
    "runs",
    "commands",
    "train_read",
    "train_recorded",
    "train_options",
    "train_resume",
    "train_source",
    "train_data",
    "train_command",
    "score",
    "lesson",
    "bootstrap",
}
# Rooms of torch_impl alone: both sides in lockstep, and what only PyTorch has.
TWIN_ALONE = {"compare", "backbone", "distributed", "shared_prompt", "lean", "engine"}
# One room read by both packages, or one in each.
MAY_HAVE_TWIN = {"__main__", "checkpoint", "batches", "plackett_luce"}

# What a room may import beside NumPy and the standard library, where it is used.
ALLOWED = {
    "lesson": {"matplotlib", "IPython"},
    "figures": {"matplotlib"},
    "architecture_figure": {"matplotlib"},
    "fit_figure": {"matplotlib"},
    "score": {"tqdm"},
    "evaluate": {"tqdm"},
    "normalisation": {"tqdm"},
    "report": {"matplotlib"},
}
ALLOWED |= {
    "fit": {"tqdm"},
    "checkpoint": {"safetensors"},
    "train_command": {"tqdm"},
    "train_read": {"tqdm"},
    "check": {"hypothesis", "torch"},
}
ALLOWED |= {"preferences": {"pyarrow", "datasets"}}


def family(room):
    """The room whose floor it stands on: itself, or check for check_cases; None for a room that nobody entered"""
    owner = room.split("_")[0]
    return room if room in PLACE else owner if owner in PLACE else None


def rooms(package):
    """{name: path} of a package's rooms"""
    return {path.stem: path for path in sorted((ROOT / package).glob("*.py")) if path.stem != "__init__"}


def imports(path):
    """(package or None for this one, room) of every import of a file, also of those inside functions"""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                yield from [(None, module.split(".")[0])] if module else [(None, alias.name) for alias in node.names]
            elif module in ("numpy_ref", "torch_impl"):
                yield from ((module, alias.name) for alias in node.names)
            else:
                yield package_and_room(module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield package_and_room(alias.name)


def package_and_room(name):
    """numpy_ref.layers -> ("numpy_ref", "layers"),  numpy -> ("numpy", "")"""
    package, _, rest = name.partition(".")
    return package, rest.partition(".")[0]


EVERY_ROOM = [(package, room) for package in ("numpy_ref", "torch_impl") for room in rooms(package)]


@pytest.mark.parametrize(("package", "room"), EVERY_ROOM)
def test_imports_go_down_the_floors(package, room):
    own = family(room)
    assert own, f"{package}/{room}.py stands on no floor: enter it in FLOORS of tests/test_mirror.py"
    for other_package, other in imports(rooms(package)[room]):
        below = family(other)
        if other_package not in (None, "numpy_ref", "torch_impl") or not below or below == own:
            continue
        assert PLACE[below] < PLACE[own], (
            f"{package}/{room}.py (floor {PLACE[own][0]}) imports {other} (floor {PLACE[below][0]}): "
            "imports go down only, and on one floor to rooms that stand earlier in FLOORS"
        )


def test_numpy_ref_never_imports_its_twin():
    for room, path in rooms("numpy_ref").items():
        assert "torch_impl" not in {package for package, _ in imports(path)}, f"numpy_ref/{room}.py imports torch_impl"


@pytest.mark.parametrize("room", rooms("numpy_ref"))
def test_numpy_ref_imports_numpy_and_the_standard_library_only(room):
    allowed = {"numpy", "numpy_ref", None} | set(sys.stdlib_module_names) | ALLOWED.get(family(room), set())
    found = {package for package, _ in imports(rooms("numpy_ref")[room])}
    assert found <= allowed, f"numpy_ref/{room}.py imports {sorted(found - allowed)}"


def test_both_packages_have_the_same_rooms():
    here, there = set(rooms("numpy_ref")), set(rooms("torch_impl"))
    alone = {room for room in there - here if family(room) not in TWIN_ALONE}
    assert not alone, f"only torch_impl has {sorted(alone)}: write numpy_ref's, or enter them in TWIN_ALONE"
    twins_of_none = there & WITHOUT_TWIN
    assert not twins_of_none, f"{sorted(twins_of_none)} stand in WITHOUT_TWIN, but torch_impl has them"
    missing = {room for room in here - there if family(room) not in WITHOUT_TWIN | MAY_HAVE_TWIN}
    assert not missing, f"torch_impl lacks {sorted(missing)}: write the twin, or enter them in WITHOUT_TWIN"


def loaded_by(statement):
    """The top-level modules in sys.modules of a fresh interpreter after the statement"""
    code = f"import sys\n{statement}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


HEAVY = {"torch", "matplotlib", "scipy", "safetensors", "tqdm", "hypothesis", "pandas", "torch_impl", "transformers"}


def test_importing_numpy_ref_and_its_mathematics_loads_numpy_and_nothing_heavier():
    assert not loaded_by("import numpy_ref") & HEAVY
    mathematical = [room for room in rooms("numpy_ref") if family(room) in PLACE and PLACE[family(room)][0] < 4]
    loaded = loaded_by("import " + ", ".join(f"numpy_ref.{room}" for room in mathematical))
    assert "numpy" in loaded
    assert not loaded & HEAVY


def test_importing_any_room_of_numpy_ref_never_loads_torch_nor_matplotlib():
    """Each is imported where it is used, so that a command that draws nothing does not wait for it"""
    names = [room for room in rooms("numpy_ref") if room != "__main__"]
    assert not loaded_by("import " + ", ".join(f"numpy_ref.{room}" for room in names)) & {
        "torch",
        "matplotlib",
        "scipy",
    }


def public_functions(package):
    for room in rooms(package):
        if room == "__main__" or family(room) != room:  # helper rooms hold tables of functions that state themselves
            continue
        module = importlib.import_module(f"{package}.{room}")
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", None) == module.__name__ and not name.startswith("_"):
                yield f"{package}.{room}.{name}", value


@pytest.mark.parametrize("package", ["numpy_ref", "torch_impl"])
def test_every_public_function_and_class_has_a_docstring(package):
    without = [name for name, value in public_functions(package) if not inspect.getdoc(value)]
    assert not without, f"without a docstring: {without}"


def test_every_room_says_what_it_is_about():
    without = [f"{p}/{r}" for p, r in EVERY_ROOM if not ast.get_docstring(ast.parse(rooms(p)[r].read_text()))]
    assert not without, f"without a docstring: {without}"


def test_every_backward_stands_directly_below_its_forward():
    for room, path in rooms("numpy_ref").items():
        names = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        for i, name in enumerate(names):
            if family(room) == room and name.endswith("_backward") and not name.startswith(("_", "check_")):
                forward = name.removesuffix("_backward")
                assert names[i - 1] == forward, f"{room}.{name} does not stand directly below {forward}"


def test_the_flattened_tree_is_the_twins_state_dict_in_names_shapes_and_order():
    params = init_params(np.random.default_rng(0), vocab_size=11, n_positions=7, n_embd=8, n_layer=2)
    state = RewardModel(vocab_size=11, n_positions=7, n_embd=8, n_layer=2, n_head=4).state_dict()
    assert [(k, v.shape) for k, v in flatten(params).items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    assert all(isinstance(leaf, torch.Tensor) for leaf in state.values())
