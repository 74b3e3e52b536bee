"""The command `dpo` of both packages: a language model trained on preferences, without a reward model in between.

It starts from a model that `sft` made, which is its reference too. The loop, the saves and the resume are those of
`train`. The logged names are those of TRL's DPOTrainer; here a pair whose implicit rewards tie counts one half in the
accuracies.
"""

import math
from functools import partial

import numpy as np

from ..batches import collate
from ..cli.main import at_least, positive
from ..data import world
from ..data.tokenizer import SEP, TokenIds
from ..errors import InputError
from ..metrics import accuracy
from ..storage.checkpoint import load_model
from ..storage.run import load_state
from ..train import Log, check_finite
from ..tree import flatten, tree_map
from . import data as preferences
from .command import Stage, begin
from .options import data_arguments, optimisation_arguments, run_arguments

ECOSYSTEM = {"eval_accuracy": "eval_rewards/accuracies", "eval_margin": "eval_rewards/margins"}  # ours -> TRL's


def add_arguments(parser):
    """The options of `dpo`"""
    data_arguments(parser)
    model = parser.add_argument_group("model")
    model.add_argument("--init-from", metavar="DIR", help="the language model to train: one that sft made")
    model.add_argument("--ref-model", metavar="DIR", help="the reference, of the same sizes; --init-from if left out")
    model.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of weights and arithmetic")
    loss = parser.add_argument_group("loss")
    loss.add_argument(
        "--beta",
        type=positive,
        default=0.1,
        help="implicit reward, in log-odds, of a nat of log-ratio: the smaller, the farther from the reference",
    )
    loss.add_argument(
        "--label-smoothing", type=at_least(0, 0.5), default=0.0, help="share of labels taken to be flipped (cDPO)"
    )
    optimisation_arguments(parser)
    run_arguments(parser)
    parser.set_defaults(learning_rate=1e-3, loss="pairwise", ties="drop", margin_per_rank=0.0)


def begin_from_language_model(args, saved):
    """(flattened weights, number of heads, tokenizer) of the run that is resumed, or of --init-from"""
    if saved is None and args.init_from is None:
        raise InputError("--init-from: dpo starts from a language model, its reference too: name one that sft made")
    return begin(args, saved, top="unembedding", converted=None)


def loss_options(args):
    """What a PolicyLearner is told about its loss; a run that is resumed has its reference in its save"""
    options = {"beta": args.beta, "label_smoothing": args.label_smoothing}
    return options if args.ref_model is None or args.resume else options | {"reference": reference(args)}


def reference(args):
    """The flattened weights of --ref-model; InputError if they do not fit the model that is trained"""
    trained, heads, reads = load_model(args.init_from, ("unembedding",))
    params, n_head, tokenizer = load_model(args.ref_model, ("unembedding",))
    if tokenizer != reads:
        raise InputError(
            f"--ref-model {args.ref_model}: reads {described(tokenizer)}, but {args.init_from} reads "
            f"{described(reads)}: take a reference with the same vocabulary"
        )
    shapes = [{name: leaf.shape for name, leaf in flatten(tree).items()} for tree in (trained, params)]
    if n_head != heads or shapes[0] != shapes[1]:
        raise InputError(f"--ref-model {args.ref_model}: has other sizes than {args.init_from}: take one of the same")
    return flatten(tree_map(lambda leaf: leaf.astype(args.dtype), params))


def described(tokenizer):
    """bytes (a vocabulary of 260)"""
    return f"{tokenizer.name} (a vocabulary of {tokenizer.vocab_size})"


def load(args, tokenizer):
    """(pairs, held-out preferences or None, tokenizer, lines about them)"""
    data, held, tokenizer, lines = preferences.load(args, tokenizer)
    where = f"--data {args.data}" if args.data else f"--dataset-name {args.dataset_name}"
    if isinstance(tokenizer, TokenIds):
        raise InputError(f"{where}: token ids do not say where the response begins: dpo needs texts")
    if data.margin.any():
        raise InputError(f"{where}: has margins, which dpo cannot use: drop the column margin")
    return data, held, tokenizer, lines


def starts(tokens):
    """Where each response begins: behind the only sep, which no text can spell        (B, K, T) -> (B, K)"""
    return 1 + (tokens == SEP).argmax(-1)


def learn(learner, data, chosen, step):
    """One update from the pairs `chosen`"""
    tokens, length = collate([data.rows[i] for i in chosen])
    loss, rewards, logps, norm, lr = learner.step(tokens, length, starts(tokens))
    check_finite(step, loss, norm)
    return {"loss": loss, "rewards": rewards, "logps": logps, "grad_norm": norm, "learning_rate": lr}


class PairLog(Log):
    """Sums steps up over all their pairs, under the names of TRL's DPOTrainer"""

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
    """Prints what a user wants to know at the end, beside what it can be compared with"""
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
    saved=partial(load_state, copies=("first", "second", "reference")),
    begin=begin_from_language_model,
    load=load,
    first_weights=lambda *_: None,
    options=loss_options,
    learn=learn,
    log=PairLog,
    evaluate=evaluate,
    report=report,
)
