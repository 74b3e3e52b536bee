"""The command `compare`: the same reward model trained twice from the same weights on the same batches, in float64.

numpy_ref derives every gradient by hand, torch_impl uses autograd. At the checked steps both gradients are taken at the
same weights and must agree. The two runs are independent of each other, so rounding may drive them apart.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from numpy_ref.batches import all_rewards, batch_indices, collate
from numpy_ref.cli.main import natural, positive_int
from numpy_ref.cli.text import progress_bar, reader_may_leave, table
from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS, held_world
from numpy_ref.data.tokenizer import Words
from numpy_ref.data.tokens import encode
from numpy_ref.figures import lessons, style
from numpy_ref.figures.architecture import architecture
from numpy_ref.metrics import summary
from numpy_ref.reward_model import init_params, loss_and_grads
from numpy_ref.storage import run as runs
from numpy_ref.train import Learner as NumpyLearner
from numpy_ref.train import check_alive
from numpy_ref.tree import flatten

from . import stages
from .reward_model import loss_and_grads as autograd
from .train import Learner as TorchLearner
from .train import model_of

N_LAYER, N_HEAD, N_EMBD, BATCH = 2, 4, 32, 64
LEARNING_RATE = 5e-3
CHECKS, EVALUATIONS = 10, 8  # how many steps are checked, how often both models are evaluated
BOUND = 100  # eps of the largest gradient entry; measured: 5 to 15
LOSS_BOUND = 1000  # eps, between the losses of the first ten steps


def add_arguments(parser):
    """The options of `compare`"""
    parser.add_argument(
        "--stage",
        choices=["reward-model", "all"],
        default="reward-model",
        help="all: train a language model, a reward model on it, DPO and a policy; this writes no files",
    )
    parser.add_argument("--steps", type=positive_int, default=525, help="training steps of 64 pairs")
    parser.add_argument("--seed", type=natural, default=0, help="random seed for world, weights and order of the data")
    parser.add_argument(
        "--output-dir", metavar="DIR", help="a new directory; runs/compare, runs/compare-2, ... if left out"
    )


@reader_may_leave()
def run(args):
    """Trains both, prints one screen, writes the run directory; returns 1 if they disagree beyond the bound, else 0"""
    torch.set_num_threads(1)
    if args.stage == "all":
        return stages.run(args)
    began = time.perf_counter()
    tokenizer = Words(world.WORDS)
    train_set, eval_set = world.make_world(args.seed)
    data = encode(tokenizer, world.rank(np.random.default_rng([args.seed, 1]), train_set), WORLD_POSITIONS)
    held = held_world(tokenizer, eval_set)
    params = init_params(np.random.default_rng([args.seed, 2]), tokenizer.vocab_size, WORLD_POSITIONS, N_EMBD, N_LAYER)
    schedule = {"total_steps": args.steps, "learning_rate": LEARNING_RATE, "warmup_steps": args.steps // 10}
    learners = {side.side: side(flatten(params), N_HEAD, **schedule) for side in (NumpyLearner, TorchLearner)}
    directory = runs.new_run(args.output_dir, "compare")

    history = train_both(learners, data, held, args.steps, args.seed, directory)
    rewards = {side: all_rewards(learner.rewards, held.rows) for side, learner in learners.items()}
    results = {side: summary(reward, held.true) for side, reward in rewards.items()}
    agreed = report(history, rewards, results, held)
    write_figures(directory, history, held.true, rewards["numpy_ref"], results["numpy_ref"], params)
    runs.publish(directory, learners["numpy_ref"], tokenizer)
    runs.publish(directory / "torch_impl", learners["torch_impl"], tokenizer)
    print(
        f"\n{time.perf_counter() - began:.0f} s; {directory} holds metrics.jsonl, the model, torch_impl/ and figures/"
    )
    print(f"next: python -m numpy_ref score --model {directory} --prompt '{eval_set.prompts[0]}' \\")
    print("    " + " ".join(f"'{text}'" for text in eval_set.responses[0][:3]))
    return 0 if agreed else 1


def train_both(learners, data, held, steps, seed, directory):
    """Both learners on the same batches, each in a thread of its own; returns what was logged, a dict of lists"""
    checked, evaluated = (set(np.linspace(1, steps, n).astype(int).tolist()) for n in (CHECKS, EVALUATIONS))
    history: dict = {"step": [], "loss": {side: [] for side in learners}, "check": [], "eval": []}
    with ThreadPoolExecutor(2) as pool, progress_bar(unit="step", total=steps, desc="training both") as bar:
        for step in range(1, steps + 1):
            chosen = batch_indices(step - 1, len(data.rows), BATCH, seed)
            batch = *collate([data.rows[i] for i in chosen]), data.margin[chosen]
            if step in checked:
                history["check"].append((step, gradient_difference(learners["numpy_ref"], *batch)))
            results = pool.map(lambda learner, batch=batch: learner.step(*batch), learners.values())
            records = dict(zip(learners, results, strict=True))
            for side, (loss, reward, norm, _) in records.items():
                check_alive(step, loss, reward, norm)
                history["loss"][side].append(loss)
            if step in evaluated:
                rewards = pool.map(lambda learner: all_rewards(learner.rewards, held.rows), learners.values())
                scores = [summary(reward, held.true) for reward in rewards]
                history["eval"].append((step, dict(zip(learners, scores, strict=True))))
            runs.log(directory, line(step, history))
            bar.set_postfix_str(f"loss {records['numpy_ref'][0]:.3f}", refresh=False)
            bar.update()
    return history


def gradient_difference(learner, tokens, length, margin):
    """max |hand - autograd| over all parameters, in eps of the largest entry, both at the learner's weights"""
    _, by_hand, _ = loss_and_grads(learner.params, tokens, length, learner.n_head, target_margin=margin)
    model = model_of(learner.weights(), learner.n_head)
    autograd(model, torch.from_numpy(tokens), torch.from_numpy(length), target_margin=torch.from_numpy(margin))
    return stages.difference(flatten(by_hand), {name: p.grad.numpy() for name, p in model.named_parameters()})


