"""python -m numpy_ref COMMAND: the reward model by hand.

Each function below imports one command and returns (add_arguments, run): a command does not wait for the others.
"""

import sys

from .cli.main import main


def sft():
    from .learners import LanguageLearner
    from .training.command import of_arguments
    from .training.options import SftOptions
    from .training.sft import LANGUAGE_MODEL

    return of_arguments(SftOptions, LANGUAGE_MODEL, LanguageLearner)


def train():
    from .train import Learner
    from .training.command import REWARD_MODEL, of_arguments
    from .training.options import TrainOptions

    return of_arguments(TrainOptions, REWARD_MODEL, Learner)


def dpo():
    from .learners import PolicyLearner
    from .training.command import of_arguments
    from .training.dpo import POLICY, DpoOptions

    return of_arguments(DpoOptions, POLICY, PolicyLearner)


def fit():
    from .bradley_terry.command import add_arguments, run

    return add_arguments, run


def check():
    from .check.command import add_arguments, run

    return add_arguments, run


def report():
    from .report.command import add_arguments, run

    return add_arguments, run


def score():
    from .evaluation.score import add_arguments, run

    return add_arguments, run


def evaluate():
    from .evaluation.command import add_arguments, run

    return add_arguments, run


def normalize():
    from .evaluation.normalize_command import add_arguments, run

    return add_arguments, run


COMMANDS = {
    "sft": ("train a language model on chosen responses, to start a reward model from", sft),
    "train": ("train a reward model by hand-derived gradients", train),
    "dpo": ("train a language model on preferences, with itself as the reward model", dpo),
    "fit": ("strengths of items from who beat whom how often", fit),
    "check": ("check anybody's gradients, losses and metrics", check),
    "report": ("what a preference file holds, and what in it would mislead", report),
    "score": ("rank responses to a prompt by their rewards, or score a file", score),
    "evaluate": ("accuracy, calibration and length bias on held-out preferences", evaluate),
    "normalize": ("shift and scale a model's rewards, folded into its weights", normalize),
}

if __name__ == "__main__":
    sys.exit(main("python -m numpy_ref", COMMANDS))
