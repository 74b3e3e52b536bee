"""The layout has one rule: the top level is the book and imports no folder; a folder is one capability."""

import ast
import functools
import importlib
import inspect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch

from numpy_ref.reward_model import init_params
from numpy_ref.tree import flatten
from torch_impl.reward_model import RewardModel

ROOT = Path(__file__).resolve().parent.parent

# A folder may import the folders before it in this list; torch_impl's may import all of numpy_ref.
FOLDERS = {
    "numpy_ref": ["cli", "figures", "data", "storage", "bradley_terry", "check", "evaluation", "training", "report"],
    "torch_impl": ["bradley_terry", "check", "engine", "backbone", "evaluation", "training"],
}
DOORS = {
    "numpy_ref.__main__",
    "torch_impl.__main__",
    "torch_impl.compare",
    "torch_impl.stages",
}  # at the top, where commands come together
ONLY_IN_TORCH = {"engine", "backbone", "compare", "stages"}  # what has no counterpart by hand
LAZY = {  # beside NumPy and the standard library, inside functions only
    "matplotlib",
    "IPython",
    "tqdm",
    "safetensors",
    "filelock",
    "hypothesis",
    "pytest",
    "torch",
    "pyarrow",
    "datasets",
}
HEAVY = LAZY | {"scipy", "pandas", "torch_impl", "transformers"}


def modules(package):
    """{dotted name: path} of a package's files; an __init__ has the name of its folder"""
    paths = sorted((ROOT / package).rglob("*.py"))
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(dotted, paths, strict=True))


FILES = {package: modules(package) for package in FOLDERS}
EVERY_FILE = FILES["numpy_ref"] | FILES["torch_impl"]


def folder_of(name):
    """numpy_ref.data.reader -> data,  numpy_ref.losses -> None"""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS[parts[0]] else None


@functools.cache
def imports(name, inside_functions=True):
    """The dotted names of the modules that a file imports, in whatever form"""
    path, found = EVERY_FILE[name], []
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    tree = ast.parse(path.read_text())
    functions = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if id(node) in functions and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found += [full if (full := f"{module}.{alias.name}") in EVERY_FILE else module for alias in node.names]
    return found


def ours(names):
    return {name for name in names if name.split(".")[0] in FOLDERS}


@pytest.mark.parametrize("name", sorted(set(EVERY_FILE) - DOORS - set(FOLDERS)))
def test_imports_go_down_only(name):
    """From folders to the top level, and to folders that stand before their own in FOLDERS"""
    package, own = name.split(".")[0], folder_of(name)
    for other in ours(imports(name)) - {package}:
        folder, home = folder_of(other), other.split(".")[0]
        assert (package, home) != ("numpy_ref", "torch_impl"), f"{name} imports its twin {other}"
        if folder is None or (package, own) == (home, folder) or (package, home) == ("torch_impl", "numpy_ref"):
            assert own or folder is None, f"{name} stands at the top and imports the folder of {other}"
            continue
        assert own, f"{name} stands at the top and imports the folder of {other}"
        assert FOLDERS[home].index(folder) < FOLDERS[package].index(own), f"{name} imports up: {other}"


def test_no_imports_go_in_circles():
    """Not even those that are hidden in functions"""
    edges = {name: ours(imports(name)) & set(EVERY_FILE) for name in EVERY_FILE}
    done: set = set()
    while ready := [name for name in edges if name not in done and edges[name] - {name} <= done]:
        done.update(ready)
    assert done == set(edges), f"in a circle, or above one: {sorted(set(edges) - done)}"


@pytest.mark.parametrize("name", sorted(FILES["numpy_ref"]))
def test_numpy_ref_imports_numpy_and_the_standard_library(name):
    """Other packages are imported inside functions; the book needs none, except filelock in files"""
    roots = lambda found: {module.split(".")[0] for module in found} - {"numpy_ref", "numpy", *sys.stdlib_module_names}  # noqa: E731
    assert not roots(imports(name, inside_functions=False))
    assert roots(imports(name)) <= (LAZY if folder_of(name) else {"filelock"} if name == "numpy_ref.files" else set())


def test_every_file_of_torch_impl_outside_its_own_folders_has_its_twin():
    path = lambda name: name.split(".", 1)[1]  # noqa: E731
    twins = {
        path(name) for name in FILES["torch_impl"] if "." in name and path(name).split(".")[0] not in ONLY_IN_TORCH
    }
    missing = twins - {path(name) for name in FILES["numpy_ref"] if "." in name}
    assert not missing, f"numpy_ref has no {sorted(missing)}"


def test_every_backward_of_the_book_belongs_to_a_twin():
    """What has a gradient is written twice"""
    derived = {
        name.split(".", 1)[1]
        for name, path in FILES["numpy_ref"].items()
        if not folder_of(name) and any(function.endswith("_backward") for function in functions_of(path))
    }
    assert derived - {"gradient_check"} <= {name.split(".", 1)[1] for name in FILES["torch_impl"] if "." in name}


