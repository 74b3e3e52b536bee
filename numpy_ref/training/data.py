"""What a model is trained on and held to: preferences or the built-in world as token ids; and the last report."""

from typing import NamedTuple

import numpy as np

from ..batches import all_rewards, comparisons, encode
from ..data import tokens, world
from ..data.reader import read_preferences
from ..data.tokenizer import TokenIds, Words
from ..data.tokens import Ragged, are_pairs, choose, flat_ranks, longer_wins, untied
from ..data.train_source import check_source, is_world, read_sources
from ..errors import InputError
from ..metrics import summary
from ..ranking import ABSENT

WORLD_POSITIONS = 16  # the world's longest text: bos, 6 words, sep, 3 answers, 2 fillers, a courtesy, full stop, eos


class Held(NamedTuple):
    """Held-out responses as token ids, best first, with their true rewards where the world knows them"""

    rows: list
    true: np.ndarray | None
    baseline: float  # how often the longer response is the better one
    ranks: np.ndarray | None = None  # (N, K), where a file's lists differ in length or hold ties
    kept: str = ""  # how many of a file's pairs or prompts these are


def load(args, tokenizer=None):
    """(training data, held-out data or None, tokenizer, lines about them)

    tokenizer: of a model that stands already; else words for the world, the ids themselves for ids, bytes for texts
    """
    check_source(args)
    if is_world(args):
        return load_world(args, world_tokenizer(tokenizer))
    found, held_found, tokenizer = read_sources(args, tokenizer)
    data, lines = chosen(tokenizer, found, args.max_length, args.ties != "drop")
    if args.loss == "pairwise":
        data = tokens.comparisons(data, args.margin_per_rank)
    elif data.margin.any():
        raise InputError(
            f"{found.option} {found.source}: has margins, which --loss {args.loss} cannot use: drop the column margin"
        )
    held = None
    if held_found:
        lists, held_lines = chosen(tokenizer, held_found, args.max_length)
        held = Held(lists.rows, None, longer_wins(lists), lists.ranks.padded(ABSENT), kept_share(lists))
        lines += held_lines
    lines += format_lines(found.tokens.formats, held_found and held_found.tokens.formats)
    return data, held, tokenizer, "\n".join(lines)


def chosen(tokenizer, found, max_length, keep_tied=False):
    """(what is trained on or held out of a source, lines about it)"""
    data, every = choose(found.tokens, max_length, keep_tied), Ragged.of_sizes(found.tokens.rank, found.tokens.size)
    line = described(tokenizer, found.option, found.source, data, not are_pairs(every), max_length)
    return data, [line, *([found.note] if found.note else [])]


def world_tokenizer(tokenizer=None):
    """The world's words; InputError if the model that stands already reads something else"""
    words = Words(world.WORDS)
    if tokenizer not in (None, words):
        raise InputError(
            f"the model reads {tokenizer.name}, not the words of the built-in world: name your data with --data"
        )
    return words


def load_world(args, tokenizer):
    """`load` where no data were named"""
    if args.max_length < WORLD_POSITIONS:
        raise InputError(
            f"--max-length {args.max_length}: the world has texts of {WORLD_POSITIONS} tokens: leave it out"
        )
    train_set, eval_set = world.make_world(args.seed)
    data = encode(tokenizer, world.rank(np.random.default_rng([args.seed, 1]), train_set), args.max_length)
    line = f"data      the built-in world: {len(data.rows):,} pairs, {len(eval_set.prompts):,} held-out prompts"
    data = comparisons(data, args.margin_per_rank) if args.loss == "pairwise" else data
    return data, held_world(tokenizer, eval_set), tokenizer, line


def load_file(tokenizer, option, path, max_length, keep_tied=False, columns=None):
    """(a file or a Split as lists of token ids with their texts, lines about it)"""
    preferences = read_preferences(path, columns)
    try:
        data = encode(tokenizer, preferences, max_length, keep_tied)
    except InputError as error:
        raise InputError(f"{option} {path}, {error}") from None
    ranked = not are_pairs([preference.ranks for preference in preferences])
    return data, described(tokenizer, option, path, data, ranked, max_length)


def described(tokenizer, option, source, data, ranked, max_length):
    """What was kept and why not the rest; pairs are spoken of as pairs, anything else in prompts"""
    if not data.rows:
        found = data.too_long + data.identical + data.all_tied
        raise InputError(
            f"{option} {source}: no {'prompt' if ranked else 'pair'} is left of {found}: {data.too_long} "
            f"are longer than --max-length {max_length} tokens and {data.identical} are the same on both sides"
            f"{f' and {data.all_tied} all tied' if ranked else ''}: "
            f"{'raise --max-length' if data.too_long else 'write responses that differ'}"
        )
    share, indent = kept_share(data), "\n" + 10 * " " if ranked else " "
    left_out = f"{data.too_long} longer than {max_length} tokens, {data.identical} identical"
    if ranked:
        ranks = flat_ranks(data.ranks)
        share += f", {ranks.sizes.min()} to {ranks.sizes.max()} responses each, "
        share += f"{untied(ranks):,} comparisons without the ties"
        left_out += f", {data.all_tied} all tied; {data.repeating} of those kept hold a response twice"
    name = "data" if option in ("--data", "--dataset-name") else "held-out"
    vocabulary = f"; a vocabulary of {tokenizer.vocab_size:,}" if isinstance(tokenizer, TokenIds) else ""
    return f"{name:<10}{source}: {share};{indent}{left_out}{vocabulary}"


def format_lines(formats, held_formats):
    """format    text, explicit prompt        and the held-out data's where they have others"""
    yield f"format    {named(formats)}"
    if held_formats and held_formats.keys() != formats.keys():
        yield f"format    {named(held_formats)}, held out"


def named(formats):
    """{"transcripts": 5} -> transcripts; of several formats each with its rows"""
    names = [name if len(formats) == 1 else f"{name} ({count:,})" for name, count in formats.most_common()]
    return "; ".join(names)


def kept_share(data):
    """4 of 6 pairs kept (66.7%)"""
    kept, left_out = len(data.rows), data.too_long + data.identical + data.all_tied
    unit = "pairs" if are_pairs(data.ranks) else "prompts"
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
    """Prints what a user wants to know at the end, beside what it can be compared with; the model card gets the same"""
    measured = {}
    if held is None:
        print("held-out  nothing was held out: give --eval-data FILE to see how the model does on new pairs")
    else:
        result = evaluate(learner.rewards, held)
        floors = {} if held.true is None else world.floors(held.true)
        measured = {"result": result, "floors": floors, "baseline": held.baseline}
        measured |= {"prompts": len(held.rows), "kept": held.kept}
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
    return measured
