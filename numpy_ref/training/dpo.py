"""The command `dpo` of both packages: a language model trained on preferences, without a reward model in between.

It starts from a model that `sft` made, which is also its reference unless --ref-model names another. The loop, the
saves and the resume are those of `train`. The logged names are those of TRL's DPOTrainer; here a pair whose implicit
rewards tie counts one half in the accuracies.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..batches import collate
from ..cli.main import at_least, positive
from ..cli.options import Options, option
from ..data import world
from ..data.tokenizer import SEP, TokenIds
from ..errors import InputError
from ..metrics import accuracy
from ..storage.checkpoint import load_model
from ..train import check_finite
from ..tree import flatten, tree_map
from . import data as preferences
from .log import Log
from .options import DataOptions, EvaluationOptions, OptimisationOptions, RunOptions, batch_size_in
from .stage import Stage
from .start import begin, saved_run

ECOSYSTEM = {"eval_accuracy": "eval_rewards/accuracies", "eval_margin": "eval_rewards/margins"}  # ours -> TRL's


@dataclass(frozen=True)
class PolicyOptions(Options):
    """The model that is trained, its reference, and its loss"""

    loss, ties, margin_per_rank = "pairwise", "drop", 0.0  # dpo offers no choice of these

    init_from: str | None = option("model", None, "the language model to train: one that sft made", metavar="DIR")
    ref_model: str | None = option(
        "model", None, "the reference model, of the same sizes; --init-from if left out", metavar="DIR"
    )
    dtype: str = option(
        "model", "float32", "floating-point type of the weights and of the arithmetic", choices=["float32", "float64"]
    )
    beta: float = option(
        "loss",
        0.1,
        "implicit reward in log-odds for each nat of log-ratio; a smaller value lets the model move farther from its "
        "reference",
        type=positive,
    )
    label_smoothing: float = option("loss", 0.0, "assumed share of flipped labels (cDPO)", type=at_least(0, 0.5))


@dataclass(frozen=True)
class DpoOptions(RunOptions, EvaluationOptions, OptimisationOptions, PolicyOptions, DataOptions):
    """The options of `dpo`"""

    learning_rate: float = option("optimisation", 1e-3, "peak learning rate", type=at_least(0))
    per_device_train_batch_size: int | None = batch_size_in("pairs")


def begin_from_language_model(options, saved):
    """The Start of the run that is resumed, or of --init-from"""
    if saved is None and options.init_from is None:
        raise InputError("--init-from: dpo starts from a language model, its reference too: name one that sft made")
    return begin(options, saved, top="unembedding")


def learner_options(options):
    """Keyword arguments of a PolicyLearner about its loss; a resumed run finds its reference in the save"""
    loss = {"beta": options.beta, "label_smoothing": options.label_smoothing}
    return loss if options.ref_model is None or options.resume else loss | {"reference": reference(options)}


def reference(options):
    """The flattened weights of --ref-model; InputError if they do not fit the model that is trained"""
    trained, heads, reads = load_model(options.init_from, ("unembedding",))
    params, n_head, tokenizer = load_model(options.ref_model, ("unembedding",))
    if tokenizer != reads:
        raise InputError(
            f"--ref-model {options.ref_model}: reads {described(tokenizer)}, but {options.init_from} reads "
            f"{described(reads)}: take a reference with the same vocabulary"
        )
    shapes = [{name: leaf.shape for name, leaf in flatten(tree).items()} for tree in (trained, params)]
    if n_head != heads or shapes[0] != shapes[1]:
        raise InputError(
            f"--ref-model {options.ref_model}: has other sizes than {options.init_from}: take one of the same"
        )
    return flatten(tree_map(lambda leaf: leaf.astype(options.dtype), params))


def described(tokenizer):
    """A tokenizer as messages name it, for example: bytes (a vocabulary of 260)"""
    return f"{tokenizer.name} (a vocabulary of {tokenizer.vocab_size})"


def load(options, tokenizer):
    """The data of `dpo`, pairs        -> Loaded"""
    loaded = preferences.load(options, tokenizer)
    where = f"--data {options.data}" if options.data else f"--dataset-name {options.dataset_name}"
    if isinstance(loaded.tokenizer, TokenIds):
        raise InputError(f"{where}: token ids do not say where the response begins: dpo needs texts")
    if loaded.data.margin.any():
        raise InputError(f"{where}: has margins, which dpo cannot use: drop the column margin")
    return loaded


def starts(tokens):
    """Where each response begins: after the only sep, because no text can spell one        (B, K, T) -> (B, K)"""
    return 1 + (tokens == SEP).argmax(-1)


def learn(learner, data, chosen, step):
    """One update from the pairs `chosen`"""
    tokens, length = collate([data.rows[i] for i in chosen])
    loss, rewards, logps, norm, lr = learner.step(tokens, length, starts(tokens))
    check_finite(step, loss, norm)
    return {"loss": loss, "rewards": rewards, "logps": logps, "grad_norm": norm, "learning_rate": lr}


class PairLog(Log):
    """Averages over all pairs of the logged steps, under the names of TRL's DPOTrainer"""

    arrays = ("rewards", "logps")

    def summed_up(self, records):
        """The mean loss, implicit rewards β log(π / π_ref) and log-probabilities of the pairs in these steps"""
        loss = np.average([record["loss"] for record in records], weights=[len(r["rewards"]) for r in records])
        rewards, logps = (np.concatenate([record[name] for record in records]).astype(float) for name in self.arrays)
        margin, sides = rewards[:, 0] - rewards[:, 1], ("chosen", "rejected")
        return {
            "loss": float(loss),
            **{f"rewards/{side}": float(rewards[:, i].mean()) for i, side in enumerate(sides)},
            "rewards/accuracies": accuracy(margin),
            "rewards/margins": float(margin.mean()),
            **{f"logps/{side}": float(logps[:, i].mean()) for i, side in enumerate(sides)},
        }


def evaluate(learner, held):
    """How well the implicit rewards tell held-out pairs apart; `eval_loss` is Bradley-Terry's, without smoothing"""
    result = preferences.evaluate(lambda tokens, length: learner.implicit_rewards(tokens, length, starts(tokens)), held)
    return {ECOSYSTEM.get(name, name): value for name, value in result.items()}


def report(directory, learner, held):
    """Prints the final scores, next to the values to compare them with"""
    if held is None:
        print("held-out  nothing was held out: give --eval-data FILE to see how the model does on new pairs")
    else:
        result = evaluate(learner, held)
        best = {} if held.true is None else world.floors(held.true)
        for name, title in {"rewards/accuracies": "accuracy", "loss": "log loss"}.items():
            reachable = f"   best reachable {best[title.replace('log ', '')]:.4f}" if best else ""
            print(f"held-out  {title:<9}{result[f'eval_{name}']:.4f}{reachable}")
        print(f"baseline  the longer response wins {held.baseline:.4f}, the reference has a loss of {math.log(2):.4f}")
    print(f"saved     {directory}")


POLICY = Stage(
    command="dpo",
    saved=partial(saved_run, top="unembedding", copies=("first", "second", "reference")),
    begin=begin_from_language_model,
    learner_options=learner_options,
    load=load,
    first_weights=lambda *_: None,
    learn=learn,
    log=PairLog,
    evaluate=evaluate,
    metrics={"loss": False, "rewards/accuracies": True, "rewards/margins": True},
    report=report,
)