EVERY_FOLDER = [name for name, path in EVERY_FILE.items() if path.stem == "__init__" and name not in FOLDERS]


@pytest.mark.parametrize("folder", EVERY_FOLDER)
def test_every_folder_says_what_it_is_for_and_names_its_files_in_reading_order(folder):
    """And no file that is not there: names stand in the first column, two blanks before what is said of them"""
    said = ast.get_docstring(ast.parse(EVERY_FILE[folder].read_text())) or ""
    inside = {name.removeprefix(f"{folder}.").split(".")[0] for name in EVERY_FILE if name.startswith(f"{folder}.")}
    assert inside <= set(said.replace(",", " ").replace(":", " ").split()), f"{folder}: {sorted(inside)}"
    named = {name for column in re.findall(r"^((?:\w+, )*\w+)  +\S", said, re.MULTILINE) for name in column.split(", ")}
    data = {path.name for path in EVERY_FILE[folder].parent.iterdir() if path.is_dir()}
    assert named, folder
    assert named <= inside | data, f"{folder}: {sorted(named - inside - data)}"
    assert len(inside) == 1 or re.search("[Ii]n reading order:|read this first", said), folder


@pytest.mark.parametrize("folder", EVERY_FOLDER)
def test_what_a_folder_exports_is_in_its_all_and_there(folder):
    face, tree = importlib.import_module(folder), ast.parse(EVERY_FILE[folder].read_text())
    exported = {
        a.name for n in tree.body if isinstance(n, ast.ImportFrom) and n.level == 1 and n.module for a in n.names
    }
    names = getattr(face, "__all__", [])
    assert exported <= set(names)
    assert [name for name in names if not hasattr(face, name)] == []


def loaded_by(statement):
    """The top-level modules in sys.modules of a fresh interpreter after the statement"""
    code = f"import sys\n{statement}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


def test_importing_every_file_of_numpy_ref_loads_numpy_and_nothing_heavier():
    """What is heavy is imported where it is used, so that a command that draws nothing does not wait for it"""
    loaded = loaded_by("import " + ", ".join(name for name in FILES["numpy_ref"] if not name.endswith("__main__")))
    assert "numpy" in loaded
    assert not loaded & HEAVY


def functions_of(path):
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", sorted(set(EVERY_FILE) - {"numpy_ref.__main__", "torch_impl.__main__"}))
def test_every_file_and_its_public_functions_and_classes_have_docstrings(name):
    module = importlib.import_module(name)
    without = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == name and not key.startswith("_")
        if not inspect.getdoc(value)
    ]
    assert module.__doc__
    assert not without, f"without a docstring: {without}"


EXAMPLE_FILES = {"NN_name.py", "loss.py", "x.py"}  # names that stand for a reader's own file


def comments_and_docstrings(path):
    source = path.read_text()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
    return [token.string for token in tokens if token.type == tokenize.COMMENT] + [
        ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, documented)
    ]


def test_every_file_that_a_comment_or_docstring_names_exists():
    paths = [path for folder in (*FOLDERS, "tests", "notebooks") for path in (ROOT / folder).rglob("*.py")]
    known = EXAMPLE_FILES | {path.name for path in paths}

    def unknown(text):
        return set(re.findall(r"\b\w+\.py\b", text)) - known

    # Telling comments from code takes time, and few files have an unknown name at all: a test names files of its own.
    suspects = [path for path in paths if unknown(path.read_text())]
    stale = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in suspects
        for text in comments_and_docstrings(path)
        for name in unknown(text)
    }
    assert not stale, stale


def test_every_name_that_a_script_imports_from_the_house_exists():
    """Benchmarks are run only by hand, so nothing else would notice that a name has moved"""
    scripts = [p for folder in ("tests", "notebooks") for p in (ROOT / folder).rglob("*.py") if "test_" not in p.name]
    imported = {
        (node.module, alias.name)
        for path in scripts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FOLDERS
        for alias in node.names
    }
    missing = [
        pair
        for pair in imported
        if ".".join(pair) not in EVERY_FILE and not hasattr(importlib.import_module(pair[0]), pair[1])
    ]
    assert len(imported) > 100
    assert not missing, missing


def test_every_backward_stands_directly_below_its_forward():
    for name, path in FILES["numpy_ref"].items():
        names = functions_of(path)
        for i, function in enumerate(names):
            if (
                folder_of(name) != "check"
                and function.endswith("_backward")
                and not function.startswith(("_", "check_"))
            ):
                forward = function.removesuffix("_backward")
                assert names[i - 1] == forward, f"{name}.{function} does not stand directly below {forward}"


def test_the_flattened_tree_is_the_twins_state_dict_in_names_shapes_and_order():
    params = init_params(np.random.default_rng(0), vocab_size=11, n_positions=7, n_embd=8, n_layer=2)
    state = RewardModel(vocab_size=11, n_positions=7, n_embd=8, n_layer=2, n_head=4).state_dict()
    assert [(k, v.shape) for k, v in flatten(params).items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    assert all(isinstance(leaf, torch.Tensor) for leaf in state.values())
