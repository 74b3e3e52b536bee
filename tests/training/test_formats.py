"""Every format gives the same model: a file's format does not affect the weights, and a run says what it has read."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import PACKAGES, TINY, is_one_sentence, numbers, run, same_files, write_rows
from storage.test_run import assert_same_run, train_until_killed

from numpy_ref.data.reader import Split, read_preferences, unit
from numpy_ref.data.tokenizer import Bytes, TokenIds, load, save
from numpy_ref.errors import InputError
from numpy_ref.reward_model import rewards
from numpy_ref.storage.checkpoint import load_model

BOTH = pytest.mark.parametrize("package", PACKAGES)
ROWS = numbers(12)
MODEL = ["model.safetensors", "config.json"]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def of_sides(convert):
    """Every row with both sides converted"""
    return [row | {side: convert(row["prompt"], row[side]) for side in ("chosen", "rejected")} for row in ROWS]


def without_prompt(rows):
    return [{name: value for name, value in row.items() if name != "prompt"} for row in rows]


NAMES = {"prompt": "question", "chosen": "winner", "rejected": "loser", "margin": "lead"}
COLUMNS = [word for ours, theirs in NAMES.items() for word in (f"--{ours}-column", theirs)]
ENCODED = [
    {**{f"{side}_ids": Bytes().encode(row["prompt"], row[side]) for side in ("chosen", "rejected")}, "margin": 0.5}
    for row in ROWS
]
SAME = {  # name: (rows, options, what train calls it)
    "text": (ROWS, [], "text, explicit prompt"),
    "other names": ([{NAMES[k]: v for k, v in row.items()} for row in ROWS], COLUMNS, "text, explicit prompt"),
    "conversations": (
        [row | {"prompt": [user(row["prompt"])]} for row in of_sides(lambda _, answer: [assistant(answer)])],
        [],
        "conversations, explicit prompt",
    ),
    "whole conversations": (
        without_prompt(of_sides(lambda prompt, answer: [user(prompt), assistant(answer)])),
        [],
        "conversations, implicit prompt",
    ),
    "token ids": (ENCODED, ["--vocab-size", "260"], "token ids"),
}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(package, *options, output_dir):
    return run(package, "train", *TINY, "--max-steps", "3", *options, "--output-dir", output_dir)


def refused(capsys, *arguments, command="train", package="numpy_ref"):
    capsys.readouterr()
    assert run(package, command, *arguments) == 2
    err = capsys.readouterr().err
    assert is_one_sentence(err)
    return err.removeprefix(f"python -m {package} {command}: error: ").removesuffix("\n")


@BOTH
def test_the_same_preferences_in_every_format_are_the_same_model(package, capsys):
    for name, (rows, options, found) in SAME.items():
        data = write_rows(Path(f"{name}.jsonl"), rows)
        assert train(package, "--data", data, "--eval-data", data, *options, output_dir=name) == 0
        assert f"\nformat    {found}\n" in capsys.readouterr().out
        assert same_files("text", name, MODEL[: 1 if name == "token ids" else 2]), name


def test_the_formats_are_said_with_their_numbers_and_of_the_held_out_data_where_they_differ(capsys):
    data = write_rows(Path("rows.jsonl"), [*ROWS[:3], {"chosen": "a", "rejected": "b"}])
    held = [{"chosen": f"\n\nHuman: q\n\nAssistant: {x}", "rejected": "\n\nHuman: q\n\nAssistant:"} for x in "ab"]
    assert train("numpy_ref", "--data", data, "--eval-data", write_rows(Path("held.jsonl"), held), output_dir="o") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("held-out  held.jsonl: 2 of 2 pairs kept")
    assert lines[2:4] == [
        "format    text, explicit prompt (3); text, implicit prompt (1)",
        "format    transcripts, implicit prompt, held out",
    ]


def test_a_response_longer_than_the_context_leaves_its_pair_out_in_every_format(capsys):
    long = {"prompt": "larger?", "chosen": "9" * 40, "rejected": "1", "margin": 0.5}
    for name, (rows, options, _) in SAME.items():
        extra = dict.fromkeys(rows[0])
        for (key, pattern), value in zip(rows[0].items(), [long.get(key) for key in rows[0]], strict=True):
            extra[key] = pattern if value is None else value
        extra = {key: [5] * 60 if key == "chosen_ids" else value for key, value in extra.items()}
        if "conversations" in name:
            extra |= {"chosen": [*rows[0]["chosen"][:-1], assistant("9" * 40)], "rejected": rows[0]["rejected"]}
            extra |= {"prompt": rows[0]["prompt"]} if "prompt" in rows[0] else {}
        if name == "other names":
            extra = {NAMES[key]: value for key, value in long.items()}
        data = write_rows(Path(f"{name}.jsonl"), [*rows, extra])
        assert train("numpy_ref", "--data", data, "--max-length", "40", *options, output_dir=name) == 0
        assert "12 of 13 pairs kept (92.3%); 1 longer than 40 tokens" in capsys.readouterr().out


@BOTH
def test_token_ids_make_a_model_without_a_tokenizer(package, capsys):
    rows = [{"chosen_ids": [i, 0, 2, 0], "rejected_ids": [i, 7]} for i in range(1, 9)]
    data = write_rows(Path("ids.jsonl"), rows)
    assert train(package, "--data", data, output_dir="ids") == 0
    assert ", 0 identical; a vocabulary of 9\nformat    token ids\n" in capsys.readouterr().out
    params, n_head, tokenizer = load_model("ids")
    assert tokenizer == TokenIds(9)
    assert len(params["body"]["tok"]["weight"]) == 9
    assert not list(Path("ids").glob("tokenizer*"))
    config = json.loads(Path("ids", "config.json").read_text())
    assert [config[f"{name}_token_id"] for name in ("pad", "bos", "eos")] == [None] * 3
    assert n_head == 2
    sentence = refused(capsys, "--model", "ids", "some text", command="score", package=package)
    assert sentence.startswith(
        "a text, but this model was trained on token ids and has no tokenizer: give it token ids"
    )
    assert train(package, "--data", data, "--vocab-size", "30", output_dir="more") == 0
    assert load_model("more")[2] == TokenIds(30)


def test_ids_that_do_not_fit_are_refused(capsys):
    data = write_rows(Path("ids.jsonl"), [{"chosen_ids": [1], "rejected_ids": [2]}] * 2)
    held = write_rows(Path("held.jsonl"), [{"chosen_ids": [1], "rejected_ids": [3]}])
    sentence = refused(capsys, "--data", data, "--eval-data", held)
    assert sentence.startswith("held.jsonl, line 1: the token id 3, but the vocabulary has 3 (0 to 2)")
    assert "a larger --vocab-size" in sentence
    sentence = refused(capsys, "--data", data, "--vocab-size", "2")
    assert sentence.startswith("ids.jsonl, line 1: the token id 2")
    texts = write_rows(Path("rows.jsonl"), ROWS)
    assert "rows.jsonl, line 1: a text, but this model" in refused(capsys, "--data", data, "--eval-data", texts)
    assert "ids.jsonl, line 1: token ids, but this model" in refused(capsys, "--data", texts, "--eval-data", data)
    both = write_rows(Path("both.jsonl"), [*ROWS[:2], {"chosen_ids": [1], "rejected_ids": [2]}])
    assert "both.jsonl: 2 of 6 responses are token ids and the others texts" in refused(capsys, "--data", both)
    assert "--vocab-size 9: only for token ids" in refused(capsys, "--data", texts, "--vocab-size", "9")


@pytest.mark.parametrize("size", [1, 50_000])
def test_token_ids_are_saved_and_loaded(size):
    save(TokenIds(size), ".")
    assert load(".") == TokenIds(size)


@pytest.mark.parametrize(
    "content", ["", "{}", "[5]", '{"vocab_size": 0}', '{"vocab_size": true}', '{"vocab_size": "5"}']
)
def test_another_file_of_token_ids_is_refused(content):
    Path("token_ids.json").write_text(content)
    with pytest.raises(InputError, match=r"token_ids.json: not a tokenizer that this project saved"):
        load(".")


@BOTH
@pytest.mark.parametrize("name", ["other names", "whole conversations", "token ids"])
def test_a_killed_run_goes_on_with_its_own_format(package, name, monkeypatch):
    rows, options, _ = SAME[name]
    write_rows(Path("rows.jsonl"), rows)
    arguments = [*TINY, "--data", "rows.jsonl", *options, "--max-steps", "5", "--save-steps", "2", "--output-dir"]
    assert run(package, "train", *arguments, "whole") == 0
    train_until_killed(monkeypatch, package, 4, *arguments, "killed")
    assert run(package, "train", "--resume", "killed") == 0
    assert_same_run("whole", "killed")


def test_an_option_of_the_data_that_would_not_be_used_is_refused(capsys):
    data = write_rows(Path("rows.jsonl"), ROWS)
    for arguments, expected in {
        ("--dataset-name", "x", "--data", data): "--dataset-name x: there is --data rows.jsonl too: keep one",
        (
            "--dataset-name",
            "x",
            "--eval-data",
            data,
            "--dataset-test-split",
            "test",
        ): "--dataset-test-split test: there is",
        ("--data", data, "--dataset-config", "c"): "--dataset-config c: there is no --dataset-name",
        ("--data", data, "--dataset-test-split", "t"): "--dataset-test-split t: there is no --dataset-name",
        ("--chosen-column", "x"): "--chosen-column: the built-in world does not use it",
        ("--vocab-size", "5"): "--vocab-size: the built-in world does not use it",
        (
            "--data",
            data,
            "--chosen-column",
            "best",
        ): "rows.jsonl, line 1: --chosen-column best: there is no such column",
    }.items():
        assert refused(capsys, *arguments).startswith(expected)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("pyarrow", ["--data", "rows.parquet"]), ("datasets", ["--dataset-name", "somebody/preferences"])],
)
def test_a_missing_package_is_named_with_its_extra(package, arguments, monkeypatch, capsys):
    Path("rows.parquet").touch()
    monkeypatch.setitem(sys.modules, package, None)
    sentence = refused(capsys, *arguments)
    assert f'needs the package {package}: pip install "reward-by-hand[hf]"' in sentence


def test_a_parquet_file_that_is_not_there_is_refused(capsys):
    Path("folder.parquet").mkdir()
    assert refused(capsys, "--data", "no.parquet").startswith("no.parquet: there is no such file")
    assert refused(capsys, "--data", "folder.parquet").startswith("folder.parquet: this is a directory")


# Parquet and datasets, which come with the extra hf


def write_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    pyarrow.parquet.write_table(table, path, row_group_size=5)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME)
def test_a_parquet_file_holds_the_same_preferences(name, monkeypatch):
    rows, options, _ = SAME[name]
    columns = NAMES if name == "other names" else None
    lines, table = write_rows(Path("rows.jsonl"), rows), write_parquet(Path("rows.parquet"), rows)
    assert read_preferences(table, columns) == read_preferences(lines, columns)
    assert (unit(table), unit(lines)) == ("row", "line")
    for data in (lines, table):
        assert train("numpy_ref", "--data", data, *options, output_dir=f"of {data}") == 0
    assert same_files(f"of {lines}", f"of {table}", MODEL)
    arguments = [*TINY, "--data", table, *options, "--max-steps", "3", "--save-steps", "1", "--output-dir", "killed"]
    train_until_killed(monkeypatch, "numpy_ref", 3, *arguments)
    assert run("numpy_ref", "train", "--resume", "killed") == 0
    assert same_files("killed", f"of {table}", MODEL)


@pytest.mark.slow
def test_a_row_of_a_table_goes_through_the_same_checks():
    ranked = [
        {"prompt": "p", "responses": ["a", "b"], "ranks": [2, 1]},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
    ]
    lines, table = write_rows(Path("rows.jsonl"), ranked), write_parquet(Path("rows.parquet"), ranked)
    assert read_preferences(table) == read_preferences(lines)  # what a row lacks is null in a table
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    wide = [{"prompt": parts, "chosen": "a", "rejected": "b", "margin": 1}, {"chosen": "x", "rejected": "y"}]
    assert read_preferences(write_parquet(Path("wide.parquet"), wide)) == read_preferences(
        write_rows(Path("wide.jsonl"), wide)
    )
    named = [{"question": "p", "best": "a", "rejected": "b"}, {"question": None, "best": "a", "rejected": "b"}]
    columns = {"prompt": "question", "chosen": "best"}
    prompts = [row.prompt for row in read_preferences(write_parquet(Path("named.parquet"), named), columns)]
    assert prompts == ["p", ""]
    for bad, expected in {
        ("a", None): 'row 2: "rejected" is null, but a text is expected',
        ("", "b"): 'row 2: "chosen" is empty',
    }.items():
        rows = [ROWS[0], {"prompt": "p", "chosen": bad[0], "rejected": bad[1]}]
        with pytest.raises(InputError, match=f"rows.parquet, {expected}"):
            read_preferences(write_parquet(Path("rows.parquet"), rows))
    import datetime

    odd = {"prompt": datetime.date(2026, 1, 1), "chosen": b"a", "rejected": b"b"}
    with pytest.raises(InputError, match='"chosen" is of the type bytes, but a text is expected'):
        read_preferences(write_parquet(Path("rows.parquet"), [odd]))
    odd |= {"chosen": "a", "rejected": "b"}
    with pytest.raises(InputError, match='"prompt" is of the type date, but a text is expected'):
        read_preferences(write_parquet(Path("rows.parquet"), [odd]))


@pytest.mark.slow
def test_a_damaged_parquet_file_is_refused():
    whole = Path(write_parquet(Path("rows.parquet"), ROWS)).read_bytes()
    for content in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], gzip.compress(whole)):
        Path("bad.parquet").write_bytes(content)
        with pytest.raises(InputError, match=r"bad.parquet: not a readable Parquet file") as error:
            read_preferences("bad.parquet")
        assert is_one_sentence(str(error.value))
    import pyarrow

    twice = pyarrow.table([["a"], ["b"], ["c"]], names=["chosen", "rejected", "chosen"])
    pyarrow.parquet.write_table(twice, "twice.parquet")
    with pytest.raises(InputError, match=r"^twice.parquet: the column 'chosen' stands twice: keep one$"):
        read_preferences("twice.parquet")
    with pytest.raises(InputError, match=r"^empty.parquet: holds no row: give one that does$"):
        read_preferences(write_parquet(Path("empty.parquet"), []))


@pytest.mark.slow
def test_a_parquet_file_with_bytes_replaced_is_read_or_refused():
    whole = Path(write_parquet(Path("rows.parquet"), ROWS)).read_bytes()

    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=3))
    @settings(max_examples=300)
    def read_or_refused(changes):
        content = bytearray(whole)
        for at, byte in changes:
            content[at] = byte
        Path("bad.parquet").write_bytes(content)
        try:
            assert read_preferences("bad.parquet")
        except InputError as error:
            sentence = str(error)
        else:
            sentence = "read"
        assert is_one_sentence(sentence)

    read_or_refused()


@pytest.fixture
def dataset(monkeypatch, tmp_path):
    """A local directory with two splits; the cache of datasets is this test's own, and there is no network"""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    Path("named").mkdir()
    write_parquet(Path("named", "train.parquet"), ROWS)
    write_rows(Path("rows.jsonl"), ROWS)
    held = numbers(5, seed=1)
    write_parquet(Path("named", "test.parquet"), held)
    write_rows(Path("held.jsonl"), held)
    return "named"


