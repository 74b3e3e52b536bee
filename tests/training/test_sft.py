"""Stage one: both sides learn the same language model, a resumed run is the same run, and stage two starts from it."""

import functools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from compare import assert_agree, assert_bitwise
from hypothesis import given, settings
from hypothesis import strategies as st
from running import PACKAGES, TINY, numbers, run, same_files, small_world, write_rows

import torch_impl.learners
from numpy_ref.data import world
from numpy_ref.data.reader import Preference
from numpy_ref.data.tokenizer import EOS, SEP, Bytes, Words
from numpy_ref.errors import InputError
from numpy_ref.language_model import next_token_loss
from numpy_ref.learners import LanguageLearner
from numpy_ref.storage import run as runs
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.train import train
from numpy_ref.training import sft
from numpy_ref.training.options import SftOptions
from numpy_ref.training.start import init_from
from numpy_ref.tree import flatten

LEARNERS = (LanguageLearner, torch_impl.learners.LanguageLearner)
BOTH = pytest.mark.parametrize("package", PACKAGES)
SCHEDULE = {"total_steps": 10, "learning_rate": 4e-3, "warmup_steps": 2}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(world, "make_world", small_world)


def options(**given):
    """Options of a small model in float64"""
    return SftOptions(**{"n_head": 2, "n_embd": 8, "dtype": "float64", "max_length": 64} | given)


def world_texts():
    tokenizer = Words(world.WORDS)
    return sft.texts(tokenizer, world.rank(np.random.default_rng(1), small_world(0)[0]), 16), tokenizer


def run_of(learner, data, start=0, total_steps=10):
    run = {"total_steps": total_steps, "batch_size": 16, "seed": 3}
    return [record for _, record in train(learner, data, start=start, **run, learn=sft.learn)]


def learner_of(kind, seed=0, dtype="float64"):
    data, tokenizer = world_texts()
    first = flatten(sft.random_weights(options(seed=seed, dtype=dtype), tokenizer))
    return kind(first, 2, **SCHEDULE), data


def test_ten_losses_of_both_sides_agree():
    hand, auto = (run_of(*learner_of(kind)) for kind in LEARNERS)
    for here, there in zip(hand, auto, strict=True):
        assert_agree(np.array(here["loss"]), np.array(there["loss"]), 1000, there["loss"])
        assert_agree(np.array(here["grad_norm"]), np.array(there["grad_norm"]), 1000, there["grad_norm"])
        assert here["tokens"] == there["tokens"]
    assert len({record["loss"] for record in hand}) == 10


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_starts_at_ln_v_and_learns_what_it_is_shown(kind):
    learner, data = learner_of(kind)
    losses = [record["loss"] for record in run_of(learner, data, total_steps=60)]
    assert losses[0] == pytest.approx(math.log(Words(world.WORDS).vocab_size), abs=0.05)
    assert np.mean(losses[-5:]) < losses[0] - 0.5


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_restored_learner_goes_on_bit_for_bit(kind):
    (whole, data), (first, _), (second, _) = learner_of(kind), learner_of(kind), learner_of(kind, seed=9)
    run_of(whole, data)
    run_of(first, data, total_steps=4)
    second.restore(first.weights(), first.state(), 4)
    run_of(second, data, start=4)
    assert_bitwise(second.weights() | second.state(), whole.weights() | whole.state())


texts = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_each_chosen_text_is_learned_once_and_from_its_first_token_on(rows):
    preferences = [Preference(prompt, (best, "never this")) for prompt, best in rows]
    data = sft.texts(Bytes(), preferences, 40)
    kept = [pair for pair in dict.fromkeys(rows) if len(Bytes().encode(*pair)) <= 40]
    rows_of_lists = [ids.tolist() for ids in data.rows]
    assert [(ids[:at], ids[at:]) for ids, at in zip(rows_of_lists, data.start, strict=True)] == [
        (Bytes().encode(prompt, "")[:-1], [*Bytes().text_ids(best), EOS]) for prompt, best in kept
    ]
    assert all(ids[at - 1] == SEP for ids, at in zip(data.rows, data.start, strict=True))
    assert data.repeated + data.too_long + len(kept) == len(rows)
    assert data.predicted() == sum(len(Bytes().text_ids(best)) + 1 for _, best in kept)


