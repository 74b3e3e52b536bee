"""Training from Python: the command `train`, its options as keyword arguments, and a model in return.

rows = [{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}]
model = numpy_ref.train_reward_model(rows, max_steps=20)
model.score("2 + 2?", ["4", "5"])
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..data.rows import Rows, as_file
from ..errors import InputError
from ..evaluation.model import TrainedModel, load
from ..train import Learner
from .command import REWARD_MODEL, run
from .options import TrainOptions

Place = str | os.PathLike[str] | None


def train_reward_model(
    data: Rows | None, output_dir: Place = None, eval_data: Rows | None = None, **options: Any
) -> TrainedModel:
    """Trains a reward model by hand-derived gradients, as `python -m numpy_ref train` does

    data, eval_data  a path, or a list of dicts like the rows of a file; None is the built-in world
    output_dir       a new directory for the run; None keeps the model in memory only
    options          the command's options: max_steps=100, learning_rate=1e-3, loss="kwise", ...

    InputError, in the command's own words, for a misspelled option, a value out of range or a row that cannot be read.
    """
    return trained(
        lambda values: run(TrainOptions.of(values), REWARD_MODEL, Learner), load, data, output_dir, eval_data, options
    )


def trained(
    train: Callable, load_model: Callable, data: Rows | None, output_dir: Place, eval_data: Rows | None, options: dict
) -> TrainedModel:
    """Runs train({option: value}) on files or rows, and loads the model that it saved"""
    with ExitStack() as until_the_end:
        values = {name: value for name, value in options.items() if value is not None}
        for name, rows in {"data": data, "eval_data": eval_data}.items():
            if rows is not None:
                values[name] = until_the_end.enter_context(as_file(rows))
        directory = options.get("resume") or output_dir
        if directory is None:
            directory = Path(until_the_end.enter_context(tempfile.TemporaryDirectory()), "run")
        if "resume" not in values:
            values["output_dir"] = os.fspath(directory)
        elif output_dir is not None:
            raise InputError("output_dir: a run is resumed in its own directory: leave it out")
        if train(values) == 130:
            raise KeyboardInterrupt
        model = load_model(directory)
    model.directory = model.directory if Path(directory).exists() else "in memory"
    return model
