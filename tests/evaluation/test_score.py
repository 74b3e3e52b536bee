"""A scored file of responses: the rows unchanged, with rewards that no order affects; written whole or not at all."""

import gzip
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import PACKAGES, is_one_sentence, run, start, write_rows
from strategies import seeds

from numpy_ref.batches import all_rewards, collate
from numpy_ref.cli import text
from numpy_ref.data.tokenizer import Bytes
from numpy_ref.errors import InputError
from numpy_ref.evaluation import score, score_files
from numpy_ref.evaluation.score import numpy_scorer, standardised
from numpy_ref.reward_model import init_params
from numpy_ref.storage.checkpoint import save_model
from numpy_ref.tree import tree_map
from torch_impl.evaluation.score import torch_scorer

BOTH = pytest.mark.parametrize("package", PACKAGES)
SCORERS = pytest.mark.parametrize("scorer_of", [numpy_scorer, lambda path: torch_scorer(path, "cpu")])
ROWS = [
    {"prompt": "2 + 2?", "response": "4", "id": 7, "nested": {"a": [1.5, None]}},
    {"prompt": "Größe?", "responses": ["groß", "klein!", "大"], "ranks": [2, 1, 2], "model": "x"},
    {"chosen": "no prompt", "rejected": "none"},
    {"prompt": "p", "answers": [{"answer": "b", "rank": 2}, {"answer": "a", "rank": 1}]},
    {"prompt": "p", "responses": ["only one"]},
    {"prompt": "p", "responses": ["same", "same"], "scores": [1e999, 2]},
]


def small_model(directory, dtype=np.float64, n_positions=40):
    rng = np.random.default_rng(0)
    params = init_params(rng, Bytes.vocab_size, n_positions, 8, 1, dtype)
    params = tree_map(lambda leaf: leaf + (0.3 * rng.standard_normal(leaf.shape)).astype(dtype), params)
    directory.mkdir()
    save_model(directory, params, 2, Bytes())
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model") / "bytes")


