"""python -m torch_impl COMMAND: the reward model by autograd, and both side by side."""

import os
import sys
from functools import partial

if sys.argv[1:2] == ["compare"]:  # read when NumPy is loaded: on this small model two threads are slower than one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

try:
    import torch
except ModuleNotFoundError:
    sentence = "PyTorch is not installed: pip install 'reward-by-hand[torch]', or use python -m numpy_ref"
    print(f"python -m torch_impl: error: {sentence}", file=sys.stderr)
    sys.exit(2)

from numpy_ref.cli.main import main, positive_int
from numpy_ref.errors import InputError
from numpy_ref.evaluation import command as evaluate
from numpy_ref.evaluation import normalize_command, score
from numpy_ref.training import command as train_command
from numpy_ref.training import dpo, options, sft

from . import compare
from .backbone import command as backbone_command
from .backbone import normalize
from .backbone import saved as backbone
from .engine import learner
from .engine import processes as distributed
from .engine.learner import Engine
from .evaluation.score import torch_scorer
from .train import LanguageLearner, PolicyLearner


def add_device_arguments(parser):
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--threads", type=positive_int, help="PyTorch's own choice if left out")


def use_device(args):
    """Sets the threads and checks the device, which a user may have misspelled or not have"""
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        torch.empty(1, device=args.device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a PyTorch built without CUDA
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {args.device}: not to be had here ({reason}): use --device cpu") from None
    return torch.device(args.device)


def train_arguments(parser):
    options.add_arguments(parser)
    learner.add_arguments(parser)
    backbone_command.add_arguments(parser)
    add_device_arguments(parser)


def train(args):
    processes, device = distributed.start(args.device), use_device(args)
    pieces = args.gradient_accumulation_steps

    def run():
        how = {"device": device, "processes": processes, "pieces_each": pieces, **learner.options(args)}
        how["writes"] = processes.rank == 0
        if backbone_command.is_wanted(args):
            return backbone_command.run(args, pieces * processes.size, **how)
        return train_command.run(args, train_command.REWARD_MODEL, Engine, pieces * processes.size, **how)

    return distributed.end_together(run, processes)


def sft_arguments(parser):
    sft.add_arguments(parser)
    add_device_arguments(parser)


def run_sft(args):
    distributed.alone("sft")
    return train_command.run(args, sft.LANGUAGE_MODEL, LanguageLearner, device=use_device(args))


def dpo_arguments(parser):
    dpo.add_arguments(parser)
    add_device_arguments(parser)


def run_dpo(args):
    distributed.alone("dpo")
    return train_command.run(args, dpo.POLICY, PolicyLearner, device=use_device(args))


def using(command):
    """(add_arguments, run) of a command that uses a model, on a device"""

    def add_arguments(parser):
        command.add_arguments(parser)
        add_device_arguments(parser)

    def run(args):
        return command.run(args, partial(torch_scorer, device=use_device(args)))

    return add_arguments, run


def normalize_arguments(parser):
    normalize_command.add_arguments(parser)
    add_device_arguments(parser)


def run_normalize(args):
    write = normalize.write if backbone.is_saved(args.model) else None
    return normalize_command.run(args, partial(torch_scorer, device=use_device(args)), write)


COMMANDS = {
    "compare": ("train twice, by hand and by autograd, and compare", compare.add_arguments, compare.run),
    "sft": ("train a language model on chosen responses, to start a reward model from", sft_arguments, run_sft),
    "train": ("train a reward model by autograd", train_arguments, train),
    "dpo": ("train a language model on preferences, with itself as the reward model", dpo_arguments, run_dpo),
    "score": ("rank responses to a prompt by their rewards, or score a file", *using(score)),
    "normalize": ("set a model's mean reward to 0 and its deviation to 1", normalize_arguments, run_normalize),
    "evaluate": ("accuracy, calibration and length bias on held-out preferences", *using(evaluate)),
}

if __name__ == "__main__":
    sys.exit(main("python -m torch_impl", COMMANDS))
