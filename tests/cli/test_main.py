"""An error that a user can correct is one line and status 2; what the commands print agrees with files and model."""

import argparse
import errno
import gzip
import importlib
import io
import json
import math
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from running import PACKAGES, TINY, is_one_sentence, numbers, run, small_world, start, weights, write_rows

from numpy_ref.batches import collate
from numpy_ref.bradley_terry.outcomes import TIES
from numpy_ref.cli.main import OLD_TIES, READ, WRITTEN, main
from numpy_ref.cli.text import table
from numpy_ref.data import world
from numpy_ref.data.held_out import held_world
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.errors import InputError
from numpy_ref.metrics import summary
from numpy_ref.reward_model import rewards
from numpy_ref.storage.checkpoint import load_model, save_model
from numpy_ref.training.data import evaluate
from numpy_ref.tree import tree_map, unflatten

BOTH = pytest.mark.parametrize("package", PACKAGES)
GOOD = {"prompt": "p", "chosen": "good", "rejected": "bad"}
LINE = json.dumps(GOOD).encode() + b"\n"


@pytest.fixture(autouse=True)
def _an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def row(**changed):
    return LINE + json.dumps(GOOD | changed).encode() + b"\n"


BAD_FILES = {
    "an empty file": (b"", "the file is empty"),
    "blank lines only": (b"\n \n", "the file is empty"),
    "a line that is not JSON": (LINE + b"{oops\n", "line 2: not JSON"),
    "a missing column": (LINE + b'{"chosen": "a"}\n', 'line 2: there is no column "rejected"'),
    "a misspelled column": (LINE + b'{"choosen": "a", "rejected": "b"}\n', 'line 2: .*did you mean "chosen"'),
    "a misspelled optional column": (LINE + LINE.replace(b'"prompt"', b'"promt"'), 'line 2: .*did you mean "prompt"'),
    "a response that is no string": (row(chosen=7), 'line 2: "chosen" is a number'),
    "a response that is null": (row(rejected=None), 'line 2: "rejected" is null'),
    "messages instead of a string": (row(chosen=[{"role": "user", "content": "x"}]), 'line 2: "chosen" is a list'),
    "an empty response": (row(rejected=""), 'line 2: "rejected" is empty'),
    "a blank response": (row(chosen=" \n"), 'line 2: "chosen" is empty'),
    "invalid UTF-8": (LINE + b'{"chosen": "\xff", "rejected": "b"}\n', "line 2: byte 13 .* not UTF-8"),
    "a margin that is no number": (LINE + LINE.replace(b"}", b', "margin": NaN}'), 'line 2: "margin" is nan'),
    "an infinite margin": (LINE + LINE.replace(b"}", b', "margin": 1e999}'), 'line 2: "margin" is inf'),
    "a truncated gzip": (gzip.compress(LINE * 500)[:-9], "gzip data end early"),
    "a gzip under a plain name": (gzip.compress(LINE), "line 1: .*name the file .gz"),
    "only identical pairs": (row(chosen="bad")[len(LINE) :], "1 the same on both sides"),
}


def refused(capsys, package, command, *arguments):
    """The sentence without the command's name; nothing is written, and at most the lines on the data are printed"""
    before = sorted(Path().rglob("*"))
    assert run(package, command, *arguments) == 2
    out, err = capsys.readouterr()
    assert re.fullmatch(r"(data .*\n(format .*\n)?)?", out)
    assert is_one_sentence(err)
    assert sorted(Path().rglob("*")) == before
    start = f"python -m {package} {command}: error: "
    assert err.startswith(start)
    return err.removeprefix(start)


