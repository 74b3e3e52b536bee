"""The command `train` of both packages: a reward model from a preference file, or from the built-in world.

What it shares with `sft`, which trains a language model in the same way, is parted from what differs: a Stage.
"""

import argparse
import shlex
import signal
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import model_card, runs
from .batches import steps_per_epoch
from .checkpoint import load_model
from .commands import at_least, natural, positive_int
from .errors import InputError
from .language_model import to_reward_model
from .objectives import OBJECTIVES
from .ranking import TIES
from .reward_model import init_params
from .runs_lock import alone
from .token_cache import fingerprint
from .train import Log, from_preferences, train
from .train_data import WORLD_POSITIONS, evaluate, load, report
from .train_recorded import NOT_RECORDED, check_recorded
from .train_source import add_column_arguments, is_world
from .tree import flatten, tree_map

LOSSES = ("pairwise", *OBJECTIVES)


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


def add_arguments(parser):
    """The options of `train`"""
    data_arguments(parser)
    model_arguments(parser)
    loss_arguments(parser)
    optimisation_arguments(parser)
    run_arguments(parser)


def data_arguments(parser):
    """What is read"""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="FILE",
        help="pairs or ranked lists as .jsonl, .jsonl.gz or .parquet; the built-in world if left out",
    )
    data.add_argument("--eval-data", metavar="FILE", help="held-out preferences of the same form")
    add_dataset_arguments(data)
    data.add_argument(
        "--max-length",
        type=positive_int,
        default=1024,
        help="in tokens; a prompt with a longer response is left out and counted",
    )


def model_arguments(parser):
    """What is trained"""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--init-from",
        metavar="DIR",
        help="start from this model instead of random weights: one that sft made, or a reward model; sizes and "
        "tokenizer are then that model's",
    )
    model.add_argument("--n-layer", type=positive_int, default=2, help="blocks")
    model.add_argument("--n-head", type=positive_int, default=4, help="attention heads")
    model.add_argument("--n-embd", type=positive_int, default=32, help="channels")
    model.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of weights and arithmetic")


def loss_arguments(parser):
    """What is minimised"""
    loss = parser.add_argument_group("loss")
    loss.add_argument(
        "--loss",
        choices=LOSSES,
        default="pairwise",
        help="pairwise: Bradley-Terry on single pairs, with the file's margins; a ranked list becomes all its C(K, 2) "
        "pairs without the ties, shuffled among those of other prompts, so that a response is run K - 1 times. "
        "kwise: all pairs of a list as one batch element, each response run once. "
        "plackett-luce: each list as a row of choices, the best of all, the best of the rest, ...",
    )
    loss.add_argument(
        "--ties",
        choices=list(TIES),
        default="drop",
        help="of equal ranks, with --loss kwise: no comparison; half a win each; or a probability of their own, whose "
        "parameter is learned with the model and reported",
    )
    loss.add_argument(
        "--margin-per-rank",
        type=at_least(0),
        default=0.0,
        help="the lead in log-odds asked for each place between two responses; not with plackett-luce",
    )
    loss.add_argument(
        "--label-smoothing", type=at_least(0, 0.5), default=0.0, help="share of labels taken to be flipped"
    )
    loss.add_argument(
        "--center-rewards-coefficient",
        type=at_least(0),
        default=0.0,
        help="pulls each pair's mean reward to 0; try 0.01",
    )


def optimisation_arguments(parser):
    """How far and how fast"""
    optim = parser.add_argument_group("optimisation")
    optim.add_argument("--learning-rate", type=at_least(0), default=5e-3, help="its peak")
    optim.add_argument("--warmup-steps", type=natural, help="a tenth of all steps if left out")
    optim.add_argument("--num-train-epochs", type=at_least(0), default=1.0, help="how often each pair is met")
    optim.add_argument("--max-steps", type=positive_int, help="overrides the epochs")
    optim.add_argument(
        "--per-device-train-batch-size",
        type=positive_int,
        help="in prompts (in pairs with --loss pairwise); 16 for a file, 64 for the world if left out; a batch is run "
        "at once, padded to its longest list and text",
    )
    optim.add_argument("--seed", type=natural, default=0, help="of the world, the weights and the order")


