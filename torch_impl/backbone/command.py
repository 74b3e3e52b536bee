"""The options of `train` for a pretrained body, and training all of it or low-rank additions; frozen: see _frozen."""

from pathlib import Path

import torch

from numpy_ref.cli.main import positive_int
from numpy_ref.data.source import is_world
from numpy_ref.errors import InputError
from numpy_ref.files import read_json
from numpy_ref.storage import run as runs
from numpy_ref.storage.checkpoint import newest
from numpy_ref.training import command

from ..engine.processes import alone
from . import card, frozen
from .learner import BackboneLearner, add_lora, learning_rate, trained_share
from .model import load_backbone
from .saved import ONLY_HERE

OURS = {"n_layer": "number of layers", "n_head": "number of heads", "n_embd": "number of channels"}
OURS |= {"vocab_size": "vocabulary", "init_from": "weights"}  # options of the small models built here

ALONE_MEANINGLESS = {"pooling", "use_peft", "lora_r", "lora_alpha", "lora_target_modules", "freeze_backbone"}
ALONE_MEANINGLESS |= {"template", "layer", "ridge", "folds"}


def add_arguments(parser):
    """The options that name a pretrained model and say what of it is trained"""
    group = parser.add_argument_group("pretrained model (needs the extra hf)")
    group.add_argument("--model-name-or-path", metavar="NAME", help="a model's directory, a hub id, or smollm2")
    group.add_argument("--gguf-file", metavar="FILE", help="a GGUF file, or an installed package that holds one")
    group.add_argument(
        "--pooling",
        choices=["auto", "last", "mean"],
        default="last",
        help="read the state of the last token, as transformers does, or the mean over all tokens, which transformers "
        "cannot read; auto: with --freeze-backbone whichever does better on prompts left out of --data",
    )
    group.add_argument(
        "--template",
        metavar="TEXT",
        type=lambda text: text.replace("\\n", "\n"),
        help="what prompt and response are put into, with {prompt} and {response}, \\n for a new line, and any of the "
        "model's special tokens; prompt, new line, response and eos if left out",
    )
    group.add_argument("--use-peft", action="store_true", help="train low-rank additions (LoRA) and the head alone")
    group.add_argument("--lora-r", type=positive_int, default=16, help="their rank")
    group.add_argument("--lora-alpha", type=positive_int, default=32, help="they are scaled by alpha / r")
    group.add_argument("--lora-target-modules", metavar="NAME", nargs="+", help="peft's choice if left out; all-linear")
    frozen.add_arguments(parser)


def is_wanted(args):
    """Does the command line, or the run that it resumes, name a pretrained model?"""
    if args.resume and Path(args.resume, "latest").is_file():
        state = read_json(newest(Path(args.resume)) / "state.json")
        args = state.get("options", {}) if isinstance(state, dict) else {}
        return bool(args.get("model_name_or_path") or args.get("gguf_file"))
    wanted = args.model_name_or_path or args.gguf_file
    needless = ALONE_MEANINGLESS & args.given
    if needless and not wanted and not args.resume:
        option = "--" + min(needless).replace("_", "-")
        raise InputError(f"{option}: speaks of a pretrained model: name one with --model-name-or-path or --gguf-file")
    return bool(wanted)


def run(args, pieces, **how):
    """Trains, saves and reports; returns the exit status"""
    if is_world(args) and not args.resume:
        raise InputError("a pretrained model reads preference files: give one with --data")
    for name, what in OURS.items():
        if name in args.given:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option}: the pretrained model has its own {what}: leave it out")
    if args.freeze_backbone:
        alone("--freeze-backbone")
        return frozen.run(args, how["device"])
    for name in sorted({"layer", "ridge", "folds"} & args.given):
        option = "--" + name.replace("_", "-")
        raise InputError(f"{option}: belongs to --freeze-backbone: give both, or leave it out")
    return command.run(args, PRETRAINED, BackboneLearner, pieces, **how)


def saved(run):
    """What a run on a pretrained body goes on from: its state; the body is loaded again as it was at the start"""
    arrays, state = runs.read_state(run)
    return runs.Saved({}, 0, None, arrays, **state)


def begin(args, saved):
    """(the model, None, its tokenizer), with LoRA if it is asked for"""
    if saved is None:
        args.learning_rate = learning_rate(args)
    pooling = "last" if args.pooling == "auto" else args.pooling
    dtype = getattr(torch, args.dtype)
    model, tokenizer = load_backbone(args.model_name_or_path, args.gguf_file, pooling, dtype, args.template)
    model.head.to(dtype)
    if args.use_peft:
        if args.fsdp:
            raise InputError("--fsdp: low-rank additions are few and are not spread: leave it out, or --use-peft")
        add_lora(model, args.lora_r, args.lora_alpha, args.lora_target_modules)
    args.max_length = min(args.max_length, tokenizer.max_length)
    trained, total = trained_share(model)
    print(f"model     {type(model.body).__name__}, {total:,} weights, of which {trained:,} are trained")
    return model, None, tokenizer


def report(directory, learner, held):
    """The held-out scores, and who can read the model where transformers cannot"""
    measured = command.REWARD_MODEL.report(directory, learner, held)
    if learner.model.pooling != "last":
        print(ONLY_HERE.format(directory=directory))
    return measured


def write_card(directory, learner, _weights, tokenizer, data, measured, options):
    """The card of a finished run"""
    card.write(directory, learner.model, tokenizer, data, measured, options, learner.versions())


PRETRAINED = command.REWARD_MODEL._replace(saved=saved, begin=begin, report=report, card=write_card)
