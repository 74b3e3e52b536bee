"""python -m numpy_ref COMMAND: the reward model by hand."""

import sys
from functools import partial

from . import check, evaluate, fit, normalisation_command, report, score, sft, train_command, train_options
from .commands import main
from .train import Learner

COMMANDS = {
    "sft": (
        "train a language model on chosen responses, to start a reward model from",
        sft.add_arguments,
        partial(train_command.run, stage=sft.LANGUAGE_MODEL, learner_class=sft.LanguageLearner),
    ),
    "train": (
        "train a reward model by hand-derived gradients",
        train_options.add_arguments,
        partial(train_command.run, stage=train_command.REWARD_MODEL, learner_class=Learner),
    ),
    "fit": ("strengths of items from who beat whom how often", fit.add_arguments, fit.run),
    "check": ("check anybody's gradients, losses and metrics", check.add_arguments, check.run),
    "report": ("what a preference file holds, and what in it would mislead", report.add_arguments, report.run),
    "score": ("rank responses to a prompt by their rewards, or score a file", score.add_arguments, score.run),
    "evaluate": (
        "accuracy, calibration and length bias on held-out preferences",
        evaluate.add_arguments,
        evaluate.run,
    ),
    "normalize": (
        "shift and scale a model's rewards, folded into its weights",
        normalisation_command.add_arguments,
        normalisation_command.run,
    ),
}

if __name__ == "__main__":
    sys.exit(main("python -m numpy_ref", COMMANDS))