@functools.cache
def text_by_text(kind):
    """(a learner, held-out texts, the nats of each text when run alone)"""
    learner, data = learner_of(kind)
    nats = [learner.nats(*sft.arrays(data, [i])) * (len(ids) - data.start[i]) for i, ids in enumerate(data.rows)]
    return learner, data, nats


@pytest.mark.parametrize("kind", LEARNERS)
@settings(max_examples=10)
@given(max_tokens=st.integers(1, 400))
def test_the_held_out_loss_is_the_mean_over_all_tokens_however_they_are_batched(kind, max_tokens):
    learner, data, nats = text_by_text(kind)
    result = sft.evaluate(learner, data, max_tokens)
    assert result["eval_loss"] == pytest.approx(sum(nats) / data.predicted(), rel=1e-12)
    assert result["eval_perplexity"] == pytest.approx(math.exp(result["eval_loss"]), rel=1e-12)


@BOTH
def test_logged_losses_are_means_over_tokens(package):
    rows = write_rows(Path("rows.jsonl"), numbers(9))
    arguments = ["--data", rows, "--max-length", "32", "--max-steps", "2", *TINY[:-1], "5"]
    assert run(package, "sft", *arguments, "--logging-steps", "1", "--output-dir", "each") == 0
    assert run(package, "sft", *arguments, "--logging-steps", "2", "--output-dir", "both") == 0
    one, two = (json.loads(line) for line in Path("each/metrics.jsonl").read_text().splitlines())
    both = json.loads(Path("both/metrics.jsonl").read_text())
    assert both["num_tokens"] == one["num_tokens"] + two["num_tokens"]
    mean = (one["loss"] * one["num_tokens"] + two["loss"] * two["num_tokens"]) / both["num_tokens"]
    assert both["loss"] == pytest.approx(mean, rel=1e-12)


@BOTH
def test_a_reward_model_starts_from_the_body_that_sft_made(package, capsys):
    rows = write_rows(Path("rows.jsonl"), numbers(12))
    data = ["--data", rows, "--eval-data", rows]
    assert run(package, "sft", *TINY, *data, "--max-length", "32", "--max-steps", "3", "--output-dir", "lm") == 0
    out = capsys.readouterr().out
    assert f"data      {rows}: 12 chosen responses; 0 chosen again, 0 longer than 32 tokens" in out
    assert "a token, perplexity" in out
    assert out.endswith("saved     lm; go on with train --init-from lm\n")
    start = ["train", *data, "--init-from", "lm", "--per-device-train-batch-size", "4"]
    assert run(package, *start, "--max-steps", "1", "--learning-rate", "0", "--output-dir", "rm") == 0
    language, _, _ = load_model("lm", ("unembedding",))
    reward, n_head, tokenizer = load_model("rm")
    assert_bitwise(reward["body"], language["body"])
    assert (n_head, tokenizer.name, reward["head"]["weight"].shape) == (2, "bytes", (1, 8))
    assert len(reward["body"]["pos"]["weight"]) == 32
    assert run(package, *start, "--init-from", "rm", "--max-steps", "1", "--learning-rate", "0") == 0  # a reward model
    again, _, _ = load_model("runs/train")
    assert_bitwise(again, reward)


class Killed(BaseException):
    """Ends a run on the spot, like SIGKILL: nothing catches it"""


@BOTH
def test_both_stages_go_on_bitwise_where_they_were_killed(package, monkeypatch):
    """At step 4, after the save of step 3 and amid a line of the log; any moment: tests/storage/test_run.py"""
    log = runs.log

    def killed(directory, line):
        if line["step"] == 4:
            raise Killed
        log(directory, line)

    base = ["--max-steps", "6", "--save-steps", "3", "--logging-steps", "2", "--per-device-train-batch-size", "8"]
    for stage, more in ("sft", [*TINY, "--dtype", "float64"]), ("train", ["--init-from", "sft"]):
        assert run(package, stage, *base, *more, "--output-dir", stage) == 0
        monkeypatch.setattr(runs, "log", killed)
        with pytest.raises(Killed):
            run(package, stage, *base, *more, "--output-dir", "again")
        monkeypatch.setattr(runs, "log", log)
        assert run(package, stage, "--resume", "again") == 0
        assert same_files(stage, "again", ["model.safetensors", "metrics.jsonl", "config.json"])
        shutil.rmtree("again")
    assert load_model("train")[0]["body"]["tok"]["weight"].dtype == np.float64


