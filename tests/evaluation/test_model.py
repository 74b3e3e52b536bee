"""A trained model in Python: the numbers and errors of the commands, the same on both sides."""

import json
import math

import numpy as np
import pytest
from running import PACKAGES, TINY, numbers, run, write_rows

import numpy_ref
import torch_impl
from numpy_ref.errors import InputError

LOAD = {"numpy_ref": numpy_ref.load, "torch_impl": torch_impl.load}
PROMPT, RESPONSES = "larger?", ["12.0", "7.0", "500"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of bytes, and the rows that it was trained on"""
    folder = tmp_path_factory.mktemp("model")
    data = write_rows(folder / "rows.jsonl", numbers(12))
    base = [*TINY, "--data", data, "--max-length", "40", "--max-steps", "3", "--dtype", "float64"]
    assert run("numpy_ref", "train", *base, "--output-dir", str(folder / "run")) == 0
    return folder / "run", data


@pytest.mark.parametrize("package", PACKAGES)
def test_it_scores_as_the_command_does(package, trained, capsys):
    model = LOAD[package](trained[0])
    rewards = model.score(PROMPT, RESPONSES)
    assert run(package, "score", "--model", str(trained[0]), "--prompt", PROMPT, *RESPONSES) == 0
    shown = {line.split()[-1]: line.split()[1] for line in capsys.readouterr().out.splitlines()[-3:]}
    assert shown == {response: f"{reward:.3f}" for response, reward in zip(RESPONSES, rewards, strict=True)}


def test_both_packages_give_the_same_rewards(trained):
    ours, twin = (LOAD[package](trained[0]) for package in PACKAGES)
    np.testing.assert_allclose(twin.score(PROMPT, RESPONSES), ours.score(PROMPT, RESPONSES), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_probability_is_that_of_the_margin_and_of_the_other_order_the_rest(package, trained):
    model = LOAD[package](trained[0])
    a, b = model.score(PROMPT, RESPONSES[:2])
    assert model.probability(PROMPT, *RESPONSES[:2]) == pytest.approx(1 / (1 + math.exp(b - a)), rel=1e-12)
    there_and_back = model.probability(PROMPT, "1", "2") + model.probability(PROMPT, "2", "1")
    assert there_and_back == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("package", PACKAGES)
def test_rows_are_scored_and_evaluated_from_a_list_as_from_a_file(package, trained, tmp_path):
    directory, data = trained
    rows, model = numbers(12), LOAD[package](directory)
    assert model.score_rows(rows) == model.score_rows(data)
    output, found = tmp_path / "scored.jsonl", tmp_path / "found.json"
    assert run(package, "score", "--model", str(directory), "--data", data, "--output", str(output)) == 0
    assert model.score_rows(rows) == [json.loads(line) for line in output.read_text().splitlines()]
    assert run(package, "evaluate", "--model", str(directory), "--data", data, "--json", str(found)) == 0
    names = ("accuracy", "loss", "calibration", "pairs")
    said = json.loads(found.read_text())
    for result in (model.evaluate(rows), model.evaluate(data)):
        assert {name: result[name] for name in names} == {name: said[name] for name in names}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"prompt": "p"}], r"^row 1: there is no column of responses"),
        ([{"response": "a"}, "b"], r"^row 2 is str: expected a dict"),
        ([{"response": {1, 2}}], r"^row 1 cannot be written as JSON"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_place(trained, rows, sentence):
    with pytest.raises(InputError, match=sentence):
        numpy_ref.load(trained[0]).score_rows(rows)


def test_what_cannot_be_scored_is_one_sentence(trained):
    model = numpy_ref.load(trained[0])
    for arguments, sentence in {
        ("p", ""): "responses is one text: give a list of texts",
        ("p", ()): "there is nothing to score",
        ("p", ("a", " ")): "a response is empty",
        ("p", ("a" * 99,)): "the model reads 40 at most",
    }.items():
        with pytest.raises(InputError, match=sentence):
            model.score(*arguments)
    with pytest.raises(InputError, match="there is no such directory"):
        numpy_ref.load("nowhere")


@pytest.mark.parametrize("package", PACKAGES)
def test_it_says_what_it_is(package, trained):
    said = repr(LOAD[package](trained[0]))
    assert package in said
    assert "bytes, at most 40 tokens" in said
    assert str(trained[0]) in said
