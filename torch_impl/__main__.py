"""python -m torch_impl COMMAND: the reward model by autograd, and both side by side."""

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
from numpy_ref.evaluation import command as evaluate
from numpy_ref.evaluation import normalize_command, score

from . import compare
from .backbone import normalize
from .backbone import saved as backbone
from .engine.options import DeviceOptions
from .evaluation.score import torch_scorer
from .training import command as training


def using(command):
    """(add_arguments, run) of a command that uses a model, on a device"""

    def add_arguments(parser):
        command.add_arguments(parser)
        DeviceOptions.add_arguments(parser)

    def run(args):
        return command.run(args, partial(torch_scorer, device=training.use_device(args)))

    return add_arguments, run


def normalize_arguments(parser):
    normalize_command.add_arguments(parser)
    DeviceOptions.add_arguments(parser)


def run_normalize(args):
    write = normalize.write if backbone.is_saved(args.model) else None
    return normalize_command.run(args, partial(torch_scorer, device=training.use_device(args)), write)


COMMANDS = {
    "compare": ("train twice, by hand and by autograd, and compare", compare.add_arguments, compare.run),
    "sft": ("train a language model on chosen responses, to start a reward model from", *training.SFT),
    "train": ("train a reward model by autograd", *training.TRAIN),
    "dpo": ("train a language model on preferences, with itself as the reward model", *training.DPO),
    "score": ("rank responses to a prompt by their rewards, or score a file", *using(score)),
    "normalize": ("set a model's mean reward to 0 and its deviation to 1", normalize_arguments, run_normalize),
    "evaluate": ("accuracy, calibration and length bias on held-out preferences", *using(evaluate)),
}

if __name__ == "__main__":
    sys.exit(main("python -m torch_impl", COMMANDS))
