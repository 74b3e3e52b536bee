"""Preference files as columns of numbers: the report keeps the hashes, lengths and flags of each row, but no text.

A million pairs take 120 MB. Hashes have 64 bits: the chance that any two of n different texts are confused is
n² / 2⁶⁵, one in ten million for two million texts.
"""

import re
from array import array
from collections import Counter, defaultdict
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..cli import memory
from ..data.reader import Ids, as_text, read_rows, unit
from ..data.tokenizer import EOS, Bytes
from ..errors import InputError

UNREADABLE, EMPTY, NEAR_EMPTY, IDENTICAL, SAME_WHEN_CUT, PREFIX, SPECIAL, TOO_LONG = (1 << i for i in range(8))
# Text that tokenizers of the field read as a special token: GPT, ChatML, Llama 2 and 3, Gemma, BERT, this project's.
SPECIAL_TEXT = re.compile(
    r"<\|\w+\|>|</?s>|<(?:pad|bos|sep|eos|cls|unk|mask)>|<(?:start|end)_of_turn>|\[/?INST\]|\[(?:PAD|CLS|SEP|MASK|UNK)\]"
)
OF_ROWS = {"file": "I", "line": "I", "flags": "I", "prompt": "Q", "prompt_chars": "I", "size": "I", "margin": "B"}
BYTES_OF_A_PAIR = 60  # for two compared responses; 31 were measured on a list of 3,000, 45 with a figure
OF_RESPONSES = {"text": "Q", "written": "Q", "chars": "I", "tokens": "I", "rank": "I"}


class Rows(NamedTuple):
    """N rows, including unreadable ones, and their M responses end to end, best first within a row"""

    file: np.ndarray  # (N,) which of the files
    line: np.ndarray  # (N,) from 1; in a table, the row
    flags: np.ndarray  # (N,) UNREADABLE | EMPTY | ...
    prompt: np.ndarray  # (N,) hash, whitespace aside
    prompt_chars: np.ndarray  # (N,)
    size: np.ndarray  # (N,) responses, 0 where the row cannot be read
    margin: np.ndarray  # (N,) 1 where the row asks for a lead
    text: np.ndarray  # (M,) hash of a response, whitespace aside
    written: np.ndarray  # (M,) hash of prompt and response as they are written
    chars: np.ndarray  # (M,)
    tokens: np.ndarray  # (M,) of the whole text, prompt and special tokens included
    rank: np.ndarray  # (M,) 1 best, equal ranks tie
    kinds: list  # for each file {what is wrong with rows that cannot be read: their lines}
    units: list  # for each file what its rows' numbers count: "line" or "row"
    specials: Counter  # how many texts hold <|endoftext|>, </s>, ...


def read(paths, tokenizer, max_length, progress=iter, renamed=None) -> Rows:
    """Every row of the files; InputError if a file cannot be read to the end or holds no row"""
    columns = {name: array(code) for name, code in (OF_ROWS | OF_RESPONSES).items()}
    kinds: list = [defaultdict(list) for _ in paths]
    specials: Counter = Counter()
    pairs, room = 0, memory.free() / BYTES_OF_A_PAIR
    for file, path in enumerate(paths):
        before = len(columns["line"])
        for line, row in progress(read_rows(path, renamed)):
            if isinstance(row, InputError):
                add_unreadable(columns, file, line, kind_of(row), kinds[file])
                continue
            pairs += len(row.responses) * (len(row.responses) - 1) // 2
            if pairs > room:
                what = f"{path}, {unit(path)} {line}: the report on the {pairs:,} comparisons up to here"
                memory.check(BYTES_OF_A_PAIR * pairs, what, "cut long lists, or report on a part of the rows")
            try:
                add_row(columns, file, line, row, tokenizer, max_length, specials)
            except InputError as error:  # a tokenizer of words met a word that it does not know
                raise InputError(f"{path}, {unit(path)} {line}: {error}; or leave out --model") from None
        if len(columns["line"]) == before:
            raise InputError(f"{path}: the file is empty: there is nothing to report on")
    arrays = {name: np.frombuffer(column, column.typecode) for name, column in columns.items() if column}
    found = {name: arrays.get(name, np.zeros(0, int)) for name in columns}
    return Rows(**found, kinds=kinds, units=[unit(path) for path in paths], specials=specials)


def kind_of(error) -> str:
    """The kind of an error, the same for all rows that have it: "byte N of the line is not UTF-8" """
    sentence = re.sub(r" \([^)]*\)", "", str(error))
    return re.sub(r"(?<!\S)-?\d+(\.\d+)?(?!\S)", "N", sentence.partition(": ")[0])


