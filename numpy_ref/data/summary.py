"""Reports how many preferences of a source were kept, and why the others were left out."""

from functools import partial

from ..cli.text import counted
from ..errors import InputError
from .reader import place, read_preferences
from .tokenizer import TokenIds
from .tokens import Ragged, are_pairs, encode, filtered, flat_ranks, untied


def encoded(tokenizer, found, max_length, keep_tied=False):
    """(the filtered rows of a source as Encoded, lines about them)"""
    data, every = filtered(found.tokens, max_length, keep_tied), Ragged.of_sizes(found.tokens.rank, found.tokens.size)
    line = described(tokenizer, found.option, found.source, data, not are_pairs(every), max_length)
    return data, [line, *([found.note] if found.note else [])]


def load_file(tokenizer, option, path, max_length, keep_tied=False, columns=None):
    """(a file or a Split as Encoded, its preferences, a line about it)"""
    preferences = read_preferences(path, columns)
    data = encode(tokenizer, preferences, max_length, keep_tied, partial(place, path))
    ranked = not are_pairs([preference.ranks for preference in preferences])
    return data, preferences, described(tokenizer, option, path, data, ranked, max_length)


def described(tokenizer, option, source, data, ranked, max_length):
    """Says how many pairs (or prompts of ranked lists) were kept, and why the others were left out"""
    if not data.rows:
        found = data.too_long + data.identical + data.all_tied
        raise InputError(
            f"{option} {source}: no {'prompt' if ranked else 'pair'} is left of {found}: {data.too_long} "
            f"longer than --max-length {max_length} tokens, {data.identical} the same on both sides"
            f"{f', {data.all_tied} all tied' if ranked else ''}: "
            f"{'raise --max-length' if data.too_long else 'write responses that differ'}"
        )
    share, indent = kept_share(data), "\n" + 10 * " " if ranked else " "
    left_out = f"{data.too_long} longer than {max_length} tokens, {data.identical} identical"
    if ranked:
        ranks = flat_ranks(data.ranks)
        fewest, most = ranks.sizes.min(), ranks.sizes.max()
        share += f", {most if fewest == most else f'{fewest} to {most}'} responses each, "
        share += f"{counted(untied(ranks), 'comparison')} without the ties"
        left_out += f", {data.all_tied} all tied; {data.repeating} of those kept hold a response twice"
    name = "data" if option in ("--data", "--dataset-name") else "held-out"
    vocabulary = f"; a vocabulary of {tokenizer.vocab_size:,}" if isinstance(tokenizer, TokenIds) else ""
    return f"{name:<10}{source}: {share};{indent}{left_out}{vocabulary}"


def format_lines(formats, held_formats):
    """Yields the line "format    text, explicit prompt", and another if the held-out data have other formats"""
    yield f"format    {named(formats)}"
    if held_formats and held_formats.keys() != formats.keys():
        yield f"format    {named(held_formats)}, held out"


def named(formats):
    """The names of the formats, with their numbers of rows if there are several"""
    names = [name if len(formats) == 1 else f"{name} ({count:,})" for name, count in formats.most_common()]
    return "; ".join(names)


def kept_share(data):
    """How many rows were kept, for example: 4 of 6 pairs kept (66.7%)"""
    kept, left_out = len(data.rows), data.too_long + data.identical + data.all_tied
    unit = "pair" if are_pairs(data.ranks) else "prompt"
    return f"{kept:,} of {counted(kept + left_out, unit)} kept ({kept / (kept + left_out):.1%})"