@pytest.mark.slow
def test_a_dataset_is_the_same_as_its_file(dataset, capsys, monkeypatch):
    assert train("numpy_ref", "--data", "rows.jsonl", "--eval-data", "held.jsonl", output_dir="file") == 0
    capsys.readouterr()
    splits = ["--dataset-name", dataset, "--dataset-test-split", "test"]
    assert train("numpy_ref", *splits, output_dir="set") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data      named (train): 12 of 12 pairs kept")
    assert lines[1].startswith("held-out  named (test): 5 of 5 pairs kept")
    assert same_files("file", "set", [*MODEL, "metrics.jsonl"])
    assert read_preferences(Split(dataset)) == read_preferences("rows.jsonl")
    assert read_preferences(Split(dataset, split="train[:3]")) == read_preferences("rows.jsonl")[:3]
    train_until_killed(
        monkeypatch, "numpy_ref", 3, *TINY, *splits, "--max-steps", "3", "--save-steps", "1", "--output-dir", "killed"
    )
    (state,) = Path("killed").glob("*/state.json")
    assert json.loads(state.read_text())["options"]["dataset_name"] == str(Path(dataset).resolve())
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert run("numpy_ref", "train", "--resume", "../killed") == 0
    assert same_files("../killed", "../set", MODEL)
    monkeypatch.chdir("..")
    train_until_killed(
        monkeypatch, "numpy_ref", 3, *TINY, *splits, "--max-steps", "3", "--save-steps", "1", "--output-dir", "again"
    )
    write_parquet(Path("named", "train.parquet"), ROWS[1:])
    sentence = refused(capsys, "--resume", "again")
    assert "has changed since the run began" in sentence
    assert sentence.startswith("--dataset-name ")


