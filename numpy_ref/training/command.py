"""The command `train` of both packages: a reward model from a preference file, or from the built-in world.

What it shares with `sft`, which trains a language model in the same way, is parted from what differs: a Stage.
"""

import shlex
import signal
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..batches import steps_per_epoch
from ..data.held_out import WORLD_POSITIONS
from ..data.source import is_world
from ..errors import InputError
from ..language_model import to_reward_model
from ..reward_model import init_params
from ..storage import model_card
from ..storage import run as runs
from ..storage.checkpoint import load_model
from ..storage.lock import alone
from ..train import Log, from_preferences, train
from ..tree import flatten, tree_map
from .data import evaluate, load, report
from .options import loss_options
from .resume import check_fits, recorded, resumed, warn_other_machine


class Stage(NamedTuple):
    """What differs between a reward model's training and a language model's"""

    command: str
    saved: Callable  # a run's directory -> runs.Saved
    begin: Callable  # (args, Saved or None) -> (weights, number of heads, tokenizer) of what stands already, or None
    load: Callable  # (args, tokenizer or None) -> data, held-out data or None, tokenizer, a line about them
    first_weights: Callable  # (args, tokenizer) -> random weights, where nothing stands
    options: Callable  # args -> what the learner is told beside
    learn: Callable  # (learner, data, chosen, step) -> record
    log: Callable  # () -> what collects records
    evaluate: Callable  # (learner, held) -> {name: value}
    report: Callable  # (directory, learner, held): prints
    card: Callable | None = None  # (directory, learner, weights, tokenizer, data, measured, options): writes README.md


def run(args, stage, learner_class, pieces=1, writes=True, **learner_options):
    """Trains, saves and reports, alone in the run's directory; returns the exit status

    pieces  in how many batches a step is cut: per_device_train_batch_size prompts are one of them
    writes  whether this is the process of its job that writes the files
    """
    with ExitStack() as until_the_end:
        return trained(until_the_end, args, stage, learner_class, pieces, writes, **learner_options)


def trained(until_the_end, args, stage, learner_class, pieces, writes, **learner_options):
    """`run`, which holds the directory's lock until the end"""
    saved = None
    if args.resume is not None:
        runs.check_saved(Path(args.resume))
        until_the_end.enter_context(alone(Path(args.resume), writes))
        saved = stage.saved(Path(args.resume))
        args = resumed(args, saved, learner_class.side)
    model = stage.begin(args, saved)
    options = stage.options(args)
    data, held, tokenizer, line = stage.load(args, model and model[2])
    print(line)
    if saved is None:
        args.per_device_train_batch_size = args.per_device_train_batch_size or (64 if is_world(args) else 16)
        args.batch_size = pieces * args.per_device_train_batch_size
    per_epoch = steps_per_epoch(len(data.rows), args.batch_size)
    total_steps = args.max_steps or max(1, round(args.num_train_epochs * per_epoch))
    warmup_steps = total_steps // 10 if args.warmup_steps is None else min(args.warmup_steps, total_steps)
    weights, n_head, _ = model or initial(args, stage, tokenizer)
    learner = learner_class(
        weights, n_head, total_steps, args.learning_rate, warmup_steps, **options, **learner_options
    )
    start, directory, log = 0, None, stage.log()
    if saved is None:
        directory = runs.new_run(args.output_dir, stage.command) if writes else Path(args.output_dir or "runs")
        until_the_end.enter_context(alone(directory, writes))
        if writes:
            runs.check_empty(directory)  # again: another run may have come and gone before the lock was ours
    else:
        directory, start = Path(args.resume), saved.step
        check_fits(args, saved, total_steps)
        learner.restore(saved.weights, saved.arrays, start)
        log.restore(saved.unlogged)
        if learner.writes:
            runs.cut_back(directory, start, saved.logged)
        print(f"resumed   {directory} after step {start} of {total_steps}")
        warn_other_machine(saved.machine, runs.machine(learner))
    interrupted = loop(args, stage, directory, learner, tokenizer, data, held, log, start, total_steps)
    if interrupted:
        resume = f"python -m {learner.side} {stage.command} --resume {shlex.quote(str(directory))}"
        print(f"\ninterrupted and saved; go on with:  {resume}")
        return 130
    runs.publish(directory, learner, tokenizer)
    measured = stage.report(directory, learner, held)
    if stage.card:
        weights = learner.weights()  # by every process of a job: they may be spread over them
        if learner.writes:
            stage.card(directory, learner, weights, tokenizer, data, measured, recorded(args))
    return 0


