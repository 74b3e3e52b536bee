"""python -m torch_impl COMMAND: the reward model by autograd, and both side by side."""

import os
import sys

if sys.argv[1:2] == ["compare"]:  # read when NumPy is loaded: on this small model two threads are slower than one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch

from numpy_ref import score, train_command
from numpy_ref.commands import main, positive_int
from numpy_ref.errors import InputError

from . import backbone_command, compare
from .backbone import is_saved, load_saved
from .train import Learner, model_of


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
    train_command.add_arguments(parser)
    backbone_command.add_arguments(parser)
    add_device_arguments(parser)


def train(args):
    device = use_device(args)
    if backbone_command.is_wanted(args):
        return backbone_command.run(args, device)
    return train_command.run(args, Learner, device=device)


def score_arguments(parser):
    score.add_arguments(parser)
    add_device_arguments(parser)


def run_score(args):
    device = use_device(args)

    def rewards_of(weights, n_head):
        model = model_of(weights, n_head).to(device)

        def rewards(tokens, length):
            with torch.no_grad():
                return model(torch.from_numpy(tokens).to(device), torch.from_numpy(length).to(device)).cpu().numpy()

        return rewards

    def load(directory):
        if is_saved(directory):
            return load_saved(directory, device)
        return score.loaded(directory, rewards_of)

    return score.run(args, load)


COMMANDS = {
    "compare": ("train twice, by hand and by autograd, and compare", compare.add_arguments, compare.run),
    "train": ("train a reward model by autograd", train_arguments, train),
    "score": ("rank responses to a prompt by their rewards", score_arguments, run_score),
}

if __name__ == "__main__":
    sys.exit(main("python -m torch_impl", COMMANDS))
