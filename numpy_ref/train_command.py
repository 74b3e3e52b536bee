"""The command `train` of both packages: a reward model from a preference file, or from the built-in world."""

import argparse
import hashlib
import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import runs, world
from .batches import all_rewards, encode, steps_per_epoch
from .commands import at_least, positive_int
from .errors import InputError
from .metrics import summary
from .preferences import longer_wins, read_preferences
from .reward_model import init_params
from .tokenizer import Bytes, Words
from .train import Log, train
from .tree import flatten

LOSSES = ("pairwise",)
NOT_RECORDED = {"command", "run", "parser", "resume", "output_dir"}


class Held(NamedTuple):
    """Held-out responses as token ids, best first, with their true rewards where the world knows them"""

    rows: list
    true: np.ndarray | None
    baseline: float  # how often the longer response is the better one


def add_arguments(parser):
    """The options of `train`"""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", metavar="FILE", help="preferences as .jsonl or .jsonl.gz; the built-in world if left out"
    )
    data.add_argument("--eval-data", metavar="FILE", help="held-out preferences of the same form")
    data.add_argument(
        "--max-length", type=positive_int, default=1024, help="longer pairs are left out and counted, in tokens"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--n-layer", type=positive_int, default=2, help="blocks")
    model.add_argument("--n-head", type=positive_int, default=4, help="attention heads")
    model.add_argument("--n-embd", type=positive_int, default=32, help="channels")
    model.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of weights and arithmetic")
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", choices=LOSSES, default="pairwise", help="Bradley-Terry; the file's margins are used")
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
    optim.add_argument("--learning-rate", type=at_least(0), default=4e-3, help="its peak")
    optim.add_argument("--warmup-steps", type=int, help="a tenth of all steps if left out")
    optim.add_argument("--num-train-epochs", type=at_least(0), default=1.0, help="how often each pair is met")
    optim.add_argument("--max-steps", type=positive_int, help="overrides the epochs")
    optim.add_argument(
        "--per-device-train-batch-size",
        type=positive_int,
        help="in prompts; 16 for a file, 64 for the world if left out",
    )
    optim.add_argument("--seed", type=int, default=0, help="of the world, the weights and the order")
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
    start, directory = 0, None
    if saved is None:
        directory = runs.new_run(args.output_dir, "train")
    else:
        directory, start = Path(args.resume), saved[2]["step"]
        learner.restore(saved[0], saved[1], start)
        runs.cut_back(directory, start)
        print(f"resumed   {directory} after step {start} of {total_steps}")
        warn_other_machine(saved[2]["machine"], runs.machine(learner))
    interrupted = loop(args, directory, learner, tokenizer, data, held, start, total_steps)
    if interrupted:
        print(f"\ninterrupted and saved; go on with:  python -m {learner.side} train --resume {directory}")
        return 130
    runs.publish(directory, learner, tokenizer)
    report(directory, learner, held)
    return 0


def loop(args, directory, learner, tokenizer, data, held, start, total_steps):
    """The steps with their progress bar, log lines, evaluations and saves; true if Ctrl-C ended it early"""
    from tqdm import tqdm

    options, log = recorded(args), Log()
    save = partial(runs.save, directory, learner=learner, tokenizer=tokenizer, options=options)
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
                bar.set_postfix_str(f"loss {line['loss']:.3f}, accuracy {line['accuracy']:.3f}", refresh=False)
                runs.log(directory, line)
            if held and (step == total_steps or (args.eval_steps and step % args.eval_steps == 0)):
                runs.log(directory, {"step": step, **evaluate(learner.rewards, held)})
            if step % args.save_steps == 0 or step == total_steps or stop:
                save(step)
            if stop and step < total_steps:
                return True
    return False


def load(args):
    """(training data, held-out data or None, tokenizer, one line about them)"""
    if args.data is None:
        tokenizer = Words(world.WORDS)
        train_set, eval_set = world.make_world(args.seed)
        data = encode(tokenizer, world.rank(np.random.default_rng([args.seed, 1]), train_set), args.max_length)
        line = f"data      the built-in world: {len(data.rows):,} pairs, {len(eval_set.prompts):,} held-out prompts"
        return data, held_world(tokenizer, eval_set), tokenizer, line
    data, line = load_file(Bytes(), "--data", args.data, args.max_length)
    held = None
    if args.eval_data:
        pairs, eval_line = load_file(Bytes(), "--eval-data", args.eval_data, args.max_length)
        held, line = Held(pairs.rows, None, longer_wins(pairs.kept)), f"{line}\n{eval_line}"
    return data, held, Bytes(), line


def load_file(tokenizer, option, path, max_length):
    """(Encoded pairs of a preference file, one line about what was kept)"""
    preferences = read_preferences(path)
    data = encode(tokenizer, preferences, max_length)
    if not data.rows:
        raise InputError(
            f"{option} {path}: no pair is left of {len(preferences)}: {data.too_long} are longer than --max-length "
            f"{max_length} tokens and {data.identical} are the same on both sides: raise --max-length"
        )
    share = f"{len(data.rows):,} of {len(preferences):,} pairs kept ({len(data.rows) / len(preferences):.1%})"
    left_out = f"{data.too_long} longer than {max_length} tokens, {data.identical} identical"
    return data, f"{'data' if option == '--data' else 'held-out':<10}{path}: {share}; {left_out}"


def held_world(tokenizer, responses):
    """The world's held-out Responses as Held"""
    rows = [
        [tokenizer.encode(prompt, text) for text in texts]
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True)
    ]
    lengths = np.array([[len(text) for text in texts] for texts in responses.responses])
    return Held(rows, responses.rewards, summary(lengths, responses.rewards)["accuracy"])