@pytest.mark.parametrize("option", ["--data", "--eval-data"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_its_line(name, option, capsys):
    content, expected = BAD_FILES[name]
    bad = Path("bad.jsonl.gz" if "truncated" in name else "bad.jsonl")
    bad.write_bytes(content)
    Path("good.jsonl").write_bytes(LINE)
    other = [] if option == "--data" else ["--data", "good.jsonl"]
    for place in ([], ["--output-dir", "out"]):
        sentence = refused(capsys, "numpy_ref", "train", *other, option, str(bad), *place)
        assert str(bad) in sentence
        assert re.search(expected, sentence), sentence


@BOTH
def test_bad_input_is_the_same_sentence_in_both_packages(package, capsys):
    Path("bad.jsonl").write_bytes(LINE + b"{")
    Path("good.jsonl").write_bytes(LINE)
    Path("full").mkdir()
    Path("full", "x").touch()
    for arguments, expected in [
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--data", "."], ".: this is a directory"),
        (["--data", "bad.jsonl"], "bad.jsonl, line 2: not JSON"),
        (["--data", "good.jsonl", "--eval-data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--data", "good.jsonl", "--max-length", "6"], "--data good.jsonl: no pair is left of 1: 1 longer than"),
        (["--data", "good.jsonl", "--output-dir", "full"], "--output-dir full: exists and is not empty"),
        (["--data", "good.jsonl", "--n-embd", "10", "--n-head", "4"], "--n-embd 10 is not a multiple of --n-head 4"),
        (["--resume", "full"], "full: holds no save to go on from"),
    ]:
        assert refused(capsys, package, "train", *arguments).startswith(expected)


def test_a_device_that_is_not_there_is_one_sentence(capsys):
    for name in ("cuba", "cuda:99", "cpu:x"):
        assert refused(capsys, "torch_impl", "train", "--device", name).startswith(f"--device {name}: not available")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-length", "0"),
        ("--max-length", "many"),
        ("--max-steps", "-1"),
        ("--label-smoothing", "0.5"),
        ("--label-smoothing", "nan"),
        ("--learning-rate", "-1"),
        ("--learning-rate", "inf"),
        ("--center-rewards-coefficient", "nan"),
        ("--num-train-epochs", "-0.5"),
        ("--warmup-steps", "-1"),
        ("--seed", "-1"),
        ("--seed", "1.5"),
        ("--dtype", "float16"),
        ("--loss", "hinge"),
        ("--maxlength", "5"),
        ("--max-len", "5"),  # no abbreviation: a later option could change what it means
    ],
)
@BOTH
def test_a_bad_option_is_named(package, option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        run(package, "train", option, value)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert is_one_sentence(err)
    assert err.startswith(f"python -m {package} train: error: ")
    assert option in err
    assert err.endswith(f"; see python -m {package} train --help\n")
    assert not list(Path().iterdir())


def test_a_full_disk_is_one_sentence(capsys, monkeypatch):
    Path("rows.jsonl").write_bytes(LINE)

    def full(*_):
        raise OSError(28, "No space left on device", "out/metrics.jsonl")

    monkeypatch.setattr("numpy_ref.storage.run.log", full)
    assert run("numpy_ref", "train", *TINY, "--data", "rows.jsonl", "--output-dir", "out") == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.endswith("out/metrics.jsonl: No space left on device; what was saved before is whole")


FULL = [
    *(("fit", "--json", "/dev/full"), ("report", "pairs.jsonl", "--json", "/dev/full")),
    *(("check", "f.py", "--json", "/dev/full"), ("check", "f.py", "--junit", "/dev/full")),
    ("evaluate", "--model", "model", "--data", "pairs.jsonl", "--json", "/dev/full"),
    ("score", "--model", "model", "--data", "pairs.jsonl", "--output", "/dev/full"),
    *(("fit",), ("fit", "--json", "-"), ("score", "--model", "model", "--data", "pairs.jsonl")),
]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="system: no /dev/full")
@pytest.mark.parametrize("words", FULL, ids=" ".join)
def test_a_full_disk_is_named_by_its_file(words, model, capsys, monkeypatch):
    assert model
    write_rows(Path("pairs.jsonl"), [{"prompt": "say cat", "chosen": "cat .", "rejected": "cat"}] * 3)
    Path("f.py").write_text("def sigmoid(x):\n    return x\n")
    named = "/dev/full" if "/dev/full" in words else "the standard output"
    screen = open("/dev/full", "w")  # noqa: SIM115  closed below, where it fails again
    if named != "/dev/full":
        monkeypatch.setattr(sys, "stdout", screen)
    status = run("numpy_ref", *words)
    with suppress(OSError):
        screen.close()
    assert status == 2
    assert f"error: {named}: No space left on device; what was saved before is whole\n" in capsys.readouterr().err


# score


@pytest.fixture
def model():
    """A random model of the world in float64, strong enough that rewards differ"""
    rng = np.random.default_rng(4)
    params = tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), unflatten(weights()))
    Path("model").mkdir()
    save_model("model", params, 2, Words(world.WORDS))
    return params


