"""The pytest plugin in a project of three files, and the command line on a user's own pair of functions."""

import subprocess
import sys
from pathlib import Path

import pytest

from numpy_ref.check import command as check
from numpy_ref.check.slips import broken_trees
from numpy_ref.cli.main import main

LAYERS = """
import numpy as np

def rms_norm(x, weight, eps=1e-5):
    rstd = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    return weight * x * rstd, (x, weight, rstd)

def rms_norm_backward(dout, cache):
    x, weight, rstd = cache
    xhat, dxhat = x * rstd, dout * weight
    dx = rstd * (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True))
    return dx, {"weight": (dout * xhat).sum((0, 1))}
"""
TEST = """
from layers import rms_norm, rms_norm_backward
from numpy_ref.check import checks_backward, shape
import numpy as np

checks_backward(rms_norm, x=shape("B", "T", "C"), weight=shape("C"))(rms_norm_backward)

def test_one(check_backward):
    rng = np.random.default_rng(0)
    check_backward(rms_norm, rms_norm_backward, rng.standard_normal((1, 1, 4)), {"weight": rng.standard_normal(4)})
"""


def run(folder, *options):
    """Runs pytest in the project; names the plugin, in case this checkout is not installed"""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "numpy_ref.check.plugin", *options]
    root = str(Path(check.__file__).parents[2])
    environment = {"PYTHONPATH": root, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "test_layers.py").write_text(TEST)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return tmp_path


def test_a_project_of_three_files_is_checked_and_its_power_is_told(project):
    done = run(project, "--backward-power")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("rms_norm_backward: ")]
    noticed, total = (int(word) for word in line.split() if word.isdigit())
    assert total > 20
    assert noticed >= total - 1


def test_a_wrong_backward_fails_with_its_sentence(project):
    (project / "layers.py").write_text(LAYERS.replace("sum((0, 1))", "mean((0, 1))"))
    done = run(project)
    assert done.returncode == 1
    assert "dweight[" in done.stdout
    assert "times the gradient" in done.stdout


def test_weak_tests_have_little_power(project):
    """A test that checks a constant function misses mutants"""
    weak = "def test_one(check_backward):\n    check_backward(lambda x: (0 * x, x), zero, np.ones(3))\n"
    zero = "\ndef zero(dout, cache):\n    return 0 * dout * (cache + 1)\n"
    (project / "test_layers.py").write_text("import numpy as np\n" + zero + weak)
    done = run(project, "--backward-power")
    assert "not noticed: line 4: " in done.stdout


def test_starting_pytest_imports_neither_numpy_nor_hypothesis():
    code = "import sys, numpy_ref.check.plugin; print(*{'numpy', 'hypothesis', 'pytest'} & set(sys.modules))"
    root = str(Path(check.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_mutants_know_their_lines():
    import ast

    lines = {line for *_, line, _ in broken_trees(ast.parse("a = b + c\nd = -a"))}
    assert lines == {1, 2}


OWN = """
import numpy as np
def f(x, w):
    return np.abs(x @ w)
def f_backward(dout, x, w):
    s = np.sign(x @ w) * dout
    return s[..., None] * w, {"w": (s[..., None] * x).SUM((0, 1))}
"""


def bring(tmp_path, source, *options):
    (tmp_path / "own.py").write_text(source)
    pair = ["--forward", "f", "--backward", "f_backward", *options]
    return main(
        "p", {"check": ("", lambda: (check.add_arguments, check.run))}, ["check", str(tmp_path / "own.py"), *pair]
    )


@pytest.mark.parametrize(("method", "status", "words"), [("sum", 0, "2 of 2"), ("mean", 1, "0.166667 times")])
def test_a_pair_that_somebody_brings(tmp_path, capsys, method, status, words):
    source = OWN.replace("SUM", method)
    assert bring(tmp_path, source, "--input", "x=(2,3,5)", "--input", "w=(5,)") == status
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "takes all three"),
        (("--input", "x=2,3"), "--input x=2,3: expected NAME=(SIZES)"),
        (("--input", "x=(3,)", "--forward", "g"), "g is not defined there"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path, capsys, options, sentence):
    assert bring(tmp_path, OWN, *options) == 2
    said = capsys.readouterr().err
    assert sentence in said.replace("own.py: ", "")
    assert said.count("\n") == 1
