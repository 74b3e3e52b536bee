"""The command fit: an aligned table, a certificate, JSON, a figure, and a clear message if no estimate exists."""

import argparse
import json

import numpy as np
import pytest

from numpy_ref.bradley_terry import command as fit
from numpy_ref.cli.text import pad, width
from numpy_ref.errors import InputError

BROKEN = "winner,loser,count\nA,B,3\nA,C,2\nB,C,1\nC,B,1\nD,E,2\nE,D,1\n"
TIES = "a,b,wins_a,wins_b,ties\n1,2,19,22,16\n1,3,16,19,12\n2,3,19,19,10\n"


def command(*arguments):
    """What `python -m numpy_ref fit` does with its arguments"""
    parser = argparse.ArgumentParser()
    fit.add_arguments(parser)
    return fit.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def table(tmp_path):
    def write(text, name="games.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_without_a_file_it_fits_baseball(capsys):
    assert command() == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "baseball_1987.csv: Bradley-Terry strengths of 7 items from 273 games"
    assert [line.split()[1] for line in lines[3:10]] == [
        "Milwaukee", "Detroit", "Toronto", "New", "Boston", "Cleveland", "Baltimore",
    ]  # fmt: skip
    assert lines[3].split() == ["1", "Milwaukee", "0.531", "0.207", "0.125", "0.938", "0.630"]
    assert "deviance 44.0535 on 36 d.f." in out
    assert "converged in 1 Newton step" in out


@pytest.mark.parametrize(("given", "written"), [([], "FILE"), (["games.csv"], "games.csv"), (["G.TSV.GZ"], "G.TSV.GZ")])
def test_json_was_a_flag_once_and_never_writes_over_a_table_that_was_to_be_read(given, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=f"now takes a file to write, and - is the standard output: write {written} --json -$"
    ):
        command("--json", *given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        ["--home"],
        ["--reference", "Boston", "--bootstrap", "40", "--seed", "3"],
        ["--ridge", "0.5", "--errors", "solve"],
        ["--errors", "none", "--ties", "rao-kupper"],
    ],
)
def test_every_table_lines_up_within_80_columns(capsys, options):
    assert command(*options) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("rank"))
    assert all(width(line) <= 80 for line in lines)
    assert len({width(line) for line in lines[start + 1 : start + 8]}) == 1
    ends = {line.rindex(".") for line in lines[start + 1 : start + 8]}
    assert len(ends) == 1


