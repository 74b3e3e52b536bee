"""Both learners take the same steps; what is logged is over all pairs; a run that cannot learn is stopped."""

import copy
import inspect

import numpy as np
import pytest
import torch
from compare import assert_agree, assert_trees_agree, largest
from running import LEARNERS, LN_2, NumpyLearner, TorchLearner, batch, weights, world_data

import numpy_ref.train
import torch_impl.train
from numpy_ref.data.tokenizer import SEP
from numpy_ref.errors import InputError
from numpy_ref.metrics import summary
from numpy_ref.reward_model import loss_and_grads
from numpy_ref.train import check_alive, train
from numpy_ref.training.log import Log
from numpy_ref.tree import tree_map, unflatten

OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"center_coefficient": 0.05},
    {"label_smoothing": 0.2, "center_coefficient": 0.01},
]
SCHEDULE = {"total_steps": 10, "learning_rate": 4e-3, "warmup_steps": 2}


@pytest.fixture(scope="module")
def data():
    return world_data()


def run_of(learner, data, start=0, total_steps=10, batch_size=16, seed=3):
    steps = train(learner, data, start=start, total_steps=total_steps, batch_size=batch_size, seed=seed)
    return [record for _, record in steps]


def both(data, dtype=np.float64, **options):
    first = weights(dtype=dtype, n_embd=16, n_layer=2)
    return [run_of(learner(first, 4, **SCHEDULE, **options), data) for learner in LEARNERS]