@pytest.fixture(autouse=True)
def _an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def scored(package, model, rows, output="out.jsonl", name="in.jsonl"):
    write_rows(Path(name), rows)
    assert run(package, "score", "--model", str(model), "--data", name, "--output", output) == 0
    opened = gzip.open if output.endswith(".gz") else open
    with opened(output, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def alone(model, prompt, response):
    """The reward of one text in a batch by itself"""
    scorer = numpy_scorer(model)
    return scorer.rewards(*collate([[scorer.tokenizer.encode(prompt, response)]]))[0, 0]


@BOTH
def test_every_row_comes_back_with_its_columns_and_its_rewards(package, model, capsys, monkeypatch):
    monkeypatch.setattr(text, "LINE_EVERY", 0)  # seconds between two lines of progress in a log
    found = scored(package, model, ROWS)
    texts = [["4"], ["groß", "klein!", "大"], ["no prompt", "none"], ["b", "a"], ["only one"], ["same", "same"]]
    assert len(found) == len(ROWS)
    for row, out, responses in zip(ROWS, found, texts, strict=True):
        assert {name: out[name] for name in row} == row, "every column as it was"
        expected = [alone(model, row.get("prompt", ""), response) for response in responses]
        if "response" in row:
            assert out.keys() - row.keys() == {"reward"}
            np.testing.assert_allclose(out["reward"], expected[0], rtol=0, atol=1e-13)
            continue
        assert out.keys() - row.keys() == {"rewards", "order", "best_probability"}
        np.testing.assert_allclose(out["rewards"], expected, rtol=0, atol=1e-13)
        assert out["order"] == sorted(range(len(responses)), key=lambda i: -out["rewards"][i])
        worth = np.exp(out["rewards"])
        np.testing.assert_allclose(out["best_probability"], worth / worth.sum(), rtol=1e-12)
    assert found[-1]["order"] == [0, 1], "equal rewards keep their order"
    assert found[-1]["best_probability"] == [0.5, 0.5]
    out, err = capsys.readouterr()
    assert out == "scored    6 of 6 rows -> out.jsonl\n"
    assert "scoring: 100%" in err
    assert not list(Path().glob(".*"))


def test_conversations_are_scored_as_they_are_trained_on(model):
    """Messages of a pair (prompt apart or inside both) and of an unlabelled response have the rewards of their texts"""
    ask, tell = [{"role": "user", "content": "2 + 2?"}], [[{"role": "assistant", "content": text}] for text in "45"]
    rows = [
        {"prompt": ask, "chosen": tell[0], "rejected": tell[1]},
        {"chosen": ask + tell[0], "rejected": ask + tell[1]},
        {"prompt": ask, "response": tell[0]},
    ]
    expected = [alone(model, "2 + 2?", text) for text in "45"]
    found = scored("numpy_ref", model, rows)
    for out in found[:2]:
        np.testing.assert_allclose(out["rewards"], expected, rtol=0, atol=1e-13)
    assert found[2]["reward"] == pytest.approx(expected[0], abs=1e-13)
    assert found[2]["response"] == tell[0]


def test_both_packages_write_the_same_rewards(model):
    here, there = (scored(package, model, ROWS, f"{package}.jsonl") for package in PACKAGES)
    for a, b in zip(here, there, strict=True):
        assert a.keys() == b.keys()
        assert a.get("order") == b.get("order")
        np.testing.assert_allclose(a.get("rewards", a.get("reward")), b.get("rewards", b.get("reward")), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@SCORERS
def test_neither_order_nor_batch_moves_a_reward_by_more_than_100_eps(scorer_of, dtype, tmp_path):
    """In eps of the largest reward: only the order of BLAS sums changes with the shape of the batch"""
    scorer = scorer_of(small_model(tmp_path / "m", dtype))

    @given(seed=seeds, max_tokens=st.integers(1, 400))
    def check(seed, max_tokens):
        rng = np.random.default_rng(seed)
        rows = [
            [rng.integers(4, 260, rng.integers(1, 40)).tolist() for _ in range(rng.integers(1, 4))] for _ in range(6)
        ]
        order = rng.permutation(len(rows))
        one = [scorer.rewards(*collate([[ids]]))[0, 0] for row in rows for ids in row]
        several = all_rewards(scorer.rewards, [rows[i] for i in order], max_tokens)
        by_row = {int(i): reward for i, reward in zip(order, several, strict=True)}
        batched = [by_row[i][k] for i, row in enumerate(rows) for k in range(len(row))]
        assert np.abs(np.subtract(one, batched)).max() <= 100 * np.finfo(dtype).eps * np.abs(one).max()

    check()


def test_a_large_file_is_read_in_chunks_of_bounded_size(model, monkeypatch):
    """A chunk is within the bounds, unless one row alone is larger; the rewards are those of a single chunk"""
    rows = [{"prompt": "p", "responses": ["x" * (1 + (i * j) % 20) for j in range(1 + i % 4)]} for i in range(40)]
    write_rows(Path("in.jsonl"), rows)
    scorer = numpy_scorer(model)
    whole = [line for _, line in score_files.scored_rows(scorer, "in.jsonl")]
    monkeypatch.setattr(score_files, "MOST_RESPONSES", 5)
    monkeypatch.setattr(score_files, "MOST_TOKENS", 60)
    sizes = []
    for chunk in score_files.chunks(scorer, "in.jsonl"):
        n, tokens = sum(len(row) for *_, row in chunk), sum(len(ids) for *_, row in chunk for ids in row)
        assert len(chunk) == 1 or (n <= 5 and tokens <= 60)
        sizes.append(len(chunk))
    assert sum(sizes) == 40
    assert len(sizes) > 10
    for a, (_, b) in zip(whole, score_files.scored_rows(scorer, "in.jsonl"), strict=True):
        np.testing.assert_allclose(json.loads(a)["rewards"], json.loads(b)["rewards"], rtol=0, atol=1e-13)


def test_a_file_is_read_row_by_row_and_not_kept(model, monkeypatch):
    """The first rewards are there before the last row is read"""
    read = []
    texts = score_files.texts

    def noted(path):
        for number, row in texts(path):
            read.append(number)
            yield number, row

    monkeypatch.setattr(score_files, "texts", noted)
    monkeypatch.setattr(score_files, "MOST_RESPONSES", 3)
    write_rows(Path("in.jsonl"), [{"response": "x"}] * 50)
    next(score_files.scored_rows(numpy_scorer(model), "in.jsonl"))
    assert len(read) == 4


def test_a_line_is_kept_letter_by_letter(model):
    """Numbers that Python would round or respell, escapes and blanks are kept; the reward is added at the end"""
    line = ' {"response" : "\\u0041",  "x": 1.10, "big": ' + "9" * 5000 + ', "odd": "\\ud800", "f": 1E5 } '
    Path("in.jsonl").write_text("\ufeff" + line + "\r\n", encoding="utf-8")
    assert run("numpy_ref", "score", "--model", str(model), "--data", "in.jsonl", "--output", "out.jsonl") == 0
    (out,) = Path("out.jsonl").read_text(encoding="utf-8").splitlines()
    assert out.startswith(line.strip()[:-2] + ', "reward": ')
    assert json.loads(out, parse_int=float)["reward"] == pytest.approx(alone(model, "", "A"), abs=1e-13)


def test_compressed_files_in_and_out(model):
    with gzip.open("in.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n" + json.dumps(ROWS[1]) + "\n\n")
    assert run("numpy_ref", "score", "--model", str(model), "--data", "in.jsonl.gz", "--output", "o.jsonl.gz") == 0
    with gzip.open("o.jsonl.gz", "rt", encoding="utf-8") as file:
        assert [json.loads(line)["model"] for line in file] == ["x"]


def test_the_standard_output_holds_the_rows_and_nothing_else(model, capsys):
    write_rows(Path("in.jsonl"), ROWS)
    for output in ([], ["--output", "-"]):
        assert run("numpy_ref", "score", "--model", str(model), "--data", "in.jsonl", *output) == 0
        assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == len(ROWS)


GOOD = json.dumps({"prompt": "p", "response": "r"}) + "\n"
BAD = {
    "not JSON": ("{oops\n", "line 2: not JSON"),
    "not UTF-8": ('{"response": "\xff"}\n', "line 2: byte 15 of the line \\(0xff\\) is not UTF-8"),
    "a column twice": ('{"response": "x", "response": "y"}\n', "line 2: the column 'response' stands twice"),
    "nested without end": ("[" * 100_000 + "\n", "line 2: the JSON is nested too deeply"),
    "a list": ("[1]\n", "line 2: a list instead of an object"),
    "no responses": (
        '{"prompt": "p", "text": "r"}\n',
        "line 2: there is no column of responses .found: 'prompt', 'text'",
    ),
    "an empty list": ('{"responses": []}\n', "line 2: there is no response"),
    "an empty response": ('{"response": " "}\n', "line 2: response 1 is empty"),
    "an empty one of several": ('{"responses": ["a", ""]}\n', "line 2: response 2 is empty"),
    "an empty chosen": ('{"chosen": "", "rejected": "b"}\n', 'line 2: "chosen" is empty'),
    "a response that is a number": ('{"response": 7}\n', "line 2: response 1 is a number"),
    "a prompt that is a number": ('{"prompt": 7, "response": "x"}\n', 'line 2: "prompt" is a number'),
    "a column of ours": ('{"response": "x", "reward": 1}\n', 'line 2: the row has a column "reward" already'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_cannot_be_scored_is_named_and_nothing_is_written(name, model, capsys):
    line, expected = BAD[name]
    Path("in.jsonl").write_bytes(GOOD.encode() + line.encode("latin-1"))
    assert run("numpy_ref", "score", "--model", str(model), "--data", "in.jsonl", "--output", "out.jsonl") == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(sentence)
    with pytest.raises(InputError, match=f"in.jsonl, {expected}"):
        list(score_files.scored_rows(numpy_scorer(model), "in.jsonl"))
    assert sorted(path.name for path in Path().iterdir()) == ["in.jsonl"]


@BOTH
def test_a_row_that_is_too_long_gets_no_reward_and_a_reason_and_the_others_are_scored(package, model, capsys):
    long = {"prompt": "p", "responses": ["short", "x" * 50]}
    write_rows(Path("in.jsonl"), [*ROWS[:2], long, *ROWS[2:], long | {"prompt": "q"}])
    write_rows(Path("short.jsonl"), ROWS)
    for name in ("in", "short"):
        base = ["score", "--model", str(model), "--data", f"{name}.jsonl", "--output", f"{name}.out"]
        assert run(package, *base) == 0
    out, err = capsys.readouterr()
    assert out == f"scored    {len(ROWS)} of {len(ROWS) + 2} rows -> in.out\nscored    6 of 6 rows -> short.out\n"
    assert "2 rows are too long for the model: the reward is null" in err
    lines = Path("in.out").read_text().splitlines()
    without = [line for i, line in enumerate(lines) if i not in (2, len(lines) - 1)]
    for line, alone in zip(without, Path("short.out").read_text().splitlines(), strict=True):
        row, expected = json.loads(line), json.loads(alone)
        for name in {"reward", "rewards", "best_probability"} & row.keys():  # in another batch an eps away
            assert row.pop(name) == pytest.approx(expected.pop(name), rel=1e-12)
        assert row == expected
    reason = "response 2 has 54 tokens with its prompt; the model reads 40 at most"
    assert json.loads(lines[2]) == long | {"reward": None, "reason": reason}


@BOTH
def test_strict_refuses_the_file_for_one_row_that_is_too_long(package, model, capsys):
    write_rows(Path("in.jsonl"), [{"response": "x"}, {"response": "x" * 50}])
    base = ["score", "--model", str(model), "--data", "in.jsonl", "--output", "out.jsonl", "--strict"]
    assert run(package, *base) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "in.jsonl, line 2: response 1 has 53 tokens with its prompt; the model reads 40 at most" in sentence
    assert sorted(path.name for path in Path().iterdir()) == ["in.jsonl"]


@BOTH
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "there is nothing to score"),
        (["--data", "in.jsonl", "a response"], "give either, not both"),
        (["--data", "in.jsonl", "--prompt", "p"], "give either, not both"),
        (["a response", "--output", "x"], "--output x: is for --data FILE"),
        (["a response", "--strict"], "--strict: is for --data FILE: leave it out"),
        (["--data", "in.jsonl", "--output", "there.jsonl"], "there.jsonl: exists already"),
        (["--data", "in.jsonl", "--output", "no/out.jsonl"], "there is no directory no"),
        (["--prompt", "p", "a" * 999], f"response '{'a' * 37}...': "),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--data", "empty.jsonl"], "empty.jsonl: the file is empty"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(package, arguments, expected, model, capsys):
    write_rows(Path("in.jsonl"), ROWS)
    Path("there.jsonl").write_text("mine")
    Path("empty.jsonl").write_text("\n")
    assert run(package, "score", "--model", str(model), *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert expected in err
    assert Path("there.jsonl").read_text() == "mine"
    assert len(list(Path().iterdir())) == 3


def test_an_interruption_leaves_no_half_file(model, monkeypatch):
    """Ctrl-C in the middle: status 130, and neither the file nor the one beside it"""
    write_rows(Path("in.jsonl"), [{"response": "x"}] * 9)
    monkeypatch.setattr(score_files, "MOST_RESPONSES", 2)
    calls = []

    def interrupted(_, length):
        calls.append(list(Path().glob(".out*")))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros(length.shape)

    monkeypatch.setattr(score, "standardised", lambda *_: interrupted)
    assert run("numpy_ref", "score", "--model", str(model), "--data", "in.jsonl", "--output", "out.jsonl") == 130
    assert [path.suffix for path in sorted(calls[2], key=str)] == [".new", ".lock"]
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]


@pytest.mark.slow
@pytest.mark.long
@BOTH
def test_a_killed_process_leaves_no_file_under_the_final_name(package, model):
    write_rows(Path("in.jsonl"), [{"response": f"{i:030}"} for i in range(60_000)])  # no two alike
    process = start(package, "score", "--model", str(model), "--data", "in.jsonl", "--output", "out.jsonl")
    while process.poll() is None and not any(path.stat().st_size for path in Path().glob(".out.jsonl.*.new")):
        pass
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 130
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]


def test_the_numbers_of_a_config_are_applied():
    def raw(_, length):
        return np.full(length.shape, 5.0)

    shape = (np.zeros((1, 2, 3)), np.ones((1, 2)))
    assert standardised(raw, {}) is raw
    assert standardised(raw, {"reward_mean": 0, "reward_std": 1.0}) is raw
    assert (standardised(raw, {"reward_mean": 1.0, "reward_std": 2.0})(*shape) == 2).all()
    assert (standardised(raw, {"reward_mean": 1})(*shape) == 4).all()
    assert (standardised(raw, {"reward_std": sys.float_info.max})(*shape) > 0).all()
    for wrong in ({"reward_std": 0}, {"reward_std": -1.0}, {"reward_mean": "x"}, {"reward_mean": float("nan")}):
        with pytest.raises(InputError, match="expected a number and one above 0"):
            standardised(raw, wrong)


@BOTH
def test_score_applies_the_numbers_of_the_config(package, tmp_path):
    directory = small_model(tmp_path / "numbered")
    before = scored(package, directory, ROWS[:1], "before.jsonl")[0]["reward"]
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"reward_mean": 0.25, "reward_std": 4.0}))
    after = scored(package, directory, ROWS[:1], "after.jsonl")[0]["reward"]
    assert after == pytest.approx((before - 0.25) / 4, abs=1e-13)


