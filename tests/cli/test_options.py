"""A command's options are one dataclass: command line, Python and a save give the same options or the same error."""

import argparse
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from running import run

from numpy_ref.cli.main import at_least, natural
from numpy_ref.cli.options import Options, found, nearest, option, word
from numpy_ref.errors import InputError
from numpy_ref.training import dpo
from numpy_ref.training import options as ours
from torch_impl.training import options as theirs

KINDS = [ours.TrainOptions, ours.SftOptions, dpo.DpoOptions]
KINDS += [theirs.TrainOptions, theirs.SftOptions, theirs.DpoOptions]


@dataclass(frozen=True)
class Small(Options):
    """One option of each kind"""

    name: str | None = option("group", None, "a text", metavar="NAME")
    seed: int = option("group", 0, "a number", type=natural)
    learning_rate: float = option("other", 0.1, "a number", type=at_least(0))
    loss: str = option("other", "a", "one of two", choices=["a", "b"])
    fast: bool = option("other", False, "a flag", changeable=True)
    several: list[str] | None = option("other", None, "texts", nargs="+", recorded=False)
    digest: str | None = found()


def on_the_command_line(kind, argv):
    parser = argparse.ArgumentParser()
    kind.add_arguments(parser)
    namespace = parser.parse_args(argv)
    namespace.given = {text[2:].replace("-", "_") for text in argv if text.startswith("--")}
    return kind.parsed(namespace)


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        ([], {}),
        (["--name", "x"], {"name": "x"}),
        (["--name=-x"], {"name": "-x"}),
        (["--seed", "3", "--fast"], {"seed": np.int64(3), "fast": True}),
        (["--learning-rate", "1"], {"learning_rate": 1}),
        (["--learning-rate", "0.1"], {"learning_rate": 0.1}),
        (["--several", "x", "y"], {"several": ["x", "y"]}),
        (["--name", "x/y"], {"name": Path("x/y")}),
    ],
)
def test_values_of_python_are_those_of_a_command_line(argv, values):
    said, given = on_the_command_line(Small, argv), Small.of(values)
    assert said == given
    assert {text[2:].split("=")[0].replace("-", "_") for text in argv if text.startswith("--")} == given.given
    assert [type(getattr(said, name)) for name in Small.names()] == [
        type(getattr(given, name)) for name in Small.names()
    ]


@pytest.mark.parametrize(
    "values",
    [
        *({"seed": value} for value in ("x", -1, 1.5, None, True, [0], {})),
        *({"learning_rate": value} for value in (-1, float("nan"), float("inf"), None, "much")),
        *({"loss": value} for value in ("c", 1, None, ["a"])),
        *({"fast": value} for value in ("yes", 1, None)),
        *({"name": value} for value in (True, {}, ["x"])),
    ],
)
def test_a_value_that_no_command_line_gives_is_refused_and_named(values):
    with pytest.raises(InputError, match=f"argument {word(next(iter(values)))}"):
        Small.of(values)


def test_the_sentence_is_the_command_lines(capsys):
    with pytest.raises(SystemExit):
        on_the_command_line(Small, ["--learning-rate", "-1"])
    said = capsys.readouterr().err.splitlines()[-1].partition("error: ")[2]
    with pytest.raises(InputError) as refused:
        Small.of({"learning_rate": -1})
    assert str(refused.value) == said == "argument --learning-rate: -1 is not in [0, inf)"


def test_an_unknown_name_gets_the_nearest_option():
    for name in ("lr", "learning_rates", "rate", "learningrate"):
        with pytest.raises(InputError, match=f"{word(name)}: did you mean --learning-rate"):
            Small.of({name: 1})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--lr", "--learning-rate"),
        ("--epochs", "--num-train-epochs"),
        ("--max_length", "--max-length"),
        ("--max-len", "--max-length"),
        ("--learning-rat", "--learning-rate"),
        ("--batch-size", "--per-device-train-batch-size"),
        ("--scheduler", "--lr-scheduler-type"),
        ("--patience", "--early-stopping-patience"),
        ("--xyz", None),
    ],
)
def test_the_option_that_was_probably_meant(given, meant):
    assert nearest(given, [word(name) for name in ours.TrainOptions.names()]) == meant


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_options_cannot_be_written_to_and_every_one_is_on_the_command_line(kind):
    options = kind()
    with pytest.raises(FrozenInstanceError):
        options.seed = 1
    assert on_the_command_line(kind, []) == options == kind.of({})
    parser = argparse.ArgumentParser()
    kind.add_arguments(parser)
    said = parser.format_help()
    assert all(word(name) in said for name in kind.names())
    assert kind.names("recorded").keys() | {"given", "output_dir", "resume"} == set(kind.__dataclass_fields__)


def test_defaults_are_never_given():
    assert Small.of({"seed": 0}).given == {"seed"}
    assert replace(Small(), seed=3).given == set()


def test_the_help_says_the_learning_rate_of_each_kind_of_model(capsys):
    """The help gives one default for each kind, and argparse adds none of its own"""
    with pytest.raises(SystemExit):
        run("torch_impl", "train", "--help")
    text = " ".join(capsys.readouterr().out.split())
    kinds = "1e-05 for a pretrained model, 0.0002 with --use-peft, else 0.005 --warmup-steps"
    assert f"peak learning rate; default: {kinds}" in text


def test_short_names_of_other_trainers_are_understood():
    assert nearest("--lr", map(word, theirs.TrainOptions.names())) == "--learning-rate"
