"""python -m numpy_ref COMMAND: the reward model by hand."""

import sys
from functools import partial

from . import train
from .bradley_terry import command as fit
from .check import command
from .cli.main import main
from .evaluation import command as evaluate
from .evaluation import normalize_command, score
from .report import command as report
from .train import Learner, PolicyLearner
from .training import command as train_command
from .training import dpo, options, sft

COMMANDS = {
    "sft": (
        "train a language model on chosen responses, to start a reward model from",
        sft.add_arguments,
        partial(train_command.run, stage=sft.LANGUAGE_MODEL, learner_class=train.LanguageLearner),
    ),
    "train": (
        "train a reward model by hand-derived gradients",
        options.add_arguments,
        partial(train_command.run, stage=train_command.REWARD_MODEL, learner_class=Learner),
    ),
    "dpo": (
        "train a language model on preferences, with itself as the reward model",
        dpo.add_arguments,
        partial(train_command.run, stage=dpo.POLICY, learner_class=PolicyLearner),
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