@pytest.mark.slow
def test_a_dataset_that_cannot_be_had_is_one_sentence(dataset, capsys):
    assert "without a network, give a local directory" in refused(capsys, "--dataset-name", "somebody/preferences")
    sentence = refused(capsys, "--dataset-name", dataset, "--dataset-train-split", "tran")
    assert sentence.startswith("--dataset-name named (tran): cannot be loaded (Unknown split ")
    assert "cannot be loaded" in refused(capsys, "--dataset-name", dataset, "--dataset-config", "other")
    Path("void").mkdir()
    assert "contain any data files" in refused(capsys, "--dataset-name", "void")
    Path("bad").mkdir()
    Path("bad", "train.parquet").write_bytes(b"garbage")
    assert "--dataset-name bad (train): cannot be loaded" in refused(capsys, "--dataset-name", "bad")
    sentence = refused(capsys, "--dataset-name", dataset, "--chosen-column", "best")
    assert sentence.startswith("named (train), row 1: --chosen-column best: there is no such column")


@pytest.mark.slow
def test_no_code_of_a_dataset_is_run(dataset, capsys):
    Path(dataset, "named.py").write_text("from pathlib import Path\nPath('was run').touch()\n")
    run("numpy_ref", "train", *TINY, "--dataset-name", dataset, "--max-steps", "1")
    capsys.readouterr()
    assert not Path("was run").exists()


@pytest.mark.slow
def test_transformers_gives_the_rewards_of_a_model_of_token_ids():
    """Even of a text that ends in id 0, our padding's id, because the saved configuration names no padding"""
    import torch
    from transformers import AutoModelForSequenceClassification

    rows = [{"chosen_ids": [i, 0, 2, 0], "rejected_ids": [i, 7]} for i in range(1, 9)]
    assert train("numpy_ref", "--data", write_rows(Path("ids.jsonl"), rows), output_dir="ids") == 0
    theirs = AutoModelForSequenceClassification.from_pretrained("ids").eval()
    params, n_head, _ = load_model("ids")
    for ids in ([1, 0, 2, 0], [3, 7], [0], [5, 0]):
        ours, _ = rewards(np.array([[ids]]), np.array([[len(ids)]]), **params, n_head=n_head)
        with torch.no_grad():
            found = theirs(torch.tensor([ids])).logits.item()
        assert found == pytest.approx(ours.item(), abs=1e-5)
