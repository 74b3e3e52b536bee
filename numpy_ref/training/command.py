"""The command `train` of both packages: a reward model from a preference file, or from the built-in world.

`sft`, `train` and `dpo` run the same way; a Stage holds what differs.
"""

import shlex
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..batches import steps_per_epoch
from ..cli.text import counted, reader_may_leave
from ..data.source import is_world
from ..errors import InputError
from ..language_model import to_reward_model
from ..storage import model_card
from ..storage import run as runs
from ..storage.lock import alone
from ..train import from_preferences
from .best import best_of
from .data import evaluate, load, report
from .log import Log
from .loop import Job, loop
from .resume import check_fits, recorded, resumed, warn_other_machine, with_fingerprints
from .stage import Stage
from .start import begin, drawn, first_weights, saved_run, weights_rng


def of_arguments(kind, stage, learner_class):
    """(add_arguments, run) of a command that trains: `kind` is the class of its options"""
    return kind.add_arguments, lambda args: run(kind.parsed(args), stage, learner_class)


@reader_may_leave()
def run(options, stage, learner_class, n_processes=1, writes=True, **where):
    """Trains, saves and reports, alone in the run's directory; returns the exit status

    n_processes  number of processes that share each step
    writes       whether this process writes the files of the job
    where        keyword arguments of the learner about devices and processes
    """
    with ExitStack() as until_the_end:
        job = begun(until_the_end, options, stage, learner_class, n_processes, writes, **where)
        if loop(job):
            resume = f"python -m {job.learner.side} {stage.command} --resume {shlex.quote(str(job.directory))}"
            print(f"\ninterrupted and saved; go on with:  {resume}")
            return 130
        finish(job)
        return 0


def begun(until_the_end, options, stage, learner_class, n_processes, writes, **where):
    """The Job; `until_the_end` keeps its directory locked"""
    options, saved = opened(until_the_end, options, stage, learner_class.side, writes)
    options, initial, tokenizer = stage.begin(options, saved)
    learner_options, best = stage.learner_options(options), best_of(options, stage.metrics)
    loaded = stage.load(options, tokenizer)
    print(loaded.about)
    options = options if saved else settled(options, loaded, n_processes)
    total_steps, warmup_steps = step_counts(options, len(loaded.data.rows))
    learner = learner_class(
        *(initial or drawn(options, stage, loaded.tokenizer)),
        total_steps,
        options.learning_rate,
        warmup_steps,
        **schedule_options(options),
        **learner_options,
        **where,
    )
    log = stage.log()
    directory = (
        taken_up(options, saved, learner, log, best, total_steps) if saved else Path(options.output_dir or "runs")
    )
    if saved is None and writes:
        directory = runs.new_run(options.output_dir, stage.command)
        until_the_end.enter_context(alone(directory, writes))
        runs.check_empty(directory)  # again: another run may have written here before we held the lock
    return Job(stage, options, learner, loaded, log, best, directory, saved.step if saved else 0, total_steps)


def opened(until_the_end, options, stage, side, writes):
    """(options, Saved) of the resumed run, with its directory locked; (options, None) for a new run"""
    if options.resume is None:
        if options.output_dir is not None and writes:
            runs.check_empty(Path(options.output_dir))  # before any data are read
        return options, None
    directory = Path(options.resume)
    runs.check_saved(directory)
    until_the_end.enter_context(alone(directory, writes))
    saved = stage.saved(directory)
    return resumed(options, saved, side), saved


def settled(options, loaded, n_processes):
    """The options of a new run, completed by what reading the data determined"""
    per_device = options.per_device_train_batch_size or (64 if is_world(options) else 16)
    batch = {"per_device_train_batch_size": per_device, "batch_size": n_processes * options.pieces * per_device}
    return with_fingerprints(replace(options, dataset_sha256=loaded.dataset_sha256, **batch))


def step_counts(options, n):
    """(total steps, warm-up steps) for n prompts"""
    per_epoch = steps_per_epoch(n, options.batch_size)
    if options.num_train_epochs * per_epoch >= 2**53:
        raise InputError(
            f"--num-train-epochs {options.num_train_epochs:g}: more steps than can be counted: choose fewer"
        )
    total = options.max_steps or max(1, round(options.num_train_epochs * per_epoch))
    return total, total // 10 if options.warmup_steps is None else min(options.warmup_steps, total)


def schedule_options(options):
    """Keyword arguments of a Learner: weight decay and schedule"""
    return {"weight_decay": options.weight_decay, "lr_scheduler_type": options.lr_scheduler_type}


def taken_up(options, saved, learner, log, best, total_steps):
    """Restores learner, log and best evaluation from a save; returns the run's directory"""
    directory = Path(options.resume)
    check_fits(options, saved, total_steps)
    learner.restore(saved.weights, saved.arrays, saved.step)
    log.restore(saved.unlogged)
    if best and saved.best is not None:
        best.restore(saved.best, saved.arrays)
    if learner.writes:
        runs.cut_back(directory, saved.step, saved.logged)
    print(f"resumed   {directory} after step {saved.step} of {total_steps}")
    warn_other_machine(saved.machine, runs.machine(learner))
    return directory


def finish(job):
    """Writes the finished model (the best one if asked for), prints how good it is, and writes its card"""
    stage, learner, loaded, best = job.stage, job.learner, job.loaded, job.best
    if best and best.is_over:
        print(f"stopped   early: no better {best.metric} in {counted(best.since, 'evaluation')}")
    if best and best.weights:
        learner.load(best.weights)
        print(f"best      after step {best.step}, {best.metric} {best.value:.4f}: these weights are the model")
    runs.publish(job.directory, learner, loaded.tokenizer, stage.write_model)
    measured = stage.report(job.directory, learner, loaded.held)
    if stage.card:
        weights = learner.weights()  # a collective call: FSDP spreads the weights over the processes
        if learner.writes:
            options = recorded(job.options)
            stage.card(job.directory, learner, weights, loaded.tokenizer, loaded.data, measured, options)


REWARD_MODEL = Stage(
    command="train",
    saved=partial(saved_run, top="head"),
    begin=partial(begin, top="head", converted=lambda options, params: to_reward_model(params, weights_rng(options))),
    learner_options=lambda options: options.of_learner(),
    load=load,
    first_weights=first_weights,
    learn=from_preferences,
    log=Log,
    evaluate=lambda learner, held: evaluate(learner.rewards, held),
    metrics={"loss": False, "accuracy": True, "brier": False},
    report=report,
    card=model_card.write,
)
