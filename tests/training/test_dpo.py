"""The command dpo: both sides take the same steps, a resumed run is the same run, and TRL's losses are the same."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from compare import assert_agree, assert_bitwise
from listed import comparisons, encode
from running import PACKAGES, TINY, is_one_sentence, numbers, run, same_files, small_world, write_rows

import numpy_ref.learners
import torch_impl.learners
from numpy_ref.batches import batch_indices, collate
from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS, held_world
from numpy_ref.data.tokenizer import SEP, Words
from numpy_ref.losses import log_sigmoid
from numpy_ref.storage import run as runs
from numpy_ref.storage.checkpoint import load_model, read_arrays
from numpy_ref.train import BETA2, MAX_NORM, train
from numpy_ref.training import dpo
from numpy_ref.tree import flatten

BOTH = pytest.mark.parametrize("package", PACKAGES)
LEARNERS = (numpy_ref.learners.PolicyLearner, torch_impl.learners.PolicyLearner)
BETA, STEPS = 0.3, 10


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Language models of words and of bytes, a larger one, and a reward model, made once; rows.jsonl to train on"""
    directory = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(world, "make_world", small_world)
        rows = write_rows(Path("rows.jsonl"), plain_rows(12))
        short = [*TINY, "--max-steps", "3"]
        assert run("numpy_ref", "sft", *short, "--dtype", "float64", "--output-dir", "words") == 0
        assert run("numpy_ref", "sft", *short, "--seed", "5", "--dtype", "float64", "--output-dir", "other") == 0
        assert run("numpy_ref", "sft", *short, "--n-embd", "12", "--output-dir", "thin") == 0
        of_bytes = ["--data", rows, "--max-length", "32"]
        assert run("numpy_ref", "sft", *short, *of_bytes, "--output-dir", "bytes") == 0
        assert run("numpy_ref", "train", *short, *of_bytes, "--output-dir", "rewards") == 0
    return directory


