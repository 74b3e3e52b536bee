"""Every way of the engine takes the Learner's step: without padding, in pieces, recomputed, by several processes."""

import functools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from compare import MODEL, amplification, assert_agree, assert_bitwise, assert_trees_agree, largest
from hypothesis import example, given
from hypothesis import strategies as st
from running import LEARNERS, TINY, TorchLearner, batch, numbers, run, torchrun, weights, world_data, write_rows
from strategies import cases, make_case, seeds
from torch.autograd.graph import saved_tensors_hooks

from numpy_ref import reward_model as hand
from numpy_ref.errors import InputError
from numpy_ref.ranking import ABSENT
from numpy_ref.train import train
from numpy_ref.tree import flatten
from torch_impl.engine import last_token, shared_prompt
from torch_impl.engine.learner import Engine
from torch_impl.engine.processes import Processes, end_together
from torch_impl.train import model_of

LAST_HIDDEN = shared_prompt.last_hidden
SCHEDULE = {"total_steps": 50, "learning_rate": 1e-3, "warmup_steps": 5}


def reward_and_grads(model, forward, dreward):
    """The rewards, and the gradient of <rewards, dreward> by name"""
    model.zero_grad()
    reward = forward()
    reward.backward(torch.from_numpy(dreward))
    return reward.detach().numpy(), {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


@given(cases(), seeds)
@example(make_case(B=4, K=2, T=2, H=1, C=3, V=11, n_layer=2, dtype=np.float32, seed=10752, gain=0.6), 434)
def test_lean_rewards_and_their_gradients_are_the_plain_ones(case, seed):
    """The two round differently, and a layer norm multiplies that difference by its rstd, 5.6 in the example"""
    _, cache = hand.rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    model = model_of(flatten(case.params), case.n_head)
    tokens, length = torch.from_numpy(case.tokens), torch.from_numpy(case.length)
    dreward = np.random.default_rng(seed).standard_normal(case.length.shape).astype(case.params["head"]["weight"].dtype)
    plain, grads = reward_and_grads(model, lambda: model(tokens, length), dreward)
    reward, lean_grads = reward_and_grads(model, lambda: last_token.rewards(model, tokens, length), dreward)
    assert_agree(reward, plain, MODEL, max(1, largest(plain)))
    assert_trees_agree(lean_grads, grads, MODEL, max(1, largest(grads)) * amplification(cache))


def test_a_list_without_a_response_costs_nothing_and_has_reward_0():
    data = world_data()
    tokens, length, _ = batch(data, range(6))
    model = model_of(weights(), 2)
    whole = last_token.rewards(model, torch.from_numpy(tokens), torch.from_numpy(length)).detach().numpy()
    cut = length.copy()
    cut[2, 1] = 0
    tokens[2, 1] = 0
    reward = last_token.rewards(model, torch.from_numpy(tokens), torch.from_numpy(cut)).detach().numpy()
    assert reward[2, 1] == 0
    reward[2, 1] = whole[2, 1]
    assert_agree(reward, whole, MODEL, max(1, largest(reward)))


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 200))
def test_groups_hold_every_row_once_and_no_group_but_the_last_is_small(lengths, group):
    groups = last_token.by_length(np.array(lengths, int), group)
    rows = [i for members in groups for i in members.tolist()]
    assert sorted(rows) == [i for i, n in enumerate(lengths) if n > 0]
    assert [lengths[i] for i in rows] == sorted(lengths[i] for i in rows)
    for i, members in enumerate(groups):
        padded = len(members) * lengths[members[-1]]
        assert padded >= group or i == len(groups) - 1
        assert len(members) == 1 or (len(members) - 1) * lengths[members[-2]] < group


