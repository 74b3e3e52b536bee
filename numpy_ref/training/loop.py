"""The loop of all commands that train: steps, log lines, evaluations, saves, and Ctrl-C."""

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cli.text import progress_bar
from ..storage import run as runs
from ..train import LearnerLike, train
from .best import Best
from .data import Loaded
from .log import Log
from .resume import recorded
from .stage import Stage

SHOWN = ("loss", "accuracy", "rewards/accuracies")  # next to the progress bar


@dataclass(frozen=True)
class Job:
    """A training that is ready to run from step `start`"""

    stage: Stage
    options: Any
    learner: LearnerLike
    loaded: Loaded
    log: Log
    best: Best | None
    directory: Path
    start: int
    total_steps: int

    def write(self, line):
        """Appends to metrics.jsonl"""
        if self.learner.writes:
            runs.log(self.directory, line)

    def save(self, step):
        """Writes a complete checkpoint"""
        runs.save(
            self.directory,
            step,
            self.learner,
            self.loaded.tokenizer,
            recorded(self.options),
            self.log.state(),
            write=self.stage.write_model,
            best=self.best,
        )

    def is_due(self, step, every):
        """Whether an action is due that happens every `every` steps and at the end"""
        return step == self.total_steps or (every is not None and step % every == 0)


def loop(job):
    """Runs the steps with progress bar, log lines, evaluations and saves; true if Ctrl-C ended it early"""
    options, learner, best = job.options, job.learner, job.best
    end = job.start if best and best.is_over else job.total_steps
    batches = {"batch_size": options.batch_size, "seed": options.seed, "learn": job.stage.learn}
    steps = train(learner, job.loaded.data, start=job.start, total_steps=end, **batches)
    show = {"desc": "training", "unit": "step", "disable": not learner.writes, "delay": 0, "leave": True}
    with interrupts() as received, progress_bar(total=job.total_steps, initial=job.start, **show) as bar:
        for step, record in steps:
            stop = learner.agree(bool(received))
            job.log.add(record)
            bar.update()
            if job.is_due(step, options.logging_steps):
                log_steps(job, step, bar)
            if job.loaded.held is not None and job.is_due(step, options.eval_steps):
                evaluate_now(job, step)
            over = best is not None and best.is_over
            if over and job.log.records:
                log_steps(job, step, bar)
            if job.is_due(step, options.save_steps) or stop or over:
                job.save(step)
            if over:
                return False
            if stop and step < job.total_steps:
                return True
    return False


def log_steps(job, step, bar):
    """Logs one line about the steps since the last line"""
    line = job.log.flush(step)
    bar.set_postfix_str(", ".join(f"{name} {line[name]:.3f}" for name in SHOWN if name in line), refresh=False)
    job.write(line)


def evaluate_now(job, step):
    """Evaluates on the held-out data and logs one line"""
    result = job.stage.evaluate(job.learner, job.loaded.held)
    job.write({"step": step, **result})
    if job.best:
        job.best.consider(job.learner, step, result)


@contextmanager
def interrupts():
    """Collects the first Ctrl-C in a list, so that the current step can be finished and saved; the second one raises"""
    received: list = []

    def note(number, _frame):
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