PROMPT, RESPONSES = "say cat next two colour sky", ["cat three", "dog three blue .", "cat three blue . gladly", "cat"]


def of(params, prompt=PROMPT, responses=RESPONSES, tokenizer=None):
    tokenizer = tokenizer or Words(world.WORDS)
    row = [tokenizer.encode(prompt, response) for response in responses]
    return rewards(*collate([row]), **params, n_head=2)[0][0]


@BOTH
def test_score_ranks_and_shows_every_probability(package, model, capsys):
    assert run(package, "score", "--model", "model", "--prompt", PROMPT, *RESPONSES) == 0
    first, blank, *lines = capsys.readouterr().out.splitlines()
    assert (first, blank) == ("P(row beats column) = σ(reward of row - reward of column)", "")
    assert lines[0].split() == ["rank", "reward", "vs", "1", "vs", "2", "vs", "3", "vs", "4", "response"]
    reward = of(model)
    order = np.argsort(-reward)
    for rank, (i, line) in enumerate(zip(order, lines[1:], strict=True)):
        assert line.endswith(f"  {RESPONSES[i]}")
        cells = line.removesuffix(RESPONSES[i]).split()
        assert cells[0] == str(rank + 1)
        assert abs(float(cells[1]) - reward[i]) <= 0.0005 + 1e-9
        for j, cell in zip(order, cells[2:], strict=True):
            assert (cell == "-") == (i == j)
            assert i == j or abs(float(cell) - 1 / (1 + math.exp(reward[j] - reward[i]))) <= 0.0005 + 1e-9
    assert len({line.index("  " + RESPONSES[i]) for i, line in zip(order, lines[1:], strict=True)}) == 1


@BOTH
def test_score_of_one_response_shows_no_probabilities(package, model, capsys):
    assert run(package, "score", "--model", "model", "--prompt", PROMPT, "cat .") == 0
    lines = capsys.readouterr().out.splitlines()
    reward = of(model, responses=["cat ."])[0]
    assert [line.split() for line in lines[-2:]] == [["rank", "reward", "response"], ["1", f"{reward:.3f}", "cat", "."]]


def test_score_keeps_the_order_of_equal_responses(model, capsys):
    assert run("numpy_ref", "score", "--model", "model", "--prompt", PROMPT, "cat", "cat") == 0
    assert [line.split()[2:4] for line in capsys.readouterr().out.splitlines()[-2:]] == [["-", "0.500"], ["0.500", "-"]]
    assert model


@BOTH
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cat", "lion"], "unknown word 'lion'"),
        (["--prompt", "what", "cat"], "unknown word 'what'"),
        (["--prompt", PROMPT, "cat", ""], "a response is empty"),
        ([" "], "unknown word ''|a response is empty"),
        (
            ["--prompt", PROMPT, "cat", "cat " * 12 + "."],
            r"response 'cat cat .*\.\.\.': 22 tokens, .* reads 16 at most",
        ),
    ],
)
def test_score_says_what_it_cannot_read(package, arguments, expected, model, capsys):
    assert model
    assert re.match(expected, refused(capsys, package, "score", "--model", "model", *arguments))


def test_both_packages_score_either_sides_run_alike(capsys, monkeypatch):
    """In float64 all printed figures are the same, and the rewards agree to 1e-12"""
    monkeypatch.setattr(world, "make_world", small_world)
    for trained in PACKAGES:
        arguments = [*TINY, "--dtype", "float64", "--max-steps", "4", "--output-dir", trained]
        assert run(trained, "train", *arguments) == 0
        capsys.readouterr()
        screens: list = []
        margins: list = []
        for package in PACKAGES:
            with monkeypatch.context() as patch:
                patch.setattr(
                    "numpy_ref.evaluation.score.sigmoid", lambda margin, seen=margins: seen.append(margin) or 0.5
                )
                assert run(package, "score", "--model", trained, "--prompt", PROMPT, *RESPONSES) == 0
            screens.append(capsys.readouterr().out)
        assert screens[0] == screens[1]
        here, there = np.split(np.array(margins), 2)
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-12)
        assert abs(here).max() > 1e-3


# train