def test_a_prompt_that_is_computed_once_gives_the_plain_rewards_and_gradients(monkeypatch):
    """The shared beginning has any length from nothing to all but one token; ragged lists, alone or in one batch"""
    monkeypatch.setattr(shared_prompt, "PAYS", math.inf)  # packed even where nothing is shared

    @given(cases(), seeds)
    def judge(case, seed):
        rng = np.random.default_rng(seed)
        tokens, length = case.tokens.copy(), case.length.copy()
        B, K, T = tokens.shape
        for b, shared in enumerate(rng.integers(0, T + 1, B)):
            tokens[b, :, :shared] = tokens[b, :1, :shared]
        present = np.ones((B, K), bool)
        if K > 2:
            present[0, -1] = False
        model = model_of(flatten(case.params), case.n_head)
        dreward = rng.standard_normal((B, K)).astype(case.params["head"]["weight"].dtype) * present
        batch = torch.from_numpy(tokens), torch.from_numpy(length * present)
        plain, grads = reward_and_grads(model, lambda: last_token.rewards(model, *batch), dreward)
        reward, packed_grads = reward_and_grads(model, lambda: shared_prompt.rewards(model, *batch), dreward)
        assert_agree(reward, plain, MODEL, max(1, largest(plain)))
        assert_trees_agree(packed_grads, grads, MODEL, max(1, largest(grads)))

    judge()


def test_a_packed_list_is_the_tree_that_the_room_draws():
    tokens = np.array([[[5, 6, 7, 8, 1, 2, 3], [5, 6, 7, 8, 4, 9, 0]]])
    packed = shared_prompt.pack(tokens, np.array([[7, 6]]))
    assert packed.tokens.tolist() == [[5, 6, 7, 8, 1, 2, 3, 4, 9]]
    assert packed.position.tolist() == [[0, 1, 2, 3, 4, 5, 6, 4, 5]]
    assert packed.branch.tolist() == [[0, 0, 0, 0, 1, 1, 1, 2, 2]]
    assert packed.last.tolist() == [[6, 8]]
    assert packed.size.tolist() == [9]


def test_the_engine_packs_where_it_saves_tokens_and_only_there(monkeypatch):
    taken = []
    monkeypatch.setattr(shared_prompt, "last_hidden", lambda *a: taken.append(a) or LAST_HIDDEN(*a))
    engine = Engine(weights(), 2, **SCHEDULE)
    tokens = np.random.default_rng(0).integers(4, 20, (3, 2, 12))
    length = np.full((3, 2), 12)
    engine.rewards(tokens, length)
    assert not taken
    tokens[:, 1, :9] = tokens[:, 0, :9]
    engine.rewards(tokens, length)
    assert taken


def test_what_stands_in_padding_changes_no_lean_reward():
    tokens, length, _ = batch(world_data(), range(8))
    model = model_of(weights(), 2)
    before = last_token.rewards(model, torch.from_numpy(tokens), torch.from_numpy(length)).detach().numpy()
    padding = np.arange(tokens.shape[-1]) >= length[..., None]
    tokens[padding] = 7
    after = last_token.rewards(model, torch.from_numpy(tokens), torch.from_numpy(length)).detach().numpy()
    assert_bitwise(after, before)


@given(st.integers(0, 30), st.integers(1, 5), st.integers(1, 5))
def test_shares_cover_the_batch_once_in_order_and_evenly(n, size, pieces):
    shares = [Processes(rank, size).parts(n, pieces) for rank in range(size)]
    assert {len(share) for share in shares} == {pieces}  # with sharded weights all processes meet at every piece
    taken = [list(range(n))[part] for share in shares for part in share]
    assert [i for rows in taken for i in rows] == list(range(n))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


def ragged(n=40, seed=0):
    """Lists of 2 to 5 responses with ties, made of the world's data"""
    rng, data = np.random.default_rng(seed), world_data(n=n)
    rows, ranks = [], []
    for i in range(0, len(data.rows) - 2, 2):
        row = [*data.rows[i], *data.rows[i + 1], data.rows[i + 2][0]][: rng.integers(2, 6)]
        rows.append(row)
        ranks.append(tuple(sorted([1, *rng.integers(1, len(row) + 1, len(row) - 1).tolist()])))
    kept = [i for i, r in enumerate(ranks) if len(set(r)) > 1]
    return data._replace(rows=[rows[i] for i in kept], ranks=[ranks[i] for i in kept], margin=np.zeros(len(kept)))


LOSSES = {
    "pairs": {"label_smoothing": 0.1, "center_coefficient": 0.01},
    "kwise": {"loss": "kwise", "ties": "half", "margin_per_rank": 0.1},
    "davidson": {"loss": "kwise", "ties": "davidson"},
    "plackett-luce": {"loss": "plackett-luce"},
}