def loop(args, stage, directory, learner, tokenizer, data, held, log, start, total_steps):
    """The steps with their progress bar, log lines, evaluations and saves; true if Ctrl-C ended it early"""
    from tqdm import tqdm

    write = partial(runs.log, directory) if learner.writes else lambda _line: None
    save = partial(runs.save, directory, learner=learner, tokenizer=tokenizer, options=recorded(args))
    steps = train(
        learner,
        data,
        start=start,
        total_steps=total_steps,
        batch_size=args.batch_size,
        seed=args.seed,
        learn=stage.learn,
    )
    show = {"desc": "training", "unit": "step", "disable": not learner.writes}
    with interrupts() as received, tqdm(total=total_steps, initial=start, **show) as bar:
        for step, record in steps:
            stop = learner.agree(bool(received))
            log.add(record)
            bar.update()
            if step % args.logging_steps == 0 or step == total_steps:
                line = log.flush(step)
                shown = [
                    f"{name} {line[name]:.3f}" for name in ("loss", "accuracy", "rewards/accuracies") if name in line
                ]
                bar.set_postfix_str(", ".join(shown), refresh=False)
                write(line)
            if held and (step == total_steps or (args.eval_steps and step % args.eval_steps == 0)):
                write({"step": step, **stage.evaluate(learner, held)})
            if step % args.save_steps == 0 or step == total_steps or stop:
                save(step, unlogged=log.state())
            if stop and step < total_steps:
                return True
    return False


def begin(args, saved, top, converted):
    """(flattened weights, number of heads, tokenizer) of the run that is resumed or of --init-from, or None

    top  what stands on the body, "head" or "unembedding"; converted(args, params) puts it on another's body
    """
    if saved is not None:
        if f"{top}.weight" not in saved.weights:
            other = "sft" if top == "head" else "train"
            raise InputError(f"--resume {args.resume}: was made by {other}: resume it with that command")
        return saved.weights, saved.n_head, saved.tokenizer
    return None if args.init_from is None else init_from(args, top, converted)


def init_from(args, top, converted):
    """(flattened weights, number of heads, tokenizer) of --init-from, under this top"""
    given = sorted(args.given & {"n_layer", "n_head", "n_embd"})
    if given:
        option = "--" + given[0].replace("_", "-")
        raise InputError(f"{option}: with --init-from the model has its size already: leave it out")
    params, n_head, tokenizer = load_model(args.init_from, tuple({top: 0, "unembedding": 0}))
    n_positions = len(params["body"]["pos"]["weight"])
    if "max_length" not in args.given:
        args.max_length = n_positions
    elif args.max_length > n_positions:
        raise InputError(f"--max-length {args.max_length}: {args.init_from} reads {n_positions} tokens at most")
    if "dtype" in args.given:
        params = tree_map(lambda array: array.astype(args.dtype), params)
    args.dtype = str(params["body"]["tok"]["weight"].dtype)
    return flatten(params if top in params else converted(args, params)), n_head, tokenizer


def initial(args, stage, tokenizer):
    """(flattened random weights, number of heads, tokenizer)"""
    if args.n_embd % args.n_head:
        raise InputError(
            f"--n-embd {args.n_embd} is not a multiple of --n-head {args.n_head}: each head gets an equal share"
        )
    return flatten(stage.first_weights(args, tokenizer)), args.n_head, tokenizer


def first_weights(args, tokenizer):
    """A reward model's random weights"""
    n_positions = WORLD_POSITIONS if is_world(args) else args.max_length
    size = tokenizer.vocab_size, n_positions, args.n_embd, args.n_layer
    return init_params(weights_rng(args), *size, np.dtype(args.dtype))


def weights_rng(args):
    """The stream of random numbers that weights are drawn from; 0 is the world's, 1 the labels'"""
    return np.random.default_rng([args.seed, 2])


REWARD_MODEL = Stage(
    command="train",
    saved=runs.load_state,
    begin=partial(begin, top="head", converted=lambda args, params: to_reward_model(params, weights_rng(args))),
    load=load,
    first_weights=first_weights,
    options=loss_options,
    learn=from_preferences,
    log=Log,
    evaluate=lambda learner, held: evaluate(learner.rewards, held),
    report=report,
    card=model_card.write,
)


@contextmanager
def interrupts():
    """Turns the first Ctrl-C into a list that is no longer empty, so that the step in hand is finished and saved"""
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
