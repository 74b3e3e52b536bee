"""Averages over the steps between two lines of metrics.jsonl."""

import math

import numpy as np

from ..batches import stacked
from ..errors import InputError
from ..metrics import summary
from ..ranking import ABSENT


class Log:
    """Collects the records of steps; averages them over all pairs, not as a mean of batch means"""

    arrays: tuple = ("rewards", "labels")
    numbers: tuple = ("loss", "grad_norm", "learning_rate", "epoch")

    def __init__(self):
        self.records = []

    def add(self, record):
        self.records.append(record)

    def state(self):
        """The records not yet flushed, ready for JSON, which preserves every float exactly"""
        return [record | {name: record[name].tolist() for name in self.arrays} for record in self.records]

    def restore(self, state):
        """Restores what `state` returned; InputError if it is damaged"""
        try:
            self.records = [self._restored(record) for record in state]
        except (TypeError, KeyError, ValueError, OverflowError):
            raise InputError('the save\'s "unlogged" is no list of logged steps: the checkpoint is damaged') from None

    def _restored(self, record):
        arrays = {name: np.array(record[name]) for name in self.arrays}
        fit = all(array.ndim == 2 and array.dtype.kind in "if" and array.size for array in arrays.values())
        same = len({array.shape for array in arrays.values()}) <= 1
        if not fit or not same or not all(math.isfinite(record[name]) for name in self.numbers):
            raise ValueError
        return record | arrays

    def flush(self, step):
        """One log line for the steps since the last flush; its loss is the training objective, with all its options"""
        records, self.records = self.records, []
        line = {"step": step, **self.summed_up(records)}
        return line | {name: records[-1][name] for name in ("grad_norm", "learning_rate", "epoch")}

    def summed_up(self, records):
        """Scores over all pairs of these records"""
        sizes = [len(record["rewards"]) for record in records]
        rewards, labels = stacked([r["rewards"] for r in records], 0), stacked([r["labels"] for r in records], ABSENT)
        loss = float(np.average([record["loss"] for record in records], weights=sizes))
        return summary(rewards, labels=labels) | {"loss": loss}