@pytest.fixture
def inside(models, tmp_path, monkeypatch):
    """An empty directory, and the small world; the models lie in `models`"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(world, "make_world", small_world)
    return models


def plain_rows(n, **columns):
    """Readable rows without the margins that dpo does not use"""
    return [{k: v for k, v in row.items() if k != "margin"} | columns for row in numbers(n)]


def learner_of(kind, models, name="words", **options):
    """A learner that starts from a model of words, with the pairs of the small world"""
    params, n_head, tokenizer = load_model(models / name, ("unembedding",))
    ranked = world.rank(np.random.default_rng(1), small_world(0)[0])
    data = comparisons(encode(tokenizer, ranked, WORLD_POSITIONS))
    schedule = {"total_steps": STEPS, "learning_rate": 4e-3, "warmup_steps": 2}
    return kind(flatten(params), n_head, **schedule, **{"beta": BETA, "label_smoothing": 0.1} | options), data


def run_of(learner, data, start=0, total_steps=STEPS):
    how = {"total_steps": total_steps, "batch_size": 15, "seed": 3, "learn": dpo.learn}
    return [record for _, record in train(learner, data, start=start, **how)]


# ---- the learners


def test_ten_steps_of_both_sides_agree(models):
    hand, auto = (run_of(*learner_of(kind, models)) for kind in LEARNERS)
    for here, there in zip(hand, auto, strict=True):
        for name in ("loss", "grad_norm"):
            assert_agree(np.array(here[name]), np.array(there[name]), 1000, there[name])
        for name in ("rewards", "logps"):
            assert_agree(here[name], there[name], 1000, abs(there["logps"]).max())
    assert len({record["loss"] for record in hand}) == STEPS


@pytest.mark.parametrize("kind", LEARNERS)
def test_it_starts_at_log_2_with_rewards_of_0_and_learns(models, kind):
    learner, data = learner_of(kind, models)
    records = run_of(learner, data, total_steps=60)
    assert records[0]["loss"] == pytest.approx(math.log(2), rel=1e-15)
    assert_bitwise(records[0]["rewards"], np.zeros((15, 2)))
    assert np.mean([r["loss"] for r in records[-5:]]) < math.log(2) - 0.05
    assert np.mean(np.concatenate([-np.diff(r["rewards"]) for r in records[-5:]]) > 0) > 0.6


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_reference_is_never_moved(models, kind):
    learner, data = learner_of(kind, models)
    first = learner.weights()
    run_of(learner, data)
    kept = {name.removeprefix("reference."): leaf for name, leaf in learner.state().items() if "reference" in name}
    assert_bitwise(kept, first)
    assert max(abs(learner.weights()[name] - leaf).max() for name, leaf in first.items()) > 1e-3


@pytest.mark.parametrize("kind", LEARNERS)
def test_another_reference_gives_other_rewards_and_log_ratios_of_its_own(models, kind):
    other = flatten(load_model(models / "other", ("unembedding",))[0])
    (own, data), (held, _) = learner_of(kind, models), learner_of(kind, models, reference=other)
    tokens, length = collate(data.rows[:3])
    batch = tokens, length, dpo.starts(tokens)
    assert_bitwise(own.implicit_rewards(*batch), np.zeros((3, 2)))
    swapped, _ = learner_of(kind, models, "other", reference=own.weights())
    there, back = held.implicit_rewards(*batch), swapped.implicit_rewards(*batch)
    assert abs(there).max() > 1e-3
    assert_bitwise(there, -back)


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_restored_learner_goes_on_bit_for_bit(models, kind):
    (whole, data), (first, _), (second, _) = (learner_of(kind, models, name) for name in ("words", "words", "other"))
    run_of(whole, data)
    run_of(first, data, total_steps=4)
    second.restore(first.weights(), first.state(), 4)
    run_of(second, data, start=4)
    assert_bitwise(second.weights() | second.state(), whole.weights() | whole.state())


# ---- the command


@BOTH
def test_the_log_has_the_names_of_the_ecosystem_and_sums_up_over_pairs(inside, package):
    start = ["dpo", "--init-from", str(inside / "words"), "--max-steps", "3", "--per-device-train-batch-size", "50"]
    start += ["--beta", "0.5", "--learning-rate", "0.01"]
    assert run(package, *start, "--logging-steps", "1", "--output-dir", "each") == 0
    assert run(package, *start, "--logging-steps", "3", "--output-dir", "all") == 0
    each, together = (
        [json.loads(line) for line in Path(name, "metrics.jsonl").read_text().splitlines()] for name in ("each", "all")
    )
    names = [f"rewards/{name}" for name in ("chosen", "rejected", "accuracies", "margins")]
    names += ["logps/chosen", "logps/rejected", "loss"]
    assert set(together[0]) == {*names, "step", "epoch", "grad_norm", "learning_rate"}
    sizes = [50, 50, 20]
    for name in names:
        mean = np.average([line[name] for line in each[:3]], weights=sizes)
        assert together[0][name] == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert each[0]["rewards/accuracies"] == 0.5  # at the reference every pair ties
    for line in each[:3]:
        assert line["rewards/margins"] == pytest.approx(line["rewards/chosen"] - line["rewards/rejected"], abs=1e-12)
    assert {"eval_loss", "eval_rewards/accuracies", "eval_rewards/margins", "eval_spearman"} <= set(together[1])


@BOTH
def test_held_out_scores_are_those_of_the_implicit_rewards(inside, package, capsys):
    start = ["dpo", "--init-from", str(inside / "words"), "--max-steps", "4", "--learning-rate", "0.02"]
    assert run(package, *start, "--output-dir", "policy") == 0
    out = capsys.readouterr().out
    params, n_head, _ = load_model("policy", ("unembedding",))
    schedule = {"total_steps": 1, "learning_rate": 1.0, "warmup_steps": 0}
    reference = flatten(load_model(inside / "words", ("unembedding",))[0])
    learner = LEARNERS[0](flatten(params), n_head, **schedule, beta=0.1, reference=reference)
    held = held_world(Words(world.WORDS), small_world(0)[1])
    result = dpo.evaluate(learner, held)
    logged = json.loads(Path("policy/metrics.jsonl").read_text().splitlines()[-1])
    for name, value in result.items():
        assert logged[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
    p = 1 / (1 + np.exp(-(held.true[:, :1] - held.true[:, 1:2])))
    tokens, length = collate([row[:2] for row in held.rows])
    reward = learner.implicit_rewards(tokens, length, dpo.starts(tokens))
    loss = -(
        p[:, 0] * log_sigmoid(reward[:, 0] - reward[:, 1]) + (1 - p[:, 0]) * log_sigmoid(reward[:, 1] - reward[:, 0])
    )
    pairs = held._replace(rows=[row[:2] for row in held.rows], true=held.true[:, :2])
    assert dpo.evaluate(learner, pairs)["eval_loss"] == pytest.approx(loss.mean(), rel=1e-12)
    assert f"held-out  accuracy {result['eval_rewards/accuracies']:.4f}   best reachable" in out
    assert out.endswith("saved     policy\n")


class Killed(BaseException):
    """Ends a run on the spot, like SIGKILL: nothing catches it"""


@BOTH
def test_it_goes_on_bitwise_where_it_was_killed_without_the_models_that_it_started_from(inside, package, monkeypatch):
    """It is killed at step 4, after the save of step 3, which holds the reference"""
    log = runs.log

    def killed(directory, line):
        if line["step"] == 4:
            raise Killed
        log(directory, line)

    shutil.copytree(inside / "words", "words")
    shutil.copytree(inside / "other", "other")
    base = ["dpo", "--init-from", "words", "--ref-model", "other", "--max-steps", "6", "--save-steps", "3"]
    base += ["--logging-steps", "2", "--per-device-train-batch-size", "8", "--label-smoothing", "0.1"]
    assert run(package, *base, "--output-dir", "whole") == 0
    monkeypatch.setattr(runs, "log", killed)
    with pytest.raises(Killed):
        run(package, *base, "--output-dir", "again")
    monkeypatch.setattr(runs, "log", log)
    kept = read_arrays(next(Path("again").glob("checkpoint-3")) / "state.safetensors")
    other = flatten(load_model("other", ("unembedding",))[0])
    assert_bitwise({name: kept[f"reference.{name}"] for name in other}, other)
    shutil.rmtree("words")
    shutil.rmtree("other")
    assert run(package, "dpo", "--resume", "again") == 0
    assert same_files("whole", "again", ["model.safetensors", "metrics.jsonl", "config.json"])


@BOTH
def test_a_file_of_texts_is_learned_and_lists_become_pairs(inside, package, capsys):
    rows = [{"prompt": "larger?", "responses": ["9", "5", "1"], "ranks": [1, 2, 2]}, *plain_rows(3)]
    data = write_rows(Path("lists.jsonl"), rows)
    start = ["dpo", "--init-from", str(inside / "bytes"), "--data", data, "--eval-data", data, "--max-steps", "2"]
    assert run(package, *start, "--output-dir", "policy") == 0
    assert "5 comparisons without the ties" in capsys.readouterr().out
    assert (load_model("policy", ("unembedding",))[0]["body"]["tok"]["weight"].dtype) == np.float32


WRONG = {
    "nothing to start from": ([], "--init-from: dpo starts from a language model"),
    "a reward model": (["--init-from", "rewards"], "rewards: a reward model, where a language model is expected"),
    "no such model": (["--init-from", "nowhere"], "nowhere: there is no such directory"),
    "another vocabulary": (
        ["--init-from", "words", "--ref-model", "bytes"],
        "--ref-model bytes: reads bytes (a vocabulary of 260), but words reads words (a vocabulary of 60): take",
    ),
    "other sizes": (["--init-from", "words", "--ref-model", "thin"], "--ref-model thin: has other sizes than words"),
    "a reference that is a reward model": (
        ["--init-from", "bytes", "--ref-model", "rewards", "--data", "rows.jsonl"],
        "rewards: a reward model, where a language model is expected",
    ),
    "longer than the context": (
        ["--init-from", "bytes", "--data", "rows.jsonl", "--max-length", "99"],
        "--max-length 99: bytes reads 32 tokens at most",
    ),
    "all longer than the context": (
        ["--init-from", "bytes", "--data", "long.jsonl"],
        "no pair is left of 2: 2 longer than --max-length 32 tokens",
    ),
    "all identical": (
        ["--init-from", "bytes", "--data", "same.jsonl"],
        "no pair is left of 1: 0 longer than --max-length 32 tokens, 1 the same on both sides",
    ),
    "an empty response": (
        ["--init-from", "bytes", "--data", "empty.jsonl"],
        'empty.jsonl, line 3: "rejected" is empty: give it a text, or leave the row out',
    ),
    "an empty held-out response": (
        ["--init-from", "bytes", "--data", "rows.jsonl", "--eval-data", "empty.jsonl"],
        'empty.jsonl, line 3: "rejected" is empty: give it a text, or leave the row out',
    ),
    "token ids": (["--init-from", "bytes", "--data", "ids.jsonl"], ""),
    "margins": (["--init-from", "bytes", "--data", "margins.jsonl"], "has margins, which dpo cannot use"),
    "the world for a model of bytes": (["--init-from", "bytes"], "the model reads bytes, not the words of the"),
    "dpo --resume of sft": (["--resume", "words"], "--resume words: was made by sft or train"),
}


@pytest.mark.parametrize(("argv", "sentence"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_trained_is_said_in_one_sentence(inside, monkeypatch, capsys, argv, sentence):
    monkeypatch.chdir(inside)
    write_rows(Path("long.jsonl"), plain_rows(2, prompt="a prompt of more than thirty letters"))
    write_rows(Path("same.jsonl"), plain_rows(1, chosen="5", rejected="5"))
    write_rows(Path("empty.jsonl"), [*plain_rows(2), *plain_rows(1, rejected="")])
    write_rows(Path("ids.jsonl"), [{"chosen_ids": [5, 6], "rejected_ids": [7]}])
    write_rows(Path("margins.jsonl"), numbers(3))
    before = sorted(Path().rglob("*"))
    assert run("numpy_ref", "dpo", *argv, *([] if "--resume" in argv else ["--output-dir", "new"])) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert is_one_sentence(captured.err.splitlines()[-1] + "\n")
    assert sorted(Path().rglob("*")) == before  # nothing was left half made


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [("--beta", beta, f"argument --beta: {beta} is not a number above 0") for beta in ("0", "-1", "nan", "inf")]
    + [("--label-smoothing", "0.5", "argument --label-smoothing: 0.5 is not in [0, 0.5)")],
)
def test_numbers_outside_their_range_are_refused(inside, capsys, option, value, sentence):
    with pytest.raises(SystemExit) as ended:
        run("numpy_ref", "dpo", "--init-from", str(inside / "words"), f"{option}={value}")
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not any(Path().iterdir())


@pytest.mark.parametrize("command", ["sft", "train"])
def test_no_other_command_goes_on_with_a_run_of_dpo(inside, capsys, command):
    assert run("numpy_ref", "dpo", "--init-from", str(inside / "words"), "--max-steps", "1", "--output-dir", "d") == 0
    assert run("numpy_ref", command, "--resume", "d") == 2
    assert "--resume d: was made by dpo: resume it with that command" in capsys.readouterr().err


# ---- TRL


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other packages' deprecations
def test_the_first_ten_losses_are_those_of_trls_dpo_trainer(models, tmp_path):
    """Both have the same weights, batches, AdamW and schedule; TRL runs in float32

    There is no label smoothing, because TRL 1.16 means another loss by it ("robust", Chowdhury et al. 2024).
    """
    pytest.importorskip("trl", reason="the extra bench is not installed")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from torch_impl.optim import adamw, warmup_cosine

    learner, data = learner_of(LEARNERS[0], models, label_smoothing=0.0)
    mine = run_of(learner, data)
    ours = [record["loss"] for record in mine]
    order = np.concatenate([batch_indices(step, len(data.rows), 15, 3) for step in range(STEPS)])
    start = [1 + row[0].index(SEP) for row in data.rows]
    splits = [(data.rows[i][0][: start[i]], *(ids[start[i] :] for ids in data.rows[i])) for i in order]
    names = ("prompt_ids", "chosen_ids", "rejected_ids")

    class Trainer(DPOTrainer):
        """Takes the token ids as they are"""

        def _prepare_dataset(self, dataset, *_args, **_options):
            return dataset

    model, reference = (AutoModelForCausalLM.from_pretrained(models / "words", dtype=torch.float32) for _ in range(2))
    config = DPOConfig(
        output_dir=str(tmp_path),
        beta=BETA,
        per_device_train_batch_size=15,
        max_steps=STEPS,
        max_grad_norm=MAX_NORM,
        bf16=False,
        max_length=None,
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=1,
    )
    optimiser = adamw(model.parameters(), 4e-3, beta2=BETA2)
    trainer = Trainer(
        model,
        reference,
        config,
        train_dataset=Dataset.from_dict(dict(zip(names, zip(*splits, strict=True), strict=True))),
        processing_class=AutoTokenizer.from_pretrained(models / "words"),
        optimizers=(optimiser, warmup_cosine(optimiser, STEPS, 4e-3, 2)),
    )
    trainer.train()
    logged = [line for line in trainer.state.log_history if "loss" in line]
    theirs = [line["loss"] for line in logged]
    assert len(theirs) == STEPS
    assert max(abs(np.array(theirs) - ours)) <= 1e-5
    for here, there in zip(mine, logged, strict=True):
        for i, side in enumerate(("chosen", "rejected")):
            assert there[f"rewards/{side}"] == pytest.approx(here["rewards"][:, i].mean(), abs=1e-4)
            assert there[f"logps/{side}"] == pytest.approx(here["logps"][:, i].mean(), abs=1e-4)