DATA = {name: ragged if "loss" in options else world_data for name, options in LOSSES.items()}


def losses_of(learner, data, steps=12, batch_size=14):
    run = {"start": 0, "total_steps": steps, "batch_size": batch_size, "seed": 3}
    return [record["loss"] for _, record in train(learner, data, **run)]


DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]  # a machine with a GPU runs more tests


@functools.cache
def plain_losses(name):
    """The losses of the plain learner, with which every way of the engine is compared"""
    return losses_of(TorchLearner(weights(n_embd=16, n_layer=2), 4, **SCHEDULE, **LOSSES[name]), DATA[name](), steps=6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("how", [{}, {"pieces_each": 3}, {"gradient_checkpointing": True}, {"pieces_each": 20}])
def test_the_engine_takes_the_learners_steps(name, how, device):
    """Ragged lists, and a last batch smaller than 14; two independent runs in float64"""
    data = DATA[name]()
    assert len(data.rows) % 14
    plain = plain_losses(name)
    engine = Engine(weights(n_embd=16, n_layer=2), 4, **SCHEDULE, **LOSSES[name], **how, device=device)
    ours = losses_of(engine, data, steps=6)
    assert max(abs(np.subtract(ours, plain))) < 1e-10
    assert len(set(plain)) == len(plain)


def test_the_engine_returns_what_the_learner_returns():
    tokens, length, margin = batch(ragged(), range(6))
    ranks = np.where(length > 0, np.arange(1, length.shape[1] + 1), ABSENT)
    options = {**SCHEDULE, "loss": "plackett-luce"}
    plain = TorchLearner(weights(), 2, **options).step(tokens, length, margin, ranks)
    ours = Engine(weights(), 2, **options, pieces_each=2).step(tokens, length, margin, ranks)
    present = length > 0
    assert_agree(ours[1][present], plain[1][present], MODEL, max(1, largest(plain[1])))
    assert ours[0] == pytest.approx(plain[0], rel=1e-12)
    assert ours[2:] == pytest.approx(plain[2:], rel=1e-12)


def kept_for_backward(learner, step):
    """Bytes of activations that autograd keeps during a step"""
    kept = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        learner.step(*step)
    return sum(kept.values())


def test_checkpointing_and_pieces_keep_less():
    step = batch(world_data(), range(40))
    first = weights(n_embd=32, n_layer=6)
    plain = kept_for_backward(Engine(first, 4, **SCHEDULE), step)
    assert kept_for_backward(Engine(first, 4, **SCHEDULE, gradient_checkpointing=True), step) < 0.6 * plain


@pytest.mark.parametrize("device", DEVICES)
def test_bfloat16_is_near_float32_and_not_the_same(device):
    step = batch(world_data(), range(40))
    first = weights(dtype=np.float32, n_embd=32, n_layer=2)
    plain, rough = (Engine(first, 4, **SCHEDULE, bf16=bf16, device=device).step(*step) for bf16 in (False, True))
    assert rough[1].dtype == np.float32
    assert 0 < abs(rough[1] - plain[1]).max() < 0.05 * abs(plain[1]).max()
    assert abs(rough[0] - plain[0]) < 0.02


@pytest.mark.parametrize("kind", [*LEARNERS, Engine])
def test_one_process_writes_and_agrees_with_itself(kind):
    learner = kind(weights(), 2, **SCHEDULE)
    assert learner.writes
    assert learner.agree(True) is True
    assert learner.agree(False) is False


def test_a_lost_process_is_one_sentence_and_other_errors_stay_what_they_are():
    def lost():
        raise RuntimeError("[gloo] Connection closed by peer")

    with pytest.raises(InputError, match=r"^another process of this job ended .* --resume"):
        end_together(lost, Processes(0, 2))
    with pytest.raises(RuntimeError, match="gloo"):
        end_together(lost, Processes(0, 1))


SCRIPT = """
import json, sys
import torch.distributed as dist
from numpy_ref.train import train
from running import weights, world_data
from engine.test_engine import DATA, LOSSES, SCHEDULE, losses_of
from torch_impl.engine import processes as distributed
from torch_impl.engine.learner import Engine

how = {"pieces_each": int(sys.argv[1]), "fsdp": sys.argv[2] == "fsdp", "processes": distributed.start("cpu")}
for name, options in LOSSES.items():
    data = DATA[name]()
    learner, other = (Engine(weights(seed, n_embd=16, n_layer=2), 4, **SCHEDULE, **options, **how) for seed in (0, 5))
    losses = losses_of(learner, data, steps=25)
    other.restore(learner.weights(), learner.state(), 25)
    same = all((learner.weights()[name] == array).all() for name, array in other.weights().items())
    run = {"start": 25, "total_steps": 50, "batch_size": 14, "seed": 3}
    rest, again = ([record["loss"] for _, record in train(one, data, **run)] for one in (learner, other))
    if learner.writes:
        print(json.dumps({"name": name, "losses": losses + rest, "restored": same and rest == again}))
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("n", "pieces", "spread"), [(2, "1", "whole"), (4, "2", "whole"), (2, "3", "fsdp")])
def test_losses_of_1_2_and_4_processes_agree(n, pieces, spread, tmp_path):
    """50 steps, float64, lr 1e-3; pieces, sharded weights, lists of different K, a last batch that does not divide"""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = torchrun(n, pieces, spread, cwd=tmp_path, script=str(script))
    assert done.returncode == 0, done.stderr[-3000:]
    found = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert found.keys() == LOSSES.keys()
    for name, options in LOSSES.items():
        plain = losses_of(TorchLearner(weights(n_embd=16, n_layer=2), 4, **SCHEDULE, **options), DATA[name](), steps=50)
        assert max(abs(np.subtract(found[name]["losses"], plain))) < 1e-10
        assert found[name]["restored"]


def pair_rows(path, n=23):
    return write_rows(path, [{"prompt": "more?", "chosen": "b" * (i % 7 + 2), "rejected": "a"} for i in range(n)])


@pytest.mark.slow
def test_two_processes_by_command_write_what_one_writes(tmp_path):
    data = pair_rows(tmp_path / "rows.jsonl")
    tiny = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--dtype", "float64", "--learning-rate", "1e-3"]
    base = ["train", *tiny, "--data", data, "--eval-data", data, "--max-length", "32", "--max-steps", "20"]
    sizes = {1: ["8"], 2: ["4"], 4: ["1", "--gradient-accumulation-steps", "2"]}
    outs = {}
    for n, size in sizes.items():
        argv = ["torch_impl", *base, "--per-device-train-batch-size", *size, "--output-dir", f"runs/{n}"]
        done = torchrun(n, *argv, *(["--fsdp"] if n == 2 else []), cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        outs[n] = done.stdout.replace(f"runs/{n}", "DIR")
    assert outs[1] == outs[2] == outs[4]
    logs = {
        n: [json.loads(line) for line in (tmp_path / f"runs/{n}/metrics.jsonl").read_text().splitlines()] for n in sizes
    }
    for n in (2, 4):
        for here, there in zip(logs[n], logs[1], strict=True):
            assert here == pytest.approx(there, rel=1e-9, abs=1e-10)


@pytest.mark.slow
def test_bad_input_under_torchrun_is_said_once(tmp_path):
    done = torchrun(2, "torch_impl", "train", "--data", "nowhere.jsonl", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("nowhere.jsonl: there is no such file") == 1
    assert not Path(tmp_path, "runs").exists()


@pytest.mark.parametrize("what", [["sft"], ["train", "--model-name-or-path", "x", "--data", "y", "--freeze-backbone"]])
def test_what_one_process_should_do_is_refused_to_several(what, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr("torch_impl.engine.processes.start", lambda _: Processes())
    assert run("torch_impl", *what) == 2
    assert "runs in one process: start it with python -m torch_impl, without torchrun" in capsys.readouterr().err


def test_a_user_is_told_that_bf16_is_slow_on_a_processor(tmp_path, capsys):
    data = write_rows(tmp_path / "a.jsonl", numbers(8))
    options = ["--data", data, *TINY, "--max-steps", "1", "--bf16", "--output-dir", str(tmp_path / "run")]
    assert run("torch_impl", "train", *options) == 0
    assert "note      --bf16 on a CPU: on most a step takes longer" in capsys.readouterr().out