def initial(args, tokenizer):
    """Random weights, the number of heads, and the options of the loss"""
    if args.n_embd % args.n_head:
        raise InputError(
            f"--n-embd {args.n_embd} is not a multiple of --n-head {args.n_head}: each head gets an equal share"
        )
    n_positions = WORLD_POSITIONS if args.data is None else args.max_length
    rng = np.random.default_rng([args.seed, 2])
    params = init_params(rng, tokenizer.vocab_size, n_positions, args.n_embd, args.n_layer, np.dtype(args.dtype))
    options = {"label_smoothing": args.label_smoothing, "center_coefficient": args.center_rewards_coefficient}
    return flatten(params), args.n_head, options


WORLD_POSITIONS = (
    16  # the longest text of the world: bos, 6 words, sep, 3 answers, 2 fillers, a courtesy, full stop, eos
)


def evaluate(rewards, held):
    """The logged names over all held-out pairs, with `eval_` before them"""
    return {f"eval_{name}": value for name, value in summary(all_rewards(rewards, held.rows), held.true).items()}


def report(directory, learner, held):
    """What a user wants to know at the end, beside what it can be compared with"""
    if held is None:
        print("held-out  nothing was held out: give --eval-data FILE to see how the model does on new pairs")
    else:
        result = evaluate(learner.rewards, held)
        floors = {} if held.true is None else world.floors(held.true)
        for name, title in {"accuracy": "accuracy", "loss": "log loss", "brier": "Brier"}.items():
            best = f"   best reachable {floors[name]:.4f}" if floors else ""
            print(f"held-out  {title:<9}{result[f'eval_{name}']:.4f}{best}")
        if floors:
            print(f"held-out  Spearman of learned and true reward within prompts {result['eval_spearman']:.4f}")
        print(f"baseline  the longer response wins {held.baseline:.4f}, on the same pairs")
        if result["eval_ties"]:
            print(f"held-out  {result['eval_ties']:.2%} of the pairs tie in reward; a tie counts one half")
    print(f"saved     {directory}")


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
    if state["machine"]["package"] != side:
        raise InputError(
            f"--resume {args.resume}: was trained by {state['machine']['package']}: resume it with that package"
        )
    merged, options = vars(args).copy(), state["options"]
    for name, given in vars(args).items():
        if name not in options or (given == args.parser.get_default(name)):
            merged[name] = options.get(name, given)
        elif name not in CHANGEABLE and given != options[name]:
            option = "--" + name.replace("_", "-")
            raise InputError(
                f"{option} {given}: the run that is resumed has {options[name]}: leave it out, or train anew"
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