def test_long_and_wide_names_line_up(capsys, table):
    names = ["a" * 90, "日本語の名前" * 6, "e\u0301" * 12, "tab\there\nand line"]
    games = "\n".join(
        json.dumps({"winner": names[i], "loser": names[j], "count": 2 + i})
        for i in range(4)
        for j in range(4)
        if i != j
    )
    assert command(table(games, "games.jsonl")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {width(line) for line in lines[2:7]} == {80}
    assert pad("abcdef", 4) == "abc…"
    assert pad("日本", 3) == "日…"


def test_json_says_what_the_table_says(capsys, table):
    assert command(table(TIES), "--ties", "davidson", "--reference", "1", "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["item"] for row in result["ranking"]] == ["3", "2", "1"]
    assert result["ranking"][2]["strength"] == 0
    assert result["certificate"]["converged"] is True
    assert result["certificate"]["decrement"] <= 1e-12
    assert result["ties"] == "davidson"
    np.testing.assert_allclose(np.exp(result["log_tie"]["estimate"]), 0.668, atol=1e-3)
    best = result["ranking"][0]
    assert best["low"] < best["strength"] < best["high"]


def test_effects_are_printed_with_their_errors(capsys, table):
    command("--home")
    assert "home effect: 0.3023 (s.e. 0.1309, 95 % interval 0.0456 to 0.5589)" in capsys.readouterr().out
    command(table(TIES), "--ties", "rao-kupper")
    assert "ties: Rao-Kupper, θ = 1.6688, log θ = 0.5121 (s.e. 0.0751" in capsys.readouterr().out.replace("\n   ", "")
    command(table(TIES), "--ties", "half")
    assert "ties: half" in capsys.readouterr().out


def test_where_no_estimate_exists_it_says_who_never_lost_and_ends_with_1(capsys, table):
    assert command(table(BROKEN)) == 1
    out = capsys.readouterr().out
    assert "Ford's condition" in out
    assert "- A never lost to B and C" in out
    assert "- D and E never met the others" in out
    assert "--ridge" in out
    assert "Within 2 of the items, on a scale of their own" in out
    assert all(width(line) <= 80 for line in out.splitlines())
    assert command(table(BROKEN), "--json", "-") == 1
    result = json.loads(capsys.readouterr().out)
    assert "ranking" not in result
    of_its_own = [entry["fit"] for entry in result["groups"] if entry["items"] == ["D", "E"]]
    np.testing.assert_allclose(of_its_own[0]["ranking"][0]["strength"], np.log(2) / 2, rtol=1e-12)


def test_a_prior_by_explicit_choice_is_named(capsys, table):
    assert command(table(BROKEN), "--ridge", "1") == 0
    out = capsys.readouterr().out
    assert "a normal prior of variance 1 on every strength" in out
    assert "without the prior no estimate exists" in out


def test_a_home_effect_without_bound_is_no_estimate(capsys, table):
    assert command(table("a,b,wins_a,wins_b\nA,B,3,0\nB,C,3,0\nC,A,1,0\n"), "--home") == 1
    assert "no away side ever won" in capsys.readouterr().out


def test_the_bootstrap_is_reported(capsys):
    command("--bootstrap", "40", "--json", "-")
    result = json.loads(capsys.readouterr().out)
    assert result["bootstrap"] == {"resamples": 40, "without_estimate": 0, "seed": 0}
    assert all(row["bootstrap_low"] < row["bootstrap_high"] for row in result["ranking"])
    command("--bootstrap", "40", "--json", "-")
    assert json.loads(capsys.readouterr().out) == result


@pytest.mark.parametrize("options", [["--home"], ["--errors", "none"], ["--bootstrap", "40"]])
def test_the_figure_is_a_picture(tmp_path, options):
    assert command("--figure", tmp_path / "fit.png", *options) == 0
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_shows_what_was_counted(table):
    """The share of row over column and that of column over row add up to 1; predicted shares follow the strengths"""
    from numpy_ref.bradley_terry.figure import win_matrix
    from numpy_ref.bradley_terry.games import read_games
    from numpy_ref.bradley_terry.strengths import fit as fit_pairs

    fitted = fit_pairs(read_games(table(TIES)).pairs)
    observed, predicted = win_matrix(fitted, np.arange(3))
    np.testing.assert_allclose(observed[0, 1], (19 + 8) / 57, rtol=1e-12)
    for matrix in (observed, predicted):
        np.testing.assert_allclose((matrix + matrix.T)[~np.eye(3, dtype=bool)], 1, rtol=1e-12)
    assert predicted[0, 1] < 0.5 < predicted[2, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["missing.csv"], "missing.csv"),
        (["--reference", "Chicago"], "--reference Chicago: no such item; expected one of Baltimore"),
        (["--ridge", "-1"], "ridge=-1"),
        (["--ridge", "nan"], "ridge=nan"),
        (["--bootstrap", "-5"], "--bootstrap -5"),
    ],
)
def test_bad_input_is_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        command(*options)


def test_home_needs_to_know_who_is_at_home(table):
    with pytest.raises(InputError, match="expected the columns a, b, wins_a, wins_b"):
        command(table(BROKEN), "--home")


def test_a_figure_of_no_known_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a file name that ends in \.png"):
        command("--figure", tmp_path / "fit.xyz")


@pytest.mark.parametrize(
    "option",
    [["--home"], ["--ties", "half"], ["--weights"], ["--errors", "none"], ["--seed", "3"], ["--winner-column", "x"]],
)
def test_options_of_games_are_refused_beside_rankings(table, option):
    rankings = table("first,second\na,b\nb,a\n")
    with pytest.raises(InputError, match=f"{option[0]} is for games, not for rankings; leave it out"):
        command("--rankings", rankings, *option)
    assert command("--rankings", rankings) == 0


def test_a_separator_that_was_found_is_said(table, capsys):
    assert command("--rankings", table("# a, b\nfirst;second\na;b\nb;a\n")) == 0
    assert capsys.readouterr().err.endswith("games.csv: the columns are separated by semicolons\n")


def test_a_seed_below_zero_is_refused(capsys):
    with pytest.raises(SystemExit):
        command("--seed", "-1")
    assert "argument --seed" in capsys.readouterr().err
