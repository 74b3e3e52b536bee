"""What a model is trained on and held to: preference files or the built-in world as token ids; and the last report."""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from . import world
from .batches import all_rewards, collate_ranks, comparisons, encode
from .errors import InputError
from .metrics import summary
from .preferences import longer_wins, read_preferences
from .tokenizer import Bytes, Words

WORLD_POSITIONS = 16  # the world's longest text: bos, 6 words, sep, 3 answers, 2 fillers, a courtesy, full stop, eos


class Held(NamedTuple):
    """Held-out responses as token ids, best first, with their true rewards where the world knows them"""

    rows: list
    true: np.ndarray | None
    baseline: float  # how often the longer response is the better one
    ranks: np.ndarray | None = None  # (N, K), where a file's lists differ in length or hold ties
    kept: str = ""  # how many of a file's pairs or prompts these are


def load(args):
    """(training data, held-out data or None, tokenizer, one line about them)"""
    if args.data is None:
        if args.max_length < WORLD_POSITIONS:
            raise InputError(
                f"--max-length {args.max_length}: the world has texts of {WORLD_POSITIONS} tokens: leave it out"
            )
        tokenizer = Words(world.WORDS)
        train_set, eval_set = world.make_world(args.seed)
        data = encode(tokenizer, world.rank(np.random.default_rng([args.seed, 1]), train_set), args.max_length)
        line = f"data      the built-in world: {len(data.rows):,} pairs, {len(eval_set.prompts):,} held-out prompts"
        data = comparisons(data, args.margin_per_rank) if args.loss == "pairwise" else data
        return data, held_world(tokenizer, eval_set), tokenizer, line
    data, held, line = load_files(args, Bytes(), args.max_length)
    return data, held, Bytes(), line


def load_files(args, tokenizer, max_length):
    """(training data, held-out data or None, one line about them) of --data and --eval-data"""
    data, line = load_file(tokenizer, "--data", args.data, max_length, args.ties != "drop")
    if args.loss == "pairwise":
        data = comparisons(data, args.margin_per_rank)
    elif data.margin.any():
        raise InputError(
            f"--data {args.data}: has margins, which --loss {args.loss} cannot use: drop the column margin"
        )
    held = None
    if args.eval_data:
        lists, eval_line = load_file(tokenizer, "--eval-data", args.eval_data, max_length)
        held = Held(lists.rows, None, longer_wins(lists.kept), collate_ranks(lists.ranks), kept_share(lists))
        line = f"{line}\n{eval_line}"
    return data, held, line


def load_file(tokenizer, option, path, max_length, keep_tied=False):
    """(the file as token ids, one line about it); a file of pairs is spoken of in pairs, any other in prompts"""
    preferences = read_preferences(path)
    data = encode(tokenizer, preferences, max_length, keep_tied)
    ranked = any(preference.ranks != (1, 2) for preference in preferences)
    if not data.rows:
        raise InputError(
            f"{option} {path}: no {'prompt' if ranked else 'pair'} is left of {len(preferences)}: {data.too_long} are "
            f"longer than --max-length {max_length} tokens and {data.identical} are the same on both sides"
            f"{f' and {data.all_tied} all tied' if ranked else ''}: "
            f"{'raise --max-length' if data.too_long else 'write responses that differ'}"
        )
    share, indent = kept_share(data), "\n" + 10 * " " if ranked else " "
    left_out = f"{data.too_long} longer than {max_length} tokens, {data.identical} identical"
    if ranked:
        sizes = [len(row) for row in data.rows]
        pairs = sum(a != b for ranks in data.ranks for a, b in combinations(ranks, 2))
        share += f", {min(sizes)} to {max(sizes)} responses each, {pairs:,} comparisons without the ties"
        left_out += f", {data.all_tied} all tied; {data.repeating} of those kept hold a response twice"
    return data, f"{'data' if option == '--data' else 'held-out':<10}{path}: {share};{indent}{left_out}"


def kept_share(data):
    """4 of 6 pairs kept (66.7%)"""
    kept, left_out = len(data.rows), data.too_long + data.identical + data.all_tied
    unit = "prompts" if any(ranks != (1, 2) for ranks in data.ranks) else "pairs"
    return f"{kept:,} of {kept + left_out:,} {unit} kept ({kept / (kept + left_out):.1%})"


def held_world(tokenizer, responses):
    """The world's held-out Responses as Held"""
    rows = [
        [tokenizer.encode(prompt, text) for text in texts]
        for prompt, texts in zip(responses.prompts, responses.responses, strict=True)
    ]
    lengths = np.array([[len(text) for text in texts] for texts in responses.responses])
    return Held(rows, responses.rewards, summary(lengths, responses.rewards)["accuracy"])


def evaluate(rewards, held):
    """The logged names over all held-out pairs, with `eval_` before them"""
    result = summary(all_rewards(rewards, held.rows), held.true, held.ranks)
    return {f"eval_{name}": value for name, value in result.items()}


def report(directory, learner, held):
    """What a user wants to know at the end, beside what it can be compared with"""
    if held is None:
        print("held-out  nothing was held out: give --eval-data FILE to see how the model does on new pairs")
    else:
        result = evaluate(learner.rewards, held)
        floors = {} if held.true is None else world.floors(held.true)
        if held.kept:
            print(
                f"held-out  accuracy {result['eval_accuracy']:.4f}; the longer response wins {held.baseline:.4f};",
                held.kept,
            )
        for name, title in {"accuracy": "accuracy", "loss": "log loss", "brier": "Brier"}.items():
            best = f"   best reachable {floors[name]:.4f}" if floors else ""
            if floors or name != "accuracy":
                print(f"held-out  {title:<9}{result[f'eval_{name}']:.4f}{best}")
        if floors:
            print(f"held-out  Spearman of learned and true reward within prompts {result['eval_spearman']:.4f}")
            print(f"baseline  the longer response wins {held.baseline:.4f}, on the same pairs")
        if result["eval_ties"]:
            print(f"held-out  {result['eval_ties']:.2%} of the pairs tie in reward; a tie counts one half")
    if ties := learner.learned_ties():
        (name, value), title = list(ties.items())[1], {"rao-kupper": "θ", "davidson": "ν"}[ties["ties"]]
        print(
            f"ties      {ties['ties']}: {title} = {np.exp(value):.3f} was learned; {name} = {value:.4f} in config.json"
        )
    print(f"saved     {directory}")
