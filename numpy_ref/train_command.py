"""The command `train` of both packages: a reward model from a preference file, or from the built-in world."""

import argparse
import hashlib
import shlex
import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from . import model_card, runs
from .batches import steps_per_epoch
from .commands import at_least, natural, positive_int
from .errors import InputError
from .objectives import OBJECTIVES
from .ranking import TIES
from .reward_model import init_params
from .train import Log, train
from .train_data import WORLD_POSITIONS, evaluate, load, report
from .tree import flatten

LOSSES = ("pairwise", *OBJECTIVES)
NOT_RECORDED = {"command", "run", "parser", "given", "resume", "output_dir"}


def add_arguments(parser):
    """The options of `train`"""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", metavar="FILE", help="pairs or ranked lists as .jsonl or .jsonl.gz; the built-in world if left out"
    )
    data.add_argument("--eval-data", metavar="FILE", help="held-out preferences of the same form")
    data.add_argument(
        "--max-length",
        type=positive_int,
        default=1024,
        help="in tokens; a prompt with a longer response is left out and counted",
    )
    model = parser.add_argument_group("model")
    model.add_argument("--n-layer", type=positive_int, default=2, help="blocks")
    model.add_argument("--n-head", type=positive_int, default=4, help="attention heads")
    model.add_argument("--n-embd", type=positive_int, default=32, help="channels")
    model.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of weights and arithmetic")
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
    run = parser.add_argument_group("run")
    run.add_argument("--output-dir", metavar="DIR", help="a new directory; runs/train, runs/train-2, ... if left out")
    run.add_argument(
        "--logging-steps", type=positive_int, default=10, help="steps summed up in one line of metrics.jsonl"
    )
    run.add_argument("--eval-steps", type=positive_int, help="evaluate this often; only at the end if left out")
    run.add_argument("--save-steps", type=positive_int, default=100, help="a kill loses no more than these")
    run.add_argument("--resume", metavar="DIR", help="go on with this run from its last save, with its own options")


def run(args, learner_class, **learner_options):
    """Trains, saves and reports; returns the exit status"""
    saved = None
    if args.resume is not None:
        saved = runs.load_state(Path(args.resume))
        args = resumed(args, saved[2], learner_class.side)
    check_loss(args)
    data, held, tokenizer, line = load(args)
    print(line)
    args.per_device_train_batch_size = args.per_device_train_batch_size or (16 if args.data else 64)
    per_epoch = steps_per_epoch(len(data.rows), args.per_device_train_batch_size)
    total_steps = args.max_steps or max(1, round(args.num_train_epochs * per_epoch))
    warmup_steps = total_steps // 10 if args.warmup_steps is None else min(args.warmup_steps, total_steps)
    weights, n_head, options = initial(args, tokenizer)
    learner = learner_class(
        weights, n_head, total_steps, args.learning_rate, warmup_steps, **options, **learner_options
    )
    start, directory, log = 0, None, Log()
    if saved is None:
        directory = runs.new_run(args.output_dir, "train")
    else:
        directory, start = Path(args.resume), saved[2]["step"]
        learner.restore(saved[0], saved[1], start)
        log.restore(saved[2]["unlogged"])
        runs.cut_back(directory, start)
        print(f"resumed   {directory} after step {start} of {total_steps}")
        warn_other_machine(saved[2]["machine"], runs.machine(learner))
    interrupted = loop(args, directory, learner, tokenizer, data, held, log, start, total_steps)
    if interrupted:
        resume = f"python -m {learner.side} train --resume {shlex.quote(str(directory))}"
        print(f"\ninterrupted and saved; go on with:  {resume}")
        return 130
    runs.publish(directory, learner, tokenizer)
    measured = report(directory, learner, held)
    model_card.write(directory, learner, tokenizer, data, measured, recorded(args))
    return 0


def loop(args, directory, learner, tokenizer, data, held, log, start, total_steps):
    """The steps with their progress bar, log lines, evaluations and saves; true if Ctrl-C ended it early"""
    from tqdm import tqdm

    save = partial(runs.save, directory, learner=learner, tokenizer=tokenizer, options=recorded(args))
    steps = train(
        learner,
        data,
        start=start,
        total_steps=total_steps,
        batch_size=args.per_device_train_batch_size,
        seed=args.seed,
    )
    with interrupts() as stop, tqdm(total=total_steps, initial=start, desc="training", unit="step") as bar:
        for step, record in steps:
            log.add(record)
            bar.update()
            if step % args.logging_steps == 0 or step == total_steps:
                line = log.flush(step)
                shown = [f"{name} {line[name]:.3f}" for name in ("loss", "accuracy") if name in line]
                bar.set_postfix_str(", ".join(shown), refresh=False)
                runs.log(directory, line)
            if held and (step == total_steps or (args.eval_steps and step % args.eval_steps == 0)):
                runs.log(directory, {"step": step, **evaluate(learner.rewards, held)})
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


def initial(args, tokenizer):
    """Random weights, the number of heads, and the options of the loss"""
    if args.n_embd % args.n_head:
        raise InputError(
            f"--n-embd {args.n_embd} is not a multiple of --n-head {args.n_head}: each head gets an equal share"
        )
    n_positions = WORLD_POSITIONS if args.data is None else args.max_length
    rng = np.random.default_rng([args.seed, 2])
    params = init_params(rng, tokenizer.vocab_size, n_positions, args.n_embd, args.n_layer, np.dtype(args.dtype))
    return flatten(params), args.n_head, loss_options(args)


def loss_options(args):
    """What a Learner is told about its loss"""
    if args.loss == "pairwise":
        return {"label_smoothing": args.label_smoothing, "center_coefficient": args.center_rewards_coefficient}
    kwise = {"ties": args.ties, "margin_per_rank": args.margin_per_rank}
    return {"loss": args.loss, **(kwise if args.loss == "kwise" else {})}


def recorded(args):
    """The options that a resumed run must have again, with a fingerprint of each data file"""
    options = {name: value for name, value in vars(args).items() if name not in NOT_RECORDED}
    for name in ("data", "eval_data"):
        if options.get(name):
            options[name] = str(Path(options[name]).resolve())
            options[f"{name}_sha256"] = fingerprint(options[name])
    return options


def fingerprint(path):
    """The SHA-256 of a file"""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


CHANGEABLE = {"logging_steps", "eval_steps", "save_steps", "threads", "device"}  # what does not change the model


def resumed(args, state, side):
    """The options of the run that is resumed; one given again on the command line must not contradict them"""
    if state["machine"].get("package") != side:
        raise InputError(
            f"--resume {args.resume}: was trained by {state['machine']['package']}: resume it with that package"
        )
    if "output_dir" in args.given and Path(args.output_dir).resolve() != Path(args.resume).resolve():
        raise InputError(f"--output-dir {args.output_dir}: the run goes on in {args.resume}: leave it out")
    merged, options = vars(args).copy(), state["options"]
    for name, given in vars(args).items():
        if name in ("data", "eval_data") and given:
            given = str(Path(given).resolve())
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
        if path and fingerprint(path) != options.get(f"{name}_sha256"):
            raise InputError(f"{path}: has changed since the run began: put the old file back, or train anew")
    return argparse.Namespace(**merged)


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
