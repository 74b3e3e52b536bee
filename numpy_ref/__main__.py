"""python -m numpy_ref COMMAND: the reward model by hand."""

import sys
from functools import partial

from . import score, train_command
from .commands import main
from .train import Learner

COMMANDS = {
    "train": (
        "train a reward model by hand-derived gradients",
        train_command.add_arguments,
        partial(train_command.run, learner_class=Learner),
    ),
    "score": ("rank responses to a prompt by their rewards", score.add_arguments, score.run),
}

if __name__ == "__main__":
    sys.exit(main("python -m numpy_ref", COMMANDS))