def test_the_bar_moves_by_distinct_responses(monkeypatch, capsys):
    """There are three distinct responses, because [1, 2] occurs twice"""
    monkeypatch.setattr(text, "LINE_EVERY", 0)
    scorer = score.Scorer(lambda _, length: length.astype(float), Bytes(), 9)
    rows = [[[1, 2], [3]], [[1, 2], [4, 5, 6]]]
    np.testing.assert_array_equal(score.rewards_with_bar(scorer, rows), [[2, 1], [2, 3]])
    assert "scoring: 100%|3/3" in capsys.readouterr().err


def test_arrays_and_tables_come_back_as_lines_with_all_their_columns(model):
    """The rows of an array come back letter by letter, the cells of a table as texts"""
    Path("in.json").write_text('[{"prompt": "p", "response": "a",\n "n": 1.50}, {"response": "b", "n": 7}]')
    Path("in.csv").write_text('prompt,response,n\np,a,1.50\n,b,"x, y"\n')
    for name, numbers in (("in.json", ["1.50", "7"]), ("in.csv", ['"1.50"', '"x, y"'])):
        assert run("numpy_ref", "score", "--model", str(model), "--data", name, "--output", f"{name}.out") == 0
        lines = Path(f"{name}.out").read_text().splitlines()
        assert [json.loads(line)["reward"] for line in lines] == pytest.approx(
            [alone(model, "p", "a"), alone(model, "", "b")]
        )
        assert all(f'"n": {number}, "reward"' in line for number, line in zip(numbers, lines, strict=True))


def test_a_row_of_a_table_is_named_as_such(model, capsys):
    Path("in.csv").write_text("prompt,text\np,a\n")
    assert run("numpy_ref", "score", "--model", str(model), "--data", "in.csv") == 2
    assert "in.csv, row 1: there is no column of responses" in capsys.readouterr().err