def run_arguments(parser):
    """Where it is written, and how often"""
    run = parser.add_argument_group("run")
    run.add_argument("--output-dir", metavar="DIR", help="a new directory; runs/train, runs/train-2, ... if left out")
    run.add_argument(
        "--logging-steps", type=positive_int, default=10, help="steps summed up in one line of metrics.jsonl"
    )
    run.add_argument("--eval-steps", type=positive_int, help="evaluate this often; only at the end if left out")
    run.add_argument("--save-steps", type=positive_int, default=100, help="a kill loses no more than these")
    run.add_argument("--resume", metavar="DIR", help="go on with this run from its last save, with its own options")


def add_dataset_arguments(data):
    """Data that are no file of ours: a dataset, other names for the columns, token ids"""
    data.add_argument(
        "--dataset-name",
        metavar="NAME",
        help="in place of --data: an id of the Hugging Face hub, or a local directory; needs the extra hf",
    )
    data.add_argument("--dataset-config", metavar="NAME", help="which part of the dataset, where it has several")
    data.add_argument("--dataset-train-split", metavar="NAME", default="train", help="to train on")
    data.add_argument("--dataset-test-split", metavar="NAME", help="held out; none if left out")
    add_column_arguments(data)
    data.add_argument(
        "--vocab-size",
        type=positive_int,
        help="for token ids (chosen_ids, rejected_ids): how many there are; one more than the largest if left out",
    )
    data.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="keep the files' tokens here, for the next start; if left out, those of large files (from 32 MB, packed 4 "
        "MB) in ~/.cache/reward-by-hand, the others in memory alone. With --freeze-backbone, the features; if left "
        "out, beside the run's directory",
    )
    data.set_defaults(dataset_sha256=None)  # no option: what the rows of a dataset were, for --resume


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
            runs.cut_back(directory, start)
        print(f"resumed   {directory} after step {start} of {total_steps}")
        warn_other_machine(saved.machine, runs.machine(learner))
    interrupted = loop(args, stage, directory, learner, tokenizer, data, held, log, start, total_steps)
    if interrupted:
        resume = f"python -m {learner.side} {stage.command} --resume {shlex.quote(str(directory))}"
        print(f"\ninterrupted and saved; go on with:  {resume}")
        return 130
    runs.publish(directory, learner, tokenizer)
    measured = stage.report(directory, learner, held)
    if stage is REWARD_MODEL and learner.writes:
        model_card.write(directory, learner, tokenizer, data, measured, recorded(args))
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
                shown = [f"{name} {line[name]:.3f}" for name in ("loss", "accuracy") if name in line]
                bar.set_postfix_str(", ".join(shown), refresh=False)
                write(line)
            if held and (step == total_steps or (args.eval_steps and step % args.eval_steps == 0)):
                write({"step": step, **stage.evaluate(learner, held)})
            if step % args.save_steps == 0 or step == total_steps or stop:
                save(step, unlogged=log.state())
            if stop and step < total_steps:
                return True
    return False


def check_loss(args):
    """An option that the loss would not read is refused: it would be ignored without a word"""
    wrong = {
        "--ties": args.ties != "drop" and args.loss != "kwise" and "kwise",
        "--margin-per-rank": args.margin_per_rank and args.loss == "plackett-luce" and "pairwise or kwise",
        "--label-smoothing": args.label_smoothing and args.loss != "pairwise" and "pairwise",
        "--center-rewards-coefficient": args.center_rewards_coefficient and args.loss != "pairwise" and "pairwise",
    }
    for option, needed in wrong.items():
        if needed:
            raise InputError(f"{option}: --loss {args.loss} does not use it: leave it out, or take --loss {needed}")


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


