"""Training on a pretrained model: all of its weights, or low-rank additions; frozen.py trains a head alone."""

from dataclasses import replace

import torch

from numpy_ref.cli.options import word
from numpy_ref.data.source import is_world
from numpy_ref.errors import InputError
from numpy_ref.storage import run as runs
from numpy_ref.training import command
from numpy_ref.training.stage import Start

from ..engine.processes import alone
from . import card, frozen
from .learner import BackboneLearner, add_lora, learning_rate, trained_share, write_model
from .model import load_backbone
from .options import EXACT, OURS
from .saved import note_on_loading


def run(options, device, **job):
    """Trains, saves and reports; returns the exit status"""
    if is_world(options) and not options.resume:
        raise InputError("a pretrained model reads preference files: give one with --data")
    for name, what in OURS.items():
        if name in options.given:
            raise InputError(f"{word(name)}: the pretrained model has its own {what}: leave it out")
    if options.freeze_backbone:
        alone("--freeze-backbone")
        return frozen.run(options, device)
    for name in sorted(options.given & set(EXACT)):
        raise InputError(f"{word(name)}: belongs to --freeze-backbone: give both, or leave it out")
    return command.run(options, PRETRAINED, BackboneLearner, device=device, **job)


def saved(run):
    """The state from which a run on a pretrained body continues; the body itself is loaded anew"""
    arrays, state = runs.read_state(run)
    return runs.Saved({}, 0, None, arrays, **state)


def begin(options, saved):
    """The Start of a pretrained model, with LoRA if it is asked for"""
    pooling, dtype = "last" if options.pooling == "auto" else options.pooling, getattr(torch, options.dtype)
    names = options.model_name_or_path, options.gguf_file
    model, tokenizer = load_backbone(*names, pooling, dtype, options.template)
    model.head.to(dtype)
    if options.use_peft:
        if options.fsdp:
            raise InputError("--fsdp: low-rank additions are few and are not spread: leave it out, or --use-peft")
        add_lora(model, options.lora_r, options.lora_alpha, options.lora_target_modules)
    trained, total = trained_share(model)
    print(f"model     {type(model.body).__name__}, {total:,} weights, of which {trained:,} are trained")
    rate = learning_rate(options) if saved is None else options.learning_rate
    options = replace(options, learning_rate=rate, max_length=min(options.max_length, tokenizer.max_length))
    return Start(options, (model,), tokenizer)


def report(directory, learner, held):
    """Prints the held-out scores, and how to load the model if transformers cannot"""
    measured = command.REWARD_MODEL.report(directory, learner, held)
    note_on_loading(learner.model, directory)
    return measured


def write_card(directory, learner, _weights, tokenizer, data, measured, options):
    """The card of a finished run"""
    card.write(directory, learner.model, tokenizer, data, measured, options, learner.versions())


PRETRAINED = command.REWARD_MODEL._replace(
    saved=saved,
    begin=begin,
    learner_options=lambda options: options.of_learner() | options.of_engine(),
    report=report,
    write_model=write_model,
    card=write_card,
)
