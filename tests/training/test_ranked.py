"""Training on ranked lists: both sides agree, K = 2 is pairs, absent slots do nothing, a resumed run is bitwise."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from compare import MODEL, assert_agree, assert_bitwise, assert_trees_agree, largest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import encode
from strategies import make_case, seeds

import torch_impl.objectives as twin_objectives
import torch_impl.reward_model as twin
from numpy_ref import objectives, reward_model
from numpy_ref.batches import collate, collate_ranks
from numpy_ref.cli import main
from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS, Held
from numpy_ref.data.reader import Preference
from numpy_ref.data.tokenizer import PAD, Words
from numpy_ref.errors import InputError
from numpy_ref.ranking import ABSENT
from numpy_ref.reward_model import init_params
from numpy_ref.storage import run as runs
from numpy_ref.storage.checksums import seal
from numpy_ref.train import Learner, train
from numpy_ref.training.data import evaluate
from numpy_ref.training.log import Log
from numpy_ref.tree import flatten
from torch_impl.train import Learner as TwinLearner
from torch_impl.train import model_of

PACKAGES = ("numpy_ref", "torch_impl")
TINY = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--per-device-train-batch-size", "4", "--dtype", "float64"]
LOSSES = {
    "kwise": {"loss": "kwise", "ties": "drop"},
    "kwise, a margin": {"loss": "kwise", "ties": "drop", "margin_per_rank": 0.3},
    "kwise, half": {"loss": "kwise", "ties": "half"},
    "kwise, rao-kupper": {"loss": "kwise", "ties": "rao-kupper"},
    "kwise, davidson": {"loss": "kwise", "ties": "davidson", "margin_per_rank": 0.3},
    "plackett-luce": {"loss": "plackett-luce"},
}
each_loss = pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)


def mixed_lists(n, seed=0, sizes=(2, 3, 5), tied=True):
    """n lists from the world, of different K, about a third of the neighbours tied"""
    responses, _ = world.make_world(seed, n, 1, k_train=max(sizes), visits=1)
    rng, lists = np.random.default_rng([seed, 1]), []
    for i, preference in enumerate(world.rank(rng, responses)):
        size = sizes[i % len(sizes)]
        together = rng.random(size) < (1 / 3 if tied else 0)
        places = np.cumsum(~together) - (~together)[0]  # dense ranks from 0
        lists.append(Preference(preference.prompt, preference.responses[:size], 0.0, tuple((1 + places).tolist())))
    return lists


def encoded(lists, keep_tied=False):
    return encode(Words(world.WORDS), lists, WORLD_POSITIONS, keep_tied)


def weights(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return flatten(init_params(rng, Words(world.WORDS).vocab_size, WORLD_POSITIONS, 8, 1, dtype))


def losses_of(learner, data, steps, batch_size=6):
    return [r["loss"] for _, r in train(learner, data, start=0, total_steps=steps, batch_size=batch_size, seed=0)]


@each_loss
def test_ten_losses_by_hand_and_by_autograd_agree(options):
    """Mixed K, ties and absent slots, in float64; measured: 1 to 14 eps"""
    data = encoded(mixed_lists(40), keep_tied=options.get("ties") not in (None, "drop"))
    sides = [side(weights(), 2, 10, 4e-3, 1, **options) for side in (Learner, TwinLearner)]
    hand, auto = (np.array(losses_of(learner, data, 10)) for learner in sides)
    assert_agree(hand, auto, 1000, abs(auto).max())
    assert hand[-3:].mean() < hand[:3].mean()
    ours, theirs = (side.learned_ties() for side in sides)
    assert ours.keys() == theirs.keys()
    if ours:
        name = "log_theta" if options["ties"] == "rao-kupper" else "log_nu"
        assert ours["ties"] == theirs["ties"] == options["ties"]
        assert_agree(np.float64(ours[name]), np.float64(theirs[name]), 1000, 1)
        assert ours[name] != (math.log(2) if name == "log_theta" else 0), "it was trained"


@pytest.mark.parametrize("ties", objectives.LEARNED_TIES)
@given(raw=st.floats(-3, 3), seed=seeds)
def test_the_tie_parameters_gradient_by_hand_by_autograd_and_by_differences(ties, raw, seed):
    rng = np.random.default_rng(seed)
    ranks = collate_ranks([(1, 1, 3, 3), (1, 2), (1, 2, 2)])
    rewards, raw = rng.standard_normal(ranks.shape), np.float64(raw)

    def loss_at(raw_tie):
        return objectives.kwise(rewards, ranks, ties, raw_tie)[0]

    loss, drewards, grads = objectives.kwise(rewards, ranks, ties, raw)
    tensors = [torch.tensor(x, requires_grad=True) for x in (rewards, raw)]
    twin_loss = twin_objectives.kwise(tensors[0], torch.tensor(ranks), ties, tensors[1])
    twin_loss.backward()
    assert_agree(loss, twin_loss.detach().numpy(), 20, 1 + abs(loss))
    assert_agree(drewards, tensors[0].grad.numpy(), 20, 1)
    assert_agree(np.asarray(grads["raw_tie"]), tensors[1].grad.numpy(), 40, 1)
    h = 1e-5
    assert abs((loss_at(raw + h) - loss_at(raw - h)) / (2 * h) - grads["raw_tie"]) < 1e-8  # h² and eps / h


def test_at_the_start_equal_responses_tie_once_in_three():
    for ties in objectives.LEARNED_TIES:
        loss, *_ = objectives.kwise(np.zeros((1, 2)), np.array([[1, 1]]), ties, np.float64(0))
        assert loss == pytest.approx(math.log(3), rel=1e-15)


@pytest.mark.parametrize("ties", objectives.LEARNED_TIES)
def test_a_tie_model_without_its_parameter_is_refused(ties):
    with pytest.raises(InputError, match="need a number"):
        objectives.kwise(np.zeros((1, 2)), np.array([[1, 2]]), ties)


@each_loss
@given(seed=seeds, further=st.integers(1, 3))
@settings(max_examples=10)
def test_absent_slots_never_change_anything(options, seed, further):
    """Padding lists to a larger K changes no loss, reward or gradient, except by the order of the sums"""
    case = make_case(3, 4, 5, 2, 8, 11, 1, np.float64, seed)
    ranks = collate_ranks([(1, 2, 2, 4), (1, 2), (1, 1, 3)])
    own = {key: value for key, value in options.items() if key != "loss"}
    raw = {"raw_tie": np.float64(0.3)} if own.get("ties") in objectives.LEARNED_TIES else {}

    def run(tokens, length, ranks):
        objective = objectives.OBJECTIVES[options["loss"]]
        arguments = (case.params, tokens, length, case.n_head)
        return reward_model.loss_and_grads(*arguments, objective=objective, ranks=ranks, **own, **raw)

    tokens = np.concatenate([case.tokens, np.full((3, further, 5), PAD)], 1)
    length = np.concatenate([case.length, np.ones((3, further), int)], 1)
    wider = np.concatenate([ranks, np.full((3, further), ABSENT)], 1)
    loss, grads, reward, more = run(case.tokens, case.length, ranks)
    further_right = run(tokens, length, wider)
    on_the_left = run(tokens[:, ::-1], length[:, ::-1], wider[:, ::-1])
    for there in (further_right, on_the_left):
        assert_agree(there[0], loss, MODEL, 1 + abs(loss))
        assert_trees_agree(there[1], grads, MODEL, max(1.0, largest(grads)))
        assert_agree(np.array(list(there[3].values())), np.array(list(more.values())), MODEL, 1)
    assert_agree(further_right[2][:, :4], reward, MODEL, max(1.0, abs(reward).max()))
    module = model_of(flatten(case.params), case.n_head)
    raw = {name: torch.tensor(x, requires_grad=True) for name, x in raw.items()}
    objective = twin_objectives.OBJECTIVES[options["loss"]]
    labels = {"objective": objective, "ranks": torch.tensor(wider), **own, **raw}
    twin_loss, _ = twin.loss_and_grads(module, torch.tensor(tokens), torch.tensor(length), **labels)
    assert_agree(twin_loss.numpy(), loss, MODEL, 1 + abs(loss))
    twin_grads = {name: p.grad.numpy() for name, p in module.named_parameters()}
    assert_trees_agree(twin_grads, flatten(grads), MODEL, max(1.0, largest(grads)))


def test_what_stands_in_an_absent_slot_changes_nothing_bitwise():
    case = make_case(3, 4, 5, 2, 8, 11, 1, np.float64, 3)
    ranks = collate_ranks([(1, 2, 2, 4), (1, 2), (1, 1, 3)])
    arguments = {"objective": objectives.kwise, "ranks": ranks}
    first = reward_model.loss_and_grads(case.params, case.tokens, case.length, case.n_head, **arguments)
    tokens, length = case.tokens.copy(), case.length.copy()
    tokens[ranks == ABSENT], length[ranks == ABSENT] = PAD, 1
    again = reward_model.loss_and_grads(case.params, tokens, length, case.n_head, **arguments)
    assert_bitwise(again[0], first[0])
    assert_trees_agree(again[1], first[1], 0, 1)  # adding 0 · x in another place of the sums is still exact


@pytest.mark.parametrize("side", [Learner, TwinLearner])
def test_lists_of_two_are_pairs(side):
    """kwise and Plackett-Luce with K = 2 are the pairwise loss but for the order of sums, ten steps long"""
    data = encoded(mixed_lists(40, sizes=(2,), tied=False))
    pairs = losses_of(side(weights(), 2, 10, 4e-3, 1), data, 10)
    for loss in ("kwise", "plackett-luce"):
        listed = losses_of(side(weights(), 2, 10, 4e-3, 1, loss=loss), data, 10)
        assert_agree(np.array(listed), np.array(pairs), 1000, max(pairs))


@pytest.mark.parametrize("side", [Learner, TwinLearner])
def test_each_response_is_run_once_and_batches_count_prompts(side, monkeypatch):
    data, shapes = encoded(mixed_lists(12)), []
    module = importlib.import_module(side.__module__)
    original = module.loss_and_grads

    def spy(model, tokens, *rest, **options):
        shapes.append(tuple(tokens.shape[:2]))
        return original(model, tokens, *rest, **options)

    monkeypatch.setattr(module, "loss_and_grads", spy)
    losses_of(side(weights(), 2, 3, 4e-3, 1, loss="kwise"), data, 3, batch_size=5)
    most = [max(len(data.rows[i]) for i in range(len(data.rows)))]
    assert [B for B, _ in shapes] == [5, 5, len(data.rows) - 10]
    assert max(K for _, K in shapes) == most[0]


def test_the_log_sums_up_batches_of_different_k():
    log = Log()
    batches = [([[2.0, 1.0]], [[1, 2]]), ([[1.0, 2.0, 0.0]], [[1, 2, 2]])]
    common = {"grad_norm": 1.0, "learning_rate": 0.1, "epoch": 0.5}
    for loss, (rewards, labels) in enumerate(batches):
        log.add({"loss": loss, "rewards": np.array(rewards), "labels": np.array(labels), **common})
    line = log.flush(7)
    assert (line["step"], line["loss"], line["accuracy"]) == (7, 0.5, 2 / 3)


def test_held_out_lists_of_different_k_are_scored_at_once():
    lists = mixed_lists(9)
    data = encoded(lists)
    held = Held(data.rows, None, 0.5, collate_ranks(data.ranks))
    learner = Learner(weights(), 2, 1, 1e-3, 0)
    alone = [learner.rewards(*collate([row]))[0] for row in data.rows]
    margins = [
        reward[i] - reward[j]
        for reward, ranks in zip(alone, data.ranks, strict=True)
        for i in range(len(ranks))
        for j in range(len(ranks))
        if ranks[i] < ranks[j]
    ]
    assert evaluate(learner.rewards, held)["eval_margin"] == pytest.approx(np.mean(margins), rel=1e-10)


def test_a_run_whose_rewards_are_all_equal_stops_whatever_stands_in_absent_slots():
    data = encoded(mixed_lists(12))

    class Stuck:
        def step(self, *batch):
            ranks = batch[-1]
            return math.log(2), np.where(ranks == ABSENT, 5.0, 1.0), 0.0, 1e-3

    with pytest.raises(InputError, match="every pair's rewards are equal"):
        losses_of(Stuck(), data, 1)


# The commands


def command(package, *argv):
    module = importlib.import_module(f"{package}.__main__")
    return main.main(f"python -m {package}", module.COMMANDS, list(map(str, argv)))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def numbers(n, seed=0, sizes=(2, 3, 5)):
    """Readable lists: larger numbers are better, equal tens tie"""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        drawn = rng.choice(100, sizes[i % len(sizes)], replace=False).tolist()
        if len({x // 10 for x in drawn}) == 1:
            drawn[0] = (drawn[0] + 10) % 100
        rows.append({"prompt": "larger?", "responses": list(map(str, drawn)), "scores": [x // 10 for x in drawn]})
    return rows


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(directory):
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    return lines


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("ties", objectives.LEARNED_TIES)
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(here, monkeypatch, package, ties):
    """Weights, both moments, the tie parameter and the log are equal after Ctrl-C between two saves"""
    data = write(here / "lists.jsonl", numbers(30))
    options = [*TINY, "--data", data, "--loss", "kwise", "--ties", ties, "--margin-per-rank", "0.1"]
    options += ["--max-steps", 9, "--save-steps", 4, "--logging-steps", 2, "--max-length", 32]
    assert command(package, "train", *options, "--output-dir", here / "whole") == 0
    original = runs.log

    def stop_after_six(directory, line):
        original(directory, line)
        if line["step"] == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "log", stop_after_six)
    assert command(package, "train", *options, "--output-dir", here / "cut") == 130
    monkeypatch.setattr(runs, "log", original)
    assert command(package, "train", "--resume", here / "cut") == 0
    for name in ("model.safetensors", "config.json", "metrics.jsonl", "checkpoint-9/state.safetensors"):
        assert (here / "cut" / name).read_bytes() == (here / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("package", PACKAGES)
def test_the_learned_tie_parameter_is_reported_and_recorded(here, capsys, package):
    data = write(here / "lists.jsonl", numbers(30))
    options = [*TINY, "--data", data, "--eval-data", data, "--loss", "kwise", "--ties", "davidson", "--max-length", 32]
    assert command(package, "train", *options, "--max-steps", 5, "--output-dir", here / "run") == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["ties"] == "davidson"
    assert f"ν = {math.exp(config['log_nu']):.3f}" in capsys.readouterr().out
    assert command(package, "score", "--model", here / "run", "--prompt", "larger?", "3", "40") == 0
    result(here / "run")


def test_a_checkpoint_without_its_tie_parameter_is_refused(here, capsys):
    data = write(here / "lists.jsonl", numbers(9))
    options = [*TINY, "--data", data, "--loss", "kwise", "--ties", "davidson", "--max-length", 32, "--max-steps", 2]
    assert command("numpy_ref", "train", *options, "--output-dir", here / "run") == 0
    path = here / "run" / "checkpoint-2" / "state.safetensors"
    from safetensors.numpy import load_file, save_file

    save_file({name: array for name, array in load_file(path).items() if not name.startswith("tie")}, path)
    seal(path.parent)
    assert command("numpy_ref", "train", "--resume", here / "run") == 2
    assert "does not fit model.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("package", PACKAGES)
def test_pairwise_on_lists_is_training_on_all_their_pairs(here, package):
    """The pairs are written out in the same order, better first, each with the margin of its distance in rank"""
    lists = [row for row in numbers(12) if len(row["responses"]) > 2]
    pairs = []
    for row in lists:
        ranks = [1 + sum(other > score for other in row["scores"]) for score in row["scores"]]
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        for n, i in enumerate(order):
            for j in order[n + 1 :]:
                if ranks[i] < ranks[j]:
                    texts = {"chosen": row["responses"][i], "rejected": row["responses"][j]}
                    pairs.append({"prompt": row["prompt"], **texts, "margin": 0.25 * (ranks[j] - ranks[i])})
    options = [*TINY, "--max-length", 32, "--max-steps", 6]
    listed, paired = write(here / "lists.jsonl", lists), write(here / "pairs.jsonl", pairs)
    assert command(package, "train", *options, "--data", listed, "--margin-per-rank", 0.25, "--output-dir", "a") == 0
    assert command(package, "train", *options, "--data", paired, "--output-dir", "b") == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (here / "a" / name).read_bytes() == (here / "b" / name).read_bytes(), name


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    "loss",
    [pytest.param("pairwise", marks=pytest.mark.slow), "kwise", pytest.param("plackett-luce", marks=pytest.mark.slow)],
)
def test_a_list_of_500_trains(here, package, loss):
    row = {"prompt": "n", "responses": [str(i) for i in range(500)], "scores": list(range(500))}
    data = write(here / "lists.jsonl", [row, *numbers(2)])
    options = [*TINY, "--data", data, "--eval-data", data, "--loss", loss, "--max-length", 16, "--max-steps", 2]
    assert command(package, "train", *options, "--output-dir", here / "run") == 0
    assert len(result(here / "run")) == 2


def test_the_data_line_counts_what_says_nothing(here, capsys):
    rows = [*numbers(3), {"responses": ["a", "b"], "ranks": [1, 1]}, {"responses": ["a", "a"], "ranks": [1, 2]}]
    rows += [{"responses": ["a", "b", "a"], "ranks": [1, 2, 3]}, {"responses": ["a", "b" * 99], "ranks": [1, 2]}]
    data = write(here / "lists.jsonl", rows)
    options = [*TINY, "--data", data, "--max-length", 32, "--max-steps", 1, "--loss", "kwise"]
    assert command("numpy_ref", "train", *options) == 0
    out = capsys.readouterr().out
    assert "4 of 7 prompts kept (57.1%), 2 to 5 responses each," in out
    assert "1 longer than 32 tokens, 1 identical, 1 all tied; 1 of those kept hold a response twice" in out
    assert command("numpy_ref", "train", *options, "--ties", "half") == 0
    assert "5 of 7 prompts kept" in capsys.readouterr().out


@pytest.mark.parametrize("ties", ["half", *objectives.LEARNED_TIES])
@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_but_ties_trains_where_ties_are_learned_from(here, package, ties):
    data = write(here / "lists.jsonl", [{"responses": [f"a{i}", f"b{i}"], "ranks": [1, 1]} for i in range(8)])
    options = [*TINY, "--data", data, "--max-length", 32, "--max-steps", 3, "--loss", "kwise", "--ties", ties]
    assert command(package, "train", *options, "--output-dir", here / "run") == 0
    assert "accuracy" not in result(here / "run")[-1]


ALL_TIED = [{"responses": ["a", "b", "c"], "ranks": [1, 1, 1]}]
REFUSED = {
    "one response": ([{"responses": ["a"], "ranks": [1]}], [], "lists.jsonl, line 1: 1 response:"),
    "NaN": ([{"responses": ["a", "b"], "ranks": [1, math.nan]}], [], "lists.jsonl, line 1: rank 2 is nan"),
    "strings": ([{"responses": ["a", "b"], "ranks": ["1", "2"]}], [], "lists.jsonl, line 1: rank 1 is a string"),
    "length": ([{"responses": ["a", "b"], "ranks": [1, 2, 3]}], [], "lists.jsonl, line 1: 2 responses, but 3 ranks"),
    "all tied": (ALL_TIED, [], "no prompt is left of 1: 0 longer"),
    "ties with pairwise": (numbers(2), ["--ties", "half"], "--ties: --loss pairwise does not use it"),
    "ties with Plackett-Luce": (numbers(2), ["--loss", "plackett-luce", "--ties", "half"], "take --loss kwise"),
    "a margin in Plackett-Luce": (
        numbers(2),
        ["--loss", "plackett-luce", "--margin-per-rank", "1"],
        "--margin-per-rank: --loss plackett-luce does not use it",
    ),
    "smoothing": (numbers(2), ["--loss", "kwise", "--label-smoothing", "0.1"], "--label-smoothing: --loss kwise"),
    "centring": (numbers(2), ["--loss", "kwise", "--center-rewards-coefficient", "0.1"], "take --loss pairwise"),
    "margins of pairs": (
        [{"chosen": "a", "rejected": "b", "margin": 1}],
        ["--loss", "kwise"],
        "has margins, which --loss kwise cannot use",
    ),
}


@pytest.mark.parametrize(("rows", "options", "sentence"), REFUSED.values(), ids=REFUSED)
def test_bad_lists_and_options_are_one_sentence(here, capsys, rows, options, sentence):
    data = write(here / "lists.jsonl", rows)
    status = command("numpy_ref", "train", *TINY, "--data", data, "--max-length", 32, "--max-steps", 1, *options)
    err = capsys.readouterr().err
    assert status == 2
    assert sentence in err
    assert err.startswith("python -m numpy_ref train: error: ")
    assert err.count("\n") == 1
    assert not (here / "runs").exists()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("kwise.py", ["--repeats", "1"]),
        ("shuffled_pairs.py", ["--seeds", "1", "--prompts", "200", "--larger", "0.1", "--parts", "world,effort"]),
    ],
)
def test_the_benchmarks_run(here, script, options):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", root / "tests" / "benchmarks" / script, *options]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nan" not in done.stdout
