"""Every formula broken on purpose, in every place: the tests of its room must notice (slow tier, see mutants.py)."""

import ast
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import io_mutants
import mutants
import numpy as np
import pytest

from numpy_ref import layers, losses


@pytest.mark.slow
def test_every_mutant_that_is_not_equivalent_dies(show_table):
    """Two rooms at a time, each in an interpreter of its own; the mutants of a room share one"""

    def run(room):
        command = [sys.executable, mutants.__file__, room]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(mutants.__file__).parent.parent)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, [room for room in mutants.standing() if room not in mutants.BY_SCRIPT]))
    show_table("mutants", [result.stdout.strip().splitlines()[-1] for result in results if result.stdout])
    for result in results:
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_there_are_many_mutants_and_the_equivalent_ones_are_among_them():
    names = {name for room in mutants.standing() for name in mutants.mutants(room)}
    assert len(names) > 400
    standing = {room.rsplit(".", 1)[-1] for room in mutants.standing()}
    here = {name for name in mutants.EQUIVALENT if name.split(".")[0] in standing}
    assert here <= names, f"EQUIVALENT names mutants that no longer exist: {sorted(here - names)}"


@pytest.mark.slow
def test_a_share_of_the_mutants_of_input_and_output_dies(show_table):
    """The first 30 of files and storage by hash; all of them, and 300 of the folders above, by script"""
    command = [sys.executable, io_mutants.__file__, "--share", "30"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(mutants.__file__).parent.parent)
    show_table("mutants of input and output", done.stdout.strip().splitlines())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_every_accepted_mutant_of_input_and_output_exists():
    names = set(io_mutants.mutants({name.split(".")[0] for name in io_mutants.ACCEPTED}))
    assert set(io_mutants.ACCEPTED) <= names, sorted(set(io_mutants.ACCEPTED) - names)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a - b", {"a + b", "a", "b"}),
        ("a * b", {"a / b", "a + b", "a", "b"}),
        ("-x", {"x"}),
        ("2 * x", {"2 / x", "2 + x", "2", "x", "4 * x"}),
        ("x.sum(0)", {"x.mean(0)", "x.sum(1)"}),
        ("x.T", {"x"}),
        ("x.reshape(n)", {"x"}),
        ("np.where(mask, y, z)", {"y", "z"}),
        ("f(dout, cache)", {"f(cache, dout)"}),
        ("[q, k, v]", {"[v, k, q]"}),
        ("{'a': x, 'b': y}", {"{'a': y, 'b': x}"}),
        ("x < y", {"x <= y", "x > y"}),
    ],
)
def test_a_slip_of_the_pen(source, expected):
    function = ast.parse(f"def f():\n    return {source}").body[0]
    found = {ast.unparse(tree.body[0].value) for _, tree in mutants.mutants_of_function(function)}
    assert found == expected


def test_a_mutant_lives_in_every_room_that_imported_the_function_and_is_gone_afterwards():
    from numpy_ref.attention import linear as imported

    tree = ast.parse("def linear(x, weight, bias=None):\n    return x, 'mutant'").body[0]
    x = np.eye(2)
    with mutants.living(layers.linear, tree):
        assert imported(x, x)[1] == "mutant"
    assert imported(x, x)[1] != "mutant"


def test_a_mutant_dies_by_any_failure_and_lives_when_the_judges_notice_nothing():
    tree = ast.parse("def sigmoid(x):\n    return x").body[0]

    def attentive():
        assert losses.sigmoid(0.0) == 0.5

    assert mutants.dies(losses.sigmoid, tree, [(0, "attentive", attentive)])
    assert not mutants.dies(losses.sigmoid, tree, [(0, "blind", lambda: None)])
    assert losses.sigmoid(0.0) == 0.5


def test_every_room_has_judges():
    for room in mutants.standing():
        assert len(dict(mutants.judges(room))) >= 3, room


def test_equivalent_mutants_have_a_proof_and_a_readable_name():
    for name, proof in mutants.EQUIVALENT.items():
        assert re.fullmatch(r"\w+\.\w+: .+ -> .+", name)
        assert len(proof.split()) > 5