WRONG = {
    "sizes with --init-from": (["train", "--init-from", "lm", "--n-embd", "16"], "--n-embd: with --init-from"),
    "longer than the model reads": (
        ["train", "--init-from", "lm", "--data", "rows.jsonl", "--max-length", "99"],
        "--max-length 99: lm reads 32 tokens at most",
    ),
    "no such model": (["train", "--init-from", "nowhere"], "nowhere: there is no such directory"),
    "words for bytes": (["train", "--init-from", "words", "--data", "rows.jsonl"], "unknown word 'larger?'"),
    "bytes for the world": (["train", "--init-from", "lm"], "the model reads bytes, not the words of the built-in"),
    "bytes for the world's sft": (["sft", "--init-from", "lm"], "the model reads bytes, not the words of the built-in"),
    "sft from a reward model": (["sft", "--init-from", "rm"], "rm: a reward model, where a language model is expected"),
    "train --resume of sft": (["train", "--resume", "lm"], "--resume lm: was made by sft"),
    "sft --resume of train": (["sft", "--resume", "rm"], "--resume rm: was made by train"),
    "score by a language model": (["score", "--model", "lm", "a"], "lm: a language model, which has no rewards"),
    "nothing short enough": (["sft", "--data", "rows.jsonl", "--max-length", "4"], "no response has at most"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of all kinds, made once"""
    directory = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(world, "make_world", small_world)
        rows = write_rows(Path("rows.jsonl"), numbers(4))
        short = [*TINY, "--max-steps", "1"]
        assert run("numpy_ref", "sft", *short, "--data", rows, "--max-length", "32", "--output-dir", "lm") == 0
        assert run("numpy_ref", "train", *short, "--data", rows, "--max-length", "32", "--output-dir", "rm") == 0
        assert run("numpy_ref", "sft", *short, "--output-dir", "words") == 0
    return directory


@pytest.mark.parametrize(("argv", "sentence"), WRONG.values(), ids=WRONG)
def test_what_cannot_go_on_is_said_in_one_sentence(models, monkeypatch, capsys, argv, sentence):
    monkeypatch.chdir(models)
    before = sorted(Path().rglob("*"))
    assert (
        run("numpy_ref", *argv, *(["--output-dir", "new"] if "score" not in argv and "--resume" not in argv else []))
        == 2
    )
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before  # nothing was left half made


def test_init_from_casts_only_when_it_is_asked(models):
    for asked, dtype in (set(), "float32"), ({"dtype"}, "float64"):
        (weights, _), _ = init_from(options(init_from=models / "rm", given=asked), "head", None)[1:]
        assert {array.dtype for array in weights.values()} == {np.dtype(dtype)}
    with pytest.raises(InputError, match="--n-head: with --init-from"):
        init_from(options(init_from=models / "rm", given={"n_head"}), "head", None)


@pytest.mark.slow
@BOTH
def test_the_language_model_loads_in_the_ecosystem(package):
    transformers, torch = (
        pytest.importorskip("transformers", reason="the extra hf is not installed"),
        pytest.importorskip("torch"),
    )
    assert run(package, "sft", *TINY, "--max-steps", "3", "--output-dir", "lm") == 0
    model = transformers.AutoModelForCausalLM.from_pretrained("lm").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained("lm")
    data, _ = world_texts()
    tokens, length, begin = sft.arrays(data, range(4))
    assert tokenizer("opposite hot", "cold .")["input_ids"] == Words(world.WORDS).encode("opposite hot", "cold .")
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens)).logits[:, :-1].numpy()
    position = np.arange(1, tokens.shape[1])
    counted = ((position >= begin[:, None]) & (position < length[:, None])).astype(np.float32)
    theirs, _ = next_token_loss(logits, tokens[:, 1:], counted)
    params, n_head, _ = load_model("lm", ("unembedding",))
    ours = LanguageLearner(flatten(params), n_head, **SCHEDULE).nats(tokens, length, begin)
    assert ours == pytest.approx(float(theirs), rel=1e-5)