UNICODE = [
    {"prompt": "Größe?", "chosen": "groß", "rejected": "klein!", "margin": 0.5},
    {"prompt": "天気", "chosen": "晴れ ☀️", "rejected": "x"},
    {"chosen": "<eos>", "rejected": "\x00\t"},
    {"prompt": "שלום", "chosen": "a\nb", "rejected": "a\r\nb"},
    {"prompt": "same", "chosen": "é", "rejected": "é"},
    {"prompt": "too long", "chosen": "🙂" * 20, "rejected": "y"},
]


@BOTH
def test_train_on_any_text(package, capsys):
    """Four scripts, control characters, a typed special; a too long and an identical pair are left out and counted"""
    write_rows(Path("rows.jsonl"), UNICODE)
    with gzip.open("held.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in numbers(5)))
    files = ["--data", "rows.jsonl", "--eval-data", "held.jsonl.gz", "--max-length", "40", "--eval-steps", "2"]
    loss = ["--label-smoothing", "0.1", "--center-rewards-coefficient", "0.01"]
    arguments = [*TINY, *files, *loss, "--num-train-epochs", "3", "--logging-steps", "1", "--output-dir", "out"]
    assert run(package, "train", *arguments) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "data      rows.jsonl: 4 of 6 pairs kept (66.7%); 1 longer than 40 tokens, 1 identical"
    assert lines[1].startswith("held-out  held.jsonl.gz: 5 of 5 pairs kept (100.0%); 0 longer than 40 tokens, 0 ident")
    assert lines[-1] == "saved     out"
    assert err == ""  # it is no terminal
    params, n_head, tokenizer = load_model("out")
    assert tokenizer == Bytes()
    held = numbers(5)
    reward = np.array([of(params, row["prompt"], [row["chosen"], row["rejected"]], Bytes()) for row in held])
    accuracy = (reward[:, 0] > reward[:, 1]).mean()
    longer = [np.sign(len(row["chosen"]) - len(row["rejected"])) / 2 + 0.5 for row in held]
    one_line = f"held-out  accuracy {accuracy:.4f}; the longer response wins {np.mean(longer):.4f}"
    assert f"{one_line}; 5 of 5 pairs kept (100.0%)" in lines
    logged = [json.loads(line) for line in Path("out", "metrics.jsonl").read_text().splitlines()]
    names = {"loss", "accuracy", "brier", "ties", "margin", "min_reward", "mean_reward", "max_reward"}
    assert [line["step"] for line in logged] == [1, 2, 2, 3, 3]
    assert {frozenset(line) for line in logged} == {
        frozenset({"step", "grad_norm", "learning_rate", "epoch", *names}),
        frozenset({"step", *(f"eval_{name}" for name in names)}),
    }
    assert logged[-1]["eval_accuracy"] == pytest.approx(accuracy)
    assert [line["epoch"] for line in logged if "epoch" in line] == [1.0, 2.0, 3.0]
    assert n_head == 2


def test_both_packages_print_and_log_the_same_in_float64(capsys):
    rows = write_rows(Path("rows.jsonl"), numbers(20))
    screens, logs = [], []
    for package in PACKAGES:
        arguments = ["--data", rows, "--eval-data", rows, "--max-length", "32", "--max-steps", "5"]
        assert run(package, "train", *TINY, *arguments, "--dtype", "float64", "--output-dir", package) == 0
        screens.append(capsys.readouterr().out.replace(package, "side"))
        logs.append([json.loads(line) for line in Path(package, "metrics.jsonl").read_text().splitlines()])
    assert screens[0] == screens[1]
    for here, there in zip(*logs, strict=True):
        assert here == pytest.approx(there, rel=1e-9, abs=1e-12)


@BOTH
def test_train_on_the_built_in_world(package, capsys, monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    assert run(package, "train", *TINY, "--max-steps", "4", "--output-dir", "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "data      the built-in world: 120 pairs, 8 held-out prompts"
    params, n_head, tokenizer = load_model("out")
    held = held_world(tokenizer, small_world(0)[1])
    result = evaluate(lambda tokens, length: rewards(tokens, length, **params, n_head=n_head)[0], held)
    floors = world.floors(held.true)
    assert f"held-out  accuracy {result['eval_accuracy']:.4f}   best reachable {floors['accuracy']:.4f}" in lines
    assert f"held-out  log loss {result['eval_loss']:.4f}   best reachable {floors['loss']:.4f}" in lines
    assert f"held-out  Brier    {result['eval_brier']:.4f}   best reachable {floors['brier']:.4f}" in lines
    spearman = "held-out  Spearman of learned and true reward within prompts"
    assert f"{spearman} {result['eval_spearman']:.4f}" in lines
    assert f"baseline  the longer response wins {held.baseline:.4f}, on the same pairs" in lines
    lengths = np.array([[len(text) for text in texts] for texts in small_world(0)[1].responses])
    assert held.baseline == summary(lengths, held.true)["accuracy"]


def test_nothing_held_out_is_said(capsys):
    write_rows(Path("rows.jsonl"), numbers(3))
    assert run("numpy_ref", "train", *TINY, "--data", "rows.jsonl", "--max-length", "32", "--output-dir", "out") == 0
    assert "held-out  nothing was held out: give --eval-data FILE" in capsys.readouterr().out


def test_ties_are_reported(capsys, monkeypatch):
    """With a head of zeros every reward is 0, so every pair ties and counts one half"""
    rows = write_rows(Path("rows.jsonl"), numbers(6))

    def without_head(*arguments, **options):
        params = init(*arguments, **options)
        params["head"]["weight"][:] = 0
        return params

    init = sys.modules["numpy_ref.training.start"].init_params
    monkeypatch.setattr("numpy_ref.training.start.init_params", without_head)
    arguments = [*TINY, "--data", rows, "--eval-data", rows, "--max-length", "32", "--learning-rate", "0"]
    assert run("numpy_ref", "train", *arguments, "--output-dir", "out") == 0
    out = capsys.readouterr().out
    assert "held-out  100.00% of the pairs tie in reward; a tie counts one half" in out
    assert "held-out  accuracy 0.5000" in out


def test_epochs_steps_and_warm_up_are_counted_in_prompts():
    rows = write_rows(Path("rows.jsonl"), numbers(10))
    base = ["--data", rows, "--max-length", "32", "--logging-steps", "1", *TINY[:-1], "4"]
    for arguments, steps in [([], 3), (["--num-train-epochs", "2"], 6), (["--max-steps", "2"], 2)]:
        name = f"out-{steps}"
        assert run("numpy_ref", "train", *base, *arguments, "--warmup-steps", "1", "--output-dir", name) == 0
        logged = [json.loads(line) for line in Path(name, "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in logged] == list(range(1, steps + 1))
        assert [line["learning_rate"] for line in logged][:2] == pytest.approx([0.0025, 0.005])


@BOTH
def test_threads_and_device_are_taken(package, capsys):
    rows = write_rows(Path("rows.jsonl"), numbers(3))
    arguments = ["train", *TINY, "--data", rows, "--max-length", "32", "--device", "cpu", "--threads", "1"]
    if package == "numpy_ref":
        with pytest.raises(SystemExit):
            run(package, *arguments)
        assert "unrecognized arguments: --device cpu --threads 1" in capsys.readouterr().err
    else:
        assert run(package, *arguments) == 0
        assert torch.get_num_threads() == 1
        state = json.loads(next(Path("runs/train").glob("checkpoint-*/state.json")).read_text())
        assert state["machine"].items() >= {"package": package, "device": "cpu", "threads": 1}.items()


# All commands


OPTIONS = ["--data", "--eval-data", "--output-dir", "--loss", "--learning-rate", "--num-train-epochs", "--max-steps"]
OPTIONS += ["--per-device-train-batch-size", "--max-length", "--center-rewards-coefficient", "--label-smoothing"]
OPTIONS += ["--seed", "--save-steps", "--resume"]  # the ecosystem's names


@pytest.mark.parametrize("command", ["train", "score"])
@BOTH
def test_help_names_every_option_and_its_default(package, command, capsys):
    with pytest.raises(SystemExit) as ended:
        run(package, command, "--help")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: python -m {package} {command} ")
    if command == "train":
        for option in OPTIONS:
            assert f"{option} " in text
        assert "(default: 1024)" in text
        assert "None" not in text
    else:
        assert "--model DIR" in text


@BOTH
def test_help_lists_the_commands(package, capsys):
    with pytest.raises(SystemExit):
        run(package, "--help")
    out = capsys.readouterr().out
    for command in ("train", "score", *(["compare"] if package == "torch_impl" else [])):
        assert re.search(rf"^    {command} ", out, re.MULTILINE)
    assert "141 if the program that reads the output has ended early" in " ".join(out.split())
    with pytest.raises(SystemExit) as ended:
        run(package)
    assert ended.value.code == 2


EVERY_COMMAND = [
    (package, *command)
    for package in PACKAGES
    for command in [(), *((name,) for name in importlib.import_module(f"{package}.__main__").COMMANDS)]
]
OF_ONE_COMMAND = {  # what a help says -> the commands that it is true of
    "--loss pairwise": {"train"},
    "--freeze-backbone": {"torch_impl train"},
    "a reward model; sizes": {"numpy_ref train", "torch_impl train"},
    "- is the standard output": {"fit", "check", "report", "evaluate", "score"},
}


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
def test_help_fits_eighty_columns_and_speaks_of_its_own_command(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run(*words, "--help")
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if len(line) > 80] == []
    for said, commands in OF_ONE_COMMAND.items():
        assert (said in " ".join(out.split())) == (not commands.isdisjoint({words[-1], " ".join(words)})), said


@pytest.mark.parametrize("words", [(package, "train") for package in PACKAGES] + [("numpy_ref", "fit")], ids=" ".join)
def test_the_words_of_ties_are_the_same_everywhere_and_old_ones_name_the_new(words, capsys):
    for value, said in [("sometimes", "invalid choice: 'sometimes' (choose from ")] + [
        (old, f"{old} is now called {new}; see ") for old, new in OLD_TIES.items()
    ]:
        with pytest.raises(SystemExit):
            run(*words, "--ties", value)
        assert capsys.readouterr().err.startswith(f"python -m {' '.join(words)}: error: argument --ties: {said}")
    with pytest.raises(SystemExit):
        run(*words, "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert f"--ties {{{','.join(TIES)}}} " in said
    assert "drop: leave ties out; half: half a win for each side; the others model them" in said


GAMES = "winner,loser\na,b\nb,a\n"
OVERWRITING = [
    ("fit", ["ok.csv", "--json", "ok.csv"]),
    ("fit", ["ok.csv", "--figure", "link.png"]),
    ("fit", ["--rankings", "ok.csv", "--json", "./ok.csv"]),
    ("fit", ["ok.csv", "--json", "new.png", "--figure", "new.png"]),
    ("evaluate", ["--model", "m", "--data", "ok.csv", "--json", "ok.csv"]),
    ("evaluate", ["--model", "m", "--data", "ok.csv", "--json", "here/ok.csv"]),
    ("evaluate", ["--model", "m", "--temperature", "fit", "--temperature-data", "ok.csv", "--figure", "link.png"]),
    ("report", ["other.csv", "ok.csv", "--json", "ok.csv"]),
    ("report", ["ok.csv", "--figure", "link.png"]),
    ("score", ["--model", "m", "--data", "ok.csv", "--output", "ok.csv"]),
    ("check", ["ok.csv", "--junit", "ok.csv"]),
    ("check", ["ok.csv", "--json", "ok.csv"]),
]


@pytest.mark.parametrize(
    ("package", "command", "arguments"),
    [("numpy_ref", *case) for case in OVERWRITING]
    + [("torch_impl", *case) for case in OVERWRITING if case[0] in ("evaluate", "score")],
)
def test_a_command_does_not_overwrite_what_it_reads(package, command, arguments, capsys):
    Path("ok.csv").write_text(GAMES)
    Path("link.png").symlink_to("ok.csv")
    Path("here").symlink_to(".")
    assert "which this command uses too: give another name" in refused(capsys, package, command, *arguments)
    assert Path("ok.csv").read_text() == GAMES


@pytest.mark.parametrize("name", ["m/config.json", "m/sub/../config.json", "m/sub/tokenizer.json", "blob", "link.json"])
@pytest.mark.parametrize("command", ["evaluate --json", "evaluate --against m --json", "report pairs.jsonl --json"])
def test_nothing_is_written_over_a_file_of_a_model_directory_without_checksums(command, name, capsys):
    """As it comes from the hub: its files may be links to where the cache keeps them"""
    Path("m/sub").mkdir(parents=True)
    for file in ("blob", "m/model.safetensors", "m/sub/tokenizer.json", "pairs.jsonl"):
        Path(file).write_text("kept")
    Path("m/config.json").symlink_to("../blob")
    Path("link.json").symlink_to("m/config.json")
    model = ["--model", "other" if "--against" in command else "m"]
    said = refused(capsys, "numpy_ref", *command.split(), name, *model)
    assert said == f"{name}: is a file of m, which this command reads: give another name\n"
    assert Path("blob").read_text() == Path("m/sub/tokenizer.json").read_text() == "kept"


BESIDE = {"eval_data", "gguf_file"}  # of commands that write new directories only


def test_every_option_that_names_a_file_is_known_as_read_or_written():
    for package in PACKAGES:
        for name, (_, load) in importlib.import_module(f"{package}.__main__").COMMANDS.items():
            load()[0](parser := argparse.ArgumentParser(name))
            named = {action.dest for action in parser._actions if action.metavar in ("FILE", "SOLUTION")}
            assert named <= {*WRITTEN, *READ, *BESIDE}


def commands_of(action):
    return {"act": ("acts", lambda: (lambda parser: parser.add_argument("--n"), action))}


def test_main_turns_what_happens_into_an_exit_status(capsys):
    def fail(error):
        def action(_):
            raise error

        return action

    assert main("program", commands_of(lambda _: None), ["act"]) == 0
    assert main("program", commands_of(lambda _: 1), ["act"]) == 1
    assert main("program", commands_of(fail(InputError("a file: is bad"))), ["act"]) == 2
    assert capsys.readouterr().err == "program act: error: a file: is bad\n"
    assert main("program", commands_of(fail(KeyboardInterrupt())), ["act"]) == 130
    assert main("program", commands_of(fail(OSError(13, "Permission denied", "x"))), ["act"]) == 2
    assert capsys.readouterr().err.endswith("x: Permission denied; what was saved before is whole\n")
    with pytest.raises(ZeroDivisionError):  # a bug of ours keeps its traceback
        main("program", commands_of(lambda _: 1 // 0), ["act"])
    assert main("program", commands_of(lambda args: args.given != {"n"}), ["act", "--n=3"]) == 0
    assert main("program", commands_of(lambda args: args.given), ["act"]) == 0


@pytest.mark.parametrize("package", ["numpy_ref", pytest.param("torch_impl", marks=pytest.mark.slow)])
def test_a_reader_that_has_gone_is_no_error(package, model):
    """As with `| head -0`: no traceback, nothing on stderr; the status is a shell's for SIGPIPE, as 1 has a meaning"""
    assert model
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as broken:
        process = start(package, "score", "--model", "model", "--prompt", PROMPT, *RESPONSES, stdout=broken)
        _, err = process.communicate(timeout=120)
    assert err == ""
    assert process.returncode == 141


def test_too_little_memory_is_one_sentence(capsys):
    for error in MemoryError("Unable to allocate 429. GiB"), MemoryError(), RuntimeError("CUDA out of memory. Tried"):

        def fail(_, error=error):
            raise error

        assert main("program", commands_of(fail), ["act"]) == 2
        assert is_one_sentence(capsys.readouterr().err.strip())
    with pytest.raises(RuntimeError, match="a bug"):
        main("program", commands_of(lambda _: (_ for _ in ()).throw(RuntimeError("a bug"))), ["act"])


def test_a_long_text_that_does_not_fit_into_the_memory_is_one_sentence(tmp_path, capsys):
    row = {"prompt": "", "chosen": "a" * 500_000, "rejected": "b"}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    options = ["--data", str(tmp_path / "long.jsonl"), "--max-length", "500010", "--max-steps", "1", *TINY]
    assert run("numpy_ref", "train", *options, "--output-dir", str(tmp_path / "run")) == 2
    assert "error: too little memory: " in capsys.readouterr().err


def test_a_closed_standard_output_is_no_traceback(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main("program", commands_of(lambda _: print("to nobody")), ["act"]) == 0
    sys.stdout.close()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--n-embd", "1e5"], "--n-embd: '1e5' is not a whole number"),
        (["train", "--n-embd", "0"], "--n-embd: 0 is not 1 or more"),
        (["evaluate", "--model", "m", "--bins", "9" * 30], "is not below 9,223,372,036,854,775,808"),
        (
            ["train", "--data", "one.jsonl", "--max-steps", "1", "--num-train-epochs", "1e308"],
            "epochs 1e+308: more steps than can be counted",
        ),
        (["train", "--eval-data", "held.jsonl"], "--eval-data held.jsonl: the built-in world does not use it"),
        (["check", "pipe.py"], "pipe.py: is a pipe or a device"),
        (["check", "f.py", "--forward", "f", "--backward", "b", "--input", "x=(9999,9999)"], "than 1,000,000 numbers"),
        (["fit", "--ridge", "1e308"], "ridge=1e+308: expected a number from 0 to 1e+100"),
    ],
)
def test_numbers_and_files_without_an_end_are_refused(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.py")
    Path("f.py").write_text("def f(x):\n    return x, x\n\n\ndef b(dout, cache):\n    return dout\n")
    write_rows(Path("one.jsonl"), [GOOD])
    try:
        status = run("numpy_ref", *words)
    except SystemExit as end:  # argparse's own
        status = end.code
    said = capsys.readouterr()
    assert status == 2
    assert sentence in said.err


class Gone(io.StringIO):
    """A screen whose reader has left"""

    def __init__(self, file):
        super().__init__()
        self.fileno = file.fileno

    def write(self, _):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


WRITING = {
    "fit": (["fit", "games.csv"], "figure.png"),
    "fit without an estimate": (["fit", "one.csv"], None),
    "report": (["report", "pairs.jsonl"], "figure.png"),
    "evaluate": (["evaluate", "--model", "model", "--data", "pairs.jsonl"], "figure.png"),
    "check": (["check", "f.py", "--junit", "junit.xml"], "junit.xml"),
}


@pytest.mark.parametrize("name", WRITING)
def test_files_are_written_before_the_reader_of_the_screen_may_leave(name, model, monkeypatch):
    assert model
    command, other = WRITING[name]
    Path("games.csv").write_text(GAMES)
    Path("one.csv").write_text("winner,loser\na,b\n")
    write_rows(Path("pairs.jsonl"), [{"prompt": "say cat", "chosen": "cat .", "rejected": "cat"}] * 3)
    Path("f.py").write_text("def sigmoid(x):\n    return x\n")
    figure = ["--figure", other] if other == "figure.png" else []
    with open("screen", "w") as file:
        monkeypatch.setattr(sys, "stdout", Gone(file))
        assert run("numpy_ref", *command, "--json", "out.json", *figure) == 141
    json.loads(Path("out.json").read_text())
    assert other is None or Path(other).stat().st_size > 100


@pytest.mark.parametrize(("package", "command"), [*((p, "train") for p in PACKAGES), ("torch_impl", "compare")])
def test_a_training_writes_all_its_files_though_the_reader_of_the_screen_has_left(package, command, monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    steps = ["--steps", "2"] if command == "compare" else [*TINY, "--max-steps", "2"]
    assert run(package, command, *steps, "--output-dir", "whole") == 0
    with open("screen", "w") as file:
        monkeypatch.setattr(sys, "stdout", Gone(file))
        assert run(package, command, *steps, "--output-dir", "out") == 141
    files = [{path.relative_to(name) for path in Path(name).rglob("*")} for name in ("whole", "out")]
    assert files[0] == files[1]
    assert Path("whole/SHA256SUMS").read_text() == Path("out/SHA256SUMS").read_text()


def test_a_table_is_aligned():
    rows = [["held-out, 400 prompts", "NumPy", "PyTorch"], ["Größe", "0.5", "12.25"], ["", "-", ""]]
    lines = list(table(rows))
    assert lines == ["held-out, 400 prompts  NumPy  PyTorch", "Größe                    0.5    12.25", " " * 27 + "-"]
    assert list(table([["1", "2"], ["10", "20"]], aligned_left=0)) == [" 1   2", "10  20"]
    assert all(line == line.rstrip() for line in lines)


def test_score_fits_eighty_columns_up_to_six_responses(model, capsys):
    assert run("numpy_ref", "score", "--model", "model", "--prompt", PROMPT, *RESPONSES, "cat .", "dog") == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert model


def test_a_closed_stream_does_not_hide_the_sentence(monkeypatch):
    """A terminal with another encoding gets the sentence too"""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stderr", stream)
    assert run("numpy_ref", "train", "--data", "größe.jsonl") == 2
    stream.flush()
    assert b"gr\\xf6\\xdfe.jsonl: there is no such file" in stream.buffer.getvalue()
