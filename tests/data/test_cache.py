"""Tokens in flat arrays equal those in lists, and tokens from the disk those in memory, even after kills and damage."""

import errno
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import listed
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from running import PACKAGES, ROOT, TINY, is_one_sentence, numbers, run, same_files, torchrun, write_rows

from numpy_ref import batches
from numpy_ref.data import cache as token_cache
from numpy_ref.data import reader, source
from numpy_ref.data import tokens as token_rows
from numpy_ref.data.cache import cached, fingerprint, key_of, opened
from numpy_ref.data.reader import Ids, Preference, Split, each_with_format
from numpy_ref.data.source import ANY_IDS, Reader
from numpy_ref.data.tokenizer import Bytes, TokenIds, Words
from numpy_ref.data.tokens import (
    COLUMNS,
    Ragged,
    are_pairs,
    comparisons,
    filtered,
    flat_ranks,
    longer_wins,
    tokens_in_memory,
    untied,
    write_tokens,
)
from numpy_ref.errors import InputError
from numpy_ref.ranking import ABSENT
from numpy_ref.training import sft

BOTH = pytest.mark.parametrize("package", PACKAGES)
texts = st.text(st.characters(codec="utf-8"), max_size=4)
ids = st.lists(st.integers(0, 9), min_size=1, max_size=4).map(lambda found: Ids(map(int, found)))


@st.composite
def lists(draw, response=texts, prompt=texts):
    """A preference with two to four responses, some equal, some tied"""
    k = draw(st.integers(2, 4))
    drawn = draw(st.lists(response, min_size=k, max_size=k))
    ranks = sorted(draw(st.lists(st.integers(1, k), min_size=k, max_size=k)))
    return Preference(draw(prompt), tuple(drawn), draw(st.sampled_from([0.0, 0.5, -1.25])), tuple(ranks))


pairs = st.builds(Preference, texts, st.tuples(texts, texts), st.floats(-3, 3), st.just((1, 2)))
of_texts = st.tuples(st.just(Bytes()), st.lists(st.one_of(lists(), pairs), min_size=1, max_size=7))
of_ids = st.tuples(st.just(TokenIds(10)), st.lists(lists(ids, st.just("")), min_size=1, max_size=7))
AGAIN = Preference("p", ("a", "b", "a"), 0.0, (1, 2, 3))


def in_memory(tokenizer, rows):
    return tokens_in_memory(tokenizer, (("a form", row) for row in rows))


def as_lists(rows):
    return [[found.tolist() for found in row] for row in rows]


def assert_same(found, wanted):
    """The arrays say what the lists say"""
    assert as_lists(found.rows) == wanted.rows
    assert [tuple(ranks) for ranks in found.ranks] == wanted.ranks
    assert found.margin.tolist() == list(wanted.margin)
    assert found.kept.shape == (len(wanted.rows),)
    for count in ("too_long", "identical", "all_tied", "repeating"):
        assert getattr(found, count) == getattr(wanted, count), count


