"""A notebook is read as Jupyter runs it; what a submission cannot reach; the kernel and the file get the same marks."""

import ast
import functools
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from numpy_ref.check import sandbox
from numpy_ref.check.cell import judged
from numpy_ref.check.command import check_file
from numpy_ref.check.functions import FUNCTIONS
from numpy_ref.check.sandbox import Sandbox, published
from numpy_ref.check.source import python_of, read_source
from numpy_ref.check.submission.ours import ALLOWED, IMPORTS, INERT, MOVED, PACKAGES
from numpy_ref.check.text import score

SUBMISSIONS = Path(__file__).parent / "submissions"


def notebook(path, *cells):
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# title"]}
    path.write_text(json.dumps({"cells": [text, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def marks(results):
    return {(result.function, result.statement): result.status for result in results}


def all_passed(results):
    wrong = [(r.function, r.statement, r.sentence) for r in results if r.status != "passed"]
    return not wrong or pytest.fail(str(wrong))


PREAMBLE = """%matplotlib inline
from __future__ import annotations
import numpy as np
from math import pi, sqrt
from functools import partial
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from numpy.typing import NDArray
"""
CELLS = [  # each line once made the checker fail
    PREAMBLE,
    "%%time\nC = sqrt(2 / pi)  # why this one?\ndef gelu(x: NDArray):\n    'really?'\n"
    "    return x / 2 * (1 + np.tanh(C * (x + 0.044715 * x**3)))",
    "%%capture out\ndef _softmax(x, axis):\n"
    "    e = np.exp(x - x.max(axis, keepdims=True))\n    return e / e.sum(axis, keepdims=True)\n",
    "softmax = partial(_softmax, axis=-1)\n!pip list\nfiles = !ls\nnp.exp?\n",
    "class Loss:\n    def __call__(self, chosen, rejected):\n"
    "        return np.logaddexp(0, rejected - chosen).mean()\npairwise_loss = Loss()",
    "import time\ntime.sleep(1000)",
    "text = '''\n%s of %s\n'''  % (1, 2)\n'''\n!rm -rf everything\n%quit\n'''",
    "def brier_score(*, probability, outcome):\n    return ((probability - outcome) ** 2).mean()",
    "WEIGHTS = {}\n",
    "WEIGHTS['tie'] = 0.5\ndef accuracy(c, r):\n    return np.mean((c > r) + WEIGHTS['tie'] * (c == r))",
    "assert accuracy(np.ones(1), np.ones(1)) == 7, 'a check of mine that fails'\nplot(accuracy)\n1 / 0",
    "%%bash\nrm -rf /nowhere",
]
ASKED = ["gelu", "softmax", "pairwise_loss", "brier_score", "accuracy"]


def test_a_notebook_means_what_jupyter_means(tmp_path):
    start = time.monotonic()
    results, notes = check_file(notebook(tmp_path / "n.ipynb", *CELLS))
    assert {result.function for result in results} == set(ASKED)
    assert all_passed(results)
    assert notes == ["shell lines are not run"]
    assert time.monotonic() - start < 60  # the functions do not need the cell that sleeps


def test_what_is_python_already_is_left_as_it_is():
    for cell in ("x = 1  # what?", "'''\n%time\n'''", "s = '!ls'", "a = 5 \\\n% 3"):
        assert python_of(cell) == cell
    assert python_of("%%time\nx = 1").split("\n") == ["", "x = 1"]  # lines keep their numbers


def test_all_cells_are_run_only_where_those_that_are_needed_do_not_suffice(tmp_path):
    cells = ["import numpy as np\ndef make():\n    globals()['half'] = 0.5", "make()"]
    body = "def accuracy(c, r):\n    return np.mean((c > r) + half * (c == r))\nprobe = half"
    results, notes = check_file(notebook(tmp_path / "n.ipynb", *cells, body))
    assert all_passed(results)
    assert notes[0].startswith("all cells were run: ")
    slow = "import numpy as np\nhalf = slow()\ndef accuracy(c, r):\n    return np.mean((c > r) + (c == r) / 2)"
    results, notes = check_file(notebook(tmp_path / "m.ipynb", "def slow():\n    while True: pass", slow), seconds=1)
    assert all_passed(results)


def test_the_check_cell_ends_its_functions_part(tmp_path):
    """A later cell imports the lesson's own function under the same name; it is not the reader's"""
    mine = "import numpy as np\ndef sigmoid(x):\n    return np.exp(-np.logaddexp(0, -x))"
    path = notebook(tmp_path / "n.ipynb", mine, "check(sigmoid)", "from numpy_ref.losses import sigmoid")
    assert all_passed(check_file(path, ["sigmoid"])[0])


def test_the_names_of_version_0_1_0_are_known_to_the_loader_alone(tmp_path):
    old = """
from numpy_ref import existence, losses
from numpy_ref.check_cell import check
from numpy_ref.lesson import Slider, picture
from numpy_ref.figures import BLUE, gradient_regimes
from numpy_ref.agreement import percent_agreement
from numpy_ref.bradley_terry import fit
from numpy_ref.games import BASEBALL
from numpy_ref.pairs import pairs_of_rows
from numpy_ref.losses import log_sigmoid, sigmoid
from numpy_ref.tree import flatten
import numpy as np
USED = check, picture, BLUE, percent_agreement, fit, BASEBALL, pairs_of_rows, flatten, existence.classify
"""
    mine = "def pairwise_loss_backward(c, r):\n    g = -sigmoid(r - c) / len(c)\n    assert USED\n    return g, -g"
    results, notes = check_file(notebook(tmp_path / "n.ipynb", old.replace(", existence.classify", ""), mine))
    assert all_passed(results)
    assert not notes
    for name in MOVED:
        with pytest.raises(ImportError):
            __import__(name)


@pytest.mark.parametrize(
    "cheat",
    [
        "from numpy_ref.losses import pairwise_loss_backward as f",
        "from numpy_ref import losses\nf = losses.pairwise_loss_backward",
        "import numpy_ref.losses\nf = numpy_ref.losses.pairwise_loss_backward",
        "from numpy_ref.check.oracles import pairwise_loss_backward as f",
        "from numpy_ref.bradley_terry.newton import newton as f",
        "import importlib, sys\nf = importlib.import_module('numpy_ref.losses').pairwise_loss_backward",
    ],
)
def test_the_reference_is_out_of_reach(tmp_path, cheat):
    path = tmp_path / "a.py"
    path.write_text(f"{cheat}\ndef pairwise_loss_backward(chosen, rejected):\n    return f(1.0, chosen - rejected)\n")
    results, _ = check_file(path, ["pairwise_loss_backward"])
    assert score(results) == 0


REFUSED = {
    "from numpy_ref.layers import gelu": "numpy_ref.layers.gelu is the answer itself: write it",
    "from numpy_ref.layers import math": "numpy_ref.layers.math is not among the imports of the exercises",
    "from numpy_ref import optim\noptim.sgd": "numpy_ref.optim.sgd is not among the imports",
    "from numpy_ref import pairwise_loss": "numpy_ref.pairwise_loss is not among the imports",
    "import numpy_ref.report": "numpy_ref.report is not among the imports of the exercises",
}


def test_the_imports_of_the_exercises_are_allowed_and_no_others(tmp_path):
    """Each line fails alone, with a note of its own"""
    (tmp_path / "a.py").write_text("\n".join(REFUSED) + "\ndef gelu(x):\n    return x\n")
    _, notes = check_file(tmp_path / "a.py", ["gelu"])
    for sentence in REFUSED.values():
        assert any(sentence in note for note in notes), sentence


def test_every_name_that_a_lesson_with_exercises_imports_of_ours_is_allowed():
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in (Path(__file__).parents[2] / "notebooks" / "lessons").glob("*.py")
    }
    for path, text in sorted(texts.items()):
        for module, name in imported(ast.parse(text)) if "\ncheck(" in text else ():
            known = f"{module}.{name}" in ALLOWED or name in IMPORTS.get(module, "").split()
            assert known or f"{module}.{name}".startswith(INERT), f"{path.stem}: {module}.{name}"


def imported(tree):
    """(module, name) of each of our names that a lesson imports, or uses through an imported module"""
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module.startswith(PACKAGES)]
    homes = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    used = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    yield from ((node.module, alias.name) for node in nodes for alias in node.names)
    yield from ((homes[n.value.id], n.attr) for n in used if n.value.id in homes)


def test_data_beside_the_submission_can_be_read_and_not_changed(tmp_path):
    (tmp_path / "data.csv").write_text("0.044715\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "half.txt").write_text("0.5")
    source = "import numpy as np\nfrom pathlib import Path\nCUBIC = np.loadtxt('data.csv')\n"
    source += "HALF = float((Path('tables') / 'half.txt').read_text())\nopen('data.csv', 'w').write('0')\n"
    source += "def gelu(x):\n    return HALF * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + CUBIC * x**3)))\n"
    (tmp_path / "a.py").write_text(source)
    results, notes = check_file(tmp_path / "a.py", ["gelu"])
    assert all_passed(results)
    assert not notes
    assert (tmp_path / "data.csv").read_text() == "0.044715\n"


def test_the_process_holds_nothing_of_ours():
    source = read_source(SUBMISSIONS / "unusual.py")
    with Sandbox(SUBMISSIONS / "unusual.py", source, 20, published()) as box:
        assert not [name for name in box.modules if name.startswith(("numpy_ref", "torch", "hypothesis"))]
        assert not [name for name in box.modules if "oracle" in name or "mistake" in name]


HOSTILE = """
import os, sys, signal
import numpy as np
def sigmoid(x):
    os.kill(os.getppid(), signal.SIGKILL)
    return np.exp(-np.logaddexp(0, -x))
def log_sigmoid(x):
    for fd in range(3, 20):
        try: os.write(fd, b'{"status": "ok"}\\n' * 1000)
        except OSError: pass
    return -np.logaddexp(0, -x)
def softmax(x):
    open('/tmp/check-was-here', 'w')
def gelu(x):
    import numpy_ref.check.judge
def brier_score(p, y):
    return ((p - y) ** 2).mean()
def cohen_kappa(a, b):
    return sys._getframe(1).f_locals
"""


def test_what_a_submission_does_to_its_process_costs_one_function_and_stands_in_the_notes(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(HOSTILE)
    results, notes = check_file(path, seconds=5)
    said = {name: [r.sentence for r in results if r.function == name and r.status == "failed"] for name in FUNCTIONS}
    assert all_passed([result for result in results if result.function == "brier_score"])
    assert not said["sigmoid"] or "ended the interpreter" in said["sigmoid"][0]
    assert "wrote where only the checker's answers go" in said["log_sigmoid"][0]
    assert said["gelu"]
    assert "returns a dict" in said["cohen_kappa"][0] or "expected a number" in said["cohen_kappa"][0]
    if not any("namespaces" in note for note in notes):
        assert not Path("/tmp/check-was-here").exists()
    for words in ("looks for the process", "sends signals", "walks the frames", "looks for the checker"):
        assert any(words in note for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_kernel_and_the_file_give_the_same_marks(name, unusual, lessons):
    """For right solutions and the same with their first digit changed, or else for the lesson's own solution"""
    module, results = unusual if name in unusual[0] else lessons(name)
    helpers = [module[FUNCTIONS[name].forward]] if FUNCTIONS[name].forward in module else []
    assert marks(judged(name, module[name], helpers)) == marks([r for r in results if r.function == name])


@pytest.fixture(scope="module")
def lessons(unusual, tmp_path_factory):
    """name -> (the kernel's names, the file's results) of the lesson that asks for it; each lesson has one process"""
    path = tmp_path_factory.mktemp("lessons") / "n.ipynb"

    @functools.cache
    def judged_lesson(imports, solutions):
        names = re.findall(r"^def (\w+)\(", "\n".join(solutions), re.M)
        found = check_file(notebook(path, imports, *solutions), [n for n in names if n in FUNCTIONS])
        return executed("\n\n\n".join([imports, *solutions])), found[0]

    by_name = {name: found for found in solved(set(FUNCTIONS) - set(unusual[0])) for name in found[0]}
    return lambda name: judged_lesson(*by_name[name][1:])


def solved(wanted):
    """(names, the cell with the imports, the solution cells) of each lesson that asks for new functions"""
    for path in sorted((Path(__file__).parents[2] / "notebooks" / "lessons").glob("*.py")):
        cells = re.split(r"^# %%.*$", path.read_text(encoding="utf-8"), flags=re.M)
        cells_of = {n: c for c in cells if "BEGIN SOLUTION" in c for n in re.findall(r"^def (\w+)\(", c, re.M)}
        names = [name for name in cells_of if name in wanted]
        wanted = wanted - set(names)
        if names:
            yield names, next(c for c in cells if "\nimport numpy" in c), tuple(cells_of[name] for name in names)
    assert not wanted, f"no lesson asks for {sorted(wanted)}, and unusual.py has no solutions of them"


def executed(text):
    """The variables that a kernel would hold after these cells"""
    module: dict = {"__name__": "kernel"}
    exec(compile(text, "kernel", "exec"), module)
    return module


@pytest.fixture(scope="module")
def unusual(tmp_path_factory):
    text = (SUBMISSIONS / "unusual.py").read_text().replace("0.044715", "0.144715").replace("1e-5", "1e-4")
    path = notebook(tmp_path_factory.mktemp("kernel") / "n.ipynb", *text.split("\n\n\n"))
    with np.errstate(all="ignore"):
        return executed(text), check_file(path)[0]


BANK = json.loads((SUBMISSIONS / "bank.json").read_text())
HEAD = "import numpy as np, math\nfrom functools import partial\nS = lambda x: np.exp(-np.logaddexp(0, -x))\n"


def test_a_submission_finds_numpy_where_we_are_installed_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "ROOT", Path(np.__file__).resolve().parents[1])
    (tmp_path / "s.py").write_text("import numpy as np\ndef sigmoid(x):\n    return np.exp(-np.logaddexp(0, -x))\n")
    results, notes = check_file(tmp_path / "s.py", ["sigmoid"])
    assert all_passed(results)
    assert not any("ended" in note for note in notes)


def test_a_wrong_answer_that_is_right_in_a_fresh_start_is_said_to_be_kept_from_earlier_calls(tmp_path):
    kept = "_seen = {}\ndef gelu(x):\n    half = _seen.setdefault(x.shape, x / 2)\n"
    (tmp_path / "a.py").write_text(
        f"{HEAD}{kept}    return half * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))"
    )
    results, _ = check_file(tmp_path / "a.py", ["gelu"])
    assert "right in a fresh start: something is kept from earlier calls" in results[0].sentence


def of_the_kernel(text, name, _):
    """The results of a solution that is judged in this process: a tenth of the time"""
    module = executed(text)
    helpers = [module[FUNCTIONS[name].forward]] if FUNCTIONS[name].forward in module else []
    return judged(name, module[name], helpers)


def of_the_file(text, name, path):
    """The results of a solution that is read, taken apart and judged in a process of its own"""
    path.write_text(text)
    return check_file(path, [name])[0]


@pytest.mark.slow
@pytest.mark.parametrize("way", [of_the_kernel, pytest.param(of_the_file, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", BANK["right"])
def test_the_bank_of_honest_solutions_none_right_is_refused_and_none_wrong_is_passed(tmp_path, name, way):
    for kind in ("right", "wrong"):
        for source in BANK[kind].get(name, ()):
            first, future = source.split("\n")[0], source.startswith("from __future__")
            text = f"{first}\n{HEAD}{source.removeprefix(first)}" if future else HEAD + source
            results = way(text, name, tmp_path / "a.py")
            assert all(r.status == "passed" for r in results) == (kind == "right"), (source, results)
