"""python -m numpy_ref COMMAND: the reward model by hand.

A command is imported when it is called, so no command waits for another's imports.
"""

import sys
from importlib import import_module

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


def imported(module):
    """load() of a command whose add_arguments and run are those of a module"""

    def load():
        command = import_module(module, __package__)
        return command.add_arguments, command.run

    return load


COMMANDS = {
    "sft": ("train a language model on chosen responses, to start a reward model from", sft),
    "train": ("train a reward model by hand-derived gradients", train),
    "dpo": ("train a language model on preferences, with itself as the reward model", dpo),
    "fit": ("strengths of items from who beat whom how often", imported(".bradley_terry.command")),
    "check": ("check anybody's gradients, losses and metrics", imported(".check.command")),
    "report": ("what a preference file holds, and what in it would mislead", imported(".report.command")),
    "score": ("rank responses to a prompt by their rewards, or score a file", imported(".evaluation.score")),
    "evaluate": ("accuracy, calibration and length bias on held-out preferences", imported(".evaluation.command")),
    "normalize": (
        "shift and scale a model's rewards, folded into its weights",
        imported(".evaluation.normalize_command"),
    ),
}

if __name__ == "__main__":
    sys.exit(main("python -m numpy_ref", COMMANDS))
