"""A trained reward model in Python: scores, probabilities, an evaluation.

model = numpy_ref.load("runs/first")
model.score("2 + 2?", ["4", "5"])            # rewards, in log-odds
model.probability("2 + 2?", "4", "5")        # that the first is preferred
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..data.rows import Rows, as_file
from ..errors import InputError
from ..losses import sigmoid
from .command import measure
from .score import Scorer, numpy_scorer, scores
from .score_files import scored_rows


class TrainedModel:
    """What `load` and `train_reward_model` return, the same in both packages

    Rewards have the unit of log-odds: only their differences within one prompt mean something.
    """

    def __init__(self, scorer: Scorer, directory: str | os.PathLike[str], side: str) -> None:
        self.scorer, self.directory, self.side = scorer, os.fspath(directory), side

    def __repr__(self) -> str:
        reads = f"reads {self.scorer.tokenizer.name}, at most {self.scorer.max_length:,} tokens"
        return f"<reward model {self.directory!r}, {self.side}: {reads}>"

    def score(self, prompt: str, responses: Sequence[str]) -> np.ndarray:
        """The rewards of responses to one prompt        -> (K,)

        InputError for an empty response, and for one that the model cannot read to its end.
        """
        if isinstance(responses, str):
            raise InputError("responses is one text: give a list of texts")
        return scores(self.scorer, prompt, list(responses))

    def probability(self, prompt: str, first: str, second: str) -> float:
        """P(first is preferred to second) = σ(reward of first - reward of second)"""
        a, b = self.score(prompt, [first, second])
        return float(sigmoid(a - b))

    def score_rows(self, rows: Rows) -> list[dict[str, Any]]:
        """The rows of a file or a list, each with what `score --data` adds: reward, or rewards, order, best_probability

        A row that the model cannot read to its end gets the reward None, and a reason.
        """
        with as_file(rows) as path:
            return [json.loads(line) for _, line in scored_rows(self.scorer, path)]

    def evaluate(
        self, rows: Rows | None = None, seed: int = 0, bins: int = 10, against: "TrainedModel | None" = None
    ) -> Mapping[str, Any]:
        """Every figure of `evaluate --json` on held-out comparisons: accuracy, loss, intervals, calibration, length

        rows     a path, or a list of dicts like the rows of a file; the built-in world's if left out
        seed     random seed of the bootstrap and of the built-in world
        against  another model: ["against"] says whether it has a better accuracy and loss on the same pairs
        """
        other = against and (against.directory, against.scorer)
        with nullcontext() if rows is None else as_file(rows) as path:
            return measure(self.scorer, path, other=other, seed=seed, bins=bins)


def load(directory: str | os.PathLike[str]) -> TrainedModel:
    """The model of a run or model directory of either package, by numpy_ref; InputError if there is none"""
    return TrainedModel(numpy_scorer(directory), directory, "numpy_ref")