@pytest.mark.parametrize("with_margins", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_ten_losses_of_both_sides_agree(data, options, with_margins):
    """Within 1,000 eps of each loss, in float64, over two independent runs from the same weights"""
    if with_margins:
        data = data._replace(margin=np.random.default_rng(0).normal(0.5, 1, len(data.rows)))
    hand, auto = both(data, **options)
    for here, there in zip(hand, auto, strict=True):
        assert_agree(np.array(here["loss"]), np.array(there["loss"]), 1000, there["loss"])
        assert_agree(np.array(here["grad_norm"]), np.array(there["grad_norm"]), 1000, there["grad_norm"])
        assert_agree(np.array(here["learning_rate"]), np.array(there["learning_rate"]), 20, 4e-3)
        assert here["epoch"] == there["epoch"]
    assert len({record["loss"] for record in hand}) == 10


def test_ten_losses_agree_in_float32_too(data):
    """The two runs drift apart by Adam's division by small moments: measured at most 10 eps of the loss"""
    hand, auto = both(data, np.float32)
    for here, there in zip(hand, auto, strict=True):
        assert here["rewards"].dtype == there["rewards"].dtype == np.float32
        assert_agree(np.float32(here["loss"]), np.float32(there["loss"]), 100, there["loss"])


@pytest.mark.parametrize("learner_class", LEARNERS)
@pytest.mark.parametrize("option", ["label_smoothing", "center_coefficient", "margin"])
def test_every_option_of_the_loss_arrives(data, learner_class, option):
    """An option that was dropped on the way would give the plain loss"""
    tokens, length, margin = batch(data, np.arange(16))
    plain = learner_class(weights(), 2, **SCHEDULE).step(tokens, length, margin)[0]
    options = {} if option == "margin" else {option: 0.3}
    changed = learner_class(weights(), 2, **SCHEDULE, **options)
    assert abs(changed.step(tokens, length, margin + (option == "margin"))[0] - plain) > 1e-3


@pytest.mark.parametrize("learner_class", LEARNERS)
def test_the_loss_goes_down(data, learner_class):
    learner = learner_class(weights(n_embd=16), 4, total_steps=40, learning_rate=1e-2, warmup_steps=4)
    losses = [record["loss"] for record in run_of(learner, data, total_steps=40)]
    assert abs(losses[0] - LN_2) < 0.3
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


@pytest.mark.parametrize("learner_class", LEARNERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_never_writes_into_the_batch_nor_into_the_weights_it_was_given(data, learner_class, dtype):
    first = weights(dtype=dtype)
    learner = learner_class(first, 2, **SCHEDULE)
    arrays = batch(data, np.arange(8))
    before, first_before = copy.deepcopy(arrays), copy.deepcopy(first)
    kept = learner.weights()
    kept_before = copy.deepcopy(kept)
    for _ in range(2):
        learner.step(*arrays)
        learner.rewards(*arrays[:2])
    for now, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(now, then, strict=True)
    for name in first:
        np.testing.assert_array_equal(first[name], first_before[name], strict=True)
        np.testing.assert_array_equal(kept[name], kept_before[name], strict=True)
        assert (learner.weights()[name] != kept[name]).any() or name.endswith("bias"), f"{name} has not moved"


def test_the_twins_have_the_same_methods_and_answer_in_the_same_types(data):
    def public(cls):
        return {name for name, _ in inspect.getmembers(cls, callable) if not name.startswith("_")}

    assert public(NumpyLearner) == public(TorchLearner)
    answers = []
    for learner_class in LEARNERS:
        learner = learner_class(weights(dtype=np.float32), 2, **SCHEDULE)
        loss, reward, norm, lr = learner.step(*batch(data, np.arange(5)))
        shapes = {name: (array.shape, array.dtype) for name, array in {**learner.weights(), **learner.state()}.items()}
        answers.append((type(loss), type(norm), type(lr), reward.shape, reward.dtype, learner.n_head, shapes))
    assert answers[0] == answers[1]
    assert answers[0][:3] == (float, float, float)


def test_the_gradient_of_a_batch_is_the_mean_over_its_halves(data):
    params = unflatten(weights(n_embd=16))
    halves = [loss_and_grads(params, *batch(data, half)[:2], 4) for half in (np.arange(8), np.arange(8, 16))]
    loss, whole, reward = loss_and_grads(params, *batch(data, np.arange(16))[:2], 4)
    mean = tree_map(lambda a, b: (a + b) / 2, halves[0][1], halves[1][1])
    assert_trees_agree(whole, mean, 100, largest(whole))
    assert_agree(loss, (halves[0][0] + halves[1][0]) / 2, 100, 1)
    assert_agree(reward, np.concatenate([halves[0][2], halves[1][2]]), 100, largest(reward))


def test_the_loop_visits_every_pair_and_counts_epochs(data):
    seen = []

    class Recorder:
        def step(self, tokens, length, margin, ranks):
            seen.extend((tuple(t[0, : n[0]]), tuple(t[1, : n[1]])) for t, n in zip(tokens, length, strict=True))
            assert len(margin) == len(ranks) == len(tokens)
            return 0.5, np.array([[1.0, 0.0]] * len(tokens)), 1.0, 0.1

    steps = list(train(Recorder(), data, start=0, total_steps=8, batch_size=16, seed=0))
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [record["epoch"] for _, record in steps] == [i / 4 for i in range(1, 9)]  # 60 pairs: batches of 16 and 12
    assert [len(record["rewards"]) for _, record in steps] == [16, 16, 16, 12] * 2
    wanted = sorted((tuple(a), tuple(b)) for a, b in data.rows)
    assert sorted(seen[:60]) == sorted(seen[60:]) == wanted
    assert seen[:60] != seen[60:]


def record(loss, rewards, grad_norm=1.0, epoch=0.5):
    arrays = {"rewards": np.array(rewards), "labels": np.tile([1, 2], (len(rewards), 1))}
    return {"loss": loss, **arrays, "grad_norm": grad_norm, "learning_rate": 0.1, "epoch": epoch}


def test_the_log_is_over_all_pairs_and_not_a_mean_of_batch_means():
    log = Log()
    log.add(record(2.0, [[1.0, 0.0], [1.0, 0.0], [3.0, 0.5]]))
    log.add(record(6.0, [[-1.0, 1.0]], grad_norm=3.0, epoch=0.75))
    line = log.flush(20)
    pairs = np.array([[1.0, 0.0], [1.0, 0.0], [3.0, 0.5], [-1.0, 1.0]])
    named = "loss accuracy margin min_reward mean_reward max_reward grad_norm learning_rate epoch"  # issue's names
    assert line.keys() == {"step", "brier", "ties", *named.split()}
    assert line["step"] == 20
    assert line["loss"] == 3.0, "the trained loss, weighted by pairs: (3 · 2 + 6) / 4"
    assert line["accuracy"] == 0.75, "not the mean of 1 and 0"
    assert line["margin"] == 0.625
    assert (line["min_reward"], line["mean_reward"], line["max_reward"]) == (-1.0, 0.6875, 3.0)
    assert (line["grad_norm"], line["learning_rate"], line["epoch"]) == (3.0, 0.1, 0.75), "as of the last step"
    assert {name: line[name] for name in ("brier", "ties")} == {
        name: summary(pairs)[name] for name in ("brier", "ties")
    }
    log.add(record(1.0, [[0.0, 0.0]]))
    assert log.flush(30)["accuracy"] == 0.5, "what was flushed is gone"


def at_the_separator(loss_and_grads):
    """The field's best-known bug: the search for the end stops at a token where both sides are still the same"""

    def wrong(model, tokens, _, *rest, **options):
        found = tokens == SEP
        end = found.argmax(-1) + 1 if isinstance(tokens, np.ndarray) else found.int().argmax(-1) + 1
        return loss_and_grads(model, tokens, end, *rest, **options)

    return wrong


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("module", [numpy_ref.train, torch_impl.train])
def test_a_run_whose_two_sides_score_the_same_token_is_stopped(data, module, dtype, monkeypatch):
    """At every width and batch size, although rows of a batch with the same content may differ by some eps"""
    monkeypatch.setattr(module, "loss_and_grads", at_the_separator(module.loss_and_grads))
    for n_embd, batch_size in [(8, 1), (12, 16), (20, 5), (20, 33), (32, 5), (32, 60), (48, 3), (48, 7)]:
        learner = module.Learner(weights(dtype=dtype, n_embd=n_embd, n_layer=2), 4, **SCHEDULE)
        with pytest.raises(InputError, match=r"^step 1: .*ln 2 = 0\.6931 .*both sides score the same token"):
            run_of(learner, data, batch_size=batch_size)


@pytest.mark.parametrize("learner_class", LEARNERS)
def test_weights_that_are_no_numbers_stop_the_run(data, learner_class):
    broken = weights()
    broken["head.weight"][0, 0] = np.nan
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(InputError, match=r"^step 1: the loss is nan .*weights of --init-from"),
    ):
        run_of(learner_class(broken, 2, **SCHEDULE), data)


def test_who_is_alive_and_who_is_not():
    apart, equal = np.array([[1.0, 0.5]]), np.array([[1.0, 1.0], [0.2, 0.2]])
    check_alive(1, LN_2, equal, 0.5)  # a head that starts at 0: equal rewards, but a gradient
    check_alive(1, 0.1, apart, 0.0)  # all pairs far apart: no gradient left, and nothing wrong
    for loss, norm in [(np.nan, 1.0), (np.inf, 1.0), (0.5, np.nan), (0.5, np.inf)]:
        with pytest.raises(InputError, match=r"^step 7: the loss is "):
            check_alive(7, loss, apart, norm)
    with pytest.raises(InputError, match=r"^step 9: every pair's rewards are equal"):
        check_alive(9, LN_2, equal, 0.0)


@pytest.mark.parametrize("learner_class", LEARNERS)
def test_a_restored_learner_goes_on_bit_for_bit(data, learner_class):
    """In memory; through files and commands: tests/storage/test_run.py"""
    whole = learner_class(weights(), 2, **SCHEDULE)
    run_of(whole, data)
    first = learner_class(weights(), 2, **SCHEDULE)
    run_of(first, data, total_steps=4)
    second = learner_class(weights(seed=9), 2, **SCHEDULE)
    second.restore(first.weights(), first.state(), 4)
    run_of(second, data, start=4)
    for name, array in {**whole.weights(), **whole.state()}.items():
        np.testing.assert_array_equal({**second.weights(), **second.state()}[name], array, err_msg=name)


def test_versions_name_what_bitwise_equality_depends_on():
    assert NumpyLearner(weights(), 2, **SCHEDULE).versions().keys() == {"numpy", "threads"}
    found = TorchLearner(weights(), 2, **SCHEDULE).versions()
    assert found == {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": "cpu"}