def line(step, history):
    """A line of metrics.jsonl: both losses of a step, and the gradient check or evaluation if there was one"""
    entry = {"step": step, **{f"loss_{side}": losses[-1] for side, losses in history["loss"].items()}}
    if history["check"] and history["check"][-1][0] == step:
        entry["gradient_difference_eps"] = history["check"][-1][1]
    if history["eval"] and history["eval"][-1][0] == step:
        for side, scores in history["eval"][-1][1].items():
            entry |= {f"eval_{name}_{side}": value for name, value in scores.items()}
    return entry


def report(history, rewards, results, held):
    """Prints the result on one screen; true if both sides agree within the stated bounds"""
    losses = {side: np.array(values) for side, values in history["loss"].items()}
    hand, auto = losses["numpy_ref"], losses["torch_impl"]
    print("\nLosses of both runs; gradients at the same weights, in eps of the largest entry\n")
    rows = [["step", "loss, NumPy", "loss, PyTorch", "gradients differ by"]]
    rows += [
        [str(step), f"{hand[step - 1]:.12f}", f"{auto[step - 1]:.12f}", f"{eps:.1f} eps"]
        for step, eps in history["check"]
    ]
    print(*table(rows, aligned_left=0), sep="\n")
    worst = max(eps for _, eps in history["check"])
    early = float((abs(hand - auto) / abs(hand))[:10].max() / np.finfo(float).eps)
    agreed = worst <= BOUND and early <= LOSS_BOUND
    centred = [reward - reward.mean(1, keepdims=True) for reward in rewards.values()]
    verdict = "they agree" if agreed else "THEY DISAGREE"
    print(f"\n{verdict}: worst gradient difference {worst:.1f} eps (bound {BOUND}),", end=" ")
    print(f"first ten losses {early:.0f} eps (bound {LOSS_BOUND:,})")
    print(f"the two runs have drifted apart by {abs(hand[-1] - auto[-1]):.1e} in loss", end=" ")
    print(f"and {abs(centred[0] - centred[1]).max():.1e} in held-out reward\n")
    floors = world.floors(held.true)
    rows = [[f"held-out, {len(held.rows)} prompts", "NumPy", "PyTorch", "best reachable"]]
    for name, title in {
        "accuracy": "expected accuracy",
        "loss": "expected log loss",
        "brier": "expected Brier score",
    }.items():
        rows.append([title, *(f"{results[side][name]:.4f}" for side in results), f"{floors[name]:.4f}"])
    rows.append(["Spearman with the true reward", *(f"{results[side]['spearman']:.4f}" for side in results), "1.0000"])
    rows.append(["accuracy of the longer response", f"{held.baseline:.4f}", f"{held.baseline:.4f}", ""])
    print(*table(rows), sep="\n")
    return agreed


def write_figures(directory, history, true, learned, result, params):
    """Four pictures as PNG and SVG"""
    steps, names = (
        np.arange(1, len(history["loss"]["numpy_ref"]) + 1),
        {"numpy_ref": "NumPy, by hand", "torch_impl": "PyTorch, autograd"},
    )
    evaluated = np.array([step for step, _ in history["eval"]])
    curves = {
        names[side]: {"loss": (steps, np.array(losses))}
        | {
            f"eval_{name}": (evaluated, np.array([scores[side][name] for _, scores in history["eval"]]))
            for name in ("accuracy", "loss", "brier")
        }
        for side, losses in history["loss"].items()
    }
    floors = {f"eval_{name}": value for name, value in world.floors(true).items()}
    differences = tuple(np.array(column) for column in zip(*history["check"], strict=True))
    body = params["body"]
    pictures = {
        "gradient_regimes": lessons.gradient_regimes(),
        "training_curves": lessons.training_curves(curves, floors, differences, BOUND),
        "learned_against_true": lessons.learned_against_true(true, learned, result["spearman"]),
        "architecture": architecture(N_LAYER, N_HEAD, N_EMBD, len(body["tok"]["weight"]), len(body["pos"]["weight"])),
    }
    Path(directory, "figures").mkdir()
    for name, picture in pictures.items():
        style.save(picture, directory / "figures" / name)