@given(st.one_of(of_texts, of_ids), st.integers(1, 14), st.booleans(), st.integers(1, 9))
@example((Bytes(), [AGAIN, Preference("", ("a", "a", "b"), 0.0, (1, 1, 2))]), 9, False, 1)
@example((Bytes(), [Preference("", ("a", "a")), AGAIN, Preference("", ("a", "b"), 2.0)]), 9, True, 2)
@example((Bytes(), [Preference("", ("a", "b")), AGAIN]), 9, False, 3)
@example((Bytes(), [Preference("", ("a", "b")), Preference("", ("a", "b"))]), 9, False, 3)
@example((Bytes(), [Preference("", ("a", "b")), Preference("", ("a", "c"), 0.0, (1, 1))]), 9, True, 3)
@example((Bytes(), [Preference("", ("a", "b", "c", "d"), 0.0, (1, 2, 1, 2))]), 9, True, 3)
def test_flat_arrays_say_what_lists_say(case, max_length, keep_tied, at_once):
    (tokenizer, rows), margin_per_rank = case, 0.37
    with patch.multiple(token_rows, AT_ONCE=at_once, BLOCK=at_once):
        tokens = in_memory(tokenizer, rows)
        chosen, wanted = filtered(tokens, max_length, keep_tied), listed.encode(tokenizer, rows, max_length, keep_tied)
        assert_same(chosen, wanted)
        assert are_pairs(chosen.ranks) == are_pairs(wanted.ranks) == all(r == (1, 2) for r in wanted.ranks)
        assert [rows[i] for i in chosen.kept] == wanted.kept
        if not wanted.rows:
            return
        assert [rows[i] for i in comparisons(chosen).kept] == listed.comparisons(wanted).kept
        assert_same(comparisons(chosen, margin_per_rank), listed.comparisons(wanted, margin_per_rank))
        assert_same(comparisons(chosen), listed.comparisons(wanted))
        np.testing.assert_array_equal(chosen.ranks.padded(ABSENT), batches.collate_ranks(wanted.ranks))
        assert (
            untied(chosen.ranks)
            == untied(flat_ranks(wanted.ranks))
            == sum(a != b for ranks in wanted.ranks for i, a in enumerate(ranks) for b in ranks[i + 1 :])
        )
        if untied(chosen.ranks):
            assert longer_wins(chosen) == reader.longer_wins(wanted.kept)
    tokens, length = batches.collate(chosen.rows)
    for found, expected in zip((tokens, length), batches.collate(wanted.rows), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


@given(texts, texts)
@example("é", "\x00\xff")
def test_bytes_as_an_array_are_those_of_the_list(prompt, response):
    found = Bytes().array(prompt, response)
    assert found.tolist() == Bytes().encode(prompt, response)
    assert found.dtype == np.uint16
    with pytest.raises(InputError, match="token ids, but this model reads text"):
        Bytes().array("", Ids((1,)))


def test_a_response_that_stands_twice_is_stored_once():
    tokens = tokens_in_memory(Bytes(), [("lists", AGAIN), ("pairs", AGAIN), ("pairs", AGAIN)])
    assert tokens.start.tolist() == [0, 5, 0, 10, 15, 10, 20, 25, 20]
    assert len(tokens.ids) == 30
    assert (tokens.formats, tokens.largest) == ({"lists": 1, "pairs": 2}, 0)


def test_a_sequence_of_pieces_is_a_sequence():
    pieces = Ragged(np.array([5, 6, 7, 8]), np.array([0, 1, 4]))
    assert [piece.tolist() for piece in pieces] == [[5], [6, 7, 8]]
    assert pieces[-1].tolist() == [6, 7, 8]
    assert [piece.tolist() for piece in pieces[:1]] == [[5]]
    for i in (2, -3):
        with pytest.raises(IndexError):
            pieces[i]


def test_ids_have_two_bytes_where_that_is_enough_and_none_is_cut():
    large = [Preference("", (Ids((2**31 - 1, 70_000)), Ids((3,))))]
    tokens = in_memory(ANY_IDS, large)
    assert as_lists(filtered(tokens, 9).rows) == [[[2**31 - 1, 70_000], [3]]]
    assert tokens.largest == 2**31 - 1
    assert token_rows.id_type(TokenIds(2**16)) == "<u2"
    assert token_rows.id_type(TokenIds(2**16 + 1)) == "<u4"


# --- the cache --------------------------------------------------------------------------------------------------------

ROWS = [Preference("p", ("a", "bb", "é"), 0.0, (1, 2, 2)), Preference("", ("c", "d"), 0.5)]


def writer(rows=ROWS, tokenizer=None):
    return lambda files: write_tokens(tokenizer or Bytes(), (("form", row) for row in rows), files)


def assert_same_tokens(found, wanted):
    for name in ("ids", *COLUMNS):
        np.testing.assert_array_equal(getattr(found, name)[:], getattr(wanted, name)[:], strict=True)
    assert (found.formats, found.largest) == (wanted.formats, wanted.largest)


def unread(_files):
    raise AssertionError("it must not be read again")


@given(st.one_of(of_texts, of_ids))
def test_tokens_from_the_disk_are_those_of_the_memory(tmp_path_factory, case):
    tokenizer, rows = case
    directory = tmp_path_factory.mktemp("cache")
    tokens, new = cached(directory, "key", tokenizer, lambda files: write_tokens(tokenizer, each(rows), files))
    again, new_again = cached(directory, "key", tokenizer, unread)
    assert (new, new_again) == (True, False)
    for found in (tokens, again):
        assert_same_tokens(found, tokens_in_memory(tokenizer, each(rows)))
        for name in ("ids", *COLUMNS):
            assert not getattr(found, name)[:].flags.writeable


def each(rows):
    return (("pairs" if len(row.responses) == 2 else "lists", row) for row in rows)


def names(directory):
    """The names of a cache's entries, without its locks"""
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


def cut(path):
    path.write_bytes(path.read_bytes()[:-2])  # the last byte of tokens.json is only a newline


def longer(path):
    path.write_bytes(path.read_bytes() + 8 * b"\0")


DAMAGE = {
    "shorter": cut,
    "longer": longer,
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", ["ids", *COLUMNS, "tokens.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_whole_is_written_anew(tmp_path, name, damage):
    cached(tmp_path, "key", Bytes(), writer())
    DAMAGE[damage](tmp_path / "key" / name)
    if name == "tokens.json" and damage == "longer":
        (tmp_path / "key" / name).write_text("[]")
    assert opened(tmp_path / "key") is None
    tokens, new = cached(tmp_path, "key", Bytes(), writer())
    assert new
    assert_same_tokens(tokens, tokens_in_memory(Bytes(), (("form", row) for row in ROWS)))
    assert names(tmp_path) == ["key"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("line 9 is wrong"), OSError(errno.ENOSPC, "full")])
def test_what_interrupts_the_writing_leaves_nothing_behind(tmp_path, error):
    def write(files):
        writer()(files)
        raise error

    with pytest.raises((InputError, KeyboardInterrupt)) as raised:
        cached(tmp_path / "new", "key", Bytes(), write)
    assert names(tmp_path / "new") == []
    if isinstance(error, OSError):
        assert is_one_sentence(str(raised.value))
        assert str(raised.value).startswith(f"--cache-dir {tmp_path / 'new'}: the tokens cannot be kept there (full)")
    assert cached(tmp_path / "new", "key", Bytes(), writer())[1]


def test_a_directory_is_made_with_those_above_it(tmp_path):
    assert cached(tmp_path / "one" / "two", "key", Bytes(), writer())[1]
    assert not cached(tmp_path / "one" / "two", "key", Bytes(), writer())[1]


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", numbers(3))
    arguments = ["--data", data, "--output-dir", str(tmp_path / "out"), "--cache-dir", f"{data}/x"]
    assert run("numpy_ref", "train", *TINY, *arguments) == 2
    err = capsys.readouterr().err
    assert is_one_sentence(err)
    assert f"--cache-dir {data}/x: the tokens cannot be kept there (Not a directory): make room, or give another" in err
    assert not (tmp_path / "out").exists()


SLOW_WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from numpy_ref.data.reader import Preference
from numpy_ref.data.cache import cached
from numpy_ref.data.tokens import write_tokens
from numpy_ref.data.tokenizer import Bytes
def rows():
    with open({log!r}, "a") as log:
        log.write("begun\\n")
    for i in range(40):
        time.sleep({pause})
        yield "form", Preference("", (str(i), "b"))
tokens, new = cached(Path({cache!r}), "key", Bytes(), lambda files: write_tokens(Bytes(), rows(), files))
print(new, len(tokens.size), tokens.ids[:].sum())
"""


def slow_writer(tmp_path, pause):
    code = SLOW_WRITER.format(root=str(ROOT), log=str(tmp_path / "log"), cache=str(tmp_path / "cache"), pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def slow_rows():
    return [Preference("", (str(i), "b")) for i in range(40)]


def test_of_several_processes_one_writes_and_the_others_wait(tmp_path):
    processes = [slow_writer(tmp_path, 0.02) for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    total = str(in_memory(Bytes(), slow_rows()).ids.sum())
    assert said == [["False", "40", total], ["False", "40", total], ["True", "40", total]]
    assert (tmp_path / "log").read_text() == "begun\n"
    assert names(tmp_path / "cache") == ["key"]


def test_a_killed_writer_leaves_nothing_that_is_taken_for_whole(tmp_path):
    for _ in range(3):
        process = slow_writer(tmp_path, 0.01)
        while process.poll() is None and not list((tmp_path / "cache").glob(".key-*/ids")):
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        found = opened(tmp_path / "cache" / "key")
        if found:  # the writer finished before the kill
            break
    tokens, _ = cached(tmp_path / "cache", "key", Bytes(), writer(slow_rows()))
    assert_same_tokens(tokens._replace(formats=None), in_memory(Bytes(), slow_rows())._replace(formats=None))
    assert names(tmp_path / "cache") == ["key"]


def test_without_a_lock_the_first_to_finish_is_read_by_all(tmp_path, monkeypatch):
    @contextmanager
    def none(_path, wait):
        assert wait
        yield False

    monkeypatch.setattr(token_cache, "lock", none)

    first = []

    def overtaken(files):
        assert cached(tmp_path, "key", Bytes(), writer())[1]
        first.append((tmp_path / "key").stat().st_ino)
        return writer()(files)

    tokens, _ = cached(tmp_path, "key", Bytes(), overtaken)
    assert [(tmp_path / "key").stat().st_ino] == first, "which others may have opened already"
    assert_same_tokens(tokens, opened(tmp_path / "key"))
    assert names(tmp_path) == ["key"]


# --- its key ----------------------------------------------------------------------------------------------------------


def test_the_key_is_the_content_and_what_decides_the_tokens(tmp_path, monkeypatch):
    path, other = tmp_path / "rows.jsonl", tmp_path / "other.jsonl"
    path.write_text("a")
    other.write_text("a")
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_text("a")

    class Unknown:
        vocab_size = 5

    class Known(Unknown):
        fingerprint = "its own"

    key = key_of(path, Bytes())
    assert key_of(other, Bytes()) == key, "the same content elsewhere"
    keys = {
        key,
        key_of(packed, Bytes()),
        key_of(path, TokenIds(5)),
        key_of(path, Words(("a",))),
        key_of(path, Words(("b",))),
        key_of(path, Known()),
        key_of(path, Bytes(), {"chosen": "winner"}),
        key_of(path, Bytes(), {"rejected": "winner"}),
    }
    assert len(keys) == 8
    assert key_of(path, TokenIds(5)) == key_of(path, TokenIds(9))
    assert not key_of(path, Unknown()), "whose tokens nobody can tell apart"
    other.write_text("b")
    assert key_of(other, Bytes()) != key
    monkeypatch.setattr(token_cache, "_code", lambda: "another version")
    assert key_of(path, Bytes()) != key


def restored(path, content, before):
    """Writes other content but keeps the old date"""
    path.write_text(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_remembered_fingerprint_is_used_only_while_the_file_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(token_cache, "RECENT", -(10**12))
    path, cache = tmp_path / "rows.jsonl", tmp_path / "cache"
    path.write_text("a" * 9)
    first = fingerprint(path, cache)
    with patch.object(token_cache.hashlib, "file_digest", unread):
        assert fingerprint(path, cache) == first
    time.sleep(0.02)  # the clock of the file system has ticked
    restored(path, "b" * 9, os.stat(path))
    second = fingerprint(path, cache)
    assert second != first, "neither size nor date have changed, but the inode's time has"
    (memo,) = cache.iterdir()
    memo.write_text("torn {")
    assert fingerprint(path, cache) == second
    (memo,) = cache.iterdir()
    assert json.loads(memo.read_text())["sha256"] == second


def test_a_file_that_was_just_changed_is_not_remembered(tmp_path):
    path, cache = tmp_path / "rows.jsonl", tmp_path / "cache"
    path.write_text("a")
    fingerprint(path, cache)
    assert not cache.exists()
    assert token_cache.directory_for(path) is None


def test_large_files_are_cached_where_the_user_keeps_such_things(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    for name, size, where in [
        ("a.jsonl", token_cache.LARGE - 1, None),
        ("b.jsonl", token_cache.LARGE, tmp_path / "own" / "reward-by-hand"),
        ("c.jsonl.gz", token_cache.LARGE_PACKED - 1, None),
        ("d.parquet", token_cache.LARGE_PACKED, tmp_path / "own" / "reward-by-hand"),
    ]:
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
        assert token_cache.directory_for(tmp_path / name) == where
        assert token_cache.directory_for(tmp_path / name, "given") == Path("given")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_cache.default_directory() == tmp_path / ".cache" / "reward-by-hand"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = Path(write_rows(tmp_path / "rows.jsonl", numbers(3)))

    def write(*arguments):
        found = write_tokens(*arguments)
        path.write_text(path.read_text() + "\n")
        return found

    monkeypatch.setattr(source, "write_tokens", write)
    with pytest.raises(InputError, match=r"^--data .*rows.jsonl: was changed while it was read: start again"):
        Reader("--data", path, cache_dir=tmp_path / "cache").read()
    assert names(tmp_path / "cache") == []


# --- training ---------------------------------------------------------------------------------------------------------

RANKED = [
    {
        "prompt": f"sort {i}",
        "responses": [f"{i} a", f"b {i}", "c", f"{i} a"][: 2 + i % 3],
        "ranks": [1, 2, 2, 4][: 2 + i % 3],
    }
    for i in range(10)
]
IDS = [{"chosen_ids": [i, 0, 2], "rejected_ids": [i, 7]} for i in range(9)]
TRAININGS = {
    "pairs": (numbers(12), ["train"]),
    "lists as pairs": (RANKED, ["train", "--margin-per-rank", "0.1"]),
    "kwise": (RANKED, ["train", "--loss", "kwise", "--ties", "davidson"]),
    "plackett-luce": (RANKED, ["train", "--loss", "plackett-luce"]),
    "token ids": (IDS, ["train"]),
    "sft": ([*numbers(12), *numbers(3)], ["sft"]),
}


@pytest.fixture
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@BOTH
@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.usefixtures("_here")
def test_from_the_cache_the_same_model_is_trained(package, name, capsys):
    rows, (command, *options) = TRAININGS[name]
    data, held = write_rows(Path("rows.jsonl"), rows), write_rows(Path("held.jsonl"), rows[:5])
    arguments = [command, *TINY, *options, "--data", data, "--eval-data", held, "--num-train-epochs", "2"]
    said = {}
    for directory in ("memory", "written", "read"):
        cache = [] if directory == "memory" else ["--cache-dir", "cache"]
        assert run(package, *arguments, *cache, "--output-dir", directory) == 0
        assert same_files("memory", directory, ["model.safetensors", "config.json", "metrics.jsonl"])
        lines = capsys.readouterr().out.splitlines()
        notes = [line.split(": ")[1] for line in lines if line.startswith("cache ")]
        assert notes == [] if directory == "memory" else notes == [directory] * 2
        said[directory] = [re.sub(rf"\b{directory}\b", "DIR", line) for line in lines if not line.startswith("cache ")]
    assert said["memory"] == said["written"] == said["read"]


@BOTH
@pytest.mark.usefixtures("_here")
def test_a_run_goes_on_from_its_cache_and_notices_another_file(package, capsys):
    data = write_rows(Path("rows.jsonl"), numbers(12))
    arguments = ["--data", data, "--max-steps", "4", "--save-steps", "2", "--cache-dir", "c", "--output-dir", "run"]
    assert run(package, "train", *TINY, *arguments) == 0
    capsys.readouterr()
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    os.chdir(elsewhere)
    assert run(package, "train", "--resume", "../run") == 0
    assert ": read\n" in capsys.readouterr().out
    assert not Path("c").exists()
    write_rows(Path("../rows.jsonl"), numbers(12, seed=1))
    assert run(package, "train", "--resume", "../run") == 2
    assert "has changed since the run began" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("_here")
def test_the_processes_of_a_job_share_one_cache(tmp_path):
    data = write_rows(Path("rows.jsonl"), numbers(40))
    arguments = ["torch_impl", "train", *TINY, "--data", data, "--eval-data", data, "--max-steps", "4"]
    for name, cache in {"without": [], "written": ["--cache-dir", "c"], "read": ["--cache-dir", "c"]}.items():
        done = torchrun(2, *arguments, *cache, "--output-dir", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("cache  ") == len(cache)
        assert same_files("without", name, ["model.safetensors", "metrics.jsonl"])
    assert len(list(Path("c").glob("*/tokens.json"))) == 1


@pytest.mark.usefixtures("_here")
def test_other_lengths_need_no_other_cache_other_columns_do(capsys):
    rows = [{"prompt": "p", "chosen": "a" * (i % 7 + 1), "rejected": "b", "winner": "w" * 9} for i in range(14)]
    data = write_rows(Path("rows.jsonl"), rows)
    how = []
    for i, options in enumerate(([], ["--max-length", "9"], ["--chosen-column", "winner"], ["--loss", "kwise"])):
        arguments = ["--data", data, "--max-steps", "1", *options, "--cache-dir", "c", "--output-dir", f"o{i}"]
        assert run("numpy_ref", "train", *TINY, *arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        how.append((lines[0].split(": ")[1].split(" kept")[0], lines[1].split(": ")[1]))
    assert how == [("14 of 14 pairs", "written"), ("10 of 14 pairs", "read"), ("14 of 14 pairs", "written"),
                   ("14 of 14 pairs", "read")]  # fmt: skip


def test_the_first_id_beyond_the_vocabulary_is_named_by_its_preference(tmp_path):
    path = write_rows(tmp_path / "ids.jsonl", [*IDS, {"chosen_ids": [1, 30], "rejected_ids": [40]}, *IDS])
    for size, wrong in [(9, 30), (9, 30), (40, 40)]:
        sentence = rf"ids.jsonl, line 10: the token id {wrong}, but the vocabulary has {size} \("
        with pytest.raises(InputError, match=sentence):
            Reader("--data", path, cache_dir=tmp_path / "c").read(vocab_size=size)
    found, tokenizer = Reader("--data", path, cache_dir=tmp_path / "c").read()
    assert (tokenizer, found.note.split(": ")[1]) == (TokenIds(41), "read")


def test_a_text_that_has_no_ids_is_named_by_its_place(tmp_path):
    pairs = ("cat", "dog"), ("cat", "bird")
    rows = [("form", Preference("", pair)) for pair in pairs]
    with pytest.raises(InputError, match=r"^preference 2: unknown word 'bird'"):
        write_tokens(Words(("cat", "dog")), rows, defaultdict(io.BytesIO))
    path = write_rows(
        tmp_path / "blank.jsonl", [dict(zip(("chosen", "rejected"), pair, strict=True)) for pair in pairs]
    )
    Path(path).write_text("\n" + Path(path).read_text().replace("\n", "\n\n"))
    table = tmp_path / "table.csv"
    table.write_text("chosen,rejected\ncat,dog\n\ncat,bird\n")
    for file, line in [(path, "line 4"), (table, "row 2")]:
        for cache in (tmp_path / "cache", None):
            with pytest.raises(InputError, match=f"^{re.escape(str(file))}, {line}: unknown word 'bird'"):
                Reader("--data", file, cache_dir=cache).read(Words(("cat", "dog")))


def test_a_kind_that_changes_is_counted_to_the_end(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [*numbers(3), *IDS[:2], *numbers(1)])
    with pytest.raises(InputError, match=r"rows.jsonl: 4 of 12 responses are token ids and the others texts"):
        Reader("--data", path, cache_dir=tmp_path / "c").read()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.parquet"])
def test_the_reading_tells_how_far_it_is(tmp_path, name):
    rows, seen = numbers(900), []
    path = Path(write_rows(tmp_path / "rows.jsonl", rows))
    if name.endswith(".gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress((tmp_path / "rows.jsonl").read_bytes()))
    if name.endswith(".parquet"):
        pyarrow = pytest.importorskip("pyarrow", reason="the extra hf is not installed")
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra hf is not installed")
        path = tmp_path / name
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert Counter(form for form, _ in each_with_format(path, at=seen.append))["text, explicit prompt"] == 900
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert 0 < seen[-1] <= (900 if name.endswith(".parquet") else path.stat().st_size)


def test_the_bar_appears_after_two_seconds_and_only_while_the_source_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    path = write_rows(tmp_path / "rows.jsonl", numbers(300))
    Reader("--data", path).read()
    assert capsys.readouterr().err == "", "a small file is read without a word"
    progress = source.Progress(path)
    progress.at(5)
    with progress:
        assert (progress.bar.total, progress.bar.delay) == (os.stat(path).st_size, 2)
        progress.at(7)
        progress.at(9)
        assert progress.bar.n == 9
    assert progress.bar is None


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", Split("a/b", None, "train")])
def test_the_bar_of_a_table_counts_rows(name, monkeypatch):
    asked = {}
    monkeypatch.setattr(source, "progress_bar", lambda **how: asked.update(how) or io.StringIO())
    with source.Progress(name):
        assert asked["unit"] == " rows"
    assert "total" not in asked


def test_texts_of_sft_are_the_best_responses_once():
    rows = [Preference("p", ("a", other)) for other in "bcd"] + [
        Preference("pa", ("", "c")),
        Preference("", ("aaa", "b")),
    ]
    data = sft.texts(Bytes(), [*rows, Preference("", ("a" * 4, "b"))], 6)
    assert [found.tolist() for found in data.rows] == [
        Bytes().encode(*pair) for pair in (("p", "a"), ("pa", ""), ("", "aaa"))
    ]
    assert (data.start.tolist(), data.repeated, data.too_long) == ([3, 4, 2], 2, 1)


def test_what_was_read_of_a_mapped_file_is_given_back_and_read_again(tmp_path, monkeypatch):
    content = np.random.default_rng(0).integers(0, 2**16, 2**24).astype("<u2")  # 32 MB
    content.tofile(tmp_path / "ids")
    monkeypatch.setattr(token_cache, "READS", 64)
    found = token_cache.Mapped(tmp_path / "ids", "<u2")
    before = resident()
    for start in range(0, len(content), 2**14):
        np.testing.assert_array_equal(found[start : start + 2**14], content[start : start + 2**14])
    if sys.platform == "linux":
        assert resident() - before < 2**24, "less than half of what was read"
    released = []
    found.map = SimpleNamespace(madvise=released.append)
    found.reads = 0
    for _ in range(3 * 64 + 1):
        found[:1]
    assert len(released) == 3, "once in 64 reads"


def resident():
    """Bytes of files that this process has in memory"""
    if sys.platform != "linux":
        return 0
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["RssFile"].split()[0])