def loss_options(args):
    """What a Learner is told about its loss"""
    check_loss(args)
    if args.loss == "pairwise":
        return {"label_smoothing": args.label_smoothing, "center_coefficient": args.center_rewards_coefficient}
    kwise = {"ties": args.ties, "margin_per_rank": args.margin_per_rank}
    return {"loss": args.loss, **(kwise if args.loss == "kwise" else {})}


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
)


def recorded(args):
    """The options that a resumed run must have again, with a fingerprint of each data file"""
    options = {name: value for name, value in vars(args).items() if name not in NOT_RECORDED}
    for name in ("data", "eval_data"):
        if options.get(name):
            options[name] = str(Path(options[name]).resolve())
            options[f"{name}_sha256"] = fingerprint(options[name], args.cache_dir)
    if options.get("cache_dir"):
        options["cache_dir"] = str(Path(options["cache_dir"]).resolve())
    if options.get("dataset_name"):
        options["dataset_name"] = placed(options["dataset_name"])
    return options


def placed(name):
    """A local directory of a dataset from anywhere; an id of the hub as it is"""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


CHANGEABLE = {
    "logging_steps",
    "eval_steps",
    "save_steps",
    "threads",
    "device",
    "cache_dir",
}  # what does not change the model
CHANGEABLE |= {"gradient_accumulation_steps", "gradient_checkpointing", "fsdp"}  # but for rounding


def resumed(args, saved, side):
    """The options of the run that is resumed; one given again on the command line must not contradict them"""
    if saved.machine.get("package") != side:
        raise InputError(
            f"--resume {args.resume}: was trained by {saved.machine.get('package')}: resume it with that package"
        )
    if "output_dir" in args.given and Path(args.output_dir).resolve() != Path(args.resume).resolve():
        raise InputError(f"--output-dir {args.output_dir}: the run goes on in {args.resume}: leave it out")
    merged, options = vars(args).copy(), saved.options
    check_recorded(options, args.parser, args.resume)
    merged["batch_size"] = options.get("batch_size", options.get("per_device_train_batch_size"))
    for name, given in vars(args).items():
        if name in ("data", "eval_data") and given:
            given = str(Path(given).resolve())
        if name == "dataset_name" and given:
            given = placed(given)
        if name not in args.given or name not in options:
            merged[name] = options.get(name, given)
        elif name not in CHANGEABLE and given != options[name]:
            option = "--" + name.replace("_", "-")
            began = f"out {option}" if options[name] is None else f" {options[name]}"
            raise InputError(
                f"{option} {given}: the run that is resumed was started with{began}: leave it out, or train anew"
            )
    for name in ("data", "eval_data"):
        path = options.get(name)
        if path and not Path(path).is_file():
            raise InputError(f"{path}: the file that the run was trained on is gone: put it back to go on")
        if path and fingerprint(path, merged["cache_dir"]) != options.get(f"{name}_sha256"):
            raise InputError(f"{path}: has changed since the run began: put the old file back, or train anew")
    return argparse.Namespace(**merged)


def check_fits(args, saved, total_steps):
    """What is read from a save as numbers must fit what is read from it as weights"""
    n_positions = len(saved.weights["body.pos.weight"]) if saved.weights else args.max_length  # a pretrained body's own
    if saved.step > total_steps or (args.max_length > n_positions and not is_world(args)):
        raise InputError(
            f"--resume {args.resume}: after step {saved.step} of {total_steps}, with {n_positions} positions for "
            f"--max-length {args.max_length}: the checkpoint is damaged"
        )


def warn_other_machine(then, now):
    """Bitwise equality with the uninterrupted run is promised for the same machine, versions and threads only"""
    differ = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    if differ:
        print(f"warning   not bitwise the uninterrupted run: {', '.join(differ)}")


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
