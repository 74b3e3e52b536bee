"""The public face: what the packages offer, nothing loaded before it is used, and NumPy's half without torch."""

import ast
import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy_ref", "torch_impl")
NO_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
"""


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, **options)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_no_function_bears_a_modules_name(package):
    face = importlib.import_module(package)
    assert face.__all__ == sorted(set(face.__all__))
    modules = {path.stem for path in (ROOT / package).iterdir()}
    for name in face.__all__:
        value = getattr(face, name)
        assert isinstance(value, types.ModuleType) or name not in modules, f"{package}.{name} is also a module's name"
        assert name in dir(face)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'atention'"):
        face.atention  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_are_told_the_same_names_from_the_same_homes(package):
    face, told = importlib.import_module(package), {}
    for node in ast.parse((ROOT / package / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            told |= {alias.name: node.module for alias in node.names}
    assert sorted(told) == face.__all__
    assert {name: home for name, home in told.items() if home} == face._MODULE_OF
    assert (ROOT / package / "py.typed").exists()


def test_importing_numpy_ref_loads_numpy_alone_and_of_numpy_ref_nothing():
    done = python("import sys, numpy_ref; print(*(m for m in sys.modules if m.startswith('numpy_ref')))", check=True)
    assert done.stdout.split() == ["numpy_ref"]


def test_every_backward_pass_of_the_heart_is_exported_with_its_forward():
    import numpy_ref

    for module in ("losses", "layers", "ranking", "listwise"):
        functions = vars(importlib.import_module(f"numpy_ref.{module}"))
        backward = [
            name for name in functions if name.endswith("_backward") and functions[name].__module__.endswith(module)
        ]
        for name in backward:
            if name != "half_win_backward":  # one of three tie models, inside the K-wise loss
                assert {name, name.removesuffix("_backward")} <= set(numpy_ref.__all__)


def test_numpys_half_works_where_torch_is_not_installed(tmp_path):
    """Every file of numpy_ref is imported and a model is trained, scored and evaluated, with torch hidden"""
    code = f"""{NO_TORCH}
import os, pkgutil, importlib, numpy_ref
for module in pkgutil.walk_packages(numpy_ref.__path__, "numpy_ref."):
    importlib.import_module(module.name)
os.chdir({str(tmp_path)!r})
from numpy_ref.__main__ import COMMANDS
from numpy_ref.cli.main import main
tiny = "--n-layer 1 --n-head 2 --n-embd 8 --max-steps 2 --output-dir runs/tiny".split()
assert main("numpy_ref", COMMANDS, ["train", *tiny]) == 0
model = numpy_ref.load("runs/tiny")
assert model.score("say cat", ["cat .", "um cat ."]).shape == (2,)
assert main("numpy_ref", COMMANDS, ["fit"]) == 0
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_without_torch_the_commands_of_torch_impl_say_in_one_sentence_what_to_install():
    code = (
        NO_TORCH
        + "sys.argv = ['torch_impl', 'train']\nimport runpy; runpy.run_module('torch_impl', run_name='__main__')"
    )
    done = python(code)
    assert done.returncode == 2
    assert done.stderr == (
        "python -m torch_impl: error: PyTorch is not installed: pip install 'reward-by-hand[torch]', or use "
        "python -m numpy_ref\n"
    )
