"""What differs between the commands that train, and what a training starts from."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..data.tokenizer import Tokenizer
from ..storage import run as runs


class Start(NamedTuple):
    """What a training starts from

    initial    a learner's first arguments: (flattened weights, number of heads), or (a pretrained model,); None where
               weights are still to be drawn
    tokenizer  of the model that is there already, or None
    """

    options: Any
    initial: tuple | None = None
    tokenizer: Tokenizer | None = None


class Stage(NamedTuple):
    """What differs between the commands that train"""

    command: str
    saved: Callable  # a run's directory -> runs.Saved
    begin: Callable  # (options, Saved or None) -> Start
    learner_options: Callable  # options -> what the learner is told beside weights and steps
    load: Callable  # (options, tokenizer or None) -> Loaded
    first_weights: Callable  # (options, tokenizer) -> random weights, where there are none
    learn: Callable  # (learner, data, indices, step) -> record
    log: Callable  # () -> what collects records
    evaluate: Callable  # (learner, held) -> {name: value}
    metrics: dict  # what may choose the best evaluation: {name: whether a larger value is better}
    report: Callable  # (directory, learner, held): prints
    write_model: Callable = runs.write_model
    card: Callable | None = None  # (directory, learner, weights, tokenizer, data, measured, options): writes README.md
