"""The best evaluation of a run, for --load-best-model-at-end and early stopping.

A save holds the newest and the best weights, so that a resumed run makes exactly the same choice.
"""

import math
from dataclasses import dataclass, field

from ..data.source import is_world
from ..errors import InputError


@dataclass
class Best:
    """The best evaluation so far, its weights, and the number of evaluations since then"""

    metric: str  # its logged name, with `eval_`
    larger_is_better: bool
    keeps_weights: bool
    patience: int | None
    step: int = 0
    value: float | None = None
    since: int = 0
    weights: dict = field(default_factory=dict)

    def consider(self, learner, step, result):
        """Compares an evaluation with the best one; a value that is not finite is never the best"""
        sign = 1 if self.larger_is_better else -1
        value = result[self.metric]
        if math.isfinite(value) and (self.value is None or sign * value > sign * self.value):
            self.step, self.value, self.since = step, value, 0
            if self.keeps_weights:
                self.weights = weights_of(learner)
        else:
            self.since += 1

    @property
    def is_over(self):
        """Whether early stopping ends the run"""
        return self.patience is not None and self.since >= self.patience

    def state(self):
        """Its part of state.json"""
        return {"step": self.step, "value": self.value, "since": self.since}

    def restore(self, state, arrays):
        """Restores what `state` returned, and the weights of a save; InputError if it is damaged"""
        match state:
            case {"step": int(step), "value": float() | None as value, "since": int(since)} if min(step, since) >= 0:
                self.step, self.value, self.since = step, value, since
                self.weights = {name.removeprefix("best."): a for name, a in arrays.items() if name.startswith("best.")}
            case _:
                raise InputError('the save\'s "best" is not an evaluation: the checkpoint is damaged')


def weights_of(learner):
    """The weights of a learner, and the parameter of its tie model"""
    return learner.weights() | {name: a for name, a in learner.state().items() if name.startswith("tie.")}


def best_of(options, metrics):
    """The Best that the options ask for, or None; metrics as in Stage"""
    if not options.load_best_model_at_end and options.early_stopping_patience is None:
        if "metric_for_best_model" in options.given:
            raise InputError(
                "--metric-for-best-model: has no effect alone: add --load-best-model-at-end, or leave it out"
            )
        return None
    asked = "--load-best-model-at-end" if options.load_best_model_at_end else "--early-stopping-patience"
    if not (options.eval_data or options.dataset_test_split or is_world(options)):
        raise InputError(f"{asked}: nothing is held out to evaluate on: give --eval-data FILE, or leave it out")
    if options.eval_steps is None:
        raise InputError(f"{asked}: say how often to evaluate with --eval-steps")
    metric = options.metric_for_best_model.removeprefix("eval_")
    if metric not in metrics:
        raise InputError(f"--metric-for-best-model {metric}: there are {', '.join(metrics)}: name one of them")
    return Best(f"eval_{metric}", metrics[metric], options.load_best_model_at_end, options.early_stopping_patience)