def add_unreadable(columns, file, line, kind, kinds):
    """Adds an unreadable row, which has no responses"""
    kinds[kind].append(line)
    flags = UNREADABLE | EMPTY * kind.endswith(" is empty")
    add_columns(columns, OF_ROWS, (file, line, flags, 0, 0, 0, 0))


def add_row(columns, file, line, row, tokenizer, max_length, specials):
    """Adds one row: its hashes, its lengths, and the flags that need no other row"""
    prompt, responses = as_text(row.prompt), [as_text(response) for response in row.responses]
    prompt_ids, prompt_bytes = ids(prompt, tokenizer), prompt.encode()
    around = 0 if isinstance(row.responses[0], Ids) else len(prompt_ids) + len(("<bos>", "<sep>", "<eos>"))
    plain = [" ".join(text.split()) for text in responses]
    flags = about_answers(plain)
    all_ids = []
    for part, text, simple, rank in zip(row.responses, responses, plain, row.ranks, strict=True):
        response_ids = part if isinstance(part, Ids) else ids(text, tokenizer)
        all_ids.append(response_ids)
        tokens = around + len(response_ids)
        flags |= TOO_LONG * (tokens > max_length)
        written = hashed(prompt_bytes + b"\0" + text.encode())
        add_columns(columns, OF_RESPONSES, (hashed(simple.encode()), written, len(text), tokens, rank))
    for text in (prompt, *responses):
        if "<" in text or "[" in text:
            found = set(SPECIAL_TEXT.findall(text))
            flags |= SPECIAL * bool(found)
            specials.update(found)
    flags |= about_pairs(row.ranks, plain, all_ids, max_length - len(prompt_ids) - 2)
    numbers = (file, line, flags, simple_hash(prompt), len(prompt), len(responses), row.margin != 0)
    add_columns(columns, OF_ROWS, numbers)


def add_columns(columns, names, values):
    """Appends one number to each of these columns"""
    for name, value in zip(names, values, strict=True):
        columns[name].append(value)


def about_answers(plain) -> int:
    """Flags of single answers: empty, or with fewer than two letters or digits"""
    flags = 0
    for text in plain:
        if not text:
            flags |= EMPTY
        elif len(list(islice(filter(str.isalnum, text), 2))) < 2:
            flags |= NEAR_EMPTY
    return flags


def about_pairs(ranks, plain, all_ids, room) -> int:
    """Flags of answers of different ranks: the same, the same when cut at --max-length, one the beginning of the other

    room        how many tokens of a response, eos included, fit before the cut
    Answers are grouped because a long list has millions of pairs. A group has two members that differ in text and in
    rank if it has two texts and two ranks.
    """
    ranks_of = sets(plain, ranks)
    identical = any(len(of_text) > 1 for of_text in ranks_of.values())
    cuts = [cut(tokens, room) for tokens in all_ids]
    same_when_cut = len(set(cuts)) < len(cuts) and any(
        len(texts) > 1 and len(of_group) > 1
        for texts, of_group in zip(sets(cuts, plain).values(), sets(cuts, ranks).values(), strict=True)
    )
    return IDENTICAL * identical | SAME_WHEN_CUT * same_when_cut | PREFIX * has_prefix(ranks_of)


def sets(keys, values):
    """{key: the set of its values}, in the order of the keys"""
    found: dict = {}
    for key, value in zip(keys, values, strict=True):
        found.setdefault(key, set()).add(value)
    return found


def has_prefix(ranks_of) -> bool:
    """Whether a text is the beginning of a text of another rank        ranks_of: {text: its ranks}

    In alphabetical order a text comes after its beginnings. Only the longest one must be compared: if a shorter one had
    another rank, it would have been found before.
    """
    beginnings: list = []
    for text in sorted(filter(None, ranks_of)):
        while beginnings and not text.startswith(beginnings[-1]):
            beginnings.pop()
        if beginnings and len(ranks_of[beginnings[-1]] | ranks_of[text]) > 1:
            return True
        beginnings.append(text)
    return False


def cut(response_ids, room):
    """What remains of a response if the whole text is cut on the right; a response that fits is followed by eos"""
    return response_ids[: max(room, 0)], EOS if len(response_ids) < room else None


def ids(text, tokenizer):
    """A sequence with one entry for each token; for the byte tokenizer the bytes, which need no list of integers"""
    return text.encode() if isinstance(tokenizer, Bytes) else tuple(tokenizer.text_ids(text))


def simple_hash(text) -> int:
    """A hash that is the same for texts that differ only in whitespace"""
    return hashed(" ".join(text.split()).encode())


def hashed(content) -> int:
    """A hash of 64 bits"""
    return int.from_bytes(blake2b(content, digest_size=8).digest())
