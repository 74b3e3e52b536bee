"""python -m torch_impl COMMAND: the reward model by autograd, and a comparison with the one by hand.

Each function below imports one command and returns (add_arguments, run), so no command waits for another's imports.
"""

import os
import sys
from functools import partial

if sys.argv[1:2] == ["compare"]:  # read when NumPy is loaded: on this small model two threads are slower than one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

try:
    import torch  # noqa: F401
except ModuleNotFoundError:
    sentence = "PyTorch is not installed: pip install 'reward-by-hand[torch]', or use python -m numpy_ref"
    print(f"python -m torch_impl: error: {sentence}", file=sys.stderr)
    sys.exit(2)

from numpy_ref.cli.main import main


def compare():
    from .compare import add_arguments, run

    return add_arguments, run


def sft():
    from .training.command import SFT

    return SFT


def train():
    from .training.command import TRAIN

    return TRAIN


def dpo():
    from .training.command import DPO

    return DPO


def score():
    from numpy_ref.evaluation import score

    return using(score)


def evaluate():
    from numpy_ref.evaluation import command

    return using(command)


def normalize():
    from numpy_ref.evaluation import normalize_command

    from .backbone import normalize, saved

    def write_of(args):
        return {"write": normalize.write} if saved.is_saved(args.model) else {}

    return using(normalize_command, write_of)


def using(command, more=lambda _: {}):
    """(add_arguments, run) of a command of numpy_ref that uses a model, with a device; more(args): keywords of run"""
    from .engine.options import DeviceOptions
    from .evaluation.score import torch_scorer
    from .training.command import use_device

    def add_arguments(parser):
        command.add_arguments(parser)
        DeviceOptions.add_arguments(parser)

    def run(args):
        return command.run(args, partial(torch_scorer, device=use_device(args)), **more(args))

    return add_arguments, run


COMMANDS = {
    "compare": ("train twice, by hand and by autograd, and compare", compare),
    "sft": ("train a language model on chosen responses, to start a reward model from", sft),
    "train": ("train a reward model by autograd", train),
    "dpo": ("train a language model on preferences, with itself as the reward model", dpo),
    "score": ("rank responses to a prompt by their rewards, or score a file", score),
    "normalize": ("shift and scale a model's rewards, folded into its weights", normalize),
    "evaluate": ("accuracy, calibration and length bias on held-out preferences", evaluate),
}

if __name__ == "__main__":
    sys.exit(main("python -m torch_impl", COMMANDS))
