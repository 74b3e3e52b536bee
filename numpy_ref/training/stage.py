"""Stage: what differs between `train`, `sft` and `dpo`. Start: what a training starts from."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..data.tokenizer import Tokenizer
from ..storage import run as runs


class Start(NamedTuple):
    """What a training starts from

    initial    the first arguments of the learner: (flattened weights, number of heads), or (a pretrained model,);
               None if the weights are to be drawn at random
    tokenizer  the tokenizer of an existing model, or None
    """

    options: Any
    initial: tuple | None = None
    tokenizer: Tokenizer | None = None


class Stage(NamedTuple):
    """Everything that differs between the commands that train"""

    command: str
    saved: Callable  # a run's directory -> run.Saved
    begin: Callable  # (options, Saved or None) -> Start
    learner_options: Callable  # options -> further keyword arguments of the learner
    load: Callable  # (options, tokenizer or None) -> Loaded
    first_weights: Callable  # (options, tokenizer) -> random weights, for a new model
    learn: Callable  # (learner, data, indices, step) -> record
    log: Callable  # () -> a new Log
    evaluate: Callable  # (learner, held) -> {name: value}
    metrics: dict  # for --metric-for-best-model: {name: whether a larger value is better}
    report: Callable  # (directory, learner, held): prints
    write_model: Callable = runs.write_model
    card: Callable | None = None  # (directory, learner, weights, tokenizer, data, measured, options): writes README.md
