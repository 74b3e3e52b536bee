"""python -m numpy_ref COMMAND: the reward model by hand."""

import sys

from .bradley_terry import command as fit
from .check import command
from .cli.main import main
from .evaluation import command as evaluate
from .evaluation import normalize_command, score
from .learners import LanguageLearner, PolicyLearner
from .report import command as report
from .train import Learner
from .training import dpo, sft
from .training.command import REWARD_MODEL, of_arguments
from .training.options import SftOptions, TrainOptions

COMMANDS = {
    "sft": (
        "train a language model on chosen responses, to start a reward model from",
        *of_arguments(SftOptions, sft.LANGUAGE_MODEL, LanguageLearner),
    ),
    "train": (
        "train a reward model by hand-derived gradients",
        *of_arguments(TrainOptions, REWARD_MODEL, Learner),
    ),
    "dpo": (
        "train a language model on preferences, with itself as the reward model",
        *of_arguments(dpo.DpoOptions, dpo.POLICY, PolicyLearner),
    ),
    "fit": ("strengths of items from who beat whom how often", fit.add_arguments, fit.run),
    "check": ("check anybody's gradients, losses and metrics", command.add_arguments, command.run),
    "report": ("what a preference file holds, and what in it would mislead", report.add_arguments, report.run),
    "score": ("rank responses to a prompt by their rewards, or score a file", score.add_arguments, score.run),
    "evaluate": (
        "accuracy, calibration and length bias on held-out preferences",
        evaluate.add_arguments,
        evaluate.run,
    ),
    "normalize": (
        "shift and scale a model's rewards, folded into its weights",
        normalize_command.add_arguments,
        normalize_command.run,
    ),
}

if __name__ == "__main__":
    sys.exit(main("python -m numpy_ref", COMMANDS))
